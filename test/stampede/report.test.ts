/**
 * What is printed of a run, and what of it stands in the documentation.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { contentsOf, fill } from "../../bench/stampede/docs.ts"
import type { Report, Result } from "../../bench/stampede/report.ts"
import { perform, seed } from "../../bench/stampede/run.ts"
import { scenarioOf, scenarios } from "../../bench/stampede/scenario.ts"
import { strategies } from "../../bench/stampede/strategies.ts"
import { formatResult } from "../../bench/stampede/terminal.ts"
import { root } from "../support/modules.ts"

const resultOf = (scenario: string, ...ids: ReadonlyArray<string>): Result => ({
  world: "virtual",
  scenario: scenarioOf(scenario),
  outcomes: ids.map((strategy) => perform({ scenario, strategy, expiries: 3, seed }))
})

const hot = resultOf("hot", "uncached", "plain", "lease", "swr")

describe("in the terminal", () => {
  const lines = formatResult(hot).split("\n")
  const [, title, about, , heads, ...rows] = lines

  it("a table has a row for each strategy, and fits", () => {
    assert.strictEqual(title, "A hot key, in virtual time: 3 expiries for each")
    assert.strictEqual(about!.trim(), hot.scenario.about)
    assert.deepStrictEqual(rows.map((row) => row.slice(2, 22).trimEnd()), [
      "no cache",
      "TTL, no protection",
      "TTL with a lease",
      "stale-while-revalida"
    ])
    assert.isTrue(lines.every((line) => line.length <= 140))
  })

  it("what happened to nobody has no column", () => {
    assert.include(heads, "life")
    assert.notInclude(heads, "failed")
    assert.notInclude(formatResult(resultOf("hot", "lease")), "life")
    assert.include(formatResult(resultOf("failing", "plain")), "failed")
  })

  it("what keeps nothing has no expiries", () => {
    assert.match(rows[0]!, /^ {2}no cache +- +- /)
    assert.match(rows[2]!, /^ {2}TTL with a lease +1 +1 +1 +1 /)
  })
})

describe("in the documentation", () => {
  const report: Report = {
    startedAt: "2026-01-02T03:04:05.000Z",
    command: "npm run bench -- stampede",
    seed,
    machine: "a machine, 2 cores\nand its packages",
    results: [hot, { ...hot, world: "wall" }],
    tables: []
  }
  const contents = contentsOf([report])

  it("a mark is followed by what was measured, and what stood there is gone", () => {
    const before =
      "# A\n\n<!-- measured: hot -->\n\n| old | table |\n|---|---|\n| 1 | 2 |\n\nText.\n\n<!-- measured: run -->\n\n...\n"
    const after = fill(before, contents)
    assert.notInclude(after, "old")
    assert.match(after, /^# A\n\n<!-- measured: hot -->\n\n\| \| loads an expiry \|/)
    assert.match(after, /\| TTL with a lease \| 1 \| 1 \| 1 \| 1 \|/)
    assert.include(
      after,
      "\n\nText.\n\n<!-- measured: run -->\n\n`npm run bench -- stampede`, seed 20150808, 2026-01-02"
    )
    assert.strictEqual(fill(after, contents), after)
  })

  it("what was not measured stays", () => {
    const page = "<!-- measured: cold -->\n\n| old |\n\nText.\n"
    assert.strictEqual(fill(page, contents), page)
    assert.isUndefined(contents("cold"))
    assert.isDefined(contents("hot wall"))
  })

  const text = fs.readFileSync(path.join(root, "docs/stampedes.md"), "utf8")

  it("every mark of the page on stampedes is filled", () => {
    const marks = [...text.matchAll(/^<!-- measured: (\S+)( wall)? -->\n\n((?:.+\n)+)/gm)]
    assert.isAbove(marks.length, 8)
    for (const [, id, wall, content] of marks) {
      if (id === "run") assert.match(content!, /^`npm run bench.*`, seed \d+, /)
      else if (wall === undefined) {
        const { title } = scenarios.find((scenario) => scenario.id === id)!
        assert.isAbove(content!.split("\n").length, 12, title)
        for (const name of content!.matchAll(/^\| ([^|]+) \|/gm)) {
          assert.isTrue(strategies.some(({ title }) => title === name[1]), name[1])
        }
      } else assert.isAbove(content!.split("\n").length, 8)
    }
  })

  it("what the page shows and links to is there", () => {
    const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target!)
    assert.isAbove(targets.length, 8)
    assert.deepStrictEqual(
      targets.filter((target) => !target.startsWith("https://") && !fs.existsSync(path.join(root, "docs", target))),
      []
    )
  })
})
