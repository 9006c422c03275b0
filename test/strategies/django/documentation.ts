/** "Document Cache Dependencies": the model's docstring, with the `save` of the page's model beside it. */
import { Effect } from "effect"
import type { Article } from "../../../examples/articles/Model.ts"
import type { DjangoCache } from "./DjangoCache.ts"

// #region docstring
/**
 * Article model with caching.
 *
 * Cache keys used:
 * - article:{id} - Article detail
 * - article:list - All articles list
 * - category:{category_id}:articles - Articles by category
 * - author:{author_id}:articles - Articles by author
 * - popular_articles - Top 10 popular articles
 *
 * Invalidation triggers:
 * - save(): Invalidates detail and list caches
 * - delete(): Invalidates all related caches
 * - tags change (M2M): Invalidates detail and tag caches
 */
export const save = (cache: DjangoCache, article: Article, write: Effect.Effect<void>) =>
  Effect.andThen(
    write,
    // As in "Invalidation in Model Methods".
    cache.deleteMany([
      `article:${article.id}`,
      `article:detail:${article.id}`,
      "article:list",
      `category:articles:${article.categoryId}`,
      "popular_articles"
    ])
  )
// #endregion

/** What the docstring says that there is, for one article. */
export const documentedKeys = ({ authorId, categoryId, id }: Article): ReadonlyArray<string> => [
  `article:${id}`,
  "article:list",
  `category:${categoryId}:articles`,
  `author:${authorId}:articles`,
  "popular_articles"
]
