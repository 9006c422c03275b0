/**
 * Cron expressions that users give: read, refused, printed, and asked for their
 * ticks.
 */
import * as Cron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { InvalidInput } from "../InvalidInput.ts"
import { timeZone as zoneOf } from "./calendar.ts"
import { refused } from "./refused.ts"

const refuse = (where: string, message: string): InvalidInput => refused(where, "InvalidCron", message)

/** An expression as it stands; refuses what does not parse. */
export const fromText = (where: string, text: string): Cron.Cron => {
  const result = Cron.parse(text)
  if (Result.isSuccess(result)) return result.success
  throw refuse(where, `"${text}": ${result.failure.message}`)
}

// A `Cron` does not say whether it takes days and weekdays together, but whether it equals one that does.
const takesBoth = (self: Cron.Cron): boolean =>
  Cron.equals(self, Cron.make({ ...self, tz: Option.getOrUndefined(self.tz), and: true }))

/** The same expression, but for what is given. */
export const remake = (
  self: Cron.Cron,
  changes: { readonly tz?: DateTime.TimeZone; readonly and?: boolean; readonly onDstOverlap?: Cron.DstOverlapPolicy }
): Cron.Cron => Cron.make({ ...self, tz: Option.getOrUndefined(self.tz), and: takesBoth(self), ...changes })

/** An expression with a time zone: its own, or else the one given. Refuses what does not parse or never ticks. */
export const parse = (where: string, cron: string | Cron.Cron, timeZone?: string): Cron.Cron => {
  const given = typeof cron === "string" ? fromText(where, cron) : cron
  const parsed = Option.isSome(given.tz)
    ? given
    : remake(given, { tz: zoneOf(where, "InvalidCron", timeZone) })
  if (nextTick(parsed, 0) === Infinity) throw refuse(where, `"${Cron.format(parsed)}" never ticks`)
  return parsed
}

/** What identifies an expression: `"0 3 * * *"`, `Europe/Rome`. */
export const words = (self: Cron.Cron, word: (zone: string) => string = String): ReadonlyArray<string> => {
  const zone = Option.match(self.tz, { onNone: () => "UTC", onSome: DateTime.zoneToString })
  return [
    JSON.stringify(Cron.format(self)),
    ...(zone === "UTC" ? [] : [word(zone)]),
    // What the format of an expression leaves out.
    ...(takesBoth(self) ? ["days and weekdays"] : []),
    ...(self.onDstOverlap === "earlier" ? [] : [`overlap ${self.onDstOverlap}`])
  ]
}

/**
 * When the first tick after `since` comes, in milliseconds; never, if the
 * expression has no further tick.
 */
export const nextTick = (cron: Cron.Cron, since: number): number => {
  try {
    return Cron.next(cron, new Date(since)).getTime()
  } catch {
    return Infinity
  }
}

/** The last tick that is not after `now`, in milliseconds; -Infinity, if there was none. */
export const lastTick = (self: Cron.Cron, now: number): number => {
  try {
    return Cron.prev(self, new Date(now + 1)).getTime()
  } catch {
    return -Infinity
  }
}
