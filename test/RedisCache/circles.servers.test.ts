/** Lookups that need each other, on a real Redis and across processes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { defectOf } from "../support/cached.ts"
import { both, keysUnder, places, start } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

type Numbers = Cached.Cached<number, number, never, CacheService.CacheService>

const number = { key: Key.int("n"), value: Schema.Finite, waitLimit: "500 millis" } as const

const circleOf = <A, R>(read: Effect.Effect<A, unknown, R>) =>
  Effect.map(defectOf(read), (defect) => {
    assert.instanceOf(defect, Cached.LoadCircle, String(defect))
    return [...defect.keys].sort()
  })

for (const way of both) {
  describe(way.name, () => {
    it.live("a circle dies with its keys, and leaves no lease", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const { run } = yield* start(way.layer({ prefix }))
        const own: Numbers = Cached.make("own", { ...number, lookup: (n) => Cached.get(own, n) }, Policy.forever)
        assert.deepStrictEqual(yield* circleOf(run(Cached.get(own, 1))), ["own:1"])
        const pair: Numbers = Cached.make("pair", { ...number, lookup: (n) => Cached.get(pair, -n) }, Policy.forever)
        const exits = yield* Effect.forEach([1, -1], (n) => Effect.exit(run(Cached.get(pair, n))), {
          concurrency: "unbounded"
        })
        for (const exit of exits) assert.deepStrictEqual(yield* circleOf(exit), ["pair:-1", "pair:1"])
        const leases = places(prefix).lease("").slice(0, -2)
        assert.deepStrictEqual((yield* keysUnder(yield* way.look, prefix)).filter((key) => key.startsWith(leases)), [])
      }))

    it.live("keys of a batch that need one another are loaded once more, and stored", () =>
      Effect.gen(function*() {
        const { run } = yield* start(way.layer({ prefix: freshPrefix() }))
        let lookups = 0
        const one = (n: number): Effect.Effect<number, never, CacheService.CacheService> =>
          Effect.suspend(() => {
            lookups++
            return n === 1 ? Effect.succeed(1) : Effect.map(Cached.get(sum, 1), (first) => first + n)
          })
        const sum: Numbers = Cached.make("sum", {
          ...number,
          lookup: one,
          lookupMany: (all) =>
            Effect.forEach(all, (n) => Effect.map(one(n), Result.succeed), { concurrency: "unbounded" })
        }, Policy.forever)
        const keys = Array.from({ length: 20 }, (_, i) => i + 1)
        const sums = keys.map((n) => n === 1 ? 1 : n + 1)
        assert.deepStrictEqual(yield* run(Cached.getMany(sum, keys)), sums)
        // All of the others share one load of the first.
        assert.strictEqual(lookups, keys.length + 1)
        assert.deepStrictEqual(yield* run(Cached.getMany(sum, keys)), sums)
        assert.strictEqual(lookups, keys.length + 1)
      }))

    it.live("across two processes it dies when one of them has waited for its limit", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const [first, second] = [yield* start(way.layer({ prefix })), yield* start(way.layer({ prefix }))]
        const pair: Numbers = Cached.make("pair", {
          ...number,
          lookup: (n) => Effect.delay(Cached.get(pair, -n), "50 millis")
        }, Policy.forever)
        const readers = yield* Effect.forEach(
          [first.run(Cached.get(pair, 1)), second.run(Cached.get(pair, -1))],
          (read) => Effect.forkChild(Effect.timeout(read, "20 seconds"))
        )
        for (const exit of yield* Effect.forEach(readers, Fiber.await)) {
          assert.isTrue(Exit.isFailure(exit))
          assert.deepStrictEqual(yield* circleOf(exit), ["pair:-1", "pair:1"])
        }
      }))
  })
}
