/**
 * One node and one cluster for the whole run, if a file of the run asks for
 * them: `test/support/sharedRedis.ts` is how tests get at them.
 */
import type { TestProject } from "vitest/node"
import { startCluster, startServer } from "../support/redis.ts"
import { serverBinary } from "../support/redisBinary.ts"
import type { SharedRedis } from "../support/sharedRedis.ts"
import { demand, isNeeded } from "./servers.ts"

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const { provide } = project
  if (!isNeeded(project, "test/support/sharedRedis.ts")) {
    provide("redis", undefined)
    return async () => undefined
  }
  demand(serverBinary)
  // Nobody fails a node of these, and on a busy machine none is to be taken for dead.
  const [node, cluster] = await Promise.all([startServer(), startCluster()])
  const redis: SharedRedis = { node: node.url, cluster: cluster.urls }
  provide("redis", redis)
  return async () => {
    await Promise.all([node.stop(), cluster.stop()])
  }
}
