/** "Lazy Invalidation with Timestamps": what was cached before the row was changed is not served. */
import { Clock, Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { Instance } from "./Article.ts"
import type { DjangoCache } from "./DjangoCache.ts"

interface Data {
  readonly title: string
  readonly content: string
}

const computeExpensiveData = (id: number) =>
  Effect.map(Queries.articleRow(id), ({ content, title }): Data => ({ title, content }))

// #region model
export const getCachedData = (cache: DjangoCache, self: Instance) =>
  Effect.gen(function*() {
    const cacheKey = `article:${self.id}`
    const cached = yield* cache.get<{ readonly data: Data; readonly cachedAt: Date }>(cacheKey)

    // Check if cache is stale
    if (cached && cached.cachedAt >= self.updatedAt) return cached.data

    // Cache miss or stale, fetch fresh data
    const data = yield* computeExpensiveData(self.id)
    yield* cache.set(cacheKey, { data, cachedAt: new Date(yield* Clock.currentTimeMillis) }, 3600)
    return data
  })
// #endregion
