/** What is asked for all the time, and takes a while to load. */
import { Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { PopularArticle } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region read
export const popularArticles = Cached.make(
  "popular/early",
  { key: Key.unit, value: Schema.Array(PopularArticle), lookup: () => Queries.popularArticles(10) },
  Policy.all(Policy.ttl("5 minutes"), Policy.xfetch({ beta: 1 }))
)

export const getCachedWithEarlyRefresh = Cached.get(popularArticles, undefined)
// #endregion
