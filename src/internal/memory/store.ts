/**
 * The store in memory: entries, leases, fences and the journal, of which every
 * operation is one synchronous step.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { LRUCache } from "lru-cache"
import type * as CacheStore from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import type * as Verdict from "../../Verdict.ts"
import type * as Broadcast from "../broadcast.ts"
import * as Check from "../check.ts"
import { stronger } from "../mode.ts"
import { keyOf, placeOf } from "../place.ts"
import { makeNow } from "../steady.ts"
import { Doomed } from "./doomed.ts"
import { HeldLease, Journal, positionOf, type StandingFence } from "./journal.ts"
import { Places } from "./places.ts"

/**
 * A store in memory with its instruments: what it holds, and ways to lose it.
 * Losing any of it is always safe; tests do it on purpose.
 *
 * `keys` gives the stored keys, with a `#` and the version after those of a
 * definition that has one; `peek` and `corrupt` take them so. `evict` takes a
 * stored key, and loses it in every version.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryStore extends CacheStore.CacheStore {
  readonly sizes: () => {
    readonly entries: number
    readonly bytes: number
    readonly dependencies: number
    readonly leases: number
    readonly journal: number
    readonly fences: number
  }
  readonly keys: () => ReadonlyArray<string>
  readonly peek: (place: string) => CacheStore.Entry | undefined
  readonly corrupt: (place: string, payload: unknown) => boolean
  readonly held: () => ReadonlyArray<CacheStore.Token>
  readonly evict: (what: "entry" | "lease" | "journal", key?: string) => void
}

class Stored implements CacheStore.Entry {
  readonly key: string
  /** The key, and the version after it. */
  readonly place: string
  readonly token: CacheStore.Token
  payload: unknown
  readonly stamp: CacheStore.Stamp
  readonly expiresAt: number
  readonly fatal: ReadonlySet<Dependency>
  softened = false
  memo: unknown
  /** In which interval between two insertions it was last used. */
  used = -1
  /** What a read answers: made once, so that a hit makes nothing. */
  readonly answer: Exit.Exit<CacheStore.Entry>
  private marks: Map<Dependency, Verdict.Mode> | undefined = undefined
  private markedAt: Map<Dependency, number> | undefined = undefined
  private readonly doomed: Doomed<Stored>

  constructor(key: string, place: string, draft: CacheStore.Draft, doomed: Doomed<Stored>) {
    this.key = key
    this.place = place
    this.token = draft.token
    this.expiresAt = draft.expiresAt
    this.payload = draft.payload
    this.stamp = draft.stamp
    this.fatal = draft.fatal
    this.memo = draft.memo
    this.answer = Exit.succeed(this)
    this.doomed = doomed
  }

  // Whoever holds it, removed or not, sees what was invalidated by now.
  get changed(): ReadonlyMap<Dependency, Verdict.Mode> | undefined {
    if (!this.doomed.isEmpty) this.doomed.settle(this)
    return this.marks
  }

  get changedAt(): ReadonlyMap<Dependency, number> | undefined {
    if (!this.doomed.isEmpty) this.doomed.settle(this)
    return this.markedAt
  }

  mark(dependency: Dependency, mode: Verdict.Mode, now: number): void {
    this.marks ??= new Map()
    this.markedAt ??= new Map()
    this.marks.set(dependency, stronger(this.marks.get(dependency), mode)!)
    if (!this.markedAt.has(dependency)) this.markedAt.set(dependency, now)
  }
}

/** What is remembered of a removed entry, for `explain`: facts, never the value. */
interface Removed {
  readonly entry: Pick<Stored, "payload" | "stamp" | "changed" | "changedAt" | "softened">
  readonly because: string
  readonly at: number
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)

/** Where, in sorted texts, those begin that come after one. */
const firstAfter = (sorted: ReadonlyArray<string>, text: string): number => {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! <= text) low = middle + 1
    else high = middle
  }
  return low
}

// This many removed entries are remembered for `explain`.
const mostRemoved = 1024

export interface Settings {
  readonly capacity: number
  readonly maxBytes: number | undefined
  readonly journalLimit: number
  readonly now: CacheStore.Now | undefined
  readonly announcements: Broadcast.Broadcast<CacheStore.Announcement>
  /** Entries with a dependency that are ended at once when it is invalidated; of more, all are ended in pieces. */
  readonly mostAtOnce?: number
}

// Few enough to be ended without anybody noticing; and few enough for a turn of the event loop.
const usuallyAtOnce = 100
const piece = 500

export const make = (settings: Settings): Effect.Effect<MemoryStore, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => makeIn(settings, scope))

const makeIn = (
  { announcements, capacity, journalLimit, maxBytes, mostAtOnce = usuallyAtOnce, now: ownNow }: Settings,
  scope: Scope.Scope
): MemoryStore => {
  const now = ownNow ?? makeNow()
  // One synchronous step, at the time at which it happens.
  const timed = <A>(step: (now: number) => A): Effect.Effect<A> =>
    Effect.clockWith((clock) => Effect.succeed(step(now(clock))))

  const index = new Map<Dependency, Set<Stored>>()
  const places = new Places()
  // Entries and leases are found by their place: the key, and the version after it.
  const leases = new Map<string, HeldLease>()
  const fences = new Map<CacheStore.Token, StandingFence>()
  const journal = new Journal(journalLimit)
  const removed = new LRUCache<string, Removed>({ max: Math.min(capacity, mostRemoved) })
  // What waits for its end by a dependency is not in the index of that one; in those of its others it is.
  const doomed = new Doomed<Stored>((entry, { at, dependency, entries: { size }, mode }) => {
    endBy(entry, dependency, mode, at, size < mostRemoved)
    if (entries.peek(entry.place) === entry) enlistIn(dependency, entry)
  })

  const enlistIn = (dependency: Dependency, entry: Stored): void => {
    const entries = index.get(dependency)
    if (entries === undefined) index.set(dependency, new Set([entry]))
    else entries.add(entry)
  }

  const enlist = (entry: Stored): void => {
    for (const dependency of entry.stamp.dependencies) enlistIn(dependency, entry)
  }

  const delist = (entry: Stored): void => {
    for (const dependency of entry.stamp.dependencies) {
      const entries = index.get(dependency)
      if (entries?.delete(entry) && entries.size === 0) index.delete(dependency)
    }
  }

  // Recency is kept apart from finding: noting each hit would take a good part of the hit. Nothing is evicted between
  // two insertions, so of all uses of an entry between them the first is noted.
  const byPlace = new Map<string, Stored>()
  let interval = 0
  // The stored keys in order, for the next page of a scan. Made again if a key came or went meanwhile.
  let sorted: ReadonlyArray<string> | undefined

  const find = (address: CacheStore.Address): Exit.Exit<CacheStore.Entry | undefined> => {
    const place = placeOf(address)
    const entry = byPlace.get(place)
    if (entry === undefined) return nothing
    if (entry.used !== interval) {
      entry.used = interval
      entries.get(place)
    }
    return entry.answer
  }

  const entries = new LRUCache<string, Stored>({
    max: capacity,
    ...(maxBytes === undefined ? {} : { maxSize: maxBytes }),
    dispose: (entry, place, reason) => {
      if (byPlace.get(place) === entry) {
        byPlace.delete(place)
        tidy(entry.key, place)
        sorted = undefined
      }
      delist(entry)
      if (reason === "evict") remember(entry, "evicted to make room", Number.NaN)
    }
  })

  const tidy = (key: string, place: string): void => {
    if (place !== key && !byPlace.has(place) && !leases.has(place)) places.remove(key, place)
  }

  const remember = (entry: Stored, because: string, at: number): void => {
    const { changed, changedAt, softened, stamp } = entry
    removed.set(entry.place, { entry: { payload: undefined, changed, changedAt, softened, stamp }, because, at })
  }

  const remove = (entry: Stored, because: string, now: number): void => {
    if (entries.peek(entry.place) !== entry) return
    entries.delete(entry.place)
    remember(entry, because, now)
  }

  const release = (place: string, lease: HeldLease): void => {
    if (leases.get(place) !== lease) return
    leases.delete(place)
    tidy(keyOf(place), place)
    // Leases stand in the order in which they were taken, so the first is the oldest.
    const oldest = leases.values().next()
    journal.forgetTo(oldest.done ? journal.position : Math.min(oldest.value.since, journal.position))
    for (const wake of lease.waiting) wake()
  }

  const standing = (id: CacheStore.Token, now: number): boolean => now < (fences.get(id)?.until ?? -Infinity)

  const standingFences = (now: number): ReadonlyArray<StandingFence> => {
    for (const fence of fences.values()) if (now >= fence.until) fences.delete(fence.id)
    return [...fences.values()]
  }

  /** All are marked: a read that holds one may ask it again. */
  const endBy = (entry: Stored, dependency: Dependency, mode: Verdict.Mode, at: number, remembered: boolean): void => {
    entry.mark(dependency, mode, at)
    if (mode !== "hard" || !entry.fatal.has(dependency)) return
    if (remembered) remove(entry, "invalidated", at)
    else if (entries.peek(entry.place) === entry) entries.delete(entry.place)
  }

  /** What was ended; undefined where that is not counted. */
  const invalidateDependency = (
    dependency: Dependency,
    mode: Verdict.Mode,
    now: number
  ): ReadonlyArray<Stored> | undefined => {
    journal.note(dependency, leases.size > 0)
    const some = index.get(dependency)
    const others = !doomed.isEmpty && doomed.again(dependency, mode)
    if (some === undefined) return others ? undefined : []
    if (some.size > mostAtOnce) {
      index.delete(dependency)
      doomed.add({ dependency, mode, at: now, entries: some })
      return undefined
    }
    // What another dependency has ended already does not count.
    if (!doomed.isEmpty) { for (const entry of [...some]) doomed.settle(entry) }
    const affected = [...some]
    for (const entry of affected) endBy(entry, dependency, mode, now, true)
    return others ? undefined : affected
  }

  /** The entry that is there, if nothing has ended it. */
  const entryAt = (place: string): Stored | undefined => {
    const entry = entries.peek(place)
    if (entry === undefined || doomed.isEmpty) return entry
    doomed.settle(entry)
    return entries.peek(place)
  }

  let freeing = false
  /** Ends the others in pieces, beside whatever else is to be done. */
  const free = Effect.ensuring(
    Effect.whileLoop({
      while: () => !doomed.isEmpty,
      body: () => Effect.yieldNow,
      step: () => doomed.settleSome(piece)
    }),
    Effect.sync(() => {
      freeing = false
    })
  )
  const freeAfter = <A>(step: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.tap(step, () => {
      if (doomed.isEmpty || freeing) return Effect.void
      freeing = true
      return Effect.forkIn(free, scope)
    })

  const invalidatePlace = (place: string, mode: Verdict.Mode, now: number): ReadonlyArray<Stored> => {
    const lease = leases.get(place)
    if (lease !== undefined) release(place, lease)
    const entry = entryAt(place)
    if (entry === undefined) return []
    if (mode === "hard") remove(entry, "the key was invalidated", now)
    else entry.softened = true
    return [entry]
  }

  const invalidateKey = (key: string, mode: Verdict.Mode, now: number): ReadonlyArray<Stored> =>
    places.isEmpty
      ? invalidatePlace(key, mode, now)
      : [key, ...places.of(key)].flatMap((place) => invalidatePlace(place, mode, now))

  /** A write ends what is stored of its key in other versions. */
  const endOthers = (address: CacheStore.Address, mine: string, now: number): void => {
    if (address.version === undefined && places.isEmpty) return
    for (const place of [address.key, ...places.of(address.key)]) {
      if (place !== mine) invalidatePlace(place, "hard", now)
    }
  }

  const sweepKeys = (
    covered: (key: string) => boolean,
    mode: Verdict.Mode,
    now: number
  ): ReadonlyArray<Stored> => {
    const affected: Array<Stored> = []
    for (const place of new Set([...entries.keys(), ...leases.keys()])) {
      if (!covered(keyOf(place))) continue
      for (const entry of invalidatePlace(place, mode, now)) affected.push(entry)
    }
    return affected
  }

  const invalidateAll = (batch: Invalidation.Invalidation, now: number): number | undefined => {
    const { dependencies, everything, keys, patterns } = batch
    const affected = [
      ...[...keys].map(([key, mode]) => invalidateKey(key, mode, now)),
      ...[...dependencies].map(([dependency, mode]) => invalidateDependency(dependency, mode, now)),
      ...[...patterns.values()].map(({ mode, pattern }) => sweepKeys((key) => Key.matches(pattern, key), mode, now)),
      ...(everything === undefined ? [] : [sweepKeys(() => true, everything, now)])
    ]
    announcements.publish({
      _tag: "Invalidated",
      invalidation: batch,
      position: positionOf(journal.position, standingFences(now))
    })
    return countOf(affected)
  }

  /** An entry that several of them cover counts once. */
  const countOf = (affected: ReadonlyArray<ReadonlyArray<Stored> | undefined>): number | undefined => {
    const all = new Set<Stored>()
    for (const some of affected) {
      if (some === undefined) return undefined
      for (const entry of some) all.add(entry)
    }
    return all.size
  }

  const begin = (address: CacheStore.Address, request: CacheStore.Begin, now: number): CacheStore.Begun => {
    const place = placeOf(address)
    const writes = request.drop && request.force
    if (writes) endOthers(address, place, now)
    const entry = entryAt(place)
    if (entry !== undefined && !request.force && entry.token !== request.seen) return { _tag: "Found", entry }
    if (entry !== undefined && request.drop) remove(entry, "found dead", now)
    const { known } = address
    const held = leases.get(place)
    // Asked again, it is the same lease: its load may have begun after the first time.
    if (held?.token === request.token) return { _tag: "Leased", lease: held }
    if (held !== undefined) {
      // A lease that was taken under other tokens cannot be stored under, so it is stolen rather than waited for.
      const stands = now < held.until && journal.quietSince(held.since, held.known)
      if (stands && !request.force) {
        return { _tag: "Busy", token: held.token, position: positionOf(journal.position, standingFences(now)) }
      }
      release(place, held)
    }
    const lease = new HeldLease(
      request.token,
      known,
      journal.position,
      standingFences(now),
      now + request.leaseFor,
      writes
    )
    leases.set(places.add(address), lease)
    return { _tag: "Leased", lease }
  }

  /** Ends a load: `quiet` if it may be stored. Of unknown dependencies everything that happened counts. */
  const end = (
    address: CacheStore.Address,
    lease: CacheStore.Lease,
    dependencies: ReadonlyArray<Dependency> | undefined,
    now: number
  ): "quiet" | "fenced" | "invalidated" | "lost" => {
    const { key } = address
    const place = placeOf(address)
    const held = leases.get(place)
    if (held === undefined || held.token !== lease.token) return "lost"
    const quiet = dependencies === undefined
      ? journal.position === held.since
      : journal.quietSince(held.since, dependencies)
    release(place, held)
    // What began to load beside a write may have read before it.
    if (held.writes) endOthers(address, place, now)
    if (!quiet) return "invalidated"
    const over = dependencies === undefined
      ? held.fences
      : held.fences.filter((fence) => Invalidation.covers(fence.over, key, dependencies))
    return over.length === 0 ? "quiet" : over.every((fence) => standing(fence.id, now)) ? "fenced" : "invalidated"
  }

  const discard = (
    address: CacheStore.Address,
    lease: CacheStore.Lease,
    dependencies: ReadonlyArray<Dependency> | undefined,
    now: number
  ): CacheStore.Outcome => {
    const ended = end(address, lease, dependencies, now)
    return ended === "quiet" ? "unstored" : ended
  }

  const commit = (
    address: CacheStore.Address,
    lease: CacheStore.Lease,
    draft: CacheStore.Draft,
    now: number
  ): CacheStore.Outcome => {
    const ended = end(address, lease, draft.stamp.dependencies, now)
    if (ended !== "quiet") return ended
    const size = maxBytes === undefined ? undefined : Math.max(1, draft.size())
    if (draft.expiresAt <= now || (size !== undefined && size > maxBytes!)) {
      // Waiters are given the new value, so a later read must not give the old one.
      const older = entryAt(placeOf(address))
      if (older !== undefined) remove(older, "replaced by a value that is not stored", now)
      return "unstored"
    }
    const entry = new Stored(address.key, placeOf(address), draft, doomed)
    entries.set(entry.place, entry, size === undefined ? {} : { size })
    byPlace.set(entry.place, entry)
    places.add(address)
    sorted = undefined
    interval++
    enlist(entry)
    removed.delete(entry.place)
    return "stored"
  }

  // The cursor is the last key that was looked at: the order in which keys were used changes meanwhile, theirs does not.
  const scan = ({ cursor, limit, pattern }: CacheStore.Scan): CacheStore.Page => {
    doomed.settleAll()
    sorted ??= [...(places.isEmpty ? byPlace.keys() : new Set(Array.from(byPlace.keys(), keyOf)))].sort()
    const keys: Array<string> = []
    let at = cursor === undefined ? 0 : firstAfter(sorted, cursor)
    for (; at < sorted.length && keys.length < limit; at++) {
      if (pattern === undefined || Key.matches(pattern, sorted[at]!)) keys.push(sorted[at]!)
    }
    return { keys, cursor: at < sorted.length ? sorted[at - 1] : undefined }
  }

  const inspect = (address: CacheStore.Address, now: number): CacheStore.Inspection => {
    const { key, known } = address
    const place = placeOf(address)
    const live = entryAt(place)
    const gone = live === undefined ? removed.get(place) : undefined
    const entry = live ?? gone?.entry
    return {
      entry,
      changedAt: entry?.changedAt ?? new Map(),
      removed: gone && { because: gone.because, at: gone.at },
      leased: leases.get(place)?.token,
      fenced: standingFences(now).some((fence) =>
        Invalidation.covers(fence.over, key, entry?.stamp.dependencies ?? known)
      )
    }
  }

  return {
    name: "memory",
    payload: "value",
    now,
    read: find,
    begin: (address, request) => timed((now) => begin(address, request, now)),
    commit: (address, lease, draft) => timed((now) => commit(address, lease, draft, now)),
    discard: (address, lease, dependencies) => timed((now) => discard(address, lease, dependencies, now)),
    abandon: (address, token) =>
      Effect.sync(() => {
        const held = leases.get(placeOf(address))
        if (held?.token === token) release(placeOf(address), held)
      }),
    released: (address, token) =>
      Effect.callback<void>((resume) => {
        const held = leases.get(placeOf(address))
        if (held === undefined || held.token !== token) return resume(Effect.void)
        const wake = () => resume(Effect.void)
        held.waiting.add(wake)
        return Effect.sync(() => held.waiting.delete(wake))
      }),
    atomic: () => true,
    invalidate: (batch) => freeAfter(timed((now) => invalidateAll(batch, now))),
    fence: (fence) =>
      freeAfter(timed((now) => {
        fences.set(fence.id, { ...fence, until: now + fence.length })
        return invalidateAll(fence.over, now)
      })),
    lift: ({ id }) =>
      timed((now) => {
        const stood = standing(id, now)
        fences.delete(id)
        return stood
      }),
    inspect: (address) => timed((now) => inspect(address, now)),
    scan: (request) => {
      Check.integer("MemoryCache", "the limit of a scan", request.limit)
      return Effect.sync(() => scan(request))
    },
    announcements: announcements.stream,
    sizes: () => ({
      entries: entries.size,
      bytes: entries.calculatedSize,
      dependencies: index.size,
      leases: leases.size,
      journal: journal.last.size,
      fences: fences.size
    }),
    keys: () => {
      doomed.settleAll()
      return [...entries.keys()]
    },
    peek: (place) => entryAt(place),
    held: () => [...leases.values()].map(({ token }) => token),
    corrupt: (place, payload) => {
      const entry = entryAt(place)
      if (entry === undefined) return false
      entry.payload = payload
      entry.memo = undefined
      return true
    },
    evict: (what, key) => {
      if (what === "journal") {
        journal.forgetTo(++journal.position)
        fences.clear()
      } else if (what === "entry") {
        for (const one of [...entries.keys()]) if (key === undefined || keyOf(one) === key) entries.delete(one)
      } else for (const [one, lease] of [...leases]) if (key === undefined || keyOf(one) === key) release(one, lease)
    }
  }
}
