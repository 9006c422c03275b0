/** The pages of the strategies: that the index lists them all, and that what they name is there. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { root } from "../support/modules.ts"

const folder = path.join(root, "docs/strategies")
const read = (file: string): string => fs.readFileSync(file, "utf8")
const index = read(path.join(folder, "README.md"))

/** The rows of the index: each is a page, two programs and a test. */
const rows = [...index.matchAll(/^\|.*\]\(([\w-]+)\.md\) \|$/gm)].map(([, row]) => row!)

const pages = fs.readdirSync(folder).filter((file) => file.endsWith(".md"))

const prose = (text: string): string => text.replace(/^```[^]*?^```$/gm, "").replace(/\s+/g, " ")

/** The names of the tests of a file, as far as they are written there. */
const testsOf = (row: string): string =>
  read(path.join(root, "test/strategies", `${row}.servers.test.ts`)).replace(/\s+/g, " ").toLowerCase()

/** What a page puts in italics, as it does with the names of tests. */
const italicsIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/(?<![*\w])\*([^*]+)\*(?![*\w])/g)].map(([, name]) => name!.replace(/[.:]$/, ""))

it("the index has a row for each way of the list that this began with", () => {
  assert.strictEqual(rows.length, 27)
  assert.strictEqual(new Set(rows).size, 27)
})

it("the index leads to every page", () => {
  const linked = [...index.matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, page]) => page!)
  const others = pages.filter((page) => page !== "README.md" && !linked.includes(page))
  assert.deepStrictEqual(others, [])
})

describe.each(rows)("%s", (row) => {
  const page = path.join(folder, `${row}.md`)

  it("has a page, a program of Django's, one of ours, and a test", () => {
    const files = ["docs/strategies/%.md", "examples/articles/strategies/%.ts", "test/strategies/%.servers.test.ts"]
    const missing = files.map((file) => file.replace("%", row)).filter((file) => !fs.existsSync(path.join(root, file)))
    assert.deepStrictEqual(missing, [])
    assert.include(read(page), "<!-- from: test/strategies/django/")
    assert.include(read(page), `<!-- from: examples/articles/strategies/${row}.ts#`)
  })

  it("names tests that there are", () => {
    const text = prose(read(page))
    assert.include(text, `test/strategies/${row}.servers.test.ts`)
    const tests = testsOf(row)
    // Names of tests are phrases; a word or two is emphasis.
    const named = italicsIn(text).filter((name) => name.split(" ").length > 4)
    assert.deepStrictEqual(named.filter((name) => !tests.includes(name.toLowerCase())), [])
  })

  it("links to what there is", () => {
    const targets = [...prose(read(page)).matchAll(/\]\(([^)\s#]+)[^)]*\)/g)].map(([, target]) => target!)
    const broken = targets.filter((target) =>
      !target.startsWith("https://") && !fs.existsSync(path.join(folder, target))
    )
    assert.deepStrictEqual(broken, [])
  })
})
