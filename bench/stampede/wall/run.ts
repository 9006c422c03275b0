/**
 * All contenders on the wall clock, in turn, in one run, on one Redis.
 */
import { Redis } from "ioredis"
import { openServer } from "../../measure/redis.ts"
import type { Outcome, Result } from "../report.ts"
import { seed } from "../run.ts"
import type { Scenario } from "../scenario.ts"
import { strategiesFor } from "../strategies.ts"
import { summarize } from "../summary.ts"
import { contenderOf } from "./contenders.ts"
import { type Crew, startCrew } from "./crew.ts"
import { libraries } from "./libraries.ts"
import { stretchOf, wallScenarioOf } from "./scenarios.ts"
import { take } from "./turn.ts"

export interface Options {
  /** Of an empty database, which is emptied again; a server is started unless it is given. */
  readonly url?: string
  /** Ten minutes instead of one. */
  readonly full: boolean
  readonly progress: (text: string) => void
}

interface Plan {
  readonly scenario: Scenario
  readonly contenders: ReadonlyArray<string>
  readonly cycles: number
}

const others = libraries.map(({ id }) => id)
const few = ["plain", "single-flight", "lease", "swr", "xfetch", "advised", ...others]

const all = (scenario: Scenario): ReadonlyArray<string> => [...strategiesFor(scenario).map(({ id }) => id), ...others]

const plans = (full: boolean): ReadonlyArray<Plan> => {
  const plan = (id: string, cycles: number, some: ReadonlyArray<string> | typeof all): Plan => {
    const scenario = wallScenarioOf(id)
    return { scenario, cycles, contenders: typeof some === "function" ? some(scenario) : some }
  }
  return full
    ? [
      plan("hot", 8, all),
      plan("invalidated", 18, all),
      plan("failing", 5, few),
      plan("limited", 5, few),
      plan("heavy-tail", 5, few)
    ]
    : [
      plan(
        "hot",
        2,
        ["plain", "django", "xfetch-published", "single-flight", "lease", "swr", "xfetch", "advised"].concat(others)
      ),
      plan("invalidated", 4, ["plain", "single-flight", "lease", "advised", "soft", ...others])
    ]
}

/** A load is where others find it only some time after it has ended: a message or two. */
const settling = ({ load }: Scenario): number => load / 8

const perform = async (
  crew: Crew,
  redis: Redis,
  url: string,
  { cycles, scenario }: Plan,
  id: string
): Promise<Outcome> => {
  const { about, policy, title } = contenderOf(id)
  const stretch = stretchOf(scenario, cycles)
  const { log, traffic } = await take({ crew, redis, url, contender: id, scenario, stretch, seed })
  return {
    id,
    title,
    about,
    policy: policy?.(scenario),
    summary: summarize(scenario, log, stretch.from, stretch.until, settling(scenario)),
    traffic
  }
}

/** Nothing that it started is left, however it ends. */
export const performWall = async ({ full, progress, url: given }: Options): Promise<ReadonlyArray<Result>> => {
  const server = await openServer(given)
  const redis = new Redis(server.url)
  let crew: Crew | undefined
  try {
    const todo = plans(full)
    crew = await startCrew(Math.max(...todo.map(({ scenario }) => scenario.processes)))
    const results: Array<Result> = []
    const of = todo.reduce((sum, { contenders }) => sum + contenders.length, 0)
    let done = 0
    for (const plan of todo) {
      const outcomes: Array<Outcome> = []
      for (const id of plan.contenders) {
        progress(`${++done} of ${of}: ${plan.scenario.id}, ${id}`)
        outcomes.push(await perform(crew, redis, server.url, plan, id))
      }
      results.push({ world: "wall", scenario: plan.scenario, outcomes })
    }
    return results
  } finally {
    await crew?.end()
    redis.disconnect()
    await server.stop()
  }
}
