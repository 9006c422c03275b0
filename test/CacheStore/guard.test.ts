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

const invalidateNothing = ({ invalidate }: CacheStore.CacheStore) => invalidate(Invalidation.tags("nobody's"))

describe("guard", () => {
  const read = Effect.flatMap(store, ({ read }) => reasonOf(read(at("a"))))
  const begun = Effect.flatMap(store, ({ begin }) => reasonOf(begin(at("a"), asks())))

  /** What an operation that never answers gives, and that it takes exactly so long. */
  const frozenFor = (millis: number, operation: Effect.Effect<string, never, CacheService.CacheService>) =>
    Effect.gen(function*() {
      const fiber = yield* forked(operation)
      yield* TestClock.adjust(millis - 1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      return yield* Fiber.join(fiber)
    })

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
      assert.strictEqual(yield* frozenFor(250, Effect.uninterruptible(reasonOf(read(at("a"))))), "Timeout")
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
      const error = yield* Effect.flip((yield* store).read(at("a")))
      assert.isFalse(error.mayHaveHappened)
      assert.strictEqual((error.cause as CacheStore.StoreError).reason._tag, "Unavailable", "why it is left alone")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("after failures that took their time it is left alone for the whole while", () =>
    Effect.gen(function*() {
      yield* TestCache.lose("read", "request", 3)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* frozenFor(250, read), "Timeout")
      yield* TestClock.adjust(4999)
      assert.strictEqual(yield* read, "CircuitOpen")
      assert.strictEqual(yield* asked("read"), 3)
      yield* TestClock.adjust(1)
      // Nobody waits for the one that tries.
      assert.strictEqual(yield* read, "CircuitOpen")
      yield* Effect.yieldNow
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
      yield* TestCache.delay("read", 200)
      const probe = yield* forked(read)
      assert.deepStrictEqual([yield* read, yield* read], ["CircuitOpen", "CircuitOpen"])
      yield* TestClock.adjust(200)
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
      assert.strictEqual(yield* begun, "CircuitOpen")
    }).pipe(Effect.provide(text({ failures: 3 }))))

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
        { readLimit: 0 },
        { readLimit: Infinity },
        { openAfter: 0 },
        { openAfter: Infinity },
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
      yield* TestClock.adjust(250)
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
      assert.strictEqual(yield* frozenFor(250, read), "Timeout")
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
      assert.strictEqual(yield* begun, "CircuitOpen")
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust(49)
        yield* reasonOf(invalidate(Invalidation.tags("x")))
      }
      assert.strictEqual(yield* begun, "CircuitOpen")
      yield* TestClock.adjust(5)
      assert.strictEqual(yield* begun, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("it closes the circuit when it succeeds", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("begin", 3)
      for (let i = 0; i < 3; i++) yield* begun
      assert.strictEqual(yield* begun, "CircuitOpen")
      yield* (yield* store).invalidate(Invalidation.tags("x"))
      assert.strictEqual(yield* begun, "fine")
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("a lease that cannot be given up does not count", () =>
    Effect.gen(function*() {
      const { abandon } = yield* store
      yield* TestCache.fail("abandon", 10)
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* reasonOf(abandon(at("a"), "none")), "Unavailable")
      assert.strictEqual(yield* read, "fine")
      assert.strictEqual(yield* begun, "fine")
    }).pipe(Effect.provide(text({ failures: 3, openFor: "5 seconds" }))))

  it.effect("what walks all keys, or has more than 1000 targets, has a limit of its own", () =>
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
      const keys = (count: number) => Invalidation.keys(Array.from({ length: count }, (_, i) => `key:${i}`))
      const quick = yield* start([named, keys(1000)])
      const slow = yield* start([
        Invalidation.everything,
        Invalidation.pattern({ name: "a", parts: [] }),
        Invalidation.combine(named, Invalidation.soft(Invalidation.everything)),
        keys(1001)
      ])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* Effect.forEach(quick, Fiber.join), quick.map(() => "Timeout"))
      yield* TestClock.adjust(399)
      assert.deepStrictEqual(slow.map((fiber) => fiber.pollUnsafe()), slow.map(() => undefined))
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Effect.forEach(slow, Fiber.join), slow.map(() => "Timeout"))
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
        { readLimit: 100, failures: 100 }
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

  it.effect("reads, writes and walks are judged apart", () =>
    Effect.gen(function*() {
      const { abandon, commit, discard, inspect, scan } = yield* store
      const lease = { token: "none" }
      const writes = [
        Effect.asVoid(commit(at("a"), lease, draft(at("a")))),
        Effect.asVoid(discard(at("a"), lease, [])),
        Effect.asVoid(invalidateNothing(yield* store))
      ]
      yield* TestCache.fail("begin", 3)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* begun, "Unavailable")
      assert.deepStrictEqual(yield* Effect.forEach(writes, reasonOf), ["CircuitOpen", "CircuitOpen", "fine"])
      assert.deepStrictEqual([yield* read, yield* reasonOf(inspect(at("a")))], ["fine", "fine"])

      yield* TestCache.fail("scan", 3)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* reasonOf(scan({ limit: 1 })), "Unavailable")
      assert.strictEqual(yield* reasonOf(inspect(at("a"))), "CircuitOpen")
      assert.deepStrictEqual([yield* read, yield* begun], ["fine", "fine"])

      yield* TestCache.fail("read", 3)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* read, "Unavailable")
      assert.deepStrictEqual([yield* read, yield* begun], ["CircuitOpen", "fine"])
      assert.strictEqual(yield* reasonOf(abandon(at("a"), "none")), "fine")
    }).pipe(Effect.provide(text({ failures: 3 }))))

  it.effect("a read that is given up sooner than a write", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("read", Infinity)
      yield* TestCache.delay("begin", Infinity)
      yield* TestCache.delay("inspect", Infinity)
      const { inspect } = yield* store
      assert.strictEqual(yield* frozenFor(250, read), "Timeout")
      assert.strictEqual(yield* frozenFor(1000, begun), "Timeout")
      assert.strictEqual(yield* frozenFor(1000, reasonOf(inspect(at("a")))), "Timeout")
    }).pipe(Effect.provide(text())))

  it.effect("its limit is a quarter of the other, unless given", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const frozen = { ...memory, read: () => Effect.never }
      const limits = [[{ timeLimit: 400 }, 100], [{ timeLimit: 400, readLimit: 300 }, 300]] as const
      for (const [options, limit] of limits) {
        assert.strictEqual(
          yield* frozenFor(limit, reasonOf(CacheStore.guard(frozen, options).read(at("a")))),
          "Timeout"
        )
      }
    }).pipe(Effect.provide(text())))

  // The arithmetic of the defaults, on a store that takes its time to answer.
  const answeringAfter = Effect.fnUntraced(function*(millis: () => number) {
    const memory = yield* MemoryCache.makeStore({ capacity: 10 })
    let asks = 0
    const slow = <A>(answer: Effect.Effect<A, CacheStore.StoreError>) =>
      Effect.suspend(() => {
        asks++
        const wait = millis()
        return wait === Infinity ? Effect.never : Effect.andThen(Effect.sleep(wait), answer)
      })
    const guarded = CacheStore.guard({
      ...memory,
      read: (address) => slow(memory.read(address)),
      begin: (address, request) => slow(memory.begin(address, request)),
      commit: (address, lease, draft) => slow(memory.commit(address, lease, draft))
    })
    return { guarded, made: yield* CacheService.make(guarded), asks: () => asks }
  })

  const numberOf = (origin: { loads: number }) =>
    Cached.make("number", {
      key: Key.string("of"),
      value: Schema.Finite,
      lookup: () => Effect.sync(() => origin.loads++)
    }, Policy.forever)

  /** How long an effect takes; time passes as it needs. */
  const taking = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const started = yield* Clock.currentTimeMillis
      const fiber = yield* forked(Effect.flatMap(effect, () => Clock.currentTimeMillis))
      for (let i = 0; i < 10_000 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust(1)
      return (yield* Fiber.join(fiber)) - started
    })

  it.effect("a store that is far away and answers in 200 ms loses no hit, and opens no circuit", () =>
    Effect.gen(function*() {
      const origin = { loads: 0 }
      const cached = numberOf(origin)
      const { made } = yield* answeringAfter(() => 200)
      const get = Effect.provideService(Cached.get(cached, "a"), service, made)
      yield* taking(get)
      for (let i = 0; i < 50; i++) assert.strictEqual(yield* taking(get), 200)
      yield* taking(Effect.all(Array.from({ length: 50 }, () => get), { concurrency: "unbounded" }))
      assert.strictEqual(origin.loads, 1)
      assert.strictEqual(yield* made.health.pipe(Effect.map(({ _tag }) => _tag)), "Healthy")
    }))

  for (const pause of [0, 100, 400, 999, 3000]) {
    it.effect(`one that is frozen costs a read 250 ms, and within a second nothing: a read each ${pause} ms`, () =>
      Effect.gen(function*() {
        const origin = { loads: 0 }
        const cached = numberOf(origin)
        let wait = 1
        const { asks, made } = yield* answeringAfter(() => wait)
        const get = Effect.provideService(Cached.get(cached, "a"), service, made)
        yield* taking(get)
        assert.strictEqual(yield* taking(get), 1)
        wait = Infinity
        let firstTimeout = Infinity
        const started = yield* Clock.currentTimeMillis
        while ((yield* Clock.currentTimeMillis) < started + 60_000) {
          const now = yield* Clock.currentTimeMillis
          const took = yield* taking(get)
          assert.isAtMost(took, 250)
          if (now >= firstTimeout + 1000) assert.strictEqual(took, 0, `${now - firstTimeout} ms after the first`)
          if (took > 0) firstTimeout = Math.min(firstTimeout, now + took)
          yield* TestClock.adjust(Math.max(pause, took === 0 ? 50 : 0))
        }
        assert.isBelow(asks(), 25, "it is left alone")
        // When it goes on, it is used again.
        wait = 1
        yield* TestClock.adjust("6 seconds")
        yield* taking(get)
        yield* TestClock.adjust(1)
        const { loads } = origin
        assert.strictEqual(yield* taking(get), 1)
        assert.strictEqual(origin.loads, loads)
      }))
  }

  it.effect("hits go on while no write is answered, and misses wait for none after a second", () =>
    Effect.gen(function*() {
      const origin = { loads: 0 }
      const cached = numberOf(origin)
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      let paused = false
      const guarded = CacheStore.guard({
        ...memory,
        read: (address) => Effect.andThen(Effect.sleep(1), memory.read(address)),
        begin: (address, request) => paused ? Effect.never : Effect.suspend(() => memory.begin(address, request)),
        abandon: (address, token) => paused ? Effect.never : Effect.suspend(() => memory.abandon(address, token))
      })
      const made = yield* CacheService.make(guarded)
      const get = (key: string) => Effect.provideService(Cached.get(cached, key), service, made)
      yield* taking(get("hot"))
      paused = true
      assert.strictEqual(yield* taking(get("miss 1")), 1001)
      yield* TestClock.adjust("1 second")
      for (let i = 2; i < 20; i++) {
        const { loads } = origin
        assert.strictEqual(yield* taking(get("hot")), 1)
        assert.strictEqual(origin.loads, loads, "a hit")
        assert.strictEqual(yield* taking(get(`miss ${i}`)), 1)
      }
      paused = false
      yield* TestClock.adjust("7 seconds")
      yield* taking(get("hot")) // finds that it is back, beside
      yield* TestClock.adjust(1)
      yield* taking(get("again"))
      const { loads } = origin
      yield* taking(get("again"))
      assert.strictEqual(origin.loads, loads)
    }))
})
