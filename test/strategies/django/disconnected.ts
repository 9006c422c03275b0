/** The page's "Integration Test with Signals": test_signal_disconnection. */
import { Effect } from "effect"
import { Signals } from "./Dispatch.ts"
import type { DjangoCache } from "./DjangoCache.ts"
import { invalidateArticleCacheOnSave } from "./signals.ts"

const fields = { title: "Test", content: "Text", categoryId: 1, authorId: 1 }

/** What stands where the application starts. `@receiver(post_save, sender=Article)` gives no dispatch_uid. */
export const application = (cache: DjangoCache, dispatchUid?: string) => {
  const signals = new Signals()
  const invalidateArticleCache = invalidateArticleCacheOnSave(cache)
  signals.postSave.connect(invalidateArticleCache, dispatchUid)
  return { cache, signals, invalidateArticleCache }
}

/** Saves an article that is cached; gives what the cache holds of it afterwards. */
export const saveCached = ({ cache, signals }: ReturnType<typeof application>, meanwhile: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const article = yield* signals.create(fields)
    const cacheKey = `article:${article.id}`
    yield* cache.set(cacheKey, "cached_data", 300)
    yield* meanwhile

    article.title = "Updated"
    yield* signals.save(article)

    return yield* cache.get<string>(cacheKey)
  })

// #region test
/** Test behavior when signal handler is disconnected: gives what the cache holds, which should be "cached_data" */
export const testSignalDisconnection = (
  app: ReturnType<typeof application>,
  meanwhile: Effect.Effect<unknown> = Effect.void
) =>
  Effect.suspend(() => {
    // Disconnect signal
    app.signals.postSave.disconnect("invalidate_article_cache")

    return Effect.ensuring(
      saveCached(app, meanwhile),
      // Reconnect signal
      Effect.sync(() => app.signals.postSave.connect(app.invalidateArticleCache, "invalidate_article_cache"))
    )
  })
// #endregion
