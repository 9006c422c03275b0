/**
 * The outbox as a table in Postgres, by way of Effect's `SqlClient`.
 *
 * **Unstable**: `effect/sql` is unstable, and may change in a minor version of
 * Effect; then this does. So it is not in the index: import
 * `effect-cache-algebra/SqlOutbox`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Changes from "./Changes.ts"
import { refused } from "./internal/refused.ts"
import * as Outbox from "./Outbox.ts"

interface Options {
  readonly table?: string
}

const tableOf = ({ table = "cache_outbox" }: Options): string => {
  if (/^[^\s.\0]+(\.[^\s.\0]+)?$/.test(table)) return table
  throw refused("SqlOutbox", "EmptyName", `a table's name is a word, or two with a dot, and not "${table}"`)
}

/**
 * Makes the table if it is not there: `cache_outbox` unless given; a dot separates
 * a schema. It belongs to your migrations.
 *
 * @category constructors
 * @since 0.1.0
 */
export const createTable = (options: Options = {}): Effect.Effect<void, SqlError, SqlClient.SqlClient> => {
  const table = tableOf(options)
  return Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`
      create table if not exists ${sql(table)} (
        id bigint generated always as identity primary key,
        message text not null,
        appended_at timestamptz not null default clock_timestamp(),
        claimed_until timestamptz
      )
    `.pipe(Effect.asVoid))
}

/**
 * The outbox of a database, in the table `cache_outbox` unless given. The client
 * must be the one that the program's transactions are made with.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Outbox.Outbox, never, SqlClient.SqlClient> => {
  const name = tableOf(options)
  return Layer.effect(Outbox.Outbox, Effect.map(SqlClient.SqlClient, (sql) => make(sql, name)))
}

const make = (sql: SqlClient.SqlClient, name: string): Outbox.Outbox => {
  const table = sql(name)
  const failing =
    (operation: Outbox.OutboxError["operation"]) =>
    <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, Outbox.OutboxError> =>
      Effect.mapError(effect, (cause) => new Outbox.OutboxError({ operation, cause }))
  return {
    append: (text) =>
      sql<{ readonly id: string }>`insert into ${table} (message) values (${text}) returning id::text as id`.pipe(
        Effect.map(([row]) => row!.id),
        failing("append")
      ),
    remove: (id) => failing("remove")(Effect.asVoid(sql`delete from ${table} where id = ${id}::text::bigint`)),
    claim: ({ grace, lease, limit }) => {
      // One claims at a time, and none while a claim stands. A writer that removes its own message is not held up.
      const lock = sql`select pg_advisory_xact_lock(hashtextextended(${`effect-cache-algebra/${name}`}, 0))`
      const claim = sql<Outbox.Message>`
        update ${table} set claimed_until = clock_timestamp() + ${lease}::float8 * interval '1 millisecond'
        where not exists (select from ${table} where claimed_until > clock_timestamp())
        and id in (
          select id from ${table}
          where appended_at <= clock_timestamp() - ${grace}::float8 * interval '1 millisecond'
          order by id limit ${limit}::int
        )
        returning id::text as id, message as text
      `
      return Effect.andThen(lock, claim).pipe(
        sql.withTransaction,
        // Whatever the database's default: of a snapshot that is older than the lock, the update would be refused.
        Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED"),
        Effect.map((rows) => rows.toSorted((a, b) => BigInt(a.id) < BigInt(b.id) ? -1 : 1)),
        failing("claim")
      )
    },
    release: (ids) =>
      failing("release")(
        Effect.asVoid(sql`update ${table} set claimed_until = null where ${sql.in("id", ids.map(BigInt))}`)
      )
  }
}

/**
 * `Outbox.withTransaction` with the transactions of the `SqlClient`.
 *
 * @category writing
 * @since 0.1.0
 */
export const withTransaction: Changes.WithTransaction<
  SqlError | Outbox.OutboxError,
  SqlClient.SqlClient | Outbox.Outbox
> = (effect) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Outbox.withTransaction<SqlError>(sql.withTransaction)(effect))
