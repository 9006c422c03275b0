/**
 * Cron expressions that users give: read, refused, printed, and asked for their
 * ticks.
 */
import * as Cron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { InvalidInput } from "../InvalidInput.ts"
import { changeBetween, offsetAt, timeZone as zoneOf } from "./calendar.ts"
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

// -----------------------------------------------------------------------------
// ticks
// -----------------------------------------------------------------------------

// An expression means an interval, as "each quarter of an hour" does, and not a time of day, if its hours are all, or
// three or more that are evenly spaced: whatever is written as a star, a range or a step. An interval goes on through an
// hour that the clocks repeat; a time of day comes once.
const isInterval = ({ hours }: Cron.Cron): boolean => {
  if (hours.size === 0) return true
  const [first = 0, second = 0, ...rest] = [...hours].sort((a, b) => a - b)
  return rest.length > 0 && rest.every((hour, i) => hour === second + (i + 1) * (second - first))
}

const day = 86_400_000

// A `Date` ends some days after.
const lastDate = 8.63e15

// No zone's clocks were ever changed by more than a day.
const around = day + 3_600_000

/** Milliseconds of an interval with one offset, from `start` to before `end`. */
interface Stretch {
  readonly offset: number
  readonly start: number
  readonly end: number
}

const zoneFor = ({ tz }: Cron.Cron): DateTime.TimeZone => Option.getOrElse(tz, () => utc)

const utc = zoneOf("Cron", "InvalidCron")

/**
 * Where the offsets of a zone hold, from before `from` to after `to`, which are at
 * most a day apart. The one from before a change holds for as long as the clocks
 * skip, so that what they skip comes as much later. A time that they repeat is in
 * the first of two, the second, or both.
 */
const stretches = (self: Cron.Cron, from: number, to: number): ReadonlyArray<Stretch> => {
  const zone = zoneFor(self)
  const looks = [from - around, from, to, to + around]
  const found: Array<Stretch> = []
  let [start, offset] = [-Infinity, offsetAt(zone, looks[0]!)]
  const repeats = self.onDstOverlap === "earlier" && isInterval(self) ? "both" : self.onDstOverlap
  for (let i = 1; i < looks.length; i++) {
    const next = offsetAt(zone, looks[i]!)
    if (next === offset) continue
    const change = changeBetween(zone, looks[i - 1]!, looks[i]!)
    const skipped = Math.max(0, next - offset)
    const repeated = Math.max(0, offset - next)
    found.push({ offset, start, end: change + skipped - (repeats === "later" ? repeated : 0) })
    start = change + (repeats === "earlier" ? repeated : 0)
    offset = next
  }
  found.push({ offset, start, end: Infinity })
  return found
}

// A `Cron` in UTC knows no changes of clocks, so it is asked about times as clocks on the wall show them.
const onTheWall = new WeakMap<Cron.Cron, Cron.Cron>()

const wallOf = (self: Cron.Cron): Cron.Cron => {
  let wall = onTheWall.get(self)
  if (wall === undefined) onTheWall.set(self, wall = remake(self, { tz: utc }))
  return wall
}

const ask = (find: () => Date, none: number): number => {
  try {
    const found = find().getTime()
    return Number.isNaN(found) ? none : found
  } catch {
    return none
  }
}

/** The first time on the wall after one, or the last before one. */
const wallAfter = (self: Cron.Cron, wall: number): number =>
  ask(() => Cron.next(wallOf(self), new Date(Math.floor(wall))), Infinity)

const wallBefore = (self: Cron.Cron, wall: number): number =>
  ask(() => Cron.prev(wallOf(self), new Date(Math.ceil(wall))), -Infinity)

// Entries that are loaded between two ticks end at the same one: it is searched for once.
const lastFound = new WeakMap<Cron.Cron, { readonly since: number; readonly tick: number }>()

/**
 * When the first tick after `since` comes, in milliseconds; never, if the
 * expression has no further tick.
 */
export const nextTick = (self: Cron.Cron, since: number): number => {
  const found = lastFound.get(self)
  if (found !== undefined && found.since <= since && since < found.tick) return found.tick
  const tick = searchNext(self, since)
  if (Number.isFinite(tick)) lastFound.set(self, { since, tick })
  return tick
}

const searchNext = (self: Cron.Cron, since: number): number => {
  for (let from = Math.floor(since); Math.abs(from) < lastDate;) {
    const to = from + day
    let first = Infinity
    for (const { end, offset, start } of stretches(self, from, to)) {
      const tick = wallAfter(self, Math.max(from, start - 1) + offset) - offset
      if (tick < end) first = Math.min(first, tick)
    }
    if (first <= to) return first
    // If the clocks change before that, it comes a day earlier at most.
    from = Math.max(to, first - day)
  }
  return Infinity
}

/** The last tick that is not after `now`, in milliseconds; -Infinity, if there was none. */
export const lastTick = (self: Cron.Cron, now: number): number => {
  for (let to = Math.floor(now); Math.abs(to) < lastDate;) {
    const from = to - day
    let last = -Infinity
    for (const { end, offset, start } of stretches(self, from, to)) {
      const tick = wallBefore(self, Math.min(to + 1, end) + offset) - offset
      if (tick >= start) last = Math.max(last, tick)
    }
    if (last >= from) return last
    to = Math.min(from, last + day)
  }
  return -Infinity
}
