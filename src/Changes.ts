/**
 * Publishing what happened to entities.
 *
 * Writers say what changed; which cached values that concerns follows from
 * their policies. Publish **after** the commit: before it, a reader could load
 * the old row again.
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
 * }, Policy.conditional(Films, ["title"]))
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
import type * as Effect from "effect/Effect"
import * as CacheService from "./CacheService.ts"
import type * as Change from "./Change.ts"
import * as Invalidation from "./Invalidation.ts"

/**
 * Invalidates what the changes touch, as one batch. When it has returned, no
 * read that starts later returns what was loaded before.
 *
 * Gives how many entries were removed or softened at once, where the store can
 * tell. Fails with `InvalidationError` if the store did not acknowledge it;
 * publishing again is safe.
 *
 * @category publishing
 * @since 0.1.0
 */
export const publish = (
  ...changes: ReadonlyArray<Change.Change>
): Effect.Effect<number | undefined, CacheService.InvalidationError, CacheService.CacheService> =>
  CacheService.invalidate(Invalidation.changes(...changes))
