/** "Redis Pattern Deletion": `invalidate_user_caches` and `invalidate_category_caches`, and reads that go with them. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** Not every backend of Django can delete by a pattern. */
export type Backend = Pick<DjangoCache, "deleteMany"> & Partial<Pick<DjangoCache, "deletePattern">>

// #region reads
export const getProfile = (cache: DjangoCache, userId: string) =>
  cache.getOrSet(`user:${userId}:profile`, Queries.profileByName(userId), 3600)

// Added a year after `invalidate_user_caches` was written.
export const getEmail = (cache: DjangoCache, userId: string) =>
  cache.getOrSet(`user:${userId}:email`, Effect.map(Queries.profileByName(userId), ({ email }) => email), 3600)
// #endregion

// #region invalidate
export const invalidateUserCaches = (cache: Backend, userId: string): Effect.Effect<unknown> => {
  if (cache.deletePattern !== undefined) {
    // Redis backend supports pattern deletion
    return cache.deletePattern(`user:${userId}:*`)
  }
  // Fallback for other backends
  const knownKeys = [`user:${userId}:profile`, `user:${userId}:orders`, `user:${userId}:settings`]
  return cache.deleteMany(knownKeys)
}

export const invalidateCategoryCaches = (cache: DjangoCache, categoryId: number) =>
  Effect.gen(function*() {
    yield* cache.deletePattern(`category:${categoryId}:*`)
    yield* cache.deletePattern(`*:category:${categoryId}:*`)
  })
// #endregion
