/**
 * A scenario with a strategy, for so many expiries, in virtual time.
 */
import type { Outcome } from "./report.ts"
import { cycle, reference, type Scenario, scenarios } from "./scenario.ts"
import { start } from "./simulation.ts"
import { strategyOf } from "./strategies.ts"
import { summarize } from "./summary.ts"

export const seed = 20_150_808

export interface Task {
  readonly scenario: string
  readonly strategy: string
  readonly expiries: number
  readonly seed: number
}

export const scenarioOf = (id: string): Scenario => {
  const found = [...scenarios, reference].find((one) => one.id === id)
  if (found === undefined) throw new Error(`there is no scenario "${id}"`)
  return found
}

export const perform = ({ expiries, scenario: id, seed, strategy: name }: Task): Outcome => {
  const scenario = scenarioOf(id)
  const strategy = strategyOf(name)
  const simulation = start({ scenario, strategy, seed })
  // The first time fills the cache, and is not counted.
  const each = cycle(scenario) + scenario.load
  const until = (expiries + 1) * each
  simulation.advance(until)
  simulation.close()
  const { about, policy, title } = strategy
  return {
    id: name,
    title,
    about,
    policy: policy?.(scenario, 1).toString(),
    summary: summarize(scenario, simulation.log, each, until)
  }
}
