import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, type Duration, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { asked, forked, opened, reasonOf, service, store, text } from "../CacheService/support.ts"
import { asks, at, begin, draft, load } from "../support/port.ts"

describe("guard", () => {
  const read = Effect.flatMap(store, ({ read }) => reasonOf(read(at("a"))))

  it.effect("an operation that takes too long fails, and may have happened", () =>
    Effect.gen(function*() {
      const { commit } = yield* store
      const lease = yield* begin(yield* store, at("a"))
      yield* TestCache.delay("commit", "2 seconds")
      const fiber = yield* forked(Effect.flip(commit(at("a"), lease, draft(at("a")))))
      yield* TestClock.adjust(999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual([error.operation, error.reason._tag, error.mayHaveHappened], ["commit", "Timeout", true])
    }).pipe(Effect.provide(text({ timeLimit: "1 second" }))))

  it.effect("an operation that is frozen fails where nothing can be interrupted, too", () =>
    Effect.gen(function*() {
      const { read } = yield* store
      yield* TestCache.delay("read", Infinity)
      const fiber = yield* forked(Effect.uninterruptible(reasonOf(read(at("a")))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "Timeout")
    }).pipe(Effect.provide(text())))

  it.effect("after some failures in a row, the store is left alone for a while", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read")
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* read, "Unavailable")
      for (let i = 0; i < 5; i++) assert.strictEqual(yield* read, "CircuitOpen")
      assert.strictEqual(yield* asked("read"), 3)
      // What refuses at once is asked again after a twentieth.
      yield* TestClock.adjust(249)
      assert.strictEqual(yield* read, "CircuitOpen")
      const lease = { token: "none" }
      const { abandon, begin, commit, discard, inspect } = yield* store
      assert.strictEqual(yield* reasonOf(begin(at("a"), asks())), "CircuitOpen")
      assert.strictEqual(yield* reasonOf(commit(at("a"), lease, draft(at("a")))), "CircuitOpen")
      assert.strictEqual(yield* reasonOf(discard(at("a"), lease, [])), "CircuitOpen")
      assert.strictEqual(yield* reasonOf(abandon(at("a"), "none")), "CircuitOpen")
      assert.strictEqual(yield* reasonOf(inspect("a")), "CircuitOpen")
      const error = yield* Effect.flip(begin(at("a"), asks()))
      assert.isFalse(error.mayHaveHappened)
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("after failures that took their time it is left alone for the whole while", () =>
    Effect.gen(function*() {
      yield* TestCache.lose("read", "request", 3)
      for (let i = 0; i < 3; i++) {
        const frozen = yield* forked(read)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(frozen), "Timeout")
      }
      yield* TestClock.adjust(4999)
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("a success in between begins the count anew", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 5; i++) {
        yield* TestCache.fail("read", 2)
        assert.deepStrictEqual([yield* read, yield* read, yield* read], ["Unavailable", "Unavailable", "fine"])
      }
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("then one tries, and the others wait for what it finds", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.adjust("5 seconds")
      yield* TestCache.delay("read", 500)
      const probe = yield* forked(read)
      assert.deepStrictEqual([yield* read, yield* read], ["CircuitOpen", "CircuitOpen"])
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* Fiber.join(probe), "fine")
      assert.strictEqual(yield* asked("read"), 4)
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("when it succeeds, all may ask again at once", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* read, "fine")
      assert.deepStrictEqual([yield* read, yield* read, yield* read], ["fine", "fine", "fine"])
      // And it takes as many failures as before to open it again.
      yield* TestCache.fail("read", 3)
      assert.deepStrictEqual([yield* read, yield* read], ["Unavailable", "Unavailable"])
      assert.deepStrictEqual([yield* read, yield* read], ["Unavailable", "CircuitOpen"])
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("when it fails, the store is left alone for as long again", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 4)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([yield* read, yield* read], ["Unavailable", "CircuitOpen"])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("who is interrupted says nothing about the store", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("read", Infinity, 10)
      for (let i = 0; i < 10; i++) yield* Fiber.interrupt(yield* forked(read))
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("invalidations, also of everything, and fences are tried all the same", () =>
    Effect.gen(function*() {
      const { fence, invalidate, lift, read } = yield* store
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* reasonOf(read(at("a")))
      assert.strictEqual(yield* reasonOf(read(at("a"))), "CircuitOpen")
      yield* TestCache.forget
      const one = { id: "fence", over: Invalidation.tags("x"), length: 1000 }
      assert.strictEqual(yield* invalidate(Invalidation.tags("x")), 1)
      assert.strictEqual(yield* invalidate(Invalidation.soft(Invalidation.everything)), 1)
      assert.strictEqual(yield* fence(one), 1)
      assert.isTrue(yield* lift(one))
      assert.deepStrictEqual(yield* opened, ["invalidate", "invalidate", "fence", "lift"])
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("they are bounded in time, and their failures count", () =>
    Effect.gen(function*() {
      const { fence, invalidate, lift } = yield* store
      const one = { id: "fence", over: Invalidation.tags("x"), length: 1000 }
      for (const name of ["invalidate", "fence", "lift"] as const) yield* TestCache.delay(name, Infinity)
      const limits = [
        [Effect.asVoid(invalidate(one.over)), 1000],
        [Effect.asVoid(invalidate(Invalidation.everything)), 60_000],
        [Effect.asVoid(fence(one)), 1000],
        [Effect.asVoid(lift(one)), 1000]
      ] as const
      for (const [operation, limit] of limits) {
        const fiber = yield* forked(Effect.flip(operation))
        yield* TestClock.adjust(limit - 1)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        const { mayHaveHappened, reason } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([reason._tag, mayHaveHappened], ["Timeout", true])
      }
      assert.strictEqual(yield* read, "CircuitOpen")
    }).pipe(Effect.provide(text({ failures: 4 }))))

  it.effect("a store that answers at once goes through as it is", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const guarded = CacheStore.guard(memory)
      assert.isTrue(Exit.isExit(guarded.read(at("a"))))
      yield* load(guarded, at("a"))
      assert.strictEqual(guarded.read(at("a")), memory.read(at("a")))
    }))

  it.effect("options that are none are refused where it is made", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const wrong: ReadonlyArray<CacheStore.GuardOptions> = [
        { timeLimit: 0 },
        { timeLimit: -1 },
        { timeLimit: Number.NaN },
        { timeLimit: Infinity },
        { sweepLimit: 0 },
        { sweepLimit: Infinity },
        { openFor: 0 },
        { openFor: Infinity },
        { failures: 0 },
        { failures: -1 },
        { failures: 1.5 },
        { failures: Number.NaN },
        { failures: Infinity }
      ]
      for (const options of wrong) {
        assert.throws(() => CacheStore.guard(memory, options), /CacheStore.guard/, JSON.stringify(options))
      }
      CacheStore.guard(memory, { timeLimit: 0.5, sweepLimit: "1 hour", failures: 1, openFor: "1 milli" })
    }))

  const dies = {
    "throws when it is called": () => {
      throw new Error("broken")
    },
    "dies at once": () => Exit.die(new Error("broken")),
    "dies": () => Effect.die(new Error("broken")),
    "dies later": () => Effect.andThen(Effect.yieldNow, Effect.die(new Error("broken")))
  }
  for (const [how, read] of Object.entries(dies)) {
    it.effect(`a store that ${how} has failed, and a read loads`, () =>
      Effect.gen(function*() {
        const memory = yield* MemoryCache.makeStore({ capacity: 10 })
        const guarded = CacheStore.guard({ ...memory, read })
        const error = yield* Effect.flip(guarded.read(at("a")))
        assert.deepStrictEqual([error.operation, error.reason._tag, error.mayHaveHappened], ["read", "Malformed", true])
        assert.strictEqual((error.cause as Error).message, "broken")
        const one = Cached.make("one", {
          key: Key.unit,
          value: Schema.Finite,
          lookup: () => Effect.succeed(1)
        }, Policy.forever)
        const made = yield* CacheService.make(guarded)
        assert.strictEqual(yield* Effect.provideService(Cached.get(one, undefined), service, made), 1)
      }))
  }

  it.effect("who is interrupted interrupts the operation, and waits for its end", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const slow = Effect.onInterrupt(Effect.never, () => Effect.map(Effect.yieldNow, () => told.push("ended")))
      const fiber = yield* forked(CacheStore.guard({ ...memory, read: () => slow }).read(at("a")))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(told, ["ended"])
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }))

  it.effect("what takes too long is interrupted, and not waited for", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const stubborn = Effect.onInterrupt(Effect.never, () => {
        told.push("interrupted")
        return Effect.never
      })
      const fiber = yield* forked(reasonOf(CacheStore.guard({ ...memory, read: () => stubborn }).read(at("a"))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "Timeout")
      assert.deepStrictEqual(told, ["interrupted"])
    }))

  it.effect("an interrupted try leaves the next one its turn", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.adjust("5 seconds")
      yield* TestCache.delay("read", Infinity, 1)
      const probe = yield* forked(read)
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* Fiber.interrupt(probe)
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("a clock that is set back neither keeps the circuit open nor an operation waiting", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(10_000_000)
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.setTime(0)
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* read, "fine")
      yield* TestCache.delay("read", Infinity)
      const frozen = yield* forked(read)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(frozen), "Timeout")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("a clock that is set forward does not close it early", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const down = Effect.fail(
        new CacheStore.StoreError({ operation: "read", reason: { _tag: "Unavailable" }, mayHaveHappened: false })
      )
      const clock = yield* Clock.clockWith(Effect.succeed)
      let ahead = 0
      const skewed: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + ahead)
      })
      const guarded = CacheStore.guard({ ...memory, read: () => Effect.suspend(() => down) }, { failures: 1 })
      const ask = Effect.provideService(reasonOf(guarded.read(at("a"))), Clock.Clock, skewed)
      assert.strictEqual(yield* ask, "Unavailable")
      ahead = 3_600_000
      assert.strictEqual(yield* ask, "CircuitOpen")
    }))

  it.effect("what is always tried does not keep the circuit open when it fails", () =>
    Effect.gen(function*() {
      const { invalidate } = yield* store
      yield* TestCache.fail("invalidate")
      for (let i = 0; i < 3; i++) yield* reasonOf(invalidate(Invalidation.tags("x")))
      assert.strictEqual(yield* read, "CircuitOpen")
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust(49)
        yield* reasonOf(invalidate(Invalidation.tags("x")))
      }
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* TestClock.adjust(5)
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("it closes the circuit when it succeeds", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* (yield* store).invalidate(Invalidation.tags("x"))
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("a lease that cannot be given up does not count", () =>
    Effect.gen(function*() {
      const { abandon } = yield* store
      yield* TestCache.fail("abandon", 10)
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* reasonOf(abandon(at("a"), "none")), "Unavailable")
      assert.strictEqual(yield* read, "fine")
      // Unless it is the one that tries: then somebody has to tell.
      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) yield* read
      yield* TestClock.adjust("5 seconds")
      yield* TestCache.fail("abandon", 1)
      assert.strictEqual(yield* reasonOf(abandon(at("a"), "none")), "Unavailable")
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* read, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("what walks all keys has a limit of its own", () =>
    Effect.gen(function*() {
      const frozen = {
        ...yield* MemoryCache.makeStore({ capacity: 10 }),
        fence: () => Effect.never,
        invalidate: () => Effect.never
      }
      const guarded = CacheStore.guard(frozen, { timeLimit: 100, sweepLimit: 500 })
      const both = (over: Invalidation.Invalidation) => [
        guarded.invalidate(over),
        guarded.fence({ id: "fence", over, length: 1000 })
      ]
      const start = (all: ReadonlyArray<Invalidation.Invalidation>) =>
        Effect.forEach(all.flatMap(both), (one) => forked(reasonOf(one)))
      const named = Invalidation.combine(Invalidation.tags("x"), Invalidation.keys("a"))
      const quick = yield* start([named])
      const slow = yield* start([
        Invalidation.everything,
        Invalidation.pattern({ name: "a", parts: [] }),
        Invalidation.combine(named, Invalidation.soft(Invalidation.everything))
      ])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* Effect.forEach(quick, Fiber.join), ["Timeout", "Timeout"])
      yield* TestClock.adjust(399)
      assert.deepStrictEqual(slow.map((fiber) => fiber.pollUnsafe()), Array.from({ length: 6 }, () => undefined))
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Effect.forEach(slow, Fiber.join), Array.from({ length: 6 }, () => "Timeout"))
    }))

  it.effect("what is heard of leases and invalidations goes through as it is", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const guarded = CacheStore.guard(memory)
      assert.strictEqual(guarded.released, memory.released)
      assert.strictEqual(guarded.announcements, memory.announcements)
    }))

  it.effect("of many operations each has its own time, and one timer serves them all, while there are any", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const clock = yield* Clock.clockWith(Effect.succeed)
      let sleeping = 0
      let most = 0
      const counting: Clock.Clock = Object.assign(Object.create(clock), {
        sleep: (duration: Duration.Duration) =>
          Effect.suspend(() => {
            most = Math.max(most, ++sleeping)
            return Effect.ensuring(clock.sleep(duration), Effect.sync(() => sleeping--))
          })
      })
      const gates = new Map<string, Deferred.Deferred<undefined>>()
      for (const key of ["a", "b", "c", "d", "e"]) gates.set(key, yield* Deferred.make<undefined>())
      const guarded = CacheStore.guard(
        { ...memory, read: ({ key }) => Deferred.await(gates.get(key)!) },
        { timeLimit: 100, failures: 100 }
      )
      const ended: Array<string> = []
      const ask = (key: string) =>
        forked(
          Effect.flatMap(reasonOf(guarded.read(at(key))), (how) =>
            Effect.map(Clock.currentTimeMillis, (now) => ended.push(`${key} ${how} ${now}`)))
        ).pipe(Effect.provideService(Clock.Clock, counting))
      for (const key of ["a", "b", "c", "d", "e"]) {
        yield* ask(key)
        yield* TestClock.adjust(10)
      }
      yield* Deferred.succeed(gates.get("b")!, undefined)
      yield* TestClock.adjust(70) // 120
      yield* Deferred.succeed(gates.get("e")!, undefined)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(ended, ["b fine 50", "a Timeout 100", "c Timeout 120", "e fine 120", "d Timeout 130"])
      assert.deepStrictEqual([most, sleeping], [1, 0])
      // None is left behind by an operation that is answered, nor by one that is interrupted.
      gates.set("f", yield* Deferred.make<undefined>())
      const first = yield* ask("f")
      assert.strictEqual(sleeping, 1)
      yield* Deferred.succeed(gates.get("f")!, undefined)
      yield* Fiber.await(first)
      assert.strictEqual(sleeping, 0)
      gates.set("g", yield* Deferred.make<undefined>())
      const second = yield* ask("g")
      assert.strictEqual(sleeping, 1)
      yield* Fiber.interrupt(second)
      assert.strictEqual(sleeping, 0)
    }))
})
