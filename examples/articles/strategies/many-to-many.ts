/** Tags of articles: adding, removing and clearing are published for both sides. */
import { Effect, Schema } from "effect"
import { Change, Changes } from "../../../src/index.ts"
import * as SqlOutbox from "../../../src/SqlOutbox.ts"
import { Articles, Tags } from "../Model.ts"
import { rows } from "../Queries.ts"

// #region article
/** Rows of the relation that a statement has written. */
const Pair = Schema.Struct({ articleId: Schema.Int, tagId: Schema.Int })

/** Gives an article tags. */
export const addTags = (articleId: number, tagIds: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const added = yield* rows(Pair, (sql) =>
      sql`
        insert into article_tags (article_id, tag_id) select ${articleId}, unnest(${tagIds}::int[])
        on conflict do nothing returning *`)
    yield* Changes.publish(related("added", added))
  }).pipe(SqlOutbox.withTransaction)

/** Takes all tags from an article: the database says which there were. */
export const clearTags = (articleId: number) =>
  Effect.gen(function*() {
    const removed = yield* rows(
      Pair,
      (sql) => sql`delete from article_tags where article_id = ${articleId} returning *`
    )
    yield* Changes.publish(related("removed", removed))
  }).pipe(SqlOutbox.withTransaction)

const related = (kind: "added" | "removed", pairs: ReadonlyArray<typeof Pair.Type>) =>
  pairs.map(({ articleId, tagId }) =>
    Change.related(kind, Articles.end(articleId, "tags"), Tags.end(tagId, "articles"))
  )
// #endregion

// #region tag
/** From the other side: gives a tag to articles. The published changes are the same. */
export const addArticles = (tagId: number, articleIds: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const added = yield* rows(Pair, (sql) =>
      sql`
        insert into article_tags (article_id, tag_id) select unnest(${articleIds}::int[]), ${tagId}
        on conflict do nothing returning *`)
    yield* Changes.publish(related("added", added))
  }).pipe(SqlOutbox.withTransaction)
// #endregion
