/** Guarantees of docs/consistency.md, each with its sentence and tests that try to break it in this process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import * as Key from "../../../src/Key.ts"
import * as Policy from "../../../src/Policy.ts"
import { assertQuiet, begin, beginAll, Down, ends, isRunning, numbers, onEach, Origin } from "../../support/cached.ts"
import { chance, twoProcesses } from "./support.ts"

describe("G5. Single flight: per process one load of a key at a time; across processes too", () => {
  onEach(
    "two hundred readers who come, leave and fail at random never make two loads at a time",
    Effect.gen(function*() {
      const { below } = chance(7)
      let [running, most, loads] = [0, 0, 0]
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              loads++
              most = Math.max(most, ++running)
            }),
            () =>
              Effect.andThen(
                Effect.sleep(below(100) + 1),
                below(3) === 0 ? Effect.fail(new Down()) : Effect.succeed(1)
              ),
            () => Effect.sync(() => running--)
          )
      }, Policy.ttl(50, { stale: 80, onError: 120 }))
      const readers = yield* Effect.forEach(Array.from({ length: 200 }), () =>
        Effect.forkChild(Effect.delay(
          Effect.exit(Effect.timeoutOption(Cached.get(cached, "a"), below(150) + 1)),
          below(3000)
        )))
      yield* TestClock.adjust(5000)
      yield* ends(readers)
      assert.strictEqual(most, 1)
      assert.isTrue(loads > 10, `${loads} loads`)
      yield* assertQuiet
    })
  )

  it.effect("fifty readers in each of two processes make one load", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      origin.takes = 2500
      const cached = numbers(origin)
      const readers = [
        ...yield* beginAll(50, here(Cached.get(cached, "a"))),
        ...yield* beginAll(50, there(Cached.get(cached, "a")))
      ]
      yield* TestClock.adjust(2500)
      for (const exit of yield* ends(readers)) assert.isTrue(Exit.isSuccess(exit) && exit.value === 0)
      assert.strictEqual(origin.loads, 1)
      yield* here(assertQuiet)
    }))

  it.effect("a stale entry is refreshed by one of two processes", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "1 minute" }))
      yield* here(Cached.get(cached, "a"))
      yield* TestClock.adjust("10 seconds")
      origin.takes = 1000
      yield* beginAll(10, here(Cached.get(cached, "a")))
      yield* beginAll(10, there(Cached.get(cached, "a")))
      assert.strictEqual(origin.loads, 2)
      yield* TestClock.adjust(1000)
      yield* there(assertQuiet)
    }))

  it.effect("a process that dies while it loads keeps the others waiting no longer than its lease", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      origin.takes = Infinity
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        lease: "5 seconds"
      }, Policy.forever)
      yield* begin(here(Cached.get(cached, "a"))) // never ends: as good as dead
      origin.takes = 0
      const reader = yield* begin(there(Cached.get(cached, "a")))
      yield* TestClock.adjust(4_999)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1001) // it looks every second
      assert.strictEqual(yield* Fiber.join(reader), 0)
      yield* there(Cached.get(cached, "a"))
      assert.strictEqual(origin.loads, 2)
    }))

  onEach(
    "the exception: what an invalidation has voided still runs beside the load that takes its place",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin)
      yield* begin(Cached.get(cached, "a"))
      yield* Cached.invalidate(cached, "a")
      yield* beginAll(10, Cached.get(cached, "a"))
      assert.deepStrictEqual([origin.loads, origin.ended], [2, 0])
    })
  )
})
