/** docs/strategies/delete.md: one batch, one acknowledgement, and a clear that loads in flight do not undo. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { SqlClient } from "effect/sql"
import * as Site from "../../examples/articles/Site.ts"
import { clear, deleteArticle, deleteArticles, deleteWithLists } from "../../examples/articles/strategies/delete.ts"
import { Cached } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { oneNode, start } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"
import * as Article from "./django/Article.ts"
import * as Django from "./django/delete.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { midway, onBoth, site } from "./support.ts"

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: true }

const titleOf = (id: number) => Effect.map(Cached.get(Site.article, id), ({ title }) => title)

/** A write that tells nobody: a migration, a hand at the console. */
const rename = (...ids: ReadonlyArray<number>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set title = 'New' where id = any(${ids}::int[])`)

const three = Effect.forEach([1, 2, 3], () => Effect.map(Article.create(draft), ({ id }) => id))

layer(site, { timeout: "60 seconds" })("delete", (it) => {
  describe("the Django way", () => {
    it.effect("a load in flight brings back what was cleared", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { id } = yield* Article.create(draft)
        const finish = yield* midway(Django.articleDetail(cache, id))
        yield* rename(id)
        yield* Django.clear(cache)
        yield* finish
        assert.strictEqual((yield* Django.articleDetail(cache, id)).title, "Old")
      }))

    it.effect("a clear takes away what others have on the same server", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache({ keyPrefix: "site" })
        const sessions = new DjangoCache({ keyPrefix: "sessions", memory: cache.memory })
        yield* sessions.set("ada", "logged in")
        yield* Django.clear(cache)
        assert.isUndefined(yield* sessions.get("ada"))
      }))
  })

  describe("here", () => {
    onBoth(it, "one key, several keys, and no others", (one, other) =>
      Effect.gen(function*() {
        const ids = yield* three
        const titles = other.run(Effect.forEach(ids, titleOf))
        yield* titles
        yield* rename(...ids)
        yield* one.run(deleteArticle(ids[0]!))
        assert.deepStrictEqual(yield* titles, ["New", "Old", "Old"])
        yield* one.run(deleteArticles(ids.slice(0, 2)))
        assert.deepStrictEqual(yield* titles, ["New", "New", "Old"])
      }))

    onBoth(it, "what a load in flight has loaded is not kept after a clear", (one, other) =>
      Effect.gen(function*() {
        const { id } = yield* Article.create(draft)
        const finish = yield* midway(other.run(titleOf(id)))
        yield* rename(id)
        yield* one.run(clear)
        assert.strictEqual(yield* finish, "Old")
        assert.strictEqual(yield* other.run(titleOf(id)), "New")
        assert.strictEqual(yield* one.run(titleOf(id)), "New")
      }))

    it.effect("a clear leaves alone what others have on the same server [redis]", () =>
      Effect.gen(function*() {
        const [ours, theirs] = yield* Effect.all([1, 2].map(() => start(oneNode.layer({ prefix: freshPrefix() }))))
        const { id } = yield* Article.create(draft)
        yield* ours!.run(titleOf(id))
        yield* theirs!.run(titleOf(id))
        yield* rename(id)
        yield* ours!.run(clear)
        assert.strictEqual(yield* ours!.run(titleOf(id)), "New")
        assert.strictEqual(yield* theirs!.run(titleOf(id)), "Old")
      }))

    it.effect("keys of several reads are one operation of the store", () =>
      Effect.gen(function*() {
        const ids = yield* three
        const reads = Effect.all([
          Cached.get(Site.article, ids[0]!),
          Cached.get(Site.articleCard, ids[1]!),
          Cached.get(Site.articleList, undefined)
        ])
        const isNew = ([page, card, list]: Effect.Success<typeof reads>) =>
          [page, card, list.find(({ id }) => id === ids[2])].map((shown) => JSON.stringify(shown).includes("New"))
        const shown = Effect.map(reads, isNew)
        yield* shown
        yield* rename(...ids)
        assert.deepStrictEqual(yield* shown, [false, false, false])
        yield* TestCache.forget
        yield* deleteWithLists(ids)
        const operations = yield* TestCache.operations
        assert.deepStrictEqual(
          operations.map(({ name }) => name),
          ["invalidate"]
        )
        assert.deepStrictEqual(yield* shown, [true, true, true])
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("what the store did not acknowledge fails, and is not served here", () =>
      Effect.gen(function*() {
        const ids = yield* three
        const titles = Effect.forEach(ids, titleOf)
        yield* titles
        yield* rename(...ids)
        yield* TestCache.fail("invalidate", 1)
        const { _tag, mayHaveHappened } = yield* Effect.flip(deleteArticles(ids))
        assert.deepStrictEqual({ _tag, mayHaveHappened }, { _tag: "InvalidationError", mayHaveHappened: false })
        assert.deepStrictEqual(yield* titles, ["New", "New", "New"])
      }).pipe(Effect.provide([TestCache.layer(), Logger.layer([])])))
  })
})
