import { assert, describe, it } from "vitest"
import { type Act, isFault, type Plan, planOf, type Step } from "./plan.ts"
import { kinds } from "./programs.ts"
import { type Fails, shrink } from "./shrink.ts"
import { fairWeather } from "./world/network.ts"
import { randomOf } from "./world/random.ts"

const plan = planOf({ seed: 1234, mode: "cluster", acts: 2000, definitions: kinds, random: randomOf(5) })

const acts = ({ steps }: Plan): ReadonlyArray<Act> => steps.flatMap((step) => isFault(step) ? [] : [step.act])

const without = (of: Plan, i: number): Plan => ({ ...of, steps: of.steps.toSpliced(i, 1) })

/** Goes wrong when one reads twice what another has written to in between. */
const readWriteRead = ({ steps }: Plan): number | undefined => {
  let state = 0
  let reader = -1
  for (const step of steps) {
    if (isFault(step)) continue
    const { act, process } = step
    if (act.do === "write") {
      if (state === 1 && process !== reader) state = 2
    } else if (state === 0) {
      state = 1
      reader = process
    } else if (state === 2 && process === reader) return step.at
  }
  return undefined
}

/** The same, if the dice fall so: as with what needs a race. */
const bySeed = (fails: Fails, chance: number): Fails => (plan) => {
  const dice = randomOf(plan.seed * 7919 + plan.steps.length)
  return dice.chance(chance) ? fails(plan) : undefined
}

/** The greatest number of runs that is needed. */
const mostRuns = 20_000

describe("shrink", () => {
  it("leaves nothing that can be left out", () => {
    const { isMinimal, plan: short } = shrink(plan, { fails: readWriteRead, mostRuns })
    assert.isTrue(isMinimal)
    assert.isDefined(readWriteRead(short))
    assert.deepStrictEqual(acts(short).map((act) => act.do), ["get", "write", "get"])
    for (let i = 0; i < short.steps.length; i++) assert.isUndefined(readWriteRead(without(short, i)))
  })

  it("makes what is left as simple as it gets", () => {
    const { plan: short } = shrink(plan, { fails: readWriteRead, mostRuns })
    const get = { do: "get", of: "forever", row: 0 } as const
    const steps: ReadonlyArray<Step> = [
      { at: 0, process: 0, act: get },
      {
        at: 0,
        process: 1,
        act: { do: "write", row: 0, field: "a", of: "forever", by: "key", how: "apply", soft: false }
      },
      { at: 0, process: 0, act: get }
    ]
    assert.deepStrictEqual(short.steps, steps)
    assert.deepStrictEqual(
      { ...short, steps: [], seed: 0 },
      {
        seed: 0,
        mode: "node",
        processes: 2,
        rows: 1,
        definitions: ["forever"],
        acknowledge: "primary",
        journal: 10_000,
        remember: 0,
        failing: 0,
        slowest: 2,
        weather: fairWeather,
        lease: undefined,
        steps: []
      }
    )
  })

  it("finds another seed where leaving something out has changed the luck", () => {
    const fails = bySeed(readWriteRead, 0.3)
    const lucky = Array.from({ length: 100 }, (_, seed) => ({ ...plan, seed })).find((one) => fails(one) !== undefined)!
    const { isMinimal, plan: short } = shrink(lucky, { fails, mostRuns })
    assert.isTrue(isMinimal)
    assert.isDefined(fails(short), "the seed is kept under which it goes wrong")
    assert.deepStrictEqual(acts(short).map((act) => act.do), ["get", "write", "get"])
  })

  it("keeps the faults that are needed, in their mildest form", () => {
    const fault: Step = { at: 900, fault: { fault: "messages", lost: 0.3, doubled: 0.3, late: 0.3, ms: 2345 } }
    const steps = [...plan.steps, fault].sort((a, b) => a.at - b.at)
    const fails: Fails = ({ steps }) =>
      steps.find((step) =>
        isFault(step) && step.fault.fault === "messages" && step.fault.lost > 0 && step.fault.ms > 700
      )?.at
    const { plan: short } = shrink({ ...plan, steps }, { fails, mostRuns })
    assert.deepStrictEqual(short.steps, [{
      at: 0,
      fault: { fault: "messages", lost: 0.3, doubled: 0, late: 0, ms: 1000 }
    }])
  })

  it("closes up times no further than it may", () => {
    const fails: Fails = ({ steps }) => {
      const writes = steps.filter((step) => !isFault(step) && step.act.do === "write")
      return writes.find(({ at }) => at - writes[0]!.at > 3200)?.at
    }
    const { plan: short } = shrink(plan, { fails, mostRuns })
    const [first, last, ...others] = short.steps.map(({ at }) => at)
    assert.deepStrictEqual([first, others], [0, []])
    assert.include([4000, 5000], last)
  })

  it("is the same each time", () => {
    const once = () => shrink(plan, { fails: bySeed(readWriteRead, 0.9), mostRuns })
    assert.deepStrictEqual(once(), once())
  })

  it("gives what is shortest when it may run no more, and says so", () => {
    let runs = 0
    const fails: Fails = (plan) => (runs++, readWriteRead(plan))
    const { isMinimal, plan: short, runs: said } = shrink(plan, { fails, mostRuns: 12 })
    assert.strictEqual(runs, 12)
    assert.strictEqual(said, 12)
    assert.isFalse(isMinimal)
    assert.isDefined(readWriteRead(short))
    assert.isBelow(short.steps.length, plan.steps.length)
  })

  it("refuses a plan that does not go wrong", () => {
    assert.throws(() => shrink(plan, { fails: () => undefined, mostRuns }), /does not go wrong/)
  })
})
