/**
 * Benchmarks. `npm run bench` runs everything in a short mode, in less than five
 * minutes, and writes one report: a page to look at, and the data beside it.
 * `npm run bench -- --full` takes its time, measures in several processes, and
 * is what may be quoted.
 *
 * A word picks a part: `npm run bench -- memory`, `redis`, or `stampede` (of
 * which `virtual` or `wall` is a half). More words pick the tables whose title
 * has them: `npm run bench -- memory judging`. What needs a Redis server starts
 * one, or uses an empty database with `--redis URL`.
 *
 * No assertion is made on times, here or in a test: machines are too different.
 * How it is measured is said in `measure/harness.ts` and in `stampede/simulation.ts`.
 */
import { Effect } from "effect"
import { fork } from "node:child_process"
import { aimsOf } from "./measure/aims.ts"
import { fillingCapacity, fillingTable } from "./measure/filling.ts"
import {
  checksum,
  consumeElsewhere,
  type Effort,
  measure,
  type Measured,
  merge,
  type Table
} from "./measure/harness.ts"
import { hitTables, libraryTables } from "./measure/hits.ts"
import { invalidations } from "./measure/invalidating.ts"
import { judgingTables } from "./measure/judging.ts"
import { atOnce, formatTraffic, measureRedis, openServer, traffic } from "./measure/redis.ts"
import type { Traffic } from "./measure/redisTraffic.ts"
import { format, formatAims, formatMachine, machine, save } from "./measure/report.ts"
import { memory } from "./measure/subjects.ts"
import type { Result } from "./stampede/report.ts"
import { withSimulations } from "./stampede/run.ts"
import { formatResult, legend } from "./stampede/terminal.ts"
import { performAll, tasks } from "./stampede/virtual.ts"

const flags = process.argv.slice(2)
const full = flags.includes("--full")
const urlAt = flags.indexOf("--redis") + 1
const givenUrl = urlAt > 0 ? flags[urlAt] : undefined
const words = flags.filter((flag, i) => !flag.startsWith("--") && (i !== urlAt || urlAt === 0))

const parts = ["memory", "redis", "stampede"] as const
type Part = typeof parts[number]

const isPart = (word: string): word is Part => parts.some((part) => part === word)

/** Words that name no part are of titles in memory, unless a part is named. */
const chosen: ReadonlyArray<Part> = words.some(isPart) ? words.filter(isPart) : words.length > 0 ? ["memory"] : parts
const titleWords = words.filter((word) => !isPart(word))

const processes = (part: Part): number => full ? part === "redis" ? 5 : 7 : 1

// Long enough to go through a thousand keys several times, short enough to be disturbed seldom.
const effortInMemory: Effort = { rounds: 40, sampleMillis: full ? 2 : 1, warmUpMillis: full ? 60 : 25 }
// Dozens of turns of all that read at once, and some in which the server is disturbed.
const effortOnRedis: Effort = {
  rounds: full ? 20 : 10,
  sampleMillis: full ? 40 : 20,
  warmUpMillis: full ? 100 : 25,
  least: 5 * atOnce
}

const wanted = (title: string): boolean => titleWords.every((word) => title.includes(word))

const tellEvery = 15_000
let toldAt = performance.now()

/** How far it is: a line of the terminal that is written over, or one now and then where there is no terminal. */
const tell = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text.slice(0, 110)}`)
  else if (text !== "" && performance.now() > toldAt + tellEvery) {
    toldAt = performance.now()
    console.error(`... ${text}`)
  }
}

const progress = (title: string) => (done: number, of: number): void =>
  tell(done === of ? "" : `${title.slice(0, 70)}: round ${done} of ${of}`)

// -----------------------------------------------------------------------------
// tables of ratios
// -----------------------------------------------------------------------------

/** Measures everything in memory that is wanted, table after table. */
const measureMemory = Effect.fnUntraced(function*(each: (measured: Measured) => void) {
  const run = (tables: ReadonlyArray<Table>) =>
    Effect.promise(async () => {
      for (const table of tables) {
        if (wanted(table.title)) each(await measure(table, effortInMemory, progress(table.title)))
      }
    })
  const services = yield* memory()
  yield* run(yield* Effect.provideContext(hitTables(services, full), services))
  yield* run(yield* Effect.provideContext(libraryTables(services), services))
  yield* run(judgingTables())
  const small = yield* memory({ capacity: fillingCapacity })
  yield* run([yield* fillingTable(small)])
  if (wanted("invalidating a tag")) {
    const large = yield* memory({ capacity: 101_000 })
    yield* Effect.promise(() => invalidations(large, full, progress("invalidating a tag"), each))
  }
})

const here = (url: string | undefined, each: (measured: Measured) => void): Promise<void> =>
  Effect.runPromise(
    url === undefined
      ? Effect.scoped(measureMemory(each))
      : measureRedis({ url, full, effort: effortOnRedis, wanted, progress, each })
  )

interface Message {
  readonly results: ReadonlyArray<Measured>
  readonly sum: number
}

/** The same in a process of its own. */
const elsewhere = (url: string | undefined): Promise<ReadonlyArray<Measured>> =>
  new Promise((resolve, reject) => {
    const place = url === undefined ? [] : ["--redis", url]
    const child = fork(new URL(import.meta.url), [
      ...flags.filter((flag) => flag === "--full"),
      ...titleWords,
      ...place
    ], {
      serialization: "advanced"
    })
    child.once("message", (message) => {
      const { results, sum } = message as Message
      consumeElsewhere(sum)
      resolve(results)
    })
    child.once("exit", (code) => reject(new Error(`a measuring process ended with ${code}`)))
  })

const several = async (url: string | undefined, count: number): Promise<ReadonlyArray<Measured>> => {
  const all: Array<ReadonlyArray<Measured>> = []
  for (let i = 1; i <= count; i++) {
    tell(`process ${i} of ${count}`)
    all.push(await elsewhere(url))
  }
  tell("")
  return all[0]!.map((_, table) => merge(all.map((one) => one[table]!)))
}

const measureTables = async (part: "memory" | "redis", url: string | undefined): Promise<ReadonlyArray<Measured>> => {
  const { rounds, sampleMillis } = part === "redis" ? effortOnRedis : effortInMemory
  const count = processes(part)
  console.log(`\n== ${part}: ${count} x ${rounds} rounds of ${sampleMillis} ms for each contender`)
  const results: Array<Measured> = []
  const show = (measured: Measured): void => {
    results.push(measured)
    console.log(format(measured))
  }
  if (count === 1) await here(url, show)
  else for (const measured of await several(url, count)) show(measured)
  return results
}

// -----------------------------------------------------------------------------
// stampedes
// -----------------------------------------------------------------------------

const secondsSince = (start: number): string => ((performance.now() - start) / 1000).toFixed(0)

const stampedes = async (url: string | undefined): Promise<ReadonlyArray<Result>> => {
  const [virtual, wall] = ["virtual", "wall"].map((half) =>
    !titleWords.includes(half === "virtual" ? "wall" : "virtual")
  )
  const start = performance.now()
  const results: Array<Result> = []
  if (virtual === true) {
    const all = tasks(full)
    console.log(`\n== stampedes in virtual time: ${all.length} runs`)
    results.push(
      ...await performAll(
        all,
        (done, of, { scenario, strategy }) =>
          tell(done === of ? "" : `${done} of ${of} runs, ${secondsSince(start)} s; last: ${scenario}, ${strategy}`)
      )
    )
    for (const result of results) console.log(formatResult(result))
    const expiries = results.flatMap(({ outcomes }) => outcomes).reduce(
      (sum, { summary }) => sum + summary.perExpiry.expiries,
      0
    )
    console.log(`\n${expiries} expiries in ${secondsSince(start)} s`)
  }
  if (wall === true) {
    console.log("\n== stampedes on the wall clock: processes on one Redis, contenders in turn")
    // The others' libraries are loaded only where they are measured.
    const { performWall } = await import("./stampede/wall/run.ts")
    const onWall = await performWall({ full, progress: tell, ...(url === undefined ? {} : { url }) })
    tell("")
    const withTwins = onWall.map((result) => withSimulations(result, full ? 400 : 60))
    for (const result of withTwins) console.log(formatResult(result))
    results.push(...withTwins)
  }
  console.log(legend)
  return results
}

// -----------------------------------------------------------------------------
// all of it
// -----------------------------------------------------------------------------

const main = async (): Promise<void> => {
  const startedAt = new Date()
  const tables: Array<Measured> = []
  let counts: ReadonlyArray<Traffic> = []
  let results: ReadonlyArray<Result> = []
  console.log(formatMachine(machine()))
  if (chosen.includes("memory")) tables.push(...await measureTables("memory", undefined))
  if (chosen.includes("redis")) {
    const server = await openServer(givenUrl)
    console.log(`\nredis ${server.version}${givenUrl === undefined ? ", on this machine" : ""}`)
    try {
      tables.push(...await measureTables("redis", server.url))
      if (wanted("redis traffic")) {
        counts = await Effect.runPromise(Effect.scoped(traffic(server.url)))
        console.log(formatTraffic(counts))
      }
    } finally {
      await server.stop()
    }
  }
  if (tables.length > 0) console.log(formatAims(aimsOf(tables)))
  if (chosen.includes("stampede")) results = await stampedes(givenUrl)
  const files = await save({
    mode: `${chosen.length === parts.length ? "" : `${chosen.join("-")}-`}${full ? "full" : "quick"}`,
    command: ["npm run bench", ...(flags.length === 0 ? [] : ["--", ...words, ...(full ? ["--full"] : [])])].join(" "),
    startedAt,
    tables,
    traffic: counts,
    results
  })
  const took = ((Date.now() - startedAt.getTime()) / 1000).toFixed(0)
  console.log(`\n${took} s, checksum ${checksum()}, ${files}`)
}

const report = async (send: NonNullable<typeof process.send>): Promise<void> => {
  const results: Array<Measured> = []
  await here(givenUrl, (measured) => results.push(measured))
  const message: Message = { results, sum: checksum() }
  await new Promise((sent) => send(message, undefined, undefined, sent))
}

await (process.send === undefined ? main() : report(process.send.bind(process)))
// Some libraries keep timers.
process.exit()
