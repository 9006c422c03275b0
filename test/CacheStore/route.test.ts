/** Several stores in one program, behind one service. Loads that read over their borders: `Cached/nested`. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import * as Contract from "../../src/Contract.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { refusal } from "../support/policies.ts"

let version = 1
const options = { key: Key.string("id"), value: Schema.Finite, lookup: () => Effect.sync(() => version) }
const near = Cached.make("near: here", options, Policy.tagged("t"))
const far = Cached.make("far", options, Policy.tagged("t"))
const both = Effect.all([Cached.get(near, "a"), Cached.get(far, "a")])

/** `near` lives in memory, as values; all others in a store of text that can be made to fail. */
const routed = Layer.fresh(Layer.provideMerge(
  CacheStore.route({
    // The store that is around it, so that its instruments can be used.
    default: Layer.effect(CacheStore.CacheStore, CacheStore.CacheStore),
    routes: { "near: here": MemoryCache.layerStore({ capacity: 100 }) }
  }),
  TestCache.layerStore()
))

const service = Layer.provideMerge(CacheService.layer(), routed)

const keysIn = Effect.fnUntraced(function*(store: CacheStore.CacheStore) {
  const all: Array<string> = []
  let cursor: string | undefined
  do {
    const page = yield* store.scan({ limit: 1, ...(cursor === undefined ? {} : { cursor }) })
    all.push(...page.keys)
    cursor = page.cursor
  } while (cursor !== undefined)
  return all.sort()
})

const store = Effect.map(CacheService.CacheService, ({ store }) => store)

const keys = [Cached.keyOf(far, "a"), Cached.keyOf(near, "a")].sort()

describe("several stores", () => {
  it.effect("hold the entries of their definitions, and nothing else", () =>
    Effect.gen(function*() {
      yield* both
      const whole = yield* store
      assert.deepStrictEqual(yield* keysIn(whole), keys)
      assert.deepStrictEqual(yield* keysIn(whole.routes!("near: here")), [Cached.keyOf(near, "a")])
      assert.deepStrictEqual(yield* keysIn(whole.routes!("far")), [Cached.keyOf(far, "a")])
      assert.strictEqual(whole.routes!("near: here").payload, "value")
      assert.strictEqual(whole.routes!("far").payload, "text")
      assert.isDefined((yield* whole.inspect({ key: Cached.keyOf(near, "a"), known: [] })).entry)
      assert.isDefined((yield* whole.inspect({ key: Cached.keyOf(far, "a"), known: [] })).entry)
    }).pipe(Effect.provide(service)))

  const ways: Record<string, Effect.Effect<CacheService.Invalidated, unknown, CacheService.CacheService>> = {
    "a tag": Cached.apply(Invalidation.tags("t")),
    "both keys": Cached.apply(Invalidation.keys(keys)),
    "both patterns": Cached.apply(Invalidation.combine(Cached.pattern(near), Cached.pattern(far))),
    everything: Cached.apply(Invalidation.everything)
  }
  for (const [what, way] of Object.entries(ways)) {
    it.effect(`end what ${what} covers in each of them, and count it once`, () =>
      Effect.gen(function*() {
        version = 1
        assert.deepStrictEqual(yield* both, [1, 1])
        version = 2
        assert.deepStrictEqual(yield* both, [1, 1])
        assert.strictEqual((yield* way).entries, 2)
        assert.deepStrictEqual(yield* both, [2, 2])
      }).pipe(Effect.provide(service)))
  }

  it.effect("a key of one leaves the other alone, and is one step", () =>
    Effect.gen(function*() {
      version = 1
      yield* both
      yield* TestCache.forget
      version = 2
      yield* Cached.invalidate(near, "a")
      assert.deepStrictEqual(yield* both, [2, 1])
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read"])
    }).pipe(Effect.provide(service)))

  it.effect("where one does not acknowledge, nothing that is covered is served from either", () =>
    Effect.gen(function*() {
      version = 1
      yield* both
      yield* TestCache.fail("fence")
      version = 2
      const error = yield* Effect.flip(Cached.apply(Invalidation.tags("t")))
      assert.strictEqual(error._tag, "InvalidationError")
      assert.deepStrictEqual(yield* both, [2, 2])
    }).pipe(Effect.provide(service)))

  it.effect("a write behind a fence holds in each of them", () =>
    Effect.gen(function*() {
      version = 1
      yield* both
      const during = yield* both.pipe(
        Effect.tap(Effect.sync(() => {
          version = 2
        })),
        Cached.mutate(Invalidation.tags("t"))
      )
      assert.deepStrictEqual(during, [1, 1])
      assert.deepStrictEqual(yield* both, [2, 2])
    }).pipe(Effect.provide(service)))

  it.effect("a transaction reads past all of them, and invalidates after its commit", () =>
    Effect.gen(function*() {
      version = 1
      yield* both
      version = 2
      const inside = yield* both.pipe(
        Effect.tap(Cached.apply(Invalidation.tags("t"))),
        Changes.withTransaction((effect) => effect)
      )
      assert.deepStrictEqual(inside, [2, 2])
      assert.deepStrictEqual(yield* both, [2, 2])
    }).pipe(Effect.provide(service)))

  it.effect("announce what any of them has invalidated", () =>
    Effect.gen(function*() {
      const { announcements } = yield* store
      const heard = new Set<string>()
      yield* Effect.forkChild(Stream.runForEach(announcements, (one) =>
        Effect.sync(() =>
          heard.add(one._tag === "Gap" ? "gap" : String(one.invalidation))
        )))
      // When a listener is listening is the store's affair.
      for (let i = 0; i < 1000 && heard.size < 2; i++) {
        yield* Cached.invalidate(near, "a")
        yield* Cached.invalidate(far, "a")
        yield* Effect.yieldNow
      }
      assert.deepStrictEqual([...heard].sort(), ["key far:a", "key near: here:a"])
    }).pipe(Effect.provide(service)))

  it.effect("a cursor of no store is refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip((yield* store).scan({ limit: 1, cursor: "elsewhere" }))
      assert.strictEqual(error.reason._tag, "Malformed")
    }).pipe(Effect.provide(service)))

  it.effect("a layer that stands for two names is built once", () =>
    Effect.gen(function*() {
      const shared = MemoryCache.layerStore({ capacity: 10 })
      const layer = CacheStore.route({
        default: MemoryCache.layerStore({ capacity: 10 }),
        routes: { a: shared, b: shared }
      })
      const { routes } = Context.get(yield* Layer.build(layer), CacheStore.CacheStore)
      assert.strictEqual(routes!("a"), routes!("b"))
      assert.notStrictEqual(routes!("a"), routes!("c"))
    }))

  it("an empty name is refused when the layer is made", () => {
    const store = MemoryCache.layerStore({ capacity: 10 })
    assert.strictEqual(refusal(() => CacheStore.route({ default: store, routes: { "": store } })).reason, "EmptyName")
  })
})

describe("the laws of a store", () => {
  const several = CacheStore.route({
    default: MemoryCache.layerStore({ capacity: 10_000 }),
    routes: { other: MemoryCache.layerStore({ capacity: 10_000 }) }
  })
  for (const law of Contract.laws) {
    it.effect(`${law.name} (${law.guarantee})`, () =>
      Effect.provide(law.check, Layer.fresh(Layer.provide(CacheService.layer(), several))))
  }
})
