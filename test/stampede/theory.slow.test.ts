/**
 * What the mathematics say of XFetch (`theory.test.ts`), and what the simulator does: they know
 * nothing of each other. Seeds are fixed, and each statement holds within what a
 * right one would miss once in ten thousand seeds.
 */
import { assert, describe, it } from "vitest"
import { strategyOf } from "../../bench/stampede/strategies.ts"
import * as Theory from "../../bench/stampede/theory.ts"
import { assertDistribution, assertMean, assertShare, expiriesOf, logOf, paper } from "./support.ts"

const published = strategyOf("xfetch-published")
const leased = strategyOf("xfetch")

/**
 * The same by the interpreter: here there are so many processes that none is
 * asked twice during a load, and none knows of another's. So nothing is coalesced.
 */
const interpreted = strategyOf("xfetch-alone")

const seed = 2015

const simulate = (n: number, beta: number, expiries: number, strategy = published, lifetime = 14) => {
  const inTurn = strategy === interpreted
  const scenario = paper(n, lifetime, inTurn ? 3 * n : 10)
  // With a larger beta entries are replaced sooner, so there are more than that.
  const log = logOf({ scenario, strategy, seed, beta, inTurn }, expiries * lifetime * 1000)
  return expiriesOf(scenario, log)
}

describe("XFetch as published", () => {
  it.each([[10, 1], [40, 1], [10, 1.5], [10, 2]])(
    "makes loads that are geometric, whatever the rate: n = %d, beta %d",
    (n, beta) => {
      const { gaps, sizes } = simulate(n, beta, 8000 / n + 100)
      assertMean(sizes, Theory.meanLoads(beta), "loads of an expiry")
      assertDistribution(sizes, (k) => Theory.chanceOfLoads(k, beta), "loads of an expiry")
      assertMean(gaps, Theory.meanGap(n, beta), "the gap in loads")
    }
  )

  it.each([[0.2, 1], [0.5, 1], [1, 1], [2, 1], [1, 2]])(
    "of a low rate makes what the exact formula says: n = %d, beta %d",
    (n, beta) => {
      const { gaps, sizes } = simulate(n, beta, 3000, published, 20)
      assertMean(sizes, Theory.exactMeanLoads(n, beta), "loads of an expiry")
      assertDistribution(sizes, (k) => Theory.exactChanceOfLoads(k, n, beta), "loads of an expiry")
      assertMean(gaps, Theory.exactMeanGap(n, beta), "the gap in loads")
      const missed = gaps.filter((gap) => gap === 0).length
      assertShare(missed, gaps.length, Theory.chanceOfMiss(n, beta), "expiries that nobody foresaw")
    }
  )
})

describe("the policy xfetch, by the interpreter", () => {
  it("makes loads that are geometric, where nothing is coalesced", () => {
    const { gaps, sizes } = simulate(10, 1, 800, interpreted)
    assertMean(sizes, Theory.meanLoads(1), "loads of an expiry")
    assertDistribution(sizes, (k) => Theory.chanceOfLoads(k, 1), "loads of an expiry")
    assertMean(gaps, Theory.meanGap(10, 1), "the gap in loads")
  })

  it.each([[0.5, 1], [2, 1], [2, 0.5], [20, 1]])(
    "with a lease makes one load, as early as foretold: n = %d, beta %d",
    (n, beta) => {
      const { gaps, sizes } = simulate(n, beta, 6000 / n ** 0.5 / 4, leased, 20)
      assert.isTrue(sizes.every((size) => size === 1))
      assertMean(gaps, Theory.exactMeanGap(n, beta), "the gap in loads")
      const missed = gaps.filter((gap) => gap === 0).length
      assertShare(missed, gaps.length, Theory.chanceOfMiss(n, beta), "expiries that nobody foresaw")
    }
  )
})
