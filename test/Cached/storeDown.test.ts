import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  Down,
  elsewhere,
  errorOf,
  isRunning,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

describe("when the store fails", () => {
  onText(
    "a read that fails at once loads from the origin at once",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      yield* TestCache.fail("read")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* TestCache.restore
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 3)
      assert.strictEqual((yield* Cached.stats(cached)).storeFailures, 2)
    })
  )

  for (const [operation, limit, most] of [["read", 250, 5], ["begin", 1000, 2], ["commit", 1000, 2]] as const) {
    onText(
      `a ${operation} that never answers costs its time limit and a load`,
      Effect.gen(function*() {
        const origin = new Origin(1)
        const cached = numbers(origin, Policy.forever)
        yield* TestCache.delay(operation, Infinity)
        for (let i = 0; i < most; i++) {
          const fiber = yield* begin(Cached.get(cached, `key ${i}`))
          yield* TestClock.adjust(limit - 1)
          assert.isTrue(isRunning(fiber), `it ended too early: ${i}`)
          yield* TestClock.adjust(1)
          yield* settle
          assert.strictEqual(yield* Fiber.join(fiber), 1)
        }
        if (operation === "read") {
          assert.strictEqual(origin.loads, most)
          for (let i = 0; i < 10; i++) assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          yield* TestClock.adjust("5 seconds") // then one may try again, and nobody waits for it
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          yield* TestClock.adjust("1 second")
          yield* TestCache.restore
          yield* TestClock.adjust("5 seconds")
          yield* Cached.get(cached, "a") // closes the circuit
          yield* Cached.get(cached, "a")
          const { loads } = origin
          yield* Cached.get(cached, "a")
          assert.strictEqual(origin.loads, loads)
        }
        yield* assertQuiet
      })
    )
  }

  onText(
    "storeFailure fail: a read fails with StoreError instead of asking the origin",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "fail"
      }, Policy.forever)
      for (const operation of ["read", "begin"] as const) {
        yield* TestCache.fail(operation)
        const error = yield* errorOf(Cached.get(cached, "a"))
        assert.instanceOf(error, CacheStore.StoreError)
        assert.deepInclude(error, { operation, reason: { _tag: "Unavailable" } })
        yield* TestCache.restore
      }
      assert.strictEqual(origin.loads, 0)
      yield* TestCache.fail("commit") // the load was made: its value is an answer
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* assertQuiet
    })
  )

  onText(
    "storeFailure fail: an old value that may be served on errors is",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "fail"
      }, Policy.ttl("10 seconds", { onError: "20 seconds" }))
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("15 seconds")
      yield* TestCache.fail("begin")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* TestClock.adjust("5 seconds")
      assert.instanceOf(yield* errorOf(Cached.get(cached, "a")), CacheStore.StoreError)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "the old value is served when the store fails and then the load",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(1)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load
      }, Policy.ttl("10 seconds", { onError: "20 seconds" }))
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("15 seconds")
      yield* TestCache.fail("begin")
      origin.ends = Effect.fail(new Down())
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onText(
    "the soft time limit holds also for a load that is made without the store",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: "1 second"
      }, Policy.ttl("10 seconds", { onError: "20 seconds" }))
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("15 seconds")
      yield* TestCache.fail("begin")
      origin.takes = "1 minute"
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(reader), 1)
    })
  )

  for (const garbage of ["", "{", "null", "\"text\"", 7, undefined, { a: 1 }]) {
    onText(
      `a payload that does not decode is a miss and is counted: ${JSON.stringify(garbage)}`,
      Effect.gen(function*() {
        const origin = new Origin(1)
        const cached = numbers(origin, Policy.forever)
        yield* Cached.get(cached, "a")
        assert.isTrue(yield* TestCache.corrupt("number:a", garbage))
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        assert.strictEqual(origin.loads, 2)
        assert.strictEqual((yield* Cached.stats(cached)).unreadable, 1)
      })
    )
  }

  onText(
    "an entry that another schema wrote is a miss, also where it would decode",
    Effect.gen(function*() {
      const options = { key: Key.unit, lookup: () => Effect.succeed({ a: 1, b: 2 }) }
      const before = Cached.make("n", { ...options, value: Schema.Struct({ a: Schema.Finite }) }, Policy.forever)
      const after = Cached.make("n", {
        ...options,
        value: Schema.Struct({ a: Schema.Finite, b: Schema.optionalKey(Schema.Finite) })
      }, Policy.forever)
      yield* Cached.get(before, undefined)
      yield* elsewhere(Effect.gen(function*() {
        assert.deepStrictEqual(yield* Cached.get(after, undefined), { a: 1, b: 2 })
        assert.deepStrictEqual(yield* Cached.get(after, undefined), { a: 1, b: 2 })
        const { loads, unreadable } = yield* Cached.stats(after)
        assert.deepStrictEqual({ loads, unreadable }, { loads: 1, unreadable: 1 })
      }))
    })
  )

  onEach(
    "an entry, a lease or the journal that is lost costs loads and nothing else",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      for (const what of ["entry", "lease", "journal"] as const) {
        const reader = yield* begin(Cached.get(cached, "a"))
        yield* TestCache.evict(what)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(reader), 0)
        yield* TestCache.evict("entry")
      }
      assert.strictEqual(origin.loads, 3)
      yield* assertQuiet
    })
  )

  for (const lost of ["request", "answer"] as const) {
    onText(
      `the ${lost} of a begin that is lost leaves no lease`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.forever)
        yield* TestCache.lose("begin", lost, 1)
        const reader = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(reader), 0)
        yield* assertQuiet
        yield* Cached.get(cached, "a")
        yield* Cached.get(cached, "a")
        assert.strictEqual(origin.loads, 2)
      })
    )

    onText(
      `the ${lost} of a commit that is lost: the value is served, and no lease is left`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.forever)
        yield* TestCache.lose("commit", lost, 1)
        const reader = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(reader), 0)
        yield* assertQuiet
      })
    )
  }

  onText(
    "someone else's lease is waited for without spinning when the store cannot tell of its end",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.forever)
      const writer = yield* begin(Cached.set(cached, "a", Effect.as(Effect.sleep("3 seconds"), 5)))
      yield* TestCache.fail("released")
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Fiber.join(reader), 5)
      const asked = (yield* TestCache.operations).filter(({ name }) => name === "released").length
      assert.isTrue(asked < 10, `${asked} times`)
      assert.strictEqual(origin.loads, 0)
    })
  )

  onText(
    "someone else's lease is waited for no longer than the wait limit",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        waitLimit: "2500 millis"
      }, Policy.forever)
      const writer = yield* begin(Cached.set(cached, "a", Effect.as(Effect.sleep("30 seconds"), 5)))
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(2499)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1)
      yield* settle
      assert.strictEqual(yield* Fiber.join(reader), 0)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(cached, "a"), 5)
      yield* assertQuiet
    })
  )
})
