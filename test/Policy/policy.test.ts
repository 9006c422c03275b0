import { Cron, DateTime, Duration, Effect, Equal, Hash, Inspectable, Result, Schema } from "effect"
import { assert, describe, test } from "vitest"
import * as Dependency from "../../src/Dependency.ts"
import * as Entity from "../../src/Entity.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import * as Plan from "../../src/internal/plan.ts"
import { parse } from "../../src/internal/policy/read.ts"
import type { Stamp } from "../../src/internal/stamp.ts"
import type * as InvalidInput from "../../src/InvalidInput.ts"
import * as Policy from "../../src/Policy.ts"
import type * as Verdict from "../../src/Verdict.ts"
import { nodeOf, planOf, refusal } from "../support/policies.ts"

const Film = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  rating: Schema.Finite,
  genre: Schema.String
})

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"], relations: ["actors"] })

const { tag } = Dependency

/** The verdict on an entry that was stored at 0 and holds what it needs. */
const judge = (
  policy: Policy.Any,
  now: number,
  facts: Partial<Stamp & { readonly key: unknown; readonly value: unknown }> = {},
  changed?: ReadonlyMap<Dependency.Dependency, Verdict.Mode>
): Verdict.Verdict => {
  const { key = "key", value = "value", ...stamp } = facts
  return Policy.judge(policy as Policy.Policy<unknown, unknown>, {
    key,
    value,
    stamp: {
      storedAt: 0,
      beganAt: stamp.storedAt ?? 0,
      duration: 0,
      jitter: 0,
      versions: {},
      dependencies: [],
      shape: "",
      failure: false,
      ...stamp
    },
    now,
    changed
  })
}

const verdicts = (policy: Policy.Any, times: ReadonlyArray<number>, jitter = 0) =>
  times.map((now) => judge(policy, now, { jitter }))

describe("ttl", () => {
  test("is fresh, then stale, then good for errors, then dead; each bound belongs to what comes after", () => {
    const policy = Policy.ttl(100, { stale: 200, onError: 300 })
    assert.deepStrictEqual(
      verdicts(policy, [-1, 0, 99, 100, 199, 200, 299, 300]),
      ["Fresh", "Fresh", "Fresh", "Stale", "Stale", "OnError", "OnError", "Dead"]
    )
  })

  test("dies at once where no grace is given, and is never fresh for no time at all", () => {
    assert.deepStrictEqual(verdicts(Policy.ttl(100), [99, 100]), ["Fresh", "Dead"])
    assert.deepStrictEqual(verdicts(Policy.ttl(0, { staleFor: 5 }), [0, 5]), ["Stale", "Dead"])
  })

  test("may last forever, in whole or in part", () => {
    assert.isTrue(Equal.equals(Policy.ttl("Infinity"), Policy.forever))
    assert.deepStrictEqual(verdicts(Policy.ttl(100, { onError: "Infinity" }), [99, 100, 1e15]), [
      "Fresh",
      "OnError",
      "OnError"
    ])
  })

  test("counts grace from the end of what comes before it, and says all as ages", () => {
    const sugar = Policy.ttl("5 minutes", { staleFor: "1 minute", onErrorFor: "1 hour" })
    const plain = Policy.ttl("5 minutes", { stale: "6 minutes", onError: "66 minutes" })
    assert.isTrue(Equal.equals(sugar, plain))
    assert.strictEqual(sugar.toString(), "ttl(5m, stale 6m, onError 1h6m)")
    assert.strictEqual(Policy.ttl("5 minutes", { onErrorFor: "1 hour" }).toString(), "ttl(5m, onError 1h5m)")
    assert.strictEqual(
      Policy.ttl("5 minutes", { stale: "6 minutes", onErrorFor: "1 minute" }).toString(),
      "ttl(5m, stale 6m, onError 7m)"
    )
  })

  test("takes durations in every form that Effect has", () => {
    const minute = Policy.ttl(60_000)
    for (
      const input of ["1 minute", "60 seconds", Duration.minutes(1), { seconds: 60 }, [60, 0], 60_000_000_000n] as const
    ) {
      assert.isTrue(Equal.equals(Policy.ttl(input), minute), String(input))
    }
  })

  test("is shortened by jitter, in all ages alike and never lengthened", () => {
    const policy = Policy.ttl(100, { stale: 200, onError: 400, jitter: 0.5 })
    assert.deepStrictEqual(verdicts(policy, [99, 199, 399], 0), ["Fresh", "Stale", "OnError"])
    assert.deepStrictEqual(
      verdicts(policy, [74, 75, 149, 150, 299, 300], 0.5),
      ["Fresh", "Stale", "Stale", "OnError", "OnError", "Dead"]
    )
  })

  const refused: ReadonlyArray<readonly [string, InvalidInput.InvalidInput["reason"], () => unknown]> = [
    ["a negative number", "NegativeDuration", () => Policy.ttl(-1)],
    ["a negative text", "NegativeDuration", () => Policy.ttl("-5 minutes")],
    ["a negative bigint", "NegativeDuration", () => Policy.ttl(-5n)],
    ["a negative pair", "NegativeDuration", () => Policy.ttl([-1, 0])],
    ["a negative object", "NegativeDuration", () => Policy.ttl({ seconds: -1 })],
    ["minus infinity", "NegativeDuration", () => Policy.ttl("-Infinity")],
    ["minus infinity as a number", "NegativeDuration", () => Policy.ttl(-Infinity)],
    ["a negative staleFor", "NegativeDuration", () => Policy.ttl(10, { staleFor: -1 })],
    ["a negative onErrorFor", "NegativeDuration", () => Policy.ttl(10, { onErrorFor: -1 })],
    ["NaN", "InvalidNumber", () => Policy.ttl(Number.NaN)],
    ["an object with NaN", "InvalidNumber", () => Policy.ttl({ minutes: 1, seconds: Number.NaN })],
    ["a pair with NaN", "InvalidNumber", () => Policy.ttl([1, Number.NaN])],
    ["NaN in text", "InvalidNumber", () => Policy.ttl("NaN minutes" as never)],
    ["a text that is no duration", "InvalidNumber", () => Policy.ttl("5 parsecs" as never)],
    ["null", "InvalidNumber", () => Policy.ttl(null as never)],
    ["undefined", "InvalidNumber", () => Policy.ttl(undefined as never)],
    ["NaN as stale", "InvalidNumber", () => Policy.ttl(10, { stale: Number.NaN })],
    ["NaN as staleFor", "InvalidNumber", () => Policy.ttl(10, { staleFor: Number.NaN })],
    ["NaN as onError", "InvalidNumber", () => Policy.ttl(10, { onError: { seconds: Number.NaN } })],
    ["NaN as onErrorFor", "InvalidNumber", () => Policy.ttl(10, { onErrorFor: Number.NaN })],
    ["infinities that cancel out", "InvalidNumber", () => Policy.ttl({ hours: Infinity, minutes: -Infinity })],
    ["stale before fresh", "UnorderedDurations", () => Policy.ttl(10, { stale: 9 })],
    ["onError before stale", "UnorderedDurations", () => Policy.ttl(10, { stale: 20, onError: 19 })],
    ["onError before fresh", "UnorderedDurations", () => Policy.ttl(10, { onError: 9 })],
    ["an endless lifetime with an end of grace", "UnorderedDurations", () => Policy.ttl("Infinity", { stale: 10 })],
    ["both stale and staleFor", "UnorderedDurations", () => Policy.ttl(10, { stale: 20, staleFor: 10 })],
    ["both onError and onErrorFor", "UnorderedDurations", () => Policy.ttl(10, { onError: 20, onErrorFor: 10 })],
    ["jitter below 0", "InvalidNumber", () => Policy.ttl(10, { jitter: -0.1 })],
    ["jitter of 1", "InvalidNumber", () => Policy.ttl(10, { jitter: 1 })],
    ["jitter above 1", "InvalidNumber", () => Policy.ttl(10, { jitter: 10 })],
    ["jitter that is NaN", "InvalidNumber", () => Policy.ttl(10, { jitter: Number.NaN })]
  ]
  for (const [what, reason, attempt] of refused) {
    test(`refuses ${what}: ${reason}`, () => {
      const error = refusal(attempt)
      assert.strictEqual(error.reason, reason)
      assert.strictEqual(error.where, "Policy.ttl")
      assert.strictEqual(error._tag, "InvalidInput")
    })
  }
})

describe("until", () => {
  const hour = 3_600_000

  test("is fresh until the first tick after the load began", () => {
    assert.deepStrictEqual(verdicts(Policy.until("0 * * * *"), [0, hour - 1, hour]), ["Fresh", "Fresh", "Dead"])
    for (const severity of ["Stale", "OnError", "Dead"] as const) {
      assert.deepStrictEqual(verdicts(Policy.until("0 * * * *", { severity }), [hour - 1, hour]), ["Fresh", severity])
    }
  })

  test("a tick between the beginning of a load and its end is a tick, however long loads usually take", () => {
    const policy = Policy.until("0 * * * *")
    const at = (beganAt: number, storedAt: number) => judge(policy, storedAt, { beganAt, storedAt, duration: 60_000 })
    assert.strictEqual(at(hour - 2000, hour + 1000), "Dead")
    assert.strictEqual(at(hour - 1, hour), "Dead")
    assert.strictEqual(at(hour, hour + 1000), "Fresh")
    assert.strictEqual(at(hour - 0.5, hour), "Dead")
  })

  test("with a spread entries end after the tick, each by its own draw", () => {
    const policy = Policy.until("0 * * * *", { spread: "10 minutes", severity: "OnError" })
    const tenth = 60_000
    const ends = (jitter: number, end: number) =>
      assert.deepStrictEqual(verdicts(policy, [end - 1, end], jitter), ["Fresh", "OnError"])
    ends(0, hour)
    ends(0.1, hour + tenth)
    ends(0.5, hour + 5 * tenth)
    // What is loaded after the tick is good until the next one, and not until the spread of this one is over.
    const later = (now: number) => judge(policy, now, { storedAt: hour + tenth, jitter: 0.5 })
    assert.deepStrictEqual([later(hour + 9 * tenth), later(2 * hour + 4 * tenth)], ["Fresh", "Fresh"])
    assert.strictEqual(later(2 * hour + 5 * tenth), "OnError")
  })

  test("of two spreads the shorter counts where both must hold, the longer where either", () => {
    const until = (spread: number, severity: Verdict.Severity = "Dead") =>
      Policy.until("0 * * * *", { spread, severity })
    assert.isTrue(Equal.equals(Policy.and(until(1000), until(2000)), until(1000)))
    assert.isTrue(Equal.equals(Policy.or(until(1000), until(2000)), until(2000)))
    assert.isTrue(Equal.equals(Policy.and(until(1000), until(2000, "Stale")), until(1000)))
    // Stale at the tick, and dead a little later: neither says what both say.
    const both = Policy.and(until(0, "Stale"), until(2000))
    assert.deepStrictEqual(verdicts(both, [hour - 1, hour, hour + 999, hour + 1000], 0.5), [
      "Fresh",
      "Stale",
      "Stale",
      "Dead"
    ])
    assert.isFalse(Equal.equals(both, until(0, "Stale")))
    assert.isFalse(Equal.equals(both, until(2000)))
  })

  test("prints its spread, and reads it back", () => {
    const policy = Policy.until("0 0 * * *", { timeZone: "Europe/Rome", spread: "90 seconds", severity: "Stale" })
    assert.strictEqual(policy.toString(), "until(\"0 0 * * *\", Europe/Rome, spread 1m30s; Stale)")
    assert.isTrue(Equal.equals(Result.getOrThrow(parse(policy.toString())), policy))
    assert.isTrue(Equal.equals(Policy.until("0 0 * * *", { spread: 0 }), Policy.until("0 0 * * *")))
  })

  test("refuses a spread that is negative, no number or without end", () => {
    const reason = (spread: number) => refusal(() => Policy.until("0 * * * *", { spread })).reason
    assert.deepStrictEqual([-1, Number.NaN, Infinity].map(reason), [
      "NegativeDuration",
      "InvalidNumber",
      "InvalidNumber"
    ])
  })

  test("goes by the clock of its zone: midnight in Rome is 22:00 UTC in summer and 23:00 in winter", () => {
    const policy = Policy.until("0 0 * * *", { timeZone: "Europe/Rome" })
    const at = (storedAt: number, now: number) => judge(policy, now, { storedAt })
    assert.strictEqual(at(Date.UTC(2024, 6, 1, 12), Date.UTC(2024, 6, 1, 21, 59, 59)), "Fresh")
    assert.strictEqual(at(Date.UTC(2024, 6, 1, 12), Date.UTC(2024, 6, 1, 22)), "Dead")
    assert.strictEqual(at(Date.UTC(2024, 0, 1, 12), Date.UTC(2024, 0, 1, 22, 59, 59)), "Fresh")
    assert.strictEqual(at(Date.UTC(2024, 0, 1, 12), Date.UTC(2024, 0, 1, 23)), "Dead")
  })

  test("without a zone goes by UTC, wherever the process runs", () => {
    const { TZ } = process.env
    process.env["TZ"] = "Asia/Kolkata"
    try {
      assert.strictEqual(new Date(0).getTimezoneOffset(), -330)
      assert.deepStrictEqual(verdicts(Policy.until("0 0 * * *"), [24 * hour - 1, 24 * hour]), ["Fresh", "Dead"])
      assert.isTrue(Equal.equals(Policy.until("0 0 * * *"), Policy.until("0 0 * * *", { timeZone: "UTC" })))
      const cron = Cron.parseUnsafe("0 0 * * *")
      assert.isTrue(Equal.equals(Policy.until(cron), Policy.until("0 0 * * *")))
      const rome = { timeZone: "Europe/Rome" }
      assert.isTrue(Equal.equals(Policy.until(cron, rome), Policy.until("0 0 * * *", rome)))
      assert.strictEqual(Policy.until("0 0 * * *").toString(), "until(\"0 0 * * *\")")
    } finally {
      if (TZ === undefined) delete process.env["TZ"]
      else process.env["TZ"] = TZ
    }
  })

  test("prints and reads back what Effect's own format of a cron leaves out", () => {
    const crons: ReadonlyArray<readonly [Cron.Cron, string]> = [
      [Cron.parseUnsafe("0 4 */2 * 1"), "until(\"0 4 1-31/2 * 1\", days and weekdays)"],
      [Cron.parseUnsafe("0 4 1-31/2 * 1"), "until(\"0 4 1-31/2 * 1\")"],
      [
        Cron.parseUnsafe("30 2 * * *", "Europe/Rome", { onDstOverlap: "both" }),
        "until(\"30 2 * * *\", Europe/Rome, overlap both)"
      ],
      [Cron.parseUnsafe("*/10 * * * * *", "+05:30"), "until(\"0-50/10 * * * * *\", \"+05:30\")"],
      [
        Cron.make({
          minutes: [0],
          hours: [1],
          days: [13],
          months: [],
          weekdays: [5],
          and: true,
          tz: DateTime.zoneMakeNamedUnsafe("Etc/GMT+5"),
          onDstOverlap: "later"
        }),
        "until(\"0 1 13 * 5\", \"Etc/GMT+5\", days and weekdays, overlap later; Stale)"
      ]
    ]
    for (const [cron, text] of crons) {
      const policy = Policy.until(cron, { severity: text.includes("Stale") ? "Stale" : "Dead" })
      assert.strictEqual(policy.toString(), text)
      const back = Result.getOrThrow(parse(text))
      assert.isTrue(Equal.equals(policy, back), text)
      const node = nodeOf(policy)
      assert.isTrue(node._tag === "Until" && back.node._tag === "Until" && Cron.equals(node.cron, back.node.cron))
    }
  })

  for (
    const [what, attempt] of [
      ["text that is no expression", () => Policy.until("every hour")],
      ["too many fields", () => Policy.until("0 0 0 * * * *")],
      ["a minute that does not exist", () => Policy.until("60 * * * *")],
      ["an unknown zone", () => Policy.until("0 * * * *", { timeZone: "Mars/Olympus" })],
      ["February 30th, which never comes", () => Policy.until("0 0 30 2 *")],
      ["a Cron that never ticks", () => Policy.until(Cron.parseUnsafe("0 0 31 4 *"))],
      ["an empty text", () => Policy.until("")]
    ] as const
  ) {
    test(`refuses ${what}`, () => {
      assert.strictEqual(refusal(attempt).reason, "InvalidCron")
      assert.strictEqual(refusal(attempt).where, "Policy.until")
    })
  }
})

describe("versioned", () => {
  test("is dead under any version but the current one", () => {
    const policy = Policy.versioned("2024-06")
    assert.strictEqual(judge(policy, 0, { versions: { version: "2024-06" } }), "Fresh")
    assert.strictEqual(judge(policy, 0, { versions: { version: "2024-05" } }), "Dead")
    assert.strictEqual(judge(policy, 0), "Dead")
    assert.strictEqual(judge(Policy.versioned(1), 0, { versions: { version: "1" } }), "Dead")
  })

  test("or, with atLeast, under one that is below it", () => {
    const policy = Policy.versioned(2, { atLeast: true, name: "schema" })
    assert.deepStrictEqual([1, 2, 3].map((schema) => judge(policy, 0, { versions: { schema } })), [
      "Dead",
      "Fresh",
      "Fresh"
    ])
    assert.strictEqual(judge(policy, 0, { versions: { schema: "3" } }), "Dead")
  })

  test("takes a date as a constant", () =>
    assert.isTrue(Equal.equals(Policy.versioned(new Date(5) as never), Policy.versioned(5))))

  test("refuses a constant that compares with nothing", () => {
    for (const bad of [Number.NaN, Infinity, new Date(Number.NaN), undefined, null, {}]) {
      assert.strictEqual(refusal(() => Policy.versioned(bad as never)).reason, "InvalidVersion")
    }
  })

  test("refuses a name that could not be told from what stands around it", () => {
    for (const name of ["", " ", "a b", "a=b", "a~0", "a\n", "é"]) {
      assert.strictEqual(refusal(() => Policy.versioned(1, { name })).reason, "EmptyName", JSON.stringify(name))
    }
  })

  test("with a function of no parameters works for other values too", () => {
    const policy = Policy.contramapValue(
      Policy.versioned(() => Effect.succeed(1)),
      (outer: { readonly inner: string }) => outer.inner
    )
    // The value is not there yet when the version is read before a load.
    assert.strictEqual(planOf(policy).computed.length, 1)
    const current = planOf(policy).computed[0]!.current as (key: unknown) => Effect.Effect<number>
    assert.strictEqual(Effect.runSync(current("key")), 1)
    // Also when the function has another use, which does get the value.
    const one = () => 1
    const both = Policy.and(Policy.conditional(Films, { id: one, fields: [] }), Policy.versioned(one))
    const mapped = Policy.contramapValue(both, (outer: { readonly inner: string }) => outer.inner)
    assert.strictEqual((planOf(mapped).computed[0]!.current as (key: unknown) => number)("key"), 1)
  })
})

describe("tagged", () => {
  test("gives a plain function the key, and one of the value both", () => {
    const seen: Array<ReadonlyArray<unknown>> = []
    const one = (...args: [string]) => (seen.push(args), args)
    const two = (...args: [string, string]) => (seen.push(args), args)
    const plan = planOf(Policy.and(Policy.tagged(one), Policy.tagged({ fromValue: two })))
    const known = Plan.knownDependencies(plan, "k")
    assert.deepStrictEqual(known, [tag("k")])
    assert.deepStrictEqual(Plan.foundDependencies(plan, "k", "v", known), [tag("v")])
    assert.deepStrictEqual(seen, [["k"], ["v", "k"]])
  })

  test("takes one tag or several from a function", () => {
    const one = Policy.tagged((key: string) => `key ${key}`)
    assert.deepStrictEqual(Plan.knownDependencies(planOf(one), "k"), [tag("key k")])
    const several = Policy.tagged({ fromValue: (value: string) => [...value] })
    assert.deepStrictEqual(Plan.foundDependencies(planOf(several), "k", "ab", []), [tag("a"), tag("b")])
  })

  const parameters: ReadonlyArray<readonly [string, (key: string, ...rest: Array<string>) => Array<string>]> = [
    ["none", (...all) => all],
    ["one that has a default", (key = "none", ...rest) => [key, ...rest]],
    ["one", (key, ...rest) => [key, ...rest]],
    ["two", (key, value, ...rest) => [key, value, ...rest].filter((part) => part !== undefined)]
  ]
  for (const [count, f] of parameters) {
    test(`gives a plain function the key alone, at a read as before the load; its parameters: ${count}`, () => {
      const policy = Policy.tagged(f as (key: string) => ReadonlyArray<string>)
      assert.deepStrictEqual(Plan.knownDependencies(planOf(policy), "k"), [tag("k")])
      assert.strictEqual(judge(policy, 0, { key: "k", value: "v", dependencies: [tag("k")] }), "Fresh")
      const ids = Policy.conditional(Films, { id: f as never, fields: ["title"] })
      const known = Plan.knownDependencies(planOf(ids), "1")
      assert.lengthOf(known, 2)
      assert.strictEqual(judge(ids, 0, { key: "1", value: "2", dependencies: [...known] }), "Fresh")
    })
  }

  test("is another policy when a function takes the value and no more the key", () => {
    const f = (text: string) => [text]
    const [byKey, byValue] = [Policy.tagged(f), Policy.tagged({ fromValue: f })]
    assert.isFalse(Equal.equals<Policy.Any, Policy.Any>(byKey, byValue))
    assert.isTrue(Equal.equals(byValue, Policy.tagged({ fromValue: f })))
    assert.deepStrictEqual(Plan.knownDependencies(planOf(byKey), "k"), [tag("k")])
    assert.deepStrictEqual(Plan.foundDependencies(planOf(byValue), "k", "v", []), [tag("v")])
  })

  test("refuses an empty constant at once", () => {
    for (
      const attempt of [
        () => Policy.tagged(""),
        () => Policy.tagged(["a", ""]),
        () => Policy.tagged([undefined as never])
      ]
    ) {
      assert.strictEqual(refusal(attempt).reason, "EmptyTag")
    }
  })

  test("refuses an empty tag of a function when it is asked", () => {
    const byKey = Policy.tagged((key: string) => [key])
    const byValue = Policy.tagged({ fromValue: (value: string) => [value] })
    assert.strictEqual(refusal(() => Plan.knownDependencies(planOf(byKey), "")).reason, "EmptyTag")
    assert.strictEqual(refusal(() => Plan.foundDependencies(planOf(byValue), "k", "", [])).reason, "EmptyTag")
    assert.strictEqual(refusal(() => judge(byKey, 0, { key: "" })).reason, "EmptyTag")
    assert.strictEqual(refusal(() => judge(byValue, 0, { value: "" })).reason, "EmptyTag")
  })

  test("does not mind a tag given twice, nor what becomes of the list", () => {
    const list = ["a", "a"]
    const policy = Policy.tagged(list)
    list.push("b")
    assert.strictEqual(policy.toString(), "tagged(a)")
    assert.deepStrictEqual(planOf(policy).known, [tag("a")])
  })
})

describe("conditional", () => {
  const known = (policy: Policy.Any, key: unknown) =>
    [...Plan.knownDependencies(planOf(policy), key)].sort().map(Dependency.format)

  test("on a row depends on its existence and on what is shown, or on anything about it", () => {
    assert.deepStrictEqual(known(Policy.conditional(Films, { fields: ["title"] }), 7), [
      "film:7!exists",
      "film:7#title"
    ])
    assert.deepStrictEqual(known(Policy.conditional(Films), 7), ["film:7", "film:7!exists"])
    assert.deepStrictEqual(known(Policy.conditional(Films, { fields: [] }), 7), ["film:7!exists"])
    assert.deepStrictEqual(known(Policy.conditional(Films, { fields: ["actors"] }), 7), [
      "film:7!exists",
      "film:7#actors"
    ])
  })

  test("takes the row from the key, or several, or from the value", () => {
    assert.deepStrictEqual(
      known(Policy.conditional(Films, { id: (key: { readonly ids: ReadonlyArray<number> }) => key.ids, fields: [] }), {
        ids: [1, 2]
      }),
      ["film:1!exists", "film:2!exists"]
    )
    const found = Policy.conditional(Films, {
      id: { fromValue: (value: { readonly film: number }) => value.film },
      fields: []
    })
    assert.deepStrictEqual(known(found, "k"), [])
    assert.deepStrictEqual(Plan.foundDependencies(planOf(found), "k", { film: 3 }, []), [
      Dependencies.exists("film", 3)
    ])
  })

  test("in a partition depends on its members and on what is shown of them", () => {
    assert.deepStrictEqual(
      known(Policy.conditionalIn(Films, "genre", { fields: ["title"] }), "drama"),
      ["film?genre=drama!members", "film?genre=drama#title"]
    )
    assert.deepStrictEqual(
      known(Policy.conditionalIn(Films, "genre", { equals: (key: { readonly g: string }) => key.g, fields: [] }), {
        g: "noir"
      }),
      ["film?genre=noir!members"]
    )
    assert.strictEqual(known(Policy.conditionalIn(Films, "genre"), "drama").length, 1 + Films.fields.length)
  })

  test("on all depends on which rows there are and on what is shown of any", () => {
    assert.deepStrictEqual(known(Policy.conditionalAll(Films, { fields: ["rating"] }), "k"), [
      "film!members",
      "film#rating"
    ])
    assert.strictEqual(known(Policy.conditionalAll(Films), "k").length, 1 + Films.fields.length + 1)
  })

  test("refuses what the entity does not have, since nothing would ever be said to change", () => {
    for (
      const attempt of [
        () => Policy.conditional(Films, { fields: ["titel"] as never }),
        () => Policy.conditional(Films, { fields: ["title", "toString"] as never }),
        () => Policy.conditionalIn(Films, "year" as never),
        () => Policy.conditionalIn(Films, "title" as never, { fields: ["title"] }),
        () => Policy.conditionalIn(Films, "genre", { fields: ["actors"] as never }),
        () => Policy.conditionalAll(Films, { fields: ["titel"] as never })
      ]
    ) assert.strictEqual(refusal(attempt).reason, "UnknownField")
  })

  test("equals another that names the same, in any order and however often", () => {
    const p = Policy.conditional(Films, { fields: ["title", "rating"] })
    assert.isTrue(Equal.equals(p, Policy.conditional(Films, { fields: ["rating", "title", "rating"] })))
    assert.isFalse(Equal.equals(p, Policy.conditional(Films, { fields: ["title"] })))
    const id = (key: number) => key
    assert.isTrue(
      Equal.equals(
        Policy.conditional(Films, { id, fields: ["title"] }),
        Policy.conditional(Films, { id, fields: ["title"] })
      )
    )
    assert.isFalse(
      Equal.equals(
        Policy.conditional(Films, { id, fields: ["title"] }),
        Policy.conditional(Films, { id, fields: ["rating"] })
      )
    )
  })

  test("does not mind what becomes of the list of fields", () => {
    const fields: Array<"title" | "rating"> = ["title"]
    const policy = Policy.conditional(Films, { fields })
    fields.push("rating")
    assert.deepStrictEqual(known(policy, 7), ["film:7!exists", "film:7#title"])
    assert.strictEqual(policy.toString(), "conditional(film, [title])")
  })
})

describe("xfetch", () => {
  for (const beta of [0, -1, Number.NaN, Infinity, -Infinity]) {
    test(`refuses a beta of ${beta}`, () =>
      assert.strictEqual(refusal(() => Policy.xfetch({ beta })).reason, "InvalidNumber"))
  }

  test("has a beta of 1 unless given", () => assert.isTrue(Equal.equals(Policy.xfetch(), Policy.xfetch({ beta: 1 }))))
})

describe("Composing", () => {
  const either = (n: number) => Policy.or(Policy.tagged(`a${n}`), Policy.tagged(`b${n}`))

  test("more than eight alternatives is refused, by the function that would have made them", () => {
    const eight = Policy.all(either(1), either(2), either(3))
    const and = refusal(() => Policy.and(eight, either(4)))
    assert.deepStrictEqual([and.reason, and.where], ["TooManyAlternatives", "Policy.and"])
    const or = refusal(() => Policy.or(eight, Policy.tagged("c")))
    assert.deepStrictEqual([or.reason, or.where], ["TooManyAlternatives", "Policy.or"])
    assert.include(or.message, "9")
  })

  test("works data-first and data-last alike", () => {
    const [p, q] = [Policy.ttl(1), Policy.tagged("a")]
    assert.isTrue(Equal.equals(p.pipe(Policy.and(q)), Policy.and(p, q)))
    assert.isTrue(Equal.equals(p.pipe(Policy.or(q)), Policy.or(p, q)))
    assert.strictEqual(p.pipe(Policy.and(q)).toString(), "ttl(1ms) and tagged(a)")
  })

  test("all and any skip what is not given", () => {
    assert.strictEqual(
      Policy.all(undefined, Policy.ttl(1), undefined, Policy.ttl(2)).toString(),
      "ttl(1ms) and ttl(2ms)"
    )
    assert.strictEqual(Policy.any(Policy.ttl(1), undefined).toString(), "ttl(1ms)")
  })
})

describe("A policy as a value", () => {
  const p = Policy.all(Policy.ttl("5 minutes"), Policy.tagged("category"), Policy.xfetch())

  test("is distinguished from other values", () => {
    assert.isFalse(Equal.equals(p, { node: nodeOf(p), plan: planOf(p) }))
    assert.isFalse(Equal.equals(p, "ttl(5m) and tagged(category) and xfetch(1)"))
  })

  test("is found again in a hash set, in another spelling", () => {
    const set = new Map([[Hash.hash(p), p]])
    const other = Policy.all(Policy.xfetch(), Policy.tagged("category"), Policy.ttl("1 hour"), Policy.ttl("5 minutes"))
    assert.isTrue(Equal.equals(set.get(Hash.hash(other)), other))
  })

  test("prints itself wherever it is printed", () => {
    const text = "ttl(5m) and tagged(category) and xfetch(1)"
    assert.strictEqual(String(p), text)
    assert.strictEqual(JSON.stringify({ p }), `{"p":{"_id":"Policy","policy":${JSON.stringify(text)}}}`)
    assert.strictEqual((p as unknown as Inspectable.Inspectable)[Inspectable.NodeInspectSymbol](), text)
  })

  test("prints every case", () => {
    const table: ReadonlyArray<readonly [Policy.Any, string]> = [
      [Policy.forever, "forever"],
      [Policy.never, "never"],
      [Policy.ttl(0), "ttl(0ms)"],
      [Policy.ttl(0.5), "ttl(0.5ms)"],
      [Policy.ttl("Infinity"), "ttl(inf)"],
      [Policy.ttl(93_784_005), "ttl(1d2h3m4s5ms)"],
      [Policy.ttl("1 minute", { onErrorFor: "Infinity", jitter: 0.1 }), "ttl(1m, onError inf, jitter 0.1)"],
      [
        Policy.until("0 0 * * *", { timeZone: "Europe/Rome", severity: "Stale" }),
        "until(\"0 0 * * *\", Europe/Rome; Stale)"
      ],
      [Policy.versioned(3), "versioned(3)"],
      [Policy.versioned("a b", { name: "schema" }), "versioned(schema = \"a b\")"],
      [Policy.versioned(-1.5, { atLeast: true }), "versioned(version >= -1.5)"],
      [Policy.versioned((_: string) => 1), "versioned(<key>)"],
      [Policy.versioned(() => 1, { name: "row" }), "versioned(row = <key>)"],
      [Policy.tagged([]), "tagged()"],
      [
        Policy.tagged(["a:b", "c d", "and", "\""], { severity: "OnError" }),
        "tagged(a:b, \"c d\", \"and\", \"\\\"\"; OnError)"
      ],
      [Policy.tagged((_: string) => []), "tagged(<key>)"],
      [Policy.tagged({ fromValue: (__: string) => [] }), "tagged(<value>)"],
      [Policy.conditional(Films), "conditional(film)"],
      [
        Policy.conditional(Films, { id: (_: string) => 1, fields: ["title", "rating"] }),
        "conditional(film, [title, rating], <key>)"
      ],
      [
        Policy.conditionalIn(Films, "genre", { fields: [], severity: "Stale" }),
        "conditionalIn(film, genre, []; Stale)"
      ],
      [
        Policy.conditionalIn(Films, "genre", { equals: { fromValue: (v: string) => v }, fields: [] }),
        "conditionalIn(film, genre, [], <value>)"
      ],
      [Policy.conditionalAll(Films, { fields: ["actors"] }), "conditionalAll(film, [actors])"],
      [Policy.xfetch({ beta: 1e-7 }), "xfetch(1e-7)"],
      [
        Policy.and(Policy.or(Policy.ttl(1), Policy.tagged("a")), Policy.xfetch()),
        "(ttl(1ms) or tagged(a)) and xfetch(1)"
      ],
      [
        Policy.or(Policy.and(Policy.ttl(1), Policy.tagged("a")), Policy.xfetch()),
        "ttl(1ms) and tagged(a) or xfetch(1)"
      ],
      [
        Policy.and(Policy.xfetch(), Policy.and(Policy.ttl(1), Policy.tagged("a"))),
        "xfetch(1) and (ttl(1ms) and tagged(a))"
      ],
      [Policy.or(Policy.xfetch(), Policy.or(Policy.ttl(1), Policy.tagged("a"))), "xfetch(1) or (ttl(1ms) or tagged(a))"]
    ]
    for (const [policy, text] of table) assert.strictEqual(policy.toString(), text)
  })
})

describe("Reading a policy", () => {
  const read = Schema.decodeSync(Policy.FromString)
  const reason = (text: string) => Result.match(parse(text), { onSuccess: String, onFailure: (e) => e.reason })

  test("takes brackets and white space as they come; and binds closer than or", () => {
    const [a, b, c] = [Policy.tagged("a"), Policy.tagged("b"), Policy.tagged("c")]
    assert.isTrue(Equal.equals(read(" tagged( a )or\n tagged(b)and tagged(c) "), Policy.or(a, Policy.and(b, c))))
    assert.isTrue(Equal.equals(read("(tagged(a) or tagged(b)) and tagged(c)"), Policy.and(Policy.or(a, b), c)))
    assert.isTrue(Equal.equals(read("((forever))"), Policy.forever))
    assert.isTrue(Equal.equals(read("ttl(1h 30m, jitter .5)"), Policy.ttl("90 minutes", { jitter: 0.5 })))
    assert.isTrue(Equal.equals(read("ttl(1.5h)"), Policy.ttl("90 minutes")))
  })

  test("reads what a user may write of an entity that is declared elsewhere", () => {
    assert.isTrue(Equal.equals(read("conditional(film, [title])"), Policy.conditional(Films, { fields: ["title"] })))
    assert.isTrue(Equal.equals(read("conditional(film)"), Policy.conditional(Films)))
    assert.isTrue(
      Equal.equals(
        read("conditionalIn(film, genre, [title]; Stale)"),
        Policy.conditionalIn(Films, "genre", { fields: ["title"], severity: "Stale" })
      )
    )
  })

  test("reads a lifetime back to the last bit", () => {
    for (const lifetime of [4383188249.412519, 0.1 + 0.2, 5e-324, 1e21, 2 ** 53 + 2, Number.MAX_VALUE]) {
      const policy = Policy.ttl(lifetime)
      assert.isTrue(Equal.equals(read(policy.toString()), policy), policy.toString())
    }
  })

  test("reads why a policy is never, whatever the versions are called", () => {
    for (const [one, other] of [["a)", "(b"], ["\"", "\\"], ["\n", ""], ["1", 1]] as const) {
      const p = Policy.and(Policy.versioned(one), Policy.versioned(other))
      assert.strictEqual(read(p.toString()).toString(), p.toString())
    }
  })

  for (
    const text of [
      "",
      "   ",
      "()",
      "ttl",
      "ttl()",
      "ttl(5)",
      "ttl(5 parsecs)",
      "ttl(5m",
      "ttl(5m))",
      "ttl(-5m)",
      "ttl(5m, stale)",
      "ttl(5m, grace 6m)",
      "tagged(a b)",
      "tagged(a,)",
      "tagged(\"a)",
      "tagged(\"\\x\")",
      "tagged(a; Terrible)",
      "tagged(<key>)",
      "tagged(<value>)",
      "versioned(<key>)",
      "versioned()",
      "conditional()",
      "conditional(film, title)",
      "conditional(film, [title], <key>)",
      "conditional(film, [title], [rating])",
      "conditionalIn(film)",
      "until(\"0 * * * *\", UTC, Europe/Rome)",
      "until(\"0 * * * *\", overlap sometimes)",
      "until(\"0 * * * *\", spread)",
      "until(\"0 * * * *\", spread often)",
      "xfetch()",
      "sometimes",
      "constructor(a)",
      "forever and",
      "forever and and forever",
      "forever forever",
      "forever xor never",
      "never(()",
      "FOREVER"
    ]
  ) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.strictEqual(reason(text), "Unparsable"))
  }

  test("refuses what reads but makes no policy, for the reason that its constructor has", () => {
    assert.strictEqual(reason("ttl(5m, stale 1m)"), "UnorderedDurations")
    assert.strictEqual(reason("ttl(5m, jitter 1)"), "InvalidNumber")
    assert.strictEqual(reason("tagged(\"\")"), "EmptyTag")
    assert.strictEqual(reason("xfetch(0)"), "InvalidNumber")
    assert.strictEqual(reason("xfetch(-1)"), "InvalidNumber")
    assert.strictEqual(reason("until(\"0 0 30 2 *\")"), "InvalidCron")
    assert.strictEqual(reason("until(\"0 * * * *\", spread inf)"), "InvalidNumber")
    assert.strictEqual(reason("until(\"0 * * * *\", Mars/Olympus)"), "InvalidCron")
    assert.strictEqual(reason("versioned(1e999)"), "InvalidVersion")
  })

  test("refuses text that is nested without end, and does not fall over", () => {
    assert.strictEqual(reason("(".repeat(200_000)), "Unparsable")
    assert.strictEqual(reason(`${"(".repeat(200_000)}forever${")".repeat(200_000)}`), "Unparsable")
  })

  test("decoding fails as a decoding, encoding of functions as an encoding", () => {
    const decode = Schema.decodeUnknownExit(Policy.FromString)
    assert.strictEqual(decode("ttl(5m)")._tag, "Success")
    assert.strictEqual(decode(42)._tag, "Failure")
    assert.throws(() => Schema.decodeUnknownSync(Policy.FromString)("ttl(5m"), "expected ) at 6 of \"ttl(5m\"")
    const encode = Schema.encodeUnknownExit(Policy.FromString)
    assert.strictEqual(encode("ttl(5m)")._tag, "Failure")
    assert.strictEqual(encode(Policy.tagged((_: string) => []))._tag, "Failure")
    assert.strictEqual(encode(Policy.tagged("<key>"))._tag, "Success")
  })
})

describe("A version of a schema", () => {
  const Row = Schema.Struct({ id: Schema.Int, title: Schema.String })

  test("is the same for the same shape, in every process", () => {
    assert.strictEqual(Policy.versionOf(Row), Policy.versionOf(Schema.Struct({ ...Row.fields })))
    // What another process has written; it may change with a version of `effect` that describes schemas otherwise.
    assert.strictEqual(Policy.versionOf(Schema.String), "8cb14cd815c3cf78")
  })

  test("is another one for another shape, and for another constant", () => {
    class Article extends Schema.Class<Article>("Article")(Row.fields) {}
    const versions = [
      Policy.versionOf(Row),
      Policy.versionOf(Row, 1),
      Policy.versionOf(Row, 2),
      Policy.versionOf(Row, "prices in cents"),
      Policy.versionOf(Article),
      ...[
        Schema.Struct({ id: Schema.Int }),
        Schema.Struct({ id: Schema.Int, titel: Schema.String }),
        Schema.Struct({ id: Schema.Int, title: Schema.NullOr(Schema.String) }),
        Schema.Struct({ id: Schema.Int, title: Schema.optionalKey(Schema.String) }),
        Schema.Struct({ id: Schema.Int, title: Schema.String.check(Schema.isNonEmpty()) }),
        Schema.Struct({ id: Schema.BigInt, title: Schema.String }),
        Schema.Array(Row),
        Schema.Union([Row, Schema.Null])
      ].map((schema) => Policy.versionOf(schema))
    ]
    assert.strictEqual(new Set(versions).size, versions.length)
  })

  test("tells fields apart that a weak hash would not: any two names of one length", () => {
    const names = ["aB", "b!", "Aa", "BB", "C#", "AaAa", "BBBB", "AaBB", "BBAa"]
    const versions = names.map((name) => Policy.versionOf(Schema.Struct({ [name]: Schema.String })))
    assert.strictEqual(new Set(versions).size, names.length)
  })

  test("is one for what writes the same JSON: that needs a constant", () =>
    assert.strictEqual(Policy.versionOf(Schema.Date), Policy.versionOf(Schema.String)))

  test("is refused for what no JSON can stand for, and for a constant that is no version", () => {
    const symbol = Schema.Struct({ [Symbol.for("a")]: Schema.String })
    assert.strictEqual(refusal(() => Policy.versionOf(symbol)).reason, "NotEncodable")
    assert.strictEqual(refusal(() => Policy.versionOf(Row, Number.NaN)).reason, "InvalidVersion")
  })

  test("ends what was loaded under another one", () => {
    const [old, now] = [Row, Schema.Struct({ ...Row.fields, year: Schema.Int })].map((s) => Policy.versionOf(s))
    const policy = Policy.versioned(now!, { name: "page" })
    assert.strictEqual(judge(policy, 0, { versions: { page: now! } }), "Fresh")
    assert.strictEqual(judge(policy, 0, { versions: { page: old! } }), "Dead")
  })
})

test("the examples of the design print as they are written there", () => {
  const policy = Policy.all(
    Policy.ttl("5 minutes", { staleFor: "1 minute" }),
    Policy.tagged("category"),
    Policy.xfetch({ beta: 1 })
  )
  assert.strictEqual(policy.toString(), "ttl(5m, stale 6m) and tagged(category) and xfetch(1)")
  assert.strictEqual(
    Policy.and(Policy.versioned(1), Policy.versioned(2)).toString(),
    "never(version cannot be both 1 and 2)"
  )
})
