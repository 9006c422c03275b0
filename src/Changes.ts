/**
 * Publishing what happened to entities.
 *
 * Writers say what changed; which cached values that concerns follows from
 * their policies. What is published outside of a transaction is told at once, so
 * publish **after** the commit: before it, a reader could load the old row again.
 * Better, publish inside, and say where the transaction is: `withTransaction`
 * collects what is published and invalidated, tells it after the commit, and
 * forgets it on a rollback.
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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import * as Change from "./Change.ts"
import * as Inside from "./internal/service/insideTransaction.ts"
import { invalidate } from "./internal/service/invalidating.ts"
import { inside as insideService } from "./internal/service/model.ts"
import * as Invalidation from "./Invalidation.ts"

// -----------------------------------------------------------------------------
// publishing
// -----------------------------------------------------------------------------

/**
 * What is to be told: changes, and what was invalidated besides.
 *
 * @category models
 * @since 0.1.0
 */
export interface Collected {
  readonly changes: ReadonlyArray<Change.Change>
  readonly invalidation: Invalidation.Invalidation
}

/**
 * All that a collected publication makes untrue, as one batch.
 *
 * @category getters
 * @since 0.1.0
 */
export const invalidationOf = ({ changes, invalidation }: Collected): Invalidation.Invalidation =>
  // One by one: a function does not take any number of arguments.
  Invalidation.combineAll([...changes.map((change) => Invalidation.changes(change)), invalidation])

/**
 * Invalidates what the changes touch, as one batch. When it has returned, no
 * read that starts later returns what was loaded before. Then tells the
 * subscribers.
 *
 * Fails with `InvalidationError` if the store did not acknowledge it;
 * publishing again is safe.
 *
 * Inside of `withTransaction` the changes are collected. An update in which nothing differs is no news, and told to nobody.
 *
 * @category publishing
 * @since 0.1.0
 */
export const publish = (
  ...changes: ReadonlyArray<Change.Change>
): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> =>
  publishAll(changes)

const publishAll = (
  changes: ReadonlyArray<Change.Change>
): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> =>
  Effect.suspend(() => {
    const told = changes.filter((change) => Change.dependencies(change).length > 0)
    return deliver({ changes: told, invalidation: Invalidation.empty })
  })

/**
 * Runs a write and publishes what it changed, as its result tells.
 *
 * Neither can be interrupted: one that comes while the write is committed would
 * leave nobody to tell. Inside of `withTransaction` both can, since that rolls
 * back. A function that throws (`updated` with two different rows) is a defect:
 * outside of a transaction the write has happened then, and nobody is told.
 *
 * **Example** (A write that tells what it changed)
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
    changed: (result: A) => Change.Change | ReadonlyArray<Change.Change>
  ): <E, R>(
    write: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    changed: (result: A) => Change.Change | ReadonlyArray<Change.Change>
  ): Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService>
} = dual(
  2,
  <A, E, R>(
    write: Effect.Effect<A, E, R>,
    changed: (result: A) => Change.Change | ReadonlyArray<Change.Change>
  ): Effect.Effect<A, E | CacheService.InvalidationError, R | CacheService.CacheService> =>
    Effect.flatMap(CacheService.CacheService, (service) => {
      const published = Effect.tap(write, (result) => {
        const changes = changed(result)
        return publishAll("_tag" in changes ? [changes] : changes)
      })
      // A transaction that is interrupted is rolled back. Otherwise nobody would know whether the write has happened.
      return outerOf(service) !== undefined ? published : Effect.uninterruptible(published)
    })
)

// -----------------------------------------------------------------------------
// subscribers
// -----------------------------------------------------------------------------

/**
 * Somebody who is told of changes: a search index, a feed, a log.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscriber {
  readonly name: string
  readonly told: (changes: ReadonlyArray<Change.Change>) => Effect.Effect<void>
}

/**
 * Who is told of changes. `layer` adds to them.
 *
 * @category references
 * @since 0.1.0
 */
export const Subscribers = Context.Reference<ReadonlyArray<Subscriber>>("effect-cache-algebra/Changes/Subscribers", {
  defaultValue: () => []
})

const Disconnected = Context.Reference<ReadonlySet<string> | "everybody">(
  "effect-cache-algebra/Changes/Disconnected",
  { defaultValue: () => new Set<string>() }
)

/**
 * A subscriber, with a name by which a test can disconnect it. It cannot fail:
 * the change is committed, so what goes wrong is for the subscriber to deal
 * with. A defect is logged, and disturbs nobody else. Whoever publishes waits for
 * it and is not interrupted, so it should be short, or fork what takes long.
 *
 * Changes name rows, fields and partitions, and hold no rows: whoever needs one
 * reads it, and finds it as it is by then.
 *
 * @category subscribing
 * @since 0.1.0
 */
export const subscriber = <R>(
  name: string,
  told: (changes: ReadonlyArray<Change.Change>) => Effect.Effect<void, never, R>
): Effect.Effect<Subscriber, never, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.succeed({ name, told: (changes) => Effect.provideContext(Effect.suspend(() => told(changes)), context) })
  )

/**
 * Adds subscribers to those that are there already. They are told after the
 * commit, after the cache was invalidated, one after the other, and whoever
 * publishes waits for them.
 *
 * Two of these that are merged do not add up, since one of them counts: give all
 * to one, or provide one to the other.
 *
 * **Example** (A list of what has to be indexed anew)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Change, Changes, Entity, MemoryCache } from "effect-cache-algebra"
 *
 * const Films = Entity.make("film", { schema: Schema.Struct({ id: Schema.Int, title: Schema.String }), id: "id" })
 * const toIndex: Array<string> = []
 * const search = Changes.subscriber("search", (changes) => Effect.sync(() => {
 *   toIndex.push(...changes.map(Change.format))
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

const alsoDisconnected = (names: ReadonlyArray<string>): Effect.Effect<ReadonlySet<string> | "everybody"> =>
  Effect.map(
    Disconnected,
    (known) => known === "everybody" || names.length === 0 ? "everybody" : new Set([...known, ...names])
  )

/**
 * Runs an effect whose publications do not reach the subscribers of these names,
 * or nobody at all if no name is given. The cache is called `cache`: without it,
 * nothing that is published invalidates anything. For tests, and for imports that
 * invalidate everything at their end.
 *
 * What was collected by a transaction is told, or not, as where the transaction
 * was begun.
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

const tell = (
  subscribers: ReadonlyArray<Subscriber>,
  changes: ReadonlyArray<Change.Change>
): Effect.Effect<void> =>
  Effect.forEach(
    subscribers,
    ({ name, told }) =>
      Effect.catchCause(told(changes), (cause) =>
        Effect.annotateLogs(Effect.logError("a subscriber to changes died", cause), { subscriber: name })),
    {
      discard: true
    }
  )

/**
 * Tells what was collected: invalidates it as one batch, then tells the
 * subscribers of the changes, also if the store did not acknowledge the batch.
 *
 * Inside of `withTransaction` it is collected by that.
 *
 * @category publishing
 * @since 0.1.0
 */
export const deliver = (
  collected: Collected
): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> =>
  Effect.flatMap(CacheService.CacheService, (service) => {
    const transaction = outerOf(service)
    if (transaction === undefined) return deliverNow(collected)
    transaction.addAll(collected)
    return Effect.succeed({ entries: undefined, deferred: true })
  })

const nothing: CacheService.Invalidated = { entries: 0, deferred: false }

const deliverNow = (
  collected: Collected
): Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const without = yield* Disconnected
      if (without === "everybody") return nothing
      const exit = without.has("cache")
        ? Exit.succeed(nothing)
        : yield* Effect.exit(restore(invalidate(invalidationOf(collected))))
      // The change has happened, whatever became of the invalidation.
      if (collected.changes.length > 0) {
        yield* tell((yield* Subscribers).filter(({ name }) => !without.has(name)), collected.changes)
      }
      return yield* exit
    })
  )

// -----------------------------------------------------------------------------
// transactions
// -----------------------------------------------------------------------------

/**
 * Something that runs an effect in a transaction: `sql.withTransaction`. It
 * commits if the effect succeeds, and rolls back otherwise. Inside of itself it
 * makes a savepoint.
 *
 * It must take effects of every type, and adds failures of type `E` and
 * requirements of type `R` to theirs. The type says this of an effect without
 * either, since no more could be inferred from a generic function.
 *
 * @category models
 * @since 0.1.0
 */
export type Transaction<E = never, R = never> = (effect: Effect.Effect<never>) => Effect.Effect<never, E, R>

/** Who collects: what makes the transaction, and whether what is collected is written down before the commit. */
interface Owner {
  readonly transaction: unknown
  readonly saves: boolean
}

// Nothing that is collected without a transaction is told, so nothing need be written down.
const nobody: Owner = { transaction: undefined, saves: true }

/** What one transaction, or one savepoint, collects. */
class Collector implements Inside.Ending {
  /** The service as it is outside of all transactions. */
  readonly outside: CacheService.CacheService
  readonly owner: Owner
  /** What is to be done when all was told. */
  readonly after: Array<Effect.Effect<void>> = []
  readonly changes: Array<Change.Change> = []
  readonly fences: Array<CacheStore.Fence> = []
  private readonly around: Collector | undefined
  private batches: Array<Invalidation.Invalidation> = []
  private ended = false

  /** `around` collects from those who are still at work when this one has ended. */
  constructor(outside: CacheService.CacheService, owner: Owner, around: Collector | undefined) {
    this.outside = outside
    this.owner = owner
    this.around = around
  }

  /** Who collects now: until all is committed, nobody may be told. */
  get current(): Collector | undefined {
    return this.ended ? this.around?.current : this
  }

  get open(): boolean {
    return this.current !== undefined
  }

  end(): void {
    this.ended = true
  }

  get invalidation(): Invalidation.Invalidation {
    const all = Invalidation.combineAll(this.batches)
    this.batches = [all]
    return all
  }

  add(batch: Invalidation.Invalidation): void {
    this.current?.batches.push(batch)
  }

  addFence(fence: CacheStore.Fence): void {
    this.current?.fences.push(fence)
  }

  /** What is to be told of another one. */
  addAll({ changes, invalidation }: Collected): void {
    for (const change of changes) this.changes.push(change)
    this.add(invalidation)
  }

  /** What is to be done for another one, whether it is told or not. */
  addDuties({ after, fences }: Collector): void {
    for (const done of after) this.after.push(done)
    for (const fence of fences) this.fences.push(fence)
  }

  get isEmpty(): boolean {
    return this.changes.length === 0 && this.batches.every(Invalidation.isEmpty)
  }
}

/** The transaction that we are in. */
const outerOf = (service: CacheService.CacheService): Collector | undefined => {
  const { collecting } = insideService(service)
  return collecting instanceof Collector ? collecting.current : undefined
}

/** Runs an effect as the inside of a transaction. What it collects counts if it succeeds. */
const inside = <A, E, R>(
  outside: CacheService.CacheService,
  owner: Owner,
  around: Collector | undefined,
  effect: Effect.Effect<A, E, R>,
  ended: (collector: Collector, succeeded: boolean) => void
): Effect.Effect<A, E, Exclude<R, CacheService.CacheService>> =>
  Effect.suspend(() => {
    const collector = new Collector(outside, owner, around)
    return effect.pipe(
      Effect.provideService(CacheService.CacheService, Inside.within(insideService(outside), collector)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          collector.end()
          ended(collector, Exit.isSuccess(exit))
        })
      )
    )
  })

/**
 * Runs an effect as the inside of a transaction and gives what it collected
 * beside its result. Nothing is told to anybody: for tests, and to look before
 * telling. If the effect fails, what it collected is forgotten.
 *
 * **Example** (What a write would make untrue)
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
export const collect = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Collected], E, R | CacheService.CacheService> =>
  Effect.gen(function*() {
    const service = yield* CacheService.CacheService
    const outer = outerOf(service)
    const outside = outer?.outside ?? service
    let collected: Collector | undefined
    const lifted = Effect.suspend(() => lift(outside, collected?.fences ?? []))
    const result = yield* Effect.ensuring(
      inside(outside, nobody, outer, effect, (collector) => {
        collected = collector
      }),
      lifted
    )
    const { changes, invalidation } = collected!
    return [result, { changes, invalidation }] as const
  })

// A fence that cannot be taken away runs out by itself.
const lift = (service: CacheService.CacheService, fences: ReadonlyArray<CacheStore.Fence>): Effect.Effect<void> =>
  Effect.forEach(fences, (fence) => Effect.ignore(service.store.lift(fence)), { discard: true })

/**
 * What else is done with what a transaction collected: `before` inside of it,
 * just before its commit, and what that gives after it was told. This is how an
 * outbox is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Saving<E = never, R = never> {
  readonly before: (collected: Collected) => Effect.Effect<Effect.Effect<void>, E, R>
}

/**
 * Runs an effect in a transaction, and tells what it published and invalidated
 * after the commit. A rollback forgets it; so does one to a savepoint, with what
 * was collected since. While nothing is committed nothing is told, so nobody can
 * load the old row after having been told.
 *
 * Cached reads inside go past the cache: they see what the transaction sees, and
 * what they load is given to nobody else. Fences of `mutate` stand from where it
 * is called, and fall after the commit.
 *
 * Where it is not known whether the commit has happened (a connection that was
 * lost, an interruption), what was collected is told: too much does no harm.
 * What is collected lives in this process; one that dies between the commit and
 * the telling forgets it. `Outbox.withTransaction` does not.
 *
 * Fails with `InvalidationError` if the store did not acknowledge it; the
 * transaction is committed then, and the invalidation is tried again.
 *
 * **Gotchas**
 *
 * - A transaction that is begun without this is not seen: what is published in
 *   it is told at once, and cached reads in it keep what is not committed yet.
 * - It is about the cache that is provided where it is called. What is told to
 *   another `CacheService` inside is told at once.
 * - Give the same function for one database. One inside of another of another
 *   database is told when it is committed, and once more with the outer one.
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
export const withTransaction =
  <E2 = never, R2 = never, E3 = never, R3 = never>(transaction: Transaction<E2, R2>, saving?: Saving<E3, R3>) =>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<
    A,
    E | E2 | E3 | CacheService.InvalidationError,
    R | R2 | R3 | CacheService.CacheService
  > =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const service = yield* CacheService.CacheService
        const outer = outerOf(service)
        const outside = outer?.outside ?? service
        // A savepoint is told with its transaction. Whoever collects without a transaction tells nobody.
        const isPart = outer !== undefined &&
          (outer.owner === nobody || outer.owner.transaction === transaction)
        const isSaved = saving === undefined || (isPart && outer.owner.saves)
        const owner: Owner = { transaction, saves: saving !== undefined || (isPart && outer.owner.saves) }
        const save = (collector: Collector): Effect.Effect<void, E3, R3> =>
          isSaved || collector.isEmpty
            ? Effect.void
            : Effect.map(saving.before(collector), (done) => void collector.after.push(done))
        // One that is tried again succeeds several times, and what any of them collected may have happened.
        const all = new Collector(outside, owner, isPart ? outer : undefined)
        const body = inside(
          outside,
          owner,
          all,
          Effect.tap(effect, Effect.flatMap(CacheService.CacheService, (service) => save(outerOf(service)!))),
          (collector, succeeded) => {
            all.addDuties(collector)
            if (succeeded) all.addAll(collector)
          }
        )
        const exit: Exit.Exit<A, E | E2 | E3> = yield* Effect.exit(restore(transaction(body as never)))
        all.end()
        // The outer one may have ended before.
        const waiting = outer?.current
        if (waiting !== undefined) {
          waiting.addAll(all)
          waiting.addDuties(all)
          if (isPart) return yield* exit
        }
        const told: Exit.Exit<unknown, CacheService.InvalidationError> = all.isEmpty
          ? Exit.void
          : yield* Effect.exit(Effect.provideService(deliver(all), CacheService.CacheService, outside))
        if (waiting === undefined) yield* lift(outside, all.fences)
        if (Exit.isFailure(told)) return yield* Exit.isFailure(exit) ? exit : Exit.failCause(told.cause)
        if (waiting === undefined) yield* Effect.forEach(all.after, (done) => done, { discard: true })
        return yield* exit
      })
    ) as never
