import { DateTime } from "effect"
import fc from "fast-check"
import { assert, describe, test } from "vitest"
import type { Unit } from "../../src/internal/calendar.ts"
import { encodeName, formatPattern } from "../../src/internal/keys.ts"
import type * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import { holds, nasty, refusal } from "../support/policies.ts"

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
  })

  test("can be made to take other inputs", () => {
    const ofFilm = Key.contramap(Key.int("id"), (film: { readonly id: number }) => film.id)
    assert.strictEqual(Key.encode(ofFilm, { id: 7 }), "7")
    assert.strictEqual(ofFilm.pipe(Key.contramap((id: number) => ({ id })), Key.encode(7)), "7")
  })

  test("of which no pattern fixes a field: its part might be another", () => {
    const parts = { slug: Key.string("slug"), page: Key.int("page") }
    const lower = Key.contramap(
      Key.struct(parts),
      (of: { readonly slug: string; readonly page: number }) => ({ ...of, slug: of.slug.toLowerCase() })
    )
    const own = Key.make("id", (film: { readonly id: number }) => String(film.id))
    for (
      const [key, fixed] of [[lower, { slug: "Hello" }], [Key.fragment("side", lower), { page: 1 }], [own, {
        id: 7
      }]] as const
    ) {
      assert.strictEqual(refusal(() => key.pattern(fixed)).reason, "UnknownField")
    }
    assert.deepStrictEqual(Key.fragment("side", lower).pattern({}), ["side", undefined, undefined])
    const both = Key.struct({ of: lower, film: own })
    assert.deepStrictEqual(both.pattern({ of: { slug: "Hello", page: 1 } }), ["hello", "1", undefined])
    assert.deepStrictEqual(both.pattern({ film: { id: 7 } }), [undefined, undefined, "7"])
  })
})

describe("A fragment", () => {
  const article = Key.fragment("article", Key.string("id"), Key.date("updatedAt"))

  test("is its name and what it varies on, in order", () => {
    assert.strictEqual(Key.encode(Key.fragment("menu"), undefined), "menu")
    assert.strictEqual(Key.encode(Key.fragment("side:bar", Key.int("user")), 42), "side%3Abar:42")
    assert.strictEqual(Key.encode(article, ["a", new Date(0)]), "article:a:1970-01-01T00%3A00%3A00.000Z")
    assert.strictEqual(
      Key.encode(Key.fragment("list", page), { genre: "drama", page: 2, adult: false }),
      "list:drama:2:false"
    )
    assert.deepStrictEqual(article.fields, ["fragment", "id", "updatedAt"])
  })

  test("never encodes like another one, whatever its name and what it varies on", () => {
    const fragments = fc.record({ name: nasty, on: fc.array(nasty, { maxLength: 3 }) })
    const encoded = ({ name, on }: { readonly name: string; readonly on: ReadonlyArray<string> }) =>
      Key.fragment(name, ...on.map((_, i) => Key.string(String(i)))).parts((on.length === 1 ? on[0] : on) as never)
        .join(":")
    holds(
      3000,
      fc.property(fragments, fragments, (a, b) => {
        const same = a.name === b.name && JSON.stringify(a.on) === JSON.stringify(b.on)
        assert.strictEqual(encoded(a) === encoded(b), same)
      })
    )
  })

  test("has patterns that leave open what it varies on, and never its name", () => {
    assert.deepStrictEqual(article.pattern({}), ["article", undefined, undefined])
    assert.deepStrictEqual(article.pattern({ 0: "a" }), ["article", "a", undefined])
    assert.deepStrictEqual(Key.fragment("list", page).pattern({ page: 2 }), ["list", undefined, "2", undefined])
    assert.deepStrictEqual(Key.fragment("menu").pattern({}), ["menu"])
    const side = { name: "page", parts: Key.fragment("side", Key.int("user")).pattern({}) }
    assert.isTrue(Key.matches(side, "page:side:42"))
    assert.isFalse(Key.matches(side, "page:menu:42"))
    assert.isFalse(Key.matches(side, "page:side"))
  })
})

describe("An instant", () => {
  const key = Key.date("at")

  test("is one key, whatever holds it", () => {
    const utc = DateTime.makeUnsafe("2024-06-01T22:34:56.789Z")
    const rome = DateTime.setZoneNamedUnsafe(utc, "Europe/Rome")
    const texts = [utc, rome, DateTime.toDateUtc(utc)].map((at) => Key.format(Key.encode(key, at)))
    assert.deepStrictEqual([...new Set(texts)], ["2024-06-01T22:34:56.789Z"])
  })

  test("is another key a millisecond later, in any year", () =>
    holds(
      1000,
      fc.property(fc.date({ noInvalidDate: true }), fc.date({ noInvalidDate: true }), (a, b) => {
        assert.strictEqual(Key.encode(key, a) === Key.encode(key, b), a.getTime() === b.getTime())
        assert.strictEqual(Date.parse(Key.format(Key.encode(key, a))), a.getTime())
      })
    ))
})

describe("A bucket of time", () => {
  /** What a calendar on the wall of the zone says, by another way than the library's. */
  const wall = (timeZone: string) => {
    const format = new Intl.DateTimeFormat("en-GB", {
      timeZone,
      calendar: "iso8601",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      timeZoneName: "longOffset"
    })
    return (millis: number) => {
      const parts = Object.fromEntries(format.formatToParts(millis).map(({ type, value }) => [type, value]))
      const { day, hour, minute, month, timeZoneName, year } = parts as Record<string, string>
      const monday = new Date(`${year}-${month}-${day}T00:00:00Z`)
      monday.setUTCDate(monday.getUTCDate() - (monday.getUTCDay() + 6) % 7)
      return {
        minute: `${year}-${month}-${day} ${hour}:${minute} ${timeZoneName}`,
        // The hour that comes twice is two hours.
        hour: `${year}-${month}-${day} ${hour} ${timeZoneName}`,
        day: `${year}-${month}-${day}`,
        week: monday.toISOString(),
        month: `${year}-${month}`,
        year
      }
    }
  }

  // Where clocks are changed: by an hour, by half an hour, at midnight (so that a day begins at 1:00, or has two
  // elevens), a minute after midnight (so that yesterday comes back), and by a whole day.
  const places: ReadonlyArray<readonly [zone: string, near: ReadonlyArray<string>]> = [
    ["UTC", ["2024-03-01T00:00:00Z", "2024-12-30T00:00:00Z"]],
    ["+05:45", ["2024-03-01T00:00:00Z"]],
    ["Europe/Rome", ["2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"]],
    ["Australia/Lord_Howe", ["2024-10-05T15:30:00Z", "2024-04-06T15:00:00Z"]],
    ["America/Sao_Paulo", ["2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"]],
    ["America/St_Johns", ["2006-10-29T02:31:00Z"]],
    ["Pacific/Apia", ["2011-12-30T10:00:00Z"]]
  ]
  const hour = 3_600_000
  const instants = fc.constantFrom(...places).chain(([zone, near]) =>
    fc.constantFrom(...near.map((text) => Date.parse(text))).chain((at) => {
      const shift = fc.oneof(
        fc.integer({ min: -3 * hour, max: 3 * hour }),
        fc.integer({ min: -40, max: 40 }).map((quarters) => quarters * hour / 4),
        fc.integer({ min: -800 * hour, max: 800 * hour })
      )
      const one = fc.tuple(shift, fc.constantFrom(0, 0, -1, 1)).map(([by, more]) => at + by + more)
      return fc.record({ zone: fc.constant(zone), a: one, b: one })
    })
  )
  const units = ["minute", "hour", "day", "week", "month", "year"] as const
  const begin = (zone: string, every: Unit, millis: number): number =>
    Date.parse(Key.format(Key.encode(Key.bucket("at", { every, timeZone: zone }), new Date(millis))))

  for (const every of units) {
    test(`of a ${every}: two instants are one key exactly when a calendar of the zone says so`, () => {
      let alike = 0
      holds(
        1500,
        fc.property(instants, ({ a, b, zone }) => {
          const calendar = wall(zone)
          const same = calendar(a)[every] === calendar(b)[every]
          assert.strictEqual(begin(zone, every, a) === begin(zone, every, b), same)
          if (same && a !== b) alike++
        })
      )
      if (process.env["FC_PATH"] === undefined && every !== "minute") assert.isAbove(alike, 50)
    })

    test(`of a ${every}: it is written as the instant at which it began`, () =>
      holds(
        1500,
        fc.property(instants, ({ a, zone }) => {
          const start = begin(zone, every, a)
          assert.isAtMost(start, a)
          assert.strictEqual(begin(zone, every, start), start)
          assert.isBelow(begin(zone, every, start - 1), start)
        })
      ))

    test(`of a ${every}: it ends where the next one begins`, () =>
      holds(
        500,
        fc.property(instants, ({ a, zone }) => {
          fc.pre(zone !== "America/St_Johns" || every === "minute" || every === "hour")
          const { from, to } = Key.bucket("at", { every, timeZone: zone }).bounds(new Date(a))
          assert.strictEqual(from.getTime(), begin(zone, every, a))
          assert.strictEqual(begin(zone, every, to.getTime() - 1), from.getTime())
          assert.strictEqual(begin(zone, every, to.getTime()), to.getTime())
        })
      ))

    test(`of a ${every}: what lies between two instants of one is of the same one`, () =>
      holds(
        1500,
        fc.property(instants, fc.double({ min: 0, max: 1, noNaN: true }), ({ a, b, zone }, part) => {
          // In St. John's the clocks went back a minute after midnight, to the day before.
          fc.pre(zone !== "America/St_Johns" || every === "minute" || every === "hour")
          const start = begin(zone, every, Math.max(a, b))
          const between = start + Math.floor((Math.max(a, b) - start) * part)
          assert.strictEqual(begin(zone, every, between), start)
        })
      ))
  }

  test("the hour that comes twice in Rome is two, and that day has 25 hours", () => {
    const starts = (every: Unit) => {
      const from = Date.parse("2024-10-26T22:00:00Z")
      return new Set(Array.from({ length: 50 }, (_, i) => begin("Europe/Rome", every, from + i * hour / 2)))
    }
    assert.deepStrictEqual([starts("hour").size, starts("day").size], [25, 1])
  })

  test("on Lord Howe clocks are changed by half an hour, so an hour is cut short", () => {
    const at = (text: string) => new Date(begin("Australia/Lord_Howe", "hour", Date.parse(text))).toISOString()
    // Two o'clock becomes half past two, and in autumn half past one.
    assert.strictEqual(at("2024-10-05T15:29:59Z"), "2024-10-05T14:30:00.000Z")
    assert.strictEqual(at("2024-10-05T15:59:59Z"), "2024-10-05T15:30:00.000Z")
    assert.strictEqual(at("2024-10-05T16:00:00Z"), "2024-10-05T16:00:00.000Z")
    assert.strictEqual(at("2024-04-06T14:59:59Z"), "2024-04-06T14:00:00.000Z")
    assert.strictEqual(at("2024-04-06T15:29:59Z"), "2024-04-06T15:00:00.000Z")
    assert.strictEqual(at("2024-04-06T15:30:00Z"), "2024-04-06T15:30:00.000Z")
  })

  test("is of UTC unless a zone is given, wherever the process runs", () => {
    const { TZ } = process.env
    process.env["TZ"] = "Asia/Kolkata"
    try {
      const day = Key.bucket("day", { every: "day" })
      assert.strictEqual(Key.format(Key.encode(day, new Date(hour * 30.5))), "1970-01-02T00:00:00.000Z")
    } finally {
      if (TZ === undefined) delete process.env["TZ"]
      else process.env["TZ"] = TZ
    }
  })
})

describe("An empty text", () => {
  test("is a part of its own, and looks like no other", () => {
    const key = Key.string("q")
    const others = ["%00", "\0", " ", "%", "%25", "undefined", "null", "\"\""]
    assert.isFalse(others.map((text) => Key.encode(key, text)).includes(Key.encode(key, "")))
    assert.strictEqual(refusal(() => Key.encode(key, undefined as never)).reason, "InvalidKeyPart")
    const pair = Key.tuple(key, key)
    const all = (["", ":", "a"] as const).flatMap((a) => (["", ":", "a"] as const).map((b) => Key.encode(pair, [a, b])))
    assert.strictEqual(new Set(all).size, 9)
    assert.strictEqual(Key.encode(Key.make("own", () => ""), 1), "")
  })
})

describe("What has no encoding is refused", () => {
  const inputs: ReadonlyArray<readonly [string, InvalidInput.InvalidInput["reason"], () => unknown]> = [
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
    ["an invalid date", "InvalidKeyPart", () => Key.encode(Key.date("at"), new Date(Number.NaN))],
    ["a number as a date", "InvalidKeyPart", () => Key.encode(Key.date("at"), 0 as never)],
    [
      "an invalid date in a bucket",
      "InvalidKeyPart",
      () => Key.encode(Key.bucket("at", { every: "day" }), new Date(Number.NaN))
    ],
    [
      "a bucket of an unknown zone",
      "InvalidOption",
      () => Key.bucket("at", { every: "day", timeZone: "Europe/Atlantis" })
    ],
    ["a bucket of an unknown length", "InvalidOption", () => Key.bucket("at", { every: "fortnight" as never })],
    ["a fragment without a name", "EmptyName", () => Key.fragment("")],
    ["an empty name", "EmptyName", () => Key.string("")],
    ["an empty field name", "EmptyName", () => Key.struct({ "": Key.int("id") })],
    ["a struct of nothing", "EmptyName", () => Key.struct({})],
    ["a tuple of nothing", "EmptyName", () => Key.tuple()],
    ["an empty name of a cached value", "EmptyName", () => encodeName("")]
  ]
  for (const [what, reason, attempt] of inputs) {
    test(`${what}: ${reason}`, () => assert.strictEqual(refusal(attempt).reason, reason))
  }

  test("and the refusal names the part", () =>
    assert.include(refusal(() => Key.encode(page, { genre: "x", page: Number.NaN, adult: true })).message, "\"page\""))
})

describe("A pattern is a set of keys", () => {
  const name = encodeName("films")
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
    assert.strictEqual(formatPattern(pattern({ genre: "drama" })), "films:drama:*:*")
    assert.strictEqual(formatPattern(pattern({ genre: "*" })), "films:%2A:*:*")
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

  test("fixes an empty part, which is another than one that is left open", () => {
    assert.deepStrictEqual(pattern({ genre: "" }).parts, ["", undefined, undefined])
    const drama = { name: "films", parts: ["", undefined] }
    assert.isTrue(Key.matches(drama, "films::2"))
    assert.isFalse(Key.matches(drama, "films:drama:2"))
    assert.isFalse(Key.matches(drama, "films:2"))
  })
})

test("names of definitions are escaped too, so none reaches into another's keys", () => {
  assert.strictEqual(encodeName("films:drama"), "films%3Adrama")
  assert.strictEqual(Key.format("films%3Adrama:a%2Ab"), "films:drama:a*b")
})
