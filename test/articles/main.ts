/**
 * Runs of the site in which everything is drawn from a seed; one that finds a wrong answer prints what was written until
 * then, and ends this with code 1.
 *
 *     node test/articles/main.ts --seed 1 --steps 500
 *     node test/articles/main.ts --seed 1 --rounds 20                  one seed after another
 *     node test/articles/main.ts --on redis                            two processes, on a Redis that it starts
 *     node test/articles/main.ts --url postgres://user@host:port/name  on a server, in an empty database
 *
 * With one seed the writes and the reads that go by turns are the same each time. Those that go at once are drawn the same,
 * and come in another order.
 */
import { Effect, Layer, Redacted } from "effect"
import { parseArgs } from "node:util"
import * as Database from "../../examples/articles/Database.ts"
import { MemoryCache } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { startServer } from "../support/redis.ts"
import { withOutbox } from "./asking.ts"
import { atOnce, type InTurn, inTurn, type Outcome, type Report, start } from "./play.ts"
import { printOutcome, printReport, share } from "./print.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    steps: { type: "string", default: "200" },
    rounds: { type: "string", default: "1" },
    on: { type: "string", default: "memory" },
    url: { type: "string" }
  }
})

const [seed, steps, rounds] = [values.seed, values.steps, values.rounds].map(Number) as [number, number, number]
if (values.on !== "memory" && values.on !== "redis") {
  throw new Error(`there is no "${values.on}"; there are memory, redis`)
}

const database = values.url === undefined ? Database.embedded : Database.server(Redacted.make(values.url))

const redis = values.on === "redis" ? await startServer() : undefined

const stores = () => {
  const prefix = crypto.randomUUID()
  return redis === undefined
    ? [MemoryCache.makeStore({ capacity: 10_000 })]
    : [RedisCache.makeStore({ url: redis.url, prefix }), RedisCache.makeStore({ url: redis.url, prefix })]
}

const byTurns = (seed: number, invalidates: InTurn["invalidates"]) =>
  Effect.scoped(
    Effect.flatMap(start(stores(), seed), (processes) => inTurn(processes, { seed, steps, invalidates }))
  )

const together = (seed: number) =>
  Effect.scoped(
    Effect.flatMap(start(stores(), seed), (processes) =>
      atOnce(processes, { seed, writes: Math.ceil(steps / 4), writers: 2, readers: 3, questions: 25 }))
  )

/** What waits for itself would never end. */
const inTime = Effect.timeout(`${30 + steps} seconds`)

const failed = ({ wrong }: Report, { left, violations }: Outcome): boolean =>
  wrong.length + left.length + violations.length > 0

let current = seed

const program = Effect.gen(function*() {
  for (let round = 0; round < rounds; round++) {
    const mine = seed + round
    current = mine
    const report = yield* inTime(byTurns(mine, "what changed"))
    console.log(`seed ${mine}, by turns: ${printReport(report)}`)
    const naive = yield* inTime(byTurns(mine, "everything"))
    console.log(`  the same, and everything is invalidated by each write: ${share(naive)}`)
    const outcome = yield* inTime(together(mine))
    console.log(`  at once: ${printOutcome(outcome)}`)
    if (failed(report, outcome)) {
      process.exitCode = 1
      return
    }
  }
})

try {
  await Effect.runPromise(Effect.provide(program, withOutbox(database).pipe(Layer.orDie)))
} catch (error) {
  console.error(`seed ${current} failed:`, error)
  process.exitCode = 1
} finally {
  await redis?.stop()
}
