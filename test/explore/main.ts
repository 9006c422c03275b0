/**
 * Prints two tables: the cases with the schedules that were run, and the
 * deliberate mistakes with the schedules it took to find them.
 *
 *     npm run explore                      the small cases exhaustively, the large ones by 2 000 seeds
 *     npm run explore -- --seeds 20000     more
 *     npm run explore -- --seeds 2000 --from 2001          other ones
 *     npm run explore -- --case NAME --seed 7              one run again
 *     npm run explore -- --case NAME --schedule a,b,c      one schedule again
 */
import { parseArgs } from "node:util"
import { casesFor, mistakes } from "./bugs.ts"
import { all, nestedSmall, small } from "./cases.ts"
import { exhaust, type Found, hunt, replay, runSeed, sample, type Violation } from "./search.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "2000" },
    from: { type: "string", default: "1" },
    case: { type: "string" },
    seed: { type: "string" },
    schedule: { type: "string" }
  }
})
const seeds = Number(values.seeds)

const print = (violation: Violation): string =>
  [
    `VIOLATION in "${violation.case}"${
      violation.seed === undefined ? "" : ` at seed ${violation.seed}`
    }: ${violation.what}`,
    `  schedule: ${violation.schedule.join(",")}`,
    ...violation.history.map((event) => `  ${JSON.stringify(event)}`)
  ].join("\n")

const timed = <A>(run: () => A): readonly [A, string] => {
  const start = performance.now()
  const result = run()
  return [result, `${((performance.now() - start) / 1000).toFixed(1)} s`]
}

const row = (name: string, found: Found, seconds: string): string =>
  `${name.padEnd(62)} ${String(found.schedules).padStart(8)} ${(found.complete ? "all" : "seeds").padEnd(5)} ${
    seconds.padStart(7)
  }  ${found.violation === undefined ? "ok" : "VIOLATION"}`

const one = (name: string): number => {
  const of = all.find((c) => c.name === name)
  if (of === undefined) {
    console.error(`there is no case "${name}"; there are:\n${all.map((c) => `  ${c.name}`).join("\n")}`)
    return 2
  }
  const found = values.schedule === undefined
    ? runSeed(of, Number(values.seed ?? 1))
    : replay(of, values.schedule.split(","))
  console.log(found === undefined ? "no violation" : print(found))
  return found === undefined ? 0 : 1
}

const everything = (): number => {
  let bad = 0
  console.log(`${"case".padEnd(62)} ${"schedules".padStart(8)}`)
  for (const of of all) {
    const [found, seconds] = timed(() =>
      [...small, ...nestedSmall].includes(of)
        ? exhaust(of, 1_000_000)
        : sample(of, seeds, undefined, Number(values.from))
    )
    console.log(row(of.name, found, seconds))
    if (found.violation !== undefined) {
      bad++
      console.log(print(found.violation))
    }
  }
  console.log(`\n${"deliberate mistake".padEnd(62)} schedules until found, and where`)
  for (const mistake of mistakes) {
    const { schedules, violation } = hunt(casesFor(mistake), mistake, seeds)
    if (violation === undefined) bad++
    console.log(
      `${mistake.name.padEnd(62)} ${String(schedules).padStart(8)}  ${
        violation === undefined ? "MISSED" : violation.case
      }`
    )
    console.log(`  ${mistake.breaks}`)
  }
  return bad === 0 ? 0 : 1
}

process.exitCode = values.case === undefined ? everything() : one(values.case)
