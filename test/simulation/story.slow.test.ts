import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { mistakeNamed } from "./mistakes.ts"
import type { Plan, Step } from "./plan.ts"
import { type Options, type Result, runPlan } from "./run.ts"
import { tellStory } from "./story.ts"
import { fairWeather } from "./world/network.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-test-"))

afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

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

describe("the story of a run", () => {
  const mistake = mistakeNamed("commit does not ask for the lease")!
  const calm = {
    acknowledge: "primary",
    journal: 10_000,
    remember: 0,
    failing: 0,
    slowest: 8,
    weather: fairWeather
  } as const
  const read = (at: number, process: number, of: string): Step => ({ at, process, act: { do: "get", of, row: 0 } })
  /** Two reads and a write between them are enough. */
  const steps: ReadonlyArray<Step> = [
    read(0, 0, "tag"),
    read(100, 1, "found"),
    {
      at: 1500,
      process: 1,
      act: { do: "write", row: 0, field: "a", of: "tag", by: "key", how: "apply", soft: false }
    },
    { at: 2000, fault: { fault: "evict", what: "entry", many: 1 } },
    read(2500, 2, "found"),
    read(5000, 2, "tag"),
    read(9000, 0, "tag"),
    read(9500, 1, "found")
  ]
  const plan: Plan = { ...calm, seed: 0, mode: "node", processes: 3, rows: 1, definitions: ["tag", "found"], steps }

  const firstBroken = async (plan: Plan): Promise<{ readonly plan: Plan; readonly result: Result }> => {
    const result = await run(plan, mistake.options())
    return result.violations[0]?.guarantee === "G1" ? { plan, result } : firstBroken({ ...plan, seed: plan.seed + 1 })
  }

  it("is that of as few steps as there can be, with what is promised, and why that is broken", async () => {
    const broken = await firstBroken(plan)
    const page = path.join(folder, "story.html")
    const told: Array<string> = []
    const printed: Array<string> = []
    const story = await tellStory({ chosen: { seed: 0, world: 0 }, ...broken }, {
      options: mistake.options,
      page,
      progress: (line) => told.push(line),
      print: (line) => printed.push(line)
    })
    const kinds = story.plan.steps.map((step) => "act" in step ? step.act.do : step.fault.fault)
    assert.deepStrictEqual(kinds, ["get", "write", "get"])
    assert.match(told.at(-1)!, /^8 steps became 3 in \d+ runs; none of them can be left out$/)

    const last = story.lines.at(-1)!
    assert.deepStrictEqual([last.breaks, last.kind, last.load], ["G1", "given", story.loads[0]])
    const what = story.lines.map(({ what }) => what).join("\n")
    for (
      const said of [
        /^reads \w+\(0\)$/m,
        /^gives P1 the lease of/m,
        /^load 0 reads row 0, at version 0$/m,
        /has returned$/m
      ]
    ) {
      assert.match(what, said)
    }
    assert.match(what, /invalidates [^]*stores load 0|stores load 0[^]*invalidates /)
    const [text] = printed
    assert.match(text!, /Load 0 began at .* called an invalidation of it at .* and was given load 0 all the same\./)
    assert.match(text!, /G1 is broken: Read your invalidation, everywhere\./)
    const written = fs.readFileSync(page, "utf8")
    for (const { what } of story.lines) assert.include(written, `${what}.`)
  })

  it("is refused of a run that does not go wrong again", async () => {
    const result = { ...await run(plan), violations: [{ guarantee: "G1", what: "something", at: 0 }] }
    const telling = tellStory({ chosen: { seed: 0, world: 0 }, plan, result }, {
      page: path.join(folder, "none.html"),
      progress: () => {},
      print: () => {}
    })
    await telling.then(
      () => assert.fail("a story was told"),
      (error: Error) => assert.match(error.message, /does not go wrong/)
    )
  })
})
