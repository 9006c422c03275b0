/** What a read does next, as tables: every combination of what it knows. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import type { AtFirst, Came, Found, Next, Refresh, Rules, Tried } from "../../src/internal/interpreter/decide.ts"
import { afterwards, atFirst, refreshOf, withoutStore } from "../../src/internal/interpreter/decide.ts"

const rules: Rules = { refresh: "background", softTimeout: undefined, waitLimit: 5000, storeFailure: "load" }

const founds: ReadonlyArray<Found> = ["Fresh", "Refresh", "Stale", "OnError", "Dead", "Nothing"]
const refreshes: ReadonlyArray<Refresh> = ["background", "caller", "everyone"]
const booleans = [false, true]

/** Everything of one, with everything of the others. */
const cross = <A, B>(as: ReadonlyArray<A>, bs: ReadonlyArray<B>): Array<readonly [A, B]> =>
  as.flatMap((a) => bs.map((b) => [a, b] as const))

describe("at first", () => {
  const behind = "serve and refresh"
  // By `refresh`: background, caller, everyone.
  const table: Record<Found, { readonly outside: Array<AtFirst>; readonly inside: Array<AtFirst> }> = {
    Fresh: { outside: ["serve", "serve", "serve"], inside: ["serve", "serve", "serve"] },
    Refresh: { outside: [behind, "load", "load"], inside: [behind, "load", "load"] },
    Stale: { outside: [behind, "load", "load"], inside: ["load", "load", "load"] },
    OnError: { outside: ["load", "load", "load"], inside: ["load", "load", "load"] },
    Dead: { outside: ["load", "load", "load"], inside: ["load", "load", "load"] },
    Nothing: { outside: ["load", "load", "load"], inside: ["load", "load", "load"] }
  }

  for (const found of founds) {
    it(`found ${found}`, () => {
      const decided = (insideLoad: boolean) =>
        refreshes.map((refresh) => atFirst(found, { ...rules, refresh }, insideLoad))
      assert.deepStrictEqual({ outside: decided(false), inside: decided(true) }, table[found])
    })
  }

  it("inside of a load everyone waits, but for what is refreshed early", () => {
    for (const [found, refresh] of cross(founds, refreshes)) {
      assert.strictEqual(refreshOf(found, { ...rules, refresh }, false), refresh)
      assert.strictEqual(refreshOf(found, { ...rules, refresh }, true), found === "Refresh" ? refresh : "everyone")
    }
  })
})

interface Case extends Tried, Rules {}

/** A row of the table in `decide.ts`: its text, and when it holds. The first that holds decides. */
interface Row {
  readonly says: readonly [came: string, condition: string, then: string]
  readonly came: Came
  readonly holds: (known: Case) => boolean
  readonly next: Next["_tag"] | ((known: Case) => Next["_tag"])
}

const always = () => true

const servableWithCaller = ({ found, insideLoad, refresh }: Case) =>
  refresh === "caller" &&
  (found === "Fresh" || found === "Refresh" || found === "Stale") && (!insideLoad || found === "Refresh")

const rows: ReadonlyArray<Row> = [
  { says: ["loaded", "", "conclude"], came: "Loaded", holds: always, next: "Conclude" },
  {
    says: ["refused", "for the fourth time", "load alone"],
    came: "Refused",
    holds: ({ refused }) => refused >= 4,
    next: "LoadAlone"
  },
  { says: ["", "else", "look again"], came: "Refused", holds: always, next: "LookAgain" },
  { says: ["found", "", "look at that entry"], came: "Found", holds: always, next: "LookAtFound" },
  {
    says: ["circle", "the old value may still be served", "fall back on it"],
    came: "Circle",
    holds: ({ old }) => old,
    next: "FallBack"
  },
  { says: ["", "else", "die"], came: "Circle", holds: always, next: "Die" },
  {
    says: ["in a batch that waits for it", "", "load by itself"],
    came: "InBatch",
    holds: always,
    next: "LoadByItself"
  },
  { says: ["written by what waits for it", "", "load alone"], came: "Writing", holds: always, next: "LoadAlone" },
  {
    says: ["late", "the old value may still be served", "fall back on it"],
    came: "Late",
    holds: ({ old }) => old,
    next: "FallBack"
  },
  { says: ["", "else", "look again"], came: "Late", holds: always, next: "LookAgain" },
  {
    says: ["busy elsewhere", "servable, and only the caller who refreshes waits", "serve"],
    came: "Busy",
    holds: servableWithCaller,
    next: "Serve"
  },
  {
    says: ["", "waited for `softTimeout`, and the old value may still be served", "fall back on it"],
    came: "Busy",
    holds: ({ old, softTimeout, waited }) => old && waited >= (softTimeout ?? Infinity),
    next: "FallBack"
  },
  {
    says: ["", "waited for `waitLimit`", "load alone"],
    came: "Busy",
    holds: ({ waitLimit, waited }) => waited >= waitLimit,
    next: "LoadAlone"
  },
  { says: ["", "else", "wait, then look again"], came: "Busy", holds: always, next: "Wait" },
  {
    says: ["the store failed", "", "load alone, share a load, or fail (`storeFailure`)"],
    came: "StoreFailed",
    holds: always,
    next: ({ storeFailure }) => ({ load: "LoadAlone", share: "Share", fail: "Fail" } as const)[storeFailure]
  }
]

const cames: ReadonlyArray<Came> = [
  "Loaded",
  "Refused",
  "Found",
  "Circle",
  "InBatch",
  "Writing",
  "Late",
  "Busy",
  "StoreFailed"
]

const storeFailures = ["load", "share", "fail"] as const

function* cases(): Generator<Case> {
  for (const [[found, refresh], [insideLoad, old]] of cross(cross(founds, refreshes), cross(booleans, booleans))) {
    for (const [[came, refused], storeFailure] of cross(cross(cames, [0, 1, 3, 4, 5]), storeFailures)) {
      for (const [softTimeout, waited] of cross([undefined, 1000, 8000], [0, 999, 1000, 4999, 5000, 8000])) {
        yield { came, found, insideLoad, old, refused, waited, refresh, softTimeout, waitLimit: 5000, storeFailure }
      }
    }
  }
}

describe("afterwards", () => {
  it("every combination is decided by the first row of the table that holds", () => {
    const used = new Set<Row>()
    for (const known of cases()) {
      const row = rows.find(({ came, holds }) => came === known.came && holds(known))!
      used.add(row)
      const expected = typeof row.next === "function" ? row.next(known) : row.next
      const { _tag } = afterwards(known, known)
      if (_tag !== expected) assert.fail(`${_tag}, not ${expected}: ${JSON.stringify(known)}`)
    }
    assert.strictEqual(used.size, rows.length)
  })

  it("the table in the sources is this one", () => {
    const source = fs.readFileSync(new URL("../../src/internal/interpreter/decide.ts", import.meta.url), "utf8")
    const written = source.split("\n").filter((line) => line.startsWith(" * | "))
    const second = written.slice(written.indexOf(" * | what came of it | if | then |") + 1)
    assert.deepStrictEqual(second, rows.map(({ says }) => ` * | ${says.join(" | ")} |`.replaceAll("|  |", "| |")))
  })

  it("without the store", () => {
    assert.deepStrictEqual(withoutStore(rules), { _tag: "LoadAlone" })
    assert.deepStrictEqual(withoutStore({ ...rules, storeFailure: "fail" }), { _tag: "Fail" })
  })
})

describe("a read waits for whichever limit comes first", () => {
  // Milliseconds to wait at most, of a `waitLimit` of 5000.
  const table: ReadonlyArray<readonly [softTimeout: number | undefined, old: boolean, waited: number, most: number]> = [
    [undefined, false, 0, 5000],
    [undefined, true, 0, 5000],
    [undefined, true, 4999, 1],
    [1000, false, 0, 5000],
    [1000, false, 1000, 4000],
    [1000, true, 0, 1000],
    [1000, true, 999, 1],
    [8000, true, 0, 5000],
    [8000, true, 4999, 1]
  ]
  for (const [softTimeout, old, waited, atMost] of table) {
    it(`softTimeout ${softTimeout}, ${old ? "an" : "no"} old value, waited ${waited}`, () => {
      const tried: Tried = { came: "Busy", found: "OnError", insideLoad: false, old, refused: 0, waited }
      assert.deepStrictEqual(afterwards(tried, { ...rules, softTimeout }), { _tag: "Wait", atMost })
    })
  }
})
