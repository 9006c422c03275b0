/** What the explorer needs a while for: every schedule of the cases that have thousands, and some of the large ones. */
import { assert, describe, it } from "@effect/vitest"
import { large, nestedLarge, nestedSmall, quick, small } from "./cases.ts"
import { complaint, exhaust, sample } from "./search.ts"

describe("no schedule of a small case breaks a promise", () => {
  for (const of of [...small, ...nestedSmall].filter((one) => !quick.includes(one))) {
    it(of.name, () => {
      const { complete, violation } = exhaust(of, 200_000)
      assert.strictEqual(complaint(violation, "npm run explore --"), "")
      assert.isTrue(complete, "not all schedules were run")
    })
  }
})

describe("no schedule drawn for a large case breaks a promise", () => {
  for (const of of [...large, ...nestedLarge]) {
    it(of.name, () => {
      assert.strictEqual(complaint(sample(of, 80).violation, "npm run explore --"), "")
    })
  }
})
