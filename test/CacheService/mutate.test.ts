import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as TestCache from "../../src/TestCache.ts"
import { at, begin, draft, load } from "../support/port.ts"
import { forked, store, text } from "./support.ts"

describe("mutate", () => {
  const over = Invalidation.tags("x")
  const address = at("a", "x")

  const loads = Effect.flatMap(store, (store) => load(store, address))

  const stored = Effect.map(
    Effect.flatMap(store, ({ read }) => read(address)),
    (entry) => entry !== undefined && entry.changed === undefined
  )

  /** A write that says when it has begun, and ends when it is told. */
  const makeWrite = Effect.gen(function*() {
    const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const state = { value: "not begun" }
    const write = Effect.gen(function*() {
      state.value = "begun"
      yield* Deferred.succeed(begun, undefined)
      yield* Deferred.await(go)
      state.value = "done"
      return "written"
    }).pipe(Effect.onInterrupt(() =>
      Effect.sync(() => {
        state.value = "interrupted"
      })
    ))
    return { write, state, begun: Deferred.await(begun), go: Deferred.succeed(go, undefined) }
  })

  const mutating = (options?: { readonly fence?: number }) =>
    Effect.gen(function*() {
      const write = yield* makeWrite
      const fiber = yield* forked(Cached.mutate(write.write, over, options))
      return { ...write, fiber }
    })

  const names = Effect.map(
    TestCache.operations,
    (all) => all.map(({ name }) => name).filter((name) => name === "fence" || name === "lift" || name === "invalidate")
  )

  const standing = Effect.map(TestCache.sizes, ({ fences }) => fences)

  it.effect("opens the fence, writes, and lifts it; nothing else is needed", () =>
    Effect.gen(function*() {
      yield* loads
      const during = Effect.all([names, stored, loads, stored])
      assert.deepStrictEqual(yield* Cached.mutate(during, over), [["fence"], false, "fenced", false])
      assert.deepStrictEqual(yield* names, ["fence", "lift"])
      assert.strictEqual(yield* loads, "stored")
      assert.isTrue(yield* stored)
    }).pipe(Effect.provide(text())))

  it.effect("what was in flight before it, and what began during it, is not stored after it", () =>
    Effect.gen(function*() {
      const port = yield* store
      const before = yield* begin(port, address)
      const mutation = yield* mutating()
      yield* mutation.begun
      assert.strictEqual(yield* port.commit(address, before, draft(address)), "invalidated")
      const during = yield* begin(port, address)
      yield* mutation.go
      assert.strictEqual(yield* Fiber.join(mutation.fiber), "written")
      assert.strictEqual(yield* port.commit(address, during, draft(address)), "invalidated")
      assert.isFalse(yield* stored)
    }).pipe(Effect.provide(text())))

  it.effect("a write that outlasts its fence is interrupted, and the invalidation is repeated", () =>
    Effect.gen(function*() {
      const { begun, fiber, state } = yield* mutating({ fence: 10_000 })
      yield* begun
      yield* TestClock.adjust(9999)
      assert.strictEqual(state.value, "begun")
      yield* TestClock.adjust(1)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(state.value, "interrupted")
      assert.strictEqual(error._tag, "InvalidationError")
      assert.deepStrictEqual([error.reason._tag, error.mayHaveHappened], ["Timeout", true])
      assert.deepStrictEqual(yield* names, ["fence", "lift", "invalidate"])
    }).pipe(Effect.provide(text())))

  it.effect("a write that cannot be interrupted is waited for, and what was loaded after its fence goes", () =>
    Effect.gen(function*() {
      let written = false
      const write = Effect.uninterruptible(Effect.andThen(Effect.sleep(3000), Effect.sync(() => written = true)))
      const fiber = yield* forked(Effect.flip(Cached.mutate(write, over, { fence: 1000 })))
      yield* TestClock.adjust(2000)
      // The fence has run out, and the write has not happened yet.
      assert.deepStrictEqual([written, yield* loads, yield* stored], [false, "stored", true])
      const inFlight = yield* begin(yield* store, address, { force: true })
      yield* TestClock.adjust(1000)
      yield* Fiber.join(fiber)
      assert.isTrue(written)
      assert.isFalse(yield* stored)
      assert.strictEqual(yield* (yield* store).commit(address, inFlight, draft(address)), "invalidated")
    }).pipe(Effect.provide(text())))

  it.effect("the time that opening the fence took is not given to the write", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("fence", 600)
      const { fiber, state } = yield* mutating({ fence: 1000 })
      yield* TestClock.adjust(999)
      assert.strictEqual(state.value, "begun")
      yield* TestClock.adjust(1)
      assert.strictEqual(state.value, "interrupted")
      yield* Fiber.await(fiber)
    }).pipe(Effect.provide(text())))

  it.effect("a write that fails gives its error, and the fence is lifted", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(Cached.mutate(Effect.fail("no"), over)), "no")
      const died = yield* Effect.exit(Cached.mutate(Effect.die("broken"), over))
      assert.isTrue(Exit.isFailure(died) && Cause.squash(died.cause) === "broken")
      assert.deepStrictEqual(yield* names, ["fence", "lift", "fence", "lift"])
      assert.strictEqual(yield* standing, 0)
      assert.strictEqual(yield* loads, "stored")
    }).pipe(Effect.provide(text())))

  it.effect("when the fence cannot be opened, nothing is written", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("fence")
      const { fiber, state } = yield* mutating()
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error._tag, "InvalidationError")
      assert.deepStrictEqual([error.reason._tag, error.mayHaveHappened, state.value], [
        "Unavailable",
        false,
        "not begun"
      ])
      assert.deepStrictEqual(yield* names, ["fence"])
    }).pipe(Effect.provide(text())))

  it.effect("when nobody knows whether the fence was opened, nothing is written, and it is taken away", () =>
    Effect.gen(function*() {
      yield* TestCache.lose("fence", "answer")
      const { fiber, state } = yield* mutating({ fence: 10_000 })
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual([error.reason._tag, error.mayHaveHappened, state.value], ["Timeout", true, "not begun"])
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* standing, 0)
      assert.strictEqual(yield* loads, "stored")
    }).pipe(Effect.provide(text())))

  it.effect("when the fence cannot be lifted, the write is done, and that is said", () =>
    Effect.gen(function*() {
      for (const disturb of [TestCache.fail("lift", 1), TestCache.lose("lift", "request", 1)]) {
        yield* disturb
        const { fiber, go, state } = yield* mutating({ fence: 10_000 })
        yield* go
        yield* TestClock.adjust("1 second")
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error._tag, "InvalidationError")
        // The fence was opened, which is an invalidation, so it cannot be said that nothing happened.
        assert.deepStrictEqual([error.mayHaveHappened, state.value], [true, "done"])
        assert.strictEqual(yield* loads, "fenced")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* loads, "stored")
      }
    }).pipe(Effect.provide(text())))

  it.effect("when the write failed and the fence cannot be lifted, the write's error is given", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("lift")
      assert.strictEqual(yield* Effect.flip(Cached.mutate(Effect.fail("no"), over)), "no")
    }).pipe(Effect.provide(text())))

  it.effect("interrupting it interrupts the write and lifts the fence", () =>
    Effect.gen(function*() {
      const { begun, fiber, state } = yield* mutating()
      yield* begun
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(state.value, "interrupted")
      assert.strictEqual(yield* standing, 0)
      assert.deepStrictEqual(yield* names, ["fence", "lift"])
    }).pipe(Effect.provide(text())))

  it.effect("interrupting it while the fence is being opened writes nothing", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("fence", 500)
      const { fiber, state } = yield* mutating()
      yield* TestClock.adjust(100)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(1000)
      assert.strictEqual(state.value, "not begun")
      assert.strictEqual(yield* standing, 0)
    }).pipe(Effect.provide(text())))

  it.effect("of two that overlap, the end of one leaves the fence of the other", () =>
    Effect.gen(function*() {
      const [first, second] = [yield* mutating(), yield* mutating()]
      yield* first.begun
      yield* second.begun
      const under = yield* begin(yield* store, address)
      yield* first.go
      yield* Fiber.join(first.fiber)
      // It may have read before the first write: nobody who comes now may share it.
      assert.strictEqual(yield* (yield* store).commit(address, under, draft(address)), "invalidated")
      assert.strictEqual(yield* loads, "fenced")
      yield* second.go
      yield* Fiber.join(second.fiber)
      assert.strictEqual(yield* loads, "stored")
    }).pipe(Effect.provide(text())))

  it.effect("a fence that the store lost protected nothing: the invalidation is repeated", () =>
    Effect.gen(function*() {
      const { begun, fiber, go } = yield* mutating()
      yield* begun
      yield* TestCache.evict("journal")
      assert.strictEqual(yield* loads, "stored")
      yield* go
      assert.strictEqual(yield* Fiber.join(fiber), "written")
      assert.deepStrictEqual(yield* names, ["fence", "lift", "invalidate"])
      assert.isFalse(yield* stored)
    }).pipe(Effect.provide(text())))

  it.effect("when that fails, it is said, and the write is done", () =>
    Effect.gen(function*() {
      const { begun, fiber, go, state } = yield* mutating()
      yield* begun
      yield* TestCache.evict("journal")
      yield* TestCache.fail("invalidate")
      yield* go
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual([error._tag, state.value], ["InvalidationError", "done"])
    }).pipe(Effect.provide(text())))

  it.effect("keys, patterns and everything can be fenced, too", () =>
    Effect.gen(function*() {
      const all = [
        Invalidation.keys("a"),
        Invalidation.pattern({ name: "a", parts: [] }),
        Invalidation.everything,
        Invalidation.soft(Invalidation.keys("a"))
      ]
      for (const one of all) {
        yield* loads
        const during = Effect.all([stored, loads])
        assert.deepStrictEqual(yield* Cached.mutate(during, one), [false, "fenced"], one.toString())
        assert.strictEqual(yield* loads, "stored")
      }
    }).pipe(Effect.provide(text())))

  it.effect("has its thirty seconds unless told otherwise", () =>
    Effect.gen(function*() {
      const { begun, fiber, state } = yield* mutating()
      yield* begun
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(state.value, "begun")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(state.value, "interrupted")
      yield* Fiber.await(fiber)
    }).pipe(Effect.provide(text())))

  it.effect("the clock is asked when the fence opens, so a long write ends with it", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const { fiber } = yield* mutating({ fence: 5000 })
      yield* TestClock.adjust(5000)
      yield* Fiber.await(fiber)
      assert.strictEqual(yield* Clock.currentTimeMillis, 1_005_000)
    }).pipe(Effect.provide(text())))
})
