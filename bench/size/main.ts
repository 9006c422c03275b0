/**
 * `npm run size`: how large the package is, and what a minimal program that uses
 * it costs in a browser, beside the numbers of `bench/size.json`. Ends with code
 * 1 if any number has grown by more than 2 %.
 *
 *   npm run size
 *   npm run size -- --accept "schemas of outbox messages"    writes the new numbers, with the reason
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { versionOf } from "../measure/report.ts"
import { bundle, gzipped } from "./bundle.ts"
import { allowed, compare, format, grown, type Sizes } from "./compare.ts"

const root = path.resolve(import.meta.dirname, "../..")
const file = path.join(root, "bench/size.json")
const program = path.join(root, "bench/size/program.ts")

/** What was recorded: numbers, why they are as they are, and what they depend on besides this repository. */
interface Recorded extends Sizes {
  readonly reason: string
  readonly versions: Readonly<Record<string, string>>
}

const accept = process.argv.indexOf("--accept")
const reason = accept < 0 ? undefined : process.argv[accept + 1]?.trim() ?? ""
if (reason === "") throw new Error("why are the new numbers accepted? `npm run size -- --accept \"reason\"`")

const npm = (...args: ReadonlyArray<string>): string =>
  execFileSync("npm", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const tarball = (): Sizes["tarball"] => {
  npm("run", "--silent", "build")
  // Built above: what a script prints would stand before the JSON.
  const [{ entryCount, size, unpackedSize }] = JSON.parse(npm("pack", "--dry-run", "--json", "--ignore-scripts"))
  return { packed: size, unpacked: unpackedSize, files: entryCount }
}

const minimal = async (external: ReadonlyArray<RegExp>): Promise<Sizes["minimal"]["library"]> => {
  const { code } = await bundle(program, root, external)
  return { minified: Buffer.byteLength(code), gzip: gzipped(code) }
}

const now: Sizes = {
  tarball: tarball(),
  minimal: { library: await minimal([/^effect(\/|$)/]), withEffect: await minimal([]) }
}

const old: Recorded | undefined = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : undefined
const rows = compare(old, now)
console.log(format(rows))

if (reason !== undefined) {
  const versions = Object.fromEntries(["effect", "typescript", "vite"].map((name) => [name, versionOf(name)]))
  const recorded: Recorded = { reason, versions, ...now }
  fs.writeFileSync(file, `${JSON.stringify(recorded, undefined, 2)}\n`)
  console.log("written to bench/size.json")
} else if (grown(rows).length > 0) {
  console.error(`grown by more than ${100 * allowed} %: ${grown(rows).map(({ what }) => what).join("; ")}`)
  process.exitCode = 1
}
