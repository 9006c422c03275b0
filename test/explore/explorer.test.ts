/**
 * The interleaving explorer: the real interpreter on the real store in memory,
 * every operation of the store a point where the schedule decides who goes on.
 * `npm run explore` runs more of it and prints what it did.
 */
import { assert, describe, it } from "@effect/vitest"
import { mistakes } from "./bugs.ts"
import { all, large, nestedLarge, nestedSmall, small } from "./cases.ts"
import { exhaust, replay, sample, type Violation } from "./search.ts"

const told = (violation: Violation | undefined): string =>
  violation === undefined
    ? ""
    : `${violation.what}\n  npm run explore -- --case "${violation.case}" --schedule "${violation.schedule.join(",")}"`

describe("no schedule of a small case breaks a promise", () => {
  for (const of of [...small, ...nestedSmall]) {
    it(of.name, () => {
      const { complete, violation } = exhaust(of, 200_000)
      assert.strictEqual(told(violation), "")
      assert.isTrue(complete, "not all schedules were run")
    })
  }
})

describe("no schedule drawn for a large case breaks a promise", () => {
  for (const of of [...large, ...nestedLarge]) {
    it(of.name, () => {
      assert.strictEqual(told(sample(of, 200).violation), "")
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
