import { Cron, Effect } from "effect"
import { assert, describe, test } from "vitest"
import * as Dependency from "../../src/Dependency.ts"
import { nextTick } from "../../src/internal/cron.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import * as Plan from "../../src/internal/plan.ts"
import { type Stamp, toVersion, type Version } from "../../src/internal/stamp.ts"
import * as Policy from "../../src/Policy.ts"
import type * as Verdict from "../../src/Verdict.ts"
import { planOf, refusal } from "../support/policies.ts"

const { tag } = Dependency

const stamp = (facts: Partial<Stamp> = {}): Stamp => ({
  storedAt: 1000,
  beganAt: 1000,
  duration: 0,
  jitter: 0,
  versions: {},
  dependencies: [],
  shape: "",
  failure: false,
  ...facts
})

interface Seen {
  readonly now?: number
  readonly changed?: ReadonlyMap<Dependency.Dependency, Verdict.Mode>
  readonly versions?: Readonly<Record<string, Version>>
}

const judge = (policy: Policy.Any, facts: Partial<Stamp> = {}, seen: Seen = {}): Verdict.Verdict =>
  Plan.judge(
    Plan.arm(planOf(policy), "key", "value", stamp(facts)),
    seen.now ?? 1000,
    () => 1,
    seen.changed,
    seen.versions ?? {}
  )

describe("What is written when a load ends", () => {
  const byKey = (key: string) => [`key ${key}`, "a"]
  const byValue = { fromValue: (value: string) => [`value ${value}`, "a"] }
  const plan = planOf(Policy.all(Policy.tagged(["a", "b"]), Policy.tagged(byKey), Policy.tagged(byValue)))

  test("the dependencies that the key tells are known before, each once", () =>
    assert.deepStrictEqual(Plan.knownDependencies(plan, "k"), [tag("a"), tag("b"), tag("key k")]))

  test("the value adds those that were not known", () =>
    assert.deepStrictEqual(
      Plan.foundDependencies(plan, "k", "v", Plan.knownDependencies(plan, "k")),
      [tag("value v")]
    ))

  test("every alternative's dependencies are among them, whichever of them an entry will live by", () => {
    const either = Policy.or(Policy.tagged("a"), Policy.and(Policy.tagged("b"), Policy.tagged("c")))
    assert.deepStrictEqual([...Plan.knownDependencies(planOf(either), "k")].sort(), [tag("a"), tag("b"), tag("c")])
  })

  test("what a user's function throws is not caught here", () => {
    const boom = Policy.tagged({
      fromValue: () => {
        throw new Error("boom")
      }
    })
    assert.throws(() => Plan.foundDependencies(planOf(boom), "k", "v", []), "boom")
    assert.throws(() => Plan.arm(planOf(boom), "k", "v", stamp()), "boom")
  })

  test("constants are written under their names, the newest one where alternatives differ", () => {
    const either = Policy.any(
      Policy.versioned(1),
      Policy.versioned(3),
      Policy.versioned(2),
      Policy.versioned("x", { name: "n" })
    )
    assert.deepStrictEqual({ ...planOf(either).constants }, { version: 3, n: "x" })
  })

  test("a version may be called like something that every object has", () => {
    for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      for (const atLeast of [false, true]) {
        const policy = Policy.versioned(1, { name, atLeast })
        assert.deepStrictEqual(Object.entries(planOf(policy).constants), [[name, 1]])
        assert.strictEqual(judge(policy, { versions: { ...planOf(policy).constants } }), "Fresh")
        assert.strictEqual(judge(policy, { versions: JSON.parse(JSON.stringify(planOf(policy).constants)) }), "Fresh")
        assert.strictEqual(judge(policy), "Dead")
      }
    }
  })

  test("computed versions get a slot each, also under one name, and one for a function that is used twice", () => {
    const [one, two] = [() => 1, () => Effect.succeed(2)]
    const policy = Policy.all(
      Policy.versioned(one),
      Policy.versioned(two),
      Policy.versioned(one, { atLeast: true }),
      Policy.versioned(one, { name: "other" })
    )
    assert.deepStrictEqual(
      planOf(policy).computed.map(({ current, slot }) => [slot, current]),
      [["version~0", one], ["version~1", two], ["other~0", one]]
    )
  })
})

describe("A version as it is stored", () => {
  test("is a string, a finite number, or the milliseconds of a date", () => {
    assert.strictEqual(toVersion("here", "v", ""), "")
    assert.strictEqual(toVersion("here", "v", -1.5), -1.5)
    assert.strictEqual(toVersion("here", "v", new Date(86_400_000)), 86_400_000)
  })

  for (const bad of [Number.NaN, Infinity, new Date(Number.NaN), undefined, null, 1n, true, {}]) {
    test(`and not ${bad instanceof Date ? "an invalid date" : typeof bad === "object" ? JSON.stringify(bad) : String(bad)}`, () =>
      assert.strictEqual(refusal(() => toVersion("here", "v", bad)).reason, "InvalidVersion"))
  }

  test("and a refusal says which version, and where", () => {
    const error = refusal(() => toVersion("here", "row", Number.NaN))
    assert.strictEqual(error.where, "here")
    assert.include(error.message, "\"row\"")
  })
})

describe("Versions at a read", () => {
  const row = (_: string) => 1
  const exact = Policy.versioned(row)
  const least = Policy.versioned(row, { atLeast: true })
  const under = (policy: Policy.Any, recorded: Version | undefined, current: Version | undefined) =>
    judge(
      policy,
      { versions: recorded === undefined ? {} : { "version~0": recorded } },
      { versions: current === undefined ? {} : { "version~0": current } }
    )

  test("must be the same, or not below the current one", () => {
    assert.deepStrictEqual([1, 2, 3].map((recorded) => under(exact, recorded, 2)), ["Dead", "Fresh", "Dead"])
    assert.deepStrictEqual([1, 2, 3].map((recorded) => under(least, recorded, 2)), ["Dead", "Fresh", "Fresh"])
    assert.deepStrictEqual(["a", "b", "c"].map((recorded) => under(least, recorded, "b")), ["Dead", "Fresh", "Fresh"])
  })

  test("that nobody recorded, or could read, are no match", () => {
    for (const policy of [exact, least]) {
      assert.strictEqual(under(policy, undefined, 1), "Dead")
      assert.strictEqual(under(policy, 1, undefined), "Dead")
      assert.strictEqual(under(policy, undefined, undefined), "Dead")
    }
  })

  test("of different types are never equal, and not ordered either", () => {
    assert.strictEqual(under(exact, "1", 1), "Dead")
    assert.strictEqual(under(least, "2", 1), "Dead")
    assert.strictEqual(under(least, 2, "1"), "Dead")
  })
})

describe("Changes at a read", () => {
  const by = (severity: Verdict.Severity) => Policy.tagged("a", { severity })
  const known = { dependencies: [tag("a")] }
  const changed = (mode: Verdict.Mode) => ({ changed: new Map([[tag("a"), mode]]) })

  test("are as bad as the dependency's severity, soft ones never worse than Stale", () => {
    for (const severity of ["Dead", "OnError", "Stale"] as const) {
      assert.strictEqual(judge(by(severity), known), "Fresh")
      assert.strictEqual(judge(by(severity), known, changed("hard")), severity)
      assert.strictEqual(judge(by(severity), known, changed("soft")), "Stale")
    }
  })

  test("of what the policy does not name are nothing to it", () =>
    assert.strictEqual(
      judge(by("Dead"), known, { changed: new Map([[tag("b"), "hard"], [Dependencies.row("a", 1), "hard"]]) }),
      "Fresh"
    ))

  test("do not make better what is missing from the stamp, softly or not", () => {
    assert.strictEqual(judge(by("Dead"), {}, {}), "Dead")
    assert.strictEqual(judge(by("Dead"), {}, changed("soft")), "Dead")
    assert.strictEqual(judge(by("Stale"), {}, {}), "Stale")
  })
})

describe("The first tick after a moment", () => {
  const hourly = Cron.parseUnsafe("0 * * * *", "UTC")
  const hour = 3_600_000

  test("is strictly after it: what is stored on the hour lives for the hour", () => {
    assert.strictEqual(nextTick(hourly, hour - 1), hour)
    assert.strictEqual(nextTick(hourly, hour), 2 * hour)
    assert.strictEqual(nextTick(hourly, hour + 0.5), 2 * hour)
  })

  test("is never, where there is none", () =>
    assert.strictEqual(nextTick(Cron.parseUnsafe("0 0 30 2 *", "UTC"), 0), Infinity))

  test("may be years away", () =>
    assert.strictEqual(nextTick(Cron.parseUnsafe("0 0 29 2 *", "UTC"), Date.UTC(2097, 0)), Date.UTC(2104, 1, 29)))
})

describe("The last moment of use", () => {
  const last = (policy: Policy.Any) => Plan.lastUse(Plan.arm(planOf(policy), "key", "value", stamp({ jitter: 0.5 })))

  test("is the end of the longest lived alternative", () => {
    assert.strictEqual(last(Policy.ttl(100)), 1100)
    assert.strictEqual(last(Policy.ttl(100, { stale: 200, onError: 300 })), 1300)
    assert.strictEqual(last(Policy.ttl(100, { stale: 200, onError: 300, jitter: 0.5 })), 1225)
    assert.strictEqual(last(Policy.or(Policy.ttl(100), Policy.ttl(50, { onError: 500 }))), 1500)
    assert.strictEqual(last(Policy.forever), Infinity)
    assert.strictEqual(last(Policy.never), -Infinity)
    assert.strictEqual(last(Policy.until("* * * * * *", { severity: "Stale" })), Infinity)
    assert.strictEqual(last(Policy.until("* * * * * *", { severity: "OnError" })), Infinity)
    assert.strictEqual(last(Policy.until("* * * * * *")), 2000)
  })
})

test("a plan keeps no alternative that another makes superfluous", () => {
  const size = (policy: Policy.Any) => planOf(policy).alternatives.length
  assert.strictEqual(size(Policy.or(Policy.ttl(1), Policy.ttl(2))), 1)
  assert.strictEqual(size(Policy.or(Policy.tagged("a"), Policy.tagged(["a", "b"]))), 1)
  assert.strictEqual(size(Policy.or(Policy.tagged("a"), Policy.tagged("b"))), 2)
  assert.strictEqual(size(Policy.or(Policy.forever, Policy.tagged("b"))), 1)
  assert.strictEqual(size(Policy.never), 0)
})
