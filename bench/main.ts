/**
 * Benchmarks in memory. `npm run bench` takes less than half a minute
 * (`--quick`, the default) and shows the picture; `npm run bench -- --full`
 * takes some minutes, measures in several processes, and may be quoted. A word
 * picks the tables whose title has it: `npm run bench -- judging`.
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
import { format, formatAims, formatMachine, machine, save } from "./report.ts"
import { memory } from "./subjects.ts"

const flags = process.argv.slice(2)
const full = flags.includes("--full")
const words = flags.filter((flag) => !flag.startsWith("--"))
const processes = full ? 7 : 1
// Long enough to go through a thousand keys several times, short enough to be disturbed seldom.
const effort: Effort = { rounds: 40, sampleMillis: full ? 2 : 1, warmUpMillis: full ? 60 : 25 }

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

const here = (each: (measured: Measured) => void): Promise<void> => Effect.runPromise(Effect.scoped(measureAll(each)))

interface Message {
  readonly results: ReadonlyArray<Measured>
  readonly sum: number
}

/** The same in a process of its own. */
const elsewhere = (): Promise<ReadonlyArray<Measured>> =>
  new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url), flags, { serialization: "advanced" })
    child.once("message", (message) => {
      const { results, sum } = message as Message
      consumeElsewhere(sum)
      resolve(results)
    })
    child.once("exit", (code) => reject(new Error(`a measuring process ended with ${code}`)))
  })

const several = async (): Promise<ReadonlyArray<Measured>> => {
  const all: Array<ReadonlyArray<Measured>> = []
  for (let i = 1; i <= processes; i++) {
    console.log(`process ${i} of ${processes}`)
    all.push(await elsewhere())
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
  console.log(formatMachine(machine()))
  console.log(
    `${full ? "full" : "quick"}: ${processes} x ${effort.rounds} rounds of ${effort.sampleMillis} ms for each contender`
  )
  if (processes === 1) await here(show)
  else for (const measured of await several()) show(measured)
  console.log(formatAims(aimsOf(results)))
  const took = ((Date.now() - startedAt.getTime()) / 1000).toFixed(0)
  console.log(`\n${took} s, checksum ${checksum()}, raw data in ${save(full ? "full" : "quick", startedAt, results)}`)
}

const report = async (send: NonNullable<typeof process.send>): Promise<void> => {
  const results: Array<Measured> = []
  await here((measured) => results.push(measured))
  const message: Message = { results, sum: checksum() }
  await new Promise((sent) => send(message, undefined, undefined, sent))
}

await (process.send === undefined ? main() : report(process.send.bind(process)))
// Some libraries keep timers.
process.exit()
