/** Clocks that are set back, stand still, jump, or say no time: nothing gets younger by them, and caching goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Schema, type Scope } from "effect"
import * as Cached from "../../src/Cached.ts"
import type { CacheService } from "../../src/CacheService.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"

/** A wall clock that says what it is told to, beside a monotonic clock that is right. */
class Clocks {
  wall: (passed: number) => number = (passed) => passed
  passed = 0

  readonly clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => this.wall(this.passed),
    currentTimeMillis: Effect.sync(() => this.wall(this.passed)),
    currentTimeNanosUnsafe: () => BigInt(Math.round(this.wall(this.passed) * 1e6)),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(this.wall(this.passed) * 1e6))),
    monotonicTimeNanosUnsafe: () => BigInt(Math.round(this.passed * 1e6)),
    monotonicTimeNanos: Effect.sync(() => BigInt(Math.round(this.passed * 1e6))),
    sleep: () => Effect.never
  }
}

const hour = 3_600_000

const start = Date.UTC(2026, 0, 1)

let looks = 0

/** Wall clocks, by what they say after so many milliseconds. */
const walls: Readonly<Record<string, (passed: number) => number>> = {
  "is right": (passed) => start + passed,
  "stands still": () => start,
  "is NaN": () => Number.NaN,
  "is NaN from the second look on": (passed) => passed === 0 ? start : Number.NaN,
  "is infinite": () => Infinity,
  "says one of two times in turn": () => start + (looks++ % 2) * 500,
  "is set back by half a second each half second": (passed) => start + passed % 500,
  "is set back by an hour": (passed) => start + (passed < 1000 ? hour : 0) + passed,
  "is set back again and again": (passed) => start + passed - Math.floor(passed / 500) * 2000
}

const counted = () => {
  const origin = { loads: 0 }
  const cached = Cached.make("counted", {
    key: Key.unit,
    value: Schema.Finite,
    lookup: () => Effect.sync(() => ++origin.loads)
  }, Policy.ttl("3 seconds"))
  return { origin, get: Cached.get(cached, undefined) }
}

const under = (clocks: Clocks) => <A, E>(effect: Effect.Effect<A, E, CacheService | Scope.Scope>) =>
  effect.pipe(
    Effect.provide(MemoryCache.layer({ capacity: 10 })),
    Effect.provideService(Clock.Clock, clocks.clock)
  )

// What a clock that is right may lose by being corrected.
const slack = 1000

describe("a wall clock that", () => {
  for (const [name, wall] of Object.entries(walls)) {
    it.effect(`${name} makes nothing younger, however often it is looked at`, () => {
      const clocks = new Clocks()
      clocks.wall = wall
      const { get, origin } = counted()
      return under(clocks)(Effect.gen(function*() {
        for (let load = 1; load <= 3; load++) {
          assert.strictEqual(yield* get, load)
          const loaded = clocks.passed
          // One slack for all that follows, not one for each look.
          while (origin.loads === load) {
            clocks.passed += 20
            yield* get
            assert.isBelow(clocks.passed - loaded, 3000 + slack + 100)
          }
        }
      }))
    })

    it.effect(`${name} makes nothing younger, though nothing looks at it`, () => {
      const clocks = new Clocks()
      clocks.wall = wall
      const { get } = counted()
      return under(clocks)(Effect.gen(function*() {
        yield* get
        clocks.passed += 3000 + slack + 1
        assert.strictEqual(yield* get, 2)
      }))
    })
  }

  for (const name of ["is right", "stands still", "is NaN", "is set back by an hour"]) {
    it.effect(`${name} lets entries be served`, () => {
      const clocks = new Clocks()
      clocks.wall = walls[name]!
      const { get, origin } = counted()
      return under(clocks)(Effect.gen(function*() {
        for (let i = 0; i < 10; i++) {
          yield* get
          clocks.passed += 250
        }
        assert.strictEqual(origin.loads, 1)
        clocks.passed += 5000
        yield* get
        clocks.passed += 2500
        yield* get
        assert.strictEqual(origin.loads, 2)
      }))
    })
  }

  it.effect("is set back by an hour lets ticks come by the clock as it is", () => {
    const clocks = new Clocks()
    clocks.wall = walls["is set back by an hour"]!
    const origin = { loads: 0 }
    const source = { key: Key.unit, value: Schema.Finite, lookup: () => Effect.sync(() => ++origin.loads) }
    const daily = Cached.make("daily", source, Policy.until("30 0 * * *"))
    const get = Cached.get(daily, undefined)
    const minute = 60_000
    return under(clocks)(Effect.gen(function*() {
      assert.strictEqual(yield* get, 1) // at one o'clock, as it seems
      clocks.passed = 20 * minute // at 00:20, as it is
      assert.strictEqual(yield* get, 1)
      yield* Cached.invalidate(daily, undefined)
      assert.strictEqual(yield* get, 2)
      clocks.passed = 30 * minute - 1
      assert.strictEqual(yield* get, 2)
      clocks.passed = 30 * minute
      assert.strictEqual(yield* get, 3)
    }))
  })

  it.effect("stands still lets a fence and a lease end", () => {
    const clocks = new Clocks()
    clocks.wall = () => start
    return under(clocks)(Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      const address = { key: "k", known: [] }
      const request = { seen: undefined, drop: false, force: false, leaseFor: 5000 }
      assert.strictEqual((yield* store.begin(address, { ...request, token: "a" }))._tag, "Leased")
      clocks.passed += 3000
      assert.strictEqual((yield* store.begin(address, { ...request, token: "b" }))._tag, "Busy")
      clocks.passed += 3001
      assert.strictEqual((yield* store.begin(address, { ...request, token: "b" }))._tag, "Leased")
    }))
  })
})
