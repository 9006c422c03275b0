/**
 * One contender in one scenario: all processes together, and what they saw as
 * one log.
 */
import type { Redis } from "ioredis"
import { Log } from "../log.ts"
import type { Traffic } from "../report.ts"
import type { Scenario } from "../scenario.ts"
import { contenderOf } from "./contenders.ts"
import type { Crew } from "./crew.ts"
import { clock, type Observed, type Part, sleep } from "./messages.ts"
import { Origin } from "./origin.ts"
import type { Stretch } from "./scenarios.ts"

/** All that was seen, in the order in which it happened. */
export const logOf = (all: ReadonlyArray<Observed>): Log => {
  const log = new Log()
  const indices = new Map<number, number>()
  const loads = all.flatMap(({ loads, process }) => loads.map((load) => ({ ...load, process })))
  for (const { end, good, key, name, process, start, stored } of loads.sort((a, b) => a.start - b.start)) {
    indices.set(name, log.loads.push({ key, process, start, end, stored, failed: !good }) - 1)
  }
  const changes = all.flatMap(({ changes }) => changes).sort((a, b) => a.at - b.at)
  log.changes.push(...changes)
  for (const { ats, ends, given, keys } of all) {
    for (let i = 0; i < ats.length; i++) {
      const name = given[i]!
      const load = name < 0 ? name : indices.get(name)
      if (load === undefined) throw new Error(`a request was given ${name}, which nobody loaded`)
      log.answered(keys[i]!, ats[i]!, ends[i]!, load)
    }
  }
  return log
}

// -----------------------------------------------------------------------------
// traffic
// -----------------------------------------------------------------------------

/** What the server counted, ever. Commands that a script runs count, too. */
const counted = async (redis: Redis): Promise<Traffic> => {
  const text = await redis.info("stats")
  const read = (field: string): number => Number(new RegExp(`${field}:(\\d+)`).exec(text)![1])
  return {
    commands: read("total_commands_processed"),
    bytesIn: read("total_net_input_bytes"),
    bytesOut: read("total_net_output_bytes")
  }
}

const each = (f: (field: keyof Traffic) => number): Traffic => ({
  commands: f("commands"),
  bytesIn: f("bytesIn"),
  bytesOut: f("bytesOut")
})

/** What happened between two looks, without what the first of them costs. */
const between = async (redis: Redis, wait: () => Promise<void>): Promise<Traffic> => {
  const first = await counted(redis)
  const before = await counted(redis)
  await wait()
  const after = await counted(redis)
  return each((field) => after[field] - before[field] - (before[field] - first[field]))
}

// -----------------------------------------------------------------------------

export interface Turn {
  readonly crew: Crew
  /** A connection to look with; its database is emptied. */
  readonly redis: Redis
  readonly url: string
  readonly contender: string
  readonly scenario: Scenario
  readonly stretch: Stretch
  readonly seed: number
  /** How long ours waits for the server; a second, as the layer does. */
  readonly timeLimit?: number
}

export interface Seen {
  readonly log: Log
  /** For each request of the stretch. Commands are those that were sent, without what scripts run at the server. */
  readonly traffic: Traffic
  /** How many loads the origin was asked for. */
  readonly asked: number
}

// So that what all are told has come to all.
const headStart = 50

export const take = async (turn: Turn): Promise<Seen> => {
  const { contender, crew, redis, scenario, seed, stretch, timeLimit = 1000, url } = turn
  const { from, until } = stretch
  const workers = crew.workers.slice(0, scenario.processes)
  if (workers.length < scenario.processes) throw new Error(`${scenario.processes} processes are too many`)
  await redis.flushdb()
  const origin = new Origin(scenario, seed)
  await Promise.all(workers.map((worker, process) => {
    worker.origin = origin
    const part: Part = { contender, scenario, process, url, prefix: `${contender}:`, seed, timeLimit }
    return worker.ask({ _tag: "Prepare", part })
  }))
  const at = clock() + headStart
  const [observed, total] = await Promise.all([
    Promise.all(workers.map(async (worker) => {
      const answer = await worker.ask({ _tag: "Go", at, stretch })
      if (answer._tag !== "Done") throw new Error(`a process said ${answer._tag}`)
      return answer.observed
    })),
    sleep(headStart + from).then(() => between(redis, () => sleep(at + until - clock())))
  ])
  await Promise.all(workers.map((worker) => worker.ask({ _tag: "Close" })))
  const log = logOf(observed)
  const requests = Math.max(1, log.ats.filter((at) => at >= from).length)
  const sent = observed.reduce((sum, { commands }) => sum + commands, 0)
  const all = contenderOf(contender).scripted === true ? { ...total, commands: sent } : total
  return {
    log,
    traffic: each((field) => Number((all[field] / requests).toPrecision(4))),
    asked: origin.asked
  }
}
