/**
 * A tier that is written against the port alone obeys all of its laws, over
 * several stores; and each way to build one carelessly breaks a law that says
 * what is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import type { Scope } from "effect"
import { TestClock } from "effect/testing"
import { copyOf, isGood, makeTier, tier } from "../../examples/tier.ts"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Contract from "../../src/Contract.ts"
import type * as Dependency from "../../src/Dependency.ts"
import { instrument } from "../../src/internal/testing/instruments.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { makeMarkerStore } from "../support/markerStore.ts"
import { serviceOn } from "../support/port.ts"

type Instruments = Contract.Instruments<CacheService.CacheService>
type What = keyof Required<Contract.Instruments>["lose"]
type Lose = (what: What, key: string, names: ReadonlyArray<Dependency.Dependency>) => void

/** A store with a tier in front of it, and a way to lose what they hold. */
interface Tiered extends CacheStore.CacheStore {
  readonly lose: Lose
}

type Making = Effect.Effect<Tiered, never, Scope.Scope>

/** An answer takes a turn to arrive, as that of a server does. */
const slowly = (store: CacheStore.CacheStore): CacheStore.CacheStore => ({
  ...store,
  read: (address) => Effect.tap(Effect.suspend(() => store.read(address)), () => Effect.yieldNow)
})

const inFrontOf = <R>(
  made: Effect.Effect<readonly [CacheStore.CacheStore, Lose], never, R>,
  make: typeof tier = tier
): Effect.Effect<Tiered, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const above = yield* MemoryCache.makeStore({ capacity: 10_000 })
    const [below, lose] = yield* made
    return {
      ...make(above, below),
      // An entry, or a lease, of the store below is lost together with what the tier has of it.
      lose: (what, key, names) => {
        lose(what, key, names)
        if (what === "entry" || what === "lease") above.evict(what, key)
      }
    }
  })

const memory = Effect.map(MemoryCache.makeStore({ capacity: 10_000 }), (store) => {
  const lose: Lose = (what, key) => what === "markers" ? undefined : store.evict(what, key)
  return [slowly(instrument(store).store), lose] as const
})

const markers = (options: Parameters<typeof makeMarkerStore>[0]) =>
  Effect.map(makeMarkerStore(options), (store) => [store, store.lose] as const)

const advance = (millis: number) => TestClock.adjust(millis)

const losing = (all: ReadonlyArray<What>): Instruments => ({
  advance,
  lose: Object.fromEntries(all.map((what) => [
    what,
    (key: string, names: ReadonlyArray<Dependency.Dependency>) =>
      Effect.map(CacheService.CacheService, ({ store }) => (store as Tiered).lose(what, key, names))
  ]))
})

const obeys = (name: string, made: Making, all: ReadonlyArray<What>, exact = true) =>
  describe(name, () => {
    for (const law of Contract.make({ runs: 100, instruments: losing(all), exact })) {
      it.effect(`${law.name} (${law.guarantee})`, () => Effect.provide(law.check, Layer.fresh(serviceOn(made))))
    }
  })

const ofMemory = ["entry", "lease", "journal"] as const
const ofMarkers = [...ofMemory, "markers"] as const

obeys("a tier over a store that answers slowly", inFrontOf(memory), ofMemory)
obeys("a tier over a store of markers", inFrontOf(markers({})), ofMarkers)
obeys("a tier over a store of markers whose steps come apart", inFrontOf(markers({ split: true })), ofMarkers, false)

// -----------------------------------------------------------------------------
// what a hit costs
// -----------------------------------------------------------------------------

const square = Cached.make("square", {
  key: Key.int("n"),
  value: Schema.Finite,
  lookup: (n) => Effect.succeed(n * n)
}, Policy.ttl("1 minute"))

const tierOverTestStore = Layer.provideMerge(
  CacheService.layer(),
  Layer.unwrap(Effect.map(CacheStore.CacheStore, (below) => Layer.effect(CacheStore.CacheStore, makeTier(below, 100))))
).pipe(Layer.provideMerge(TestCache.layerStore()))

describe("a tier", () => {
  it.effect("asks the store below once, and then for as long as the entry is good never again", () =>
    Effect.gen(function*() {
      yield* Cached.get(square, 12)
      yield* TestCache.forget
      yield* Effect.repeat(Cached.get(square, 12), { times: 999 })
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read"])
      yield* TestCache.forget
      assert.strictEqual(yield* Cached.get(square, 12), 144)
      assert.deepStrictEqual(yield* TestCache.operations, [])
      yield* Cached.invalidate(square, 12)
      yield* TestCache.forget
      yield* Cached.get(square, 12)
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read", "begin", "commit"])
    }).pipe(Effect.provide(tierOverTestStore)))
})

// -----------------------------------------------------------------------------
// teeth
// -----------------------------------------------------------------------------

let fills = 0

/** Stores above what was read below, under a lease that is taken now. */
const keep = (above: CacheStore.CacheStore, { key, version }: CacheStore.Address, entry: CacheStore.Entry) => {
  const slot = { key, version, known: [] }
  const request = { token: `kept ${++fills}`, seen: undefined, drop: false, force: true, leaseFor: 60_000 }
  return Effect.flatMap(
    above.begin(slot, request),
    (begun) => begun._tag === "Leased" ? above.commit(slot, begun.lease, copyOf(entry)) : Effect.void
  )
}

type Make = typeof tier

const changed =
  (part: (above: CacheStore.CacheStore, below: CacheStore.CacheStore) => Partial<CacheStore.CacheStore>) =>
  (above: CacheStore.CacheStore, below: CacheStore.CacheStore): CacheStore.CacheStore => ({
    ...tier(above, below),
    ...part(above, below)
  })

const keeping =
  (rewrite: (draft: CacheStore.Draft, lease: CacheStore.Lease) => CacheStore.Draft): Make => (above, below) =>
    tier({ ...above, commit: (address, lease, draft) => above.commit(address, lease, rewrite(draft, lease)) }, below)

/** Longer than a load takes. */
const aWhile = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

/** Tiers with one thing wrong, and a law that finds it. */
const mistakes: Record<string, readonly [Make, string]> = {
  "what was read is kept without a check": [
    changed((above, below) => ({
      read: (address) =>
        Effect.flatMap(above.read(address), (copy) =>
          isGood(copy)
            ? Effect.succeed(copy)
            : Effect.tap(below.read(address), (entry) => isGood(entry) ? keep(above, address, entry) : Effect.void))
    })),
    "a read that races an invalidation of its key keeps nothing old"
  ],
  "a commit leaves the copy": [
    changed((_, below) => ({ commit: below.commit })),
    "a later load replaces the entry, under another token"
  ],
  "what is dropped is dropped below, and then above": [
    changed((above, below) => ({
      begin: (address, request) =>
        Effect.andThen(
          above.invalidate(Invalidation.keys(address.key)),
          Effect.andThen(aWhile, below.begin(address, request))
        )
    })),
    "a read that races a begin which drops the entry does not bring it back"
  ],
  "what is dropped is dropped only below": [
    changed((_, below) => ({ begin: below.begin })),
    "what was seen dead is dropped when a load begins"
  ],
  "an invalidation reaches only the store below": [
    changed((_, below) => ({ invalidate: below.invalidate })),
    "an entry is dead when its key was invalidated, and stays so"
  ],
  "an invalidation goes to the tier first": [
    changed((above, below) => ({
      invalidate: (batch) => Effect.andThen(above.invalidate(batch), Effect.andThen(aWhile, below.invalidate(batch)))
    })),
    "a read that races an invalidation of its key keeps nothing old"
  ],
  "an invalidation goes to the tier last": [
    changed((above, below) => ({
      invalidate: (batch) => Effect.tap(below.invalidate(batch), () => Effect.andThen(aWhile, above.invalidate(batch)))
    })),
    "what was made of an old entry while their keys is invalidated is not served after it (hard)"
  ],
  "a fence reaches only the store below": [
    changed((_, below) => ({ fence: below.fence })),
    "a fence over its key ends what was stored, as hard or soft as it is"
  ],
  "a fence goes to the tier first": [
    changed((above, below) => ({
      fence: (fence) => Effect.andThen(above.invalidate(fence.over), Effect.andThen(aWhile, below.fence(fence)))
    })),
    "a read that races a fence over its key keeps nothing old"
  ],
  "a copy has a name of its own": [
    keeping((draft, lease) => ({ ...draft, token: lease.token })),
    "begin gives the lease over the entry that was seen, and leaves it there"
  ],
  "a copy never ends": [
    keeping((draft) => ({ ...draft, expiresAt: Infinity })),
    "an entry keeps the name and the end that it was given"
  ],
  "a copy depends on nothing": [
    keeping((draft) => ({ ...draft, found: [], stamp: { ...draft.stamp, dependencies: [] } })),
    "an entry is dead when a dependency of its value was invalidated, and stays so"
  ]
}

describe("a careless tier is found", () => {
  for (const [name, [make, law]] of Object.entries(mistakes)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const violations = yield* Contract.violations(
          Contract.make({ instruments: { advance }, runs: 0, patience: 300 })
        )
        assert.include(violations.map(({ law }) => law), law)
      }).pipe(Effect.provide(serviceOn(inFrontOf(memory, make)))))
  }
})
