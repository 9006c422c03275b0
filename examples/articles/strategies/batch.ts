/** Many rows are written, and what that makes untrue is one batch. */
import { Effect } from "effect"
import { Cached, Invalidation } from "../../../src/index.ts"
import * as Site from "../Site.ts"
import * as Writes from "../Writes.ts"

// #region update
/** All or none. What each of them publishes is delivered as one batch, after the commit. */
export const updateArticles = (ids: ReadonlyArray<number>, patch: Writes.ArticlePatch) =>
  Effect.forEach(ids, (id) => Writes.updateArticle(id, patch)).pipe(Writes.transaction)
// #endregion

// #region combine
/** What an import has replaced behind the site's back: any kinds of targets are one batch. */
export const imported = (articleIds: ReadonlyArray<number>, categoryIds: ReadonlyArray<number>) =>
  Cached.apply(Invalidation.combineAll([
    Cached.invalidation(Site.article, articleIds),
    Cached.invalidation(Site.articlesOfCategory, categoryIds),
    Invalidation.tags("import")
  ]))
// #endregion
