/** "Mock Cache for Testing": `test_invalidation_called`, and two models that it is run on. */
import { Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import { DjangoCache } from "./DjangoCache.ts"

type InvalidateCache = (cache: DjangoCache, articleId: number) => Effect.Effect<void>

// #region test
/** `@patch('django.core.cache.cache.delete')`: nothing is deleted, and the calls are remembered. */
class MockedDelete extends DjangoCache {
  readonly calls: Array<string> = []

  override delete(key: string) {
    return Effect.sync(() => {
      this.calls.push(key)
      return true
    })
  }
}

/** Test that cache.delete is called with correct keys */
export const testInvalidationCalled = (invalidateCache: InvalidateCache) =>
  Effect.gen(function*() {
    const mockDelete = new MockedDelete()
    yield* invalidateCache(mockDelete, 7)

    // Verify delete was called with expected keys
    const expectedKeys = ["article:7", "article:detail:7", "article:list"]
    if (mockDelete.calls.length === 0) return "failed: delete was not called"
    const missing = expectedKeys.find((key) => !mockDelete.calls.includes(key))
    return missing === undefined ? "passed" : `failed: ${missing} was not deleted`
  })
// #endregion

// #region models
/** `invalidate_cache` of the page's model. */
export const invalidateCache: InvalidateCache = (cache, articleId) =>
  cache.deleteMany([`article:${articleId}`, `article:detail:${articleId}`, "article:list", "popular_articles"])

/** One that calls what the test looks for. */
export const invalidateOneByOne: InvalidateCache = (cache, articleId) =>
  Effect.forEach(
    [`article:${articleId}`, `article:detail:${articleId}`, "article:list"],
    (key) => cache.delete(key),
    { discard: true }
  )

/** The reader. Since the page was made anew its key is another. */
export const getTitle = (cache: DjangoCache, articleId: number) =>
  cache.getOrSet(`article:page:${articleId}`, Queries.title(articleId), 3600)
// #endregion
