/**
 * Counters of one definition: plain numbers, so that counting a hit costs an
 * addition. Metrics read them when somebody asks; nothing is pushed.
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
  storeFailures: 0
}

export const make = (): Counters => ({ ...zero })

export const names = Object.keys(zero) as ReadonlyArray<keyof Counters>

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The metric of one counter of one definition: `effect_cache_hits{cache="film"}`. */
export const metric = (name: string, counter: keyof Counters): Metric.Counter<number> =>
  Metric.withAttributes(Metric.counter(`effect_cache_${snakeCase(counter)}`, { incremental: true }), { cache: name })

/**
 * Lets the registry read the counters. Asking a metric for its value makes its
 * series; the series' hooks are then replaced by ones that look here.
 */
export const register = (name: string, counters: Counters, context: Context.Context<never>): void => {
  const registry = Context.get(context, Metric.MetricRegistry)
  for (const counter of names) {
    const series = metric(name, counter)
    series.valueUnsafe(context)
    for (const [key, metadata] of registry) {
      if (metadata.id !== series.id || metadata.attributes?.["cache"] !== name) continue
      registry.set(key, {
        ...metadata,
        hooks: { get: () => ({ count: counters[counter], incremental: true }), update: () => {}, modify: () => {} }
      })
    }
  }
}
