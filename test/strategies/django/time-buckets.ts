/** "Time-Based Cache Keys": the hour or the day, as the process's own clock shows it, is part of the key. */
import { DateTime, Effect } from "effect"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

const digits = (length: number) => (n: number): string => String(n).padStart(length, "0")

/** `strftime("%Y%m%d")`, and with the hour `"%Y%m%d%H"`. */
const strftime = (now: DateTime.DateTime, withHour: boolean): string => {
  const { day, hour, month, year } = DateTime.toParts(now)
  return digits(4)(year) + [month, day, ...(withHour ? [hour] : [])].map(digits(2)).join("")
}

const computeHourlyStats = Queries.stats

const generateDailyReport = Effect.flatMap(DateTime.nowInCurrentZone, (now) => {
  const today = DateTime.startOf(now, "day")
  return Queries.report(DateTime.toDateUtc(DateTime.subtract(today, { days: 1 })), DateTime.toDateUtc(today))
})

// #region hourly
export const getHourlyStats = (cache: DjangoCache) =>
  Effect.flatMap(
    DateTime.nowInCurrentZone,
    (now) => cache.getOrSet(`stats:hourly:${strftime(now, true)}`, computeHourlyStats, 3600)
  )
// #endregion

// #region daily
export const getDailyReport = (cache: DjangoCache) =>
  Effect.flatMap(
    DateTime.nowInCurrentZone,
    (now) => cache.getOrSet(`report:daily:${strftime(now, false)}`, generateDailyReport, 86400)
  )
// #endregion
