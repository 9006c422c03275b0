/**
 * What the tests of a run import says which servers they need: a run without Redis waits for none.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const imported = /(?:from|import) "(\.[^"]+)"/g

/** Whether a test file imports a module whose path has this word in it, itself or through other files of the tests. */
export const reaches = (file: string, word: string, seen: Set<string> = new Set()): boolean => {
  if (seen.has(file) || !fs.existsSync(file)) return false
  seen.add(file)
  const tests = path.join(import.meta.dirname, "..")
  const modules = [...fs.readFileSync(file, "utf8").matchAll(imported)].map(([, to]) =>
    path.resolve(path.dirname(file), to!)
  )
  const mine = modules.filter((module) => module.startsWith(tests + path.sep))
  return mine.some((module) => path.relative(tests, module).includes(word) || reaches(module, word, seen))
}
