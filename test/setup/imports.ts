/**
 * What the tests of a run import says which servers they need: a run without Redis waits for none.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "../..")

const imported = /(?:from|import) "([^"]+)"|import\("([^"]+)"\)/g
const onlyTypes = /^(?:import|export) type [^"=]* from "[^"]*"/gm

const known = new Map<string, ReadonlyArray<string>>()

/** What a file imports itself. Most files are reached from many tests, and read once. */
const importsOf = (file: string): ReadonlyArray<string> => {
  let imports = known.get(file)
  if (imports === undefined) {
    const text = fs.readFileSync(path.resolve(root, file), "utf8").replace(onlyTypes, "")
    imports = [...text.matchAll(imported)].map(([, from, dynamically]) => {
      const name = (from ?? dynamically)!
      if (!name.startsWith(".")) return name
      return path.relative(root, path.resolve(root, path.dirname(file), name)).replaceAll(path.sep, "/")
    })
    known.set(file, imports)
  }
  return imports
}

/**
 * What a file imports, itself or through other files of the repository: files by their path below the root, such as
 * `test/support/redis.ts`, and everything else by its name, such as `node:child_process`.
 */
export const reachedFrom = (file: string, seen: Set<string> = new Set()): ReadonlySet<string> => {
  for (const name of importsOf(file)) {
    if (seen.has(name)) continue
    seen.add(name)
    if (fs.existsSync(path.join(root, name))) reachedFrom(name, seen)
  }
  return seen
}
