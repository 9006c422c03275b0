/**
 * What the comparison with other caches says is what its programs see, in
 * memory; and its table has no row without a program, and no other versions
 * than those that run.
 */
import { assert, describe, it } from "vitest"
import { versionOf } from "../../bench/measure/report.ts"
import { libraries, packages } from "../../bench/rivals/caches.ts"
import { memoryClaims } from "../../bench/rivals/memory.ts"
import { redisClaims } from "../../bench/rivals/redis.ts"
import { columnOf, columns, compare, excerpt, titles } from "./table.ts"

describe("docs/comparison.md", () => {
  it("has a row for each program, and no other", () => {
    // The address is not used before a program runs.
    const claims = [...memoryClaims, ...redisClaims("redis://127.0.0.1:1")]
    assert.deepStrictEqual([...titles].sort(), claims.map(({ title }) => title).sort())
  })

  it.each(libraries.filter((library) => library !== "ours"))("names the version of %s that is run", (library) => {
    assert.strictEqual(columns[columnOf(library) - 1], `${packages[library]} ${versionOf(packages[library])}`)
  })
})

it("the table in the README is a part of it", () => {
  const { actual, expected } = excerpt()
  assert.isNotEmpty(actual)
  assert.deepStrictEqual(actual, expected)
})

compare(memoryClaims)
