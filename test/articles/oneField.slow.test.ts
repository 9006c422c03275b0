/**
 * One thing of one row is changed, by every write of the site; then everything is asked. Every answer is that of the
 * database, and what was loaded is what changed: whether it did, the answers before and after say, not the policies.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Database from "../../examples/articles/Database.ts"
import * as Model from "../../examples/articles/Model.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Changes, Entity, MemoryCache } from "../../src/index.ts"
import { askCache, askDatabase, questions, reset, withOutbox } from "./asking.ts"
import { type Case, cases, reasons, together } from "./cases.ts"

const all = [
  ...Object.entries(cases).flatMap(([write, some]) => some.map((one) => ({ ...one, name: `${write}: ${one.name}` }))),
  ...together
]

/** `article#title updated`, of all changes that were told. */
const told = new Set<string>()
let ran = 0

type AnyEntity = Pick<Entity.Entity<never, never, string, string, string>, "name" | "fields" | "relations">

const listener = Changes.subscriber("listener", (changes) =>
  Effect.sync(() => {
    for (const change of changes) {
      if (change._tag === "Updated") { for (const field of change.fields) told.add(`${change.before.entity}#${field}`) }
      else if (change._tag === "Related") {
        for (const end of change.ends) told.add(`${end.entity}#${end.relation}`)
      } else told.add(`${change.row.entity} ${change._tag.toLowerCase()}`)
    }
  }))

const cache = Layer.merge(MemoryCache.layer({ capacity: 10_000 }), Changes.layer(listener))

const check = ({ idle, needless = [], write }: Case) =>
  Effect.gen(function*() {
    yield* reset
    const asked = yield* questions()
    const before = yield* askCache(asked)
    yield* write
    const all = yield* questions(asked)
    const after = yield* askDatabase(all)
    const replies = yield* askCache(all)

    const wrong = [...after].filter(([key, answer]) => replies.get(key)!.answer !== answer).map(([key]) => key)
    assert.deepStrictEqual(wrong, [], "answers that are not those of the database")

    const known = [...replies.values()].filter(({ key }) => before.has(key))
    const changed = known.filter(({ answer, key }) => before.get(key)!.answer !== answer)
    assert.strictEqual(changed.length === 0, idle === true, "whether any answer changed")

    const unchanged = known.filter((reply) => reply.loaded && !changed.includes(reply))
    const expected = (key: string, name: string) => needless.includes(key) || needless.includes(name)
    const unexpected = unchanged.filter(({ key, name }) => !expected(key, name)).map(({ key }) => key)
    assert.deepStrictEqual(unexpected, [], "loaded again, and the answer is the same")
    const unseen = needless.filter((one) => !unchanged.some(({ key, name }) => one === key || one === name))
    assert.deepStrictEqual(unseen, [], "said to be loaded needlessly, and is not")
    ran++
  }).pipe(Effect.provide(Layer.fresh(cache)))

const name = "after one write everything is right, and only that is loaded which changed"

layer(withOutbox(Database.embedded), { excludeTestServices: true })(name, (it) => {
  for (const one of all) it.effect(one.name, () => check(one))
})

/** What no write of the site changes, or tells. */
const neverTold: Readonly<Record<string, ReadonlyArray<string>>> = {
  "a row keeps it": [
    ...["article#id", "author#id", "category#id", "order#id", "product#id", "tag#id", "user#id"],
    ...["userSettings#userId", "setting#key", "article#createdAt", "user#createdAt"]
  ],
  "an order is not changed": ["order#userId", "order#productId", "order#quantity", "order#total", "order#placedAt"],
  "there is no such write": ["author deleted", "product deleted", "setting deleted"],
  "a look is not told: what shows the number says how old it is": ["article#views"],
  "it only counts, and is not shown": ["article#cacheVersion"]
}

describe("the cases are", () => {
  it("of every write", () => {
    const writes = Object.keys(Writes).filter((name) => name !== "transaction")
    assert.sameMembers(Object.keys(cases), writes)
    for (const [write, some] of Object.entries(cases)) assert.isNotEmpty(some, write)
  })

  it("explained, where something is loaded needlessly", () => {
    const needless = all.flatMap(({ needless = [] }) => needless.map((one) => one.replace(/:.*/, "")))
    assert.sameMembers([...new Set(needless)], Object.keys(reasons))
  })

  it("of every entity, every field and every relation", ({ skip }) => {
    if (ran < all.length) skip("not all cases were run, or some failed")
    const entities = Object.values(Model).filter(Entity.isEntity) as ReadonlyArray<AnyEntity>
    const missing = entities.flatMap(({ fields, name, relations }) => [
      ...[...fields, ...relations].map((field) => `${name}#${field}`),
      `${name} created`,
      `${name} deleted`
    ]).filter((one) => !told.has(one))
    assert.sameMembers(missing, Object.values(neverTold).flat())
  })
})
