/** The page's "Basic Delete", with keys of this site for its `my_key`, and a view that reads what it deletes. */
import { articleRow } from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** What a visitor is shown. */
export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, articleRow(articleId), 3600)

// #region delete
/** Delete single key */
export const deleteArticle = (cache: DjangoCache, articleId: number) => cache.delete(`article:${articleId}`)

/** Delete multiple keys */
export const deleteArticles = (cache: DjangoCache, articleIds: ReadonlyArray<number>) =>
  cache.deleteMany(articleIds.map((articleId) => `article:${articleId}`))

/** Clear entire cache (use with caution!) */
export const clear = (cache: DjangoCache) => cache.clear()
// #endregion
