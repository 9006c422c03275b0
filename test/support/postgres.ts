/**
 * Real Postgres servers for tests: each with a free port and a folder of its own, for this machine alone, without a
 * password, and not safe from a power failure. It is gone when it is stopped or when this process ends,
 * however it ends.
 */
import { type ChildProcess, execFile } from "node:child_process"
import { randomInt } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { promisify } from "node:util"
import { binaries } from "./postgresBinary.ts"
import { eventually, isFree } from "./redis.ts"
import { makeFolder, spawnServer } from "./redisFolder.ts"

const host = "127.0.0.1"

export interface Postgres {
  readonly port: number
  /** Of a database: `postgres://postgres@127.0.0.1:PORT/NAME`. */
  readonly urlOf: (database: string) => string
  readonly pid: number
  readonly isRunning: boolean
  /** The end of what it has written to its log. */
  readonly log: () => string
  /** Ends it by SIGKILL; `restart` brings it back. What was committed is there again. */
  readonly kill: () => Promise<void>
  readonly restart: () => Promise<void>
  /** Ends it, and removes its folder. */
  readonly stop: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** Who may run it: not root, who is refused. */
interface Owner {
  readonly uid?: number
  readonly gid?: number
}

const owner = (): Owner => {
  if (process.getuid?.() !== 0) return {}
  const users = fs.readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"))
  const user = ["postgres", "nobody"].map((name) => users.find(([first]) => first === name)).find((row) => row)
  if (user === undefined) throw new Error("Postgres does not run as root, and there is no user `postgres` or `nobody`")
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

// Below the ports that systems give to outgoing connections, and above those of the other servers of the tests.
const lowestPort = 22_000
const highestPort = 31_999

const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowestPort, highestPort + 1)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${lowestPort} and ${highestPort}`)
}

/** The first message of a client, in version 3.0 of the protocol. */
const hello = (): Buffer => {
  const said = Buffer.from("....\0\x03\0\0user\0postgres\0database\0postgres\0\0", "latin1")
  said.writeInt32BE(said.length)
  return said
}

/** Whether it lets somebody in: while it starts it says that it does not yet. */
const isUp = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect({ host, port }, () => socket.write(hello()))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on("error", () => socket.destroy())
    socket.once("data", (answer) => {
      resolve(answer.toString("latin1").startsWith("R"))
      socket.destroy()
    })
    socket.once("close", () => resolve(false))
  })

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** A promise of the exit keeps this process waiting, which a server alone does not. */
const exit = async (child: ChildProcess, signal: "SIGINT" | "SIGKILL" | "SIGQUIT"): Promise<void> => {
  if (ended(child)) return
  child.ref()
  const exited = once(child, "exit")
  child.kill(signal)
  const limit = setTimeout(() => child.kill("SIGKILL"), 10_000)
  await exited
  clearTimeout(limit)
}

const config = (port: number): ReadonlyArray<string> =>
  Object.entries({
    listen_addresses: host,
    port,
    unix_socket_directories: "",
    max_connections: 200,
    fsync: "off",
    full_page_writes: "off",
    autovacuum: "off",
    timezone: "UTC"
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`])

/** Starts a server that can be used. */
export const startPostgres = async (): Promise<Postgres> => {
  const programs = binaries()
  const folder = makeFolder()
  const data = path.join(folder, "data")
  const logFile = path.join(folder, "log")
  const who = owner()
  if (who.uid !== undefined) {
    // Whoever runs it has to get there.
    fs.chmodSync(path.dirname(folder), 0o711)
    fs.chownSync(folder, who.uid, who.gid!)
  }
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  const initial = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D", data]

  const launch = async (port: number): Promise<ChildProcess> => {
    const child = await spawnServer(folder, path.join(programs, "postgres"), ["-D", data, ...config(port)], who)
    await eventually("Postgres answers", () => ended(child) || isUp(port))
    if (ended(child)) throw new Error(`Postgres did not start:\n${server.log()}`)
    return child
  }

  let port = 0
  let child: ChildProcess | undefined

  const server: Postgres = {
    get port() {
      return port
    },
    urlOf: (database) => `postgres://postgres@${host}:${port}/${database}`,
    get pid() {
      return child!.pid!
    },
    get isRunning() {
      return child !== undefined && !ended(child)
    },
    log: () => fs.readFileSync(logFile, "utf8").split("\n").slice(-50).join("\n"),
    kill: () => exit(child!, "SIGKILL"),
    restart: async () => {
      await exit(child!, "SIGINT")
      child = await launch(port)
    },
    stop: async () => {
      // At once, and yet it takes with it what it shares with its own processes.
      if (child !== undefined) await exit(child, "SIGQUIT")
      remove()
    },
    [Symbol.asyncDispose]: () => server.stop()
  }

  try {
    await promisify(execFile)(path.join(programs, "initdb"), initial, { cwd: folder, ...who })
    for (let attempt = 1; child === undefined; attempt++) {
      port = await freePort()
      try {
        child = await launch(port)
      } catch (error) {
        if (attempt === 10 || !/could not bind|could not create any TCP/.test(server.log())) throw error
      }
    }
    return server
  } catch (error) {
    remove()
    throw error
  }
}
