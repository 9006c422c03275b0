/**
 * What the guarantees are tested with: random histories, and two processes on one
 * store. A history is drawn from a seed; a failing one names it.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import * as CacheService from "../../../src/CacheService.ts"
import * as CacheStore from "../../../src/CacheStore.ts"
import { instrument } from "../../../src/internal/instruments.ts"
import * as Invalidation from "../../../src/Invalidation.ts"
import * as Key from "../../../src/Key.ts"
import * as MemoryCache from "../../../src/MemoryCache.ts"
import * as Policy from "../../../src/Policy.ts"
import * as TestCache from "../../../src/TestCache.ts"
import { assertQuiet, begin, ends, onEach, onText, type Provided } from "../../support/cached.ts"

// -----------------------------------------------------------------------------
// random histories
// -----------------------------------------------------------------------------

/** Small, seeded, and apart from the program's own randomness. */
export const chance = (seed: number) => {
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
        key: invalidate(() => Cached.invalidation(cached, [key])),
        known: invalidate(() => Invalidation.tags(`row:${key}`)),
        // Another writer may have given the row to another owner since: both are named, as a published change would.
        found: invalidate(() => Invalidation.tags(["owner:1", "owner:2"])),
        pattern: invalidate(() => Cached.pattern(cached)),
        everything: invalidate(() => Invalidation.everything),
        set: Cached.set(cached, key, commit),
        mutate: Cached.mutate(
          commit,
          Invalidation.combine(Invalidation.tags(["owner:1", "owner:2"]), Cached.invalidation(cached, [key]))
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

export const noHistoryBreaksIt = (plan: Plan) => {
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
export const twoProcesses = Effect.gen(function*() {
  const memory = yield* MemoryCache.makeStore({ capacity: 100 })
  const { instruments, store } = instrument(memory)
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
