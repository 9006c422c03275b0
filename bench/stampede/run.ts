/**
 * A scenario with a strategy, for so many expiries, in virtual time.
 */
import type { Outcome, Result } from "./report.ts"
import { cycle, type Scenario, scenarioOf } from "./scenario.ts"
import { start } from "./simulation.ts"
import { strategies, type Strategy, strategyOf } from "./strategies.ts"
import { summarize, type Summary } from "./summary.ts"

export const seed = 20_150_808

export interface Task {
  readonly scenario: string
  readonly strategy: string
  readonly expiries: number
  readonly seed: number
}

/** What a strategy does in a scenario in so many expiries. The first entry fills the cache, and is not counted. */
export const simulate = (scenario: Scenario, strategy: Strategy, expiries: number, seed: number): Summary => {
  const simulation = start({ scenario, strategy, seed })
  const each = cycle(scenario) + scenario.load
  const until = (expiries + 1) * each
  simulation.advance(until)
  simulation.close()
  return summarize(scenario, simulation.log, each, until)
}

export const perform = ({ expiries, scenario: id, seed, strategy: name }: Task): Outcome => {
  const scenario = scenarioOf(id)
  const strategy = strategyOf(name)
  const { about, policy, title } = strategy
  return {
    id: name,
    title,
    about,
    policy: policy?.(scenario, 1).toString(),
    summary: simulate(scenario, strategy, expiries, seed)
  }
}

/** The strategies of a run on the wall clock, each with what it does in virtual time in the same scenario. */
export const withSimulations = (result: Result, expiries: number): Result => ({
  ...result,
  outcomes: result.outcomes.map((outcome) => {
    const strategy = strategies.find(({ id }) => id === outcome.id)
    return strategy === undefined
      ? outcome
      : { ...outcome, simulated: simulate(result.scenario, strategy, expiries, seed) }
  })
})
