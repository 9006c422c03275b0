import { assert, describe, it } from "@effect/vitest"
import { randomOf } from "../world/random.ts"
import { Failure, type Reply, Status } from "./reply.ts"
import { Server } from "./server.ts"

const beginning = 1_800_000_000_000_000

/** A server whose time stands still unless it is moved. */
const serverAt = (seed = 1) => {
  const time = { us: beginning }
  const server = new Server({ id: "a", now: () => time.us, random: randomOf(seed) })
  return { server, time, run: (...[name, ...args]: readonly [string, ...Array<string>]) => server.run(name, args) }
}

const errorOf = (reply: Reply): string => {
  assert.instanceOf(reply, Failure)
  return reply.err
}

/** A connection, and everything that came over it in order. */
const openTo = (server: Server) => {
  const heard: Array<Reply> = []
  const session = server.open({ push: (message) => void heard.push(message) })
  return {
    heard,
    session,
    send: (...words: Array<string>) => session.receive(words, (reply) => void heard.push(reply))
  }
}

describe("keys", () => {
  it("are there at the time at which they expire, and not after it", () => {
    const { run, time } = serverAt()
    run("SET", "a", "1", "PX", "10")
    time.us += 10_999
    assert.strictEqual(run("GET", "a"), "1")
    time.us += 1
    assert.strictEqual(run("GET", "a"), null)
    assert.strictEqual(run("DBSIZE"), 0)
  })

  it("keep their time, or lose it, as SET is told", () => {
    const { run } = serverAt()
    run("SET", "a", "1", "PX", "10")
    run("SET", "a", "2", "KEEPTTL")
    assert.strictEqual(run("PTTL", "a"), 10)
    run("SET", "a", "2")
    assert.strictEqual(run("PTTL", "a"), -1)
  })

  it("of another type are refused, but by MGET are missing", () => {
    const { run } = serverAt()
    run("RPUSH", "l", "x")
    assert.match(errorOf(run("GET", "l")), /^WRONGTYPE /)
    assert.match(errorOf(run("HSET", "l", "a", "b")), /^WRONGTYPE /)
    assert.deepStrictEqual(run("MGET", "l", "none"), [null, null])
  })

  it("are all found by a walk, while others come and go", () => {
    const { run } = serverAt()
    const lasting = Array.from({ length: 300 }, (_, i) => `k${i}`)
    for (const key of lasting) run("SET", key, "1")
    const found = new Set<string>()
    let pages = 0
    let cursor = "0"
    do {
      const [next, keys] = run("SCAN", cursor, "MATCH", "k*", "COUNT", "20") as readonly [string, ReadonlyArray<string>]
      for (const key of keys) found.add(key)
      run("SET", `other${pages}`, "1")
      run("DEL", `other${pages - 3}`)
      cursor = next
      pages++
    } while (cursor !== "0")
    assert.isAbove(pages, 10)
    assert.deepStrictEqual([...found].sort(), lasting.sort())
  })

  it("match patterns as they do in Redis", () => {
    const { run } = serverAt()
    for (const key of ["a", "ab", "a*b", "[x", "cat", "cut"]) run("SET", key, "1")
    const matching = (pattern: string) => [...run("KEYS", pattern) as ReadonlyArray<string>].sort()
    assert.deepStrictEqual(matching("a*"), ["a", "a*b", "ab"])
    assert.deepStrictEqual(matching("a\\**"), ["a*b"])
    assert.deepStrictEqual(matching("c[^a-b]t"), ["cut"])
    assert.deepStrictEqual(matching("\\[?"), ["[x"])
    assert.deepStrictEqual(matching("?"), ["a"])
    assert.deepStrictEqual(matching("c[ua]t"), ["cat", "cut"])
  })
})

describe("values", () => {
  it("of a sorted set are in order, however they are put", () => {
    const { run } = serverAt()
    run("ZADD", "z", "3", "c", "1", "a", "2", "b", "2", "aa")
    run("ZADD", "z", "0.5", "c")
    assert.deepStrictEqual(run("ZRANGE", "z", "0", "-1", "WITHSCORES"), ["c", "0.5", "a", "1", "aa", "2", "b", "2"])
    assert.strictEqual(run("ZREMRANGEBYRANK", "z", "1", "-2"), 2)
    assert.deepStrictEqual(run("ZRANGE", "z", "0", "-1"), ["c", "b"])
    assert.strictEqual(run("ZSCORE", "z", "a"), null)
    run("ZREMRANGEBYRANK", "z", "0", "-1")
    assert.strictEqual(run("EXISTS", "z"), 0)
  })

  it("of a hash are in the order in which they came, until it is big", () => {
    const { run } = serverAt()
    const fields = Array.from({ length: 20 }, (_, i) => `f${i}`)
    for (const field of fields) run("HSET", "h", field, "1")
    const order = () => (run("HGETALL", "h") as ReadonlyArray<string>).filter((_, i) => i % 2 === 0)
    assert.deepStrictEqual(order(), fields)
    run("HSET", "h", "long", "x".repeat(65))
    run("HDEL", "h", "long")
    assert.notDeepEqual(order(), fields)
    assert.deepStrictEqual([...order()].sort(), [...fields].sort())
  })

  it("of a string are cut and filled", () => {
    const { run } = serverAt()
    run("SET", "s", "hello")
    assert.strictEqual(run("GETRANGE", "s", "-3", "-2"), "ll")
    assert.strictEqual(run("SETRANGE", "s", "7", "x"), 8)
    assert.strictEqual(run("GET", "s"), "hello\0\0x")
    assert.strictEqual(run("SETRANGE", "none", "0", ""), 0)
    assert.strictEqual(run("EXISTS", "none"), 0)
  })
})

describe("scripts", () => {
  it("are known by their name once they were sent, until the server begins anew", () => {
    const { run, server } = serverAt()
    const sha = run("SCRIPT", "LOAD", "return { KEYS[1], ARGV[1] }") as string
    assert.deepStrictEqual(run("EVALSHA", sha, "1", "k", "a"), ["k", "a"])
    server.restart("kept")
    assert.match(errorOf(run("EVALSHA", sha, "1", "k", "a")), /^NOSCRIPT /)
    assert.deepStrictEqual(run("EVAL", "return { KEYS[1], ARGV[1] }", "1", "k", "a"), ["k", "a"])
    assert.deepStrictEqual(run("SCRIPT", "EXISTS", sha, "0"), [1, 0])
  })

  it("may go on writing on a full server once they have deleted, and not before", () => {
    const { run, server } = serverAt()
    run("SET", "a", "1")
    server.full = true
    assert.match(errorOf(run("SET", "b", "1")), /^OOM /)
    assert.match(
      errorOf(run("EVAL", "return redis.call('SET', KEYS[1], '1')", "1", "b")),
      /^OOM .* script: [0-9a-f]{40}, on /
    )
    run("EVAL", "redis.call('DEL', KEYS[1]); return redis.call('SET', KEYS[2], '1')", "2", "a", "b")
    assert.deepStrictEqual(run("MGET", "a", "b"), [null, "1"])
    assert.deepStrictEqual(run("DEL", "b"), 1)
  })

  it("tell whether an error has ended them", () => {
    const { run } = serverAt()
    run("RPUSH", "l", "x")
    assert.match(
      errorOf(run("EVAL", "return redis.call('GET', KEYS[1])", "1", "l")),
      / script: [0-9a-f]{40}, on @user_script/
    )
    assert.match(errorOf(run("EVAL", "return redis.pcall('GET', KEYS[1])", "1", "l")), /wrong kind of value$/)
    assert.strictEqual(
      errorOf(run("EVAL", "return redis.pcall('WAIT', 0, 0)", "0")),
      "ERR This Redis command is not allowed from script"
    )
  })
})

describe("connections", () => {
  it("hear what is published on their channels, in order", () => {
    const { server } = serverAt()
    const a = openTo(server)
    const b = openTo(server)
    a.send("SUBSCRIBE", "x", "y")
    b.send("SUBSCRIBE", "y")
    const c = openTo(server)
    c.send("PUBLISH", "x", "1")
    c.send("PUBLISH", "y", "2")
    b.session.close()
    c.send("PUBLISH", "y", "3")
    assert.deepStrictEqual(a.heard.slice(2), [["message", "x", "1"], ["message", "y", "2"], ["message", "y", "3"]])
    assert.deepStrictEqual(a.heard.slice(0, 2), [["subscribe", "x", 1], ["subscribe", "y", 2]])
    assert.deepStrictEqual(b.heard.slice(1), [["message", "y", "2"]])
    assert.deepStrictEqual(c.heard, [1, 2, 1])
  })

  it("that listen may do little else", () => {
    const { server } = serverAt()
    const { heard, send } = openTo(server)
    send("SUBSCRIBE", "x")
    send("PING")
    send("GET", "a")
    send("UNSUBSCRIBE")
    send("GET", "a")
    assert.deepStrictEqual([heard[1], heard[3], heard[4]], [["pong", ""], ["unsubscribe", "x", 0], null])
    assert.match(errorOf(heard[2]!), /^ERR Can't execute 'get'/)
  })

  it("wait with what may write while writes are paused, and with all that comes after it", () => {
    const { server } = serverAt()
    const writer = openTo(server)
    const reader = openTo(server)
    server.pausedWrites = true
    writer.send("SET", "a", "1")
    writer.send("GET", "a")
    reader.send("GET", "a")
    reader.send("INFO", "replication")
    assert.strictEqual(writer.heard.length, 0)
    assert.strictEqual(reader.heard[0], null)
    assert.include(String(reader.heard[1]), "role:master\r\n")
    server.pausedWrites = false
    assert.deepStrictEqual(writer.heard, [new Status("OK"), "1"])
  })

  it("are closed when the server begins anew, as another run", () => {
    const { run, server, time } = serverAt()
    const { heard, send } = openTo(server)
    const { runId } = server
    run("SET", "a", "1")
    const saved = server.snapshot()
    run("SET", "a", "2", "PX", "5")
    const lost = server.restart(saved)
    send("GET", "a")
    assert.deepStrictEqual(heard, [])
    assert.notStrictEqual(server.runId, runId)
    assert.strictEqual(run("GET", "a"), "1")
    assert.deepStrictEqual(lost, [
      { index: 2, us: time.us, name: "set", args: ["a", "2", "PXAT", String(time.us / 1000 + 5)] }
    ])
  })

  it("say what is wrong with a command as Redis does", () => {
    const { run } = serverAt()
    assert.strictEqual(errorOf(run("GET")), "ERR wrong number of arguments for 'get' command")
    assert.strictEqual(errorOf(run("foo", "a")), "ERR unknown command 'foo', with args beginning with: 'a' ")
    assert.strictEqual(
      errorOf(run("CLIENT", "SETINFO", "LIB-NAME", "x")),
      "ERR unknown subcommand 'SETINFO'. Try CLIENT HELP."
    )
    assert.strictEqual(errorOf(run("CONFIG", "GET")), "ERR wrong number of arguments for 'config|get' command")
    assert.strictEqual(errorOf(run("CLUSTER", "SLOTS")), "ERR This instance has cluster support disabled")
    assert.strictEqual(errorOf(run("SCAN", "x")), "ERR invalid cursor")
  })
})

describe("keys that a server drops", () => {
  it("are those that were chosen", () => {
    const { run, server } = serverAt()
    run("SET", "a", "1")
    run("ZADD", "z", "1", "a")
    assert.deepStrictEqual(server.evict("zset"), ["z"])
    assert.deepStrictEqual(server.evict((key) => key === "none"), [])
    assert.deepStrictEqual(run("KEYS", "*"), ["a"])
  })
})
