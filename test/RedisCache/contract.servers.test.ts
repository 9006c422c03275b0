/**
 * The laws of the port hold on real servers: one node, a cluster, the cluster's
 * steps on one node, and clients of another version that are lent.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import type * as CacheService from "../../src/CacheService.ts"
import * as Contract from "../../src/Contract.ts"
import {
  type Client,
  cluster,
  lentCluster5,
  lentNode5,
  oneNode,
  places,
  promise,
  serversGoOn,
  stepsApart,
  type Way
} from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

/** Loses by deleting at the server. */
const losing = (client: Client, prefix: string): Required<Contract.Instruments>["lose"] => {
  const at = places(prefix)
  const del = (...keys: ReadonlyArray<string>) => promise(() => Promise.all(keys.map((key) => client.del(key))))
  return {
    entry: (key) => del(at.entry(key)),
    lease: (key) => del(at.lease(key)),
    journal: () => del(at.journal, at.fences),
    markers: (key, names) => del(at.keyMarker(key), ...names.map(at.marker))
  }
}

const names = (laws: ReadonlyArray<Contract.Law<never>>): ReadonlyArray<string> => laws.map(({ name }) => name)

const unlessRandom = ({ name }: Contract.Law<never>): boolean => !/random/.test(name)

const clockNames = new Set(
  names(Contract.make({ instruments: { advance: () => Effect.void } })).filter((name) =>
    !names(Contract.laws).includes(name)
  )
)

// All ways run side by side on the cores that there are, so each takes as long as all of them: minutes on a busy machine.
const wholeContract = 600_000

const obeys = (way: Way, runs: number) => {
  const on = (check: (client: Client, prefix: string) => Effect.Effect<void, unknown, CacheService.CacheService>) =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* way.look
      yield* Effect.provide(check(client, prefix), way.layer({ prefix }))
    }) as Effect.Effect<void, unknown, Scope>

  describe.concurrent(way.name, () => {
    it.live("all laws that need no clock", () =>
      on((client, prefix) =>
        Effect.gen(function*() {
          const all = Contract.make({ instruments: { lose: losing(client, prefix) }, runs, prefix })
          // Losses of the random laws would reach the others.
          const apart = all.filter((law) => law.alone || !unlessRandom(law))
          const beside = all.filter((law) => !apart.includes(law))
          assert.isAbove(beside.length, 40)
          yield* Effect.forEach(beside, ({ check }) => check, { concurrency: 8, discard: true })
          assert.deepStrictEqual(yield* Contract.violations(apart), [])
        })
      ), wholeContract)

    it.live("the laws of time", () =>
      on((client, prefix) => {
        const all = Contract.make({ instruments: { advance: (millis) => serversGoOn(client, millis) }, prefix })
        const timed = all.filter(({ name }) => clockNames.has(name))
        assert.isAbove(timed.length, 2)
        return Effect.forEach(timed, ({ check }) => check, { concurrency: "unbounded", discard: true })
      }))
  })
}

obeys(oneNode, 4)
obeys(cluster, 2)
obeys(stepsApart, 2)
obeys(lentNode5, 1)
obeys(lentCluster5, 1)
