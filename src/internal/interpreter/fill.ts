/**
 * Filling keys: asking for leases, loading under those that are granted, and
 * joining the loads of others.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { Begin, Begun, Entry, Lease, StoreError, Token } from "../../CacheStore.ts"
import { isCachedFailure, type Versions } from "../definition.ts"
import { atOnce } from "../limits.ts"
import type { ClockedStore } from "../service/model.ts"
import { isServable, refreshOf } from "./decide.ts"
import type { AnyEffect } from "./definitions.ts"
import type { Stored } from "./finish.ts"
import { byCalls, type Loader } from "./loader.ts"
import * as Loading from "./loading.ts"
import * as Loads from "./loads.ts"
import type { Judged, Read, Seen } from "./read.ts"
import { resultOf } from "./report.ts"
import { sameVersions } from "./versions.ts"

/** How a caller goes about filling a key. */
export interface Attempt {
  readonly seen: Judged | undefined
  /** What may be served in some cases in place of what is loaded. */
  readonly old: Judged | undefined
  readonly seenToken: Token | undefined
  readonly drop: boolean
  readonly force: boolean
  /** Waits for an in-flight load of this process. */
  readonly join: boolean
  /** Goes on without a waiter. */
  readonly held: boolean
  /** Milliseconds after which the old value is served. */
  readonly limit: number | undefined
  readonly versions: Versions
  /** Where the lease is asked for. */
  readonly store: ClockedStore
}

/** For a caller who found this and waits. */
export const forCaller = (read: Read, { entry, found, judged, versions }: Seen): Attempt => {
  const old = judged?.verdict === "Dead" ? undefined : judged
  const { rules } = read.definition
  return {
    seen: judged,
    old,
    seenToken: entry?.token,
    drop: entry !== undefined && old === undefined,
    force: false,
    join: !(isServable(found) && refreshOf(found, rules, read.insideLoad) === "caller"),
    held: false,
    limit: old && rules.softTimeout,
    versions,
    store: read.store
  }
}

/** For an entry that was served, and is refreshed in the background. */
export const inBackground = (read: Read, judged: Judged): Attempt => ({
  seen: judged,
  old: judged,
  seenToken: judged.entry.token,
  drop: false,
  force: false,
  join: false,
  held: true,
  limit: undefined,
  versions: judged.versions,
  store: read.store
})

/** For a caller who has seen nothing, and waits. */
const unseen = (read: Read, versions: Versions): Attempt => ({
  seen: undefined,
  old: undefined,
  seenToken: undefined,
  drop: false,
  force: false,
  join: true,
  held: false,
  limit: undefined,
  versions,
  store: read.store
})

/** For a caller who wants a new value whatever is stored. */
export const byForce = (read: Read, versions: Versions): Attempt => ({
  ...unseen(read, versions),
  force: true,
  join: false
})

/** For a caller to whom the store did not answer, nor is there an old value. */
export const withoutStore = (read: Read, versions: Versions): Attempt => ({
  ...unseen(read, versions),
  store: read.service.leases
})

/** What came of an attempt. `Refused` is a load whose result this read may not be given. */
export type Filled =
  | {
    readonly _tag: "Loaded" | "Refused"
    readonly made: Loading.Made<unknown, unknown>
    readonly stored: Stored | undefined
  }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Circle"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "InBatch"; readonly filling: Loads.Filling }
  | { readonly _tag: "Writing" }
  | { readonly _tag: "Found"; readonly entry: Entry }
  | { readonly _tag: "Busy"; readonly token: Token }
  | { readonly _tag: "StoreFailed"; readonly error: StoreError }

/** One key of several, and how to fill it. */
export interface Want {
  readonly read: Read
  readonly attempt: Attempt
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

// -----------------------------------------------------------------------------
// asking for leases
// -----------------------------------------------------------------------------

export type BegunOrFailed = Begun | { readonly _tag: "StoreFailed"; readonly error: StoreError }

/** Asks the store for the lease. Whatever interrupts this gives up what the store may have granted. */
export const begin = (
  { address, definition, service }: Read,
  store: ClockedStore,
  request: Omit<Begin, "token" | "leaseFor">,
  restore: Restore,
  token: Token = service.token()
): AnyEffect<BegunOrFailed> => {
  try {
    // Runs the user's function, if there is one: what it throws is not a failure of the store.
    void address.known
  } catch (thrown) {
    return Effect.die(thrown)
  }
  const asking = store.begin(address, { ...request, token, leaseFor: definition.leaseFor })
  return Effect.flatMap(Effect.exit(restore(asking)), (exit): AnyEffect<BegunOrFailed> => {
    if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
    const error = Cause.findErrorOption(exit.cause)
    // What surely did not happen has granted nothing.
    const giveUp = Option.isSome(error) && !error.value.mayHaveHappened
      ? Effect.void
      : Effect.forkIn(Effect.ignore(store.abandon(address, token)), service.scope)
    const answer: AnyEffect<BegunOrFailed> = Option.isSome(error)
      ? Effect.succeed({ _tag: "StoreFailed", error: error.value })
      : Effect.failCause(exit.cause)
    return Effect.andThen(giveUp as Effect.Effect<unknown>, answer)
  })
}

/** Asks for the lease of a load. Callers of this process who find it taken can wait for the load to start. */
const beginLoad = (
  { attempt: { drop, force, seenToken, store }, read }: Want,
  restore: Restore,
  token: Token = read.service.token()
): AnyEffect<BegunOrFailed> =>
  Effect.suspend(() => {
    const { service } = read
    Loads.announce(service, token)
    return Effect.onExit(begin(read, store, { seen: seenToken, drop, force }, restore, token), (exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit) || exit.value._tag !== "Leased") {
          Loads.settle(service, token)
        }
      }))
  })

/** Asks for the leases of one load, some at once. Unless all answered, those that were granted are given up. */
const beginTogether = (wants: ReadonlyArray<Want>, restore: Restore): AnyEffect<ReadonlyArray<BegunOrFailed>> => {
  const begun: Array<BegunOrFailed | undefined> = wants.map(() => undefined)
  const asking = Effect.forEach(
    wants,
    (want, i) =>
      Effect.uninterruptibleMask((inner) =>
        Effect.map(beginLoad(want, inner), (answer) => {
          begun[i] = answer
        })
      ),
    { concurrency: atOnce, discard: true }
  )
  const giveUp = Effect.suspend(() =>
    Effect.forEach(wants, ({ attempt: { store }, read: { address, service } }, i) => {
      const answer = begun[i]
      if (answer?._tag !== "Leased") return Effect.void
      const { token } = answer.lease
      Loads.settle(service, token)
      return Effect.forkIn(Effect.ignore(store.abandon(address, token)), service.scope)
    }, { discard: true })
  )
  return Effect.map(Effect.onError(restore(asking), () => giveUp), () => begun as ReadonlyArray<BegunOrFailed>)
}

// -----------------------------------------------------------------------------
// waiting for loads
// -----------------------------------------------------------------------------

/** The lookup that waits with an attempt. None does for a refresh in the background. */
const waitingFor = ({ attempt, read }: Want): Loading.Loading | undefined => attempt.held ? undefined : read.reader

/** How one came to wait: by starting the load, or by joining it; `early` before anything could have voided it. */
type Joined = "own" | "early" | "late"

const awaitFilling = (want: Want, filling: Loads.Filling, joined: Joined, restore: Restore): AnyEffect<Filled> => {
  const { attempt, read } = want
  return Effect.map(Loads.awaitFilling(filling, attempt.limit, waitingFor(want), restore), (ended): Filled => {
    if (ended === undefined) return { _tag: "Late" }
    const { shared, stored } = ended
    // One's own load began after the read did, and one that another has begun since is as good. A load that is older than
    // the read counts only if the store let it stand. And what is joined must have begun under the versions that this read
    // saw: no invalidation is made for a version that changed meanwhile.
    const given = shared === "all" || (shared === "early" && joined === "early") ||
      (shared !== "none" && filling.began > read.began)
    const mayBeGiven = joined === "own" || (given && sameVersions(attempt.versions, filling.versions))
    return { _tag: mayBeGiven ? "Loaded" : "Refused", made: ended, stored }
  })
}

const fillingFor = ({ attempt: { held, seen, store, versions }, read }: Want, lease: Lease): Loads.Filling => {
  if (seen !== undefined && isServable(seen.verdict)) {
    if (!held) read.miss(seen.verdict)
    read.refreshing()
  }
  const usually = seen?.entry.stamp.duration ?? 0
  return new Loads.Filling(read.address, store, lease, versions, usually, seen?.verdict === "Refresh")
}

/** Only a load of this process that the store says still stands may be joined. */
const joinOther = (
  want: Want,
  begun: Exclude<BegunOrFailed, { readonly _tag: "Leased" }>,
  restore: Restore
): AnyEffect<Filled> => {
  const { attempt, read } = want
  if (begun._tag !== "Busy" || !attempt.join) return Effect.succeed(begun)
  const settled = Loads.settled(read.service, begun.token)
  if (settled === undefined) return joinStarted(want, begun, restore)
  const waiting = attempt.limit === undefined
    ? settled
    : Effect.timeoutOrElse(settled, { duration: attempt.limit, orElse: () => Effect.void })
  return Effect.flatMap(restore(waiting), () => joinStarted(want, begun, restore))
}

const joinStarted = (
  want: Want,
  begun: Extract<Begun, { readonly _tag: "Busy" }>,
  restore: Restore
): AnyEffect<Filled> => {
  const { attempt, read } = want
  const filling = Loads.fillingOf(read.service, begun.token)
  const waiting = waitingFor(want)
  if (filling === undefined) {
    return Effect.succeed(Loading.writtenAround(waiting, begun.token) ? { _tag: "Writing" } : begun)
  }
  const circular = Loading.joinedBy(waiting, filling.load.loading)
  if (circular?._tag === "Circle") return Effect.succeed(circular)
  if (circular?._tag === "InBatch") return Effect.succeed({ _tag: "InBatch", filling })
  if (attempt.seen !== undefined) read.miss(attempt.seen.verdict)
  read.coalesced()
  const early = begun.position !== undefined && begun.position === filling.lease.position
  return awaitFilling(want, filling, early ? "early" : "late", restore)
}

// -----------------------------------------------------------------------------
// filling
// -----------------------------------------------------------------------------

/** Takes the lease of one key and loads, or joins the load that has it. */
export const fillOne = (want: Want, lookup: Loads.Lookup, token?: Token): AnyEffect<Filled> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(beginLoad(want, restore, token), (begun): AnyEffect<Filled> => {
      if (begun._tag !== "Leased") return joinOther(want, begun, restore)
      const { attempt: { held }, read: { counters, service } } = want
      const filling = fillingFor(want, begun.lease)
      const by = waitingFor(want)
      return Effect.flatMap(
        Loads.start(service, [filling], lookup, counters, held, by),
        (load) => Effect.onExit(awaitFilling(want, filling, "own", restore), () => load.leave(by))
      )
    })
  )

/**
 * Fills a key that is part of a batch which waits for this: by a load of its own, which takes the lease from the batch. All
 * who need the key for the batch share it.
 */
export const fillByItself = (want: Want, inBatch: Loads.Filling, lookup: Loads.Lookup): AnyEffect<Filled> =>
  Effect.suspend(() => {
    const { attempt, read: { service } } = want
    const { byItself } = inBatch
    if (byItself !== undefined && service.loads.has(byItself)) {
      return Effect.uninterruptibleMask((restore) =>
        joinOther(
          { ...want, attempt: { ...attempt, join: true } },
          { _tag: "Busy", token: byItself },
          restore
        )
      )
    }
    const token = service.token()
    inBatch.byItself = token
    return fillOne({ ...want, attempt: { ...attempt, force: true } }, lookup, token)
  })

/** Fills several keys by one load, and joins the loads of others. Each is used as soon as it is there. */
export const fillTogether = <A>(
  wants: ReadonlyArray<Want>,
  lookup: Loads.Lookup,
  use: (want: Want, filled: Filled) => AnyEffect<A>
): AnyEffect<ReadonlyArray<A>> => {
  const [first, ...others] = wants
  if (first === undefined) return Effect.succeed([])
  if (others.length === 0) {
    return Effect.flatMap(fillOne(first, lookup), (filled) => Effect.map(use(first, filled), (one) => [one]))
  }
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(beginTogether(wants, restore), (begun) => {
      const { attempt: { held }, read: { counters, service } } = first
      const by = waitingFor(first)
      const own = wants.map((want, i) => {
        const answer = begun[i]!
        return answer._tag === "Leased" ? fillingFor(want, answer.lease) : undefined
      })
      const waiting = Effect.forEach(wants, (want, i) =>
        Effect.uninterruptibleMask((inner) => {
          const [answer, filling] = [begun[i]!, own[i]]
          const filled = answer._tag === "Leased"
            ? awaitFilling(want, filling!, "own", inner)
            : joinOther(want, answer, inner)
          return Effect.flatMap(filled, (filled) => inner(use(want, filled)))
        }), { concurrency: "unbounded" }) // as many as one call loads
      const fillings = own.filter((filling) => filling !== undefined)
      // Each key is waited for by a fiber of its own, so waiting can be interrupted only from outside of it.
      return fillings.length === 0
        ? restore(waiting)
        : Effect.flatMap(
          Loads.start(service, fillings, lookup, counters, held, by),
          (load) => Effect.onExit(restore(waiting), () => load.leave(by))
        )
    })
  )
}

/** What goes on when its caller was answered is no part of the caller's spans: they have ended. */
const outOfRequest = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(
    effect,
    (context: Context.Context<R>) =>
      Context.omit(Tracer.ParentSpan, References.CurrentLogSpans)(context) as Context.Context<R>
  )

/** A refresh in the background has ended: one that failed is not tried again at once. */
const pauseAfter = (read: Read, exit: Exit.Exit<unknown, unknown>): void => {
  const { address: { place }, definition, fiber, service } = read
  const result = resultOf(exit)
  if (result === "success" || isCachedFailure(definition, (exit as Exit.Failure<unknown, unknown>).cause)) {
    service.pauses.forget(place)
  } else if (result !== "interrupted") {
    const draw = fiber.getRef(Random.Random).nextDoubleUnsafe()
    service.pauses.failed(place, read.elapsed(), definition.refreshPause, draw)
  }
}

/** Refreshes keys in the background. */
export const refreshInBackground = (wants: ReadonlyArray<Want>, loader: Loader): AnyEffect<void> =>
  // Not to be interrupted in between: a key that is marked as being refreshed, and is not, would stay so for ever.
  Effect.uninterruptible(Effect.suspend(() => {
    const mine = wants.filter(({ read }) => {
      const { address: { place }, service } = read
      return !service.refreshing.has(place) && !service.pauses.holds(place, read.elapsed())
    })
    const [first] = mine
    if (first === undefined) return Effect.void
    const { service } = first.read
    for (const { read } of mine) service.refreshing.add(read.address.place)
    const marked = new Set(mine)
    const unmark = (some: ReadonlyArray<Want>) =>
      Effect.sync(() => {
        for (const want of some) if (marked.delete(want)) service.refreshing.delete(want.read.address.place)
      })
    // There is no waiter, so no caller would learn that the store failed.
    const report = ({ read }: Want, filled: Filled) =>
      Effect.sync(() => {
        if (filled._tag === "StoreFailed") read.storeFailed(filled.error)
        if (filled._tag === "Loaded" || filled._tag === "Refused") pauseAfter(read, filled.made.exit)
      })
    const filling = byCalls(
      mine,
      loader,
      (some) => Effect.onExit(fillTogether(some, loader.lookup, report), () => unmark(some))
    )
    return Effect.asVoid(Effect.forkIn(outOfRequest(Effect.onExit(filling, () => unmark(mine))), service.scope))
  }))
