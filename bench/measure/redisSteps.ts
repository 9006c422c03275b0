/**
 * What invalidations cost on Redis: those of one step, and those of several,
 * which are a fence from the first step to the last.
 *
 * On one node nearly all are one script; in a cluster only that of a single key
 * is one step. All are compared with a round trip to the same server: `DEL` of a
 * key.
 */
import { Effect, Layer } from "effect"
import { Cluster, Redis } from "ioredis"
import { Cached, CacheService, Invalidation } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { startCluster } from "../../test/support/redis.ts"
import type { Contender, Table } from "./harness.ts"

const some = (count: number, what: string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${what}:${i}`)

const batches: Record<string, Invalidation.Invalidation> = {
  "a key": Invalidation.keys(some(1, "customer")),
  "10 keys": Invalidation.keys(some(10, "customer")),
  "500 keys": Invalidation.keys(some(500, "customer")),
  "a tag": Invalidation.tags(some(1, "tag")),
  "10 tags": Invalidation.tags(some(10, "tag")),
  "500 tags": Invalidation.tags(some(500, "tag")),
  "a pattern, in a keyspace that has few keys": Invalidation.pattern({ name: "nothing", parts: [undefined] })
}

const roundTrip = "raw DEL of a key"

const inTurn = (act: () => Promise<unknown>): Contender["run"] => async (n) => {
  for (let i = 0; i < n; i++) await act()
}

const tableOf = Effect.fnUntraced(function*(
  title: string,
  options: RedisCache.Options,
  client: Redis | Cluster
) {
  const services = yield* Effect.flatMap(
    Effect.scope,
    (scope) => Layer.buildWithScope(RedisCache.layer({ ...options, prefix: "steps" }), scope)
  )
  const run = Effect.runPromiseWith(services)
  const { store } = yield* Effect.provide(CacheService.CacheService, services)
  const contenders = Object.entries(batches).map(([name, batch]): Contender => ({
    name: `ours: ${name}${store.atomic(batch) ? " (one step)" : ""}`,
    run: inTurn(() => run(Cached.apply(batch)))
  }))
  const table: Table = {
    title,
    note:
      "Time of one invalidation, one after another. What is not one step is a fence from its first step to its last.",
    reference: roundTrip,
    contenders: [{ name: roundTrip, run: inTurn(() => client.del("raw")) }, ...contenders]
  }
  return table
})

const closing = <A extends Redis | Cluster>(open: () => A) =>
  Effect.acquireRelease(Effect.sync(open), (client) => Effect.sync(() => client.disconnect()))

export const stepsTitle = "redis invalidations, in one step and in several"

/** On one node, and on a cluster of six processes that is started for it. */
export const stepTables = (url: string, use: (table: Table) => Promise<void>) =>
  Effect.gen(function*() {
    const one = yield* closing(() => new Redis(url))
    const onNode = yield* tableOf(`${stepsTitle}: one node`, { url }, one)
    yield* Effect.promise(() => use(onNode))
    const { nodes } = yield* Effect.acquireRelease(
      Effect.promise(() => startCluster()),
      (cluster) => Effect.promise(() => cluster.stop())
    )
    const places = nodes.map(({ host, port }) => ({ host, port }))
    const all = yield* closing(() => new Cluster(places))
    const onCluster = yield* tableOf(`${stepsTitle}: a cluster`, { cluster: { nodes: places } }, all)
    yield* Effect.promise(() => use(onCluster))
  })
