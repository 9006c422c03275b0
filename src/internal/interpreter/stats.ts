/**
 * What is counted of a definition, for people.
 */
import * as Counters from "../counters.ts"

/**
 * Counts of one definition since the service was made.
 *
 * `hits` were served fresh, `staleServed` not fresh but allowed, `misses` had to
 * wait for a load; `coalesced` of them shared another's. `loadsAvoided` is how
 * many reads did without a load of their own. `loadFailures` does not count failures that are cached: those are answers.
 *
 * @category observing
 * @since 0.1.0
 */
export interface Stats extends Readonly<Counters.Counters> {
  readonly reads: number
  readonly hitRate: number
  readonly loadsAvoided: number
}

/** The counts of a definition that was never used are all zero. */
export const of = (counters: Counters.Counters = Counters.make()): Stats => {
  const reads = counters.hits + counters.staleServed + counters.misses
  return {
    ...counters,
    reads,
    hitRate: reads === 0 ? 0 : (counters.hits + counters.staleServed) / reads,
    loadsAvoided: Math.max(0, reads - counters.loads)
  }
}

export const ofAll = (all: ReadonlyMap<string, Counters.Counters>): ReadonlyMap<string, Stats> =>
  new Map([...all].map(([name, counters]) => [name, of(counters)]))
