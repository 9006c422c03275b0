/** The page's "Use Constants for Cache Keys", and views that use them. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** `str.format` */
const format = (template: string, values: Readonly<Record<string, unknown>>): string =>
  template.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]))

// #region keys
/** Centralized cache key definitions */
export const CacheKeys = {
  ARTICLE_DETAIL: "article:{id}",
  ARTICLE_LIST: "article:list",
  CATEGORY_ARTICLES: "category:{categoryId}:articles",
  USER_PROFILE: "user:{userId}:profile",

  articleDetail: (articleId: unknown) => format(CacheKeys.ARTICLE_DETAIL, { id: articleId }),

  categoryArticles: (categoryId: unknown) => format(CacheKeys.CATEGORY_ARTICLES, { categoryId })
}
// #endregion

/** `path("articles/<str:article_id>/", article_detail)`: what stands in the address. */
export const articleDetail = (cache: DjangoCache, articleId: string) =>
  cache.getOrSet(CacheKeys.articleDetail(articleId), Queries.articleRow(Number(articleId)), 300)

export const articleList = (cache: DjangoCache) => cache.getOrSet(CacheKeys.ARTICLE_LIST, Queries.articleList(20), 300)

export const categoryArticles = (cache: DjangoCache, categoryId: number) =>
  cache.getOrSet(CacheKeys.categoryArticles(categoryId), Queries.articlesOfCategory(categoryId), 300)

/** What an article will look like. One that was not saved yet has no id. */
export const preview = (cache: DjangoCache, article: { readonly id: number | undefined; readonly title: string }) =>
  cache.getOrSet(CacheKeys.articleDetail(article.id), Effect.succeed(`<h1>${article.title}</h1>`), 300)
