/**
 * Processes that die between their commit and the telling.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql"
import * as Outbox from "../../src/Outbox.ts"

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
