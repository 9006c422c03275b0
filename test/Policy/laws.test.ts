import { Cron, Equal, Hash, Option, Result, Schema } from "effect"
import fc from "fast-check"
import { assert, describe, test } from "vitest"
import * as Dependency from "../../src/Dependency.ts"
import * as Plan from "../../src/internal/plan.ts"
import type * as Node from "../../src/internal/policy/node.ts"
import { parse } from "../../src/internal/policy/read.ts"
import type { Selector } from "../../src/internal/policy/selector.ts"
import * as Tree from "../../src/internal/policy/tree.ts"
import type { Stamp } from "../../src/internal/stamp.ts"
import { noWorse } from "../../src/internal/verdicts.ts"
import * as Policy from "../../src/Policy.ts"
import * as Verdict from "../../src/Verdict.ts"
import { judgeTree } from "../support/judgeTree.ts"
import {
  anySituations,
  attempt,
  composed,
  draws,
  explain,
  Films,
  type Generated,
  holds,
  judge,
  judgeFor,
  type Key,
  keys,
  leaves,
  modes,
  nodeOf,
  observationOf,
  planOf,
  policies,
  type Situation,
  situations,
  stampOf,
  universe,
  type Value,
  values,
  versionsIn,
  type World
} from "../support/policies.ts"

const small = policies({}, 2)
const plain = policies({ xfetch: false })

const notBetter = (a: Verdict.Verdict, b: Verdict.Verdict): boolean => noWorse(b, a)

/** Two policies are equal as values, hash alike, and say the same of an entry. */
const same = (left: Generated, right: Generated, situation: Situation): void => {
  const between = () => `${explain(left)}\n  and\n${explain(right)}`
  assert.isTrue(Equal.equals(left, right), `not equal:\n${between()}`)
  assert.strictEqual(Hash.hash(left), Hash.hash(right), `hash unlike:\n${between()}`)
  assert.strictEqual(judge(left, situation), judge(right, situation), `judge unlike:\n${between()}`)
}

const { and, forever, never, or } = Policy

describe("1. Policies are a bounded distributive lattice, as values and in what they say", () => {
  const laws: Record<string, (p: Generated, q: Generated, r: Generated) => readonly [Generated, Generated]> = {
    "and is associative": (p, q, r) => [and(and(p, q), r), and(p, and(q, r))],
    "or is associative": (p, q, r) => [or(or(p, q), r), or(p, or(q, r))],
    "and is commutative": (p, q) => [and(p, q), and(q, p)],
    "or is commutative": (p, q) => [or(p, q), or(q, p)],
    "and is idempotent": (p) => [and(p, p), p],
    "or is idempotent": (p) => [or(p, p), p],
    "forever is the unit of and": (p) => [and(p, forever), p],
    "never is the unit of or": (p) => [or(p, never), p],
    "never annihilates and": (p) => [and(p, never), never],
    "forever absorbs or": (p) => [or(p, forever), forever],
    "and absorbs or": (p, q) => [and(p, or(p, q)), p],
    "or absorbs and": (p, q) => [or(p, and(p, q)), p],
    "and distributes over or": (p, q, r) => [and(p, or(q, r)), or(and(p, q), and(p, r))],
    "or distributes over and": (p, q, r) => [or(p, and(q, r)), and(or(p, q), or(p, r))]
  }
  for (const [law, sides] of Object.entries(laws)) {
    test(law, () =>
      holds(
        300,
        fc.property(small, small, small, situations, (p, q, r, situation) => {
          const [left, right] = composed(() => sides(p, q, r))
          same(left, right, situation)
        })
      ))
  }

  test("all and any are and and or of many, with the units for none", () => {
    assert.isTrue(Equal.equals(Policy.all(), forever))
    assert.isTrue(Equal.equals(Policy.any(), never))
    holds(
      300,
      fc.property(small, small, small, situations, (p, q, r, situation) => {
        same(composed(() => Policy.all(p, q, r)), composed(() => and(p, and(q, r))), situation)
        same(composed(() => Policy.any(p, q, r)), composed(() => or(p, or(q, r))), situation)
      })
    )
  })
})

describe("2. What a composition says follows from what its parts say", () => {
  test("without XFetch, and says the worse of two verdicts, exactly", () =>
    holds(
      1000,
      fc.property(plain, plain, situations, (p, q, situation) => {
        const whole = composed(() => and(p, q))
        assert.strictEqual(judge(whole, situation), Verdict.meet(judge(p, situation), judge(q, situation)))
      })
    ))

  test("or says the better of two verdicts, exactly, with XFetch and without", () =>
    holds(
      1000,
      fc.property(policies(), policies(), situations, (p, q, situation) => {
        const whole = composed(() => or(p, q))
        assert.strictEqual(judge(whole, situation), Verdict.join(judge(p, situation), judge(q, situation)))
      })
    ))

  test("with XFetch, and refreshes where the worse of two verdicts is Fresh, and does nothing else", () => {
    let earlier = 0
    holds(
      2000,
      fc.property(policies(), policies(), situations, (p, q, situation) => {
        const verdict = judge(composed(() => and(p, q)), situation)
        const meet = Verdict.meet(judge(p, situation), judge(q, situation))
        if (verdict === meet) return
        assert.deepStrictEqual([verdict, meet], ["Refresh", "Fresh"])
        earlier++
      })
    )
    if (process.env["FC_PATH"] === undefined) assert.isAbove(earlier, 0, "the generators never make it refresh earlier")
  })
})

describe("3. A further condition never does an entry good", () => {
  test("and is never fresher than either side, or never less fresh", () =>
    holds(
      1000,
      fc.property(policies(), policies(), situations, (p, q, situation) => {
        assert.isTrue(notBetter(judge(composed(() => and(p, q)), situation), judge(p, situation)))
        assert.isTrue(notBetter(judge(p, situation), judge(composed(() => or(p, q)), situation)))
      })
    ))

  const lastUse = (policy: Generated, situation: Situation): number =>
    Plan.lastUse(Plan.arm(planOf(policy), situation.key, situation.value, stampOf(policy, situation)))

  test("and never lives longer than either side, and or as long as the longer one", () =>
    holds(
      1000,
      fc.property(policies(), policies(), situations, (p, q, situation) => {
        const [lastP, lastQ] = [lastUse(p, situation), lastUse(q, situation)]
        assert.isAtMost(lastUse(composed(() => and(p, q)), situation), Math.min(lastP, lastQ))
        assert.strictEqual(lastUse(composed(() => or(p, q)), situation), Math.max(lastP, lastQ))
      })
    ))

  test("from its last use on an entry is dead, so a store may forget it", () =>
    holds(
      1000,
      fc.property(policies(), situations, fc.constantFrom(0, 1, 1e6), (p, situation, later) => {
        const last = lastUse(p, situation)
        fc.pre(last < Infinity)
        assert.strictEqual(judge(p, { ...situation, now: Math.max(last, 0) + later }), "Dead")
      })
    ))
})

describe("4. Nothing that happens does an entry good", () => {
  test("as time passes a verdict never improves, for one draw", () =>
    holds(
      1500,
      fc.property(policies(), situations, situations, (p, situation, { now, storedAt }) => {
        const later = { ...situation, now: situation.now + Math.abs(now - storedAt) }
        assert.isTrue(notBetter(judge(p, later), judge(p, situation)))
      })
    ))

  test("with more changes a verdict never improves", () =>
    holds(
      1500,
      fc.property(
        policies(),
        situations,
        fc.array(fc.tuple(fc.constantFrom(...universe), modes), { minLength: 1, maxLength: 8 }),
        (p, situation, further) => {
          const before = [...situation.changed ?? []]
          const changed = new Map([...further, ...before])
          assert.isTrue(notBetter(judge(p, { ...situation, changed }), judge(p, situation)))
        }
      )
    ))

  test("a hard change is never better than a soft one, and a soft one never worse than Stale by itself", () =>
    holds(
      1000,
      fc.property(policies(), situations, (p, situation) => {
        const changedBy = (mode: Verdict.Mode) =>
          judge(p, { ...situation, changed: new Map(universe.map((name) => [name, mode])) })
        const unchanged = judge(p, { ...situation, changed: undefined })
        assert.isTrue(notBetter(changedBy("hard"), changedBy("soft")))
        assert.isTrue(notBetter(Verdict.meet(unchanged, "Stale"), changedBy("soft")))
      })
    ))

  test("with more dependencies missing from its stamp an entry is never better off", () =>
    holds(
      1000,
      fc.property(policies(), situations, fc.subarray([...universe], { maxLength: 6 }), (p, situation, further) => {
        const missing = new Set([...situation.missing, ...further])
        assert.isTrue(notBetter(judge(p, { ...situation, missing }), judge(p, situation)))
      })
    ))

  const growing = fc.array(fc.nat(2), { minLength: 15, maxLength: 15 }).map((steps): ReadonlyArray<World> => {
    const at = (when: number, what: number) =>
      steps.slice(what * 3, what * 3 + when + 1).reduce((sum, step) => sum + step)
    return [0, 1, 2].map((when) => ({
      rows: [at(when, 0), at(when, 1), at(when, 2)],
      setting: at(when, 3),
      updatedAt: at(when, 4)
    }))
  })

  test("as versions grow a verdict never improves", () =>
    holds(
      1000,
      fc.property(policies(), situations, growing, (p, situation, [before, after, later]) => {
        const then = { ...situation, before: before!, after: after! }
        assert.isTrue(notBetter(judge(p, { ...then, after: later! }), judge(p, then)))
      })
    ))
})

describe("5. What is alike becomes one", () => {
  const age = fc.oneof(fc.nat(100_000), fc.constantFrom(0, Infinity))

  test("and of two lifetimes is the shorter, or the longer", () =>
    holds(
      500,
      fc.property(age, age, (a, b) => {
        const [p, q] = [Policy.ttl(a), Policy.ttl(b)]
        assert.isTrue(Equal.equals(and(p, q), Policy.ttl(Math.min(a, b))))
        assert.isTrue(Equal.equals(or(p, q), Policy.ttl(Math.max(a, b))))
      })
    ))

  const ageTriples = fc.tuple(age, age, age).map((all) => all.sort((a, b) => a - b))
  const byAges = ([fresh, stale, onError]: ReadonlyArray<number>): Generated =>
    Policy.ttl(fresh!, { stale: stale!, onError: onError! })

  test("and takes the least of each age, or says what the greatest of each age would say", () =>
    holds(
      1000,
      fc.property(ageTriples, ageTriples, situations, fc.nat(100_000), (a, b, situation, elapsed) => {
        const each = (choose: (...ages: Array<number>) => number) => byAges(a.map((x, i) => choose(x, b[i]!)))
        same(and(byAges(a), byAges(b)), each(Math.min), situation)
        const at = { ...situation, now: situation.storedAt + elapsed }
        assert.strictEqual(judge(or(byAges(a), byAges(b)), at), judge(each(Math.max), at))
      })
    ))

  test("jittered lifetimes become one only where one is the shorter for every draw", () => {
    const steady = Policy.ttl(80)
    const jittered = Policy.ttl(100, { jitter: 0.5 })
    const both = and<unknown, unknown, never, never, unknown, unknown, never, never>(steady, jittered)
    const at = (policy: Generated, jitter: number, now: number) =>
      Policy.judge(policy, {
        key: 0,
        value: values[0]!,
        stamp: {
          storedAt: 0,
          beganAt: 0,
          duration: 0,
          jitter,
          versions: {},
          dependencies: [],
          shape: "",
          failure: false
        },
        now
      })
    assert.deepStrictEqual([at(both, 0, 79), at(both, 0, 80)], ["Fresh", "Dead"])
    assert.deepStrictEqual([at(both, 0.75, 62), at(both, 0.75, 63)], ["Fresh", "Dead"])
    assert.isTrue(Equal.equals(and(Policy.ttl(50), jittered), Policy.ttl(50)))
    assert.isTrue(Equal.equals(and(Policy.ttl(100), jittered), jittered))
  })

  const tags = fc.array(fc.string({ minLength: 1, unit: "binary" }), { maxLength: 4 })
  const severity = fc.constantFrom<Verdict.Severity>("Dead", "OnError", "Stale")

  test("and of two sets of tags is their union, and no tags at all are no condition", () => {
    assert.isTrue(Equal.equals(Policy.tagged([]), forever))
    holds(
      500,
      fc.property(tags, tags, severity, (s, t, severity) =>
        Equal.equals(
          and(Policy.tagged(s, { severity }), Policy.tagged(t, { severity })),
          Policy.tagged([...s, ...t], { severity })
        ))
    )
  })

  test("one tag with two severities has the worse one when both must hold, the better one when either", () =>
    holds(
      100,
      fc.property(tags, severity, severity, (all, one, other) => {
        const tagged = (severity: Verdict.Severity) => Policy.tagged(all, { severity })
        assert.isTrue(Equal.equals(and(tagged(one), tagged(other)), tagged(Verdict.meet(one, other))))
        assert.isTrue(Equal.equals(or(tagged(one), tagged(other)), tagged(Verdict.join(one, other))))
      })
    ))

  const version = fc.oneof(fc.string({ unit: "binary" }), fc.double({ noNaN: true, noDefaultInfinity: true }))

  test("two different constants for one version are never, at once, and it is said why", () =>
    holds(
      500,
      fc.property(version, version, (a, b) => {
        fc.pre(a !== b)
        const p = and(Policy.versioned(a, { name: "schema" }), Policy.versioned(b, { name: "schema" }))
        assert.strictEqual(nodeOf(p)._tag, "Never")
        assert.isTrue(Equal.equals(p, never))
        const said = p.toString()
        const text = (value: string | number) => typeof value === "string" ? JSON.stringify(value) : String(value)
        assert.strictEqual(said, `never(schema cannot be both ${text(a)} and ${text(b)})`)
      })
    ))

  test("the constants of two names, or the same one twice, do not exclude each other", () =>
    holds(
      100,
      fc.property(version, version, (a, b) => {
        assert.isTrue(Equal.equals(and(Policy.versioned(a), Policy.versioned(a)), Policy.versioned(a)))
        assert.isFalse(Equal.equals(and(Policy.versioned(a), Policy.versioned(b, { name: "schema" })), never))
      })
    ))

  test("of two lower limits the higher counts, and an exact version that reaches a limit stands for both", () => {
    const atLeast = (version: number) => Policy.versioned(version, { atLeast: true })
    assert.isTrue(Equal.equals(and(atLeast(1), atLeast(2)), atLeast(2)))
    assert.isTrue(Equal.equals(or(atLeast(1), atLeast(2)), atLeast(1)))
    assert.isTrue(Equal.equals(and(atLeast(1), Policy.versioned(2)), Policy.versioned(2)))
    const row = () => 1
    const exact = Policy.versioned(row)
    assert.isTrue(Equal.equals(and(exact, Policy.versioned(row, { atLeast: true })), exact))
    assert.strictEqual(and(Policy.versioned(1), atLeast(2)).toString(), "never(version cannot be both 1 and >= 2)")
  })

  test("what excludes each other is named, not what stands beside it", () => {
    const limit = Policy.versioned(3, { atLeast: true })
    const left = and(limit, Policy.versioned("a", { name: "schema" }))
    const right = and(Policy.versioned(5), Policy.versioned("b", { name: "schema" }))
    assert.strictEqual(and(left, right).toString(), "never(schema cannot be both \"a\" and \"b\")")
  })
})

describe("6. A policy for one key is a policy for whatever the key is made from", () => {
  const length = (text: string): Key => text.length
  const first = (list: readonly [string]): string => list[0]
  const text = fc.constantFrom("", "x", "xy")
  const inner = (wrapped: { readonly value: Value }): Value => wrapped.value
  const parse = (json: string): { readonly value: Value } => ({ value: values[Number(json)]! })

  test("contramapKey asks the policy about the key that its function makes", () =>
    holds(
      1000,
      fc.property(policies(), text, situations, (p, key, situation) => {
        assert.strictEqual(
          judgeFor(Policy.contramapKey(p, length), key, situation.value, situation),
          judgeFor(p, length(key), situation.value, situation)
        )
      })
    ))

  test("contramapValue asks the policy about the value that its function makes", () =>
    holds(
      1000,
      fc.property(policies(), situations, (p, situation) => {
        assert.strictEqual(
          judgeFor(Policy.contramapValue(p, inner), situation.key, { value: situation.value }, situation),
          judge(p, situation)
        )
      })
    ))

  test("the identity changes nothing", () =>
    holds(
      1000,
      fc.property(policies(), situations, (p, situation) => {
        const identity = <A>(a: A): A => a
        const { key, value } = situation
        assert.strictEqual(judgeFor(Policy.contramapKey(p, identity<Key>), key, value, situation), judge(p, situation))
        assert.strictEqual(
          judgeFor(Policy.contramapValue(p, identity<Value>), key, value, situation),
          judge(p, situation)
        )
      })
    ))

  test("one function after the other is their composition", () =>
    holds(
      1000,
      fc.property(policies(), text, fc.constantFrom("0", "1", "2"), situations, (p, key, json, situation) => {
        const { value } = situation
        assert.strictEqual(
          judgeFor(p.pipe(Policy.contramapKey(length), Policy.contramapKey(first)), [key], value, situation),
          judgeFor(Policy.contramapKey(p, (list: readonly [string]) => length(first(list))), [key], value, situation)
        )
        assert.strictEqual(
          judgeFor(p.pipe(Policy.contramapValue(inner), Policy.contramapValue(parse)), situation.key, json, situation),
          judgeFor(Policy.contramapValue(p, (json: string) => inner(parse(json))), situation.key, json, situation)
        )
      })
    ))

  test("it distributes over and and or", () =>
    holds(
      1000,
      fc.property(policies({}, 3), policies({}, 3), (p, q) => {
        for (const combine of [and, or]) {
          const whole: Generated = composed(() => combine(p, q))
          assert.isTrue(Equal.equals(
            Policy.contramapKey(whole, length),
            combine(Policy.contramapKey(p, length), Policy.contramapKey(q, length))
          ))
          assert.isTrue(Equal.equals(
            Policy.contramapValue(whole, inner),
            combine(Policy.contramapValue(p, inner), Policy.contramapValue(q, inner))
          ))
        }
      })
    ))

  test("mapping equal policies by one function gives equal policies", () =>
    holds(
      300,
      fc.property(policies(), (p) => Equal.equals(Policy.contramapKey(p, length), Policy.contramapKey(p, length)))
    ))
})

const entryOf = (policy: Generated, situation: Situation) => ({
  key: situation.key,
  value: situation.value,
  stamp: stampOf(policy, situation)
})

describe("What was made of something stale", () => {
  const offsets = fc.constantFrom(-1, 0, 1, 60_000, Number.MAX_SAFE_INTEGER)

  test("is as good as its policy says, never better than stale, and dead once that may not be served", () =>
    holds(
      5_000,
      fc.property(policies(), situations, offsets, (p, situation, offset) => {
        const entry = entryOf(p, situation)
        const partsUntil = situation.now + offset
        const made = { ...entry, stamp: { ...entry.stamp, partsUntil } }
        assert.strictEqual(
          Policy.judge(p, { ...made, ...observationOf(p, situation) }),
          Verdict.meet(judge(p, situation), offset > 0 ? "Stale" : "Dead")
        )
        const armed = Plan.arm(planOf(p), situation.key, situation.value, made.stamp)
        assert.isAtMost(Plan.lastUse(armed), partsUntil)
        assert.strictEqual(armed.surelyFreshUntil, -Infinity)
      })
    ))
})

describe("7. A plan says what its tree says", () => {
  test("for every policy, stamp and observation", () =>
    holds(
      20_000,
      fc.property(policies(), anySituations, (p, situation) => {
        assert.strictEqual(
          judge(p, situation),
          judgeTree(p, entryOf(p, situation), observationOf(p, situation))
        )
      })
    ))

  test("so every verdict, every case and plans of up to eight alternatives were among them", () => {
    const verdicts = new Map<string, number>()
    const cases = new Set<string>()
    const sizes = new Set<number>()
    const visit = ({ node, plan }: Node.Tree): void => {
      cases.add(node._tag)
      sizes.add(plan.alternatives.length)
      if (node._tag === "And" || node._tag === "Or") [node.left, node.right].forEach(visit)
    }
    fc.sample(fc.tuple(policies(), situations), { numRuns: 3000, seed: 1 }).forEach(([p, situation]) => {
      const verdict = judge(p, situation)
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
      visit(Tree.of(p))
    })
    for (const verdict of ["Fresh", "Refresh", "Stale", "OnError", "Dead"]) {
      assert.isAtLeast(verdicts.get(verdict) ?? 0, 30, verdict)
    }
    assert.deepStrictEqual(
      [...cases].sort(),
      ["And", "Conditional", "Forever", "Never", "Or", "Tagged", "Ttl", "Until", "Versioned", "XFetch"]
    )
    assert.deepStrictEqual([...sizes].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8])
  })

  test("a policy that gained a tag finds it missing from an old stamp, and does not trust the entry", () =>
    holds(
      500,
      fc.property(policies(), situations, fc.constantFrom<Verdict.Severity>("Dead", "OnError", "Stale"), (
        p,
        situation,
        severity
      ) => {
        const gained = composed(() => and(p, Policy.tagged("new", { severity })))
        assert.isTrue(notBetter(judge(gained, situation), severity))
      })
    ))
})

describe("8. What is printed reads back", () => {
  const text = policies({ functions: false })

  test("a policy without functions equals what is read from its text, which prints as before", () =>
    holds(
      1000,
      fc.property(text, (p) => {
        const back = Result.getOrThrow(parse(p.toString()))
        assert.isTrue(Equal.equals(p, back), p.toString())
        assert.strictEqual(back.toString(), p.toString())
      })
    ))

  test("encoding and decoding give an equal policy", () =>
    holds(
      1000,
      fc.property(text, (p) => {
        const encoded = Schema.encodeSync(Policy.FromString)(p as Policy.Policy<unknown, unknown>)
        assert.isTrue(Equal.equals(Schema.decodeSync(Policy.FromString)(encoded), p), encoded)
      })
    ))

  test("any text and any number survives", () => {
    const nasty = fc.oneof(
      fc.string({ minLength: 1, unit: "binary" }),
      fc.string({ minLength: 1, unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) }),
      fc.constantFrom(
        "and",
        "or",
        "never",
        "<key>",
        "a b",
        "\"",
        "\\",
        ")",
        "(",
        "; Stale",
        ", ",
        "]",
        "a\nb",
        "\u2028"
      )
    )
    const positive = fc.double({ min: 5e-324, noNaN: true, noDefaultInfinity: true })
    const version = fc.oneof(nasty, fc.constant(""), fc.double({ noNaN: true, noDefaultInfinity: true }))
    const leaf = fc.oneof(
      fc.array(nasty, { maxLength: 3 }).map((tags) => Policy.tagged<unknown, unknown>(tags)),
      positive.map((beta) => Policy.xfetch<unknown, unknown>({ beta })),
      fc.tuple(version, fc.boolean(), fc.stringMatching(/^[\w.-]+$/)).map(([current, atLeast, name]) =>
        Policy.versioned<unknown, unknown>(current, { atLeast, name })
      ),
      fc.tuple(
        fc.oneof(fc.double({ min: 0, noNaN: true }), fc.double({ min: 0, max: 1e12, noNaN: true })),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
      ).map((
        [lifetime, jitter]
      ) => Policy.ttl<unknown, unknown>(lifetime, { jitter })),
      fc.tuple(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(), fc.nat()).map(([lifetime, staleFor, onErrorFor]) =>
        Policy.ttl<unknown, unknown>(lifetime, { staleFor, onErrorFor })
      )
    )
    holds(
      1000,
      fc.property(leaf, leaf, (p, q) => {
        const whole = and(p, q)
        const back = Result.getOrThrow(parse(whole.toString()))
        assert.isTrue(Equal.equals(whole, back), whole.toString())
        assert.strictEqual(back.toString(), whole.toString())
      })
    )
  })

  const holdsFunctions = ({ node }: Node.Tree): boolean => {
    switch (node._tag) {
      case "And":
      case "Or":
        return holdsFunctions(node.left) || holdsFunctions(node.right)
      case "Versioned":
        return typeof node.current === "function"
      case "Tagged":
        return "from" in node.tags
      case "Conditional":
        return (node.scope._tag === "Row" && node.scope.ids !== undefined) ||
          (node.scope._tag === "Partition" && node.scope.values !== undefined)
      default:
        return false
    }
  }

  test("a policy with a function has no text: it is not read back, and refuses to be encoded", () =>
    holds(
      1000,
      fc.property(policies(), (p) => {
        const texts = !holdsFunctions(Tree.of(p))
        assert.strictEqual(Result.isSuccess(parse(p.toString())), texts, p.toString())
        const exit = Schema.encodeExit(Policy.FromString)(p as Policy.Policy<never, never> as never)
        assert.strictEqual(exit._tag === "Success", texts)
      })
    ))
})

describe("Equality is equality of what is meant", () => {
  const given = (selector: Selector<unknown> | undefined) =>
    selector?.from === "value" ? { fromValue: selector.select } as never : selector?.select as never

  /** The same policy, made anew from nothing but its description. */
  const anew = (policy: Policy.Any): Generated => anewTree(Tree.of(policy))

  const anewTree = ({ node }: Node.Tree): Generated => {
    switch (node._tag) {
      case "And":
        return and(anewTree(node.left), anewTree(node.right))
      case "Or":
        return or(anewTree(node.left), anewTree(node.right))
      case "Forever":
        return forever
      case "Never":
        return never
      case "Ttl":
        return Policy.ttl(node.fresh, { stale: node.stale, onError: node.onError, jitter: node.jitter })
      case "Until":
        return Policy.until(Cron.make({ ...node.cron, tz: Option.getOrUndefined(node.cron.tz) }), node)
      case "Versioned":
        return Policy.versioned(node.current as never, node)
      case "Tagged":
        return Policy.tagged("from" in node.tags ? given(node.tags) : [...node.tags].reverse(), node)
      case "Conditional": {
        const { scope, severity } = node
        const fields = node.fields === undefined ? undefined : [...node.fields].reverse() as Array<"title">
        switch (scope._tag) {
          case "Row":
            return Policy.conditional(Films, { id: given(scope.ids), fields, severity })
          case "Partition":
            return Policy.conditionalIn(Films, scope.partition as "year", {
              equals: given(scope.values),
              fields,
              severity
            })
          case "Type":
            return Policy.conditionalAll(Films, { fields, severity })
        }
      }
      // falls through: all scopes return
      case "XFetch":
        return Policy.xfetch(node)
    }
  }

  const mirrored = (policy: Generated): Generated => {
    const sides = (node: { readonly left: Node.Tree; readonly right: Node.Tree }) =>
      [mirrored(node.right as never), mirrored(node.left as never)] as const
    const node = nodeOf(policy)
    return node._tag === "And" ? and(...sides(node)) : node._tag === "Or" ? or(...sides(node)) : policy
  }

  const rewritings: ReadonlyArray<(p: Generated, q: Generated) => Generated> = [
    anew,
    mirrored,
    (p) => and(p, forever),
    (p) => or(never, p),
    (p) => and(p, anew(p)),
    (p) => or(anew(p), p),
    (p, q) => and(p, or(p, q)),
    (p, q) => or(and(q, p), p)
  ]
  const rewriting = fc.constantFrom(...rewritings)

  test("a policy equals itself made anew, in any spelling; equal ones hash alike and say the same", () =>
    holds(
      1000,
      fc.property(small, small, rewriting, rewriting, situations, (p, q, one, two, situation) => {
        const other = composed(() => two(one(p, q), q))
        same(p, other, situation)
        same(other, p, situation)
      })
    ))

  test("equality is an equivalence, and what is equal says the same", () => {
    let equal = 0
    const tiny = policies({ functions: false }, 1)
    holds(
      2000,
      fc.property(tiny, tiny, tiny, situations, (p, q, r, situation) => {
        assert.isTrue(Equal.equals(p, p))
        assert.strictEqual(Equal.equals(p, q), Equal.equals(q, p))
        if (!Equal.equals(p, q)) return
        equal++
        same(p, q, situation)
        if (Equal.equals(q, r)) assert.isTrue(Equal.equals(p, r))
      })
    )
    if (process.env["FC_PATH"] === undefined) assert.isAbove(equal, 10, "the generators hardly make equal policies")
  })

  test("policies that say different things are not equal", () =>
    holds(
      1500,
      fc.property(small, small, situations, (p, q, situation) => {
        if (judge(p, situation) !== judge(q, situation)) assert.isFalse(Equal.equals(p, q))
      })
    ))

  test("other functions, names, zones and severities make other policies", () => {
    const distinct: ReadonlyArray<Policy.Any> = [
      Policy.tagged((key: Key) => [`k${key}`]),
      Policy.tagged((key: Key) => [`k${key}`]),
      Policy.versioned(1, { name: "a" }),
      Policy.versioned(1, { name: "b" }),
      Policy.versioned("1", { name: "a" }),
      Policy.versioned(1, { name: "a", atLeast: true }),
      Policy.until("0 0 * * *", { timeZone: "Europe/Rome" }),
      Policy.until("0 0 * * *", { timeZone: "America/New_York" }),
      Policy.until("0 0 * * *", { timeZone: "UTC" }),
      Policy.until("0 0 * * *", { timeZone: "UTC", severity: "Stale" }),
      Policy.until("0 0 * * *", { timeZone: "UTC", spread: "5 minutes" }),
      Policy.until("0 0 * * *", { timeZone: "UTC", severity: "Stale", spread: "5 minutes" }),
      Policy.until("0 0 * * *", { timeZone: "UTC", severity: "Stale", spread: "6 minutes" }),
      Policy.until("0 0 1-31/2 * 6", { timeZone: "UTC" }),
      Policy.until("0 0 */2 * 6", { timeZone: "UTC" }),
      Policy.tagged("a"),
      Policy.tagged("a", { severity: "OnError" }),
      Policy.tagged("b"),
      Policy.conditional(Films),
      Policy.conditional(Films, { fields: [] }),
      Policy.conditional(Films, { fields: ["title"] }),
      Policy.conditional(Films, { fields: ["title"], severity: "Stale" }),
      Policy.conditionalIn(Films, "year", { fields: [] }),
      Policy.conditionalIn(Films, "genre", { fields: [] }),
      Policy.conditionalAll(Films, { fields: [] }),
      Policy.ttl(10),
      Policy.ttl(10, { jitter: 0.1 }),
      Policy.ttl(10, { stale: 20 }),
      Policy.ttl(10, { onError: 20 }),
      Policy.xfetch(),
      Policy.xfetch({ beta: 2 }),
      forever,
      never
    ]
    distinct.forEach((p, i) =>
      distinct.forEach((q, j) => assert.strictEqual(Equal.equals(p, q), i === j, `${p.toString()}, ${q.toString()}`))
    )
  })
})

describe("An entry and a policy that have met", () => {
  test("before it is surely fresh no longer, an entry of which nothing changed is fresh for every draw", () => {
    let sure = 0
    holds(
      2000,
      fc.property(policies(), situations, draws, (p, situation, draw) => {
        const armed = Plan.arm(planOf(p), situation.key, situation.value, stampOf(p, situation))
        if (situation.now >= armed.surelyFreshUntil) return
        sure++
        // The promise is made before any version is read.
        assert.strictEqual(Plan.judge(armed, situation.now, () => draw, undefined, {}), "Fresh")
      })
    )
    if (process.env["FC_PATH"] === undefined) assert.isAbove(sure, 500, "the generators hardly make sure entries")
  })

  test("it is surely fresh as long as the latest of its alternatives that nothing but time can end", () => {
    const until = (policy: Policy.Any, duration = 100) =>
      Plan.arm(planOf(policy), 0, values[0], {
        storedAt: 1000,
        beganAt: 1000,
        duration,
        jitter: 0.5,
        versions: { version: 1 },
        dependencies: [Dependency.tag("a")],
        shape: "",
        failure: false
      }).surelyFreshUntil
    assert.strictEqual(until(forever), Infinity)
    assert.strictEqual(until(never), -Infinity)
    assert.strictEqual(until(Policy.ttl(500)), 1500)
    assert.strictEqual(until(Policy.ttl(500, { jitter: 0.5 })), 1375)
    assert.strictEqual(until(or(Policy.ttl(500), Policy.ttl(900, { jitter: 0.1 }))), 1855)
    assert.strictEqual(until(and(Policy.ttl(500_000), Policy.xfetch({ beta: 2 }))), 501_000 - 36.74 * 200)
    assert.strictEqual(until(and(Policy.ttl(500), Policy.tagged("a"))), 1500)
    assert.strictEqual(until(and(Policy.ttl(500), Policy.tagged("gained since"))), -Infinity)
    assert.strictEqual(until(and(Policy.ttl(500), Policy.versioned(1))), 1500)
    assert.strictEqual(until(and(Policy.ttl(500), Policy.versioned(2))), -Infinity)
    // a version that must be read at every read leaves nothing sure
    assert.strictEqual(until(and(Policy.ttl(500), Policy.versioned(() => 1))), -Infinity)
  })

  test("what has just been loaded is fresh by the policy it was loaded under", () =>
    holds(
      1000,
      fc.property(policies({ loadable: true }), situations, (p, { after: _, before, ...situation }) => {
        const { key, value } = situation
        const world: World = { rows: [1, 1, 1], setting: "on", updatedAt: 1, ...defined(before) }
        const known = Plan.knownDependencies(planOf(p), key)
        const found = Plan.foundDependencies(planOf(p), key, value, known)
        assert.strictEqual(new Set([...known, ...found]).size, known.length + found.length, "named twice")
        const versions = versionsIn(p, world, key)
        const stamp: Stamp = {
          storedAt: situation.storedAt,
          beganAt: situation.storedAt,
          duration: situation.duration,
          jitter: situation.jitter,
          versions: { ...planOf(p).constants, ...versions },
          dependencies: [...known, ...found],
          shape: "",
          failure: false
        }
        const observation = { now: situation.storedAt, draw: () => 1, changed: undefined, versions }
        assert.strictEqual(Policy.judge(p, { key, value, stamp, ...observation }), "Fresh")
      })
    ))

  const defined = ({ rows, setting, updatedAt }: World): Partial<World> => ({
    ...(rows.includes(undefined) ? {} : { rows }),
    ...(setting === undefined ? {} : { setting }),
    ...(updatedAt === undefined ? {} : { updatedAt })
  })

  test("what a function of the key names is known before the load, all else is found in the value", () =>
    holds(
      500,
      fc.property(leaves(), fc.constantFrom(...keys), (p, key) => {
        const explode = new Proxy({}, {
          get: () => {
            throw new Error("looked at the value")
          }
        })
        Plan.knownDependencies(planOf(p), key)
        assert.deepStrictEqual(
          Plan.foundDependencies(planOf(p), key, planOf(p).fromValue.length > 0 ? values[0] : explode, []).length > 0,
          planOf(p).fromValue.some((source) => source.names(key as never, values[0] as never).length > 0)
        )
      })
    ))
})

describe("XFetch fires when age - delta * beta * ln(u) reaches the end of freshness", () => {
  const smallest = 2 ** -53
  const lifetime = 100_000
  const duration = 1000
  const stamp: Stamp = {
    storedAt: 0,
    beganAt: 0,
    duration,
    jitter: 0,
    versions: {},
    dependencies: [],
    shape: "",
    failure: false
  }
  const at = (policy: Policy.Any, now: number, u: number, load = duration) => {
    let asked = 0
    const draw = () => {
      asked++
      return u
    }
    const armed = Plan.arm(planOf(policy), 0, values[0], { ...stamp, duration: load })
    return [Plan.judge(armed, now, draw, undefined, {}), asked] as const
  }
  const early = (beta = 1) => and(Policy.ttl(lifetime), Policy.xfetch({ beta }))

  test("36.74 spreads before the end no draw of 53 bits can fire, and none is made", () => {
    assert.isBelow(-Math.log(smallest), 36.74)
    for (const beta of [0.5, 1, 2]) {
      const spread = beta * duration
      assert.deepStrictEqual(at(early(beta), lifetime - 36.75 * spread, smallest), ["Fresh", 0])
      // between the two bounds a draw is made in vain
      assert.deepStrictEqual(at(early(beta), lifetime - 36.739 * spread, smallest), ["Fresh", 1])
      assert.deepStrictEqual(at(early(beta), lifetime - 36.73 * spread, smallest), ["Refresh", 1])
    }
  })

  test("the bound is where the formula says, for any draw", () =>
    holds(
      1000,
      fc.property(draws, fc.constantFrom(0.5, 1, 2, 10), (u, beta) => {
        const fires = lifetime + beta * duration * Math.log(u)
        if (fires > 1) assert.strictEqual(at(early(beta), fires - 1, u)[0], "Fresh")
        // An entry that seems to come from the future is dead.
        if (fires > 0 && fires < lifetime - 1) assert.strictEqual(at(early(beta), fires + 1, u)[0], "Refresh")
      })
    ))

  test("a draw of 1 never fires early, and one of exp(-1) a spread before the end", () => {
    assert.deepStrictEqual(at(early(), lifetime - 1, 1), ["Fresh", 1])
    assert.strictEqual(at(early(), lifetime - duration - 1, Math.exp(-1))[0], "Fresh")
    assert.strictEqual(at(early(), lifetime - duration + 1, Math.exp(-1))[0], "Refresh")
  })

  test("a load that took no time is never repeated early", () => {
    assert.deepStrictEqual(at(early(), lifetime - 1, smallest, 0), ["Fresh", 0])
  })

  test("it looks at the end of the whole policy: ttl(10s) and (ttl(60s) and xfetch) is early at 10 s", () => {
    const policy = and(Policy.ttl(10_000), and(Policy.ttl(60_000), Policy.xfetch()))
    assert.strictEqual(at(policy, 9_500, 0.5)[0], "Refresh")
    assert.strictEqual(at(and(Policy.ttl(60_000), Policy.xfetch()), 9_500, 0.5)[0], "Fresh")
  })

  test("a tick of a cron expression is an end of freshness too", () => {
    const policy = and(Policy.until("0 * * * *"), Policy.xfetch())
    assert.strictEqual(at(policy, 3_600_000 - 500, 0.5)[0], "Refresh")
    assert.strictEqual(at(policy, 3_600_000 - 800, 0.5)[0], "Fresh")
  })

  test("where nothing ends freshness it does nothing", () => {
    assert.deepStrictEqual(at(Policy.xfetch(), 1e12, smallest), ["Fresh", 0])
    assert.deepStrictEqual(at(and(Policy.xfetch({ beta: 1e300 }), Policy.ttl("Infinity")), 1e12, smallest), [
      "Fresh",
      0
    ])
  })

  test("it never makes worse what is not fresh", () => {
    const policy = and(Policy.ttl(lifetime, { staleFor: 10_000, onErrorFor: 10_000 }), Policy.xfetch({ beta: 10 }))
    assert.deepStrictEqual(
      [lifetime, lifetime + 10_000, lifetime + 20_000].map((now) => at(policy, now, smallest)[0]),
      ["Stale", "OnError", "Dead"]
    )
  })

  test("one read asks for one draw, however many alternatives there are", () => {
    const policy = or(
      and(early(1), Policy.tagged([])),
      or(
        and(Policy.ttl(lifetime - 1), Policy.xfetch({ beta: 0.5 })),
        and(Policy.ttl(lifetime - 2), Policy.xfetch({ beta: 0.1 }))
      )
    )
    assert.strictEqual(planOf(policy).alternatives.length, 3)
    assert.deepStrictEqual(at(policy, lifetime - 10, 1e-8), ["Refresh", 1])
  })

  test("xfetch twice refreshes no more often than xfetch", () => {
    assert.isTrue(Equal.equals(and(early(), early()), early()))
    assert.isTrue(Equal.equals(and(early(1), Policy.xfetch({ beta: 2 })), early(2)))
  })
})

test("a policy of more than eight alternatives is refused, whichever way it is composed", () => {
  const either = (n: number) => Policy.any(Policy.tagged(`a${n}`), Policy.tagged(`b${n}`))
  const eight = and(and(either(1), either(2)), either(3))
  assert.strictEqual(planOf(eight).alternatives.length, 8)
  assert.isUndefined(attempt(() => and(eight, either(4))))
  assert.isUndefined(attempt(() => or(eight, Policy.tagged("c"))))
  // what others make superfluous does not count
  assert.strictEqual(planOf(and(eight, either(1))).alternatives.length, 8)
  assert.strictEqual(planOf(or(eight, Policy.tagged("a1"))).alternatives.length, 5)
})
