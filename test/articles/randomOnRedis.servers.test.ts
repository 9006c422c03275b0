/**
 * The site in two processes that share a Redis, under writes and reads that are drawn from a seed.
 *
 * A run that finds something is seen again by `node test/articles/main.ts --seed N --on redis`.
 */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Database from "../../examples/articles/Database.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { clusterNodes, freshPrefix, nodeUrl } from "../support/sharedRedis.ts"
import { withOutbox } from "./asking.ts"
import { atOnce, inTurn, start } from "./play.ts"
import { printOutcome, printReport } from "./print.ts"

const ways = {
  "one node": (prefix: string) => RedisCache.makeStore({ url: nodeUrl(), prefix }),
  "a cluster": (prefix: string) => RedisCache.makeStore({ cluster: { nodes: clusterNodes() }, prefix })
}

const two = (way: keyof typeof ways, seed: number) => {
  const prefix = freshPrefix()
  return start([ways[way](prefix), ways[way](prefix)], seed)
}

layer(withOutbox(Database.embedded), { excludeTestServices: true })("a site in two processes", (it) => {
  it.effect("answers in both as the database does", () =>
    Effect.gen(function*() {
      const report = yield* inTurn(yield* two("one node", 5), { seed: 5, steps: 40, invalidates: "what changed" })
      assert.deepStrictEqual(report.wrong, [], printReport(report))
      assert.isAbove(report.reloads - report.needless, 30)
      assert.isAbove(report.deaths, 0)
    }))

  for (const [n, way] of (["one node", "a cluster"] as const).entries()) {
    it.effect(`never answers with what was before a write that has returned, on ${way}`, () =>
      Effect.gen(function*() {
        const seed = 6 + n
        const outcome = yield* atOnce(yield* two(way, seed), {
          seed,
          writes: 12,
          writers: 2,
          readers: 4,
          questions: 25
        })
        assert.deepStrictEqual([...outcome.violations, ...outcome.left], [], printOutcome(outcome))
        assert.isAbove(outcome.contested, 0)
      }))
  }
})
