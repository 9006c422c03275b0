/**
 * The interleaving explorer on a real Redis: the same interpreter, two processes
 * with a connection each, and every command a point where the schedule decides
 * who goes on. First on one node, then with the steps of a cluster.
 * `node test/explore/redisMain.ts` runs more of it and prints what it did.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type Lab, makeLab } from "./redis.ts"
import { caseOf, redisMistakes, search } from "./redisBugs.ts"
import { onRedis, quick } from "./redisCases.ts"
import { complaint, exhaustIn, inTime, replayIn, sampleIn, type Violation } from "./search.ts"

let lab: Lab
beforeAll(async () => {
  lab = await makeLab()
})
afterAll(() => lab?.stop())

const told = (violation: Violation | undefined, split: boolean): string =>
  complaint(violation, `node test/explore/redisMain.ts${split ? " --split" : ""}`)

for (const split of [false, true]) {
  describe(split ? "with the steps of a cluster" : "on one node", () => {
    const few = quick(split)

    describe("no schedule breaks a promise", () => {
      for (const of of few) {
        it(of.name, async () => {
          const { complete, violation } = await inTime(exhaustIn(lab.worlds({ split }), of, 10_000))
          assert.strictEqual(told(violation, split), "")
          assert.isTrue(complete, "not all schedules were run")
        })
      }
    })

    describe("no schedule that was drawn breaks a promise", () => {
      for (const of of onRedis.filter((one) => !few.includes(one))) {
        it(of.name, async () => {
          const { violation } = await inTime(sampleIn(lab.worlds({ split }), of, 4))
          assert.strictEqual(told(violation, split), "")
        })
      }
    })

    it("the first reads of a store share one load", async () => {
      const of = onRedis.find(({ name }) => name.startsWith("one load"))!
      const { violation } = await inTime(sampleIn(lab.worlds({ split, fresh: true }), of, 10))
      assert.strictEqual(told(violation, split), "")
    })
  })
}

describe("the search sees", () => {
  for (const mistake of redisMistakes) {
    it(`${mistake.name} (${mistake.breaks})`, async () => {
      const { violation } = await inTime(search(lab, mistake))
      assert.isDefined(violation, "the mistake was not found")
      // What was found can be shown again from its schedule alone.
      const worlds = lab.worlds({ mistake, split: mistake.split })
      const again = await inTime(replayIn(worlds, caseOf(mistake), violation!.schedule))
      assert.strictEqual(again?.what, violation!.what)
      assert.deepStrictEqual(again?.schedule, violation!.schedule)
    })
  }
})
