/**
 * Compares the simulated server with a real one, and prints where they differ: `npm run compare`.
 *
 *     npm run compare -- --states 20000 --seed 100000   as many random states, from this seed on
 *     npm run compare -- --seed 4711 --states 1         one state again
 *     npm run compare -- --engine lua                   scripts by Lua itself, as WebAssembly
 *     npm run compare -- --told scripts                 as where there is no C compiler
 *     npm run compare -- --mutants                      after how many runs each wrong server is noticed
 *     npm run compare -- --commands --states 5000       single commands in place of scripts
 */
import { parseArgs } from "node:util"
import { startWasm } from "../redis/lua/wasm.ts"
import { commandsOfSeed, differenceInCommands } from "./commands.ts"
import { type Difference, differenceIn, print } from "./compare.ts"
import { mutants } from "./mutants.ts"
import { Tally } from "./outcomes.ts"
import { Real } from "./real.ts"
import { Simulation } from "./simulated.ts"
import { record, type Tape } from "./tape.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    states: { type: "string", default: "1500" },
    steps: { type: "string", default: "10" },
    engine: { type: "string", default: "translator" },
    told: { type: "string", default: "server" },
    mutants: { type: "boolean", default: false },
    commands: { type: "boolean", default: false }
  }
})

const first = Number(values.seed)
const states = Number(values.states)
const steps = Number(values.steps)
if (!["translator", "lua"].includes(values.engine)) throw new Error(`--engine is translator or lua: ${values.engine}`)
if (!["server", "scripts"].includes(values.told)) throw new Error(`--told is server or scripts: ${values.told}`)

const real = values.told === "scripts" ? await Real.start("none") : await Real.start()

/** So many differences are shown. */
const shown = 5

const compareAll = async (): Promise<void> => {
  const started = performance.now()
  const simulated = new Simulation(real.timing, values.engine === "lua" ? { compile: await startWasm() } : {})
  const tally = new Tally()
  let differing = 0
  for (let seed = first; seed < first + states; seed++) {
    const tape = await record(real, seed, steps)
    tally.add(tape)
    const difference = differenceIn(tape, simulated, real.words)
    if (difference !== undefined && ++differing <= shown) console.log(print(difference, real.timing))
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  for (const line of tally.lines()) console.log(line)
  console.log(
    `${tally.runs} runs on ${real.version} and simulated, the time ${real.timing}: ${differing} of ${states} states ` +
      `differ; ${seconds} s`
  )
  if (differing > 0) process.exitCode = 1
}

const noticeAll = async (): Promise<void> => {
  const tapes: Array<Tape> = []
  for (let seed = first; seed < first + states; seed++) tapes.push(await record(real, seed, steps))
  for (const mutant of mutants) {
    const simulated = new Simulation(real.timing, { mutant })
    let runs = 0
    let found: Difference | undefined
    for (const tape of tapes) {
      found = differenceIn(tape, simulated, real.words)
      runs += found === undefined ? tape.steps.length : found.step + 1
      if (found !== undefined) break
    }
    const why = mutant.unseen === undefined ? "" : ` (${mutant.unseen})`
    console.log(
      `${found === undefined ? "not seen in" : "seen after "} ${String(runs).padStart(6)} runs: ${mutant.name}${why}`
    )
  }
}

const compareCommands = async (): Promise<void> => {
  if (real.timing !== "told to the server") {
    console.log("nothing was compared: without a C compiler keys expire at other times than simulated")
    return
  }
  let differing = 0
  for (let seed = first; seed < first + states; seed++) {
    const difference = await differenceInCommands(real, seed)
    if (difference !== "" && ++differing <= shown) console.log(difference)
  }
  console.log(
    `${states * commandsOfSeed} commands on ${real.version} and simulated: ${differing} of ${states} seeds differ`
  )
  if (differing > 0) process.exitCode = 1
}

try {
  await (values.commands ? compareCommands() : values.mutants ? noticeAll() : compareAll())
} finally {
  await real.stop()
}
