/**
 * The laws of the port hold on the stores of the project, and on one that keeps
 * them in another way; and each mistake that was thought of breaks one.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Contract from "../../src/Contract.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Broadcast from "../../src/internal/broadcast.ts"
import { formatPattern } from "../../src/internal/keys.ts"
import * as Memory from "../../src/internal/memory/store.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as TestCache from "../../src/TestCache.ts"
import { makeMarkerStore, type MarkerStore, type Mistake } from "../support/markerStore.ts"
import { serviceOn } from "../support/port.ts"

type Store = CacheStore.CacheStore

const advance = (millis: number) => TestClock.adjust(millis)

const storeAs = <S>(): Effect.Effect<S, never, CacheService.CacheService> =>
  Effect.map(CacheService.CacheService, ({ store }) => store as unknown as S)

const inMemory: Contract.Instruments<CacheService.CacheService> = {
  advance,
  lose: {
    entry: (key) => Effect.map(storeAs<MemoryCache.MemoryStore>(), ({ evict }) => evict("entry", key)),
    lease: (key) => Effect.map(storeAs<MemoryCache.MemoryStore>(), ({ evict }) => evict("lease", key)),
    journal: () => Effect.map(storeAs<MemoryCache.MemoryStore>(), ({ evict }) => evict("journal"))
  }
}

const inTest: Contract.Instruments<TestCache.TestCache> = {
  advance,
  lose: {
    entry: (key) => TestCache.evict("entry", key),
    lease: (key) => TestCache.evict("lease", key),
    journal: () => TestCache.evict("journal")
  }
}

const losing =
  (what: keyof Required<Contract.Instruments>["lose"]) => (key: string, names: ReadonlyArray<Dependency.Dependency>) =>
    Effect.map(storeAs<MarkerStore>(), ({ lose }) => lose(what, key, names))

const inMarkers: Contract.Instruments<CacheService.CacheService> = {
  advance,
  lose: {
    entry: losing("entry"),
    lease: losing("lease"),
    journal: losing("journal"),
    markers: losing("markers")
  }
}

const obeys = <R>(
  name: string,
  layer: () => Layer.Layer<CacheService.CacheService | R>,
  options: Contract.Options<R | CacheService.CacheService>
) => {
  describe(name, () => {
    for (const law of Contract.make({ runs: 40, ...options })) {
      it.effect(`${law.name} (${law.guarantee})`, () => Effect.provide(law.check, Layer.fresh(layer())))
    }
  })

  it.effect(`${name}: all laws side by side on one store`, () =>
    Effect.gen(function*() {
      const laws = Contract.make({ runs: 10, ...options, prefix: "together" })
      const checks = laws.filter(({ alone }) => !alone).map(({ check }) => check)
      yield* Effect.all(checks, { concurrency: "unbounded", discard: true })
      yield* Contract.violations(laws.filter(({ alone }) => alone)).pipe(
        Effect.map((all) => assert.deepStrictEqual(all, []))
      )
    }).pipe(Effect.provide(Layer.fresh(layer()))))
}

obeys("the store in memory", () => MemoryCache.layer({ capacity: 10_000 }), { instruments: inMemory })

/** However few entries a dependency has, they are ended in pieces. */
const inPieces = Layer.effect(
  CacheStore.CacheStore,
  Effect.flatMap(
    Broadcast.make<CacheStore.Announcement>(1024, { _tag: "Gap" }),
    (announcements) =>
      Memory.make({
        capacity: 10_000,
        maxBytes: undefined,
        journalLimit: 65_536,
        now: undefined,
        announcements,
        mostAtOnce: 0
      })
  )
)

obeys("the store in memory, in pieces", () => Layer.provide(CacheService.layer(), inPieces), {
  instruments: inMemory,
  runs: 20
})

obeys("the store for tests", () => TestCache.layer(), { instruments: inTest })

obeys("a store of markers", () => serviceOn(makeMarkerStore({})), { instruments: inMarkers })

obeys("a store of markers that forgets", () => serviceOn(makeMarkerStore({ journal: 20 })), {
  instruments: inMarkers,
  exact: false
})

obeys("a store of markers whose steps come apart", () => serviceOn(makeMarkerStore({ split: true })), {
  instruments: inMarkers,
  exact: false
})

describe("laws", () => {
  const names = (laws: ReadonlyArray<Contract.Law<never>>) => laws.map(({ name }) => name)

  it("have names of their own", () => {
    const all = Contract.make({ instruments: inMarkers }).map(({ name }) => name)
    assert.strictEqual(new Set(all).size, all.length)
  })

  it("that need instruments are left out without them", () => {
    const without = names(Contract.laws)
    const withClock = names(Contract.make({ instruments: { advance } }))
    const withLosses = names(Contract.make({ instruments: { advance, lose: { entry: () => Effect.void } } }))
    assert.isTrue(without.every((name) => withClock.includes(name)))
    assert.isTrue(withClock.every((name) => withLosses.includes(name)))
    assert.isBelow(without.length, withClock.length)
    assert.isBelow(withClock.length, withLosses.length)
    assert.isFalse(withLosses.some((name) => name.includes("markers")))
  })

  it.effect("can be checked twice on one store", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Contract.violations(Contract.laws), [])
      assert.deepStrictEqual(yield* Contract.violations(Contract.laws), [])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 }))))

  it.effect("leave nothing behind that a store would have to carry", () =>
    Effect.gen(function*() {
      const { sizes } = yield* storeAs<MemoryCache.MemoryStore>()
      yield* Contract.violations(Contract.make({ runs: 5 }))
      assert.deepStrictEqual(sizes(), { entries: 0, bytes: 0, dependencies: 0, leases: 0, journal: 0, fences: 0 })
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 }))))

  it.effect("are broken by a store that fails, in its own words", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("commit")
      const law = Contract.make().find(({ name }) => name.startsWith("what was stored is read"))!
      const violation = yield* Effect.flip(law.check)
      assert.strictEqual(violation._tag, "ContractViolation")
      assert.strictEqual(violation.law, law.name)
      assert.strictEqual(violation.guarantee, law.guarantee)
      assert.include(violation.message, "the store failed to commit: Unavailable")
      assert.isUndefined(violation.seed)
    }).pipe(Effect.provide(TestCache.layer())))
})

// -----------------------------------------------------------------------------
// teeth
// -----------------------------------------------------------------------------

const now = Clock.currentTimeMillis

/** Stores in memory, each with one thing wrong. */
const mistakes: Record<string, (store: MemoryCache.MemoryStore) => Partial<Store>> = {}

const wrong = (name: string, change: (store: MemoryCache.MemoryStore) => Partial<Store>): void => {
  mistakes[name] = change
}

const anyRequest = { seen: undefined, drop: false, force: true, leaseFor: 60_000 }

/** Stores what was refused. */
const storeAnyway = (
  store: Store,
  address: CacheStore.Address,
  lease: CacheStore.Lease,
  draft: CacheStore.Draft
) =>
  Effect.flatMap(
    store.begin(address, { ...anyRequest, token: `${lease.token}!` }),
    (begun) => store.commit(address, (begun as { readonly lease: CacheStore.Lease }).lease, draft)
  )

const onOutcome = (
  wanted: CacheStore.Outcome,
  instead: (
    store: Store,
    ...args: Parameters<Store["commit"]>
  ) => Effect.Effect<CacheStore.Outcome, CacheStore.StoreError>
) =>
(store: MemoryCache.MemoryStore): Partial<Store> => ({
  commit: (address, lease, draft) =>
    Effect.flatMap(
      store.commit(address, lease, draft),
      (outcome) => outcome === wanted ? instead(store, address, lease, draft) : Effect.succeed(outcome)
    )
})

const onDiscarded = (instead: (outcome: CacheStore.Outcome) => CacheStore.Outcome) =>
(
  store: MemoryCache.MemoryStore
): Partial<Store> => ({
  discard: (address, lease, dependencies) => Effect.map(store.discard(address, lease, dependencies), instead)
})

const onPosition =
  (rewrite: (position: CacheStore.Position) => CacheStore.Position) =>
  (store: MemoryCache.MemoryStore): Partial<Store> => ({
    begin: (address, request) =>
      Effect.map(store.begin(address, request), (begun) =>
        begun._tag === "Leased"
          ? { ...begun, lease: { ...begun.lease, position: rewrite(begun.lease.position!) } }
          : begun._tag === "Busy"
          ? { ...begun, position: rewrite(begun.position!) }
          : begun)
  })

const onKeys = (rewrite: (key: string) => string) => (store: MemoryCache.MemoryStore): Partial<Store> => {
  const at = (address: CacheStore.Address) => ({ ...address, key: rewrite(address.key) })
  return {
    read: (address) => store.read(at(address)),
    begin: (address, request) => store.begin(at(address), request),
    commit: (address, lease, draft) => store.commit(at(address), lease, draft),
    discard: (address, lease, dependencies) => store.discard(at(address), lease, dependencies),
    abandon: (address, token) => store.abandon(at(address), token),
    released: (address, token) => store.released(at(address), token),
    inspect: (address) => store.inspect(at(address)),
    invalidate: (batch) =>
      store.invalidate(changing(batch, {
        keys: (key, mode) => inMode(mode, Invalidation.keys(rewrite(key)))
      }))
  }
}

const onPayload = (rewrite: (payload: unknown) => unknown) => (store: MemoryCache.MemoryStore): Partial<Store> => ({
  commit: (address, lease, draft) => store.commit(address, lease, { ...draft, payload: rewrite(draft.payload) })
})

const onStamp =
  (rewrite: (stamp: CacheStore.Draft["stamp"]) => CacheStore.Draft["stamp"]) =>
  (store: MemoryCache.MemoryStore): Partial<Store> => ({
    commit: (address, lease, draft) => store.commit(address, lease, { ...draft, stamp: rewrite(draft.stamp) })
  })

const onPage =
  (rewrite: (page: CacheStore.Page) => CacheStore.Page) => (store: MemoryCache.MemoryStore): Partial<Store> => ({
    scan: (scan) => Effect.map(store.scan(scan), rewrite)
  })

const onAnnounced =
  (rewrite: (position: CacheStore.Position) => CacheStore.Position) =>
  (store: MemoryCache.MemoryStore): Partial<Store> => ({
    announcements: Stream.map(
      store.announcements,
      (one) => one._tag === "Gap" ? one : { ...one, position: rewrite(one.position) }
    )
  })

type Mode = "hard" | "soft"

const inMode = (mode: Mode, batch: Invalidation.Invalidation) => mode === "soft" ? Invalidation.soft(batch) : batch

/** What is made of each target of a batch; those that are not named stay as they are. */
interface Changing {
  readonly keys?: (key: string, mode: Mode) => Invalidation.Invalidation
  readonly dependencies?: (name: Dependency.Dependency, mode: Mode) => Invalidation.Invalidation
  readonly patterns?: (pattern: Key.Pattern, mode: Mode) => Invalidation.Invalidation
  readonly everything?: (mode: Mode) => Invalidation.Invalidation
}

const partsOf = (
  batch: Invalidation.Invalidation,
  {
    dependencies = (name, mode) => inMode(mode, Invalidation.dependencies(name)),
    everything = (mode) => inMode(mode, Invalidation.everything),
    keys = (key, mode) => inMode(mode, Invalidation.keys(key)),
    patterns = (pattern, mode) => inMode(mode, Invalidation.pattern(pattern))
  }: Changing = {}
): ReadonlyArray<Invalidation.Invalidation> => [
  ...[...batch.keys].map(([key, mode]) => keys(key, mode)),
  ...[...batch.dependencies].map(([name, mode]) => dependencies(name, mode)),
  ...[...batch.patterns.values()].map(({ mode, pattern }) => patterns(pattern, mode)),
  ...(batch.everything === undefined ? [] : [everything(batch.everything)])
]

const changing = (batch: Invalidation.Invalidation, change: Changing): Invalidation.Invalidation =>
  Invalidation.combineAll(partsOf(batch, change))

const none = () => Invalidation.empty

/** Invalidates the stored keys that a careless pattern finds. */
const sweepAlso =
  (finds: (pattern: Key.Pattern, key: string) => boolean) => (store: MemoryCache.MemoryStore): Partial<Store> => ({
    invalidate: (batch) =>
      Effect.flatMap(store.invalidate(batch), (count) => {
        const more = [...batch.patterns.values()].flatMap(({ mode, pattern }) =>
          store.keys()
            .filter((key) => finds(pattern, key) && !Key.matches(pattern, key))
            .map((key) => inMode(mode, Invalidation.keys(key)))
        )
        return Effect.as(store.invalidate(Invalidation.combineAll(more)), count)
      })
  })

wrong("commit asks for no lease", onOutcome("lost", storeAnyway))
wrong("commit does not ask what was invalidated", onOutcome("invalidated", storeAnyway))
wrong("what is fenced is stored", (store) => ({
  commit: (address, lease, draft) =>
    Effect.flatMap(store.commit(address, lease, draft), (outcome) => {
      if (outcome !== "fenced") return Effect.succeed(outcome)
      store.evict("journal")
      return storeAnyway(store, address, lease, draft)
    })
}))
wrong("commit keeps the lease", (store) => ({
  commit: (address, lease, draft) =>
    Effect.tap(store.commit(address, lease, draft), () => store.begin(address, { ...anyRequest, token: lease.token }))
}))
wrong("a refused commit keeps the lease", (store) => ({
  commit: (address, lease, draft) =>
    Effect.tap(
      store.commit(address, lease, draft),
      (outcome) => outcome === "invalidated" ? store.begin(address, { ...anyRequest, token: lease.token }) : Effect.void
    )
}))
wrong("commit refuses after any invalidation", (store) => {
  let invalidated = 0
  const since = new Map<string, number>()
  return {
    begin: (address, request) => {
      since.set(request.token, invalidated)
      return store.begin(address, request)
    },
    invalidate: (batch) => {
      invalidated++
      return store.invalidate(batch)
    },
    commit: (address, lease, draft) =>
      since.get(lease.token) === invalidated
        ? store.commit(address, lease, draft)
        : Effect.as(store.abandon(address, lease.token), "invalidated")
  }
})
wrong("what is past its time is stored", (store) => ({
  commit: (address, lease, draft) => store.commit(address, lease, { ...draft, expiresAt: Infinity })
}))
wrong("what is past its time leaves something older", (store) => ({
  commit: (address, lease, draft) =>
    Effect.flatMap(now, (now) =>
      draft.expiresAt <= now
        ? Effect.as(store.abandon(address, lease.token), "unstored")
        : store.commit(address, lease, draft))
}))
wrong("lost and invalidated are confused", onOutcome("lost", () => Effect.succeed("invalidated")))
wrong("a lifted fence's loads may be shared", (store) => {
  const standing = new Set<string>()
  const fenced = new Set<string>()
  return {
    fence: (fence) => {
      standing.add(fence.id)
      return store.fence(fence)
    },
    lift: (fence) => {
      standing.delete(fence.id)
      return store.lift(fence)
    },
    begin: (address, request) => {
      if (standing.size > 0) fenced.add(request.token)
      return store.begin(address, request)
    },
    commit: (address, lease, draft) =>
      Effect.map(
        store.commit(address, lease, draft),
        (outcome) => outcome === "invalidated" && fenced.has(lease.token) ? "fenced" : outcome
      )
  }
})
wrong("lift always says that the fence stood", (store) => ({ lift: (fence) => Effect.as(store.lift(fence), true) }))
wrong("lift never says that the fence stood", (store) => ({ lift: (fence) => Effect.as(store.lift(fence), false) }))
wrong("lift leaves the fence", () => ({ lift: () => Effect.succeed(true) }))
wrong("lifting one fence lifts all", (store) => {
  const all = new Set<CacheStore.Fence>()
  return {
    fence: (fence) => {
      all.add(fence)
      return store.fence(fence)
    },
    lift: (fence) =>
      Effect.tap(store.lift(fence), () => Effect.forEach(all, (other) => store.lift(other), { discard: true }))
  }
})
wrong("a fence only invalidates", (store) => ({
  fence: (fence) => Effect.tap(store.fence(fence), store.lift(fence)),
  lift: () => Effect.succeed(true)
}))
wrong("a soft fence is hard", (store) => ({
  fence: (fence) => store.fence({ ...fence, over: Invalidation.withMode(fence.over, "hard") })
}))
wrong("a hard fence is soft", (store) => ({
  fence: (fence) => store.fence({ ...fence, over: Invalidation.soft(fence.over) })
}))
wrong("a fence never ends", (store) => ({ fence: (fence) => store.fence({ ...fence, length: Infinity }) }))
wrong("a fence ends at once", (store) => ({ fence: (fence) => store.fence({ ...fence, length: 0 }) }))
wrong("a fence is only over dependencies", (store) => ({
  fence: (fence) =>
    Effect.andThen(
      store.invalidate(fence.over),
      store.fence({ ...fence, over: changing(fence.over, { keys: none, patterns: none, everything: none }) })
    )
}))
wrong(
  "a fence is over everything",
  (store) => ({ fence: (fence) => store.fence({ ...fence, over: Invalidation.everything }) })
)
wrong(
  "a pattern is a prefix",
  sweepAlso((pattern, key) => key.startsWith(formatPattern(pattern).replace(/\*.*/, "")))
)
wrong(
  "a pattern's star runs over parts",
  sweepAlso(({ name, parts }, key) =>
    key.startsWith(`${name}:${parts[0] ?? ""}`) && key.split(":").length > parts.length
  )
)
wrong(
  "a pattern ignores what follows it",
  sweepAlso(({ name, parts }, key) => {
    const actual = key.split(":")
    return actual[0] === name && parts.every((part, i) => part === undefined || part === actual[i + 1])
  })
)
wrong(
  "a pattern finds other definitions",
  sweepAlso((pattern, key) => key.startsWith(pattern.name) && !key.includes(`${pattern.name}:`))
)
wrong("a sweep leaves leases", (store) => ({
  invalidate: (batch) => {
    const stored = (covered: (key: string) => boolean, mode: Mode) =>
      inMode(mode, Invalidation.keys(store.keys().filter(covered)))
    return store.invalidate(changing(batch, {
      patterns: (pattern, mode) => stored((key) => Key.matches(pattern, key), mode),
      everything: (mode) => stored(() => true, mode)
    }))
  }
}))
wrong("a soft sweep does nothing", (store) => ({
  invalidate: (batch) =>
    store.invalidate(changing(batch, {
      patterns: (pattern, mode) => mode === "soft" ? Invalidation.empty : Invalidation.pattern(pattern),
      everything: (mode) => mode === "soft" ? Invalidation.empty : Invalidation.everything
    }))
}))
wrong("everything sweeps half", (store) => ({
  invalidate: (batch) =>
    store.invalidate(changing(batch, {
      everything: (mode) => inMode(mode, Invalidation.keys(store.keys().filter((_, i) => i % 2 === 0)))
    }))
}))
wrong("discard asks for no lease", onDiscarded((outcome) => outcome === "lost" ? "unstored" : outcome))
wrong(
  "what is discarded may be shared whatever was invalidated",
  onDiscarded((outcome) => outcome === "invalidated" ? "unstored" : outcome)
)
wrong("what is discarded is under no fence", onDiscarded((outcome) => outcome === "fenced" ? "unstored" : outcome))
wrong("discard keeps the lease", (store) => ({
  discard: (address, lease, dependencies) =>
    Effect.tap(
      store.discard(address, lease, dependencies),
      () => store.begin(address, { ...anyRequest, token: lease.token })
    )
}))
wrong("discard removes what is stored", (store) => ({
  discard: (address, lease, dependencies) =>
    Effect.tap(
      store.discard(address, lease, dependencies),
      () => Effect.sync(() => store.evict("entry", address.key))
    )
}))
wrong("discard looks only at what the key tells", (store) => ({
  discard: (address, lease, dependencies) => store.discard(address, lease, dependencies && address.known)
}))
wrong("dependencies that are not known are none", (store) => ({
  discard: (address, lease, dependencies) => store.discard(address, lease, dependencies ?? address.known)
}))
wrong("with dependencies that are not known nothing may be shared", (store) => ({
  discard: (address, lease, dependencies) =>
    dependencies === undefined
      ? Effect.as(store.abandon(address, lease.token), "invalidated")
      : store.discard(address, lease, dependencies)
}))
wrong("the position never changes", onPosition(() => "here"))
wrong("the position tells of no fences", onPosition((position) => position.split(" ")[0]!))
wrong("the position is another each time", (store) => {
  let asked = 0
  return onPosition(() => `${++asked}`)(store)
})
wrong("one step comes apart", (store) => ({
  invalidate: (batch) =>
    Effect.as(
      Effect.forEach(partsOf(batch), (part) => Effect.andThen(store.invalidate(part), Effect.yieldNow)),
      undefined
    )
}))
wrong("drop removes any entry", (store) => ({
  begin: (address, request) => {
    if (request.drop) store.evict("entry", address.key)
    return store.begin(address, request)
  }
}))
wrong(
  "drop removes nothing",
  (store) => ({ begin: (address, request) => store.begin(address, { ...request, drop: false }) })
)
wrong("drop removes nothing when another has the lease", (store) => ({
  begin: (address, request) =>
    Effect.flatMap(
      store.begin(address, { ...request, drop: false }),
      (begun) => begun._tag === "Leased" ? store.begin(address, request) : Effect.succeed(begun)
    )
}))
wrong("drop removes all entries", (store) => ({
  begin: (address, request) => {
    if (request.drop && store.peek(address.key)?.token === request.seen) store.evict("entry")
    return store.begin(address, request)
  }
}))
wrong("everyone gets the lease", (store) => ({
  begin: (address, request) =>
    Effect.flatMap(
      store.begin(address, request),
      (begun) =>
        begun._tag === "Busy" ? store.begin(address, { ...request, drop: false, force: true }) : Effect.succeed(begun)
    )
}))
wrong("everyone shares the lease", (store) => ({
  begin: (address, request) =>
    Effect.map(
      store.begin(address, request),
      (begun) => begun._tag === "Busy" ? { _tag: "Leased", lease: { token: begun.token } } : begun
    )
}))
wrong("force shares the lease", (store) => ({
  begin: (address, request) =>
    Effect.flatMap(
      store.begin(address, { ...request, force: false }),
      (begun): ReturnType<typeof store.begin> =>
        !request.force
          ? Effect.succeed(begun)
          : begun._tag === "Busy"
          ? Effect.succeed({ _tag: "Leased" as const, lease: { token: begun.token } })
          : store.begin(address, request)
    )
}))
wrong("busy names the one who asks", (store) => ({
  begin: (address, request) =>
    Effect.map(
      store.begin(address, request),
      (begun) => begun._tag === "Busy" ? { _tag: "Busy", token: request.token } : begun
    )
}))
wrong("begin does not look at what is stored", (store) => ({
  begin: (address, request) =>
    Effect.flatMap(
      store.begin(address, request),
      (begun) =>
        begun._tag === "Found" ? store.begin(address, { ...request, seen: begun.entry.token }) : Effect.succeed(begun)
    )
}))
wrong("begin finds what was seen", (store) => ({
  begin: (address, request) => {
    const entry = store.peek(address.key)
    return entry !== undefined && !request.force
      ? Effect.succeed({ _tag: "Found" as const, entry })
      : store.begin(address, request)
  }
}))
wrong("who asks again has to wait", (store) => {
  const asked = new Set<string>()
  return {
    begin: (address, request) => {
      if (asked.has(request.token)) return Effect.succeed({ _tag: "Busy" as const, token: request.token })
      asked.add(request.token)
      return store.begin(address, request)
    }
  }
})
wrong("who asks again begins anew", (store) => ({
  begin: (address, request) => Effect.andThen(store.abandon(address, request.token), store.begin(address, request))
}))
wrong(
  "a lease never ends",
  (store) => ({ begin: (address, request) => store.begin(address, { ...request, leaseFor: Infinity }) })
)
wrong(
  "a lease ends at once",
  (store) => ({ begin: (address, request) => store.begin(address, { ...request, leaseFor: 0 }) })
)
wrong("a stranger may abandon", (store) => ({ abandon: ({ key }) => Effect.sync(() => store.evict("lease", key)) }))
wrong("abandon goes by the token alone", (store) => ({
  abandon: ({ key }, token) => {
    const other = key.replace(/b$/, "a")
    return store.abandon({ key: other, known: [] }, token)
  }
}))
wrong("abandon does nothing", () => ({ abandon: () => Effect.void }))
wrong("who waits never learns of the end", (store) => ({
  released: (address, token) => store.held().includes(token) ? Effect.never : store.released(address, token)
}))
wrong("who waits for what is over never learns of it", (store) => ({
  released: (address, token) => store.held().includes(token) ? store.released(address, token) : Effect.never
}))
wrong("an invalidated key keeps its lease", (store) => ({
  invalidate: (batch) =>
    Effect.map(store.invalidate(changing(batch, { keys: none })), () => {
      for (const [key, mode] of batch.keys) {
        if (mode === "hard") {
          store.evict("entry", key)
        } else Object.assign(store.peek(key) ?? {}, { softened: true })
      }
      return undefined
    })
}))
wrong("an invalidated key keeps its entry", (store) => ({
  invalidate: (batch) =>
    Effect.map(store.invalidate(changing(batch, { keys: none })), () => {
      for (const key of batch.keys.keys()) store.evict("lease", key)
      return undefined
    })
}))
wrong("soft is hard", (store) => ({ invalidate: (batch) => store.invalidate(Invalidation.withMode(batch, "hard")) }))
wrong("hard is soft", (store) => ({ invalidate: (batch) => store.invalidate(Invalidation.soft(batch)) }))
wrong("only the first of a batch counts", (store) => ({
  invalidate: (batch) => store.invalidate(partsOf(batch)[0] ?? Invalidation.empty)
}))
wrong("a batch with keys forgets its dependencies", (store) => ({
  invalidate: (batch) => store.invalidate(batch.keys.size > 0 ? changing(batch, { dependencies: none }) : batch)
}))
wrong("invalidations touch everything", (store) => ({
  invalidate: (batch) => Effect.tap(store.invalidate(batch), store.invalidate(Invalidation.everything))
}))
wrong("invalidations touch the first entry only", (store) => ({
  read: (address) => {
    const answer = store.read(address)
    const name = [...store.peek(address.key)?.changed?.keys() ?? []][0]
    const having = name === undefined
      ? []
      : store.keys().filter((key) => store.peek(key)!.stamp.dependencies.includes(name))
    return having.length > 1 && having[0] === address.key
      ? Effect.map(answer, (entry) => entry && { ...entry, changed: undefined })
      : answer
  }
}))
wrong("marks name all that the entry depends on", (store) => ({
  read: (address) =>
    Effect.map(
      store.read(address),
      (entry) =>
        entry?.changed && { ...entry, changed: new Map(entry.stamp.dependencies.map((name) => [name, "hard"])) } ||
        entry
    )
}))
wrong("an invalidation can be undone by another", (store) => {
  let twice: ReadonlySet<string> = new Set()
  return {
    read: (address) =>
      Effect.map(
        store.read(address),
        (entry) => entry && { ...entry, changed: twice.has(address.key) ? undefined : entry.changed }
      ),
    invalidate: (batch) => {
      const names = [...batch.dependencies.keys()]
      twice = new Set(store.keys().filter((key) => names.some((name) => store.peek(key)?.changed?.has(name))))
      return store.invalidate(batch)
    }
  }
})
wrong("a count is of dependencies", (store) => ({
  invalidate: (batch) => Effect.as(store.invalidate(batch), batch.dependencies.size + batch.keys.size)
}))
wrong("invalidations are not announced", () => ({ announcements: Stream.never }))
wrong(
  "fences are not announced",
  (store) => ({
    announcements: Stream.filter(
      store.announcements,
      (one) =>
        one._tag === "Gap" ||
        ![...one.invalidation.dependencies.keys()].some((name) => Dependency.format(name).endsWith(" z"))
    )
  })
)
wrong(
  "announcements do not say how they were meant",
  (store) => ({
    announcements: Stream.map(
      store.announcements,
      (one) => one._tag === "Gap" ? one : { ...one, invalidation: Invalidation.withMode(one.invalidation, "hard") }
    )
  })
)
wrong("all entries of a key have one token", (store) => ({
  read: (address) => Effect.map(store.read(address), (entry) => entry && { ...entry, token: address.key })
}))
wrong("keys are cut", onKeys((key) => key.slice(0, 250)))
wrong("keys are in small letters", onKeys((key) => key.toLowerCase()))
wrong("keys are normalized", onKeys((key) => key.normalize("NFC")))
wrong("keys are escaped back", onKeys((key) => Key.format(key)))
wrong("payloads are cut", onPayload((payload) => typeof payload === "string" ? payload.slice(0, 500_000) : payload))
wrong("payloads are JSON", onPayload((payload) => JSON.parse(JSON.stringify(payload) ?? "null")))
wrong("an empty payload is none", onPayload((payload) => payload || undefined))
wrong("stamps lose what they do not know", onStamp((stamp) => ({ ...stamp, versions: {} })))
wrong("stamps are rounded", onStamp((stamp) => ({ ...stamp, duration: Math.round(stamp.duration) })))
wrong("stamps are sorted", onStamp((stamp) => ({ ...stamp, dependencies: [...stamp.dependencies].sort() })))
wrong("inspecting takes a lease", (store) => ({
  inspect: (address) =>
    Effect.flatMap(
      store.begin(address, { ...anyRequest, force: false, token: "inspector" }),
      () => store.inspect(address)
    )
}))
wrong("inspecting shows no lease", (store) => ({
  inspect: (address) => Effect.map(store.inspect(address), (inspection) => ({ ...inspection, leased: undefined }))
}))
wrong("inspecting shows no fence", (store) => ({
  inspect: (address) => Effect.map(store.inspect(address), (inspection) => ({ ...inspection, fenced: false }))
}))

wrong("inspecting finds an entry only by what the key tells", (store) => ({
  inspect: (address) =>
    Effect.map(
      store.inspect(address),
      (found) => address.known.length === 0 ? { ...found, entry: undefined } : found
    )
}))
wrong("inspecting looks for fences only over what the key tells", (store) => ({
  inspect: (address) =>
    Effect.map(
      store.inspect(address),
      (found) => ({ ...found, fenced: found.fenced && (address.known.length > 0 || found.entry === undefined) })
    )
}))
wrong("inspecting shows no marks", (store) => ({
  inspect: (address) =>
    Effect.map(
      store.inspect(address),
      (found) => ({ ...found, entry: found.entry && { ...found.entry, changed: undefined, softened: false } })
    )
}))
wrong("an entry is named after its lease", (store) => ({
  commit: (address, lease, draft) => store.commit(address, lease, { ...draft, token: lease.token })
}))
wrong("what begin finds is named after its key", (store) => ({
  begin: (address, request) =>
    Effect.map(
      store.begin(address, request),
      (begun) => begun._tag === "Found" ? { ...begun, entry: { ...begun.entry, token: address.key } } : begun
    )
}))
wrong("the end of an entry is kept in whole seconds", (store) => ({
  commit: (address, lease, draft) =>
    store.commit(address, lease, { ...draft, expiresAt: Math.ceil(draft.expiresAt / 1000) * 1000 })
}))
wrong("the end of an entry is never infinite", (store) => ({
  read: (address) =>
    Effect.map(
      store.read(address),
      (entry) => entry && { ...entry, expiresAt: entry.expiresAt === Infinity ? Number.MAX_VALUE : entry.expiresAt }
    )
}))
wrong("begin takes the name of the lease for that of the entry", (store) => {
  const named = new Map<string, string>()
  return {
    commit: (address, lease, draft) => {
      named.set(lease.token, draft.token)
      return store.commit(address, lease, draft)
    },
    begin: (address, request) =>
      store.begin(address, { ...request, seen: named.get(request.seen ?? "") ?? request.seen })
  }
})
wrong("scans end after a page", onPage((page) => ({ ...page, cursor: undefined })))
wrong("scans begin again at each page", (store) => ({ scan: ({ cursor: _, ...scan }) => store.scan(scan) }))
wrong(
  "scans leave out the last of a page",
  onPage((page) => page.cursor ? { ...page, keys: page.keys.slice(0, -1) } : page)
)
wrong("scans ignore patterns", (store) => ({ scan: ({ pattern: _, ...scan }) => store.scan(scan) }))
wrong("scans take a pattern for a prefix", (store) => ({
  scan: ({ pattern, ...scan }) =>
    Effect.map(store.scan(scan), (page) => ({
      ...page,
      keys: page.keys.filter((key) =>
        pattern === undefined || key.startsWith(formatPattern(pattern).replace(/\*.*/, ""))
      )
    }))
}))
wrong("scans give what is only leased", (store) => {
  const leased = new Set<string>()
  return {
    begin: (address, request) => {
      leased.add(address.key)
      return store.begin(address, request)
    },
    scan: (scan) =>
      Effect.map(store.scan(scan), (page) => ({
        ...page,
        keys: [
          ...page.keys,
          ...[...leased].filter((key) => scan.pattern === undefined || Key.matches(scan.pattern, key))
        ]
      }))
  }
})
wrong("scans give what was removed", (store) => {
  const all = new Set<string>()
  return {
    commit: (address, lease, draft) => {
      all.add(address.key)
      return store.commit(address, lease, draft)
    },
    scan: ({ pattern }) =>
      Effect.succeed({
        keys: [...all].filter((key) => pattern === undefined || Key.matches(pattern, key)),
        cursor: undefined
      })
  }
})
wrong("scans go by the order of use", (store) => ({
  scan: ({ cursor = "0", limit, pattern }) =>
    Effect.sync(() => {
      const end = Number(cursor) + limit
      const all = store.keys().filter((key) => pattern === undefined || Key.matches(pattern, key))
      return { keys: all.slice(Number(cursor), end), cursor: end < all.length ? String(end) : undefined }
    })
}))
wrong("the announced position is always the same", onAnnounced(() => "here"))
wrong("the announced position is that of invalidations before", (store) => {
  let before = "none"
  return onAnnounced((position) => {
    const given = before
    before = position
    return given === "none" ? position : given
  })(store)
})

/** Mistakes in the protocol itself, made in the store of markers. */
const protocolMistakes: ReadonlyArray<Mistake> = [
  "commit asks for no lease",
  "invalidating a key leaves its lease",
  "tokens are captured after the load",
  "what the value tells is not looked up in the journal",
  "soft invalidations are not noted",
  "the last mode wins",
  "a missing marker means that nothing happened",
  "markers are counters",
  "a lost journal begins where it was",
  "the journal forgets in silence",
  "loads under a fence are stored",
  "fences stop only what the key tells",
  "a fence that has ended is forgotten by its loads",
  "what a lifted fence was over may be shared",
  "lifting one fence lifts all",
  "several steps are no fence",
  "a fence that was lost is lifted without a word",
  "a fence ends all there is, however soft",
  "what is not stored may be shared",
  "what is not known did not happen",
  "the position says nothing",
  "a fence leaves what was stored",
  "a fence leaves loads that are under way",
  "doomed leases are waited for",
  "a key is that of one version",
  "a pattern is that of one version",
  "a write leaves what is stored in other versions",
  "a write leaves what is loaded beside it in other versions"
]

const brokenMemory = (change: (store: MemoryCache.MemoryStore) => Partial<Store>) =>
  serviceOn(
    Effect.map(MemoryCache.makeStore({ capacity: 10_000 }), (store) => ({ ...store, ...change(store) }))
  )

/** The first law that a store breaks. */
const firstBroken = <R>(layer: Layer.Layer<CacheService.CacheService | R>, laws: ReadonlyArray<Contract.Law<R>>) =>
  Effect.gen(function*() {
    for (const law of laws) {
      const [violation] = yield* Contract.violations([law])
      if (violation !== undefined) return violation
    }
    return undefined
  }).pipe(Effect.provide(Layer.fresh(layer)))

/** Mistakes that no sequence of random operations can show: they are about what keys, values and stamps hold, and what is announced. */
const notRandom = [
  /^keys/,
  /^payloads/,
  /^an empty payload/,
  /^stamps/,
  /^inspecting/,
  /^invalidations are not announced/,
  /^fences are not announced/,
  /^announcements/,
  /^who waits/,
  /^a count/,
  /^everything/,
  /^a pattern ignores/,
  /^a pattern finds/,
  /^abandon goes by/,
  /^with dependencies that are not known/,
  /^the position is another/,
  /^the announced position/,
  /^the end of an entry/,
  /^begin takes the name/,
  /^scans/,
  /^one step comes apart/,
  /doomed leases/,
  /version/,
  /the journal forgets/
]

describe("the contract has teeth", () => {
  const caught: Array<string> = []
  afterAll(() => console.log(["mistake | first law that it breaks | random operations", ...caught].join("\n")))

  const isCaught = (
    name: string,
    layer: Layer.Layer<CacheService.CacheService>,
    instruments: Contract.Instruments<CacheService.CacheService>
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        const small = Contract.make({ instruments, runs: 0, patience: 300 })
        const law = yield* firstBroken(layer, small)
        assert.isDefined(law, "no law is broken")
        const isRandom = !notRandom.some((pattern) => pattern.test(name))
        // What a store loses excuses much, so it is also watched while it loses nothing.
        const run = (seed: number) =>
          firstBroken(
            layer,
            [{ advance }, instruments].map((instruments) => Contract.random({ instruments, steps: 60, runs: 1, seed }))
          )
        // Each on a store of its own: what came before it must not be needed to break it.
        let violation: Contract.ContractViolation | undefined
        const last = isRandom ? 200 : 0
        for (let seed = 1; seed <= last && violation === undefined; seed++) violation = yield* run(seed)
        const operations = violation ? `${violation.operations!.length}, seed ${violation.seed}` : "-"
        caught.push(`${name} | ${law!.law} | ${operations}`)
        if (!isRandom) return
        assert.isDefined(violation, "random operations do not show it")
        assert.isAtMost(violation!.operations!.length, 7)
        assert.include(violation!.message, `With seed ${violation!.seed}`)
        // It can be replayed, by its seed alone.
        const again = yield* run(violation!.seed!)
        assert.deepStrictEqual(again?.operations, violation!.operations)
      }))

  for (const [name, change] of Object.entries(mistakes)) isCaught(name, brokenMemory(change), { advance })

  for (const mistake of protocolMistakes) {
    const journal = mistake === "the journal forgets in silence" ? 100 : 1000
    isCaught(`of the protocol: ${mistake}`, serviceOn(makeMarkerStore({ mistake, journal })), inMarkers)
  }
})
