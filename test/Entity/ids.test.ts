/**
 * What names a row is what its schema says: a text that looks like a number is
 * another id, and nobody would notice that nothing depends on it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Entity from "../../src/Entity.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { defectOf, onEach, Origin } from "../support/cached.ts"
import { refusal } from "../support/policies.ts"

const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, year: Schema.Int })
const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["year"], relations: ["actors"] })
const row = { id: 7, title: "Alien", year: 1979 }
// As a driver gives an int8.
const fromDriver = (over: object): typeof row => ({ ...row, ...over }) as never

describe("an id that is not of its schema", () => {
  it("is refused by whatever it is given to", () => {
    const odd = fromDriver({ id: "7" })
    for (
      const given of [
        () => Films.created(odd),
        () => Films.deleted(odd),
        () => Films.updated(row, odd),
        () => Films.updated(odd, odd),
        () => Films.end("7", "actors"),
        () => Films.created(fromDriver({ id: undefined })),
        () => Films.created(fromDriver({ id: { of: 7 } }))
      ]
    ) {
      const { message, reason, where } = refusal(given)
      assert.strictEqual(reason, "InvalidRow")
      assert.strictEqual(where, "Entity \"film\"")
      assert.include(message, "\"id\" of a row is the ")
    }
    assert.include(refusal(() => Films.created(odd)).message, "string \"7\"")
  })

  onEach(
    "is not published in silence: the reader of the row is told, or nobody is",
    Effect.gen(function*() {
      const origin = new Origin("Alien")
      const title = Cached.make(
        "title",
        { key: Key.int("id"), value: Schema.String, lookup: () => origin.load },
        Policy.conditional(Films, { fields: ["title"] })
      )
      yield* Cached.get(title, 7)
      const write = Changes.publishing(Effect.succeed(fromDriver({ id: "7" })), (after) => Films.updated(row, after))
      const defect = yield* defectOf(write)
      assert.isTrue(defect instanceof InvalidInput.InvalidInput)
      yield* Changes.publish(Films.updated(row, { ...row, title: "Aliens" }))
      yield* Cached.get(title, 7)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "is decoded where its schema can",
    Effect.gen(function*() {
      const Rows = Entity.make("row", {
        schema: Schema.Struct({ id: Schema.NumberFromString, shelf: Schema.BigIntFromString }),
        id: "id",
        partitions: ["shelf"]
      })
      const origin = new Origin(1)
      const cached = Cached.make(
        "row",
        { key: Key.int("id"), value: Schema.Finite, lookup: () => origin.load },
        Policy.conditional(Rows)
      )
      yield* Cached.get(cached, 7)
      const change = Rows.deleted({ id: "7", shelf: "12" } as never)
      assert.deepStrictEqual(change, { _tag: "Deleted", row: { entity: "row", id: 7, partitions: [["shelf", 12n]] } })
      const { entries } = yield* Changes.publish(change)
      assert.strictEqual(entries, 1)
      yield* Cached.get(cached, 7)
      assert.strictEqual(origin.loads, 2)
    })
  )
})

describe("a partition that is not of its schema", () => {
  it("is refused", () => {
    for (const year of ["1979", 1979.5, null, undefined, () => 1979]) {
      assert.strictEqual(refusal(() => Films.created(fromDriver({ year }))).reason, "InvalidRow")
    }
  })

  it("is null where it may be absent, whatever it is called", () => {
    const Odd = Entity.make("odd", {
      schema: Schema.Struct({
        id: Schema.Int,
        constructor: Schema.optionalKey(Schema.String),
        toString: Schema.optional(Schema.String),
        valueOf: Schema.NullOr(Schema.String)
      }),
      id: "id",
      partitions: ["constructor", "toString", "valueOf"] as unknown as ReadonlyArray<never>
    })
    const partitionsOf = (row: object) => {
      const change = Odd.created(row as never)
      return change._tag === "Created" ? change.row.partitions : []
    }
    assert.deepStrictEqual(partitionsOf({ id: 1, valueOf: null }), [
      ["constructor", null],
      ["toString", null],
      ["valueOf", null]
    ])
    assert.deepStrictEqual(partitionsOf({ id: 1, constructor: "a", toString: "b", valueOf: "c" }), [
      ["constructor", "a"],
      ["toString", "b"],
      ["valueOf", "c"]
    ])
    // It is required, and what is inherited is no value of it.
    assert.strictEqual(refusal(() => Odd.created({ id: 1 } as never)).reason, "InvalidRow")
  })

  it("may come from an accessor of a class", () => {
    class Row {
      readonly title = "Alien"
      get id() {
        return 7
      }
      get year() {
        return 1979
      }
    }
    assert.deepStrictEqual(Films.created(new Row()), {
      _tag: "Created",
      row: { entity: "film", id: 7, partitions: [["year", 1979]] }
    })
  })
})

describe("names that every object has", () => {
  it("are no differences of rows, no parts of keys and no versions", () => {
    const Odd = Entity.make("odd", {
      schema: Schema.Struct({ id: Schema.Int, toString: Schema.optionalKey(Schema.String) }),
      id: "id"
    })
    const fields = (before: object, after: object) => {
      const change = Odd.updated(before as never, after as never)
      return change._tag === "Updated" ? change.fields : []
    }
    assert.deepStrictEqual(fields({ id: 1 }, { id: 1 }), [])
    assert.deepStrictEqual(fields({ id: 1 }, { id: 1, toString: "x" }), ["toString"])
    const key = Key.struct({ constructor: Key.make("constructor", (name?: unknown) => `${typeof name}`) })
    assert.strictEqual(Key.encode(key, {} as never), "undefined")
  })

  onEach(
    "are shown by explain as not there",
    Effect.gen(function*() {
      const make = (policy: Policy.Policy<void, number>) =>
        Cached.make("v", { key: Key.unit, value: Schema.Finite, lookup: () => Effect.succeed(1) }, policy)
      yield* Cached.get(make(Policy.forever), undefined)
      const { because } = yield* Cached.explain(make(Policy.versioned("2", { name: "constructor" })), undefined)
      assert.strictEqual(because, "loaded under constructor none, now 2")
    })
  )
})

describe("an id for people", () => {
  it("shows whether it is a number or a text that looks like one", () => {
    const shown = (id: Dependency.Id) => [
      Dependency.format(Dependencies.row("film", id)),
      Dependency.format(Dependencies.rowField("film", id, "title")),
      Dependency.format(Dependencies.partitionMembers("film", "year", id))
    ]
    assert.deepStrictEqual(shown(7), ["film:7", "film:7#title", "film?year=7!members"])
    assert.deepStrictEqual(shown("7"), ["film:\"7\"", "film:\"7\"#title", "film?year=\"7\"!members"])
    assert.deepStrictEqual(shown("null"), ["film:\"null\"", "film:\"null\"#title", "film?year=\"null\"!members"])
    assert.deepStrictEqual(shown("a:b#c"), ["film:a:b#c", "film:a:b#c#title", "film?year=a:b#c!members"])
    assert.strictEqual(
      Change.format({ _tag: "Deleted", row: { entity: "film", id: "7", partitions: [] } }),
      "film:\"7\" deleted"
    )
    const Texts = Entity.make("text", {
      schema: Schema.Struct({ id: Schema.Union([Schema.Int, Schema.String]) }),
      id: "id"
    })
    assert.include(refusal(() => Texts.updated({ id: 7 }, { id: "7" })).message, "the ids 7 and \"7\"")
  })

  onEach(
    "is refused where nobody could find it again",
    Effect.gen(function*() {
      const cached = Cached.make(
        "lost",
        { key: Key.int("id"), value: Schema.Int, lookup: () => Effect.succeed(1) },
        Policy.conditional(Films, { id: () => undefined as never, fields: ["title"] })
      )
      const defect = yield* defectOf(Cached.get(cached, 1))
      assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "InvalidRow")
    })
  )
})
