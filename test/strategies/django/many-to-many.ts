/** The page's "Signal Handler with Related Objects", Django's two managers of a relation, and views that read what it deletes. */
import { Effect, Schema } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import { rows } from "../../../examples/articles/Queries.ts"
import type { Related, Saved, Signals } from "./Dispatch.ts"
import type { DjangoCache } from "./DjangoCache.ts"

export const articleDetail = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:${articleId}`, Queries.article(articleId), 3600)

export const tagArticles = (cache: DjangoCache, tagId: number) =>
  cache.getOrSet(`tag:${tagId}:articles`, Queries.articlesOfTag(tagId), 3600)

// #region signals
export const invalidateOnArticleSave = (cache: DjangoCache) => ({ instance }: Saved) =>
  Effect.gen(function*() {
    yield* cache.delete(`article:${instance.id}`)
    yield* cache.delete(`category:${instance.categoryId}:count`)
  })

/** Invalidate when article tags change */
export const invalidateOnTagsChange = (cache: DjangoCache) => ({ action, instance, pkSet }: Related) =>
  Effect.gen(function*() {
    if (["post_add", "post_remove", "post_clear"].includes(action)) {
      yield* cache.delete(`article:${instance.id}`)
      yield* cache.delete("popular_tags")

      // Invalidate tag-specific caches
      if (["post_add", "post_remove"].includes(action)) {
        for (const tagId of pkSet ?? []) yield* cache.delete(`tag:${tagId}:articles`)
      }
    }
  })
// #endregion

/** `@receiver(post_save, sender=Article)`, `@receiver(m2m_changed, sender=Article.tags.through)` */
export const connect = (signals: Signals, cache: DjangoCache): void => {
  signals.postSave.connect(invalidateOnArticleSave(cache))
  signals.m2mChanged.connect(invalidateOnTagsChange(cache))
}

const Pair = Schema.Struct({ articleId: Schema.Int, tagId: Schema.Int })

/** `article.tags` */
export const tagsOf = (signals: Signals, article: { readonly id: number }) => ({
  add: (...tagIds: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      const added = yield* rows(Pair, (sql) =>
        sql`
          insert into article_tags (article_id, tag_id) select ${article.id}, unnest(${tagIds}::int[])
          on conflict do nothing returning *`)
      const pkSet = added.map(({ tagId }) => tagId)
      yield* signals.m2mChanged.send({ instance: article, action: "post_add", reverse: false, pkSet })
    }),
  clear: Effect.gen(function*() {
    yield* rows(Pair, (sql) => sql`delete from article_tags where article_id = ${article.id} returning *`)
    yield* signals.m2mChanged.send({ instance: article, action: "post_clear", reverse: false, pkSet: undefined })
  })
})

/** `tag.articles`: the same signal, with the tag for its instance. */
export const articlesOf = (signals: Signals, tag: { readonly id: number }) => ({
  add: (...articleIds: ReadonlyArray<number>) =>
    Effect.gen(function*() {
      const added = yield* rows(Pair, (sql) =>
        sql`
          insert into article_tags (article_id, tag_id) select unnest(${articleIds}::int[]), ${tag.id}
          on conflict do nothing returning *`)
      const pkSet = added.map(({ articleId }) => articleId)
      yield* signals.m2mChanged.send({ instance: tag, action: "post_add", reverse: true, pkSet })
    })
})
