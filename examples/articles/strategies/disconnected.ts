/** Writes without some subscribers: an import does once, at its end, what they would do for each write. */
import { Effect } from "effect"
import { Cached, Changes, Invalidation } from "../../../src/index.ts"
import * as Writes from "../Writes.ts"

// #region import
/** Articles by the hundred: the search is built anew at the end, the cache is emptied once. */
export const importArticles = <E, R>(
  articles: ReadonlyArray<Writes.NewArticle>,
  buildSearch: Effect.Effect<void, E, R>
) =>
  Effect.forEach(articles, (article) => Writes.createArticle(article)).pipe(
    Changes.disconnected("search", "cache"),
    // Also after an import that broke off: what it has written by then is there.
    Effect.onExit(() => Cached.apply(Invalidation.everything)),
    Effect.tap(buildSearch)
  )
// #endregion
