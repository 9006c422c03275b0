import fc from "fast-check"
import { assert, describe, test } from "vitest"
import type * as InvalidInput from "../src/InvalidInput.ts"
import * as Key from "../src/Key.ts"
import { holds, nasty, refusal } from "./support/policies.ts"

const page = Key.struct({
  genre: Key.string("genre"),
  page: Key.int("page"),
  adult: Key.boolean("adult")
})

const throughRedis = (text: string): string => Buffer.from(text, "utf8").toString("utf8")

describe("An encoding belongs to one input", () => {
  test("two different texts never encode alike", () =>
    holds(
      3000,
      fc.property(nasty, nasty, (a, b) => {
        const key = Key.string("id")
        assert.strictEqual(Key.encode(key, a) === Key.encode(key, b), a === b)
      })
    ))

  test("nor do two tuples whose texts hold what separates, escapes and matches", () =>
    holds(
      3000,
      fc.property(fc.tuple(nasty, nasty), fc.tuple(nasty, nasty), (a, b) => {
        const key = Key.tuple(Key.string("a"), Key.string("b"))
        assert.strictEqual(Key.encode(key, a) === Key.encode(key, b), a[0] === b[0] && a[1] === b[1])
      })
    ))

  test("nor do two structs of mixed parts, nested or not", () => {
    const key = Key.struct({ at: Key.tuple(Key.string("x"), Key.number("y")), name: Key.string("name") })
    const input = fc.record({ at: fc.tuple(nasty, fc.double({ noNaN: true, noDefaultInfinity: true })), name: nasty })
    holds(
      3000,
      fc.property(input, input, (a, b) => {
        const same = a.name === b.name && a.at[0] === b.at[0] && a.at[1] === b.at[1]
        assert.strictEqual(Key.encode(key, a) === Key.encode(key, b), same)
      })
    )
  })

  test("the classical attempts to be somebody else fail", () => {
    const key = Key.tuple(Key.string("a"), Key.string("b"))
    const pairs: ReadonlyArray<readonly [string, string]> = [
      ["a:b", "c"],
      ["a", "b:c"],
      ["a%3Ab", "c"],
      ["a%253Ab", "c"],
      ["a", "b%3Ac"],
      ["\ud800", "x"],
      ["\ufffd", "x"],
      ["%uD800", "x"],
      ["%25uD800", "x"],
      ["e\u0301", "x"],
      ["\u00e9", "x"],
      ["a\nb", "x"],
      ["a b", "x"],
      ["a\u00a0b", "x"]
    ]
    assert.strictEqual(new Set(pairs.map((pair) => throughRedis(Key.encode(key, pair)))).size, pairs.length)
  })

  test("what was encoded survives UTF-8 and reads back, lone surrogates and ten kilobytes alike", () => {
    const key = Key.string("id")
    holds(
      2000,
      fc.property(nasty, (text) => {
        const encoded = Key.encode(key, text)
        assert.strictEqual(throughRedis(encoded), encoded)
        assert.strictEqual(Key.format(encoded), text)
      })
    )
    for (const text of ["\ud800", "\udc00\ud800", "a\udfff", ":".repeat(10_000), "é😀".repeat(5_000)]) {
      const encoded = Key.encode(key, text)
      assert.strictEqual(throughRedis(encoded), encoded)
      assert.strictEqual(Key.format(encoded), text)
    }
  })

  test("no character that separates, or that Redis reads as a pattern or a hash tag, is left", () =>
    holds(
      2000,
      fc.property(nasty, (text) => assert.notMatch(Key.encode(Key.string("id"), text), /[\s:#?=!/*[\]{}\\^]/))
    ))
})

describe("A key of each kind", () => {
  test("writes what it is given", () => {
    assert.strictEqual(Key.encode(Key.string("id"), "film noir"), "film%20noir")
    assert.strictEqual(Key.encode(Key.int("id"), -42), "-42")
    assert.strictEqual(Key.encode(Key.number("id"), 1.5), "1.5")
    assert.strictEqual(Key.encode(Key.bigint("id"), 2n ** 70n), "1180591620717411303424")
    assert.strictEqual(Key.encode(Key.boolean("id"), false), "false")
    assert.strictEqual(Key.encode(Key.literals("sort", ["asc", "desc"]), "desc"), "desc")
    assert.strictEqual(
      Key.encode(Key.make("day", (day: Date) => day.toISOString().slice(0, 10)), new Date(0)),
      "1970-01-01"
    )
    assert.strictEqual(Key.encode(page, { genre: "a:b", page: 2, adult: true }), "a%3Ab:2:true")
    assert.strictEqual(Key.encode(Key.tuple(Key.int("a"), Key.int("b")), [1, 2]), "1:2")
    assert.deepStrictEqual(Key.unit.parts(), [])
  })

  test("minus zero is zero", () => {
    assert.strictEqual(Key.encode(Key.int("id"), -0), "0")
    assert.strictEqual(Key.encode(Key.number("id"), -0), "0")
  })

  test("names its parts", () => {
    assert.deepStrictEqual(page.fields, ["genre", "page", "adult"])
    assert.deepStrictEqual(
      Key.struct({ at: Key.tuple(Key.int("x"), Key.int("y")), id: Key.int("ignored") }).fields,
      ["at.x", "at.y", "id"]
    )
    assert.strictEqual(String(page), "Key(genre, page, adult)")
    assert.isTrue(Key.isKey(page))
    assert.isFalse(Key.isKey({ fields: [], parts: () => [] }))
  })

  test("can be made to take other inputs", () => {
    const ofFilm = Key.contramap(Key.int("id"), (film: { readonly id: number }) => film.id)
    assert.strictEqual(Key.encode(ofFilm, { id: 7 }), "7")
    assert.strictEqual(ofFilm.pipe(Key.contramap((id: number) => ({ id })), Key.encode(7)), "7")
  })
})

describe("What has no encoding is refused", () => {
  const inputs: ReadonlyArray<readonly [string, InvalidInput.Reason, () => unknown]> = [
    ["an empty string", "EmptyKeyPart", () => Key.encode(Key.string("id"), "")],
    ["an empty part of a struct", "EmptyKeyPart", () => Key.encode(page, { genre: "", page: 1, adult: false })],
    ["an empty part of a tuple", "EmptyKeyPart", () => Key.encode(Key.tuple(Key.string("a")), [""])],
    ["a text that one's own key writes empty", "EmptyKeyPart", () => Key.encode(Key.make("id", () => ""), 1)],
    ["what one's own key does not write", "InvalidKeyPart", () => Key.encode(Key.make("id", () => 1 as never), 1)],
    ["NaN as an integer", "InvalidKeyPart", () => Key.encode(Key.int("id"), Number.NaN)],
    ["NaN as a number", "InvalidKeyPart", () => Key.encode(Key.number("id"), Number.NaN)],
    ["infinity", "InvalidKeyPart", () => Key.encode(Key.number("id"), Infinity)],
    ["a fraction as an integer", "InvalidKeyPart", () => Key.encode(Key.int("id"), 1.5)],
    ["an integer that is not exact", "InvalidKeyPart", () => Key.encode(Key.int("id"), 2 ** 53)],
    ["a number as a string", "InvalidKeyPart", () => Key.encode(Key.string("id"), 42 as never)],
    ["a string as a number", "InvalidKeyPart", () => Key.encode(Key.int("id"), "42" as never)],
    ["a number as a bigint", "InvalidKeyPart", () => Key.encode(Key.bigint("id"), 42 as never)],
    ["a string as a boolean", "InvalidKeyPart", () => Key.encode(Key.boolean("id"), "true" as never)],
    ["a missing part", "InvalidKeyPart", () => Key.encode(page, { genre: "a", page: 1 } as never)],
    ["what is not among the literals", "InvalidKeyPart", () => Key.encode(Key.literals("s", ["a"]), "b" as never)],
    ["an empty name", "EmptyName", () => Key.string("")],
    ["an empty field name", "EmptyName", () => Key.struct({ "": Key.int("id") })],
    ["a struct of nothing", "EmptyName", () => Key.struct({})],
    ["a tuple of nothing", "EmptyName", () => Key.tuple()],
    ["an empty name of a cached value", "EmptyName", () => Key.encodeName("")]
  ]
  for (const [what, reason, attempt] of inputs) {
    test(`${what}: ${reason}`, () => assert.strictEqual(refusal(attempt).reason, reason))
  }

  test("and the refusal names the part", () =>
    assert.include(refusal(() => Key.encode(page, { genre: "x", page: Number.NaN, adult: true })).message, "\"page\""))
})

describe("A pattern is a set of keys", () => {
  const name = Key.encodeName("films")
  const stored = (input: Key.Input<typeof page>) => `${name}:${Key.encode(page, input)}`
  const pattern = (fixed: Key.Fixed<Key.Input<typeof page>>): Key.Pattern => ({ name, parts: page.pattern(fixed) })
  const input = fc.record({ genre: nasty, page: fc.integer({ min: 0, max: 2 }), adult: fc.boolean() })

  test("those whose parts are the ones that it fixes, and no others", () =>
    holds(
      3000,
      fc.property(input, input, fc.subarray(["genre", "page", "adult"] as const), (one, other, fixed) => {
        const parts = Object.fromEntries(fixed.map((field) => [field, one[field]]))
        assert.isTrue(Key.matches(pattern(parts), stored(one)))
        assert.strictEqual(
          Key.matches(pattern(parts), stored(other)),
          fixed.every((field) => one[field] === other[field])
        )
      })
    ))

  test("no text in a part widens it: not *, not ?, not a separator", () => {
    const keys = ["drama", "dramatic", "*", "d*", "?", "[a-z]", "drama:1", "a:b"].map((genre) =>
      stored({ genre, page: 1, adult: false })
    )
    for (const genre of ["*", "d*", "drama", "drama:*", "drama:1", "[a-z]", "?", "%2A"]) {
      assert.deepStrictEqual(
        keys.filter((key) => Key.matches(pattern({ genre }), key)),
        keys.filter((key) => key === stored({ genre, page: 1, adult: false }))
      )
    }
  })

  test("of one definition: neither of another name, nor of another number of parts", () => {
    const key = stored({ genre: "a", page: 1, adult: true })
    assert.isTrue(Key.matches(pattern({}), key))
    assert.isFalse(Key.matches({ name: "film", parts: [undefined, undefined, undefined] }, key))
    assert.isFalse(Key.matches({ name: "films", parts: [undefined, undefined] }, key))
    assert.isFalse(Key.matches({ name: "films", parts: [undefined, undefined, undefined, undefined] }, key))
    assert.isTrue(Key.matches({ name: "films", parts: [] }, "films"))
    assert.isFalse(Key.matches({ name: "films:a", parts: [undefined, undefined] }, key))
  })

  test("prints with a star for what it leaves open, which no part can be mistaken for", () => {
    assert.strictEqual(Key.formatPattern(pattern({ genre: "drama" })), "films:drama:*:*")
    assert.strictEqual(Key.formatPattern(pattern({ genre: "*" })), "films:%2A:*:*")
  })

  test("fixes parts of a tuple by their place, and nested parts together", () => {
    assert.deepStrictEqual(Key.tuple(Key.int("a"), Key.int("b")).pattern({ 1: 7 }), [undefined, "7"])
    const nested = Key.struct({ at: Key.tuple(Key.int("x"), Key.int("y")), id: Key.int("id") })
    assert.deepStrictEqual(nested.pattern({ at: [1, 2] }), ["1", "2", undefined])
    assert.deepStrictEqual(nested.pattern({ id: 3 }), [undefined, undefined, "3"])
  })

  test("fixes what it is given and nothing that every object has", () => {
    const key = Key.struct({ toString: Key.string("x"), constructor: Key.string("y") })
    assert.deepStrictEqual(key.pattern({}), [undefined, undefined])
    assert.deepStrictEqual(Key.string("valueOf").pattern({}), [undefined])
  })

  test("refuses a part that no key can have", () =>
    assert.strictEqual(refusal(() => pattern({ genre: "" })).reason, "EmptyKeyPart"))
})

test("names of definitions are escaped too, so none reaches into another's keys", () => {
  assert.strictEqual(Key.encodeName("films:drama"), "films%3Adrama")
  assert.strictEqual(Key.format("films%3Adrama:a%2Ab"), "films:drama:a*b")
})
