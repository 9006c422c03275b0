/** Subscribers of the writes of articles: notified after the commit, or not at all. */
import { Context, Effect, Layer } from "effect"
import { Change, Changes } from "../../../src/index.ts"
import { Articles } from "../Model.ts"
import * as Queries from "../Queries.ts"
import * as Writes from "../Writes.ts"

// #region write
/** An issue goes online: all of its articles, or none. */
export const publishIssue = (articleIds: ReadonlyArray<number>) =>
  Effect.forEach(articleIds, (id) => Writes.publish(id), { discard: true }).pipe(Writes.transaction)
// #endregion

// #region subscribers
/** The titles that the search knows. */
export class SearchIndex extends Context.Service<SearchIndex, Map<number, string>>()("articles/SearchIndex") {
  static readonly layer = Layer.sync(SearchIndex, () => new Map())
}

/** Reads each article again, as it is by now. */
const search = Changes.subscriber("search", (changes) =>
  Effect.gen(function*() {
    const index = yield* SearchIndex
    const ids = [...Change.idsOf(changes, Articles)]
    for (const [at, found] of (yield* Queries.articles(ids)).entries()) {
      if (found._tag === "Success" && found.success.published) index.set(ids[at]!, found.success.title)
      else index.delete(ids[at]!)
    }
  }).pipe(Effect.catchCause((cause) => Effect.logError("the search was not updated", cause))))

export const subscribers = Changes.layer(search)
// #endregion
