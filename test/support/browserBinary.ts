/**
 * Where the browser comes from that tests drive: a Chromium that is installed, or that the system's package manager may
 * install without asking.
 */
import { spawnSync } from "node:child_process"
import * as install from "./install.ts"

/** The oldest in which the page works: the first that knows the `light-dark()` of CSS. */
export const oldest = 123

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]

/** Where it is an application. */
const applications = [
  "/Applications/Chromium.app/Contents/MacOS",
  "/Applications/Google Chrome.app/Contents/MacOS"
]

export interface Binary {
  readonly path: string
  /** Undefined if it does not say. */
  readonly version: number | undefined
}

/** What of a machine decides. */
export interface Machine extends install.System {
  /** What `CHROMIUM` names. */
  readonly named: Binary | undefined
  /** Browsers that are installed, the preferred first. */
  readonly installed: ReadonlyArray<Binary>
}

const needed = `Chromium ${oldest} or later, or Chrome, is needed`
const remedy = "install chromium, or say in CHROMIUM where it is"

/** With letters: a system without any draws none, and what depends on a browser does not depend on them. */
const packages: install.Packages = {
  "apt-get": [["chromium", "fonts-dejavu-core"], ["chromium-browser", "fonts-dejavu-core"]],
  dnf: [["chromium", "dejavu-sans-fonts"]],
  apk: [["chromium", "font-dejavu"]],
  brew: [["google-chrome"]]
}

const isNewEnough = ({ version = 0 }: Binary): boolean => version >= oldest

/** What to do on a machine. */
export const decide = (machine: Machine): install.Decision<Binary> => {
  const { installed, named } = machine
  if (named !== undefined) {
    return isNewEnough(named)
      ? { _tag: "Use", binary: named }
      : { _tag: "Refuse", why: `${needed}, and CHROMIUM is ${named.version ?? "not one"}: ${named.path}` }
  }
  const binary = installed.find(isNewEnough)
  if (binary !== undefined) return { _tag: "Use", binary }
  // One that says no version is a stand-in that says where to get it. An old one is what the system has to offer.
  const old = installed.find(({ version }) => version !== undefined)
  if (old !== undefined) return { _tag: "Refuse", why: `${needed}, and ${old.path} is ${old.version}: ${remedy}` }
  const ways = install.waysToInstall(machine, packages, false)
  return ways === undefined ? { _tag: "Refuse", why: `${needed}: ${remedy}` } : { _tag: "Install", ways }
}

const inspect = (file: string): Binary => {
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 20_000 })
  // `Chromium 140.0.7339.80 built on Debian`, `Google Chrome 140.0.7339.80`.
  const version = /\bChrom(?:e|ium) (\d+)\./.exec(stdout ?? "")?.[1]
  return { path: file, version: version === undefined ? undefined : Number(version) }
}

/** Looks at this machine, as its environment shows it. `places` are looked into after PATH. */
export const look = (
  env: NodeJS.ProcessEnv,
  places: ReadonlyArray<string> = [...install.usualPlaces, ...applications]
): Machine => {
  const folders = [...install.foldersOf(env), ...places]
  const named = env.CHROMIUM
  return {
    ...install.systemOf(env),
    named: named === undefined || named === "" ? undefined : inspect(named),
    installed: [...names, "Chromium", "Google Chrome"].flatMap((name) => install.find(name, folders) ?? []).map(inspect)
  }
}

/** Finds a browser, installs one if need be and if that is permitted, or throws `NotInstalled`. */
export const findOrInstall = (
  env: NodeJS.ProcessEnv = process.env,
  say: (line: string) => void = console.error,
  places?: ReadonlyArray<string>
): Binary =>
  install.findOrInstall({ what: "Chromium", needed, remedy, decide: () => decide(look(env, places)) }, env, say)

let found: Binary | undefined

/** The browser of this machine, looked for once in a process. */
export const browserBinary = (): Binary => found ??= findOrInstall()
