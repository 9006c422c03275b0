import { assert, describe, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { imported, updateArticles } from "../../examples/articles/strategies/batch.ts"
import { Cached, CacheService, Changes, Invalidation } from "../../src/index.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as TestCache from "../../src/TestCache.ts"
import type { Process } from "../support/redisCache.ts"
import * as Django from "./django/batch.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { counted, onBoth, onWatchedRedis, site } from "./support.ts"

/** A cache whose server goes away after some operations. */
class Leaving extends DjangoCache {
  left = Infinity

  private operation<A>(effect: Effect.Effect<A>): Effect.Effect<A> {
    return Effect.suspend(() => this.left-- > 0 ? effect : Effect.die(new Error("connection refused")))
  }

  override delete(...args: Parameters<DjangoCache["delete"]>) {
    return this.operation(super.delete(...args))
  }

  override deleteMany(...args: Parameters<DjangoCache["deleteMany"]>) {
    return this.operation(super.deleteMany(...args))
  }
}

const retitle = (ids: ReadonlyArray<number>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set title = title || '!' where id in ${sql.in(ids)}`)

const titles = <E, R>(ids: ReadonlyArray<number>, title: (id: number) => Effect.Effect<string, E, R>) =>
  Effect.map(Effect.forEach(ids, title), (all) => all.map((one) => one.endsWith("!")))

layer(site, { timeout: "60 seconds" })("batch", (it) => {
  describe("the Django way", () => {
    it.effect("one by one: half are new and half are old", () =>
      Effect.gen(function*() {
        const cache = new Leaving()
        const ids = [1, 2, 3, 4]
        for (const id of ids) yield* Django.getTitle(cache, id)
        yield* retitle(ids)
        cache.left = 2
        yield* Effect.exit(Django.bad.updateArticles(cache, ids))
        assert.deepStrictEqual(yield* titles(ids, (id) => Django.getTitle(cache, id)), [true, true, false, false])
      }))

    it.effect("as one: all are old, and nobody tries again", () =>
      Effect.gen(function*() {
        const cache = new Leaving()
        const ids = [5, 6, 7, 8]
        for (const id of ids) yield* Django.getTitle(cache, id)
        yield* retitle(ids)
        cache.left = 0
        yield* Effect.exit(Django.good.updateArticles(cache, ids))
        cache.left = Infinity
        yield* TestClock.adjust("59 minutes")
        assert.deepStrictEqual(yield* titles(ids, (id) => Django.getTitle(cache, id)), [false, false, false, false])
      }))
  })

  describe("the way here", () => {
    const ids = [11, 12, 13, 14, 15]

    it.effect("five rows are one script on Redis, after the commit", () =>
      Effect.gen(function*() {
        const { commands, run } = yield* onWatchedRedis
        yield* run(Cached.getMany(Site.article, ids))
        assert.deepStrictEqual(yield* commands(updateArticles(ids, { content: "New." })), ["EVALSHA"])
        assert.deepStrictEqual(yield* commands(imported(ids, [1, 2])), ["EVALSHA"])
      }))

    onBoth(it, "all of them are new, for everybody", (here: Process, there: Process) =>
      Effect.gen(function*() {
        yield* there.run(Cached.getMany(Site.article, ids))
        const title = `For ${(yield* Queries.title(11)).length}`
        yield* here.run(updateArticles(ids, { title }))
        const pages = yield* there.run(Cached.getMany(Site.article, ids))
        assert.isTrue(pages.every((page) => page.title === title))
      }))

    it.effect("is told as one, with what the rows have in common only once", () =>
      Effect.gen(function*() {
        const batches: Array<Invalidation.Invalidation> = []
        yield* CacheService.events.pipe(
          Stream.runForEach((event) =>
            Effect.sync(() => event._tag === "Invalidated" ? batches.push(event.invalidation) : undefined)
          ),
          Effect.forkChild({ startImmediately: true })
        )
        yield* updateArticles(ids, { title: "Once more" })
        yield* TestClock.adjust(0)
        assert.strictEqual(batches.length, 1)
        assert.lengthOf(batches[0]!.toString().match(/\barticle#title\b/g)!, 1)
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("an import names what it has replaced", () =>
      Effect.gen(function*() {
        const [, { invalidation }] = yield* Changes.collect(imported([11, 12], [1]))
        const keys = [
          ...[11, 12].map((id) => Cached.invalidation(Site.article, [id])),
          Cached.invalidation(Site.articlesOfCategory, [1])
        ]
        assert.deepStrictEqual(invalidation, Invalidation.combineAll([...keys, Invalidation.tags("import")]))
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("a batch that is not acknowledged is kept whole, and delivered", () =>
      Effect.gen(function*() {
        yield* Cached.getMany(Site.article, ids)
        yield* TestCache.fail("invalidate", 2)
        const error = yield* Effect.flip(updateArticles(ids, { title: "Kept" }))
        assert.strictEqual(error._tag, "InvalidationError")
        assert.lengthOf(yield* CacheService.undelivered, 1)
        // The rows are written, and this process serves nothing that the batch covers.
        const pages = yield* Cached.getMany(Site.article, ids)
        assert.isTrue(pages.every(({ title }) => title === "Kept"))
        yield* TestClock.adjust("1 second")
        assert.lengthOf(yield* CacheService.undelivered, 0)
        yield* Cached.getMany(Site.article, ids)
        assert.strictEqual((yield* counted(Cached.getMany(Site.article, ids))).statements, 0)
        // Had this process died, another would have read of it in the outbox.
        assert.strictEqual(yield* Outbox.relay({ grace: 0 }), 1)
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("a row that is not there: nothing is written, and nothing is told", () =>
      Effect.gen(function*() {
        yield* Cached.getMany(Site.article, ids)
        yield* Effect.flip(updateArticles([...ids, 1_000_000], { title: "Never" }))
        const { result, statements } = yield* counted(Cached.getMany(Site.article, ids))
        assert.strictEqual(statements, 0)
        assert.isTrue(result.every(({ title }) => title !== "Never"))
      }).pipe(Effect.provide(TestCache.layer())))
  })
})
