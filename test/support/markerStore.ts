/**
 * A store as a remote one would be: each dependency has a marker, each entry the
 * vector of those that it was loaded under, and a journal answers what markers
 * cannot. The protocol of `docs/consistency.md` to the letter, and mistakes in
 * it that can be made on purpose. It shows that the contract can be kept in
 * another way than `MemoryCache` keeps it, and with steps that come apart.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type {
  Address,
  Announcement,
  Begin,
  Begun,
  CacheStore,
  Draft,
  Entry,
  Fence,
  Lease,
  Outcome,
  Token
} from "../../src/CacheStore.ts"
import type { Dependency } from "../../src/Dependency.ts"
import { keyOf, placeOf } from "../../src/internal/place.ts"
import type { Stamp } from "../../src/internal/stamp.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import type { Mode } from "../../src/Verdict.ts"

/** What can be done wrong. */
export type Mistake =
  | "commit asks for no lease"
  | "invalidating a key leaves its lease"
  | "tokens are captured after the load"
  | "what the value tells is not looked up in the journal"
  | "soft invalidations are not noted"
  | "the last mode wins"
  | "a missing marker means that nothing happened"
  | "markers are counters"
  | "a lost journal begins where it was"
  | "the journal forgets in silence"
  | "loads under a fence are stored"
  | "fences stop only what the key tells"
  | "a fence that has ended is forgotten by its loads"
  | "what a lifted fence was over may be shared"
  | "lifting one fence lifts all"
  | "several steps are no fence"
  | "the position is read before the lease is taken"
  | "a fence that was lost is lifted without a word"
  | "a fence ends all there is, however soft"
  | "what is not stored may be shared"
  | "what is not known did not happen"
  | "the position says nothing"
  | "a fence leaves what was stored"
  | "a fence leaves loads that are under way"
  | "doomed leases are waited for"
  | "a key is that of one version"
  | "a pattern is that of one version"
  | "a write leaves what is stored in other versions"
  | "a write leaves what is loaded beside it in other versions"

interface Marker {
  hard: number
  soft: number
}

interface Stored {
  readonly token: Token
  readonly payload: unknown
  readonly stamp: Stamp
  readonly expiresAt: number
  readonly vector: ReadonlyMap<Dependency, Marker>
  softened: boolean
}

interface StandingFence extends Fence {
  readonly until: number
}

interface Journal {
  epoch: number
  sequence: number
  floor: number
  records: Array<{ readonly dependency: Dependency; readonly sequence: number }>
  readonly fences: Map<Token, StandingFence>
}

/** What was captured when a load began: it travels with the lease. */
interface Captured extends Lease {
  readonly vector: ReadonlyMap<Dependency, Marker>
  readonly epoch: number
  readonly sequence: number
  readonly fences: ReadonlyArray<StandingFence>
  readonly writes: boolean
}

interface Held {
  readonly token: Token
  readonly until: number
  readonly vector: ReadonlyMap<Dependency, Marker>
  readonly over: Deferred.Deferred<void>
}

export interface MarkerStore extends CacheStore {
  /** How many leases are held. */
  readonly leased: () => number
  readonly lose: (
    what: "entry" | "lease" | "journal" | "markers",
    key: string,
    names: ReadonlyArray<Dependency>
  ) => void
}

export const makeMarkerStore = Effect.fnUntraced(function*(options: {
  /** So many invalidations are remembered. */
  readonly journal?: number
  /** Whether the steps of an operation come apart, as in a cluster. */
  readonly split?: boolean
  /** What lies between two steps of an invalidation. */
  readonly between?: Effect.Effect<void>
  readonly mistake?: Mistake | undefined
}) {
  const { journal: limit = 1000, mistake, split = false } = options
  const hub = yield* PubSub.unbounded<Announcement>()
  const entries = new Map<string, Stored>()
  const leases = new Map<string, Held>()
  const markers = new Map<Dependency, Marker>()
  let unique = 0
  const newJournal = (): Journal => ({ epoch: ++unique, sequence: 0, floor: 0, records: [], fences: new Map() })
  let journal = newJournal()
  const step = split ? Effect.yieldNow : Effect.void
  const between = options.between ?? step

  const marker = (name: Dependency): Marker => {
    let one = markers.get(name)
    // One that is missing is made anew, so nothing older can match it.
    if (one === undefined) {
      markers.set(
        name,
        one = mistake === "markers are counters" ? { hard: 0, soft: 0 } : { hard: ++unique, soft: ++unique }
      )
    }
    return one
  }

  const capture = (names: ReadonlyArray<Dependency>): Map<Dependency, Marker> =>
    new Map(names.map((name) => [name, { ...marker(name) }]))

  const changes = (vector: ReadonlyMap<Dependency, Marker>): Map<Dependency, Mode> => {
    const changed = new Map<Dependency, Mode>()
    for (const [name, then] of vector) {
      const now = markers.get(name)
      if (now === undefined) {
        if (mistake !== "a missing marker means that nothing happened") changed.set(name, "hard")
      } else if (mistake === "the last mode wins" && now.soft > now.hard && now.soft !== then.soft) {
        changed.set(name, "soft")
      } else if (now.hard !== then.hard) changed.set(name, "hard")
      else if (now.soft !== then.soft) changed.set(name, "soft")
    }
    return changed
  }

  const note = (dependency: Dependency): void => {
    journal.records.push({ dependency, sequence: ++journal.sequence })
    const forgotten = journal.records.length > limit ? journal.records.shift() : undefined
    if (forgotten !== undefined && mistake !== "the journal forgets in silence") journal.floor = forgotten.sequence
  }

  const quietSince = ({ epoch, sequence }: Captured, names: ReadonlyArray<Dependency>): boolean =>
    names.length === 0 || (epoch === journal.epoch && journal.floor <= sequence &&
      !journal.records.some((record) => record.sequence > sequence && names.includes(record.dependency)))

  const replace = (name: Dependency, mode: Mode): void => {
    const one = marker(name)
    const next = mistake === "markers are counters" ? one[mode] + 1 : ++unique
    markers.set(name, { ...one, [mode]: next })
  }

  const release = (place: string): void => {
    const held = leases.get(place)
    if (held === undefined) return
    leases.delete(place)
    Deferred.doneUnsafe(held.over, Effect.void)
  }

  const remove = (place: string, mode: Mode): number => {
    if (mistake !== "invalidating a key leaves its lease") release(place)
    const entry = entries.get(place)
    if (entry === undefined) return 0
    if (mode === "hard") entries.delete(place)
    else entry.softened = true
    return 1
  }

  /** Where a key has an entry or a lease, in any version. */
  const placesOf = (key: string): ReadonlySet<string> =>
    new Set([...entries.keys(), ...leases.keys()].filter((place) => keyOf(place) === key))

  const removeKey = (key: string, mode: Mode): number => {
    if (mistake === "a key is that of one version") return remove(key, mode)
    let count = 0
    for (const place of placesOf(key)) count += remove(place, mode)
    return count
  }

  const endOthers = (address: Address): void => {
    for (const place of placesOf(address.key)) if (place !== placeOf(address)) remove(place, "hard")
  }

  const removeMatching = Effect.fnUntraced(function*(covered: (key: string) => boolean, mode: Mode) {
    let count = 0
    const covers = (place: string) =>
      covered(keyOf(place)) && (mistake !== "a pattern is that of one version" || keyOf(place) === place)
    for (const key of [...leases.keys()]) {
      if (!covers(key) || mistake === "invalidating a key leaves its lease") continue
      release(key)
      yield* between
    }
    for (const key of [...entries.keys(), ...leases.keys()]) {
      if (!covers(key)) continue
      count += remove(key, mode)
      yield* between
    }
    return count
  })

  const change = Effect.fnUntraced(function*(batch: Invalidation.Invalidation, noting = true) {
    let count = 0
    for (const [key, mode] of batch.keys) {
      count += removeKey(key, mode)
      yield* between
    }
    for (const [name, mode] of batch.dependencies) {
      if (noting && (mode === "hard" || mistake !== "soft invalidations are not noted")) note(name)
      yield* between
      replace(name, mode)
      yield* between
    }
    for (const { mode, pattern } of batch.patterns.values()) {
      count += yield* removeMatching((key) => Key.matches(pattern, key), mode)
    }
    if (batch.everything !== undefined) count += yield* removeMatching(() => true, batch.everything)
    return batch.dependencies.size > 0 ? undefined : count
  })

  const view = (entry: Stored): Entry => {
    const changed = changes(entry.vector)
    const { expiresAt, payload, softened, stamp, token } = entry
    return {
      token,
      payload,
      stamp,
      expiresAt,
      changed: changed.size === 0 ? undefined : changed,
      softened,
      memo: undefined
    }
  }

  const standing = (now: number): ReadonlyArray<StandingFence> =>
    [...journal.fences.values()].filter(({ until }) => now < until)

  const positionNow = (now: number): string =>
    mistake === "the position says nothing"
      ? "somewhere"
      : [journal.epoch, journal.sequence, ...standing(now).map(({ id }) => id)].join(" ")

  const locate = (now: number) => {
    const { epoch, sequence } = journal
    return { epoch, sequence, fences: standing(now), position: positionNow(now) }
  }

  const begin = Effect.fnUntraced(function*(
    address: Address,
    request: Begin,
    before?: Token
  ): Effect.fn.Return<Begun> {
    const { known } = address
    const place = placeOf(address)
    const writes = request.drop && request.force
    if (writes && mistake !== "a write leaves what is stored in other versions") endOthers(address)
    const vector = capture(known)
    yield* step
    const now = yield* Clock.currentTimeMillis
    const early = mistake === "the position is read before the lease is taken" ? locate(now) : undefined
    if (early !== undefined) yield* between
    const entry = entries.get(place)
    if (entry !== undefined && !request.force && entry.token !== request.seen) {
      return { _tag: "Found", entry: view(entry) }
    }
    if (request.drop) entries.delete(place)
    const held = leases.get(place)
    if (held !== undefined && held.token !== request.token && now < held.until && !request.force) {
      const differs = [...vector].some(([name, { hard, soft }]) =>
        held.vector.get(name)?.hard !== hard || held.vector.get(name)?.soft !== soft
      )
      if (!differs || mistake === "doomed leases are waited for") {
        yield* step
        return { _tag: "Busy", token: held.token, position: positionNow(now) }
      }
      // Who has the older tokens can be told only by those that were captured when the other's were there.
      if (split && before !== held.token) return yield* begin(address, request, held.token)
    }
    if (held?.token !== request.token) {
      release(place)
      leases.set(place, { token: request.token, until: now + request.leaseFor, vector, over: Deferred.makeUnsafe() })
    }
    yield* step
    const { epoch, fences, position, sequence } = early ?? locate(now)
    const lease: Captured = {
      token: request.token,
      fenced: fences.length > 0,
      position,
      vector,
      epoch,
      sequence,
      fences,
      writes
    }
    return { _tag: "Leased", lease }
  })

  const commit = Effect.fnUntraced(function*(address: Address, given: Lease, draft: Draft): Effect.fn.Return<Outcome> {
    const { key } = address
    const place = placeOf(address)
    const lease = given as Captured
    const known = mistake === "tokens are captured after the load" ? capture([...lease.vector.keys()]) : lease.vector
    const vector = new Map([...known, ...capture(draft.found)])
    yield* step
    const quiet = mistake === "what the value tells is not looked up in the journal" || quietSince(lease, draft.found)
    yield* step
    const mine = leases.get(place)?.token === lease.token
    if (mine) release(place)
    else if (mistake !== "commit asks for no lease") return "lost"
    if (lease.writes && mistake !== "a write leaves what is loaded beside it in other versions") endOthers(address)
    if (!quiet || (!split && changes(known).size > 0)) return "invalidated"
    const now = yield* Clock.currentTimeMillis
    const over = lease.fences.filter((fence) => {
      const names = mistake === "fences stop only what the key tells" ? [...known.keys()] : draft.stamp.dependencies
      if (mistake === "a fence that has ended is forgotten by its loads" && now >= fence.until) return false
      return mistake !== "loads under a fence are stored" && Invalidation.covers(fence.over, key, names)
    })
    const outcome = (): Outcome => {
      if (over.length > 0) {
        const stand = over.every(({ id, until }) => journal.fences.has(id) && now < until)
        return stand || mistake === "what a lifted fence was over may be shared" ? "fenced" : "invalidated"
      }
      if (draft.expiresAt <= now) {
        entries.delete(place)
        return "unstored"
      }
      const { expiresAt, payload, stamp, token } = draft
      entries.set(place, { token, payload, stamp, expiresAt, vector, softened: false })
      return "stored"
    }
    const done = outcome()
    yield* step
    // The last look decides what those who joined are told.
    return changes(vector).size > 0 ? "invalidated" : done
  })

  const discard = Effect.fnUntraced(function*(
    address: Address,
    given: Lease,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.fn.Return<Outcome> {
    const { key } = address
    const place = placeOf(address)
    const lease = given as Captured
    if (leases.get(place)?.token !== lease.token) return "lost"
    release(place)
    if (lease.writes) endOthers(address)
    yield* step
    if (mistake === "what is not stored may be shared") return "unstored"
    const now = yield* Clock.currentTimeMillis
    const unknown = dependencies === undefined && mistake !== "what is not known did not happen"
    const found = dependencies?.filter((name) => !lease.vector.has(name)) ?? []
    const quiet = unknown
      ? lease.epoch === journal.epoch && lease.sequence === journal.sequence
      : quietSince(lease, found)
    if (!quiet || changes(lease.vector).size > 0) return "invalidated"
    const over = lease.fences.filter((fence) => unknown || Invalidation.covers(fence.over, key, dependencies ?? []))
    const stand = over.every(({ id, until }) => journal.fences.has(id) && now < until)
    return over.length === 0 ? "unstored" : stand ? "fenced" : "invalidated"
  })

  const fence = Effect.fnUntraced(function*(one: Fence) {
    if (mistake !== "several steps are no fence") {
      journal.fences.set(one.id, { ...one, until: (yield* Clock.currentTimeMillis) + one.length })
    }
    yield* between
    const over = mistake === "a fence ends all there is, however soft"
      ? Invalidation.withMode(one.over, "hard")
      : one.over
    if (mistake === "a fence leaves what was stored") {
      for (const name of over.dependencies.keys()) note(name)
      return 0
    }
    return yield* change(over, mistake !== "a fence leaves loads that are under way")
  })

  const tell = (invalidation: Invalidation.Invalidation) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => PubSub.publish(hub, { _tag: "Invalidated", invalidation, position: positionNow(now) })
    )

  const store: MarkerStore = {
    name: "markers",
    payload: "text",
    read: (address) =>
      Effect.suspend(() => {
        const entry = entries.get(placeOf(address))
        return Effect.as(step, entry && view(entry))
      }),
    begin,
    commit,
    abandon: (address, token) =>
      Effect.sync(() => {
        const place = placeOf(address)
        if (leases.get(place)?.token === token) release(place)
      }),
    released: (address, token) =>
      Effect.suspend(() => {
        const held = leases.get(placeOf(address))
        return held?.token === token ? Deferred.await(held.over) : Effect.void
      }),
    discard,
    atomic: () => !split && options.between === undefined,
    invalidate: (batch) => Effect.tap(change(batch), tell(batch)),
    fence: (one) => Effect.tap(fence(one), tell(one.over)),
    lift: ({ id }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const stood = standing(now).some((one) => one.id === id)
        if (mistake === "lifting one fence lifts all") journal.fences.clear()
        journal.fences.delete(id)
        return stood || mistake === "a fence that was lost is lifted without a word" ||
          mistake === "several steps are no fence"
      }),
    inspect: (address) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { key, known } = address
        const entry = entries.get(placeOf(address))
        return {
          entry: entry && view(entry),
          changedAt: new Map(),
          removed: undefined,
          leased: leases.get(placeOf(address))?.token,
          fenced: standing(now).some(({ over }) => Invalidation.covers(over, key, entry?.stamp.dependencies ?? known))
        }
      }),
    scan: ({ cursor = "", limit, pattern }) =>
      Effect.sync(() => {
        const rest = [...new Set([...entries.keys()].map(keyOf))].filter((key) =>
          key > cursor && (pattern === undefined || Key.matches(pattern, key))
        ).sort()
        const keys = rest.slice(0, limit)
        return { keys, cursor: keys.length < rest.length ? keys.at(-1) : undefined }
      }),
    announcements: Stream.fromPubSub(hub),
    leased: () => leases.size,
    lose: (what, key, names) => {
      if (what === "entry") { for (const place of placesOf(key)) entries.delete(place) }
      if (what === "lease") { for (const place of placesOf(key)) release(place) }
      if (what === "markers") { for (const name of names) markers.delete(name) }
      if (what === "journal") {
        const { epoch } = journal
        journal = newJournal()
        if (mistake === "a lost journal begins where it was") journal.epoch = epoch
      }
    }
  }
  return store
})
