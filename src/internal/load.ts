/**
 * Loads that are under way in this process.
 *
 * A flight is one key being filled under a lease; a load is one call of the
 * user's lookup, which may fill several (a batch). A load runs in a fiber of its
 * own, so that whoever waits for it can leave without disturbing the others;
 * when the last one has left, it is interrupted and its leases are given up.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { CacheService } from "../CacheService.ts"
import type { Draft, Lease, Outcome, StoreError, Token } from "../CacheStore.ts"
import type { Dependency } from "../Dependency.ts"
import type { Counters } from "./counters.ts"
import { elapsed } from "./deadline.ts"
import { type Definition, fatalOf, type KeyAddress, kindOf, View } from "./definition.ts"
import * as Loading from "./loading.ts"
import * as Plan from "./plan.ts"
import type { Stamp, Version } from "./stamp.ts"

/** The versions that are current, by slot: those of values, and those of failures that are cached. */
export interface Versions {
  readonly value: Readonly<Record<string, Version>>
  readonly failure: Readonly<Record<string, Version>>
}

/**
 * Who may be given the result of a flight besides who started it. The others look again.
 *
 * - `all`: the store says that nothing has voided it.
 * - `early`: those who joined before anything could have, and those whose read began before its load did.
 * - `older`: only the latter. To them it is as good as a load of their own.
 * - `none`: it was interrupted, which is no answer to those who were not.
 */
export type Sharing = "all" | "early" | "older" | "none"

export const placeOf = (service: CacheService, { key }: Pick<KeyAddress, "key">): Loading.Place => ({
  of: service.flights,
  key
})

/** How a flight ended. */
export interface Landed extends Loading.Made<unknown, unknown> {
  readonly shared: Sharing
}

// Tells what began earlier in this process.
let moments = 0

/** A moment of this process: greater than all before it. */
export const moment = (): number => ++moments

export class Flight {
  readonly address: KeyAddress
  readonly lease: Lease
  readonly versions: Versions
  /** How long earlier loads of the key took, in milliseconds. */
  readonly usually: number
  /** Whether what it replaces is better than what is made of something stale. */
  readonly refreshesEarly: boolean
  readonly landed: Deferred.Deferred<Landed> = Deferred.makeUnsafe()
  /** Before its lookup began. */
  readonly began = moment()
  load!: Load

  constructor(address: KeyAddress, lease: Lease, versions: Versions, usually: number, refreshesEarly: boolean) {
    this.address = address
    this.lease = lease
    this.versions = versions
    this.usually = usually
    this.refreshesEarly = refreshesEarly
  }
}

export class Load implements Loading.Waiting {
  readonly waitsFor: Array<Loading.Waiting> = []
  readonly service: CacheService
  readonly flights: ReadonlyArray<Flight>
  /** Kept alive though nobody waits: a refresh in the background. */
  held: boolean
  /** Whoever starts it holds it until it leaves, so that nobody else's leaving can end it before its starter waits. */
  waiters = 1
  fiber: Fiber.Fiber<void> | undefined = undefined

  constructor(service: CacheService, flights: ReadonlyArray<Flight>, held: boolean) {
    this.service = service
    this.flights = flights
    this.held = held
    for (const flight of flights) flight.load = this
  }

  /** Someone stopped waiting; the last one ends the load. `by` is the load that waited, if it was one. */
  leave(by: Loading.Waiting | undefined): void {
    by?.waitsFor.splice(by.waitsFor.indexOf(this), 1)
    this.waiters--
    if (this.waiters > 0 || this.held || this.fiber === undefined) return
    // Detached first, so that nobody joins what is being given up.
    for (const flight of this.flights) this.service.flights.delete(flight.lease.token)
    this.fiber.interruptUnsafe()
  }
}

/**
 * A lease that this process has asked for, until its load has started. A store
 * may tell others that the lease is taken before its answer is here.
 */
class Asked {
  readonly settled: Deferred.Deferred<void> = Deferred.makeUnsafe()
}

/** Says that a lease of this name is asked for; `start` or `settle` has to follow. */
export const announce = (service: CacheService, token: Token): void => {
  service.flights.set(token, new Asked())
}

/** Ends what was announced: with the flight that has come of it, or with none. */
export const settle = (service: CacheService, token: Token, flight?: Flight): void => {
  const asked = service.flights.get(token)
  if (flight !== undefined) service.flights.set(token, flight)
  if (!(asked instanceof Asked)) return
  if (flight === undefined) service.flights.delete(token)
  // Last: whoever waits goes on at once.
  Deferred.doneUnsafe(asked.settled, Effect.void)
}

export const flightOf = (service: CacheService, token: Token): Flight | undefined => {
  const flight = service.flights.get(token)
  return flight instanceof Flight ? flight : undefined
}

/** Waits until the load of a lease that this process has asked for has started, or has come to nothing. */
export const settled = (service: CacheService, token: Token): Effect.Effect<void> | undefined => {
  const asked = service.flights.get(token)
  return asked instanceof Asked ? Deferred.await(asked.settled) : undefined
}

// One slow or fast load makes a poor estimate: the larger of the last and a decaying average.
const steady = (last: number, usually: number): number => Math.max(last, (last + usually) / 2)

const isCacheable = (definition: Definition, exit: Exit.Exit<unknown, unknown>): "value" | "failure" | undefined => {
  if (Exit.isSuccess(exit)) return "value"
  if (definition.failures === undefined) return undefined
  const [reason, ...others] = exit.cause.reasons
  return reason !== undefined && others.length === 0 && Cause.isFailReason(reason) &&
      definition.failures.codec.is(reason.error)
    ? "failure"
    : undefined
}

const contentOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isSuccess(exit) ? exit.value : Cause.squash(exit.cause)

/**
 * When a load began and ended, by the store's clock, how many milliseconds it took, a draw, and for how many
 * since it began what it was given may be served, if any of that was stale.
 */
export interface Facts {
  readonly partsFor?: number | undefined
  readonly began: number
  readonly now: number
  readonly millis: number
  readonly jitter: number
}

/** The payload of what cannot be written as text, and so not be stored. */
export const unwritable: unique symbol = Symbol("unwritable")

/**
 * The facts of a result, ready to be stored unless its payload is `unwritable`.
 * Throws what a user's tag function throws.
 */
export const prepare = (
  service: CacheService,
  flight: Pick<Flight, "address" | "lease" | "versions" | "usually">,
  exit: Exit.Exit<unknown, unknown>,
  failure: boolean,
  facts: Facts,
  counters: Counters
): Draft => {
  const { address } = flight
  const { definition, input, known } = address
  const { codec, plan } = kindOf(definition, failure)!
  const content = contentOf(exit)
  const text = service.store.payload === "text" ? codec.encode(content) : undefined
  const found = Plan.foundDependencies(plan, input, content, known)
  // A machine that sleeps may stop its monotonic clock, and a wall clock may be set: the earlier is safe.
  const beganAt = Math.min(facts.began, facts.now - facts.millis)
  const stamp: Stamp = {
    storedAt: facts.now,
    beganAt,
    duration: steady(facts.millis, flight.usually),
    jitter: facts.jitter,
    versions: { ...plan.constants, ...(failure ? flight.versions.failure : flight.versions.value) },
    dependencies: found.length === 0 ? known : [...known, ...found],
    shape: service.store.payload === "text" ? codec.shape() : "",
    failure,
    // Finite, so that it can be written as JSON.
    ...(facts.partsFor === undefined
      ? {}
      : { partsUntil: Math.min(beganAt + facts.partsFor, Number.MAX_SAFE_INTEGER) })
  }
  const armed = Plan.arm(plan, input, content, stamp)
  return {
    token: flight.lease.token,
    payload: text === undefined ? content : Exit.isSuccess(text) ? text.value : unwritable,
    stamp,
    found,
    fatal: fatalOf(armed, stamp.dependencies),
    expiresAt: Plan.lastUse(armed),
    size: () => {
      const written = text ?? codec.encode(content)
      return Exit.isSuccess(written) ? written.value.length : 1
    },
    memo: service.store.payload === "value" ? new View(definition, exit, armed, counters) : undefined
  }
}

/** Whether those who waited may be given what was loaded. */
export const mayBeShared = (outcome: Outcome): boolean =>
  outcome === "stored" || outcome === "fenced" || outcome === "unstored"

const resultOf = (exit: Exit.Exit<unknown, unknown>): "success" | "failure" | "defect" | "interrupted" =>
  Exit.isSuccess(exit)
    ? "success"
    : Exit.hasDies(exit)
    ? "defect"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : "failure"

/** Says that something is served but not cached. */
export const warnUnwritable = (definition: Definition): Effect.Effect<void> =>
  Effect.logWarning(`a value of "${definition.name}" cannot be encoded and is not cached`)

/** Counts a load and tells of it. */
export const reportLoad = (
  service: CacheService,
  counters: Counters,
  address: KeyAddress,
  exit: Exit.Exit<unknown, unknown>,
  millis: number,
  outcome: Outcome | "unsaved"
): void => {
  counters.loads++
  const result = resultOf(exit)
  if (result === "failure" || result === "defect") counters.loadFailures++
  const { definition: { name }, key } = address
  if (outcome === "invalidated" || outcome === "lost") {
    counters.refused++
    service.publish({ _tag: "Refused", name, key, outcome })
  }
  service.publish({ _tag: "Load", name, key, millis, result, outcome })
}

/** Counts a failed operation of the store and tells of it. */
export const reportStoreFailure = (service: CacheService, counters: Counters, error: StoreError): void => {
  counters.storeFailures++
  service.publish({ _tag: "StoreFailed", error })
}

const fly = (load: Load, lookup: Lookup, counters: Counters): Effect.Effect<void, never, never> =>
  Effect.withFiber((fiber) => {
    const { service } = load
    const clock = fiber.getRef(Clock.Clock)
    const started = elapsed(clock)
    const began = service.now(fiber)
    const [only, ...others] = load.flights
    const loading = new Loading.Loading(load, others.length === 0 ? placeOf(service, only!.address) : undefined)
    return Effect.flatMap(
      Loading.within(lookup(load.flights.map(({ address }) => address)), loading),
      (exits) =>
        Effect.forEach(load.flights, (flight, i) => {
          const now = service.now(fiber)
          const { partsUntil } = loading
          return land(service, flight, { exit: exits[i]!, partsUntil }, {
            now,
            began,
            millis: elapsed(clock) - started,
            jitter: fiber.getRef(Random.Random).nextDoubleUnsafe(),
            partsFor: partsUntil === undefined ? undefined : partsUntil - started
          }, counters)
        }, { discard: true, concurrency: "unbounded" })
    )
  })

/** All that a load of which nothing is stored depends on; `undefined` where only a value could tell. */
const dependenciesOf = ({ definition, known }: KeyAddress): ReadonlyArray<Dependency> | undefined =>
  definition.value.plan.fromValue.length === 0 ? known : undefined

const land = (
  service: CacheService,
  flight: Flight,
  { exit, partsUntil }: Loading.Made<unknown, unknown>,
  facts: Facts,
  counters: Counters
): Effect.Effect<void> => {
  const { address, lease } = flight
  const settle = (result: Exit.Exit<unknown, unknown>, shared: Sharing, outcome: Outcome | "unsaved") => {
    service.flights.delete(lease.token)
    reportLoad(service, counters, address, result, facts.millis, outcome)
    Deferred.doneUnsafe(flight.landed, Exit.succeed({ exit: result, shared, partsUntil }))
  }
  /** The store did not answer how the load ended. Who joined was told that what the key tells was not invalidated. */
  const unanswered = (result: Exit.Exit<unknown, unknown>, error: StoreError, nothingFound: boolean) =>
    // The lease may still stand, and whoever comes next would wait for it in vain. It is given up beside this: a store
    // that does not answer must not be waited for again.
    Effect.map(Effect.forkIn(Effect.ignore(service.store.abandon(address, lease.token)), service.scope), () => {
      reportStoreFailure(service, counters, error)
      // What was loaded under a fence must not be given away after its end, and only the store tells whether it has ended.
      settle(result, nothingFound && lease.fenced === false ? "all" : "early", "unsaved")
    })
  /** Ends a load of which nothing is stored. It is shared as one that is stored would be. */
  const discard = (
    result: Exit.Exit<unknown, unknown>,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<void> =>
    Effect.matchEffect(service.store.discard(address, lease, dependencies), {
      onSuccess: (outcome) => Effect.sync(() => settle(result, mayBeShared(outcome) ? "all" : "early", "unsaved")),
      onFailure: (error) => unanswered(result, error, dependencies?.length === address.known.length)
    })
  // A lookup that was interrupted from within its own caller's world is no answer for the others, who were not.
  if (resultOf(exit) === "interrupted") {
    return Effect.map(
      Effect.ignore(service.store.abandon(address, lease.token)),
      () => settle(exit, "none", "unsaved")
    )
  }
  const kind = isCacheable(address.definition, exit)
  if (kind === undefined) return discard(exit, dependenciesOf(address))
  let draft: Draft
  try {
    draft = prepare(service, flight, exit, kind === "failure", facts, counters)
  } catch (thrown) {
    return discard(Exit.die(thrown), undefined)
  }
  const { found, stamp: { dependencies } } = draft
  if (draft.payload === unwritable) {
    return Effect.andThen(warnUnwritable(address.definition), discard(exit, dependencies))
  }
  // An entry that was only refreshed early is fresh, and better than one that is stale from the start.
  if (partsUntil !== undefined && flight.refreshesEarly) return discard(exit, dependencies)
  return Effect.matchEffect(service.store.commit(address, lease, draft), {
    onSuccess: (outcome) => Effect.sync(() => settle(exit, mayBeShared(outcome) ? "all" : "older", outcome)),
    onFailure: (error) => unanswered(exit, error, found.length === 0)
  })
}

/** Runs the user's lookup for some keys: an exit for each, in order. */
export type Lookup = (
  addresses: ReadonlyArray<KeyAddress>
) => Effect.Effect<ReadonlyArray<Exit.Exit<unknown, unknown>>>

/**
 * Starts a load, which the caller then holds until it `leave`s it: `by`, if that is a load itself. Must be called
 * in one step with the answer of `begin`, and with nothing that could be
 * interrupted in between.
 */
export const start = (
  service: CacheService,
  flights: ReadonlyArray<Flight>,
  lookup: Lookup,
  counters: Counters,
  held: boolean,
  by: Loading.Waiting | undefined
): Effect.Effect<Load> =>
  Effect.withFiber((starter) => {
    const load = new Load(service, flights, held)
    // Known before its lookup begins, which may ask for what waits for it.
    by?.waitsFor.push(load)
    const started = elapsed(starter.getRef(Clock.Clock))
    for (const flight of flights) settle(service, flight.lease.token, flight)
    // Whatever ends a load early tells those who wait to look again. An observer sees even a fiber that never ran,
    // since the layer was released.
    const settleRest = (exit: Exit.Exit<void>) => {
      for (const { landed, lease } of flights) {
        service.flights.delete(lease.token)
        if (Exit.isFailure(exit)) {
          Deferred.doneUnsafe(landed, Exit.succeed({ exit, shared: "none", partsUntil: undefined }))
        }
      }
    }
    const abandon = (given: ReadonlyArray<Flight>) =>
      Effect.forEach(given, ({ address, lease }) => Effect.ignore(service.store.abandon(address, lease.token)), {
        discard: true,
        concurrency: "unbounded"
      })
    let began = false
    const flying = Effect.suspend(() => {
      began = true
      return fly(load, lookup, counters)
    })
    return flying.pipe(
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.withFiber((fiber) => {
          const millis = elapsed(fiber.getRef(Clock.Clock)) - started
          const left = flights.filter(({ landed }) => !Deferred.isDoneUnsafe(landed))
          for (const { address } of left) reportLoad(service, counters, address, exit, millis, "unsaved")
          return abandon(left)
        })
      ),
      Effect.forkIn(service.scope, { startImmediately: true }),
      Effect.flatMap((fiber) => {
        load.fiber = fiber
        fiber.addObserver(settleRest)
        return began ? Effect.succeed(load) : Effect.as(abandon(flights), load)
      })
    )
  })

/**
 * Waits for a flight; with a limit in milliseconds, `undefined` when it has passed, and the load
 * goes on by itself. `by` waits with it, as soon as this is called: whoever looks
 * for circles next must know of it. To be run at once, where nothing interrupts;
 * `restore` lets the waiting be interrupted, and leaving is certain.
 */
export const attend = (
  flight: Flight,
  limit: number | undefined,
  by: Loading.Waiting | undefined,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Landed | undefined> => {
  const { landed, load } = flight
  load.waiters++
  by?.waitsFor.push(load)
  return Effect.suspend(() => {
    const waiting: Effect.Effect<Landed | undefined> = limit === undefined
      ? Deferred.await(landed)
      : Effect.timeoutOrElse(Deferred.await(landed), {
        duration: limit,
        orElse: () =>
          Effect.sync((): Landed | undefined => {
            load.held = true
            return undefined
          })
      })
    return Effect.onExit(restore(waiting), () => Effect.sync(() => load.leave(by)))
  })
}
