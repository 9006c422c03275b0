/**
 * Where the site's rows are: a Postgres in this process that forgets everything at its end (PGlite), or a server. Both are
 * reached by the same client, and have the tables when the layer is built.
 *
 * Columns are written `category_id` in the database and `categoryId` here; the client translates both ways.
 */
import { PgClient } from "@effect/sql-pg"
import { PGlite } from "@electric-sql/pglite"
import { Effect, Layer, type Redacted, String } from "effect"
import { SqlClient } from "effect/sql"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import { sessions } from "./pgliteStream.ts"
import * as schema from "./schema.ts"

const names = {
  transformQueryNames: String.camelToSnake,
  transformResultNames: String.snakeToCamel,
  // What is inside a JSON value is data.
  transformJson: false
}

/** Makes the tables, and that of the outbox. Several processes may do so at once: whoever comes second finds them there. */
export const createTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(Effect.gen(function*() {
    yield* sql`select pg_advisory_xact_lock(${7_238_651})`
    for (const statement of schema.statements) yield* sql.unsafe(statement)
    yield* SqlOutbox.createTable()
  }))
})

/** The layer, which is built when its tables are there. */
const withTables = <A, E>(database: Layer.Layer<A | SqlClient.SqlClient, E>) =>
  Layer.effectDiscard(createTables).pipe(Layer.provideMerge(database))

/** A Postgres in this process. It is one session: a transaction has it to itself, and the others wait. */
export const embedded = Layer.unwrap(
  Effect.map(
    Effect.acquireRelease(Effect.promise(() => PGlite.create()), (pglite) => Effect.promise(() => pglite.close())),
    (pglite) =>
      PgClient.layer({ ...names, stream: sessions(pglite), username: "postgres", ssl: false, maxConnections: 1 })
  )
).pipe(withTables)

/** Any Postgres: `postgres://user:password@host:port/database`. */
export const server = (url: Redacted.Redacted) => withTables(PgClient.layer({ ...names, url }))
