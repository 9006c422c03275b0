/**
 * The Postgres that all test files share, each with a database of its own. It is not to be stopped: a test that wants to do
 * so starts its own, with `postgres.ts`.
 *
 * It is started for a run in which a test file imports this, itself or through others.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { randomUUID } from "node:crypto"
import { inject } from "vitest"

declare module "vitest" {
  interface ProvidedContext {
    /** The URL of its database `postgres`. Undefined if no test file of the run needs it. */
    readonly postgres: string | undefined
  }
}

const administrator = (): Redacted.Redacted => {
  const url = inject("postgres")
  if (url === undefined) throw new Error("no test file of this run imports test/support/sharedPostgres.ts")
  return Redacted.make(url)
}

/** A new database, without tables, which is there until the scope closes. Gives its URL. */
export const freshDatabase = Effect.gen(function*() {
  const url = administrator()
  const name = `test_${randomUUID().replaceAll("-", "")}`
  const run = (statement: string) =>
    Effect.orDie(Effect.scoped(Effect.flatMap(PgClient.makeClient({ url }), (sql) => sql.unsafe(statement)))).pipe(
      Effect.provide(Reactivity.layer)
    )
  yield* Effect.acquireRelease(run(`create database ${name}`), () => run(`drop database ${name} with (force)`))
  const database = new URL(Redacted.value(url))
  database.pathname = `/${name}`
  return Redacted.make(database.href)
})
