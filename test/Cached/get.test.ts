import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import type * as Verdict from "../../src/Verdict.ts"
import {
  assertQuiet,
  begin,
  beginAll,
  defectOf,
  Down,
  ends,
  errorOf,
  Film,
  isRunning,
  NotFound,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

type Options = Partial<Pick<Cached.Options<string, number, never, never>, "refresh" | "softTimeout">>

/** Numbers by a string, from one origin. */
const numbers = (origin: Origin<number>, policy: Policy.Policy<string, number>, options: Options = {}) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load, ...options }, policy)

/** What reads find at some moments, and how often the origin was asked by then. */
const readsAt = Effect.fnUntraced(function*<E, R>(
  cached: Cached.Cached<string, number, E, R>,
  origin: Origin<number, unknown>,
  moments: ReadonlyArray<number>
) {
  const seen: Array<readonly [at: number, value: number, loads: number]> = []
  let now = 0
  for (const at of moments) {
    yield* TestClock.adjust(at - now)
    now = at
    const value = yield* Cached.get(cached, "a")
    yield* settle
    seen.push([at, value, origin.loads])
  }
  return seen
})

describe("a miss and a hit", () => {
  onEach(
    "a miss loads and stores; a hit does not load",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      origin.value = 2
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 1)
      assert.deepStrictEqual((yield* TestCache.entries).map(({ key }) => key), ["number:a"])
      yield* assertQuiet
    })
  )

  onEach(
    "each key has a value of its own",
    Effect.gen(function*() {
      let loads = 0
      const squares = Cached.make("square", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.sync(() => (loads++, n * n))
      }, Policy.forever)
      assert.deepStrictEqual(yield* Effect.forEach([2, 3, 2, 3], (n) => Cached.get(squares, n)), [4, 9, 4, 9])
      assert.strictEqual(loads, 2)
    })
  )

  onEach(
    "two definitions with keys that are written alike do not meet",
    Effect.gen(function*() {
      // A definition without key parts is stored under its name alone, which is escaped like a part.
      const plain = Cached.make("a", {
        key: Key.string("k"),
        value: Schema.String,
        lookup: (k) => Effect.succeed(`part ${k}`)
      }, Policy.forever)
      const odd = Cached.make(
        "a:b",
        { key: Key.unit, value: Schema.String, lookup: () => Effect.succeed("unit") },
        Policy.forever
      )
      const parts = Cached.make("a", {
        key: Key.struct({ x: Key.string("x"), y: Key.string("y") }),
        value: Schema.String,
        lookup: ({ x, y }) => Effect.succeed(`${x} and ${y}`)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(odd, undefined), "unit")
      assert.strictEqual(yield* Cached.get(plain, "b"), "part b")
      assert.strictEqual(yield* Cached.get(odd, undefined), "unit")
      assert.strictEqual(yield* Cached.get(parts, { x: "b", y: "c" }), "b and c")
      assert.strictEqual(yield* Cached.get(plain, "b:c"), "part b:c")
    })
  )

  onEach(
    "all keys of a definition without key parts are covered by its pattern",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = Cached.make(
        "a: b",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      yield* Cached.get(cached, undefined)
      assert.strictEqual((yield* Cached.apply(Cached.pattern(cached))).entries, 1)
      yield* Cached.get(cached, undefined)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "get is data-last too, and a definition can be read again and again",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const once = numbers(origin, Policy.forever).pipe(Cached.get("a"))
      assert.deepStrictEqual([yield* once, yield* once], [1, 1])
    })
  )

  onEach(
    "a value with a rich schema comes back as it went in",
    Effect.gen(function*() {
      const Rich = Schema.Struct({
        at: Schema.Date,
        tags: Schema.ReadonlySet(Schema.String),
        film: Schema.Option(Film)
      })
      const value: typeof Rich.Type = { at: new Date(5), tags: new Set(["a"]), film: Option.none() }
      const cached = Cached.make(
        "rich",
        { key: Key.unit, value: Rich, lookup: () => Effect.succeed(value) },
        Policy.forever
      )
      yield* Cached.get(cached, undefined)
      const again = yield* Cached.get(cached, undefined)
      assert.strictEqual(again.at.getTime(), 5)
      assert.deepStrictEqual([...again.tags], ["a"])
      assert.isTrue(Option.isNone(again.film))
    })
  )
})

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

describe("versions", () => {
  onEach(
    "a constant: an entry of another version is dead",
    Effect.gen(function*() {
      const origin = new Origin(0)
      yield* Cached.get(numbers(origin, Policy.versioned("1")), "a")
      yield* Cached.get(numbers(origin, Policy.versioned("1")), "a")
      assert.strictEqual(origin.loads, 1)
      yield* Cached.get(numbers(origin, Policy.versioned("2")), "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a function of the key: asked at every read, compared with what was current before the load",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const versions: Record<string, number> = { a: 1, b: 1 }
      const cached = numbers(origin, Policy.versioned((key: string) => versions[key]!))
      const reads = Effect.andThen(Cached.get(cached, "a"), Cached.get(cached, "b"))
      yield* reads
      yield* reads
      assert.strictEqual(origin.loads, 2)
      versions["a"] = 2
      yield* reads
      yield* reads
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "an effect: its typed error is the read's, and poisons nothing",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const state: { version: number; down: boolean } = { version: 1, down: true }
      const version = (_: string) => state.down ? Effect.fail(new Down()) : Effect.succeed(state.version)
      const cached = numbers2(origin, Policy.versioned(version))
      assert.instanceOf(yield* errorOf(Cached.get(cached, "a")), Down)
      assert.strictEqual(origin.loads, 0)
      yield* assertQuiet
      state.down = false
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      state.down = true
      assert.instanceOf(yield* errorOf(Cached.get(cached, "a")), Down)
      state.down = false
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  const numbers2 = <E, R>(origin: Origin<number>, policy: Policy.Policy<string, number, E, R>) =>
    Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

  onEach(
    "an effect: may need services, which the read then needs",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const ref = yield* Ref.make(1)
      const cached = numbers2(
        origin,
        Policy.versioned((_: string) => Random.nextInt.pipe(Effect.andThen(Ref.get(ref))))
      )
      yield* Cached.get(cached, "a")
      yield* Ref.set(ref, 2)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a version that is none is a defect of that read",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.versioned((_: string) => Number.NaN))
      const defect = yield* defectOf(Cached.get(cached, "a"))
      assert.isTrue(InvalidInput.isInvalidInput(defect) && defect.reason === "InvalidVersion")
      yield* assertQuiet
    })
  )

  onEach(
    "a version function that throws is a defect of that read",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const boom = new Error("boom")
      const cached = numbers(
        origin,
        Policy.versioned((_: string): number => {
          throw boom
        })
      )
      assert.strictEqual(yield* defectOf(Cached.get(cached, "a")), boom)
      yield* assertQuiet
    })
  )

  onEach(
    "atLeast: an entry is good while its version is not below the current one",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let updated = new Date(5)
      const cached = numbers(origin, Policy.versioned((_: string) => updated, { atLeast: true }))
      yield* Cached.get(cached, "a")
      updated = new Date(4) // a replica that lags
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      updated = new Date(6)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a version that changes during a load makes the loaded entry dead",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let version = 1
      const cached = numbers(origin, Policy.versioned((_: string) => version))
      origin.takes = "1 second"
      const reader = yield* begin(Cached.get(cached, "a"))
      version = 2
      origin.value = 1
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(reader), 0)
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a read under a newer version is not given a load that began under the older",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let version = 1
      const cached = numbers(origin, Policy.versioned((_: string) => version))
      origin.takes = "1 second"
      const early = yield* begin(Cached.get(cached, "a"))
      version = 2
      origin.value = 1
      const late = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Fiber.join(late), 1)
      yield* assertQuiet
    })
  )
})

describe("tags", () => {
  const films = (rows: Map<number, typeof Film.Type>, policy: Policy.Policy<number, typeof Film.Type>) => {
    const state = { loads: 0 }
    const cached = Cached.make("film", {
      key: Key.int("id"),
      value: Film,
      lookup: (id) => Effect.sync(() => (state.loads++, rows.get(id)!))
    }, policy)
    return { cached, state }
  }
  const rows = new Map([
    [1, { id: 1, title: "Alien", genre: "horror", rating: 8 }],
    [2, { id: 2, title: "Heat", genre: "drama", rating: 8 }]
  ])

  const each: Record<string, Policy.Policy<number, typeof Film.Type>> = {
    "a constant": Policy.tagged("films"),
    "the key": Policy.tagged((id: number) => [`film:${id}`]),
    "key and value": Policy.tagged({ fromValue: (film: typeof Film.Type) => [`genre:${film.genre}`] })
  }
  const hits: Record<string, readonly [tag: string, loads: number]> = {
    "a constant": ["films", 4],
    "the key": ["film:1", 3],
    "key and value": ["genre:horror", 3]
  }
  for (const [from, policy] of Object.entries(each)) {
    onEach(
      `a tag from ${from} ends exactly what has it`,
      Effect.gen(function*() {
        const { cached, state } = films(rows, policy)
        const both = Effect.forEach([1, 2], (id) => Cached.get(cached, id))
        yield* both
        yield* Cached.apply(Invalidation.tags("unrelated"))
        yield* both
        assert.strictEqual(state.loads, 2)
        const [tag, loads] = hits[from]!
        assert.strictEqual((yield* Cached.apply(Invalidation.tags(tag))).entries, loads - 2)
        yield* both
        yield* both
        assert.strictEqual(state.loads, loads)
      })
    )
  }

  onEach(
    "a tag that the value had, and has no more, matters no more",
    Effect.gen(function*() {
      const moving = new Map(rows)
      const { cached, state } = films(moving, each["key and value"]!)
      yield* Cached.get(cached, 1)
      moving.set(1, { ...moving.get(1)!, genre: "drama" })
      yield* Cached.apply(Invalidation.tags("genre:horror"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* Cached.apply(Invalidation.tags("genre:horror"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* Cached.apply(Invalidation.tags("genre:drama"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 3)
    })
  )

  onEach(
    "severity Stale: an invalidated entry is served once more and refreshed",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("a", { severity: "Stale" }))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "severity OnError: an invalidated entry is served only if the load fails",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load
      }, Policy.tagged("a", { severity: "OnError" }))
      yield* Cached.get(cached, "a")
      yield* Cached.apply(Invalidation.tags("a"))
      origin.value = 1
      origin.ends = Effect.fail(new Down())
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      origin.ends = Effect.void
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "the worst of two severities counts",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.and(Policy.tagged("a", { severity: "Stale" }), Policy.tagged("b")))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("a", "b"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  for (
    const [what, batch] of Object.entries({ "a key": Invalidation.keys("number:a"), "a tag": Invalidation.tags("t") })
  ) {
    onEach(
      `a soft invalidation of ${what} serves the old value once, and refreshes it`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.tagged("t"))
        yield* Cached.get(cached, "a")
        origin.value = 1
        yield* Cached.apply(Invalidation.soft(batch))
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* settle
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        assert.strictEqual(origin.loads, 2)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a hard invalidation after a soft one counts",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      yield* Cached.apply(Invalidation.tags("t"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a tag that a policy gained since is a mismatch for entries from before",
    Effect.gen(function*() {
      const origin = new Origin(0)
      yield* Cached.get(numbers(origin, Policy.ttl("1 hour")), "a")
      origin.value = 1
      assert.strictEqual(
        yield* Cached.get(numbers(origin, Policy.and(Policy.ttl("1 hour"), Policy.tagged("new"))), "a"),
        1
      )
    })
  )
})

describe("xfetch", () => {
  /** Loads that take a second, read every 50 ms from the first on. */
  const history = (seed: string) =>
    Effect.gen(function*() {
      yield* Cached.apply(Invalidation.everything)
      yield* TestClock.setTime(0)
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch({ beta: 1 })))
      const first = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      const refreshes: Array<number> = []
      let waited = 0
      for (let at = 1000; at < 25_000; at += 50) {
        const before = origin.loads
        const fiber = yield* begin(Cached.get(cached, "a"))
        if (isRunning(fiber)) waited++
        if (origin.loads > before) refreshes.push(at)
        yield* TestClock.adjust(50)
      }
      return { refreshes, waited }
    }).pipe(Random.withSeed(seed))

  onEach(
    "an entry is refreshed before its end, and nobody waits",
    Effect.gen(function*() {
      const { refreshes, waited } = yield* history("one")
      assert.isTrue(refreshes.length >= 2, String(refreshes))
      assert.strictEqual(waited, 0)
      // A refresh takes a second, and the entry lives ten from then on.
      let stored = 1000
      for (const at of refreshes) {
        assert.isTrue(at > stored && at < stored + 10_000, `a refresh at ${at} of what was stored at ${stored}`)
        stored = at + 1000
      }
    })
  )

  onEach(
    "one seed gives one history, another gives another",
    Effect.gen(function*() {
      const [once, again, other] = [yield* history("one"), yield* history("one"), yield* history("two")]
      assert.deepStrictEqual(again, once)
      assert.notDeepEqual(other, once)
    })
  )

  onEach(
    "past the end of freshness it is a plain miss",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch()))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual((yield* Cached.stats(cached)).misses, 2)
    })
  )

  onEach(
    "a load that took no time is not refreshed early",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch({ beta: 1000 })))
      yield* readsAt(cached, origin, [...Array.from({ length: 100 }, (_, i) => i * 100), 9_999])
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "one slow load is remembered: the estimate of how long loads take falls off slowly",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds", { stale: "1 hour" }), Policy.xfetch()))
      const durations: Array<number> = []
      for (const takes of [4000, 0, 0, 8000, 6000]) {
        origin.takes = takes
        yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(takes)
        yield* settle
        durations.push((yield* TestCache.entries)[0]!.stamp.duration)
        yield* TestClock.adjust("10 seconds")
      }
      assert.deepStrictEqual(durations, [4000, 2000, 1000, 8000, 7000])
    })
  )
})

describe("who waits for a refresh", () => {
  const slow = (refresh: Cached.Refresh, options: Options = {}) =>
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
    "a refresh in the background that fails leaves the old value, and the next read tries again",
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

describe("the old value in place of a load that fails", () => {
  const policy = Policy.ttl<string, number>("10 seconds", { onError: "30 seconds" })
  const aging = (origin: Origin<number, Down>) =>
    Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

  const failures: Record<string, Effect.Effect<never, Down>> = {
    "with a typed failure": Effect.fail(new Down()),
    "with a defect": Effect.die("boom"),
    "by interrupting itself": Effect.interrupt
  }
  for (const [how, failure] of Object.entries(failures)) {
    onEach(
      `is served when the load ends ${how}, up to its last age and never past it`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = aging(origin)
        yield* Cached.get(cached, "a")
        origin.ends = failure
        yield* TestClock.setTime(29_999)
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* TestClock.setTime(30_000)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Cached.get(cached, "a"))))
        origin.ends = Effect.void
        origin.value = 1
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        yield* assertQuiet
      })
    )

    onEach(
      `is not served when a load that ends ${how} takes until past its last age`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = aging(origin)
        yield* Cached.get(cached, "a")
        origin.ends = failure
        origin.takes = "5 seconds"
        yield* TestClock.setTime(25_000)
        const late = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(5000)
        const [exit] = yield* ends([late])
        assert.isTrue(Exit.isFailure(exit!))
      })
    )
  }

  onEach(
    "is served to all who waited for the load",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = aging(origin)
      yield* Cached.get(cached, "a")
      origin.ends = Effect.fail(new Down())
      origin.takes = "1 second"
      yield* TestClock.adjust("10 seconds")
      const readers = yield* beginAll(20, Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        (yield* ends(readers)).map((exit) => Exit.isSuccess(exit) && exit.value),
        Array(20).fill(0)
      )
      assert.strictEqual(origin.loads, 2)
    })
  )
})

describe("failures", () => {
  const users = (policy: Policy.Policy<number, NotFound>) => {
    const state = { loads: 0, row: undefined as string | undefined, ends: Effect.void as Effect.Effect<void, Down> }
    const cached = Cached.make("user", {
      key: Key.int("id"),
      value: Schema.String,
      lookup: (id) =>
        Effect.suspend((): Effect.Effect<string, NotFound | Down> => {
          state.loads++
          return Effect.andThen(
            state.ends,
            state.row === undefined ? Effect.fail(new NotFound({ id })) : Effect.succeed(state.row)
          )
        }),
      failures: { error: NotFound, policy }
    }, Policy.ttl("1 minute", { onError: "1 hour" }))
    return { state, cached }
  }

  onEach(
    "a failure that is worth caching is cached, with its own policy",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      const first = yield* errorOf(Cached.get(cached, 1))
      yield* TestClock.setTime(9_999)
      const second = yield* errorOf(Cached.get(cached, 1))
      assert.instanceOf(second, NotFound)
      assert.deepStrictEqual(second, first)
      assert.strictEqual(state.loads, 1)
      yield* TestClock.setTime(10_000)
      state.row = "Ada"
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
      yield* TestClock.setTime(69_999)
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a failure that is an answer replaces an old value, also one that may be served on errors",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      state.row = "Ada"
      yield* Cached.get(cached, 1)
      state.row = undefined
      yield* TestClock.adjust("2 minutes")
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      assert.strictEqual(state.loads, 2)
      assert.isTrue((yield* TestCache.entries)[0]!.stamp.failure)
    })
  )

  onEach(
    "a failure that is not of that kind is not cached, and replaces nothing",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      state.ends = Effect.fail(new Down())
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), Down)
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), Down)
      assert.strictEqual(state.loads, 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      state.ends = Effect.void
      state.row = "Ada"
      yield* Cached.get(cached, 1)
      state.ends = Effect.fail(new Down())
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
      yield* assertQuiet
    })
  )

  onEach(
    "without `failures`, no failure is cached",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.ends = Effect.fail(new Down())
      const cached = Cached.make(
        "n",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      yield* errorOf(Cached.get(cached, undefined))
      yield* errorOf(Cached.get(cached, undefined))
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a cached failure can be stale, refreshed in the background, and give way to a value",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds", { stale: "20 seconds" }))
      yield* errorOf(Cached.get(cached, 1))
      state.row = "Ada"
      yield* TestClock.adjust("10 seconds")
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
    })
  )

  onEach(
    "a tag that a cached failure has ends it",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.tagged({ fromValue: (error: NotFound) => [`user:${error.id}`] }))
      yield* errorOf(Cached.get(cached, 1))
      yield* errorOf(Cached.get(cached, 1))
      assert.strictEqual(state.loads, 1)
      state.row = "Ada"
      yield* Cached.apply(Invalidation.tags("user:1"))
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
    })
  )
})

describe("what goes wrong harms nobody else", () => {
  const endings: Record<string, { readonly ends: Effect.Effect<never, Down> }> = {
    "that fails": { ends: Effect.fail(new Down()) },
    "that dies": { ends: Effect.die("boom") },
    "that interrupts itself": { ends: Effect.interrupt }
  }
  for (const [which, { ends: ended }] of Object.entries(endings)) {
    for (const takes of [0, 1000]) {
      onEach(
        `a lookup ${which} ${takes === 0 ? "at once" : "after a while"} leaves nothing behind`,
        Effect.gen(function*() {
          const origin = new Origin<number, Down>(1)
          origin.ends = ended
          origin.takes = takes
          const cached = Cached.make("n", {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => origin.load
          }, Policy.forever)
          const fiber = yield* begin(Cached.get(cached, "a"))
          yield* TestClock.adjust(takes)
          const [exit] = yield* ends([fiber])
          assert.isTrue(Exit.isFailure(exit!))
          yield* assertQuiet
          origin.ends = Effect.void
          origin.takes = 0
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          assert.strictEqual(origin.loads, 2)
        })
      )
    }
  }

  onEach(
    "who waited for a load that interrupted itself loads for himself, and is not interrupted",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        // The first caller's lookup depends on something that is interrupted.
        lookup: () =>
          Effect.suspend(() => origin.loads === 0 ? Effect.andThen(origin.load, Effect.interrupt) : origin.load)
      }, Policy.forever)
      const readers = yield* beginAll(3, Cached.get(cached, "a"))
      yield* TestClock.adjust("2 seconds")
      const [first, ...others] = yield* ends(readers)
      assert.isTrue(Exit.isFailure(first!) && Exit.hasInterrupts(first))
      assert.deepStrictEqual(others.map((exit) => Exit.isSuccess(exit) && exit.value), [1, 1])
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a lookup that throws where it is called is a defect of that read",
    Effect.gen(function*() {
      const boom = new Error("boom")
      let broken = true
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => {
          if (broken) throw boom
          return Effect.succeed(1)
        }
      }, Policy.forever)
      assert.strictEqual(yield* defectOf(Cached.get(cached, "a")), boom)
      yield* assertQuiet
      broken = false
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  const throwing = (on: (key: string) => boolean) => ({
    "the key": Policy.tagged((key: string): Array<string> => {
      if (on(key)) throw new Error("boom")
      return ["t"]
    }),
    "key and value": Policy.tagged({
      fromValue: (_value: number, key: string): Array<string> => {
        if (on(key)) throw new Error("boom")
        return ["t"]
      }
    })
  })
  for (const from of ["the key", "key and value"] as const) {
    onEach(
      `a function for tags from ${from} that throws is a defect of those reads alone`,
      Effect.gen(function*() {
        const origin = new Origin(1)
        let broken = true
        const cached = numbers(origin, throwing((key) => broken && key === "bad")[from])
        for (let i = 0; i < 10; i++) assert.instanceOf(yield* defectOf(Cached.get(cached, "bad")), Error)
        yield* assertQuiet
        assert.strictEqual(yield* Cached.get(cached, "good"), 1)
        const loads = origin.loads
        assert.strictEqual(yield* Cached.get(cached, "good"), 1)
        assert.strictEqual(origin.loads, loads)
        assert.strictEqual((yield* Cached.stats(cached)).storeFailures, 0)
        broken = false
        assert.strictEqual(yield* Cached.get(cached, "bad"), 1)
        assert.strictEqual(yield* Cached.get(cached, "bad"), 1)
        assert.strictEqual(origin.loads, loads + 1)
      })
    )
  }

  onText(
    "a function for tags of the key that throws never does so inside of the store, which would count it as its own",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), throwing(() => true)["the key"])
      yield* defectOf(Cached.get(cached, "bad"))
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read"])
    })
  )

  onEach(
    "an empty tag is a defect of the read that met it",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged({ fromValue: (_value: number) => [""] }))
      const defect = yield* defectOf(Cached.get(cached, "a"))
      assert.isTrue(InvalidInput.isInvalidInput(defect) && defect.reason === "EmptyTag")
      yield* assertQuiet
    })
  )

  onEach(
    "a key that is refused is a defect of that call, and nothing is asked",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      const calls = [
        Cached.get(cached, ""),
        Cached.getOption(cached, ""),
        Cached.getMany(cached, ["a", ""]),
        Cached.refresh(cached, ""),
        Cached.set(cached, "", Effect.succeed(1)),
        Cached.invalidate(cached, ""),
        Cached.explain(cached, "")
      ]
      for (const call of calls) {
        const defect = yield* defectOf(call as Effect.Effect<unknown, unknown, CacheService.CacheService>)
        assert.isTrue(InvalidInput.isInvalidInput(defect) && defect.reason === "EmptyKeyPart")
      }
      assert.strictEqual(origin.loads, 0)
      yield* assertQuiet
    })
  )

  onEach(
    "a value that cannot be encoded is served",
    Effect.gen(function*() {
      const cached = Cached.make("odd", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.succeed(Number.NaN) // types do not keep NaN out
      }, Policy.forever)
      assert.isNaN(yield* Cached.get(cached, undefined))
      yield* assertQuiet
    })
  )

  onText(
    "a value that cannot be encoded is not cached, is warned about, and may be shared",
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push([logLevel, message])
      })
      const origin = new Origin(Number.NaN)
      origin.takes = "1 second"
      const cached = Cached.make(
        "odd",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      const readers = yield* beginAll(3, Cached.get(cached, undefined)).pipe(Effect.provide(Logger.layer([logger])))
      yield* TestClock.adjust("1 second")
      yield* ends(readers)
      assert.deepStrictEqual([origin.loads, yield* TestCache.entries], [1, []])
      assert.deepStrictEqual(logged, [["Warn", ["a value of \"odd\" cannot be encoded and is not cached"]]])
      yield* assertQuiet
    })
  )
})

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
    "by mutate of the key": (cached) => Effect.void.pipe(Cached.mutate(Cached.keys(cached, "a")))
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
      yield* Cached.apply(Invalidation.combine(Invalidation.tags("value:1", "key:b"), Cached.keys(cached, "b")))
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
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("value:0", "constant")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(early)
      yield* Cached.get(cached, "a").pipe(Effect.forkChild)
      yield* TestClock.adjust("1 second")
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})

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

  for (const operation of ["read", "begin", "commit"] as const) {
    onText(
      `a ${operation} that never answers costs the time limit and a load; after five, nothing is waited for`,
      Effect.gen(function*() {
        const origin = new Origin(1)
        const cached = numbers(origin, Policy.forever)
        yield* TestCache.delay(operation, Infinity)
        for (let i = 0; i < 5; i++) {
          const fiber = yield* begin(Cached.get(cached, `key ${i}`))
          yield* TestClock.adjust(999)
          assert.isTrue(isRunning(fiber), `it ended too early: ${i}`)
          yield* TestClock.adjust(1)
          yield* settle
          assert.strictEqual(yield* Fiber.join(fiber), 1)
        }
        assert.strictEqual(origin.loads, 5)
        if (operation === "read") { // nothing else is asked that could answer and close the circuit
          for (let i = 0; i < 10; i++) assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          yield* TestClock.adjust("5 seconds") // then one may try again
          const first = yield* begin(Cached.get(cached, "a"))
          assert.isTrue(isRunning(first))
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(first)
          yield* TestCache.restore
          yield* TestClock.adjust("5 seconds")
          yield* Cached.get(cached, "a") // closes the circuit
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
      assert.deepStrictEqual(yield* Cached.get(after, undefined), { a: 1, b: 2 })
      assert.deepStrictEqual(yield* Cached.get(after, undefined), { a: 1, b: 2 })
      const { loads, unreadable } = yield* Cached.stats(after)
      assert.deepStrictEqual({ loads, unreadable }, { loads: 2, unreadable: 1 })
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

describe("what is remembered for speed", () => {
  it.effect("a store that answers at once is asked once for a hit, however near its end the entry is", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      let reads = 0
      const service = yield* CacheService.make({
        ...store,
        read: (address) => {
          reads++
          return store.read(address)
        }
      })
      const origin = new Origin(1)
      const load = Effect.delay(origin.load, 1000)
      const policy = Policy.all(Policy.ttl<string, number>(60_000), Policy.xfetch())
      const cached = Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => load }, policy)
      const get = Effect.provideService(Cached.get(cached, "a"), CacheService.CacheService, service)
      const first = yield* Effect.forkChild(get)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(first)
      // Fresh whatever is drawn; then fresh unless a draw says otherwise.
      for (const wait of [10_000, 20_000, 10_000]) {
        yield* TestClock.adjust(wait)
        reads = 0
        assert.strictEqual(yield* get, 1)
        assert.strictEqual(reads, 1)
      }
    }))

  it.effect("a key that a function writes is written anew at each read", () =>
    Effect.gen(function*() {
      let tenant = "a"
      const cached = Cached.make("tenants", {
        key: Key.contramap(Key.string("id"), (id: string) => tenant + id),
        value: Schema.String,
        lookup: () => Effect.sync(() => `of ${tenant}`)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(cached, "1"), "of a")
      tenant = "b"
      assert.strictEqual(yield* Cached.get(cached, "1"), "of b")
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("an invalidation marks what it removes, however many there are", () =>
    Effect.gen(function*() {
      const cached = Cached.make("many", {
        key: Key.int("n"),
        value: Schema.Int,
        lookup: (n) => Effect.succeed(n)
      }, Policy.tagged("all"))
      const all = Array.from({ length: 3001 }, (_, n) => n)
      yield* Cached.getMany(cached, all)
      const { store } = yield* CacheService.CacheService
      const held = yield* store.read({ key: Cached.keyOf(cached, 0), known: [] })
      yield* Cached.apply(Invalidation.tags("all"))
      assert.strictEqual(held?.changed?.size, 1)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10_000 }))))
})
