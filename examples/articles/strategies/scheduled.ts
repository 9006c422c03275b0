/** What is made anew at each full hour, by a schedule that each process may run. */
import { Schema } from "effect"
import { Cached, Invalidation, Key, Policy } from "../../../src/index.ts"
import * as Schedules from "../../../src/Schedules.ts"
import { PopularArticle, Stats } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region reads
export const dashboard = Cached.make(
  "dashboard",
  { key: Key.unit, value: Stats, lookup: () => Queries.stats },
  Policy.tagged("hourly")
)

export const trendingTopics = Cached.make(
  "trending",
  { key: Key.unit, value: Schema.Array(PopularArticle), lookup: () => Queries.popularArticles(5) },
  Policy.tagged("hourly")
)
// #endregion

// #region schedule
export const invalidateStaleCaches = Schedules.cron("0 * * * *", Invalidation.tags("hourly"), {
  name: "stale caches"
})

/** A part of what each process is made of, beside its cache. */
export const worker = Schedules.layer(invalidateStaleCaches)
// #endregion
