import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { wrongAfter } from "../../examples/articles/strategies/mock-cache.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/mock-cache.ts"
import { site } from "./support.ts"

/** A write that has been forgotten to tell. */
const silently = (id: number, title: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set title = ${title} where id = ${id}`)

const test = Effect.provide(TestCache.layer(), { local: true })

layer(site, { timeout: "60 seconds" })("mock cache", (it) => {
  describe("the Django way", () => {
    it.effect("fails for a model that is right, since it deletes in another way", () =>
      Effect.gen(function*() {
        const outcome = yield* Django.testInvalidationCalled(Django.invalidateCache)
        assert.strictEqual(outcome, "failed: delete was not called")
      }))

    it.effect("passes while readers see the old title", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Django.testInvalidationCalled(Django.invalidateOneByOne), "passed")
        const cache = new DjangoCache()
        const before = yield* Django.getTitle(cache, 7)
        yield* silently(7, "A new title")
        yield* Django.invalidateOneByOne(cache, 7)
        assert.strictEqual(yield* Django.getTitle(cache, 7), before)
        assert.strictEqual(yield* Queries.title(7), "A new title")
      }))
  })

  describe("the way here", () => {
    it.effect("after a write all readers see what is there", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* wrongAfter(Writes.updateArticle(8, { title: "Eight", content: "Of it." })), [])
        assert.deepStrictEqual(yield* wrongAfter(Writes.setTags(8, [1, 2, 3])), [])
      }).pipe(test))

    it.effect("a write that was not told is found, wherever it shows", () =>
      Effect.gen(function*() {
        const wrong = yield* wrongAfter(silently(9, "Nine"))
        assert.includeMembers(wrong, ["article:9", "articleCard:9"])
        assert.isTrue(wrong.some((key) => key.startsWith("articlesOfAuthor:")))
      }).pipe(test))

    it.effect("the store can be told to fail, and readers are right all the same", () =>
      Effect.gen(function*() {
        const write = Effect.gen(function*() {
          yield* TestCache.fail("invalidate", 1)
          const error = yield* Effect.flip(Writes.updateArticle(10, { title: "Ten" }))
          assert.strictEqual(error._tag, "InvalidationError")
        })
        assert.deepStrictEqual(yield* wrongAfter(write), [])
      }).pipe(test))

    it.effect("what was asked of the store is recorded, to count and to understand", () =>
      Effect.gen(function*() {
        yield* Cached.get(Site.articleCard, 11)
        yield* TestCache.forget
        yield* Cached.get(Site.articleCard, 11)
        yield* Writes.updateArticle(11, { title: "Eleven" })
        const asked = (yield* TestCache.operations).map(({ name, result }) => `${name}: ${result}`)
        assert.deepStrictEqual(asked, ["read: entry", "invalidate: 1"])
      }).pipe(test))
  })
})
