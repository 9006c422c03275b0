/**
 * Cached reads: a key, a schema, a lookup and a policy, and what can be done
 * with them.
 *
 * A definition is a value and does nothing by itself. Its operations run
 * against whichever `CacheService` is provided: in memory, on a store of your
 * own, or the instrumented one for tests; the same program runs on each.
 *
 * **Details**
 *
 * - An invalidation that has returned stays true, in every process on the same
 *   store, whatever is in flight. `docs/consistency.md` lists the guarantees.
 * - Per process and key, one load at a time: a hundred callers of a cold key
 *   make one call, also when it fails.
 * - A caller that is interrupted disturbs nobody; when the last one that waits
 *   is, the load is interrupted.
 * - Reads fail open: a store that is down costs loads, never an error.
 * - A lookup may read other cached values. Inside of it they are never stale: such
 *   a read waits for the refresh. If it is given something stale all the same,
 *   since the refresh failed or took too long, what the lookup makes is stale, too.
 *   One invalidation that covers all of them holds for all of them.
 *
 * **Gotchas**
 *
 * - Invalidate **after** the write is committed, or use `mutate`.
 * - The name is part of every stored key: two definitions must not share one.
 * - A value that is made of another does not know what that depends on: give it the
 *   same tags.
 * - A load runs in the context of the caller that started it, and others may
 *   wait for it, or be served what it stored. In a transaction that would be what
 *   only the transaction sees: say where it is, with `Changes.withTransaction`,
 *   and reads inside go past the cache.
 *
 * **Example** (Define, read, invalidate)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * let price = 10
 * const priceOf = Cached.make("price", {
 *   key: Key.string("product"),
 *   value: Schema.Finite,
 *   lookup: () => Effect.sync(() => price)
 * }, Policy.all(Policy.ttl("5 minutes"), Policy.tagged("prices")))
 *
 * const program = Effect.gen(function*() {
 *   const before = yield* Cached.get(priceOf, "tea")
 *   price = 12
 *   const still = yield* Cached.get(priceOf, "tea")
 *   yield* Cached.invalidate(priceOf, "tea")
 *   return [before, still, yield* Cached.get(priceOf, "tea")]
 * }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 })))
 *
 * await Effect.runPromise(program) // => [10, 10, 12]
 * ```
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
import { dual } from "effect/Function"
import type * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import * as Catalogues from "./internal/catalogue.ts"
import * as Counters from "./internal/counters.ts"
import { elapsed } from "./internal/deadline.ts"
import * as Internal from "./internal/definition.ts"
import { positiveMillis } from "./internal/duration.ts"
import * as Explain from "./internal/explain.ts"
import { encodeName } from "./internal/keys.ts"
import * as Loads from "./internal/load.ts"
import * as Loading from "./internal/loading.ts"
import * as Plan from "./internal/plan.ts"
import { toVersion, type Version } from "./internal/stamp.ts"
import { isServable } from "./internal/verdicts.ts"
import * as Invalidation from "./Invalidation.ts"
import * as InvalidInput from "./InvalidInput.ts"
import * as Key from "./Key.ts"
import type * as Policy from "./Policy.ts"
import * as Verdict from "./Verdict.ts"

/**
 * Runtime type identifier of definitions.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-cache-algebra/Cached"

/**
 * Type-level identifier of definitions.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-cache-algebra/Cached"

/**
 * A cached read of values of type `V` by keys of type `K`.
 *
 * `E` and `R` are the errors and requirements of the lookup and of the policy's
 * version effects. A store that fails adds no error of its own (but see
 * `Options.storeFailure`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Cached<in K, in out V, out E = never, out R = never> extends Pipeable.Pipeable {
  readonly [TypeId]: {
    readonly _K: (_: K) => void
    readonly _V: (_: V) => V
    readonly _E: () => E
    readonly _R: () => R
  }
  readonly name: string
  readonly key: Key.Key<K>
  readonly policy: Policy.Policy<K, V, E, R>
  toString(): string
}

/**
 * Any definition.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends Pick<Cached<never, unknown, unknown, unknown>, "name" | "toString"> {
  readonly [TypeId]: object
}

/**
 * A load took longer than `hardTimeout` and was interrupted.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadTimeout extends Schema.TaggedError<LoadTimeout>()("LoadTimeout", {
  name: Schema.String,
  key: Schema.String,
  millis: Schema.Finite
}) {
  override get message(): string {
    return `loading ${this.key} took longer than ${this.millis} ms`
  }
}

/**
 * Who waits while an entry that may still be served is refreshed.
 *
 * - `background`: nobody; everyone is served the old value.
 * - `caller`: the one who refreshes; the others are served the old value.
 * - `everyone`: all share the refresh and wait for it.
 *
 * @category models
 * @since 0.1.0
 */
export type Refresh = "background" | "caller" | "everyone"

/**
 * Options of a definition.
 *
 * - `key`, `value`: how keys are written, and the schema of values. Stores that
 *   keep text write values with the schema's JSON codec.
 * - `lookup`: loads one value from the origin.
 * - `lookupMany`: loads several at once for `getMany`: one result for each key,
 *   in the order of the keys.
 * - `failures`: typed failures that are worth caching ("not found"), and the
 *   policy for them. Such a failure is an answer: it replaces an older value.
 * - `refresh`: who waits for a refresh; `background` unless given. Inside of another
 *   lookup everyone does.
 * - `softTimeout`: after this long, a caller who waits is served the old value
 *   if there is one that may be served in such a case, and the load goes on.
 * - `hardTimeout`: after this long, a load is interrupted and fails with
 *   `LoadTimeout`.
 * - `lease`: how long one process may keep the others from loading a key (1
 *   minute). Correctness does not depend on it.
 * - `waitLimit`: how long a caller waits for a load of another process before
 *   it loads for itself, without storing (10 seconds).
 * - `storeFailure`: what a read does when the store fails: `load` from the
 *   origin (the default), or `fail` with `StoreError`, to protect the origin.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  K,
  V,
  E,
  R,
  F = never,
  H extends Duration.Input = never,
  S extends "load" | "fail" = "load",
  EM = never,
  RM = never,
  EF = never,
  RF = never
> {
  readonly key: Key.Key<K>
  readonly value: Schema.Codec<V, unknown>
  readonly lookup: (key: NoInfer<K>) => Effect.Effect<NoInfer<V>, E, R>
  readonly lookupMany?: (
    keys: ReadonlyArray<NoInfer<K>>
  ) => Effect.Effect<ReadonlyArray<Result.Result<NoInfer<V>, NoInfer<E>>>, EM, RM>
  readonly failures?: {
    readonly error: Schema.Codec<F, unknown>
    readonly policy: Policy.Policy<NoInfer<K>, NoInfer<F>, EF, RF>
  }
  readonly refresh?: Refresh
  readonly softTimeout?: Duration.Input
  readonly hardTimeout?: H
  readonly lease?: Duration.Input
  readonly waitLimit?: Duration.Input
  readonly storeFailure?: S
}

// -----------------------------------------------------------------------------
// definitions
// -----------------------------------------------------------------------------

type AnyEffect<A = unknown> = Effect.Effect<A, unknown, never>

class Definition extends Pipeable.Class implements Internal.Definition {
  readonly [TypeId] = {} as never
  readonly name: string
  readonly key: Key.Key<never>
  readonly written: Internal.WrittenKeys
  readonly policy: Policy.Any
  readonly value: Internal.Kind
  readonly failures: Internal.Kind | undefined
  readonly knownToAll: Internal.Definition["knownToAll"]
  readonly hasVersions: boolean
  readonly lookupOne: (key: unknown) => AnyEffect
  readonly lookupMany:
    | ((keys: ReadonlyArray<unknown>) => AnyEffect<ReadonlyArray<Result.Result<unknown, unknown>>>)
    | undefined
  readonly refresh: Refresh
  /** All limits are milliseconds. */
  readonly softTimeout: number | undefined
  readonly leaseFor: number
  readonly waitLimit: number
  readonly failsWithStore: boolean

  constructor(name: string, options: AnyOptions, policy: Policy.Any) {
    super()
    const where = `Cached.make("${name}")`
    this.name = name
    this.key = options.key
    this.written = new Internal.WrittenKeys(name, options.key)
    this.policy = policy
    this.value = Internal.makeKind(policy, options.value)
    this.failures = options.failures && Internal.makeKind(options.failures.policy, options.failures.error)
    this.knownToAll = Internal.knownToAll(this.value, this.failures)
    this.hasVersions = this.value.plan.computed.length > 0 || (this.failures?.plan.computed.length ?? 0) > 0
    this.refresh = options.refresh ?? "background"
    const limit = (name: string, input: Duration.Input) => positiveMillis(where, name, input)
    this.softTimeout = options.softTimeout === undefined ? undefined : limit("softTimeout", options.softTimeout)
    const hard = options.hardTimeout === undefined ? undefined : limit("hardTimeout", options.hardTimeout)
    this.leaseFor = limit("lease", options.lease ?? "1 minute")
    this.waitLimit = limit("waitLimit", options.waitLimit ?? "10 seconds")
    this.failsWithStore = options.storeFailure === "fail"
    const { lookup, lookupMany } = options
    const bounded = <A>(effect: AnyEffect<A>, key: () => string): AnyEffect<A> =>
      hard === undefined ? effect : Effect.timeoutOrElse(effect, {
        duration: hard,
        orElse: () => Effect.fail(new LoadTimeout({ name, key: key(), millis: hard }))
      })
    this.lookupOne = (key) =>
      bounded(Effect.suspend(() => lookup(key as never)), () => Key.format(this.written.get(key)))
    this.lookupMany = lookupMany &&
      ((keys) => bounded(Effect.suspend(() => lookupMany(keys as never)), () => `${keys.length} keys of "${name}"`))
  }

  override toString(): string {
    return `${this.name}(${this.key.fields.join(", ")}): ${this.policy}`
  }

  toJSON(): unknown {
    return { _id: "Cached", name: this.name, key: this.key.fields, policy: this.policy.toString() }
  }
}

interface AnyOptions extends
  Pick<
    Options<never, unknown, unknown, never>,
    "refresh" | "softTimeout" | "lease" | "waitLimit"
  >
{
  readonly key: Key.Key<never>
  readonly value: Schema.Top
  readonly lookup: (key: never) => AnyEffect
  readonly lookupMany?: (keys: never) => AnyEffect<ReadonlyArray<Result.Result<unknown, unknown>>>
  readonly failures?: { readonly error: Schema.Top; readonly policy: Policy.Any }
  readonly hardTimeout?: Duration.Input
  readonly storeFailure?: "load" | "fail"
}

/**
 * Defines a cached read.
 *
 * The policy is an argument of its own, so that the key and value of its
 * functions infer from the options. Throws `InvalidInput` for an empty name and
 * for durations that are not positive.
 *
 * **Example** (A typed failure that is cached too)
 *
 * ```ts
 * import { Effect, Exit, Schema } from "effect"
 * import { Cached, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Int }) {}
 * let asked = 0
 * const user = Cached.make("user", {
 *   key: Key.int("id"),
 *   value: Schema.String,
 *   lookup: (id) => Effect.suspend(() => {
 *     asked++
 *     return id === 1 ? Effect.succeed("Ada") : Effect.fail(new NotFound({ id }))
 *   }),
 *   failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
 * }, Policy.ttl("5 minutes"))
 *
 * const twice = Effect.all([Effect.exit(Cached.get(user, 2)), Effect.exit(Cached.get(user, 2))]).pipe(
 *   Effect.provide(MemoryCache.layer({ capacity: 10 }))
 * )
 * const [first, second] = await Effect.runPromise(twice)
 * const summary = [Exit.isFailure(first), Exit.isFailure(second), asked]
 * summary // => [true, true, 1]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  K,
  V,
  E = never,
  R = never,
  PE = never,
  PR = never,
  F = never,
  H extends Duration.Input = never,
  S extends "load" | "fail" = "load",
  EM = never,
  RM = never,
  EF = never,
  RF = never
>(
  name: string,
  options: Options<K, V, E, R, F, H, S, EM, RM, EF, RF>,
  policy: Policy.Policy<NoInfer<K>, NoInfer<V>, PE, PR>
): Cached<
  K,
  V,
  | E
  | F
  | PE
  | EM
  | EF
  | ([H] extends [never] ? never : LoadTimeout)
  | (S extends "fail" ? CacheStore.StoreError : never),
  R | PR | RM | RF
> => new Definition(name, options as unknown as AnyOptions, policy as Policy.Any) as never

/**
 * Tells whether a value is a definition.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCached = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

const inside = (self: Any): Definition => self as Definition

const addressOf = (self: Any, key: unknown): Internal.KeyAddress => new Internal.KeyAddress(inside(self), key)

/**
 * The key under which a value is stored: the name and the parts of the key,
 * escaped, with `:` in between. Throws `InvalidInput` for a key that has no
 * encoding.
 *
 * @category invalidations
 * @since 0.1.0
 */
export const keyOf = <K, V, E, R>(self: Cached<K, V, E, R>, key: K): string => addressOf(self, key).key

/**
 * The invalidation of some keys of a definition, as a value.
 *
 * @category invalidations
 * @since 0.1.0
 */
export const keys = <K, V, E, R>(self: Cached<K, V, E, R>, ...all: ReadonlyArray<K>): Invalidation.Invalidation =>
  Invalidation.keys(...all.map((key) => keyOf(self, key)))

/**
 * The invalidation of all keys of a definition that have the given fields, as a
 * value. Without any: all keys of the definition.
 *
 * Every key is looked at, so a tag is cheaper where one can be foreseen.
 *
 * **Example** (All pages of one genre)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, Policy } from "effect-cache-algebra"
 *
 * const films = Cached.make("films", {
 *   key: Key.struct({ genre: Key.string("genre"), page: Key.int("page") }),
 *   value: Schema.Array(Schema.String),
 *   lookup: () => Effect.succeed([])
 * }, Policy.forever)
 *
 * Cached.pattern(films, { genre: "drama" }).toString() // => "keys films:drama:*"
 * ```
 *
 * @category invalidations
 * @since 0.1.0
 */
export const pattern = <K, V, E, R>(
  self: Cached<K, V, E, R>,
  fixed: Key.Fixed<K> = {} as Key.Fixed<K>
): Invalidation.Invalidation => {
  const definition = inside(self)
  return Invalidation.pattern({
    name: encodeName(definition.name),
    parts: definition.key.pattern(fixed as Record<string, unknown>)
  })
}

type KeyOf<D> = D extends Cached<infer K, infer _V, infer _E, infer _R> ? K : never

type Fixable<K> = Extract<keyof Key.Fixed<K>, string>

// What each key of a union takes in a field, all at once: functions are asked, since parameters intersect.
type Taken<K, N> = (K extends unknown ? (_: N extends keyof K ? K[N] : never) => void : never) extends
  (_: infer A) => void ? A : never

/**
 * What may be fixed in a pattern over several definitions: the fields that the
 * keys of all of them have, with values that each of them takes.
 *
 * @category utility types
 * @since 0.1.0
 */
export type FixedInAll<D extends ReadonlyArray<unknown>> = {
  readonly [N in Fixable<KeyOf<D[number]>>]?: Taken<KeyOf<D[number]>, N>
}

/**
 * The invalidation of all keys of several definitions that have the given
 * fields, as one value: "everything of user 5". The fields are named, so they
 * may stand at different places in the keys.
 *
 * Every key of each is looked at, so a tag is cheaper where one can be
 * foreseen. Throws `InvalidInput` for a field that some key lacks.
 *
 * **Example** (Everything of one user)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, Policy } from "effect-cache-algebra"
 *
 * const texts = { value: Schema.Array(Schema.String), lookup: () => Effect.succeed([]) }
 * const user = Key.int("userId")
 * const settings = Cached.make("settings", { key: Key.struct({ userId: user }), ...texts }, Policy.forever)
 * const orders = Cached.make(
 *   "orders",
 *   { key: Key.struct({ page: Key.int("page"), userId: user }), ...texts },
 *   Policy.forever
 * )
 *
 * Cached.patterns([settings, orders], { userId: 5 }).toString() // => "keys orders:*:5, keys settings:5"
 * ```
 *
 * @category invalidations
 * @since 0.1.0
 */
export const patterns = <const D extends ReadonlyArray<Any>>(
  definitions: D,
  fixed: NoInfer<FixedInAll<D>>
): Invalidation.Invalidation =>
  Invalidation.combineAll(definitions.map((self) => {
    const one = self as unknown as Cached<never, unknown>
    const { key, name } = inside(one)
    for (const [field, value] of Object.entries(fixed)) {
      // A name that fixes nothing would leave the pattern as wide as the definition.
      if (key.pattern({ [field]: value }).every((part) => part === undefined)) {
        throw InvalidInput.make("Cached.patterns", "UnknownField", `the key of "${name}" has no field "${field}"`)
      }
    }
    return pattern(one, fixed as never)
  }))

// -----------------------------------------------------------------------------
// the interpreter
// -----------------------------------------------------------------------------

const noVersions: Loads.Versions = { value: {}, failure: {} }

const readVersions = (
  definition: Definition,
  kind: Internal.Kind | undefined,
  key: unknown
): AnyEffect<Record<string, Version>> => {
  if (kind === undefined || kind.plan.computed.length === 0) return Effect.succeed({})
  return Effect.map(
    Effect.forEach(kind.plan.computed, ({ current, name, slot }) =>
      Effect.suspend(() => {
        const answer = current(key as never)
        const asVersion = (version: unknown) =>
          [slot, toVersion(`the policy of "${definition.name}"`, name, version)] as const
        return Effect.isEffect(answer)
          ? Effect.map(answer as AnyEffect, asVersion)
          : Effect.sync(() => asVersion(answer))
      })),
    (all) => Object.fromEntries(all)
  )
}

/** Versions are read before the entry and before a load, so what is stamped is never newer than what was loaded. */
const currentVersions = (definition: Definition, key: unknown): AnyEffect<Loads.Versions> =>
  definition.hasVersions
    ? Effect.zipWith(
      readVersions(definition, definition.value, key),
      readVersions(definition, definition.failures, key),
      (value, failure) => ({ value, failure })
    )
    : Effect.succeed(noVersions)

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** An entry that was looked at. */
interface Sight {
  readonly entry: CacheStore.Entry
  readonly view: Internal.View
  readonly verdict: Verdict.Verdict
  /** The verdict at another time, with the same draw. */
  readonly again: (now: number) => Verdict.Verdict
  /** Until when it may be served, as it was found. */
  readonly usableUntil: () => number
}

/** One read of one key: what it knows, and the few steps it is made of. */
class Read {
  readonly definition: Definition
  readonly service: CacheService.CacheService
  readonly address: Internal.KeyAddress
  readonly fiber: AnyFiber
  readonly counters: Counters.Counters
  /** The load that reads. */
  readonly loading: Loading.Loading | undefined
  /** Not before the read did. */
  readonly began = Loads.moment()
  private waits = false
  private counted = false

  constructor(
    definition: Definition,
    service: CacheService.CacheService,
    address: Internal.KeyAddress,
    fiber: AnyFiber
  ) {
    this.definition = definition
    this.service = service
    this.address = address
    this.fiber = fiber
    this.counters = service.counters(definition.name, fiber)
    const loading = fiber.getRef(Loading.Current)
    this.loading = loading?.ended === false ? loading : undefined
  }

  /** Who waits for a refresh of what was found: a load always does, since what it makes must be no older than it. */
  refreshOf({ verdict }: Sight): Refresh {
    return this.loading === undefined || verdict === "Refresh" ? this.definition.refresh : "everyone"
  }

  private get place(): Loading.Place {
    return Loads.placeOf(this.service, this.address)
  }

  /** What a lookup that nobody can join knows of itself, where nobody can tell for which key it reads. */
  unjoined(): Loading.Loading {
    return new Loading.Loading(this.loading?.waiting, undefined, this.loading?.alone)
  }

  /** The same, of one that this read runs for its own key. */
  alone(): Loading.Loading {
    const { alone, waiting } = this.unjoined()
    return new Loading.Loading(waiting, this.place, [...alone, this.place])
  }

  /** This read serves a stale entry, which may be served until then. A load may look at what it is to replace. */
  private tell(until: number): void {
    const { fills } = this.loading ?? {}
    if (fills !== undefined && Loading.isSame(fills, this.place)) return
    this.loading?.given(this.elapsed() + until - this.now())
  }

  now(): number {
    return this.service.now(this.fiber)
  }

  /** For what takes time, whatever the store's clock does meanwhile: it may be known only since the first answer. */
  elapsed(): number {
    return elapsed(this.fiber.getRef(Clock.Clock))
  }

  private label(): { readonly name: string; readonly key: string } {
    return { name: this.definition.name, key: this.address.key }
  }

  /** Judges an entry; undefined if it cannot be made sense of. */
  look(entry: CacheStore.Entry, versions: Loads.Versions): Sight | undefined {
    const view = Internal.open(this.address, entry, this.service.store, this.counters)
    if (view === undefined) {
      this.counters.unreadable++
      this.service.publish({ _tag: "Unreadable", ...this.label() })
      return undefined
    }
    // One draw for the whole read, made when it is first asked for. It is never 0.
    let drawn: number | undefined
    const draw = () => drawn ??= 1 - this.fiber.getRef(Random.Random).nextDoubleUnsafe()
    const current = entry.stamp.failure ? versions.failure : versions.value
    const again = (now: number) => {
      const verdict = Plan.judge(view.armed, now, draw, entry.changed, current)
      return entry.softened ? Verdict.meet(verdict, "Stale") : verdict
    }
    const now = this.now()
    const usableUntil = () => Plan.usableUntil(view.armed, now, entry.changed, current)
    return { entry, view, again, verdict: again(now), usableUntil }
  }

  hit(sight: Sight): AnyEffect {
    this.counters.hits++
    this.service.publish({ _tag: "Hit", ...this.label() })
    return sight.view.exit as AnyEffect
  }

  serveStale(sight: Sight, verdict: Verdict.Verdict): AnyEffect {
    if (verdict !== "Refresh") this.tell(sight.usableUntil())
    this.counters.staleServed++
    this.service.publish({ _tag: "StaleServed", ...this.label(), verdict })
    return sight.view.exit as AnyEffect
  }

  /** The read has to wait for a load. */
  miss(found: Verdict.Verdict | "Nothing"): void {
    if (this.waits) return
    this.waits = true
    this.service.publish({ _tag: "Miss", ...this.label(), found })
  }

  /** Every read counts once: one that waited is a miss, unless it was served an old value after all. */
  private missed(): void {
    if (!this.waits || this.counted) return
    this.counted = true
    this.counters.misses++
  }

  coalesced(): void {
    this.counters.coalesced++
    this.service.publish({ _tag: "Coalesced", ...this.label() })
  }

  refreshing(): void {
    this.counters.refreshes++
    this.service.publish({ _tag: "Refresh", ...this.label() })
  }

  /** The old value in place of a load that failed or takes too long, if it may still be served now. */
  fallback(sight: Sight | undefined): AnyEffect | undefined {
    if (sight === undefined) return undefined
    const verdict = sight.again(this.now())
    return verdict === "Dead" ? undefined : this.serveStale(sight, verdict)
  }

  /** The result of a load: itself, or the old value where it is no answer. */
  conclude({ exit, partsUntil }: Loading.Made<unknown, unknown>, old: Sight | undefined): AnyEffect {
    if (partsUntil !== undefined) this.loading?.given(partsUntil)
    const instead = Exit.isSuccess(exit) || isAnswer(this.definition, exit) ? undefined : this.fallback(old)
    if (instead !== undefined) return instead
    this.missed()
    return exit as AnyEffect
  }

  /** Loads for this caller alone and stores nothing. */
  loadAlone(old: Sight | undefined): AnyEffect {
    return Effect.suspend(() => {
      // A lookup that needs the key that it loads does not end.
      const { alone = [] } = this.loading ?? {}
      if (alone.some((one) => Loading.isSame(one, this.place))) {
        const keys = alone.map(({ key }) => Key.format(key)).join(", ")
        return this.fallback(old) ?? Effect.die(new Error(`cached reads that need each other: ${keys}`))
      }
      const started = this.elapsed()
      const report = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.sync(() =>
          Loads.reportLoad(this.service, this.counters, this.address, exit, this.elapsed() - started, "unsaved")
        )
      const load = Effect.flatMap(
        Loading.run(Effect.onExit(this.definition.lookupOne(this.address.input), report), this.alone()),
        (made) => this.conclude(made, old)
      )
      const soft = this.definition.softTimeout
      if (old === undefined || soft === undefined) return load
      return Effect.raceFirst(load, Effect.flatMap(Effect.sleep(soft), () => this.fallback(old) ?? Effect.never))
    })
  }

  /** What a read does when the store failed. */
  withoutStore(error: CacheStore.StoreError, old: Sight | undefined): AnyEffect {
    Loads.reportStoreFailure(this.service, this.counters, error)
    return this.definition.failsWithStore ? this.conclude(failed(error), old) : this.loadAlone(old)
  }
}

const failed = (error: CacheStore.StoreError): Loading.Made<unknown, unknown> => ({
  exit: Exit.fail(error),
  partsUntil: undefined
})

/** A typed failure that is cached is an answer, not an error. */
const isAnswer = (definition: Definition, exit: Exit.Exit<unknown, unknown>): boolean => {
  if (definition.failures === undefined || Exit.isSuccess(exit)) return false
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) && definition.failures.codec.is(error.value)
}

const lookupFor = (definition: Definition): Loads.Lookup => (addresses) =>
  Effect.map(Effect.exit(definition.lookupOne(addresses[0]!.input)), (exit) => [exit])

const lookupBatch = (definition: Definition): Loads.Lookup => (addresses) =>
  Effect.map(Effect.exit(definition.lookupMany!(addresses.map(({ input }) => input))), (exit) => {
    if (Exit.isFailure(exit)) return addresses.map(() => exit)
    if (exit.value.length !== addresses.length) {
      // Thrown, not given: nobody can tell which result is whose, so those who joined look again for themselves.
      throw new Error(
        `lookupMany of "${definition.name}" gave ${exit.value.length} results for ${addresses.length} keys`
      )
    }
    return exit.value.map((result) =>
      Result.isSuccess(result) ? Exit.succeed(result.success) : Exit.fail(result.failure)
    )
  })

/** How a caller goes about filling a key. `old` may be served in some cases in place of what is loaded. */
interface Attempt {
  readonly seen: Sight | undefined
  readonly old: Sight | undefined
  readonly seenToken: CacheStore.Token | undefined
  readonly drop: boolean
  readonly force: boolean
  /** Waits for a load of this process that is under way. */
  readonly join: boolean
  /** Goes on though nobody waits. */
  readonly held: boolean
  /** Milliseconds after which the old value is served. */
  readonly limit: number | undefined
  readonly versions: Loads.Versions
}

/** For a caller who found this and waits. */
const forCaller = (
  read: Read,
  entry: CacheStore.Entry | undefined,
  sight: Sight | undefined,
  versions: Loads.Versions
): Attempt => {
  const old = sight?.verdict === "Dead" ? undefined : sight
  const servable = sight !== undefined && isServable(sight.verdict)
  return {
    seen: sight,
    old,
    seenToken: entry?.token,
    drop: entry !== undefined && old === undefined,
    force: false,
    join: !(servable && read.refreshOf(sight) === "caller"),
    held: false,
    limit: old && read.definition.softTimeout,
    versions
  }
}

/** For nobody: whoever found this was served it. */
const inBackground = (sight: Sight, versions: Loads.Versions): Attempt => ({
  seen: sight,
  old: sight,
  seenToken: sight.entry.token,
  drop: false,
  force: false,
  join: false,
  held: true,
  limit: undefined,
  versions
})

type Filled =
  | { readonly _tag: "Landed"; readonly made: Loading.Made<unknown, unknown>; readonly final: boolean }
  | { readonly _tag: "Late" }
  | { readonly _tag: "Circle" }
  | { readonly _tag: "Found"; readonly entry: CacheStore.Entry }
  | { readonly _tag: "Busy"; readonly token: CacheStore.Token }
  | { readonly _tag: "Failed"; readonly error: CacheStore.StoreError }

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

type BegunOrFailed = CacheStore.Begun | { readonly _tag: "Failed"; readonly error: CacheStore.StoreError }

/** Asks the store for the lease. Whatever interrupts this gives up what the store may have granted. */
const beginSafely = (
  read: Read,
  request: Omit<CacheStore.Begin, "token" | "leaseFor">,
  restore: Restore,
  token: CacheStore.Token = read.service.token()
): AnyEffect<BegunOrFailed> => {
  const { address, definition, service } = read
  try {
    // Runs the user's function, if there is one: what it throws is no failure of the store.
    void address.known
  } catch (thrown) {
    return Effect.die(thrown)
  }
  const begin = service.store.begin(address, { ...request, token, leaseFor: definition.leaseFor })
  return Effect.flatMap(Effect.exit(restore(begin)), (exit): AnyEffect<BegunOrFailed> => {
    if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
    const giveUp = Effect.forkIn(Effect.ignore(service.store.abandon(address, token)), service.scope)
    const error = Cause.findErrorOption(exit.cause)
    const answer: AnyEffect<BegunOrFailed> = Option.isSome(error)
      ? Effect.succeed({ _tag: "Failed", error: error.value })
      : Effect.failCause(exit.cause)
    return Effect.andThen(giveUp, answer)
  })
}

/** Asks for the lease of a load. Those of this process who are told that it is taken can wait for the load to start. */
const beginLoad = (read: Read, { drop, force, seenToken }: Attempt, restore: Restore): AnyEffect<BegunOrFailed> =>
  Effect.suspend(() => {
    const { service } = read
    const token = service.token()
    Loads.announce(service, token)
    return Effect.onExit(
      beginSafely(read, { seen: seenToken, drop, force }, restore, token),
      (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) || exit.value._tag !== "Leased") Loads.settle(service, token)
        })
    )
  })

const sameVersions = (a: Loads.Versions["value"], b: Loads.Versions["value"]): boolean =>
  a === b || Object.keys(a).every((slot) => a[slot] === b[slot])

/** The load that waits with an attempt. None does for a refresh in the background. */
const waitingFor = (read: Read, { held }: Attempt): Loading.Waiting | undefined =>
  held ? undefined : read.loading?.waiting

/** How one came to wait for a flight: by starting it, or by joining it; `early` before anything could have voided it. */
type Joined = "own" | "early" | "late"

const attend = (
  read: Read,
  flight: Loads.Flight,
  attempt: Attempt,
  joined: Joined,
  restore: Restore
): AnyEffect<Filled> =>
  Effect.map(Loads.attend(flight, attempt.limit, waitingFor(read, attempt), restore), (landed) => {
    if (landed === undefined) return { _tag: "Late" }
    const { failure, value } = attempt.versions
    // One's own load began after the read did, and one that another has begun since is as good. A load that is older than
    // the read counts only if the store let it stand. And what is joined must have begun under the versions that this read
    // saw: no invalidation tells of a version that changed meanwhile.
    const { shared } = landed
    const given = shared === "all" || (shared === "early" && joined === "early") ||
      (shared !== "none" && flight.began > read.began)
    const joinable = given && sameVersions(value, flight.versions.value) &&
      sameVersions(failure, flight.versions.failure)
    return { _tag: "Landed", made: landed, final: joined === "own" || joinable }
  })

const flightFor = (read: Read, attempt: Attempt, lease: CacheStore.Lease): Loads.Flight => {
  const { held, seen, versions } = attempt
  if (seen !== undefined && isServable(seen.verdict)) {
    if (!held) read.miss(seen.verdict)
    read.refreshing()
  }
  const usually = seen?.entry.stamp.duration ?? 0
  return new Loads.Flight(read.address, lease, versions, usually, seen?.verdict === "Refresh")
}

/** Only a load of this process that the store says still stands may be joined. */
const joinOther = (
  read: Read,
  attempt: Attempt,
  begun: Exclude<BegunOrFailed, { readonly _tag: "Leased" }>,
  restore: Restore
): AnyEffect<Filled> => {
  if (begun._tag !== "Busy" || !attempt.join) return Effect.succeed(begun)
  const settled = Loads.settled(read.service, begun.token)
  if (settled !== undefined) {
    const waiting = attempt.limit === undefined
      ? settled
      : Effect.timeoutOrElse(settled, { duration: attempt.limit, orElse: () => Effect.void })
    return Effect.flatMap(restore(waiting), () => joinStarted(read, attempt, begun, restore))
  }
  return joinStarted(read, attempt, begun, restore)
}

const joinStarted = (
  read: Read,
  attempt: Attempt,
  begun: Extract<CacheStore.Begun, { readonly _tag: "Busy" }>,
  restore: Restore
): AnyEffect<Filled> => {
  const flight = Loads.flightOf(read.service, begun.token)
  if (flight === undefined) return Effect.succeed(begun)
  const waiting = waitingFor(read, attempt)
  if (waiting !== undefined && Loading.reaches(flight.load, waiting)) return Effect.succeed({ _tag: "Circle" })
  if (attempt.seen !== undefined) read.miss(attempt.seen.verdict)
  read.coalesced()
  const early = begun.position !== undefined && begun.position === flight.lease.position
  return attend(read, flight, attempt, early ? "early" : "late", restore)
}

/** Takes the lease and loads, or joins whoever has it. */
const fill = (read: Read, attempt: Attempt): AnyEffect<Filled> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      beginLoad(read, attempt, restore),
      (begun): AnyEffect<Filled> => {
        if (begun._tag !== "Leased") return joinOther(read, attempt, begun, restore)
        const flight = flightFor(read, attempt, begun.lease)
        const by = waitingFor(read, attempt)
        return Effect.flatMap(
          Loads.start(read.service, [flight], lookupFor(read.definition), read.counters, attempt.held, by),
          (load) =>
            Effect.onExit(attend(read, flight, attempt, "own", restore), () => Effect.sync(() => load.leave(by)))
        )
      }
    )
  )

// So many times a caller looks again after a load that it joined was refused; then it loads for itself.
const maxRounds = 4

// Notifications can be lost: this often a waiting caller looks for itself.
const pollEvery = 1000

/** Nobody waits for a refresh in the background, so nobody else would hear that the store failed. */
const tellIfFailed = (read: Read, filled: Filled): void => {
  if (filled._tag === "Failed") Loads.reportStoreFailure(read.service, read.counters, filled.error)
}

const refreshInBackground = (read: Read, sight: Sight, versions: Loads.Versions): AnyEffect<void> => {
  const { address, service } = read
  // Not to be interrupted between the two: a key that is said to be refreshed, and is not, would be so for ever.
  return Effect.uninterruptible(Effect.suspend(() => {
    if (service.refreshing.has(address.key)) return Effect.void
    service.refreshing.add(address.key)
    const attempt = inBackground(sight, versions)
    return Effect.asVoid(Effect.forkIn(
      fill(read, attempt).pipe(
        Effect.map((filled) => tellIfFailed(read, filled)),
        Effect.onExit(() => Effect.sync(() => service.refreshing.delete(address.key)))
      ),
      service.scope
    ))
  }))
}

/**
 * Waits until another process is done with the key, or for a while: also when the store cannot tell, since asking again
 * at once would not end. A store may tell in the middle of storing, so what it is at is let end first.
 */
const awaitOther = (read: Read, token: CacheStore.Token, atMost: number): AnyEffect<void> => {
  const released = Effect.catch(read.service.store.released(read.address, token), () => Effect.never)
  return Effect.timeoutOrElse(Effect.andThen(released, Effect.yieldNow), {
    duration: Math.max(1, Math.min(pollEvery, atMost)),
    orElse: () => Effect.void
  })
}

type ReadAnswer = Result.Result<CacheStore.Entry | undefined, CacheStore.StoreError>

/** `first` is the store's answer to the first read, where it was asked already and no version had to be read before. */
const resolve = Effect.fnUntraced(function*(
  definition: Definition,
  service: CacheService.CacheService,
  address: Internal.KeyAddress,
  first: ReadAnswer | undefined
): Generator<AnyEffect, unknown, never> {
  const fiber = (yield* Effect.withFiber((self) => Effect.succeed(self))) as AnyFiber
  const read = new Read(definition, service, address, fiber)
  const started = read.elapsed()
  const soft = definition.softTimeout
  let last: Sight | undefined
  for (let round = 0; round < maxRounds;) {
    const versions = (yield* currentVersions(definition, address.input)) as Loads.Versions
    const answer: ReadAnswer = first ?? ((yield* Effect.result(service.store.read(address))) as ReadAnswer)
    first = undefined
    if (Result.isFailure(answer)) {
      read.miss("Nothing")
      return yield* read.withoutStore(answer.failure, undefined)
    }
    let entry = answer.success
    // Ends when the store neither gives an entry that has come meanwhile, nor an answer to return.
    for (;;) {
      const sight = entry && read.look(entry, versions)
      if (sight?.verdict === "Fresh") return yield* read.hit(sight)
      const servable = sight !== undefined && isServable(sight.verdict)
      if (servable && read.refreshOf(sight) === "background") {
        yield* refreshInBackground(read, sight, versions)
        return yield* read.serveStale(sight, sight.verdict)
      }
      const attempt = forCaller(read, entry, sight, versions)
      const { old } = attempt
      last = old
      const found = sight?.verdict ?? (entry ? "Dead" : "Nothing")
      if (!servable) read.miss(found)
      const filled = (yield* fill(read, attempt)) as Filled
      if (filled._tag === "Found") {
        entry = filled.entry
        continue
      }
      if (filled._tag === "Failed") {
        read.miss(found)
        return yield* read.withoutStore(filled.error, old)
      }
      if (filled._tag === "Landed") {
        if (filled.final) return yield* read.conclude(filled.made, old)
        round++
        break
      }
      // It would wait for itself. Keys that are loaded at once may need one another, and still be loaded one by one.
      if (filled._tag === "Circle") return yield* read.loadAlone(old)
      if (filled._tag === "Late") {
        const stale = read.fallback(old)
        if (stale !== undefined) return yield* stale
        break
      }
      // Another process has it, or a write-through of this one.
      if (servable && read.refreshOf(sight) === "caller") return yield* read.serveStale(sight, sight.verdict)
      const waited = read.elapsed() - started
      if (old !== undefined && soft !== undefined && waited >= soft) {
        const stale = read.fallback(old)
        if (stale !== undefined) return yield* stale
      }
      if (waited >= definition.waitLimit) {
        read.miss(found)
        return yield* read.loadAlone(old)
      }
      const atMost = old !== undefined && soft !== undefined
        ? soft - waited
        : definition.waitLimit - waited
      yield* awaitOther(read, filled.token, atMost)
      break
    }
  }
  return yield* read.loadAlone(last)
})

/** What to serve if an entry is surely fresh, as nearly all are that are found. */
const freshUnsafe = (
  definition: Definition,
  service: CacheService.CacheService,
  address: Internal.KeyAddress,
  entry: CacheStore.Entry | undefined,
  fiber: AnyFiber
): AnyEffect | undefined => {
  if (entry === undefined) return undefined
  const { changed, memo, softened } = entry
  if (
    memo instanceof Internal.View && memo.definition === definition && changed === undefined && !softened &&
    (memo.armed.surelyFreshUntil === Infinity || service.now(fiber) < memo.armed.surelyFreshUntil)
  ) {
    memo.counters.hits++
    if (service.watched()) service.publish({ _tag: "Hit", name: definition.name, key: address.key })
    return memo.exit as AnyEffect
  }
}

/** The hot path: a fresh entry, answered with what is stored. */
const getUnsafe = (definition: Definition, input: unknown, fiber: AnyFiber): AnyEffect => {
  const service = Context.getUnsafe(fiber.context, CacheService.CacheService)
  let address: Internal.KeyAddress
  try {
    address = new Internal.KeyAddress(definition, input)
  } catch (error) {
    return Effect.die(error)
  }
  if (definition.hasVersions) return resolve(definition, service, address, undefined) as AnyEffect
  const answer = service.store.read(address)
  if (!Exit.isExit(answer)) {
    return Effect.matchEffect(answer, {
      onSuccess: (entry) =>
        freshUnsafe(definition, service, address, entry, fiber) ??
          resolve(definition, service, address, Result.succeed(entry)) as AnyEffect,
      onFailure: (error) => resolve(definition, service, address, Result.fail(error)) as AnyEffect
    })
  }
  if (Exit.isFailure(answer)) return resolve(definition, service, address, undefined) as AnyEffect
  const entry = answer.value as CacheStore.Entry | undefined
  return freshUnsafe(definition, service, address, entry, fiber) ??
    resolve(definition, service, address, Result.succeed(entry)) as AnyEffect
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/**
 * The value of a key: from the cache as far as the policy allows, else loaded.
 *
 * @category reading
 * @since 0.1.0
 */
export const get: {
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Effect.Effect<V, E, R | CacheService.CacheService>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Effect.Effect<V, E, R | CacheService.CacheService>
} = dual(2, (self: Any, key: unknown): AnyEffect => Effect.withFiber((fiber) => getUnsafe(inside(self), key, fiber)))

/**
 * The value of a key if it may be served without a load; never loads, and
 * refreshes nothing. A cached failure fails. A store that fails gives none.
 *
 * @category reading
 * @since 0.1.0
 */
export const getOption: {
  <K>(
    key: K
  ): <V, E, R>(self: Cached<K, V, E, R>) => Effect.Effect<Option.Option<V>, E, R | CacheService.CacheService>
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    key: K
  ): Effect.Effect<Option.Option<V>, E, R | CacheService.CacheService>
} = dual(2, (self: Any, key: unknown): AnyEffect =>
  withRead(self, key, (read) =>
    Effect.gen(function*() {
      const versions = yield* currentVersions(read.definition, key)
      const answer = yield* Effect.result(read.service.store.read(read.address))
      if (Result.isFailure(answer)) {
        Loads.reportStoreFailure(read.service, read.counters, answer.failure)
        return Option.none()
      }
      const sight = answer.success && read.look(answer.success, versions)
      if (sight?.verdict === "Dead") yield* drop(read, sight)
      if (sight === undefined || !isServable(sight.verdict)) return Option.none()
      return Option.some(yield* sight.verdict === "Fresh" ? read.hit(sight) : read.serveStale(sight, sight.verdict))
    })))

/** What a read has found dead stays dead, also if a version should come back: the next load would have dropped it. */
const drop = (read: Read, sight: Sight): AnyEffect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      beginSafely(read, { seen: sight.entry.token, drop: true, force: false }, restore),
      (begun): AnyEffect<void> => {
        if (begun._tag === "Failed") Loads.reportStoreFailure(read.service, read.counters, begun.error)
        return begun._tag === "Leased"
          ? Effect.ignore(read.service.store.abandon(read.address, begun.lease.token))
          : Effect.void
      }
    )
  )

const withRead = (self: Any, key: unknown, use: (read: Read) => AnyEffect): AnyEffect =>
  Effect.withFiber((fiber) => {
    const definition = inside(self)
    const service = Context.getUnsafe(fiber.context, CacheService.CacheService)
    try {
      return use(new Read(definition, service, new Internal.KeyAddress(definition, key), fiber))
    } catch (error) {
      return Effect.die(error)
    }
  })

/** One key of several, and how to fill it. */
interface Want {
  readonly read: Read
  readonly attempt: Attempt
}

/** Asks for several leases at once. Unless all answered, those that were granted are given up. */
const beginTogether = (wants: ReadonlyArray<Want>, restore: Restore): AnyEffect<ReadonlyArray<BegunOrFailed>> => {
  const begun: Array<BegunOrFailed | undefined> = wants.map(() => undefined)
  const asking = Effect.forEach(wants, ({ attempt, read }, i) =>
    Effect.uninterruptibleMask((inner) =>
      Effect.map(
        beginLoad(read, attempt, inner),
        (answer) => {
          begun[i] = answer
        }
      )
    ), { concurrency: "unbounded", discard: true })
  const giveUp = Effect.suspend(() =>
    Effect.forEach(wants, ({ read: { address, service } }, i) => {
      const answer = begun[i]
      if (answer?._tag !== "Leased") return Effect.void
      const { token } = answer.lease
      Loads.settle(service, token)
      return Effect.forkIn(Effect.ignore(service.store.abandon(address, token)), service.scope)
    }, { discard: true })
  )
  return Effect.map(Effect.onError(restore(asking), () => giveUp), () => begun as ReadonlyArray<BegunOrFailed>)
}

/** Fills several keys: one load for those whose lease was granted, and the loads of others are joined. */
const fillTogether = <A>(
  definition: Definition,
  wants: ReadonlyArray<Want>,
  use: (want: Want, filled: Filled) => AnyEffect<A>
): AnyEffect<ReadonlyArray<A>> =>
  wants.length === 0 ?
    Effect.succeed([]) :
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(beginTogether(wants, restore), (begun) => {
        const [{ attempt, read }] = wants as [Want]
        const { counters, service } = read
        const by = waitingFor(read, attempt)
        const own = wants.map(({ attempt, read }, i) => {
          const answer = begun[i]!
          return answer._tag === "Leased" ? flightFor(read, attempt, answer.lease) : undefined
        })
        const waiting = Effect.forEach(wants, (want, i) =>
          Effect.uninterruptibleMask((inner) => {
            const [answer, flight] = [begun[i]!, own[i]]
            const filled = answer._tag === "Leased"
              ? attend(want.read, flight!, want.attempt, "own", inner)
              : joinOther(want.read, want.attempt, answer, inner)
            return Effect.flatMap(filled, (filled) => inner(use(want, filled)))
          }), { concurrency: "unbounded" })
        const flights = own.filter((flight) => flight !== undefined)
        // Each key is waited for by a fiber of its own, so waiting can be interrupted only from outside of it.
        return flights.length === 0
          ? restore(waiting)
          : Effect.flatMap(
            Loads.start(service, flights, lookupBatch(definition), counters, attempt.held, by),
            (load) => Effect.onExit(restore(waiting), () => Effect.sync(() => load.leave(by)))
          )
      })
    )

/** Refreshes several keys by one load, in the background. */
const refreshTogether = (definition: Definition, wants: ReadonlyArray<Want>): AnyEffect<void> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const mine = wants.filter(({ read: { address, service } }) => !service.refreshing.has(address.key))
    if (mine.length === 0) return Effect.void
    const { service } = mine[0]!.read
    for (const { read } of mine) service.refreshing.add(read.address.key)
    const report = ({ read }: Want, filled: Filled) => Effect.sync(() => tellIfFailed(read, filled))
    return Effect.asVoid(Effect.forkIn(
      Effect.onExit(fillTogether(definition, mine, report), () =>
        Effect.sync(() => {
          for (const { read } of mine) service.refreshing.delete(read.address.key)
        })),
      service.scope
    ))
  }))

/** One key of several of which the store told nothing. */
interface Untold {
  readonly read: Read
  readonly error: CacheStore.StoreError
}

/** Loads several values by one lookup and stores none of them. */
const loadTogetherAlone = (
  definition: Definition,
  untold: ReadonlyArray<Untold>,
  answer: (read: Read, effect: AnyEffect) => AnyEffect<void>
): AnyEffect<void> => {
  for (const { error, read } of untold) Loads.reportStoreFailure(read.service, read.counters, error)
  if (untold.length === 0 || definition.failsWithStore) {
    return Effect.forEach(untold, ({ error, read }) => answer(read, read.conclude(failed(error), undefined)), {
      discard: true
    })
  }
  return Effect.suspend(() => {
    const [{ read: { counters, service }, read: first }] = untold as [Untold]
    const started = first.elapsed()
    const report = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>) => {
      for (const [i, { read: { address } }] of untold.entries()) {
        Loads.reportLoad(service, counters, address, exits[i]!, first.elapsed() - started, "unsaved")
      }
    }
    const load = Effect.onExit(
      lookupBatch(definition)(untold.map(({ read }) => read.address)),
      (exit) => Effect.sync(() => report(Exit.isSuccess(exit) ? exit.value : untold.map(() => exit)))
    )
    return Effect.flatMap(
      Loading.run(load, first.unjoined()),
      ({ exit, partsUntil }) =>
        Effect.forEach(
          untold,
          ({ read }, i) =>
            answer(read, read.conclude({ exit: Exit.isSuccess(exit) ? exit.value[i]! : exit, partsUntil }, undefined)),
          { discard: true }
        )
    )
  })
}

/** Answers one of several reads as a single one would be. */
const finish = ({ attempt: { join, old }, read }: Want, filled: Filled): AnyEffect => {
  const again = () => resolve(read.definition, read.service, read.address, undefined) as AnyEffect
  switch (filled._tag) {
    case "Landed":
      return filled.final ? read.conclude(filled.made, old) : again()
    case "Circle":
      return read.loadAlone(old)
    case "Late":
      return read.fallback(old) ?? again()
    case "Busy": // only the caller who refreshes waits
      return !join && old !== undefined ? read.serveStale(old, old.verdict) : again()
    case "Found":
      return again()
    case "Failed":
      return read.withoutStore(filled.error, old)
  }
}

/** Answers what can be answered without a load; the others are filled together. */
const getTogether = Effect.fnUntraced(function*(
  definition: Definition,
  reads: ReadonlyArray<Read>
): Effect.fn.Return<ReadonlyArray<Exit.Exit<unknown, unknown>>, unknown> {
  const answers = new Map<Read, Exit.Exit<unknown, unknown>>()
  const missing: Array<Want> = []
  const stale: Array<Want> = []
  const untold: Array<Untold> = []
  const answer = (read: Read, effect: AnyEffect): AnyEffect<void> =>
    Effect.map(Effect.exit(effect), (exit) => {
      answers.set(read, exit)
    })
  const lookAt = (read: Read, versions: Loads.Versions): AnyEffect<void> =>
    Effect.flatMap(Effect.result(read.service.store.read(read.address)), (result) => {
      if (Result.isFailure(result)) {
        read.miss("Nothing")
        untold.push({ read, error: result.failure })
        return Effect.void
      }
      const entry = result.success
      const sight = entry && read.look(entry, versions)
      if (sight?.verdict === "Fresh") return answer(read, read.hit(sight))
      const servable = sight !== undefined && isServable(sight.verdict)
      if (servable && read.refreshOf(sight) === "background") {
        stale.push({ read, attempt: inBackground(sight, versions) })
        return answer(read, read.serveStale(sight, sight.verdict))
      }
      if (!servable) read.miss(sight?.verdict ?? (entry ? "Dead" : "Nothing"))
      missing.push({ read, attempt: forCaller(read, entry, sight, versions) })
      return Effect.void
    })
  yield* Effect.forEach(reads, (read) =>
    Effect.matchCauseEffect(currentVersions(definition, read.address.input), {
      onFailure: (cause) => answer(read, Effect.failCause(cause)),
      onSuccess: (versions) => lookAt(read, versions)
    }), { concurrency: "unbounded", discard: true })
  yield* refreshTogether(definition, stale)
  yield* fillTogether(definition, missing, (want, filled) => {
    if (filled._tag !== "Failed" || want.attempt.old !== undefined) return answer(want.read, finish(want, filled))
    untold.push({ read: want.read, error: filled.error })
    return Effect.void
  })
  yield* loadTogetherAlone(definition, untold, answer)
  return reads.map((read) => answers.get(read)!)
})

const manyExits = (self: Any, all: ReadonlyArray<unknown>): AnyEffect<ReadonlyArray<Exit.Exit<unknown, unknown>>> =>
  Effect.withFiber((fiber) => {
    const definition = inside(self)
    const service = Context.getUnsafe(fiber.context, CacheService.CacheService)
    let addresses: ReadonlyArray<Internal.KeyAddress>
    try {
      addresses = all.map((key) => new Internal.KeyAddress(definition, key))
    } catch (error) {
      return Effect.die(error)
    }
    const distinct = [...new Map(addresses.map((address) => [address.key, address])).values()]
    const answers = definition.lookupMany === undefined
      ? Effect.forEach(distinct, (address) => Effect.exit(getUnsafe(definition, address.input, fiber)), {
        concurrency: "unbounded"
      })
      : getTogether(definition, distinct.map((address) => new Read(definition, service, address, fiber)))
    return Effect.map(answers, (exits) => {
      const byKey = new Map(distinct.map(({ key }, i) => [key, exits[i]!]))
      return addresses.map(({ key }) => byKey.get(key)!)
    })
  })

/**
 * The values of several keys, in their order. What is missing is loaded by one
 * call of `lookupMany` (if the definition has none, by one `lookup` each, at
 * once). A key that is given twice is asked for once.
 *
 * Fails with the first failure, in the order of the keys; all loads have ended
 * then. With `mode: "result"`, gives a result for each key and fails only with
 * defects.
 *
 * @category reading
 * @since 0.1.0
 */
export const getMany: {
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    keys: ReadonlyArray<K>
  ): Effect.Effect<Array<V>, E, R | CacheService.CacheService>
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    keys: ReadonlyArray<K>,
    options: { readonly mode: "result" }
  ): Effect.Effect<Array<Result.Result<V, E>>, never, R | CacheService.CacheService>
} = (
  self: Any,
  all: ReadonlyArray<unknown>,
  options?: { readonly mode: "result" }
): Effect.Effect<never, never, never> =>
  Effect.flatMap(
    manyExits(self, all),
    (exits) => Effect.forEach(exits, (exit) => options === undefined ? exit : Effect.result(exit))
  ) as never

/**
 * Loads a value anew and stores it, whatever is cached, and gives it. The old
 * value is served to others meanwhile. A load that is under way does not count:
 * it began before, so it is voided.
 *
 * @category reading
 * @since 0.1.0
 */
export const refresh: {
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Effect.Effect<V, E, R | CacheService.CacheService>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Effect.Effect<V, E, R | CacheService.CacheService>
} = dual(2, (self: Any, key: unknown): AnyEffect =>
  withRead(self, key, (read) =>
    Effect.gen(function*() {
      const versions = yield* currentVersions(read.definition, key)
      const filled = yield* fill(read, {
        seen: undefined,
        old: undefined,
        seenToken: undefined,
        drop: false,
        force: true,
        join: false,
        held: false,
        limit: undefined,
        versions
      })
      switch (filled._tag) {
        case "Landed":
          return yield* read.conclude(filled.made, undefined)
        case "Failed":
          return yield* read.withoutStore(filled.error, undefined)
        default: // a forced lease is granted or fails
          return yield* read.loadAlone(undefined)
      }
    })))

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

/**
 * Writes through: runs `write`, which writes to the origin and gives the value
 * as it is there now, and stores that value.
 *
 * The write itself is the argument, since a value that is stored some time
 * after its write could be older than what another writer has stored meanwhile.
 * Around the write, of two racing writers either the later one's value stands
 * or the key is empty. If the write fails the key is emptied, since it may have
 * happened.
 *
 * Fails with `InvalidationError` if the store does not answer. `mayHaveHappened`
 * then tells of the write: false when the store failed before it, and nothing is
 * written; true when the write is done and the key may hold what was before.
 *
 * **Gotchas**
 *
 * - A write that also publishes something that the value depends on (as those of
 *   a `Repository` do) has invalidated its own value: the key is empty after it,
 *   and the next read loads. Where writers publish, `set` is of no use.
 *
 * @category writing
 * @since 0.1.0
 */
export const set: {
  <K, V, E2, R2>(
    key: K,
    write: Effect.Effect<V, E2, R2>
  ): <E, R>(
    self: Cached<K, V, E, R>
  ) => Effect.Effect<V, E | E2 | CacheService.InvalidationError, R | R2 | CacheService.CacheService>
  <K, V, E, R, E2, R2>(
    self: Cached<K, V, E, R>,
    key: K,
    write: Effect.Effect<V, E2, R2>
  ): Effect.Effect<V, E | E2 | CacheService.InvalidationError, R | R2 | CacheService.CacheService>
} = dual(
  3,
  (self: Any, key: unknown, write: AnyEffect): AnyEffect =>
    withRead(self, key, (read) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const { address, counters, definition, service } = read
          const removal = Invalidation.keys(address.key)
          const versions = yield* restore(currentVersions(definition, key))
          const begun = yield* beginSafely(read, { seen: undefined, drop: true, force: true }, restore)
          const failed = (mayHaveHappened: boolean, reason: CacheStore.Reason, cause: unknown) =>
            new CacheService.InvalidationError({ invalidation: removal.toString(), reason, mayHaveHappened, cause })
          if (begun._tag !== "Leased") {
            const error = begun._tag === "Failed" ? begun.error : undefined
            if (error !== undefined) Loads.reportStoreFailure(service, counters, error)
            return yield* failed(false, error?.reason ?? { _tag: "Malformed" }, error)
          }
          const started = read.elapsed()
          const began = read.now()
          const { exit, partsUntil } = yield* Loading.run(restore(write), read.unjoined())
          if (partsUntil !== undefined) read.loading?.given(partsUntil)
          const now = read.now()
          const jitter = read.fiber.getRef(Random.Random).nextDoubleUnsafe()
          const stored = Exit.isSuccess(exit) && partsUntil === undefined && (yield* Effect.suspend(() => {
            const flight = { address, lease: begun.lease, versions, usually: 0 }
            const draft = Loads.prepare(
              service,
              flight,
              exit,
              false,
              { began, now, millis: read.elapsed() - started, jitter },
              counters
            )
            if (draft.payload === Loads.unwritable) return Effect.as(Loads.warnUnwritable(definition), false)
            return Effect.map(
              service.store.commit(address, begun.lease, draft),
              Loads.mayBeShared
            )
          }).pipe(Effect.catchCause((cause) => {
            const error = Cause.findErrorOption(cause)
            if (Option.isSome(error)) Loads.reportStoreFailure(service, counters, error.value)
            return Effect.succeed(false)
          })))
          // Whoever took the lease meanwhile may have read before this write.
          if (!stored) {
            const removed = CacheService.invalidate(removal)
            // Whatever the store did: the write has happened, and who is told of this must know.
            yield* Exit.isSuccess(exit)
              ? Effect.mapError(removed, ({ cause, reason }) => failed(true, reason, cause))
              : Effect.ignore(removed)
          }
          return yield* exit
        })
      ) as AnyEffect)
)

/**
 * Invalidates one key. When it has returned, no read that starts later, in any
 * process on the same store, returns what was loaded before.
 *
 * With `soft`, the entry is served once more as stale and refreshed. Fails with
 * `InvalidationError` if the store did not acknowledge it; repeating it is safe.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const invalidate: {
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    key: K,
    options?: { readonly soft?: boolean }
  ): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>
  <K>(
    key: K,
    options?: { readonly soft?: boolean }
  ): <V, E, R>(
    self: Cached<K, V, E, R>
  ) => Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>
} = dual(
  (args) => isCached(args[0]),
  (self: Cached<unknown, unknown>, key: unknown, options?: { readonly soft?: boolean }) =>
    invalidateMany(self, [key], options)
)

/**
 * Invalidates several keys in one batch, as `invalidate` does one.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const invalidateMany: {
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    keys: Iterable<K>,
    options?: { readonly soft?: boolean }
  ): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>
  <K>(
    keys: Iterable<K>,
    options?: { readonly soft?: boolean }
  ): <V, E, R>(
    self: Cached<K, V, E, R>
  ) => Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>
} = dual(
  (args) => isCached(args[0]),
  (self: Cached<unknown, unknown>, all: Iterable<unknown>, options: { readonly soft?: boolean } = {}) =>
    Effect.suspend(() => {
      const batch = keys(self, ...all)
      return CacheService.invalidate(options.soft === true ? Invalidation.soft(batch) : batch)
    })
)

/**
 * Applies an invalidation: tags, changes, patterns, everything, or a batch of
 * them. When it has returned, no read that starts later, in any process on the
 * same store, returns what was loaded before and is covered.
 *
 * Fails with `InvalidationError` if the store did not acknowledge it. Then it is
 * kept and tried again until it is acknowledged, and until then this process
 * serves nothing that it covers; so it is if it is interrupted. Repeating it is
 * safe.
 *
 * Inside of `Changes.withTransaction` it is collected, and applied after the
 * commit.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const apply: (
  invalidation: Invalidation.Invalidation
) => Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> =
  CacheService.invalidate

/**
 * Writes behind a fence: what the invalidation covers is invalidated before the
 * write, and nothing loaded until the write has ended is stored. If this process
 * dies in between, the fence ends by itself after `fence` (30 seconds), and
 * what was loaded under it stays refused.
 *
 * A write is bounded by its fence: one that takes longer is interrupted and
 * fails with `InvalidationError`.
 *
 * **Example** (A write that leaves no gap)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, Invalidation, MemoryCache } from "effect-cache-algebra"
 *
 * const rename = Effect.succeed("renamed") // a database transaction
 * const program = rename.pipe(
 *   Cached.mutate(Invalidation.tags("genre:drama")),
 *   Effect.provide(MemoryCache.layer({ capacity: 10 }))
 * )
 * await Effect.runPromise(program) // => "renamed"
 * ```
 *
 * @category writing
 * @since 0.1.0
 */
export const mutate: {
  (
    over: Invalidation.Invalidation,
    options?: { readonly fence?: Duration.Input }
  ): <A, E, R>(
    write: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    over: Invalidation.Invalidation,
    options?: { readonly fence?: Duration.Input }
  ): Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
} = dual((args) => Effect.isEffect(args[0]), CacheService.mutate)

// -----------------------------------------------------------------------------
// observing
// -----------------------------------------------------------------------------

/**
 * Counts of one definition since the service was made.
 *
 * `hits` were served fresh, `staleServed` not fresh but allowed, `misses` had to
 * wait for a load; `coalesced` of them shared another's. `loadsAvoided` is how
 * many reads did without a load of their own.
 *
 * @category observing
 * @since 0.1.0
 */
export interface Stats extends Readonly<Counters.Counters> {
  readonly reads: number
  readonly hitRate: number
  readonly loadsAvoided: number
}

const toStats = (counters: Counters.Counters): Stats => {
  const reads = counters.hits + counters.staleServed + counters.misses
  return {
    ...counters,
    reads,
    hitRate: reads === 0 ? 0 : (counters.hits + counters.staleServed) / reads,
    loadsAvoided: Math.max(0, reads - counters.loads)
  }
}

/**
 * The counts of a definition.
 *
 * @category observing
 * @since 0.1.0
 */
export const stats = (self: Any): Effect.Effect<Stats, never, CacheService.CacheService> =>
  Effect.map(CacheService.CacheService, (service) => toStats(service.allCounters().get(self.name) ?? Counters.make()))

/**
 * The counts of all definitions that were used, by name.
 *
 * @category observing
 * @since 0.1.0
 */
export const allStats: Effect.Effect<ReadonlyMap<string, Stats>, never, CacheService.CacheService> = Effect.map(
  CacheService.CacheService,
  (service) => new Map([...service.allCounters()].map(([name, counters]) => [name, toStats(counters)]))
)

/**
 * A count of a definition as a `Metric`, for exporters: `effect_cache_hits` and
 * so on, with the attribute `cache`. Metrics read the counters when they are
 * asked; a hit pays nothing for them.
 *
 * @category observing
 * @since 0.1.0
 */
export const metric = (self: Any, counter: keyof Counters.Counters): Metric.Counter<number> =>
  Counters.metric(self.name, counter)

/**
 * Why an entry is served or not: the policy as a tree, with each leaf's verdict
 * and its reason. `toString` draws it.
 *
 * @category observing
 * @since 0.1.0
 */
export type Explanation = Explain.Explanation

/**
 * Explains what a read of a key would find now. Reads nothing else, loads
 * nothing, changes nothing.
 *
 * **Example** (Why is this stale?)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Invalidation, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * const film = Cached.make("film", {
 *   key: Key.int("id"),
 *   value: Schema.String,
 *   lookup: (id) => Effect.succeed(`film ${id}`)
 * }, Policy.tagged("genre:drama"))
 *
 * const program = Effect.gen(function*() {
 *   yield* Cached.get(film, 42)
 *   yield* Cached.apply(Invalidation.tags("genre:drama"))
 *   const explanation = yield* Cached.explain(film, 42)
 *   return explanation.verdict
 * }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
 *
 * await Effect.runPromise(program) // => "Dead"
 * ```
 *
 * @category observing
 * @since 0.1.0
 */
export const explain: {
  <K>(
    key: K
  ): <V, E, R>(
    self: Cached<K, V, E, R>
  ) => Effect.Effect<Explanation, E | CacheStore.StoreError, R | CacheService.CacheService>
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    key: K
  ): Effect.Effect<Explanation, E | CacheStore.StoreError, R | CacheService.CacheService>
} = dual(2, (self: Any, key: unknown): AnyEffect =>
  withRead(self, key, (read) =>
    Effect.gen(function*() {
      const versions = yield* currentVersions(read.definition, key)
      const inspection = yield* read.service.store.inspect(read.address.key, read.address.known)
      const now = read.now()
      return Explain.make(read.address, inspection, versions, now, read.service.store, read.counters)
    })))

/**
 * What a definition depends on, for documentation and review. `toString` writes
 * it for people.
 *
 * @category observing
 * @since 0.1.0
 */
export type Description = Explain.Description

/**
 * Describes a definition: its keys, its policy, and what invalidates it.
 * Generated from the policy, so it is true.
 *
 * @category observing
 * @since 0.1.0
 */
export const describe = (self: Any): Description => Explain.describe(inside(self))

/**
 * Which cached values of a program depend on what, and the other way round.
 *
 * - `rows`: each cached value, how long it is kept at most (milliseconds), and
 *   its causes: what ends it. A cause says how bad the value is then
 *   (`severity`), and whether it is so whatever else holds (`always`) or only
 *   while no other alternative of the policy holds. Causes with `failure` end
 *   cached failures.
 * - `changes`: each field of an entity, tag and version that can change, and
 *   what that invalidates; in the tables with "perhaps" where it is not always.
 * - `toString`: both as tables of text. `markdown`: the same in Markdown.
 * - `mermaid`: a graph, for pages that draw Mermaid.
 * - `svg`: a picture that needs nothing else, for light and for dark pages.
 *
 * @category observing
 * @since 0.1.0
 */
export type Catalogue = Catalogues.Catalogue

/**
 * Describes all cached values of a program: which depends on which fields of
 * which entities, on which tags, versions and ticks of a clock. Generated from
 * the policies, so it is true; the same definitions give the same text.
 *
 * With `entities`, the fields that nothing depends on are told too. Without it,
 * only what the policies name is known.
 *
 * Throws `InvalidInput` when two definitions (or entities) share a name, and
 * when a policy names a field that the entity given does not have.
 *
 * **Example** (What does a new title invalidate?)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Entity, Key, Policy } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String, rating: Schema.Finite })
 * const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
 * const lookup = () => Effect.succeed("")
 *
 * const card = Cached.make(
 *   "card",
 *   { key: Key.int("id"), value: Schema.String, lookup },
 *   Policy.all(Policy.ttl("1 day"), Policy.conditional(Films, { fields: ["title"] }))
 * )
 * const best = Cached.make(
 *   "best",
 *   { key: Key.string("genre"), value: Schema.String, lookup },
 *   Policy.all(Policy.ttl("5 minutes"), Policy.conditionalIn(Films, "genre", { fields: ["title", "rating"] }))
 * )
 *
 * const catalogue = Cached.catalogue([card, best])
 * const title = catalogue.changes.find(({ label }) => label === "film.title")
 * title?.invalidates.map(({ name }) => name) // => ["card", "best"]
 *
 * catalogue.toString().split("\n").slice(0, 4)
 * // => [
 * //   "cached value  kept  invalidated by",
 * //   "------------  ----  ----------------------------------------------------------",
 * //   "card(id)      1d    the film of the key: title, coming or going",
 * //   "best(genre)   5m    the films of a genre of the key: title, rating, membership"
 * // ]
 * ```
 *
 * @category observing
 * @since 0.1.0
 */
export const catalogue = (
  definitions: ReadonlyArray<Any>,
  options: {
    readonly entities?: ReadonlyArray<{
      readonly name: string
      readonly fields: ReadonlyArray<string>
      readonly relations: ReadonlyArray<string>
    }>
  } = {}
): Catalogue => Catalogues.make(definitions.map(inside), options.entities ?? [])
