/**
 * The end of a load: what is stored of it, and who may be given it.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Draft, Lease, Outcome, Stamp, StoreError, Token } from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import type { Counters } from "../counters.ts"
import {
  type Definition,
  fatalOf,
  isCachedFailure,
  type KeyAddress,
  kindOf,
  type Versions,
  View
} from "../definition.ts"
import { mostDependencies } from "../limits.ts"
import * as Plan from "../plan.ts"
import type { ClockedStore, Service } from "../service/model.ts"
import type * as Loading from "./loading.ts"
import { reportAmbiguous, reportLoad, reportStoreFailure, reportUnwritable, resultOf } from "./report.ts"

/**
 * Who may be given the result of a load besides its starter. The others look again.
 *
 * - `all`: the store says that nothing has voided it.
 * - `early`: those who joined before anything could have, and those whose read began before its load did.
 * - `older`: only the latter. To them it is as good as a load of their own.
 * - `none`: it was interrupted, which is not an answer for those who were not.
 */
export type Sharing = "all" | "early" | "older" | "none"

/** An entry that a load has stored. */
export interface Stored {
  readonly token: Token
  readonly stamp: Stamp
  readonly armed: Plan.Armed
}

/** How the filling of a key ended. */
export interface Ended extends Loading.Made<unknown, unknown> {
  readonly shared: Sharing
  readonly stored: Stored | undefined
}

/** What is known of a key that is filled when its load ends. */
export interface Begun {
  readonly address: KeyAddress
  readonly store: ClockedStore
  readonly lease: Lease
  readonly versions: Versions
  readonly usually: number
}

// One slow or fast load makes a poor estimate: the larger of the last and a decaying average.
const steady = (last: number, usually: number): number => Math.max(last, (last + usually) / 2)

const kindFor = (definition: Definition, exit: Exit.Exit<unknown, unknown>): "value" | "failure" | undefined =>
  Exit.isSuccess(exit) ? "value" : isCachedFailure(definition, exit.cause) ? "failure" : undefined

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

/**
 * What is to be stored; without a draft it cannot be, for this reason: not as text, or since it depends on too much.
 *
 * - `tooMany`: whether it is the latter.
 */
export interface Prepared {
  readonly stamp: Stamp
  readonly found: ReadonlyArray<Dependency>
  readonly armed: Plan.Armed
  readonly draft: Draft | undefined
  readonly because: string
  readonly tooMany: boolean
}

/** The facts of a result, ready to be stored. Throws what a user's tag function throws. */
export const prepare = (
  { address, lease, store, usually, versions }: Begun,
  exit: Exit.Exit<unknown, unknown>,
  failure: boolean,
  facts: Facts,
  counters: Counters
): Prepared => {
  const { definition, input, known } = address
  const { codec, plan } = kindOf(definition, failure)!
  const content = contentOf(exit)
  const text = store.payload === "text" ? codec.write(content, store.compares === true) : undefined
  const found = Plan.foundDependencies(plan, input, content, known)
  // A machine that sleeps may stop its monotonic clock, and a wall clock may be set: the earlier is safe.
  const beganAt = Math.min(facts.began, facts.now - facts.millis)
  const behind = store.now.behind?.() ?? 0
  const stamp: Stamp = {
    storedAt: facts.now,
    beganAt,
    duration: steady(facts.millis, usually),
    jitter: facts.jitter,
    versions: { ...plan.constants, ...(failure ? versions.failure : versions.value) },
    dependencies: found.length === 0 ? known : [...known, ...found],
    shape: store.payload === "text" ? codec.shape() : "",
    failure,
    ...(behind > 0 ? { behind } : {}),
    // Finite, so that it can be written as JSON.
    ...(facts.partsFor === undefined
      ? {}
      : { partsUntil: Math.min(beganAt + facts.partsFor, Number.MAX_SAFE_INTEGER) })
  }
  const armed = Plan.arm(plan, input, content, stamp)
  const count = (address.tooMany ?? known.length) + found.length
  if (count > mostDependencies) {
    const because = `it depends on ${count} names, and ${mostDependencies} is the most`
    return { stamp, found, armed, draft: undefined, because, tooMany: true }
  }
  if (text?._tag === "Refused") return { stamp, found, armed, draft: undefined, because: text.because, tooMany: false }
  const draft: Draft = {
    token: lease.token,
    payload: text === undefined ? content : text.text,
    stamp,
    found,
    fatal: fatalOf(armed, stamp.dependencies),
    expiresAt: Plan.lastUse(armed),
    size: () => {
      if (text !== undefined) return text.text.length
      const written = codec.encode(content)
      return Exit.isSuccess(written) ? written.value.length : 1
    },
    memo: store.payload === "value" ? new View(definition, exit, armed, counters) : undefined
  }
  return { stamp, found, armed, draft, because: "", tooMany: false }
}

/** Whether waiters may be given what was loaded. */
export const mayBeShared = (outcome: Outcome): boolean =>
  outcome === "stored" || outcome === "fenced" || outcome === "unstored"

/** All that a load of which nothing is stored depends on; `undefined` if only a value could name it, or it is too much. */
const dependenciesOf = ({ definition, known, tooMany }: KeyAddress): ReadonlyArray<Dependency> | undefined =>
  definition.value.plan.fromValue.length === 0 && tooMany === undefined ? known : undefined

/** Stores what was loaded for a key, if it may be stored, and wakes those who wait for it. */
export const finish = (
  service: Service,
  filling: Begun & { readonly refreshesEarly: boolean; readonly ended: Deferred.Deferred<Ended> },
  { exit, partsUntil }: Loading.Made<unknown, unknown>,
  facts: Facts,
  counters: Counters
): Effect.Effect<void> => {
  const { address, lease, store } = filling
  const settle = (
    result: Exit.Exit<unknown, unknown>,
    shared: Sharing,
    outcome: Outcome | "unsaved",
    stored?: Stored
  ) => {
    service.loads.delete(lease.token)
    reportLoad(service, counters, address, result, facts.millis, outcome)
    Deferred.doneUnsafe(filling.ended, Exit.succeed({ exit: result, shared, partsUntil, stored }))
  }
  /** The store did not answer how the load ended. Those who joined know that no dependency of the key was invalidated. */
  const unanswered = (result: Exit.Exit<unknown, unknown>, error: StoreError, nothingFound: boolean) =>
    // The lease may still stand, and the next caller would wait for it in vain. It is given up beside this: a store
    // that does not answer must not be waited for again.
    Effect.map(Effect.forkIn(Effect.ignore(store.abandon(address, lease.token)), service.scope), () => {
      reportStoreFailure(service, counters, error)
      // What was loaded under a fence must not be given away after its end, and only the store knows whether it has ended.
      settle(result, nothingFound && lease.fenced === false ? "all" : "early", "unsaved")
    })
  /** Ends a load of which nothing is stored. It is shared as one that is stored would be. */
  const discard = (
    result: Exit.Exit<unknown, unknown>,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<void> =>
    Effect.matchEffect(store.discard(address, lease, dependencies), {
      onSuccess: (outcome) => Effect.sync(() => settle(result, mayBeShared(outcome) ? "all" : "early", "unsaved")),
      onFailure: (error) => unanswered(result, error, dependencies?.length === address.known.length)
    })
  // A lookup that was interrupted from within its own caller's world is not an answer for the others, who were not.
  if (resultOf(exit) === "interrupted") {
    return Effect.map(
      Effect.ignore(store.abandon(address, lease.token)),
      () => settle(exit, "none", "unsaved")
    )
  }
  const kind = kindFor(address.definition, exit)
  if (kind === undefined) return discard(exit, dependenciesOf(address))
  let prepared: Prepared
  try {
    prepared = prepare(filling, exit, kind === "failure", facts, counters)
  } catch (thrown) {
    return discard(Exit.die(thrown), undefined)
  }
  const { armed, because, draft, found, stamp, tooMany } = prepared
  if (draft === undefined) {
    return Effect.andThen(
      reportUnwritable(service, counters, address, because),
      discard(exit, tooMany ? undefined : stamp.dependencies)
    )
  }
  // An entry that was only refreshed early is fresh, and better than one that is stale from the start.
  if (partsUntil !== undefined && filling.refreshesEarly) return discard(exit, stamp.dependencies)
  const committed = Effect.matchEffect(store.commit(address, lease, draft), {
    onSuccess: (outcome) =>
      Effect.sync(() => {
        service.unwritten.forget(address.place)
        if (outcome === "stored") service.pauses.forget(address.place)
        settle(
          exit,
          mayBeShared(outcome) ? "all" : "older",
          outcome,
          outcome === "stored" ? { token: draft.token, stamp, armed } : undefined
        )
      }),
    onFailure: (error) => unanswered(exit, error, found.length === 0)
  })
  return store.payload === "text"
    ? Effect.andThen(reportAmbiguous(service, address.definition), committed)
    : committed
}
