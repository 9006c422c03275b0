/**
 * The laboratory on the wall clock: what holds however slow the machine is. How
 * long anything takes is not looked at.
 */
import { Redis } from "ioredis"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { failed } from "../../bench/stampede/log.ts"
import type { Scenario } from "../../bench/stampede/scenario.ts"
import { summarize } from "../../bench/stampede/summary.ts"
import { type Crew, startCrew } from "../../bench/stampede/wall/crew.ts"
import { performWall } from "../../bench/stampede/wall/run.ts"
import { wallScenarioOf } from "../../bench/stampede/wall/scenarios.ts"
import { type Seen, take } from "../../bench/stampede/wall/turn.ts"
import { type Server, startServer } from "../support/redis.ts"

const two = (id: string): Scenario => ({ ...wallScenarioOf(id), processes: 2 })
const stretch = { from: 200, until: 1300 }

// Of its own: it is emptied.
let server: Server
let redis: Redis
let crew: Crew

const see = (contender: string, scenario: Scenario): Promise<Seen> =>
  take({ crew, redis, url: server.url, contender, scenario, stretch, seed: 5, timeLimit: 60_000 })

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

beforeAll(async () => {
  server = await startServer()
  redis = new Redis(server.url)
  crew = await startCrew(2)
})

afterAll(async () => {
  const pids = crew.workers.map(({ child }) => child.pid!)
  assert.isTrue(pids.every(isAlive))
  await crew.end()
  redis.disconnect()
  await server.stop()
  assert.isFalse(pids.some(isAlive))
})

describe("processes on one Redis", () => {
  it.each(["plain", "lease", "bentocache-tiers"])("%s: every request is answered with a load", async (id) => {
    const scenario = two("hot")
    const { asked, log, traffic } = await see(id, scenario)
    // The same in every run.
    assert.isAbove(log.requests, 200)
    // A value that no load gave would have thrown.
    assert.isTrue(log.given.every((load) => load >= 0))
    assert.strictEqual(log.loads.length, asked)
    assert.isAbove(traffic.bytesOut, 0)
    // One load may be all that there is, where it took long.
    if (id === "lease") assert.strictEqual(summarize(scenario, log, 0, stretch.until).mostAtOnce, 1)
    else assert.isAbove(asked, 1)
  })

  it.each(["lease", "advised"])("%s: what was invalidated is not served again", async (id) => {
    const scenario: Scenario = { ...two("invalidated"), changes: { every: 60, invalidates: true } }
    const { log } = await see(id, scenario)
    assert.isAbove(log.changes.length, 10)
    assert.isTrue(log.changes.every(({ at, known }) => at < known && known < Infinity))
    const { untrue } = summarize(scenario, log, 0, stretch.until)
    assert.deepStrictEqual(untrue, { share: 0, mean: 0, p99: 0, most: 0 })
  })

  it("a load that fails is one to whoever asked for it", async () => {
    const { log } = await see("plain", { ...two("failing"), origin: { _tag: "Failing", share: 1 } })
    assert.isAbove(log.loads.length, 0)
    assert.isTrue(log.loads.every((load) => load.failed))
    assert.isTrue(log.given.every((load) => load === failed))
  })
})

it("a database that is not empty is left as it is", async () => {
  await redis.flushdb()
  await redis.set("precious", "1")
  const refused = await performWall({ url: server.url, full: false, progress: () => {} }).then(() => "", String)
  assert.include(refused, "not empty")
  assert.strictEqual(await redis.get("precious"), "1")
})
