/** Delete, delete many, clear: for what was changed behind the program's back. */
import { Cached, Invalidation } from "../../../src/index.ts"
import * as Site from "../Site.ts"

// #region delete
/** One key. */
export const deleteArticle = (id: number) => Cached.invalidate(Site.article, id)

/** Several keys of one read. */
export const deleteArticles = (ids: ReadonlyArray<number>) => Cached.invalidateMany(Site.article, ids)

/** Keys of several reads: still one batch, and one acknowledgement. */
export const deleteWithLists = (ids: ReadonlyArray<number>) =>
  Cached.apply(Invalidation.combineAll([
    Cached.invalidation(Site.article, ids),
    Cached.invalidation(Site.articleCard, ids),
    Cached.invalidation(Site.articleList, [undefined])
  ]))

/** All that this site has cached, and nothing of others on the same server. */
export const clear = Cached.apply(Invalidation.everything)
// #endregion
