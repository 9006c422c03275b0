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
 * - A dependency that more than a hundred entries have ends all of them at once when
 *   it is invalidated, but they are removed in pieces, beside whatever else there is
 *   to do, and are not counted.
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
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import * as Broadcast from "./internal/broadcast.ts"
import * as Check from "./internal/check.ts"
import * as Memory from "./internal/memory/store.ts"

export type { MemoryStore } from "./internal/memory/store.ts"

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

// A `Map` of V8 holds no more; and the list of what was used last is made in its full length at once.
const mostEntries = 2 ** 24

// A listener may fall this many invalidations behind.
const announcementBuffer = 1024

/**
 * A store in memory, for `CacheService.make` and for tests.
 *
 * Throws `InvalidInput` for an option that is not a positive integer, or is too large.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeStore = (options: Options): Effect.Effect<Memory.MemoryStore, never, Scope.Scope> => {
  const capacity = Check.integer("MemoryCache", "capacity", options.capacity, { most: mostEntries })
  const maxBytes = options.maxBytes === undefined
    ? undefined
    : Check.integer("MemoryCache", "maxBytes", options.maxBytes)
  const journalLimit = Check.integer("MemoryCache", "journalLimit", options.journalLimit ?? 65_536, {
    most: mostEntries
  })
  return Effect.flatMap(
    Broadcast.make<CacheStore.Announcement>(announcementBuffer, { _tag: "Gap" }),
    (announcements) => Memory.make({ capacity, maxBytes, journalLimit, now: options.now, announcements })
  )
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
