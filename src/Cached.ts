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
 *   store, whatever is being loaded. `docs/consistency.md` lists the guarantees.
 * - Per process and key, one load at a time: a hundred callers of a cold key
 *   make one call, also when it fails.
 * - A caller that is interrupted does not disturb the other waiters; when the last
 *   one is, the load is interrupted.
 * - Reads fail open: a store that is down costs loads, never an error.
 * - A lookup may read other cached values. Such a read waits for a refresh rather
 *   than serve what is stale. If the refresh failed or took too long and the lookup
 *   is given a stale value after all, what it makes is stale, too.
 *   One invalidation that covers all of them holds for all of them.
 * - Lookups that need each other's values die with `LoadCircle`, which names the keys.
 *
 * **Gotchas**
 *
 * - Invalidate **after** the write is committed, or use `mutate`.
 * - The name is part of every stored key: a second definition of a name with
 *   other fields of its key or another schema is refused by the first operation that
 *   reads by it, as a defect (`InvalidInput`, `NameTaken`). One that is built again is the same, and one
 *   with another `version` is another shape of it.
 * - A value that is made of another cached value does not inherit its dependencies:
 *   give it the same tags.
 * - A load has a scope of its own, and the services of the caller that started it;
 *   others may wait for it, or be served what it stored. So a lookup must not ask
 *   for what ends with a request. In a transaction it would store what only the
 *   transaction sees: say where it is, with `Changes.withTransaction`, and reads
 *   inside go past the cache.
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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Metric from "effect/Metric"
import type * as Option from "effect/Option"
import type * as Pipeable from "effect/Pipeable"
import type * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CacheService from "./CacheService.ts"
import type * as CacheStore from "./CacheStore.ts"
import type * as Dependency from "./Dependency.ts"
import * as Counters from "./internal/counters.ts"
import * as Explain from "./internal/explain.ts"
import type { Refresh } from "./internal/interpreter/decide.ts"
import * as Definitions from "./internal/interpreter/definitions.ts"
import type { AnyEffect } from "./internal/interpreter/definitions.ts"
import * as Operations from "./internal/interpreter/operations.ts"
import * as Patterns from "./internal/interpreter/patterns.ts"
import * as Stats from "./internal/interpreter/stats.ts"
import { eachOf } from "./internal/oneOrMany.ts"
import { invalidate as applyNow, mutate as mutateNow } from "./internal/service/invalidating.ts"
import { inside as insideService } from "./internal/service/model.ts"
import * as Invalidation from "./Invalidation.ts"
import type * as Key from "./Key.ts"
import type * as Policy from "./Policy.ts"
import type * as Verdict from "./Verdict.ts"

export type { Description, Explanation } from "./internal/explain.ts"
export type { Refresh } from "./internal/interpreter/decide.ts"
export { LoadCircle, LoadTimeout } from "./internal/interpreter/definitions.ts"
export type { RefreshPause } from "./internal/interpreter/definitions.ts"
export type { Stats } from "./internal/interpreter/stats.ts"

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
  readonly "~effect-cache-algebra/Cached": {
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
  readonly "~effect-cache-algebra/Cached": object
}

/**
 * Typed failures that are cached: their schema, and the policy for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failures<in K, in out F, out E = never, out R = never> {
  readonly error: Schema.Codec<F, unknown>
  readonly policy: Policy.Policy<K, NoInfer<F>, E, R>
}

/**
 * Options of a definition.
 *
 * - `key`, `value`: how keys are written, and the schema of values. Stores that
 *   keep text write values with the schema's JSON codec; one whose text has more
 *   than 2^26 characters is served and not stored, with a warning.
 * - `version`: an integer or a short text. Give it another one when the schema of
 *   the values or of the failures changes: while two releases run side by side,
 *   each then has entries of its own. What is invalidated reaches those of all
 *   versions, in every release.
 * - `lookup`: loads one value from the origin, in a scope of its own.
 * - `lookupMany`: loads several at once for `getMany`: one result for each key,
 *   in the order of the keys.
 * - `batchSize`: the most keys of one call of `lookupMany` (1000). Of more missing
 *   keys each batch is loaded and stored before the next.
 * - `failures`: typed failures that are worth caching ("not found"), and the
 *   policy for them. Such a failure is an answer: it replaces an older value. With
 *   `failures`, the functions of the policy infer what they are given.
 * - `refresh`: which callers wait for a refresh; `background` unless given. Inside of
 *   another lookup all do.
 * - `softTimeout`: after this long, a caller who waits is served the old value
 *   if there is one that may be served in such a case, and the load goes on.
 * - `hardTimeout`: after this long, a load is interrupted and fails with
 *   `LoadTimeout`.
 * - `lease`: how long one process may keep the others from loading a key (1
 *   minute). Correctness does not depend on it.
 * - `waitLimit`: how long a caller waits for a load of another process before
 *   it loads for itself, without storing (10 seconds).
 * - `concurrency`: how many lookups run at once in this process; a call of `lookupMany`
 *   is one. Others wait their turn, in the order in which they came: loads for callers,
 *   refreshes in the background, and loads without the store alike. No limit unless given.
 *   A lookup for which another one waits that has its turn does not wait, and comes on top.
 * - `refreshPause`: how long the refresh of a key in the background is not tried again
 *   after it failed: 1 second, then twice as long each time, up to 1 minute, each shortened
 *   by chance by up to a half. It ends when the key is loaded, and holds nobody up who waits.
 * - `storeFailure`: what a read does when the store fails: `load` from the
 *   origin (the default), `share` such a load with the other callers of this
 *   process, or `fail` with `StoreError`, to protect the origin. A load that is
 *   shared may have begun before an invalidation of another process, which this
 *   one cannot know of; what is invalidated in this process voids it, also if the
 *   store did not acknowledge it.
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
  S extends "load" | "share" | "fail" = "load",
  EM = never,
  RM = never,
  EF = never,
  RF = never
> {
  readonly key: Key.Key<K>
  readonly value: Schema.Codec<V, unknown>
  readonly version?: string | number
  readonly lookup: (key: NoInfer<K>) => Effect.Effect<NoInfer<V>, E, R>
  readonly lookupMany?: (
    keys: ReadonlyArray<NoInfer<K>>
  ) => Effect.Effect<ReadonlyArray<Result.Result<NoInfer<V>, NoInfer<E>>>, EM, RM>
  readonly batchSize?: number
  readonly failures?: Failures<NoInfer<K>, F, EF, RF>
  readonly refresh?: Refresh
  readonly softTimeout?: Duration.Input
  readonly hardTimeout?: H
  readonly lease?: Duration.Input
  readonly waitLimit?: Duration.Input
  readonly concurrency?: number
  readonly refreshPause?: Definitions.RefreshPause
  readonly storeFailure?: S
}

// -----------------------------------------------------------------------------
// definitions
// -----------------------------------------------------------------------------

/**
 * Defines a cached read.
 *
 * The policy is an argument of its own, so that the key and value of its
 * functions infer from the options. Throws `InvalidInput` for an empty name, for
 * durations that are not positive, and for a version that is empty, longer than 64
 * characters, or no integer.
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
  S extends "load" | "share" | "fail" = "load",
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
  | ([H] extends [never] ? never : Definitions.LoadTimeout)
  | (S extends "fail" ? CacheStore.StoreError : never),
  Exclude<R | RM, Scope.Scope> | PR | RF
> => new Definitions.Definition(name, options as unknown as Definitions.Options, policy as Policy.Any) as never

/**
 * The option `failures` where functions of its policy are given the failure: as an
 * argument after its schema, the policy infers from it.
 *
 * **Example** (What is missing is looked for again once its kind has changed)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, Policy } from "effect-cache-algebra"
 *
 * class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { kind: Schema.String }) {}
 * const film = Cached.make("film", {
 *   key: Key.int("id"),
 *   value: Schema.String,
 *   lookup: () => Effect.fail(new NotFound({ kind: "film" })),
 *   failures: Cached.failures(NotFound, Policy.tagged({ fromValue: ({ kind }) => kind }))
 * }, Policy.ttl("5 minutes"))
 *
 * film.toString() // => "film(id): ttl(5m)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const failures = <F, K, E = never, R = never>(
  error: Schema.Codec<F, unknown>,
  policy: Policy.Policy<K, NoInfer<F>, E, R>
): Failures<K, F, E, R> => ({ error, policy })

/**
 * Whether a value is a definition.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCached = (u: unknown): u is Any => Definitions.isDefinition(u)

type Reading<A, E, R> = Effect.Effect<A, E, R | CacheService.CacheService>

type Invalidating = Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>

type Soft = { readonly soft?: boolean }

const inside = (self: Any): Definitions.Definition => self as unknown as Definitions.Definition

/**
 * The key under which a value is stored: the name and the parts of the key,
 * escaped, with `:` in between. Throws `InvalidInput` for a key that cannot be
 * encoded.
 *
 * @category invalidations
 * @since 0.1.0
 */
export const keyOf: {
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): string
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => string
} = dual(2, (self: Any, key: unknown): string => inside(self).written.get(key))

/**
 * The invalidation of some keys of a definition, as a value: to be combined with
 * others, or given to `mutate`.
 *
 * @category invalidations
 * @since 0.1.0
 */
export const invalidation: {
  <K, V, E, R>(self: Cached<K, V, E, R>, keys: Iterable<K>): Invalidation.Invalidation
  <K>(keys: Iterable<K>): <V, E, R>(self: Cached<K, V, E, R>) => Invalidation.Invalidation
} = dual(
  2,
  (self: Any, keys: Iterable<unknown>): Invalidation.Invalidation =>
    Invalidation.keys(Array.from(keys, (key) => inside(self).written.get(key)))
)

type KeyOf<D> = D extends Cached<infer K, infer _V, infer _E, infer _R> ? K : never

/**
 * The invalidation of all keys of a definition that have the given fields, as a
 * value; of several definitions, too: "everything of user 5". Without any field:
 * all their keys. The fields are named, so they may stand at different places in
 * the keys; the keys of all the definitions must have them.
 *
 * Every key is looked at, so a tag is cheaper where one can be foreseen. Throws
 * `InvalidInput` for a field that some key lacks.
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
 * Cached.pattern(orders, { userId: 5 }).toString() // => "keys orders:*:5"
 * Cached.pattern([settings, orders], { userId: 5 }).toString() // => "keys orders:*:5, keys settings:5"
 * ```
 *
 * @category invalidations
 * @since 0.1.0
 */
export const pattern: {
  <const D extends ReadonlyArray<Any>>(
    definitions: D,
    fixed?: NoInfer<Patterns.FixedInAll<KeyOf<D[number]>>>
  ): Invalidation.Invalidation
  <K, V, E, R>(self: Cached<K, V, E, R>, fixed?: Key.Fixed<K>): Invalidation.Invalidation
} = (self: Any | Iterable<Any>, fixed: object = {}): Invalidation.Invalidation =>
  Invalidation.combineAll(Array.from(eachOf(self), (one) => Patterns.pattern(inside(one), fixed)))

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
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<V, E, R>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<V, E, R>
} = dual(
  2,
  (self: Any, key: unknown): AnyEffect => Effect.withFiber((fiber) => Operations.get(inside(self), key, fiber))
)

/**
 * The value of a key if it may be served without a load; never loads, and
 * refreshes nothing. A cached failure fails. A store that fails gives none.
 *
 * @category reading
 * @since 0.1.0
 */
export const getOption: {
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Option.Option<V>, E, R>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<Option.Option<V>, E, R>
} = dual(2, (self: Any, key: unknown): AnyEffect => Operations.getOption(inside(self), key))

/**
 * A value, and what is known of its entry at this moment. Times are milliseconds
 * of the store's clock, `age` is milliseconds.
 *
 * - `verdict`: how it may be served.
 * - `age`: since it was stored.
 * - `freshUntil`: when it stops being fresh by its age or a tick of a clock, with
 *   jitter and spread, if nothing it depends on changes before. It is `Infinity`
 *   if no time ends it, and the present if it is past. `xfetch` may have it
 *   refreshed earlier; it is fresh meanwhile.
 * - `usableUntil`: from then on it is served in no case, as `freshUntil` if nothing
 *   changes before.
 * - `dependencies`: what it depends on: those known from the key, and those found
 *   in the value.
 * - `validator`: a text of letters, digits and hyphens, for an `ETag`. It is the same
 *   while the entry is, and another whenever the value may be another.
 *
 * A value that was loaded now and not stored (refused by an invalidation, loaded
 * under a fence, too large, without the store, or by its policy) is `Fresh` until
 * now, depends on nothing, and has no validator.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry<out V> {
  readonly value: V
  readonly verdict: Verdict.Verdict
  readonly storedAt: number
  readonly age: number
  readonly freshUntil: number
  readonly usableUntil: number
  readonly dependencies: ReadonlyArray<Dependency.Dependency>
  readonly validator: Option.Option<string>
}

/**
 * The value of a key as `get` gives it, with what is known of its entry, all from
 * one read. A load is waited for until it is stored, so its validator is that of
 * the entry which the next read finds.
 *
 * @category reading
 * @since 0.1.0
 */
export const getEntry: {
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<Entry<V>, E, R>
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Entry<V>, E, R>
} = dual(2, (self: Any, key: unknown): AnyEffect => Operations.getEntry(inside(self), key))

/**
 * The entry of a key, if there is one that may still be served in some case, be
 * it only in place of a load that fails (`OnError`). One that is `Dead` is dropped.
 *
 * Asks the store once, never loads, refreshes nothing, and counts as no read. A
 * cached failure fails. A store that fails, and an entry that cannot be read, give
 * none; those are counted.
 *
 * What a lookup makes of a stale entry that it peeked at is stale, too, unless it
 * is the entry that it is to replace.
 *
 * @category reading
 * @since 0.1.0
 */
export const peekEntry: {
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<Option.Option<Entry<V>>, E, R>
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Option.Option<Entry<V>>, E, R>
} = dual(2, (self: Any, key: unknown): AnyEffect => Operations.peekEntry(inside(self), key))

/**
 * The values of several keys, in their order. What is missing is loaded by
 * `lookupMany`, up to `batchSize` keys a call; if the definition has none, by one
 * `lookup` each, up to 128 at once. A key that is given twice is asked for once.
 *
 * Fails with the first failure, in the order of the keys; all loads have ended
 * then. With `mode: "result"`, gives a result for each key and fails only with
 * defects.
 *
 * @category reading
 * @since 0.1.0
 */
export const getMany: {
  <K, V, E, R>(self: Cached<K, V, E, R>, keys: Iterable<K>): Reading<Array<V>, E, R>
  <K, V, E, R>(
    self: Cached<K, V, E, R>,
    keys: Iterable<K>,
    options: { readonly mode: "result" }
  ): Reading<Array<Result.Result<V, E>>, never, R>
  <K>(keys: Iterable<K>): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Array<V>, E, R>
  <K>(
    keys: Iterable<K>,
    options: { readonly mode: "result" }
  ): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Array<Result.Result<V, E>>, never, R>
} = dual(
  (args) => isCached(args[0]),
  (self: Any, keys: Iterable<unknown>, options?: { readonly mode: "result" }): AnyEffect<unknown> =>
    Effect.flatMap(
      Operations.getMany(inside(self), keys),
      (exits) => Effect.forEach(exits, (exit) => (options === undefined ? exit : Effect.result(exit)) as AnyEffect)
    )
)

/**
 * Loads a value anew and stores it, whatever is cached, and gives it. The old
 * value is served to others meanwhile. A load that is under way does not count:
 * it began before, so it is voided.
 *
 * @category reading
 * @since 0.1.0
 */
export const refresh: {
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<V, E, R>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<V, E, R>
} = dual(2, (self: Any, key: unknown): AnyEffect => Operations.refresh(inside(self), key))

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
 * is about the write: false when the store failed before it, and nothing is
 * written; true when the write is done and the key may still hold the old value.
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
} = dual(3, (self: Any, key: unknown, write: AnyEffect): AnyEffect => Operations.set(inside(self), key, write))

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
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K, options?: Soft): Invalidating
  <K>(key: K, options?: Soft): <V, E, R>(self: Cached<K, V, E, R>) => Invalidating
} = dual(
  (args) => isCached(args[0]),
  (self: Cached<unknown, unknown>, key: unknown, options?: Soft) => invalidateMany(self, [key], options)
)

/**
 * Invalidates several keys in one batch, as `invalidate` does one.
 *
 * @category invalidating
 * @since 0.1.0
 */
export const invalidateMany: {
  <K, V, E, R>(self: Cached<K, V, E, R>, keys: Iterable<K>, options?: Soft): Invalidating
  <K>(keys: Iterable<K>, options?: Soft): <V, E, R>(self: Cached<K, V, E, R>) => Invalidating
} = dual(
  (args) => isCached(args[0]),
  (self: Cached<unknown, unknown>, all: Iterable<unknown>, options: Soft = {}) =>
    Effect.suspend(() => {
      const batch = invalidation(self, all)
      return applyNow(options.soft === true ? Invalidation.soft(batch) : batch)
    })
)

/**
 * Applies an invalidation: tags, changes, patterns, everything, or a batch of
 * them. When it has returned, no read that starts later, in any process on the
 * same store, returns what was loaded before and is covered.
 *
 * A batch may be of any length. One that a store makes in several steps is made
 * behind a fence (see `mutate`).
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
) => Invalidating = applyNow

/**
 * Writes behind a fence: what the invalidation covers is invalidated before the
 * write, and nothing loaded until the write has ended is stored. If this process
 * dies in between, the fence ends by itself after `fence` (30 seconds), and
 * what was loaded under it stays refused.
 *
 * On Redis a fence over more than 2000 targets is one over everything: while it
 * stands, no load that begins is stored, and a warning says so. A tag that all
 * targets share is one target.
 *
 * A write is bounded by its fence: one that takes longer is interrupted and
 * fails with `InvalidationError`. Throws `InvalidInput` for a fence that is not
 * positive, or longer than a day.
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
  ): <A, E, R>(write: Effect.Effect<A, E, R>) => Reading<A, E | CacheService.InvalidationError, R>
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    over: Invalidation.Invalidation,
    options?: { readonly fence?: Duration.Input }
  ): Reading<A, E | CacheService.InvalidationError, R>
} = dual((args) => Effect.isEffect(args[0]), mutateNow)

// -----------------------------------------------------------------------------
// observing
// -----------------------------------------------------------------------------

/**
 * The counts of a definition; without one, those of all definitions that were
 * used, by name.
 *
 * @category observing
 * @since 0.1.0
 */
export const stats: {
  (): Effect.Effect<ReadonlyMap<string, Stats.Stats>, never, CacheService.CacheService>
  (self: Any): Effect.Effect<Stats.Stats, never, CacheService.CacheService>
} = (self?: Any): Effect.Effect<never, never, CacheService.CacheService> =>
  Effect.map(CacheService.CacheService, (service) => {
    const counters = insideService(service).allCounters()
    return (self === undefined ? Stats.ofAll(counters) : Stats.of(counters.get(self.name))) as never
  })

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
 * Explains what a read of a key would find now. Reads nothing else, loads
 * nothing, changes nothing.
 *
 * @category observing
 * @since 0.1.0
 */
export const explain: {
  <K>(key: K): <V, E, R>(self: Cached<K, V, E, R>) => Reading<Explain.Explanation, E | CacheStore.StoreError, R>
  <K, V, E, R>(self: Cached<K, V, E, R>, key: K): Reading<Explain.Explanation, E | CacheStore.StoreError, R>
} = dual(2, (self: Any, key: unknown): AnyEffect => Operations.explain(inside(self), key))

/**
 * Describes a definition: its keys, its policy, and what invalidates it.
 * Generated from the policy, so it is true.
 *
 * @category observing
 * @since 0.1.0
 */
export const describe = (self: Any): Explain.Description => Explain.describe(inside(self))
