/** The words of changes and transactions: their types, which `Changes` exports. */
import type * as Effect from "effect/Effect"
import type * as CacheService from "../../CacheService.ts"
import type * as Change from "../../Change.ts"
import type * as Invalidation from "../../Invalidation.ts"

/**
 * What is notified of changes: a search index, a feed, a log.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscriber {
  readonly name: string
  readonly notify: (changes: ReadonlyArray<Change.Change>) => Effect.Effect<void>
}

/**
 * What a transaction publishes and invalidates: changes, and what was invalidated
 * besides.
 *
 * @category models
 * @since 0.1.0
 */
export interface Collected {
  readonly changes: ReadonlyArray<Change.Change>
  readonly invalidation: Invalidation.Invalidation
}

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

/**
 * What a transaction does when it is committed and the store did not acknowledge
 * its invalidation, which is kept and tried again in any case.
 *
 * - `log`: it gives its result, with a warning in the log. This process serves nothing
 *   that is covered; others may serve the old values until it is delivered.
 * - `fail`: it fails with `InvalidationError`, whose `committed` has the result.
 *
 * @category models
 * @since 0.1.0
 */
export type OnUndelivered = "log" | "fail"

/**
 * A transaction that delivers what it collected after its commit. It may fail
 * and require what the transaction does (`E`, `R`).
 *
 * @category models
 * @since 0.1.0
 */
export interface WithTransaction<E = never, R = never> {
  <A, E2, R2>(
    effect: Effect.Effect<A, E2, R2>
  ): Effect.Effect<A, E | E2, R | R2 | CacheService.CacheService>
}
