import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { PGlite } from "@electric-sql/pglite"
import { Effect, Fiber, Layer, Result } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { once } from "node:events"
import * as content from "../../examples/articles/content.ts"
import * as Database from "../../examples/articles/Database.ts"
import { sessions } from "../../examples/articles/pgliteStream.ts"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, MemoryCache } from "../../src/index.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import { freshDatabase } from "../support/sharedPostgres.ts"

const filled = Layer.effectDiscard(content.fill(content.small))

const databases = {
  PGlite: Database.embedded,
  "a server": Layer.unwrap(Effect.map(freshDatabase, Database.server))
}

const loads = Effect.map(
  Cached.stats(),
  (all) => new Map([...all].map(([name, { loads }]) => [name, loads] as const))
)

/** Asks everything, and compares it with the database. Gives the keys that had to be loaded. */
const goThrough = Effect.gen(function*() {
  const loaded: Array<string> = []
  for (const { name, questions } of Site.reads) {
    for (const { cached, fresh, key } of yield* questions) {
      const before = (yield* loads).get(name) ?? 0
      const answer = yield* Effect.result(cached)
      if (((yield* loads).get(name) ?? 0) > before) loaded.push(key)
      assert.deepStrictEqual(answer, yield* Effect.result(fresh), key)
    }
  }
  return loaded
})

const title = (id: number) => Effect.map(Queries.articleRow(id), ({ title }) => title)

for (const [name, database] of Object.entries(databases)) {
  const site = MemoryCache.layer({ capacity: 10_000 }).pipe(
    Layer.provideMerge(SqlOutbox.layer()),
    Layer.provideMerge(Layer.provideMerge(filled, database))
  )

  layer(site)(`the site on ${name}`, (it) => {
    it.effect("has what was generated, and counts on from there", () =>
      Effect.gen(function*() {
        const rows = content.generate(content.small)
        for (const table of ["articles", "authors", "categories", "products", "tags", "users"] as const) {
          assert.deepStrictEqual(yield* Queries.ids(table), rows[table].map(({ id }) => id), table)
        }
        const { createdAt } = yield* Queries.articleRow(1)
        assert.deepStrictEqual(createdAt, rows.articles[0]!.createdAt)
        const tag = yield* Writes.createTag("brand new")
        assert.strictEqual(tag.id, rows.tags.length + 1)
        yield* Writes.deleteTag(tag.id)
      }))

    it.effect("makes its tables where they are already", () => Database.createTables)

    it.effect("loads everything once", () =>
      Effect.gen(function*() {
        assert.isAbove((yield* goThrough).length, 100)
        assert.deepStrictEqual(yield* goThrough, [])
      }))

    it.effect("loads again what a write changed, and nothing else", () =>
      Effect.gen(function*() {
        yield* goThrough
        const { after, before } = yield* Writes.updateArticle(1, { content: "Something else." })
        assert.notStrictEqual(before.content, after.content)
        assert.deepStrictEqual(yield* goThrough, ["article:1"])
        yield* Writes.updateArticle(1, { title: "Another title" })
        assert.includeMembers(yield* goThrough, ["article:1", "articleCard:1"])
        yield* Writes.updateProduct(2, { stock: 3 })
        assert.deepStrictEqual(yield* goThrough, ["product:2"])
      }))

    it.effect("does not count a look as a change", () =>
      Effect.gen(function*() {
        yield* goThrough
        const before = yield* Queries.articleRow(2)
        assert.strictEqual(yield* Writes.view(2), before.views + 1)
        assert.deepStrictEqual((yield* Queries.articleRow(2)).updatedAt, before.updatedAt)
        assert.deepStrictEqual(yield* goThrough, [])
      }))

    it.effect("gives every change a later time, also within a millisecond", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const times = yield* Effect.forEach([1, 2, 3, 4, 5], (n) =>
          Effect.map(Writes.updateArticle(2, { content: `${n}` }), ({ after }) => after.updatedAt.getTime()))
        for (const [i, time] of times.entries()) {
          assert.isTrue(i === 0 || time > times[i - 1]!)
        }
        // In a transaction, where time stands still for `now()`.
        const [row] = yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`update articles set content = 'a' where id = 2`
          return yield* sql<{ readonly later: boolean }>`
            with old as (select updated_at from articles where id = 2)
            update articles a set content = 'b' from old where a.id = 2 returning a.updated_at > old.updated_at as later`
        }))
        assert.isTrue(row!.later)
      }))

    it.effect("tells nobody of a transaction that rolls back", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const before = yield* title(3)
        yield* goThrough
        const failed = yield* Writes.updateArticle(3, { title: "Never" }).pipe(
          Effect.andThen(Writes.placeOrder(1, 1, 1_000_000)),
          Writes.transaction,
          Effect.result
        )
        assert.isTrue(Result.isFailure(failed) && failed.failure._tag === "OutOfStock")
        assert.strictEqual(yield* title(3), before)
        assert.deepStrictEqual(yield* goThrough, [])
        assert.deepStrictEqual(yield* sql`select * from cache_outbox`, [])
      }))

    it.effect("rolls back what is interrupted", () =>
      Effect.gen(function*() {
        const before = yield* title(4)
        const fiber = yield* Writes.updateArticle(4, { title: "Never" }).pipe(
          Effect.andThen(Effect.never),
          Writes.transaction,
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.withLive(Effect.sleep("50 millis"))
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* title(4), before)
      }))

    it.effect("goes on after a query that failed, and after one that was interrupted", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.isTrue(Result.isFailure(yield* Effect.result(sql`select nothing_of_the_kind`)))
        assert.isTrue(Result.isFailure(yield* Effect.result(sql`insert into tags (name) select name from tags`)))
        for (const wait of [0, 1, 20, 300]) {
          const query = sql`select pg_sleep(0.2)`
          const fiber = yield* Effect.forkChild(query, { startImmediately: true })
          yield* TestClock.withLive(Effect.sleep(wait))
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(yield* sql`select ${wait}::int as n`, [{ n: wait }])
        }
      }))

    it.effect("answers many at once, each its own", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const numbers = Array.from({ length: 50 }, (_, n) => n)
        const answers = yield* Effect.forEach(numbers, (n) => sql`select ${n}::int as n`, { concurrency: "unbounded" })
        assert.deepStrictEqual(answers, numbers.map((n) => [{ n }]))
      }))

    it.effect("changes one row at a time, and every change knows what was before it", () =>
      Effect.gen(function*() {
        const first = yield* title(5)
        const all = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => `title ${n}`),
          (title) => Writes.updateArticle(5, { title }),
          { concurrency: "unbounded" }
        )
        const next = new Map(all.map(({ after, before }) => [before.title, after.title]))
        let last = first
        for (let n = 0; n < 20; n++) last = next.get(last)!
        assert.strictEqual(last, yield* title(5))
        yield* goThrough
      }))

    it.effect("makes a setting once, whoever is first", () =>
      Effect.gen(function*() {
        const saved = yield* Effect.forEach(
          ["a", "b", "c", "d"],
          (value) => Writes.updateSettings("colour", value),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(saved.filter(({ before }) => before === undefined).length, 1)
        yield* goThrough
      }))

    it.effect("is right after everything else that can be written", () =>
      Effect.gen(function*() {
        const writes: ReadonlyArray<
          Effect.Effect<unknown, unknown, Effect.Services<ReturnType<typeof Writes.addTags>>>
        > = [
          Writes.moveArticle(6, 1),
          Writes.moveArticle(6, 2),
          Writes.unpublish(6),
          Writes.publish(6),
          Writes.addTags(6, [1, 2, 3]),
          Writes.removeTags(6, [2, 5]),
          Writes.setTags(6, [3, 4]),
          Writes.clearTags(6),
          Writes.createArticle({ title: "T", content: "C", categoryId: 2, authorId: 1, published: true }, [1, 2]),
          Writes.renameCategory(2, "Other"),
          Writes.updateCategory(2, { parentId: 1 }),
          Writes.renameAuthor(1, "Another"),
          Writes.renameTag(1, "renamed"),
          Writes.updateUser(1, { email: "new@example.com" }),
          Writes.updateUserSettings(1, { theme: "dark" }),
          Writes.updateUserSettings(1, { theme: "light" }),
          Writes.placeOrder(1, 1, 1),
          Writes.updateProduct(1, { name: "Renamed" }),
          Writes.deleteArticle(6),
          Writes.deleteTag(1),
          Writes.deleteUser(1),
          Writes.deleteCategory(1)
        ]
        for (const write of writes) {
          yield* write
          yield* goThrough
        }
      }))
  })
}

describe("a stream to PGlite", () => {
  const open = Effect.acquireRelease(
    Effect.promise(() => PGlite.create()),
    (pglite) => Effect.promise(() => pglite.close())
  )

  const client = (stream: ReturnType<typeof sessions>) =>
    PgClient.makeClient({ stream, username: "postgres", ssl: false })

  it.live("leaves neither a transaction nor a prepared statement behind", () =>
    Effect.gen(function*() {
      const stream = sessions(yield* open)
      yield* Effect.scoped(Effect.gen(function*() {
        const sql = yield* client(stream)
        yield* sql`create table t (n int)`
        yield* sql`begin`
        yield* sql`insert into t values (${1})`
      }))
      const sql = yield* client(stream)
      yield* sql`insert into t values (${2})`
      assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 2 }])
    }).pipe(Effect.provide(Reactivity.layer)))

  it.live("hears a request to cancel, and hangs up, also while another has the session", () =>
    Effect.gen(function*() {
      const stream = sessions(yield* open)
      const sql = yield* client(stream)
      yield* sql`select 1`
      const request = Buffer.alloc(16)
      for (const [i, word] of [16, 80877102, 1, 2].entries()) request.writeInt32BE(word, 4 * i)
      const second = stream()
      // In pieces, as a network may deliver it.
      second.write(request.subarray(0, 3))
      second.write(request.subarray(3))
      yield* Effect.promise(() => once(second, "close")).pipe(Effect.timeout("5 seconds"))
      assert.deepStrictEqual(yield* sql`select 2 as n`, [{ n: 2 }])
    }).pipe(Effect.provide(Reactivity.layer)))

  it.live("waits for its turn", () =>
    Effect.gen(function*() {
      const stream = sessions(yield* open)
      const done: Array<string> = []
      const ask = (name: string, millis: number) =>
        Effect.scoped(Effect.gen(function*() {
          const sql = yield* client(stream)
          yield* Effect.sleep(millis)
          yield* sql`select 1`
          done.push(name)
        }))
      yield* Effect.all([ask("first", 100), ask("second", 0), ask("third", 0)], { concurrency: "unbounded" })
      assert.deepStrictEqual(done, ["first", "second", "third"])
    }).pipe(Effect.provide(Reactivity.layer)))
})

describe("a server", () => {
  it.live("cancels a query that is interrupted", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const sleeping = sql<{ readonly n: number }>`
          select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep(600)%' and state = 'active'
          and datname = current_database()`
        const until = (n: number) =>
          sleeping.pipe(
            Effect.tap(Effect.sleep("10 millis")),
            Effect.repeat({ until: ([row]) => row!.n === n }),
            Effect.timeout("10 seconds")
          )
        const fiber = yield* Effect.forkChild(sql`select pg_sleep(600)`)
        yield* until(1)
        yield* Fiber.interrupt(fiber)
        yield* until(0)
      }).pipe(Effect.provide(Database.server(url)))
    }))
})
