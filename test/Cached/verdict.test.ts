import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import type * as Verdict from "../../src/Verdict.ts"
import type { Down } from "../support/cached.ts"
import { assertQuiet, begin, beginAll, ends, numbers, onEach, Origin, readsAt, settle } from "../support/cached.ts"

describe("the policy's verdict decides", () => {
  onEach(
    "ttl: fresh, stale, on error and dead begin at exactly their ages",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("n", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, ages)
      yield* Cached.get(cached, "a")
      const verdicts: Array<readonly [number, Verdict.Verdict]> = []
      for (const at of [0, 9_999, 10_000, 19_999, 20_000, 29_999, 30_000]) {
        yield* TestClock.setTime(at)
        verdicts.push([at, (yield* Cached.explain(cached, "a")).verdict])
      }
      assert.deepStrictEqual(verdicts, [
        [0, "Fresh"],
        [9_999, "Fresh"],
        [10_000, "Stale"],
        [19_999, "Stale"],
        [20_000, "OnError"],
        [29_999, "OnError"],
        [30_000, "Dead"]
      ])
    })
  )

  const ages = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })

  onEach(
    "ttl: one millisecond before the end is a hit, at the end it is not",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      assert.deepStrictEqual(yield* readsAt(cached, origin, [0, 9_999, 10_000, 19_999, 20_000]), [
        [0, 0, 1],
        [9_999, 0, 1],
        [10_000, 0, 2],
        [19_999, 0, 2],
        [20_000, 0, 3]
      ])
    })
  )

  onEach(
    "ttl: what is stale is served, and refreshed in the background",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages)
      yield* Cached.get(cached, "a")
      origin.value = 1
      assert.deepStrictEqual(yield* readsAt(cached, origin, [9_999, 10_000, 10_001]), [
        [9_999, 0, 1],
        [10_000, 0, 2],
        [10_001, 1, 2]
      ])
      yield* assertQuiet
    })
  )

  onEach(
    "ttl: past the stale age a load is waited for, and its value is what counts",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages)
      yield* Cached.get(cached, "a")
      origin.value = 1
      assert.deepStrictEqual(yield* readsAt(cached, origin, [20_000]), [[20_000, 1, 2]])
    })
  )

  onEach(
    "ages count from when the load ended, not from when it began",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "5 seconds"
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      const fiber = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      origin.takes = 0
      assert.deepStrictEqual(
        [yield* Effect.as(TestClock.setTime(14_999), 0), yield* Cached.get(cached, "a"), origin.loads],
        [0, 0, 1]
      )
      yield* TestClock.setTime(15_000)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "jitter shortens a lifetime and never lengthens it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { jitter: 0.5 }))
      const ends: Array<number> = []
      for (let i = 0; i < 40; i++) {
        yield* Cached.get(cached, `key ${i}`)
        const stored = (yield* TestCache.entries).find(({ key }) => key === `number:key%20${i}`)!
        ends.push(10_000 * (1 - 0.5 * stored.stamp.jitter))
      }
      // Each is hit up to its own end and no further.
      const order = [...ends].sort((a, b) => a - b)
      assert.isTrue(order[0]! >= 5000 && order.at(-1)! <= 10_000 && new Set(ends).size > 30)
      yield* TestClock.setTime(4_999)
      const reads = () => Effect.forEach(ends, (_, i) => Cached.get(cached, `key ${i}`))
      yield* reads()
      assert.strictEqual(origin.loads, 40)
      yield* TestClock.setTime(Math.floor(order[19]!))
      yield* reads()
      const over = ends.filter((end) => end <= Math.floor(order[19]!)).length
      assert.strictEqual(origin.loads, 40 + over)
      assert.isTrue(over > 0 && over < 40)
      yield* TestClock.setTime(10_000)
      yield* reads()
      assert.isTrue(origin.loads >= 80)
    })
  )

  onEach(
    "until: an entry ends with the tick, whenever it was stored",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.until("0 * * * *"))
      const hour = 3_600_000
      assert.deepStrictEqual(
        yield* readsAt(cached, origin, [0, hour - 1, hour, 2 * hour - 1, 2 * hour, 2 * hour + 1]),
        [
          [0, 0, 1],
          [hour - 1, 0, 1],
          [hour, 0, 2],
          [2 * hour - 1, 0, 2],
          [2 * hour, 0, 3],
          [2 * hour + 1, 0, 3]
        ]
      )
    })
  )

  onEach(
    "until: with the severity Stale the old value is served once more after the tick",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.until("0 * * * *", { severity: "Stale" }))
      const hour = 3_600_000
      yield* TestClock.setTime(hour - 1)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(hour)
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "forever: nothing but an invalidation ends it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.forever)
      yield* readsAt(cached, origin, [0, 1e12])
      assert.strictEqual(origin.loads, 1)
      yield* Cached.invalidate(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "never: every read loads and nothing is stored, but those who wait share",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.never)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      origin.takes = "1 second"
      const fibers = yield* beginAll(10, Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      yield* ends(fibers)
      assert.strictEqual(origin.loads, 3)
      yield* assertQuiet
    })
  )

  onEach(
    "a lifetime of zero is as good as never",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl(0))
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
    })
  )

  onEach(
    "or: an entry is good while either side holds",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.or(Policy.ttl("10 seconds"), Policy.tagged("a")))
      assert.deepStrictEqual(yield* readsAt(cached, origin, [0, 20_000]), [[0, 0, 1], [20_000, 0, 1]])
      yield* Cached.apply(Invalidation.tags("a"))
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
      yield* Cached.apply(Invalidation.tags("a"))
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )
})
