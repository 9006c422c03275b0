/**
 * docs/strategies/signals.md: what is told inside of a transaction is told too early. On a Postgres server: what is embedded
 * has one session, and would let the reader wait for the commit.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Database from "../../examples/articles/Database.ts"
import * as Site from "../../examples/articles/Site.ts"
import { publishIssue, SearchIndex, subscribers } from "../../examples/articles/strategies/signals.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, Changes } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import { freshDatabase } from "../support/sharedPostgres.ts"
import * as Article from "./django/Article.ts"
import { Signals } from "./django/Dispatch.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/signals.ts"
import { filled, fresh, onBoth } from "./support.ts"

const server = filled(Layer.unwrap(Effect.map(freshDatabase, Database.server)))

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: true }

/** Starts a transaction, and stops before its end. What this gives goes on with it. */
const stopped = Effect.fnUntraced(function*<A, E, R, E2, R2>(
  transaction: (body: Effect.Effect<void, E, R>) => Effect.Effect<A, E2, R2>,
  body: Effect.Effect<unknown, E, R>
) {
  const reached = yield* Deferred.make<void>()
  const go = yield* Deferred.make<void>()
  const whole = Effect.andThen(body, Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go)))
  const fiber = yield* Effect.forkScoped(transaction(whole))
  yield* Effect.raceFirst(Deferred.await(reached), Fiber.join(fiber))
  return Effect.andThen(Deferred.succeed(go, undefined), Fiber.join(fiber))
})

const connected = () => {
  const [cache, signals] = [new DjangoCache(), new Signals()]
  Django.connectBasic(signals, cache)
  return { cache, signals }
}

layer(server, { timeout: "60 seconds" })("signals", (it) => {
  describe("the Django way", () => {
    it.effect("a signal inside of a transaction comes too early: a reader puts the old article back", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const sql = yield* SqlClient.SqlClient
        const article = yield* signals.create(draft)
        article.title = "New"
        const commit = yield* stopped(sql.withTransaction, signals.save(article))
        yield* Django.articleDetail(cache, article.id)
        yield* commit
        assert.strictEqual((yield* Article.get(article.id)).title, "New")
        assert.strictEqual((yield* Django.articleDetail(cache, article.id)).title, "Old")
      }))

    it.effect("a rollback has invalidated for nothing", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const sql = yield* SqlClient.SqlClient
        const article = yield* signals.create(draft)
        yield* Django.articleDetail(cache, article.id)
        yield* Effect.exit(sql.withTransaction(Effect.andThen(signals.save(article), Effect.fail("no"))))
        assert.isUndefined(yield* cache.get(`article:${article.id}`))
      }))

    it.effect("the first handler forgets the list of the category when an article is edited", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const article = yield* signals.create(draft)
        const titles = Effect.map(
          Django.categoryArticles(cache, 1),
          (list) => list.filter(({ id }) => id === article.id).map(({ title }) => title)
        )
        assert.deepStrictEqual(yield* titles, ["Old"])
        article.title = "New"
        yield* signals.save(article)
        assert.deepStrictEqual(yield* titles, ["Old"])
      }))

    it.effect("the combined handler deletes a list that nobody reads: its key is spelt another way", () =>
      Effect.gen(function*() {
        const [cache, signals] = [new DjangoCache(), new Signals()]
        Django.connectCombined(signals, cache)
        const has = (id: number) =>
          Effect.map(Django.categoryArticles(cache, 1), (list) => list.some((article) => article.id === id))
        yield* Django.categoryArticles(cache, 1)
        const { id } = yield* signals.create(draft)
        assert.isFalse(yield* has(id))
      }))
  })

  describe("here", () => {
    onBoth(
      it,
      "what is published inside of a transaction is told after the commit",
      (one: Process, other: Process) =>
        Effect.gen(function*() {
          const { id } = yield* Article.create(draft)
          const title = other.run(Effect.map(Cached.get(Site.article, id), (page) => page.title))
          const commit = yield* stopped(
            (body) => one.run(Writes.transaction(body)),
            Writes.updateArticle(id, { title: "New" })
          )
          // Nothing is cached yet: this loads, while the row is written and not committed.
          assert.strictEqual(yield* title, "Old")
          yield* commit
          assert.strictEqual(yield* title, "New")
        })
    )

    onBoth(it, "a rollback invalidates nothing", (one) =>
      Effect.gen(function*() {
        const { id } = yield* Article.create(draft)
        yield* Cached.get(Site.article, id)
        const failing = Effect.andThen(Writes.updateArticle(id, { title: "New" }), Effect.fail("no"))
        assert.strictEqual(yield* Effect.flip(Writes.transaction(failing)), "no")
        yield* Cached.get(Site.article, id)
        assert.strictEqual((yield* Cached.stats(Site.article)).loads, 1)
      }).pipe(one.run))

    it.effect("subscribers are told once for each transaction, after its commit and after the cache", () =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const ids: Array<number> = []
        for (const title of ["One", "Two"]) ids.push((yield* Article.create({ ...draft, title, published: false })).id)
        yield* Cached.get(Site.article, ids[0]!)
        const watching = Changes.layer(Changes.subscriber("test", (changes) =>
          Effect.gen(function*() {
            const { published } = yield* Cached.get(Site.article, ids[0]!)
            told.push(`${changes.length} changes, published: ${published}`)
          }).pipe(Effect.orDie)))
        yield* Effect.provide(publishIssue(ids), watching)
        assert.deepStrictEqual(told, ["2 changes, published: true"])
      }).pipe(fresh))

    it.effect("the search knows what is published, and nothing of what was rolled back", () =>
      Effect.gen(function*() {
        const { id } = yield* Article.create({ ...draft, published: false })
        const index = yield* SearchIndex
        const title = () => index.get(id)
        yield* Writes.updateArticle(id, { title: "Draft" })
        assert.isUndefined(title())
        yield* publishIssue([id])
        assert.strictEqual(title(), "Draft")
        const failing = Effect.andThen(Writes.updateArticle(id, { title: "Never" }), Effect.fail("no"))
        yield* Effect.flip(Writes.transaction(failing))
        assert.strictEqual(title(), "Draft")
        yield* Writes.deleteArticle(id)
        assert.isUndefined(title())
      }).pipe(Effect.provide(Layer.provideMerge(subscribers, SearchIndex.layer), { local: true }), fresh))
  })
})
