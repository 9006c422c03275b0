import { assert, describe, it } from "vitest"
import { promiseOf } from "./explain.ts"
import { type Mode, type Plan, planOf } from "./plan.ts"
import { kinds } from "./programs.ts"
import { type Options, type Result, runPlan } from "./run.ts"
import { watched } from "./watch.ts"
import { randomOf } from "./world/random.ts"

/** A world runs from a macrotask. */
const run = (plan: Plan, options: Options = {}): Promise<Result> =>
  new Promise((resolve, reject) =>
    setImmediate(() => {
      try {
        resolve(runPlan(plan, options))
      } catch (error) {
        reject(error)
      }
    })
  )

const planFor = (mode: Mode, acts: number): Plan =>
  planOf({ seed: 7, mode, acts, definitions: kinds, random: randomOf(11) })

describe("a run that is watched", () => {
  for (const mode of ["node", "split", "replicas", "cluster"] as const) {
    it(`is the same run: ${mode}`, async () => {
      const plan = planFor(mode, 400)
      const watch = watched({})
      const [alone, seen] = [await run(plan), await run(plan, watch.options)]
      assert.strictEqual(seen.hash, alone.hash)
      const kinds = new Set(watch.lines().map(({ kind }) => kind))
      for (const kind of ["ask", "given", "load", "origin", "store", "call"] as const) {
        assert.isTrue(kinds.has(kind), kind)
      }
    })
  }
})

describe("a promise", () => {
  it("is the sentence of the documentation", () => {
    for (let i = 1; i <= 10; i++) assert.match(promiseOf(`G${i}`), /^[A-Za-z][^*`|]+$/)
    assert.throws(() => promiseOf("G11"), /has no G11/)
  })
})
