import { pipe } from "effect"
import { assert, describe, test } from "vitest"
import { isServable, noWorse, ofChange } from "../../src/internal/verdicts.ts"
import * as Verdict from "../../src/Verdict.ts"

const { join, meet } = Verdict

/** Best first. */
const all: ReadonlyArray<Verdict.Verdict> = ["Fresh", "Refresh", "Stale", "OnError", "Dead"]

const forAll = (property: (a: Verdict.Verdict, b: Verdict.Verdict, c: Verdict.Verdict) => void): void =>
  all.forEach((a) => all.forEach((b) => all.forEach((c) => property(a, b, c))))

describe("Verdicts are a bounded distributive lattice", () => {
  test("meet and join are associative, commutative and idempotent", () =>
    forAll((a, b, c) => {
      for (const op of [meet<Verdict.Verdict, Verdict.Verdict>, join<Verdict.Verdict, Verdict.Verdict>]) {
        assert.strictEqual(op(a, op(b, c)), op(op(a, b), c))
        assert.strictEqual(op(a, b), op(b, a))
        assert.strictEqual(op(a, a), a)
      }
    }))

  test("each absorbs the other and distributes over it", () =>
    forAll((a, b, c) => {
      assert.strictEqual(meet(a, join(a, b)), a)
      assert.strictEqual(join(a, meet(a, b)), a)
      assert.strictEqual(meet(a, join(b, c)), join(meet(a, b), meet(a, c)))
      assert.strictEqual(join(a, meet(b, c)), meet(join(a, b), join(a, c)))
    }))

  test("Fresh is the best and Dead the worst of all", () =>
    forAll((a) => {
      assert.strictEqual(meet(a, "Fresh"), a)
      assert.strictEqual(meet(a, "Dead"), "Dead")
      assert.strictEqual(join(a, "Dead"), a)
      assert.strictEqual(join(a, "Fresh"), "Fresh")
    }))
})

test("Fresh > Refresh > Stale > OnError > Dead, whichever way one asks", () => {
  forAll((a, b) => {
    assert.strictEqual(noWorse(a, b), all.indexOf(a) <= all.indexOf(b))
    assert.strictEqual(meet(a, b), all[Math.max(all.indexOf(a), all.indexOf(b))])
    assert.strictEqual(join(a, b), all[Math.min(all.indexOf(a), all.indexOf(b))])
  })
})

test("meet and join work data-first and data-last alike", () =>
  forAll((a, b) => {
    assert.strictEqual(pipe(a, meet(b)), meet(a, b))
    assert.strictEqual(pipe(a, join(b)), join(a, b))
  }))

test("an entry is served without waiting as long as it is not worse than Stale", () =>
  assert.deepStrictEqual(all.filter(isServable), ["Fresh", "Refresh", "Stale"]))

test("a hard change is as bad as the severity says, a soft one never worse than Stale", () => {
  const severities: ReadonlyArray<Verdict.Severity> = ["Stale", "OnError", "Dead"]
  assert.deepStrictEqual(severities.map((severity) => ofChange(severity, "hard")), severities)
  assert.deepStrictEqual(severities.map((severity) => ofChange(severity, "soft")), ["Stale", "Stale", "Stale"])
})
