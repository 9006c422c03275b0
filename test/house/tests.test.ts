/** What the name of a test file promises, and what is written about where tests are. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { reachedFrom } from "../setup/imports.ts"
import { root } from "../support/modules.ts"
import { longest } from "../support/sequence.ts"

const below = (folder: string): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .map((file) => `${folder}/${file.replaceAll(path.sep, "/")}`)
    .filter((file) => !file.startsWith("test/.snippets"))

const tests = below("test").filter((file) => file.endsWith(".test.ts"))

/** Who imports one of these starts a server, a browser or a process, or uses one that the run has started. */
const outside = [
  ...["sharedRedis", "redis", "sharedPostgres", "postgres", "browser"].map((name) => `test/support/${name}.ts`),
  "node:child_process"
]

const needsServers = (test: string): boolean => {
  const reached = reachedFrom(test)
  return outside.some((one) => reached.has(one))
}

describe("a test file", () => {
  it("is marked `.servers.` when it needs a server, a browser or a process, and only then", () => {
    const needing = tests.filter(needsServers)
    assert.sameMembers(tests.filter((file) => file.endsWith(".servers.test.ts")), needing)
  })

  it("has a mark that there is", () => {
    const wrong = tests.filter((file) => !/^\w[\w-]*(\.servers|\.slow)?\.test\.ts$/.test(path.posix.basename(file)))
    assert.deepStrictEqual(wrong, [])
  })

  it("that is begun first is there", () => {
    assert.deepStrictEqual(longest.filter((file) => !tests.includes(file)), [])
  })
})

describe("test/README.md", () => {
  const text = fs.readFileSync(path.join(root, "test/README.md"), "utf8")
  const named = [...text.matchAll(/`([\w./{},-]+)`/g)].map(([, name]) => name!)
  /** `Cached/{set,mutate}` is two names. */
  const spread = (name: string): ReadonlyArray<string> => {
    const [, before, inside, after] = /^(.*)\{(.+)\}(.*)$/.exec(name) ?? []
    return inside === undefined ? [name] : inside.split(",").map((one) => `${before}${one}${after}`)
  }
  const paths = named.flatMap(spread).filter((name) => name.includes("/") && !name.startsWith("node"))

  it("names what there is", () => {
    const there = (name: string) =>
      ["", ".ts", ".test.ts", ".slow.test.ts", ".servers.test.ts"].some((ending) =>
        fs.existsSync(path.join(root, "test", name + ending)) || fs.existsSync(path.join(root, name + ending))
      )
    assert.deepStrictEqual(paths.filter((name) => !there(name)), [])
  })

  it("names every folder", () => {
    const folders = fs.readdirSync(path.join(root, "test"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map(({ name }) => name)
    assert.deepStrictEqual(folders.filter((folder) => !paths.some((name) => name.startsWith(`${folder}/`))), [])
  })

  it("names every file of tests of cached reads", () => {
    const ofReads = tests.filter((file) => /^test\/(Cached|CacheService|CacheStore)\//.test(file))
      .map((file) => file.replace(/^test\/|(\.slow|\.servers)?\.test\.ts$/g, ""))
    assert.deepStrictEqual(ofReads.filter((file) => !paths.includes(file)), [])
  })
})
