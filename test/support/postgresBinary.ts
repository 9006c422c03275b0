/**
 * Where the Postgres that tests run on comes from: what is installed, or what the system's package manager may install
 * without asking.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as install from "./install.ts"

/** The oldest that is promised to work. */
export const oldest = 13

const names = ["postgres", "initdb"]

/** The folders of each version that is installed beside PATH, the newest first. */
const versioned = [
  ["/usr/lib/postgresql", "bin"], // Debian
  ["/usr/pgsql-", "bin"], // the RPMs of the project
  ["/usr/libexec/postgresql", ""], // Alpine
  ["/opt/homebrew/opt/postgresql@", "bin"],
  ["/usr/local/opt/postgresql@", "bin"]
] as const

/** What `start` is followed by in the names of a folder: `14` in `/usr/pgsql-14`. */
const endings = (start: string): ReadonlyArray<string> => {
  const isFolder = fs.existsSync(start)
  const [parent, prefix] = isFolder ? [start, ""] : [path.dirname(start), path.basename(start)]
  if (!fs.existsSync(parent)) return []
  return fs.readdirSync(parent).filter((name) => name.startsWith(prefix))
    .map((name) => path.join(parent, name))
    .sort((a, b) => Number.parseInt(/(\d+)$/.exec(b)?.[1] ?? "0") - Number.parseInt(/(\d+)$/.exec(a)?.[1] ?? "0"))
}

const folders = (env: NodeJS.ProcessEnv): ReadonlyArray<string> => [
  ...install.foldersOf(env),
  ...versioned.flatMap(([start, end]) => endings(start).map((folder) => path.join(folder, end))),
  "/usr/bin",
  "/usr/local/bin"
]

const versionOf = (folder: string): number => {
  const { stdout } = spawnSync(path.join(folder, "postgres"), ["--version"], { encoding: "utf8", timeout: 10_000 })
  return Number.parseInt(/\(PostgreSQL\) (\d+)/.exec(stdout ?? "")?.[1] ?? "0")
}

/** The folder with the programs of a Postgres. `POSTGRES_BIN` names one that is to be used. */
export const findInstalled = (env: NodeJS.ProcessEnv = process.env): string | undefined => {
  const named = env.POSTGRES_BIN
  const has = (folder: string): boolean => names.every((name) => fs.existsSync(path.join(folder, name)))
  return (named === undefined || named === "" ? folders(env) : [named])
    .find((folder) => has(folder) && versionOf(folder) >= oldest)
}

const packages: install.Packages = {
  "apt-get": [["postgresql"]],
  dnf: [["postgresql-server"]],
  apk: [["postgresql"]],
  brew: [["postgresql@17"]]
}

const needed = `PostgreSQL ${oldest} or later is needed`
const remedy = "install PostgreSQL, or say in POSTGRES_BIN in which folder `postgres` and `initdb` are"

const decide = (env: NodeJS.ProcessEnv): install.Decision<string> => {
  const binary = findInstalled(env)
  if (binary !== undefined) return { _tag: "Use", binary }
  const ways = env.POSTGRES_BIN ? undefined : install.waysToInstall(install.systemOf(env), packages, true)
  return ways === undefined ? { _tag: "Refuse", why: `${needed}: ${remedy}` } : { _tag: "Install", ways }
}

/** Finds a Postgres, installs one if need be and if that is permitted, or throws `NotInstalled`. */
export const findOrInstall = (
  env: NodeJS.ProcessEnv = process.env,
  say: (line: string) => void = console.error
): string => install.findOrInstall({ what: "PostgreSQL", needed, remedy, decide: () => decide(env) }, env, say)

let found: string | undefined

/** The programs of this machine, looked for once in a process. */
export const binaries = (): string => found ??= findOrInstall()
