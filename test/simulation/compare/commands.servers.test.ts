/** Single commands on a real server and on the simulated one, as they come from connections. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { commandsOfSeed, differenceInCommands } from "./commands.ts"
import { Real } from "./real.ts"

const seeds = 400

const real = await Real.start()
afterAll(() => real.stop())

describe(`the simulated server answers as ${real.version}, where the time is ${real.timing}`, () => {
  // Without a clock of its own, keys would expire at other times than simulated.
  it.runIf(real.timing === "told to the server")(`${seeds * commandsOfSeed} commands`, async () => {
    const differing: Array<string> = []
    for (let seed = 1; seed <= seeds; seed++) {
      const difference = await differenceInCommands(real, seed)
      if (difference !== "") differing.push(difference)
    }
    assert.deepStrictEqual(differing, [])
  })
})
