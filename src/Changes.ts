/**
 * Publishing what happened to entities.
 *
 * Writers say what changed; which cached values that concerns follows from
 * their policies. What is published outside of a transaction is delivered at
 * once, so publish **after** the commit: before it, a reader could load the old
 * row again. Better, publish inside, and say where the transaction is:
 * `withTransaction` collects what is published and invalidated, delivers it after
 * the commit, and drops it on a rollback.
 *
 * **Example** (A changed rating)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Changes, Entity, Key, MemoryCache, Policy } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, rating: Schema.Finite })
 * const Films = Entity.make("film", { schema: Film, id: "id" })
 *
 * let row = { id: 7, title: "Alien", rating: 8.4 }
 * let loads = 0
 * const title = Cached.make("title", {
 *   key: Key.int("id"),
 *   value: Schema.String,
 *   lookup: () => Effect.sync(() => (loads++, row.title))
 * }, Policy.conditional(Films, { fields: ["title"] }))
 *
 * const program = Effect.gen(function*() {
 *   yield* Cached.get(title, 7)
 *   const after = { ...row, rating: 8.5 }
 *   yield* Changes.publish(Films.updated(row, after))
 *   row = after
 *   yield* Cached.get(title, 7) // the title did not change: still cached
 *   return loads
 * }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as CacheService from "./CacheService.ts"
import * as Change from "./Change.ts"
import { collectorOf } from "./internal/changes/collector.ts"
import { deliver, Disconnected, Subscribers } from "./internal/changes/delivery.ts"
import type { Collected, OnUndelivered, Subscriber, Transaction, WithTransaction } from "./internal/changes/model.ts"
import * as Transactions from "./internal/changes/transaction.ts"
import { eachOf } from "./internal/oneOrMany.ts"
import { withResult } from "./internal/service/model.ts"
import * as Invalidation from "./Invalidation.ts"

export type { Collected, OnUndelivered, Subscriber, Transaction, WithTransaction } from "./internal/changes/model.ts"

// -----------------------------------------------------------------------------
// publishing
// -----------------------------------------------------------------------------

/**
 * Invalidates what the changes touch, as one batch: one change, or any number.
 * When it has returned, no read that starts later returns what was loaded before.
 * Then notifies the subscribers.
 *
 * Fails with `InvalidationError` if the store did not acknowledge it;
 * publishing again is safe.
 *
 * Inside of `withTransaction` the changes are collected. An update in which
 * nothing differs is left out.
 *
 * @category publishing
 * @since 0.1.0
 */
export const publish = (
  changes: Change.Change | Iterable<Change.Change>
): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> => {
  // An iterable may be gone through only once, and an effect may be run again.
  const all = [...eachOf(changes)]
  return Effect.suspend(() =>
    deliver({
      changes: all.filter((change) => Change.dependencies(change).length > 0),
      invalidation: Invalidation.empty
    })
  )
}

/**
 * Runs a write and publishes what it changed, which `changed` reads from its
 * result.
 *
 * Neither can be interrupted: an interruption that comes while the write is
 * committed would lose the publication. Inside of `withTransaction` both can,
 * since that rolls back. Outside of one, a publication that the store does not
 * acknowledge fails with an `InvalidationError` whose `committed` has the result of
 * the write. A `changed` that throws (`updated` with two different
 * rows) is a defect: outside of a transaction the write has happened then, and
 * nothing is published.
 *
 * **Example** (A write that publishes what it changed)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Changes, Entity, MemoryCache } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String })
 * const Films = Entity.make("film", { schema: Film, id: "id" })
 *
 * const rename = (id: number, title: string) =>
 *   Effect.succeed({ before: { id, title: "Alien" }, after: { id, title } }) // an update that returns both
 *
 * const program = rename(7, "Aliens").pipe(
 *   Changes.publishing(({ after, before }) => Films.updated(before, after)),
 *   Effect.provide(MemoryCache.layer({ capacity: 10 }))
 * )
 * const { after } = await Effect.runPromise(program)
 * after.title // => "Aliens"
 * ```
 *
 * @category publishing
 * @since 0.1.0
 */
export const publishing: {
  <A>(
    changed: (result: A) => Change.Change | Iterable<Change.Change>
  ): <E, R>(
    write: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    changed: (result: A) => Change.Change | Iterable<Change.Change>
  ): Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
} = dual(
  2,
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    changed: (result: A) => Change.Change | Iterable<Change.Change>
  ): Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService> =>
    Effect.flatMap(CacheService.CacheService, (service) => {
      // A transaction that is interrupted is rolled back. Otherwise it would not be known whether the write has happened.
      return collectorOf(service) !== undefined
        ? Effect.tap(write, (result) => publish(changed(result)))
        : Effect.uninterruptible(
          Effect.tap(write, (result) => Effect.mapError(publish(changed(result)), (error) => withResult(error, result)))
        )
    })
)

// -----------------------------------------------------------------------------
// subscribers
// -----------------------------------------------------------------------------

/**
 * A subscriber, with a name by which a test can disconnect it. It cannot fail:
 * the change is committed, so what goes wrong is for the subscriber to deal
 * with. A defect is logged, and the other subscribers are notified all the same.
 * The publisher waits for it and is not interrupted, so it should be short,
 * or fork what takes long.
 *
 * Changes name rows, fields and partitions, and hold no rows: a subscriber that
 * needs a row reads it, and finds it as it is by then.
 *
 * @category subscribing
 * @since 0.1.0
 */
export const subscriber = <R>(
  name: string,
  notify: (changes: ReadonlyArray<Change.Change>) => Effect.Effect<void, never, R>
): Effect.Effect<Subscriber, never, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.succeed({ name, notify: (changes) => Effect.provideContext(Effect.suspend(() => notify(changes)), context) })
  )

/**
 * Adds subscribers to those that are there already. They are notified after
 * the commit and after the cache was invalidated, one after the other, and the
 * publisher waits for them.
 *
 * If two of these layers are merged, only one counts: give all subscribers to one,
 * or provide one to the other.
 *
 * **Example** (A list of what has to be indexed again)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Change, Changes, Entity, MemoryCache } from "effect-cache-algebra"
 *
 * const Films = Entity.make("film", { schema: Schema.Struct({ id: Schema.Int, title: Schema.String }), id: "id" })
 * const toIndex: Array<string> = []
 * const search = Changes.subscriber("search", (changes) => Effect.sync(() => {
 *   for (const change of changes) toIndex.push(Change.format(change))
 * }))
 *
 * const write = Changes.publish(Films.created({ id: 7, title: "Alien" }))
 * const live = Layer.merge(MemoryCache.layer({ capacity: 10 }), Changes.layer(search))
 *
 * await Effect.runPromise(Effect.provide(write, live))
 * toIndex // => ["film:7 created"]
 *
 * await Effect.runPromise(write.pipe(Changes.disconnected("search"), Effect.provide(live)))
 * toIndex.length // => 1
 * ```
 *
 * @category subscribing
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  ...subscribers: ReadonlyArray<Effect.Effect<Subscriber, E, R>>
): Layer.Layer<never, E, R> =>
  Layer.effect(
    Subscribers,
    Effect.gen(function*() {
      return [...(yield* Subscribers), ...(yield* Effect.all(subscribers))]
    })
  )

const alsoDisconnected = (names: ReadonlyArray<string>): Effect.Effect<ReadonlySet<string> | "all"> =>
  Effect.map(Disconnected, (known) => known === "all" || names.length === 0 ? "all" : new Set([...known, ...names]))

/**
 * Runs an effect whose publications do not reach the subscribers of these names,
 * or none at all if no name is given. The cache is called `cache`: without it,
 * nothing that is published invalidates anything. For tests, and for imports that
 * invalidate everything at their end.
 *
 * What a transaction collects is delivered, or not, as where the transaction was
 * begun.
 *
 * @category testing
 * @since 0.1.0
 */
export const disconnected =
  (...names: ReadonlyArray<string>) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(alsoDisconnected(names), (all) => Effect.provideService(effect, Disconnected, all))

/**
 * The same as a layer.
 *
 * @category testing
 * @since 0.1.0
 */
export const layerDisconnected = (...names: ReadonlyArray<string>): Layer.Layer<never> =>
  Layer.effect(Disconnected, alsoDisconnected(names))

// -----------------------------------------------------------------------------
// transactions
// -----------------------------------------------------------------------------

/**
 * Runs an effect as the inside of a transaction and gives what it collected
 * beside its result. Nothing is delivered: for tests, and to look before
 * delivering. If the effect fails, what it collected is dropped.
 *
 * **Example** (What a write would invalidate)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, Changes, Invalidation, MemoryCache } from "effect-cache-algebra"
 *
 * const write = Effect.as(Cached.apply(Invalidation.tags("genre:drama")), "written")
 *
 * const program = Effect.gen(function*() {
 *   const [result, collected] = yield* Changes.collect(write)
 *   return [result, collected.invalidation.toString()]
 * }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 })))
 *
 * await Effect.runPromise(program) // => ["written", "tag genre:drama"]
 * ```
 *
 * @category transactions
 * @since 0.1.0
 */
export const collect: <A, E, R>(
  effect: Effect.Effect<A, E, R>
) => Effect.Effect<readonly [A, Collected], E, R | CacheService.CacheService> = Transactions.collect

/**
 * Runs an effect in a transaction, and delivers what it published and invalidated
 * after the commit. A rollback drops it; so does one to a savepoint, with what
 * was collected since. Nothing is delivered before the commit, so no reader
 * reacts to it by loading the old row.
 *
 * Cached reads inside go past the cache: they see what the transaction sees, and
 * what they load is given to no other reader. Fences of `mutate` stand from where
 * it is called, and are taken away after the commit.
 *
 * Where it is not known whether the commit has happened (a connection that was
 * lost, an interruption), what was collected is delivered: too much does no harm.
 * What is collected lives in this process; one that dies between the commit and
 * the delivery loses it. `Outbox.withTransaction` does not.
 *
 * If the store does not acknowledge it, the transaction is committed all the same, and the
 * invalidation is tried again until it is. By default the transaction then gives its result,
 * with a warning in the log: a caller who wrote again would write twice. Other processes
 * may serve the old values meanwhile; this one does not. With `onUndelivered: "fail"`
 * it fails with `InvalidationError`, whose `committed` has the result.
 *
 * **Gotchas**
 *
 * - A transaction that is begun without this is not seen: what is published in
 *   it is delivered at once, and cached reads in it keep what is not committed yet.
 * - It is about the cache that is provided where it is called. What is invalidated
 *   in another `CacheService` inside is invalidated at once.
 * - Give the same function for one database. One inside of another of another
 *   database is delivered when it is committed, and once more with the outer one.
 *
 * **Example** (All or nothing)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Cached, Changes, Invalidation, MemoryCache } from "effect-cache-algebra"
 *
 * const log: Array<string> = []
 * // In your program: `sql.withTransaction`.
 * const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
 *   Effect.tap(effect, Effect.sync(() => log.push("commit")))
 *
 * const rename = Cached.apply(Invalidation.tags("titles")).pipe(
 *   Effect.tap(Effect.sync(() => log.push("invalidated? not yet"))),
 *   Changes.withTransaction(transaction)
 * )
 *
 * await Effect.runPromise(Effect.provide(rename, MemoryCache.layer({ capacity: 10 })))
 * log // => ["invalidated? not yet", "commit"]
 * ```
 *
 * @category transactions
 * @since 0.1.0
 */
export const withTransaction: {
  <E = never, R = never>(
    transaction: Transaction<E, R>,
    options: { readonly onUndelivered: "fail" }
  ): WithTransaction<E | CacheService.InvalidationError, R>
  <E = never, R = never>(
    transaction: Transaction<E, R>,
    options?: { readonly onUndelivered?: "log" }
  ): WithTransaction<E, R>
} = <E, R>(
  transaction: Transaction<E, R>,
  options: { readonly onUndelivered?: OnUndelivered } = {}
): WithTransaction<E, R> =>
  Transactions.withTransaction(transaction, Transactions.onUndeliveredOf("Changes.withTransaction", options))
