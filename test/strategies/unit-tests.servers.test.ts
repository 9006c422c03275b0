/** Tests of what readers see: `docs/strategies/unit-tests.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import * as Tests from "../../examples/articles/strategies/unit-tests.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, Changes } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import * as Row from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { Article, articleDetail } from "./django/model-methods.ts"
import * as Django from "./django/unit-tests.ts"
import { midway, site } from "./support.ts"

const test = Effect.provide(TestCache.layer(), { local: true })

layer(site, { timeout: "60 seconds" })("unit tests", (it) => {
  describe("the Django way", () => {
    it.effect("both tests pass", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Django.testArticleSaveInvalidatesCache, "passed")
        assert.strictEqual(yield* Django.testArticleDeleteInvalidatesList, "passed")
      }))

    it.effect("and the page of a deleted article is still served", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { title } = yield* articleDetail(cache, 1)
        yield* new Article(cache, yield* Row.get(1)).delete()
        assert.strictEqual((yield* articleDetail(cache, 1)).title, title)
        assert.strictEqual((yield* Effect.flip(Queries.article(1)))._tag, "NotFound")
      }))

    it.effect("and a reader on its way puts the old title back", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const finish = yield* midway(articleDetail(cache, 2))
        const article = new Article(cache, yield* Row.get(2))
        const old = article.fields.title
        article.fields.title = "Updated"
        yield* article.save()
        yield* finish
        assert.strictEqual((yield* articleDetail(cache, 2)).title, old)
        assert.strictEqual(yield* Queries.title(2), "Updated")
      }))
  })

  describe("the way here", () => {
    it.effect("saving an article ends what shows it", () => Tests.articleSaveInvalidatesCache.pipe(test))

    it.effect("deleting an article ends the list, and its page", () => Tests.articleDeleteInvalidatesList.pipe(test))

    it.effect("a minute passes when the test says so", () => Tests.popularIsUpToAMinuteOld.pipe(test))

    it.effect("a reader on its way puts nothing back", () =>
      Effect.gen(function*() {
        const finish = yield* midway(Cached.get(Site.article, 3))
        yield* Writes.updateArticle(3, { title: "Updated" })
        assert.notStrictEqual((yield* finish).title, "Updated")
        assert.strictEqual((yield* Cached.get(Site.article, 3)).title, "Updated")
      }).pipe(test))

    it.effect("the same tests fail where writes tell nobody", () =>
      Effect.gen(function*() {
        const outcomes = yield* Effect.forEach(
          [Tests.articleSaveInvalidatesCache, Tests.articleDeleteInvalidatesList],
          (one) => Effect.exit(one.pipe(Changes.disconnected("cache"), test))
        )
        for (const outcome of outcomes) assert.match(String(outcome), /AssertionError/)
      }))
  })
})
