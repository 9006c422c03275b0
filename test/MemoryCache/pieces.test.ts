/** What very many entries depend on ends all of them at once, though they are removed in pieces. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import { asks, at, begin, draft, load } from "../support/port.ts"

const many = 2000

const keys = Array.from({ length: many }, (_, i) => `key ${i}`)
const all = Dependency.tag("all")

const entryOf = (store: CacheStore.CacheStore, key: string) => Effect.orDie(store.read(at(key, "all")))

/** A store with many entries of one tag, which ends most of them, and one of another. */
const filled = Effect.gen(function*() {
  const store = yield* MemoryCache.makeStore({ capacity: 2 * many })
  for (const key of keys) yield* load(store, at(key, "all"), { fatal: ["all"] })
  yield* load(store, at("other", "another tag"), { fatal: ["another tag"] })
  return store
})

const soft = Invalidation.soft(Invalidation.tags(["all"]))
const hard = Invalidation.tags(["all"])

describe("an invalidation of what very many depend on", () => {
  it.effect("is seen by whoever looks, before anything was removed", () =>
    Effect.gen(function*() {
      const store = yield* filled
      const held = (yield* entryOf(store, "key 7"))!
      assert.isUndefined(held.changed)
      assert.isUndefined(yield* store.invalidate(hard), "they are not counted")
      assert.strictEqual(store.sizes().entries, many + 1)
      assert.deepStrictEqual(held.changed, new Map([[all, "hard"]]))
      assert.isUndefined(yield* entryOf(store, "key 7"))
      const next = yield* entryOf(store, "key 8")
      assert.deepStrictEqual(next?.changed, new Map([[all, "hard"]]))
      assert.strictEqual((yield* store.begin(at("key 9", "all"), asks()))._tag, "Leased")
      assert.isUndefined(store.peek("key 10"))
      assert.deepStrictEqual(yield* store.scan({ limit: 10 }), { keys: ["other"], cursor: undefined })
    }))

  it.effect("gives the room back without being asked, and others go on meanwhile", () =>
    Effect.gen(function*() {
      const store = yield* filled
      const seen: Array<number> = []
      const watcher = yield* Effect.forkChild(
        Effect.whileLoop({
          while: () => store.sizes().entries > 1,
          body: () => Effect.yieldNow,
          step: () => seen.push(store.sizes().entries)
        }),
        { startImmediately: true }
      )
      yield* store.invalidate(hard)
      yield* Fiber.join(watcher)
      assert.isAtLeast(new Set(seen).size, many / 500)
      const { dependencies, entries } = store.sizes()
      assert.deepStrictEqual({ dependencies, entries }, { dependencies: 1, entries: 1 })
      assert.isDefined(yield* entryOf(store, "other"))
    }))

  it.effect("leaves what is stored afterwards", () =>
    Effect.gen(function*() {
      const store = yield* filled
      yield* store.invalidate(hard)
      assert.strictEqual(yield* load(store, at("key 3", "all"), { payload: "new", fatal: ["all"] }), "stored")
      while (store.sizes().entries > 2) yield* Effect.yieldNow
      const entry = yield* entryOf(store, "key 3")
      assert.strictEqual(entry?.payload, "new")
      assert.isUndefined(entry?.changed)
      assert.strictEqual(yield* store.invalidate(hard), 1)
      assert.isUndefined(yield* entryOf(store, "key 3"))
    }))

  it.effect("does not let a load be stored that began before", () =>
    Effect.gen(function*() {
      const store = yield* filled
      const address = at("key 5", "all")
      const lease = yield* begin(store, address)
      yield* store.invalidate(hard)
      assert.strictEqual(yield* store.commit(address, lease, { ...draft(address), token: lease.token }), "invalidated")
    }))

  it.effect("softly, leaves all of them; and a hard one ends those too that still wait", () =>
    Effect.gen(function*() {
      const store = yield* filled
      yield* store.invalidate(soft)
      assert.deepStrictEqual((yield* entryOf(store, "key 1"))?.changed, new Map([[all, "soft"]]))
      yield* store.invalidate(hard)
      // It was looked at, and so waits no more.
      assert.isUndefined(yield* entryOf(store, "key 1"))
      assert.deepStrictEqual((yield* entryOf(store, "key 2"))?.changed, new Map([[all, "hard"]]))
      assert.isUndefined(yield* entryOf(store, "key 2"))
      while (store.sizes().entries > 1) yield* Effect.yieldNow
    }))

  it.effect("softly, in pieces that are all done, and then again", () =>
    Effect.gen(function*() {
      const store = yield* filled
      yield* store.invalidate(soft)
      // Each is marked in its turn, and is found by the next invalidation.
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      yield* store.invalidate(hard)
      for (const key of keys) {
        const entry = yield* entryOf(store, key)
        assert.isTrue(entry === undefined || entry.changed?.get(all) === "hard", key)
      }
      assert.strictEqual(store.sizes().entries, 1)
    }))

  it.effect("is counted still where few depend on it", () =>
    Effect.gen(function*() {
      const store = yield* filled
      yield* load(store, at("both", "all", "another tag"), { fatal: ["all", "another tag"] })
      yield* store.invalidate(hard)
      assert.strictEqual(yield* store.invalidate(Invalidation.tags(["another tag"])), 1, "of two, one had ended before")
    }))

  it("ends with its store", () =>
    Effect.runPromise(
      Effect.gen(function*() {
        const sizes = yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* filled
          yield* store.invalidate(hard)
          return store.sizes
        }))
        for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
        assert.isAbove(sizes().entries, 1)
      }).pipe(Effect.exit)
    ).then((exit) => assert.isTrue(Exit.isSuccess(exit))))
})
