/**
 * Where the server that tests run on comes from: what is installed, or what
 * the system's package manager may install without asking.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

/** The oldest server that is promised to work. */
export const oldest = "6.2"

const names = ["redis-server", "valkey-server"]
const managers = ["apt-get", "dnf", "apk", "brew"] as const

/** Where package managers put a server, on PATH or not. */
const usualPlaces = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin", "/opt/local/bin", "/snap/bin"]

export interface Binary {
  readonly path: string
  /** Undefined if it does not say. */
  readonly version: string | undefined
}

/** What of a machine decides. */
export interface Machine {
  /** What `REDIS_SERVER` names. */
  readonly named: Binary | undefined
  /** Servers that are installed, the preferred first. */
  readonly installed: ReadonlyArray<Binary>
  readonly managers: ReadonlyArray<typeof managers[number]>
  readonly root: boolean
  /** Whether `sudo` does not ask for a password. */
  readonly sudo: boolean
  /** Whether services run, as a package may start one of its own. */
  readonly systemd: boolean
}

export type Command = readonly [string, ...Array<string>]

export type Decision =
  | { readonly _tag: "Use"; readonly binary: Binary }
  /** The ways are tried in turn, until after one of them there is a server. */
  | { readonly _tag: "Install"; readonly ways: ReadonlyArray<ReadonlyArray<Command>> }
  | { readonly _tag: "Refuse"; readonly why: string }

const isNewEnough = ({ version = "0" }: Binary): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [least = 0, leastMinor = 0] = oldest.split(".").map(Number)
  return major > least || (major === least && minor >= leastMinor)
}

const needed = `Redis ${oldest} or later, or Valkey, is needed`
const remedy = "install redis-server or valkey-server, or say in REDIS_SERVER where it is"

/** What is run for a package; nobody wants a service that listens for the sake of tests. */
export const commands = (
  manager: typeof managers[number],
  name: string,
  { systemd }: Pick<Machine, "systemd">
): ReadonlyArray<Command> => {
  switch (manager) {
    case "apt-get": {
      const service: ReadonlyArray<Command> = systemd ? [["systemctl", "disable", "--now", name]] : []
      const wait = "DPkg::Lock::Timeout=120"
      return [
        ["apt-get", "-qq", "-o", wait, "update"],
        [
          ...["env", "DEBIAN_FRONTEND=noninteractive"] as const,
          ...["apt-get", "-qq", "-y", "-o", wait, "--no-install-recommends", "install", name]
        ],
        ...service
      ]
    }
    case "dnf":
      return [["dnf", "-q", "-y", "install", name]]
    case "apk":
      return [["apk", "add", "-q", "--no-cache", name]]
    case "brew":
      return [["brew", "install", "-q", name]]
  }
}

const packages: Readonly<Record<typeof managers[number], ReadonlyArray<string>>> = {
  "apt-get": ["redis-server", "valkey-server"],
  dnf: ["redis", "valkey"],
  apk: ["redis", "valkey"],
  brew: ["redis", "valkey"]
}

/** What to do on a machine. */
export const decide = (machine: Machine): Decision => {
  const { installed, named, root, sudo } = machine
  if (named !== undefined) {
    if (named.version === undefined) {
      return { _tag: "Refuse", why: `${needed}, and REDIS_SERVER is not one: ${named.path}` }
    }
    return isNewEnough(named)
      ? { _tag: "Use", binary: named }
      : { _tag: "Refuse", why: `${needed}, and REDIS_SERVER is ${named.version}: ${named.path}` }
  }
  const binary = installed.find(isNewEnough)
  if (binary !== undefined) return { _tag: "Use", binary }
  // The system has no newer one to offer, then.
  const [old] = installed
  if (old !== undefined) {
    return { _tag: "Refuse", why: `${needed}, and ${old.path} is ${old.version ?? "not one"}: ${remedy}` }
  }
  const manager = machine.managers.find((name) => name === "brew" ? !root : root || sudo)
  if (manager === undefined) return { _tag: "Refuse", why: `${needed}: ${remedy}` }
  const prefix = root || manager === "brew" ? [] : ["sudo", "-n"]
  const ways = packages[manager].map((name) =>
    commands(manager, name, machine).map((command) => [...prefix, ...command] as unknown as Command)
  )
  return { _tag: "Install", ways }
}

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

const inspect = (file: string): Binary => {
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 })
  // `Redis server v=7.0.15 sha=...`, and the same of Valkey.
  return { path: file, version: /\bserver v=(\d+(?:\.\d+)*)/.exec(stdout ?? "")?.[1] }
}

/** Looks at this machine, as its environment shows it. `places` are looked into after PATH. */
export const look = (env: NodeJS.ProcessEnv, places: ReadonlyArray<string> = usualPlaces): Machine => {
  const folders = (env.PATH ?? "").split(path.delimiter).filter((folder) => folder !== "")
  const find = (name: string, where: ReadonlyArray<string>): string | undefined =>
    where.map((folder) => path.join(folder, name)).find(isExecutable)
  const servers = names.flatMap((name) => find(name, [...folders, ...places]) ?? [])
  const named = env.REDIS_SERVER
  const sudo = find("sudo", folders)
  return {
    named: named === undefined || named === "" ? undefined : inspect(named),
    installed: servers.map(inspect),
    managers: managers.filter((name) => find(name, folders) !== undefined),
    root: process.getuid?.() === 0,
    sudo: sudo !== undefined && spawnSync(sudo, ["-n", "true"], { stdio: "ignore", timeout: 10_000 }).status === 0,
    systemd: fs.existsSync("/run/systemd/system")
  }
}

/** Runs commands until one fails, and returns the last line that it wrote; their output is of interest to nobody else. */
const runAll = (way: ReadonlyArray<Command>, env: NodeJS.ProcessEnv): string | undefined => {
  for (const [command, ...args] of way) {
    const { error, status, stderr, stdout } = spawnSync(command, args, {
      encoding: "utf8",
      env,
      stdio: ["ignore", "pipe", "pipe"]
    })
    if (status === 0) continue
    const last = `${stdout}\n${stderr}`.trim().split("\n").at(-1)
    return `\`${[command, ...args].join(" ")}\` failed: ${error?.message ?? last}`
  }
}

/** Says what to do in one line; where it was thrown is of no interest. */
export class NoServer extends Error {
  override readonly name = "NoServer"
  constructor(why: string) {
    super(why)
    this.stack = `${this.name}: ${why}`
  }
}

/** Finds a server, installs one if need be and if that is permitted, or throws `NoServer`. */
export const findOrInstall = (
  env: NodeJS.ProcessEnv = process.env,
  say: (line: string) => void = console.error,
  places?: ReadonlyArray<string>
): Binary => {
  const first = decide(look(env, places))
  if (first._tag === "Use") return first.binary
  if (first._tag === "Refuse") throw new NoServer(first.why)
  const complaints: Array<string> = []
  for (const way of first.ways) {
    say(`No Redis is here. Installing it: ${way.map((command) => command.join(" ")).join(" && ")}`)
    const complaint = runAll(way, env)
    const then = decide(look(env, places))
    if (then._tag === "Use") return then.binary
    complaints.push(complaint ?? (then._tag === "Refuse" ? then.why : "there still is none"))
  }
  throw new NoServer(`${needed}, and ${complaints[0]}; ${remedy}`)
}

let found: Binary | undefined

/** The server of this machine, looked for once in a process. */
export const serverBinary = (): Binary => found ??= findOrInstall()
