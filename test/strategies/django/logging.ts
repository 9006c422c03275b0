/** "Log Invalidations": `invalidate_with_logging`, and the read that goes with it. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** Reads as Django programs do. */
export const getTitle = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}:title`, Queries.title(articleId), 3600)

// #region invalidate
/** Invalidate cache with logging */
export const invalidateWithLogging = (cache: DjangoCache, keys: string | ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const all = typeof keys === "string" ? [keys] : keys

    yield* Effect.logInfo(`Invalidating ${all.length} cache keys: ${all.join(", ")}`)

    yield* cache.deleteMany(all).pipe(
      Effect.tapCause((e) => Effect.logError("Cache invalidation failed", e))
    )
    yield* Effect.logInfo("Cache invalidation successful")
  })
// #endregion
