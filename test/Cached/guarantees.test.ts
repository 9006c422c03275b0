/**
 * The guarantees of docs/consistency.md, each with its sentence and tests that
 * try to break it in this process. Random histories are drawn from a seed; a
 * failing one names it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  alien,
  assertQuiet,
  begin,
  beginAll,
  Down,
  ends,
  errorOf,
  Film,
  isRunning,
  onEach,
  onText,
  Origin,
  type Provided,
  settle
} from "../support/cached.ts"

const numbers = <E = never>(origin: Origin<number, E>, policy: Policy.Policy<string, number> = Policy.forever) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

// -----------------------------------------------------------------------------
// random histories
// -----------------------------------------------------------------------------

/** Small, seeded, and apart from the program's own randomness. */
const chance = (seed: number) => {
  let state = Math.imul(seed + 1, 2_654_435_761)
  const below = (n: number): number => {
    state = Math.imul(state ^ (state >>> 15), 2_246_822_519) + 3_266_489_917
    return ((state ^ (state >>> 13)) >>> 0) % n
  }
  return { below, pick: <A>(all: ReadonlyArray<A>): A => all[below(all.length)]! }
}

type Write = "key" | "known" | "found" | "pattern" | "everything" | "set" | "mutate"

interface Plan {
  readonly writes: ReadonlyArray<Write>
  /** What may be lost in between. */
  readonly lost?: ReadonlyArray<"entry" | "lease" | "journal">
  /** Whether the store refuses every other operation that a write needs after it. */
  readonly refuses?: boolean
  readonly runs?: number
}

type Happened =
  | { readonly _tag: "Wrote"; readonly key: number; readonly version: number; readonly how: Write }
  | {
    readonly _tag: "Read"
    readonly key: number
    readonly start: number
    readonly version: number
    readonly at: string
  }

const Row = Schema.Struct({ version: Schema.Int, owner: Schema.Int })

/**
 * Readers, and writers who invalidate in some way, at random moments, with
 * loads and operations of the store that take random times. No read that
 * starts after a write has returned may give what was before it.
 */
const randomHistory = Effect.fnUntraced(function*(seed: number, { lost = [], refuses = false, writes }: Plan) {
  const { below, pick } = chance(seed)
  const happened: Array<Happened> = []
  const rows = [{ version: 0, owner: 1 }, { version: 0, owner: 2 }]
  const wait = (most: number) =>
    Effect.suspend(() => {
      const millis = below(most)
      return millis === 0 ? Effect.void : Effect.sleep(millis)
    })
  const cached = Cached.make(
    "row",
    {
      key: Key.int("id"),
      value: Row,
      lookup: (id) =>
        Effect.andThen(
          wait(30),
          Effect.suspend(() => {
            const row = rows[id]! // what a replica would call a snapshot
            return Effect.as(wait(60), row)
          })
        )
    },
    Policy.all(
      Policy.ttl("200 millis", { stale: "300 millis" }),
      Policy.tagged((id: number) => [`row:${id}`]),
      Policy.tagged({ fromValue: (row: typeof Row.Type) => [`owner:${row.owner}`] })
    )
  )
  for (const name of ["read", "begin", "commit", "invalidate", "fence", "lift"] as const) {
    const refusable = refuses && (name === "commit" || name === "invalidate" || name === "lift")
    const refused = Effect.fail(
      new CacheStore.StoreError({ operation: name, reason: { _tag: "Unavailable" }, mayHaveHappened: false })
    )
    yield* TestCache.disturb(name, (_, perform) => {
      const slowly = below(3) === 0 ? Effect.andThen(wait(20), perform) : perform
      return refusable && below(2) === 0 ? (below(2) === 0 ? refused : Effect.andThen(slowly, refused)) : slowly
    })
  }
  const read = Effect.suspend(() => {
    const [key, start] = [below(2), happened.length]
    return Effect.map(Cached.get(cached, key), ({ version }) => {
      happened.push({ _tag: "Read", key, start, version, at: "" })
    })
  })
  const write = Effect.suspend(() => {
    const [key, how] = [below(2), pick(writes)]
    const before = rows[key]!
    let written: number | undefined
    const commit = Effect.andThen(
      wait(30),
      Effect.sync(() => {
        const row = { version: rows[key]!.version + 1, owner: how === "found" ? before.owner : below(2) + 1 }
        written = row.version
        return rows[key] = row
      })
    )
    const invalidate = (batch: (row: typeof before) => Invalidation.Invalidation) =>
      Effect.tap(commit, () => Effect.andThen(wait(20), Effect.suspend(() => Cached.apply(batch(before)))))
    const ways: Record<Write, Effect.Effect<typeof before, CacheService.InvalidationError, CacheService.CacheService>> =
      {
        key: invalidate(() => Cached.keys(cached, key)),
        known: invalidate(() => Invalidation.tags(`row:${key}`)),
        // Another writer may have given the row to another owner since: both are named, as a published change would.
        found: invalidate(() => Invalidation.tags("owner:1", "owner:2")),
        pattern: invalidate(() => Cached.pattern(cached)),
        everything: invalidate(() => Invalidation.everything),
        set: Cached.set(cached, key, commit),
        mutate: Cached.mutate(
          commit,
          Invalidation.combine(Invalidation.tags("owner:1", "owner:2"), Cached.keys(cached, key))
        )
      }
    // Also one whose invalidation has failed, and is kept: in this process it counts.
    return Effect.map(refuses ? Effect.ignore(ways[how]) : ways[how], () => {
      if (written !== undefined) happened.push({ _tag: "Wrote", key, version: written, how })
    })
  })
  const lose = Effect.suspend(() => TestCache.evict(pick(lost)))
  const repeated = (times: number, act: Effect.Effect<void, unknown, Provided>) =>
    Effect.forkChild(Effect.repeat(Effect.andThen(wait(60), act), { times: times - 1 }))
  const actors = [
    ...yield* Effect.forEach([0, 1, 2, 3], () => repeated(6, read)),
    ...yield* Effect.forEach([0, 1], () => repeated(4, write)),
    ...(lost.length > 0 ? [yield* repeated(10, lose)] : [])
  ]
  yield* TestClock.adjust("5 seconds")
  for (const exit of yield* ends(actors)) assert.isTrue(Exit.isSuccess(exit), `seed ${seed}: ${exit}`)
  for (const one of happened) {
    if (one._tag !== "Read") continue
    const missed = happened.slice(0, one.start).find((w) =>
      w._tag === "Wrote" && w.key === one.key && w.version > one.version
    )
    assert.isUndefined(missed, `seed ${seed}: ${JSON.stringify({ missed, one })}`)
  }
  yield* TestCache.restore
  for (const key of [0, 1]) {
    const last = yield* begin(Cached.get(cached, key))
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* Fiber.join(last)).version, rows[key]!.version, `seed ${seed}: the last read`)
  }
  yield* TestClock.adjust("5 seconds")
  assert.deepStrictEqual(yield* CacheService.undelivered, [])
  yield* assertQuiet
})

const noHistoryBreaksIt = (plan: Plan) => {
  const all = (from: number) =>
    Effect.forEach(
      Array.from({ length: plan.runs ?? 25 }, (_, i) => from + i),
      (seed) => Effect.andThen(Cached.apply(Invalidation.everything), randomHistory(seed, plan)),
      { discard: true }
    )
  const what = [
    ...plan.writes,
    ...(plan.lost ?? []).map((what) => `a lost ${what}`),
    ...(plan.refuses === true ? ["a store that refuses"] : [])
  ]
  const test = plan.refuses === true ? onText : onEach
  test(`no random history breaks it: ${what.join(", ")}`, all(1))
}

// -----------------------------------------------------------------------------
// two processes
// -----------------------------------------------------------------------------

/** Two services on one store, as two processes have them: flights and refreshes are each one's own. */
const twoProcesses = Effect.gen(function*() {
  const memory = yield* MemoryCache.makeStore({ capacity: 100 })
  const { instruments, store } = TestCache.instrument(memory)
  const process = Effect.map(
    CacheService.make(CacheStore.guard(store)),
    (service) =>
    <A, E, R>(
      effect: Effect.Effect<A, E, R>
    ): Effect.Effect<A, E, Exclude<Exclude<R, CacheService.CacheService>, TestCache.TestCache>> =>
      effect.pipe(
        Effect.provideService(CacheService.CacheService, service),
        Effect.provideService(TestCache.TestCache, instruments)
      )
  )
  return { memory, here: yield* process, there: yield* process }
})

// -----------------------------------------------------------------------------
// the guarantees
// -----------------------------------------------------------------------------

describe("G1. Read your invalidation, everywhere: after it has returned, no read that starts later returns a load that began before it and that it covers", () => {
  noHistoryBreaksIt({ writes: ["key"] })
  noHistoryBreaksIt({ writes: ["known"] })
  noHistoryBreaksIt({ writes: ["found"] })
  noHistoryBreaksIt({ writes: ["key", "known", "found", "pattern", "everything"] })

  it.effect("in another process on the same store too, whatever is in flight there", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      const early = yield* begin(there(Cached.get(cached, "a")))
      origin.value = 1
      yield* here(Cached.apply(Invalidation.tags("value:0")))
      const late = yield* begin(there(Cached.get(cached, "a")))
      yield* TestClock.adjust(3000)
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Fiber.join(late), 1)
      assert.strictEqual(yield* here(Cached.get(cached, "a")), 1)
    }))

  onEach(
    "softly: what was loaded before is not served as fresh",
    Effect.gen(function*() {
      for (const batch of [Invalidation.tags("value:0"), Invalidation.keys("number:a"), Invalidation.everything]) {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
        yield* Cached.apply(Invalidation.everything)
        origin.takes = 1000
        const early = yield* begin(Cached.get(cached, "a"))
        origin.value = 1
        yield* Cached.apply(Invalidation.soft(batch))
        yield* TestClock.adjust(1000)
        yield* Fiber.join(early)
        const { hits } = yield* Cached.stats(cached)
        yield* begin(Cached.get(cached, "a"))
        assert.strictEqual((yield* Cached.stats(cached)).hits, hits)
        yield* TestClock.adjust(1000)
        yield* settle
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      }
    })
  )

  onText(
    "an invalidation that is slow counts from when it has returned",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestCache.delay("invalidate", 500, 1)
      const invalidation = yield* begin(Cached.invalidate(cached, "a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust(500)
      yield* Fiber.join(invalidation)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})

describe("G2. No resurrection: once a read or an invalidation has found an entry dead, no later read returns it", () => {
  const flipping = Effect.sync(() => {
    const origin = new Origin(0)
    const state = { version: 1 }
    return { origin, state, cached: numbers(origin, Policy.versioned(() => state.version)) }
  })
  const finders: Record<
    string,
    (cached: Cached.Cached<string, number>) => Effect.Effect<unknown, unknown, CacheService.CacheService>
  > = {
    "get": (cached) => Cached.get(cached, "a"),
    "getOption": (cached) => Cached.getOption(cached, "a"),
    "a get that fails": (cached) => Effect.exit(Cached.get(cached, "a"))
  }
  for (const [how, find] of Object.entries(finders)) {
    onEach(
      `a version that comes back does not bring back what ${how} found dead`,
      Effect.gen(function*() {
        const { cached, origin, state } = yield* flipping
        yield* Cached.get(cached, "a")
        origin.value = 1
        state.version = 2
        if (how === "a get that fails") origin.ends = Effect.die("boom") as never
        yield* find(cached)
        origin.ends = Effect.void
        state.version = 1
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a clock that is set back does not make an entry younger",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(100_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(110_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.setTime(105_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a load that began before the invalidation stores nothing afterwards, however late it ends",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      origin.takes = 10_000
      const early = yield* begin(Cached.get(cached, "a"))
      for (let i = 1; i <= 3; i++) { // each invalidation is followed by a read that fills the key again
        origin.value = i
        origin.takes = 0
        yield* Cached.apply(i === 2 ? Cached.keys(cached, "a") : Invalidation.tags("t"))
        assert.strictEqual(yield* Cached.get(cached, "a"), i)
      }
      yield* TestClock.adjust(10_000)
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Cached.get(cached, "a"), 3)
      assert.strictEqual(origin.loads, 4)
    })
  )
})

describe("G3. No late joiners: a read never joins a load that an invalidation, returned before the read started, covers", () => {
  const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
  const policy = Policy.all(
    Policy.tagged<number, Film>("films"),
    Policy.tagged((id: number) => [`film:${id}`]),
    Policy.tagged({ fromValue: (film: Film) => [`genre:${film.genre}`] }),
    Policy.conditional(Films, { fields: ["title"] })
  )
  const covering: Record<string, Invalidation.Invalidation> = {
    "a constant tag": Invalidation.tags("films"),
    "a tag of the key": Invalidation.tags("film:7"),
    "a tag of the value": Invalidation.tags("genre:horror"),
    "the key": Invalidation.keys("film:7"),
    "a change": Invalidation.changes(Films.updated(alien, { ...alien, title: "Aliens" })),
    "everything": Invalidation.everything
  }
  for (const [what, batch] of Object.entries(covering)) {
    onEach(
      `after an invalidation of ${what}, a hundred readers share a load of their own`,
      Effect.gen(function*() {
        const origin = new Origin(alien)
        origin.takes = 1000
        const cached = Cached.make("film", { key: Key.int("id"), value: Film, lookup: () => origin.load }, policy)
        const early = yield* beginAll(100, Cached.get(cached, 7))
        yield* TestClock.adjust(500)
        origin.value = { ...alien, title: "Aliens" }
        yield* Cached.apply(batch)
        const late = yield* beginAll(100, Cached.get(cached, 7))
        yield* TestClock.adjust(3000)
        for (const exit of yield* ends(late)) assert.isTrue(Exit.isSuccess(exit) && exit.value.title === "Aliens")
        for (const exit of yield* ends(early)) assert.isTrue(Exit.isSuccess(exit))
        assert.strictEqual(origin.loads, 2)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "those who joined a load that is refused look again",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      const first = yield* begin(Cached.get(cached, "a"))
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("value:0"))
      // Nobody can know yet that this load is void: its tag is found in its value.
      const joined = yield* begin(Cached.get(cached, "a"))
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust(2000)
      assert.strictEqual(yield* Fiber.join(first), 0)
      assert.strictEqual(yield* Fiber.join(joined), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )
})

describe("G4. Bounded staleness, unconditionally: nothing is served past its last threshold, whatever fails, whatever the clocks say", () => {
  const bounded = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })
  const read = (cached: Cached.Cached<string, number, unknown>) =>
    Effect.map(Effect.exit(Cached.get(cached, "a")), (exit) => Exit.isSuccess(exit) ? exit.value : "none")

  for (const refresh of ["background", "caller", "everyone"] as const) {
    onEach(
      `with refresh ${refresh}, a dead origin, and a clock that is set back at every step`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = Cached.make("n", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () => origin.load,
          refresh
        }, bounded)
        yield* TestClock.setTime(1_000_000)
        yield* read(cached)
        origin.ends = Effect.fail(new Down())
        const served: Array<number | string> = []
        // Each second the clock goes ten seconds back first. What has passed is a second at most.
        let clock = 1_000_000
        for (let second = 1; second <= 40; second++) {
          yield* TestClock.setTime(clock -= 10_000)
          yield* read(cached)
          yield* TestClock.setTime(clock += 1000)
          served.push(yield* read(cached))
          yield* settle
        }
        assert.deepStrictEqual(served.slice(0, 29), Array(29).fill(0))
        assert.deepStrictEqual(served.slice(29), Array(11).fill("none"))
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a clock that is set forward ends entries, and setting it back again does not revive them",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(3_600_000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* TestClock.setTime(0)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust(9_999)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* TestClock.adjust(1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "time that passes after the clock was set back counts, though nobody looked at it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(3_600_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(0)
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a clock that is set back during a load neither shortens nor lengthens a life",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(100_000)
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(reader)
      origin.takes = 0
      yield* TestClock.setTime(50_000)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust(9_999)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust(1)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onText(
    "with every operation of the store but reading failing",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: "1 second"
      }, bounded)
      yield* read(cached)
      origin.ends = Effect.fail(new Down())
      for (const name of ["begin", "commit", "discard", "abandon", "released"] as const) yield* TestCache.fail(name)
      yield* TestClock.setTime(29_999)
      assert.strictEqual(yield* read(cached), 0)
      yield* TestClock.setTime(30_000)
      assert.strictEqual(yield* read(cached), "none")
    })
  )

  onEach(
    "with a load that hangs until past the threshold",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: "2 seconds",
        hardTimeout: "4 seconds"
      }, bounded)
      yield* read(cached)
      origin.takes = "1 hour"
      yield* TestClock.setTime(29_000)
      const reader = yield* begin(read(cached))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(reader), "none")
    })
  )

  onEach(
    "until: a tick ends what it ends though the clock is set back behind it",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.until("0 * * * *"))
      yield* TestClock.setTime(3_599_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(3_600_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.setTime(3_599_000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})

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

describe("G6. Writes: a write-through never leaves an older value over a newer one", () => {
  noHistoryBreaksIt({ writes: ["set"] })
  noHistoryBreaksIt({ writes: ["set", "key", "found", "mutate"] })

  it.effect("of two processes that write at once, the later value stands or the key is empty", () =>
    Effect.gen(function*() {
      const { here, memory, there } = yield* twoProcesses
      for (const [a, b] of [[100, 200], [200, 100], [150, 150], [50, 300]] as const) {
        const origin = new Origin(0)
        const cached = numbers(origin)
        const write = (value: number, takes: number) =>
          Cached.set(cached, "a", Effect.andThen(Effect.sleep(takes), Effect.sync(() => origin.value = value)))
        const writers = [
          yield* begin(here(write(1, a))),
          yield* begin(Effect.delay(there(write(2, b)), 40))
        ]
        yield* TestClock.adjust(1000)
        yield* ends(writers)
        const stored = memory.peek("number:a")
        if (stored !== undefined) assert.strictEqual(Number(stored.payload), origin.value)
        assert.strictEqual(yield* here(Cached.get(cached, "a")), origin.value)
        assert.strictEqual(yield* there(Cached.get(cached, "a")), origin.value)
        yield* here(Cached.apply(Invalidation.everything))
      }
    }))

  onEach(
    "a write that outlasts its lease does not overwrite what was loaded meanwhile",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        lease: "1 second"
      }, Policy.forever)
      const slow = yield* begin(Cached.set(
        cached,
        "a",
        Effect.gen(function*() {
          origin.value = 1
          yield* Effect.sleep("3 seconds") // the transaction is done, the answer is on its way
          return 1
        })
      ))
      yield* TestClock.adjust("2 seconds")
      origin.value = 2 // another writer, elsewhere
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
    })
  )
})

describe("G7. mutate: nothing loaded between its start and its end is stored or served after it, also if its process dies", () => {
  noHistoryBreaksIt({ writes: ["mutate"] })

  const tagged = (origin: Origin<number>) =>
    numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`, "t"] }))

  for (const loadsAt of [0, 500, 999]) {
    onEach(
      `a load that begins ${loadsAt} ms after the write has, and ends after it`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = tagged(origin)
        const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
        const writer = yield* begin(Cached.mutate(writing, Invalidation.tags("t")))
        yield* TestClock.adjust(loadsAt)
        origin.takes = 2000
        const early = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(1000 - loadsAt)
        yield* Fiber.join(writer)
        origin.takes = 0
        assert.strictEqual(yield* Effect.map(begin(Cached.get(cached, "a")), isRunning), true)
        yield* TestClock.adjust(2000)
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      })
    )
  }

  for (const found of [false, true]) {
    onText(
      `what was loaded under the fence is not shared after it by a load that could not be stored${
        found ? ", tags found" : ""
      }`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = found ? tagged(origin) : numbers(origin)
        const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
        const writer = yield* begin(Cached.mutate(writing, Cached.keys(cached, "a")))
        yield* TestClock.adjust(500)
        origin.takes = 2000
        const early = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(500)
        yield* Fiber.join(writer)
        origin.takes = 0
        const late = yield* begin(Cached.get(cached, "a"))
        assert.isTrue(isRunning(late))
        yield* TestCache.fail("commit", 1)
        yield* TestClock.adjust(1500)
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.strictEqual(yield* Fiber.join(late), 1)
      })
    )
  }

  it.effect("a process that dies in the middle: until its fence has ended nothing is stored, and nothing of it afterwards", () =>
    Effect.gen(function*() {
      const { here, memory, there } = yield* twoProcesses
      const origin = new Origin(0)
      const cached = tagged(origin)
      yield* there(Cached.get(cached, "a"))
      yield* here(TestCache.lose("lift", "request"))
      const dying = Cached.mutate(Effect.sync(() => origin.value = 1), Invalidation.tags("t"), { fence: "5 seconds" })
      yield* begin(here(Effect.exit(dying)))
      origin.takes = 6000
      const under = yield* begin(there(Cached.get(cached, "a")))
      yield* TestClock.adjust(6000)
      yield* Fiber.join(under)
      assert.deepStrictEqual(memory.keys(), [])
      origin.takes = 0
      assert.strictEqual(yield* there(Cached.get(cached, "a")), 1)
      assert.deepStrictEqual(memory.keys(), ["number:a"])
    }))

  onEach(
    "two at once over the same: the end of one does not end the other's fence",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = tagged(origin)
      const long = yield* begin(Cached.mutate(Effect.sleep(1000), Invalidation.tags("t")))
      yield* Cached.mutate(Effect.void, Invalidation.tags("t"))
      yield* Cached.get(cached, "a")
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* TestClock.adjust(1000)
      yield* Fiber.join(long)
      yield* Cached.get(cached, "a")
      assert.strictEqual((yield* TestCache.entries).length, 1)
    })
  )
})

describe("G8. Truthful invalidation: it succeeds only if the store acknowledged it; else it fails with a typed error that says whether it may have happened", () => {
  const Films = Entity.make("film", { schema: Film, id: "id" })
  const ways: Record<string, Effect.Effect<unknown, CacheService.InvalidationError, CacheService.CacheService>> = {
    "a key": Cached.apply(Invalidation.keys("number:a")),
    "a tag": Cached.apply(Invalidation.tags("t")),
    "a change": Changes.publish(Films.created(alien)),
    "mutate": Cached.mutate(Effect.void, Invalidation.tags("t")),
    "everything": Cached.apply(Invalidation.everything)
  }
  for (const [what, way] of Object.entries(ways)) {
    const name = what === "mutate" ? "fence" : "invalidate"
    onText(
      `${what}: a store that refuses, that is not reached, that does not answer`,
      Effect.gen(function*() {
        const cases = [
          [TestCache.fail(name, 1), false, "Unavailable"],
          [TestCache.lose(name, "request", 1), true, "Timeout"],
          [TestCache.lose(name, "answer", 1), true, "Timeout"],
          [TestCache.delay(name, Infinity, 1), true, "Timeout"]
        ] as const
        for (const [disturb, mayHaveHappened, reason] of cases) {
          yield* disturb
          const fiber = yield* begin(errorOf(way))
          yield* TestClock.adjust(what === "everything" ? "1 minute" : "1 second")
          assert.deepInclude(yield* Fiber.join(fiber), {
            _tag: "InvalidationError",
            mayHaveHappened,
            reason: { _tag: reason }
          })
          yield* way // repeating it is safe
        }
      })
    )
  }

  for (const how of ["key", "known", "found", "pattern", "everything", "set", "mutate"] as const) {
    noHistoryBreaksIt({ writes: [how], refuses: true })
  }
  noHistoryBreaksIt({ writes: ["key", "known", "found", "pattern", "everything", "set", "mutate"], refuses: true })

  it.effect("one that failed counts in its process at once, and everywhere when the store has acknowledged it", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* there(Cached.get(cached, "a"))
      origin.value = 1
      yield* here(TestCache.fail("invalidate", 1))
      yield* errorOf(here(Cached.apply(Invalidation.tags("t"))))
      assert.strictEqual(yield* there(Cached.get(cached, "a")), 0)
      assert.deepStrictEqual(yield* here(Cached.getOption(cached, "a")), Option.none())
      assert.deepStrictEqual(yield* here(Cached.getMany(cached, ["a"])), [1])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* here(CacheService.undelivered), [])
      assert.deepStrictEqual([yield* there(Cached.get(cached, "a")), yield* here(Cached.get(cached, "a"))], [1, 1])
    }))

  onText(
    "a write-through whose key could not be emptied: nobody here is given what was there before",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      // Whoever fills the key while it is written may have read before it.
      const write = Effect.andThen(Cached.refresh(cached, "a"), Effect.sync(() => origin.value = 1))
      yield* TestCache.fail("invalidate", 1)
      assert.deepInclude(yield* errorOf(Cached.set(cached, "a", write)), { mayHaveHappened: true })
      assert.strictEqual((yield* CacheService.undelivered)[0]?.invalidation.toString(), "key number:a")
      assert.strictEqual((yield* TestCache.entries)[0]?.payload, "0")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* CacheService.undelivered, [])
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onText(
    "an invalidation that may have happened and did is one that has",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestCache.lose("invalidate", "answer", 1)
      const fiber = yield* begin(errorOf(Cached.invalidate(cached, "a")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "says to the log what was invalidated, and gives how many entries that were",
    Effect.gen(function*() {
      const cached = numbers(new Origin(0), Policy.tagged("t"))
      yield* Effect.forEach(["a", "b", "c"], (key) => Cached.get(cached, key))
      assert.strictEqual((yield* Cached.apply(Invalidation.tags("t"))).entries, 3)
    })
  )
})

describe("G9. Eviction is harmless: the store may drop any of its keys at any time", () => {
  for (const lost of ["entry", "lease", "journal"] as const) {
    noHistoryBreaksIt({ writes: ["key", "known", "found", "set", "mutate"], lost: [lost] })
  }
  noHistoryBreaksIt({ writes: ["key", "known", "found", "set", "mutate"], lost: ["entry", "lease", "journal"] })

  onEach(
    "a fence that is lost while it stands: what was stored meanwhile goes with the end of the write",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
      const writer = yield* begin(Cached.mutate(writing, Invalidation.tags("t")))
      yield* TestCache.evict("journal")
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  it.effect("a store with room for one entry is slow and right", () =>
    Effect.gen(function*() {
      const rows = [0, 0, 0]
      let loads = 0
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.Int,
        lookup: (id) => Effect.sync(() => (loads++, rows[id]!))
      }, Policy.tagged({ fromValue: (_: number, id: number) => [`row:${id}`] }))
      for (let i = 0; i < 30; i++) {
        const id = i % 3
        assert.strictEqual(yield* Cached.get(cached, id), rows[id])
        if (i % 4 === 0) {
          rows[id]!++
          yield* Cached.apply(Invalidation.tags(`row:${id}`))
        }
        assert.strictEqual(yield* Cached.get(cached, id), rows[id])
      }
      assert.isTrue(loads >= 30)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1 }))))
})

describe("G10. Reads fail open, in bounded time: a store that is down, frozen, full or holds garbage makes a get load from the origin", () => {
  const operations = ["read", "begin", "commit", "abandon", "released"] as const
  const faults: Record<string, (name: TestCache.OperationName) => Effect.Effect<void, never, TestCache.TestCache>> = {
    "failing": (name) => TestCache.fail(name),
    "frozen": (name) => TestCache.delay(name, Infinity),
    "losing its answers": (name) => TestCache.lose(name, "answer"),
    "slow": (name) => TestCache.delay(name, 900)
  }
  for (const [how, fault] of Object.entries(faults)) {
    onText(
      `with any set of operations ${how}, every read gives the value within the time limits, and nothing is left`,
      Effect.gen(function*() {
        for (let set = 1; set < 2 ** operations.length; set++) {
          const origin = new Origin(0)
          const cached = Cached.make(`set ${set}`, {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => origin.load,
            waitLimit: "2 seconds"
          }, Policy.ttl("10 seconds", { stale: "20 seconds" }))
          for (const [i, name] of operations.entries()) if (set & (1 << i)) yield* fault(name)
          for (const key of ["a", "b", "a"]) {
            const reader = yield* begin(Cached.get(cached, key))
            // A read, a begin and a commit, each within a second; or the wait limit for a lease that was not
            // given up.
            yield* TestClock.adjust("5 seconds")
            assert.isFalse(isRunning(reader), `${how}: ${operations.filter((_, i) => set & (1 << i))}`)
            assert.strictEqual(yield* Fiber.join(reader), 0)
          }
          yield* TestCache.restore
          yield* TestClock.adjust("2 minutes") // circuits close and leases run out
          assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        }
        const { flights, refreshing } = yield* CacheService.CacheService
        assert.deepStrictEqual([flights.size, refreshing.size], [0, 0])
      })
    )
  }

  onText(
    "garbage is never served, and never fails a read",
    Effect.gen(function*() {
      const { pick } = chance(3)
      const cached = Cached.make(
        "film",
        { key: Key.int("id"), value: Film, lookup: () => Effect.succeed(alien) },
        Policy.forever
      )
      const garbage = [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "7",
        "\"\"",
        JSON.stringify({ ...alien, id: 1.5 }),
        JSON.stringify([alien]),
        7,
        null,
        undefined,
        {},
        []
      ]
      for (let i = 0; i < 60; i++) {
        yield* TestCache.corrupt("film:7", pick(garbage))
        assert.deepStrictEqual(yield* Cached.get(cached, 7), alien)
      }
    })
  )

  onText(
    "errors of the store and errors of the lookup are told apart",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.ends = Effect.fail(new Down())
      yield* TestCache.fail("read")
      const open = numbers(origin)
      assert.instanceOf(yield* errorOf(Cached.get(open, "a")), Down)
      const strict = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "fail"
      }, Policy.forever)
      assert.instanceOf(yield* errorOf(Cached.get(strict, "a")), CacheStore.StoreError)
    })
  )

  it.effect("a store without room for a value serves it", () =>
    Effect.gen(function*() {
      const cached = Cached.make("text", {
        key: Key.int("n"),
        value: Schema.String,
        lookup: (n) => Effect.succeed("x".repeat(n))
      }, Policy.forever)
      assert.strictEqual((yield* Cached.get(cached, 1000)).length, 1000)
      assert.strictEqual((yield* Cached.get(cached, 1000)).length, 1000)
      assert.strictEqual((yield* Cached.stats(cached)).loads, 2)
      yield* Cached.get(cached, 10)
      yield* Cached.get(cached, 10)
      assert.strictEqual((yield* Cached.stats(cached)).loads, 3)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10, maxBytes: 100 }))))
})
