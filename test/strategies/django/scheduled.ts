/** "Scheduled Invalidation": a task of Celery, and the beat that starts it at each full hour. */
import { Clock, Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

// #region task
export const invalidateStaleCaches = (cache: DjangoCache) =>
  cache.deleteMany(["dashboard:stats", "popular_posts", "trending_topics"])

const hour = 3_600_000

/** `crontab(minute=0, hour='*')`: every hour. */
export const beat = (cache: DjangoCache) =>
  Effect.gen(function*() {
    for (;;) {
      yield* Effect.sleep(hour - (yield* Clock.currentTimeMillis) % hour)
      yield* invalidateStaleCaches(cache)
    }
  })

/** What the task is there for: kept until it is deleted. */
export const getDashboard = (cache: DjangoCache) => cache.getOrSet("dashboard:stats", Queries.stats, null)
// #endregion
