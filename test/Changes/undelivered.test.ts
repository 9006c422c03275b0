/**
 * A write that is done, and whose invalidation the store did not acknowledge: its
 * result must not be lost, or the caller writes it again.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as Policy from "../../src/Policy.ts"
import * as Repository from "../../src/Repository.ts"
import * as TestCache from "../../src/TestCache.ts"
import { elsewhere, errorOf, onText } from "../support/cached.ts"
import { refusal } from "../support/policies.ts"

const Row = Schema.Struct({ id: Schema.Int, title: Schema.String })
const Rows = Entity.make("row", { schema: Row, id: "id" })

/** A table, and a transaction that keeps what is written if it succeeds. */
const makeTable = () => {
  const rows: Array<typeof Row.Type> = []
  const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const before = rows.length
      return Effect.onError(effect, () => Effect.sync(() => void rows.splice(before)))
    })
  const create = (title: string) =>
    Effect.sync(() => {
      const row = { id: rows.length + 1, title }
      rows.push(row)
      return row
    })
  const count = Cached.make(
    "count",
    { key: Key.unit, value: Schema.Int, lookup: () => Effect.sync(() => rows.length) },
    Policy.conditionalAll(Rows)
  )
  return { rows, transaction, create, count }
}

/** What a web handler does: it answers with what it wrote, or is asked again. */
const threeTimes = <A, E, R>(write: Effect.Effect<A, E, R>) => Effect.retry(write, { times: 2 })

const publishing = ({ create }: ReturnType<typeof makeTable>) =>
  Changes.publishing(create("Alien"), (row) => Rows.created(row))

describe("a transaction whose invalidation is not acknowledged", () => {
  onText(
    "gives its result, with a warning, and is delivered later",
    Effect.gen(function*() {
      const table = makeTable()
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Warn") lines.push(String(message))
      })
      assert.strictEqual(yield* Cached.get(table.count, undefined), 0)
      yield* TestCache.fail("invalidate")
      const write = threeTimes(Changes.withTransaction(table.transaction)(publishing(table)))
      const row = yield* Effect.provide(write, Logger.layer([logger]))
      assert.deepStrictEqual([row, table.rows], [{ id: 1, title: "Alien" }, [row]])
      assert.include(lines, "a transaction is committed, and what it invalidates is not delivered yet")
      // What this process serves is true in any case; others learn it when the store can be reached.
      assert.strictEqual(yield* Cached.get(table.count, undefined), 1)
      assert.strictEqual((yield* CacheService.undelivered).length, 1)
      yield* TestCache.restore
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* CacheService.undelivered, [])
      assert.strictEqual(yield* elsewhere(Cached.get(table.count, undefined)), 1)
    })
  )

  onText(
    "fails where that is asked for, with its result in the error",
    Effect.gen(function*() {
      const table = makeTable()
      yield* TestCache.fail("invalidate")
      const write = Changes.withTransaction(table.transaction, { onUndelivered: "fail" })(publishing(table))
      const error = yield* errorOf(write)
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.deepStrictEqual(error.committed, { result: { id: 1, title: "Alien" } })
      assert.strictEqual(table.rows.length, 1)
      assert.strictEqual((yield* CacheService.undelivered).length, 1)
    })
  )

  onText(
    "that is rolled back fails with its own failure, and has no result",
    Effect.gen(function*() {
      const table = makeTable()
      yield* TestCache.fail("invalidate")
      const failing = Effect.andThen(publishing(table), Effect.fail("no" as const))
      assert.strictEqual(yield* errorOf(Changes.withTransaction(table.transaction)(failing)), "no")
      assert.deepStrictEqual(table.rows, [])
    })
  )

  onText(
    "leaves the message of its outbox to the relay",
    Effect.gen(function*() {
      const table = makeTable()
      const messages = new Map<string, string>()
      const outbox = Outbox.Outbox.of({
        append: (text) => Effect.sync(() => (messages.set("1", text), "1")),
        remove: (id) => Effect.sync(() => void messages.delete(id)),
        claim: () => Effect.succeed([]),
        release: () => Effect.void
      })
      yield* TestCache.fail("invalidate", 1)
      const write = Outbox.withTransaction(table.transaction)(publishing(table))
      yield* Effect.provide(write, Layer.succeed(Outbox.Outbox, outbox))
      assert.strictEqual(messages.size, 1)
      // The trivial way out is to keep every message.
      const other = Outbox.withTransaction(table.transaction)(publishing(table))
      yield* Effect.provide(other, Layer.succeed(Outbox.Outbox, outbox))
      assert.strictEqual(messages.size, 0)
    })
  )

  it("knows two words", () => {
    const transaction = makeTable().transaction
    for (const make of [Changes.withTransaction, Outbox.withTransaction]) {
      assert.strictEqual(refusal(() => make(transaction, { onUndelivered: "ignore" as "log" })).reason, "InvalidOption")
    }
  })
})

describe("a write outside of a transaction whose invalidation is not acknowledged", () => {
  const written = { result: { id: 1, title: "Alien" } }

  onText(
    "fails with its result in the error: publishing, a repository, a fence that is lost, a write through",
    Effect.gen(function*() {
      yield* TestCache.fail("invalidate")
      const table = makeTable()
      const repository = Repository.make(Rows, { create: table.create })
      const one = Cached.make("one", { key: Key.unit, value: Row, lookup: () => Effect.die("unused") }, Policy.forever)
      const lost = Effect.tap(makeTable().create("Alien"), TestCache.evict("journal"))
      const unacknowledged = Effect.tap(makeTable().create("Alien"), TestCache.fail("commit"))
      for (
        const write of [
          publishing(makeTable()),
          repository.create("Alien"),
          Cached.mutate(lost, Invalidation.tags("t")),
          Cached.set(one, undefined, unacknowledged)
        ]
      ) {
        const error = yield* errorOf(write)
        assert.instanceOf(error, CacheService.InvalidationError)
        assert.deepStrictEqual(error.committed, written)
        assert.isTrue(error.mayHaveHappened || error.reason._tag === "Unavailable")
      }
    })
  )

  onText(
    "has no result where nothing is written",
    Effect.gen(function*() {
      yield* TestCache.fail("fence")
      const error = yield* errorOf(Cached.mutate(Effect.succeed(1), Invalidation.tags("t")))
      assert.isUndefined(error.committed)
      yield* TestCache.fail("invalidate")
      assert.isUndefined((yield* errorOf(Cached.apply(Invalidation.tags("t")))).committed)
    })
  )
})
