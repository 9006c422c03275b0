/**
 * The node and the cluster that all test files share, each under prefixes of
 * its own. They are not to be stopped, frozen, configured or flushed: a test
 * that wants to do so starts its own, with `redis.ts`.
 *
 * They are started for a run in which a test file imports this, itself or through
 * others.
 */
import { randomUUID } from "node:crypto"
import { inject } from "vitest"

/** The addresses, as `redis://` URLs. */
export interface SharedRedis {
  readonly node: string
  readonly cluster: ReadonlyArray<string>
}

declare module "vitest" {
  interface ProvidedContext {
    /** Undefined if no test file of the run needs it. */
    readonly redis: SharedRedis | undefined
  }
}

const shared = (): SharedRedis => {
  const redis = inject("redis")
  if (redis === undefined) throw new Error("no test file of this run imports test/support/sharedRedis.ts")
  return redis
}

/** The node, as a `redis://` URL. */
export const nodeUrl = (): string => shared().node

/** All nodes of the cluster, three primaries and their replicas, as `redis://` URLs. */
export const clusterUrls = (): ReadonlyArray<string> => shared().cluster

/** The same as ioredis takes them. */
export const clusterNodes = (): Array<{ host: string; port: number }> =>
  clusterUrls().map((url) => {
    const { hostname, port } = new URL(url)
    return { host: hostname, port: Number(port) }
  })

/** A prefix that nobody else has. */
export const freshPrefix = (): string => `test-${randomUUID()}`
