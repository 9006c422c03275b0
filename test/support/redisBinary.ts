/**
 * Where the server that tests run on comes from: what is installed, or what
 * the system's package manager may install without asking.
 */
import { spawnSync } from "node:child_process"
import * as install from "./install.ts"

/** The oldest server that is promised to work. */
export const oldest = "6.2"

const names = ["redis-server", "valkey-server"]

export interface Binary {
  readonly path: string
  /** Undefined if it does not say. */
  readonly version: string | undefined
}

/** What of a machine decides. */
export interface Machine extends install.System {
  /** What `REDIS_SERVER` names. */
  readonly named: Binary | undefined
  /** Servers that are installed, the preferred first. */
  readonly installed: ReadonlyArray<Binary>
}

const isNewEnough = ({ version = "0" }: Binary): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [least = 0, leastMinor = 0] = oldest.split(".").map(Number)
  return major > least || (major === least && minor >= leastMinor)
}

const needed = `Redis ${oldest} or later, or Valkey, is needed`
const remedy = "install redis-server or valkey-server, or say in REDIS_SERVER where it is"

const packages: install.Packages = {
  "apt-get": [["redis-server"], ["valkey-server"]],
  dnf: [["redis"], ["valkey"]],
  apk: [["redis"], ["valkey"]],
  brew: [["redis"], ["valkey"]]
}

/** What to do on a machine. */
export const decide = (machine: Machine): install.Decision<Binary> => {
  const { installed, named } = machine
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
  const ways = install.waysToInstall(machine, packages, true)
  return ways === undefined ? { _tag: "Refuse", why: `${needed}: ${remedy}` } : { _tag: "Install", ways }
}

const inspect = (file: string): Binary => {
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 })
  // `Redis server v=7.0.15 sha=...`, and the same of Valkey.
  return { path: file, version: /\bserver v=(\d+(?:\.\d+)*)/.exec(stdout ?? "")?.[1] }
}

/** Looks at this machine, as its environment shows it. `places` are looked into after PATH. */
export const look = (env: NodeJS.ProcessEnv, places: ReadonlyArray<string> = install.usualPlaces): Machine => {
  const folders = [...install.foldersOf(env), ...places]
  const named = env.REDIS_SERVER
  return {
    ...install.systemOf(env),
    named: named === undefined || named === "" ? undefined : inspect(named),
    installed: names.flatMap((name) => install.find(name, folders) ?? []).map(inspect)
  }
}

/** Finds a server, installs one if need be and if that is permitted, or throws `NotInstalled`. */
export const findOrInstall = (
  env: NodeJS.ProcessEnv = process.env,
  say: (line: string) => void = console.error,
  places?: ReadonlyArray<string>
): Binary => install.findOrInstall({ what: "Redis", needed, remedy, decide: () => decide(look(env, places)) }, env, say)

let found: Binary | undefined

/** The server of this machine, looked for once in a process. */
export const serverBinary = (): Binary => found ??= findOrInstall()
