import { Option, Schema } from "effect"
import { assert, describe, test } from "vitest"
import * as Change from "../../src/Change.ts"
import * as Entity from "../../src/Entity.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import { refusal } from "../support/policies.ts"

const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String })

describe("An entity", () => {
  const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"], relations: ["actors"] })

  test("knows its name, its fields, its partitions and its relations", () => {
    assert.strictEqual(Films.name, "film")
    assert.deepStrictEqual(Films.fields, ["id", "title", "genre"])
    assert.deepStrictEqual(Films.partitions, ["genre"])
    assert.deepStrictEqual(Films.relations, ["actors"])
    assert.isTrue(Entity.isEntity(Films))
    assert.isFalse(Entity.isEntity({ name: "film" }))
  })

  test("can be declared by a class as well", () => {
    class Person extends Schema.Class<Person>("Person")({ id: Schema.String, name: Schema.String }) {}
    const People = Entity.make("person", { schema: Person, id: "id" })
    const before = new Person({ id: "a", name: "Ada" })
    const change = People.updated(before, new Person({ id: "a", name: "Ada Lovelace" }))
    assert.strictEqual(Change.format(change), "person:a updated (name)")
  })

  test("refuses an empty name, and fields that its schema lacks", () => {
    const make = (name: string, options: object) => () =>
      Entity.make(name, { schema: Film, id: "id", ...options } as never)
    assert.strictEqual(refusal(make("", {})).reason, "EmptyName")
    assert.strictEqual(refusal(make("film", { id: "uuid" })).reason, "UnknownField")
    assert.strictEqual(refusal(make("film", { partitions: ["genre", "year"] })).reason, "UnknownField")
    assert.strictEqual(refusal(make("film", { partitions: ["toString"] })).reason, "UnknownField")
  })

  test("refuses to call two rows one: that is a deletion and a creation", () => {
    const row = { id: 1, title: "Alien", genre: "horror" }
    const error = refusal(() => Films.updated(row, { ...row, id: 2 }))
    assert.strictEqual(error.reason, "DifferentRows")
    assert.strictEqual(error.where, "film.updated")
  })

  test("refuses an end of a relation that it does not have, since nothing could depend on it", () => {
    assert.strictEqual(refusal(() => Films.end(1, "actor")).reason, "UnknownField")
    assert.strictEqual(refusal(() => Films.end(1, "toString")).reason, "UnknownField")
    assert.deepStrictEqual(Films.end(1, "actors"), { entity: "film", id: 1, relation: "actors" })
    assert.deepStrictEqual(Films.end(1, "title"), { entity: "film", id: 1, relation: "title" })
  })
})

describe("What differs is said by the schema", () => {
  class Money extends Schema.Class<Money>("Money")({ cents: Schema.Int }) {}
  class Point {
    x: number
    constructor(x: number) {
      this.x = x
    }
  }
  const Rows = Entity.make("row", {
    schema: Schema.Struct({
      id: Schema.Int,
      at: Schema.Date,
      tags: Schema.mutable(Schema.Array(Schema.String)),
      nested: Schema.Struct({ deep: Schema.Struct({ at: Schema.Date, n: Schema.Finite }) }),
      maybe: Schema.Option(Schema.Date),
      price: Money,
      bytes: Schema.Uint8Array,
      anything: Schema.Unknown,
      points: Schema.Array(Schema.instanceOf(Point)),
      byName: Schema.Record(Schema.String, Schema.Unknown),
      note: Schema.optionalKey(Schema.String),
      name: Schema.NullOr(Schema.String),
      nan: Schema.Number,
      code: Schema.String.pipe(Schema.overrideToEquivalence(() => (a, b) => a.toLowerCase() === b.toLowerCase()))
    }),
    id: "id",
    partitions: ["code"]
  })
  type Row = Parameters<typeof Rows.created>[0]
  const row = (): Row => ({
    id: 1,
    at: new Date(0),
    tags: ["a", "b"],
    nested: { deep: { at: new Date(0), n: 1 } },
    maybe: Option.some(new Date(0)),
    price: new Money({ cents: 100 }),
    bytes: new Uint8Array([1, 2]),
    anything: { list: [1, { at: new Date(0) }] },
    points: [new Point(1)],
    byName: { a: { b: 1 } },
    name: null,
    nan: Number.NaN,
    code: "DE"
  })
  const differing = (before: Row, after: Row): ReadonlyArray<string> => {
    const change = Rows.updated(before, after)
    return change._tag === "Updated" ? change.fields : []
  }

  test("a copy does not differ, however deep", () => assert.deepStrictEqual(differing(row(), row()), []))

  // Asked once, the two are equal. Then one is mutated, as programs do that keep rows; asked again, they must differ.
  const mutations: Record<string, readonly [field: keyof Row, mutate: (row: Row) => void]> = {
    "a date": ["at", (row) => row.at.setTime(1)],
    "an array": ["tags", (row) => row.tags.push("c")],
    "an array's element": ["tags", (row) => row.tags[1] = "c"],
    "a number in nested structs": ["nested", (row) => (row.nested.deep as { n: number }).n = 2],
    "a date in nested structs": ["nested", (row) => row.nested.deep.at.setTime(1)],
    "a date in an option": ["maybe", (row) => Option.getOrThrow(row.maybe).setTime(1)],
    "a field of a class": ["price", (row) => (row.price as { cents: number }).cents = 200],
    "a byte": ["bytes", (row) => row.bytes[0] = 7],
    "what the schema calls unknown": ["anything", (row) => (row.anything as { list: Array<unknown> }).list.push(2)],
    "a date in what the schema calls unknown": [
      "anything",
      (row) => (row.anything as { list: [number, { at: Date }] }).list[1].at.setTime(1)
    ],
    "an instance of a class of one's own": ["points", (row) => row.points[0]!.x = 2],
    "an unknown value in a record": ["byName", (row) => (row.byName as { a: { b: number } }).a.b = 2]
  }
  for (const [what, [field, mutate]] of Object.entries(mutations)) {
    test(`${what} that was mutated after a comparison differs in the next one`, () => {
      const [before, after] = [row(), row()]
      assert.deepStrictEqual(differing(before, after), [])
      mutate(after)
      assert.deepStrictEqual(differing(before, after), [field])
      mutate(before)
      assert.deepStrictEqual(differing(before, after), [])
    })
  }

  test("an optional field that appears, vanishes or changes differs", () => {
    assert.deepStrictEqual(differing(row(), { ...row(), note: "x" }), ["note"])
    assert.deepStrictEqual(differing({ ...row(), note: "x" }, row()), ["note"])
    assert.deepStrictEqual(differing({ ...row(), note: "x" }, { ...row(), note: "y" }), ["note"])
    assert.deepStrictEqual(differing({ ...row(), name: "x" }, row()), ["name"])
  })

  test("an equivalence of one's own decides, also where values are written differently", () => {
    assert.deepStrictEqual(differing(row(), { ...row(), code: "de" }), [])
    assert.deepStrictEqual(differing(row(), { ...row(), code: "fr" }), ["code"])
  })

  test("yet a row whose partition is written differently has moved", () =>
    assert.deepStrictEqual(Change.dependencies(Rows.updated(row(), { ...row(), code: "de" })), [
      Dependencies.row("row", 1),
      Dependencies.partitionMembers("row", "code", "DE"),
      Dependencies.partitionMembers("row", "code", "de")
    ]))
})
