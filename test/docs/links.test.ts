import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { pages } from "../support/excerpts.ts"
import { root } from "../support/modules.ts"
import { anchorsIn, brokenLinks, linksIn } from "./links.ts"

describe("links lead somewhere", () => {
  for (const page of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", ...pages()]) {
    it(page, () => {
      const file = path.join(root, page)
      assert.deepStrictEqual(brokenLinks(file, fs.readFileSync(file, "utf8")), [])
    })
  }
})

// A check that finds nothing proves little unless it finds what is there.
describe("the check of links", () => {
  it("sees links of every form, and none in code, in comments or to other sites", () => {
    const page = [
      "[a](a.md) and ![b](b.svg \"title\"), [![c](c.svg)](d.md#e) over [two",
      "lines](f.md)",
      "`[no](no.md)` and ``[no`](no.md)`` <!-- [no](no.md) -->",
      "```md",
      "[no](no.md)",
      "```",
      "<img src=\"g.svg\" alt=\"\"> <source media=\"(x)\" srcset=\"h.svg\">",
      "[site](https://example.org/no.md) [mail](mailto:no@example.org) [i][^no]",
      "",
      "[i]: i.md",
      "[^no]: No link, but one to [j](j.md)."
    ].join("\n")
    assert.sameMembers(
      [...linksIn(page)],
      ["a.md", "b.svg", "c.svg", "d.md#e", "f.md", "g.svg", "h.svg", "i.md", "j.md"]
    )
  })

  it("names headings as GitHub does", () => {
    const page =
      "# `ttl`: by age\n## What about ...?\n## Fences: *mutate* & [set](x.md)\n## Snake_case\n## Again\n## Again\n" +
      "```sh\n# no heading\n```\n#no heading\n"
    assert.deepStrictEqual(
      [...anchorsIn(page)],
      ["ttl-by-age", "what-about-", "fences-mutate--set", "snake_case", "again", "again-1"]
    )
  })

  it("finds files and headings that are not there", () => {
    const page = path.join(root, "docs/policies.md")
    const links = (...targets: ReadonlyArray<string>) => targets.map((target) => `[x](${target})`).join(" ")
    assert.deepStrictEqual(
      brokenLinks(
        page,
        links("consistency.md#what-is-promised", "decisions/", "decisions/#decisions", "../package.json#L1")
      ),
      []
    )
    assert.deepStrictEqual(
      brokenLinks(page, links("none.md", "consistency.md#none", "#none", "../package.json#L9999")),
      [
        "none.md: there is no such file",
        "consistency.md#none: there is no such heading",
        "#none: there is no such heading",
        "../package.json#L9999: there is no such heading"
      ]
    )
  })
})
