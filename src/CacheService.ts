/**
 * The service that cached reads run on: a store, and what one process keeps
 * beside it.
 *
 * It applies invalidations, and keeps trying until the store has acknowledged
 * them; it counts what happens, and it streams events.
 *
 * **Example** (A service on a store of your own)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Cached, CacheService, CacheStore, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * const answer = Cached.make(
 *   "answer",
 *   { key: Key.unit, value: Schema.Finite, lookup: () => Effect.succeed(42) },
 *   Policy.ttl("1 minute")
 * )
 *
 * // Any `CacheStore`. Here it is the one in memory, bounded in time as one that is remote would be.
 * const store = Effect.map(MemoryCache.makeStore({ capacity: 100 }), (store) => CacheStore.guard(store))
 * const layer = CacheService.layer().pipe(Layer.provide(Layer.effect(CacheStore.CacheStore, store)))
 *
 * await Effect.runPromise(Effect.provide(Cached.get(answer, undefined), layer)) // => 42
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CacheStore from "./CacheStore.ts"
import { backoff } from "./internal/backoff.ts"
import * as Broadcast from "./internal/broadcast.ts"
import * as Counters from "./internal/counters.ts"
import { randomId } from "./internal/randomId.ts"
import * as Delivery from "./internal/service/delivery.ts"
import { observe } from "./internal/service/health.ts"
import {
  type CacheEvent,
  CacheService,
  type ClockedStore,
  type Health,
  type Service,
  type Undelivered as Kept
} from "./internal/service/model.ts"
import { Pauses } from "./internal/service/pauses.ts"
import { Slots } from "./internal/service/slots.ts"
import { inOneStep } from "./internal/service/steps.ts"
import { sharing } from "./internal/service/unavailable.ts"
import { Undelivered as Queue, withoutUndelivered } from "./internal/service/undelivered.ts"
import { Unwritten } from "./internal/service/unwritten.ts"
import { makeNow } from "./internal/steady.ts"

export { CacheService, InvalidationError } from "./internal/service/model.ts"
export type { CacheEvent, Health, Invalidated, Undelivered } from "./internal/service/model.ts"
export { InvalidationLogLevel, metrics } from "./internal/service/report.ts"

// Tokens must differ between processes that were given one seed, so `Random` is not asked.
const makeTokens = (): () => CacheStore.Token => {
  const process = randomId()
  let count = 0
  return () => `${process}-${++count}`
}

const clockOf = ({ now }: CacheStore.CacheStore): ClockedStore["now"] => now ?? makeNow()

/** The store of each definition: looked up once, when it is first used. */
const routedBy = (store: ClockedStore): Service["routed"] => {
  const { routes } = store
  if (routes === undefined) return undefined
  const clocked = new Map<CacheStore.CacheStore, ClockedStore>()
  const byName = new Map<string, ClockedStore>()
  return (name) => {
    const known = byName.get(name)
    if (known !== undefined) return known
    const route = routes(name)
    const mine = clocked.get(route) ?? { ...route, now: clockOf(route) }
    clocked.set(route, mine)
    byName.set(name, mine)
    return mine
  }
}

// Listeners that fall behind lose the oldest events: watching must not hold memory.
const eventBuffer = 4096

// The most targets of undelivered invalidations that are kept by name.
const mostTargets = 10_000

const seldom = Schedule.spaced("5 seconds")

const defaultRetry = backoff("100 millis", "5 seconds")

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
  const loads = new Map<CacheStore.Token, unknown>()
  const kept = new Queue(mostTargets)
  const token = makeTokens()
  const { health, store: observed } = observe(store)
  const isLoading = (token: CacheStore.Token) => loads.has(token)
  const { changing, leases, noted } = sharing(isLoading)
  const whole = inOneStep(observed, token)
  const now = clockOf(store)
  const delivery = yield* Delivery.make({
    store: { ...whole.store, now },
    settled: whole.settled,
    kept,
    publish: events.publish,
    retry: options.retry === undefined ? defaultRetry : Schedule.concat(options.retry, seldom)
  })
  const protectedStore: ClockedStore = {
    ...noted(withoutUndelivered(whole.store, kept, isLoading)),
    now
  }
  // Metrics keep the counts of a service that has ended, and not the service.
  const ends: Array<() => void> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => ends.forEach((end) => end())))
  const service: Service = {
    store: protectedStore,
    routed: routedBy(protectedStore),
    leases: { ...leases(observed), now },
    token,
    loads,
    refreshing: new Set(),
    definitions: new Map(),
    slots: new Slots(),
    pauses: new Pauses(),
    unwritten: new Unwritten(),
    otherShapes: new Set(),
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
    health,
    scope,
    ...delivery,
    deliver: (batch) => changing(delivery.deliver(batch)),
    keep: (batch, error) => changing(delivery.keep(batch, error))
  }
  return service
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

/**
 * The invalidations that the store has not acknowledged yet, in the order in
 * which they failed.
 *
 * @category observing
 * @since 0.1.0
 */
export const undelivered: Effect.Effect<ReadonlyArray<Kept>, never, CacheService> = Effect.flatMap(
  CacheService,
  (service) => service.undelivered
)

/**
 * Whether the store answers, for a health check: a value, which never fails. A store
 * in memory always does.
 *
 * **Example** (A line of a health check)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CacheService, MemoryCache } from "effect-cache-algebra"
 *
 * const line = Effect.map(CacheService.health, (health) =>
 *   health._tag === "Healthy" ? "cache: fine" : `cache: ${health.store} is lost (${health.parts.join(", ")})`)
 *
 * const layer = MemoryCache.layer({ capacity: 100 })
 * await Effect.runPromise(Effect.provide(line, layer)) // => "cache: fine"
 * ```
 *
 * @category observing
 * @since 0.1.0
 */
export const health: Effect.Effect<Health, never, CacheService> = Effect.flatMap(
  CacheService,
  (service) => service.health
)
