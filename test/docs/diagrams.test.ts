import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { files } from "../../scripts/diagrams.ts"
import { sequence } from "../../scripts/diagrams/sequence.ts"
import { root } from "../support/modules.ts"

describe("the diagrams", () => {
  for (const [file, text] of Object.entries(files)) {
    it(`${file} is what the generator draws`, () => {
      const absolute = path.join(root, file)
      assert.isTrue(fs.existsSync(absolute), "run: npm run docs")
      assert.strictEqual(fs.readFileSync(absolute, "utf8"), text, "run: npm run docs")
    })
  }

  it("write what is no XML as text", () => {
    const drawn = sequence("a < b", "a & b", ["a"], [{ over: "a", does: "a > b" }])
    for (const text of ["a &lt; b", "a &amp; b", "a &gt; b"]) assert.include(drawn, text)
  })

  it("refuse a step of somebody who takes no part", () => {
    assert.throws(() => sequence("", "", ["a", "b"], [{ from: "a", to: "c", says: "" }]), /"c"/)
  })
})
