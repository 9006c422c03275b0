import { assert, describe } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { begin, onEach, Origin } from "../support/cached.ts"

const hour = 3_600_000

type Numbers = Cached.Cached<string, number>

const numbers = (origin: Origin<number>, policy: Policy.Policy<string, number>): Numbers =>
  Cached.make(
    "number",
    {
      key: Key.string("of"),
      value: Schema.Finite,
      lookup: () => origin.load,
      lookupMany: (keys) => Effect.map(origin.load, (value) => keys.map(() => Result.succeed(value)))
    },
    policy
  )

const ways: Readonly<
  Record<string, (cached: Numbers, origin: Origin<number>) => Effect.Effect<number, unknown, CacheService.CacheService>>
> = {
  get: (cached) => Cached.get(cached, "a"),
  getMany: (cached) => Effect.map(Cached.getMany(cached, ["a", "b"]), ([a]) => a!),
  refresh: (cached) => Cached.refresh(cached, "a"),
  set: (cached, origin) => Cached.set(cached, "a", origin.load)
}

/** A clock on the wall that the test sets, and a monotonic one that stands still: the machine is asleep. */
const asleep = (clock: Clock.Clock, wall: { millis: number }): Clock.Clock => ({
  ...clock,
  sleep: (duration) => clock.sleep(duration),
  currentTimeMillisUnsafe: () => wall.millis,
  currentTimeMillis: Effect.sync(() => wall.millis),
  monotonicTimeNanosUnsafe: () => 0n
})

describe("A machine that sleeps through a load", () => {
  onEach(
    "does not keep alive what was made of something stale",
    Effect.gen(function*() {
      const wall = { millis: 0 }
      let gate = Effect.void
      let down = false
      const made = { page: 0 }
      const key = Key.unit
      const card = Cached.make("card", {
        key,
        value: Schema.String,
        lookup: () => Effect.suspend(() => down ? Effect.fail("down") : Effect.succeed("card"))
      }, Policy.ttl("10 seconds", { onErrorFor: "1 minute" }))
      const page = Cached.make("page", {
        key,
        value: Schema.String,
        lookup: () => Effect.tap(Cached.get(card, undefined), () => (made.page++, gate))
      }, Policy.forever)
      yield* Effect.gen(function*() {
        yield* Cached.get(card, undefined)
        wall.millis = 20_000
        down = true
        // Awake, it is kept for as long as the card may be served on error.
        yield* Cached.get(page, undefined)
        assert.strictEqual((yield* Cached.explain(page, undefined)).verdict, "Stale")
        yield* Cached.invalidate(page, undefined)
        const awake = yield* Deferred.make<void>()
        gate = Deferred.await(awake)
        const waiting = yield* begin(Cached.get(page, undefined))
        wall.millis = hour
        yield* Deferred.succeed(awake, undefined)
        assert.strictEqual(yield* Fiber.join(waiting), "card")
        assert.strictEqual((yield* Cached.explain(page, undefined)).verdict, "Dead")
        assert.strictEqual(made.page, 2)
      }).pipe(Effect.provideService(Clock.Clock, asleep(yield* Clock.Clock, wall)))
    })
  )
})

describe("A tick while a load is under way", () => {
  onEach(
    "ends what was read before it, though the machine slept through the load",
    Effect.gen(function*() {
      const wall = { millis: 11.5 * hour }
      const gate = yield* Deferred.make<void>()
      let loads = 0
      const cached = Cached.make(
        "slept",
        {
          key: Key.unit,
          value: Schema.Int,
          lookup: () => Effect.suspend(() => Effect.as(Deferred.await(gate), ++loads))
        },
        Policy.until("0 * * * *")
      )
      yield* Effect.gen(function*() {
        const waiting = yield* begin(Cached.get(cached, undefined))
        wall.millis = 12.5 * hour
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual(yield* Fiber.join(waiting), 1)
        assert.strictEqual(yield* Cached.get(cached, undefined), 2)
        assert.strictEqual(yield* Cached.get(cached, undefined), 2)
      }).pipe(Effect.provideService(Clock.Clock, asleep(yield* Clock.Clock, wall)))
    })
  )

  for (const [name, load] of Object.entries(ways)) {
    onEach(
      `ends what was read before it, for all but those who waited: ${name}`,
      Effect.gen(function*() {
        const origin = new Origin(11)
        origin.takes = "3 seconds"
        const cached = numbers(origin, Policy.until("0 * * * *"))
        yield* TestClock.setTime(12 * hour - 2000)
        const waiting = yield* begin(load(cached, origin))
        origin.value = 12
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* Fiber.join(waiting), 11)
        origin.takes = 0
        assert.strictEqual(yield* Cached.get(cached, "a"), 12)
        // What was loaded after the tick is good until the next one.
        origin.value = 13
        yield* TestClock.setTime(13 * hour - 1)
        assert.strictEqual(yield* Cached.get(cached, "a"), 12)
        yield* TestClock.setTime(13 * hour)
        assert.strictEqual(yield* Cached.get(cached, "a"), 13)
      })
    )
  }

  onEach(
    "is none for a short load after long ones, which began after it",
    Effect.gen(function*() {
      const origin = new Origin(11)
      const cached = numbers(origin, Policy.until("0 * * * *"))
      origin.takes = "10 minutes"
      const long = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(long)
      origin.takes = 0
      yield* TestClock.setTime(12 * hour + 1000)
      yield* Cached.get(cached, "a")
      assert.strictEqual((yield* Cached.explain(cached, "a")).verdict, "Fresh")
    })
  )
})

describe("A spread", () => {
  onEach(
    "lets entries that were loaded together end one after the other, and all within it",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.until("0 * * * *", { spread: "10 minutes" }))
      const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`)
      yield* Effect.forEach(keys, (key) => Cached.get(cached, key))
      const loadsAt = Effect.fnUntraced(function*(millis: number) {
        yield* TestClock.setTime(millis)
        const before = origin.loads
        yield* Effect.forEach(keys, (key) => Cached.get(cached, key))
        return origin.loads - before
      })
      assert.strictEqual(yield* loadsAt(hour - 1), 0)
      const loads: Array<number> = []
      for (let minute = 0; minute <= 10; minute++) loads.push(yield* loadsAt(hour + minute * 60_000))
      assert.strictEqual(loads.reduce((a, b) => a + b), 100)
      assert.isBelow(Math.max(...loads), 25, loads.join())
      // What was loaded a little after the tick is good for the hour.
      assert.strictEqual(yield* loadsAt(2 * hour - 1), 0)
    })
  )

  onEach(
    "is told by explain",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.until("0 * * * *", { spread: "10 minutes" }))
      const why = Effect.map(Cached.explain(cached, "a"), ({ tree, verdict }) => `${verdict}: ${tree!.because}`)
      yield* TestClock.setTime(hour / 2)
      yield* Cached.get(cached, "a")
      assert.match(yield* why, /^Fresh: ticks in 30 min, ends in 3\d(\.\d)? min$/)
      yield* TestClock.setTime(hour + 1)
      assert.match(yield* why, /^Fresh: ticked 1 ms ago, ends in \d(\.\d)? min$/)
      yield* TestClock.setTime(hour + 600_000)
      assert.strictEqual(yield* why, "Dead: ticked 10 min ago")
      assert.include(Cached.describe(cached).invalidatedBy, "the clock: 0 * * * *, or up to 10m later")
    })
  )
})
