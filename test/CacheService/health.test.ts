import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Logger, References, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { at } from "../support/port.ts"
import { reasonOf, service, store, text } from "./support.ts"

const answer = Cached.make("answer", {
  key: Key.string("of"),
  value: Schema.Finite,
  lookup: () => Effect.succeed(1)
}, Policy.forever)

const get = (key = "a") => Cached.get(answer, key)

/** The lines that are logged about the store, and the context that logs them. */
const makeLog = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const annotations = fiber.getRef(References.CurrentLogAnnotations)
    if (/undelivered/.test(JSON.stringify(annotations))) return
    lines.push(`${logLevel} ${String(message)} ${JSON.stringify(annotations)}`)
  })
  return {
    lines,
    layer: Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "All"))
  }
}

/** A store that fails with these words while they are set. */
const failing = Effect.fnUntraced(function*(name = "memory") {
  const memory = yield* MemoryCache.makeStore({ capacity: 10 })
  const state: { words: string | undefined; asked: number } = { words: undefined, asked: 0 }
  const or = <A>(operation: string, effect: Effect.Effect<A, CacheStore.StoreError>) =>
    Effect.suspend(() => {
      state.asked++
      const { words } = state
      return words === undefined ? effect : Effect.fail(
        new CacheStore.StoreError({
          operation,
          reason: { _tag: "Unavailable" },
          mayHaveHappened: false,
          cause: new Error(words)
        })
      )
    })
  const store: CacheStore.CacheStore = {
    ...memory,
    name,
    read: (address) => or("read", memory.read(address)),
    begin: (address, request) => or("begin", memory.begin(address, request)),
    abandon: (address, token) => or("abandon", memory.abandon(address, token)),
    invalidate: (batch) => or("invalidate", memory.invalidate(batch))
  }
  return { state, store }
})

const within = (made: CacheService.CacheService) => Effect.provideService(service, made)

describe("the health of a service", () => {
  it.effect("in memory it is always healthy", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
      yield* get()
      assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))

  it.effect("says what is lost, since when, why, and how many loads it has cost; then that it is back", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing()
        const made = yield* CacheService.make(CacheStore.guard(store))
        yield* Effect.gen(function*() {
          yield* get()
          yield* TestClock.adjust("1 minute")
          state.words = "connect ECONNREFUSED 127.0.0.1:6379"
          for (let i = 0; i < 20; i++) {
            yield* get()
            yield* TestClock.adjust(200)
          }
          const health = yield* CacheService.health
          assert(health._tag === "Lost")
          const { error, ...rest } = health
          assert.deepStrictEqual(rest, { _tag: "Lost", store: "memory", parts: ["reads"], since: 60_800, loads: 20 })
          assert.strictEqual(error.operation, "read")
          assert.deepStrictEqual(log.lines, [
            "Warn the store of the cache is lost, and not waited for: connect ECONNREFUSED 127.0.0.1:6379 " +
            "{\"store\":\"memory\",\"part\":\"reads\",\"operation\":\"read\",\"reason\":\"Unavailable\"}"
          ])
          state.words = undefined
          yield* TestClock.adjust(250)
          yield* get()
          assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
          assert.deepStrictEqual(log.lines.slice(1), [
            "Info the store of the cache is back {\"store\":\"memory\",\"millis\":3450,\"loads\":20}"
          ])
          // The next time the count begins anew.
          yield* TestClock.adjust("2 minutes")
          state.words = "gone"
          for (let i = 0; i < 5; i++) yield* get()
          const again = yield* CacheService.health
          assert.strictEqual(again._tag === "Lost" && again.loads, 5)
        }).pipe(within(made))
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("one that is asked seldom is lost, too", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing()
        const made = yield* CacheService.make(CacheStore.guard(store))
        state.words = "gone"
        yield* within(made)(get())
        assert.deepStrictEqual(log.lines, [], "once may happen to anybody")
        yield* TestClock.adjust("1 second")
        yield* within(made)(get())
        assert.lengthOf(log.lines, 1)
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("a single failure makes no line, and an answer begins the count anew", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing()
        const made = yield* CacheService.make(CacheStore.guard(store))
        for (let i = 0; i < 20; i++) {
          state.words = "gone"
          for (let i = 0; i < 4; i++) yield* within(made)(get())
          state.words = undefined
          yield* within(made)(get())
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual(log.lines, [])
        assert.deepStrictEqual(yield* made.health, { _tag: "Healthy" })
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("a store that comes and goes is told of once a minute, and one that stays away is told of all the same", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing()
        const made = yield* CacheService.make(CacheStore.guard(store))
        const flap = Effect.gen(function*() {
          state.words = "gone"
          for (let i = 0; i < 6; i++) yield* get()
          state.words = undefined
          yield* TestClock.adjust("1 second")
          yield* get()
        }).pipe(within(made))
        for (let i = 0; i < 59; i++) yield* flap
        assert.lengthOf(log.lines, 2)
        yield* flap
        yield* flap
        assert.lengthOf(log.lines, 4)
        assert.include(log.lines[2], "\"timesBefore\":58")
        state.words = "gone for good"
        for (let i = 0; i < 6; i++) yield* within(made)(get())
        assert.lengthOf(log.lines, 4)
        yield* TestClock.adjust("1 minute")
        yield* within(made)(get())
        assert.lengthOf(log.lines, 5)
        assert.include(log.lines[4], "gone for good")
        for (let i = 0; i < 100; i++) {
          yield* TestClock.adjust("10 seconds")
          yield* within(made)(get())
        }
        assert.lengthOf(log.lines, 5, "it is lost still, and that was said")
        state.words = undefined
        yield* TestClock.adjust("10 seconds")
        yield* within(made)(get())
        assert.include(log.lines[5], "is back")
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("no secret of a URL is in a line", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing()
        const made = yield* CacheService.make(CacheStore.guard(store))
        state.words = "cannot connect to redis://user:pa55word@cache.internal:6379/0"
        for (let i = 0; i < 5; i++) yield* within(made)(get())
        assert.include(log.lines[0], "cannot connect to redis://cache.internal:6379/0")
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("writes may be lost where reads are not", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        yield* get()
        yield* TestCache.fail("begin", 5)
        for (let i = 0; i < 5; i++) yield* get(`miss ${i}`)
        const health = yield* CacheService.health
        assert.deepStrictEqual(health._tag === "Lost" && health.parts, ["writes"])
        assert.deepStrictEqual(yield* Effect.map(Cached.getOption(answer, "a"), ({ _tag }) => _tag), "Some")
      }).pipe(Effect.provide(text()), Effect.provide(log.layer))
      assert.lengthOf(log.lines, 1)
    }))

  it.effect("what is lost is tried by whoever asks for the health, and by the other part: nothing stays lost unasked", () =>
    Effect.gen(function*() {
      const fail = Effect.gen(function*() {
        yield* TestCache.fail("read", 5)
        for (let i = 0; i < 5; i++) yield* get()
        assert.strictEqual((yield* CacheService.health)._tag, "Lost", "it is not yet time to try")
        yield* TestClock.adjust("10 seconds")
      })
      yield* fail
      assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
      yield* fail
      yield* Cached.apply(Invalidation.tags("x"))
      yield* Effect.yieldNow
      const { read } = yield* store
      assert.strictEqual(yield* reasonOf(read(at("a"))), "fine")
    }).pipe(Effect.provide(text())))

  it.effect("asking is bounded in time by the limits of the guard", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("read", Infinity)
      const fiber = yield* Effect.forkChild(Effect.forEach(["a", "b", "c", "d", "e"], get))
      for (let i = 0; i < 5; i++) yield* TestClock.adjust(250)
      assert.isDefined(fiber.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      const asking = yield* Effect.forkChild(CacheService.health)
      yield* TestClock.adjust(250)
      const exit = asking.pollUnsafe()
      assert(exit?._tag === "Success" && exit.value._tag === "Lost")
      assert.strictEqual(exit.value.error.reason._tag, "Timeout")
    }).pipe(Effect.provide(text())))

  it.effect("a store without a guard is observed as well", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const { state, store } = yield* failing("mine")
        const made = yield* CacheService.make(store)
        yield* Effect.gen(function*() {
          yield* get()
          assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
          state.words = "gone"
          for (let i = 0; i < 7; i++) yield* get()
          const health = yield* CacheService.health
          assert(health._tag === "Lost")
          assert.deepStrictEqual([health.store, health.parts, health.loads], ["mine", ["reads"], 7])
          yield* Effect.exit(Cached.invalidate(answer, "a"))
          state.words = undefined
          assert.deepStrictEqual(yield* CacheService.health, { _tag: "Healthy" })
          assert.lengthOf(log.lines, 2)
        }).pipe(within(made))
      }).pipe(Effect.provide(log.layer))
    }))

  it.effect("of several stores it is the worst, by its name", () =>
    Effect.gen(function*() {
      const one = yield* failing("one")
      const two = yield* failing("two")
      const layerOf = (store: CacheStore.CacheStore) => Layer.succeed(CacheStore.CacheStore, store)
      const named = (name: string) =>
        Cached.make(name, { key: Key.unit, value: Schema.Finite, lookup: () => Effect.succeed(1) }, Policy.forever)
      const routed = CacheStore.route({
        default: MemoryCache.layerStore({ capacity: 10 }),
        routes: { one: layerOf(CacheStore.guard(one.store)), two: layerOf(two.store) }
      })
      yield* Effect.gen(function*() {
        const read = (name: string) => Effect.replicateEffect(Cached.get(named(name), undefined), 5)
        const worst = Effect.map(CacheService.health, (health) => health._tag === "Lost" ? health.store : health._tag)
        yield* read("one")
        yield* read("two")
        yield* read("three")
        assert.strictEqual(yield* worst, "Healthy")
        two.state.words = "gone"
        yield* read("two")
        assert.strictEqual(yield* worst, "two")
        one.state.words = "gone"
        yield* TestClock.adjust("1 second")
        yield* read("one")
        assert.strictEqual(yield* worst, "two", "it is lost for longer")
        yield* Effect.replicateEffect(Effect.exit(Cached.invalidate(named("one"), undefined)), 5)
        assert.strictEqual(yield* worst, "one", "it takes no writes either")
      }).pipe(Effect.provide(Layer.provide(CacheService.layer(), routed)))
    }))

  it.effect("it is a value, and asking never fails", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const broken = {
        ...memory,
        read: () => {
          throw new Error("broken")
        }
      }
      const made = yield* CacheService.make(CacheStore.guard(broken))
      for (let i = 0; i < 6; i++) yield* within(made)(get())
      const exit = yield* Effect.exit(made.health)
      assert.isFalse(exit._tag === "Failure" && Cause.hasDies(exit.cause))
      assert.strictEqual(exit._tag === "Success" && exit.value._tag, "Lost")
    }))
})
