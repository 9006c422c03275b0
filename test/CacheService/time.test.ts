import { assert, describe, it } from "@effect/vitest"
import type { Clock } from "effect"
import { Context, Effect, Layer, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import { serviceOn } from "../support/port.ts"
import { service } from "./support.ts"

describe("time", () => {
  const now = Effect.flatMap(
    Effect.map(service, inside),
    ({ store }) => Effect.clockWith((clock) => Effect.succeed(store.now(clock)))
  )

  it.effect("goes on from where it was when a clock is set back", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(10_000)
      assert.strictEqual(yield* now, 10_000)
      yield* TestClock.setTime(4000)
      assert.strictEqual(yield* now, 10_000)
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* now, 10_500)
      yield* TestClock.setTime(1000)
      yield* TestClock.adjust(250)
      assert.isAtLeast(yield* now, 10_500)
      yield* TestClock.adjust(100)
      assert.isAtLeast(yield* now, 10_600)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a clock that is set back makes no entry younger", () =>
    Effect.gen(function*() {
      let loads = 0
      const counted = Cached.make("counted", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.sync(() => ++loads)
      }, Policy.ttl("1 minute"))
      const get = Cached.get(counted, undefined)
      yield* TestClock.setTime(1_000_000)
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(yield* get, 1)
      yield* TestClock.setTime(0)
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* get, 2)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("is the store's, not the process's", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const now = (clock: Clock.Clock) => clock.currentTimeMillisUnsafe() + 5000
      const made = yield* CacheService.make({ ...memory, now })
      const time = Effect.clockWith((clock) => Effect.succeed(inside(made).store.now(clock)))
      assert.strictEqual(yield* time, 5000)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* time, 5100)
    }))
})

describe("tokens", () => {
  it.effect("are never given twice, in one process or in two that draw from one seed", () =>
    Effect.gen(function*() {
      const tokens = Effect.flatMap(MemoryCache.makeStore({ capacity: 10 }), CacheService.make).pipe(
        Effect.map((made) => Array.from({ length: 10_000 }, inside(made).token)),
        Random.withSeed("one seed")
      )
      const all = [...yield* tokens, ...yield* tokens]
      assert.strictEqual(new Set(all).size, all.length)
    }))
})

describe("layers", () => {
  it.effect("a service is made for each", () =>
    Effect.gen(function*() {
      const make = () => Layer.build(Layer.fresh(serviceOn(MemoryCache.makeStore({ capacity: 10 }))))
      const [first, second] = [yield* make(), yield* make()]
      assert.notStrictEqual(Context.get(first, service), Context.get(second, service))
      assert.notStrictEqual(Context.get(first, service).store, Context.get(second, service).store)
    }))
})
