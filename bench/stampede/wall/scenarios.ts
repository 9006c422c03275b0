/**
 * The scenarios made small enough for the wall clock: an entry lives for a
 * second, and real processes ask for it. Sixteen requests come during a load.
 */
import { cycle, type Scenario } from "../scenario.ts"

// Lifetimes are whole seconds: one of the libraries knows no others.
const hot: Scenario = {
  id: "hot",
  title: "A hot key",
  about: "200 requests a second for one key, on four processes. A load takes 80 ms, an entry lives for a second.",
  processes: 4,
  rate: 200,
  keys: 1,
  arrivals: { _tag: "Poisson" },
  load: 80,
  origin: { _tag: "Constant" },
  lifetime: 1000,
  changes: { every: 1000, invalidates: false }
}

export const wallScenarios: ReadonlyArray<Scenario> = [
  hot,
  {
    ...hot,
    id: "invalidated",
    title: "A hot key is invalidated",
    about: "The truth changes every 400 ms on average, and the writer invalidates. Lifetimes of a minute.",
    lifetime: 60_000,
    changes: { every: 400, invalidates: true }
  },
  {
    ...hot,
    id: "failing",
    title: "An origin that fails",
    about: "Three loads in ten fail, after the 80 ms that a good one takes.",
    origin: { _tag: "Failing", share: 0.3 }
  },
  {
    ...hot,
    id: "limited",
    title: "An origin that slows down",
    about: "An origin that serves four loads at once: of more, each takes longer by as much.",
    origin: { _tag: "Limited", atOnce: 4 }
  },
  {
    ...hot,
    id: "heavy-tail",
    title: "Loads with a heavy tail",
    about: "A load takes 80 ms on average, and one in a hundred more than half a second: lognormal, sigma 1.",
    origin: { _tag: "Lognormal", sigma: 1 }
  }
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
