/** Whoever listens hears of every invalidation, or that some are missing. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"

// So many announcements wait for a listener.
const buffer = 1024

const nameOf = (announcement: CacheStore.Announcement): string =>
  announcement._tag === "Gap" ? "Gap" : announcement.invalidation.toString().replace("tag ", "")

/** Collects what a listener hears. It stops after the first until it may go on. */
const listener = Effect.fnUntraced(function*(store: CacheStore.CacheStore, goOn: Effect.Effect<void> = Effect.void) {
  const heard: Array<string> = []
  yield* Effect.forkChild(
    Stream.runForEach(store.announcements, (announcement) => {
      heard.push(nameOf(announcement))
      return goOn
    }),
    { startImmediately: true }
  )
  // A stream asks for its subscription in a few turns.
  for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
  return heard
})

const invalidate = (store: CacheStore.CacheStore, from: number, to: number) =>
  Effect.forEach(
    Array.from({ length: to - from }, (_, i) => String(from + i)),
    (tag) => Effect.andThen(store.invalidate(Invalidation.tags(tag)), Effect.yieldNow),
    { discard: true }
  )

const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i))

describe("announcements", () => {
  it.effect("a listener that keeps up hears all, and of no gap", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const heard = yield* listener(store)
      yield* invalidate(store, 0, 3 * buffer)
      yield* settle
      assert.deepStrictEqual(heard, numbers(0, 3 * buffer))
    }))

  it.effect("a listener that falls behind by less than the buffer hears all, and of no gap", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const goOn = yield* Deferred.make<void>()
      const heard = yield* listener(store, Deferred.await(goOn))
      yield* invalidate(store, 0, buffer)
      assert.deepStrictEqual(heard, ["0"])
      yield* Deferred.succeed(goOn, undefined)
      yield* settle
      assert.deepStrictEqual(heard, numbers(0, buffer))
    }))

  it.effect("a listener that falls further behind hears of a gap in place of the oldest, and then the rest", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const goOn = yield* Deferred.make<void>()
      const heard = yield* listener(store, Deferred.await(goOn))
      yield* invalidate(store, 0, 3 * buffer)
      yield* Deferred.succeed(goOn, undefined)
      yield* settle
      yield* invalidate(store, 3 * buffer, 3 * buffer + 5)
      yield* settle
      assert.deepStrictEqual(heard, ["0", "Gap", ...numbers(2 * buffer, 3 * buffer + 5)])
    }))

  it.effect("one that falls behind costs another nothing", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      yield* listener(store, Effect.never)
      const heard = yield* listener(store)
      yield* invalidate(store, 0, 3 * buffer)
      yield* settle
      assert.deepStrictEqual(heard, numbers(0, 3 * buffer))
    }))

  it.effect("one that begins to listen later has missed nothing", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const first = yield* Effect.forkChild(Stream.runHead(store.announcements), { startImmediately: true })
      yield* settle
      yield* invalidate(store, 0, 3 * buffer)
      yield* Fiber.join(first)
      const heard = yield* listener(store)
      yield* invalidate(store, 3 * buffer, 3 * buffer + 3)
      yield* settle
      assert.deepStrictEqual(heard, numbers(3 * buffer, 3 * buffer + 3))
    }))

  it.effect("a position is another after each invalidation of a dependency, also while nothing is loaded", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const positions: Array<string> = []
      yield* Effect.forkChild(
        Stream.runForEach(store.announcements, (one) =>
          Effect.sync(() => {
            if (one._tag === "Invalidated") positions.push(one.position)
          })),
        { startImmediately: true }
      )
      yield* settle
      yield* invalidate(store, 0, 5)
      yield* store.invalidate(Invalidation.soft(Invalidation.tags("4")))
      yield* settle
      assert.strictEqual(positions.length, 6)
      assert.strictEqual(new Set(positions).size, 6)
    }))
})
