import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import * as Site from "../../examples/articles/Site.ts"
import { files } from "../../scripts/catalogue.ts"
import * as Cached from "../../src/Cached.ts"
import { root } from "../support/modules.ts"

describe("the catalogue of the site", () => {
  for (const [file, text] of Object.entries(files())) {
    it(`${file} is what the policies say`, () => {
      const absolute = path.join(root, file)
      assert.isTrue(fs.existsSync(absolute), "run: node scripts/catalogue.ts")
      assert.strictEqual(fs.readFileSync(absolute, "utf8"), text, "run: node scripts/catalogue.ts")
    })
  }

  it("holds every cached read of the site", () => {
    const defined = Object.values<unknown>(Site).filter(Cached.isCached).map(({ name }) => name)
    assert.isNotEmpty(defined)
    assert.sameMembers([...Site.reads, ...Site.approximate].map(({ name }) => name), defined)
  })
})
