import fc from "fast-check"
import { assert, describe, test } from "vitest"
import * as Dependency from "../../src/Dependency.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import { holds, nasty, refusal } from "../support/policies.ts"

/** A call of a constructor: two calls are the same when they are written alike here. */
interface Call {
  readonly of: ReadonlyArray<unknown>
  readonly made: Dependency.Dependency
}

const calls = {
  tag: (text: string) => Dependency.tag(text),
  row: (entity: string, id: Dependency.Id) => Dependencies.row(entity, id),
  rowField: (entity: string, id: Dependency.Id, field: string) => Dependencies.rowField(entity, id, field),
  exists: (entity: string, id: Dependency.Id) => Dependencies.exists(entity, id),
  typeField: (entity: string, _: Dependency.Id, field: string) => Dependencies.typeField(entity, field),
  typeMembers: (entity: string) => Dependencies.typeMembers(entity),
  partitionField: (entity: string, value: Dependency.Id, field: string, name: string) =>
    Dependencies.partitionField(entity, name, value, field),
  partitionMembers: (entity: string, value: Dependency.Id, _: string, name: string) =>
    Dependencies.partitionMembers(entity, name, value)
} as const

const uses: { readonly [C in keyof typeof calls]: ReadonlyArray<number> } = {
  tag: [0],
  row: [0, 1],
  rowField: [0, 1, 2],
  exists: [0, 1],
  typeField: [0, 2],
  typeMembers: [0],
  partitionField: [0, 1, 2, 3],
  partitionMembers: [0, 1, 3]
}

// Names that look like what the encoding itself writes.
const name = fc.oneof(
  fc.constantFrom(
    "tag",
    "entity",
    "film",
    "members",
    "exists",
    "film:42",
    "film#title",
    "film!members",
    "film?a=b",
    "42"
  ),
  nasty
)

const id: fc.Arbitrary<Dependency.Id> = fc.oneof(
  fc.constantFrom<Dependency.Id>(
    42,
    "42",
    42n,
    "42n",
    true,
    "true",
    null,
    "null",
    0,
    "0",
    "-0",
    "",
    "NaN",
    "1e21",
    1e21
  ),
  fc.constantFrom<Dependency.Id>(
    Number.NaN,
    Infinity,
    "Infinity",
    "-Infinity",
    "TRUE",
    "%342",
    "42#title",
    "42!exists"
  ),
  fc.double(),
  fc.bigInt(),
  fc.double().map(String),
  nasty
).map((value) => Object.is(value, -0) ? 0 : value)

const call: fc.Arbitrary<Call> = fc.tuple(
  fc.constantFrom(...Object.keys(calls) as Array<keyof typeof calls>),
  name,
  id,
  name,
  name
).map(([constructor, ...args]) => ({
  of: [constructor, ...uses[constructor].map((i) => args[i])],
  made: calls[constructor](...args)
}))

const alike = (a: Call, b: Call): boolean =>
  a.of.length === b.of.length && a.of.every((part, i) => Object.is(part, b.of[i]))

describe("Two things never share a name", () => {
  test("across all constructors, whatever entities, fields, partitions, ids and tags are called", () =>
    holds(
      5000,
      fc.property(call, call, (a, b) => assert.strictEqual(a.made === b.made, alike(a, b)))
    ))

  test("not even in a thousand calls at once", () =>
    holds(
      10,
      fc.property(fc.array(call, { minLength: 1000, maxLength: 1000 }), (all) => {
        const byName = new Map<Dependency.Dependency, Call>()
        for (const one of all) {
          const twin = byName.get(one.made)
          assert.isTrue(twin === undefined || alike(one, twin), one.made)
          byName.set(one.made, one)
        }
      })
    ))

  test("nor after a round trip through UTF-8", () =>
    holds(
      1000,
      fc.property(call, ({ made }) => assert.strictEqual(Buffer.from(made, "utf8").toString("utf8"), made))
    ))

  test("a tag is no entity, and a field is neither membership nor existence", () => {
    const all = [
      Dependency.tag("film:42#title"),
      Dependency.tag("entity/film:42"),
      Dependencies.rowField("film", 42, "title"),
      Dependencies.row("tag", "a"),
      Dependency.tag("a"),
      Dependencies.typeField("tag", "a"),
      Dependencies.typeField("film", "members"),
      Dependencies.typeMembers("film"),
      Dependencies.rowField("film", 42, "exists"),
      Dependencies.exists("film", 42),
      Dependencies.row("film", "42!exists"),
      Dependencies.row("film", "42#exists"),
      Dependencies.row("film:42", "x"),
      Dependencies.row("film", "42:x"),
      Dependencies.partitionField("film", "genre", "drama", "members"),
      Dependencies.partitionMembers("film", "genre", "drama"),
      Dependencies.partitionMembers("film", "genre", "drama!members"),
      Dependencies.partitionMembers("film", "genre=drama", ""),
      Dependencies.partitionMembers("film?genre", "genre", "drama")
    ]
    assert.strictEqual(new Set(all).size, all.length)
  })

  test("42 and \"42\" are two rows, and so are 0 and \"0\", true and \"true\", null and \"null\", 1n and \"1n\"", () => {
    const ids: ReadonlyArray<Dependency.Id> = [
      42,
      "42",
      42n,
      "42n",
      0,
      "0",
      "-0",
      true,
      "true",
      "True",
      null,
      "null",
      ""
    ]
    assert.strictEqual(new Set(ids.map((id) => Dependencies.row("film", id))).size, ids.length)
    assert.strictEqual(Dependencies.row("film", -0), Dependencies.row("film", 0))
  })
})

test("names are written as documented, and shown to people without escapes", () => {
  const table: ReadonlyArray<readonly [Dependency.Dependency, string, string]> = [
    [Dependency.tag("genre:drama"), "tag/genre%3Adrama", "tag genre:drama"],
    [Dependencies.row("film", 42), "entity/film:42", "film:42"],
    [Dependencies.row("film", "42"), "entity/film:%342", "film:\"42\""],
    [Dependencies.rowField("film", 42, "title"), "entity/film:42#title", "film:42#title"],
    [Dependencies.exists("film", 42), "entity/film:42!exists", "film:42!exists"],
    [Dependencies.typeField("film", "title"), "entity/film#title", "film#title"],
    [Dependencies.typeMembers("film"), "entity/film!members", "film!members"],
    [
      Dependencies.partitionField("film", "genre", "drama", "title"),
      "entity/film?genre=drama#title",
      "film?genre=drama#title"
    ],
    [
      Dependencies.partitionMembers("film", "genre", "drama"),
      "entity/film?genre=drama!members",
      "film?genre=drama!members"
    ],
    [Dependency.tag("a\ud800b"), "tag/a%uD800b", "tag a\ud800b"],
    [Dependencies.row("a/b", "c"), "entity/a%2Fb:c", "a/b:c"]
  ]
  for (const [made, written, shown] of table) {
    assert.strictEqual(made, written)
    assert.strictEqual(Dependency.format(made), shown)
  }
})

test("an empty tag is refused, and so is what is no text", () => {
  for (const bad of ["", undefined, null, 42]) {
    assert.strictEqual(refusal(() => Dependency.tag(bad as string)).reason, "EmptyTag")
  }
})
