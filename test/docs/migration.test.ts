/**
 * The pages for those who come from another cache. Their programs are run by `snippets.test.ts`; here is
 * what their tables say: that what they name exists, and that their links lead somewhere.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { root } from "../support/modules.ts"

const source = path.join(root, "src")
const modules: Readonly<Record<string, object>> = Object.fromEntries(
  await Promise.all(
    fs.readdirSync(source).filter((file) => file.endsWith(".ts") && file !== "index.ts")
      .map(async (file) => [file.slice(0, -".ts".length), await import(path.join(source, file))] as const)
  )
)
const folder = path.join(root, "docs/migration")
const pages = fs.readdirSync(folder).filter((file) => file.endsWith(".md"))

const prose = (markdown: string): string => markdown.replace(/^```[^]*?^```$/gm, "")
const read = (file: string): string => prose(fs.readFileSync(file, "utf8"))

/** What a page names of this library: `Module.member`, in code within the text. */
const namesIn = (text: string): ReadonlyArray<readonly [module: string, member: string]> =>
  [...text.matchAll(/`([^`\n]+)`/g)]
    .flatMap(([, code]) => [...code!.matchAll(/\b([A-Z]\w+)\.(\w+)/g)])
    .map(([, module, member]) => [module!, member!] as const)
    .filter(([module]) => module in modules)

const linksIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)

/** The anchors that a page has, as GitHub names them. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
    )
  )

describe.each(pages)("docs/migration/%s", (page) => {
  const text = read(path.join(folder, page))

  it("names what there is", () => {
    const unknown = namesIn(text).filter(([module, member]) => !(member in modules[module]!))
    assert.deepStrictEqual(unknown.map((name) => name.join(".")), [])
  })

  it("links to what there is", () => {
    const broken = linksIn(text).filter((target) => {
      if (target.startsWith("https://")) return false
      const [to = "", anchor] = target.split("#")
      const file = to === "" ? path.join(folder, page) : path.join(folder, to)
      if (!fs.existsSync(file)) return true
      return anchor !== undefined && !anchorsOf(read(file)).has(anchor)
    })
    assert.deepStrictEqual(broken, [])
  })
})

it("the index lists every page", () => {
  const listed = linksIn(read(path.join(folder, "README.md"))).filter((target) => !target.includes("/"))
  assert.deepStrictEqual(listed.toSorted(), pages.filter((page) => page !== "README.md").toSorted())
})

it("the checks see something", () => {
  const text = read(path.join(folder, "from-django.md"))
  assert.isAbove(namesIn(text).length, 50)
  assert.isAbove(linksIn(text).length, 20)
  assert.deepStrictEqual(namesIn("`Cached.nothing(1)` Cached.get"), [["Cached", "nothing"]])
})
