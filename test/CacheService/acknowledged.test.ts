import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as TestCache from "../../src/TestCache.ts"
import { at, load } from "../support/port.ts"
import { forked, inSteps, opened, reasonOf, store, text } from "./support.ts"

describe("an invalidation that was not acknowledged", () => {
  const batch = Invalidation.tags("x")

  const failing = (invalidation: Invalidation.Invalidation = batch) =>
    Effect.gen(function*() {
      const fiber = yield* forked(Effect.flip(Cached.apply(invalidation)))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "InvalidationError")
      return error
    })

  // In the store. What this process makes of it is another matter.
  const stands = Effect.map(
    Effect.flatMap(TestCache.TestCache, ({ store }) => store.read(at("a", "x"))),
    (entry) => entry !== undefined && entry.changed === undefined && !entry.softened
  )

  const loaded = Effect.flatMap(store, (store) => load(store, at("a", "x")))

  it.effect("that the store refused did not happen", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("invalidate")
      const { cause, invalidation, mayHaveHappened, reason } = yield* failing()
      assert.deepStrictEqual([invalidation, reason._tag, mayHaveHappened], ["tag x", "Unavailable", false])
      assert.strictEqual((cause as CacheStore.StoreError).operation, "invalidate")
      assert.isTrue(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("whose request was lost may have happened, and did not", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.lose("invalidate", "request")
      const { mayHaveHappened, message, reason } = yield* failing()
      assert.deepStrictEqual([reason._tag, mayHaveHappened], ["Timeout", true])
      assert.strictEqual(message, "not invalidated: tag x (Timeout; may have happened)")
      assert.isTrue(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("whose answer was lost may have happened, and did", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.lose("invalidate", "answer")
      const { mayHaveHappened, reason } = yield* failing()
      assert.deepStrictEqual([reason._tag, mayHaveHappened], ["Timeout", true])
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("that took too long may have happened, and repeating it is safe", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.delay("invalidate", "10 seconds", 1)
      assert.isTrue((yield* failing()).mayHaveHappened)
      assert.strictEqual((yield* Cached.apply(batch)).entries, 1)
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("is tried although the store is left alone", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 5)
      for (let i = 0; i < 5; i++) yield* reasonOf((yield* store).read(at("a")))
      assert.strictEqual((yield* Cached.apply(batch)).entries, 0)
    }).pipe(Effect.provide(text())))

  const pattern = Invalidation.pattern({ name: "a", parts: [] })

  it.effect("of several parts that are made in one step did not happen when the store refused it", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("invalidate")
      for (const one of [pattern, Invalidation.combine(batch, pattern)]) {
        assert.isFalse((yield* failing(one)).mayHaveHappened)
        assert.isTrue(yield* stands)
      }
    }).pipe(Effect.provide(text())))

  it.effect("of several steps may have happened when a later step failed", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("fence")
      // Nothing came before the step that failed.
      assert.isFalse((yield* failing(pattern)).mayHaveHappened)
      assert.isTrue(yield* stands)
      yield* TestCache.restore
      yield* TestCache.fail("lift")
      assert.isTrue((yield* failing(Invalidation.combine(batch, pattern))).mayHaveHappened)
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(inSteps)))

  for (
    const [how, layer, steps] of [
      ["in one step", text(), ["invalidate"]],
      ["behind a fence, if it takes the store several steps", inSteps, ["fence", "lift"]]
    ] as const
  ) {
    it.effect(`is applied ${how}, and counts all parts`, () =>
      Effect.gen(function*() {
        const { read } = yield* store
        for (const key of ["a:1", "a:2", "b:1"]) yield* load(yield* store, at(key, "x"))
        yield* load(yield* store, at("c", "y"))
        const parts = Invalidation.combineAll([
          Invalidation.tags("y"),
          Invalidation.pattern({ name: "a", parts: [undefined] }),
          Invalidation.pattern({ name: "b", parts: [undefined] })
        ])
        yield* TestCache.forget
        assert.strictEqual((yield* Cached.apply(parts)).entries, 4)
        assert.deepStrictEqual(yield* opened, [...steps])
        assert.isUndefined(yield* read(at("b:1")))
        assert.strictEqual((yield* Cached.apply(Invalidation.everything)).entries, 1)
        assert.strictEqual((yield* Cached.apply(Invalidation.empty)).entries, 0)
      }).pipe(Effect.provide(layer)))
  }
})
