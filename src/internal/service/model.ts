/**
 * The types of the service: its errors and events, what users see of it, and
 * what the rest of the library sees.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as CacheStore from "../../CacheStore.ts"
import type { Invalidation } from "../../Invalidation.ts"
import type * as Verdict from "../../Verdict.ts"
import type * as Counters from "../counters.ts"
import type { Definition } from "../definition.ts"
import type { Pauses } from "./pauses.ts"
import type { Slots } from "./slots.ts"
import type { Unwritten } from "./unwritten.ts"

// -----------------------------------------------------------------------------
// what users see
// -----------------------------------------------------------------------------

/**
 * An invalidation that the store did not acknowledge. Repeating it is safe.
 *
 * - `mayHaveHappened` is false only when it surely did not take effect.
 * - `committed` is there if the write that it was for is done: what that gave. Who
 *   writes again then writes twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidationError extends Schema.TaggedError<InvalidationError>()("InvalidationError", {
  invalidation: Schema.String,
  reason: CacheStore.Reason,
  mayHaveHappened: Schema.Boolean,
  committed: Schema.optional(Schema.Struct({ result: Schema.Unknown })),
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    const perhaps = this.mayHaveHappened ? "; may have happened" : ""
    return `not invalidated: ${this.invalidation} (${this.reason._tag}${perhaps})`
  }
}

/** The same error, of a write that is done. */
export const withResult = (
  { cause, invalidation, mayHaveHappened, reason }: InvalidationError,
  result: unknown
): InvalidationError => new InvalidationError({ invalidation, reason, mayHaveHappened, cause, committed: { result } })

/**
 * What happens in a cache.
 *
 * | event | when |
 * |---|---|
 * | `Hit` | a fresh entry was served |
 * | `StaleServed` | an entry that is not fresh was served; `verdict` says how bad |
 * | `Miss` | nothing could be served; `found` is the verdict on what was there |
 * | `Load` | a load ended, after `millis`; `outcome` is what became of it |
 * | `Refresh` | a load was started for an entry that is still served |
 * | `Coalesced` | a caller waited for another's load instead of loading |
 * | `Refused` | a load was not stored: invalidated or lost |
 * | `Unreadable` | the store gave something that does not decode |
 * | `Unwritable` | a value was served and not stored: its schema refuses it or would give back another, or it depends on too much |
 * | `Invalidated` | an invalidation was acknowledged |
 * | `Undelivered` | an invalidation was not acknowledged, for the `attempts`th time; it is kept |
 * | `StoreFailed` | an operation of the store failed |
 *
 * @category events
 * @since 0.1.0
 */
export type CacheEvent =
  | { readonly _tag: "Hit"; readonly name: string; readonly key: string }
  | { readonly _tag: "StaleServed"; readonly name: string; readonly key: string; readonly verdict: Verdict.Verdict }
  | { readonly _tag: "Miss"; readonly name: string; readonly key: string; readonly found: Verdict.Verdict | "Nothing" }
  | {
    readonly _tag: "Load"
    readonly name: string
    readonly key: string
    readonly millis: number
    readonly result: "success" | "failure" | "defect" | "interrupted"
    readonly outcome: CacheStore.Outcome | "unsaved"
  }
  | { readonly _tag: "Refresh"; readonly name: string; readonly key: string }
  | { readonly _tag: "Coalesced"; readonly name: string; readonly key: string }
  | { readonly _tag: "Refused"; readonly name: string; readonly key: string; readonly outcome: CacheStore.Outcome }
  | { readonly _tag: "Unreadable"; readonly name: string; readonly key: string }
  | { readonly _tag: "Unwritable"; readonly name: string; readonly key: string; readonly because: string }
  | { readonly _tag: "Invalidated"; readonly invalidation: Invalidation; readonly entries: number | undefined }
  | {
    readonly _tag: "Undelivered"
    readonly invalidation: Invalidation
    readonly attempts: number
    readonly error: CacheStore.StoreError
  }
  | { readonly _tag: "StoreFailed"; readonly error: CacheStore.StoreError }

/**
 * An invalidation that the store has not acknowledged, and what is done about it.
 *
 * - `since`: when it failed first, in milliseconds of the store's clock.
 * - `attempts`: how often it was tried.
 *
 * @category models
 * @since 0.1.0
 */
export interface Undelivered {
  readonly invalidation: Invalidation
  readonly since: number
  readonly attempts: number
}

/**
 * Whether the store answers this process, as its operations saw it last.
 *
 * - `Healthy`: nothing is known to the contrary.
 * - `Lost`: several operations in a row have failed, or none was answered for a
 *   second. Of several stores it is the worst.
 *   - `store`: its name.
 *   - `parts`: reads, or writes, or both. Without reads every read loads. Without writes
 *     nothing is stored, and invalidations fail.
 *   - `since`: by the wall clock, in milliseconds.
 *   - `loads`: how many were made without it so far.
 *   - `error`: the failure by which it was known, with its cause.
 *
 * @category models
 * @since 0.1.0
 */
export type Health =
  | { readonly _tag: "Healthy" }
  | {
    readonly _tag: "Lost"
    readonly store: string
    readonly parts: ReadonlyArray<"reads" | "writes">
    readonly since: number
    readonly loads: number
    readonly error: CacheStore.StoreError
  }

/**
 * What became of an invalidation.
 *
 * - `entries`: how many entries were removed or softened at once, where the store
 *   can count them.
 * - `deferred`: whether it was collected by a transaction, which applies it after
 *   its commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Invalidated {
  readonly entries: number | undefined
  readonly deferred: boolean
}

/**
 * A store, protected: it makes every invalidation as if in one step, and gives
 * nothing that an undelivered invalidation covers.
 *
 * - `events`: everything that happens from now on, in this process. A listener
 *   that falls more than 4096 events behind loses the oldest.
 * - `undelivered`: the invalidations that the store has not acknowledged yet, in
 *   the order in which they failed.
 * - `health`: whether the store answers. While it is lost, this also tries whether
 *   it is back; that is bounded by the limits of its guard.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheService {
  readonly store: CacheStore.CacheStore
  readonly events: Stream.Stream<CacheEvent>
  readonly undelivered: Effect.Effect<ReadonlyArray<Undelivered>>
  readonly health: Effect.Effect<Health>
}

/**
 * The service that cached reads need: provided by `MemoryCache.layer`,
 * `RedisCache.layer`, `TestCache.layer`, or `CacheService.layer` on a store.
 *
 * @category services
 * @since 0.1.0
 */
export const CacheService: Context.Service<CacheService, CacheService> = Context.Service(
  "effect-cache-algebra/CacheService"
)

// -----------------------------------------------------------------------------
// what the library sees
// -----------------------------------------------------------------------------

/** A store whose clock is known: milliseconds that never go back. */
export interface ClockedStore extends CacheStore.CacheStore {
  readonly now: CacheStore.Now
}

/**
 * What a transaction makes untrue once it is committed.
 *
 * - `open`: whether it still collects; afterwards everything is applied at once.
 * - `add`: collects an invalidation.
 */
export interface Collecting {
  readonly open: boolean
  readonly add: (batch: Invalidation) => void
}

/**
 * A service with what one process keeps beside its store.
 *
 * - `routed`: where several stores are one: that of the definitions of a name.
 * - `leases`: grants leases of this process while the store cannot be asked.
 * - `loads`: loads of this process, by the token of their lease.
 * - `refreshing`: keys that this process refreshes in the background.
 * - `definitions`: the definition that was used last, by name.
 * - `unwritten`: what could not be stored as text.
 * - `otherShapes`: the definitions of which it was told that entries are of another schema.
 * - `pauses`: keys whose refresh in the background failed.
 * - `slots`: how many lookups of a definition run at once.
 * - `counters`: by name of definition.
 * - `publish`: gives an event to the listeners, if there are any.
 * - `scope`: what loads run in: released with the layer, which interrupts them.
 * - `deliver`: applies an invalidation. What the store does not acknowledge is
 *   kept, whether that fails or is interrupted.
 * - `keep`: has an invalidation delivered later.
 * - `collecting`: there inside of a transaction, where invalidations wait for its
 *   commit.
 */
export interface Service extends CacheService {
  readonly store: ClockedStore
  readonly routed: ((name: string) => ClockedStore) | undefined
  readonly leases: ClockedStore
  readonly collecting?: Collecting
  readonly token: () => CacheStore.Token
  readonly loads: Map<CacheStore.Token, unknown>
  readonly refreshing: Set<string>
  readonly definitions: Map<string, Definition>
  readonly slots: Slots
  readonly pauses: Pauses
  readonly unwritten: Unwritten
  readonly otherShapes: Set<string>
  readonly counters: (name: string, fiber: Fiber.Fiber<unknown, unknown>) => Counters.Counters
  readonly allCounters: () => ReadonlyMap<string, Counters.Counters>
  readonly watched: () => boolean
  readonly publish: (event: CacheEvent) => void
  readonly scope: Scope.Scope
  readonly deliver: (batch: Invalidation) => Effect.Effect<number | undefined, CacheStore.StoreError>
  readonly keep: (batch: Invalidation, error: CacheStore.StoreError) => Effect.Effect<void>
}

/** The store of the definitions of a name. */
export const storeOf = ({ routed, store }: Service, name: string): ClockedStore =>
  routed === undefined ? store : routed(name)

/** Every service is made by `CacheService.make`, which makes the whole of it. */
export const inside = (service: CacheService): Service => service as Service
