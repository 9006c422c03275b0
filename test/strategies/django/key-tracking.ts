/** "Manual Pattern Tracking": `CacheKeyTracker`, and its usage. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

// #region tracker
/** Track cache keys for pattern-based invalidation */
export const CacheKeyTracker = {
  TRACKER_KEY: "cache_key_tracker",

  /** Register a cache key under a pattern */
  registerKey: (cache: DjangoCache, pattern: string, key: string) =>
    Effect.gen(function*() {
      const tracker = (yield* cache.get<Record<string, Array<string>>>(CacheKeyTracker.TRACKER_KEY)) ?? {}
      const keys = tracker[pattern] ??= []
      if (!keys.includes(key)) keys.push(key)
      yield* cache.set(CacheKeyTracker.TRACKER_KEY, tracker, null)
    }),

  /** Invalidate all keys matching pattern */
  invalidatePattern: (cache: DjangoCache, pattern: string) =>
    Effect.gen(function*() {
      const tracker = (yield* cache.get<Record<string, Array<string>>>(CacheKeyTracker.TRACKER_KEY)) ?? {}
      const keys = tracker[pattern] ?? []
      if (keys.length === 0) return
      yield* cache.deleteMany(keys)
      // Remove pattern from tracker
      delete tracker[pattern]
      yield* cache.set(CacheKeyTracker.TRACKER_KEY, tracker, null)
    })
}
// #endregion

// #region usage
export const getProfile = (cache: DjangoCache, userId: number) =>
  Effect.gen(function*() {
    const cacheKey = `user:${userId}:profile`
    const cached = yield* cache.get<Effect.Success<ReturnType<typeof Queries.userProfile>>>(cacheKey)
    if (cached !== undefined) return cached
    const data = yield* Queries.userProfile(userId)
    yield* cache.set(cacheKey, data, 3600)
    yield* CacheKeyTracker.registerKey(cache, `user:${userId}`, cacheKey)
    return data
  })
// #endregion

export const getOrders = (cache: DjangoCache, userId: number) =>
  Effect.gen(function*() {
    const cacheKey = `user:${userId}:orders`
    const cached = yield* cache.get<Effect.Success<ReturnType<typeof Queries.userOrders>>>(cacheKey)
    if (cached !== undefined) return cached
    const data = yield* Queries.userOrders(userId)
    yield* cache.set(cacheKey, data, 3600)
    yield* CacheKeyTracker.registerKey(cache, `user:${userId}`, cacheKey)
    return data
  })
