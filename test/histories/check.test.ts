/** The checker, on histories made by hand: for each rule one that keeps it and one that breaks it. */
import { assert, describe, it } from "vitest"
import { check, forgive, print, type Rule } from "./check.ts"
import type { Fact, Fault, Invalidate, Load, MutateEnd, MutateOpen, Put, Read, Stored, Targets } from "./history.ts"

const limits = { lifetimes: { brief: 100 }, lease: 250, waitLimit: 1_000, clockSlack: 10, read: 2_000 }

const nothing: Targets = { keys: [], dependencies: [], patterns: [] }
const key = (name = "a:1"): Targets => ({ ...nothing, keys: [name] })
const tag = (name: string): Targets => ({ ...nothing, dependencies: [name] })

/** All times are milliseconds here. */
const us = 1000

const load = (id: string, begin: number, end: number, more: Partial<Load> = {}): Load => ({
  t: "load",
  p: "P1",
  id,
  key: "a:1",
  read: `read of ${id}`,
  begin: begin * us,
  end: end * us,
  set: false,
  v: 0,
  known: [],
  found: [],
  leased: { call: (begin - 1) * us, ret: begin * us },
  ...more
})

const read = (of: string, start: number, end: number, more: Partial<Read> = {}): Read => ({
  t: "read",
  p: "P2",
  id: `R${start}`,
  key: "a:1",
  start: start * us,
  end: end * us,
  load: of,
  v: 0,
  how: "hit",
  joined: 0,
  ...more
})

const invalidate = (targets: Targets, call: number, ret: number, more: Partial<Invalidate> = {}): Invalidate => ({
  t: "invalidate",
  p: "P3",
  targets,
  soft: false,
  call: call * us,
  ret: ret * us,
  ok: true,
  ...more
})

const stored = (of: string, call: number, more: Partial<Stored> = {}): Stored => ({
  t: "stored",
  p: "P1",
  load: of,
  key: "a:1",
  call: call * us,
  ret: call * us,
  outcome: "stored",
  ...more
})

const commit = (v: number, at: number): Fact => ({ t: "commit", p: "P3", key: "a:1", v, at: at * us })

const opened = (start: number, write: number, until: number): MutateOpen => ({
  t: "mutate-open",
  p: "P3",
  id: "M",
  targets: key(),
  start: start * us,
  write: write * us,
  until: until * us
})

const ended = (start: number, written: number, end: number, more: Partial<MutateEnd> = {}): MutateEnd => ({
  t: "mutate-end",
  p: "P3",
  id: "M",
  targets: key(),
  start: start * us,
  written: written * us,
  end: end * us,
  ok: true,
  ...more
})

const put = (of: string, v: number, start: number, end: number): Put => ({
  t: "set",
  p: "P3",
  key: "a:1",
  load: of,
  v,
  start: start * us,
  end: end * us,
  ok: true
})

const fault = (kind: Fault["kind"], from: number, to: number, more: Partial<Fault> = {}): Fault => ({
  t: "fault",
  kind,
  from: from * us,
  to: to * us,
  ...more
})

const verdict = (facts: ReadonlyArray<Fact>) => check({ facts, limits })

const broken = (...facts: ReadonlyArray<Fact>): ReadonlyArray<Rule> => verdict(facts).violations.map(({ rule }) => rule)

const keeps = (...facts: ReadonlyArray<Fact>) => assert.deepStrictEqual(broken(...facts), [])
const breaks = (rule: Rule, ...facts: ReadonlyArray<Fact>) => assert.deepStrictEqual(broken(...facts), [rule])

describe("G1: what was invalidated is not returned to whoever reads later", () => {
  it("a load from before, read after", () => {
    breaks("G1", load("L", 0, 10), invalidate(key(), 20, 30), read("L", 31, 32))
  })
  it("also when the load was stored after the invalidation", () => {
    breaks("G1", load("L", 0, 40), invalidate(key(), 20, 30), read("L", 41, 42))
  })
  it("a read that began before it had returned", () => {
    keeps(load("L", 0, 10), invalidate(key(), 20, 30), read("L", 29, 35))
  })
  it("a load that began after it was called", () => {
    keeps(load("L", 21, 25), invalidate(key(), 20, 30), read("L", 31, 32))
  })
  describe("what was made of such a load by a cached read", () => {
    const both = tag("t")
    const card = load("C", 0, 10, { key: "card:1", known: ["t"] })
    const page = load("P", 22, 28, { known: ["t"], of: "C" })
    it("though it began later itself", () => {
      breaks("G1", card, page, invalidate(both, 20, 30), read("P", 31, 32))
    })
    it("through several", () => {
      const site = load("S", 23, 29, { key: "site:1", known: ["t"], of: "P" })
      breaks("G1", card, page, site, invalidate(both, 20, 30), read("S", 31, 32, { key: "site:1" }))
    })
    it("but not where one of the two is not covered", () => {
      keeps(card, load("P", 22, 28, { of: "C" }), invalidate(both, 20, 30), read("P", 31, 32))
      keeps(load("C", 0, 10, { key: "card:1" }), page, invalidate(both, 20, 30), read("P", 31, 32))
    })
    it("and not of a mutate that has only begun, if its fence was lost while it was opened", () => {
      const made = load("P", 22, 24, { of: "C" })
      const row = load("C", 0, 10)
      breaks("G7", row, made, opened(20, 30, 90), read("P", 31, 32))
      keeps(row, made, opened(20, 30, 90), fault("evict", 21, 21, { what: "fences" }), read("P", 31, 32))
      breaks("G7", row, opened(20, 30, 90), fault("evict", 21, 21, { what: "fences" }), read("C", 31, 32))
    })
  })
  it("an invalidation of another key", () => {
    keeps(load("L", 0, 10), invalidate(key("a:2"), 20, 30), read("L", 31, 32))
  })
  it("a tag that the key tells, and one that was found", () => {
    breaks("G1", load("L", 0, 10, { known: ["t"] }), invalidate(tag("t"), 20, 30), read("L", 31, 32))
    breaks("G1", load("L", 0, 10, { found: ["t"] }), invalidate(tag("t"), 20, 30), read("L", 31, 32))
    keeps(load("L", 0, 10, { found: ["u"] }), invalidate(tag("t"), 20, 30), read("L", 31, 32))
  })
  it("a pattern", () => {
    const over = (...pattern: ReadonlyArray<string | null>) => invalidate({ ...nothing, patterns: [pattern] }, 20, 30)
    breaks("G1", load("L", 0, 10), over("a", null), read("L", 31, 32))
    keeps(load("L", 0, 10), over("b", null), read("L", 31, 32))
    keeps(load("L", 0, 10), over("a", null, null), read("L", 31, 32))
  })
  it("softly: as stale, but not as fresh", () => {
    const soft = invalidate(key(), 20, 30, { soft: true })
    keeps(load("L", 0, 10), soft, read("L", 31, 32, { how: "stale" }))
    breaks("G1", load("L", 0, 10), soft, read("L", 31, 32))
  })
  it("a hard one after a soft one", () => {
    const soft = invalidate(key(), 20, 30, { soft: true })
    breaks("G1", load("L", 0, 10), soft, invalidate(key(), 40, 50), read("L", 51, 52, { how: "stale" }))
  })
})

describe("G2: what was found dead is not returned again", () => {
  const dead = (at: number): Fact => ({ t: "dead", p: "P4", load: "L", key: "a:1", at: at * us, because: "dropped" })
  it("to whoever began after it was found", () => breaks("G2", load("L", 0, 10), dead(20), read("L", 21, 22)))
  it("to whoever began before", () => keeps(load("L", 0, 10), dead(20), read("L", 19, 22)))
})

describe("G3: nobody joins a load that was invalidated before", () => {
  it("joined after", () => breaks("G3", load("L", 0, 50), invalidate(key(), 20, 30), read("L", 31, 52)))
  it("joined before", () => keeps(load("L", 0, 50), invalidate(key(), 20, 30), read("L", 15, 52)))
})

describe("G4: nothing is served past its last threshold", () => {
  const old = load("L", 0, 10, { key: "brief:1" })
  const was = stored("L", 11, { key: "brief:1" })
  it("too old", () => breaks("G4", old, was, read("L", 150, 151, { key: "brief:1" })))
  it("young enough", () => keeps(old, was, read("L", 110, 151, { key: "brief:1" })))
})

describe("G5: loads of one key overlap only for a reason", () => {
  const other = (more: Partial<Load> = {}) => load("M", 20, 60, { p: "P2", ...more })
  it("for none", () => breaks("G5", load("L", 0, 50), other()))
  it("one after another", () => keeps(load("L", 0, 19), other()))
  it("of two keys", () => keeps(load("L", 0, 50), other({ key: "a:2" })))
  it("within one process", () => breaks("G5", load("L", 0, 50), other({ p: "P1" })))
  it("invalidated meanwhile", () => {
    keeps(load("L", 0, 50), invalidate(key(), 5, 6), other())
    breaks("G5", load("L", 0, 50), invalidate(key(), 30, 31), other())
  })
  it("a tag dooms a lease only if the key tells it", () => {
    keeps(load("L", 0, 50, { known: ["t"] }), invalidate(tag("t"), 5, 6), other({ known: ["t"] }))
    breaks("G5", load("L", 0, 50, { found: ["t"] }), invalidate(tag("t"), 5, 6), other({ found: ["t"] }))
  })
  it("an invalidation that failed may happen later", () => {
    keeps(load("L", 0, 50), invalidate(key(), -90, -80, { ok: false }), other())
  })
  it("the answer that came first need not be to the first lease", () => {
    keeps(load("L", 10, 50, { leased: { call: 9 * us, ret: 10 * us } }), invalidate(key(), 6, 7), {
      ...other({ leased: { call: 5 * us, ret: 20 * us } })
    })
  })
  it("mutated or written through", () => {
    keeps(load("L", 0, 50), opened(5, 6, 90), ended(5, 70, 80), other())
    keeps(load("L", 0, 50), load("S", 6, 8, { set: true }), put("S", 0, 5, 9), other())
  })
  it("the lease was evicted, or its marker", () => {
    keeps(load("L", 0, 50), fault("evict", 5, 6, { what: "a:1" }), other())
    keeps(load("L", 0, 50, { known: ["t"] }), fault("evict", 5, 6, { what: "t" }), other())
    breaks("G5", load("L", 0, 50), fault("evict", 5, 6, { what: "a:2" }), other())
  })
  it("the lease had expired", () => keeps(load("L", 0, 500), load("M", 260, 300, { p: "P2" })))
  it("the server was down", () => keeps(load("L", 0, 50), fault("down", 5, 10), other()))
  it("somebody without a lease whom the store had failed, or who had waited long enough", () => {
    const { leased: _, ...alone } = other()
    breaks("G5", load("L", 0, 50), alone)
    keeps(load("L", 0, 50), alone, {
      t: "store-failed",
      p: "P2",
      read: "read of M",
      operation: "read",
      reason: "Timeout",
      at: 19 * us
    })
    keeps(load("L", 0, 50), alone, read("M", -990, 61, { id: "read of M" }))
    breaks("G5", load("L", 0, 50), alone, read("M", 10, 61, { id: "read of M" }))
    keeps(load("L", 0, 50), alone, read("M", 10, 61, { id: "read of M", joined: 4 }))
  })
})

describe("G6: a write-through leaves nothing older", () => {
  const facts = [
    load("L", 0, 10),
    commit(1, 21),
    load("S", 20, 22, { set: true, v: 1 }),
    put("S", 1, 19, 23)
  ]
  it("the older value after it has returned", () => breaks("G6", ...facts, read("L", 24, 25)))
  it("the older value before", () => keeps(...facts, read("L", 22, 25)))
  it("the newer value", () => keeps(...facts, read("S", 24, 25, { v: 1 })))
})

describe("G7: nothing from before the end of a mutation is served after it", () => {
  it("loaded before, read while it writes", () => {
    breaks("G7", load("L", 0, 10), opened(20, 25, 400), ended(20, 40, 45), read("L", 26, 27))
  })
  it("loaded under the fence, read after", () => {
    breaks("G7", load("L", 30, 35), opened(20, 25, 400), ended(20, 40, 45), read("L", 46, 47))
  })
  it("loaded under the fence and read under it", () => {
    keeps(load("L", 30, 35), opened(20, 25, 400), ended(20, 40, 45), read("L", 36, 47))
  })
  it("loaded after", () => keeps(load("L", 41, 43), opened(20, 25, 400), ended(20, 40, 45), read("L", 46, 47)))
  it("its process died: until the fence ends", () => {
    const died = fault("crash", 30, 30, { p: "P3" })
    breaks("G7", load("L", 26, 28), opened(20, 25, 425), died, read("L", 426, 427))
    keeps(load("L", 26, 28), opened(20, 25, 425), died, read("L", 30, 427))
    keeps(load("L", 424, 428), opened(20, 25, 425), died, read("L", 429, 430))
    const lost = fault("evict", 26, 27, { what: "fences" })
    keeps(load("L", 26, 28), opened(20, 25, 425), died, lost, read("L", 426, 427))
    breaks("G7", load("L", 10, 26), opened(20, 25, 425), died, lost, read("L", 426, 427))
  })
  it("one that failed promises nothing of its end", () => {
    keeps(load("L", 30, 35), opened(20, 25, 400), ended(20, 40, 45, { ok: false }), read("L", 46, 47))
  })
})

describe("G5: what a process did when it died", () => {
  const leased = (at: number) => ({ leased: { call: at * us, ret: at * us } })
  const [one, other] = [load("L", 20, 60, leased(20)), load("M", 40, 70, { ...leased(40), p: "P2" })]
  const called = (at: number): Fact => ({ t: "called", p: "P3", targets: key(), at: at * us })
  const died = fault("crash", 45, 45, { p: "P3" })
  it("may have voided a load", () => keeps(one, other, called(30), died))
  it("may not, if it lived to say how that ended", () => {
    breaks("G5", one, other, called(5), invalidate(key(), 5, 10), died)
    breaks("G5", one, other, called(30))
  })
})

describe("G8: whom the store did not answer treats it as done", () => {
  const failed = invalidate(key(), 20, 30, { ok: false })
  it("in its own process", () => breaks("G8", load("L", 0, 10), failed, read("L", 31, 32, { p: "P3" })))
  it("in others it may have happened or not", () => keeps(load("L", 0, 10), failed, read("L", 31, 32)))
})

describe("G10: reads neither fail nor hang", () => {
  it("failed", () => breaks("G10", read("L", 0, 1, { how: "failed", load: undefined, v: undefined } as never)))
  it("hung", () => breaks("G10", load("L", 0, 10), read("L", 0, 2_100)))
  it("its process was paused", () => {
    keeps(load("L", 0, 10), read("L", 0, 2_100), fault("pause", 50, 300, { p: "P2" }))
    breaks("G10", load("L", 0, 10), read("L", 0, 2_100), fault("pause", 50, 300, { p: "P1" }))
  })
})

describe("what was returned was loaded, and what was loaded was there", () => {
  it("a version that was not current while the load ran", () => {
    breaks("origin", commit(1, 5), commit(2, 8), load("L", 10, 20, { v: 1 }))
    breaks("origin", commit(1, 25), load("L", 10, 20, { v: 1 }))
    keeps(commit(1, 5), commit(2, 15), load("L", 10, 20, { v: 1 }))
  })
  it("a value that nobody loaded, or another than was loaded", () => {
    breaks("origin", read("nobody's", 0, 1))
    breaks("origin", load("L", 0, 10), read("L", 11, 12, { v: 7 }))
  })
})

describe("a store that lost what it had acknowledged", () => {
  const facts = [load("L", 0, 10), invalidate(key(), 20, 30), read("L", 40, 41)]
  it("is forgiven only that", () => {
    assert.lengthOf(check(forgive({ facts, limits }, 29 * us, 35 * us)).violations, 0)
    assert.lengthOf(check(forgive({ facts, limits }, 31 * us, 35 * us)).violations, 1)
    // It may have been acknowledged at any time while it was called.
    assert.lengthOf(check(forgive({ facts, limits }, 10 * us, 20 * us)).violations, 0)
    assert.lengthOf(check(forgive({ facts, limits }, 10 * us, 19 * us)).violations, 1)
  })
})

it("prints what it saw and the evidence", () => {
  const text = print(verdict([load("L", 0, 10), invalidate(key(), 20, 30), read("L", 31, 32)]))
  assert.include(text, "reads 1")
  assert.include(text, "G1 BROKEN 1 times")
  assert.include(text, "\"t\":\"invalidate\"")
})
