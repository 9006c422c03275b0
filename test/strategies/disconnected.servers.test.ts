/** docs/strategies/disconnected.md: what is disconnected, for whom, and for how long. */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as Site from "../../examples/articles/Site.ts"
import { importArticles } from "../../examples/articles/strategies/disconnected.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, Changes } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import * as Django from "./django/disconnected.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { fresh, onBoth, site } from "./support.ts"

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: true }

const titleOf = (id: number) => Effect.map(Cached.get(Site.article, id), ({ title }) => title)

layer(site, { timeout: "60 seconds" })("disconnected", (it) => {
  describe("the Django way", () => {
    it.effect("as it stands on the page it disconnects nothing: the receiver has no such name", () =>
      Effect.gen(function*() {
        const app = Django.application(new DjangoCache())
        // The test of the page wants "cached_data" here.
        assert.isUndefined(yield* Django.testSignalDisconnection(app))
      }))

    it.effect("and it leaks: afterwards the receiver is connected twice, and each save deletes twice", () =>
      Effect.gen(function*() {
        let deleted = 0
        const cache = new class extends DjangoCache {
          override delete(key: string) {
            if (key === "article:list") deleted++
            return super.delete(key)
          }
        }()
        const app = Django.application(cache)
        yield* Django.testSignalDisconnection(app)
        deleted = 0
        yield* app.signals.save(yield* Article.get(1))
        assert.strictEqual(deleted, 2)
      }))

    it.effect("with the right name it disconnects all of the process: another test, at the same time, fails", () =>
      Effect.gen(function*() {
        const app = Django.application(new DjangoCache(), "invalidate_article_cache")
        assert.strictEqual(yield* Django.testSignalDisconnection(app), "cached_data")

        const [reached, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const wait = Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go))
        const one = yield* Effect.forkScoped(Django.testSignalDisconnection(app, wait))
        yield* Deferred.await(reached)
        // A save invalidates, says this one.
        assert.strictEqual(yield* Django.saveCached(app, Effect.void), "cached_data")
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(one)
        assert.isUndefined(yield* Django.saveCached(app, Effect.void))
      }))
  })

  describe("here", () => {
    // #region test
    it.effect("without the cache a write is not seen, and with it, it is", () =>
      Effect.gen(function*() {
        const { id } = yield* Writes.createArticle(draft)
        assert.strictEqual(yield* titleOf(id), "Old")

        yield* Writes.updateArticle(id, { title: "New" }).pipe(Changes.disconnected("cache"))
        assert.strictEqual(yield* titleOf(id), "Old")

        yield* Writes.updateArticle(id, { title: "Newer" })
        assert.strictEqual(yield* titleOf(id), "Newer")
      }).pipe(fresh))
    // #endregion

    onBoth(
      it,
      "who is disconnected is disconnected for one effect, and for nobody else",
      (one: Process, other: Process) =>
        Effect.gen(function*() {
          const ids: Array<number> = []
          for (let i = 0; i < 2; i++) ids.push((yield* Article.create(draft)).id)
          const titles = other.run(Effect.forEach(ids, titleOf))
          yield* titles
          const [reached, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const without = Effect.gen(function*() {
            yield* Deferred.succeed(reached, undefined)
            yield* Deferred.await(go)
            yield* Writes.updateArticle(ids[0]!, { title: "New" })
          }).pipe(Changes.disconnected("cache"))
          const fiber = yield* Effect.forkScoped(one.run(without))
          yield* Deferred.await(reached)
          yield* one.run(Writes.updateArticle(ids[1]!, { title: "New" }))
          assert.deepStrictEqual(yield* titles, ["Old", "New"])
          yield* Deferred.succeed(go, undefined)
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* titles, ["Old", "New"])
        })
    )

    it.effect("a test that fails leaves nothing disconnected", () =>
      Effect.gen(function*() {
        const { id } = yield* Writes.createArticle(draft)
        yield* titleOf(id)
        const failing = Effect.andThen(Writes.updateArticle(id, { title: "New" }), Effect.die("the test fails"))
        yield* Effect.exit(Changes.disconnected("cache")(failing))
        yield* Writes.updateArticle(id, { title: "Newer" })
        assert.strictEqual(yield* titleOf(id), "Newer")
      }).pipe(fresh))

    it.effect("one subscriber can be disconnected, or all", () =>
      Effect.gen(function*() {
        const told: Array<string> = []
        const note = (name: string) => Changes.subscriber(name, () => Effect.sync(() => void told.push(name)))
        const { id } = yield* Writes.createArticle(draft)
        const write = (title: string) => Writes.updateArticle(id, { title })
        yield* Effect.gen(function*() {
          yield* write("One")
          yield* Changes.disconnected("search")(write("Two"))
          assert.strictEqual(yield* titleOf(id), "Two")
          yield* Changes.disconnected()(write("Three"))
          assert.strictEqual(yield* titleOf(id), "Two")
        }).pipe(Effect.provide(Changes.layer(note("search"), note("feed"))))
        assert.deepStrictEqual(told, ["search", "feed", "feed"])
      }).pipe(fresh))

    it.effect("an import tells once, at its end", () =>
      Effect.gen(function*() {
        let told = 0
        let built = 0
        const search = Changes.subscriber("search", () => Effect.sync(() => void told++))
        const list = Cached.get(Site.publishedArticles, undefined)
        const before = (yield* list).length
        yield* importArticles([draft, draft, draft], Effect.sync(() => void built++)).pipe(
          Effect.provide(Changes.layer(search))
        )
        assert.strictEqual((yield* list).length, before + 3)
        assert.deepStrictEqual({ told, built }, { told: 0, built: 1 })
        const ended = (yield* TestCache.operations).filter(({ name }) => name === "invalidate")
        assert.deepStrictEqual(ended.map(({ detail }) => detail), ["everything"])
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("an import that breaks off shows what it has written", () =>
      Effect.gen(function*() {
        const list = Cached.get(Site.publishedArticles, undefined)
        const before = (yield* list).length
        const nowhere = { ...draft, categoryId: 1_000_000 }
        yield* Effect.exit(importArticles([draft, nowhere], Effect.die("it is not complete")))
        assert.strictEqual((yield* list).length, before + 1)
      }).pipe(fresh))
  })
})
