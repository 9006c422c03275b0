/** Writes of articles that always publish. */
import { Effect } from "effect"
import { Repository } from "../../../src/index.ts"
import * as SqlOutbox from "../../../src/SqlOutbox.ts"
import { Article, Articles, NotFound } from "../Model.ts"
import { rows } from "../Queries.ts"
import type { ArticlePatch, NewArticle } from "../Writes.ts"

/** The one row, or a failure. */
const one = (id: number) => ([row]: ReadonlyArray<Article>) =>
  row === undefined ? Effect.fail(new NotFound({ what: "article", id })) : Effect.succeed(row)

const locked = (id: number) =>
  Effect.flatMap(rows(Article, (sql) => sql`select * from articles where id = ${id} for update`), one(id))

// #region repository
export const articles = Repository.make(Articles, {
  create: (article: NewArticle) =>
    Effect.map(rows(Article, (sql) => sql`insert into articles ${sql.insert(article)} returning *`), ([row]) => row!),

  update: (id: number, patch: ArticlePatch) =>
    Effect.gen(function*() {
      const before = yield* locked(id)
      const after = yield* Effect.flatMap(
        rows(Article, (sql) => sql`update articles set ${sql.update(patch)} where id = ${id} returning *`),
        one(id)
      )
      return { before, after }
    }),

  delete: (id: number) =>
    Effect.flatMap(rows(Article, (sql) => sql`delete from articles where id = ${id} returning *`), one(id))
}, { within: SqlOutbox.withTransaction })
// #endregion

// #region many
/** One statement that changes many rows publishes a change for each. */
export const { updateMany: unpublishAuthor } = Repository.make(Articles, {
  updateMany: (authorId: number) =>
    Effect.gen(function*() {
      const before = yield* rows(Article, (sql) =>
        sql`select * from articles where author_id = ${authorId} and published for update`)
      const after = yield* rows(Article, (sql) =>
        sql`update articles set published = false where author_id = ${authorId} and published returning *`)
      const byId = new Map(after.map((row) => [row.id, row]))
      return before.map((row) => ({ before: row, after: byId.get(row.id)! }))
    })
}, { within: SqlOutbox.withTransaction })
// #endregion
