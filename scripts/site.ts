/**
 * The site: what the sources say of themselves and every page of the documentation, as pages that need no server. Then
 * every link between them is followed. `npm run site` writes it to `site/dist`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const folder = path.join(import.meta.dirname, "../site")
const output = path.join(folder, "dist")

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

/** What the site is made with has an install of its own, since it needs an older compiler than the rest. */
const install = (): void => {
  const read = (file: string): string | undefined => {
    const absolute = path.join(folder, "node_modules", file)
    return fs.existsSync(absolute) ? fs.readFileSync(absolute, "utf8") : undefined
  }
  const wanted = fs.readFileSync(path.join(folder, "package-lock.json"), "utf8")
  // What it was installed from lies beside it, so that another lockfile is noticed.
  if (read(".installed-from") === wanted) return
  console.log("Installing TypeDoc into site/node_modules")
  run("npm", "ci", "--silent", "--no-audit", "--no-fund")
  fs.writeFileSync(path.join(folder, "node_modules/.installed-from"), wanted)
}

const decoded = (attribute: string): string => decodeURI(attribute.replaceAll("&amp;", "&"))

const attributes = (html: string, name: RegExp): ReadonlyArray<string> =>
  [...html.matchAll(new RegExp(`\\s(?:${name.source})="([^"]*)"`, "g"))].map(([, value]) => decoded(value!))

/** The links between the files of a folder that lead nowhere, each with the page it is on. */
const broken = (root: string): ReadonlyArray<string> => {
  const ids = new Map<string, ReadonlySet<string>>()
  const idsOf = (file: string): ReadonlySet<string> => {
    const known = ids.get(file) ?? new Set(attributes(fs.readFileSync(file, "utf8"), /id/))
    ids.set(file, known)
    return known
  }
  const leads = (page: string, link: string): boolean => {
    const [to, fragment] = link.split("#")
    const target = to === "" ? page : path.resolve(path.dirname(page), to!)
    const file = fs.existsSync(target) && fs.statSync(target).isDirectory() ? path.join(target, "index.html") : target
    return fs.existsSync(file) && (fragment === undefined || fragment === "" || idsOf(file).has(fragment))
  }
  return fs.readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".html"))
    .flatMap((file) => {
      const page = path.join(root, file)
      const links = attributes(fs.readFileSync(page, "utf8"), /href|src/)
      return [...new Set(links)]
        .filter((link) => !/^[a-z]+:/i.test(link) && !leads(page, link))
        .map((link) => `${file}: ${link}`)
    })
}

install()
run(process.execPath, "node_modules/typedoc/bin/typedoc", "--logLevel", "Warn")
const wrong = broken(output)
for (const line of wrong) console.error(line)
if (wrong.length > 0) {
  console.error(`${wrong.length} links lead nowhere`)
  process.exit(1)
}
console.log(path.relative(process.cwd(), path.join(output, "index.html")))
