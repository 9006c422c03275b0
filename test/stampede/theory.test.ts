/** The mathematics of XFetch; `theory.slow.test.ts` compares them with the simulator. */
import { assert, describe, it } from "vitest"
import * as Theory from "../../bench/stampede/theory.ts"

describe("closed forms", () => {
  it("are the known numbers", () => {
    assert.deepStrictEqual([1, 1.5, 2].map((beta) => Theory.meanLoads(beta).toFixed(3)), ["2.718", "1.948", "1.649"])
    const chances = [1, 2, 3, 4, 5].map((k) => Theory.chanceOfLoads(k, 1).toFixed(3))
    assert.deepStrictEqual(chances, ["0.368", "0.233", "0.147", "0.093", "0.059"])
    assert.strictEqual(Theory.chanceOfMiss(3, 2).toFixed(5), "0.00248")
    assert.strictEqual(Theory.meanGap(100, 1).toFixed(3), "5.182")
  })

  it.each([0.3, 1, 4, 30])("of any rate add up: n = %d", (n) => {
    for (const beta of [0.5, 1, 2]) {
      let [sum, mean] = [0, 0]
      for (let k = 1; k <= 200; k++) {
        const chance = Theory.exactChanceOfLoads(k, n, beta)
        sum += chance
        mean += k * chance
      }
      assert.closeTo(sum, 1, 1e-6)
      assert.closeTo(mean, Theory.exactMeanLoads(n, beta), 1e-5)
    }
  })

  it.each([[0.5, 1], [2, 1], [2, 0.5], [5, 2]])(
    "of any rate are the integrals that they come from: n = %d, beta %d",
    (n, beta) => {
      // In loads. Drawn first the time s before the end; while that load runs, others are with the chance of their own time.
      const chance = (left: number) => Math.min(1, Math.exp(-left / beta))
      const steps = 400
      const others = (s: number) => {
        let sum = 0
        for (let i = 0; i < steps; i++) sum += n * chance(s - (i + 0.5) / steps) / steps
        return sum
      }
      const far = 25 * beta
      let [mean, gap] = [1 + Math.exp(-n * beta) * n, 0]
      for (let i = 0; i < 20 * steps; i++) {
        const s = (i + 0.5) / (20 * steps) * far
        const density = n * chance(s) * Math.exp(-n * beta * chance(s)) * far / (20 * steps)
        mean += density * others(s)
        gap += density * s
      }
      assert.closeTo(Theory.exactMeanLoads(n, beta), mean, 1e-4)
      assert.closeTo(Theory.exactMeanGap(n, beta), gap, 1e-4)
    }
  )

  it("of any rate become those of a high one", () => {
    for (const beta of [0.7, 1, 2]) {
      assert.closeTo(Theory.exactMeanLoads(200, beta), Theory.meanLoads(beta), 1e-6)
      assert.closeTo(Theory.exactMeanGap(200, beta), Theory.meanGap(200, beta), 1e-6)
      for (const k of [1, 2, 5]) {
        assert.closeTo(Theory.exactChanceOfLoads(k, 200, beta), Theory.chanceOfLoads(k, beta), 1e-6)
      }
    }
  })

  it("of a rate near 0 are those of no stampede", () => {
    assert.closeTo(Theory.exactMeanLoads(1e-6, 1), 1, 1e-5)
    assert.closeTo(Theory.exactMeanGap(1e-6, 1), 0, 1e-5)
  })
})
