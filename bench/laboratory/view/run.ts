/**
 * One strategy that is simulated while somebody looks on: what the log says is taken in and forgotten, so that it may go
 * on for as long as anybody likes.
 */
import { type Arrival, changes, requests } from "../../stampede/draw.ts"
import { Ideal } from "../../stampede/ideal.ts"
import type { Load, Log } from "../../stampede/log.ts"
import type { Scenario } from "../../stampede/scenario.ts"
import { type Simulation, start } from "../../stampede/simulation.ts"
import { strategyOf } from "../../stampede/strategies.ts"

export interface Waited {
  readonly at: number
  readonly latency: number
}

/** What is counted from when the cache is full. */
export interface Tally {
  requests: number
  loads: number
  waited: number
  failed: number
  past: number
  untrue: number
  longest: number
}

const nothing = (): Tally => ({ requests: 0, loads: 0, waited: 0, failed: 0, past: 0, untrue: 0, longest: 0 })

/** In place of all loads that nobody looks at any more: older than a lifetime, and than any change. */
const forgotten: Load = { key: 0, process: 0, start: -1e15, end: -1e15, stored: false, failed: false }

export class Run {
  readonly scenario: Scenario
  readonly tally = nothing()
  /** Requests that waited and were answered, as they came. */
  waits: Array<Waited> = []
  /** The first load that is remembered. */
  first = 0
  private counted = 0
  private readonly simulation: Simulation
  private readonly from: number
  private readonly window: number

  /** Remembers what lies `window` back, and counts from `from` on. */
  constructor(scenario: Scenario, strategy: string, beta: number, seed: number, from: number, window: number) {
    this.scenario = scenario
    this.simulation = start({ scenario, strategy: strategyOf(strategy), seed, beta })
    this.from = from
    this.window = window
  }

  get log(): Log {
    return this.simulation.log
  }

  advance(until: number): void {
    this.simulation.advance(until)
  }

  invalidate(): void {
    this.simulation.invalidate(0)
  }

  close(): void {
    this.simulation.close()
  }

  /** Takes in what has happened since the last time, and forgets what is old. */
  digest(): void {
    const { log, tally } = this
    const { load, lifetime } = this.scenario
    const now = this.simulation.now()
    for (; this.counted < log.loads.length; this.counted++) {
      if (log.loads[this.counted]!.start >= this.from) tally.loads++
    }
    for (let i = 0; i < log.ats.length; i++) {
      const [at, given] = [log.ats[i]!, log.given[i]!]
      const latency = log.ends[i]! - at
      const waited = latency >= load / 10
      if (waited) this.waits.push({ at, latency })
      if (at < this.from) continue
      tally.requests++
      if (waited) tally.waited++
      tally.longest = Math.max(tally.longest, latency)
      if (given < 0) {
        tally.failed++
        continue
      }
      const { end, start } = log.loads[given]!
      if (end + lifetime < at) tally.past++
      if (log.changes.some((change) => change.at > start && change.at <= at)) tally.untrue++
    }
    for (const column of [log.keys, log.ats, log.ends, log.given]) column.length = 0
    const old = now - this.window
    if ((this.waits[0]?.at ?? Infinity) < old - this.window) this.waits = this.waits.filter(({ at }) => at >= old)
    const gone = old - 2 * lifetime - 20 * load
    while (this.first < log.loads.length && log.loads[this.first]!.end < gone) log.loads[this.first++] = forgotten
    const known = log.changes.findIndex(({ at }) => at >= gone)
    // The last of those that are old still says of what is older that it is not true.
    if (known > 1) log.changes.splice(0, known - 1)
  }
}

/** How many loads would be enough for all strategies: they meet the same requests. */
export class Enough {
  loads = 0
  private readonly ideal: Ideal
  private readonly invalidates: boolean
  private readonly from: number
  private readonly asking: Generator<Arrival, never>
  private readonly changing: Generator<Arrival, never>
  private asks: Arrival
  private changes: Arrival

  constructor(scenario: Scenario, seed: number, from: number) {
    this.ideal = new Ideal(scenario)
    this.invalidates = scenario.changes.invalidates
    this.from = from
    this.asking = requests(scenario, seed)
    this.changing = changes(scenario, seed)
    this.asks = this.asking.next().value
    this.changes = this.changing.next().value
  }

  advance(now: number): void {
    for (;;) {
      const at = Math.min(this.asks.at, this.changes.at)
      if (at > now) return
      if (this.changes.at === at) {
        if (this.invalidates) this.invalidate(this.changes.key, at)
        this.changes = this.changing.next().value
      } else {
        if (this.ideal.asked(this.asks.key, at) && at >= this.from) this.loads++
        this.asks = this.asking.next().value
      }
    }
  }

  invalidate(key: number, now: number): void {
    this.ideal.ended(key, now)
  }
}
