/**
 * Scenarios made small, and statistics to judge what came of them.
 */
import { assert } from "vitest"
import type { Log } from "../../bench/stampede/log.ts"
import { cycle, type Scenario, scenarios } from "../../bench/stampede/scenario.ts"
import { type Options, start } from "../../bench/stampede/simulation.ts"
import { cyclesOf, summarize, type Summary } from "../../bench/stampede/summary.ts"

export const hot = scenarios.find(({ id }) => id === "hot")!
export const invalidated = scenarios.find(({ id }) => id === "invalidated")!

/** So many requests during a load, of a key that lives for so many loads. Nothing but what the mathematics speak of. */
export const paper = (n: number, lifetime: number, processes = 10): Scenario => ({
  ...hot,
  id: "paper",
  processes,
  rate: n,
  load: 1000,
  lifetime: lifetime * 1000
})

/** The log after so many milliseconds. */
export const logOf = (options: Options, until: number): Log => {
  const simulation = start(options)
  simulation.advance(until)
  simulation.close()
  return simulation.log
}

export const summaryOf = (options: Options, expiries: number): Summary => {
  const { scenario } = options
  const each = cycle(scenario) + scenario.load
  const until = (expiries + 1) * each
  return summarize(scenario, logOf(options, until), each, until)
}

/** What each expiry made, but for the first entry, which nothing was there before, and the last, which may go on. */
export interface Expiries {
  readonly sizes: ReadonlyArray<number>
  /** How long before the end the first load began, in loads; 0 if it began after it. */
  readonly gaps: ReadonlyArray<number>
}

export const expiriesOf = ({ lifetime, load }: Scenario, { loads }: Log): Expiries => {
  const cycles = cyclesOf(loads).slice(0, -1)
  const pairs = cycles.slice(1).map((cycle, i) => ({ cycle, entry: cycles[i]! }))
  return {
    sizes: pairs.map(({ cycle }) => cycle.loads.length),
    gaps: pairs.map(({ cycle, entry }) => Math.max(0, entry.stored + lifetime - cycle.loads[0]!.start) / load)
  }
}

// -----------------------------------------------------------------------------
// statistics
// -----------------------------------------------------------------------------

export const meanOf = (all: ReadonlyArray<number>): number => all.reduce((sum, one) => sum + one, 0) / all.length

const deviationOf = (all: ReadonlyArray<number>): number => {
  const mean = meanOf(all)
  return Math.sqrt(all.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (all.length - 1))
}

/** So many standard errors: a right mean lies farther away once in ten thousand seeds, and the seed is fixed. */
const errors = 3.89

/** The mean is this one, as far as so many numbers can tell. */
export const assertMean = (all: ReadonlyArray<number>, expected: number, what: string): void => {
  const [mean, error] = [meanOf(all), deviationOf(all) / Math.sqrt(all.length)]
  assert.isAtMost(
    Math.abs(mean - expected),
    errors * error,
    `${what}: the mean of ${all.length} is ${mean.toFixed(4)}, standard error ${error.toFixed(4)}, not ${
      expected.toFixed(4)
    }`
  )
}

/** The share of what holds is this one, as far as so many can tell. */
export const assertShare = (count: number, of: number, expected: number, what: string): void => {
  const error = Math.sqrt(expected * (1 - expected) / of)
  assert.isAtMost(
    Math.abs(count / of - expected),
    errors * error,
    `${what}: ${count} of ${of}, and ${(expected * of).toFixed(1)} are expected`
  )
}

/** The critical values of chi-square that are exceeded once in ten thousand. */
const critical = [15.14, 18.42, 21.11, 23.51, 25.74, 27.86, 29.88, 31.83, 33.72, 35.56, 37.37, 39.13]

/**
 * The numbers, from 1 on, are distributed like this: Pearson's test. What is
 * expected less than ten times is one class with all that is larger.
 */
export const assertDistribution = (
  all: ReadonlyArray<number>,
  chance: (k: number) => number,
  what: string
): void => {
  const classes: Array<{ readonly seen: number; readonly expected: number }> = []
  let [k, left, leftSeen] = [1, all.length, all.length]
  for (; left - chance(k) * all.length >= 10 && chance(k) * all.length >= 10; k++) {
    const seen = all.filter((one) => one === k).length
    classes.push({ seen, expected: chance(k) * all.length })
    left -= chance(k) * all.length
    leftSeen -= seen
  }
  classes.push({ seen: leftSeen, expected: left })
  const chi = classes.reduce((sum, { expected, seen }) => sum + (seen - expected) ** 2 / expected, 0)
  const most = critical[classes.length - 2]
  assert.isDefined(most, `${what}: ${classes.length} classes`)
  assert.isAtMost(
    chi,
    most!,
    `${what}: ${classes.map(({ expected, seen }) => `${seen} (${expected.toFixed(1)})`).join(", ")}`
  )
}
