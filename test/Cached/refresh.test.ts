import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import type { NumbersOptions } from "../support/cached.ts"
import {
  assertQuiet,
  begin,
  beginAll,
  Down,
  errorOf,
  isRunning,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

describe("who waits for a refresh", () => {
  const slow = (refresh: Cached.Refresh, options: NumbersOptions = {}) =>
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "20 seconds" }), { refresh, ...options })
      yield* Cached.get(cached, "a")
      origin.value = 1
      origin.takes = "1 second"
      yield* TestClock.adjust("10 seconds")
      const fibers = yield* beginAll(3, Cached.get(cached, "a"))
      return { origin, cached, fibers, waiting: fibers.map(isRunning) }
    })

  const values = (fibers: ReadonlyArray<Fiber.Fiber<number, never>>) => Effect.forEach(fibers, Fiber.join)

  onEach(
    "background: nobody; all are served the old value and one load is made",
    Effect.gen(function*() {
      const { cached, fibers, origin, waiting } = yield* slow("background")
      assert.deepStrictEqual(waiting, [false, false, false])
      assert.deepStrictEqual(yield* values(fibers), [0, 0, 0])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
      // What was refreshed is as old as it is, though who asked for it has long ended: nobody looked at another clock.
      yield* TestClock.adjust(9_999)
      assert.strictEqual((yield* Cached.explain(cached, "a")).verdict, "Fresh")
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Cached.explain(cached, "a")).verdict, "Stale")
    })
  )

  onEach(
    "caller: the one who refreshes; the others are served the old value",
    Effect.gen(function*() {
      const { fibers, origin, waiting } = yield* slow("caller")
      assert.deepStrictEqual(waiting, [true, false, false])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* values(fibers), [1, 0, 0])
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "everyone: all wait for one load",
    Effect.gen(function*() {
      const { fibers, origin, waiting } = yield* slow("everyone")
      assert.deepStrictEqual(waiting, [true, true, true])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* values(fibers), [1, 1, 1])
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "everyone, with a soft time limit: all are served the old value when it has passed",
    Effect.gen(function*() {
      const { cached, fibers, origin } = yield* slow("everyone", { softTimeout: "300 millis" })
      yield* TestClock.adjust(299)
      assert.deepStrictEqual(fibers.map(isRunning), [true, true, true])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* values(fibers), [0, 0, 0])
      yield* TestClock.adjust(700)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a refresh in the background that fails leaves the old value, and one read after its pause tries again",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load
      }, graced)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("10 seconds")
      for (const ended of [Effect.fail(new Down()), Effect.die("boom"), Effect.interrupt]) {
        origin.ends = ended
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* assertQuiet
        yield* TestClock.adjust("2 seconds")
      }
      origin.ends = Effect.void
      origin.value = 1
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 5)
    })
  )

  const graced = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds" })
})

describe("refresh", () => {
  onEach(
    "loads anew and stores, whatever is cached; others are served the old value meanwhile",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.value = 1
      origin.takes = "1 second"
      const refresh = yield* begin(Cached.refresh(cached, "a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(refresh), 1)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "loads what is not cached, and is data-last too",
    Effect.gen(function*() {
      const origin = new Origin(3)
      const cached = numbers(origin)
      assert.strictEqual(yield* cached.pipe(Cached.refresh("a")), 3)
      assert.strictEqual(yield* Cached.get(cached, "a"), 3)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "voids a load that is under way: it began before, and neither is stored nor joined",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      origin.takes = "2 seconds"
      const early = yield* begin(Cached.get(cached, "a"))
      const waiting = yield* begin(Cached.get(cached, "a"))
      origin.value = 1
      origin.takes = "1 second"
      const refresh = yield* begin(Cached.refresh(cached, "a"))
      const late = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(refresh), 1)
      assert.strictEqual(yield* Fiber.join(late), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(early), 0)
      // Who had joined the void load looks again and finds what the refresh has stored.
      assert.strictEqual(yield* Fiber.join(waiting), 1)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "that fails is a failure, and leaves the old value",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.ends = Effect.fail(new Down())
      assert.instanceOf(yield* errorOf(Cached.refresh(cached, "a")), Down)
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* assertQuiet
    })
  )

  onEach(
    "that is interrupted gives up its load",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin)
      const refresh = yield* begin(Cached.refresh(cached, "a"))
      yield* Fiber.interrupt(refresh)
      assert.strictEqual(origin.interrupted, 1)
      yield* assertQuiet
    })
  )

  onText(
    "without an answer of the store gives a loaded value all the same",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* TestCache.fail("begin")
      assert.strictEqual(yield* Cached.refresh(cached, "a"), 0)
      assert.strictEqual((yield* Cached.stats(cached)).reads, 0)
    })
  )
})
