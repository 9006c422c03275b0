/**
 * Chance: seeded, a stream for each purpose, so that two strategies meet the
 * same requests and the same changes however often they draw for themselves.
 */
import { random } from "../measure/harness.ts"
import type { Arrivals, Origin, Scenario } from "./scenario.ts"

/** A number in [0, 1). */
export type Draw = () => number

/** A stream of its own for each name. */
export const stream = (seed: number, name: string): Draw => {
  let hash = seed >>> 0
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193) >>> 0
  const draw = random(hash)
  draw()
  return draw
}

/** An exponential with the mean 1. `1 - u` is never 0. */
export const exponential = (draw: Draw): number => -Math.log(1 - draw())

const normal = (draw: Draw): number => Math.sqrt(2 * exponential(draw)) * Math.cos(2 * Math.PI * draw())

/** With the mean 1: `exp(sigma z - sigma^2 / 2)`. */
export const lognormal = (draw: Draw, sigma: number): number => Math.exp(sigma * normal(draw) - sigma * sigma / 2)

/** Pareto with the mean 1: the least is `(a - 1) / a`. */
export const pareto = (draw: Draw, exponent: number): number =>
  (exponent - 1) / exponent * (1 - draw()) ** (-1 / exponent)

/** The milliseconds until the next request. */
export const untilNext = (arrivals: Arrivals, rate: number, draw: Draw): number =>
  1000 / rate * (arrivals._tag === "Poisson" ? exponential(draw) : pareto(draw, arrivals.exponent))

const isAway = (origin: Origin, now: number): boolean =>
  origin._tag === "Outage" && now % origin.every >= origin.every - origin.lasts

/** How long a load takes that begins now, beside so many others. */
export const duration = (origin: Origin, load: number, others: number, draw: Draw, now: number): number => {
  switch (origin._tag) {
    case "Lognormal":
      return load * lognormal(draw, origin.sigma)
    case "Limited":
      return load * Math.max(1, (others + 1) / origin.atOnce)
    case "Outage":
      return isAway(origin, now) ? origin.refusedAfter : load
    default:
      return load
  }
}

/** Whether a load fails that begins now. */
export const fails = (origin: Origin, draw: Draw, now: number): boolean =>
  origin._tag === "Failing" ? draw() < origin.share : isAway(origin, now)

/** Which key is asked for: 0 the most often. */
export const keyOf = (keys: number): (draw: Draw) => number => {
  if (keys === 1) return () => 0
  const sums: Array<number> = []
  for (let i = 1; i <= keys; i++) sums.push((sums.at(-1) ?? 0) + 1 / i)
  const total = sums.at(-1)!
  return (draw) => {
    const wanted = draw() * total
    let [low, high] = [0, keys - 1]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sums[middle]! > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** A request, or a change of the truth about a key. */
export interface Arrival {
  readonly at: number
  readonly process: number
  readonly key: number
}

/** Requests one after the other, without an end. */
export function* requests(scenario: Scenario, seed: number): Generator<Arrival, never> {
  const [times, places] = [stream(seed, "times"), stream(seed, "places")]
  const key = keyOf(scenario.keys)
  for (let at = 0;;) {
    at += untilNext(scenario.arrivals, scenario.rate, times)
    yield { at, process: Math.floor(places() * scenario.processes), key: key(places) }
  }
}

/** Changes one after the other, without an end. Each key changes as often as another. */
export function* changes({ changes: { every }, keys, processes }: Scenario, seed: number): Generator<Arrival, never> {
  const draw = stream(seed, "changes")
  for (let at = 0;;) {
    at += exponential(draw) * every / keys
    yield { at, process: Math.floor(draw() * processes), key: Math.floor(draw() * keys) }
  }
}
