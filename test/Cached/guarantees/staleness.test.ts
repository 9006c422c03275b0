/** Guarantees of docs/consistency.md, each with its sentence and tests that try to break it in this process. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import * as Key from "../../../src/Key.ts"
import * as Policy from "../../../src/Policy.ts"
import * as TestCache from "../../../src/TestCache.ts"
import { assertQuiet, begin, Down, numbers, onEach, onText, Origin, settle } from "../../support/cached.ts"

describe("G4. Bounded staleness, unconditionally: nothing is served past its last threshold, whatever fails, whatever the clocks say", () => {
  const bounded = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })
  const read = (cached: Cached.Cached<string, number, unknown>) =>
    Effect.map(Effect.exit(Cached.get(cached, "a")), (exit) => Exit.isSuccess(exit) ? exit.value : "none")

  for (const refresh of ["background", "caller", "everyone"] as const) {
    onEach(
      `with refresh ${refresh}, a dead origin, and a clock that is set back at every step`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = Cached.make("n", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () => origin.load,
          refresh
        }, bounded)
        yield* TestClock.setTime(1_000_000)
        yield* read(cached)
        origin.ends = Effect.fail(new Down())
        const served: Array<number | string> = []
        // Each second the clock goes ten seconds back first. What has passed is a second at most.
        let clock = 1_000_000
        for (let second = 1; second <= 40; second++) {
          yield* TestClock.setTime(clock -= 10_000)
          yield* read(cached)
          yield* TestClock.setTime(clock += 1000)
          served.push(yield* read(cached))
          yield* settle
        }
        assert.deepStrictEqual(served.slice(0, 29), Array(29).fill(0))
        assert.deepStrictEqual(served.slice(29), Array(11).fill("none"))
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a clock that is set forward ends entries, and setting it back again does not revive them",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(3_600_000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* TestClock.setTime(0)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust(9_999)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* TestClock.adjust(1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "time that passes after the clock was set back counts, though nobody looked at it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(3_600_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(0)
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a clock that is set back during a load neither shortens nor lengthens a life",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(100_000)
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(reader)
      origin.takes = 0
      yield* TestClock.setTime(50_000)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust(9_999)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust(1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onText(
    "with every operation of the store but reading failing",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: "1 second"
      }, bounded)
      yield* read(cached)
      origin.ends = Effect.fail(new Down())
      for (const name of ["begin", "commit", "discard", "abandon", "released"] as const) yield* TestCache.fail(name)
      yield* TestClock.setTime(29_999)
      assert.strictEqual(yield* read(cached), 0)
      yield* TestClock.setTime(30_000)
      assert.strictEqual(yield* read(cached), "none")
    })
  )

  onEach(
    "with a load that hangs until past the threshold",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: "2 seconds",
        hardTimeout: "4 seconds"
      }, bounded)
      yield* read(cached)
      origin.takes = "1 hour"
      yield* TestClock.setTime(29_000)
      const reader = yield* begin(read(cached))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(reader), "none")
    })
  )

  onEach(
    "until: a tick ends what it ends though the clock is set back behind it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.until("0 * * * *"))
      yield* TestClock.setTime(3_599_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(3_600_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.setTime(3_599_000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})
