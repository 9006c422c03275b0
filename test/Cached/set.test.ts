import { assert, describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
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
  Down,
  ends,
  errorOf,
  isInvalidationError,
  isRunning,
  numbers,
  onEach,
  onText,
  Origin,
  settle,
  writing
} from "../support/cached.ts"

describe("set", () => {
  onEach(
    "writes through: runs the write, gives what it gave, and stores it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      assert.strictEqual(yield* Cached.set(cached, "a", writing(origin, 5, 0)), 5)
      assert.strictEqual(yield* Cached.get(cached, "a"), 5)
      assert.strictEqual(yield* cached.pipe(Cached.set("a", writing(origin, 6, 0))), 6)
      assert.strictEqual(yield* Cached.get(cached, "a"), 6)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "what it stores obeys the policy: age, tags of the value, versions",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let version = 1
      const cached = numbers(
        origin,
        Policy.all(
          Policy.ttl("10 seconds"),
          Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }),
          Policy.versioned(() => version)
        )
      )
      const set = Cached.set(cached, "a", Effect.succeed(5))
      yield* set
      yield* TestClock.adjust(9_999)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 0)
      yield* TestClock.adjust(1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* set
      yield* Cached.apply(Invalidation.tags("value:5"))
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
      yield* set
      version = 2
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "with a policy that stores nothing, the key is empty after it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.never)
      assert.strictEqual(yield* Cached.set(cached, "a", writing(origin, 5, 0)), 5)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* assertQuiet
    })
  )

  const failing: Record<string, Effect.Effect<never, Down>> = {
    "fails": Effect.fail(new Down()),
    "dies": Effect.die("boom"),
    "interrupts itself": Effect.interrupt
  }
  for (const [how, failure] of Object.entries(failing)) {
    onEach(
      `a write that ${how} empties the key, since it may have happened`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin)
        yield* Cached.get(cached, "a")
        const exit = yield* Effect.exit(Cached.set(cached, "a", Effect.andThen(writing(origin, 5, 0), failure)))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(yield* TestCache.entries, [])
        yield* assertQuiet
        assert.strictEqual(yield* Cached.get(cached, "a"), 5)
      })
    )
  }

  onEach(
    "a write that is interrupted empties the key and gives up its lease",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      const set = yield* begin(Cached.set(cached, "a", writing(origin, 5, 1000)))
      yield* Fiber.interrupt(set)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* assertQuiet
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
    })
  )

  onEach(
    "a read that starts during the write waits for it, and is given what was written",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      const set = yield* begin(Cached.set(cached, "a", writing(origin, 5, 1000)))
      const reader = yield* begin(Cached.get(cached, "a"))
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(set)
      assert.strictEqual(yield* Fiber.join(reader), 5)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "a load that is under way when the write begins is void",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      origin.takes = "2 seconds"
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* Cached.set(cached, "a", writing(origin, 5, 0))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(reader), 0)
      assert.strictEqual(yield* Cached.get(cached, "a"), 5)
      assert.strictEqual((yield* Cached.stats(cached)).refused, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "a refresh in the background that began before the write does not undo it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "1 hour" }))
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("10 seconds")
      origin.takes = "2 seconds"
      yield* Cached.get(cached, "a")
      yield* settle
      assert.strictEqual(origin.loads, 2)
      yield* Cached.set(cached, "a", writing(origin, 5, 0))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Cached.get(cached, "a"), 5)
      yield* assertQuiet
    })
  )

  onEach(
    "an invalidation during the write wins over what it stores",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      for (const batch of [Invalidation.tags("value:5"), Cached.invalidation(cached, ["a"]), Invalidation.everything]) {
        const set = yield* begin(Cached.set(cached, "a", writing(origin, 5, 1000)))
        yield* TestClock.adjust(500)
        yield* Cached.apply(batch)
        yield* TestClock.adjust(500)
        assert.strictEqual(yield* Fiber.join(set), 5)
        assert.deepStrictEqual(yield* TestCache.entries, [])
        yield* assertQuiet
      }
    })
  )

  onEach(
    "behind a fence, what it writes is not stored",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* Cached.set(cached, "a", writing(origin, 5, 0)).pipe(Cached.mutate(Invalidation.tags("t")))
      assert.deepStrictEqual(yield* TestCache.entries, [])
      assert.strictEqual(yield* Cached.get(cached, "a"), 5)
    })
  )

  onText(
    "a value that cannot be encoded is given and not stored, and is warned about",
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel }) => {
        if (logLevel === "Warn") logged.push(logLevel)
      })
      const cached = numbers(new Origin(0))
      yield* Cached.get(cached, "a")
      const set = Cached.set(cached, "a", Effect.succeed(Number.NaN))
      assert.isNaN(yield* set.pipe(Effect.provide(Logger.layer([logger]))))
      assert.deepStrictEqual(yield* TestCache.entries, [])
      assert.deepStrictEqual(logged, ["Warn"])
      yield* assertQuiet
    })
  )
})

describe("two writers of one key", () => {
  const race = (a: readonly [at: number, takes: number], b: readonly [at: number, takes: number]) =>
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      const write = (value: number, [at, takes]: readonly [number, number]) =>
        Effect.forkChild(Effect.delay(Cached.set(cached, "a", writing(origin, value, takes)), at))
      const writers = [yield* write(1, a), yield* write(2, b)]
      yield* TestClock.adjust(10_000)
      yield* ends(writers)
      const [stored] = yield* TestCache.entries
      return { origin, cached, stored: stored && Number(stored.payload) }
    })

  const schedules: Record<
    string,
    readonly [a: readonly [number, number], b: readonly [number, number], stored: number | undefined]
  > = {
    "one after the other": [[0, 100], [200, 100], 2],
    "the second begins during the first and writes later": [[0, 1000], [500, 1000], undefined],
    "the second begins during the first and writes earlier": [[0, 1000], [200, 100], undefined],
    "both begin at once, the second writes later": [[0, 100], [0, 200], undefined],
    "both begin at once, the second writes earlier": [[0, 200], [0, 100], undefined],
    "both begin and write at once": [[0, 100], [0, 100], undefined]
  }
  for (const [schedule, [a, b, expected]] of Object.entries(schedules)) {
    onEach(
      `${schedule}: the later value stands or the key is empty`,
      Effect.gen(function*() {
        const { cached, origin, stored } = yield* race(a, b)
        assert.strictEqual(stored, expected)
        if (stored !== undefined) assert.strictEqual(stored, origin.value)
        assert.strictEqual(yield* Cached.get(cached, "a"), origin.value)
        yield* assertQuiet
      })
    )
  }

  /** Who is acting: an operation of the store is stopped for one of two. */
  const Actor = Context.Reference<number>("test/Actor", { defaultValue: () => -1 })

  const interleavings = (a: number, b: number): ReadonlyArray<ReadonlyArray<number>> =>
    a === 0 && b === 0 ? [[]] : [
      ...(a > 0 ? interleavings(a - 1, b).map((rest) => [0, ...rest]) : []),
      ...(b > 0 ? interleavings(a, b - 1).map((rest) => [1, ...rest]) : [])
    ]

  type Race = (
    cached: Cached.Cached<string, number>,
    origin: Origin<number>,
    gate: Effect.Effect<void>
  ) => Effect.Effect<
    unknown,
    CacheService.InvalidationError,
    CacheService.CacheService
  >

  /** Each acts in three steps: it begins, it reads or writes the origin, it stores. */
  const acts: Record<string, Race> = {
    "a writer": (cached, origin, gate) =>
      Cached.set(cached, "a", Effect.andThen(gate, Effect.sync(() => ++origin.value))),
    "a reader": (cached) => Cached.get(cached, "a"),
    "a writer who invalidates": (cached, origin, gate) =>
      Effect.andThen(
        Effect.andThen(gate, Effect.sync(() => ++origin.value)),
        Effect.andThen(cacheGate, Cached.invalidate(cached, "a"))
      ),
    "a writer behind a fence": (cached, origin, gate) =>
      Cached.mutate(Effect.andThen(gate, Effect.sync(() => ++origin.value)), Cached.invalidation(cached, ["a"]))
  }
  const gates = Context.Reference<ReadonlyArray<readonly [Latch.Latch, Latch.Latch]>>("test/Gates", {
    defaultValue: () => []
  })
  const gateOf = (step: 0 | 1) =>
    Effect.flatMap(Effect.all([Actor, gates]), ([actor, all]) => all[actor]?.[step].await ?? Effect.void)
  const cacheGate = gateOf(1)

  const pairs = [
    ["a writer", "a writer"],
    ["a writer", "a reader"],
    ["a writer", "a writer who invalidates"],
    ["a writer", "a writer behind a fence"],
    ["a reader", "a writer who invalidates"],
    ["a reader", "a writer behind a fence"]
  ] as const
  for (const pair of pairs) {
    onText(
      `${pair.join(" and ")}, in each of the twenty orders of their steps: what is cached is what is`,
      Effect.gen(function*() {
        for (const order of interleavings(3, 3)) {
          const origin = new Origin(0)
          const all = [0, 1].map(() => [Latch.makeUnsafe(false), Latch.makeUnsafe(false)] as const)
          const cached = Cached.make("number", {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => Effect.andThen(gateOf(0), origin.load)
          }, Policy.ttl("1 minute"))
          yield* Cached.apply(Invalidation.everything)
          yield* TestCache.restore
          yield* TestCache.disturb("commit", (_, perform) => Effect.andThen(cacheGate, perform))
          const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
          const steps = [0, 0]
          for (const actor of order) {
            const step = steps[actor]!++
            if (step === 0) {
              const act = acts[pair[actor]!]!(cached, origin, gateOf(0)).pipe(
                Effect.provideService(Actor, actor),
                Effect.provideService(gates, all)
              )
              fibers.push(yield* Effect.forkChild(act))
            } else yield* all[actor]![step - 1]!.open
            yield* settle
          }
          for (const exit of yield* ends(fibers)) assert.isTrue(Exit.isSuccess(exit), `${order}`)
          const [stored] = yield* TestCache.entries
          if (stored !== undefined) assert.strictEqual(Number(stored.payload), origin.value, `stored after ${order}`)
          yield* TestCache.restore
          assert.strictEqual(yield* Cached.get(cached, "a"), origin.value, `read after ${order}`)
          yield* assertQuiet
        }
      })
    )
  }
})

describe("set, when the store fails", () => {
  for (
    const [how, reason, disturb] of [
      ["fails", "Unavailable", TestCache.fail("begin")],
      ["never answers", "Timeout", TestCache.delay("begin", Infinity)],
      ["does not say that it has happened", "Timeout", TestCache.lose("begin", "answer")]
    ] as const
  ) {
    onText(
      `before the write: it ${how}, so nothing is written, and the error says so`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin)
        yield* disturb
        const set = yield* begin(errorOf(Cached.set(cached, "a", writing(origin, 5, 0))))
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(set)
        isInvalidationError(error, false, reason)
        assert.strictEqual((error as CacheService.InvalidationError).invalidation, "key number:a")
        assert.strictEqual(origin.value, 0)
        yield* assertQuiet
      })
    )
  }

  for (
    const commit of [TestCache.fail("commit"), TestCache.delay("commit", Infinity), TestCache.lose("commit", "answer")]
  ) {
    onText(
      "after the write, but the key can be emptied: the write succeeds",
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin)
        yield* Cached.get(cached, "a")
        yield* commit
        const set = yield* begin(Cached.set(cached, "a", writing(origin, 5, 0)))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(set), 5)
        assert.deepStrictEqual(yield* TestCache.entries, [])
        yield* TestCache.restore
        assert.strictEqual(yield* Cached.get(cached, "a"), 5)
        yield* assertQuiet
      })
    )
  }

  for (
    const [reason, invalidate] of [
      ["Unavailable", TestCache.fail("invalidate")],
      ["Timeout", TestCache.lose("invalidate", "answer")]
    ] as const
  ) {
    onText(
      "after the write, and the key cannot be emptied: the error says that the write has happened",
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin)
        yield* Cached.get(cached, "a")
        yield* TestCache.fail("commit")
        yield* invalidate
        const set = yield* begin(errorOf(Cached.set(cached, "a", writing(origin, 5, 0))))
        yield* TestClock.adjust("1 second")
        isInvalidationError(yield* Fiber.join(set), true, reason)
        assert.strictEqual(origin.value, 5)
        // What was there before the write is gone all the same.
        yield* TestCache.restore
        assert.deepStrictEqual(yield* TestCache.entries, [])
      })
    )
  }

  onText(
    "a write that fails fails with its own error, also when the key cannot be emptied",
    Effect.gen(function*() {
      const cached = numbers(new Origin(0))
      yield* TestCache.fail("invalidate")
      assert.instanceOf(yield* errorOf(Cached.set(cached, "a", Effect.fail(new Down()))), Down)
    })
  )
})
