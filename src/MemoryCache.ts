/**
 * A cache in this process.
 *
 * One synchronous step is atomic here, so a read needs no tokens: an index from
 * dependency to entries removes or marks entries at once when a dependency is
 * invalidated, and an in-flight load is checked against what was invalidated
 * since it began. Memory is bounded by the entries that live (`capacity`,
 * `maxBytes`), not by the tags ever seen.
 *
 * **Gotchas**
 *
 * - Values are kept as they are, not copied: do not mutate what a read gives.
 * - `maxBytes` measures values by the length of their JSON, which costs an
 *   encoding per load. It is an estimate, not the size on the heap.
 * - Invalidating a dependency takes time in proportion to the entries that have
 *   it, since they are freed at once.
 *
 * **Example** (A cached read in memory)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * const square = Cached.make("square", {
 *   key: Key.int("n"),
 *   value: Schema.Finite,
 *   lookup: (n) => Effect.succeed(n * n)
 * }, Policy.ttl("1 minute"))
 *
 * const program = Cached.get(square, 12).pipe(Effect.provide(MemoryCache.layer({ capacity: 100 })))
 * await Effect.runPromise(program) // => 144
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { LRUCache } from "lru-cache"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import type { Dependency } from "./Dependency.ts"
import * as Broadcast from "./internal/broadcast.ts"
import * as Check from "./internal/check.ts"
import { HeldLease, Journal, positionOf, type StandingFence } from "./internal/memory/journal.ts"
import { Places } from "./internal/memory/places.ts"
import { stronger } from "./internal/mode.ts"
import { keyOf, placeOf } from "./internal/place.ts"
import { makeNow } from "./internal/steady.ts"
import * as Invalidation from "./Invalidation.ts"
import * as Key from "./Key.ts"
import type * as Verdict from "./Verdict.ts"

/**
 * Options of a cache in memory.
 *
 * - `capacity`: the most entries, up to 2^24; the least recently used goes first.
 *   (Of the uses of an entry between two insertions, the first counts.) Room for
 *   them, some 12 bytes each, is taken from the start.
 * - `maxBytes`: the most bytes of encoded values. A single value above it is
 *   served but not stored.
 * - `journalLimit`: the most invalidated dependencies that are remembered for
 *   in-flight loads (65 536); of more, the oldest eighth is forgotten. A load that
 *   began before what was forgotten, and has dependencies, is served but not
 *   stored.
 * - `now`: milliseconds of the clock by which leases, fences and entries end, as
 *   `CacheStore.now` (the clock of the process). A tier gives that of the store
 *   below it: what ends there ends here.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly capacity: number
  readonly maxBytes?: number
  readonly journalLimit?: number
  readonly now?: CacheStore.Now
}

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
  changed: Map<Dependency, Verdict.Mode> | undefined = undefined
  changedAt: Map<Dependency, number> | undefined = undefined
  softened = false
  memo: unknown
  /** In which interval between two insertions it was last used. */
  used = -1
  /** What a read answers: made once, so that a hit makes nothing. */
  readonly answer: Exit.Exit<CacheStore.Entry>

  constructor(key: string, place: string, draft: CacheStore.Draft) {
    this.key = key
    this.place = place
    this.token = draft.token
    this.expiresAt = draft.expiresAt
    this.payload = draft.payload
    this.stamp = draft.stamp
    this.fatal = draft.fatal
    this.memo = draft.memo
    this.answer = Exit.succeed(this)
  }

  mark(dependency: Dependency, mode: Verdict.Mode, now: number): void {
    this.changed ??= new Map()
    this.changedAt ??= new Map()
    this.changed.set(dependency, stronger(this.changed.get(dependency), mode)!)
    if (!this.changedAt.has(dependency)) this.changedAt.set(dependency, now)
  }
}

/** What is remembered of a removed entry, for `explain`: facts, never the value. */
interface Removed {
  readonly entry: Pick<Stored, "payload" | "stamp" | "changed" | "changedAt" | "softened">
  readonly because: string
  readonly at: number
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)

// A `Map` of V8 holds no more; and the list of what was used last is made in its full length at once.
const mostEntries = 2 ** 24

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

// A listener may fall this many invalidations behind.
const announcementBuffer = 1024

// This many removed entries are remembered for `explain`.
const mostRemoved = 1024

/**
 * A store in memory, for `CacheService.make` and for tests.
 *
 * Throws `InvalidInput` for an option that is not a positive integer, or is too large.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeStore = (options: Options): Effect.Effect<MemoryStore, never, Scope.Scope> => {
  const capacity = Check.integer("MemoryCache", "capacity", options.capacity, { most: mostEntries })
  const maxBytes = options.maxBytes === undefined
    ? undefined
    : Check.integer("MemoryCache", "maxBytes", options.maxBytes)
  const journalLimit = Check.integer("MemoryCache", "journalLimit", options.journalLimit ?? 65_536, {
    most: mostEntries
  })
  return Effect.map(
    Broadcast.make<CacheStore.Announcement>(announcementBuffer, { _tag: "Gap" }),
    (announcements) => makeStoreWith(capacity, maxBytes, journalLimit, options.now, announcements)
  )
}

const makeStoreWith = (
  capacity: number,
  maxBytes: number | undefined,
  journalLimit: number,
  ownNow: CacheStore.CacheStore["now"],
  announcements: Broadcast.Broadcast<CacheStore.Announcement>
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

  const enlist = (entry: Stored): void => {
    for (const dependency of entry.stamp.dependencies) {
      const entries = index.get(dependency)
      if (entries === undefined) index.set(dependency, new Set([entry]))
      else entries.add(entry)
    }
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

  const invalidateDependency = (dependency: Dependency, mode: Verdict.Mode, now: number): ReadonlyArray<Stored> => {
    journal.note(dependency, leases.size > 0)
    const affected = [...(index.get(dependency) ?? [])]
    // Only some removed entries are remembered. All are marked: a read that holds one may ask it again.
    const forgettable = affected.length - mostRemoved
    for (const [i, entry] of affected.entries()) {
      entry.mark(dependency, mode, now)
      if (mode !== "hard" || !entry.fatal.has(dependency)) continue
      if (i < forgettable) entries.delete(entry.place)
      else remove(entry, "invalidated", now)
    }
    return affected
  }

  const invalidatePlace = (place: string, mode: Verdict.Mode, now: number): ReadonlyArray<Stored> => {
    const lease = leases.get(place)
    if (lease !== undefined) release(place, lease)
    const entry = entries.peek(place)
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

  const invalidateAll = (batch: Invalidation.Invalidation, now: number): number => {
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
    // An entry that several of them cover counts once.
    return affected.length === 1 ? affected[0]!.length : new Set(affected.flat()).size
  }

  const begin = (address: CacheStore.Address, request: CacheStore.Begin, now: number): CacheStore.Begun => {
    const place = placeOf(address)
    const writes = request.drop && request.force
    if (writes) endOthers(address, place, now)
    const entry = entries.peek(place)
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
      const older = entries.peek(placeOf(address))
      if (older !== undefined) remove(older, "replaced by a value that is not stored", now)
      return "unstored"
    }
    const entry = new Stored(address.key, placeOf(address), draft)
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
    const live = entries.peek(place)
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
    invalidate: (batch) => timed((now) => invalidateAll(batch, now)),
    fence: (fence) =>
      timed((now) => {
        fences.set(fence.id, { ...fence, until: now + fence.length })
        return invalidateAll(fence.over, now)
      }),
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
    keys: () => [...entries.keys()],
    peek: (place) => entries.peek(place),
    held: () => [...leases.values()].map(({ token }) => token),
    corrupt: (place, payload) => {
      const entry = entries.peek(place)
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

/**
 * The store alone, for `CacheService.layer` or what is built around a store.
 *
 * Throws `InvalidInput` for an option that is not a positive integer, or is too large.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (options: Options): Layer.Layer<CacheStore.CacheStore> =>
  Layer.effect(CacheStore.CacheStore, makeStore(options))

/**
 * A cache in this process. Entries and in-flight loads end with the layer.
 *
 * Throws `InvalidInput` for an option that is not a positive integer, or is too large.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheService.CacheService> =>
  Layer.provide(CacheService.layer(), layerStore(options))
