/**
 * One node and one cluster for the whole run, if a file of the run asks for
 * them: `test/support/sharedRedis.ts` is how tests get at them.
 */
import type { TestProject } from "vitest/node"
import { startCluster, startServer } from "../support/redis.ts"
import { NoServer, serverBinary } from "../support/redisBinary.ts"
import type { SharedRedis } from "../support/sharedRedis.ts"
import { reaches } from "./imports.ts"

/** A machine without a server ends the run with one line that says what to do: tests that were skipped look like tests that passed. */
const requireServer = (): void => {
  try {
    serverBinary()
  } catch (error) {
    if (!(error instanceof NoServer)) throw error
    console.error(error.message)
    process.exit(1)
  }
}

export default async ({ config, provide, vitest }: TestProject): Promise<() => Promise<void>> => {
  if (!config.watch && !vitest.state.getPaths().some((file) => reaches(file, "support/sharedRedis"))) {
    provide("redis", undefined)
    return async () => undefined
  }
  requireServer()
  // Nobody fails a node of these, and on a busy machine none is to be taken for dead.
  const [node, cluster] = await Promise.all([startServer(), startCluster({ nodeTimeout: 15_000 })])
  const redis: SharedRedis = { node: node.url, cluster: cluster.urls }
  provide("redis", redis)
  return async () => {
    await Promise.all([node.stop(), cluster.stop()])
  }
}
