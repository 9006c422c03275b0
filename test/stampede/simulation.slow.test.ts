/**
 * The laboratory in virtual time: that it repeats, and that what must hold of
 * each strategy does.
 */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { requests } from "../../bench/stampede/draw.ts"
import { failed, unanswered } from "../../bench/stampede/log.ts"
import { perform, type Task } from "../../bench/stampede/run.ts"
import { reference, type Scenario, scenarioOf, scenarios } from "../../bench/stampede/scenario.ts"
import { Here, strategies, strategiesFor, type Strategy, strategyOf } from "../../bench/stampede/strategies.ts"
import { cyclesOf } from "../../bench/stampede/summary.ts"
import { performAll } from "../../bench/stampede/virtual.ts"
import { hot, invalidated, logOf, summaryOf } from "./support.ts"

const task = (scenario: string, strategy: string, expiries = 4): Task => ({ scenario, strategy, expiries, seed: 7 })

function* requestsUntil(scenario: Scenario, until: number) {
  for (const one of requests(scenario, 5)) {
    if (one.at > until) return
    yield one
  }
}

const mayFail: ReadonlySet<string> = new Set(["Failing", "Outage"])

const shortly = (scenario: Scenario): Scenario => ({ ...scenario, lifetime: 12_000 })

describe("repeating", () => {
  const all = strategies.map(({ id }) => task("invalidated", id, 1))

  it("the same seed gives the same bytes, here and on other threads", async () => {
    const here = all.map(perform)
    const [elsewhere] = await performAll(all, () => {})
    assert.strictEqual(JSON.stringify(elsewhere!.outcomes), JSON.stringify(here))
  })

  it("another seed gives others", () => {
    const one = perform(task("hot", "plain"))
    const other = perform({ ...task("hot", "plain"), seed: 8 })
    assert.notDeepEqual(other.summary, one.summary)
  })

  it("all strategies meet the same requests and the same changes", () => {
    const seen = ["plain", "lease", "advised"].map((id) => {
      const log = logOf({ scenario: shortly(hot), strategy: strategyOf(id), seed: 3 }, 60_000)
      return { ats: [...log.ats].sort((a, b) => a - b), changes: log.changes }
    })
    assert.isAbove(seen[0]!.ats.length, 5000)
    assert.deepStrictEqual(seen[1], seen[0])
    assert.deepStrictEqual(seen[2], seen[0])
  })

  it("every strategy runs in every scenario, and answers every request", () => {
    for (const scenario of scenarios) {
      for (const strategy of strategiesFor(scenario)) {
        const log = logOf({ scenario: { ...scenario, lifetime: 5000 }, strategy, seed: 5 }, 12_000)
        const label = `${scenario.id}, ${strategy.id}`
        const { ats, ends, given, loads, operations } = log
        const requested = [...requestsUntil(scenario, 12_000)]
        assert.strictEqual(ats.length, requested.length, label)
        assert.isTrue(given.every((load, i) => load < 0 || loads[load]!.end <= ends[i]!), label)
        if (strategy.keeps) assert.isAtLeast((operations["read"] ?? 0) + (operations["get"] ?? 0), ats.length, label)
        if (!mayFail.has(scenario.origin._tag)) assert.notInclude(given, failed, label)
        if (scenario.origin._tag === "Constant") {
          const late = given.flatMap((load, i) => load === unanswered ? [ats[i]!] : [])
          assert.isTrue(late.every((at) => at > 12_000 - scenario.load), label)
        }
      }
    }
  })
})

describe("time", () => {
  it.each(["plain", "single-flight", "lease", "xfetch-alone", "soft"])(
    "%s: a load takes exactly as long as it takes, and whoever waits has it when it ends",
    (id) => {
      const scenario: Scenario = { ...shortly(hot), changes: { every: 3000, invalidates: true } }
      const { ats, ends, given, loads } = logOf({ scenario, strategy: strategyOf(id), seed: 9 }, 30_000)
      for (const { end, start } of loads) if (end < Infinity) assert.closeTo(end - start, scenario.load, 1e-3)
      const waited = given.map((_, i) => i).filter((i) => given[i]! >= 0 && ends[i]! > ats[i]!)
      if (id !== "soft") assert.isAbove(waited.length, 100)
      for (const i of waited) assert.strictEqual(ends[i], loads[given[i]!]!.end)
    }
  )
})

describe("the clock", () => {
  it("stands still until everything that can be done is done, however many turns that takes", () => {
    const uncached = strategyOf("uncached")
    const { services } = uncached.make(hot, 1)
    const slow: Strategy = {
      ...uncached,
      make: () => ({
        reader: {
          get: (key) =>
            Effect.flatMap(
              Here,
              ({ load }) => Effect.tap(load(key), () => Effect.repeat(Effect.yieldNow, { times: 50 }))
            ),
          invalidate: () => Effect.void
        },
        services
      })
    }
    const { ends, given, loads } = logOf({ scenario: hot, strategy: slow, seed: 4 }, 5000)
    const answered = given.map((_, i) => i).filter((i) => given[i]! >= 0)
    assert.isAbove(answered.length, 300)
    for (const i of answered) assert.strictEqual(ends[i], loads[given[i]!]!.end)
  })
})

describe("what must hold of a strategy", () => {
  const around = (id: string, scenario: Scenario = shortly(hot), expiries = 6) =>
    summaryOf({ scenario, strategy: strategyOf(id), seed: 11 }, expiries)

  it("without protection all that come during a load make one, too", () => {
    const { mostAtOnce, perExpiry, waited } = around("plain")
    assert.isAbove(perExpiry.mean, 80)
    assert.isAbove(mostAtOnce, 80)
    assert.isAbove(waited, 0.05)
    // Of one key alone, jitter is no protection.
    assert.isAbove(around("jitter").perExpiry.mean, 80)
  })

  it("without a cache every request is a load, and no expiry is told", () => {
    const { loads, perExpiry, requests } = around("uncached")
    assert.closeTo(loads, requests, 130)
    assert.strictEqual(perExpiry.expiries, 0)
  })

  it("coalescing in each process makes as many loads as there are processes", () => {
    assert.strictEqual(around("single-flight").perExpiry.most, 10)
    assert.strictEqual(around("swr-alone").perExpiry.most, 10)
    assert.strictEqual(around("single-flight", { ...shortly(hot), processes: 50 }).perExpiry.most <= 50, true)
    assert.isAbove(around("single-flight", { ...shortly(hot), processes: 50 }).perExpiry.mean, 35)
  })

  it.each(["lease", "swr", "refresh-80", "xfetch", "advised"])("%s: one load at a time, one an expiry", (id) => {
    const { mostAtOnce, perExpiry } = around(id)
    assert.strictEqual(mostAtOnce, 1)
    assert.strictEqual(perExpiry.most, 1)
    assert.isAtLeast(perExpiry.expiries, 5)
  })

  it.each(["swr-alone", "swr", "refresh-80", "xfetch", "advised"])("%s: nobody waits", (id) => {
    assert.strictEqual(around(id).latency.most, 0)
  })

  it("a lease alone lets those wait who come during the load", () => {
    const { latency, waited } = around("lease")
    assert.isAbove(waited, 0.05)
    assert.isAtMost(latency.most, 1000)
  })

  it("what is served past its lifetime is what was said", () => {
    for (const id of ["plain", "lease", "xfetch", "refresh-80"]) assert.strictEqual(around(id).pastLifetime, 0)
    assert.isAbove(around("swr").pastLifetime, 0.05)
  })

  it("a second caller of a failing origin is not told to try at once", () => {
    const failing = shortly(scenarioOf("failing"))
    assert.isAbove(around("plain", failing).failed, 0)
    assert.isAbove(around("lease", failing).failed, 0)
    assert.strictEqual(around("advised", failing).failed, 0)
    assert.strictEqual(around("lease", failing).mostAtOnce, 1)
  })

  it("while the origin is away, what may be served on error is", () => {
    const outage = scenarioOf("outage")
    const away = { ...shortly(outage), origin: { ...outage.origin, every: 20_000 } } as Scenario
    assert.isAbove(around("lease", away).failed, 0.05)
    assert.isAbove(around("plain", away).failed, 0.05)
    assert.strictEqual(around("advised", away).failed, 0)
    // Nothing is stale for so long.
    assert.isAbove(around("swr", away).failed, 0)
  })

  it("an origin that slows down is flattened by a stampede, and by nothing else", () => {
    const limited = shortly(scenarioOf("limited"))
    assert.isAbove(around("plain", limited).latency.most, 10_000)
    assert.strictEqual(around("single-flight", limited).latency.most > 1000, true)
    assert.isAtMost(around("lease", limited).latency.most, 1000)
    assert.strictEqual(around("advised", limited).latency.most, 0)
  })

  const often: Scenario = { ...invalidated, changes: { every: 2000, invalidates: true } }

  it.each(["lease", "swr", "refresh-80", "xfetch", "advised"])(
    "%s: an invalidation that has returned is true",
    (id) => {
      const { mostAtOnce, perExpiry, untrue } = around(id, often, 25)
      assert.strictEqual(untrue.share, 0)
      // A load that was invalidated runs on beside its successor.
      assert.isAtLeast(perExpiry.expiries, 10)
      assert.isAtMost(mostAtOnce, 6)
    }
  )

  it.each(["plain", "xfetch-published", "single-flight", "swr-alone"])(
    "%s: a load that was under way stores what is not true any more",
    (id) => {
      const { untrue } = around(id, often, 25)
      assert.isAbove(untrue.share, 0)
    }
  )

  it("a soft invalidation is served for as long as a load takes, and nobody waits", () => {
    const { latency, untrue } = around("soft", invalidated, 4)
    assert.strictEqual(latency.most, 0)
    assert.isAbove(untrue.share, 0)
    assert.isAtMost(untrue.p99, 2000)
  })
})

describe("loads for each lifetime of five minutes, ten processes, 100 requests a second, a load of a second", () => {
  // Found before, by another program.
  it.each([
    ["plain", 100.4, 30],
    ["single-flight", 9.92, 0.1],
    ["lease", 0.99, 0.01],
    ["xfetch", 1.01, 0.01],
    ["swr", 0.99, 0.01],
    ["refresh-80", 1.24, 0.01]
  ])("%s: %d", (id, expected, by) => {
    const { lifetime } = reference
    const cycles = cyclesOf(logOf({ scenario: reference, strategy: strategyOf(id), seed: 2 }, 2.2 * lifetime).loads)
    const starts = cycles.map(({ loads }) => loads[0]!.start)
    const loads = cycles.slice(1, -1).reduce((sum, cycle) => sum + cycle.loads.length, 0)
    assert.closeTo(loads / (starts.at(-1)! - starts[1]!) * lifetime, expected, by)
  })
})
