/** Not older than `updated_at`: `docs/strategies/lazy-timestamps.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Timestamps from "../../examples/articles/strategies/lazy-timestamps.ts"
import { Cached, Key, MemoryCache, Policy } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/lazy-timestamps.ts"
import { midway, midwayAt, onBoth, queriesOf, site } from "./support.ts"

const data = (id: number) => Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content }))

/** A change, at the time of the database: gives when it was. */
const change = (id: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`update articles set title = title || '!' where id = ${id}`
    return (yield* Queries.articleRow(id)).updatedAt.getTime()
  })

/** What whoever asks gets from the Django program. */
const ask = (cache: DjangoCache, id: number) =>
  Effect.flatMap(Article.get(id), (self) => Django.getCachedData(cache, self))

const minute = 60_000

layer(site, { timeout: "60 seconds" })("lazy timestamps", (it) => {
  describe("the Django way", () => {
    it.effect("a change during the computation is hidden by a stamp from after it", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const before = yield* data(1)
        const finish = yield* midway(Django.getCachedData(cache, yield* Article.get(1)))
        const changedAt = yield* change(1)
        yield* TestClock.setTime(changedAt + 10)
        yield* finish
        assert.deepStrictEqual(yield* ask(cache, 1), before)
        yield* TestClock.setTime(changedAt + 59 * minute)
        assert.deepStrictEqual(yield* ask(cache, 1), before)
        assert.notDeepEqual(yield* data(1), before)
      }))

    it.effect("a clock that is a minute ahead of the database hides a minute of changes", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* TestClock.setTime((yield* change(2)) + minute)
        const before = yield* ask(cache, 2)
        yield* change(2)
        assert.deepStrictEqual(yield* ask(cache, 2), before)
        assert.notDeepEqual(yield* data(2), before)
      }))
  })

  describe("the way here", () => {
    onBoth(it, "a change during the load ends what it loaded", (one, other) =>
      Effect.gen(function*() {
        const before = yield* data(3)
        // The first query is of the time, the second of the row.
        const finish = yield* midwayAt(2, one.run(Timestamps.getCachedData(3)))
        const changedAt = yield* change(3)
        assert.deepStrictEqual(yield* finish, before)
        yield* TestClock.setTime(changedAt + 10)
        assert.deepStrictEqual(yield* other.run(Timestamps.getCachedData(3)), yield* data(3))
      }))

    it.effect("no clock but the database's counts", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime((yield* change(4)) + minute)
        yield* Timestamps.getCachedData(4)
        yield* change(4)
        assert.deepStrictEqual(yield* Timestamps.getCachedData(4), yield* data(4))
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }), { local: true })))

    onBoth(it, "a hit costs one query, of the time", (one, other) =>
      Effect.gen(function*() {
        const read = ({ run }: Process) => run(Timestamps.getCachedData(5))
        assert.strictEqual(yield* queriesOf(read(one)), 2)
        assert.strictEqual(yield* queriesOf(read(other)), 1)
      }))

    it.effect("a replica that lags behind makes nothing old that is newer", () =>
      Effect.gen(function*() {
        let updatedAt = new Date(12)
        let loads = 0
        const make = (atLeast: boolean) =>
          Cached.make(
            `atLeast ${atLeast}`,
            { key: Key.unit, value: Schema.Finite, lookup: () => Effect.sync(() => ++loads) },
            Policy.versioned((_key) => Effect.sync(() => updatedAt), { atLeast })
          )
        const [least, exactly] = [make(true), make(false)]
        yield* Cached.get(least, undefined)
        yield* Cached.get(exactly, undefined)
        updatedAt = new Date(11)
        loads = 0
        yield* Cached.get(least, undefined)
        assert.strictEqual(loads, 0)
        yield* Cached.get(exactly, undefined)
        assert.strictEqual(loads, 1)
        updatedAt = new Date(13)
        yield* Cached.get(least, undefined)
        assert.strictEqual(loads, 2)
      }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }), { local: true })))
  })
})
