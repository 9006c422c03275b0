import { assert, describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
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
  isRunning,
  NotFound,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

const numbers = <E = never>(
  origin: Origin<number, E>,
  policy: Policy.Policy<string, number> = Policy.ttl("1 minute")
) => Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

/** Writes to the origin when it has taken a while, as a transaction does that commits. */
const writing = (origin: Origin<number>, value: number, takes: number): Effect.Effect<number> =>
  Effect.andThen(
    takes === 0 ? Effect.void : Effect.sleep(takes),
    Effect.sync(() => origin.value = value)
  )

const isInvalidationError = (error: unknown, mayHaveHappened: boolean, reason: CacheStore.Reason["_tag"]): void => {
  assert.instanceOf(error, CacheService.InvalidationError)
  assert.deepInclude(error, { mayHaveHappened, reason: { _tag: reason } })
}

describe("getOption", () => {
  onEach(
    "gives what may be served, and never loads",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "20 seconds", onError: "30 seconds" }))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* Cached.get(cached, "a")
      const seen: Array<Option.Option<number>> = []
      for (const at of [9_999, 10_000, 19_999, 20_000, 30_000]) {
        yield* TestClock.setTime(at)
        seen.push(yield* cached.pipe(Cached.getOption("a")))
        yield* settle
      }
      assert.deepStrictEqual(seen, [Option.some(1), Option.some(1), Option.some(1), Option.none(), Option.none()])
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "fails with a failure that is cached, and is none where it has ended",
    Effect.gen(function*() {
      const cached = Cached.make("user", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id): Effect.Effect<string, NotFound> => Effect.fail(new NotFound({ id })),
        failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
      }, Policy.forever)
      yield* errorOf(Cached.get(cached, 1))
      assert.instanceOf(yield* errorOf(Cached.getOption(cached, 1)), NotFound)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Cached.getOption(cached, 1), Option.none())
    })
  )

  onEach(
    "is none for what was invalidated, and the old value for what was invalidated softly",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.some(1))
      yield* Cached.apply(Invalidation.tags("t"))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
    })
  )

  onEach(
    "does not disturb a load that is under way, and does not wait for it",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin)
      const reader = yield* begin(Cached.get(cached, "a"))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(reader), 1)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "is none when the store fails, and counts that",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1))
      yield* Cached.get(cached, "a")
      yield* TestCache.fail("read")
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      assert.strictEqual((yield* Cached.stats(cached)).storeFailures, 1)
    })
  )
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
      for (const batch of [Invalidation.tags("value:5"), Cached.keys(cached, "a"), Invalidation.everything]) {
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
      Cached.mutate(Effect.andThen(gate, Effect.sync(() => ++origin.value)), Cached.keys(cached, "a"))
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

describe("invalidation", () => {
  const three = Effect.gen(function*() {
    const origin = new Origin(0)
    const cached = numbers(origin, Policy.tagged((key: string) => [`t:${key}`]))
    const all = Effect.forEach(["a", "b", "c"], (key) => Cached.get(cached, key))
    yield* all
    const loadsOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.gen(function*() {
        const before = origin.loads
        yield* effect
        yield* all
        return origin.loads - before
      })
    return { origin, cached, all, loadsOf }
  })

  onEach(
    "of one key ends that key",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      assert.strictEqual(yield* loadsOf(Cached.invalidate(cached, "b")), 1)
      assert.strictEqual(yield* loadsOf(Cached.invalidate(cached, "unknown")), 0)
    })
  )

  onEach(
    "of several keys is one batch",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      assert.strictEqual(yield* loadsOf(Cached.invalidateMany(cached, ["a", "c", "a"])), 2)
      assert.strictEqual(yield* loadsOf(Cached.invalidateMany(cached, [])), 0)
    })
  )

  onText(
    "of several keys and tags is one operation of the store",
    Effect.gen(function*() {
      const { cached } = yield* three
      yield* TestCache.forget
      yield* Cached.apply(Invalidation.combineAll([Cached.keys(cached, "a", "b"), Invalidation.tags("x", "y")]))
      assert.deepStrictEqual(
        (yield* TestCache.operations).map(({ detail, name }) => [name, detail]),
        [["invalidate", "key number:a, key number:b, tag x, tag y"]]
      )
    })
  )

  onEach(
    "softly: keys are served once more and refreshed",
    Effect.gen(function*() {
      const { all, cached, origin } = yield* three
      origin.value = 1
      yield* Cached.invalidateMany(cached, ["a", "b"], { soft: true })
      assert.deepStrictEqual(yield* all, [0, 0, 0])
      yield* settle
      assert.deepStrictEqual(yield* all, [1, 1, 0])
      yield* Cached.invalidate(cached, "c", { soft: true })
      assert.strictEqual(yield* Cached.get(cached, "c"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "c"), 1)
      yield* assertQuiet
    })
  )

  onEach(
    "apply says how many entries it removed or softened",
    Effect.gen(function*() {
      const { cached } = yield* three
      assert.strictEqual((yield* Cached.apply(Invalidation.empty)).entries, 0)
      assert.strictEqual((yield* Cached.apply(Invalidation.soft(Cached.keys(cached, "a")))).entries, 1)
      assert.strictEqual((yield* Cached.apply(Invalidation.tags("t:a", "t:b"))).entries, 2)
      assert.strictEqual((yield* Cached.apply(Invalidation.tags("t:a", "t:b"))).entries, 0)
      assert.strictEqual((yield* Cached.apply(Invalidation.everything)).entries, 1)
    })
  )

  onEach(
    "of a pattern ends all keys with those parts, and no other's",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const pages = (name: string) =>
        Cached.make(name, {
          key: Key.struct({ genre: Key.string("genre"), page: Key.int("page") }),
          value: Schema.Finite,
          lookup: () => origin.load
        }, Policy.forever)
      const [films, series] = [pages("films"), pages("films:drama")]
      const all = Effect.forEach(
        [films, series],
        (cached) =>
          Effect.forEach(
            ["drama", "*", "film noir", "a:b"],
            (genre) => Effect.forEach([1, 2], (page) => Cached.get(cached, { genre, page }))
          )
      )
      yield* all
      const loads = (batch: Invalidation.Invalidation) =>
        Effect.gen(function*() {
          const before = origin.loads
          yield* Cached.apply(batch)
          yield* all
          return origin.loads - before
        })
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "drama" })), 2)
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "*" })), 2)
      assert.strictEqual(yield* loads(Cached.pattern(films, { page: 1 })), 4)
      assert.strictEqual(yield* loads(Cached.pattern(films, { genre: "a:b", page: 1 })), 1)
      assert.strictEqual(yield* loads(Cached.pattern(films)), 8)
      assert.strictEqual(yield* loads(Cached.pattern(series)), 8)
      assert.strictEqual(yield* loads(Invalidation.everything), 16)
      assert.strictEqual(Cached.pattern(films, { page: 1 }).toString(), "keys films:*:1")
    })
  )

  onEach(
    "of everything, softly, serves each once more",
    Effect.gen(function*() {
      const { all, origin } = yield* three
      origin.value = 1
      yield* Cached.apply(Invalidation.soft(Invalidation.everything))
      assert.deepStrictEqual(yield* all, [0, 0, 0])
      yield* settle
      assert.deepStrictEqual(yield* all, [1, 1, 1])
    })
  )

  onText(
    "that fails says whether it may have happened, and repeating it is safe",
    Effect.gen(function*() {
      const { all, cached, loadsOf } = yield* three
      yield* all
      const batches = [
        [Effect.asVoid(Cached.invalidate(cached, "a")), "1 second", 1],
        [Effect.asVoid(Cached.apply(Cached.pattern(cached, {}))), "1 minute", 3]
      ] as const
      for (const [effect, limit, covered] of batches) {
        yield* TestCache.fail("invalidate", 1)
        isInvalidationError(yield* errorOf(effect), false, "Unavailable")
        for (const what of ["request", "answer"] as const) {
          yield* TestCache.lose("invalidate", what, 1)
          const fiber = yield* begin(errorOf(effect))
          yield* TestClock.adjust(limit)
          isInvalidationError(yield* Fiber.join(fiber), true, "Timeout")
          // Whether it has happened or not: in this process it has.
          assert.strictEqual(yield* loadsOf(Effect.void), covered)
        }
        assert.strictEqual(yield* loadsOf(effect), covered)
      }
    })
  )

  onText(
    "of which one step was done and another failed says that it may have happened",
    Effect.gen(function*() {
      const { cached } = yield* three
      const both = Cached.apply(Invalidation.combine(Cached.keys(cached, "a"), Cached.pattern(cached)))
      const { store } = yield* CacheService.CacheService
      const inSteps = yield* CacheService.make({ ...store, atomic: () => false })
      yield* TestCache.fail("lift", 1)
      const error = yield* errorOf(Effect.provideService(both, CacheService.CacheService, inSteps))
      isInvalidationError(error, true, "Unavailable")
      // Of one step nothing is done before it fails.
      yield* TestCache.fail("invalidate", 1)
      isInvalidationError(yield* errorOf(both), false, "Unavailable")
    })
  )

  onText(
    "is tried also while the circuit is open, since it must not be lost",
    Effect.gen(function*() {
      const { cached, loadsOf } = yield* three
      yield* TestCache.fail("read", 5)
      for (let i = 0; i < 5; i++) yield* Cached.get(cached, "a")
      yield* TestCache.forget
      yield* Cached.get(cached, "a") // the store is not asked
      assert.deepStrictEqual(yield* TestCache.operations, [])
      yield* Cached.invalidate(cached, "a")
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name, result }) => [name, result]), [[
        "invalidate",
        "1"
      ]])
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* loadsOf(Effect.void), 1)
    })
  )
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
