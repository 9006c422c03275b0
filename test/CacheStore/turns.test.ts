/** Very many operations at once: what waits for its turn in this process is not what a store takes. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import { forked, reasonOf } from "../CacheService/support.ts"
import { asks, at, serviceOn } from "../support/port.ts"

/** A server with one thread: each operation takes a millisecond, after all that were sent before it. */
const oneThread = Effect.map(MemoryCache.makeStore({ capacity: 10_000 }), (memory) => {
  let free = 0
  const asked = { most: 0, now: 0 }
  const takes = <A>(answer: Effect.Effect<A, CacheStore.StoreError>) =>
    Effect.clockWith((clock) => {
      asked.most = Math.max(asked.most, ++asked.now)
      const now = clock.currentTimeMillisUnsafe()
      free = Math.max(free, now) + 1
      const done = Effect.sync(() => void asked.now--)
      return Effect.onExit(Effect.andThen(Effect.sleep(free - now), answer), () => done)
    })
  const store: CacheStore.CacheStore = {
    ...memory,
    read: (address) => takes(memory.read(address)),
    begin: (address, request) => takes(memory.begin(address, request)),
    commit: (address, lease, draft) => takes(memory.commit(address, lease, draft))
  }
  return { asked, store }
})

const ids = Array.from({ length: 1100 }, (_, i) => i)

describe("thousands at once", () => {
  it.effect("are asked in turns, and none of them times out", () =>
    Effect.gen(function*() {
      const { asked, store } = yield* oneThread
      const square = Cached.make("square", {
        key: Key.int("of"),
        value: Schema.Int,
        lookup: (of) => Effect.succeed(of * of)
      }, Policy.forever)
      yield* Effect.gen(function*() {
        const all = Effect.forEach(ids, (of) => Cached.get(square, of), { concurrency: "unbounded" })
        const readers = yield* forked(all)
        // Reads and writes share the one thread.
        yield* TestClock.adjust("4 seconds")
        assert.deepStrictEqual(yield* Fiber.join(readers), ids.map((of) => of * of))
        const { loads, storeFailures } = yield* Cached.stats(square)
        assert.deepStrictEqual({ loads, storeFailures }, { loads: 1100, storeFailures: 0 })
        // All are stored.
        const again = yield* forked(all)
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(again)
        assert.strictEqual((yield* Cached.stats(square)).loads, 1100)
      }).pipe(
        Effect.provide(serviceOn(Effect.sync(() => CacheStore.guard(store, { readLimit: 1050, timeLimit: 1050 }))))
      )
      assert.isAtMost(asked.most, 1024)
    }))

  it.effect("do not wait long for a store that is frozen: those that come after the first are refused", () =>
    Effect.gen(function*() {
      const { store } = yield* oneThread
      const frozen = CacheStore.guard({ ...store, begin: () => Effect.never })
      const asking = yield* forked(
        Effect.forEach(ids, (id) => reasonOf(frozen.begin(at(`${id}`), asks())), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      const reasons = yield* Fiber.join(asking)
      const timedOut = reasons.filter((reason) => reason === "Timeout").length
      assert.deepStrictEqual([timedOut, reasons.filter((reason) => reason === "CircuitOpen").length], [512, 1100 - 512])
      assert.strictEqual(yield* Clock.currentTimeMillis, 1000)
    }))

  it.effect("come in order, and in a time that does not grow with how many wait", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const order: Array<string> = []
      const begin = ({ key }: CacheStore.Address) =>
        Effect.suspend(() => {
          order.push(key)
          return Effect.as(Effect.yieldNow, { _tag: "Busy", token: "another" } as const)
        })
      const guarded = CacheStore.guard({ ...memory, begin })
      const keys = Array.from({ length: 30_000 }, (_, i) => `${i}`)
      const started = performance.now()
      yield* Effect.forEach(keys, (key) => guarded.begin(at(key), asks()), { concurrency: "unbounded" })
      assert.deepStrictEqual(order, keys)
      // A fraction of a second, and half a minute where each turn looks at all that wait.
      assert.isBelow(performance.now() - started, 10_000)
    }))

  it.effect("who is interrupted while it waits is not asked", () =>
    Effect.gen(function*() {
      const { asked, store } = yield* oneThread
      const guarded = CacheStore.guard(store, { timeLimit: "10 seconds" })
      const asking = yield* forked(
        Effect.forEach(ids, (id) => guarded.begin(at(`${id}`), asks()), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(asking)
      assert.strictEqual(asked.now, 0)
      // All turns were given back.
      const later = yield* forked(
        Effect.forEach(ids, (id) => guarded.begin(at(`${id}`), asks()), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(later)
    }))
})
