import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  beginAll,
  Down,
  ends,
  isRunning,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

describe("single flight", () => {
  const hundred = Array.from({ length: 100 }, () => 0)

  for (const takes of [0, 1000]) {
    onEach(
      `a hundred reads of a cold key make one load of ${takes} ms`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        origin.takes = takes
        const cached = numbers(origin, Policy.ttl("1 minute"))
        const fibers = yield* beginAll(100, Cached.get(cached, "a"))
        yield* TestClock.adjust(takes)
        assert.deepStrictEqual((yield* ends(fibers)).map((exit) => Exit.isSuccess(exit) && exit.value), hundred)
        assert.strictEqual(origin.loads, 1)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a hundred reads at once, in one fiber's step, make one load too",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("1 minute"))
      const all = Effect.all(hundred.map(() => Cached.get(cached, "a")), { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* all, hundred)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "a hundred reads of a key whose lookup fails make one load and get its typed failure",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.ends = Effect.fail(new Down())
      origin.takes = "1 second"
      const cached = Cached.make(
        "n",
        { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      const fibers = yield* beginAll(100, Effect.flip(Cached.get(cached, "a")))
      yield* TestClock.adjust("1 second")
      for (const exit of yield* ends(fibers)) assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Down)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "a hundred reads of a stale key make one refresh",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "20 seconds" }))
      yield* Cached.get(cached, "a")
      origin.takes = "1 second"
      yield* TestClock.adjust("15 seconds")
      const fibers = yield* beginAll(100, Cached.get(cached, "a"))
      assert.isFalse(fibers.some(isRunning))
      assert.strictEqual(origin.loads, 2)
      yield* TestClock.adjust("1 second")
      yield* beginAll(100, Cached.get(cached, "a"))
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onText(
    "a value that was stored while a reader was about to load is served to him",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.forever)
      yield* TestCache.delay("begin", 500, 1)
      const slow = yield* begin(Cached.get(cached, "a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* Fiber.join(slow), 0)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onText(
    "a hundred reads of a stale key ask the store for its lease once",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "20 seconds" }))
      yield* Cached.get(cached, "a")
      origin.takes = "1 second"
      yield* TestClock.adjust("15 seconds")
      yield* TestCache.forget
      yield* beginAll(100, Cached.get(cached, "a"))
      assert.strictEqual((yield* TestCache.operations).filter(({ name }) => name === "begin").length, 1)
      yield* TestClock.adjust("1 second")
    })
  )

  onEach(
    "a hundred reads of a key that has just expired make one load",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* Cached.get(cached, "a")
      origin.takes = "1 second"
      origin.value = 1
      yield* TestClock.adjust("10 seconds")
      const fibers = yield* beginAll(100, Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        (yield* ends(fibers)).map((exit) => Exit.isSuccess(exit) && exit.value),
        hundred.map(() => 1)
      )
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "loads of different keys do not wait for each other",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.forever)
      const fibers = yield* Effect.forEach(["a", "b", "c"], (key) => begin(Cached.get(cached, key)))
      yield* TestClock.adjust("1 second")
      yield* ends(fibers)
      assert.strictEqual(origin.loads, 3)
    })
  )
})

describe("an invalidation while a load is in flight", () => {
  const batches: Record<
    string,
    (cached: Cached.Cached<string, number>) => Effect.Effect<unknown, unknown, CacheService.CacheService>
  > = {
    "of the key": (cached) => Cached.invalidate(cached, "a"),
    "of a tag that the key tells": () => Cached.apply(Invalidation.tags("key:a")),
    "of a constant tag": () => Cached.apply(Invalidation.tags("constant")),
    "of a tag that is found in the value": () => Cached.apply(Invalidation.tags("value:0")),
    "of a pattern": (cached) => Cached.apply(Cached.pattern(cached)),
    "of everything": () => Cached.apply(Invalidation.everything),
    "by mutate": () => Effect.void.pipe(Cached.mutate(Invalidation.tags("value:0"))),
    "by mutate of the key": (cached) => Effect.void.pipe(Cached.mutate(Cached.invalidation(cached, ["a"])))
  }
  const policy = Policy.all(
    Policy.tagged<string, number>("constant"),
    Policy.tagged((key: string) => [`key:${key}`]),
    Policy.tagged({ fromValue: (value: number) => [`value:${value}`] })
  )

  for (const [what, invalidation] of Object.entries(batches)) {
    onEach(
      `${what}: who began before may get the old value; it is not stored, and nobody later gets or joins it`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        origin.takes = "1 second"
        const cached = numbers(origin, policy)
        const early = yield* begin(Cached.get(cached, "a"))
        const joined = yield* begin(Cached.get(cached, "a"))
        origin.value = 1 // committed
        yield* invalidation(cached)
        const late = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.strictEqual(yield* Fiber.join(early), 0)
        // A tag that only the value tells is found when the load ends: those who wait look again then.
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(late), 1)
        assert.include([0, 1], yield* Fiber.join(joined))
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        assert.isTrue(origin.loads <= 3, `${origin.loads} loads`)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "of something else leaves the load alone",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, policy)
      const readers = [yield* begin(Cached.get(cached, "a"))]
      yield* Cached.apply(
        Invalidation.combine(Invalidation.tags(["value:1", "key:b"]), Cached.invalidation(cached, ["b"]))
      )
      readers.push(yield* begin(Cached.get(cached, "a")))
      yield* TestClock.adjust("1 second")
      yield* ends(readers)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "softly: what was loaded before is served no better than stale",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, policy)
      const early = yield* begin(Cached.get(cached, "a"))
      origin.value = 1
      yield* Cached.apply(Invalidation.soft(Invalidation.tags(["value:0", "constant"])))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(early)
      yield* Cached.get(cached, "a").pipe(Effect.forkChild)
      yield* TestClock.adjust("1 second")
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})
