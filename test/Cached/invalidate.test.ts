import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  errorOf,
  isInvalidationError,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

describe("invalidation", () => {
  const three = Effect.gen(function*() {
    const origin = new Origin(0)
    const cached = numbers(origin, Policy.tagged((key: string) => [`t:${key}`]))
    const all = Effect.forEach(["a", "b", "c"], (key) => Cached.get(cached, key))
    yield* all
    const loadsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        const before = origin.loads
        yield* effect
        yield* all
        return origin.loads - before
      })
    return { origin, cached, all, loadsOf }
  })

  onEach(
    "of one key ends that key",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      assert.strictEqual(yield* loadsOf(Cached.invalidate(cached, "b")), 1)
      assert.strictEqual(yield* loadsOf(Cached.invalidate(cached, "unknown")), 0)
    })
  )

  onEach(
    "of several keys is one batch",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      assert.strictEqual(yield* loadsOf(Cached.invalidateMany(cached, ["a", "c", "a"])), 2)
      assert.strictEqual(yield* loadsOf(Cached.invalidateMany(cached, [])), 0)
    })
  )

  onText(
    "of several keys and tags is one operation of the store",
    Effect.gen(function*() {
      const { cached } = yield* three
      yield* TestCache.forget
      yield* Cached.apply(
        Invalidation.combineAll([Cached.invalidation(cached, ["a", "b"]), Invalidation.tags(["x", "y"])])
      )
      assert.deepStrictEqual(
        (yield* TestCache.operations).map(({ detail, name }) => [name, detail]),
        [["invalidate", "key number:a, key number:b, tag x, tag y"]]
      )
    })
  )

  onEach(
    "softly: keys are served once more and refreshed",
    Effect.gen(function*() {
      const { all, cached, origin } = yield* three
      origin.value = 1
      yield* Cached.invalidateMany(cached, ["a", "b"], { soft: true })
      assert.deepStrictEqual(yield* all, [0, 0, 0])
      yield* settle
      assert.deepStrictEqual(yield* all, [1, 1, 0])
      yield* Cached.invalidate(cached, "c", { soft: true })
      assert.strictEqual(yield* Cached.get(cached, "c"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "c"), 1)
      yield* assertQuiet
    })
  )

  onEach(
    "apply says how many entries it removed or softened",
    Effect.gen(function*() {
      const { cached } = yield* three
      assert.strictEqual((yield* Cached.apply(Invalidation.empty)).entries, 0)
      assert.strictEqual((yield* Cached.apply(Invalidation.soft(Cached.invalidation(cached, ["a"])))).entries, 1)
      assert.strictEqual((yield* Cached.apply(Invalidation.tags(["t:a", "t:b"]))).entries, 2)
      assert.strictEqual((yield* Cached.apply(Invalidation.tags(["t:a", "t:b"]))).entries, 0)
      assert.strictEqual((yield* Cached.apply(Invalidation.everything)).entries, 1)
    })
  )

  onEach(
    "of a pattern ends all keys with those parts, and no other's",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const pages = (name: string) =>
        Cached.make(name, {
          key: Key.struct({ genre: Key.string("genre"), page: Key.int("page") }),
          value: Schema.Finite,
          lookup: () => origin.load
        }, Policy.forever)
      const [films, series] = [pages("films"), pages("films:drama")]
      const all = Effect.forEach(
        [films, series],
        (cached) =>
          Effect.forEach(
            ["drama", "*", "film noir", "a:b"],
            (genre) => Effect.forEach([1, 2], (page) => Cached.get(cached, { genre, page }))
          )
      )
      yield* all
      const loads = (batch: Invalidation.Invalidation) =>
        Effect.gen(function*() {
          const before = origin.loads
          yield* Cached.apply(batch)
          yield* all
          return origin.loads - before
        })
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "drama" })), 2)
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "*" })), 2)
      assert.strictEqual(yield* loads(Cached.pattern(films, { page: 1 })), 4)
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "a:b", page: 1 })), 1)
      assert.strictEqual(yield* loads(Cached.pattern(films)), 8)
      assert.strictEqual(yield* loads(Cached.pattern(series)), 8)
      assert.strictEqual(yield* loads(Invalidation.everything), 16)
      assert.strictEqual(Cached.pattern(films, { page: 1 }).toString(), "keys films:*:1")
    })
  )

  onEach(
    "of everything, softly, serves each once more",
    Effect.gen(function*() {
      const { all, origin } = yield* three
      origin.value = 1
      yield* Cached.apply(Invalidation.soft(Invalidation.everything))
      assert.deepStrictEqual(yield* all, [0, 0, 0])
      yield* settle
      assert.deepStrictEqual(yield* all, [1, 1, 1])
    })
  )

  onText(
    "that fails says whether it may have happened, and repeating it is safe",
    Effect.gen(function*() {
      const { all, cached, loadsOf } = yield* three
      yield* all
      const batches = [
        [Effect.asVoid(Cached.invalidate(cached, "a")), "1 second", 1],
        [Effect.asVoid(Cached.apply(Cached.pattern(cached, {}))), "1 minute", 3]
      ] as const
      for (const [effect, limit, covered] of batches) {
        yield* TestCache.fail("invalidate", 1)
        isInvalidationError(yield* errorOf(effect), false, "Unavailable")
        for (const what of ["request", "answer"] as const) {
          yield* TestCache.lose("invalidate", what, 1)
          const fiber = yield* begin(errorOf(effect))
          yield* TestClock.adjust(limit)
          isInvalidationError(yield* Fiber.join(fiber), true, "Timeout")
          // Whether it has happened or not: in this process it has.
          assert.strictEqual(yield* loadsOf(Effect.void), covered)
        }
        assert.strictEqual(yield* loadsOf(effect), covered)
      }
    })
  )

  onText(
    "of which one step was done and another failed says that it may have happened",
    Effect.gen(function*() {
      const { cached } = yield* three
      const both = Cached.apply(Invalidation.combine(Cached.invalidation(cached, ["a"]), Cached.pattern(cached)))
      const { store } = yield* CacheService.CacheService
      const inSteps = yield* CacheService.make({ ...store, atomic: () => false })
      yield* TestCache.fail("lift", 1)
      const error = yield* errorOf(Effect.provideService(both, CacheService.CacheService, inSteps))
      isInvalidationError(error, true, "Unavailable")
      // Of one step nothing is done before it fails.
      yield* TestCache.fail("invalidate", 1)
      isInvalidationError(yield* errorOf(both), false, "Unavailable")
    })
  )

  onText(
    "is tried also while the circuit is open, since it must not be lost",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      yield* TestCache.fail("read", 5)
      for (let i = 0; i < 5; i++) yield* Cached.get(cached, "a")
      yield* TestCache.forget
      yield* Cached.get(cached, "a") // the store is not asked
      assert.deepStrictEqual(yield* TestCache.operations, [])
      yield* Cached.invalidate(cached, "a")
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name, result }) => [name, result]), [[
        "invalidate",
        "1"
      ]])
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* loadsOf(Effect.void), 1)
    })
  )
})
