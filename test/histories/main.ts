/**
 * Runs one history and prints what the checker says of it:
 *
 *     node test/histories/main.ts --seed 7 --seconds 5
 *     node test/histories/main.ts --cluster --faults evict,pause
 *     node test/histories/main.ts --naive                      to see the checker find something
 *     node test/histories/main.ts --rounds 20 --seed 100       one seed after another, until one is broken
 *     node test/histories/main.ts --scenario death             the server is killed and started again
 *     node test/histories/main.ts --scenario failover --lag 400 --replicas
 *
 * `--faults` names some of evict, pause, drop, flush, stall, skew, step, crash, or
 * `none`; a seed chooses some of them unless they are given. `--save FILE` keeps
 * the history as JSON lines.
 */
import * as fs from "node:fs"
import { parseArgs } from "node:util"
import { type Cluster, type Server, startCluster, startServer } from "../support/redis.ts"
import { print } from "./check.ts"
import type { CacheKind } from "./messages.ts"
import { Crew, type FaultKind, faultKinds, type Outcome, runHistory } from "./run.ts"
import { death, failover } from "./scenarios.ts"
import { dice } from "./workload.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "1" },
    cluster: { type: "boolean", default: false },
    naive: { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
    replicas: { type: "boolean", default: false },
    scenario: { type: "string" },
    lag: { type: "string", default: "0" },
    faults: { type: "string" },
    save: { type: "string" }
  }
})

/** A random subset for each seed, of at least one. */
const chosen = (seed: number): ReadonlyArray<FaultKind> => {
  const at = dice(seed)
  const some = faultKinds.filter(() => at.happens(0.5))
  return some.length > 0 ? some : [at.pick(faultKinds)]
}

const faultsOf = (seed: number): ReadonlyArray<FaultKind> => {
  if (values.faults === undefined) return chosen(seed)
  if (values.faults === "none") return []
  if (values.faults === "all") return faultKinds
  return values.faults.split(",").map((name) => {
    const kind = faultKinds.find((one) => one === name)
    if (kind === undefined) throw new Error(`there is no fault "${name}"; there are ${faultKinds.join(", ")}`)
    return kind
  })
}

interface Place {
  readonly servers: ReadonlyArray<Server>
  readonly cache: CacheKind
  readonly cluster?: Cluster
  readonly stop: () => Promise<void>
}

const start = async (): Promise<Place> => {
  if (values.memory) return { servers: [], cache: { _tag: "memory" }, stop: async () => undefined }
  if (values.cluster || values.scenario === "failover") {
    const cluster = await startCluster()
    const nodes = cluster.nodes.map(({ host, port }) => ({ host, port }))
    return { servers: await cluster.primaries(), cache: { _tag: "cluster", nodes }, cluster, stop: cluster.stop }
  }
  const server = await startServer()
  const { url } = server
  return { servers: [server], cache: { _tag: values.naive ? "naive" : "node", url }, stop: server.stop }
}

const play = async (crew: Crew, place: Place, seed: number, faults: ReadonlyArray<FaultKind>): Promise<Outcome> => {
  const { cache, cluster, servers } = place
  const seconds = Number(values.seconds)
  const options = {
    seed,
    seconds,
    cache,
    servers,
    faults,
    acknowledge: values.replicas ? "replicas" : "primary"
  } as const
  switch (values.scenario) {
    case undefined:
      return runHistory(crew, options)
    case "death":
      return death(crew, servers[0]!, options)
    case "failover": {
      const outcome = await failover(crew, cluster!, options, Number(values.lag))
      console.log(`${outcome.verdict.violations.length} violations in all; besides what a failover may lose:`)
      // No invalidation that replicas acknowledged may be lost.
      const violations = outcome.verdict.violations.filter(({ rule }) => rule !== "G2" && rule !== "G6")
      return { ...outcome, verdict: values.replicas ? { ...outcome.verdict, violations } : outcome.besides }
    }
    default:
      throw new Error(`there is no scenario "${values.scenario}"; there are death and failover`)
  }
}

const crew = new Crew()
const place = await start()
try {
  for (let round = 0; round < Number(values.rounds); round++) {
    const seed = Number(values.seed) + round
    const faults = faultsOf(seed)
    console.log(`seed ${seed}, ${place.cache._tag}, faults: ${faults.join(",") || "none"}`)
    const { history, troubles, verdict } = await play(crew, place, seed, faults)
    console.log(print(verdict))
    for (const trouble of troubles) console.log(`TROUBLE ${trouble}`)
    if (values.save !== undefined) {
      fs.writeFileSync(values.save, history.facts.map((fact) => `${JSON.stringify(fact)}\n`).join(""))
    }
    if (verdict.violations.length > 0 || troubles.length > 0) {
      process.exitCode = 1
      break
    }
  }
} finally {
  await crew.end()
  await place.stop()
}
