/**
 * The outbox on a real Postgres: what is committed and what is to be invalidated for it are one.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as Database from "../../examples/articles/Database.ts"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import * as TestCache from "../../src/TestCache.ts"
import { errorOf, settle } from "../support/cached.ts"
import { columnOf, dyingAfterCommit } from "../support/outbox.ts"

const Notes = Entity.make("note", { schema: Schema.Struct({ id: Schema.Int, text: Schema.String }), id: "id" })

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

const table = { table: "Odd_name.outbox" }

const { cached: note, select: textOf } = columnOf(Notes, "text", Schema.String)

/** Changes a note and says so. */
const edit = (id: number, text: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const before = { id, text: yield* textOf(id) }
    yield* sql`update notes set text = ${text} where id = ${id}`
    yield* Changes.publish(Notes.updated(before, { id, text }))
  })

const waiting = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly message: string }>`select message from ${sql(table.table)} order by id`
).pipe(Effect.map((rows) => rows.map(({ message }) => Schema.decodeSync(Outbox.FromString)(message))))

const now = { grace: 0 }

const reset = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create schema if not exists ${sql("Odd_name")}`
  yield* SqlOutbox.createTable(table)
  yield* SqlOutbox.createTable(table) // it is there already
  yield* sql`truncate ${sql(table.table)}`
  yield* sql`create table if not exists notes (id int primary key, text text not null)`
  yield* sql`truncate notes`
  yield* sql`insert into notes values (1, 'one'), (2, 'two')`
})

const outbox = SqlOutbox.layer(table)

/** A cache and an outbox of its own for each test; the database is that of all. */
const test = <A, E>(
  body: Effect.Effect<A, E, SqlClient.SqlClient | Outbox.Outbox | CacheService.CacheService | TestCache.TestCache>
) => Effect.andThen(reset, Effect.provide(body, Layer.merge(outbox, Layer.fresh(TestCache.layer()))))

/** By the clock on the wall: a relay that does not come has this long. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) => TestClock.withLive(Effect.timeout(effect, "20 seconds"))

layer(Database.embedded)("an outbox in Postgres", (it) => {
  it.effect("is written with the transaction, and empty when its message was delivered", () =>
    test(Effect.gen(function*() {
      yield* Cached.get(note, 1)
      const inside = yield* SqlOutbox.withTransaction(Effect.andThen(edit(1, "uno"), waiting))
      assert.deepStrictEqual(inside, [])
      assert.deepStrictEqual(yield* waiting, [])
      assert.strictEqual(yield* Cached.get(note, 1), "uno")
    })))

  it.effect("has nothing of what was rolled back", () =>
    test(Effect.gen(function*() {
      yield* Cached.get(note, 1)
      const refused = Effect.andThen(edit(1, "uno"), new Refused())
      assert.instanceOf(yield* errorOf(SqlOutbox.withTransaction(refused)), Refused)
      assert.deepStrictEqual(yield* waiting, [])
      assert.strictEqual(yield* textOf(1), "one")
    })))

  it.effect("has what a process that died after its commit did not deliver, and another delivers it", () =>
    test(Effect.gen(function*() {
      yield* Cached.get(note, 1)
      yield* dyingAfterCommit(edit(1, "uno"))
      assert.strictEqual(yield* textOf(1), "uno")
      // Nothing is delivered yet.
      assert.strictEqual(yield* Cached.get(note, 1), "one")
      assert.strictEqual((yield* waiting).length, 1)
      assert.strictEqual(yield* Outbox.relay(now), 1)
      assert.strictEqual(yield* Cached.get(note, 1), "uno")
      assert.deepStrictEqual(yield* waiting, [])
      assert.strictEqual(yield* Outbox.relay(now), 0)
    })))

  it.effect("leaves young messages to their writer", () =>
    test(Effect.gen(function*() {
      yield* dyingAfterCommit(edit(1, "uno"))
      assert.strictEqual(yield* Outbox.relay({ grace: "1 hour" }), 0)
      assert.strictEqual((yield* waiting).length, 1)
    })))

  it.effect("keeps what the store did not acknowledge, and the writer has its result", () =>
    test(Effect.gen(function*() {
      yield* TestCache.fail("invalidate")
      assert.strictEqual(yield* SqlOutbox.withTransaction(Effect.as(edit(1, "uno"), "written")), "written")
      assert.strictEqual(yield* textOf(1), "uno")
      assert.strictEqual((yield* waiting).length, 1)
      yield* TestCache.restore
      assert.strictEqual(yield* Outbox.relay(now), 1)
    })))

  it.effect("keeps it for the relay also where the writer asked to fail with that", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const withTransaction = Outbox.withTransaction(sql.withTransaction, { onUndelivered: "fail" })
      yield* TestCache.fail("invalidate")
      const error = yield* errorOf(withTransaction(Effect.as(edit(1, "uno"), "written")))
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.deepStrictEqual(error.committed, { result: "written" })
      assert.strictEqual(yield* textOf(1), "uno")
      yield* TestCache.restore
      assert.strictEqual(yield* Outbox.relay(now), 1)
    })))

  it.effect("keeps a message that was delivered and could not be removed, and the write does not fail for that", () =>
    test(Effect.gen(function*() {
      const outbox = yield* Outbox.Outbox
      const remove = () => new Outbox.OutboxError({ operation: "remove", cause: "gone" })
      yield* Effect.provideService(SqlOutbox.withTransaction(edit(1, "uno")), Outbox.Outbox, { ...outbox, remove })
      assert.strictEqual((yield* waiting).length, 1)
      assert.strictEqual(yield* Outbox.relay(now), 1)
    })))

  it.effect("is delivered while the lease lasts, and no longer", () =>
    test(Effect.gen(function*() {
      yield* dyingAfterCommit(edit(1, "a"))
      yield* dyingAfterCommit(edit(2, "b"))
      yield* TestCache.disturb(
        "invalidate",
        (_operation, perform) => Effect.andThen(TestClock.adjust("100 millis"), perform)
      )
      assert.strictEqual(yield* Outbox.relay({ ...now, lease: "100 millis" }), 1)
      assert.strictEqual((yield* waiting).length, 1)
    })))

  it.effect("is delivered in order, and no further than the first that fails", () =>
    test(Effect.gen(function*() {
      const notified: Array<string> = []
      const log = Changes.subscriber(
        "log",
        (changes) => Effect.sync(() => void notified.push(...changes.map(Change.format)))
      )
      // Their order is not that of their text.
      const sql = yield* SqlClient.SqlClient
      yield* sql`alter table ${sql(table.table)} alter column id restart with 9`
      for (const [id, text] of [[1, "a"], [2, "b"], [1, "c"]] as const) yield* dyingAfterCommit(edit(id, text))
      const relay = Effect.provide(Outbox.relay({ ...now, batch: 2 }), Changes.layer(log))
      // The first is delivered, the second fails.
      yield* TestCache.disturb(
        "invalidate",
        (_operation, perform) =>
          notified.length === 0
            ? perform
            : Effect.fail(
              new CacheStore.StoreError({
                operation: "invalidate",
                reason: { _tag: "Unavailable" },
                mayHaveHappened: false
              })
            )
      )
      assert.instanceOf(yield* errorOf(relay), CacheService.InvalidationError)
      assert.strictEqual((yield* waiting).length, 2)
      yield* TestCache.restore
      notified.length = 0
      // It was given back, so no relay need wait for the lease.
      assert.deepStrictEqual([yield* relay, yield* relay], [2, 0])
      assert.deepStrictEqual(notified, ["note:2 updated (text)", "note:1 updated (text)"])
    })))

  it.effect("is claimed by one at a time, and by another after the lease", () =>
    test(Effect.gen(function*() {
      yield* dyingAfterCommit(edit(1, "a"))
      yield* dyingAfterCommit(edit(2, "b"))
      const { claim, release } = yield* Outbox.Outbox
      const first = yield* claim({ limit: 1, lease: 60_000, grace: 0 })
      assert.strictEqual(first.length, 1)
      // The second message is free, and would be delivered before the first.
      assert.deepStrictEqual(yield* claim({ limit: 5, lease: 60_000, grace: 0 }), [])
      yield* release(first.map(({ id }) => id))
      // A lease of nothing is over at once: who held it has died.
      assert.strictEqual((yield* claim({ limit: 1, lease: 0, grace: 0 })).length, 1)
      const all = yield* claim({ limit: 5, lease: 60_000, grace: 0 })
      assert.strictEqual(all.length, 2)
      assert.isBelow(Number(all[0]!.id), Number(all[1]!.id))
    })))

  it.effect("takes a message that it cannot read for one of everything", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const message of ["garbage", "{}", "{\"changes\":[],\"invalidation\":\"x\"}", "{\"changes\":[{}]}"]) {
        yield* Cached.get(note, 1)
        yield* sql`update notes set text = text || '!' where id = 1`
        yield* sql`insert into ${sql(table.table)} (message) values (${message})`
        assert.strictEqual(yield* Outbox.relay(now), 1)
        assert.strictEqual(yield* Cached.get(note, 1), yield* textOf(1), message)
      }
    })))

  it.effect("has one message of a transaction with savepoints", () =>
    test(Effect.gen(function*() {
      const nested = Effect.andThen(
        SqlOutbox.withTransaction(edit(1, "uno")),
        Effect.andThen(
          Effect.ignore(
            SqlOutbox.withTransaction(Effect.andThen(Cached.apply(Invalidation.tags("no")), new Refused()))
          ),
          Effect.andThen(Cached.apply(Invalidation.tags("yes")), SqlOutbox.withTransaction(edit(2, "due")))
        )
      )
      yield* TestCache.fail("invalidate")
      yield* SqlOutbox.withTransaction(nested)
      const [message, ...more] = yield* waiting
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(message!.changes.map(Change.format), ["note:1 updated (text)", "note:2 updated (text)"])
      assert.strictEqual(message!.invalidation.toString(), "tag yes")
    })))

  it.effect("is written by a part of a transaction that does not write it itself", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const plain = Changes.withTransaction(sql.withTransaction)
      const during = yield* plain(Effect.andThen(SqlOutbox.withTransaction(edit(1, "uno")), waiting))
      assert.strictEqual(during.length, 1)
      // Delivered with the whole, and removed.
      assert.deepStrictEqual(yield* waiting, [])
      const refused = plain(Effect.andThen(SqlOutbox.withTransaction(edit(1, "eins")), new Refused()))
      assert.instanceOf(yield* errorOf(refused), Refused)
      assert.deepStrictEqual([yield* waiting, yield* textOf(1)], [[], "uno"])
    })))

  it.effect("is written once, however deep the part that writes it", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const plain = Changes.withTransaction(sql.withTransaction)
      const inside = plain(Effect.andThen(SqlOutbox.withTransaction(edit(1, "uno")), waiting))
      assert.deepStrictEqual(yield* SqlOutbox.withTransaction(inside), [])
    })))

  it.effect("has nothing of what is only collected", () =>
    test(Effect.gen(function*() {
      const [, { changes }] = yield* Changes.collect(SqlOutbox.withTransaction(edit(1, "uno")))
      assert.deepStrictEqual([changes.length, yield* waiting], [1, []])
    })))

  it.effect("writes nothing for a transaction that publishes nothing", () =>
    test(Effect.gen(function*() {
      yield* dyingAfterCommit(Effect.void)
      assert.deepStrictEqual(yield* waiting, [])
    })))

  it.effect("fails the transaction if it cannot be written", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`drop table ${sql(table.table)}`
      const exit = yield* Effect.exit(SqlOutbox.withTransaction(edit(1, "uno")))
      assert(Exit.isFailure(exit))
      assert.strictEqual(yield* textOf(1), "one")
      const error = yield* errorOf(SqlOutbox.withTransaction(edit(1, "uno")))
      assert(error._tag === "OutboxError")
      assert.strictEqual(error.operation, "append")
    })))

  it.effect("has the table that the page on transactions shows", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const page = fs.readFileSync(new URL("../../docs/transactions.md", import.meta.url), "utf8")
      const [, statement] = /```sql\n([^`]*)```/.exec(page)!
      yield* sql.unsafe(statement!.replace("cache_outbox", "shown"))
      const columns = (name: string) =>
        sql`
          select column_name, data_type, is_nullable, column_default, is_identity, identity_generation
          from information_schema.columns where table_name = ${name} order by column_name`
      assert.deepStrictEqual(yield* columns("shown"), yield* columns("outbox"))
    })))

  it.effect("is looked after by a relay that lives as long as its layer", () =>
    test(Effect.gen(function*() {
      yield* Cached.get(note, 1)
      yield* dyingAfterCommit(edit(1, "uno"))
      const relay = Outbox.layerRelay({ ...now, interval: "10 millis" })
      const delivered = Effect.repeat(Effect.delay(Cached.get(note, 1), "10 millis"), {
        until: (text) => text === "uno"
      })
      yield* inTime(Effect.provide(delivered, relay))
    })))

  it.effect("is looked after again when the database or the store was away", () =>
    test(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`alter table ${sql(table.table)} rename to away`
      const relay = Outbox.layerRelay({ ...now, interval: "10 millis" })
      const delivered = Effect.gen(function*() {
        yield* Effect.sleep("50 millis")
        yield* sql`alter table ${sql("Odd_name.away")} rename to outbox`
        yield* Cached.get(note, 1)
        yield* dyingAfterCommit(edit(1, "uno"))
        yield* Effect.repeat(Effect.delay(Cached.get(note, 1), "10 millis"), { until: (text) => text === "uno" })
      })
      yield* inTime(Effect.provide(delivered, relay))
    })))

  it.effect("hides what a transaction has written from reads outside of it, and shows it inside", () =>
    test(Effect.gen(function*() {
      yield* Cached.get(note, 1)
      const inside = yield* SqlOutbox.withTransaction(
        Effect.gen(function*() {
          yield* edit(1, "uno")
          return yield* Cached.get(note, 1)
        })
      )
      assert.strictEqual(inside, "uno")
      const fiber = yield* Effect.forkChild(SqlOutbox.withTransaction(
        Effect.gen(function*() {
          yield* edit(1, "eins")
          yield* Cached.get(note, 1)
          return yield* new Refused()
        })
      ))
      assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      assert.strictEqual(yield* Cached.get(note, 1), "uno")
    })))
})

describe("a relay", () => {
  /** An outbox in memory whose claims are counted. */
  const counting = (claim: Outbox.Outbox["claim"]) => {
    const counted = { claims: 0 }
    const outbox: Outbox.Outbox = {
      append: () => Effect.succeed("1"),
      remove: () => Effect.void,
      claim: (asked) => Effect.suspend(() => (counted.claims++, claim(asked))),
      release: () => Effect.void
    }
    const relay = Layer.provide(
      Outbox.layerRelay({ interval: "10 seconds", batch: 1 }),
      [Layer.succeed(Outbox.Outbox, outbox), TestCache.layer(), Logger.layer([])]
    )
    return { counted, relay }
  }

  /** How often it has looked by the end of each of these steps, in seconds. */
  const looks = (claim: Outbox.Outbox["claim"], steps: ReadonlyArray<number>) => {
    const { counted, relay } = counting(claim)
    const looked = Effect.forEach(
      steps,
      (step) => Effect.map(Effect.andThen(TestClock.adjust(`${step} seconds`), settle), () => counted.claims)
    )
    return Effect.provide(looked, relay)
  }

  layer(Layer.empty)("looks", (it) => {
    it.effect("again after the interval", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* looks(() => Effect.succeed([]), [0, 9, 1, 9, 1]), [1, 1, 2, 2, 3])
      }))

    it.effect("again at once when there may be more", () =>
      Effect.gen(function*() {
        const left = ["1", "2", "3"]
        const claim = () => Effect.sync(() => left.splice(0, 1).map((id) => ({ id, text: "" })))
        assert.deepStrictEqual(yield* looks(claim, [0, 10]), [4, 5])
      }))

    it.effect("later and later while that fails, and at least every half minute", () =>
      Effect.gen(function*() {
        const claim = () => new Outbox.OutboxError({ operation: "claim", cause: "away" })
        const steps = [0, 10, 19, 1, 29, 1, 29, 1]
        assert.deepStrictEqual(yield* looks(claim, steps), [1, 2, 2, 3, 3, 4, 4, 5])
      }))
  })
})

describe("what makes no outbox", () => {
  const refused = (make: () => unknown): void => {
    try {
      make()
    } catch (error) {
      return assert.isTrue(error instanceof InvalidInput.InvalidInput)
    }
    assert.fail("it was taken")
  }

  layer(Layer.empty)("is refused", (it) => {
    it("a table without a name", () => {
      for (const name of ["", " ", "a b", "a.b.c", ".a", "a."]) refused(() => SqlOutbox.layer({ table: name }))
    })
    it("a relay of no messages, or without time", () => {
      for (const options of [{ batch: 0 }, { batch: 1.5 }, { lease: 0 }, { grace: "-1 second" as const }]) {
        refused(() => Outbox.relay(options))
        refused(() => Outbox.layerRelay(options))
      }
      refused(() => Outbox.layerRelay({ interval: 0 }))
    })
  })
})
