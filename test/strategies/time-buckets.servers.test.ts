/** The hour in the key, or the hour in the policy: `docs/strategies/time-buckets.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Clock, DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import * as Buckets from "../../examples/articles/strategies/time-buckets.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import type { Process } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/time-buckets.ts"
import { afterQueries, midway, onBoth, passing, queriesOf, site } from "./support.ts"

const at = (iso: string) => TestClock.setTime(Date.parse(iso))

const inRome = DateTime.withCurrentZoneNamed("Europe/Rome")
const inUtc = DateTime.withCurrentZoneNamed("UTC")

/** An order of then, and no other of that summer. */
const orderAt = (placedAt: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`delete from orders where placed_at > '2025-06-01'`
    const order = { userId: 1, productId: 1, quantity: 1, total: 700, placedAt: new Date(placedAt) }
    yield* sql`insert into orders ${sql.insert(order)}`
  })

const slowly = afterQueries(Effect.sleep("1 second"))

const crowd = <A, E, R>(size: number, read: Effect.Effect<A, E, R>) =>
  Effect.all(Array.from({ length: size }, () => read), { concurrency: "unbounded" })

const testCache = Effect.provide(TestCache.layer(), { local: true })

layer(site, { timeout: "60 seconds" })("time buckets", (it) => {
  describe("the Django way", () => {
    it.effect("an hour that the clocks repeat is one hour", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const get = inRome(Django.getHourlyStats(cache))
        yield* at("2025-10-26T00:40:00Z") // 02:40, summer time
        const before = yield* get
        yield* Writes.view(1)
        yield* at("2025-10-26T01:10:00Z") // 02:10, winter time: another hour
        assert.deepStrictEqual(yield* get, before)
        assert.notDeepEqual(yield* Queries.stats, before)
      }))

    it.effect("two processes in two zones have one key for two days", () =>
      Effect.gen(function*() {
        const memory = new Map()
        const [one, other] = [new DjangoCache({ memory }), new DjangoCache({ memory })]
        yield* orderAt("2025-06-01T23:00:00Z")
        yield* at("2025-06-01T22:30:00Z") // in Rome it is the second of June
        yield* inRome(Django.getDailyReport(one))
        yield* at("2025-06-02T08:00:00Z")
        // In UTC the order was placed yesterday.
        const { orders } = yield* inUtc(Django.getDailyReport(other))
        assert.strictEqual(orders, 0)
        assert.strictEqual((yield* inUtc(Django.getDailyReport(new DjangoCache()))).orders, 1)
      }))

    it.effect("at the hour everybody computes", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* at("2025-06-02T08:59:00Z")
        yield* inUtc(Django.getHourlyStats(cache))
        yield* TestClock.adjust("1 minute")
        const fiber = yield* Effect.forkChild(queriesOf(slowly(crowd(20, inUtc(Django.getHourlyStats(cache))))))
        assert.strictEqual(yield* passing(fiber), 20)
      }))
  })

  describe("the way here", () => {
    it.effect("an hour that the clocks repeat is two", () =>
      Effect.gen(function*() {
        yield* at("2025-10-26T00:40:00Z")
        const before = yield* inRome(Buckets.getHourlyStats)
        yield* Writes.view(1)
        assert.deepStrictEqual(yield* inRome(Buckets.getHourlyStats), before)
        yield* at("2025-10-26T01:10:00Z")
        assert.deepStrictEqual(yield* inRome(Buckets.getHourlyStats), yield* Queries.stats)
        assert.notDeepEqual(yield* Queries.stats, before)
      }).pipe(testCache))

    onBoth(it, "two processes in two zones have one day", (one, other) =>
      Effect.gen(function*() {
        const get = (process: Process) => process.run(Buckets.getDailyReport)
        yield* orderAt("2025-07-01T22:10:00Z")
        yield* at("2025-07-02T22:30:00Z") // in Rome it is the third of July
        assert.strictEqual((yield* inRome(get(one))).orders, 1)
        // In UTC it still is the second.
        assert.strictEqual(yield* queriesOf(inUtc(get(other))), 0)
        yield* at("2025-07-03T08:00:00Z")
        assert.strictEqual(yield* queriesOf(inUtc(get(other))), 0)
        yield* at("2025-07-03T22:00:00Z")
        assert.strictEqual((yield* inUtc(get(other))).orders, 0)
      }))

    it.effect("at the hour one computes, and all have what it computed", () =>
      Effect.gen(function*() {
        yield* at("2025-06-02T08:59:00Z")
        const before = yield* Buckets.getHourlyStats
        yield* Writes.view(1)
        yield* TestClock.adjust("1 minute")
        const fiber = yield* Effect.forkChild(slowly(crowd(20, Buckets.getHourlyStats)))
        const got = yield* passing(fiber)
        assert.strictEqual((yield* Cached.stats(Buckets.hourlyStats)).loads, 2)
        for (const stats of got) assert.strictEqual(stats.views, before.views + 1)
      }).pipe(testCache))

    it.effect("at the hour nobody waits, where the old hour may be shown meanwhile", () =>
      Effect.gen(function*() {
        const get = Cached.get(Site.hourlyStats, undefined)
        yield* at("2025-06-02T08:59:00Z")
        const before = yield* get
        yield* TestClock.adjust("1 minute")
        const began = yield* Clock.currentTimeMillis
        for (const stats of yield* slowly(crowd(20, get))) assert.deepStrictEqual(stats, before)
        assert.strictEqual(yield* Clock.currentTimeMillis, began)
        assert.isAtMost((yield* Cached.stats(Site.hourlyStats)).loads, 2)
      }).pipe(testCache))

    it.effect("what a tick interrupts is served to nobody later", () =>
      Effect.gen(function*() {
        yield* at("2025-06-02T08:59:59Z")
        const finish = yield* midway(Buckets.getHourlyStats)
        yield* Writes.view(1)
        yield* TestClock.adjust("2 seconds")
        const late = yield* finish
        const next = yield* Buckets.getHourlyStats
        assert.strictEqual(next.views, late.views + 1)
      }).pipe(testCache))

    it.effect("thirty of them end one after the other, within five minutes after the hour", () =>
      Effect.gen(function*() {
        const ids = yield* Queries.ids("articles")
        yield* at("2025-06-02T08:30:00Z")
        const read = Cached.getMany(Buckets.views, ids)
        yield* read
        const each: Array<number> = []
        let { loads } = yield* Cached.stats(Buckets.views)
        for (let minute = 30; minute <= 65; minute++) {
          yield* at(`2025-06-02T${minute < 60 ? "08" : "09"}:${String(minute % 60).padStart(2, "0")}:00Z`)
          yield* read
          const now = (yield* Cached.stats(Buckets.views)).loads
          each.push(now - loads)
          loads = now
        }
        assert.deepStrictEqual(each.slice(0, 30), Array<number>(30).fill(0))
        assert.strictEqual(each.reduce((sum, one) => sum + one), ids.length)
        assert.isAtMost(Math.max(...each), ids.length / 2)
      }).pipe(testCache))
  })
})
