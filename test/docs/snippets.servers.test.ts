/**
 * Every example in the documentation, type-checked and run. How to write one
 * is said in `support/snippets.ts`.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { excerptsIn, pages, regionOf } from "../support/excerpts.ts"
import { root } from "../support/modules.ts"
import { connect } from "../support/redis.ts"
import { clusterUrls, nodeUrl } from "../support/sharedRedis.ts"
import { extract, findAll, program, type Snippet, SnippetError } from "../support/snippets.ts"

// One folder a process, so that two runs at once do not write over each other.
const folder = path.join(root, "test/.snippets", String(process.pid))
const paths = { src: "../../../src", support: "../../support" }

interface Written {
  readonly snippet: Snippet
  readonly name: string
  /** Why there is no program. */
  readonly problem: SnippetError | undefined
}

const write = (snippet: Snippet): Written => {
  const name = `${snippet.file.replace(/\W+/g, "-")}-${snippet.line}.ts`
  try {
    fs.writeFileSync(path.join(folder, name), program(snippet, paths))
    return { snippet, name, problem: undefined }
  } catch (error) {
    if (error instanceof SnippetError) return { snippet, name, problem: error }
    throw error
  }
}

fs.mkdirSync(folder, { recursive: true })
const written = findAll().map(write)
const byName = new Map(written.map((one) => [one.name, one]))

/** Says where in the documentation a line of a program stands. */
const place = (name: string, line: number): string => {
  const snippet = byName.get(name)?.snippet
  return snippet === undefined ? `${name}:${line}` : `${snippet.file}:${snippet.line + line - 1}`
}

/** The type errors of all programs, at the places where they stand in the documentation. */
const typeErrors = (): string => {
  fs.writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["*.ts"]
    })
  )
  try {
    const tsc = path.join(root, "node_modules/typescript/bin/tsc")
    execFileSync(process.execPath, [tsc, "-p", folder, "--pretty", "false"], { cwd: folder, encoding: "utf8" })
    return ""
  } catch (error) {
    const output = String((error as { readonly stdout?: string }).stdout || error)
    return output.replace(/^(\S+\.ts)\((\d+),(\d+)\)/gm, (_, name, line) => place(name, Number(line)))
  }
}

const methods = ["debug", "error", "info", "log", "warn"] as const

/** Runs a program, and shows what it printed only if it fails. */
const run = async (name: string): Promise<void> => {
  const printed: Array<string> = []
  const originals = methods.map((method) => console[method])
  for (const method of methods) console[method] = (...args) => void printed.push(args.map(String).join(" "))
  try {
    await import(/* @vite-ignore */ pathToFileURL(path.join(folder, name)).href)
  } catch (error) {
    const stack = error instanceof Error ? error.stack ?? "" : ""
    const line = new RegExp(`${name.replaceAll(".", "\\.")}:(\\d+)`).exec(stack)?.[1]
    const message = error instanceof Error ? error.message : String(error)
    // A promise that is not kept says itself where it stands.
    const where = message.startsWith(`${byName.get(name)!.snippet.file}:`) ? "" : `${place(name, Number(line ?? 1))}: `
    const output = printed.length === 0 ? "" : `\nIt printed:\n${printed.join("\n")}`
    throw new Error(`${where}${message}${output}`, { cause: error })
  } finally {
    methods.forEach((method, i) => console[method] = originals[i]!)
  }
}

// An example finds its server as a program would. One database is theirs alone: what they count begins at nothing.
const provideRedis = async (): Promise<void> => {
  process.env.REDIS_URL = `${nodeUrl()}/1`
  process.env.REDIS_NODES = clusterUrls().join()
  const redis = await connect(process.env.REDIS_URL)
  await redis.flushdb()
  redis.disconnect()
}

describe("the examples in the documentation", () => {
  beforeAll(provideRedis)
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  it("type-check", () => {
    assert.strictEqual(typeErrors(), "")
  })

  for (const { name, problem, snippet } of written) {
    if (!snippet.runs && problem === undefined) continue
    it(`${snippet.file}:${snippet.line}`, async () => {
      if (problem !== undefined) throw problem
      await run(name)
    })
  }
})

describe("the parts of files that pages show", () => {
  for (const page of pages()) {
    for (const { code, file, region, start } of excerptsIn(page, fs.readFileSync(path.join(root, page), "utf8"))) {
      it(`${page}:${start}`, () => {
        assert.strictEqual(code, regionOf(file, region), "`npm run docs` writes it anew")
      })
    }
  }
})

describe("how snippets are read", () => {
  const one = (code: string): Snippet => ({ file: "page.md", line: 10, code, runs: true })
  const made = (code: string): string =>
    program(one(code), { src: "S", support: "T" }).replace(/^import .*?; |^export \{\}; /, "")

  it("from Markdown, with flags and indentation", () => {
    const page =
      "# Title\n```ts\na\n```\n- item\n  ```ts no-run\n  b\n    c\n  ```\n```sh\nls\n```\n````ts\n```\n````\n"
    assert.deepStrictEqual(extract("page.md", page), [
      { file: "page.md", line: 3, code: "a", runs: true },
      { file: "page.md", line: 7, code: "b\n  c", runs: false },
      { file: "page.md", line: 14, code: "```", runs: true }
    ])
  })

  it("but not what is a part of a file", () => {
    const page = "<!-- from: a.ts#b -->\n\n```ts\na\n```\n<!-- other -->\n```ts\nb\n```\n"
    assert.deepStrictEqual(extract("page.md", page), [{ file: "page.md", line: 8, code: "b", runs: true }])
  })

  it("from JSDoc, and not from code", () => {
    const source = "const a = `\n```ts\nno\n```\n`\n/** one line */\n/**\n * ```ts\n * yes\n *\n *   too\n * ```\n */\n"
    assert.deepStrictEqual(extract("a.ts", source), [{ file: "a.ts", line: 9, code: "yes\n\n  too", runs: true }])
  })

  it("and refused when they cannot be meant", () => {
    assert.throws(() => extract("page.md", "```ts\na"), /page.md:1: the fence never ends/)
    assert.throws(() => extract("page.md", "```ts norun\na\n```"), /neither "ts" nor "ts no-run"/)
    assert.throws(() => made("// => 1"), /page.md:10: .* follows no expression/)
    assert.throws(() => made("f(1, // => 1\n  2)"), /follows no expression/)
    assert.throws(() => made("a\nb // => one, more or less"), /page.md:11: .* promises no expression/)
  })

  it("with promises on the line, below it, and over several lines", () => {
    assert.strictEqual(made("a // => 1"), "__check(a, (1), \"page.md:10\")\n")
    assert.strictEqual(made("a;\n// => [1] // so\nb"), "__check(a\n, ([1]), \"page.md:11\")\nb\n")
    assert.strictEqual(
      made("a\n// => {\n//   b: 1\n// }\n// done"),
      "__check(a\n, ({\n   b: 1\n }), \"page.md:11\")\n// done\n"
    )
    assert.strictEqual(made("const x = f() // => 1"), "const x = f(); __check(x, (1), \"page.md:10\")\n")
    assert.strictEqual(made("console.log(a.b()) // => 1"), "__check(a.b(), (1), \"page.md:10\")\n")
    assert.strictEqual(made("\"// => 2\" // => \"// => 2\""), "__check(\"// => 2\", (\"// => 2\"), \"page.md:10\")\n")
  })

  it("with promises inside of generators, and inside of each other", () => {
    const code = "await run(function*() {\n  yield* a // => 1\n}) // => 2"
    assert.strictEqual(
      made(code),
      "__check(await run(function*() {\n  __check(yield* a, (1), \"page.md:11\")\n}), (2), \"page.md:12\")\n"
    )
  })

  it("with the package's name standing for its sources", () => {
    assert.strictEqual(
      made(
        "import { A } from \"effect-cache-algebra\"\nimport * as B from \"effect-cache-algebra/B\"\nimport \"effect\""
      ),
      "import { A } from \"S/index.ts\"\nimport * as B from \"S/B.ts\"\nimport \"effect\"\n"
    )
    const page: Snippet = { ...one("import { C } from \"../../examples/C.ts\""), file: "docs/strategies/page.md" }
    assert.include(program(page, { src: "../../../src", support: "T" }), "from \"../../../examples/C.ts\"")
  })
})
