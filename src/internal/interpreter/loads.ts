/**
 * In-flight loads of this process.
 *
 * A load is one call of the user's lookup. It may fill several keys (a batch),
 * each under a lease of its own: a `Filling`. A load runs in a fiber of its own,
 * so that a waiter can leave without disturbing the others; when the last one has
 * left, it is interrupted and its leases are given up.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { Lease, Token } from "../../CacheStore.ts"
import type { Counters } from "../counters.ts"
import { elapsed } from "../deadline.ts"
import type { KeyAddress, Versions } from "../definition.ts"
import { atOnce } from "../limits.ts"
import type { ClockedStore, Service } from "../service/model.ts"
import { freeNeeded } from "../service/slots.ts"
import { type Ended, finish } from "./finish.ts"
import * as Loading from "./loading.ts"
import { reportLoad } from "./report.ts"

export const placeOf = (service: Service, address: Pick<KeyAddress, "place">): Loading.Place => ({
  of: service.loads,
  key: address.place
})

// Loads within loads begin and end on one stack, which holds only so many.
const mostOnStack = 50

const isOnStack = (depth: number): boolean => depth === 0 || depth % mostOnStack > 0

// Orders what begins in this process.
let moments = 0

/** A moment of this process: greater than all before it. */
export const moment = (): number => ++moments

/** One key being filled under a lease. */
export class Filling {
  readonly address: KeyAddress
  readonly store: ClockedStore
  readonly lease: Lease
  readonly versions: Versions
  /** How long earlier loads of the key took, in milliseconds. */
  readonly usually: number
  /** Whether what it replaces is better than what is made of something stale. */
  readonly refreshesEarly: boolean
  readonly ended: Deferred.Deferred<Ended> = Deferred.makeUnsafe()
  /** Before its lookup began. */
  readonly began = moment()
  load!: Load
  /** Of one that is part of a batch: the lease under which its key was last loaded by itself, for what the batch waits for. */
  byItself: Token | undefined = undefined

  constructor(
    address: KeyAddress,
    store: ClockedStore,
    lease: Lease,
    versions: Versions,
    usually: number,
    refreshesEarly: boolean
  ) {
    this.address = address
    this.store = store
    this.lease = lease
    this.versions = versions
    this.usually = usually
    this.refreshesEarly = refreshesEarly
  }
}

export class Load {
  readonly service: Service
  readonly fillings: ReadonlyArray<Filling>
  /** What its lookup knows of itself. */
  readonly loading: Loading.Loading
  /** Kept alive without a waiter: a refresh in the background. */
  held: boolean
  /** The starter holds it until it leaves, so that no other caller's leaving can end it before the starter waits. */
  waiters = 1
  fiber: Fiber.Fiber<void> | undefined = undefined

  constructor(
    service: Service,
    fillings: ReadonlyArray<Filling>,
    held: boolean,
    by: Loading.Loading | undefined
  ) {
    this.service = service
    this.fillings = fillings
    this.held = held
    this.loading = new Loading.Loading("load", fillings.map(({ address }) => placeOf(service, address)), by)
    for (const filling of fillings) filling.load = this
  }

  /** A waiter leaves; the last one ends the load. `by` is the lookup that waited, if it was one. */
  leave(by: Loading.Loading | undefined): Effect.Effect<void> {
    by?.ends(this.loading)
    this.waiters--
    if (this.waiters > 0 || this.held || this.fiber === undefined) return Effect.void
    // Detached first, so that no caller joins what is being given up.
    for (const filling of this.fillings) this.service.loads.delete(filling.lease.token)
    const { fiber, loading: { depth } } = this
    if (isOnStack(depth)) fiber.interruptUnsafe()
    else fiber.currentDispatcher.scheduleTask(() => fiber.interruptUnsafe(), 0)
    // A transaction must not end, or go on, while something still uses its connection. Nobody else is kept waiting.
    return this.service.collecting === undefined ? Effect.void : Effect.asVoid(Fiber.await(fiber))
  }
}

// -----------------------------------------------------------------------------
// leases that are asked for
// -----------------------------------------------------------------------------

/**
 * A lease that this process has asked for, until its load has started. A store
 * may say that the lease is taken before its answer to the first caller is here.
 */
class Asked {
  readonly settled: Deferred.Deferred<void> = Deferred.makeUnsafe()
}

/** Says that a lease of this name is asked for; `start` or `settle` has to follow. */
export const announce = (service: Service, token: Token): void => {
  service.loads.set(token, new Asked())
}

/** Ends what was announced: with the filling that has come of it, or with none. */
export const settle = (service: Service, token: Token, filling?: Filling): void => {
  const asked = service.loads.get(token)
  if (filling !== undefined) service.loads.set(token, filling)
  if (!(asked instanceof Asked)) return
  if (filling === undefined) service.loads.delete(token)
  // Last: waiters go on at once.
  Deferred.doneUnsafe(asked.settled, Effect.void)
}

export const fillingOf = (service: Service, token: Token): Filling | undefined => {
  const filling = service.loads.get(token)
  return filling instanceof Filling ? filling : undefined
}

/** Waits until the load of a lease that this process has asked for has started, or has come to nothing. */
export const settled = (service: Service, token: Token): Effect.Effect<void> | undefined => {
  const asked = service.loads.get(token)
  return asked instanceof Asked ? Deferred.await(asked.settled) : undefined
}

// -----------------------------------------------------------------------------
// running and waiting
// -----------------------------------------------------------------------------

/** Runs the user's lookup for some keys: an exit for each, in order. */
export type Lookup = (
  addresses: ReadonlyArray<KeyAddress>
) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, unknown>>>

/** A lookup, from a stack of its own if it is deep inside of others, and back to one. */
const onStack = <A, E, R>(lookup: Effect.Effect<A, E, R>, depth: number): Effect.Effect<A, E, R> =>
  isOnStack(depth) ? lookup : Effect.andThen(Effect.yieldNow, Effect.tap(lookup, Effect.yieldNow))

const run = (load: Load, lookup: Lookup, counters: Counters): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const { fillings, loading, service } = load
    const clock = fiber.getRef(Clock.Clock)
    const started = elapsed(clock)
    const { store } = fillings[0]!
    const began = store.now(clock)
    return Effect.flatMap(
      onStack(Loading.within(lookup(fillings.map(({ address }) => address)), loading), loading.depth),
      (exits) =>
        Effect.forEach(fillings, (filling, i) => {
          const { partsUntil } = loading
          return finish(service, filling, { exit: exits[i]!, partsUntil }, {
            now: store.now(clock),
            began,
            millis: elapsed(clock) - started,
            jitter: fiber.getRef(Random.Random).nextDoubleUnsafe(),
            partsFor: partsUntil === undefined ? undefined : partsUntil - started
          }, counters)
        }, { discard: true, concurrency: atOnce })
    )
  })

/**
 * Starts a load, which the caller then holds until it `leave`s it: `by`, if that is a lookup itself. Must be called
 * in one step with the answer of `begin`, and with nothing that could be
 * interrupted in between.
 */
export const start = (
  service: Service,
  fillings: ReadonlyArray<Filling>,
  lookup: Lookup,
  counters: Counters,
  held: boolean,
  by: Loading.Loading | undefined
): Effect.Effect<Load> =>
  Effect.withFiber((starter) => {
    const load = new Load(service, fillings, held, by)
    // Before its lookup begins, which may ask for what waits for it.
    by?.begins(load.loading)
    const started = elapsed(starter.getRef(Clock.Clock))
    for (const filling of fillings) settle(service, filling.lease.token, filling)
    // Whatever ends a load early makes those who wait look again. An observer sees even a fiber that never ran, since the
    // layer was released.
    const settleRest = (exit: Exit.Exit<void>) => {
      for (const { ended, lease } of fillings) {
        service.loads.delete(lease.token)
        if (Exit.isFailure(exit)) {
          Deferred.doneUnsafe(ended, Exit.succeed({ exit, shared: "none", partsUntil: undefined, stored: undefined }))
        }
      }
    }
    const abandon = (given: ReadonlyArray<Filling>) =>
      Effect.forEach(given, ({ address, lease, store }) => Effect.ignore(store.abandon(address, lease.token)), {
        discard: true,
        concurrency: atOnce
      })
    let began = false
    const running = Effect.suspend(() => {
      began = true
      return run(load, lookup, counters)
    })
    return running.pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.withFiber((fiber) => {
          const millis = elapsed(fiber.getRef(Clock.Clock)) - started
          const left = fillings.filter(({ ended }) => !Deferred.isDoneUnsafe(ended))
          for (const { address } of left) reportLoad(service, counters, address, exit, millis, "unsaved")
          return abandon(left)
        })
      ),
      Effect.forkIn(service.scope, { startImmediately: true }),
      Effect.flatMap((fiber) => {
        load.fiber = fiber
        fiber.addObserver(settleRest)
        return began ? Effect.succeed(load) : Effect.as(abandon(fillings), load)
      })
    )
  })

/**
 * Waits for a filling; with a limit in milliseconds, `undefined` when it has passed, and the load
 * goes on by itself. `by` waits with it, as soon as this is called: the next search
 * for circles must know of it. To be run at once, where nothing interrupts;
 * `restore` lets the waiting be interrupted, and leaving is certain.
 */
export const awaitFilling = (
  { ended, load }: Filling,
  limit: number | undefined,
  by: Loading.Loading | undefined,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Ended | undefined> => {
  load.waiters++
  by?.begins(load.loading)
  freeNeeded()
  return Effect.suspend(() => {
    const waiting: Effect.Effect<Ended | undefined> = limit === undefined
      ? Deferred.await(ended)
      : Effect.timeoutOrElse(Deferred.await(ended), {
        duration: limit,
        orElse: () =>
          Effect.sync((): Ended | undefined => {
            load.held = true
            return undefined
          })
      })
    return Effect.onExit(restore(waiting), () => load.leave(by))
  })
}
