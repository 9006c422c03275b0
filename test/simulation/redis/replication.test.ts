import { assert, describe, it } from "@effect/vitest"
import { randomOf } from "../world/random.ts"
import { failOver, link } from "./replication.ts"
import { Failure, type Reply } from "./reply.ts"
import { Server } from "./server.ts"

/** Servers in a time of their own; what is on its way arrives when it is told to. */
const scene = () => {
  const time = { us: 1_800_000_000_000_000 }
  const timers: Array<{ readonly at: number; readonly run: () => void }> = []
  const sent: Array<() => void> = []
  const serverNamed = (id: string) =>
    new Server({
      id,
      now: () => time.us,
      random: randomOf(id.length + id.charCodeAt(0)),
      after: (us, run) => void timers.push({ at: time.us + us, run })
    })
  return {
    serverNamed,
    deliver: (run: () => void) => void sent.push(run),
    /** Lets so much arrive, or all. */
    arrive: (count = Infinity) => {
      for (let i = 0; i < count && sent.length > 0; i++) sent.shift()!()
    },
    pass: (us: number) => {
      time.us += us
      for (const { at, run } of timers.splice(0)) {
        if (at <= time.us) run()
        else timers.push({ at, run })
      }
    }
  }
}

const openTo = (server: Server) => {
  const heard: Array<Reply> = []
  const session = server.open({ push: (message) => void heard.push(message) })
  return { heard, send: (...words: Array<string>) => session.receive(words, (reply) => void heard.push(reply)) }
}

const keysOf = (server: Server) => [...server.run("KEYS", ["*"]) as ReadonlyArray<string>].sort()

describe("a replica", () => {
  it("gets what is there, and then what is written, in order and when it arrives", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    primary.run("SET", ["old", "1"])
    replica.run("SET", ["own", "1"])
    link(primary, replica, { deliver })
    primary.run("SET", ["a", "1"])
    primary.run("SET", ["a", "2"])
    assert.deepStrictEqual(keysOf(replica), ["own"])
    arrive(1)
    assert.deepStrictEqual(keysOf(replica), ["old"])
    arrive(1)
    assert.strictEqual(replica.run("GET", ["a"]), "1")
    arrive()
    assert.strictEqual(replica.run("GET", ["a"]), "2")
  })

  it("gets all that a script has written at once", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    arrive()
    primary.run("EVAL", ["redis.call('SET', 'a', '1'); redis.call('SET', 'b', '1')", "0"])
    arrive(1)
    assert.deepStrictEqual(keysOf(replica), ["a", "b"])
  })

  it("takes no writes, and keeps a key until its primary has ended it", () => {
    const { arrive, deliver, pass, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    primary.run("SET", ["a", "1", "PX", "5"])
    arrive()
    const refused = replica.run("SET", ["a", "2"])
    assert.match(refused instanceof Failure ? refused.err : "", /^READONLY /)
    pass(6000)
    assert.strictEqual(replica.run("GET", ["a"]), null)
    assert.strictEqual(replica.run("DBSIZE", []), 1)
    primary.run("GET", ["a"])
    arrive()
    assert.strictEqual(replica.run("DBSIZE", []), 0)
  })

  it("has the same moment of expiry, however late it hears of it", () => {
    const { arrive, deliver, pass, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    primary.run("SET", ["a", "1"])
    primary.run("PEXPIRE", ["a", "5000"])
    pass(1_000_000)
    arrive()
    assert.strictEqual(replica.run("PTTL", ["a"]), 4000)
  })

  it("hears what is published at its primary", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    const { heard, send } = openTo(replica)
    send("SUBSCRIBE", "c")
    primary.run("PUBLISH", ["c", "1"])
    assert.strictEqual(heard.length, 1)
    arrive()
    assert.deepStrictEqual(heard.at(-1), ["message", "c", "1"])
  })
})

describe("WAIT", () => {
  it("is answered once so many replicas have it all, and holds up what comes after it on its connection only", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, b, c] = [serverNamed("a"), serverNamed("b"), serverNamed("c")]
    link(primary, b, { deliver })
    link(primary, c, { deliver })
    arrive()
    const writer = openTo(primary)
    const other = openTo(primary)
    writer.send("SET", "a", "1")
    writer.send("WAIT", "2", "100")
    writer.send("GET", "a")
    other.send("GET", "a")
    assert.deepStrictEqual(other.heard, ["1"])
    arrive(1)
    assert.strictEqual(writer.heard.length, 1)
    arrive(1)
    assert.deepStrictEqual(writer.heard.slice(1), [2, "1"])
  })

  it("is answered at its end by how many there are", () => {
    const { arrive, deliver, pass, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    arrive()
    const { heard, send } = openTo(primary)
    send("SET", "a", "1")
    send("WAIT", "1", "100")
    pass(99_999)
    assert.strictEqual(heard.length, 1)
    pass(1)
    assert.strictEqual(heard[1], 0)
  })

  it("does not count a replica that has not yet got what was there when it came", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    const { heard, send } = openTo(primary)
    send("WAIT", "1", "100")
    assert.deepStrictEqual(heard, [])
    arrive()
    assert.deepStrictEqual(heard, [1])
  })

  it("is ended when the primary becomes a replica", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    const one = link(primary, replica, { deliver })
    arrive()
    const { heard, send } = openTo(primary)
    send("SET", "a", "1")
    send("WAIT", "1", "0")
    failOver(one).demote()
    const [, answer] = heard
    assert.match(answer instanceof Failure ? answer.err : "", /^UNBLOCKED /)
    send("PING")
    assert.strictEqual(heard.length, 2)
  })
})

describe("a failover", () => {
  it("loses what was on its way, and what the old primary writes before it knows", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica, other] = [serverNamed("a"), serverNamed("b"), serverNamed("c")]
    const one = link(primary, replica, { deliver })
    link(primary, other, { deliver })
    primary.run("SET", ["kept", "1"])
    arrive()
    primary.run("SET", ["lost", "1"])
    const { demote, lost } = failOver(one)
    assert.deepStrictEqual(lost.map(({ args: [key] }) => key), ["lost"])
    primary.run("SET", ["late", "1"])
    assert.deepStrictEqual(lost.map(({ args: [key] }) => key), ["lost", "late"])
    replica.run("SET", ["new", "1"])
    demote()
    arrive()
    for (const server of [primary, replica, other]) assert.deepStrictEqual(keysOf(server), ["kept", "new"])
    assert.deepStrictEqual([primary.role, replica.role, other.role], ["slave", "master", "slave"])
    replica.run("SET", ["more", "1"])
    arrive()
    assert.strictEqual(primary.run("GET", ["more"]), "1")
    assert.strictEqual(lost.length, 2)
    assert.include(String(primary.run("INFO", ["replication"])), "role:slave\r\nmaster_host:b\r\n")
  })

  it("counts on from what the replica had", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    const one = link(primary, replica, { deliver })
    primary.run("SET", ["a", "1", "PX", "1000"])
    arrive()
    failOver(one)
    const indexes: Array<readonly [number, string]> = []
    replica.onWrites((writes) => indexes.push(...writes.map(({ args, index }) => [index, args.join(" ")] as const)))
    replica.run("SET", ["b", "1"])
    assert.deepStrictEqual(indexes, [[2, "b 1"]])
  })
})

describe("a primary that begins anew", () => {
  it("leaves its replicas as they are", () => {
    const { arrive, deliver, serverNamed } = scene()
    const [primary, replica] = [serverNamed("a"), serverNamed("b")]
    link(primary, replica, { deliver })
    primary.run("SET", ["a", "1"])
    arrive()
    primary.run("SET", ["b", "1"])
    assert.deepStrictEqual(primary.restart("empty"), [])
    arrive()
    assert.deepStrictEqual(keysOf(replica), ["a"])
    link(primary, replica, { deliver })
    arrive()
    assert.deepStrictEqual(keysOf(replica), [])
  })
})
