/**
 * What is written to Redis and read again: values of many kinds and sizes,
 * hostile names, and garbage of every kind, which is a miss and nothing worse.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { both, type Client, keysUnder, Origin, places, promise, start, until, type Way } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const on = (
  way: Way,
  name: string,
  test: (world: {
    readonly prefix: string
    readonly client: Client
    readonly process: (more?: Parameters<Way["layer"]>[0]) => ReturnType<typeof start>
  }) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  it.live(name, () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* way.look
      yield* test({ prefix, client, process: (more = {}) => start(way.layer({ prefix, ...more })) }) as Effect.Effect<
        void,
        never,
        Scope.Scope
      >
    }))

// -----------------------------------------------------------------------------
// values
// -----------------------------------------------------------------------------

const Shape = Schema.Union([
  Schema.TaggedStruct("Circle", { radius: Schema.Finite }),
  Schema.TaggedStruct("Group", {
    of: Schema.Array(Schema.Union([Schema.String, Schema.Tuple([Schema.Int, Schema.Null])]))
  })
])

class Person extends Schema.Class<Person>("Person")({ name: Schema.String, born: Schema.Date }) {}

const Everything = Schema.Struct({
  at: Schema.Date,
  map: Schema.ReadonlyMap(Schema.String, Schema.BigInt),
  hash: Schema.HashMap(Schema.Int, Schema.String),
  some: Schema.Option(Schema.Option(Schema.Int)),
  none: Schema.Option(Schema.String),
  big: Schema.BigInt,
  bytes: Schema.Uint8Array,
  shapes: Schema.Array(Shape),
  person: Person,
  maybe: Schema.optionalKey(Schema.String),
  nothing: Schema.NullOr(Schema.String),
  text: Schema.String,
  negative: Schema.Number
})

const everything: typeof Everything.Type = {
  at: new Date(1234567890123),
  map: new Map([["a", 1n], ["", -(2n ** 80n)]]),
  hash: HashMap.make([1, "one"], [-2, "two"]),
  some: Option.some(Option.some(3)),
  none: Option.none(),
  big: 12345678901234567890123n,
  bytes: new Uint8Array([0, 255, 10, 13]),
  shapes: [{ _tag: "Circle", radius: 1.5 }, { _tag: "Group", of: ["a\nb", [1, null]] }],
  person: new Person({ name: "Ada", born: new Date(0) }),
  nothing: null,
  text: "line\nline\r\n\u0000\u2028 \ud83d\ude00 \"quoted\" {a}",
  negative: -0.5
}

const once = <V>(
  name: string,
  value: Schema.Codec<V, unknown>,
  given: V,
  policy: Policy.Policy<string, V> = Policy.forever
) => {
  const state = { loads: 0 }
  const cached = Cached.make(name, {
    key: Key.string("of"),
    value,
    lookup: () =>
      Effect.sync(() => {
        state.loads++
        return given
      })
  }, policy)
  return { state, cached }
}

for (const way of both) {
  describe(`values, on ${way.name}`, () => {
    on(
      way,
      "of every kind come back as they were, also without the schema's checks",
      ({ process }) =>
        Effect.gen(function*() {
          const writer = yield* process()
          for (const trusted of [false, true]) {
            const reader = yield* process({ trusted })
            const { cached, state } = once("everything", Everything, everything)
            yield* writer.run(Cached.get(cached, "a"))
            const loads = state.loads
            const back = yield* reader.run(Cached.get(cached, "a"))
            assert.strictEqual(state.loads, loads)
            assert.isTrue(Equal.equals(back, everything), JSON.stringify(Object.keys(back)))
            assert.deepStrictEqual([...back.map], [...everything.map])
            assert.deepStrictEqual([...back.bytes], [0, 255, 10, 13])
            assert.instanceOf(back.person, Person)
            assert.strictEqual(back.at.getTime(), everything.at.getTime())
            const { hits, unreadable } = yield* reader.run(Cached.stats(cached))
            assert.deepStrictEqual({ hits, unreadable }, { hits: 1, unreadable: 0 })
          }
        })
    )

    on(
      way,
      "that would come back as others are served and not stored",
      ({ client, prefix, process }) =>
        Effect.gen(function*() {
          const odd = [
            once("nickname", Schema.Struct({ a: Schema.NullishOr(Schema.String) }), { a: undefined }),
            once("when", Schema.Union([Schema.String, Schema.Date]), new Date(0)),
            once("zero", Schema.Finite, -0)
          ]
          for (const { cached, state } of odd) {
            const values = []
            for (const one of [yield* process(), yield* process()]) {
              values.push(yield* one.run(Cached.get(cached as Cached.Cached<string, unknown>, "a")))
            }
            assert.isTrue(Object.is(values[0], values[1]))
            assert.strictEqual(state.loads, 2)
          }
          assert.notInclude((yield* keysUnder(client, prefix)).join(" "), ":e:")
        })
    )

    on(way, "of five megabytes", ({ process }) =>
      Effect.gen(function*() {
        const text = "\u00e4{}\n0123456789".repeat(380_000)
        const { cached, state } = once("large", Schema.String, text, Policy.tagged("large"))
        const [writer, reader] = [
          yield* process(),
          yield* process()
        ]
        yield* writer.run(Cached.get(cached, "a"))
        assert.isTrue((yield* reader.run(Cached.get(cached, "a"))) === text)
        assert.isTrue((yield* reader.run(Cached.get(cached, "a"))) === text)
        assert.strictEqual(state.loads, 1)
        yield* writer.run(Cached.apply(Invalidation.tags("large")))
        yield* reader.run(Cached.get(cached, "a"))
        assert.strictEqual(state.loads, 2)
      }))

    on(
      way,
      "written by another version of the schema are misses, and not unreadable",
      ({ process }) =>
        Effect.gen(function*() {
          const old = once("thing", Schema.Struct({ a: Schema.Int }), { a: 1 })
          const later = once("thing", Schema.Struct({ a: Schema.Union([Schema.Int, Schema.String]) }), { a: "x" })
          const [one, two] = [yield* process(), yield* process({ trusted: true })]
          for (const [process, { cached, state }, other] of [[one, old, later], [two, later, old]] as const) {
            const before = other.state.loads
            const loads = state.loads
            yield* process.run(Cached.get(cached as Cached.Cached<string, { a: unknown }>, "k"))
            assert.strictEqual(state.loads, loads + 1)
            assert.strictEqual(other.state.loads, before)
          }
          assert.strictEqual((yield* one.run(Cached.get(old.cached, "k"))).a, 1)
          assert.strictEqual(old.state.loads, 2)
        })
    )

    on(way, "that are known to be absent", ({ process }) =>
      Effect.gen(function*() {
        class Missing extends Schema.TaggedError<Missing>()("Missing", { id: Schema.String }) {}
        let loads = 0
        const cached = Cached.make("missing", {
          key: Key.string("of"),
          value: Schema.String,
          lookup: (id) => Effect.suspend(() => Effect.fail(new Missing({ id: `${id}${++loads}` }))),
          failures: { error: Missing, policy: Policy.ttl("1 minute") }
        }, Policy.forever)
        for (const one of [yield* process(), yield* process()]) {
          const error = yield* Effect.flip(one.run(Cached.get(cached, "a")))
          assert.instanceOf(error, Missing)
          assert.strictEqual(error.id, "a1")
        }
      }))
  })
}

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

const hostile = [
  "",
  "*",
  "?",
  "[a]",
  "[^a]",
  "{",
  "}",
  "{}",
  "{a}",
  "}{",
  ":",
  "::",
  "a:b",
  "a",
  "b",
  "a*",
  "\\",
  "\\*",
  "^",
  "\n",
  "a\nb",
  "\r\n",
  " ",
  "\t",
  "%",
  "%2A",
  "%3A",
  "%u2028",
  "\u2028",
  "\u0000",
  "\ud800",
  "\udc00",
  "\ud800a",
  "\ufffd",
  "\ud83d\ude00",
  "e\u0301",
  "\u00e9",
  "/",
  "!",
  "=",
  "|",
  "\"",
  "x".repeat(10_240),
  `${"x".repeat(10_239)}y`,
  "*".repeat(10_240),
  "\u00e9".repeat(5_000),
  "0",
  "-0",
  "null",
  "A\n",
  ",",
  "a,b"
]

for (const way of both) {
  describe(`names, on ${way.name}`, () => {
    on(
      way,
      "hostile keys and tags collide with nothing, and a pattern means only what it says",
      ({ client, prefix, process }) =>
        Effect.gen(function*() {
          const state = { version: 0, loads: 0 }
          // A tag is not empty.
          const tagOf = (a: string) => a === "" ? "''" : a
          const key = Key.struct({ a: Key.string("a"), b: Key.string("b") })
          const cached = Cached.make(
            "na*me:{x}",
            {
              key,
              value: Schema.String,
              lookup: ({ a, b }) =>
                Effect.sync(() => {
                  state.loads++
                  return `${state.version} ${JSON.stringify([a, b])}`
                })
            },
            Policy.all(
              Policy.tagged(({ a }: { a: string; b: string }) => [tagOf(a)]),
              Policy.tagged({ fromValue: (_: string, { a }: { a: string; b: string }) => [`${a} found`] })
            )
          )
          const decoy = once("na", Schema.String, "decoy")
          const one = yield* process()
          const keys = hostile.flatMap((a) => [{ a, b: "*" }, { a, b: "1" }])
          const expected = (version: number, { a, b }: { a: string; b: string }) =>
            `${version} ${JSON.stringify([a, b])}`
          const all = Effect.forEach(keys, (key) => one.run(Cached.get(cached, key)), { concurrency: 32 })
          yield* one.run(Cached.get(decoy.cached, "me"))
          assert.deepStrictEqual(yield* all, keys.map((key) => expected(0, key)))
          assert.deepStrictEqual(yield* all, keys.map((key) => expected(0, key)))
          assert.strictEqual(state.loads, keys.length)
          const stored = (yield* keysUnder(client, `${prefix}:e`)).length
          assert.strictEqual(stored, keys.length + 1)
          // Each way of naming reaches its own and nobody else.
          const ways: ReadonlyArray<
            readonly [string, (a: string) => Invalidation.Invalidation, ReadonlyArray<string>]
          > = [
            ["a known tag", (a) => Invalidation.tags(tagOf(a)), ["*", "1"]],
            ["a found tag", (a) => Invalidation.tags(`${a} found`), ["*", "1"]],
            ["a key", (a) => Cached.invalidation(cached, [{ a, b: "*" }]), ["*"]],
            ["a pattern over the first", (a) => Cached.pattern(cached, { a }), ["*", "1"]]
          ]
          for (const [what, batch, reaches] of ways) {
            for (const a of hostile.filter((_, i) => what === "a known tag" || i % 10 === 0)) {
              const { loads } = state
              yield* one.run(Cached.apply(batch(a)))
              yield* all
              assert.strictEqual(state.loads, loads + reaches.length, `${what}: ${JSON.stringify(a.slice(0, 20))}`)
            }
          }
          const { loads } = state
          yield* one.run(Cached.apply(Cached.pattern(cached, { b: "*" })))
          yield* all
          assert.strictEqual(state.loads, loads + hostile.length)
          assert.strictEqual(decoy.state.loads, 1)
          yield* one.run(Cached.get(decoy.cached, "me"))
          assert.strictEqual(decoy.state.loads, 1)
        })
    )
  })
}

// -----------------------------------------------------------------------------
// garbage
// -----------------------------------------------------------------------------

const Row = Schema.Struct({ id: Schema.String, version: Schema.Int })

const rows = () => {
  const state = { version: 1, loads: 0 }
  const cached = Cached.make(
    "row",
    {
      key: Key.string("id"),
      value: Row,
      lookup: (id) =>
        Effect.sync(() => {
          state.loads++
          return { id, version: state.version }
        }),
      waitLimit: "50 millis"
    },
    Policy.all(
      Policy.ttl("1 hour"),
      Policy.tagged((id: string) => [id]),
      Policy.tagged({ fromValue: (_: typeof Row.Type, id: string) => [`found ${id}`] })
    )
  )
  return { state, cached }
}

/** Puts something of every type under a key. */
const types: Record<string, (client: Client, key: string) => Promise<unknown>> = {
  "a list": (client, key) => client.lpush(key, "a", "b"),
  "a set": (client, key) => client.sadd(key, "a", "b"),
  "a sorted set": (client, key) => client.zadd(key, 1, "a", "inf", "b"),
  "a hash": (client, key) => client.hset(key, "a", "b"),
  "a stream": (client, key) => client.xadd(key, "*", "a", "b"),
  "an empty text": (client, key) => client.set(key, ""),
  "a line": (client, key) => client.set(key, "garbage"),
  "a number": (client, key) => client.set(key, "99999999999999999999999999"),
  "lines": (client, key) => client.set(key, "B\n\n\n\n\n"),
  "a letter": (client, key) => client.set(key, "B"),
  "a long line": (client, key) => client.set(key, "B".repeat(100_000)),
  "an open lease": (client, key) => client.set(key, "0"),
  "a lease with garbage": (client, key) => client.set(key, "0somebody\ngarbage\n \n  \nno token"),
  "binary": (client, key) => client.set(key, Buffer.from([0, 255, 254, 10, 128, 10, 10, 10])),
  "a token that is not UTF-8": (client, key) => client.set(key, Buffer.from([66, 255, 10, 128, 10, 10, 10])),
  "commas": (client, key) => client.set(key, ",,,"),
  "slashes": (client, key) => client.set(key, "///")
}

for (const way of both) {
  describe(`garbage, on ${way.name}`, () => {
    const things = {
      "the entry": (at: ReturnType<typeof places>) => [at.entry("row:a")],
      "the lease": (at: ReturnType<typeof places>) => [at.lease("row:a")],
      "the markers": (at: ReturnType<typeof places>) => ["a", "found a"].map((tag) => at.marker(Dependency.tag(tag))),
      "the journal": (at: ReturnType<typeof places>) => [at.journal],
      "the fences": (at: ReturnType<typeof places>) => [at.fences]
    }
    for (const [what, where] of Object.entries(things)) {
      on(
        way,
        `in place of ${what} costs loads and nothing else`,
        ({ client, prefix, process }) =>
          Effect.gen(function*() {
            const one = yield* process({ failures: 1_000_000 })
            const other = yield* process({ failures: 1_000_000 })
            const keys = where(places(prefix))
            for (const [kind, put] of Object.entries(types)) {
              const { cached, state } = rows()
              yield* one.run(Cached.invalidate(cached, "a"))
              const garble = promise(async () => {
                for (const key of keys) {
                  await client.del(key)
                  await put(client, key)
                }
              })
              const value = () => ({ id: "a", version: state.version })
              // Before anything is known, and when it is remembered.
              for (const before of [Effect.void, one.run(Cached.get(cached, "a"))]) {
                yield* before
                yield* garble
                assert.deepStrictEqual(yield* one.run(Cached.get(cached, "a")), value(), kind)
                assert.deepStrictEqual(yield* other.run(Cached.get(cached, "a")), value(), kind)
                yield* garble
                yield* one.run(Cached.explain(cached, "a"))
              }
              // An invalidation among garbage holds.
              for (
                const batch of [
                  Invalidation.tags("a"),
                  Invalidation.tags("found a"),
                  Cached.invalidation(cached, ["a"]),
                  Cached.pattern(cached, {})
                ]
              ) {
                // A soft one takes the same way, but for keys.
                for (const soft of batch.keys.size > 0 ? [false, true] : [false]) {
                  yield* other.run(Cached.get(cached, "a"))
                  yield* garble
                  state.version++
                  const exit = yield* Effect.exit(one.run(Cached.apply(soft ? Invalidation.soft(batch) : batch)))
                  assert.isTrue(Exit.isSuccess(exit), `${kind}: ${batch}`)
                  if (soft) {
                    yield* until("it is new", () =>
                      Effect.runPromise(other.run(Cached.get(cached, "a"))).then(({ version }) =>
                        version === state.version
                      ))
                  }
                  assert.deepStrictEqual(yield* other.run(Cached.get(cached, "a")), value(), `${kind}: ${batch}`)
                }
              }
              // It heals: after an invalidation of all of it, one load is enough.
              yield* promise(() =>
                Promise.all(keys.map((key) =>
                  client.del(key)
                ))
              )
              yield* one.run(
                Cached.apply(
                  Invalidation.combine(Cached.invalidation(cached, ["a"]), Invalidation.tags(["a", "found a"]))
                )
              )
              yield* one.run(Cached.get(cached, "a"))
              const { loads } = state
              yield* other.run(Cached.get(cached, "a"))
              assert.strictEqual(state.loads, loads, `${kind} heals`)
            }
          })
      )
    }

    on(way, "a write behind a fence goes through garbage", ({ client, prefix, process }) =>
      Effect.gen(function*() {
        const one = yield* process({ failures: 1_000_000 })
        const at = places(prefix)
        for (const [kind, put] of Object.entries(types)) {
          for (const key of [at.journal, at.fences]) {
            const { cached, state } = rows()
            yield* one.run(Cached.get(cached, "a"))
            yield* promise(() => client.del(key).then(() => put(client, key)))
            const write = Effect.sync(() => state.version++)
            const exit = yield* Effect.exit(one.run(Cached.mutate(write, Invalidation.tags("found a"))))
            assert.isTrue(Exit.isSuccess(exit), `${kind} at ${key.slice(prefix.length)}: ${exit}`)
            assert.strictEqual((yield* one.run(Cached.get(cached, "a"))).version, state.version, kind)
            yield* one.run(Cached.invalidate(cached, "a"))
          }
        }
      }))

    on(
      way,
      "an entry that is cut at any byte is a miss, and is counted",
      ({ client, prefix, process }) =>
        Effect.gen(function*() {
          const one = yield* process({ failures: 1_000_000 })
          const { cached, state } = rows()
          yield* one.run(Cached.get(cached, "a"))
          const key = places(prefix).entry("row:a")
          const whole = yield* promise(() => client.getBuffer(key))
          assert(whole !== null)
          for (let length = 1; length < whole.length; length++) {
            yield* promise(() => client.set(key, whole.subarray(0, length)))
            const { loads } = state
            const { unreadable } = yield* one.run(Cached.stats(cached))
            assert.deepStrictEqual(yield* one.run(Cached.get(cached, "a")), { id: "a", version: 1 })
            assert.strictEqual(state.loads, loads + 1, `cut at ${length}`)
            assert.strictEqual((yield* one.run(Cached.stats(cached))).unreadable, unreadable + 1, `cut at ${length}`)
            yield* one.run(Cached.get(cached, "a"))
            assert.strictEqual(state.loads, loads + 1, `cut at ${length}: it does not heal`)
          }
        })
    )

    on(
      way,
      "an entry of an earlier release is a miss, and no invalidation fails on it",
      ({ client, prefix, process }) =>
        Effect.gen(function*() {
          const one = yield* process({ failures: 1_000_000 })
          const { cached, state } = rows()
          yield* one.run(Cached.get(cached, "a"))
          const key = places(prefix).entry("row:a")
          const whole = yield* promise(() => client.get(key))
          assert(whole !== null)
          const [head = "", vector = "", line = "", payload = ""] = whole.split("\n")
          const facts = JSON.parse(line) as ReadonlyArray<unknown>
          assert.lengthOf(facts, 9)
          const written = (letter: string, all: ReadonlyArray<unknown>) =>
            [`${letter}${head.slice(1)}`, vector, JSON.stringify(all), payload].join("\n")
          // Its facts had no end; and where they had one of parts, it stood where the end stands now.
          const until = Date.now() + 3_600_000
          const old = [facts.slice(0, 8), [...facts.slice(0, 8), until]].flatMap((all) => [
            written("A", all),
            written("a", all)
          ])
          assert.notStrictEqual(written("B", facts), written("A", facts))
          assert.strictEqual(written("B", facts), whole)
          for (const text of [...old, written("A", facts), written("B", facts.slice(0, 8))]) {
            const put = promise(() => client.set(key, text))
            yield* put
            const inspected = yield* one.service.store.inspect({ key: "row:a", known: [] })
            assert.isUndefined(inspected.entry?.payload, text)
            const { loads } = state
            const { unreadable } = yield* one.run(Cached.stats(cached))
            assert.deepStrictEqual(yield* one.run(Cached.get(cached, "a")), { id: "a", version: state.version })
            assert.strictEqual(state.loads, loads + 1, text)
            assert.strictEqual((yield* one.run(Cached.stats(cached))).unreadable, unreadable + 1, text)
            yield* one.run(Cached.get(cached, "a"))
            assert.strictEqual(state.loads, loads + 1, `it does not heal: ${text}`)
            for (
              const batch of [
                Cached.invalidation(cached, ["a"]),
                Invalidation.soft(Cached.invalidation(cached, ["a"])),
                Invalidation.tags(["a", "found a"]),
                Cached.pattern(cached, {})
              ]
            ) {
              yield* put
              state.version++
              yield* one.run(Cached.apply(batch))
              assert.strictEqual((yield* one.run(Cached.get(cached, "a"))).version, state.version, `${batch}: ${text}`)
            }
          }
          assert.strictEqual((yield* one.run(Cached.stats(cached))).storeFailures, 0)
        })
    )

    for (const bits of [1, 0x80]) {
      on(
        way,
        `an entry with a byte that is not what it was (xor ${bits}) is never a defect, and heals`,
        ({ client, prefix, process }) =>
          Effect.gen(function*() {
            const one = yield* process({ failures: 1_000_000 })
            const { cached, state } = rows()
            yield* one.run(Cached.get(cached, "a"))
            const key = places(prefix).entry("row:a")
            const whole = yield* promise(() => client.getBuffer(key))
            assert(whole !== null)
            for (let i = 0; i < whole.length; i++) {
              const garbled = Buffer.from(whole)
              garbled[i]! ^= bits
              yield* promise(() => client.set(key, garbled))
              const value = yield* one.run(Cached.get(cached, "a"))
              assert.isTrue(Schema.is(Row)(value), `${i}`)
              yield* one.run(Cached.get(cached, "a"))
              const { loads } = state
              yield* one.run(Cached.get(cached, "a"))
              assert.strictEqual(
                state.loads,
                loads,
                `byte ${i} of ${JSON.stringify(whole.toString())}: it does not heal`
              )
            }
            const { storeFailures } = yield* one.run(Cached.stats(cached))
            assert.strictEqual(storeFailures, 0)
          })
      )
    }

    on(
      way,
      "numbers that are too large hold up no invalidation",
      ({ client, prefix, process }) =>
        Effect.gen(function*() {
          const one = yield* process({ failures: 1_000_000 })
          const at = places(prefix)
          for (const score of ["1e15", "1e17", "1e300", "inf", "-inf"]) {
            const origin = new Origin()
            const cached = Cached.make("number", {
              key: Key.string("of"),
              value: Schema.Int,
              lookup: () => origin.load
            }, Policy.tagged({ fromValue: (__: number) => ["found"] }))
            yield* one.run(Cached.get(cached, "warm"))
            yield* promise(() => client.zadd(at.journal, score, "=garbage"))
            origin.hold()
            const { loads } = origin
            const reader = yield* Effect.forkChild(one.run(Cached.get(cached, "a")))
            yield* origin.begun(loads + 1)
            origin.version++
            yield* one.run(Cached.apply(Invalidation.tags("found")))
            yield* origin.release
            yield* Fiber.join(reader)
            assert.strictEqual(yield* one.run(Cached.get(cached, "a")), origin.version, score)
            yield* one.run(Cached.invalidate(cached, "a"))
          }
          // A fence that never ends, and those that are none.
          const { cached } = rows()
          yield* promise(() =>
            client.hset(at.fences, { a: "99999999999999999999 {}", b: "-1 {}", c: "1e400 x", d: "", "": "nan" })
          )
          assert.strictEqual((yield* one.run(Cached.get(cached, "a"))).id, "a")
          assert.strictEqual((yield* one.run(Cached.get(cached, "a"))).id, "a")
        })
    )

    on(way, "what is published by others is heard or ignored", ({ client, prefix, process }) =>
      Effect.gen(function*() {
        const one = yield* process()
        const { cached } = rows()
        for (
          const message of [
            "",
            " ",
            "x",
            "x {",
            "x {}",
            "x null",
            "x [1]",
            "x {\"k\":[[1]]}",
            "x {\"k\":[],\"d\":[],\"p\":[[1,2,3]],\"e\":\"\"}"
          ]
        ) {
          yield* promise(() => client.publish(`${prefix}:invalidated`, message))
          yield* promise(() => client.publish(`${prefix}:released`, message))
        }
        assert.strictEqual((yield* one.run(Cached.get(cached, "a"))).id, "a")
        assert.strictEqual((yield* CacheService.undelivered.pipe(one.run)).length, 0)
      }))
  })
}
