/**
 * Whoever writes through a repository publishes.
 */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Repository from "../../src/Repository.ts"
import { alien, defectOf, errorOf, Film, onEach } from "../support/cached.ts"

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const heat: Film = { id: 8, title: "Heat", genre: "drama", rating: 8.3 }
const [aliens, heated] = [{ ...alien, title: "Aliens" }, { ...heat, genre: "crime" }]

const films = Repository.make(Films, {
  create: (film: Film) => Effect.succeed(film),
  createMany: (...all: ReadonlyArray<Film>) => Effect.succeed(all),
  update: (before: Film, after: Film) => Effect.succeed({ before, after, extra: "kept" }),
  updateMany: () => Effect.succeed([{ before: alien, after: aliens }, { before: heat, after: heated }]),
  delete: () => Effect.succeed(alien),
  deleteMany: () => Effect.succeed([alien, heat]),
  save: (before: Film | undefined, after: Film) => Effect.succeed({ before, after })
})

/** What a write publishes, and what it gives. */
const said = <A, E, R>(write: Effect.Effect<A, E, R>) =>
  Effect.map(Changes.collect(write), ([result, { changes }]) => [result, changes.map(Change.format)] as const)

describe("a repository", () => {
  onEach(
    "publishes what each write says, and gives what it gave",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* said(films.create(alien)), [alien, ["film:7 created"]])
      assert.deepStrictEqual((yield* said(films.createMany(alien, heat)))[1], ["film:7 created", "film:8 created"])
      assert.deepStrictEqual(yield* said(films.update(alien, aliens)), [
        { before: alien, after: aliens, extra: "kept" },
        ["film:7 updated (title)"]
      ])
      assert.deepStrictEqual((yield* said(films.updateMany()))[1], [
        "film:7 updated (title)",
        "film:8 updated (genre)"
      ])
      assert.deepStrictEqual((yield* said(films.delete()))[1], ["film:7 deleted"])
      assert.deepStrictEqual((yield* said(films.deleteMany()))[1], ["film:7 deleted", "film:8 deleted"])
      assert.deepStrictEqual((yield* said(films.save(undefined, alien)))[1], ["film:7 created"])
      assert.deepStrictEqual((yield* said(films.save(alien, aliens)))[1], ["film:7 updated (title)"])
    })
  )

  onEach(
    "publishes nothing for a write that fails or throws",
    Effect.gen(function*() {
      const failing = Repository.make(Films, {
        create: () => new Refused(),
        delete: (): Effect.Effect<Film> => {
          throw new Error("oh")
        }
      })
      const notified: Array<string> = []
      const log = Changes.layer(Changes.subscriber("log", () => Effect.sync(() => void notified.push("notified"))))
      assert.instanceOf(yield* errorOf(Effect.provide(failing.create(), log)), Refused)
      yield* Effect.exit(Effect.provide(failing.delete(), log))
      assert.deepStrictEqual(notified, [])
    })
  )

  onEach(
    "takes no write of which it is not known what it changes",
    Effect.gen(function*() {
      const make = Effect.sync(() =>
        Repository.make(Films, { create: () => Effect.succeed(alien), archive: () => Effect.succeed(alien) })
      )
      assert.isTrue((yield* defectOf(make)) instanceof InvalidInput.InvalidInput)
    })
  )

  onEach(
    "writes and publishes within what it was given",
    Effect.gen(function*() {
      const log: Array<string> = []
      const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Refused, R> =>
        Effect.tap(effect, () => Effect.sync(() => void log.push("commit")))
      const films = Repository.make(Films, { delete: () => Effect.succeed(alien) }, {
        within: Changes.withTransaction(transaction)
      })
      const notified = Changes.subscriber(
        "log",
        (changes) => Effect.sync(() => void log.push(...changes.map(Change.format)))
      )
      yield* Effect.provide(films.delete(), Changes.layer(notified))
      assert.deepStrictEqual(log, ["commit", "film:7 deleted"])
    })
  )
})
