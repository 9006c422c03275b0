/** What ends at the hour, and what is of a day. */
import { DateTime, Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { Report, Stats } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region hourly
export const hourlyStats = Cached.make(
  "stats/hourly",
  { key: Key.unit, value: Stats, lookup: () => Queries.stats },
  Policy.until("0 * * * *")
)

export const getHourlyStats = Cached.get(hourlyStats, undefined)
// #endregion

// #region daily
const day = Key.bucket("day", { every: "day", timeZone: "Europe/Rome" })

/** What was sold on a day. Ask for days that are over. */
export const dailyReport = Cached.make(
  "report/daily",
  {
    key: day,
    value: Report,
    // From midnight to midnight in Rome, which is not always 24 hours.
    lookup: (at) => {
      const { from, to } = day.bounds(at)
      return Queries.report(from, to)
    }
  },
  Policy.ttl("1 week")
)

export const getDailyReport = Effect.flatMap(
  DateTime.now,
  (now) => Cached.get(dailyReport, new Date(day.bounds(now).from.getTime() - 1)) // the day before this one
)
// #endregion

// #region many
/** One of these for each article: at the hour they end one after the other, within five minutes. */
export const views = Cached.make(
  "views",
  {
    key: Key.int("articleId"),
    value: Schema.Int,
    lookup: (id) => Effect.map(Queries.articleRow(id), ({ views }) => views)
  },
  Policy.until("0 * * * *", { spread: "5 minutes" })
)
// #endregion
