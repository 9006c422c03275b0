/** The page's "Invalidation in Model Methods", and the views that read what it deletes. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../../examples/articles/Queries.ts"
import * as Row from "./Article.ts"
import type { DjangoCache } from "./DjangoCache.ts"

export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:detail:${articleId}`, Queries.article(articleId), 3600)

export const categoryArticles = (cache: DjangoCache, categoryId: number) =>
  cache.getOrSet(`category:articles:${categoryId}`, Queries.articlesOfCategory(categoryId), 3600)

// #region model
export class Article {
  readonly cache: DjangoCache
  readonly fields: Row.Instance

  constructor(cache: DjangoCache, fields: Row.Instance) {
    this.cache = cache
    this.fields = fields
  }

  save() {
    // Invalidate caches after save
    return Effect.andThen(Row.save(this.fields), this.invalidateCache())
  }

  delete() {
    // Store values before deletion
    const { categoryId, id } = this.fields

    return Effect.gen({ self: this }, function*() {
      yield* Row.remove(this.fields)

      // Invalidate caches after delete
      yield* this.cache.delete(`article:${id}`)
      yield* this.cache.delete("article:list")
      yield* this.cache.delete(`category:articles:${categoryId}`)
    })
  }

  /** Invalidate all caches related to this article */
  invalidateCache() {
    return this.cache.deleteMany([
      `article:${this.fields.id}`,
      `article:detail:${this.fields.id}`,
      "article:list",
      `category:articles:${this.fields.categoryId}`,
      "popular_articles"
    ])
  }
}
// #endregion

/** `Article.objects.filter(author_id=...).update(published=False)`: one statement, and no `save` of any model. */
export const unpublishAuthor = (authorId: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set published = false where author_id = ${authorId}`)
