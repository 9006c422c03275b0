/**
 * The site: what the sources say of themselves and every page of the documentation, as pages that need no server. Then
 * every link between them is followed. `npm run site` writes it to `site/dist`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { brokenLinks } from "./brokenLinks.ts"

const folder = path.join(import.meta.dirname, "../site")
const output = path.join(folder, "dist")

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

/** What the site is made with has an install of its own, since it needs an older compiler than the rest. */
const install = (): void => {
  const wanted = fs.readFileSync(path.join(folder, "package-lock.json"), "utf8")
  // Beside what was installed lies what it was installed from, so that a new lockfile is noticed.
  const installed = path.join(folder, "node_modules/.installed-from")
  if (fs.existsSync(installed) && fs.readFileSync(installed, "utf8") === wanted) return
  console.log("Installing TypeDoc into site/node_modules")
  run("npm", "ci", "--silent", "--no-audit", "--no-fund")
  fs.writeFileSync(installed, wanted)
}

install()
run(process.execPath, "node_modules/typedoc/bin/typedoc", "--logLevel", "Warn")
const wrong = brokenLinks(output)
for (const line of wrong) console.error(line)
if (wrong.length > 0) {
  console.error(`${wrong.length} links lead nowhere`)
  process.exit(1)
}
console.log(path.relative(process.cwd(), path.join(output, "index.html")))
