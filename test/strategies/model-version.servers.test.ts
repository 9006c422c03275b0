/** A version of each row: `docs/strategies/model-version.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Version from "../../examples/articles/strategies/model-version.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/model-version.ts"
import { afterQueries, midwayAt, onBoth, queriesOf, site } from "./support.ts"

const versionOf = (id: number) => Effect.map(Queries.articleRow(id), ({ cacheVersion }) => cacheVersion)

const data = (id: number) => Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content }))

/** A field by itself, as a form that saves only what it shows. */
const set = (id: number, field: "title" | "content", value: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`update articles set ${sql.update({ [field]: value })} where id = ${id}`
  )

layer(site, { timeout: "60 seconds" })("model version", (it) => {
  describe("the Django way", () => {
    it.effect("two editors at once raise the version once, and what was read in between stays", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const [one, other] = [yield* Article.get(1), yield* Article.get(1)]
        yield* set(1, "title", "A new title")
        yield* Django.invalidateCache(one)
        const between = yield* Django.getCachedData(cache, yield* Article.get(1))
        yield* set(1, "content", "A new text")
        yield* Django.invalidateCache(other)
        assert.deepStrictEqual([one.cacheVersion, other.cacheVersion, yield* versionOf(1)], [2, 2, 2])
        // For an hour, whoever asks.
        assert.deepStrictEqual(yield* Django.getCachedData(cache, yield* Article.get(1)), between)
        assert.strictEqual((yield* Queries.articleRow(1)).content, "A new text")
        assert.notStrictEqual(between.content, "A new text")
      }))
  })

  describe("the way here", () => {
    it.effect("two at once raise the version twice", () =>
      Effect.gen(function*() {
        const before = yield* versionOf(2)
        yield* Effect.all([Version.invalidateCache(2), Version.invalidateCache(2)], { concurrency: 2 })
        assert.strictEqual(yield* versionOf(2), before + 2)
      }))

    onBoth(it, "what was read between two editors ends with the second", (one, other) =>
      Effect.gen(function*() {
        const read = (process: Process) => process.run(Version.getCachedData(3))
        yield* Version.updateArticle(3, { title: "A new title" })
        assert.deepStrictEqual(yield* read(one), yield* data(3))
        yield* Version.updateArticle(3, { content: `A new text, after ${(yield* data(3)).content}` })
        assert.deepStrictEqual(yield* read(other), yield* data(3))
      }))

    onBoth(
      it,
      "what is loaded while the version is raised is served to nobody later",
      (one, other) =>
        Effect.gen(function*() {
          // The first query is of the version, the second of the row. Nobody has heard of the row yet.
          const finish = yield* midwayAt(2, one.run(Version.getCachedData(4)))
          const before = yield* data(4)
          yield* Version.updateArticle(4, { title: `${before.title}!` })
          assert.deepStrictEqual(yield* finish, before)
          assert.deepStrictEqual(yield* other.run(Version.getCachedData(4)), yield* data(4))
        })
    )

    onBoth(it, "a writer that dies before it raises the version has changed nothing", (one) =>
      Effect.gen(function*() {
        const read = one.run(Version.getCachedData(7))
        yield* read
        yield* Effect.exit(afterQueries(Effect.die("killed"))(Version.updateArticle(7, { title: "Half" })))
        assert.deepStrictEqual(yield* read, yield* data(7))
      }))

    onBoth(it, "a change that was rolled back raises nothing", (one) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const before = yield* versionOf(5)
        yield* one.run(Version.getCachedData(5))
        yield* Version.updateArticle(5, { title: "Never" }).pipe(
          Effect.andThen(Effect.fail("rolled back")),
          sql.withTransaction,
          Effect.ignore
        )
        assert.strictEqual(yield* versionOf(5), before)
        assert.strictEqual(yield* queriesOf(one.run(Version.getCachedData(5))), 1)
      }))

    onBoth(it, "a hit costs one query, of the version", (one) =>
      Effect.gen(function*() {
        const read = one.run(Version.getCachedData(6))
        assert.strictEqual(yield* queriesOf(read), 2)
        assert.strictEqual(yield* queriesOf(read), 1)
      }))
  })
})
