/** Policies and their texts of any size: what is too large is refused with a typed error, and nothing takes the square of its length. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Option, Schema } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as Catalogue from "../../src/Catalogue.ts"
import * as Change from "../../src/Change.ts"
import * as Dependency from "../../src/Dependency.ts"
import { mostPolicies } from "../../src/internal/limits.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"

const refusal = (make: () => unknown): string => {
  try {
    make()
    return "none"
  } catch (error) {
    return error instanceof InvalidInput.InvalidInput ? error.reason : String(error)
  }
}

const tag = (i: number) => Policy.tagged(`tag${i}`)

const nested = (levels: number): Policy.Policy<unknown, unknown> => {
  let policy: Policy.Policy<unknown, unknown> = tag(0)
  // An `or` with a policy that is implied makes no alternative, so that only the size counts.
  for (let i = 1; i < levels; i++) policy = i % 2 === 0 ? Policy.and(tag(i), policy) : Policy.or(policy, Policy.never)
  return policy
}

describe("a policy that is made of many", () => {
  it("is refused where it is made, however it is nested", () => {
    assert.strictEqual(refusal(() => nested(mostPolicies)), "none")
    assert.strictEqual(refusal(() => nested(mostPolicies + 1)), "TooManyPolicies")
    assert.strictEqual(refusal(() => nested(10_000)), "TooManyPolicies")
    const tags = Array.from({ length: 8000 }, (_, i) => tag(i))
    const all = Policy.all as never as (...all: ReadonlyArray<unknown>) => unknown
    assert.strictEqual(refusal(() => all(...tags)), "TooManyPolicies")
    assert.strictEqual(refusal(() => all(...tags.slice(0, mostPolicies))), "none")
    const [half, more] = [nested(mostPolicies / 2), nested(mostPolicies / 2 + 1)]
    assert.strictEqual(refusal(() => Policy.and(half, half)), "none")
    assert.strictEqual(refusal(() => Policy.and(half, more)), "TooManyPolicies")
    assert.strictEqual(refusal(() => Policy.or(more, half)), "TooManyPolicies")
  })

  it.effect("and is not refused is printed, read back, compared, mapped, explained and listed", () =>
    Effect.gen(function*() {
      const policy = nested(mostPolicies)
      const text = policy.toString()
      const back = Schema.decodeSync(Policy.FromString)(text)
      assert.strictEqual(back.toString(), text)
      assert.isTrue(Equal.equals(back, policy))
      assert.isTrue(Equal.equals(Policy.contramapKey(policy, (key: string) => key), policy))
      const definition = Cached.make("large", {
        key: Key.string("id"),
        value: Schema.Finite,
        lookup: () => Effect.succeed(1)
      }, policy)
      yield* Cached.get(definition, "a")
      const lines = String(yield* Cached.explain(definition, "a")).split("\n")
      assert.isAbove(lines.length, mostPolicies)
      assert.include(String(Catalogue.make([definition])), "tag0")
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it("of many tags is one: a list", () => {
    const tags = Array.from({ length: 20_000 }, (_, i) => `tag${i}`)
    const policy = Policy.tagged(tags)
    const back = Schema.decodeSync(Policy.FromString)(policy.toString())
    assert.isTrue(Equal.equals(back, policy))
  })
})

describe("the text of a policy", () => {
  const parsed = (text: string) => {
    try {
      return Schema.decodeSync(Policy.FromString)(text).toString()
    } catch (error) {
      return error as Error
    }
  }
  const n = 100_000

  const texts: Readonly<Record<string, readonly [text: string, reads: string | RegExp]>> = {
    "blanks before the end": [`forever${" ".repeat(n)}`, "forever"],
    "blanks before something else": [`forever${" ".repeat(n)}x`, /the end/],
    "blanks in between": [`forever${" ".repeat(n)}and${" ".repeat(n)}forever`, "forever and forever"],
    "digits without a unit": [`ttl(${"1".repeat(n)})`, /a duration/],
    "digits after a point": [`ttl(1.${"1".repeat(n)})`, /a duration/],
    "digits of an exponent": [`xfetch(1e${"1".repeat(n)}x)`, /\)/],
    "digits of a number": [`xfetch(1${"0".repeat(n)}x)`, /\)/],
    "many parts of a duration": [`ttl(${"1ms".repeat(n)})`, "ttl(1m40s)"],
    "a name without an end": [`versioned(${"a".repeat(n)})`, /a number/],
    "a quote without an end": [`tagged("${"a".repeat(n)})`, /a name/],
    "quotes without an end": [`never(${"\"".repeat(n + 1)})`, /the end/],
    "escapes": [`tagged("${"\\".repeat(n)}`, /a name/],
    "open brackets": ["(".repeat(n), /brackets/],
    "brackets": [`${"(".repeat(n)}forever${")".repeat(n)}`, /brackets/],
    "conjunctions": [`forever${" and forever".repeat(n)}`, /made of/],
    "disjunctions": [`forever${" or forever".repeat(n)}`, /made of/]
  }

  for (const [what, [text, reads]] of Object.entries(texts)) {
    it(`of any length: ${what}`, () => {
      const answer = parsed(text)
      if (typeof reads === "string") assert.strictEqual(answer, reads)
      else {
        assert.instanceOf(answer, Error)
        assert.match((answer as Error).message, reads)
        // What is wrong is shown, and not the whole text.
        assert.isBelow((answer as Error).message.length, 2000)
      }
    })
  }
})

describe("other texts of any length", () => {
  const n = 50_000
  const long = [
    "a".repeat(n),
    " ".repeat(n),
    "%".repeat(n),
    "?=:#!/*".repeat(n / 7),
    "1".repeat(n),
    "-1e".repeat(n / 3),
    "\ud800".repeat(n)
  ]

  it("keys, tags and rows are written, and shown", () => {
    for (const text of long) {
      const key = Key.encode(Key.string("text"), text)
      assert.isFalse(Key.matches({ name: "x", parts: [undefined, "b"] }, `x:${key}`))
      Key.format(key)
      Dependency.format(Dependency.tag(text))
      Dependency.format(`film:${text}` as Dependency.Dependency)
      Dependency.format(`film/${text}?${text}` as Dependency.Dependency)
    }
  })

  it("invalidations and changes are read, or refused", () => {
    for (const text of long) {
      const invalidation = Invalidation.tags(text)
      const back = Schema.decodeSync(Invalidation.FromString)(Schema.encodeSync(Invalidation.FromString)(invalidation))
      assert.isTrue(Equal.equals(back, invalidation))
      back.toString()
      assert.isTrue(Option.isNone(Schema.decodeOption(Invalidation.FromString)(text)))
      assert.isTrue(Option.isNone(Schema.decodeOption(Change.FromString)(text)))
    }
    for (const deep of ["[".repeat(n), `{"k":${"[".repeat(n)}`]) {
      assert.isTrue(Option.isNone(Schema.decodeOption(Invalidation.FromString)(deep)))
      assert.isTrue(Option.isNone(Schema.decodeOption(Change.FromString)(deep)))
    }
  })
})
