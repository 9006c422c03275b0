/** Invalidation after updates: a write publishes what it changed, and the values that show it are loaded again. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Cached, Changes } from "../../../src/index.ts"
import * as SqlOutbox from "../../../src/SqlOutbox.ts"
import { Article, Articles, NotFound } from "../Model.ts"
import { rows } from "../Queries.ts"
import * as Site from "../Site.ts"
import type { ArticlePatch } from "../Writes.ts"

// #region update
/** Updates an article, and publishes what differs, which is delivered after the commit. */
export const updateArticle = (id: number, patch: ArticlePatch) =>
  Effect.gen(function*() {
    const [before] = yield* rows(Article, (sql) => sql`select * from articles where id = ${id} for update`)
    if (before === undefined) return yield* new NotFound({ what: "article", id })
    const [after] = yield* rows(Article, (sql) =>
      sql`update articles set ${sql.update(patch)} where id = ${id} returning *`)
    yield* Changes.publish(Articles.updated(before, after!))
    return after!
  }).pipe(SqlOutbox.withTransaction)
// #endregion

// #region mutate
/** Corrects the text of an article. What shows it is known before: its page. */
export const correctArticle = (id: number, content: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set content = ${content} where id = ${id}`).pipe(
    Cached.mutate(Cached.invalidation(Site.article, [id]))
  )
// #endregion
