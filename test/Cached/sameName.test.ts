/**
 * Two definitions of one name: they share their entries, so they must be of one
 * kind. What is built again is the same.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { assertQuiet, defectOf, elsewhere, memory, onEach } from "../support/cached.ts"

let loads = 0

const define = <V>(value: Schema.Codec<V, unknown>, give: V, key: Key.Key<number> = Key.int("id")) =>
  Cached.make("film", { key, value, lookup: () => Effect.sync(() => (loads++, give)) }, Policy.forever)

class Row extends Schema.Class<Row>("Row")({ at: Schema.Date }) {}
class Other extends Schema.Class<Other>("Other")({ at: Schema.Date }) {}

interface Tree {
  readonly of: ReadonlyArray<Tree>
}
const tree = () => {
  const Tree: Schema.Codec<Tree> = Schema.Struct({ of: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })
  return Tree
}

const endless = (): Schema.Codec<Tree> => Schema.Struct({ of: Schema.Array(Schema.suspend(endless)) })

const different: Record<string, readonly [Schema.Top, unknown, Schema.Top, unknown]> = {
  "other kinds": [Schema.String, "a", Schema.Int, 1],
  "one JSON": [Schema.Date, new Date(0), Schema.String, "1970-01-01T00:00:00.000Z"],
  "a field more": [Schema.Struct({ a: Schema.Int }), { a: 1 }, Schema.Struct({ a: Schema.Int, b: Schema.Int }), {
    a: 1,
    b: 2
  }],
  "an optional field": [
    Schema.Struct({ a: Schema.Int }),
    { a: 1 },
    Schema.Struct({ a: Schema.optionalKey(Schema.Int) }),
    {}
  ],
  "other literals": [Schema.Literals(["a", "b"]), "a", Schema.Literals(["a", "c"]), "c"],
  "other checks": [Schema.Finite, 1.5, Schema.Int, 1],
  "other classes": [Row, new Row({ at: new Date(0) }), Other, new Other({ at: new Date(0) })]
}

describe("a second definition of a name", () => {
  for (const [name, [one, first, other, second]] of Object.entries(different)) {
    onEach(
      `with ${name} is refused, and the first goes on`,
      Effect.gen(function*() {
        const mine = define(one as Schema.Codec<unknown, unknown>, first)
        const its = define(other as Schema.Codec<unknown, unknown>, second)
        yield* Cached.get(mine, 1)
        for (
          const use of [
            Cached.get(its, 1),
            Cached.get(its, 2),
            Cached.getMany(its, [1]),
            Cached.getOption(its, 1),
            Cached.peekEntry(its, 1),
            Cached.getEntry(its, 1),
            Cached.refresh(its, 1),
            Cached.set(its, 1, Effect.succeed(second)),
            Cached.explain(its, 1)
          ]
        ) {
          const defect = yield* defectOf(use as Effect.Effect<unknown, unknown, never>)
          assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "NameTaken", String(defect))
        }
        loads = 0
        assert.deepStrictEqual(yield* Cached.get(mine, 1), first)
        assert.strictEqual(loads, 0)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "with other fields of its key, or other failures, is refused",
    Effect.gen(function*() {
      yield* Cached.get(define(Schema.Int, 1), 1)
      const failing = Cached.make("film", {
        key: Key.int("id"),
        value: Schema.Int,
        lookup: () => Effect.fail("no"),
        failures: { error: Schema.String, policy: Policy.forever }
      }, Policy.forever)
      for (const use of [Cached.get(define(Schema.Int, 1, Key.int("number")), 1), Cached.get(failing, 1)]) {
        const defect = yield* defectOf(use)
        assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "NameTaken")
      }
    })
  )

  const again: Record<string, () => readonly [Schema.Top, unknown]> = {
    "a struct": () => [
      Schema.Struct({ a: Schema.optionalKey(Schema.Int), b: Schema.NullOr(Schema.Date) }),
      { b: new Date(0) }
    ],
    "a recursive schema": () => [tree(), { of: [{ of: [] }] }],
    "a class": () => [
      class Again extends Schema.Class<Again>("Again")({ at: Schema.Date }) {},
      undefined
    ],
    "a check of a user's own": () => [Schema.Int.check(Schema.makeFilter((n) => n > 0)), 1]
  }
  for (const [name, make] of Object.entries(again)) {
    onEach(
      `that is built again is the same, and shares its entries: ${name}`,
      Effect.gen(function*() {
        loads = 0
        for (let i = 0; i < 3; i++) {
          const [schema, value] = make()
          const given = value ?? new (schema as never as new(_: unknown) => unknown)({ at: new Date(0) })
          yield* Cached.get(define(schema as Schema.Codec<unknown, unknown>, given), 1)
        }
        assert.strictEqual(loads, 1)
      })
    )
  }

  onEach(
    "may have another policy and another lookup",
    Effect.gen(function*() {
      loads = 0
      yield* Cached.get(define(Schema.Int, 1), 1)
      const other = Cached.make(
        "film",
        { key: Key.int("id"), value: Schema.Int, lookup: () => Effect.succeed(2) },
        Policy.ttl("1 minute")
      )
      assert.strictEqual(yield* Cached.get(other, 1), 1)
    })
  )

  // Effect cannot say what its JSON is, so nothing is stored as text.
  it.effect("may be of a schema that is built anew where it refers to itself [memory]", () =>
    Effect.provide(
      Effect.gen(function*() {
        loads = 0
        for (let i = 0; i < 3; i++) yield* Cached.get(define(endless(), { of: [{ of: [] }] }), 1)
        assert.strictEqual(loads, 1)
      }),
      memory
    ))

  onEach(
    "in another service of the same store is never given the values of the first",
    Effect.gen(function*() {
      const texts = define(Schema.String, "a")
      const numbers = define(Schema.Int, 1)
      for (let i = 0; i < 2; i++) {
        assert.strictEqual(yield* Cached.get(texts, 1), "a")
        assert.deepStrictEqual(yield* elsewhere(Cached.getOption(numbers, 1)), Option.none())
        assert.strictEqual(yield* elsewhere(Cached.get(numbers, 1)), 1)
        assert.deepStrictEqual(yield* elsewhere(Cached.getOption(numbers, 1)), Option.some(1))
      }
    })
  )
})
