/** A row that counts its own changes. */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { NotFound } from "../Model.ts"
import * as Queries from "../Queries.ts"

const Version = Schema.Struct({ cacheVersion: Schema.Int })

// #region read
/** By the primary key, at every read. */
const cacheVersion = (id: number) =>
  Effect.flatMap(
    Queries.rows(Version, (sql) => sql`select cache_version from articles where id = ${id}`),
    ([row]) => row === undefined ? Effect.fail(new NotFound({ what: "article", id })) : Effect.succeed(row.cacheVersion)
  )

export const articleData = Cached.make(
  "article/data",
  {
    key: Key.int("id"),
    value: Schema.Struct({ title: Schema.String, content: Schema.String }),
    lookup: (id) => Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content }))
  },
  Policy.all(Policy.ttl("1 hour"), Policy.versioned(cacheVersion, { name: "cacheVersion" }))
)

export const getCachedData = (id: number) => Cached.get(articleData, id)
// #endregion

// #region write
/** In the transaction of a change it is committed with it, or not at all. */
export const invalidateCache = (id: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`update articles set cache_version = cache_version + 1 where id = ${id}`
  )

export const updateArticle = (id: number, patch: { readonly title?: string; readonly content?: string }) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.andThen(
      sql`update articles set ${sql.update(patch)} where id = ${id}`,
      invalidateCache(id)
    ).pipe(sql.withTransaction))
// #endregion
