/**
 * The service that cached reads run on: a store, and what one process keeps
 * beside it.
 *
 * It delivers invalidations, and goes on until the store has acknowledged them;
 * it counts, and it streams events. `CacheService.layer` makes it on whichever
 * `CacheStore` is in the context.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CacheStore from "./CacheStore.ts"
import type * as Dependency from "./Dependency.ts"
import { backoff } from "./internal/backoff.ts"
import * as Broadcast from "./internal/broadcast.ts"
import * as Counters from "./internal/counters.ts"
import { elapsed } from "./internal/deadline.ts"
import { positiveMillis } from "./internal/duration.ts"
import { randomId } from "./internal/randomId.ts"
import * as Kept from "./internal/undelivered.ts"
import * as Invalidation from "./Invalidation.ts"
import type * as Verdict from "./Verdict.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

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
  reason: CacheStore.Reason,
  mayHaveHappened: Schema.Boolean,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `not invalidated: ${this.invalidation} (${this.reason._tag}${
      this.mayHaveHappened ? "; may have happened" : ""
    })`
  }
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
  | {
    readonly _tag: "Invalidated"
    readonly invalidation: Invalidation.Invalidation
    readonly entries: number | undefined
  }
  | {
    readonly _tag: "Undelivered"
    readonly invalidation: Invalidation.Invalidation
    readonly attempts: number
    readonly error: CacheStore.StoreError
  }
  | { readonly _tag: "StoreFailed"; readonly error: CacheStore.StoreError }

// -----------------------------------------------------------------------------
// the service
// -----------------------------------------------------------------------------

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
  readonly invalidation: Invalidation.Invalidation
  readonly since: number
  readonly attempts: number
}

/**
 * What a transaction makes untrue once it is committed.
 *
 * - `open`: whether it still collects; afterwards everything is applied at once.
 * - `add`: collects an invalidation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Collecting {
  readonly open: boolean
  readonly add: (batch: Invalidation.Invalidation) => void
}

/**
 * A store and what this process keeps beside it.
 *
 * - `store`: the store, without what an undelivered invalidation covers. It makes
 *   every invalidation as if in one step.
 * - `now`: milliseconds of the store's clock, seen from a fiber. It never goes
 *   back, so a clock that is set back cannot make an entry younger.
 * - `flights`: loads of this process, by the token of their lease.
 * - `refreshing`: keys that this process refreshes in the background.
 * - `counters`: by name of definition.
 * - `publish`: gives an event to those who listen, if anybody does.
 * - `scope`: what loads run in: released with the layer, which interrupts them.
 * - `deliver`: applies an invalidation. What the store does not acknowledge is
 *   kept, whether that fails or is interrupted.
 * - `keep`: has an invalidation delivered later.
 * - `undelivered`: what is kept, in the order in which it failed.
 * - `collecting`: there inside of a transaction, where invalidations wait for its
 *   commit (`Changes.withTransaction`).
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheService {
  readonly store: CacheStore.CacheStore
  readonly collecting?: Collecting
  readonly now: (fiber: Fiber.Fiber<unknown, unknown>) => number
  readonly token: () => CacheStore.Token
  readonly flights: Map<CacheStore.Token, unknown>
  readonly refreshing: Set<string>
  readonly counters: (name: string, fiber: Fiber.Fiber<unknown, unknown>) => Counters.Counters
  readonly allCounters: () => ReadonlyMap<string, Counters.Counters>
  readonly watched: () => boolean
  readonly publish: (event: CacheEvent) => void
  readonly events: Stream.Stream<CacheEvent>
  readonly scope: Scope.Scope
  readonly deliver: (batch: Invalidation.Invalidation) => Effect.Effect<number | undefined, CacheStore.StoreError>
  readonly keep: (batch: Invalidation.Invalidation, error: CacheStore.StoreError) => Effect.Effect<void>
  readonly undelivered: () => ReadonlyArray<Undelivered>
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

// Tokens must differ between processes that were given one seed, so `Random` is not asked.
const makeTokens = (): () => CacheStore.Token => {
  const process = randomId()
  let count = 0
  return () => `${process}-${++count}`
}

// A clock that is slewed runs slower than time by less than this between two looks at it.
const slack = 1000

// Time never goes back, and goes on by what the monotonic clock says has passed: a clock that is set back must make no
// entry younger, also when nobody looked at it for as long as it was set back.
const makeNow = (store: CacheStore.CacheStore): CacheService["now"] => {
  const { now } = store
  if (now !== undefined) return (fiber) => now(fiber.getRef(Clock.Clock))
  let last = -Infinity
  let lastTicks = 0n
  let shift = 0
  return (fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const time = clock.currentTimeMillisUnsafe() + shift
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
 * Options of a service.
 *
 * - `retry`: when invalidations that the store did not acknowledge are tried
 *   again: after 100 milliseconds, then twice as long each time, up to 5 seconds
 *   (unless given). A schedule that ends goes on every 5 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly retry?: Schedule.Schedule<unknown>
}

const seldom = Schedule.spaced("5 seconds")

const defaultRetry = backoff("100 millis", "5 seconds")

// So many targets of undelivered invalidations are told apart.
const mostTargets = 10_000

/**
 * Puts a service around a store. It lives as long as the scope; loads that are
 * then under way are interrupted.
 *
 * An invalidation that the store does not acknowledge is kept, and tried again
 * until it is. Until then nothing that it covers is served in this process, nor
 * shared if it was loaded before; a soft one counts as hard for so long. Of more
 * than 10 000 targets an invalidation of everything is made. When the scope
 * closes, what is left is tried once more, for a second, and then lost with a
 * warning.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  store: CacheStore.CacheStore,
  options: Options = {}
): Effect.fn.Return<CacheService, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const events = yield* Broadcast.make<CacheEvent>(eventBuffer)
  const counters = new Map<string, Counters.Counters>()
  const flights = new Map<CacheStore.Token, unknown>()
  const kept = new Kept.Undelivered(Invalidation.everything, mostTargets)
  const token = makeTokens()
  const whole = inOneStep(store, token)
  const courier = yield* makeCourier(whole, kept, events.publish, options)
  // Metrics keep the counts of a service that has ended, and not the service.
  const ends: Array<() => void> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => ends.forEach((end) => end())))
  return {
    store: withoutUndelivered(whole.store, kept, flights),
    now: makeNow(store),
    token,
    flights,
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
    scope,
    ...courier
  }
})

/**
 * A layer of the service, on the store in the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<CacheService, never, CacheStore.CacheStore> =>
  Layer.effect(CacheService, Effect.flatMap(CacheStore.CacheStore, (store) => make(store, options)))

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

const toInvalidationError = (batch: Invalidation.Invalidation, error: CacheStore.StoreError): InvalidationError =>
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
export const reportFailure = (service: CacheService, error: CacheStore.StoreError): void => {
  service.publish({ _tag: "StoreFailed", error })
}

/**
 * How many invalidations were acknowledged: `effect_cache_invalidations`.
 *
 * @category observing
 * @since 0.1.0
 */
export const invalidations = Metric.counter("effect_cache_invalidations", { incremental: true })

/**
 * How many entries were removed or softened at once, where the store can tell:
 * `effect_cache_invalidated_entries`.
 *
 * @category observing
 * @since 0.1.0
 */
export const invalidatedEntries = Metric.counter("effect_cache_invalidated_entries", { incremental: true })

/**
 * How often an invalidation was not acknowledged, each time that it was tried:
 * `effect_cache_invalidations_failed`.
 *
 * @category observing
 * @since 0.1.0
 */
export const failedInvalidations = Metric.counter("effect_cache_invalidations_failed", { incremental: true })

/** Tells of an invalidation that was acknowledged: an event, a count, and a line in the log. */
const report = Effect.fnUntraced(function*(
  publish: CacheService["publish"],
  batch: Invalidation.Invalidation,
  entries: number | undefined
): Effect.fn.Return<void> {
  publish({ _tag: "Invalidated", invalidation: batch, entries })
  yield* Metric.update(invalidations, 1)
  if (entries !== undefined) yield* Metric.update(invalidatedEntries, entries)
  const level = yield* InvalidationLogLevel
  if (level === undefined) return
  yield* Effect.logWithLevel(level)("cache invalidated").pipe(
    Effect.annotateLogs({ invalidation: batch.toString(), ...(entries === undefined ? {} : { entries }) })
  )
})

/**
 * What became of an invalidation.
 *
 * - `entries`: how many entries were removed or softened at once, where the store
 *   can tell.
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
 * Applies an invalidation. When it has returned, no read that starts later, in
 * any process on the same store, returns what was loaded before and is covered.
 *
 * Fails with `InvalidationError` if the store did not acknowledge it. Then
 * it is kept and tried again until it is acknowledged, and until then this
 * process serves nothing that it covers; so it is if it is interrupted.
 * Repeating it is safe.
 *
 * Inside of `Changes.withTransaction` it is collected, and applied after the
 * commit.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const invalidate = Effect.fnUntraced(function*(
  batch: Invalidation.Invalidation
): Effect.fn.Return<Invalidated, InvalidationError, CacheService> {
  if (Invalidation.isEmpty(batch)) return { entries: 0, deferred: false }
  const service = yield* CacheService
  if (service.collecting?.open === true) {
    service.collecting.add(batch)
    return { entries: undefined, deferred: true }
  }
  const entries = yield* Effect.mapError(service.deliver(batch), (error) => toInvalidationError(batch, error))
  yield* report(service.publish, batch, entries)
  return { entries, deferred: false }
})

/**
 * The invalidations that the store has not acknowledged yet, in the order in
 * which they failed.
 *
 * @category observing
 * @since 0.1.0
 */
export const undelivered: Effect.Effect<ReadonlyArray<Undelivered>, never, CacheService> = Effect.map(
  CacheService,
  (service) => service.undelivered()
)

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
 * with `InvalidationError` too; the write is done then, and the targets are
 * invalidated as soon as the store answers.
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
      const fail = (error: CacheStore.StoreError) => {
        reportFailure(service, error)
        return toInvalidationError(over, error)
      }
      const fence: CacheStore.Fence = { id: service.token(), over: Invalidation.withMode(over, "hard"), length }
      // Asked before the fence is opened, so the write is bounded by a moment that is not after the fence's end.
      const opened = yield* Clock.currentTimeMillis
      // Interruptible: nothing is written yet. An interruption may come when the fence has just been opened.
      yield* Effect.mapError(restore(store.fence(fence)), fail).pipe(
        Effect.onInterrupt(() => Effect.forkDetach(Effect.ignore(store.lift(fence))))
      )
      yield* report(service.publish, over, undefined)
      const left = Math.max(0, opened + length - (yield* Clock.currentTimeMillis))
      const exit = yield* Effect.exit(restore(Effect.timeoutOrElse(write, {
        duration: left,
        orElse: () =>
          Effect.fail(
            new InvalidationError({
              invalidation: over.toString(),
              reason: { _tag: "Timeout" },
              mayHaveHappened: true,
              cause: "the write outlasted its fence"
            })
          )
      })))
      const lifted = yield* Effect.exit(store.lift(fence))
      if (Exit.isFailure(lifted)) {
        // The fence runs out by itself; but whether it stood all the time is not known.
        // What it is over was invalidated when it was opened, so it cannot be said that nothing happened.
        const error = CacheStore.StoreError.fromCause("lift", lifted.cause).ofPart()
        const failure = fail(error)
        yield* service.keep(over, error)
        return yield* Exit.isFailure(exit) ? exit : failure
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
// invalidations of several steps
// -----------------------------------------------------------------------------

// Milliseconds for which the fence of a process that dies goes on standing. A store renews it while it is at work.
const fenceOfSteps = 10_000

// So often an invalidation is begun whose fence did not stand to the end.
const mostRounds = 5

/** A store that makes every invalidation as if in one step, and when it has taken away all fences that nobody needs. */
interface Whole {
  readonly store: CacheStore.CacheStore
  readonly settled: Effect.Effect<void>
}

/**
 * Several steps are a fence from the first to the last: a load that reads other cached values may begin between two of
 * them and be given what is still old, and would be stored under a token that is new already, for its whole lifetime.
 */
const inOneStep = (store: CacheStore.CacheStore, token: () => CacheStore.Token): Whole => {
  const lifting = new Set<Fiber.Fiber<unknown, unknown>>()

  // A fence that failed or was interrupted may stand although nobody was told. It is taken away beside what comes next,
  // also while the layer is released: it belongs to no scope.
  const takeAway = (fence: CacheStore.Fence): Effect.Effect<void> =>
    Effect.map(Effect.forkDetach(Effect.ignore(store.lift(fence))), (fiber) => {
      lifting.add(fiber)
      fiber.addObserver(() => lifting.delete(fiber))
    })

  const orTakeAway = <A>(
    fence: CacheStore.Fence,
    use: Effect.Effect<A, CacheStore.StoreError>
  ): Effect.Effect<A, CacheStore.StoreError> =>
    Effect.onExit(use, (exit) => Exit.isSuccess(exit) ? Effect.void : takeAway(fence))

  const fenced = (
    over: Invalidation.Invalidation,
    left = mostRounds
  ): Effect.Effect<number | undefined, CacheStore.StoreError> =>
    Effect.suspend(() => {
      const fence = { id: token(), over, length: fenceOfSteps }
      const steps = Effect.flatMap(
        store.fence(fence),
        (count) =>
          Effect.map(Effect.mapError(store.lift(fence), (error) => error.ofPart()), (stood) => ({ count, stood }))
      )
      return Effect.flatMap(orTakeAway(fence, steps), ({ count, stood }) => {
        if (stood) return Effect.succeed(count)
        // What began to load when it did not stand may have been stored.
        if (left > 1) return Effect.mapError(fenced(over, left - 1), (error) => error.ofPart())
        const cause = new Error("the fence around its steps was lost each time")
        const reason = { _tag: "Unavailable" } as const
        return Effect.fail(new CacheStore.StoreError({ operation: "invalidate", reason, mayHaveHappened: true, cause }))
      })
    })

  return {
    store: CacheStore.wrap(store, (store) => ({
      read: store.read,
      begin: store.begin,
      commit: store.commit,
      discard: store.discard,
      abandon: store.abandon,
      released: store.released,
      inspect: store.inspect,
      scan: store.scan,
      invalidate: (batch) => store.atomic(batch) ? store.invalidate(batch) : fenced(batch),
      fence: (fence) => orTakeAway(fence, store.fence(fence)),
      lift: store.lift
    })),
    settled: Effect.suspend(() => Effect.forEach(lifting, (fiber) => Fiber.await(fiber), { discard: true }))
  }
}

// -----------------------------------------------------------------------------
// what was not delivered
// -----------------------------------------------------------------------------

/**
 * The store as this process may see it: what an undelivered invalidation covers is dead. Whoever asks while one is kept
 * is answered by it, also when it was delivered before the answer came.
 */
const withoutUndelivered = (
  store: CacheStore.CacheStore,
  kept: Kept.Undelivered,
  flights: ReadonlyMap<CacheStore.Token, unknown>
): CacheStore.CacheStore => {
  const abandon = (address: CacheStore.Address, token: CacheStore.Token) => {
    kept.end(token)
    return store.abandon(address, token)
  }
  const begin = (
    address: CacheStore.Address,
    request: CacheStore.Begin
  ): Effect.Effect<CacheStore.Begun, CacheStore.StoreError> => {
    const { index } = kept
    const begun = store.begin(address, request)
    return index === undefined ?
      begun :
      Effect.flatMap(begun, (begun): Effect.Effect<CacheStore.Begun, CacheStore.StoreError> => {
        if (begun._tag === "Leased") kept.grant(begun.lease.token)
        else if (begun._tag === "Found") {
          const { entry: { stamp, token } } = begun
          if (index.covering(address.key, stamp.dependencies) !== undefined) {
            return begin(address, { ...request, seen: token, drop: true })
          }
        } else if (flights.has(begun.token) && kept.voids(begun.token, address.key, address.known)) {
          // A load of this process that may be older: nobody may join it. By force, of several who see it each would take
          // the lease from the other.
          return Effect.andThen(abandon(address, begun.token), begin(address, request))
        } else if (kept.voids(begun.token, address.key, undefined)) {
          // The store's journal does not know of it yet.
          return Effect.succeed({ _tag: "Busy", token: begun.token })
        }
        return Effect.succeed(begun)
      })
  }
  /** Ends a load, unless it is voided; `undefined` for dependencies that are not known. */
  const ending = (
    address: CacheStore.Address,
    lease: CacheStore.Lease,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined,
    end: Effect.Effect<CacheStore.Outcome, CacheStore.StoreError>
  ): Effect.Effect<CacheStore.Outcome, CacheStore.StoreError> => {
    const voided = () => kept.voids(lease.token, address.key, dependencies)
    if (voided()) return Effect.as(Effect.ignore(abandon(address, lease.token)), "invalidated")
    // Looked at again: somebody may have joined since.
    return Effect.map(end, (outcome) => {
      const answer = voided() ? "invalidated" : outcome
      kept.end(lease.token)
      return answer
    })
  }
  return {
    ...store,
    // Called for each hit, and answered by the store itself while nothing is kept.
    read: (address) => {
      const { index } = kept
      const answer = store.read(address)
      return index === undefined ?
        answer :
        Effect.map(
          answer,
          (entry) =>
            entry !== undefined && index.covering(address.key, entry.stamp.dependencies) !== undefined
              ? undefined
              : entry
        )
    },
    begin,
    commit: (address, lease, draft) =>
      ending(address, lease, draft.stamp.dependencies, store.commit(address, lease, draft)),
    discard: (address, lease, dependencies) =>
      ending(address, lease, dependencies, store.discard(address, lease, dependencies)),
    abandon,
    inspect: (key, known) =>
      Effect.map(store.inspect(key, known), (found) => {
        const covering = found.entry && kept.index?.covering(key, found.entry.stamp.dependencies)
        return covering === undefined || found.removed !== undefined
          ? found
          : { ...found, removed: { because: "invalidated, not acknowledged by the store", at: covering.since } }
      })
  }
}

// In halves: one batch is copied with each that is added to it.
const together = (all: ReadonlyArray<Undelivered>): Invalidation.Invalidation => {
  if (all.length <= 1) return all[0]?.invalidation ?? Invalidation.empty
  const half = all.length >> 1
  return Invalidation.combine(together(all.slice(0, half)), together(all.slice(half)))
}

// A store that does not answer makes a line in the log this often, in milliseconds.
const warnEvery = 60_000

const lastAttempt = "1 second"

// Who releases a layer under a clock of its own may not move it any more.
const realClock: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

/** Delivers invalidations, and keeps those that could not be. */
const makeCourier = Effect.fnUntraced(function*(
  { settled, store }: Whole,
  kept: Kept.Undelivered,
  publish: CacheService["publish"],
  options: Options
): Effect.fn.Return<Pick<CacheService, "deliver" | "keep" | "undelivered">, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const context = yield* Effect.context<Scope.Scope>()
  const schedule = options.retry === undefined ? defaultRetry : Schedule.concat(options.retry, seldom)
  let delivering = false
  let warnedAt = -Infinity

  const warn = (invalidation: Invalidation.Invalidation, reason: CacheStore.Reason): Effect.Effect<void> =>
    Effect.clockWith((clock) => {
      const now = elapsed(clock)
      if (now < warnedAt + warnEvery) return Effect.void
      warnedAt = now
      return Effect.logWarning("a cache invalidation was not delivered, and is tried again").pipe(
        Effect.annotateLogs({ invalidation: invalidation.toString(), reason: reason._tag, undelivered: kept.size })
      )
    })

  const tell = ({ attempts, invalidation, who }: Kept.Kept, error: CacheStore.StoreError): Effect.Effect<void> => {
    publish({ _tag: "Undelivered", invalidation, attempts, error })
    return Effect.andThen(
      Metric.update(failedInvalidations, 1),
      Effect.annotateLogs(warn(invalidation, error.reason), who)
    )
  }

  const tryAgain = Effect.fnUntraced(function*(one: Kept.Kept): Effect.fn.Return<boolean> {
    const exit = yield* Effect.exit(store.invalidate(one.invalidation))
    // One that was called for again meanwhile is another, and still to be delivered.
    if (Exit.isSuccess(exit)) {
      if (kept.has(one)) {
        kept.remove(one)
        yield* Effect.annotateLogs(report(publish, one.invalidation, exit.value), one.who)
      }
      return true
    }
    const error = CacheStore.StoreError.fromCause("invalidate", exit.cause)
    one.attempts++
    publish({ _tag: "StoreFailed", error })
    yield* tell(one, error)
    return false
  })

  // Tries all in order. The n-th round ends with its n-th failure: a store that is down is not asked for each, and one
  // that cannot be delivered does not hold up those behind it for ever.
  const round = Effect.fnUntraced(function*(patience: number): Effect.fn.Return<void, "undelivered"> {
    let failures = 0
    for (const one of kept.all) {
      if (failures >= patience) break
      if (kept.has(one) && !(yield* tryAgain(one))) failures++
    }
    if (kept.size > 0) return yield* Effect.fail("undelivered" as const)
    delivering = false
  })

  const rounds = Effect.suspend(() => {
    let rounds = 0
    return Effect.ignore(Effect.retry(Effect.suspend(() => round(rounds++)), schedule))
  })

  const start = Effect.suspend(() => {
    if (delivering) return Effect.void
    delivering = true
    // Not in the context of whoever was the first to fail.
    return Effect.asVoid(Effect.forkIn(Effect.updateContext(rounds, (_: Context.Context<never>) => context), scope))
  })

  const keep = (batch: Invalidation.Invalidation, error: CacheStore.StoreError): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const who = fiber.getRef(References.CurrentLogAnnotations)
      const one = kept.keep(batch, store.now?.(clock) ?? clock.currentTimeMillisUnsafe(), who)
      return Effect.andThen(start, tell(one, error))
    })

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      const left = kept.all
      const late = Effect.provideService(Effect.sleep(lastAttempt), Clock.Clock, realClock)
      const end = Effect.raceFirst(settled, late)
      if (left.length === 0) return end
      const batch = together(left)
      const delivered = Effect.matchCauseEffect(
        Effect.raceFirst(store.invalidate(batch), Effect.andThen(late, Effect.fail("late" as const))),
        {
          onSuccess: (entries) => report(publish, batch, entries),
          onFailure: () =>
            Effect.logWarning("cache invalidations are lost: the store did not acknowledge them").pipe(
              Effect.annotateLogs({ invalidation: batch.toString(), undelivered: left.length })
            )
        }
      )
      return Effect.andThen(delivered, end)
    })
  )

  return {
    deliver: (batch) =>
      Effect.suspend(() => {
        const before = kept.find(batch)
        return Effect.onExit(store.invalidate(batch), (exit) => {
          if (Exit.isSuccess(exit)) {
            // What is repeated is done with, too.
            if (before !== undefined && kept.has(before)) kept.remove(before)
            return Effect.void
          }
          const error = CacheStore.StoreError.fromCause("invalidate", exit.cause)
          if (!Cause.hasInterrupts(exit.cause)) publish({ _tag: "StoreFailed", error })
          return keep(batch, error)
        })
      }),
    keep,
    undelivered: () => kept.all
  }
})
