import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  Down,
  ends,
  errorOf,
  isInvalidationError,
  numbers,
  onEach,
  onText,
  Origin,
  writing
} from "../support/cached.ts"

it("a fence that could stand for ever is refused when it is made", () => {
  const write = Effect.sync(() => assert.fail("it is written"))
  const mutate = (fence: Duration.Input) => () => Cached.mutate(write, Invalidation.everything, { fence })
  mutate("1 day")()
  for (const fence of ["25 hours", Infinity, Duration.infinity, Number.MAX_SAFE_INTEGER, 0, -1, Number.NaN] as const) {
    assert.throws(mutate(fence), InvalidInput.InvalidInput)
  }
  assert.throws(mutate(Infinity), "a fence must be no longer than 1d, and is inf")
})

describe("mutate", () => {
  const tagged = Effect.sync(() => {
    const origin = new Origin(0)
    return { origin, cached: numbers(origin, Policy.tagged("t")) }
  })
  const over = Invalidation.tags("t")

  onEach(
    "invalidates before the write, data-first and data-last, and gives what the write gave",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      yield* Cached.get(cached, "a")
      assert.strictEqual(yield* Cached.mutate(writing(origin, 1, 0), over), 1)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(yield* writing(origin, 2, 0).pipe(Cached.mutate(over)), 2)
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
      assert.strictEqual(yield* writing(origin, 3, 0).pipe(Cached.mutate(over, { fence: "1 minute" })), 3)
      assert.strictEqual(yield* Cached.get(cached, "a"), 3)
      assert.strictEqual(origin.loads, 4)
      assert.strictEqual((yield* TestCache.sizes).fences, 0)
    })
  )

  onEach(
    "while it writes, values are served and shared but not stored; afterwards they are stored again",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      const writer = yield* begin(Cached.mutate(writing(origin, 1, 1000), over))
      origin.takes = 100
      const during = [yield* begin(Cached.get(cached, "a")), yield* begin(Cached.get(cached, "a"))]
      yield* TestClock.adjust(100)
      assert.deepStrictEqual((yield* ends(during)).map((exit) => Exit.isSuccess(exit) && exit.value), [0, 0])
      assert.deepStrictEqual([origin.loads, yield* TestCache.entries], [1, []])
      origin.takes = 0
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
      yield* TestClock.adjust(900)
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 3)
      yield* assertQuiet
    })
  )

  onEach(
    "a load that began during the write and ends after it is not stored, and nobody later joins it",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      const writer = yield* begin(Cached.mutate(writing(origin, 1, 1000), over))
      origin.takes = 2000
      const early = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      origin.takes = 100
      const late = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(early), 0)
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(late), 1)
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* assertQuiet
    })
  )

  onEach(
    "what it is not over is not held up",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      const writer = yield* begin(Cached.mutate(writing(origin, 1, 1000), Invalidation.tags("other")))
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
    })
  )

  onEach(
    "a write that fails fails, and the fence is taken away",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      assert.instanceOf(yield* errorOf(Cached.mutate(Effect.fail(new Down()), over)), Down)
      const interrupted = yield* begin(Cached.mutate(writing(origin, 1, 1000), over))
      yield* Fiber.interrupt(interrupted)
      assert.strictEqual((yield* TestCache.sizes).fences, 0)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "a write that outlasts its fence is interrupted and fails with InvalidationError",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      const writer = yield* begin(errorOf(Cached.mutate(writing(origin, 1, 1000), over, { fence: 500 })))
      yield* TestClock.adjust(500)
      isInvalidationError(yield* Fiber.join(writer), true, "Timeout")
      yield* TestClock.adjust(1000)
      assert.strictEqual(origin.value, 0)
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
    })
  )

  onText(
    "without an answer to the fence nothing is written",
    Effect.gen(function*() {
      const { origin } = yield* tagged
      yield* TestCache.fail("fence", 1)
      isInvalidationError(yield* errorOf(Cached.mutate(writing(origin, 1, 0), over)), false, "Unavailable")
      yield* TestCache.lose("fence", "answer", 1)
      const writer = yield* begin(errorOf(Cached.mutate(writing(origin, 1, 0), over)))
      yield* TestClock.adjust("1 second")
      isInvalidationError(yield* Fiber.join(writer), true, "Timeout")
      assert.strictEqual(origin.value, 0)
    })
  )

  onText(
    "if its process dies, nothing loaded before the fence has ended is stored",
    Effect.gen(function*() {
      const { cached, origin } = yield* tagged
      yield* TestCache.lose("lift", "request", 1)
      const writer = yield* begin(Effect.exit(Cached.mutate(writing(origin, 1, 0), over)))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(writer)
      assert.isTrue(Exit.isFailure(exit), "the write has happened, but who knows whether the fence stood")
      for (let i = 0; i < 3; i++) yield* Cached.get(cached, "a")
      assert.deepStrictEqual([origin.loads, yield* TestCache.entries], [3, []])
      yield* TestClock.adjust("29 seconds")
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 4)
    })
  )
})
