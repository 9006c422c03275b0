import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { brokenLinks } from "../../scripts/brokenLinks.ts"

describe("the check of the site's links", () => {
  let site: string
  const page = (name: string, html: string): void => {
    fs.mkdirSync(path.dirname(path.join(site, name)), { recursive: true })
    fs.writeFileSync(path.join(site, name), html)
  }

  beforeAll(() => {
    site = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-site-"))
    page(
      "index.html",
      "<h1 id=\"top\">x</h1><a href=\"docs/a%20b.html#part\">x</a><a href=\"docs\">x</a><a href=\"#top\">x</a>"
    )
    page(
      "docs/index.html",
      "<a href=\"https://example.org/none.html\">x</a><img src=\"../none.svg\"><a href=\"#none\">x</a>"
    )
    page("docs/a b.html", "<h2 id=\"part\">x</h2><a href=\"../index.html#none\">x</a><a href=\"none.html\">x</a>")
  })
  afterAll(() => fs.rmSync(site, { recursive: true, force: true }))

  it("finds what is not there, and nothing else", () => {
    assert.sameMembers([...brokenLinks(site)], [
      "docs/a b.html: ../index.html#none",
      "docs/a b.html: none.html",
      "docs/index.html: ../none.svg",
      "docs/index.html: #none"
    ])
  })
})
