/** A table of timeouts: `docs/strategies/timeouts.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Timeouts from "../../examples/articles/strategies/timeouts.ts"
import { Cached, CacheService } from "../../src/index.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as TestCache from "../../src/TestCache.ts"
import { eventually } from "../support/redis.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/timeouts.ts"
import { afterQueries, onBoth, passing, queriesOf, site } from "./support.ts"

const ids = Queries.ids("articles")

/** Waits until nothing is loaded in the background any more. */
const quiet = Effect.flatMap(
  CacheService.CacheService,
  (service) => {
    const { loads, refreshing } = inside(service)
    return Effect.promise(() => eventually("nothing is under way", () => loads.size + refreshing.size === 0))
  }
)

/** A site that is looked at all the time: every article, every ten seconds. How many loads each round takes. */
const rounds = <E, R, E2, R2>(
  count: number,
  get: (id: number) => Effect.Effect<unknown, E, R>,
  loads: Effect.Effect<number, E2, R2>
) =>
  Effect.gen(function*() {
    const all = yield* ids
    const each: Array<number> = []
    let before = yield* loads
    for (let round = 0; round < count; round++) {
      yield* TestClock.adjust("10 seconds")
      yield* Effect.forEach(all, get)
      const now = yield* loads
      each.push(now - before)
      before = now
    }
    return each
  })

/** A database that takes a second to answer. */
const slowly = afterQueries(Effect.sleep("1 second"))

/** So many readers at once. */
const crowd = <A, E, R>(size: number, read: Effect.Effect<A, E, R>) =>
  Effect.all(Array.from({ length: size }, () => read), { concurrency: "unbounded" })

layer(site, { timeout: "60 seconds" })("timeouts", (it) => {
  describe("the Django way", () => {
    it.effect("what was cached together ends together", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const all = yield* ids
        yield* Effect.forEach(all, (id) => Django.cacheArticle(cache, id))
        let loads = 0
        const count = Effect.sync(() => {
          loads++
        })
        const get = (id: number) => afterQueries(count)(Django.getArticle(cache, id))
        const queries = yield* rounds(30, get, Effect.sync(() => loads))
        assert.deepStrictEqual(queries, [...Array<number>(29).fill(0), all.length])
      }))

    it.effect("fifty readers of what has ended ask the database fifty times", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const fiber = yield* Effect.forkChild(queriesOf(slowly(crowd(50, Django.getArticle(cache, 1)))))
        assert.strictEqual(yield* passing(fiber), 50)
      }))
  })

  describe("the way here", () => {
    it.effect("what was cached together ends one after the other, and none too late", () =>
      Effect.gen(function*() {
        const all = yield* ids
        assert.strictEqual(yield* queriesOf(Timeouts.cacheArticles(all)), 1)
        const loads = Effect.map(Effect.andThen(quiet, Cached.stats(Timeouts.articles)), ({ loads }) => loads)
        const queries = yield* rounds(30, Timeouts.getArticle, loads)
        // The jitter of 0.2 shortens: nothing ends before four minutes are over, and nothing outlives five.
        assert.deepStrictEqual(queries.slice(0, 24), Array<number>(24).fill(0))
        assert.strictEqual(queries.reduce((sum, round) => sum + round, 0), all.length)
        assert.isAtMost(Math.max(...queries), all.length / 3)
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("nobody waits for what ends while it is looked at", () =>
      Effect.gen(function*() {
        const before = yield* Timeouts.getArticle(2)
        yield* TestClock.adjust("5 minutes")
        const began = yield* Clock.currentTimeMillis
        assert.deepStrictEqual(yield* slowly(Timeouts.getArticle(2)), before)
        assert.strictEqual(yield* Clock.currentTimeMillis, began)
        const { staleServed } = yield* Cached.stats(Timeouts.articles)
        assert.strictEqual(staleServed, 1)
      }).pipe(Effect.provide(TestCache.layer())))

    onBoth(it, "fifty readers of what is not there ask the database once", (one, other) =>
      Effect.gen(function*() {
        const readers = Effect.all([one, other].map(({ run }) => run(crowd(25, Timeouts.getArticle(1)))), {
          concurrency: "unbounded"
        })
        const fiber = yield* Effect.forkChild(queriesOf(slowly(readers)))
        // In small steps: who waits for another process does not wait for ever.
        assert.strictEqual(yield* passing(fiber, 20), 1)
      }))
  })
})
