/**
 * What a log says, as numbers. Times are milliseconds, shares lie between 0 and 1.
 */
import { Ideal } from "./ideal.ts"
import { failed, type Load, type Log } from "./log.ts"
import { cycle, type Scenario } from "./scenario.ts"

/** Some percentiles of a lot of numbers. */
export interface Tail {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly most: number
}

export interface Timeline {
  /** Of the first bin, from the expiry (or the invalidation). */
  readonly from: number
  readonly width: number
  /** Loads that began, per second. */
  readonly loads: ReadonlyArray<number>
  /** Of the requests that came then; null where none came. */
  readonly latencyMean: ReadonlyArray<number | null>
  readonly latencyP99: ReadonlyArray<number | null>
}

export interface Summary {
  readonly requests: number
  /** How long was looked at. */
  readonly millis: number
  readonly loads: number
  readonly failedLoads: number
  /** Loads that would be enough: one whenever something is asked for that has ended. */
  readonly ideal: number
  /** `loads / ideal - 1`. */
  readonly extra: number
  /** Loads for each time in which an entry would end by itself or by an invalidation. */
  readonly loadsPerLifetime: number
  /** Loads that began from one and the same entry. */
  readonly perExpiry: {
    readonly expiries: number
    readonly mean: number
    readonly p99: number
    readonly most: number
    /** How many expiries had one load, two, and so on; the last of them 200 or more. */
    readonly counts: ReadonlyArray<number>
  }
  /** Loads that ran at the same time. */
  readonly mostAtOnce: number
  /** How long before the end of its entry the first load began, on average; of those that began before it. */
  readonly earlyBy: number
  /** The share of expiries of which no load began before the end. */
  readonly unforeseen: number
  readonly latency: Tail
  /** Of requests that came near an expiry, or an invalidation: in the window of the timeline. */
  readonly latencyAround: Tail
  /** Took a tenth of a load or longer. */
  readonly waited: number
  readonly waitedAround: number
  readonly failed: number
  /** Given a value that was older than a lifetime. */
  readonly pastLifetime: number
  /** Given what was not true any more when the request came, and for how long it had not been. */
  readonly untrue: {
    readonly share: number
    readonly mean: number
    readonly p99: number
    readonly most: number
  }
  /** How often the store was asked, for each request. */
  readonly operations: Readonly<Record<string, number>>
  readonly timeline: Timeline
}

const significant = (value: number): number => Number.isFinite(value) ? Number(value.toPrecision(5)) : value

const at = (sorted: ReadonlyArray<number>, part: number): number =>
  sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]!

const ascending = (numbers: ReadonlyArray<number>): ReadonlyArray<number> => [...numbers].sort((a, b) => a - b)

const meanOf = (numbers: ReadonlyArray<number>): number =>
  numbers.length === 0 ? 0 : numbers.reduce((sum, one) => sum + one, 0) / numbers.length

const tailOf = (numbers: ReadonlyArray<number>): Tail => {
  const sorted = ascending(numbers)
  return {
    p50: significant(at(sorted, 0.5)),
    p99: significant(at(sorted, 0.99)),
    p999: significant(at(sorted, 0.999)),
    most: significant(sorted.at(-1) ?? 0)
  }
}

const share = (some: number, all: number): number => significant(all === 0 ? 0 : some / all)

/** The share of those that took a tenth of a load or longer. */
const waitedOf = (latencies: ReadonlyArray<number>, load: number): number =>
  share(latencies.filter((latency) => latency >= load / 10).length, latencies.length)

/** The first place in a sorted list whose number is larger. */
const firstAbove = (sorted: ReadonlyArray<number>, value: number): number => {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}

/** An entry as the loads see it that it made necessary. */
interface Cycle {
  /** When the last of its loads was stored. */
  stored: number
  readonly loads: Array<Load>
}

/**
 * Which loads belong together: those that began while the same entry was the
 * newest. Several loads that began from one entry make one entry, whichever is
 * stored last. What was loaded is found by others only after `settling`.
 */
export const cyclesOf = (loads: ReadonlyArray<Load>, settling = 0): ReadonlyArray<Cycle> => {
  const cycles: Array<Cycle> = [{ stored: -Infinity, loads: [] }]
  const ends = loads.filter(({ stored }) => stored).sort((a, b) => a.end - b.end)
  const number = new Map<Load, number>()
  let [newest, seen] = [0, 0]
  for (const load of loads) {
    for (; seen < ends.length && ends[seen]!.end + settling <= load.start; seen++) {
      newest = Math.max(newest, number.get(ends[seen]!)!)
    }
    number.set(load, newest + 1)
    const mine = cycles[newest + 1] ??= { stored: -Infinity, loads: [] }
    mine.loads.push(load)
    if (load.stored) mine.stored = Math.max(mine.stored, load.end)
  }
  return cycles.slice(1)
}

/** Something that ends entries: the end of a lifetime, or an invalidation. */
const momentsOf = (
  { changes, lifetime }: Scenario,
  log: Log,
  byKey: ReadonlyMap<number, ReadonlyArray<Cycle>>
): ReadonlyArray<number> =>
  ascending(
    changes.invalidates
      ? log.changes.filter(({ key }) => key === 0).map(({ at }) => at)
      : (byKey.get(0) ?? []).map(({ stored }) => stored + lifetime)
  )

/** A stampede that feeds itself makes hundreds of thousands. */
const mostCounted = 200

/** So many mean loads before and after, in bins of a quarter. */
const [before, after, binsPerLoad] = [10, 5, 4]

const idealOf = (scenario: Scenario, log: Log, from: number): number => {
  const events = [
    ...log.ats.map((at, i) => ({ at, key: log.keys[i]!, asks: true })),
    ...(scenario.changes.invalidates ? log.changes.map(({ at, key }) => ({ at, key, asks: false })) : [])
  ].sort((a, b) => a.at - b.at)
  const ideal = new Ideal(scenario)
  let count = 0
  for (const { asks, at, key } of events) {
    if (!asks) ideal.ended(key, at)
    else if (ideal.asked(key, at) && at >= from) count++
  }
  return count
}

const mostAtOnceOf = (loads: ReadonlyArray<Load>, from: number): number => {
  const steps = loads.flatMap(({ end, start }) => [{ at: start, by: 1 }, { at: end, by: -1 }])
    .sort((a, b) => a.at - b.at || a.by - b.by)
  let [running, most] = [0, 0]
  for (const { at, by } of steps) {
    running += by
    if (at >= from) most = Math.max(most, running)
  }
  return most
}

const groupBy = <A>(all: ReadonlyArray<A>, key: (one: A) => number): ReadonlyMap<number, ReadonlyArray<A>> => {
  const groups = new Map<number, Array<A>>()
  for (const one of all) {
    const group = groups.get(key(one))
    if (group === undefined) groups.set(key(one), [one])
    else group.push(one)
  }
  return groups
}

/** The loads of each expiry, and how they lie to it. Those that begin before `from` are left out. */
const expiriesOf = (keys: Iterable<ReadonlyArray<Cycle>>, lifetime: number, from: number) => {
  const sizes: Array<number> = []
  const gaps: Array<number> = []
  for (const cycles of keys) {
    for (let i = 1; i < cycles.length; i++) {
      const [entry, { loads, stored }] = [cycles[i - 1]!, cycles[i]!]
      const [first] = loads
      const goesOn = i === cycles.length - 1 && stored === -Infinity
      if (first!.start < from || goesOn) continue
      sizes.push(loads.length)
      gaps.push(entry.stored + lifetime - first!.start)
    }
  }
  const counts: Array<number> = []
  for (const size of sizes) {
    const place = Math.min(size, mostCounted) - 1
    counts[place] = (counts[place] ?? 0) + 1
  }
  const sorted = ascending(sizes)
  const early = gaps.filter((gap) => gap > 0)
  return {
    perExpiry: {
      expiries: sizes.length,
      mean: significant(meanOf(sizes)),
      p99: at(sorted, 0.99),
      most: sorted.at(-1) ?? 0,
      counts: Array.from(counts, (count) => count ?? 0)
    },
    earlyBy: significant(meanOf(early)),
    unforeseen: share(gaps.length - early.length, gaps.length)
  }
}

/** The hot key around each of these moments, one laid over the other. */
const around = (scenario: Scenario, log: Log, moments: ReadonlyArray<number>) => {
  const { load } = scenario
  const width = load / binsPerLoad
  const bins = (before + after) * binsPerLoad
  const binned = <A>(times: ReadonlyArray<number>, values: (i: number) => A): ReadonlyArray<Array<A>> => {
    const all = Array.from({ length: bins }, (): Array<A> => [])
    for (let i = 0; i < times.length; i++) {
      const time = times[i]!
      for (let m = firstAbove(moments, time - after * load); m < moments.length; m++) {
        const bin = Math.floor((time - moments[m]! + before * load) / width)
        if (bin < 0) break
        all[Math.min(bin, bins - 1)]!.push(values(i))
      }
    }
    return all
  }
  const hot = (column: ReadonlyArray<number>): ReadonlyArray<number> =>
    scenario.keys === 1 ? column : column.filter((_, i) => log.keys[i] === 0)
  const [ats, ends] = [hot(log.ats), hot(log.ends)]
  const latencies = binned(ats, (i) => ends[i]! - ats[i]!)
  const starts = log.loads.filter(({ key }) => key === 0).map(({ start }) => start)
  const timeline: Timeline = {
    from: -before * load,
    width,
    loads: binned(starts, () => 1)
      .map((bin) => significant(bin.length / Math.max(1, moments.length) / width * 1000)),
    latencyMean: latencies.map((bin) => bin.length === 0 ? null : significant(meanOf(bin))),
    latencyP99: latencies.map((bin) => bin.length === 0 ? null : significant(at(ascending(bin), 0.99)))
  }
  return { timeline, latencies: latencies.flat() }
}

/** From when on whoever asks is owed something newer than what a load saw. */
const owedFrom = (log: Log): ReadonlyArray<number> => {
  const byKey = groupBy(log.changes, ({ key }) => key)
  const times = new Map([...byKey].map(([key, all]) => [key, all.map(({ at }) => at)]))
  return log.loads.map(({ key, start }) => byKey.get(key)?.[firstAbove(times.get(key)!, start)]?.known ?? Infinity)
}

/** What those were given who asked from `from` on. */
const requestsOf = ({ lifetime, load }: Scenario, log: Log, from: number, settling: number) => {
  const owed = owedFrom(log)
  const latencies: Array<number> = []
  const ages: Array<number> = []
  let [failures, past] = [0, 0]
  for (let i = 0; i < log.ats.length; i++) {
    const time = log.ats[i]!
    if (time < from) continue
    latencies.push(log.ends[i]! - time)
    const given = log.given[i]!
    if (given === failed) failures++
    if (given < 0) continue
    if (log.loads[given]!.end + settling + lifetime < time) past++
    if (owed[given]! <= time) ages.push(time - owed[given]!)
  }
  const sorted = ascending(ages)
  const all = latencies.length
  return {
    requests: all,
    latency: tailOf(latencies),
    waited: waitedOf(latencies, load),
    failed: share(failures, all),
    pastLifetime: share(past, all),
    untrue: {
      share: share(ages.length, all),
      mean: significant(meanOf(ages)),
      p99: significant(at(sorted, 0.99)),
      most: significant(sorted.at(-1) ?? 0)
    }
  }
}

/**
 * Everything from `from` on; what was before is there to fill the cache. On the
 * wall clock it takes some `settling` until what was loaded is where others find
 * it, and its lifetime begins.
 */
export const summarize = (scenario: Scenario, log: Log, from: number, until: number, settling = 0): Summary => {
  const { keys, lifetime, load } = scenario
  const loads = log.loads.filter(({ start }) => start >= from)
  const byKey = new Map([...groupBy(log.loads, ({ key }) => key)].map(([key, all]) => [key, cyclesOf(all, settling)]))
  const moments = momentsOf(scenario, log, byKey)
    .filter((moment) => moment - before * load >= from && moment + after * load <= until)
  const { latencies, timeline } = around(scenario, log, moments)
  const ideal = idealOf(scenario, log, from)
  return {
    ...requestsOf(scenario, log, from, settling),
    ...expiriesOf(byKey.values(), lifetime, from),
    latencyAround: tailOf(latencies),
    waitedAround: waitedOf(latencies, load),
    timeline,
    millis: until - from,
    loads: loads.length,
    failedLoads: loads.filter((load) => load.failed).length,
    ideal,
    extra: significant(loads.length / ideal - 1),
    loadsPerLifetime: significant(loads.length * cycle(scenario) / (until - from) / keys),
    mostAtOnce: mostAtOnceOf(log.loads, from),
    operations: Object.fromEntries(
      Object.entries(log.operations).map(([name, count]) => [name, significant(count / log.requests)])
    )
  }
}
