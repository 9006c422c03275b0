/** "Batch Invalidations": `update_articles`, the bad and the good one, and the read that goes with them. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** Reads as Django programs do. */
export const getTitle = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, Queries.title(articleId), 3600)

// #region update
export const bad = {
  /** Multiple cache operations */
  updateArticles: (cache: DjangoCache, articleIds: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      for (const articleId of articleIds) yield* cache.delete(`article:${articleId}`)
    })
}

export const good = {
  /** Single batch operation */
  updateArticles: (cache: DjangoCache, articleIds: ReadonlyArray<number>) =>
    cache.deleteMany(articleIds.map((aid) => `article:${aid}`))
}
// #endregion
