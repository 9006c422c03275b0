/**
 * Hours, days and months of a time zone.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { InvalidInput } from "../InvalidInput.ts"
import { refused } from "./refused.ts"

/** A time zone by its name, or by its offset; UTC unless given. */
export const timeZone = (where: string, reason: InvalidInput["reason"], name = "UTC"): DateTime.TimeZone => {
  const found = DateTime.zoneFromString(name)
  if (Option.isSome(found)) return found.value
  throw refused(where, reason, `there is no time zone "${name}"`)
}

/** How a calendar divides time. Weeks begin on Mondays. */
export type Unit = "minute" | "hour" | "day" | "week" | "month" | "year"

export const units: ReadonlyArray<Unit> = ["minute", "hour", "day", "week", "month", "year"]

const inZone = (zone: DateTime.TimeZone, millis: number): DateTime.Zoned =>
  DateTime.makeZonedUnsafe(millis, { timeZone: zone })

/** By how many milliseconds clocks of the zone are ahead of UTC. */
export const offsetAt = (zone: DateTime.TimeZone, millis: number): number => DateTime.zonedOffset(inZone(zone, millis))

/** When the offset that holds at `to` began to hold, if another one held at `from`. */
export const changeBetween = (zone: DateTime.TimeZone, from: number, to: number): number => {
  const offset = offsetAt(zone, to)
  let [before, after] = [from, to]
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (offsetAt(zone, middle) === offset) after = middle
    else before = middle
  }
  return after
}

/**
 * The instant at which the minute, hour, day ... of an instant began. An hour
 * that the clocks repeat, or cut short, is another hour after the change.
 */
export const startOf = (zone: DateTime.TimeZone, unit: Unit, millis: number): number => {
  if (unit !== "minute" && unit !== "hour") {
    return DateTime.toEpochMillis(DateTime.startOf(inZone(zone, millis), unit, { weekStartsOn: 1 }))
  }
  const length = unit === "hour" ? 3_600_000 : 60_000
  const offset = offsetAt(zone, millis)
  const start = Math.floor((millis + offset) / length) * length - offset
  return offsetAt(zone, start) === offset ? start : changeBetween(zone, start, millis)
}

const longest: Readonly<Record<Unit, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 2 * 86_400_000,
  week: 9 * 86_400_000,
  month: 33 * 86_400_000,
  year: 368 * 86_400_000
}

/** The instant at which the minute, hour, day ... ends that began at `start`: the first that is of another one. */
export const endOf = (zone: DateTime.TimeZone, unit: Unit, start: number): number => {
  let [inside, beyond] = [start, start + longest[unit]]
  while (beyond - inside > 1) {
    const middle = Math.floor((inside + beyond) / 2)
    if (startOf(zone, unit, middle) === start) inside = middle
    else beyond = middle
  }
  return beyond
}
