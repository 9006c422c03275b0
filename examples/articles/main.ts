/**
 * A day of the site: everything is read, then things are written one after the other, and after each write everything is
 * read again. It prints what each write changed and what had to be loaded again for it, and compares every answer with the
 * database; one that differs ends this with code 1.
 *
 * The database lives in this process; with `--url postgres://user:password@host:port/name` it is a server, whose database
 * must be empty.
 */
import { Console, Effect, Equal, Layer, Redacted, Result } from "effect"
import { parseArgs } from "node:util"
import { Cached, Change, Changes, MemoryCache } from "../../src/index.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import * as content from "./content.ts"
import * as Database from "./Database.ts"
import * as Site from "./Site.ts"
import * as Writes from "./Writes.ts"

/** What has been told since somebody asked last. */
const told: Array<string> = []

const listener = Changes.subscriber("listener", (changes) =>
  Effect.sync(() => {
    told.push(...changes.map(Change.format))
  }))

const loads = Effect.map(Cached.stats(), (all) => new Map([...all].map(([name, { loads }]) => [name, loads])))

/** Reads everything, compares it with the database, and gives which keys were loaded and which answers were wrong. */
const readAll = Effect.gen(function*() {
  const [loaded, wrong]: [Array<string>, Array<string>] = [[], []]
  let count = 0
  for (const { name, questions } of Site.reads) {
    for (const { cached, fresh, key } of yield* questions) {
      count++
      const before = (yield* loads).get(name) ?? 0
      const answer = yield* Effect.result(cached)
      if (((yield* loads).get(name) ?? 0) > before) loaded.push(key)
      if (!Equal.equals(answer, yield* Effect.result(fresh))) wrong.push(key)
    }
  }
  return { count, loaded, wrong }
})

const few = (all: ReadonlyArray<string>): string =>
  all.length === 0 ? "nothing" : `${all.slice(0, 8).join(", ")}${all.length > 8 ? ` and ${all.length - 8} more` : ""}`

const writes = [
  ["An article gets another text.", Writes.updateArticle(3, { content: "All new." })],
  ["It gets another title.", Writes.updateArticle(3, { title: "All new" })],
  ["It is looked at, and nobody is told.", Writes.view(3)],
  ["It moves to another category.", Writes.moveArticle(3, 4)],
  ["It is taken back.", Writes.unpublish(3)],
  ["A draft is edited: no list shows it.", Writes.updateArticle(3, { title: "All new, and better" })],
  ["It is published again.", Writes.publish(3)],
  ["It gets two tags.", Writes.addTags(3, [11, 12])],
  ["A category is renamed.", Writes.renameCategory(9, "Cinema")],
  ["A product is ordered.", Writes.placeOrder(1, 1, 2)],
  ["More are ordered than there are.", Effect.result(Writes.placeOrder(1, 1, 1_000))],
  ["A user likes it dark.", Writes.updateUserSettings(1, { theme: "dark" })],
  ["A category is deleted, with all that is in it.", Writes.deleteCategory(12)]
] as const

const program = Effect.gen(function*() {
  yield* content.fill()
  const first = yield* readAll
  yield* Console.log(`${first.count} questions were asked for the first time: ${first.loaded.length} loads.`)
  const second = yield* readAll
  yield* Console.log(`They were asked again: ${second.loaded.length} loads.`)
  const wrong = [...first.wrong, ...second.wrong]
  for (const [what, write] of writes) {
    told.length = 0
    yield* write
    const after = yield* readAll
    wrong.push(...after.wrong)
    yield* Console.log(`\n${what}\n  told:   ${few(told)}\n  loaded: ${few(after.loaded)}`)
  }
  const total = [...(yield* Cached.stats()).values()].reduce((sum, { reads }) => sum + reads, 0)
  yield* Console.log(`\nEach of ${total} answers was compared with the database. They differ: ${few(wrong)}.`)
  return wrong.length
})

const { values: { url } } = parseArgs({ options: { url: { type: "string" } } })

const database = url === undefined ? Database.embedded : Database.server(Redacted.make(url))

const live = Layer.mergeAll(MemoryCache.layer({ capacity: 10_000 }), Changes.layer(listener)).pipe(
  Layer.provideMerge(SqlOutbox.layer()),
  Layer.provideMerge(database)
)

const result = await Effect.runPromise(Effect.result(Effect.provide(program, live)))
if (Result.isFailure(result)) throw result.failure
process.exitCode = result.success === 0 ? 0 : 1
