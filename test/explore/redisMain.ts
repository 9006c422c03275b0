/**
 * What `main.ts` does in memory, on a real Redis that it starts: the cases with
 * the schedules that were run, first on one node and then with the steps of a
 * cluster, and the deliberate mistakes.
 *
 *     node test/explore/redisMain.ts                    the quick cases exhaustively, the others by 100 seeds
 *     node test/explore/redisMain.ts --seeds 2000
 *     node test/explore/redisMain.ts --seeds 2000 --from 2001   other ones
 *     node test/explore/redisMain.ts --limit 100000     all small cases exhaustively, as far as this many schedules
 *     node test/explore/redisMain.ts [--split] --case NAME --seed 7           one run again
 *     node test/explore/redisMain.ts [--split] --case NAME --schedule a,b,c   one schedule again
 */
import { parseArgs } from "node:util"
import { small } from "./cases.ts"
import { type Lab, makeLab } from "./redis.ts"
import { redisMistakes, search } from "./redisBugs.ts"
import { onRedis, quick } from "./redisCases.ts"
import { type Case, exhaustIn, type Found, inTime, replayIn, runSeedIn, sampleIn, type Violation } from "./search.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    limit: { type: "string", default: "0" },
    split: { type: "boolean", default: false },
    case: { type: "string" },
    seed: { type: "string" },
    schedule: { type: "string" }
  }
})
const seeds = Number(values.seeds)
const from = Number(values.from)
const limit = Number(values.limit)

const print = ({ case: name, history, schedule, seed, what }: Violation): string =>
  [
    `VIOLATION in "${name}"${seed === undefined ? "" : ` at seed ${seed}`}: ${what}`,
    `  schedule: ${schedule.join(",")}`,
    ...history.map((event) => `  ${JSON.stringify(event)}`)
  ].join("\n")

const one = async (lab: Lab, name: string): Promise<boolean> => {
  const of = onRedis.find((c) => c.name === name)
  if (of === undefined) {
    console.error(`there is no case "${name}"; there are:\n${onRedis.map((c) => `  ${c.name}`).join("\n")}`)
    return false
  }
  const worlds = lab.worlds({ split: values.split })
  const found = await inTime(
    values.schedule === undefined
      ? runSeedIn(worlds, of, Number(values.seed ?? 1))
      : replayIn(worlds, of, values.schedule.split(","))
  )
  console.log(found === undefined ? "no violation" : print(found))
  return found === undefined
}

const searchCase = (lab: Lab, split: boolean, of: Case): Promise<Found> => {
  const worlds = lab.worlds({ split })
  if (quick(split).includes(of)) return inTime(exhaustIn(worlds, of, 10_000))
  return inTime(limit > 0 && small.includes(of) ? exhaustIn(worlds, of, limit) : sampleIn(worlds, of, seeds, from))
}

const cases = async (lab: Lab, split: boolean): Promise<boolean> => {
  let good = true
  let total = 0
  console.log(split ? "\nthe steps of a cluster" : "one node")
  for (const of of onRedis) {
    const start = performance.now()
    const { complete, schedules, violation } = await searchCase(lab, split, of)
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    total += schedules
    console.log(
      `${of.name.padEnd(66)} ${String(schedules).padStart(7)} ${(complete ? "all" : "").padEnd(3)} ${
        seconds.padStart(6)
      } s  ${violation === undefined ? "ok" : "VIOLATION"}`
    )
    if (violation === undefined) continue
    good = false
    console.log(print(violation))
  }
  console.log(`${"".padEnd(66)} ${String(total).padStart(7)}`)
  return good
}

const mistakes = async (lab: Lab): Promise<boolean> => {
  let good = true
  console.log("\ndeliberate mistake, schedules until it was found, and where")
  for (const mistake of redisMistakes) {
    const { schedules, violation } = await inTime(search(lab, mistake))
    if (violation === undefined) good = false
    const where = `${mistake.seenIn}${mistake.split ? ", in steps" : ""}`
    console.log(
      `${mistake.name.padEnd(66)} ${String(schedules).padStart(7)}  ${violation === undefined ? "MISSED" : where}`
    )
    console.log(`  ${mistake.breaks}`)
  }
  return good
}

const lab = await makeLab()
let results: ReadonlyArray<boolean> = [false]
try {
  results = values.case === undefined
    ? [await cases(lab, false), await cases(lab, true), await mistakes(lab)]
    : [await one(lab, values.case)]
} finally {
  await lab.stop()
}
// A run that went wrong may have left something behind that tries again and again.
process.exit(results.every(Boolean) ? 0 : 1)
