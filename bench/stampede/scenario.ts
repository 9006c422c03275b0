/**
 * What happens around a cache: who asks, how often, what a load takes, and when
 * the truth changes. All times are milliseconds.
 */

/** When requests come. They come whether earlier ones were answered or not. */
export type Arrivals =
  /** Independent of each other: times between them are exponential. */
  | { readonly _tag: "Poisson" }
  /** In bursts: times between them are Pareto, with this exponent. Below 2 their variance has no bound. */
  | { readonly _tag: "Bursts"; readonly exponent: number }

/** What a load takes, and whether it succeeds. */
export type Origin =
  | { readonly _tag: "Constant" }
  /** Heavy-tailed: the logarithm is normal with this deviation, and the mean is `load`. */
  | { readonly _tag: "Lognormal"; readonly sigma: number }
  /** This share of the loads fails, after as long as a good one takes. */
  | { readonly _tag: "Failing"; readonly share: number }
  /** Out of order for so long, so often; whoever asks then is refused after a while. */
  | { readonly _tag: "Outage"; readonly every: number; readonly lasts: number; readonly refusedAfter: number }
  /** More than so many loads at once share what there is: each takes longer by as much. */
  | { readonly _tag: "Limited"; readonly atOnce: number }

/** When the truth changes, and whether the writer says so. */
export interface Changes {
  /** The mean time between two, which is exponential. */
  readonly every: number
  readonly invalidates: boolean
}

export interface Scenario {
  readonly id: string
  readonly title: string
  /** What it is there to show. */
  readonly about: string
  readonly processes: number
  /** Requests per second, of all processes and keys. */
  readonly rate: number
  /** Asked for by Zipf's law: the second half as often as the first, and so on. */
  readonly keys: number
  readonly arrivals: Arrivals
  /** The mean time that a load takes when nothing else is loaded. */
  readonly load: number
  readonly origin: Origin
  /** How old an entry may be. */
  readonly lifetime: number
  readonly changes: Changes
}

const hot: Scenario = {
  id: "hot",
  title: "A hot key",
  about: "100 requests a second for one key, on ten processes. A load takes a second, an entry lives for a minute.",
  processes: 10,
  rate: 100,
  keys: 1,
  arrivals: { _tag: "Poisson" },
  load: 1000,
  origin: { _tag: "Constant" },
  lifetime: 60_000,
  changes: { every: 60_000, invalidates: false }
}

export const scenarios: ReadonlyArray<Scenario> = [
  hot,
  {
    ...hot,
    id: "one-process",
    title: "A hot key, one process",
    about: "The same on one process: whoever coalesces in the process needs no more.",
    processes: 1
  },
  {
    ...hot,
    id: "fifty-processes",
    title: "A hot key, fifty processes",
    about: "The same on fifty processes: whoever coalesces in the process alone loads up to fifty times.",
    processes: 50
  },
  {
    ...hot,
    id: "bursts",
    title: "Requests in bursts",
    about: "As many requests, in bursts: the times between them are Pareto with the exponent 1.5.",
    arrivals: { _tag: "Bursts", exponent: 1.5 }
  },
  {
    ...hot,
    id: "heavy-tail",
    title: "Loads with a heavy tail",
    about: "A load takes a second on average, and one in a hundred more than six: lognormal, sigma 1.",
    origin: { _tag: "Lognormal", sigma: 1 }
  },
  {
    ...hot,
    id: "failing",
    title: "An origin that fails",
    about: "Three loads in ten fail, after the second that a good one takes.",
    origin: { _tag: "Failing", share: 0.3 }
  },
  {
    ...hot,
    id: "outage",
    title: "An origin that goes away",
    about: "The origin is away for ten seconds of every ninety, and refuses who asks it then after 50 ms.",
    origin: { _tag: "Outage", every: 90_000, lasts: 10_000, refusedAfter: 50 }
  },
  {
    ...hot,
    id: "limited",
    title: "An origin that slows down",
    about: "An origin that serves four loads at once: of more, each takes longer by as much. What a stampede flattens.",
    origin: { _tag: "Limited", atOnce: 4 }
  },
  {
    ...hot,
    id: "invalidated",
    title: "A hot key is invalidated",
    about: "The truth changes every twenty seconds on average, and the writer invalidates. Lifetimes of ten minutes.",
    lifetime: 600_000,
    changes: { every: 20_000, invalidates: true }
  },
  {
    ...hot,
    id: "many-keys",
    title: "Hot and cold keys together",
    about:
      "100 requests a second for 300 keys, by Zipf's law: the first is hot, the last is asked for every three minutes.",
    keys: 300
  },
  {
    ...hot,
    id: "cold",
    title: "A cold key",
    about: "One request in two seconds on average, for an entry that takes a second to load.",
    rate: 0.5
  }
]

/** The one whose numbers are told in the design: it takes a while. */
export const reference: Scenario = {
  ...hot,
  id: "reference",
  title: "A hot key that lives for five minutes",
  about: "100 requests a second for one key, on ten processes. A load takes a second, an entry lives for five minutes.",
  lifetime: 300_000,
  changes: { every: 300_000, invalidates: false }
}

export const scenarioOf = (id: string): Scenario => {
  const found = [...scenarios, reference].find((one) => one.id === id)
  if (found === undefined) throw new Error(`there is no scenario "${id}"`)
  return found
}

/** After how many milliseconds something ends on average: an entry by itself, or by an invalidation. */
export const cycle = ({ changes, lifetime }: Scenario): number =>
  changes.invalidates ? Math.min(lifetime, changes.every) : lifetime
