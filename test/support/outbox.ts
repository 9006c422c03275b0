/**
 * What tests of the outbox share: a cached read of a table, and processes that die between commit and delivery.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql"
import * as Cached from "../../src/Cached.ts"
import type * as Entity from "../../src/Entity.ts"
import * as Key from "../../src/Key.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as Policy from "../../src/Policy.ts"

/** Reads one column of a row, and the same cached until that column changes. The table is the plural of the entity. */
export const columnOf = <Row, Field extends string, A>(
  entity: Entity.Entity<Row, number, Field>,
  column: NoInfer<Field>,
  value: Schema.Codec<A, unknown>
) => {
  const Columns = Schema.Struct({ value })
  const select = (id: number) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`select ${sql(column)} as value from ${sql(`${entity.name}s`)} where id = ${id}`
    ).pipe(
      Effect.map(([row]) => Schema.decodeUnknownSync(Columns)(row).value),
      Effect.orDie
    )
  const cached = Cached.make(
    entity.name,
    { key: Key.int("id"), value, lookup: select },
    Policy.conditional(entity, { fields: [column] })
  )
  return { cached, select }
}

/** Runs a write with an outbox in a process that stops for ever when it has committed. Ends when it has. */
export const dyingAfterCommit = <A, E, R>(write: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const committed = yield* Deferred.make<void>()
    const stopping = <A, E, R>(inside: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.uninterruptible(
        Effect.orDie(sql.withTransaction(Effect.exit(inside))).pipe(
          Effect.andThen(Deferred.succeed(committed, undefined)),
          Effect.andThen(Effect.never)
        )
      )
    yield* Effect.forkDetach(Outbox.withTransaction(stopping)(write))
    yield* Deferred.await(committed)
  })
