/** What befalls the servers while a history runs. */
import assert from "node:assert/strict"
import { type Cluster, connect, eventually, type Server } from "../support/redis.ts"
import { check, forgive, type Verdict } from "./check.ts"
import { type Fact, now } from "./history.ts"
import { type Crew, type During, type Options, type Outcome, runHistory, sleep } from "./run.ts"

type Base = Pick<Options, "cache" | "seed" | "servers"> & Partial<Options>

/** A server was away for some time. */
export interface Absence extends Outcome {
  readonly from: number
  readonly to: number
}

/** The server is killed, and started again a while later. */
export const death = async (crew: Crew, server: Server, base: Base): Promise<Absence> => {
  let [from, to] = [0, 0]
  const during = async ({ facts, note }: During): Promise<void> => {
    await sleep(1_200)
    from = now()
    await server.kill()
    await sleep(600)
    await eventually("reads go on", () => readsBetween(facts(), from, now()) > 20)
    await server.restart()
    to = now()
    note({ kind: "down", from, to })
    await eventually("hits after it was back", () => hitsSince(facts(), to) > 0)
  }
  const outcome = await runHistory(crew, { seconds: 3.5, faults: [], ...base, during })
  return { ...outcome, from, to }
}

/** A primary that was killed, after its replica had been behind for a while. */
export interface Failover extends Absence {
  /** The verdict on all that was promised outside the time in which the replica may have been behind. */
  readonly besides: Verdict
}

/** Waits until the replica has all that was acknowledged before; gives when that was. */
const copied = async (primary: Server): Promise<number> => {
  const client = await connect(primary.url)
  try {
    const at = now()
    await client.set("witness:{journal}", "", "PX", 60_000)
    assert.equal(await client.wait(1, 20_000), 1, "the replica has all that was acknowledged")
    return at
  } finally {
    client.disconnect()
  }
}

/** The primary that has the journal is killed; its replica, `lag` milliseconds behind, takes its place. */
export const failover = async (crew: Crew, cluster: Cluster, base: Base, lag: number): Promise<Failover> => {
  let [cut, from, killed, to] = [0, 0, 0, 0]
  const during = async ({ facts, note }: During): Promise<void> => {
    const primary = await cluster.primaryOf("{journal}")
    const [replica] = await cluster.replicasOf(primary)
    await sleep(1_200)
    cut = await copied(primary)
    if (lag > 0) {
      // A password that the primary does not know keeps the replica from linking again.
      await replica!.send("CONFIG", "SET", "masterauth", "wrong")
      await replica!.send("CLIENT", "KILL", "TYPE", "master")
      await eventually(
        "the replica is cut off",
        async () => /slave0:.*state=online/.test(String(await primary.send("INFO", "replication"))) ? undefined : true
      )
      await sleep(lag)
    }
    from = now()
    await primary.kill()
    killed = now()
    await cluster.failover(primary)
    to = now()
    note({ kind: "failover", from: cut, to })
    await replica!.send("CONFIG", "SET", "masterauth", "")
    await eventually("hits after it was over", () => hitsSince(facts(), to) > 0)
    await sleep(1_000)
    await primary.restart()
  }
  const outcome = await runHistory(crew, { seconds: 5, faults: [], ...base, during })
  await cluster.waitUntilReady()
  return { ...outcome, from, to, besides: check(forgive(outcome.history, cut, killed)) }
}

/** Reads that began and ended between two times. */
export const readsBetween = (facts: ReadonlyArray<Fact>, from: number, to: number): number =>
  facts.filter((fact) => fact.t === "read" && fact.start > from && fact.end < to).length

/** Hits that began after a time. */
export const hitsSince = (facts: ReadonlyArray<Fact>, from: number): number =>
  facts.filter((fact) => fact.t === "read" && fact.how === "hit" && fact.start > from).length
