/**
 * The scenarios made small enough for the wall clock: an entry lives for a
 * second, and real processes ask for it. Sixteen requests come during a load.
 */
import { cycle, type Scenario, scenarioOf } from "../scenario.ts"

const small = {
  processes: 4,
  rate: 200,
  load: 80,
  // Lifetimes are whole seconds: one of the libraries knows no others.
  lifetime: 1000,
  changes: { every: 1000, invalidates: false }
} satisfies Partial<Scenario>

const shrunk = (id: string, about: string, more: Partial<Scenario> = {}): Scenario => ({
  ...scenarioOf(id),
  about,
  ...small,
  ...more
})

export const wallScenarios: ReadonlyArray<Scenario> = [
  shrunk(
    "hot",
    "200 requests a second for one key, on four processes. A load takes 80 ms, an entry lives for a second."
  ),
  shrunk(
    "invalidated",
    "The truth changes every 400 ms on average, and the writer invalidates. Lifetimes of a minute.",
    { lifetime: 60_000, changes: { every: 400, invalidates: true } }
  ),
  shrunk("failing", "Three loads in ten fail, after the 80 ms that a good one takes."),
  shrunk("limited", "An origin that serves four loads at once: of more, each takes longer by as much."),
  shrunk(
    "heavy-tail",
    "A load takes 80 ms on average, and one in a hundred more than half a second: lognormal, sigma 1."
  )
]

export const wallScenarioOf = (id: string): Scenario => {
  const found = wallScenarios.find((one) => one.id === id)
  if (found === undefined) throw new Error(`there is no scenario "${id}" for the wall clock`)
  return found
}

/** A stretch that is measured: what is seen from `from` to `until` counts, in milliseconds since its beginning. */
export interface Stretch {
  readonly from: number
  readonly until: number
}

/** So many cycles, the last with its loads. The first load fills the cache, and is not counted. */
export const stretchOf = (scenario: Scenario, cycles: number): Stretch => {
  const { load } = scenario
  const from = 2 * load
  return { from, until: from + cycles * (cycle(scenario) + load) + load }
}
