/** The page's "Basic Signal Handler" and "Combined Signal Handler", and views that read what they delete. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { Deleted, Saved, Signals } from "./Dispatch.ts"
import type { DjangoCache } from "./DjangoCache.ts"

export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, Queries.articleRow(articleId), 3600)

export const categoryArticles = (cache: DjangoCache, categoryId: number) =>
  cache.getOrSet(`category:articles:${categoryId}`, Queries.articlesOfCategory(categoryId), 3600)

// #region basic
/** Invalidate article caches when article is saved */
export const invalidateArticleCacheOnSave = (cache: DjangoCache) => ({ created, instance }: Saved) =>
  Effect.gen(function*() {
    yield* cache.delete(`article:${instance.id}`)
    yield* cache.delete("article:list")

    // New article, invalidate category cache
    if (created) yield* cache.delete(`category:articles:${instance.categoryId}`)
  })

/** Invalidate article caches when article is deleted */
export const invalidateArticleCacheOnDelete = (cache: DjangoCache) => ({ instance }: Deleted) =>
  Effect.gen(function*() {
    yield* cache.delete(`article:${instance.id}`)
    yield* cache.delete("article:list")
    yield* cache.delete(`category:articles:${instance.categoryId}`)
  })
// #endregion

/** `@receiver(post_save, sender=Article)`, `@receiver(post_delete, sender=Article)` */
export const connectBasic = (signals: Signals, cache: DjangoCache): void => {
  signals.postSave.connect(invalidateArticleCacheOnSave(cache))
  signals.postDelete.connect(invalidateArticleCacheOnDelete(cache))
}

// #region combined
/** Invalidate article-related caches on any change */
export const invalidateArticleCaches = (cache: DjangoCache) => ({ instance }: Saved | Deleted) =>
  cache.deleteMany([
    `article:${instance.id}`,
    `article:detail:${instance.id}`,
    "article:list",
    "popular_articles",
    `category:${instance.categoryId}:articles`,
    // Add author-related caches
    `author:${instance.authorId}:articles`
  ])
// #endregion

/** `@receiver([post_save, post_delete], sender=Article)` */
export const connectCombined = (signals: Signals, cache: DjangoCache): void => {
  signals.postSave.connect(invalidateArticleCaches(cache))
  signals.postDelete.connect(invalidateArticleCaches(cache))
}
