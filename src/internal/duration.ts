/**
 * Durations that users give, refused when they are none: the one check of the
 * lifetimes of policies, the limits of definitions and the lengths of fences.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as InvalidInput from "../InvalidInput.ts"
import * as Text from "./policyText.ts"

/** Milliseconds, from 0 to infinity. */
export const millis = (where: string, name: string, input: Duration.Input): number => {
  const bad = (value: unknown) =>
    InvalidInput.make(
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
  // A fraction of a millisecond would not survive a `Duration`, nor then what is printed reading back.
  const value = typeof input === "number" ? input : Duration.toMillis(duration.value)
  if (Number.isNaN(value)) throw bad(input)
  if (value < 0) throw InvalidInput.make(where, "NegativeDuration", `${name} is negative: ${Text.duration(value)}`)
  return value
}

/** Milliseconds, more than 0. */
export const positiveMillis = (where: string, name: string, input: Duration.Input): number => {
  const value = millis(where, name, input)
  if (value === 0) throw InvalidInput.make(where, "NegativeDuration", `${name} must be longer than nothing`)
  return value
}

/** Milliseconds, more than 0, and not for ever. */
export const finiteMillis = (where: string, name: string, input: Duration.Input): number => {
  const value = positiveMillis(where, name, input)
  if (Number.isFinite(value)) return value
  throw InvalidInput.make(where, "InvalidNumber", `${name} must be finite`)
}
