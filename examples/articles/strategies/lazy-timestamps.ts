/** Not older than the row. */
import { Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { NotFound } from "../Model.ts"
import * as Queries from "../Queries.ts"

const Touched = Schema.Struct({ updatedAt: Schema.Date })

// #region read
/** By the primary key, at every read. */
const updatedAt = (id: number) =>
  Effect.flatMap(
    Queries.rows(Touched, (sql) => sql`select updated_at from articles where id = ${id}`),
    ([row]) => row === undefined ? Effect.fail(new NotFound({ what: "article", id })) : Effect.succeed(row.updatedAt)
  )

export const articleData = Cached.make(
  "article/updatedAt",
  {
    key: Key.int("id"),
    value: Schema.Struct({ title: Schema.String, content: Schema.String }),
    lookup: (id) => Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content }))
  },
  Policy.all(Policy.ttl("1 hour"), Policy.versioned(updatedAt, { name: "updatedAt", atLeast: true }))
)

export const getCachedData = (id: number) => Cached.get(articleData, id)
// #endregion
