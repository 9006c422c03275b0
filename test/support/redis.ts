/**
 * Real servers for tests, benchmarks and histories: a node, a cluster, a
 * Sentinel. Each has a free port and a folder of its own, stores nothing on disk
 * unless asked to, and is gone when it is stopped or when this process ends,
 * however it ends.
 */
import { Redis, type RedisOptions } from "ioredis"
import type { ChildProcess } from "node:child_process"
import { randomInt } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { serverBinary } from "./redisBinary.ts"
import { makeFolder, spawnServer } from "./redisFolder.ts"

export { as6, type Proxy, type Request, type Seen, startProxies, startProxy, type Target } from "./redisProxy.ts"

const host = "127.0.0.1"

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Asks again and again until the answer is neither undefined nor false; fails after `limit` milliseconds, with the last error. */
export const eventually = async <A>(
  what: string,
  ask: () => A | undefined | false | Promise<A | undefined | false>,
  limit: number = 30_000
): Promise<A> => {
  const end = performance.now() + limit
  let cause: unknown
  while (performance.now() < end) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
      cause = undefined
    } catch (error) {
      cause = error
    }
    await sleep(10)
  }
  throw new Error(`after ${limit} ms it is still not so: ${what}`, { cause })
}

/**
 * A connection that is ready, for looking and for arranging things. It does not come back when it is lost, and what is
 * asked of it then fails at once. Whoever connects disconnects.
 */
export const connect = async (url: string, options: Omit<RedisOptions, "replyMapping"> = {}): Promise<Redis> => {
  const redis = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: null, lazyConnect: true, ...options })
  // A failing command says so itself.
  redis.on("error", () => undefined)
  await redis.connect()
  return redis
}

// -----------------------------------------------------------------------------
// one server
// -----------------------------------------------------------------------------

/** What stands in the server's configuration, values as they are written there; an array is one line for each. */
export type Config = Readonly<Record<string, string | number | ReadonlyArray<string | number>>>

export interface ServerOptions {
  readonly config?: Config
  /** More arguments of the command line. */
  readonly args?: ReadonlyArray<string>
  /** More than the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Server {
  readonly host: string
  readonly port: number
  /** With the password, if `config` has a `requirepass`. */
  readonly url: string
  /** The process now, or the last one. */
  readonly pid: number
  readonly isRunning: boolean
  /** Its working directory, with its configuration and its log. */
  readonly folder: string
  /** The end of what it has written to its log. */
  readonly log: () => string
  /** One command by a connection of its own. */
  readonly send: (command: string, ...args: ReadonlyArray<string | number>) => Promise<unknown>
  /** Ends it by SIGKILL; `restart` brings it back. */
  readonly kill: () => Promise<void>
  /** Ends it in an orderly way if it runs, and starts it on the same port and with the same data, if it stored any. */
  readonly restart: () => Promise<void>
  /** Lets it stand still (SIGSTOP): connections stay open and nothing is answered. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** Ends it, and removes its folder. */
  readonly stop: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

// Below the ports that systems give to outgoing connections, and a cluster's bus is 10 000 above.
const lowestPort = 12_000
const highestPort = 21_999
const busOffset = 10_000

/** Ports of servers that this process has, running or not. */
const taken = new Set<number>()

/** Whether nobody listens on a port. */
export const isFree = async (port: number): Promise<boolean> => {
  const server = net.createServer().listen({ host, port, exclusive: true })
  try {
    await once(server, "listening")
    server.close()
    await once(server, "close")
    return true
  } catch {
    return false
  }
}

const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowestPort, highestPort + 1)
    if (taken.has(port)) continue
    taken.add(port)
    if (await isFree(port) && await isFree(port + busOffset)) return port
    taken.delete(port)
  }
  throw new Error(`no free port between ${lowestPort} and ${highestPort}`)
}

/** The first line of the answer to a PING: an error is an answer, too. */
const ping = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host, port }, () => socket.write("PING\r\n"))
    socket.setTimeout(1_000, () => socket.destroy(new Error("no answer to PING")))
    socket.on("error", reject)
    socket.once("data", (data) => {
      socket.destroy()
      resolve(data.toString())
    })
    socket.once("close", () => reject(new Error("closed before an answer to PING")))
  })

const isNewerThan6 = (version: string | undefined): boolean => Number.parseInt(version ?? "0") >= 7

const configText = (config: Config): string =>
  Object.entries(config)
    .flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => `${name} ${one}\n`))
    .join("")

const isBindFailure = (log: string): boolean => /already in use|Failed listening on|can't bind/i.test(log)

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** A promise of the exit keeps this process waiting, which a server alone does not. */
const exit = async (child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
  if (ended(child)) return
  child.ref()
  const exited = once(child, "exit")
  child.kill(signal)
  // One that stands still hears of a SIGTERM when it goes on.
  child.kill("SIGCONT")
  // One that cannot save its data refuses to end.
  const limit = setTimeout(() => child.kill("SIGKILL"), 10_000)
  await exited
  clearTimeout(limit)
}

/** What of a configuration a port decides. */
type Settings = (port: number, folder: string) => Config

const startWith = async (
  settings: Settings,
  { args = [], env }: Omit<ServerOptions, "config"> = {},
  password?: string
): Promise<Server> => {
  const binary = serverBinary()
  const folder = makeFolder()
  const file = path.join(folder, "redis.conf")
  const logFile = path.join(folder, "log")

  const launch = async (): Promise<ChildProcess> => {
    const from = fs.existsSync(logFile) ? fs.statSync(logFile).size : 0
    const child = await spawnServer(folder, binary.path, [file, ...args], { env: { ...process.env, ...env } })
    const { port } = server
    try {
      // Somebody else's server may answer at a port that was free a moment ago.
      const isUp = () => /Ready to accept connections|Sentinel ID/.test(fs.readFileSync(logFile, "utf8").slice(from))
      await eventually("it answers", async () => {
        if (ended(child)) return true
        return isUp() && !(await ping(port)).startsWith("-LOADING")
      })
    } catch (error) {
      await exit(child, "SIGKILL")
      throw error
    }
    if (ended(child)) {
      const written = fs.readFileSync(logFile).subarray(from).toString()
      throw new Error(`${binary.path} did not start:\n${written.split("\n").slice(-20).join("\n")}`)
    }
    return child
  }

  let port = 0
  let child: ChildProcess | undefined

  const server: Server = {
    host,
    get port() {
      return port
    },
    get url() {
      const secret = password === undefined ? "" : `:${encodeURIComponent(password)}@`
      return `redis://${secret}${host}:${port}`
    },
    get pid() {
      return child!.pid!
    },
    get isRunning() {
      return child !== undefined && !ended(child)
    },
    folder,
    log: () => fs.readFileSync(logFile, "utf8").split("\n").slice(-50).join("\n"),
    send: async (command, ...args) => {
      const redis = await connect(server.url, { enableReadyCheck: false })
      try {
        return await redis.call(command, ...args)
      } finally {
        redis.disconnect()
      }
    },
    kill: () => exit(child!, "SIGKILL"),
    restart: async () => {
      await exit(child!, "SIGTERM")
      child = await launch()
    },
    freeze: () => {
      child!.kill("SIGSTOP")
    },
    thaw: () => {
      child!.kill("SIGCONT")
    },
    stop: async () => {
      if (child !== undefined) await exit(child, "SIGKILL")
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
      taken.delete(port)
    },
    [Symbol.asyncDispose]: () => server.stop()
  }

  for (let attempt = 1;; attempt++) {
    port = await freePort()
    fs.writeFileSync(file, configText(settings(port, folder)))
    try {
      child = await launch()
      return server
    } catch (error) {
      const isTaken = isBindFailure(fs.readFileSync(logFile, "utf8"))
      taken.delete(port)
      if (isTaken && attempt < 10) {
        fs.rmSync(logFile)
        continue
      }
      await server.stop()
      throw error
    }
  }
}

/** Starts a server that can be used. */
export const startServer = (options: ServerOptions = {}): Promise<Server> => {
  const config = options.config ?? {}
  const { version } = serverBinary()
  const settings: Settings = (port, folder) => ({
    bind: host,
    port,
    dir: folder,
    daemonize: "no",
    save: "\"\"",
    appendonly: "no",
    // A replica starts to copy at once.
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": 0,
    // To end in an orderly way does not mean to wait for replicas.
    ...(isNewerThan6(version) ? { "shutdown-timeout": 0 } : {}),
    ...config
  })
  const { requirepass } = config
  return startWith(settings, options, requirepass === undefined ? undefined : String(requirepass))
}

const stopAll = async (servers: ReadonlyArray<Server>): Promise<void> => {
  await Promise.all(servers.map((server) => server.stop()))
}

/** Starts several at once; if one does not start, none is left. */
const startAll = async (starts: ReadonlyArray<Promise<Server>>): Promise<ReadonlyArray<Server>> => {
  const settled = await Promise.allSettled(starts)
  const servers = settled.flatMap((one) => one.status === "fulfilled" ? [one.value] : [])
  const failure = settled.find((one) => one.status === "rejected")
  if (failure === undefined) return servers
  await stopAll(servers)
  throw failure.reason
}

const orStop = async <A>(servers: ReadonlyArray<Server>, work: () => Promise<A>): Promise<A> => {
  try {
    return await work()
  } catch (error) {
    await stopAll(servers)
    throw error
  }
}

/** The fields of an INFO. */
const fields = (text: unknown): ReadonlyMap<string, string> =>
  new Map(
    String(text).split("\r\n").flatMap((line) => {
      const colon = line.indexOf(":")
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
    })
  )

const infoOf = async (server: Server, section: string): Promise<ReadonlyMap<string, string>> =>
  fields(await server.send("INFO", section))

// -----------------------------------------------------------------------------
// a cluster
// -----------------------------------------------------------------------------

export interface ClusterOptions {
  /** 3 if absent, the least that a cluster fails over with. */
  readonly primaries?: number
  /** 1 if absent. */
  readonly replicasEach?: number
  /** More configuration of every node. */
  readonly config?: Config
}

export interface Cluster {
  /** All nodes that were started, the first primaries first. */
  readonly nodes: ReadonlyArray<Server>
  readonly urls: ReadonlyArray<string>
  /** One command on a node that runs. */
  readonly send: (command: string, ...args: ReadonlyArray<string | number>) => Promise<unknown>
  readonly primaries: () => Promise<ReadonlyArray<Server>>
  readonly primaryOf: (key: string) => Promise<Server>
  readonly replicasOf: (primary: Server) => Promise<ReadonlyArray<Server>>
  /** Kills a primary, if nobody has, waits until a replica has its slots and all that run agree, and returns it. */
  readonly failover: (primary: Server) => Promise<Server>
  /** Makes a replica the primary in an orderly way: nothing is lost and both go on. */
  readonly promote: (replica: Server) => Promise<void>
  /** Waits until all nodes that run agree about who is who, every slot is served and every replica is linked. */
  readonly waitUntilReady: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** A row of CLUSTER NODES. */
interface Row {
  readonly id: string
  readonly port: number
  readonly flags: ReadonlyArray<string>
  readonly primary: string
  readonly isLinked: boolean
  readonly slots: ReadonlyArray<readonly [first: number, last: number]>
}

const rowsOf = async (server: Server): Promise<ReadonlyArray<Row>> =>
  String(await server.send("CLUSTER", "NODES")).trim().split("\n").map((line) => {
    const [id, address, flags, primary, , , , link, ...slots] = line.split(" ")
    return {
      id: id!,
      port: Number(/:(\d+)/.exec(address!)![1]),
      flags: flags!.split(",").filter((flag) => flag !== "myself"),
      primary: primary!,
      isLinked: link === "connected",
      slots: slots.filter((slot) => !slot.startsWith("[")).map((slot) => {
        const [first, last = first] = slot.split("-").map(Number)
        return [first!, last!] as const
      })
    }
  })

const slotCount = 16_384

/** After so many milliseconds of silence somebody is thought to be dead: only while it is to be noticed. */
const silence = { usual: 15_000, noticed: 1_000 }

const makeCluster = (nodes: ReadonlyArray<Server>): Cluster => {
  const running = (): ReadonlyArray<Server> => nodes.filter((node) => node.isRunning)
  const anyone = (): Server => {
    const [node] = running()
    if (node === undefined) throw new Error("no node of the cluster runs")
    return node
  }
  const at = ({ port }: Row): Server => nodes.find((node) => node.port === port)!
  const isPrimary = ({ flags }: Row): boolean => flags.includes("master") && !flags.includes("fail")

  /** Who is who, as a text that is the same wherever it is the same. */
  const opinion = (rows: ReadonlyArray<Row>): string =>
    rows.map(({ flags, id, primary, slots }) => [id, flags.join(), primary, slots.join()].join(" ")).sort().join("\n")

  const isReady = async (): Promise<boolean> => {
    const views = await Promise.all(running().map(rowsOf))
    const [rows = []] = views
    const alive = rows.filter((row) => nodes.some((node) => node.port === row.port && node.isRunning))
    const served = rows.filter(isPrimary).flatMap(({ slots }) => slots)
      .reduce((sum, [first, last]) => sum + last - first + 1, 0)
    if (served !== slotCount || rows.length !== nodes.length || new Set(views.map(opinion)).size !== 1) return false
    if (alive.some(({ flags }) => flags.some((flag) => /fail|handshake|noaddr/.test(flag)))) return false
    const states = await Promise.all(
      running().map(async (node) => {
        const replication = await infoOf(node, "replication")
        return fields(await node.send("CLUSTER", "INFO")).get("cluster_state") === "ok" &&
          replication.get("master_link_status") !== "down"
      })
    )
    return states.every(Boolean)
  }

  const cluster: Cluster = {
    nodes,
    urls: nodes.map(({ url }) => url),
    send: (command, ...args) => anyone().send(command, ...args),
    primaries: async () => (await rowsOf(anyone())).filter(isPrimary).map(at),
    primaryOf: async (key) => {
      const slot = Number(await anyone().send("CLUSTER", "KEYSLOT", key))
      const rows = (await rowsOf(anyone())).filter(isPrimary)
      const row = rows.find(({ slots }) => slots.some(([first, last]) => first <= slot && slot <= last))
      if (row === undefined) throw new Error(`nobody serves slot ${slot}`)
      return at(row)
    },
    replicasOf: async (primary) => {
      const rows = await rowsOf(anyone())
      const id = rows.find(({ port }) => port === primary.port)?.id
      return rows.filter((row) => row.primary === id).map(at)
    },
    failover: async (primary) => {
      await primary.kill()
      const replicas = await cluster.replicasOf(primary)
      await allowSilence(running(), silence.noticed)
      const successor = await eventually(`a replica of ${primary.port} is a primary`, async () => {
        const primaries = await cluster.primaries()
        return replicas.find((replica) => primaries.includes(replica))
      })
      await cluster.waitUntilReady()
      await allowSilence(running(), silence.usual)
      return successor
    },
    promote: async (replica) => {
      await replica.send("CLUSTER", "FAILOVER")
      await eventually(`${replica.port} is a primary`, async () => (await cluster.primaries()).includes(replica))
      await cluster.waitUntilReady()
    },
    waitUntilReady: async () => {
      await eventually("the cluster is ready", isReady, 30_000)
    },
    stop: () => stopAll(nodes),
    [Symbol.asyncDispose]: () => stopAll(nodes)
  }
  return cluster
}

const allowSilence = (nodes: ReadonlyArray<Server>, millis: number): Promise<unknown> =>
  Promise.all(nodes.map((node) => node.send("CONFIG", "SET", "cluster-node-timeout", millis)))

/** Starts a cluster that serves every slot and whose replicas are linked. */
export const startCluster = async (options: ClusterOptions = {}): Promise<Cluster> => {
  const { primaries = 3, replicasEach = 1 } = options
  const config: Config = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    // Nodes tell each other who they are the more often the shorter this is.
    "cluster-node-timeout": silence.noticed,
    // Replicas stay with the primary that they were given to.
    "cluster-migration-barrier": 100,
    "repl-ping-replica-period": 1,
    ...options.config
  }
  const count = primaries * (1 + replicasEach)
  const nodes = await startAll(Array.from({ length: count }, () => startServer({ config })))
  return orStop(nodes, async () => {
    const ids = await Promise.all(nodes.map(async (node) => String(await node.send("CLUSTER", "MYID"))))
    const boundary = (i: number): number => Math.round(i * slotCount / primaries)
    await Promise.all(
      nodes.slice(0, primaries).map(async (node, i) => {
        const slots = Array.from({ length: boundary(i + 1) - boundary(i) }, (_, k) => boundary(i) + k)
        await node.send("CLUSTER", "ADDSLOTS", ...slots)
        await node.send("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
      })
    )
    const [first, ...others] = nodes
    for (const node of others) await node.send("CLUSTER", "MEET", host, first!.port)
    await eventually("all nodes know each other", async () => {
      const views = await Promise.all(nodes.map(rowsOf))
      return views.every((rows) => ids.every((id) => rows.some((row) => row.id === id && row.isLinked)))
    })
    await Promise.all(
      nodes.slice(primaries).map((node, i) => node.send("CLUSTER", "REPLICATE", ids[i % primaries]!))
    )
    const cluster = makeCluster(nodes)
    await cluster.waitUntilReady()
    await allowSilence(nodes, silence.usual)
    return cluster
  })
}

// -----------------------------------------------------------------------------
// Sentinel
// -----------------------------------------------------------------------------

export interface Sentinel {
  /** What clients ask for. */
  readonly name: string
  readonly sentinels: ReadonlyArray<Server>
  /** The first primary, and the first replica. */
  readonly nodes: ReadonlyArray<Server>
  /** Who is the primary, as the sentinels say. */
  readonly primary: () => Promise<Server>
  /** Kills the primary, and returns the replica that was promoted. */
  readonly failover: () => Promise<Server>
  readonly stop: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** Starts a primary, a replica, and so many sentinels (1) that watch them. */
export const startSentinel = async (options: { readonly sentinels?: number } = {}): Promise<Sentinel> => {
  const { sentinels: count = 1 } = options
  const name = "main"
  const first = await startServer()
  const second = await orStop([first], () => startServer({ config: { replicaof: `${host} ${first.port}` } }))
  const nodes = [first, second]
  const quorum = Math.floor(count / 2) + 1
  const settings: Settings = (port, folder) => ({
    bind: host,
    port,
    dir: folder,
    sentinel: [
      `monitor ${name} ${host} ${first.port} ${quorum}`,
      `down-after-milliseconds ${name} ${silence.usual}`,
      `failover-timeout ${name} 3000`
    ]
  })
  return orStop(nodes, async () => {
    const isLinked = async (): Promise<boolean> =>
      (await infoOf(second, "replication")).get("master_link_status") === "up"
    await eventually("the replica is linked", isLinked)
    const starts = Array.from({ length: count }, () => startWith(settings, { args: ["--sentinel"] }))
    const sentinels = await startAll(starts)
    return orStop(sentinels, async () => {
      await eventually("the sentinels know everyone", async () => {
        const infos = await Promise.all(sentinels.map((sentinel) => infoOf(sentinel, "sentinel")))
        return infos.every((info) => info.get("master0")?.endsWith(`slaves=1,sentinels=${count}`))
      })
      const primary = async (): Promise<Server> => {
        const running = sentinels.find((sentinel) => sentinel.isRunning)
        if (running === undefined) throw new Error("no sentinel runs")
        const [, port] = await running.send("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name) as [string, string]
        return nodes.find((node) => node.port === Number(port))!
      }
      const stop = (): Promise<void> => stopAll([...sentinels, ...nodes])
      return {
        name,
        sentinels,
        nodes,
        primary,
        failover: async () => {
          const before = await primary()
          await before.kill()
          await Promise.all(
            sentinels.filter(({ isRunning }) => isRunning).map((sentinel) =>
              sentinel.send("SENTINEL", "SET", name, "down-after-milliseconds", silence.noticed)
            )
          )
          return eventually("the replica is the primary", async () => {
            const now = await primary()
            if (now === before) return undefined
            return (await infoOf(now, "replication")).get("role") === "master" ? now : undefined
          })
        },
        stop,
        [Symbol.asyncDispose]: stop
      }
    })
  })
}
