/**
 * Programs that the tests need and npm does not bring: looked for where they usually are, or installed by the package
 * manager of the system, if nobody is asked for a password.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

export const managers = ["apt-get", "dnf", "apk", "brew"] as const

export type Manager = typeof managers[number]

/** Where package managers put programs, on PATH or not. */
export const usualPlaces = [
  "/usr/local/bin",
  "/usr/bin",
  "/usr/sbin",
  "/opt/homebrew/bin",
  "/opt/local/bin",
  "/snap/bin"
]

/** What of a machine decides whether and how something is installed. */
export interface System {
  readonly managers: ReadonlyArray<Manager>
  readonly root: boolean
  /** Whether `sudo` does not ask for a password. */
  readonly sudo: boolean
  /** Whether services run, as a package may start one of its own. */
  readonly systemd: boolean
}

export type Command = readonly [string, ...Array<string>]

/** Commands one after the other. */
export type Way = ReadonlyArray<Command>

/** What is to be installed by each manager: the alternatives, each of which is packages that are installed together. */
export type Packages = Readonly<Record<Manager, ReadonlyArray<readonly [string, ...Array<string>]>>>

const commands = (
  manager: Manager,
  packages: readonly [string, ...Array<string>],
  serves: boolean,
  systemd: boolean
): ReadonlyArray<Command> => {
  switch (manager) {
    case "apt-get": {
      // Nobody wants a service that listens for the sake of tests.
      const service: ReadonlyArray<Command> = serves && systemd ? [["systemctl", "disable", "--now", packages[0]]] : []
      const wait = "DPkg::Lock::Timeout=120"
      return [
        ["apt-get", "-qq", "-o", wait, "update"],
        [
          ...["env", "DEBIAN_FRONTEND=noninteractive"] as const,
          ...["apt-get", "-qq", "-y", "-o", wait, "--no-install-recommends", "install", ...packages]
        ],
        ...service
      ]
    }
    case "dnf":
      return [["dnf", "-q", "-y", "install", ...packages]]
    case "apk":
      return [["apk", "add", "-q", "--no-cache", ...packages]]
    case "brew":
      return [["brew", "install", "-q", ...packages]]
  }
}

/** How packages are installed here, the preferred way first; undefined where that would need a password. */
export const waysToInstall = (
  { managers, root, sudo, systemd }: System,
  packages: Packages,
  serves: boolean
): ReadonlyArray<Way> | undefined => {
  const manager = managers.find((name) => name === "brew" ? !root : root || sudo)
  if (manager === undefined) return undefined
  const prefix = root || manager === "brew" ? [] : ["sudo", "-n"]
  return packages[manager].map((together) =>
    commands(manager, together, serves, systemd).map((command) => [...prefix, ...command] as unknown as Command)
  )
}

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** The folders of PATH. */
export const foldersOf = (env: NodeJS.ProcessEnv): ReadonlyArray<string> =>
  (env.PATH ?? "").split(path.delimiter).filter((folder) => folder !== "")

/** The first program of this name. */
export const find = (name: string, folders: ReadonlyArray<string>): string | undefined =>
  folders.map((folder) => path.join(folder, name)).find(isExecutable)

/** Looks at this machine, as its environment shows it. */
export const systemOf = (env: NodeJS.ProcessEnv): System => {
  const folders = foldersOf(env)
  const sudo = find("sudo", folders)
  return {
    managers: managers.filter((name) => find(name, folders) !== undefined),
    root: process.getuid?.() === 0,
    sudo: sudo !== undefined && spawnSync(sudo, ["-n", "true"], { stdio: "ignore", timeout: 10_000 }).status === 0,
    systemd: fs.existsSync("/run/systemd/system")
  }
}

/** Says what to do in one line; where it was thrown is of no interest. */
export class NotInstalled extends Error {
  override readonly name = "NotInstalled"
  constructor(why: string) {
    super(why)
    this.stack = `${this.name}: ${why}`
  }
}

/** Runs commands until one fails, and returns what it said last; their output is of interest to nobody else. */
const runAll = (way: Way, env: NodeJS.ProcessEnv): string | undefined => {
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

export type Decision<A> =
  | { readonly _tag: "Use"; readonly binary: A }
  /** The ways are tried in turn, until after one of them it is there. */
  | { readonly _tag: "Install"; readonly ways: ReadonlyArray<Way> }
  | { readonly _tag: "Refuse"; readonly why: string }

export interface Wanted<A> {
  /** `Redis`. */
  readonly what: string
  /** `Redis 6.2 or later is needed`. */
  readonly needed: string
  /** `install redis-server`. */
  readonly remedy: string
  /** Looks at the machine anew. */
  readonly decide: () => Decision<A>
}

/** Finds something, installs it if need be and if that is permitted, or throws `NotInstalled`. */
export const findOrInstall = <A>(
  { decide, needed, remedy, what }: Wanted<A>,
  env: NodeJS.ProcessEnv,
  say: (line: string) => void
): A => {
  const first = decide()
  if (first._tag === "Use") return first.binary
  if (first._tag === "Refuse") throw new NotInstalled(first.why)
  const complaints: Array<string> = []
  for (const way of first.ways) {
    say(`No ${what} is here. Installing it: ${way.map((command) => command.join(" ")).join(" && ")}`)
    const complaint = runAll(way, env)
    const then = decide()
    if (then._tag === "Use") return then.binary
    complaints.push(complaint ?? (then._tag === "Refuse" ? then.why : "there still is none"))
  }
  throw new NotInstalled(`${needed}, and ${complaints[0]}; ${remedy}`)
}
