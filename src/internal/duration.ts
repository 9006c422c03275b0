/**
 * Durations: those that users give, refused when they are none, and how they
 * are written. The one check of the lifetimes of policies, the limits of
 * definitions and the lengths of fences.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import { refused } from "./refused.ts"

/** Units of time with their lengths in milliseconds, longest first. */
export const units: ReadonlyArray<readonly [string, number]> = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1]
]

/** `5m`, `1h30m`, `250ms`, `inf`. */
export const format = (millis: number): string => {
  if (millis === Infinity) return "inf"
  if (millis < 0) return `-${format(-millis)}`
  if (!Number.isSafeInteger(millis) || millis === 0) return `${millis}ms`
  let rest = millis
  let text = ""
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text
}

/** Milliseconds, from 0 to infinity. */
export const millis = (where: string, name: string, input: Duration.Input): number => {
  const bad = (value: unknown) =>
    refused(
      where,
      "InvalidNumber",
      `${name} must be a duration, and is ${JSON.stringify(value) ?? String(value)}`
    )
  // `Duration` reads NaN as zero, also where infinities cancel out, which would cache nothing without a word.
  const parts = Duration.isDuration(input) || typeof input !== "object" || input === null
    ? [input]
    : Object.values(input)
  if (Number.isNaN(parts.reduce<number>((sum, part) => typeof part === "number" ? sum + part : sum, 0))) {
    throw bad("NaN")
  }
  const duration = Duration.fromInput(input)
  if (Option.isNone(duration)) throw bad(input)
  // A `Duration` drops fractions of a millisecond, so what is printed would not read back.
  const value = typeof input === "number" ? input : Duration.toMillis(duration.value)
  if (Number.isNaN(value)) throw bad(input)
  if (value < 0) throw refused(where, "NegativeDuration", `${name} is negative: ${format(value)}`)
  return value
}

/** Milliseconds, more than 0. */
export const positiveMillis = (where: string, name: string, input: Duration.Input): number => {
  const value = millis(where, name, input)
  if (value === 0) throw refused(where, "NegativeDuration", `${name} must be longer than nothing`)
  return value
}

/** Milliseconds: more than 0, and no more than so many. */
export const millisUpTo = (where: string, name: string, input: Duration.Input, most: number): number => {
  const value = positiveMillis(where, name, input)
  if (value <= most) return value
  throw refused(where, "InvalidNumber", `${name} must be no longer than ${format(most)}, and is ${format(value)}`)
}

/** Milliseconds: more than 0, and finite. */
export const finiteMillis = (where: string, name: string, input: Duration.Input): number => {
  const value = positiveMillis(where, name, input)
  if (Number.isFinite(value)) return value
  throw refused(where, "InvalidNumber", `${name} must be finite`)
}
