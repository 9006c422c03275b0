/**
 * Refreshing early, at random: `docs/strategies/early-refresh.md`. A hundred requests a second ask for one value that lives
 * for 300 seconds and takes a second to compute; how often is it computed in each lifetime, and how many requests wait?
 */
import { assert, describe, layer } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Early from "../../examples/articles/strategies/early-refresh.ts"
import { Cached, Key, MemoryCache, Policy } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/early-refresh.ts"
import { afterQueries, passing, site } from "./support.ts"

const lifetime = 300

/** For each lifetime. */
interface Outcome {
  /** How often it was computed. */
  readonly loads: number
  /** How many requests waited for a load. */
  readonly waited: number
}

/** A hundred requests a second, for so many lifetimes and loads, after one that fills the cache. */
const traffic = <E, R>(lifetimes: number, program: (compute: Effect.Effect<number>) => Effect.Effect<number, E, R>) =>
  Effect.gen(function*() {
    let [loads, waited] = [0, 0]
    const compute = Effect.suspend(() => Effect.delay(Effect.succeed(++loads), "1 second"))
    const request = Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      yield* program(compute)
      if ((yield* Clock.currentTimeMillis) > began) waited++
    })
    yield* passing(yield* Effect.forkChild(request))
    loads = 0
    waited = 0
    for (let i = 0; i < lifetimes * (lifetime + 1) * 100; i++) {
      yield* Effect.forkChild(request)
      yield* TestClock.adjust(10)
    }
    return { loads: loads / lifetimes, waited: waited / lifetimes } satisfies Outcome
  }).pipe(Random.withSeed("traffic"))

/** The same traffic on the formula of the paper, in processes that know nothing of each other. Plain, since it takes many. */
const paper = (lifetimes: number): number => {
  let seed = 1
  const draw = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return (seed + 1) / 2 ** 32
  }
  const underWay: Array<number> = []
  let [loads, expiry] = [0, lifetime]
  for (let i = 0; i < lifetimes * lifetime * 100; i++) {
    const now = i / 100
    while (underWay.length > 0 && underWay[0]! <= now) expiry = underWay.shift()! + lifetime
    if (now - Math.log(draw()) < expiry) continue
    loads++
    underWay.push(now + 1)
  }
  return loads / lifetimes
}

/** A read of the same, with the policy that is compared. */
const cachedWith = (policy: Policy.Policy<void, number>) => (compute: Effect.Effect<number>) =>
  Cached.get(Cached.make("early", { key: Key.unit, value: Schema.Finite, lookup: () => compute }, policy), undefined)

const memory = Effect.provide(MemoryCache.layer({ capacity: 10 }), { local: true })

const near = (actual: number, expected: number, by: number) =>
  assert.isTrue(Math.abs(actual - expected) <= by, `${actual} is not ${expected} ± ${by}`)

layer(site, { timeout: "120 seconds" })("early refresh", (it) => {
  describe("the Django way", () => {
    it.effect("computes all the time, more often than plain expiry, and every refresh is waited for", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const early = yield* traffic(3, (compute) => Django.getCachedWithEarlyRefresh(cache, "key", compute, lifetime))
        near(early.loads, 145, 15)
        assert.strictEqual(early.waited, early.loads)
        const plain = new DjangoCache()
        const expiry = yield* traffic(3, (compute) => plain.getOrSet("key", compute, lifetime))
        near(expiry.loads, 101, 2)
      }))

    it.effect("XFetch as in the paper computes less than three times", () =>
      Effect.sync(() => near(paper(300), 2.8, 0.3)))
  })

  describe("the way here", () => {
    it.effect("computes once, and nobody waits", () =>
      Effect.gen(function*() {
        const { loads, waited } = yield* traffic(4, cachedWith(Policy.all(Policy.ttl("5 minutes"), Policy.xfetch())))
        near(loads, 1, 0.25)
        assert.strictEqual(waited, 0)
      }).pipe(memory))

    it.effect("without xfetch computes once, and a second of requests waits", () =>
      Effect.gen(function*() {
        const { loads, waited } = yield* traffic(2, cachedWith(Policy.ttl("5 minutes")))
        assert.strictEqual(loads, 1)
        near(waited, 101, 2)
      }).pipe(memory))

    it.effect("a list of the database is loaded again before it ends, and served meanwhile", () =>
      Effect.gen(function*() {
        // The second is all that a load takes: what the database needs for its answer is none of the test's time.
        const answered = yield* Deferred.make<void>()
        const slowly = Effect.andThen(Deferred.succeed(answered, undefined), Effect.sleep("1 second"))
        const read = afterQueries(slowly)(Early.getCachedWithEarlyRefresh)
        const reading = yield* Effect.forkChild(read)
        yield* Deferred.await(answered)
        yield* TestClock.adjust("1 second")
        const first = yield* Fiber.join(reading)
        const loads = Effect.map(Cached.stats(Early.popularArticles), ({ loads }) => loads)
        // Far from the end nobody would.
        yield* TestClock.adjust("4 minutes")
        for (let i = 0; i < 100; i++) yield* read
        assert.strictEqual(yield* loads, 1)
        yield* TestClock.adjust("57 seconds")
        const began = yield* Clock.currentTimeMillis
        for (let i = 0; i < 300; i++) assert.deepStrictEqual(yield* read, first)
        assert.strictEqual(yield* Clock.currentTimeMillis, began)
        const again = Effect.repeat(Effect.delay(loads, "100 millis"), { until: (loads) => loads > 1 })
        assert.strictEqual(yield* passing(yield* Effect.forkChild(again)), 2)
      }).pipe(Effect.provide(TestCache.layer())))
  })
})
