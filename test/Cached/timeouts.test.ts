import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import type { Down } from "../support/cached.ts"
import { assertQuiet, begin, beginAll, isRunning, onEach, Origin } from "../support/cached.ts"

describe("time limits", () => {
  const policy = Policy.ttl<string, number>("10 seconds", { onError: "30 seconds" })
  const limited = (
    origin: Origin<number, Down>,
    options: { readonly softTimeout?: string; readonly hardTimeout?: string }
  ) =>
    Cached.make("number", {
      key: Key.string("of"),
      value: Schema.Finite,
      lookup: () => origin.load,
      ...(options as { readonly softTimeout: "1 second"; readonly hardTimeout: "1 second" })
    }, policy)

  onEach(
    "softTimeout: the old value is served when it has passed, and the load goes on and stores",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = limited(origin, { softTimeout: "500 millis" })
      yield* Cached.get(cached, "a")
      origin.value = 1
      origin.takes = "2 seconds"
      yield* TestClock.adjust("10 seconds")
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(499)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(reader), 0)
      yield* TestClock.adjust(1500)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "softTimeout: without an old value the load is waited for",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(3)
      origin.takes = "2 seconds"
      const cached = limited(origin, { softTimeout: "500 millis" })
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1999)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(reader), 3)
    })
  )

  onEach(
    "softTimeout: an old value that has died meanwhile is not served",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = limited(origin, { softTimeout: "500 millis" })
      yield* Cached.get(cached, "a")
      origin.value = 1
      origin.takes = "2 seconds"
      yield* TestClock.adjust(29_700)
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1500)
      assert.strictEqual(yield* Fiber.join(reader), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "hardTimeout: the load is interrupted and the read fails with LoadTimeout",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.takes = "1 minute"
      const cached = limited(origin, { hardTimeout: "3 seconds" })
      const readers = yield* beginAll(2, Effect.flip(Cached.get(cached, "x y")))
      yield* TestClock.adjust(2999)
      assert.isTrue(readers.every(isRunning))
      yield* TestClock.adjust(1)
      for (const reader of readers) {
        const error = yield* Fiber.join(reader)
        assert.instanceOf(error, Cached.LoadTimeout)
        assert.deepInclude(error, { _tag: "LoadTimeout", name: "number", key: "number:x y", millis: 3000 })
        assert.strictEqual((error as Cached.LoadTimeout).message, "loading number:x y took longer than 3000 ms")
      }
      assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 1])
      yield* assertQuiet
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "x y"), 0)
    })
  )

  onEach(
    "hardTimeout: is a failed load, so an old value for such a case is served",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = limited(origin, { hardTimeout: "3 seconds" })
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("10 seconds")
      origin.takes = "1 minute"
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* Fiber.join(reader), 0)
      yield* assertQuiet
    })
  )
})
