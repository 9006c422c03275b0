import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Context,
  Deferred,
  type Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  Random,
  References,
  Schedule,
  Schema,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { asks, at, begin, draft, load, serviceOn } from "../support/port.ts"

const service = CacheService.CacheService

const store = Effect.map(service, ({ store }) => store)

const text = (options: TestCache.Options = {}) => Layer.fresh(TestCache.layer({ payload: "value", ...options }))

/** A store that walks its keys, as a remote one does: what names patterns or everything takes it several steps. */
const inSteps = Layer.fresh(Layer.effectContext(Effect.gen(function*() {
  const { instruments, store } = TestCache.instrument(yield* MemoryCache.makeStore({ capacity: 100 }), "value")
  const atomic = ({ everything, patterns }: Invalidation.Invalidation) =>
    patterns.size === 0 && everything === undefined
  const made = yield* CacheService.make(CacheStore.guard({ ...store, atomic }))
  return Context.make(service, made).pipe(Context.add(TestCache.TestCache, instruments))
})))

const forked = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const reasonOf = <A>(effect: Effect.Effect<A, CacheStore.StoreError>) =>
  Effect.map(Effect.result(effect), (result) => result._tag === "Failure" ? result.failure.reason._tag : "fine")

const asked = (name: TestCache.OperationName) =>
  Effect.map(TestCache.operations, (all) => all.filter((one) => one.name === name).length)

const opened = Effect.map(TestCache.operations, (all) => all.map(({ name }) => name))

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

describe("time", () => {
  const now = Effect.flatMap(service, ({ now }) => Effect.withFiber((fiber) => Effect.succeed(now(fiber))))

  it.effect("goes on from where it was when a clock is set back", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(10_000)
      assert.strictEqual(yield* now, 10_000)
      yield* TestClock.setTime(4000)
      assert.strictEqual(yield* now, 10_000)
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* now, 10_500)
      yield* TestClock.setTime(1000)
      yield* TestClock.adjust(250)
      assert.isAtLeast(yield* now, 10_500)
      yield* TestClock.adjust(100)
      assert.isAtLeast(yield* now, 10_600)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a clock that is set back makes no entry younger", () =>
    Effect.gen(function*() {
      let loads = 0
      const counted = Cached.make("counted", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.sync(() => ++loads)
      }, Policy.ttl("1 minute"))
      const get = Cached.get(counted, undefined)
      yield* TestClock.setTime(1_000_000)
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(yield* get, 1)
      yield* TestClock.setTime(0)
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* get, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* get, 2)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("is the store's, not the process's", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const now = (clock: Clock.Clock) => clock.currentTimeMillisUnsafe() + 5000
      const made = yield* CacheService.make({ ...memory, now })
      const time = Effect.withFiber((fiber) => Effect.succeed(made.now(fiber)))
      assert.strictEqual(yield* time, 5000)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* time, 5100)
    }))
})

describe("tokens", () => {
  it.effect("are never given twice, in one process or in two that draw from one seed", () =>
    Effect.gen(function*() {
      const tokens = Effect.flatMap(MemoryCache.makeStore({ capacity: 10 }), CacheService.make).pipe(
        Effect.map(({ token }) => Array.from({ length: 10_000 }, token)),
        Random.withSeed("one seed")
      )
      const all = [...yield* tokens, ...yield* tokens]
      assert.strictEqual(new Set(all).size, all.length)
    }))
})

describe("events", () => {
  const event = (n: number): CacheService.CacheEvent => ({ _tag: "Hit", name: "events", key: String(n) })

  const listening = (gate: Effect.Effect<unknown> = Effect.void) =>
    Effect.gen(function*() {
      const heard: Array<CacheService.CacheEvent> = []
      const listen = Stream.runForEach(CacheService.events, (one) => Effect.map(gate, () => heard.push(one)))
      const fiber = yield* forked(listen)
      const { watched } = yield* service
      while (!watched()) yield* Effect.yieldNow
      yield* Effect.yieldNow
      return { fiber, heard }
    })

  const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

  it.effect("are told in the order in which things happened", () =>
    Effect.gen(function*() {
      const one = Cached.make("one", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.succeed(n)
      }, Policy.tagged("ones"))
      const { heard } = yield* listening()
      yield* Cached.get(one, 1)
      yield* Cached.get(one, 1)
      yield* Cached.apply(Invalidation.tags("ones"))
      yield* Cached.get(one, 1)
      yield* settled
      assert.deepStrictEqual(heard.map(({ _tag }) => _tag), ["Miss", "Load", "Hit", "Invalidated", "Miss", "Load"])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a failure of the store is told", () =>
    Effect.gen(function*() {
      const { heard } = yield* listening()
      yield* TestCache.fail("invalidate")
      yield* Effect.flip(CacheService.invalidate(Invalidation.tags("x")))
      yield* settled
      assert.deepStrictEqual(heard.map((one) => one._tag === "StoreFailed" ? one.error.reason._tag : one._tag), [
        "Unavailable",
        "Undelivered"
      ])
    }).pipe(Effect.provide(text())))

  it.effect("a listener that falls behind loses the oldest, and holds nobody up", () =>
    Effect.gen(function*() {
      const { publish } = yield* service
      const gate = yield* Deferred.make<void>()
      const { heard } = yield* listening(Deferred.await(gate))
      const all = 100_000
      for (let n = 0; n < all; n++) publish(event(n))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      const keys = heard.map((one) => Number((one as { readonly key: string }).key))
      assert.isAtMost(keys.length, 4096 + 4096)
      assert.isAtLeast(keys.length, 4096)
      assert.strictEqual(keys.at(-1), all - 1)
      assert.deepStrictEqual(keys, [...keys].sort((a, b) => a - b))
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("a slow listener costs another nothing", () =>
    Effect.gen(function*() {
      const { publish } = yield* service
      yield* listening(Effect.never)
      const { heard } = yield* listening()
      for (let n = 0; n < 20_000; n++) {
        publish(event(n))
        if (n % 1000 === 0) yield* settled
      }
      yield* settled
      assert.strictEqual(heard.length, 20_000)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("cost nothing while nobody listens, also when somebody did", () =>
    Effect.gen(function*() {
      const { publish, watched } = yield* service
      assert.isFalse(watched())
      publish(event(1))
      const first = yield* listening()
      const second = yield* listening()
      assert.isTrue(watched())
      yield* Fiber.interrupt(first.fiber)
      assert.isTrue(watched())
      yield* Fiber.interrupt(second.fiber)
      assert.isFalse(watched())
      publish(event(2))
      const third = yield* listening()
      publish(event(3))
      yield* settled
      assert.deepStrictEqual(first.heard.length + second.heard.length, 0)
      assert.deepStrictEqual(third.heard, [event(3)])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("end when the layer is released", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.provide(
        Effect.flatMap(service, ({ events, watched }) =>
          Effect.gen(function*() {
            const listener = yield* Effect.forkDetach(Stream.runDrain(events), { startImmediately: true })
            while (!watched()) yield* Effect.yieldNow
            return listener
          })),
        Layer.fresh(MemoryCache.layer({ capacity: 10 }))
      )
      yield* Fiber.await(fiber)
    }))
})

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

describe("the log", () => {
  interface Line {
    readonly level: string
    readonly message: unknown
    readonly annotations: Readonly<Record<string, unknown>>
  }

  const lines = (program: Effect.Effect<unknown, unknown, CacheService.CacheService>) =>
    Effect.gen(function*() {
      const heard: Array<Line> = []
      const logger = Logger.make((options) => {
        heard.push({
          level: options.logLevel,
          message: options.message,
          annotations: options.fiber.getRef(References.CurrentLogAnnotations)
        })
      })
      yield* program.pipe(
        Effect.provide(MemoryCache.layer({ capacity: 10 })),
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      return heard
    })

  const invalidating = Effect.gen(function*() {
    yield* load(yield* store, at("a", "x"))
    yield* CacheService.invalidate(Invalidation.combine(Invalidation.tags("x"), Invalidation.keys("film:1")))
  })

  it.effect("has invalidations at Debug, with what and how many", () =>
    Effect.gen(function*() {
      const [line, ...others] = yield* lines(invalidating)
      assert.strictEqual(others.length, 0)
      assert.strictEqual(line?.level, "Debug")
      assert.deepStrictEqual(line?.annotations, { invalidation: "key film:1, tag x", entries: 1 })
    }))

  it.effect("has them at the level that is given", () =>
    Effect.gen(function*() {
      const [line] = yield* lines(Effect.provideService(invalidating, CacheService.InvalidationLogLevel, "Info"))
      assert.strictEqual(line?.level, "Info")
    }))

  it.effect("has none of them if no level is given", () =>
    Effect.gen(function*() {
      const quiet = Effect.provideService(invalidating, CacheService.InvalidationLogLevel, undefined)
      assert.deepStrictEqual(yield* lines(quiet), [])
    }))

  it.effect("has nothing of an invalidation of nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* lines(CacheService.invalidate(Invalidation.empty)), [])
    }))
})

describe("an invalidation that was not acknowledged", () => {
  const batch = Invalidation.tags("x")

  const failing = (invalidation: Invalidation.Invalidation = batch) =>
    Effect.gen(function*() {
      const fiber = yield* forked(Effect.flip(CacheService.invalidate(invalidation)))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "InvalidationError")
      return error
    })

  // In the store. What this process makes of it is another matter.
  const stands = Effect.map(
    Effect.flatMap(TestCache.TestCache, ({ store }) => store.read(at("a", "x"))),
    (entry) => entry !== undefined && entry.changed === undefined && !entry.softened
  )

  const loaded = Effect.flatMap(store, (store) => load(store, at("a", "x")))

  it.effect("that the store refused did not happen", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("invalidate")
      const { cause, invalidation, mayHaveHappened, reason } = yield* failing()
      assert.deepStrictEqual([invalidation, reason._tag, mayHaveHappened], ["tag x", "Unavailable", false])
      assert.strictEqual((cause as CacheStore.StoreError).operation, "invalidate")
      assert.isTrue(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("whose request was lost may have happened, and did not", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.lose("invalidate", "request")
      const { mayHaveHappened, message, reason } = yield* failing()
      assert.deepStrictEqual([reason._tag, mayHaveHappened], ["Timeout", true])
      assert.strictEqual(message, "not invalidated: tag x (Timeout; may have happened)")
      assert.isTrue(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("whose answer was lost may have happened, and did", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.lose("invalidate", "answer")
      const { mayHaveHappened, reason } = yield* failing()
      assert.deepStrictEqual([reason._tag, mayHaveHappened], ["Timeout", true])
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("that took too long may have happened, and repeating it is safe", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.delay("invalidate", "10 seconds", 1)
      assert.isTrue((yield* failing()).mayHaveHappened)
      assert.strictEqual((yield* CacheService.invalidate(batch)).entries, 1)
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(text())))

  it.effect("is tried although the store is left alone", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("read", 5)
      for (let i = 0; i < 5; i++) yield* reasonOf((yield* store).read(at("a")))
      assert.strictEqual((yield* CacheService.invalidate(batch)).entries, 0)
    }).pipe(Effect.provide(text())))

  const pattern = Invalidation.pattern({ name: "a", parts: [] })

  it.effect("of several parts that are made in one step did not happen when the store refused it", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("invalidate")
      for (const one of [pattern, Invalidation.combine(batch, pattern)]) {
        assert.isFalse((yield* failing(one)).mayHaveHappened)
        assert.isTrue(yield* stands)
      }
    }).pipe(Effect.provide(text())))

  it.effect("of several steps may have happened when a later step failed", () =>
    Effect.gen(function*() {
      yield* loaded
      yield* TestCache.fail("fence")
      // Nothing came before the step that failed.
      assert.isFalse((yield* failing(pattern)).mayHaveHappened)
      assert.isTrue(yield* stands)
      yield* TestCache.restore
      yield* TestCache.fail("lift")
      assert.isTrue((yield* failing(Invalidation.combine(batch, pattern))).mayHaveHappened)
      assert.isFalse(yield* stands)
    }).pipe(Effect.provide(inSteps)))

  for (
    const [how, layer, steps] of [
      ["in one step", text(), ["invalidate"]],
      ["behind a fence, if it takes the store several steps", inSteps, ["fence", "lift"]]
    ] as const
  ) {
    it.effect(`is applied ${how}, and counts all parts`, () =>
      Effect.gen(function*() {
        const { read } = yield* store
        for (const key of ["a:1", "a:2", "b:1"]) yield* load(yield* store, at(key, "x"))
        yield* load(yield* store, at("c", "y"))
        const parts = Invalidation.combineAll([
          Invalidation.tags("y"),
          Invalidation.pattern({ name: "a", parts: [undefined] }),
          Invalidation.pattern({ name: "b", parts: [undefined] })
        ])
        yield* TestCache.forget
        assert.strictEqual((yield* CacheService.invalidate(parts)).entries, 4)
        assert.deepStrictEqual(yield* opened, [...steps])
        assert.isUndefined(yield* read(at("b:1")))
        assert.strictEqual((yield* CacheService.invalidate(Invalidation.everything)).entries, 1)
        assert.strictEqual((yield* CacheService.invalidate(Invalidation.empty)).entries, 0)
      }).pipe(Effect.provide(layer)))
  }
})

describe("an undelivered invalidation", () => {
  const tag = Invalidation.tags

  /** What this process sees of a key, and what the store holds. */
  const seen = (address: CacheStore.Address) =>
    Effect.gen(function*() {
      const here = yield* (yield* store).read(address)
      const there = yield* (yield* TestCache.TestCache).store.read(address)
      return [here !== undefined, there !== undefined] as const
    })

  const fails = (batch: Invalidation.Invalidation) => Effect.flip(CacheService.invalidate(batch))

  const waiting = Effect.map(CacheService.undelivered, (all) => all.map(({ invalidation }) => invalidation.toString()))

  /** What was asked of the store to invalidate, and when. */
  const recording = Effect.gen(function*() {
    const asked: Array<string> = []
    yield* TestCache.disturb("invalidate", (operation, perform) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        asked.push(`${now} ${operation.detail}`)
        return perform
      }))
    return asked
  })

  const refused = (operation: string) =>
    Effect.fail(new CacheStore.StoreError({ operation, reason: { _tag: "Unavailable" }, mayHaveHappened: false }))

  /** Refuses until it is told to stop; says what was asked, and when. */
  const refusing = (...which: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const state = { asked: [] as Array<string>, down: true }
      yield* TestCache.disturb("invalidate", (operation, perform) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          state.asked.push(`${now} ${operation.detail}`)
          const hit = which.length === 0 || which.includes(operation.detail!)
          return state.down && hit ? refused("invalidate") : perform
        }))
      return state
    })

  it.effect("is dead in this process at once, and in the store when it is delivered", () =>
    Effect.gen(function*() {
      for (const [key, name] of [["a", "x"], ["b", "y"]] as const) yield* load(yield* store, at(key, name))
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
      assert.deepStrictEqual(yield* seen(at("b", "y")), [true, true])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
      assert.isTrue((yield* (yield* TestCache.TestCache).store.read(at("a", "x")))?.changed?.has(Dependency.tag("x")))
      yield* load(yield* store, at("a", "x"))
      assert.deepStrictEqual(yield* seen(at("a", "x")), [true, true])
    }).pipe(Effect.provide(text())))

  const ways: Record<string, Invalidation.Invalidation> = {
    "a key": Invalidation.keys("a:1"),
    "a tag": tag("x"),
    "a tag that was found in the value": tag("found"),
    "a pattern": Invalidation.pattern({ name: "a", parts: [undefined] }),
    "everything": Invalidation.everything,
    "a soft one, which counts as hard meanwhile": Invalidation.soft(tag("x")),
    "a batch of several parts": Invalidation.combine(tag("other"), Invalidation.everything)
  }
  for (const [what, batch] of Object.entries(ways)) {
    it.effect(`covers what it names: ${what}`, () =>
      Effect.gen(function*() {
        yield* load(yield* store, at("a:1", "x"), { found: ["found"] })
        yield* load(yield* store, at("b:1", "z"))
        yield* TestCache.fail("invalidate")
        yield* fails(batch)
        assert.deepStrictEqual(yield* seen(at("a:1", "x")), [false, true])
        assert.deepStrictEqual(yield* seen(at("b:1", "z")), [batch.everything === undefined, true])
        yield* TestCache.restore
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(yield* waiting, [])
      }).pipe(Effect.provide(text())))
  }

  it.effect("covers what it names: a batch of which the first step has happened", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a:1", "x"))
      yield* load(yield* store, at("b:1", "z"))
      yield* TestCache.fail("lift")
      yield* fails(Invalidation.combine(Invalidation.keys("b:1"), Invalidation.pattern({ name: "a", parts: ["1"] })))
      const addresses = [at("a:1", "x"), at("b:1", "z")]
      // What another process stores then, when the fence is gone: this one cannot tell that it is younger.
      yield* TestCache.evict("journal")
      for (const address of addresses) {
        assert.deepStrictEqual(yield* seen(address), [false, false])
        yield* load((yield* TestCache.TestCache).store, address)
        assert.deepStrictEqual(yield* seen(address), [false, true])
      }
      yield* TestCache.restore
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
      for (const address of addresses) assert.deepStrictEqual(yield* seen(address), [false, false])
    }).pipe(Effect.provide(inSteps)))

  it.effect("is told with how often and since when it was tried", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust(300)
      const [one] = yield* CacheService.undelivered
      assert.deepInclude(one, { since: 1_000_000, attempts: 3 })
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("is tried again after a tenth of a second, then twice as long, and at last every five seconds", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust("20 seconds")
      const times = down.asked.map((line) => Number(line.split(" ")[0]))
      assert.deepStrictEqual(times, [0, 100, 300, 700, 1500, 3100, 6300, 11_300, 16_300])
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("is tried by the schedule that is given, and on when that ends", () =>
    Effect.gen(function*() {
      const { instruments, store } = TestCache.instrument(yield* MemoryCache.makeStore({ capacity: 10 }))
      const made = yield* CacheService.make(store, { retry: Schedule.upTo(Schedule.spaced(10), { times: 2 }) })
      const context = Context.make(service, made).pipe(Context.add(TestCache.TestCache, instruments))
      yield* Effect.provide(
        Effect.gen(function*() {
          const down = yield* refusing()
          yield* fails(tag("x"))
          yield* TestClock.adjust("12 seconds")
          const times = down.asked.map((line) => Number(line.split(" ")[0]))
          assert.deepStrictEqual(times, [0, 10, 20, 5020, 10_020])
          down.down = false
        }),
        context
      )
    }))

  it.effect("several are delivered in the order in which they failed", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      for (const name of ["c", "a", "b", "d"]) yield* fails(tag(name))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* waiting, ["tag c", "tag a", "tag b", "tag d"])
      down.down = false
      down.asked.length = 0
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(down.asked, ["1500 tag c", "1500 tag a", "1500 tag b", "1500 tag d"])
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("those that cannot be delivered do not hold up those behind them", () =>
    Effect.gen(function*() {
      const down = yield* refusing("tag a", "tag b", "tag c", "tag z")
      for (const name of ["a", "b", "c", "z"]) yield* fails(tag(name))
      yield* load(yield* store, at("k", "z"))
      assert.deepStrictEqual(yield* seen(at("k", "z")), [false, true])
      yield* TestCache.restore
      const still = yield* refusing("tag a", "tag b", "tag c")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* waiting, ["tag a", "tag b", "tag c"])
      // What is delivered covers nothing any more.
      yield* load(yield* store, at("k", "z"))
      assert.deepStrictEqual(yield* seen(at("k", "z")), [true, true])
      down.down = still.down = false
    }).pipe(Effect.provide(text())))

  it.effect("a store that is down is not asked for each of many", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      for (let i = 0; i < 1000; i++) yield* fails(tag(`t${i}`))
      down.asked.length = 0
      yield* TestClock.adjust(100)
      assert.strictEqual(down.asked.length, 1)
      yield* TestClock.adjust(200)
      assert.strictEqual(down.asked.length, 3)
      down.down = false
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("that is called for again and acknowledged is done with", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      yield* CacheService.invalidate(tag("x"))
      assert.deepStrictEqual(yield* waiting, [])
      const asked = yield* recording
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(text())))

  it.effect("that is called for again and fails again is one", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* fails(tag("y"))
      yield* TestClock.adjust(50)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["tag y", "tag x"])
      const [, x] = yield* CacheService.undelivered
      assert.deepInclude(x, { since: 0, attempts: 2 })
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("an answer to an earlier try does not stand for a later call", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      // The second try takes place at once, and its answer takes half a second.
      yield* TestCache.disturb("invalidate", (_, perform) => Effect.tap(perform, Effect.sleep(500)), 1)
      yield* TestClock.adjust(100)
      // Loaded after the try has happened, and before the next call.
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      const asked = yield* recording
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.isFalse((yield* seen(at("a", "x")))[0])
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* waiting, [])
      assert.strictEqual(asked.length, 1)
    }).pipe(Effect.provide(text())))

  it.effect("whose caller is interrupted is delivered all the same", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.lose("invalidate", "request", 1)
      const fiber = yield* forked(CacheService.invalidate(tag("x")))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("of a store that dies is kept, too", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      let broken = true
      const made = yield* CacheService.make({
        ...memory,
        invalidate: (batch) => broken ? Effect.die("broken") : memory.invalidate(batch)
      })
      yield* Effect.exit(Effect.provideService(CacheService.invalidate(tag("x")), service, made))
      assert.strictEqual(made.undelivered().length, 1)
      yield* TestClock.adjust(100)
      assert.strictEqual(made.undelivered().length, 1)
      broken = false
      yield* TestClock.adjust(200)
      assert.strictEqual(made.undelivered().length, 0)
    }))

  it.effect("of more than ten thousand targets everything is made", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* load(yield* store, at("other"))
      for (let i = 0; i < 10; i++) {
        yield* fails(Invalidation.keys(Array.from({ length: 1000 }, (_, n) => `k${i}:${n}`)))
      }
      assert.strictEqual((yield* waiting).length, 10)
      assert.isTrue((yield* seen(at("other")))[0])
      yield* TestClock.adjust(50)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["everything"])
      assert.deepInclude((yield* CacheService.undelivered)[0], { since: 0 })
      assert.isFalse((yield* seen(at("other")))[0])
      yield* fails(tag("y"))
      assert.strictEqual((yield* waiting).length, 2)
      down.down = false
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* waiting, [])
      assert.deepStrictEqual(yield* seen(at("other")), [false, false])
    }).pipe(Effect.provide(text({ failures: 100 }))))

  it.effect("is told as events, each time, until it is acknowledged", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      yield* forked(Stream.runForEach(CacheService.events, (one) =>
        Effect.sync(() => {
          if (one._tag === "Undelivered") {
            heard.push(`${one.invalidation} undelivered ${one.attempts} ${one.error.reason._tag}`)
          } else if (one._tag === "Invalidated") heard.push(`${one.invalidation} invalidated ${one.entries}`)
          else heard.push(one._tag)
        })))
      const { watched } = yield* service
      while (!watched()) yield* Effect.yieldNow
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("invalidate", 3)
      yield* fails(tag("x"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(heard, [
        "StoreFailed",
        "tag x undelivered 1 Unavailable",
        "StoreFailed",
        "tag x undelivered 2 Unavailable",
        "StoreFailed",
        "tag x undelivered 3 Unavailable",
        "tag x invalidated 1"
      ])
    }).pipe(Effect.provide(text())))

  /** The lines that are logged, and the context that logs them. */
  const makeLog = () => {
    const lines: Array<{ readonly level: string; readonly text: string; readonly annotations: object }> = []
    const logger = Logger.make((options) => {
      const annotations = options.fiber.getRef(References.CurrentLogAnnotations)
      lines.push({ level: options.logLevel, text: String(options.message), annotations })
    })
    return { lines, layer: Logger.layer([logger]) }
  }

  it.effect("makes a line in the log when it begins, and then one a minute", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const down = yield* refusing()
        yield* Effect.annotateLogs(fails(tag("x")), { request: 1 })
        yield* fails(tag("y"))
        assert.strictEqual(log.lines.length, 1)
        assert.strictEqual(log.lines[0]!.level, "Warn")
        assert.deepStrictEqual(log.lines[0]!.annotations, {
          request: 1,
          invalidation: "tag x",
          reason: "Unavailable",
          undelivered: 1
        })
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(log.lines.length, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(log.lines.length, 2)
        // It is about one of the two, and says whose that was.
        const { invalidation, request } = log.lines[1]!.annotations as Record<string, unknown>
        assert.strictEqual(request, invalidation === "tag x" ? 1 : undefined)
        down.down = false
        yield* TestClock.adjust("5 seconds")
      }).pipe(Effect.provide(text()), Effect.provide(log.layer))
      assert.strictEqual(log.lines.length, 2)
    }))

  it.effect("of a write behind a fence that could not be taken away is delivered after it", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("lift", 1)
      yield* Effect.flip(CacheService.mutate(Effect.void, tag("x")))
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      const asked = yield* recording
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(asked, ["100 tag x"])
      assert.deepStrictEqual(yield* waiting, [])
      // So it is if the write has failed: it may have happened.
      yield* TestCache.fail("lift", 1)
      assert.strictEqual(yield* Effect.flip(CacheService.mutate(Effect.fail("no"), tag("x"))), "no")
      assert.deepStrictEqual(yield* waiting, ["tag x"])
    }).pipe(Effect.provide(text())))

  it.effect("is not made of a fence that could not be opened: nothing was written", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("fence", 1)
      yield* Effect.flip(CacheService.mutate(Effect.void, tag("x")))
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("costs a hit nothing while there is none: the answer is the store's own", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const made = yield* CacheService.make(memory)
      yield* load(made.store, at("a"))
      assert.isTrue(Exit.isExit(made.store.read(at("a"))))
      assert.strictEqual(made.store.read(at("a")), memory.read(at("a")))
    }))

  it.effect("is known to who asks why", () =>
    Effect.gen(function*() {
      const one = Cached.make("one", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.succeed(1)
      }, Policy.tagged("x"))
      yield* Cached.get(one, undefined)
      assert.strictEqual((yield* Cached.explain(one, undefined)).verdict, "Fresh")
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust(50)
      const why = yield* Cached.explain(one, undefined)
      assert.strictEqual(why.verdict, "Dead")
      assert.include(why.toString(), "not acknowledged by the store 50 ms ago")
      down.down = false
    }).pipe(Effect.provide(text())))

  describe("and loads", () => {
    it.effect("one that began before is not stored, nor shared", () =>
      Effect.gen(function*() {
        const port = yield* store
        const lease = yield* begin(port, at("a", "x"))
        const down = yield* refusing()
        yield* fails(tag("found"))
        assert.strictEqual(
          yield* port.commit(at("a", "x"), lease, draft(at("a", "x"), { found: ["found"] })),
          "invalidated"
        )
        assert.deepStrictEqual(yield* TestCache.entries, [])
        assert.strictEqual((yield* TestCache.sizes).leases, 0)
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("one that is just being stored is not shared", () =>
      Effect.gen(function*() {
        const port = yield* store
        const lease = yield* begin(port, at("a", "x"))
        yield* TestCache.disturb("commit", (_, perform) => Effect.tap(perform, Effect.sleep(50)), 1)
        const committing = yield* forked(port.commit(at("a", "x"), lease, draft(at("a", "x"))))
        const down = yield* refusing()
        yield* fails(tag("x"))
        yield* TestClock.adjust(50)
        assert.strictEqual(yield* Fiber.join(committing), "invalidated")
        assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("one that began after it is stored and shared; of two, the later one counts", () =>
      Effect.gen(function*() {
        const port = yield* store
        const down = yield* refusing()
        yield* fails(tag("x"))
        const [a, b] = [yield* begin(port, at("a", "x")), yield* begin(port, at("b", "x"))]
        assert.strictEqual(yield* port.commit(at("a", "x"), a, draft(at("a", "x"))), "stored")
        yield* fails(tag("y"))
        yield* fails(tag("x"))
        assert.strictEqual(yield* port.commit(at("b", "x"), b, draft(at("b", "x"))), "invalidated")
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("an entry that it covers is dropped for whoever would load", () =>
      Effect.gen(function*() {
        const port = yield* store
        yield* load(port, at("a", "x"))
        const down = yield* refusing()
        yield* fails(tag("x"))
        const begun = yield* port.begin(at("a", "x"), asks())
        assert.strictEqual(begun._tag, "Leased")
        assert.deepStrictEqual(yield* TestCache.entries, [])
        down.down = false
      }).pipe(Effect.provide(text())))

    /** A value that takes a second to load, and how often it was. */
    const slow = () => {
      const origin = { value: 0, loads: 0 }
      const cached = Cached.make("slow", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () =>
          Effect.suspend(() => {
            origin.loads++
            return Effect.delay(Effect.succeed(origin.value), "1 second")
          })
      }, Policy.tagged("x"))
      return { origin, get: Cached.get(cached, undefined) }
    }

    it.effect("a hundred callers afterwards make one load of their own, and join none from before", () =>
      Effect.gen(function*() {
        // The answers travel: all hundred ask before the first is answered.
        yield* TestCache.disturb("begin", (_, perform) => Effect.tap(perform, Effect.sleep(10)))
        const { get, origin } = slow()
        const early = yield* forked(get)
        const joined = yield* forked(get)
        yield* TestClock.adjust(100)
        origin.value = 1
        const down = yield* refusing()
        yield* fails(tag("x"))
        const late = yield* Effect.forEach(Array.from({ length: 100 }), () => forked(get))
        // None of them has waited for the load from before.
        yield* TestClock.adjust(1050)
        assert.isTrue(late.every((fiber) => fiber.pollUnsafe() !== undefined))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.deepStrictEqual([...new Set(yield* Effect.forEach(late, Fiber.join))], [1])
        // It was reading before that load began, which is as good to it as one of its own.
        assert.strictEqual(yield* Fiber.join(joined), 0)
        assert.isAtMost(origin.loads, 3)
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("reads load, until it is delivered; then they are hits again", () =>
      Effect.gen(function*() {
        const origin = { loads: 0 }
        const cached = Cached.make("count", {
          key: Key.unit,
          value: Schema.Finite,
          lookup: () => Effect.sync(() => ++origin.loads)
        }, Policy.tagged("x"))
        const get = Cached.get(cached, undefined)
        yield* get
        const down = yield* refusing()
        yield* fails(tag("x"))
        assert.deepStrictEqual([yield* get, yield* get], [2, 3])
        assert.isTrue((yield* Cached.getOption(cached, undefined))._tag === "None")
        down.down = false
        yield* TestClock.adjust(100)
        assert.deepStrictEqual([yield* get, yield* get], [4, 4])
      }).pipe(Effect.provide(text())))
  })

  describe("when the layer is released", () => {
    /** A service on a store whose invalidations end as they are told; what was logged when it was released. */
    const releasing = (
      last: Effect.Effect<number, CacheStore.StoreError>,
      ...batches: ReadonlyArray<Invalidation.Invalidation>
    ) =>
      Effect.gen(function*() {
        const log = makeLog()
        const asked: Array<string> = []
        let answer: Effect.Effect<number, CacheStore.StoreError> = refused("invalidate")
        yield* Effect.gen(function*() {
          const memory = yield* MemoryCache.makeStore({ capacity: 10 })
          const invalidate = (batch: Invalidation.Invalidation) =>
            Effect.suspend(() => {
              asked.push(batch.toString())
              return answer
            })
          const made = yield* CacheService.make(CacheStore.guard({ ...memory, invalidate }))
          for (const batch of batches) yield* Effect.provideService(fails(batch), service, made)
          asked.length = 0
          log.lines.length = 0
          answer = last
        }).pipe(Effect.scoped, Effect.provide(log.layer), Effect.provideService(References.MinimumLogLevel, "All"))
        return { asked, lines: log.lines.map(({ annotations, level }) => [level, annotations]) }
      })

    it.effect("all are tried once more, together", () =>
      Effect.gen(function*() {
        const { asked, lines } = yield* releasing(Effect.succeed(7), tag("x"), tag("y"), Invalidation.keys("a"))
        assert.deepStrictEqual(asked, ["key a, tag x, tag y"])
        assert.deepStrictEqual(lines, [["Debug", { invalidation: "key a, tag x, tag y", entries: 7 }]])
      }))

    it.effect("and those that are lost are named", () =>
      Effect.gen(function*() {
        const { asked, lines } = yield* releasing(refused("invalidate"), tag("x"), tag("y"))
        assert.deepStrictEqual(asked, ["tag x, tag y"])
        assert.deepStrictEqual(lines, [["Warn", { invalidation: "tag x, tag y", undelivered: 2 }]])
      }))

    it.effect("a store that does not answer is not waited for", () =>
      Effect.gen(function*() {
        const { lines } = yield* releasing(Effect.never, tag("x"))
        assert.deepStrictEqual(lines, [["Warn", { invalidation: "tag x", undelivered: 1 }]])
      }))

    it.effect("nothing is said if there is nothing", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* releasing(Effect.never), { asked: [], lines: [] })
      }))
  })
})

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
      const fiber = yield* forked(CacheService.mutate(write.write, over, options))
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
      assert.deepStrictEqual(yield* CacheService.mutate(during, over), [["fence"], false, "fenced", false])
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
      const fiber = yield* forked(Effect.flip(CacheService.mutate(write, over, { fence: 1000 })))
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
      assert.strictEqual(yield* Effect.flip(CacheService.mutate(Effect.fail("no"), over)), "no")
      const died = yield* Effect.exit(CacheService.mutate(Effect.die("broken"), over))
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
      assert.strictEqual(yield* Effect.flip(CacheService.mutate(Effect.fail("no"), over)), "no")
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
        assert.deepStrictEqual(yield* CacheService.mutate(during, one), [false, "fenced"], one.toString())
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

describe("layers", () => {
  it.effect("a service is made for each", () =>
    Effect.gen(function*() {
      const make = () => Layer.build(Layer.fresh(serviceOn(MemoryCache.makeStore({ capacity: 10 }))))
      const [first, second] = [yield* make(), yield* make()]
      assert.notStrictEqual(Context.get(first, service), Context.get(second, service))
      assert.notStrictEqual(Context.get(first, service).store, Context.get(second, service).store)
    }))
})
