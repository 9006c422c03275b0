import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { Articles } from "../../examples/articles/Model.ts"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { atInfo, editTitle, metrics } from "../../examples/articles/strategies/logging.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, Invalidation } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { listening } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/logging.ts"
import { onRedis, site } from "./support.ts"

/** What an effect logs at `Info`. */
const infos = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const { layer, lines } = listening()
    const told = () => lines.filter((line) => line.startsWith("Info ")).map((line) => line.slice(5))
    return Effect.map(Effect.exit(Effect.provide(effect, layer)), told)
  })

layer(site, { timeout: "60 seconds" })("logging", (it) => {
  describe("the Django way", () => {
    it.effect("says that it was successful when there was nothing of that name", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const before = yield* Django.getTitle(cache, 1)
        yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update articles set title = 'Other' where id = 1`)
        const lines = yield* infos(Django.invalidateWithLogging(cache, "articles:1:title"))
        assert.include(lines.at(-1)!, "Cache invalidation successful")
        assert.strictEqual(yield* Django.getTitle(cache, 1), before)
      }))

    it.effect("says so of a change that was never made", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const title = yield* Queries.title(2)
        const lines = yield* infos(Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql.withTransaction(Effect.gen(function*() {
            yield* sql`update articles set title = 'Never' where id = 2`
            yield* Django.invalidateWithLogging(cache, ["article:2:title"])
            return yield* Effect.fail("rolled back")
          }))))
        assert.include(lines.at(-1)!, "Cache invalidation successful")
        assert.strictEqual(yield* Queries.title(2), title)
      }))
  })

  describe("the way here", () => {
    it.effect("what, how many, by whom, in one line", () =>
      Effect.gen(function*() {
        yield* Cached.get(Site.articleCard, 3)
        const lines = yield* infos(editTitle("Ada", 3, "Bridges"))
        assert.lengthOf(lines, 1)
        assert.match(lines[0]!, /^cache invalidated /)
        const { editor, entries, invalidation } = JSON.parse(lines[0]!.slice(18, lines[0]!.indexOf("}") + 1)) as Record<
          string,
          unknown
        >
        assert.strictEqual(editor, "Ada")
        assert.strictEqual(entries, 1)
        assert.include(String(invalidation), "article:3#title")
      }).pipe(Effect.provide(Layer.merge(TestCache.layer(), atInfo))))

    it.effect("how many: Redis can tell of keys, and not of what else is ended", () =>
      Effect.gen(function*() {
        const [{ run }] = yield* onRedis
        yield* run(Cached.get(Site.articleCard, 7))
        const byKey = Cached.apply(Cached.invalidation(Site.articleCard, [7]))
        assert.strictEqual((yield* run(byKey)).entries, 1)
        yield* run(Cached.get(Site.articleCard, 7))
        const gone = Invalidation.changes(Articles.deleted(yield* Queries.articleRow(7)))
        assert.isUndefined((yield* run(Cached.apply(gone))).entries)
      }))

    it.effect("nothing is said of what was rolled back, or changed nothing", () =>
      Effect.gen(function*() {
        const { title } = yield* Queries.articleRow(4)
        const rolledBack = Writes.transaction(Effect.andThen(editTitle("Ada", 4, "Never"), Effect.fail("rolled back")))
        assert.deepStrictEqual(yield* infos(rolledBack), [])
        assert.deepStrictEqual(yield* infos(editTitle("Ada", 4, title)), [])
      }).pipe(Effect.provide(Layer.merge(TestCache.layer(), atInfo))))

    it.effect("what is not acknowledged is a warning and a failure first, and a success when it is", () =>
      Effect.gen(function*() {
        const { layer, lines, warnings } = listening()
        yield* Effect.gen(function*() {
          const successes = () => lines.filter((line) => line.startsWith("Info cache invalidated"))
          yield* Cached.get(Site.articleCard, 5)
          yield* TestCache.fail("invalidate", 1)
          const error = yield* Effect.flip(editTitle("Ada", 5, "Tides"))
          assert.strictEqual(error._tag, "InvalidationError")
          assert.deepStrictEqual(successes(), [])
          assert.lengthOf(warnings(), 1)
          assert.include(warnings()[0]!, "article:5#title")
          yield* TestClock.adjust("1 second")
          assert.lengthOf(successes(), 1)
          // Who it was stands on both lines, though the second one was written later, by the cache.
          for (const line of [warnings()[0]!, successes()[0]!]) assert.include(line, "Ada")
        }).pipe(
          Effect.provide(
            TestCache.layer().pipe(Layer.provideMerge(Layer.merge(layer, atInfo)))
          )
        )
      }))

    it.effect("metrics count invalidations, those that failed, and the entries that they dropped", () =>
      Effect.gen(function*() {
        const counts = Effect.forEach(
          [metrics.acknowledged, metrics.failed, metrics.entries],
          (metric) => Effect.map(Metric.value(metric), ({ count }) => count)
        )
        yield* Cached.get(Site.articleCard, 6)
        yield* editTitle("Ada", 6, "Bees")
        assert.deepStrictEqual(yield* counts, [1, 0, 1])
        yield* TestCache.fail("invalidate", 2)
        yield* Effect.flip(editTitle("Ada", 6, "Wasps"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* counts, [2, 2, 1])
      }).pipe(
        Effect.provide(TestCache.layer()),
        Effect.provideService(Metric.MetricRegistry, new Map())
      ))
  })
})
