/**
 * Several processes on one real Redis, versions in their values, and a checker
 * that decides from what they wrote down whether the promises were kept.
 *
 * A run that is broken is replayed by `node test/histories/main.ts --seed N ...`.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Cluster, type Server, startCluster, startServer } from "../support/redis.ts"
import { print, type Verdict } from "./check.ts"
import type { CacheKind } from "./messages.ts"
import { Crew, faultKinds, type Options, type Outcome, runHistory, withStorms } from "./run.ts"
import { type Absence, death, failover, hitsSince, readsBetween } from "./scenarios.ts"

const crew = new Crew()
let node: Server
let cluster: Cluster

beforeAll(async () => {
  ;[node, cluster] = await Promise.all([startServer(), startCluster()])
})

afterAll(async () => {
  await crew.end()
  await Promise.all([node?.stop(), cluster?.stop()])
})

const onNode = (server: Server = node) => ({
  servers: [server],
  cache: { _tag: "node", url: server.url } satisfies CacheKind as CacheKind
})

const onCluster = async () => ({
  servers: await cluster.primaries(),
  cache: {
    _tag: "cluster",
    nodes: cluster.nodes.map(({ host, port }) => ({ host, port }))
  } satisfies CacheKind as CacheKind
})

const run = (options: Partial<Options> & Pick<Options, "cache" | "servers">): Promise<Outcome> =>
  runHistory(crew, { seed: 1, seconds: 4, commits: 100, faults: [], ...options })

const acquits = ({ troubles, verdict }: Pick<Outcome, "troubles" | "verdict">): void => {
  assert.deepStrictEqual(troubles, [])
  assert.isEmpty(verdict.violations, print(verdict))
}

/** An acquittal of a history in which nothing happened would mean nothing. */
const sawEnough = ({ seen }: Verdict): void => {
  for (const what of ["reads hit", "reads waited", "reads stale", "invalidations", "mutations", "writes through"]) {
    assert.isAbove(seen[what] ?? 0, 0, what)
  }
  assert.isAbove(seen["reads"]!, 100)
}

describe("nothing is promised and not kept", () => {
  it("on one node", async () => {
    const outcome = await run({ ...onNode(), seconds: 3 })
    acquits(outcome)
    sawEnough(outcome.verdict)
  })

  it("on one node, with every fault", async () => {
    const outcome = await run({ ...onNode(), faults: faultKinds })
    acquits(outcome)
    for (const kind of ["evict", "pause", "drop", "flush", "stall", "crash"]) {
      assert.isAbove(outcome.verdict.seen[`fault ${kind}`] ?? 0, 0, kind)
    }
  })

  it("on a cluster", async () => {
    const outcome = await run({ ...await onCluster(), seconds: 3, seed: 2 })
    acquits(outcome)
    sawEnough(outcome.verdict)
  })

  it("on a cluster, with every fault", async () => {
    acquits(await run({ ...await onCluster(), faults: faultKinds, seed: 3 }))
  })
})

/** What a cache is guilty of: rules, and of what was returned after an invalidation also the definition. */
const guiltOf = ({ violations }: Verdict): ReadonlyArray<string> =>
  violations.map(({ key, rule }) => rule === "G1" ? `${rule} ${key.split(":")[0]}` : rule)

// Which races a history has is chance, so there is one after another until each kind has been lost.
it("a naive cache is found guilty, by key and by tag", async () => {
  const crimes = [
    "G1 plain", // invalidated by key
    "G1 known", // by a tag that the key tells
    "G1 found", // by a tag that is found in the value
    "G5", // its processes load at once
    "G7" // it has no fences
  ]
  const found = new Set<string>()
  const unseen = () => crimes.filter((crime) => !found.has(crime))
  for (let seed = 1; seed <= 20 && unseen().length > 0; seed++) {
    const { verdict } = await run({ cache: { _tag: "naive", url: node.url }, servers: [], seconds: 1, seed })
    for (const crime of guiltOf(verdict)) found.add(crime)
  }
  assert.deepStrictEqual(unseen(), [])
})

// -----------------------------------------------------------------------------
// servers that die
// -----------------------------------------------------------------------------

/** Reads went on while a server was away; and the cache was one again when it was back. */
const wentOn = ({ from, history, to }: Absence): void => {
  assert.isAbove(readsBetween(history.facts, from, to), 20, "reads while it was away")
  assert.isAbove(hitsSince(history.facts, to), 0, "hits after it was back")
}

describe("the server is killed and started again while loads and invalidations run", () => {
  it("and comes back with nothing", async () => {
    const outcome = await death(crew, node, { ...onNode(), seed: 4 })
    acquits(outcome)
    wentOn(outcome)
  })

  it("and comes back with everything that it acknowledged", async () => {
    const server = await startServer({ config: { appendonly: "yes", appendfsync: "always" } })
    try {
      const outcome = await death(crew, server, { ...onNode(server), seed: 5 })
      acquits(outcome)
      wentOn(outcome)
    } finally {
      await server.stop()
    }
  })
})

describe("a primary of the cluster fails over", () => {
  it("and what was acknowledged holds, but for what was under way to the replica", async () => {
    const outcome = await failover(crew, cluster, { ...await onCluster(), seed: 6 }, 0)
    acquits({ ...outcome, verdict: outcome.besides })
    wentOn(outcome)
  })

  it("and loses no more than what was acknowledged while the replica was behind", async () => {
    const outcome = await failover(crew, cluster, { ...await onCluster(), seed: 7 }, 400)
    acquits({ ...outcome, verdict: outcome.besides })
    wentOn(outcome)
  })

  it("and loses no invalidation that replicas acknowledged", async () => {
    const outcome = await failover(crew, cluster, { ...await onCluster(), seed: 7, acknowledge: "replicas" }, 400)
    // What a read has found dead by an invalidation that was not acknowledged, and what was written through, are no
    // invalidations that were.
    const violations = outcome.verdict.violations.filter(({ rule }) => rule !== "G2" && rule !== "G6")
    acquits({ ...outcome, verdict: { ...outcome.verdict, violations } })
    acquits({ ...outcome, verdict: outcome.besides })
    wentOn(outcome)
  })
})

// -----------------------------------------------------------------------------
// stampedes
// -----------------------------------------------------------------------------

describe("four processes with 25 callers each", () => {
  const key = { group: 0, id: 0 }
  const callers = 25

  for (const where of ["one node", "a cluster"]) {
    it(`make one load at a time on ${where}`, async () => {
      const { cache } = where === "one node" ? onNode() : await onCluster()
      await withStorms(crew, { cache, seed: 8, processes: 4 }, async ({ run }) => {
        const cold = await run({ of: "cold", key, callers })
        assert.strictEqual(cold.loads, 1)
        assert.strictEqual(new Set(cold.results.flatMap(({ values }) => values)).size, 1)

        // Each entry lives for a second, and the callers go on until they see the next one.
        const fill = async (of: "expiring" | "staling") => {
          const { loads, results } = await run({ of, key, callers: 1 })
          assert.strictEqual(loads, 1)
          return results[0]!.values[0]
        }
        const expiring = await run({ of: "expiring", key, callers, not: await fill("expiring") })
        assert.strictEqual(expiring.loads, 1, "at its expiry")

        const staling = await run({ of: "staling", key, callers, not: await fill("staling") })
        assert.strictEqual(staling.loads, 1, "in its stale window")
        assert.deepStrictEqual(staling.results.map(({ waited }) => waited), [0, 0, 0, 0], "nobody waits for a refresh")

        const failing = await run({ of: "failing", key, callers })
        assert.strictEqual(failing.loads, 1, "a failure that is cached")
        assert.deepStrictEqual(failing.results.map(({ calls, errors }) => [calls, errors]), [
          [callers, ["Refused"]],
          [callers, ["Refused"]],
          [callers, ["Refused"]],
          [callers, ["Refused"]]
        ])

        // Nobody tells other processes of a failure that is not cached: each of them asks once.
        const refused = await run({ of: "refused", key, callers })
        assert.isAtMost(refused.loads, 4, "a failure that is not cached")
        for (const { calls, errors } of refused.results) {
          assert.deepStrictEqual([calls, errors], [callers, ["Refused"]])
        }
      })
    })
  }
})
