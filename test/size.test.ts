/**
 * When `npm run size` refuses what has grown.
 */
import { assert, describe, it } from "vitest"
import { compare, format, grown, type Sizes } from "../bench/size/compare.ts"

const sizes = (packed: number, gzip: number): Sizes => ({
  tarball: { packed, unpacked: 3000, files: 300 },
  minimal: { library: { minified: 900, gzip: 300 }, withEffect: { minified: 2000, gzip } }
})

describe("the size of the package", () => {
  it("may shrink, and grow by 2 %", () => {
    assert.deepStrictEqual(grown(compare(sizes(1000, 800), sizes(1020, 700))), [])
  })

  it("may not grow by more in any number", () => {
    const rows = grown(compare(sizes(1000, 800), sizes(1021, 817)))
    assert.deepStrictEqual(rows.map(({ what }) => what), ["tarball, packed", "minimal program with effect, gzip"])
  })

  it("is refused where nothing is recorded", () => {
    assert.lengthOf(grown(compare(undefined, sizes(1000, 800))), 7)
  })

  it("is printed old beside new, with the growth", () => {
    const lines = format(compare(sizes(1000, 800), sizes(1030, 600))).split("\n").map((line) => line.split(/ {2,}/))
    assert.deepStrictEqual(lines[1], ["tarball, packed", "1,000", "1,030", "+3.00 %"])
    assert.deepStrictEqual(lines[7], ["minimal program with effect, gzip", "800", "600", "-25.00 %"])
  })
})
