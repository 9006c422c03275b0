/** A table of lifetimes, and reads that take theirs from it. */
import { Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { ArticlePage, PopularArticle } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region timeouts
export const CACHE_TIMEOUTS = {
  static: <K, V>() => Policy.ttl<K, V>("24 hours", { jitter: 0.1 }),
  dynamic: <K, V>() => Policy.ttl<K, V>("5 minutes", { staleFor: "1 minute", jitter: 0.2 }),
  realTime: <K, V>() => Policy.ttl<K, V>("1 minute")
}
// #endregion

// #region reads
export const articles = Cached.make(
  "timeouts/article",
  {
    key: Key.int("id"),
    value: ArticlePage,
    lookup: (id) => Queries.article(id),
    lookupMany: (ids) => Queries.articles(ids)
  },
  CACHE_TIMEOUTS.dynamic()
)

export const popular = Cached.make(
  "timeouts/popular",
  { key: Key.unit, value: Schema.Array(PopularArticle), lookup: () => Queries.popularArticles(10) },
  CACHE_TIMEOUTS.realTime()
)

/** What a deploy does first: all of them, by one query. */
export const cacheArticles = (ids: ReadonlyArray<number>) => Cached.getMany(articles, ids)

export const getArticle = (id: number) => Cached.get(articles, id)
// #endregion
