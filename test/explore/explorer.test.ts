/**
 * The interleaving explorer: the real interpreter on the real store in memory,
 * every operation of the store a point where the schedule decides who goes on.
 * Here is what takes seconds; `explorer.slow.test.ts` has the rest, and
 * `npm run explore` runs more of it and prints what it did.
 */
import { assert, describe, it } from "@effect/vitest"
import { mistakes } from "./bugs.ts"
import { all, large, nestedLarge, quick } from "./cases.ts"
import { complaint, exhaust, replay, sample } from "./search.ts"

describe("no schedule of a quick case breaks a promise", () => {
  for (const of of quick) {
    it(of.name, () => {
      const { complete, violation } = exhaust(of, 600)
      assert.strictEqual(complaint(violation, "npm run explore --"), "")
      assert.isTrue(complete, "it has more schedules than a quick case may have")
    })
  }
})

describe("none of the first schedules drawn for a large case breaks a promise", () => {
  for (const of of [...large, ...nestedLarge]) {
    it(of.name, () => {
      assert.strictEqual(complaint(sample(of, 10).violation, "npm run explore --"), "")
    })
  }
})

describe("the search sees", () => {
  for (const mistake of mistakes) {
    it(`${mistake.name} (${mistake.breaks})`, () => {
      const of = all.find(({ name }) => name === mistake.seenIn)
      assert.isDefined(of)
      const { violation } = sample(of!, 1500, mistake)
      assert.isDefined(violation, "the mistake was not found")
      // What was found can be shown again from its schedule alone.
      assert.strictEqual(replay(of!, violation!.schedule, mistake)?.what, violation!.what)
    })
  }
})
