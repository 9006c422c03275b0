/**
 * What is made of a log: of one that is written by hand, so that every number is
 * known.
 */
import { assert, describe, it } from "vitest"
import { Log, unanswered } from "../../bench/stampede/log.ts"
import { cyclesOf, summarize } from "../../bench/stampede/summary.ts"
import { hot, invalidated } from "./support.ts"

const scenario = { ...hot, lifetime: 20_000 }

/** Loads from and to, in milliseconds. They are stored. */
const loaded = (log: Log, ...times: ReadonlyArray<readonly [start: number, end: number]>): void => {
  const numbers = times.map(([start]) => log.begin(0, 0, start))
  for (const [i, [, end]] of times.entries()) log.finish(numbers[i]!, end, true)
}

describe("loads that belong together", () => {
  const sizes = (log: Log) => cyclesOf(log.loads).map(({ loads, stored }) => [loads.length, stored])

  it("began from the same entry, also if another has stored meanwhile", () => {
    const log = new Log()
    loaded(log, [0, 1000], [500, 1500], [999, 1999], [20_000, 21_000], [20_500, 21_500])
    assert.deepStrictEqual(sizes(log), [[3, 1999], [2, 21_500]])
  })

  it("are others once one is stored", () => {
    const log = new Log()
    loaded(log, [0, 1000], [1000, 2000], [2000, 3000])
    assert.deepStrictEqual(sizes(log), [[1, 1000], [1, 2000], [1, 3000]])
  })

  it("are the same as long as none is", () => {
    const log = new Log()
    loaded(log, [0, 1000])
    for (const start of [30_000, 40_000, 50_000]) log.finish(log.begin(0, 0, start), start + 1000, false)
    loaded(log, [60_000, 61_000])
    log.finish(log.begin(0, 0, 90_000), 91_000, true)
    log.refused(5)
    assert.deepStrictEqual(sizes(log), [[1, 1000], [4, 61_000], [1, -Infinity]])
  })
})

describe("a summary", () => {
  /** An entry from 1 s on; at 21 s it ends. One load before the end, one after it; then from 50 s on another entry. */
  const log = new Log()
  loaded(log, [0, 1000], [20_000, 22_000], [21_500, 22_500], [50_000, 51_000])
  log.changes.push({ key: 0, at: 15_000, known: 15_000 })
  for (
    const [at, end, load] of [
      [0, 1000, 0], // before what is counted
      [10_000, 10_000, 0],
      [15_000, 15_000, 0], // not true any more, for no time
      [18_000, 18_000, 0], // for three seconds
      [20_500, 22_000, 1], // waited
      [21_100, 21_100, 0], // past its lifetime, and not true for 6.1 s
      [21_500, 22_500, 2],
      [49_000, 49_000, -1], // failed
      [50_000, 51_000, 3]
    ] as const
  ) log.answered(0, at, end, load)
  for (let i = 0; i < 18; i++) log.count("read")
  const summary = summarize(scenario, log, 5000, 60_000)

  it("counts requests from when it is told to", () => {
    assert.strictEqual(summary.requests, 8)
    assert.strictEqual(summary.waited, 3 / 8)
    assert.strictEqual(summary.failed, 1 / 8)
    assert.strictEqual(summary.pastLifetime, 1 / 8)
    assert.strictEqual(summary.operations["read"], 2)
  })

  it("tells what was not true any more when it was asked for, and for how long", () => {
    assert.deepStrictEqual(summary.untrue, {
      share: 3 / 8,
      mean: Number((9100 / 3).toPrecision(5)),
      p99: 6100,
      most: 6100
    })
  })

  it("tells loads by expiry", () => {
    assert.strictEqual(summary.loads, 3)
    assert.strictEqual(summary.mostAtOnce, 2)
    assert.deepStrictEqual(summary.perExpiry, { expiries: 2, mean: 1.5, p99: 2, most: 2, counts: [1, 1] })
    assert.strictEqual(summary.loadsPerLifetime, Number((3 * 20_000 / 55_000).toPrecision(5)))
    // The second began 1 s before the end; the third after the end of an entry that was stored at 22.5 s.
    assert.strictEqual(summary.earlyBy, 1000)
    assert.strictEqual(summary.unforeseen, 0.5)
  })

  it("knows how many loads are enough", () => {
    // At 0; at 21.1 s the entry of 1 s has ended; the one of 22.1 s has at 49 s.
    assert.strictEqual(summary.ideal, 2)
    assert.strictEqual(summary.extra, 0.5)
  })

  it("an entry ends a lifetime after its load, and what comes meanwhile needs no other", () => {
    const log = new Log()
    for (const at of [0, 500, 20_500]) log.answered(0, at, at, unanswered)
    assert.strictEqual(summarize(scenario, log, 0, 30_000).ideal, 1)
    log.answered(0, 21_000, 21_000, unanswered)
    assert.strictEqual(summarize(scenario, log, 0, 30_000).ideal, 2)
  })

  it("a load that begins when another ends does not run beside it", () => {
    const log = new Log()
    loaded(log, [0, 1000], [1000, 2000])
    assert.strictEqual(summarize(scenario, log, 0, 30_000).mostAtOnce, 1)
    loaded(log, [1999, 2999])
    assert.strictEqual(summarize(scenario, log, 0, 30_000).mostAtOnce, 2)
  })

  it("tells the tail of the latencies", () => {
    assert.deepStrictEqual(summary.latency, { p50: 0, p99: 1500, p999: 1500, most: 1500 })
  })

  it("lays what was around an expiry over each other", () => {
    const { timeline } = summary
    assert.strictEqual(timeline.from, -10_000)
    assert.strictEqual(timeline.width, 250)
    // Two expiries, at 21 s and at 42.5 s; the loads began 1 s before the first, and half a second after it.
    const bin = (millis: number) => (millis + 10_000) / 250
    assert.strictEqual(timeline.loads[bin(-1000)], 2)
    assert.strictEqual(timeline.loads[bin(500)], 2)
    assert.strictEqual(timeline.loads.reduce((sum, one) => sum + one, 0), 4)
    assert.strictEqual(timeline.latencyMean[bin(-500)], 1500)
    assert.strictEqual(timeline.latencyMean[bin(0)], 0)
    assert.isNull(timeline.latencyMean[bin(-9000)])
    assert.deepStrictEqual(summary.latencyAround, { p50: 0, p99: 1500, p999: 1500, most: 1500 })
  })
})

describe("an invalidation", () => {
  it("ends what was loaded before it, and owes the truth from when it has returned", () => {
    const log = new Log()
    loaded(log, [0, 1000], [12_500, 13_500])
    log.changes.push({ key: 0, at: 12_000, known: 13_000 })
    log.answered(0, 11_000, 11_000, 0)
    log.answered(0, 12_600, 12_600, 0) // the writer has not been told yet
    log.answered(0, 13_200, 13_200, 0) // it has
    log.answered(0, 14_000, 14_000, 1)
    const { ideal, timeline, untrue } = summarize(
      { ...invalidated, changes: { every: 10_000, invalidates: true } },
      log,
      500,
      30_000
    )
    assert.strictEqual(untrue.share, 0.25)
    assert.strictEqual(untrue.most, 200)
    // At 11 s, and for the first that came after the change.
    assert.strictEqual(ideal, 2)
    assert.strictEqual(timeline.loads.reduce((sum, one) => sum + one, 0), 4)
  })
})
