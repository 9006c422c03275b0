/**
 * The servers that other tests run on: that they are found or installed, start
 * and fail as asked, and leave nothing behind. And the proxy that cuts their
 * connections where it is told to.
 */
import { Cluster, Redis } from "ioredis"
import { Redis as Redis5 } from "ioredis-5"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, afterEach, assert, beforeAll, describe, it, onTestFinished } from "vitest"
import { NotInstalled } from "./install.ts"
import {
  connect,
  eventually,
  type Proxy,
  type Server,
  startCluster,
  startProxies,
  startProxy,
  startSentinel,
  startServer
} from "./redis.ts"
import { decide, findOrInstall, look, type Machine } from "./redisBinary.ts"
import { clusterNodes, freshPrefix, nodeUrl } from "./sharedRedis.ts"

const bare: Machine = { named: undefined, installed: [], managers: [], root: false, sudo: false, systemd: false }
const redis = (version: string | undefined, at: string = "/usr/bin/redis-server") => ({ path: at, version })

/** Not answered for a while. It may be later, when nobody looks. */
const hangs = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([
    promise.then(() => false, () => false),
    new Promise<boolean>((resolve) => setTimeout(resolve, 200, true))
  ])

const failure = async (promise: Promise<unknown>): Promise<Error> => {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  return assert.fail("it did not fail")
}

const tempFolder = (): string => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-test-"))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

/** One that has ended and that nobody has asked about yet does not count. */
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return process.platform !== "linux" || !/^\d+ \(.*\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

describe("what to run", () => {
  const why = (machine: Machine): string => {
    const decision = decide(machine)
    assert(decision._tag === "Refuse", `it is ${decision._tag}`)
    assert.notInclude(decision.why, "\n")
    return decision.why
  }
  const ways = (machine: Machine): ReadonlyArray<string> => {
    const decision = decide(machine)
    assert(decision._tag === "Install", `it is ${decision._tag}`)
    return decision.ways.map((way) => way.map((command) => command.join(" ")).join("; "))
  }

  it("the first that is new enough", () => {
    const installed = [redis("6.0.16"), redis("8.0.1", "/usr/bin/valkey-server")]
    assert.deepStrictEqual(decide({ ...bare, installed }), { _tag: "Use", binary: installed[1]! })
    for (const version of ["6.2", "6.2.1", "6.10.0", "7.0.15", "10.0.0"]) {
      assert.strictEqual(decide({ ...bare, installed: [redis(version)] })._tag, "Use", version)
    }
    for (const version of ["2.8.9", "5.0.14", "6.0.16", "6.1", undefined]) {
      assert.strictEqual(decide({ ...bare, installed: [redis(version)] })._tag, "Refuse", version ?? "none")
    }
  })

  it("the named one, or none", () => {
    const machine: Machine = { ...bare, installed: [redis("7.0.15")], root: true, managers: ["apt-get"] }
    const named = redis("7.2.0", "/opt/redis")
    assert.deepStrictEqual(decide({ ...machine, named }), { _tag: "Use", binary: named })
    assert.match(why({ ...machine, named: redis("6.0.0", "/opt/old") }), /REDIS_SERVER is 6\.0\.0: \/opt\/old$/)
    assert.match(why({ ...machine, named: redis(undefined, "/bin/true") }), /REDIS_SERVER is not one: \/bin\/true$/)
  })

  it("what is too old is not replaced", () => {
    assert.match(
      why({ ...bare, root: true, managers: ["apt-get"], installed: [redis("6.0.16")] }),
      /6\.2 or later.*\/usr\/bin\/redis-server is 6\.0\.16: install .*REDIS_SERVER/
    )
  })

  it("installs where nobody is asked", () => {
    const [first, second] = ways({ ...bare, root: true, managers: ["apt-get"] })
    assert.match(first!, /^apt-get .*update; env DEBIAN_FRONTEND=noninteractive apt-get .*install redis-server$/)
    assert.match(second!, /install valkey-server$/)
    const [withService] = ways({ ...bare, root: true, managers: ["apt-get"], systemd: true })
    assert.match(withService!, /; systemctl disable --now redis-server$/)
    const [bySudo] = ways({ ...bare, sudo: true, managers: ["apt-get"], systemd: true })
    assert.deepStrictEqual(bySudo!.split("; ").map((command) => command.slice(0, 8)), Array(3).fill("sudo -n "))
    assert.deepStrictEqual(ways({ ...bare, root: true, managers: ["dnf"] }), [
      "dnf -q -y install redis",
      "dnf -q -y install valkey"
    ])
    assert.deepStrictEqual(ways({ ...bare, sudo: true, managers: ["apk"] })[0], "sudo -n apk add -q --no-cache redis")
    assert.deepStrictEqual(ways({ ...bare, managers: ["brew"] })[0], "brew install -q redis")
  })

  it("says what to do where somebody would be asked", () => {
    const hint = /^Redis 6\.2 or later, or Valkey, is needed: install redis-server or valkey-server, .*REDIS_SERVER/
    assert.match(why(bare), hint)
    assert.match(why({ ...bare, managers: ["apt-get", "dnf", "apk"] }), hint)
    assert.match(why({ ...bare, root: true, managers: ["brew"] }), hint)
  })

  describe("on a machine that is made up", () => {
    const script = (folder: string, name: string, ...lines: ReadonlyArray<string>): string => {
      const file = path.join(folder, name)
      fs.writeFileSync(file, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 })
      return file
    }
    /** Nothing is on its PATH but what is needed to install. `installs` is what `apt-get install` does. */
    const machine = (...installs: ReadonlyArray<string>) => {
      const folder = tempFolder()
      script(folder, "env", "shift", "exec \"$@\"")
      script(folder, "sudo", "shift", "exec \"$@\"")
      script(folder, "systemctl")
      script(folder, "apt-get", `echo "$*" >> ${folder}/calls`, ...installs)
      const said: Array<string> = []
      return {
        folder,
        said,
        calls: () => fs.readFileSync(path.join(folder, "calls"), "utf8").trim().split("\n"),
        find: (env = {}) => findOrInstall({ PATH: folder, ...env }, (line) => said.push(line), [])
      }
    }
    const makes = (name: string): string =>
      `case "$*" in *"install ${name}") PATH=/bin:/usr/bin; cd "$(dirname "$0")"; `
      + `printf '#!/bin/sh\\necho "Redis server v=7.0.15 sha=0"\\n' > ${name}; chmod +x ${name};; esac`

    it("installs, says so, and uses it", () => {
      const { calls, find, folder, said } = machine(makes("redis-server"))
      const expected = { path: path.join(folder, "redis-server"), version: "7.0.15" }
      assert.deepStrictEqual(find(), expected)
      assert.strictEqual(said.length, 1)
      assert.deepStrictEqual(calls().map((call) => call.split(" ").at(-1)), ["update", "redis-server"])
      assert.deepStrictEqual(find(), expected)
      assert.strictEqual(calls().length, 2, "it is not installed again")
    })

    it("tries the other package", () => {
      const { find, folder } = machine(makes("valkey-server"))
      assert.deepStrictEqual(find(), { path: path.join(folder, "valkey-server"), version: "7.0.15" })
    })

    it("fails with one line", () => {
      const { find } = machine("echo much ado", "echo E: no network >&2", "exit 100")
      let error: unknown
      try {
        find()
      } catch (thrown) {
        error = thrown
      }
      assert(error instanceof NotInstalled)
      assert.match(error.message, /^Redis 6\.2 .* failed: E: no network; install redis-server .*$/)
      assert.strictEqual(error.stack, `NotInstalled: ${error.message}`)
    })

    it("looks at PATH first, then at the usual places", () => {
      const [here, there] = [tempFolder(), tempFolder()]
      script(there, "redis-server", "echo Redis server v=7.0.15 sha=0")
      const valkey = script(here, "valkey-server", "echo Valkey server v=8.1.3 sha=0")
      const seen = look({ PATH: here }, [there])
      assert.deepStrictEqual(seen.installed, [
        redis("7.0.15", path.join(there, "redis-server")),
        redis("8.1.3", valkey)
      ])
      assert.strictEqual(look({ PATH: here, REDIS_SERVER: valkey }, []).named?.version, "8.1.3")
      assert.strictEqual(look({ PATH: here, REDIS_SERVER: "/nowhere" }, []).named?.version, undefined)
    })
  })
})

describe("a server", () => {
  it("is killed, started again, and stopped", async () => {
    await using server = await startServer()
    const { folder, pid, port } = server
    assert.strictEqual(await server.send("SET", "a", 1), "OK")
    await server.kill()
    assert.isFalse(server.isRunning)
    assert.isFalse(await isListening(port))
    await server.restart()
    assert.isTrue(server.isRunning)
    assert.notStrictEqual(server.pid, pid)
    assert.strictEqual(server.port, port)
    assert.isNull(await server.send("GET", "a"), "nothing is stored unless asked")
    await server.stop()
    assert.isFalse(server.isRunning)
    assert.isFalse(await isListening(port))
    assert.isFalse(fs.existsSync(folder))
    await server.stop()
  })

  it("keeps its data over a restart if asked to", async () => {
    await using server = await startServer({ config: { save: "3600 1" } })
    await server.send("SET", "a", 1)
    await server.restart()
    assert.strictEqual(await server.send("GET", "a"), "1")
  })

  it("stands still, and goes on", async () => {
    await using server = await startServer()
    const client = await connect(server.url)
    server.freeze()
    assert.isTrue(await hangs(client.ping()))
    server.thaw()
    assert.strictEqual(await client.get("a"), null)
    client.disconnect()
    server.freeze()
    await server.restart()
    assert.strictEqual(await server.send("PING"), "PONG")
    server.freeze()
  })

  it("is configured, with its password in the URL", async () => {
    await using server = await startServer({
      config: { requirepass: "a/b@c", user: ["one on nopass ~* +@all", "two off"] },
      args: ["--maxmemory", "12mb"]
    })
    assert.deepStrictEqual(await server.send("CONFIG", "GET", "maxmemory"), ["maxmemory", String(12 * 1024 * 1024)])
    assert.deepStrictEqual((await server.send("ACL", "USERS") as Array<string>).sort(), ["default", "one", "two"])
    await server.restart()
    const error = await failure(connect(`redis://127.0.0.1:${server.port}`))
    assert.match(error.message, /NOAUTH|closed/)
  })

  it("says why it does not start, and leaves nothing", async () => {
    const error = await failure(startServer({ config: { nonsense: "yes" } }))
    assert.match(error.message, /did not start:[^]*nonsense/)
    await using server = await startServer()
    assert.deepStrictEqual(fs.readdirSync(path.dirname(server.folder)).filter((name) => !isServerFolder(name)), [])
    const taken = await failure(startServer({ config: { port: server.port } }))
    assert.match(taken.message, /did not start:[^]*in use/)
  })

  const isServerFolder = (name: string): boolean => name.startsWith("server-")
})

describe("nothing is left", () => {
  const support = JSON.stringify(path.resolve(import.meta.dirname, "redis.ts"))

  /** A process that starts two servers, of which one stands still, and then does what `then` says. */
  const run = async (then: string) => {
    const program = `
      import { startServer } from ${support}
      const servers = [await startServer({ config: { appendonly: "yes" } }), await startServer()]
      servers[1].freeze()
      console.log(JSON.stringify(servers.map(({ folder, pid, port }) => ({ folder, pid, port }))))
      ${then}
    `
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["pipe", "pipe", "ignore"]
    })
    const exited = once(child, "exit")
    const [line] = await once(child.stdout, "data")
    const servers = JSON.parse(String(line)) as ReadonlyArray<Pick<Server, "folder" | "pid" | "port">>
    return { child, exited, servers }
  }

  const waits = "process.stdin.resume()"
  const cases: ReadonlyArray<readonly [name: string, then: string, signal: NodeJS.Signals | undefined]> = [
    ["it forgets them", "", undefined],
    ["it exits", "process.exit(3)", undefined],
    ["an exception is not caught", "setTimeout(() => { throw new Error() }); " + waits, undefined],
    ["SIGINT", waits, "SIGINT"],
    ["SIGTERM", waits, "SIGTERM"],
    ["SIGHUP", waits, "SIGHUP"],
    ["SIGKILL", waits, "SIGKILL"]
  ]
  for (const [name, then, signal] of cases) {
    it.concurrent(`of a process when ${name}`, async () => {
      const { child, exited, servers } = await run(then)
      assert.strictEqual(servers.length, 2)
      if (signal !== undefined) {
        assert(servers.every(({ pid }) => isAlive(pid)), "they run until then")
        child.kill(signal)
      }
      await exited
      for (const { folder, pid, port } of servers) {
        await eventually(`${pid} is gone`, () => !isAlive(pid))
        await eventually(`${folder} is gone`, () => !fs.existsSync(path.dirname(folder)))
        // Its last thread closes the port, after the first has gone.
        await eventually(`${port} is closed`, async () => !await isListening(port))
      }
    })
  }
})

describe("a cluster", () => {
  it("is ready, fails over, and is whole again", async () => {
    await using cluster = await startCluster()
    assert.strictEqual(cluster.nodes.length, 6)
    assert.strictEqual((await cluster.primaries()).length, 3)
    const first = await cluster.primaryOf("{a}b")
    assert.strictEqual(await cluster.primaryOf("a"), first)
    assert.match(String(await first.send("SET", "a", 1)), /OK/)
    const others = (await cluster.primaries()).filter((node) => node !== first)
    assert.match((await failure(others[0]!.send("GET", "a"))).message, /^MOVED/)

    const [replica, ...more] = await cluster.replicasOf(first)
    assert.strictEqual(more.length, 0)
    await eventually("it is copied", async () => Number(await replica!.send("DBSIZE")) === 1)

    assert.strictEqual(await cluster.failover(first), replica)
    assert.strictEqual(await cluster.primaryOf("a"), replica)
    assert.strictEqual(await replica!.send("GET", "a"), "1")

    await first.restart()
    await cluster.waitUntilReady()
    assert.deepStrictEqual(await cluster.replicasOf(replica!), [first])
    await cluster.promote(first)
    assert.strictEqual(await cluster.primaryOf("a"), first)
    assert.strictEqual(await first.send("GET", "a"), "1")
  })
})

describe("Sentinel", () => {
  it("leads to the primary, also to the next one", async () => {
    await using sentinel = await startSentinel()
    const client = new Redis({
      sentinels: sentinel.sentinels.map(({ host, port }) => ({ host, port })),
      name: sentinel.name
    })
    client.on("error", () => undefined)
    try {
      assert.strictEqual(await client.set("a", 1), "OK")
      assert.strictEqual(await sentinel.primary(), sentinel.nodes[0])
      assert.strictEqual(await sentinel.failover(), sentinel.nodes[1])
      await eventually("it is written", async () => await client.set("b", 1) === "OK")
      assert.strictEqual(await sentinel.nodes[1]!.send("GET", "b"), "1")
    } finally {
      client.disconnect()
    }
  })
})

describe("the servers that are shared", () => {
  it("are there", async () => {
    const prefix = freshPrefix()
    assert.notStrictEqual(prefix, freshPrefix())
    const node = await connect(nodeUrl())
    const cluster = new Cluster(clusterNodes())
    try {
      for (const client of [node, cluster]) {
        assert.strictEqual(await client.set(`${prefix}:a`, 1, "PX", 60_000), "OK")
        assert.strictEqual(await client.get(`${prefix}:a`), "1")
      }
      assert.strictEqual(cluster.nodes("all").length, 6)
    } finally {
      node.disconnect()
      cluster.disconnect()
    }
  })
})

describe("the proxy", () => {
  let server: Server
  let proxy: Proxy
  const clients: Array<{ disconnect: () => void }> = []
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.stop())
  afterEach(async () => {
    for (const client of clients.splice(0)) client.disconnect()
    await proxy.stop()
  })

  /** ioredis 6 speaks RESP3, 5 speaks RESP2. */
  const versions = {
    "ioredis 6": async () => {
      const client = await connect(proxy.url)
      clients.push(client)
      return client
    },
    "ioredis 5": async () => {
      const client = new Redis5(proxy.url, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true })
      client.on("error", () => undefined)
      await client.connect()
      clients.push(client)
      return client
    }
  }

  for (const [name, open] of Object.entries(versions)) {
    describe(name, () => {
      it("is not felt", async () => {
        proxy = await startProxy(server)
        const client = await open()
        const big = Buffer.alloc(3_000_000, "\r\n$5\r\n*1\r\n\0\xff", "latin1")
        await client.set("big", big)
        assert.isTrue(big.equals((await client.getBuffer("big"))!))
        await client.del("h", "l")
        await client.hset("h", { a: "1", b: "" })
        await client.rpush("l", "", "\r\n", "ü")
        const results = await client.pipeline().hgetall("h").lrange("l", 0, -1).get("none").incr("h").scan(0).time()
          .exec()
        assert.deepStrictEqual(results!.slice(0, 3), [[null, { a: "1", b: "" }], [null, ["", "\r\n", "ü"]], [
          null,
          null
        ]])
        assert.match(String(results![3]![0]), /WRONGTYPE/)
        const multi = await client.multi().set("m", 1).incr("m").exec()
        assert.deepStrictEqual(multi, [[null, "OK"], [null, 2]])
        assert.strictEqual(
          await client.eval("return {1, {'a', {}}, false, 'x'}", 0).then(JSON.stringify),
          "[1,[\"a\",[]],null,\"x\"]"
        )
      })

      for (const k of [1, 2, 3]) {
        it(`cuts before request ${k}`, async () => {
          proxy = await startProxy(server)
          const client = await open()
          await server.send("DEL", "n")
          const cut = proxy.cutBefore(k)
          // The client writes them at once.
          const outcomes = await Promise.allSettled([1, 2, 3].map(() => client.incr("n")))
          assert.deepStrictEqual(await cut, ["incr", "n"])
          assert.strictEqual(Number(await server.send("GET", "n")), k - 1)
          assert(outcomes.slice(k - 1).every(({ status }) => status === "rejected"))
        })

        it(`cuts after request ${k}`, async () => {
          proxy = await startProxy(server)
          const client = await open()
          await server.send("DEL", "n")
          const cut = proxy.cutAfter(k)
          const outcomes = await Promise.allSettled([1, 2, 3].map(() => client.incr("n")))
          assert.deepStrictEqual(await cut, ["incr", "n"])
          assert.strictEqual(Number(await server.send("GET", "n")), k)
          assert(outcomes.slice(k - 1).every(({ status }) => status === "rejected"))
        })
      }

      it("lets earlier answers through when it cuts after a request", async () => {
        proxy = await startProxy(server)
        const client = await open()
        await server.send("DEL", "n")
        const cut = proxy.cutAfter(1, ([command]) => command === "incr")
        // The answer to the first is long in coming, so both are on their way.
        const first = client.eval("for i = 1, 1000000 do end return {1, 'two', {}}", 0)
        const second = failure(client.incr("n"))
        await cut
        assert.deepStrictEqual(await first, [1, "two", []])
        await second
        assert.strictEqual(await server.send("GET", "n"), "1")
      })

      it("passes messages on, and cuts a subscriber", async () => {
        proxy = await startProxy(server)
        const subscriber = await open()
        const messages: Array<string> = []
        subscriber.on("message", (_, message) => messages.push(message))
        await subscriber.subscribe("a", "b")
        for (const message of ["1", "2", "3"]) await server.send("PUBLISH", "b", message)
        await eventually("they have come", () => messages.length === 3)
        const cut = proxy.cutAfter(1)
        const error = failure(subscriber.subscribe("c"))
        assert.deepStrictEqual(await cut, ["subscribe", "c"])
        await error
      })
    })
  }

  it("cuts amid a request", async () => {
    proxy = await startProxy(server)
    const client = await connect(proxy.url)
    clients.push(client)
    await server.send("SET", "half", "no")
    const cut = proxy.cutAfterBytes(500)
    const error = failure(client.set("half", "x".repeat(1_000)))
    await Promise.all([cut, error])
    assert.strictEqual(await server.send("GET", "half"), "no")
  })

  it("counts what it is told to count, and over all connections", async () => {
    proxy = await startProxy(server)
    const both = await Promise.all([connect(proxy.url), connect(proxy.url)])
    clients.push(...both)
    const before = proxy.requests.length
    const cut = proxy.cutBefore(2, ([command]) => command === "get")
    await both[0]!.get("a")
    await both[0]!.set("a", 1)
    await both[1]!.set("a", 2)
    await failure(both[1]!.get("b"))
    assert.deepStrictEqual(await cut, ["get", "b"])
    assert.strictEqual(await both[0]!.get("a"), "2", "the other connection stays")
    assert.deepStrictEqual(proxy.requests.slice(before).map(([command]) => command), ["get", "set", "set", "get"])
    void proxy.cutBefore(1)
    proxy.disarm()
    assert.strictEqual(await both[0]!.get("a"), "2")
  })

  it("stands still, and goes on", async () => {
    proxy = await startProxy(server)
    const client = await connect(proxy.url)
    clients.push(client)
    proxy.stall()
    assert.isTrue(await hangs(client.set("late", 1)))
    const later = connect(proxy.url)
    await eventually("it is let in", () => proxy.connections() === 2)
    await proxy.resume()
    clients.push(await later)
    await eventually("it is done", async () => await client.get("late") === "1")
  })

  it("drops, refuses, and lets in again", async () => {
    proxy = await startProxy(server)
    const client = await connect(proxy.url)
    clients.push(client)
    proxy.drop()
    await eventually("it is told", () => client.status === "end")
    await proxy.refuse()
    assert.isFalse(await isListening(proxy.port))
    await proxy.resume()
    const again = await connect(proxy.url)
    clients.push(again)
    assert.strictEqual(await again.ping(), "PONG")
  })

  it("stands before every node of a cluster", async () => {
    const { natMap, proxies, stop } = await startProxies(clusterNodes())
    proxy = proxies[0]!
    const client = new Cluster(proxies.map(({ host, port }) => ({ host, port })), { natMap })
    clients.push(client)
    const prefix = freshPrefix()
    for (let i = 0; i < 30; i++) await client.set(`${prefix}:${i}`, i, "PX", 60_000)
    const seen = proxies.flatMap(({ requests }) => requests).filter(([command]) => command === "set")
    assert.strictEqual(seen.length, 30)
    client.disconnect()
    await stop()
  })
})
