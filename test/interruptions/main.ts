/**
 * Interrupts callers at every step, and prints what was left: `npm run interruptions`.
 *
 *     npm run interruptions -- --seeds 20 --from 100    twenty orders at random, beside that in turn
 *     npm run interruptions -- --program NAME --step 7  one run again
 *     npm run interruptions -- --program NAME --step 7 --seed 100
 */
import { parseArgs } from "node:util"
import { programs } from "./programs.ts"
import { type Left, replay, search } from "./search.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    from: { type: "string", default: "1" },
    program: { type: "string", default: "" },
    step: { type: "string" },
    seed: { type: "string" }
  }
})

const print = ({ program, seed, step, what }: Left): string =>
  `LEFT by "${program}", interrupted at step ${step}${seed === undefined ? "" : ` under seed ${seed}`}: ${what}`

const wanted = programs.filter(({ name }) => name.includes(values.program))
if (wanted.length === 0) throw new Error(`no program has "${values.program}" in its name`)
const seeds = [undefined, ...Array.from({ length: Number(values.seeds) }, (_, i) => Number(values.from) + i)]

for (const program of wanted) {
  if (values.step !== undefined) {
    const left = replay(program, Number(values.step), values.seed === undefined ? undefined : Number(values.seed))
    console.log(left === undefined ? `${program.name}: nothing is left` : print(left))
    if (left !== undefined) process.exitCode = 1
    continue
  }
  let runs = 0
  let bad = 0
  for (const seed of seeds) {
    const found = search(program, { seed })
    runs += found.runs
    if (found.left === undefined) continue
    bad++
    console.log(print(found.left))
  }
  console.log(`${program.name.padEnd(62)} ${String(runs).padStart(8)} runs  ${bad === 0 ? "ok" : "LEFT"}`)
  if (bad > 0) process.exitCode = 1
}
