import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Articles } from "../../examples/articles/Model.ts"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { describeArticle, invalidatedBy } from "../../examples/articles/strategies/documentation.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import * as Catalogue from "../../src/Catalogue.ts"
import { Cached, type CacheService, Key, Policy } from "../../src/index.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/documentation.ts"
import { fresh, type Given, site } from "./support.ts"

/** The reads of which some key was loaded again after a write. */
const loadedAfter = <A, E, R>(write: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const loads = Effect.forEach(Site.reads, ({ cached }) => Effect.map(Cached.stats(cached), (stats) => stats.loads))
    const questions = (yield* Effect.forEach(Site.reads, (read) => read.questions)).flat()
    const askAll = Effect.forEach(questions, ({ cached }) => Effect.result(cached))
    yield* askAll
    const before = yield* loads
    yield* write
    yield* askAll
    const after = yield* loads
    return Site.reads.map(({ name }) => name).filter((_, i) => after[i]! > before[i]!)
  })

layer(site, { timeout: "60 seconds" })("documentation", (it) => {
  describe("the Django way", () => {
    it.effect("the docstring names keys that nobody deletes, and does not name some that are deleted", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const article = yield* Queries.articleRow(1)
        const documented = Django.documentedKeys(article)
        const undocumented = [`article:detail:${article.id}`, `category:articles:${article.categoryId}`]
        for (const key of [...documented, ...undocumented]) yield* cache.set(key, "old")
        yield* Django.save(cache, article, Effect.void)
        const left = yield* Effect.filter(
          documented,
          (key) => Effect.map(cache.get(key), (value) => value !== undefined)
        )
        assert.deepStrictEqual(left, [`category:${article.categoryId}:articles`, `author:${article.authorId}:articles`])
        const gone = yield* Effect.filter(undocumented, (key) => Effect.map(cache.get(key), (v) => v === undefined))
        assert.deepStrictEqual(gone, undocumented)
      }))
  })

  describe("the way here", () => {
    const otherAuthor = Effect.flatMap(
      Queries.articleRow(2),
      ({ authorId }) => Writes.updateArticle(2, { authorId: authorId === 1 ? 2 : 1 })
    )
    const writes = {
      "article.title": [Writes.updateArticle(2, { title: "Two" }), "articleCard"],
      "article.content": [Writes.updateArticle(2, { content: "Of two." }), "article"],
      "article.authorId": [otherAuthor, "article"],
      "category.name": [Writes.renameCategory(1, "Journeys"), "sidebar"],
      "author.name": [Writes.renameAuthor(1, "A. Nother"), "author"],
      "tag.name": [Writes.renameTag(1, "elsewhere"), "popularTags"],
      "product.name": [Writes.updateProduct(1, { name: "A lamp" }), "product"],
      "setting.value": [Writes.updateSettings("motto", "Slowly"), "siteSettings"]
    } as const
    for (const [label, [write, surely]] of Object.entries(writes)) {
      it.effect(`what the catalogue says of ${label} is what happens`, () =>
        Effect.gen(function*() {
          // With an article the database changes the time of its update.
          const [entity, field] = label.split(".") as [string, string]
          const changed = entity === "article" ? [field, "updatedAt"] : [field]
          const predicted = changed.flatMap((one) => invalidatedBy(entity, one))
          const loaded = yield* loadedAfter<unknown, unknown, Given | CacheService.CacheService>(write)
          assert.includeMembers(predicted, loaded)
          assert.include(loaded, surely)
        }).pipe(fresh))
    }

    it.effect("says what a change of a field ends, and of what nobody shows that it ends nothing", () =>
      Effect.sync(() => {
        assert.deepStrictEqual(invalidatedBy("article", "content"), ["article"])
        assert.deepStrictEqual(invalidatedBy("article", "views"), [])
        // Others have names, too.
        assert.notInclude(invalidatedBy("product", "name"), "author")
        assert.include(describeArticle, "the author of the value: name")
      }))

    it.effect("a policy that shows more is another catalogue", () =>
      Effect.sync(() => {
        const card = Cached.make(
          "articleCard",
          { key: Key.int("id"), value: Schema.String, lookup: Queries.articleCard },
          Policy.conditional(Articles, { fields: ["title", "views"] })
        )
        const views = Catalogue.make([card]).changes.find((change) => change.label === "article.views")
        assert.deepStrictEqual(views?.invalidates.map(({ name }) => name), ["articleCard"])
      }))
  })
})
