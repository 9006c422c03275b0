/**
 * A Postgres that lives in this process and forgets everything at its end (PGlite), or another that is reached in the
 * same way. It counts the queries it is asked.
 */
import { PGlite } from "@electric-sql/pglite"
import { Context, Effect, Exit, Layer, Ref, Schema, type Scope } from "effect"

export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  sql: Schema.String,
  cause: Schema.Defect()
}) {}

/** What a query is sent to. */
export interface Connection {
  query(sql: string, parameters: Array<unknown>): Promise<{ readonly rows: ReadonlyArray<unknown> }>
}

/** What is used of PGlite. */
export interface Postgres extends Connection {
  transaction<A>(run: (connection: Connection & { rollback(): Promise<void> }) => Promise<A>): Promise<A>
}

/** Inside a transaction, the transaction. */
const Within = Context.Reference<Connection | undefined>("catalogue/Within", { defaultValue: () => undefined })

const schema = `
  create table films (
    id int primary key,
    title text not null,
    year int not null,
    genre text,
    director text,
    rating double precision
  );
  create index films_by_genre on films (genre, rating desc nulls last);
`

/** A Postgres in this process, with an empty table of films. */
export const open: Effect.Effect<Postgres, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => PGlite.create()),
  (postgres) => Effect.promise(() => postgres.close())
).pipe(Effect.tap((postgres) => Effect.promise(() => postgres.exec(schema))))

/**
 * - `query`: rows of the given schema. Parameters are written `$1`, `$2` and never become part of the text.
 * - `transaction`: all or nothing; one inside another is part of it. Whoever is interrupted in there leaves one that
 *   rolls back, and the next query waits for that. Do not read through a cache inside: it would keep what is not
 *   committed yet.
 * - `queries`: how many were asked so far.
 * - `another`: the same data, with a count of its own.
 */
interface Shape {
  readonly query: <A, I>(
    row: Schema.Codec<A, I>,
    sql: string,
    parameters?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<A>, DatabaseError>
  readonly transaction: <A, E, R>(write: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DatabaseError, R>
  readonly queries: Effect.Effect<number>
  readonly another: Effect.Effect<Shape>
}

const make = (postgres: Postgres): Effect.Effect<Shape> =>
  Effect.map(Ref.make(0), (count) => ({
    query: Effect.fnUntraced(function*(row, sql, parameters = []) {
      const connection = (yield* Within) ?? postgres
      yield* Ref.update(count, (n) => n + 1)
      const failed = (cause: unknown) => new DatabaseError({ sql, cause })
      const { rows } = yield* Effect.tryPromise({ try: () => connection.query(sql, [...parameters]), catch: failed })
      const decode = Schema.decodeUnknownEffect(row)
      return yield* Effect.mapError(Effect.forEach(rows, (columns) => decode(columns)), failed)
    }),
    transaction: Effect.fnUntraced(function*<A, E, R>(write: Effect.Effect<A, E, R>) {
      if ((yield* Within) !== undefined) return yield* write
      const context = yield* Effect.context<R>()
      const exit = yield* Effect.tryPromise({
        try: (signal) =>
          postgres.transaction(async (connection) => {
            const inside = Effect.provideService(write, Within, connection)
            const exit = await Effect.runPromiseExitWith(context)(inside, { signal })
            if (Exit.isFailure(exit)) await connection.rollback()
            return exit
          }),
        catch: (cause) => new DatabaseError({ sql: "commit", cause })
      })
      return yield* exit
    }),
    queries: Ref.get(count),
    another: Effect.suspend(() => make(postgres))
  }))

export class Database extends Context.Service<Database, Shape>()("catalogue/Database") {
  static readonly layer = Layer.effect(Database, Effect.flatMap(open, make))

  static readonly layerOf = (postgres: Postgres) => Layer.effect(Database, make(postgres))
}
