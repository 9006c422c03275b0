/** docs/strategies/typed-keys.md: what a key is made of. What does not compile is in test/types/typedKeys.tst.ts. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import {
  articleDetail,
  ArticleId,
  articleList,
  categoryArticles,
  CategoryId,
  forgetArticle,
  userProfile
} from "../../examples/articles/strategies/typed-keys.ts"
import { Cached, InvalidInput } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/typed-keys.ts"
import { onBoth, site } from "./support.ts"

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: true }

layer(site, { timeout: "60 seconds" })("typed keys", (it) => {
  describe("the Django way", () => {
    it.effect("an address that is no article is shown the list: the two have one key", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const list: unknown = yield* Django.articleList(cache)
        assert.deepStrictEqual<unknown>(yield* Django.articleDetail(cache, "list"), list)
      }))

    it.effect("articles without an id share one entry", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.preview(cache, { id: undefined, title: "Hers" })
        assert.strictEqual(yield* Django.preview(cache, { id: undefined, title: "His" }), "<h1>Hers</h1>")
      }))

    it.effect("the id of something else is taken, and the wrong list is deleted", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.categoryArticles(cache, 1)
        const article = yield* Article.create(draft)
        // It should be the article's category.
        yield* cache.delete(Django.CacheKeys.categoryArticles(article.id))
        const list = yield* Django.categoryArticles(cache, 1)
        assert.isFalse(list.some(({ id }) => id === article.id))
      }))
  })

  describe("here", () => {
    it("no two reads share a key, whatever they are asked for", () => {
      const keys = [
        Cached.keyOf(articleDetail, ArticleId.make(1)),
        Cached.keyOf(articleList, undefined),
        Cached.keyOf(categoryArticles, CategoryId.make(1)),
        Cached.keyOf(userProfile, { userId: 1, language: "en" }),
        Cached.keyOf(userProfile, { userId: 1, language: "it" })
      ]
      assert.strictEqual(new Set(keys).size, keys.length)
    })

    it("what is no id is refused where it is used, also if the compiler was talked into it", () => {
      for (const id of [undefined, null, "5:x", "list", Number.NaN, 1.5]) {
        assert.throws(() => Cached.keyOf(articleDetail, id as never), InvalidInput.InvalidInput)
      }
      assert.throws(
        () => Cached.keyOf(userProfile, { userId: 1, language: "en:x" } as never),
        InvalidInput.InvalidInput
      )
    })

    onBoth(
      it,
      "what is read under a key is forgotten under it",
      (one: Process, other: Process) =>
        Effect.gen(function*() {
          const id = ArticleId.make((yield* Article.create(draft)).id)
          const title = other.run(Effect.map(Cached.get(articleDetail, id), (page) => page.title))
          assert.strictEqual(yield* title, "Old")
          yield* Article.save({ ...(yield* Article.get(id)), title: "New" })
          assert.strictEqual(yield* title, "Old")
          yield* one.run(forgetArticle(id))
          assert.strictEqual(yield* title, "New")
        })
    )
  })
})
