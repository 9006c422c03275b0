/** "Unit Test for Invalidation": the two tests, on the page's model. Each tells whether it passed. */
import { Effect } from "effect"
import * as Row from "./Article.ts"
import { DjangoCache } from "./DjangoCache.ts"
import { Article } from "./model-methods.ts"

const passed = (assertion: boolean) => assertion ? "passed" as const : "failed" as const

const create = (cache: DjangoCache, title: string) =>
  Effect.map(
    Row.create({ title, content: "", categoryId: 1, authorId: 1, published: true }),
    (fields) => new Article(cache, fields)
  )

// #region save
/** Test that saving article invalidates its cache */
export const testArticleSaveInvalidatesCache = Effect.gen(function*() {
  const cache = new DjangoCache()
  const article = yield* create(cache, "Test")

  // Cache the article
  const cacheKey = `article:${article.fields.id}`
  yield* cache.set(cacheKey, article.fields, 300)

  // Update article
  article.fields.title = "Updated"
  yield* article.save()

  // Cache should be invalidated
  return passed((yield* cache.get(cacheKey)) === undefined)
})
// #endregion

// #region delete
/** Test that deleting article invalidates list cache */
export const testArticleDeleteInvalidatesList = Effect.gen(function*() {
  const cache = new DjangoCache()
  const article = yield* create(cache, "Test")

  // Cache article list
  yield* cache.set("article:list", [article.fields], 300)

  // Delete article
  yield* article.delete()

  // List cache should be invalidated
  return passed((yield* cache.get("article:list")) === undefined)
})
// #endregion
