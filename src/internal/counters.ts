/**
 * Counters of one definition: plain numbers, so that counting a hit costs an
 * addition. Metrics read them when they are asked; nothing is pushed.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"

export interface Counters {
  hits: number
  staleServed: number
  misses: number
  loads: number
  loadFailures: number
  refreshes: number
  coalesced: number
  refused: number
  unreadable: number
  unwritable: number
  storeFailures: number
}

const zero: Counters = {
  hits: 0,
  staleServed: 0,
  misses: 0,
  loads: 0,
  loadFailures: 0,
  refreshes: 0,
  coalesced: 0,
  refused: 0,
  unreadable: 0,
  unwritable: 0,
  storeFailures: 0
}

export const make = (): Counters => ({ ...zero })

export const names = Object.keys(zero) as ReadonlyArray<keyof Counters>

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The metric of one counter of one definition: `effect_cache_hits{cache="film"}`. */
export const metric = (name: string, counter: keyof Counters): Metric.Counter<number> =>
  Metric.withAttributes(Metric.counter(`effect_cache_${snakeCase(counter)}`, { incremental: true }), { cache: name })

/** What counts under one name in one registry: those that still do, and the sum of those that have ended. */
interface Sources {
  readonly live: Set<Counters>
  readonly ended: Counters
}

const sources = new WeakMap<Metric.MetricRegistry, Map<string, Sources>>()

const sourcesIn = (registry: Metric.MetricRegistry): Map<string, Sources> => {
  let byName = sources.get(registry)
  if (byName === undefined) sources.set(registry, byName = new Map())
  return byName
}

const total = ({ ended, live }: Sources, counter: keyof Counters): number => {
  let sum = ended[counter]
  for (const one of live) sum += one[counter]
  return sum
}

/** Puts hooks that look at the counters in the place of a series' own. */
const expose = (
  mine: Sources,
  series: Metric.Counter<number>,
  name: string,
  counter: keyof Counters,
  context: Context.Context<never>
): void => {
  const registry = Context.get(context, Metric.MetricRegistry)
  series.valueUnsafe(context)
  const get = () => ({ count: total(mine, counter), incremental: true })
  for (const [key, metadata] of registry) {
    const { attributes = {}, id } = metadata
    if (id !== series.id || attributes["cache"] !== name || Object.keys(attributes).length > 1) continue
    registry.set(key, { ...metadata, hooks: { get, update: () => {}, modify: () => {} } })
  }
}

/**
 * Lets the registry read the counters. Asking a metric for its value makes its
 * series; the series' hooks are then replaced by ones that look here. Several
 * services that count under one name are shown as their sum.
 *
 * Gives what is to be called when the counters have ended: their counts stay,
 * they do not.
 */
export const register = (name: string, counters: Counters, context: Context.Context<never>): () => void => {
  // The attributes of the first service must not become those of what all count.
  const plain = Context.add(context, Metric.CurrentMetricAttributes, {})
  const registry = Context.get(plain, Metric.MetricRegistry)
  const byName = sourcesIn(registry)
  let mine = byName.get(name)
  if (mine === undefined) {
    byName.set(name, mine = { live: new Set(), ended: make() })
    for (const counter of names) expose(mine, metric(name, counter), name, counter, plain)
  }
  mine.live.add(counters)
  const counted = mine
  return () => {
    if (!counted.live.delete(counters)) return
    for (const counter of names) counted.ended[counter] += counters[counter]
  }
}
