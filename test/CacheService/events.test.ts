import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { forked, service, text } from "./support.ts"

describe("events", () => {
  const event = (n: number): CacheService.CacheEvent => ({ _tag: "Hit", name: "events", key: String(n) })

  const listening = (gate: Effect.Effect<unknown> = Effect.void) =>
    Effect.gen(function*() {
      const heard: Array<CacheService.CacheEvent> = []
      const listen = Stream.runForEach(CacheService.events, (one) => Effect.map(gate, () => heard.push(one)))
      const fiber = yield* forked(listen)
      const { watched } = inside(yield* service)
      while (!watched()) yield* Effect.yieldNow
      yield* Effect.yieldNow
      return { fiber, heard }
    })

  const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

  it.effect("are told in the order in which things happened", () =>
    Effect.gen(function*() {
      const one = Cached.make("one", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.succeed(n)
      }, Policy.tagged("ones"))
      const { heard } = yield* listening()
      yield* Cached.get(one, 1)
      yield* Cached.get(one, 1)
      yield* Cached.apply(Invalidation.tags("ones"))
      yield* Cached.get(one, 1)
      yield* settled
      assert.deepStrictEqual(heard.map(({ _tag }) => _tag), ["Miss", "Load", "Hit", "Invalidated", "Miss", "Load"])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a failure of the store is told", () =>
    Effect.gen(function*() {
      const { heard } = yield* listening()
      yield* TestCache.fail("invalidate")
      yield* Effect.flip(Cached.apply(Invalidation.tags("x")))
      yield* settled
      assert.deepStrictEqual(heard.map((one) => one._tag === "StoreFailed" ? one.error.reason._tag : one._tag), [
        "Unavailable",
        "Undelivered"
      ])
    }).pipe(Effect.provide(text())))

  it.effect("a listener that falls behind loses the oldest, and holds nobody up", () =>
    Effect.gen(function*() {
      const { publish } = inside(yield* service)
      const gate = yield* Deferred.make<void>()
      const { heard } = yield* listening(Deferred.await(gate))
      const all = 100_000
      for (let n = 0; n < all; n++) publish(event(n))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      const keys = heard.map((one) => Number((one as { readonly key: string }).key))
      assert.isAtMost(keys.length, 4096 + 4096)
      assert.isAtLeast(keys.length, 4096)
      assert.strictEqual(keys.at(-1), all - 1)
      assert.deepStrictEqual(keys, [...keys].sort((a, b) => a - b))
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a slow listener costs another nothing", () =>
    Effect.gen(function*() {
      const { publish } = inside(yield* service)
      yield* listening(Effect.never)
      const { heard } = yield* listening()
      for (let n = 0; n < 20_000; n++) {
        publish(event(n))
        if (n % 1000 === 0) yield* settled
      }
      yield* settled
      assert.strictEqual(heard.length, 20_000)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("cost nothing while nobody listens, also when somebody did", () =>
    Effect.gen(function*() {
      const { publish, watched } = inside(yield* service)
      assert.isFalse(watched())
      publish(event(1))
      const first = yield* listening()
      const second = yield* listening()
      assert.isTrue(watched())
      yield* Fiber.interrupt(first.fiber)
      assert.isTrue(watched())
      yield* Fiber.interrupt(second.fiber)
      assert.isFalse(watched())
      publish(event(2))
      const third = yield* listening()
      publish(event(3))
      yield* settled
      assert.deepStrictEqual(first.heard.length + second.heard.length, 0)
      assert.deepStrictEqual(third.heard, [event(3)])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("end when the layer is released", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.provide(
        Effect.flatMap(Effect.map(service, inside), ({ events, watched }) =>
          Effect.gen(function*() {
            const listener = yield* Effect.forkDetach(Stream.runDrain(events), { startImmediately: true })
            while (!watched()) yield* Effect.yieldNow
            return listener
          })),
        Layer.fresh(MemoryCache.layer({ capacity: 10 }))
      )
      yield* Fiber.await(fiber)
    }))
})
