/** "Probabilistic Early Expiration", which calls itself XFetch. */
import { Clock, Effect, Random } from "effect"
import type { DjangoCache } from "./DjangoCache.ts"

/** `random.gauss(0, 1)`. */
const gauss = Effect.map(
  Effect.all([Random.next, Random.next]),
  ([u, v]) => Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v)
)

// #region program
export const getCachedWithEarlyRefresh = <A, E, R>(
  cache: DjangoCache,
  key: string,
  computeFunc: Effect.Effect<A, E, R>,
  timeout = 300
) =>
  Effect.gen(function*() {
    const cached = yield* cache.get<readonly [data: A, cachedAt: number, cacheTimeout: number]>(key)
    if (cached !== undefined) {
      const [data, cachedAt] = cached

      // Calculate time elapsed
      const elapsed = ((yield* Clock.currentTimeMillis) - cachedAt) / 1000

      // Probability of early refresh increases as expiration approaches
      // delta * beta * log(random) formula
      const delta = timeout - elapsed
      const beta = 1.0 // Tuning parameter

      if (delta > 0) {
        const earlyRefreshThreshold = delta * beta * Math.abs(yield* gauss)
        if (elapsed < earlyRefreshThreshold) return data
      }
    }

    // Cache miss or early refresh triggered
    const data = yield* computeFunc
    yield* cache.set(key, [data, yield* Clock.currentTimeMillis, timeout], timeout)
    return data
  })
// #endregion
