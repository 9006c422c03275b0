import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, Schema } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"

describe("metrics", () => {
  const counted = (name: string) =>
    Cached.make(name, { key: Key.int("n"), value: Schema.Finite, lookup: (n) => Effect.succeed(n) }, Policy.forever)

  const counts = [
    "hits",
    "misses",
    "loads",
    "staleServed",
    "refreshes",
    "coalesced",
    "refused",
    "loadFailures"
  ] as const

  const count = (definition: Cached.Any, counter: typeof counts[number]) =>
    Effect.map(Metric.value(Cached.metric(definition, counter)), ({ count }) => count)

  const registry = Effect.provideServiceEffect(Metric.MetricRegistry, Effect.sync(() => new Map()))

  const series = (name: string, id = "effect_cache_hits") =>
    Effect.map(Metric.snapshot, (all) => all.filter((one) => one.id === id && one.attributes?.["cache"] === name))

  const memory = () => Layer.fresh(MemoryCache.layer({ capacity: 10 }))

  it.effect("tell what stats tells", () =>
    Effect.gen(function*() {
      const one = counted("one")
      const hits = Cached.metric(one, "hits")
      assert.strictEqual((yield* Metric.value(hits)).count, 0)
      for (const n of [1, 1, 1, 2, 3]) yield* Cached.get(one, n)
      const stats = yield* Cached.stats(one)
      for (const counter of counts) assert.strictEqual(yield* count(one, counter), stats[counter], counter)
      assert.deepStrictEqual([stats.hits, stats.misses, stats.loads], [2, 3, 3])
      // One that was made and asked before the first read tells the same.
      assert.strictEqual((yield* Metric.value(hits)).count, 2)
    }).pipe(Effect.provide(memory()), registry))

  it.effect("stand in a snapshot once for each definition", () =>
    Effect.gen(function*() {
      const [one, two] = [counted("one"), counted("two")]
      for (const n of [1, 1, 1]) yield* Cached.get(one, n)
      for (const n of [1, 1]) yield* Cached.get(two, n)
      yield* Cached.get(one, 1)
      for (const [name, hits] of [["one", 3], ["two", 1]] as const) {
        const [only, ...others] = yield* series(name)
        assert.strictEqual(others.length, 0)
        assert.deepStrictEqual(only?.state, { count: hits, incremental: true })
      }
    }).pipe(Effect.provide(memory()), registry))

  it.effect("are the sum of all services that count under one name", () =>
    Effect.gen(function*() {
      const one = counted("one")
      const thrice = Effect.forEach([1, 1, 1], (n) => Cached.get(one, n), { discard: true })
      const first = yield* Layer.build(memory())
      const second = yield* Layer.build(memory())
      yield* Effect.provideContext(thrice, first)
      assert.strictEqual(yield* count(one, "hits"), 2)
      yield* Effect.provideContext(thrice, second)
      assert.strictEqual(yield* count(one, "hits"), 4)
      yield* Effect.provideContext(thrice, first)
      assert.strictEqual(yield* count(one, "hits"), 7)
      assert.strictEqual((yield* series("one")).length, 1)
    }).pipe(registry))

  it.effect("do not go down when a service has ended", () =>
    Effect.gen(function*() {
      const one = counted("one")
      for (let i = 1; i <= 3; i++) {
        yield* Effect.provide(Effect.andThen(Cached.get(one, 1), Cached.get(one, 1)), memory())
        assert.strictEqual(yield* count(one, "hits"), i)
        assert.strictEqual(yield* count(one, "loads"), i)
      }
    }).pipe(registry))

  it.effect("of two registries know nothing of each other", () =>
    Effect.gen(function*() {
      const one = counted("one")
      const hits = Effect.andThen(Effect.andThen(Cached.get(one, 1), Cached.get(one, 1)), count(one, "hits"))
      assert.strictEqual(yield* hits.pipe(Effect.provide(memory()), registry), 1)
      assert.strictEqual(yield* hits.pipe(Effect.provide(memory()), registry), 1)
    }))

  it.effect("bear no attributes of whoever read first", () =>
    Effect.gen(function*() {
      const one = counted("one")
      const here = Effect.provideService(Metric.CurrentMetricAttributes, { route: "/films" })
      yield* here(Cached.get(one, 1))
      yield* Cached.get(one, 1)
      assert.strictEqual(yield* count(one, "hits"), 1)
      assert.deepStrictEqual((yield* series("one")).map(({ attributes }) => attributes), [{ cache: "one" }])
    }).pipe(Effect.provide(memory()), registry))
})
