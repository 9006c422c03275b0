/**
 * The outbox on a server, where transactions are under way at once.
 */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Database from "../../examples/articles/Database.ts"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import { columnOf, dyingAfterCommit } from "../support/outbox.ts"
import { freshDatabase } from "../support/sharedPostgres.ts"

const Counts = Entity.make("count", { schema: Schema.Struct({ id: Schema.Int, n: Schema.Int }), id: "id" })

const { cached: count } = columnOf(Counts, "n", Schema.Int)

const N = Schema.Struct({ n: Schema.Int })

const increment = (id: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql`update counts set n = n + 1 where id = ${id} returning n`
    const { n } = Schema.decodeUnknownSync(N)(row)
    yield* Changes.publish(Counts.updated({ id, n: n - 1 }, { id, n }))
    return n
  })

const waiting = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly n: number }>`select count(*)::int as n from cache_outbox`
).pipe(Effect.map(([row]) => row!.n))

const reset = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`truncate cache_outbox`
  yield* sql`create table if not exists counts (id int primary key, n int not null)`
  yield* sql`truncate counts`
  yield* sql`insert into counts select id, 0 from generate_series(1, 4) as id`
})

const server = Layer.unwrap(Effect.map(freshDatabase, Database.server))

const test = <A, E>(body: Effect.Effect<A, E, SqlClient.SqlClient | Outbox.Outbox | CacheService.CacheService>) =>
  Effect.andThen(
    reset,
    Effect.provide(body, Layer.merge(SqlOutbox.layer(), Layer.fresh(MemoryCache.layer({ capacity: 100 }))))
  ).pipe(Effect.timeout("30 seconds"), TestClock.withLive)

const now = { grace: 0 }

layer(server)("an outbox on a server", (it) => {
  it.effect("has what was appended first and committed last", () =>
    test(Effect.gen(function*() {
      const notified: Array<string> = []
      const log = Changes.layer(
        Changes.subscriber("log", (changes) => Effect.sync(() => void notified.push(...changes.map(Change.format))))
      )
      const relay = Effect.provide(Outbox.relay(now), log)
      const sql = yield* SqlClient.SqlClient
      const outbox = yield* Outbox.Outbox
      const [appended, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      // A transaction that has its id, and commits when the one behind it is long done.
      const slow = yield* Effect.forkChild(sql.withTransaction(
        outbox.append(
          Schema.encodeSync(Outbox.FromString)({
            changes: [Counts.created({ id: 1, n: 0 })],
            invalidation: Invalidation.empty
          })
        ).pipe(
          Effect.andThen(Deferred.succeed(appended, undefined)),
          Effect.andThen(Deferred.await(gate))
        )
      ))
      yield* Deferred.await(appended)
      yield* dyingAfterCommit(increment(2))
      assert.strictEqual(yield* relay, 1)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(slow)
      assert.strictEqual(yield* relay, 1)
      assert.deepStrictEqual(notified, ["count:2 updated (n)", "count:1 created"])
    })))

  it.effect("loses nothing among many writers that die and relays that run at once", () =>
    test(Effect.gen(function*() {
      const notified: Array<number> = []
      const log = Changes.layer(Changes.subscriber("log", (changes) =>
        Effect.sync(() => {
          for (const change of changes) if (change._tag === "Updated") notified.push(change.after.id as number)
        })))
      yield* Effect.forEach([1, 2, 3, 4], (id) => Cached.get(count, id))
      const writer = (id: number) =>
        Effect.forEach(
          Array.from({ length: 12 }, (_, i) => i),
          (i) =>
            i % 3 === 0 ? dyingAfterCommit(increment(id)) : Effect.asVoid(SqlOutbox.withTransaction(increment(id))),
          { discard: true }
        )
      const relay = () => Layer.fresh(Outbox.layerRelay({ ...now, interval: "5 millis", batch: 3 }))
      const relays = Layer.mergeAll(relay(), relay(), relay()).pipe(Layer.provide(log))
      const done = Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3, 4], writer, { concurrency: "unbounded" })
        yield* Effect.repeat(Effect.tap(waiting, Effect.sleep("10 millis")), { until: (n) => n === 0 })
      })
      yield* Effect.provide(done, Layer.mergeAll(relays, log))
      const answers = yield* Effect.forEach([1, 2, 3, 4], (id) => Cached.get(count, id))
      assert.deepStrictEqual(answers, [12, 12, 12, 12])
      // At least once; the writers' own and the relays' together.
      for (const id of [1, 2, 3, 4]) assert.isAtLeast(notified.filter((one) => one === id).length, 12)
    })))

  it.effect("never makes a writer wait: what a relay has claimed can be removed", () =>
    test(Effect.gen(function*() {
      const outbox = yield* Outbox.Outbox
      const id = yield* outbox.append("{}")
      assert.strictEqual((yield* outbox.claim({ limit: 9, lease: 60_000, grace: 0 })).length, 1)
      yield* outbox.remove(id)
      assert.strictEqual(yield* waiting, 0)
    })))

  it.effect("is claimed with what has been committed since, whatever isolation is usual", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const outbox = yield* Outbox.Outbox
      yield* outbox.append("{}")
      const claim = outbox.claim({ limit: 9, lease: 60_000, grace: 0 })
      const waits = sql<{ readonly n: number }>`
        select count(*)::int as n from pg_locks where not granted and locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())
      `
      // Another claims while this one waits for it.
      const fiber = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`select pg_advisory_xact_lock(hashtextextended('effect-cache-algebra/cache_outbox', 0))`
        const fiber = yield* Effect.forkDetach(
          claim.pipe(
            Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
            Effect.updateContext((context: Context.Context<never>) => Context.omit(sql.transactionService)(context))
          )
        )
        yield* Effect.repeat(waits, { until: ([row]) => row!.n === 1 })
        yield* sql`update cache_outbox set claimed_until = clock_timestamp() + interval '1 minute'`
        return fiber
      }))
      assert.deepStrictEqual(yield* Fiber.join(fiber), [])
    })))

  it.effect("and an invalidation are true together, for whoever reads after the commit", () =>
    test(Effect.gen(function*() {
      // Each write is followed by a read, which must see it, among others that write the same row.
      const rounds = Effect.forEach(Array.from({ length: 15 }), () =>
        Effect.gen(function*() {
          const written = yield* SqlOutbox.withTransaction(increment(1))
          assert.isAtLeast(yield* Cached.get(count, 1), written)
        }), { discard: true })
      yield* Effect.all([rounds, rounds, rounds, rounds], { concurrency: "unbounded" })
      assert.strictEqual(yield* Cached.get(count, 1), 60)
    })))
})
