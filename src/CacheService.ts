/**
 * The port: what a cache keeps promises with.
 *
 * A `CacheStore` is what a backend fulfils. It knows keys, dependencies, tokens
 * and opaque payloads, and no policy. `CacheService` is a store together with
 * what one process keeps beside it: the loads that are under way, counters, and
 * a stream of events. The interpreter (`Cached`) knows nothing else.
 *
 * **The protocol**
 *
 * What a load depends on is written down before it begins, as tokens that are
 * never used twice; an invalidation replaces the token; an entry is good while
 * every token it was loaded under is still there. No clock takes part.
 *
 * 1. `read` gives the entry and which of its dependencies changed since.
 * 2. `begin`, on a miss: captures the tokens of the dependencies known from the
 *    key, then the position of the journal, and takes the key's lease, or says
 *    who has it.
 * 3. `commit`, after the load: stores the entry only if the lease is still the
 *    key's, none of its dependencies (also those found in the value) was
 *    invalidated since `begin`, and no fence stood over them then.
 * 4. `invalidate`: for dependencies, notes them in the journal first and
 *    replaces the tokens second; for keys, removes entry and lease together.
 * 5. `fence` invalidates and refuses whatever is loaded until `lift`.
 *
 * Evicting or losing anything is always safe: it costs loads.
 *
 * **Gotchas**
 *
 * - A store that can answer at once returns an `Exit` (which is an Effect); the
 *   interpreter then answers a hit without a detour.
 * - Whoever writes a store runs `Contract.laws` against it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Dependency from "./Dependency.ts"
import * as Broadcast from "./internal/broadcast.ts"
import * as Counters from "./internal/counters.ts"
import { positiveMillis } from "./internal/duration.ts"
import * as Invalidation from "./Invalidation.ts"
import type * as Key from "./Key.ts"
import type * as Plan from "./Plan.ts"
import type * as Verdict from "./Verdict.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * Why an operation of the store failed.
 *
 * - `Timeout`: no answer within the time limit.
 * - `Unavailable`: the store could not be reached, or refused.
 * - `CircuitOpen`: the store failed several times in a row and is left alone
 *   for a while.
 * - `Malformed`: the store answered something that is no answer.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Literals(["Timeout", "Unavailable", "CircuitOpen", "Malformed"])

/**
 * Why an operation of the store failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * An operation of the store failed. `mayHaveHappened` says whether it may have
 * taken effect all the same.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  operation: Schema.String,
  reason: Reason,
  mayHaveHappened: Schema.Boolean,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `the store failed to ${this.operation}: ${this.reason}`
  }
}

/**
 * An invalidation that the store did not acknowledge. Repeating it is safe.
 *
 * `mayHaveHappened` is false only when it surely did not take effect.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidationError extends Schema.TaggedError<InvalidationError>()("InvalidationError", {
  invalidation: Schema.String,
  reason: Reason,
  mayHaveHappened: Schema.Boolean,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `not invalidated: ${this.invalidation} (${this.reason}${this.mayHaveHappened ? "; may have happened" : ""})`
  }
}

// -----------------------------------------------------------------------------
// the port
// -----------------------------------------------------------------------------

/**
 * A name that is never used twice.
 *
 * @category models
 * @since 0.1.0
 */
export type Token = string

/**
 * Where an entry lives: its stored key, and the dependencies that its key tells.
 *
 * `known` may run a user's function and may throw what that throws.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly key: string
  readonly known: ReadonlyArray<Dependency.Dependency>
}

/**
 * A stored entry, as a read sees it.
 *
 * - `token`: names this entry; another load of the key has another.
 * - `changed`: the dependencies whose token is no longer that of the vector.
 * - `softened`: whether the key was invalidated softly since.
 * - `memo`: a place for what the reader made of the payload. A store that gives
 *   the same object again keeps it; it never leaves the process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly token: Token
  readonly payload: unknown
  readonly stamp: Plan.Stamp
  readonly changed: ReadonlyMap<Dependency.Dependency, Verdict.Mode> | undefined
  readonly softened: boolean
  memo: unknown
}

/**
 * What `begin` is asked.
 *
 * - `token`: the lease's name, chosen by the caller, so that a repeated `begin`
 *   is one, and one whose answer was lost can be abandoned.
 * - `seen`: the entry that was found wanting. If the key has another by now,
 *   that is the answer.
 * - `drop`: the entry that was seen is dead; remove it.
 * - `force`: take the lease whoever has it, and whatever is stored.
 * - `leaseFor`: milliseconds after which others may take the lease. Nothing but
 *   stampede protection depends on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Begin {
  readonly token: Token
  readonly seen: Token | undefined
  readonly drop: boolean
  readonly force: boolean
  readonly leaseFor: number
}

/**
 * The right to fill one key. A store may hide more in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly token: Token
}

/**
 * The answer to `begin`: the lease, who has it, or an entry stored meanwhile.
 *
 * @category models
 * @since 0.1.0
 */
export type Begun =
  | { readonly _tag: "Leased"; readonly lease: Lease }
  | { readonly _tag: "Busy"; readonly token: Token }
  | { readonly _tag: "Found"; readonly entry: Entry }

/**
 * What is to be stored.
 *
 * - `found`: dependencies that were found in the value.
 * - `fatal`: dependencies of which a hard change leaves nothing to serve. A
 *   store may then remove the entry at once.
 * - `expiresAt`: when nothing of it can be served any more.
 * - `size`: its size in bytes, computed when asked.
 * - `memo`: see `Entry`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Draft {
  readonly payload: unknown
  readonly stamp: Plan.Stamp
  readonly found: ReadonlyArray<Dependency.Dependency>
  readonly fatal: ReadonlySet<Dependency.Dependency>
  readonly expiresAt: number
  readonly size: () => number
  readonly memo: unknown
}

/**
 * What became of a load.
 *
 * - `stored`: it is there.
 * - `fenced`: not stored, since a fence stood over it when it began; while the
 *   fence stands it may be shared.
 * - `unstored`: not stored for reasons of the store (too large), and true.
 * - `invalidated`: refused, since something it depends on was invalidated.
 * - `lost`: refused, since the lease is no longer the key's.
 *
 * After the first three, those who waited may be given the value; after the
 * others they must look again.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "stored" | "fenced" | "unstored" | "invalidated" | "lost"

/**
 * A fence: for `length` milliseconds of the store's clock, counted from when it
 * is opened, nothing that the invalidation covers is stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fence {
  readonly id: Token
  readonly over: Invalidation.Invalidation
  readonly length: number
}

/**
 * What a store knows of a key, for people.
 *
 * `entry` may be one that was removed lately; then `removed` says why. Times
 * are milliseconds of the store's clock, where the store can tell.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  readonly entry: Pick<Entry, "payload" | "stamp" | "changed" | "softened"> | undefined
  readonly changedAt: ReadonlyMap<Dependency.Dependency, number>
  readonly removed: { readonly because: string; readonly at: number } | undefined
  readonly leased: Token | undefined
  readonly fenced: boolean
}

/**
 * What a backend fulfils. `Contract.laws` says what must hold of each operation.
 *
 * - `payload`: `"value"` if the store keeps the value itself, `"text"` if it
 *   keeps what the codec wrote.
 * - `offset`: how far the store's clock is ahead of this process's `Clock`, in
 *   milliseconds.
 * - `released`: completes when that lease is no longer the key's. It may
 *   complete too early, never much too late.
 * - `invalidate`: keys and dependencies of the batch; gives how many entries it
 *   removed or softened, where the store can tell.
 * - `sweep`: all keys of a pattern, or all keys.
 * - `fence`: invalidates what it is over (as hard), and stands.
 * - `lift`: takes a fence away; tells whether it still stood.
 * - `invalidations`: what was invalidated, here or elsewhere.
 *
 * Leases and fences end by the store's own clock, read when the operation
 * happens. A time that the caller sent along would be old by then: a load under
 * a fence could be committed, and shared, after the fence has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheStore {
  readonly name: string
  readonly payload: "value" | "text"
  readonly offset: () => number
  readonly read: (address: Address) => Effect.Effect<Entry | undefined, StoreError>
  readonly begin: (address: Address, request: Begin) => Effect.Effect<Begun, StoreError>
  readonly commit: (address: Address, lease: Lease, draft: Draft) => Effect.Effect<Outcome, StoreError>
  readonly abandon: (address: Address, token: Token) => Effect.Effect<void, StoreError>
  readonly released: (address: Address, token: Token) => Effect.Effect<void, StoreError>
  readonly invalidate: (batch: Invalidation.Invalidation) => Effect.Effect<number | undefined, StoreError>
  readonly sweep: (
    keys: Key.Pattern | "everything",
    mode: Verdict.Mode
  ) => Effect.Effect<number | undefined, StoreError>
  readonly fence: (fence: Fence) => Effect.Effect<void, StoreError>
  readonly lift: (fence: Fence) => Effect.Effect<boolean, StoreError>
  readonly inspect: (address: Address) => Effect.Effect<Inspection, StoreError>
  readonly invalidations: Stream.Stream<Invalidation.Invalidation>
}

// -----------------------------------------------------------------------------
// events
// -----------------------------------------------------------------------------

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
 * | `Invalidated` | an invalidation was acknowledged |
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
    readonly outcome: Outcome | "unsaved"
  }
  | { readonly _tag: "Refresh"; readonly name: string; readonly key: string }
  | { readonly _tag: "Coalesced"; readonly name: string; readonly key: string }
  | { readonly _tag: "Refused"; readonly name: string; readonly key: string; readonly outcome: Outcome }
  | { readonly _tag: "Unreadable"; readonly name: string; readonly key: string }
  | {
    readonly _tag: "Invalidated"
    readonly invalidation: Invalidation.Invalidation
    readonly entries: number | undefined
  }
  | { readonly _tag: "StoreFailed"; readonly error: StoreError }

// -----------------------------------------------------------------------------
// the service
// -----------------------------------------------------------------------------

/**
 * A store and what this process keeps beside it.
 *
 * - `now`: milliseconds of the store's clock, seen from a fiber. It never goes
 *   back, so a clock that is set back cannot make an entry younger.
 * - `flights`: loads of this process, by the token of their lease.
 * - `refreshing`: keys that this process refreshes in the background.
 * - `counters`: by name of definition.
 * - `publish`: gives an event to those who listen, if anybody does.
 * - `scope`: what loads run in: released with the layer, which interrupts them.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheService {
  readonly store: CacheStore
  readonly now: (fiber: Fiber.Fiber<unknown, unknown>) => number
  readonly token: () => Token
  readonly flights: Map<Token, unknown>
  readonly refreshing: Set<string>
  readonly counters: (name: string, fiber: Fiber.Fiber<unknown, unknown>) => Counters.Counters
  readonly allCounters: () => ReadonlyMap<string, Counters.Counters>
  readonly watched: () => boolean
  readonly publish: (event: CacheEvent) => void
  readonly events: Stream.Stream<CacheEvent>
  readonly scope: Scope.Scope
}

/**
 * The service that cached reads need: provided by `MemoryCache.layer`,
 * `TestCache.layer`, or a layer of your own store.
 *
 * @category services
 * @since 0.1.0
 */
export const CacheService: Context.Service<CacheService, CacheService> = Context.Service(
  "effect-cache-algebra/CacheService"
)

/**
 * The level at which invalidations are logged: `Debug` unless provided;
 * `undefined` for not at all.
 *
 * @category references
 * @since 0.1.0
 */
export const InvalidationLogLevel = Context.Reference<LogLevel.Severity | undefined>(
  "effect-cache-algebra/CacheService/InvalidationLogLevel",
  { defaultValue: () => "Debug" }
)

const randomId = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

// Tokens must differ between processes that were given one seed, so `Random` is not asked.
const makeTokens = (): () => Token => {
  const process = randomId()
  let count = 0
  return () => `${process}-${++count}`
}

// A clock that is slewed runs slower than time by less than this between two looks at it.
const slack = 1000

// Time never goes back, and goes on by what the monotonic clock says has passed: a clock that is set back must make no
// entry younger, also when nobody looked at it for as long as it was set back.
const makeNow = (store: CacheStore): CacheService["now"] => {
  let last = -Infinity
  let lastTicks = 0n
  let shift = 0
  return (fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const time = clock.currentTimeMillisUnsafe() + store.offset() + shift
    // Asking the monotonic clock takes a good part of a hit. Once a millisecond is enough: the next look at another
    // time sees all that has passed.
    if (time === last) return last
    const ticks = clock.monotonicTimeNanosUnsafe()
    const least = last + Math.max(0, Number(ticks - lastTicks) / 1e6 - slack)
    lastTicks = ticks
    if (time >= least) return last = time
    shift += least - time
    return last = least
  }
}

// Listeners that fall behind lose the oldest events: watching must not hold memory.
const eventBuffer = 4096

/**
 * Puts a service around a store. It lives as long as the scope; loads that are
 * then under way are interrupted.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  store: CacheStore
): Effect.fn.Return<CacheService, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const events = yield* Broadcast.make<CacheEvent>(eventBuffer)
  const counters = new Map<string, Counters.Counters>()
  // Metrics keep the counts of a service that has ended, and not the service.
  const ends: Array<() => void> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => ends.forEach((end) => end())))
  return {
    store,
    now: makeNow(store),
    token: makeTokens(),
    flights: new Map(),
    refreshing: new Set(),
    counters: (name, fiber) => {
      let mine = counters.get(name)
      if (mine === undefined) {
        counters.set(name, mine = Counters.make())
        ends.push(Counters.register(name, mine, fiber.context))
      }
      return mine
    },
    allCounters: () => counters,
    watched: events.watched,
    publish: events.publish,
    events: events.stream,
    scope
  }
})

/**
 * A layer of the service around a store.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  store: Effect.Effect<CacheStore, E, R>
): Layer.Layer<CacheService, E, Exclude<R, Scope.Scope>> => Layer.effect(CacheService, Effect.flatMap(store, make))

/**
 * Everything that happens from now on, in this process. A listener that falls
 * more than 4096 events behind loses the oldest.
 *
 * @category observing
 * @since 0.1.0
 */
export const events: Stream.Stream<CacheEvent, never, CacheService> = Stream.unwrap(
  Effect.map(CacheService, (service) => service.events)
)

// -----------------------------------------------------------------------------
// invalidating
// -----------------------------------------------------------------------------

const toInvalidationError = (batch: Invalidation.Invalidation, error: StoreError): InvalidationError =>
  new InvalidationError({
    invalidation: batch.toString(),
    reason: error.reason,
    mayHaveHappened: error.mayHaveHappened,
    cause: error
  })

/**
 * Reports that an operation of the store failed.
 *
 * @category observing
 * @since 0.1.0
 */
export const reportFailure = (service: CacheService, error: StoreError): void => {
  service.publish({ _tag: "StoreFailed", error })
}

const sum = (counts: ReadonlyArray<number | undefined>): number | undefined =>
  counts.reduce((total, count) => total === undefined || count === undefined ? undefined : total + count, 0)

const happened = ({ cause, operation, reason }: StoreError): StoreError =>
  new StoreError({ operation, reason, mayHaveHappened: true, cause })

const applyTo = Effect.fnUntraced(function*(
  service: CacheService,
  batch: Invalidation.Invalidation
): Effect.fn.Return<number | undefined, StoreError> {
  const { store } = service
  const counts: Array<number | undefined> = []
  const parts = [
    ...(batch.keys.size > 0 || batch.dependencies.size > 0 ? [store.invalidate(batch)] : []),
    ...[...batch.patterns.values()].map(({ mode, pattern }) => store.sweep(pattern, mode)),
    ...(batch.everything === undefined ? [] : [store.sweep("everything", batch.everything)])
  ]
  for (const part of parts) {
    // What failed is the batch, and the parts before this one have happened.
    counts.push(yield* counts.length === 0 ? part : Effect.mapError(part, happened))
  }
  return sum(counts)
})

/** Tells of an invalidation that was acknowledged: an event, and a line in the log. */
const report = Effect.fnUntraced(function*(
  service: CacheService,
  batch: Invalidation.Invalidation,
  entries: number | undefined
): Effect.fn.Return<void> {
  service.publish({ _tag: "Invalidated", invalidation: batch, entries })
  const level = yield* InvalidationLogLevel
  if (level === undefined) return
  yield* Effect.logWithLevel(level)("cache invalidated").pipe(
    Effect.annotateLogs({ invalidation: batch.toString(), ...(entries === undefined ? {} : { entries }) })
  )
})

/**
 * Applies an invalidation. When it has returned, no read that starts later, in
 * any process on the same store, returns what was loaded before and is covered.
 *
 * Gives how many entries were removed or softened at once, where the store can
 * tell. Fails with `InvalidationError` if the store did not acknowledge it;
 * repeating it is safe.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const invalidate = Effect.fnUntraced(function*(
  batch: Invalidation.Invalidation
): Effect.fn.Return<number | undefined, InvalidationError, CacheService> {
  if (Invalidation.isEmpty(batch)) return 0
  const service = yield* CacheService
  const entries = yield* applyTo(service, batch).pipe(
    Effect.tapError((error) => Effect.sync(() => reportFailure(service, error))),
    Effect.mapError((error) => toInvalidationError(batch, error))
  )
  yield* report(service, batch, entries)
  return entries
})

/**
 * How long a fence stands unless told otherwise.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultFence = "30 seconds"

/**
 * Writes behind a fence: the targets are invalidated before the write, nothing
 * loaded until its end is stored, and nothing needs to be invalidated after it.
 *
 * If this process dies in between, the fence runs out by itself after `fence`
 * and what was loaded under it stays refused. A write is bounded by its fence:
 * one that takes longer is interrupted, so a database transaction is rolled
 * back, and fails with `InvalidationError` (`Timeout`, `mayHaveHappened`).
 *
 * If the write has succeeded and the fence could not be taken away, that fails
 * with `InvalidationError` too; the write is done then.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const mutate = <A, E, R>(
  write: Effect.Effect<A, E, R>,
  over: Invalidation.Invalidation,
  options: { readonly fence?: Duration.Input } = {}
): Effect.Effect<A, E | InvalidationError, R | CacheService> => {
  const length = positiveMillis("mutate", "a fence", options.fence ?? defaultFence)
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const service = yield* CacheService
      const { store } = service
      const fail = (error: StoreError) => {
        reportFailure(service, error)
        return toInvalidationError(over, error)
      }
      const fence: Fence = { id: service.token(), over, length }
      // Asked before the fence is opened, so the write is bounded by a moment that is not after the fence's end.
      const opened = yield* Clock.currentTimeMillis
      // Interruptible: nothing is written yet. It may stand although nobody was told; then it has to go.
      yield* Effect.onExit(restore(Effect.mapError(store.fence(fence), fail)), (exit) =>
        Exit.isSuccess(exit) || Exit.findErrorOption(exit).pipe(Option.exists((error) =>
            !error.mayHaveHappened
          ))
          ? Effect.void
          : Effect.forkIn(Effect.ignore(store.lift(fence)), service.scope))
      yield* report(service, over, undefined)
      const left = Math.max(0, opened + length - (yield* Clock.currentTimeMillis))
      const exit = yield* Effect.exit(restore(Effect.timeoutOrElse(write, {
        duration: left,
        orElse: () =>
          Effect.fail(
            new InvalidationError({
              invalidation: over.toString(),
              reason: "Timeout",
              mayHaveHappened: true,
              cause: "the write outlasted its fence"
            })
          )
      })))
      const lifted = yield* Effect.exit(store.lift(fence))
      if (Exit.isFailure(lifted)) {
        // The fence runs out by itself; but whether it stood all the time is not known.
        // What it is over was invalidated when it was opened, so it cannot be said that nothing happened.
        return yield* Exit.isFailure(exit)
          ? exit
          : Effect.andThen(Effect.mapError(lifted, (e) => fail(happened(e))), exit)
      }
      // A fence that ran out or was lost protected nothing since: what was loaded then has to go.
      if (!lifted.value) {
        return yield* Exit.isFailure(exit)
          ? Effect.andThen(Effect.ignore(invalidate(over)), exit)
          : Effect.andThen(invalidate(over), exit)
      }
      return yield* exit
    })
  )
}

// -----------------------------------------------------------------------------
// guarding a store
// -----------------------------------------------------------------------------

/**
 * Bounds every operation of a store in time, and leaves the store alone for a
 * while after it failed several times in a row.
 *
 * - `timeLimit`: the longest an operation may take (1 second unless given).
 * - `failures`: so many in a row open the circuit (5).
 * - `openFor`: how long it stays open (5 seconds); then one operation tries.
 *
 * Invalidations, fences and their lifting are always tried: they fail
 * truthfully or not at all.
 *
 * @category constructors
 * @since 0.1.0
 */
export const guard = (
  store: CacheStore,
  options: {
    readonly timeLimit?: Duration.Input
    readonly failures?: number
    readonly openFor?: Duration.Input
  } = {}
): CacheStore => {
  const timeLimit = Duration.fromInputUnsafe(options.timeLimit ?? "1 second")
  const openFor = Duration.toMillis(Duration.fromInputUnsafe(options.openFor ?? "5 seconds"))
  const limit = options.failures ?? 5
  let failures = 0
  let openUntil = -Infinity

  const bounded = <A>(operation: string, effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.timeoutOrElse(effect, {
      duration: timeLimit,
      orElse: () => Effect.fail(new StoreError({ operation, reason: "Timeout", mayHaveHappened: true }))
    }).pipe(Effect.onExit((exit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (Exit.isSuccess(exit)) [failures, openUntil] = [0, -Infinity]
        else if (!Cause.hasInterruptsOnly(exit.cause) && ++failures >= limit) openUntil = now + openFor
      })
    ))

  const guarded = <A>(operation: string, effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Exit.isExit(effect) ? effect : Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (now < openUntil) {
        return Effect.fail(new StoreError({ operation, reason: "CircuitOpen", mayHaveHappened: false }))
      }
      // Half open: one may try, the others keep away until it has been.
      if (failures >= limit) openUntil = now + openFor
      return bounded(operation, effect)
    })

  return {
    ...store,
    read: (address) => guarded("read", store.read(address)),
    begin: (address, request) => guarded("begin", store.begin(address, request)),
    commit: (address, lease, draft) => guarded("commit", store.commit(address, lease, draft)),
    abandon: (address, token) => guarded("abandon", store.abandon(address, token)),
    inspect: (address) => guarded("inspect", store.inspect(address)),
    invalidate: (batch) => bounded("invalidate", store.invalidate(batch)),
    sweep: (keys, mode) => bounded("sweep", store.sweep(keys, mode)),
    fence: (fence) => bounded("fence", store.fence(fence)),
    lift: (fence) => bounded("lift", store.lift(fence))
  }
}
