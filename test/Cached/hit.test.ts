import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, elsewhere, Film, numbers, onEach, Origin } from "../support/cached.ts"

describe("a miss and a hit", () => {
  onEach(
    "a miss loads and stores; a hit does not load",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      origin.value = 2
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 1)
      assert.deepStrictEqual((yield* TestCache.entries).map(({ key }) => key), ["number:a"])
      yield* assertQuiet
    })
  )

  onEach(
    "an empty text is a key like others: a search for nothing",
    Effect.gen(function*() {
      const found = Cached.make("search", {
        key: Key.struct({ q: Key.string("q"), page: Key.int("page") }),
        value: Schema.String,
        lookup: ({ q }) => Effect.sync(() => (loads++, `found for "${q}"`))
      }, Policy.forever)
      let loads = 0
      const all = Effect.forEach(["", "tea"], (q) => Cached.get(found, { q, page: 1 }))
      assert.deepStrictEqual(yield* all, ["found for \"\"", "found for \"tea\""])
      yield* all
      assert.strictEqual(loads, 2)
      yield* Cached.apply(Cached.pattern(found, { q: "" }))
      yield* all
      assert.strictEqual(loads, 3)
      yield* Cached.invalidate(found, { q: "", page: 1 })
      yield* all
      assert.strictEqual(loads, 4)
      assert.strictEqual(
        (yield* Cached.explain(found, { q: "", page: 1 })).toString().split("\n")[0],
        "search::1 is Fresh: all of its policy holds"
      )
    })
  )

  onEach(
    "each key has a value of its own",
    Effect.gen(function*() {
      let loads = 0
      const squares = Cached.make("square", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.sync(() => (loads++, n * n))
      }, Policy.forever)
      assert.deepStrictEqual(yield* Effect.forEach([2, 3, 2, 3], (n) => Cached.get(squares, n)), [4, 9, 4, 9])
      assert.strictEqual(loads, 2)
    })
  )

  onEach(
    "two definitions with keys that are written alike do not meet",
    Effect.gen(function*() {
      // A definition without key parts is stored under its name alone, which is escaped like a part.
      const plain = Cached.make("a", {
        key: Key.string("k"),
        value: Schema.String,
        lookup: (k) => Effect.succeed(`part ${k}`)
      }, Policy.forever)
      const odd = Cached.make(
        "a:b",
        { key: Key.unit, value: Schema.String, lookup: () => Effect.succeed("unit") },
        Policy.forever
      )
      const parts = Cached.make("a", {
        key: Key.struct({ x: Key.string("x"), y: Key.string("y") }),
        value: Schema.String,
        lookup: ({ x, y }) => Effect.succeed(`${x} and ${y}`)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(odd, undefined), "unit")
      assert.strictEqual(yield* Cached.get(plain, "b"), "part b")
      assert.strictEqual(yield* Cached.get(odd, undefined), "unit")
      assert.strictEqual(yield* elsewhere(Cached.get(parts, { x: "b", y: "c" })), "b and c")
      assert.strictEqual(yield* Cached.get(plain, "b:c"), "part b:c")
    })
  )

  onEach(
    "all keys of a definition without key parts are covered by its pattern",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = Cached.make(
        "a: b",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      yield* Cached.get(cached, undefined)
      assert.strictEqual((yield* Cached.apply(Cached.pattern(cached))).entries, 1)
      yield* Cached.get(cached, undefined)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "get is data-last too, and a definition can be read again and again",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const once = numbers(origin, Policy.forever).pipe(Cached.get("a"))
      assert.deepStrictEqual([yield* once, yield* once], [1, 1])
    })
  )

  onEach(
    "a value with a rich schema comes back as it went in",
    Effect.gen(function*() {
      const Rich = Schema.Struct({
        at: Schema.Date,
        tags: Schema.ReadonlySet(Schema.String),
        film: Schema.Option(Film)
      })
      const value: typeof Rich.Type = { at: new Date(5), tags: new Set(["a"]), film: Option.none() }
      const cached = Cached.make(
        "rich",
        { key: Key.unit, value: Rich, lookup: () => Effect.succeed(value) },
        Policy.forever
      )
      yield* Cached.get(cached, undefined)
      const again = yield* Cached.get(cached, undefined)
      assert.strictEqual(again.at.getTime(), 5)
      assert.deepStrictEqual([...again.tags], ["a"])
      assert.isTrue(Option.isNone(again.film))
    })
  )
})

describe("what is remembered for speed", () => {
  it.effect("a store that answers at once is asked once for a hit, however near its end the entry is", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      let reads = 0
      const service = yield* CacheService.make({
        ...store,
        read: (address) => {
          reads++
          return store.read(address)
        }
      })
      const origin = new Origin(1)
      const load = Effect.delay(origin.load, 1000)
      const policy = Policy.all(Policy.ttl<string, number>(60_000), Policy.xfetch())
      const cached = Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => load }, policy)
      const get = Effect.provideService(Cached.get(cached, "a"), CacheService.CacheService, service)
      const first = yield* Effect.forkChild(get)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(first)
      // Fresh whatever is drawn; then fresh unless a draw says otherwise.
      for (const wait of [10_000, 20_000, 10_000]) {
        yield* TestClock.adjust(wait)
        reads = 0
        assert.strictEqual(yield* get, 1)
        assert.strictEqual(reads, 1)
      }
    }))

  it.effect("what is fresh for ever asks for no time, by itself or as one of many", () =>
    Effect.gen(function*() {
      const cached = Cached.make(
        "number",
        { key: Key.int("n"), value: Schema.Int, lookup: (n) => Effect.succeed(n) },
        Policy.forever
      )
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), [1, 2])
      let asked = 0
      const clock = yield* Clock.Clock
      const counting = new Proxy(clock, { get: (it, name) => (asked++, Reflect.get(it, name, it)) })
      const hits = Effect.all([Cached.get(cached, 1), Cached.getMany(cached, [2, 1, 2])])
      assert.deepStrictEqual(yield* Effect.provideService(hits, Clock.Clock, counting), [1, [2, 1, 2]])
      assert.strictEqual(asked, 0)
      // What is missing beside hits is loaded.
      assert.deepStrictEqual(yield* Cached.getMany(cached, [3, 1, 4]), [3, 1, 4])
      const { hits: counted, loads } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ counted, loads }, { counted: 4, loads: 4 })
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a key that a function writes is written anew at each read", () =>
    Effect.gen(function*() {
      let tenant = "a"
      const cached = Cached.make("tenants", {
        key: Key.contramap(Key.string("id"), (id: string) => tenant + id),
        value: Schema.String,
        lookup: () => Effect.sync(() => `of ${tenant}`)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(cached, "1"), "of a")
      tenant = "b"
      assert.strictEqual(yield* Cached.get(cached, "1"), "of b")
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("an invalidation marks what it removes, however many there are", () =>
    Effect.gen(function*() {
      const cached = Cached.make("many", {
        key: Key.int("n"),
        value: Schema.Int,
        lookup: (n) => Effect.succeed(n)
      }, Policy.tagged("all"))
      const all = Array.from({ length: 3001 }, (_, n) => n)
      yield* Cached.getMany(cached, all)
      const { store } = yield* CacheService.CacheService
      const held = yield* store.read({ key: Cached.keyOf(cached, 0), known: [] })
      yield* Cached.apply(Invalidation.tags("all"))
      assert.strictEqual(held?.changed?.size, 1)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10_000 }))))
})
