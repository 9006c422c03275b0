/** A share of the simulation that is quick: the same run each time, and no broken promise. */
import { assert, describe, it } from "@effect/vitest"
import type { Mode } from "./plan.ts"
import { series } from "./series.ts"

const shares: ReadonlyArray<readonly [Mode, number]> = [["node", 3000], ["split", 2000]]

describe("worlds in virtual time", () => {
  for (const [mode, reads] of shares) {
    it(
      `${mode}: promises hold, much is served from the cache, and a seed is one run`,
      { timeout: 60_000 },
      async () => {
        const { broken, seen } = await series({ seed: 2026, reads, modes: [mode], twice: true })
        assert.isUndefined(
          broken?.result.violations[0],
          `npm run simulate -- --seed 2026 --mode ${mode} --reads ${reads}`
        )
        assert.strictEqual(seen.reads, reads)
        assert.isAbove(seen.hits, 0.15 * reads)
        assert.isAbove(seen.faults, 0)
      }
    )
  }
})
