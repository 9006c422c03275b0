/**
 * What the tests of a run import says which servers they need: a run without Redis waits for none.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "../..")

const imported = /(?:from|import) "([^"]+)"|import\("([^"]+)"\)/g
const onlyTypes = /^(?:import|export) type [^"=]* from "[^"]*"/gm

/**
 * What a file imports, itself or through other files of the repository: files by their path below the root, such as
 * `test/support/redis.ts`, and everything else by its name, such as `node:child_process`.
 */
export const reachedFrom = (file: string, seen: Set<string> = new Set()): ReadonlySet<string> => {
  const text = fs.readFileSync(path.resolve(root, file), "utf8").replace(onlyTypes, "")
  for (const [, from, dynamically] of text.matchAll(imported)) {
    const name = (from ?? dynamically)!
    const to = name.startsWith(".")
      ? path.relative(root, path.resolve(root, path.dirname(file), name)).replaceAll(path.sep, "/")
      : name
    if (seen.has(to)) continue
    seen.add(to)
    if (fs.existsSync(path.join(root, to))) reachedFrom(to, seen)
  }
  return seen
}
