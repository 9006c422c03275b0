import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  ages,
  assertQuiet,
  begin,
  beginAll,
  ends,
  isRunning,
  memory,
  numbers,
  onEach,
  onText,
  Origin,
  settle,
  text
} from "../support/cached.ts"
import { makeMarkerStore } from "../support/markerStore.ts"
import { serviceOn } from "../support/port.ts"

const slow = (takes: number) => {
  const origin = new Origin(0)
  origin.takes = takes
  return origin
}

describe("who leaves", () => {
  for (const which of [0, 1, 2]) {
    onEach(
      `reader ${which + 1} of three is interrupted: nobody else is disturbed`,
      Effect.gen(function*() {
        const origin = slow(1000)
        const cached = numbers(origin, ages)
        const readers = yield* Effect.forEach([0, 1, 2], () => begin(Cached.get(cached, "a")))
        yield* Fiber.interrupt(readers[which]!)
        assert.deepStrictEqual(readers.map(isRunning), [0, 1, 2].map((i) => i !== which))
        yield* TestClock.adjust(1000)
        const exits = yield* ends(readers)
        for (const [i, exit] of exits.entries()) {
          assert.strictEqual(Exit.isSuccess(exit), i !== which)
          if (i === which) assert.isTrue(Exit.isFailure(exit) && Exit.hasInterrupts(exit))
        }
        assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 0])
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        assert.strictEqual(origin.loads, 1)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "when the last one is interrupted, so is the load; its lease is given up and the next read loads at once",
    Effect.gen(function*() {
      const origin = slow(60_000)
      const cached = numbers(origin, ages)
      const readers = yield* beginAll(3, Cached.get(cached, "a"))
      yield* Effect.forEach(readers, Fiber.interrupt)
      assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 1])
      yield* assertQuiet
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* assertQuiet
    })
  )

  onEach(
    "interrupting all at once ends the load too",
    Effect.gen(function*() {
      const origin = slow(60_000)
      const readers = yield* beginAll(50, Cached.get(numbers(origin, ages), "a"))
      yield* Fiber.interruptAll(readers)
      assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 1])
      yield* assertQuiet
    })
  )

  onEach(
    "a load that takes its time to end when interrupted is not joined by those who come meanwhile",
    Effect.gen(function*() {
      const origin = new Origin(1)
      let loads = 0
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () =>
          loads++ === 0 ? Effect.never.pipe(Effect.onInterrupt(() => Effect.sleep("5 seconds"))) : origin.load
      }, Policy.forever)
      const first = yield* begin(Cached.get(cached, "a"))
      const leaving = yield* begin(Fiber.interrupt(first))
      const next = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.strictEqual(yield* Fiber.join(next), 1)
      yield* Fiber.join(leaving)
      assert.strictEqual(loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a load that nobody waits for any more is reported as interrupted, and is no failure",
    Effect.gen(function*() {
      const origin = slow(60_000)
      const cached = numbers(origin, ages)
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      yield* Fiber.interrupt(reader)
      const { loadFailures, loads, reads } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ loadFailures, loads, reads }, { loadFailures: 0, loads: 1, reads: 0 })
    })
  )

  onEach(
    "a refresh in the background goes on whoever leaves",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("10 seconds")
      origin.takes = 1000
      origin.value = 1
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* Fiber.interrupt(reader)
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a load that went on past a soft time limit is not ended by one who joins and leaves",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages, { softTimeout: 100 })
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.takes = 1000
      origin.value = 1
      const first = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(first), 0)
      const second = yield* begin(Cached.get(cached, "a"))
      yield* Fiber.interrupt(second)
      yield* TestClock.adjust(900)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.deepStrictEqual([origin.loads, origin.interrupted], [2, 0])
      yield* assertQuiet
    })
  )

  onEach(
    "a reader who is timed out by its caller is no different",
    Effect.gen(function*() {
      const origin = slow(10_000)
      const cached = numbers(origin, ages)
      const patient = yield* begin(Cached.get(cached, "a"))
      const hasty = yield* begin(Effect.timeoutOption(Cached.get(cached, "a"), 500))
      yield* TestClock.adjust(500)
      assert.strictEqual((yield* Fiber.join(hasty))._tag, "None")
      yield* TestClock.adjust(9500)
      assert.strictEqual(yield* Fiber.join(patient), 0)
      yield* assertQuiet
    })
  )
})

describe("at an awkward moment", () => {
  for (const times of [1, 2, 3, 5, 8]) {
    onEach(
      `interrupted ${times} steps after the load has ended: nothing is left, and the key works`,
      Effect.gen(function*() {
        const origin = slow(1000)
        const cached = numbers(origin, ages)
        const readers = yield* beginAll(3, Cached.get(cached, "a"))
        const ticking = yield* Effect.forkChild(TestClock.adjust(1000))
        yield* Effect.repeat(Effect.yieldNow, { times: times - 1 })
        yield* Effect.forEach(readers, (reader) => Effect.forkChild(Fiber.interrupt(reader)))
        yield* Fiber.join(ticking)
        yield* settle
        yield* assertQuiet
        origin.takes = 0
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* assertQuiet
      })
    )
  }

  onText(
    "a reader that is interrupted while a begin is on its way leaves no lease",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages)
      for (const disturb of [TestCache.delay("begin", 500, 1), TestCache.lose("begin", "answer", 1)]) {
        yield* disturb
        const reader = yield* begin(Cached.get(cached, "a"))
        yield* Fiber.interrupt(reader)
        yield* TestClock.adjust("2 seconds")
        yield* assertQuiet
      }
      assert.strictEqual(origin.loads, 0)
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
    })
  )

  onText(
    "a reader that is interrupted while a read is on its way leaves nothing",
    Effect.gen(function*() {
      const origin = new Origin(0)
      yield* TestCache.delay("read", 500, 1)
      const reader = yield* begin(Cached.get(numbers(origin, ages), "a"))
      yield* Fiber.interrupt(reader)
      yield* TestClock.adjust("2 seconds")
      yield* assertQuiet
      assert.strictEqual(origin.loads, 0)
    })
  )

  onText(
    "a reader that is interrupted while a commit is on its way leaves no lease",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, ages)
      for (const disturb of [TestCache.delay("commit", 500, 1), TestCache.lose("commit", "answer", 1)]) {
        yield* TestCache.evict("entry")
        yield* disturb
        const reader = yield* begin(Cached.get(cached, "a"))
        assert.isTrue(isRunning(reader))
        yield* Fiber.interrupt(reader)
        yield* TestClock.adjust("2 seconds")
        yield* assertQuiet
      }
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
    })
  )

  onText(
    "a store that is frozen when the last reader leaves keeps it no longer than the time limit",
    Effect.gen(function*() {
      const origin = slow(60_000)
      const reader = yield* begin(Cached.get(numbers(origin, ages), "a"))
      yield* TestCache.delay("abandon", Infinity)
      const leaving = yield* begin(Fiber.interrupt(reader))
      yield* TestClock.adjust("1 second")
      assert.isFalse(isRunning(leaving))
      const { loads } = inside(yield* CacheService.CacheService)
      assert.strictEqual(loads.size, 0)
    })
  )

  onEach(
    "a hundred readers that come and go leave nothing",
    Effect.gen(function*() {
      const origin = slow(50)
      const cached = numbers(origin, Policy.ttl(20))
      const readers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, i) => i),
        (i) =>
          Effect.forkChild(
            Effect.delay(Effect.timeoutOption(Cached.get(cached, `key ${i % 3}`), (i * 7) % 90 + 1), (i * 13) % 200)
          )
      )
      yield* TestClock.adjust(1000)
      yield* ends(readers)
      yield* assertQuiet
      assert.strictEqual(origin.ended + origin.interrupted, origin.loads)
    })
  )
})

describe("the end of the layer", () => {
  for (const [store, layer] of Object.entries({ memory, text })) {
    const opened = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const service = Context.get(context, CacheService.CacheService)
      return { scope, context, service }
    })

    it.effect(`loads that are under way are interrupted, and those who wait for them are told [${store}]`, () =>
      Effect.gen(function*() {
        const { context, scope, service } = yield* opened
        const origin = slow(60_000)
        const cached = numbers(origin, ages)
        const readers = yield* beginAll(3, Effect.provideContext(Cached.get(cached, "a"), context))
        yield* Scope.close(scope, Exit.void)
        for (const exit of yield* ends(readers)) assert.isTrue(Exit.isFailure(exit))
        assert.isTrue(origin.loads <= 5 && origin.interrupted === origin.loads, `${origin.loads} loads`)
        assert.deepStrictEqual([inside(service).loads.size, inside(service).refreshing.size], [0, 0])
      }))

    it.effect(`a refresh in the background ends with the layer [${store}]`, () =>
      Effect.gen(function*() {
        const { context, scope, service } = yield* opened
        const origin = new Origin(0)
        const get = Effect.provideContext(Cached.get(numbers(origin, ages), "a"), context)
        yield* get
        yield* TestClock.adjust("10 seconds")
        origin.takes = 60_000
        yield* get
        yield* settle
        assert.strictEqual(origin.loads, 2)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(origin.interrupted, 1)
        assert.deepStrictEqual([inside(service).loads.size, inside(service).refreshing.size], [0, 0])
      }))
  }
})

describe("the caller's world", () => {
  class Tenant extends Context.Service<Tenant, { readonly name: string }>()("test/Tenant") {}

  onEach(
    "a load runs in the context of the caller who started it",
    Effect.gen(function*() {
      const cached = Cached.make("tenant", {
        key: Key.string("of"),
        value: Schema.String,
        lookup: () => Effect.delay(Effect.map(Tenant, ({ name }) => name), 1000)
      }, Policy.forever)
      const as = (name: string) => Effect.provideService(Cached.get(cached, "a"), Tenant, { name })
      const readers = [yield* begin(as("one")), yield* begin(as("two"))]
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual((yield* ends(readers)).map((exit) => Exit.isSuccess(exit) && exit.value), ["one", "one"])
    })
  )

  onEach(
    "a load outlives the caller who started it, if another waits",
    Effect.gen(function*() {
      const origin = slow(1000)
      const cached = numbers(origin, ages)
      const scope = yield* Scope.make()
      yield* Effect.forkIn(Cached.get(cached, "a"), scope)
      yield* settle
      const other = yield* begin(Cached.get(cached, "a"))
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(other), 0)
      assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 0])
    })
  )

  onEach(
    "a read inside an uninterruptible region works, and cannot be interrupted",
    Effect.gen(function*() {
      const origin = slow(1000)
      const reader = yield* begin(Effect.uninterruptible(Cached.get(numbers(origin, ages), "a")))
      const interrupting = yield* begin(Fiber.interrupt(reader))
      assert.isTrue(isRunning(interrupting))
      yield* TestClock.adjust(1000)
      yield* settle
      assert.isFalse(isRunning(interrupting))
      assert.deepStrictEqual([origin.loads, origin.interrupted], [1, 0])
      yield* assertQuiet
    })
  )

  onEach(
    "a lookup that cannot be interrupted is waited for by nobody who has left",
    Effect.gen(function*() {
      const origin = slow(1000)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => Effect.uninterruptible(origin.load)
      }, Policy.forever)
      const reader = yield* begin(Cached.get(cached, "a"))
      yield* Fiber.interrupt(reader)
      assert.isFalse(isRunning(reader))
      yield* TestClock.adjust(1000)
      yield* assertQuiet
    })
  )
})

describe("an interruption between any two steps of a fiber", () => {
  /** Interrupts one fiber at one of its steps, where it lets the others run. */
  class At extends Scheduler.MixedScheduler {
    private readonly step: number
    private victim: Fiber.Fiber<unknown, unknown> | undefined
    private steps = 0
    private interrupted = false
    constructor(step: number) {
      super("async")
      this.step = step
    }
    /** Whether the fiber came to that step. */
    interrupt<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<boolean, never, R> {
      return Effect.gen({ self: this }, function*() {
        this.victim = yield* Effect.forkChild(effect)
        yield* Fiber.await(this.victim)
        return this.interrupted
      })
    }
    override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
      if (fiber !== this.victim || this.interrupted || ++this.steps < this.step) return false
      this.interrupted = true
      queueMicrotask(() => fiber.interruptUnsafe())
      return true
    }
  }

  const made: Array<string> = []
  const card = Cached.make("card", {
    key: Key.string("id"),
    value: Schema.String,
    lookup: (id) => Effect.sync(() => (made.push(id), id)),
    lookupMany: (ids) => Effect.sync(() => (made.push(...ids), ids.map((id) => Result.succeed(id))))
  }, Policy.tagged("t"))
  const over = Invalidation.tags(["t", "u"])
  const soften = Cached.apply(Invalidation.soft(over))
  const operations: Record<string, Effect.Effect<unknown, unknown, CacheService.CacheService>> = {
    "a read that misses": Cached.get(card, "a"),
    "a read that refreshes": Cached.get(card, "b"),
    "a read of many": Cached.getMany(card, ["a", "b"]),
    "a write-through": Cached.set(card, "b", Effect.succeed("written")),
    "a write-through that fails": Cached.set(card, "b", Effect.fail("no")),
    "a refresh": Cached.refresh(card, "b"),
    "an invalidation": Cached.apply(over),
    "a mutation": Cached.mutate(Effect.void, over)
  }

  const stores = { memory, steps: Layer.fresh(serviceOn(makeMarkerStore({ split: true }))) }

  for (const [on, layer] of Object.entries(stores)) {
    for (const [name, operation] of Object.entries(operations)) {
      it(`leaves nothing behind: ${name} [${on}]`, async () => {
        let step = 0
        for (let came = true; came;) {
          step++
          const scheduler = new At(step)
          const program = Effect.gen(function*() {
            yield* Cached.get(card, "b")
            yield* soften
            const came = yield* scheduler.interrupt(operation)
            yield* settle
            const { loads, refreshing } = inside(yield* CacheService.CacheService)
            assert.deepStrictEqual([loads.size, refreshing.size], [0, 0], `interrupted at step ${step}`)
            // An invalidation that was interrupted is tried again. No fence and no lease ends so soon.
            yield* TestClock.adjust("5 seconds")
            // And it goes on: what is stale is refreshed, and what was loaded is kept.
            yield* soften
            made.length = 0
            yield* Cached.get(card, "b")
            yield* settle
            yield* Cached.get(card, "b")
            assert.deepStrictEqual(made, ["b"], `interrupted at step ${step}`)
            return came
          })
          came = await program.pipe(
            Effect.provide(layer),
            Effect.provide(TestClock.layer()),
            Effect.provideService(References.MinimumLogLevel, "None"),
            (program) => Effect.runPromise(program, { scheduler })
          )
        }
        // It was interrupted at least once, and at last was not.
        assert.isAbove(step, 2)
      })
    }
  }
})
