import { assert, describe, it } from "@effect/vitest"
import * as Slots from "../../../src/internal/redis/slots.ts"
import { randomOf } from "../world/random.ts"
import { Cluster, slotOf } from "./cluster.ts"
import { type Link, link } from "./replication.ts"
import { Failure, type Reply } from "./reply.ts"
import { Server } from "./server.ts"

const binary = (text: string): string => Buffer.from(text, "utf8").toString("latin1")

/** Two shards, the first of which has a replica. What is on its way arrives when it is told to. */
const scene = () => {
  const time = { us: 1_800_000_000_000_000 }
  const sent: Array<() => void> = []
  const deliver = (run: () => void) => void sent.push(run)
  const arrive = () => {
    while (sent.length > 0) sent.shift()!()
  }
  const serverNamed = (id: string) =>
    new Server({ id, now: () => time.us, random: randomOf(id.charCodeAt(0)), address: { host: id, port: 7000 } })
  const [a, b, replica] = [serverNamed("a"), serverNamed("b"), serverNamed("r")]
  const linked: Link = link(a, replica, { deliver })
  arrive()
  const cluster = new Cluster([a, b], { random: randomOf(1), deliver: (_, run) => deliver(run) })
  const arriveReversed = () => {
    for (const run of sent.splice(0).reverse()) run()
  }
  return { a, b, replica, linked, cluster, arrive, arriveReversed }
}

const said = (reply: Reply): unknown => reply instanceof Failure ? reply.err : reply

/** A connection, and the answer to the last command that was sent. */
const openTo = (server: Server) => {
  const session = server.open({ push: () => {} })
  return (...words: Array<string>): unknown => {
    let answer: Reply = null
    session.receive(words, (reply) => {
      answer = reply
    })
    return said(answer)
  }
}

// Their slots: 3300 and 7365, which are the first shard's, and 15495.
const [near, alsoNear, far] = ["b", "c", "a"] as const

describe("slots", () => {
  it("stay with who has them, whatever is heard late of who had them before", () => {
    const server = (id: string) =>
      new Server({ id, now: () => 0, random: randomOf(id.charCodeAt(0)), address: { host: id, port: 7000 } })
    const [a, b, c] = [server("a"), server("b"), server("c")]
    const late: Array<() => void> = []
    const cluster = new Cluster([a, b, c], { random: randomOf(1), deliver: (_, run) => void late.push(run) })
    const move = (slot: number, to: Server) => {
      cluster.beginMove(slot, to)
      cluster.endMove(slot)
    }
    move(3300, b)
    move(3300, c)
    // This makes b the newer of the two.
    move(1, b)
    for (const run of late.splice(0)) run()
    assert.strictEqual(cluster.ownerOf(3300), c)
    assert.strictEqual(cluster.ownerOf(1), b)
  })

  it("are those that the library reckons", () => {
    for (const key of ["a", "{a}b", "x{}y", "{", "}{a}", "é{ü}", "\u{1f600}", "", "123456789", "{a}{b}"]) {
      assert.strictEqual(slotOf(binary(key)), Slots.slotOf(key), key)
    }
    assert.strictEqual(slotOf("123456789"), 12_739)
  })
})

describe("a node of a cluster", () => {
  it("sends on what is not its own, and refuses what is of several slots", () => {
    const { a, replica } = scene()
    const ask = openTo(a)
    assert.strictEqual(ask("GET", near), null)
    assert.strictEqual(ask("GET", far), "MOVED 15495 b:7000")
    assert.strictEqual(ask("MGET", `{${far}}1`, `{${far}}2`), "MOVED 15495 b:7000")
    assert.strictEqual(ask("MGET", near, alsoNear), "CROSSSLOT Keys in request don't hash to the same slot")
    assert.strictEqual(ask("EVAL", "return 1", "2", near, far), "CROSSSLOT Keys in request don't hash to the same slot")
    assert.strictEqual(ask("EVAL", "return 1", "1", far), "MOVED 15495 b:7000")
    assert.match(
      String(ask("EVAL", "return redis.call('GET', 'a')", "0")),
      /^ERR Script attempted to access a non local key/
    )
    const atReplica = openTo(replica)
    assert.strictEqual(atReplica("GET", near), "MOVED 3300 a:7000")
    atReplica("READONLY")
    assert.strictEqual(atReplica("GET", near), null)
    assert.strictEqual(atReplica("SET", near, "1"), "MOVED 3300 a:7000")
    assert.strictEqual(atReplica("GET", far), "MOVED 15495 b:7000")
  })

  it("tells who has which slots", () => {
    const { a } = scene()
    const ask = openTo(a)
    const [first, second] = ask("CLUSTER", "SLOTS") as ReadonlyArray<ReadonlyArray<unknown>>
    assert.deepStrictEqual(first!.slice(0, 2), [0, 8191])
    assert.deepStrictEqual(first!.slice(2).map((place) => (place as ReadonlyArray<unknown>)[0]), ["a", "r"])
    assert.deepStrictEqual(second!.slice(0, 2), [8192, 16_383])
    assert.deepStrictEqual(Slots.claimOf(ask("CLUSTER", "NODES")), {
      id: ask("CLUSTER", "MYID") as string,
      ranges: [[0, 8191]],
      moving: false
    })
    assert.include(String(ask("CLUSTER", "INFO")), "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n")
    assert.strictEqual((ask("CLUSTER", "SHARDS") as ReadonlyArray<unknown>).length, 2)
  })

  it("serves no key while it takes the cluster for failed", () => {
    const { a, cluster } = scene()
    const ask = openTo(a)
    cluster.setDown(a, true)
    assert.strictEqual(ask("GET", near), "CLUSTERDOWN The cluster is down")
    assert.strictEqual(ask("EVAL", "return 1", "0"), 1)
    cluster.setDown(a, false)
    assert.strictEqual(ask("GET", near), null)
  })

  it("lets those hear what is published who listen at another", () => {
    const { a, arrive, b, replica } = scene()
    const heard: Array<Reply> = []
    for (const server of [a, b, replica]) {
      server.open({ push: (message) => void heard.push(message) }).receive(["SUBSCRIBE", "c"], () => {})
    }
    assert.strictEqual(openTo(a)("PUBLISH", "c", "1"), 1)
    assert.strictEqual(heard.length, 1)
    arrive()
    assert.deepStrictEqual(heard, [["message", "c", "1"], ["message", "c", "1"], ["message", "c", "1"]])
  })
})

describe("a slot that moves", () => {
  it("is asked for here and there, key by key, until it is the other node's", () => {
    const { a, arrive, b, cluster, replica } = scene()
    const here = openTo(a)
    const there = openTo(b)
    here("SET", "b", "1", "PX", "1000")
    here("ZADD", "{b}2", "1.5", "x", "2", "y")
    here("HSET", "{b}3", "f", "v")
    cluster.beginMove(3300, b)
    assert.isTrue(Slots.claimOf(here("CLUSTER", "NODES"))!.moving)
    assert.isTrue(Slots.claimOf(there("CLUSTER", "NODES"))!.moving)
    assert.strictEqual(here("GET", "b"), "1")
    assert.strictEqual(here("GET", "{b}none"), "ASK 3300 b:7000")
    assert.strictEqual(here("MGET", "b", "{b}none"), "TRYAGAIN Multiple keys request during rehashing of slot")
    assert.strictEqual(here("MGET", "{b}none", "{b}none2"), "ASK 3300 b:7000")
    const torn = "redis.call('DEL', KEYS[1]); return redis.call('SET', KEYS[1], '2')"
    assert.match(String(here("EVAL", torn, "1", "{b}3")), /^ERR Script attempted to access a non local key/)
    assert.strictEqual(there("GET", "b"), "MOVED 3300 a:7000")
    there("ASKING")
    assert.deepStrictEqual(said(there("SET", "{b}new", "1") as Reply), { ok: "OK" })
    assert.strictEqual(there("GET", "{b}new"), "MOVED 3300 a:7000")
    there("ASKING")
    assert.strictEqual(there("MGET", "{b}new", "b"), "TRYAGAIN Multiple keys request during rehashing of slot")
    assert.throws(() => cluster.endMove(3300))
    const moved = [cluster.moveKey(3300), cluster.moveKey(3300)]
    assert.deepStrictEqual(moved.sort(), ["b", "{b}2"])
    assert.strictEqual(cluster.moveKey(3300), undefined)
    assert.strictEqual(here("GET", "b"), "ASK 3300 b:7000")
    cluster.endMove(3300)
    assert.strictEqual(there("GET", "b"), "1")
    assert.strictEqual(there("PTTL", "b"), 1000)
    assert.deepStrictEqual(there("ZRANGE", "{b}2", "0", "-1", "WITHSCORES"), ["x", "1.5", "y", "2"])
    assert.strictEqual(here("GET", "b"), "MOVED 3300 b:7000")
    assert.strictEqual(openTo(replica)("GET", "b"), "MOVED 3300 a:7000")
    arrive()
    assert.strictEqual(openTo(replica)("GET", "b"), "MOVED 3300 b:7000")
    assert.deepStrictEqual(Slots.claimOf(here("CLUSTER", "NODES"))!.ranges, [[0, 3299], [3301, 8191]])
    assert.strictEqual(replica.run("DBSIZE", []), 0)
  })

  it("is where it went last, also for a node that hears of it in another order", () => {
    const { a, arriveReversed, b, cluster, replica } = scene()
    for (const target of [b, a]) {
      cluster.beginMove(3300, target)
      cluster.endMove(3300)
    }
    arriveReversed()
    assert.strictEqual(openTo(replica)("GET", "b"), "MOVED 3300 a:7000")
  })

  it("may come back", () => {
    const { a, arrive, b, cluster, replica } = scene()
    openTo(a)("SET", "b", "1")
    for (const target of [b, a]) {
      cluster.beginMove(3300, target)
      while (cluster.moveKey(3300) !== undefined);
      cluster.endMove(3300)
    }
    arrive()
    assert.strictEqual(openTo(b)("GET", "b"), "MOVED 3300 a:7000")
    assert.strictEqual(openTo(replica)("GET", "b"), "MOVED 3300 a:7000")
    assert.strictEqual(openTo(a)("GET", "b"), "1")
    assert.strictEqual(replica.run("DBSIZE", []), 1)
  })
})

describe("a primary of a cluster that fails", () => {
  it("is followed by its replica, of which the others hear later", () => {
    const { a, arrive, b, cluster, linked, replica } = scene()
    const there = openTo(b)
    a.run("SET", [near, "1"])
    arrive()
    a.run("SET", [near, "2"])
    const { lost } = cluster.failOver(linked, "replica")
    assert.strictEqual(there("GET", near), "MOVED 3300 a:7000")
    assert.strictEqual(openTo(replica)("GET", near), "1")
    a.run("SET", [near, "3"])
    assert.deepStrictEqual(lost.map(({ args }) => args[1]), ["2", "3"])
    arrive()
    assert.strictEqual(there("GET", near), "MOVED 3300 r:7000")
    assert.strictEqual(openTo(a)("GET", near), "MOVED 3300 r:7000")
    assert.deepStrictEqual([a.role, replica.role], ["slave", "master"])
    assert.strictEqual(cluster.ownerOf(3300), replica)
    const [first] = there("CLUSTER", "SLOTS") as ReadonlyArray<ReadonlyArray<unknown>>
    assert.deepStrictEqual(first!.slice(2).map((place) => (place as ReadonlyArray<unknown>)[0]), ["r", "a"])
  })

  it("may be gone for ever", () => {
    const { a, arrive, b, cluster, linked, replica } = scene()
    cluster.failOver(linked, "gone")
    arrive()
    assert.strictEqual(a.role, "master")
    assert.strictEqual(cluster.ownerOf(3300), replica)
    assert.strictEqual(openTo(b)("GET", near), "MOVED 3300 r:7000")
  })
})
