/** docs/strategies/fragments.md: what a fragment varies on is no part of a text, and old versions do not pile up. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Queries from "../../examples/articles/Queries.ts"
import {
  invalidateResults,
  invalidateSidebar,
  postDetail,
  postVersion,
  results,
  sidebar
} from "../../examples/articles/strategies/fragments.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { oneNode, places, type Process, promise, start } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"
import * as Article from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/fragments.ts"
import { fresh, onBoth, site } from "./support.ts"

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: true }

layer(site, { timeout: "60 seconds" })("fragments", (it) => {
  describe("the Django way", () => {
    it.effect("two fragments that vary on different values have one key", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const search = (words: string, tag: string) =>
          Django.fragment(cache, "results", [words, tag], Effect.succeed(`${words} in ${tag}`))
        assert.strictEqual(yield* search("bees:craft", "local"), "bees:craft in local")
        assert.strictEqual(yield* search("bees", "craft:local"), "bees:craft in local")
      }))

    it.effect("a fragment that varies on updated_at is deleted under the key that it does not have yet", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { id } = yield* Article.create(draft)
        const show = Effect.flatMap(
          Article.get(id),
          (post) =>
            Django.fragment(cache, "post_detail", [post.id, post.updatedAt.toISOString()], Effect.succeed(post.title))
        )
        for (const title of ["One", "Two", "Three"]) {
          yield* show
          yield* Article.save({ ...(yield* Article.get(id)), title })
          yield* Django.invalidatePostDetail(cache, yield* Article.get(id))
        }
        assert.strictEqual(yield* show, "Three")
        // What is read is right. What was read is still there, for an hour, and nobody can delete it.
        assert.strictEqual(cache.memory.size, 4)
      }))

    it.effect("a fragment is deleted by who knows all that it varies on", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.fragment(cache, "article", [7, "en"], Effect.succeed("Old"))
        yield* Django.invalidateArticle(cache, { id: 7 })
        assert.strictEqual(yield* Django.fragment(cache, "article", [7, "en"], Effect.succeed("New")), "Old")
      }))
  })

  describe("here", () => {
    onBoth(it, "different values are different fragments", (one: Process, other: Process) =>
      Effect.gen(function*() {
        const odd = ["a", "a:b", "b", ":", "::", "%", "%3A", "b:", ":b", "*", "{b}", " ", "ä", "a:b:c"]
        const keys = odd.flatMap((words) => odd.map((tag) => Cached.keyOf(results, [words, tag])))
        assert.strictEqual(new Set(keys).size, odd.length ** 2)
        yield* one.run(Cached.get(results, ["bees:craft", "local"]))
        assert.strictEqual(
          yield* other.run(Cached.get(results, ["bees", "craft:local"])),
          "<h2>bees in craft:local</h2>"
        )
      }))

    onBoth(
      it,
      "a fragment ends when what it shows has changed",
      (writer, reader) =>
        Effect.gen(function*() {
          const { id } = yield* Article.create(draft)
          const show = reader.run(Cached.get(postDetail, id))
          assert.strictEqual(yield* show, "<h1>Old</h1><p>Text</p>")
          yield* writer.run(Writes.updateArticle(id, { title: "<New>" }))
          assert.strictEqual(yield* show, "<h1>&lt;New></h1><p>Text</p>")
          yield* writer.run(Writes.updateArticle(id, { content: "Words" }))
          assert.strictEqual(yield* show, "<h1>&lt;New></h1><p>Words</p>")
          const menu = reader.run(Cached.get(sidebar, undefined))
          const before = yield* menu
          yield* writer.run(Writes.createArticle(draft))
          assert.notStrictEqual(yield* menu, before)
          assert.strictEqual(yield* menu, yield* Queries.sidebar)
        })
    )

    it.effect("ten edits leave one entry; with updatedAt in the key ten", () =>
      Effect.gen(function*() {
        const { id } = yield* Article.create(draft)
        let updatedAt = (yield* Article.get(id)).updatedAt
        for (let edit = 1; edit <= 10; edit++) {
          yield* Cached.get(postDetail, id)
          yield* Cached.get(postVersion, [id, updatedAt])
          updatedAt = (yield* Writes.updateArticle(id, { title: `Edit ${edit}` })).after.updatedAt
        }
        const kept = (name: string) =>
          Effect.map(TestCache.entries, (entries) => entries.filter(({ key }) => key.startsWith(`${name}:`)).length)
        yield* Cached.get(postDetail, id)
        assert.deepStrictEqual([yield* kept("postDetail"), yield* kept("postVersion")], [1, 10])
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("old versions go away by themselves [redis]", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const { run } = yield* start(oneNode.layer({ prefix }))
        const { id, updatedAt } = yield* Article.create(draft)
        yield* run(Cached.get(postVersion, [id, updatedAt]))
        const redis = yield* oneNode.look
        const left = yield* promise(() => redis.pttl(places(prefix).entry(Cached.keyOf(postVersion, [id, updatedAt]))))
        assert.isAbove(left, 0)
        assert.isAtMost(left, 3_600_000)
      }))

    it.effect("one fragment, or all variants of one, by hand", () =>
      Effect.gen(function*() {
        const ask = Effect.all([
          Cached.get(sidebar, undefined),
          Cached.get(results, ["bees", "local"]),
          Cached.get(results, ["bees:craft", "local"])
        ])
        const loads = Effect.map(
          Effect.all([Cached.stats(sidebar), Cached.stats(results)]),
          (stats) => stats.map(({ loads }) => loads)
        )
        yield* ask
        assert.deepStrictEqual(yield* loads, [1, 2])
        yield* invalidateSidebar
        yield* ask
        assert.deepStrictEqual(yield* loads, [2, 2])
        yield* invalidateResults
        yield* ask
        assert.deepStrictEqual(yield* loads, [2, 4])
      }).pipe(fresh))
  })
})
