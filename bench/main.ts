/**
 * Benchmarks. `npm run bench` takes less than half a minute (`--quick`, the
 * default) and shows the picture in memory; `npm run bench -- --full` takes
 * some minutes, measures in several processes, and may be quoted. A word picks
 * the tables whose title has it: `npm run bench -- judging`.
 *
 * `npm run bench -- redis` measures on a Redis server that it starts, or on an
 * empty database with `--redis URL`.
 *
 * No assertion is made on times, here or in a test: machines are too different.
 * How it is measured is said in `harness.ts`.
 */
import { Effect } from "effect"
import { fork } from "node:child_process"
import { aimsOf } from "./aims.ts"
import { fillingCapacity, fillingTable } from "./filling.ts"
import { checksum, consumeElsewhere, type Effort, measure, type Measured, merge, type Table } from "./harness.ts"
import { hitTables, libraryTables } from "./hits.ts"
import { invalidations } from "./invalidating.ts"
import { judgingTables } from "./judging.ts"
import { atOnce, formatTraffic, measureRedis, openServer, traffic } from "./redis.ts"
import { format, formatAims, formatMachine, machine, save } from "./report.ts"
import { memory } from "./subjects.ts"

const flags = process.argv.slice(2)
const full = flags.includes("--full")
const urlAt = flags.indexOf("--redis") + 1
const givenUrl = urlAt > 0 ? flags[urlAt] : undefined
const words = flags.filter((flag, i) => !flag.startsWith("--") && (i !== urlAt || urlAt === 0))
const onRedis = words.includes("redis")
const processes = full ? onRedis ? 5 : 7 : 1
// Long enough to go through a thousand keys several times, short enough to be disturbed seldom.
const effortInMemory: Effort = { rounds: 40, sampleMillis: full ? 2 : 1, warmUpMillis: full ? 60 : 25 }
// Dozens of turns of all that read at once, and some in which the server is disturbed.
const effortOnRedis: Effort = {
  rounds: full ? 20 : 10,
  sampleMillis: full ? 40 : 20,
  warmUpMillis: full ? 100 : 25,
  least: 5 * atOnce
}
const effort = onRedis ? effortOnRedis : effortInMemory

const wanted = (title: string): boolean => words.every((word) => title.includes(word))

const progress = (title: string) => (done: number, of: number): void => {
  if (!process.stderr.isTTY) return
  process.stderr.write(done === of ? "\r\u001b[K" : `\r${title.slice(0, 70)}: round ${done} of ${of}`)
}

/** Measures everything that is wanted, table after table. */
const measureAll = Effect.fnUntraced(function*(each: (measured: Measured) => void) {
  const run = (tables: ReadonlyArray<Table>) =>
    Effect.promise(async () => {
      for (const table of tables) {
        if (wanted(table.title)) each(await measure(table, effort, progress(table.title)))
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
      ? Effect.scoped(measureAll(each))
      : measureRedis({ url, full, effort, wanted, progress, each })
  )

interface Message {
  readonly results: ReadonlyArray<Measured>
  readonly sum: number
}

/** The same in a process of its own. */
const elsewhere = (url: string | undefined): Promise<ReadonlyArray<Measured>> =>
  new Promise((resolve, reject) => {
    const place = url === undefined ? [] : ["--redis", url]
    const child = fork(new URL(import.meta.url), [...flags.filter((flag) => flag === "--full"), ...words, ...place], {
      serialization: "advanced"
    })
    child.once("message", (message) => {
      const { results, sum } = message as Message
      consumeElsewhere(sum)
      resolve(results)
    })
    child.once("exit", (code) => reject(new Error(`a measuring process ended with ${code}`)))
  })

const several = async (url: string | undefined): Promise<ReadonlyArray<Measured>> => {
  const all: Array<ReadonlyArray<Measured>> = []
  for (let i = 1; i <= processes; i++) {
    console.log(`process ${i} of ${processes}`)
    all.push(await elsewhere(url))
  }
  return all[0]!.map((_, table) => merge(all.map((one) => one[table]!)))
}

const main = async (): Promise<void> => {
  const startedAt = new Date()
  const results: Array<Measured> = []
  const show = (measured: Measured): void => {
    results.push(measured)
    console.log(format(measured))
  }
  const server = onRedis ? await openServer(givenUrl) : undefined
  console.log(formatMachine(machine()))
  if (server !== undefined) console.log(`redis ${server.version}${givenUrl === undefined ? ", on this machine" : ""}`)
  console.log(
    `${full ? "full" : "quick"}: ${processes} x ${effort.rounds} rounds of ${effort.sampleMillis} ms for each contender`
  )
  if (processes === 1) await here(server?.url, show)
  else for (const measured of await several(server?.url)) show(measured)
  const counts = server !== undefined && wanted("redis traffic")
    ? await Effect.runPromise(Effect.scoped(traffic(server.url)))
    : []
  if (counts.length > 0) console.log(formatTraffic(counts))
  console.log(formatAims(aimsOf(results)))
  await server?.stop()
  const took = ((Date.now() - startedAt.getTime()) / 1000).toFixed(0)
  const mode = `${onRedis ? "redis-" : ""}${full ? "full" : "quick"}`
  const more = server === undefined ? {} : { redis: server.version, traffic: counts }
  console.log(`\n${took} s, checksum ${checksum()}, raw data in ${save(mode, startedAt, results, more)}`)
}

const report = async (send: NonNullable<typeof process.send>): Promise<void> => {
  const results: Array<Measured> = []
  await here(onRedis ? givenUrl : undefined, (measured) => results.push(measured))
  const message: Message = { results, sum: checksum() }
  await new Promise((sent) => send(message, undefined, undefined, sent))
}

await (process.send === undefined ? main() : report(process.send.bind(process)))
// Some libraries keep timers.
process.exit()
