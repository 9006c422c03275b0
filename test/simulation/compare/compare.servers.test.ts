/**
 * Every script on a real server and on the simulated one, from the same random states. `npm run compare` compares more,
 * and shows one state again.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Scripts from "../../../src/internal/redis/scripts.ts"
import { fragments } from "../redis/lua/fragments.ts"
import { startWasm } from "../redis/lua/wasm.ts"
import { differenceIn, print, type Simulated, told } from "./compare.ts"
import { mutants } from "./mutants.ts"
import { expected, Tally } from "./outcomes.ts"
import { Real } from "./real.ts"
import { Simulation } from "./simulated.ts"
import { record, type Tape } from "./tape.ts"

const states = 1500
const length = 10

const recordFrom = async (real: Real, first: number, count: number): Promise<ReadonlyArray<Tape>> => {
  const tapes: Array<Tape> = []
  for (let seed = first; seed < first + count; seed++) tapes.push(await record(real, seed, length))
  return tapes
}

const real = await Real.start()
afterAll(() => real.stop())
const tapes = await recordFrom(real, 1, states)
const tally = new Tally(tapes)

/** The first difference in words; nothing if there is none. */
const complaint = (some: ReadonlyArray<Tape>, simulated: Simulated, { timing, words }: Real = real): string => {
  for (const tape of some) {
    const difference = differenceIn(tape, simulated, words)
    if (difference !== undefined) return print(difference, timing)
  }
  return ""
}

describe(`the simulated server does as ${real.version}, where the time is ${real.timing}`, () => {
  it(`in ${tally.runs} runs of scripts as JavaScript`, () => {
    assert.strictEqual(complaint(tapes, new Simulation(real.timing)), "")
  })

  it("in runs of scripts as Lua", async () => {
    assert.strictEqual(complaint(tapes.slice(0, 300), new Simulation(real.timing, { compile: await startWasm() })), "")
  })

  it("where the scripts are told the time, as they are without a compiler", async () => {
    const other = await Real.start("none")
    try {
      assert.strictEqual(other.timing, "told to the scripts")
      const some = await recordFrom(other, 1, 200)
      assert.strictEqual(complaint(some, new Simulation(other.timing), other), "")
    } finally {
      await other.stop()
    }
  })

  it.each(Scripts.all.map(({ name }) => [name]))("also where something comes of it: %s", (script) => {
    assert.isDefined(expected[script], "no outcome is expected of it")
    assert.deepStrictEqual(expected[script]!.filter((outcome) => tally.count(script, outcome) === 0), [])
  })
})

// Errors, and what is caught of them, are others on other servers.
describe.runIf(real.words === "the same")("Lua on the server and its translation give the same", () => {
  it.each(fragments.map((source) => [source]))("%s", async (source) => {
    const reply = await real.evaluate(source, ["key\0\xff"], ["\xe9\n"])
    const mine = new Simulation(real.timing).evaluate(source, ["key\0\xff"], ["\xe9\n"])
    assert.deepStrictEqual(told(mine, real.words), told(reply, real.words))
  })
})

/** A wrong server is noticed after so many runs at the latest. */
const within = 5000

describe(`a wrong server is noticed within ${within} runs`, () => {
  const visible = mutants.filter(({ needsClock, unseen }) =>
    unseen === undefined && (real.timing === "told to the server" || needsClock !== true)
  )

  it.each(visible.map((mutant) => [mutant.name, mutant] as const))("%s", (_, mutant) => {
    assert.notStrictEqual(complaint(tapes.slice(0, within / length), new Simulation(real.timing, { mutant })), "")
  })
})

describe("a wrong server that no script can see is not noticed", () => {
  const hidden = mutants.filter(({ unseen }) => unseen !== undefined)

  it.each(hidden.map((mutant) => [mutant.name, mutant.unseen!, mutant] as const))("%s: %s", (_, __, mutant) => {
    assert.strictEqual(complaint(tapes.slice(0, 300), new Simulation(real.timing, { mutant })), "")
  })
})
