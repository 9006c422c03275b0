/**
 * What keeps entries: the port that each store fulfils, and what is built around one.
 *
 * A store knows keys, dependencies, tokens and opaque payloads, and no policy.
 * `MemoryCache.layerStore` and `RedisCache.layerStore` provide one;
 * `CacheService.layer` makes the service of cached reads on whichever is there.
 *
 * **The protocol**
 *
 * What a load depends on is recorded before it begins, as tokens that are never
 * used twice. An invalidation replaces the token, and an entry is good while
 * every token it was loaded under is still there. No clock takes part.
 *
 * 1. `read` gives the entry and which of its dependencies changed since.
 * 2. `begin`, on a miss, takes the key's lease, or says who has it. It captures
 *    the tokens of the dependencies that the key tells, then the position of the
 *    journal.
 * 3. `commit`, after the load, stores the entry only if the lease is still the
 *    key's, none of its dependencies (also those found in the value) was
 *    invalidated since `begin`, and no fence stood over them then.
 * 4. `invalidate`: for dependencies, writes them to the journal first and
 *    replaces the tokens second; for keys, removes entry and lease together.
 *    A key ends what is stored of it in every version, and every load of it.
 * 5. `fence` invalidates, and refuses whatever is loaded until `lift`.
 * 6. An invalidation that a store cannot make in one step is a fence from its
 *    first step to its last. Between two steps a load could read one thing that
 *    is still old and be stored under the new token of another.
 *
 * Losing an entry, a lease, a token or the journal is always safe: it costs loads.
 *
 * **Gotchas**
 *
 * - A store that can answer at once returns an `Exit` (which is an Effect); a hit
 *   is then served without suspending the fiber.
 * - Whoever writes a store runs `Contract.laws` against it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Dependency from "./Dependency.ts"
import * as Check from "./internal/check.ts"
import { type Limits, type Ticket, usualLimits } from "./internal/circuit.ts"
import { Condition, conditionsOf, Group, harmless, type Part, withConditions } from "./internal/condition.ts"
import { sumOf } from "./internal/counts.ts"
import { Deadline, elapsed } from "./internal/deadline.ts"
import { finiteMillis } from "./internal/duration.ts"
import { encodeName } from "./internal/keys.ts"
import type { Stamp } from "./internal/stamp.ts"
import { targetsIn } from "./internal/targets.ts"
import { Turns } from "./internal/turns.ts"
import * as Invalidation from "./Invalidation.ts"
import type * as Key from "./Key.ts"
import type * as Verdict from "./Verdict.ts"

export type { Stamp, Version } from "./internal/stamp.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * Why an operation of the store failed, for `Effect.catchReason`.
 *
 * - `Timeout`: no answer within the time limit.
 * - `Unavailable`: the store could not be reached, or refused.
 * - `CircuitOpen`: the store failed several times in a row and is left alone
 *   for a while.
 * - `Malformed`: the store answered something that is no answer.
 * - `Incompatible`: what the store holds was written by a release of this library
 *   whose protocol is another (`found`) than that of this one (`spoken`).
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  Schema.TaggedStruct("Timeout", {}),
  Schema.TaggedStruct("Unavailable", {}),
  Schema.TaggedStruct("CircuitOpen", {}),
  Schema.TaggedStruct("Malformed", {}),
  Schema.TaggedStruct("Incompatible", { found: Schema.String, spoken: Schema.String })
])

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
    return `the store failed to ${this.operation}: ${this.reason._tag}`
  }

  /** Why an operation ended without an answer: it failed, died, or was interrupted. */
  static fromCause(operation: string, cause: Cause.Cause<StoreError>): StoreError {
    const error = Cause.findErrorOption(cause)
    if (Option.isSome(error)) return error.value
    const reason = { _tag: Cause.hasDies(cause) ? "Malformed" : "Timeout" } as const
    return new StoreError({ operation, reason, mayHaveHappened: true, cause: Cause.squash(cause) })
  }

  /** The same error of something larger, of which a part has happened. */
  ofPart(): StoreError {
    const { cause, operation, reason } = this
    return new StoreError({ operation, reason, mayHaveHappened: true, cause })
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
 * `version` is that of the definition, if it has one, written so that it holds
 * none of `: # / { }` and no white space. Entries and leases of two versions lie
 * apart, and neither is ever given for the other. Whatever names a key concerns
 * all versions of it: an invalidation, a fence, and a `begin` that drops by force,
 * with its commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly key: string
  readonly version?: string | undefined
  readonly known: ReadonlyArray<Dependency.Dependency>
}

/**
 * A stored entry, as a read sees it.
 *
 * - `token`: names this entry; another load of the key has another.
 * - `expiresAt`: when nothing of it can be served any more, in milliseconds of
 *   the store's clock; `Infinity` for never.
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
  readonly stamp: Stamp
  readonly expiresAt: number
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
 * - Both together begin a write: what is stored of the key in other versions ends
 *   now, and again when the write is committed.
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
 * The state of the journal, as an opaque text. Between two that are equal no
 * dependency was invalidated, and no fence was opened or taken away. Nothing
 * else can be told from it: it has no order.
 *
 * @category models
 * @since 0.1.0
 */
export type Position = string

/**
 * The right to fill one key. A store may hide more in it.
 *
 * - `fenced`: whether any fence stood when the load began. Unless it surely did
 *   not, what is loaded is shared only if `commit` says that it may be.
 * - `position`: that of the journal when the load began.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly token: Token
  readonly fenced?: boolean
  readonly position?: Position
}

/**
 * The answer to `begin`: the lease, who has it, or an entry stored meanwhile.
 *
 * - `position`: that of the journal now. Who finds the one under which the load
 *   began knows that nothing can have voided it so far, and may be given also a
 *   result of which `discard` cannot tell.
 *
 * @category models
 * @since 0.1.0
 */
export type Begun =
  | { readonly _tag: "Leased"; readonly lease: Lease }
  | { readonly _tag: "Busy"; readonly token: Token; readonly position?: Position }
  | { readonly _tag: "Found"; readonly entry: Entry }

/**
 * What is to be stored.
 *
 * - `token`: the name that the entry will have: that of the lease, unless a store
 *   keeps a copy of another store's entry under the name that it has there.
 * - `found`: dependencies that were found in the value.
 * - `fatal`: dependencies of which a hard change leaves nothing to serve. A
 *   store may then remove the entry at once.
 * - `expiresAt`: when nothing of it can be served any more, in milliseconds of
 *   the store's clock; `Infinity` for never.
 * - `size`: its size in bytes, computed when asked.
 * - `memo`: see `Entry`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Draft {
  readonly token: Token
  readonly payload: unknown
  readonly stamp: Stamp
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
 * is opened, nothing that the invalidation covers is stored. A store that needs
 * long to invalidate what it is over renews it meanwhile.
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
 * What is announced to whoever listens.
 *
 * - `Invalidated`: something was invalidated, here or by another process.
 *   `position` is that of the journal afterwards; only the store can compare it.
 *   It is another after each invalidation of a dependency, or empty where the
 *   store cannot say it.
 * - `Gap`: announcements may have been lost: a connection was interrupted, or the
 *   listener fell behind. Whoever keeps copies by what is announced must take
 *   all of them for invalidated.
 *
 * @category models
 * @since 0.1.0
 */
export type Announcement =
  | {
    readonly _tag: "Invalidated"
    readonly invalidation: Invalidation.Invalidation
    readonly position: Position
  }
  | { readonly _tag: "Gap" }

/**
 * Which stored keys are asked for.
 *
 * - `limit`: about so many. A page may hold a few more, and none although others
 *   follow.
 * - `pattern`: only keys that match it.
 * - `cursor`: where the page before ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scan {
  readonly limit: number
  readonly pattern?: Key.Pattern
  readonly cursor?: string
}

/**
 * A page of stored keys. Without a `cursor` it is the last one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page {
  readonly keys: ReadonlyArray<string>
  readonly cursor: string | undefined
}

/**
 * The time of a store, in milliseconds. It should go on by the monotonic clock: a
 * wall clock may be set at any time. It never goes back, since what is old would
 * get younger; where the clock that it is read from was set back, `behind` says by
 * how many milliseconds that clock is behind this time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Now {
  (clock: Clock.Clock): number
  readonly behind?: () => number
}

/**
 * What a store fulfils. `Contract.laws` says what must hold of each operation.
 *
 * - `payload`: `"value"` if the store keeps the value itself, `"text"` if it
 *   keeps what the codec wrote.
 * - `trusted`: whether what it gives was surely written by this program, so that
 *   the checks of a schema may be left out when text is decoded.
 * - `compares`: whether each value is compared with what its text reads as, as in
 *   a test; unless given, only the first ones of a definition are, and all of one
 *   whose schema may change a value.
 * - `readsInTime`: whether a read ends within a limit of the store's own, so that
 *   `guard` need not watch each.
 * - `now`: milliseconds of the store's clock as this process knows it, where it
 *   is another than the process's own.
 * - `released`: completes when that lease is no longer the key's. It may
 *   complete too early, never much too late.
 * - `discard`: ends a load of which nothing is stored, and says whether its
 *   result may be shared, as `commit` does: `unstored` or `fenced` if so.
 *   `dependencies` are all of it, or nothing where they are not known: then
 *   whatever was invalidated since, and every fence that stood, counts.
 * - `atomic`: whether the store makes an invalidation in one step, which no other
 *   operation can see half done.
 * - `invalidate`: makes one of those; gives how many entries it removed or
 *   softened, where the store can tell. It is never asked for others, which go
 *   through `fence` and `lift`.
 * - `fence`: stands, from before the first step to `lift`, and invalidates what it
 *   is over, as hard or soft as that is; gives a count like `invalidate`.
 * - `lift`: takes a fence away; tells whether it stood all the time.
 * - `inspect`: what is known of what lies at an address. Its `known` may be empty
 *   where the caller does not know them.
 * - `scan`: the stored keys of entries, page by page. A key that is stored all the
 *   while is given at least once, and may be given twice.
 * - `announcements`: what is invalidated from now on, here or elsewhere.
 * - `routes`: where several stores are one: that of the definitions of a name.
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
  readonly trusted?: boolean
  readonly compares?: boolean
  readonly readsInTime?: boolean
  readonly now?: Now
  readonly read: (address: Address) => Effect.Effect<Entry | undefined, StoreError>
  readonly begin: (address: Address, request: Begin) => Effect.Effect<Begun, StoreError>
  readonly commit: (address: Address, lease: Lease, draft: Draft) => Effect.Effect<Outcome, StoreError>
  readonly discard: (
    address: Address,
    lease: Lease,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined
  ) => Effect.Effect<Outcome, StoreError>
  readonly abandon: (address: Address, token: Token) => Effect.Effect<void, StoreError>
  readonly released: (address: Address, token: Token) => Effect.Effect<void, StoreError>
  readonly atomic: (batch: Invalidation.Invalidation) => boolean
  readonly invalidate: (batch: Invalidation.Invalidation) => Effect.Effect<number | undefined, StoreError>
  readonly fence: (fence: Fence) => Effect.Effect<number | undefined, StoreError>
  readonly lift: (fence: Fence) => Effect.Effect<boolean, StoreError>
  readonly inspect: (address: Address) => Effect.Effect<Inspection, StoreError>
  readonly scan: (scan: Scan) => Effect.Effect<Page, StoreError>
  readonly announcements: Stream.Stream<Announcement>
  readonly routes?: (name: string) => CacheStore
}

/**
 * The store that `CacheService.layer` is built on: provided by
 * `MemoryCache.layerStore`, `RedisCache.layerStore`, `TestCache.layerStore`, or a
 * layer of your own.
 *
 * @category services
 * @since 0.1.0
 */
export const CacheStore: Context.Service<CacheStore, CacheStore> = Context.Service("effect-cache-algebra/CacheStore")

// -----------------------------------------------------------------------------
// wrapping a store
// -----------------------------------------------------------------------------

/**
 * The operations of a store: what it is asked to do. The rest of it are facts.
 *
 * @category models
 * @since 0.1.0
 */
export type Operations = Omit<
  CacheStore,
  "name" | "payload" | "trusted" | "compares" | "readsInTime" | "now" | "atomic" | "announcements" | "routes"
>

/**
 * A store whose operations are others, and whose facts are those of the one that
 * is wrapped. All operations must be given, those that stay the same too: so
 * whoever adds one to the port has to decide at each wrapper what becomes of it.
 *
 * Of a store with routes each route is wrapped in the same way.
 *
 * @category combining
 * @since 0.1.0
 */
export const wrap = (store: CacheStore, operations: (store: CacheStore) => Operations): CacheStore => {
  const { routes } = store
  if (routes === undefined) return { ...store, ...operations(store) }
  const wrapped = new Map<CacheStore, CacheStore>()
  return {
    ...store,
    ...operations(store),
    routes: (name) => {
      const route = routes(name)
      let mine = wrapped.get(route)
      if (mine === undefined) wrapped.set(route, mine = wrap(route, operations))
      return mine
    }
  }
}

// -----------------------------------------------------------------------------
// guarding a store
// -----------------------------------------------------------------------------

/**
 * Options of a guard.
 *
 * - `readLimit`: the longest that a read may take (a quarter of `timeLimit`, so 250
 *   milliseconds unless given). A frozen store costs a reader no more than that,
 *   and one that answers in less loses no hit.
 * - `timeLimit`: the longest that any other operation may take (1 second). They take
 *   several steps where a read takes one, and giving up early gains nothing.
 * - `sweepLimit`: the longest that may take which walks all keys, or a long list:
 *   an invalidation of, or a fence over, patterns, everything, or more than 1000
 *   targets (1 minute).
 * - `failures`: so many in a row open the circuit (5).
 * - `openAfter`: nor is the store waited for when so long after the first failure
 *   it has answered nothing (1 second), however seldom it was asked.
 * - `openFor`: how long the circuit stays open (5 seconds); then one operation
 *   tries. After a failure that took no time a twentieth of it: asking again costs
 *   little, and a connection that is back after a moment is found soon.
 *
 * @category models
 * @since 0.1.0
 */
export interface GuardOptions {
  readonly readLimit?: Duration.Input
  readonly timeLimit?: Duration.Input
  readonly sweepLimit?: Duration.Input
  readonly failures?: number
  readonly openAfter?: Duration.Input
  readonly openFor?: Duration.Input
}

// So many targets a store may send one after another.
const longList = 1000

// So many of each kind are under way at once: a store takes them in a fraction of a time limit.
const mostUnderWay = 512

// More, where reads end within a limit of the store's own: it may make few commands of them.
const mostReads = 2048

// What a store throws is no answer. Interruption passes.
const sound = <A>(operation: string, exit: Exit.Exit<A, StoreError>): Exit.Exit<A, StoreError> =>
  Exit.isSuccess(exit) || !Cause.hasDies(exit.cause) ? exit : Exit.fail(StoreError.fromCause(operation, exit.cause))

const ask = <A>(operation: string, perform: () => Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> => {
  try {
    const effect = perform()
    return Exit.isExit(effect) ? sound(operation, effect as Exit.Exit<A, StoreError>) : effect
  } catch (thrown) {
    return sound(operation, Exit.die(thrown))
  }
}

// What a store that answers at once gives goes through as it is.
const isAnswer = (effect: Effect.Effect<unknown, StoreError>): boolean => Exit.isExit(effect) && Exit.isSuccess(effect)

// A lease that could not be given up follows a failure that was counted, and a cursor that cannot be read is the caller's.
const isFailureOfStore = (operation: string, { reason }: StoreError): boolean =>
  operation !== "abandon" && !(operation === "scan" && reason._tag === "Malformed")

type AnyFiber = Fiber.Fiber<unknown, unknown>

const nowOf = (fiber: AnyFiber): number => elapsed(fiber.getRef(Clock.Clock))

const refusal = (operation: string, { last: cause }: Group): StoreError =>
  new StoreError({ operation, reason: { _tag: "CircuitOpen" }, mayHaveHappened: false, cause })

const limitsOf = (where: string, { failures, openAfter, openFor }: GuardOptions): Limits => ({
  failures: Check.integer(where, "failures", failures ?? usualLimits.failures),
  openAfter: finiteMillis(where, "openAfter", openAfter ?? usualLimits.openAfter),
  openFor: finiteMillis(where, "openFor", openFor ?? usualLimits.openFor)
})

/**
 * Bounds every operation of a store in time, and leaves the store alone for a
 * while after it failed several times in a row. A store that dies has failed:
 * `Malformed`.
 *
 * Reads, writes, and what walks or is asked by people (`scan`, `inspect`, sweeps)
 * are judged apart: a server that takes no writes may still be read.
 *
 * Nobody waits for a store that did not answer in time before: where it is time to
 * try again, that happens beside the operation that found it so, by one that
 * changes nothing. Where it failed at once, the next operation itself tries.
 *
 * Of the steps of loads 512 are asked at once, and of reads some more. The others
 * wait for their turn in this process, where no time limit runs: that a program
 * asks for thousands at once is not the store's failure.
 *
 * Invalidations, fences, their lifting, and giving up a lease are always tried: they
 * fail truthfully or not at all. A lease that could not be given up does not count
 * as a failure: that follows one that was counted.
 *
 * A store that is lost is told of in the log, once a minute at most: a warning with
 * the cause, and a line when it is back, with how long that took and how many loads
 * it cost. `CacheService.health` says it, too.
 *
 * Throws `InvalidInput` for a limit that is not positive and finite, and for a
 * number of failures that is no positive integer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const guard = (store: CacheStore, options: GuardOptions = {}): CacheStore => {
  const where = "CacheStore.guard"
  const timeLimit = finiteMillis(where, "timeLimit", options.timeLimit ?? "1 second")
  const brief = new Deadline(finiteMillis(where, "readLimit", options.readLimit ?? timeLimit / 4))
  const short = new Deadline(timeLimit)
  const long = new Deadline(finiteMillis(where, "sweepLimit", options.sweepLimit ?? "1 minute"))
  const limits = limitsOf(where, options)

  const condition = new Condition(
    store.name,
    Effect.withFiber((fiber) =>
      Effect.forEach(condition.lost.keys(), (part) => attempt(part, nowOf(fiber)) ?? Effect.void, {
        concurrency: "unbounded",
        discard: true
      })
    )
  )
  const groups = {
    reads: new Group(limits, condition, "reads"),
    writes: new Group(limits, condition, "writes"),
    walks: new Group(limits, condition, undefined)
  }
  const turns = {
    reads: new Turns(mostUnderWay),
    writes: new Turns(mostUnderWay),
    walks: new Turns(mostUnderWay)
  }

  const bounded = <A>(
    operation: string,
    effect: Effect.Effect<A, StoreError>,
    deadline: Deadline,
    group: Group,
    ticket: Ticket,
    fiber: AnyFiber
  ): Effect.Effect<A, StoreError> =>
    deadline.run(effect, fiber, (exit) => {
      const answer = exit === undefined
        ? Exit.fail(new StoreError({ operation, reason: { _tag: "Timeout" }, mayHaveHappened: true }))
        : sound(operation, exit)
      learn(group, operation, answer, ticket, fiber)
      return answer
    })

  const learn = (
    group: Group,
    operation: string,
    exit: Exit.Exit<unknown, StoreError>,
    ticket: Ticket,
    fiber: AnyFiber
  ): void => {
    if (Exit.isSuccess(exit)) {
      group.succeeded(fiber)
      return tryOthers(group, fiber)
    }
    if (Cause.hasInterruptsOnly(exit.cause)) return group.interrupted(ticket)
    const error = StoreError.fromCause(operation, exit.cause)
    if (isFailureOfStore(operation, error) || ticket !== undefined) group.failed(error, ticket, fiber)
  }

  /** Asks what is lost whether it is back, if it is time. */
  const attempt = (part: Part, now: number): Effect.Effect<void> | undefined => {
    const group = groups[part]
    const ticket = group.circuit.tryNow(now)
    if (ticket === undefined) return undefined
    const operation = part === "reads" ? "read" : "abandon"
    const deadline = part === "reads" ? brief : short
    const asking = ask<unknown>(operation, () => harmless<Effect.Effect<unknown, StoreError>>(store, part))
    // Who has found that it is time has ended by then.
    return Effect.ignore(Effect.withFiber((fiber) => bounded(operation, asking, deadline, group, ticket, fiber)))
  }

  const beside = (part: Part, fiber: AnyFiber): void => {
    const trying = attempt(part, nowOf(fiber))
    if (trying !== undefined) Effect.runForkWith(fiber.context)(trying)
  }

  // What nobody asks for would be taken for lost until somebody does.
  const tryOthers = (group: Group, fiber: AnyFiber): void => {
    if (condition.lost.size === 0) return
    for (const part of condition.lost.keys()) if (groups[part] !== group) beside(part, fiber)
  }

  const always = <A>(
    operation: string,
    perform: () => Effect.Effect<A, StoreError>,
    deadline = short,
    group = groups.writes
  ): Effect.Effect<A, StoreError> =>
    Effect.withFiber((fiber) => bounded(operation, ask(operation, perform), deadline, group, undefined, fiber))

  const guarded = <A>(
    operation: string,
    name: keyof typeof groups,
    perform: () => Effect.Effect<A, StoreError>
  ): Effect.Effect<A, StoreError> => {
    const effect = ask(operation, perform)
    const group = groups[name]
    if (isAnswer(effect) && group.circuit.isQuiet) return effect
    const deadline = name === "reads" ? brief : short
    return turns[name].inTurn(Effect.withFiber((fiber): Effect.Effect<A, StoreError> => {
      if (!group.isOpen(fiber)) return bounded(operation, effect, deadline, group, undefined, fiber)
      if (group.circuit.isSlow && name !== "walks") {
        beside(name, fiber)
        return Effect.fail(refusal(operation, group))
      }
      const ticket = group.circuit.tryNow(nowOf(fiber))
      return ticket === undefined
        ? Effect.fail(refusal(operation, group))
        : bounded(operation, effect, deadline, group, ticket, fiber)
    }))
  }

  let underWay = 0

  // Without a fiber and a deadline of its own, which cost more than the rest of a hit.
  const inTime = <A>(operation: string, effect: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> => {
    const { reads } = groups
    if (isAnswer(effect) && reads.circuit.isQuiet) return effect
    if (!reads.circuit.isQuiet || underWay >= mostReads) return guarded(operation, "reads", () => effect)
    let mine = 0
    const counted = Effect.suspend(() => {
      mine++
      underWay++
      return effect
    })
    return Effect.onExit(counted, (exit) => {
      // One that was interrupted before it began was not counted.
      if (mine > 0) {
        mine--
        underWay--
      }
      return Exit.isSuccess(exit) && reads.circuit.isQuiet && condition.lost.size === 0
        ? Effect.void
        : Effect.withFiber((fiber) => {
          learn(reads, operation, exit, undefined, fiber)
          return Effect.void
        })
    })
  }

  const walks = (batch: Invalidation.Invalidation) =>
    batch.patterns.size > 0 || batch.everything !== undefined || targetsIn(batch) > longList

  const sweeping = <A>(
    operation: string,
    batch: Invalidation.Invalidation,
    perform: () => Effect.Effect<A, StoreError>
  ) => walks(batch) ? always(operation, perform, long, groups.walks) : always(operation, perform)

  const guardedStore = wrap(store, (store) => ({
    read: store.readsInTime === true
      ? (address) => inTime("read", store.read(address))
      : (address) => guarded("read", "reads", () => store.read(address)),
    begin: (address, request) => guarded("begin", "writes", () => store.begin(address, request)),
    commit: (address, lease, draft) => guarded("commit", "writes", () => store.commit(address, lease, draft)),
    discard: (address, lease, dependencies) =>
      guarded("discard", "writes", () => store.discard(address, lease, dependencies)),
    // A `begin` whose answer did not come in time may have taken it, and others would wait for its end.
    abandon: (address, token) => always("abandon", () => store.abandon(address, token)),
    // It is meant to take as long as the load that is waited for.
    released: store.released,
    inspect: (address) => guarded("inspect", "walks", () => store.inspect(address)),
    scan: (scan) => {
      // What the caller gets wrong is no failure of the store.
      Check.integer("CacheStore.scan", "the limit of a scan", scan.limit)
      return guarded("scan", "walks", () => store.scan(scan))
    },
    invalidate: (batch) => sweeping("invalidate", batch, () => store.invalidate(batch)),
    fence: (fence) => sweeping("fence", fence.over, () => store.fence(fence)),
    lift: (fence) => always("lift", () => store.lift(fence))
  }))
  return withConditions(guardedStore, [condition])
}

// -----------------------------------------------------------------------------
// several stores
// -----------------------------------------------------------------------------

/**
 * Several stores as one: `routes` says by a definition's name where its entries
 * live, `default` where all others do. Whatever is invalidated, fenced or scanned
 * goes to each store that it concerns, and is one invalidation of several steps.
 *
 * A layer that stands for several names is built once. Throws `InvalidInput` for
 * an empty name.
 *
 * **Example** (Sessions in memory, everything else in the default store)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Cached, CacheService, CacheStore, Invalidation, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * let version = 1
 * const numbers = { key: Key.string("id"), value: Schema.Finite, lookup: () => Effect.sync(() => version) }
 * const session = Cached.make("session", numbers, Policy.tagged("user"))
 * const page = Cached.make("page", numbers, Policy.tagged("user"))
 *
 * const store = CacheStore.route({
 *   default: MemoryCache.layerStore({ capacity: 10_000 }), // in your program: RedisCache.layerStore
 *   routes: { session: MemoryCache.layerStore({ capacity: 100 }) }
 * })
 *
 * const both = Effect.all([Cached.get(session, "a"), Cached.get(page, "a")])
 * const program = Effect.gen(function*() {
 *   const before = yield* both
 *   version = 2
 *   yield* Cached.apply(Invalidation.tags("user"))
 *   return [before, yield* both]
 * }).pipe(Effect.provide(Layer.provide(CacheService.layer(), store)))
 *
 * await Effect.runPromise(program) // => [[1, 1], [2, 2]]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const route = <E = never, R = never, E2 = never, R2 = never>(options: {
  readonly default: Layer.Layer<CacheStore, E, R>
  readonly routes: { readonly [name: string]: Layer.Layer<CacheStore, E2, R2> }
}): Layer.Layer<CacheStore, E | E2, R | R2> => {
  // Names are refused here, not when the layer is built.
  const layers = Object.entries(options.routes).map(([name, layer]) => [encodeName(name), layer] as const)
  return Layer.effect(
    CacheStore,
    Effect.gen(function*() {
      const built = new Map<unknown, CacheStore>()
      const build = Effect.fnUntraced(function*(layer: Layer.Layer<CacheStore, E | E2, R | R2>) {
        const known = built.get(layer)
        if (known !== undefined) return known
        const store = Context.get(yield* Layer.build(Layer.fresh(layer)), CacheStore)
        built.set(layer, store)
        return store
      })
      const fallback = yield* build(options.default)
      const routes = new Map<string, CacheStore>()
      for (const [name, layer] of layers) routes.set(name, yield* build(layer))
      return routed(fallback, routes)
    })
  )
}

const nameIn = (key: string): string => key.slice(0, `${key}:`.indexOf(":"))

const keep = <K, V>(all: ReadonlyMap<K, V>, keeps: (key: K, value: V) => boolean): ReadonlyMap<K, V> =>
  new Map([...all].filter(([key, value]) => keeps(key, value)))

/** What of a batch concerns the definitions of some names: a dependency may concern any. */
const partOf = (
  batch: Invalidation.Invalidation,
  isOurs: (name: string) => boolean
): Invalidation.Invalidation =>
  Invalidation.withTargets(batch, {
    keys: keep(batch.keys, (key) => isOurs(nameIn(key))),
    patterns: keep(batch.patterns, (_, { pattern }) => isOurs(pattern.name))
  })

/** `routes` are by names as they stand in stored keys. */
const routed = (fallback: CacheStore, routes: ReadonlyMap<string, CacheStore>): CacheStore => {
  const stores = [...new Set([fallback, ...routes.values()])]
  const storeOf = (name: string): CacheStore => routes.get(name) ?? fallback
  const storeAt = (key: string): CacheStore => storeOf(nameIn(key))
  const partsOf = (batch: Invalidation.Invalidation) =>
    stores.flatMap((store) => {
      const part = partOf(batch, (name) => storeOf(name) === store)
      return Invalidation.isEmpty(part) ? [] : [{ store, part }]
    })
  // In order. What fails after the first has happened in part.
  const inEach = <A>(
    batch: Invalidation.Invalidation,
    act: (store: CacheStore, part: Invalidation.Invalidation) => Effect.Effect<A, StoreError>
  ): Effect.Effect<ReadonlyArray<A>, StoreError> =>
    Effect.suspend(() =>
      Effect.forEach(
        partsOf(batch),
        ({ part, store }, i) =>
          i === 0 ? act(store, part) : Effect.mapError(act(store, part), (error) => error.ofPart())
      )
    )
  return withConditions<CacheStore>({
    name: stores.map(({ name }) => name).join(" and "),
    payload: fallback.payload,
    ...(fallback.trusted === undefined ? {} : { trusted: fallback.trusted }),
    ...(fallback.now === undefined ? {} : { now: fallback.now }),
    routes: (name) => storeOf(encodeName(name)),
    read: (address) => storeAt(address.key).read(address),
    begin: (address, request) => storeAt(address.key).begin(address, request),
    commit: (address, lease, draft) => storeAt(address.key).commit(address, lease, draft),
    discard: (address, lease, dependencies) => storeAt(address.key).discard(address, lease, dependencies),
    abandon: (address, token) => storeAt(address.key).abandon(address, token),
    released: (address, token) => storeAt(address.key).released(address, token),
    inspect: (address) => storeAt(address.key).inspect(address),
    atomic: (batch) => {
      const [first, ...others] = partsOf(batch)
      return first === undefined || (others.length === 0 && first.store.atomic(first.part))
    },
    invalidate: (batch) => Effect.map(inEach(batch, (store, part) => store.invalidate(part)), sumOf),
    fence: (fence) => Effect.map(inEach(fence.over, (store, part) => store.fence({ ...fence, over: part })), sumOf),
    lift: (fence) =>
      Effect.map(
        inEach(fence.over, (store, part) => store.lift({ ...fence, over: part })),
        (all) => all.every((stood) => stood)
      ),
    scan: (scan) => scanEach(stores, scan),
    announcements: Stream.mergeAll(
      stores.map((store, i) =>
        Stream.map(
          store.announcements,
          (one): Announcement => one._tag === "Gap" ? one : { ...one, position: `${i} ${one.position}` }
        )
      ),
      { concurrency: "unbounded" }
    )
  }, stores.flatMap(conditionsOf))
}

/** Store by store: a cursor says which, and where in it. */
const scanEach = (
  stores: ReadonlyArray<CacheStore>,
  { cursor = "0 ", ...asked }: Scan
): Effect.Effect<Page, StoreError> => {
  const space = cursor.indexOf(" ")
  const at = space < 0 ? Number.NaN : Number(cursor.slice(0, space))
  const store = stores[at]
  if (store === undefined) {
    return Effect.fail(new StoreError({ operation: "scan", reason: { _tag: "Malformed" }, mayHaveHappened: false }))
  }
  const inside = cursor.slice(space + 1)
  return Effect.map(store.scan(inside === "" ? asked : { ...asked, cursor: inside }), ({ cursor: next, keys }) => {
    if (next !== undefined) return { keys, cursor: `${at} ${next}` }
    return { keys, cursor: at + 1 < stores.length ? `${at + 1} ` : undefined }
  })
}
