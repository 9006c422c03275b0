/** "Fixed Time Intervals": a table of timeouts, and `set` with them. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

// #region timeouts
export const CACHE_TIMEOUTS = {
  static: 86400, // 24 hours
  dynamic: 300, // 5 minutes
  realTime: 60 // 1 minute
}

export const cacheArticle = (cache: DjangoCache, id: number) =>
  Effect.tap(Queries.article(id), (data) => cache.set(`article:${id}`, data, CACHE_TIMEOUTS.dynamic))
// #endregion

// #region read
export const getArticle = (cache: DjangoCache, id: number) =>
  cache.getOrSet(`article:${id}`, Queries.article(id), CACHE_TIMEOUTS.dynamic)
// #endregion
