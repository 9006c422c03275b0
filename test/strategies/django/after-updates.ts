/** The page's "Invalidation After Updates", and a view that reads what it deletes. */
import { Effect } from "effect"
import { articleRow } from "../../../examples/articles/Queries.ts"
import * as Article from "./Article.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** What a visitor is shown. */
export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, articleRow(articleId), 3600)

// #region update
/** Update article and invalidate related caches */
export const updateArticle = (cache: DjangoCache, articleId: number, fields: Article.Fields) =>
  Effect.gen(function*() {
    const article = yield* Article.get(articleId)

    // Update article
    Object.assign(article, fields)
    yield* Article.save(article)

    // Invalidate caches
    yield* cache.delete(`article:${articleId}`)
    yield* cache.delete(`article:detail:${articleId}`)
    yield* cache.delete("article:list")
    yield* cache.delete(`category:articles:${article.categoryId}`)

    return article
  })
// #endregion
