/** A minute of worlds of every mode, each of them twice: the second run is the first one again. */
import { assert, describe, it } from "@effect/vitest"
import type { Mode } from "./plan.ts"
import { series } from "./series.ts"

const shares: ReadonlyArray<readonly [Mode, number]> = [
  ["node", 6000],
  ["split", 5000],
  ["replicas", 6000],
  ["cluster", 5000],
  ["ioredis", 3000],
  ["ioredis cluster", 2000]
]

describe("worlds in virtual time, with faults", () => {
  for (const [mode, reads] of shares) {
    it(mode, { timeout: 300_000 }, async () => {
      const { broken, seen } = await series({ seed: 7, reads, modes: [mode], twice: true })
      assert.isUndefined(
        broken?.result.violations[0],
        `npm run simulate -- --seed 7 --mode "${mode}" --reads ${reads}`
      )
      assert.strictEqual(seen.reads, reads)
      assert.isAbove(seen.hits, 0.15 * reads)
      assert.isAbove(seen.faults, 20)
    })
  }
})
