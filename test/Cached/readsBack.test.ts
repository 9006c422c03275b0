/**
 * Stores that keep text: a value that would come back as another is served and
 * not stored, whoever reads it, and a healthy one of any kind is stored.
 */
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import { mostText } from "../../src/internal/limits.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { onText } from "../support/cached.ts"

/** A store that keeps text as one in production does: it does not compare each value. */
const production = Layer.fresh(
  CacheService.layer().pipe(
    Layer.provideMerge(
      Layer.effect(
        CacheStore.CacheStore,
        Effect.map(CacheStore.CacheStore, (store) => ({ ...store, compares: false }))
      ).pipe(Layer.provideMerge(TestCache.layerStore()))
    )
  )
)

/** What is logged while something runs. */
const logged = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") lines.push(String(message))
  })
  const result = yield* Effect.provide(effect, Logger.layer([logger]))
  return [result, lines] as const
})

/** A definition that gives what is asked for, one value after the other. */
const giving = <V>(name: string, value: Schema.Codec<V, unknown>, ...values: ReadonlyArray<V>) => {
  let loads = 0
  const cached = Cached.make(name, {
    key: Key.int("n"),
    value,
    lookup: (n) => Effect.sync(() => (loads++, values[n % values.length]!))
  }, Policy.forever)
  return { cached, loads: () => loads }
}

class Person extends Schema.Class<Person>("Person")({ name: Schema.String, born: Schema.Date }) {}

const Nullish = Schema.Struct({ a: Schema.NullishOr(Schema.String) })
const TextOrDate = Schema.Union([Schema.String, Schema.Date])

const changed: Record<string, readonly [Schema.Codec<never, unknown>, unknown, string]> = {
  "undefined where null is another": [Nullish as never, { a: undefined }, "undefined became null at [\"a\"]"],
  "a text beside a bigint": [Schema.Union([Schema.String, Schema.BigInt]) as never, "5", "a string became a bigint"],
  "a text beside a date": [TextOrDate as never, new Date(0), "a Date became a string"],
  "a text beside a number": [Schema.Union([Schema.String, Schema.Number]) as never, NaN, "NaN became a string"],
  "a number that is written as a text": [
    Schema.Struct({ l: Schema.Array(Schema.Union([Schema.String, Schema.NumberFromString])) }) as never,
    { l: ["a", 5] },
    "a number became a string at [\"l\"][1]"
  ],
  "a negative zero": [Schema.Struct({ x: Schema.Finite }) as never, { x: -0 }, "-0 became 0 at [\"x\"]"],
  "a negative zero in an option": [
    Schema.Option(Schema.Finite) as never,
    Option.some(-0),
    "-0 became 0 at [\"value\"]"
  ],
  "what a schema does not know": [Schema.Any as never, { of: new Set(["a"]) }, "a Set became an object at [\"of\"]"],
  "an invalid date": [
    Schema.Struct({ at: Schema.Date }) as never,
    { at: new Date(NaN) },
    "Expected a valid Date at [\"at\"]"
  ]
}

describe("a value that would come back as another", () => {
  for (const [name, [schema, value, because]] of Object.entries(changed)) {
    const test = Effect.gen(function*() {
      const { cached, loads } = giving("odd", schema as Schema.Codec<unknown, unknown>, value)
      const [read, lines] = yield* logged(Effect.all([Cached.get(cached, 0), Cached.get(cached, 0)]))
      // It is what was loaded, both times.
      assert.isTrue(Object.is(read[0], value) && Object.is(read[1], value))
      assert.strictEqual(loads(), 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      assert.include(lines.join("\n"), `odd:0 is served and not stored: ${because}`)
      const { because: why, stored } = yield* Cached.explain(cached, 0)
      assert.isFalse(stored)
      assert.match(why, /^nothing is stored; what was loaded 0 ms ago was not stored: /)
      assert.include(why, because)
      assert.strictEqual((yield* Cached.stats(cached)).unwritable, 2)
    })
    onText(`${name} is served and not stored`, test)
    it.effect(`${name} is served and not stored [as in production]`, () => Effect.provide(test, production))
  }

  const after = (schema: Schema.Codec<unknown, unknown>, healthy: unknown, odd: unknown) =>
    Effect.gen(function*() {
      const { cached } = giving("late", schema, ...Array.from({ length: 200 }, () => healthy), odd)
      const [, lines] = yield* logged(
        Effect.forEach(Array.from({ length: 201 }, (_, n) => n), (n) => Cached.get(cached, n))
      )
      return [(yield* TestCache.entries).length, lines.filter((line) => line.includes("not stored: ")).length]
    })

  it.effect("is found however late it comes where a union may change it [as in production]", () =>
    Effect.gen(function*() {
      const found = yield* after(Nullish as never, { a: null }, { a: undefined })
      assert.deepStrictEqual(found, [200, 1])
    }).pipe(Effect.provide(production)))

  it.effect("is not looked for any more elsewhere, once enough were right [as in production]", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* after(Schema.Finite as never, 1, -0), [201, 0])
    }).pipe(Effect.provide(production)))

  onText(
    "is found by a test cache in any case",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* after(Schema.Finite as never, 1, -0), [200, 1])
    })
  )

  it.effect("is looked for again after a text that cannot be read [as in production]", () =>
    Effect.gen(function*() {
      const values = Array.from({ length: 100 }, (_, n) => n < 99 ? 1 : -0)
      const { cached } = giving("again", Schema.Finite, ...values)
      yield* Effect.forEach(Array.from({ length: 99 }, (_, n) => n), (n) => Cached.get(cached, n))
      yield* TestCache.corrupt("again:0", "garbage")
      yield* Cached.get(cached, 0)
      const [, lines] = yield* logged(Cached.get(cached, 99))
      assert.deepStrictEqual(lines, ["again:99 is served and not stored: -0 became 0"])
    }).pipe(Effect.provide(production)))

  onText(
    "is told once a minute, and how many were not told",
    Effect.gen(function*() {
      const { cached } = giving("often", Schema.Finite, -0)
      const [, lines] = yield* logged(Effect.gen(function*() {
        for (let n = 0; n < 5; n++) yield* Cached.get(cached, n)
        yield* TestClock.adjust("1 minute")
        yield* Cached.get(cached, 5)
      }))
      assert.deepStrictEqual(lines, [
        "often:0 is served and not stored: -0 became 0",
        "often:5 is served and not stored: -0 became 0; 4 more of \"often\" since the last warning"
      ])
    })
  )

  onText(
    "says nothing of what it holds",
    Effect.gen(function*() {
      const secret = "4111-1111"
      const schema = Schema.Struct({ card: Schema.Redacted(Schema.Union([Schema.String, Schema.Date])), n: Schema.Int })
      const { cached } = giving("card", schema, { card: Redacted.make(new Date(2024, 1)), n: 1 }, {
        card: Redacted.make(secret),
        n: 1.5
      })
      const [, lines] = yield* logged(
        Effect.all([Cached.get(cached, 0), TestClock.adjust("1 hour"), Cached.get(cached, 1)])
      )
      assert.deepStrictEqual(lines.slice(-2).map((line) => line.includes("not stored")), [true, true])
      assert.notInclude(lines.join("\n"), secret)
      assert.notInclude(lines.join("\n"), "2024")
      assert.notInclude(lines.join("\n"), "1.5")
    })
  )

  onText(
    "is forgotten by explain once another of its key is stored",
    Effect.gen(function*() {
      let value = -0
      const cached = Cached.make("zero", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.sync(() => value)
      }, Policy.forever)
      yield* Cached.get(cached, undefined)
      value = 1
      yield* Cached.get(cached, undefined)
      yield* Cached.invalidate(cached, undefined)
      assert.notInclude((yield* Cached.explain(cached, undefined)).because, "not stored")
    })
  )
})

describe("a schema that writes two values alike", () => {
  const doubtful: Record<string, readonly [Schema.Top, ReadonlyArray<string>]> = {
    "undefined and null": [Nullish, ["null and undefined at [\"a\"]"]],
    "a text and a bigint": [Schema.Union([Schema.String, Schema.BigInt]), ["bigint and string"]],
    "a text and a date, in a list of a class": [
      Schema.Array(Schema.Struct({ when: TextOrDate })),
      ["string and a valid Date at [\"*\"][\"when\"]"]
    ],
    "nothing where a property may be absent": [Schema.Struct({ a: Schema.optional(Schema.NullOr(Schema.String)) }), []],
    "nothing of what is told apart": [
      Schema.Union([
        Schema.TaggedStruct("A", { at: Schema.Date }),
        Schema.TaggedStruct("B", { at: Schema.BigInt }),
        Schema.Literals(["a", "b"]),
        Schema.Null,
        Schema.Finite
      ]),
      []
    ]
  }
  for (const [name, [value, pairs]] of Object.entries(doubtful)) {
    it(`is described: ${name}`, () => {
      const cached = Cached.make("d", {
        key: Key.unit,
        value: value as Schema.Codec<unknown, unknown>,
        lookup: () => Effect.succeed(null)
      }, Policy.forever)
      assert.deepStrictEqual(Cached.describe(cached).ambiguous, pairs)
    })
  }

  onText(
    "is warned about once, before a value shows it",
    Effect.gen(function*() {
      const { cached, loads } = giving("film", Nullish, { a: null })
      const [, lines] = yield* logged(Effect.all([Cached.get(cached, 0), Cached.get(cached, 1), Cached.get(cached, 0)]))
      assert.deepStrictEqual(lines, [
        "the schema of \"film\" writes as the same text: null and undefined at [\"a\"]. " +
        "A value that would come back as another is served and not stored"
      ])
      assert.strictEqual(loads(), 2)
    })
  )
})

describe("healthy values", () => {
  const healthy: Record<string, readonly [Schema.Top, unknown]> = {
    "a date": [Schema.Date, new Date(1234)],
    "a moment in a time zone": [Schema.DateTimeZoned, DateTime.makeZonedUnsafe(0, { timeZone: "Europe/Rome" })],
    "an option in an option": [Schema.Option(Schema.Option(Schema.Int)), Option.some(Option.none())],
    "a map": [Schema.ReadonlyMap(Schema.String, Schema.Date), new Map([["b", new Date(1)], ["a", new Date(2)]])],
    "a set": [Schema.ReadonlySet(Schema.BigInt), new Set([3n, 1n])],
    "a hash map": [Schema.HashMap(Schema.Int, Schema.String), HashMap.make([2, "two"], [1, "one"])],
    "a chunk": [Schema.Chunk(Schema.Int), Chunk.append(Chunk.make(1, 2), 3)],
    "a class": [Person, new Person({ name: "Ada", born: new Date(0) })],
    "a bigint": [Schema.BigInt, -(2n ** 80n)],
    "a decimal": [Schema.BigDecimal, BigDecimal.fromStringUnsafe("1.50")],
    "a secret": [Schema.Redacted(Schema.String), Redacted.make("x")],
    "a duration": [Schema.Duration, Duration.seconds(90)],
    "a branded number": [Schema.Int.pipe(Schema.brand("Id")), 7],
    "an absent optional key": [Schema.Struct({ a: Schema.optionalKey(Schema.String) }), {}],
    "an optional property that is undefined": [Schema.Struct({ a: Schema.optional(Schema.String) }), { a: undefined }],
    "undefined alone": [Schema.Struct({ a: Schema.UndefinedOr(Schema.String) }), { a: undefined }],
    "infinity and no number": [Schema.Array(Schema.Number), [Infinity, -Infinity, NaN, 0, 1.5]],
    "bytes": [Schema.Uint8Array, new Uint8Array([0, 255])],
    "a result": [Schema.Result(Schema.Int, Schema.String), Result.fail("no")],
    "a row with columns that the schema leaves out": [Schema.Struct({ id: Schema.Int }), {
      id: 1,
      more: "x",
      f: () => 1
    }],
    "an instance where a struct is asked for": [
      Schema.Struct({ name: Schema.String, born: Schema.Date }),
      new Person({ name: "Ada", born: new Date(0) })
    ],
    "an address": [Schema.URL, new URL("https://example.org/a")],
    "nothing": [Schema.Void, undefined],
    "a text beside a bigint that it cannot be": [Schema.Union([Schema.String, Schema.BigInt]), "five"]
  }
  for (const [name, [schema, value]] of Object.entries(healthy)) {
    onText(
      `${name} is stored`,
      Effect.gen(function*() {
        const { cached, loads } = giving("healthy", schema as Schema.Codec<unknown, unknown>, value)
        // What can be seen of a moment changes when it is first looked at.
        if (DateTime.isDateTime(value)) DateTime.toParts(value)
        yield* Effect.all([Cached.get(cached, 0), Cached.get(cached, 0)])
        assert.deepStrictEqual([loads(), (yield* TestCache.entries).length], [1, 1])
      })
    )
  }
})

it.effect("a value whose text is longer than a store should be given is served and not stored, and a warning says so", () =>
  Effect.gen(function*() {
    const [largest, larger] = [mostText, mostText + 1].map((length) => {
      const { cached, loads } = giving(`text of ${length}`, Schema.String, "x".repeat(length - `""`.length))
      return { loads, read: Effect.andThen(Cached.get(cached, 1), Effect.asVoid(Cached.get(cached, 1))) }
    })
    const [, lines] = yield* logged(Effect.andThen(largest!.read, larger!.read))
    assert.deepStrictEqual([largest!.loads(), larger!.loads()], [1, 2])
    assert.deepStrictEqual(lines, [
      `text of ${mostText + 1}:1 is served and not stored: ` +
      `its text has ${mostText + 1} characters, and ${mostText} is the most`
    ])
  }).pipe(Effect.provide(production)))
