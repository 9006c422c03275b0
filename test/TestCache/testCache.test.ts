import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Random, Schema, SchemaTransformation } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { asks, at, begin, draft, load } from "../support/port.ts"

const fresh = (options?: TestCache.Options) => Layer.fresh(TestCache.layer(options))

const store = Effect.map(CacheService.CacheService, ({ store }) => store)

const forked = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const names = Effect.map(TestCache.operations, (all) => all.map(({ name }) => name))

/** A read that counts its loads. */
const counted = () => {
  const origin = { loads: 0 }
  const cached = Cached.make("counted", {
    key: Key.int("n"),
    value: Schema.Struct({ n: Schema.Int, at: Schema.Date }),
    lookup: (n) =>
      Effect.sync(() => {
        origin.loads++
        return { n, at: new Date(0) }
      })
  }, Policy.all(Policy.ttl("1 minute"), Policy.tagged("counted")))
  return { origin, cached }
}

describe("what is kept", () => {
  it.effect("is text, as a remote store would keep it", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      yield* Cached.get(cached, 7)
      const [entry, ...others] = yield* TestCache.entries
      assert.strictEqual(others.length, 0)
      assert.strictEqual(entry?.key, "counted:7")
      assert.strictEqual(entry?.payload, "{\"n\":7,\"at\":\"1970-01-01T00:00:00.000Z\"}")
      assert.deepStrictEqual(entry?.stamp.dependencies.map(String), ["tag/counted"])
      assert.deepStrictEqual(yield* Cached.get(cached, 7), { n: 7, at: new Date(0) })
    }).pipe(Effect.provide(fresh())))

  it.effect("shows a schema that does not survive its own encoding", () =>
    Effect.gen(function*() {
      // It forgets what stands behind the comma.
      const Price = Schema.Finite.pipe(
        Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: (n: number) => n, encode: Math.floor }))
      )
      const price = Cached.make("price", {
        key: Key.unit,
        value: Price,
        lookup: () => Effect.succeed(9.99)
      }, Policy.forever)
      const twice = Effect.all([Cached.get(price, undefined), Cached.get(price, undefined)])
      const counted = Effect.all([
        twice,
        Effect.map(Cached.stats(price), ({ loads, unwritable }) => [loads, unwritable])
      ])
      assert.deepStrictEqual(yield* Effect.provide(counted, fresh()), [[9.99, 9.99], [2, 2]])
      assert.deepStrictEqual(yield* Effect.provide(twice, fresh({ payload: "value" })), [9.99, 9.99])
    }))

  it.effect("is the value itself, if that is asked for", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      const value = yield* Cached.get(cached, 7)
      assert.strictEqual((yield* TestCache.entries)[0]?.payload, value)
    }).pipe(Effect.provide(fresh({ payload: "value" }))))

  it.effect("has room for as many entries as it is told", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      for (const n of [1, 2, 3]) yield* Cached.get(cached, n)
      assert.deepStrictEqual((yield* TestCache.entries).map(({ key }) => key).sort(), ["counted:2", "counted:3"])
      assert.strictEqual((yield* TestCache.sizes).entries, 2)
    }).pipe(Effect.provide(fresh({ capacity: 2 }))))

  it.effect("does not change in the hands of who has read it", () =>
    Effect.gen(function*() {
      const port = yield* store
      const address = at("a", "x", "y")
      yield* load(port, address)
      const before = yield* port.read(address)
      yield* port.invalidate(Invalidation.tags("x"))
      yield* port.invalidate(Invalidation.soft(Invalidation.keys("a")))
      assert.deepStrictEqual([before?.changed, before?.softened], [undefined, false])
      const after = yield* port.read(address)
      yield* port.invalidate(Invalidation.tags("y"))
      assert.deepStrictEqual([after?.changed?.size, after?.softened], [1, true])
      assert.strictEqual((yield* port.read(address))?.changed?.size, 2)
    }).pipe(Effect.provide(fresh())))

  it.effect("can be lost, by key or all of it", () =>
    Effect.gen(function*() {
      const { cached, origin } = counted()
      for (const n of [1, 2, 3]) yield* Cached.get(cached, n)
      yield* TestCache.evict("entry", "counted:2")
      assert.deepStrictEqual((yield* TestCache.entries).map(({ key }) => key).sort(), ["counted:1", "counted:3"])
      yield* TestCache.evict("entry")
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* Cached.get(cached, 1)
      assert.strictEqual(origin.loads, 4)
    }).pipe(Effect.provide(fresh())))

  it.effect("leases and the journal can be lost, which costs a load", () =>
    Effect.gen(function*() {
      const port = yield* store
      for (const lost of [TestCache.evict("lease", "a"), TestCache.evict("lease"), TestCache.evict("journal")]) {
        const lease = yield* begin(port, at("a"))
        yield* lost
        assert.include(["lost", "invalidated"], yield* port.commit(at("a"), lease, draft(at("a"), { found: ["x"] })))
      }
      assert.strictEqual(yield* load(port, at("a"), { found: ["x"] }), "stored")
    }).pipe(Effect.provide(fresh())))

  it.effect("can be corrupted, which costs a load and no error", () =>
    Effect.gen(function*() {
      const { cached, origin } = counted()
      yield* Cached.get(cached, 1)
      for (const garbage of ["{", "", "{\"n\":\"one\"}", undefined, 12, { n: 1 }]) {
        assert.isTrue(yield* TestCache.corrupt("counted:1", garbage))
        const before = origin.loads
        assert.strictEqual((yield* Cached.get(cached, 1)).n, 1)
        assert.strictEqual(origin.loads, before + 1, String(garbage))
      }
      assert.strictEqual((yield* Cached.stats(cached)).unreadable, 6)
      assert.isFalse(yield* TestCache.corrupt("counted:2", "{"))
    }).pipe(Effect.provide(fresh())))
})

describe("operations", () => {
  it.effect("are recorded, whichever is asked of the store, and can be disturbed", () =>
    Effect.gen(function*() {
      const port = yield* store
      const fence = { id: "fence", over: Invalidation.tags("x"), length: 1000 }
      // An operation that is added to the port has to be added here.
      const asked: Record<TestCache.Operation["name"], Effect.Effect<unknown, CacheStore.StoreError>> = {
        read: Effect.suspend(() => port.read(at("a"))),
        begin: port.begin(at("a"), asks({ token: "lease" })),
        commit: port.commit(at("a"), { token: "lease" }, draft(at("a"))),
        discard: port.discard(at("a"), { token: "lease" }, undefined),
        abandon: port.abandon(at("a"), "lease"),
        released: port.released(at("a"), "lease"),
        invalidate: port.invalidate(Invalidation.tags("x")),
        fence: port.fence(fence),
        lift: port.lift(fence),
        inspect: port.inspect({ key: "a", known: [] }),
        scan: port.scan({ limit: 1 })
      }
      for (const [name, ask] of Object.entries(asked)) {
        yield* TestCache.forget
        yield* ask
        assert.deepStrictEqual(yield* names, [name])
        yield* TestCache.fail(name as TestCache.Operation["name"], 1)
        const { operation } = yield* Effect.flip(ask)
        assert.strictEqual(operation, name)
      }
    }).pipe(Effect.provide(fresh({ failures: 100 }))))

  it.effect("are recorded in order, with their key, what they were about, and how they ended", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      yield* Cached.get(cached, 1)
      yield* Cached.get(cached, 1)
      yield* Cached.refresh(cached, 1)
      yield* Cached.apply(Invalidation.combine(Invalidation.tags("counted"), Cached.pattern(cached)))
      yield* Cached.mutate(Effect.void, Invalidation.tags("x"))
      yield* Cached.explain(cached, 1)
      assert.deepStrictEqual(yield* TestCache.operations, [
        { name: "read", key: "counted:1", detail: undefined, result: "nothing" },
        { name: "begin", key: "counted:1", detail: undefined, result: "Leased" },
        { name: "commit", key: "counted:1", detail: undefined, result: "stored" },
        { name: "read", key: "counted:1", detail: undefined, result: "entry" },
        { name: "begin", key: "counted:1", detail: "by force", result: "Leased" },
        { name: "commit", key: "counted:1", detail: undefined, result: "stored" },
        { name: "invalidate", key: undefined, detail: "keys counted:*, tag counted", result: "1" },
        { name: "fence", key: undefined, detail: "tag x", result: "0" },
        { name: "lift", key: undefined, detail: "tag x", result: "true" },
        { name: "inspect", key: "counted:1", detail: undefined, result: "entry" }
      ])
      yield* TestCache.forget
      assert.deepStrictEqual(yield* TestCache.operations, [])
    }).pipe(Effect.provide(fresh())))

  it.effect("have no result until they have ended, and the reason when they failed", () =>
    Effect.gen(function*() {
      const { read } = yield* store
      yield* TestCache.delay("read", 200, 1)
      yield* TestCache.fail("read", 1)
      const fiber = yield* forked(read(at("a")))
      yield* Effect.flip(read(at("b")))
      const results = Effect.map(TestCache.operations, (all) => all.map(({ result }) => result))
      assert.deepStrictEqual(yield* results, [undefined, "Unavailable"])
      yield* TestClock.adjust(200)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* results, ["nothing", "Unavailable"])
    }).pipe(Effect.provide(fresh())))
})

describe("disturbances", () => {
  it.effect("fail lets so many operations fail, which do not take effect", () =>
    Effect.gen(function*() {
      const port = yield* store
      yield* load(port, at("a"))
      yield* TestCache.fail("invalidate", 2)
      const all = Invalidation.keys("a")
      for (let i = 0; i < 2; i++) {
        const error = yield* Effect.flip(port.invalidate(all))
        assert.deepStrictEqual([error.operation, error.reason._tag, error.mayHaveHappened], [
          "invalidate",
          "Unavailable",
          false
        ])
        assert.strictEqual((yield* TestCache.entries).length, 1)
      }
      assert.strictEqual(yield* port.invalidate(all), 1)
    }).pipe(Effect.provide(fresh())))

  it.effect("are of one name, and leave the others alone", () =>
    Effect.gen(function*() {
      const { cached, origin } = counted()
      yield* TestCache.fail("commit")
      yield* Cached.get(cached, 1)
      yield* Cached.get(cached, 1)
      assert.strictEqual(origin.loads, 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
    }).pipe(Effect.provide(fresh())))

  it.effect("delay lets an operation wait before it happens", () =>
    Effect.gen(function*() {
      const port = yield* store
      yield* load(port, at("a"))
      yield* TestCache.delay("invalidate", 300, 1)
      const fiber = yield* forked(port.invalidate(Invalidation.keys("a")))
      yield* TestClock.adjust(299)
      assert.strictEqual((yield* TestCache.entries).length, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* TestCache.entries).length, 0)
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    }).pipe(Effect.provide(fresh())))

  it.effect("a store that is frozen answers nobody, and costs a read its time limit", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      yield* TestCache.delay("read", Infinity)
      const fiber = yield* forked(Cached.get(cached, 1))
      yield* TestClock.adjust(199)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(fiber)).n, 1)
    }).pipe(Effect.provide(fresh({ readLimit: 200 }))))

  it.effect("lose loses the request, and nothing happens; or the answer, and it has happened", () =>
    Effect.gen(function*() {
      const port = yield* store
      for (const [what, left] of [["request", 1], ["answer", 0]] as const) {
        yield* load(port, at("a"))
        yield* TestCache.lose("invalidate", what, 1)
        const fiber = yield* forked(Effect.flip(port.invalidate(Invalidation.keys("a"))))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Timeout")
        assert.strictEqual((yield* TestCache.entries).length, left)
      }
    }).pipe(Effect.provide(fresh())))

  it.effect("come in the order in which they were asked for, each as often as it says", () =>
    Effect.gen(function*() {
      const { read } = yield* store
      const seen: Array<string> = []
      const tell = (text: string): Parameters<typeof TestCache.disturb>[1] => (operation, perform) =>
        Effect.suspend(() => {
          seen.push(`${text} ${operation.name} ${operation.key}`)
          return perform
        })
      yield* TestCache.disturb("read", tell("first"), 2)
      yield* TestCache.disturb("read", tell("second"), 1)
      yield* TestCache.disturb("read", tell("rest"))
      for (const key of ["a", "b", "c", "d", "e"]) yield* read(at(key))
      assert.deepStrictEqual(seen, ["first read a", "first read b", "second read c", "rest read d", "rest read e"])
    }).pipe(Effect.provide(fresh())))

  it.effect("end when all is restored", () =>
    Effect.gen(function*() {
      const { read } = yield* store
      yield* TestCache.fail("read")
      yield* TestCache.delay("commit", Infinity)
      yield* Effect.flip(read(at("a")))
      yield* TestCache.restore
      assert.isUndefined(yield* read(at("a")))
      assert.strictEqual(yield* load(yield* store, at("a")), "stored")
    }).pipe(Effect.provide(fresh())))

  it.effect("of a race, an operation can be held in the middle", () =>
    Effect.gen(function*() {
      const { cached } = counted()
      // The commit's answer travels for a while, and an invalidation overtakes it.
      yield* TestCache.disturb("commit", (_, perform) => Effect.tap(perform, Effect.sleep(100)), 1)
      const first = yield* forked(Cached.get(cached, 1))
      yield* Cached.apply(Invalidation.tags("counted"))
      assert.deepStrictEqual(yield* names, ["read", "begin", "commit", "invalidate"])
      yield* TestClock.adjust(100)
      yield* Fiber.join(first)
      assert.deepStrictEqual(yield* TestCache.entries, [])
    }).pipe(Effect.provide(fresh())))
})

describe("options", () => {
  it.effect("after so many failures the store is left alone for so long", () =>
    Effect.gen(function*() {
      const { read } = yield* store
      const reason = Effect.map(Effect.flip(read(at("a"))), ({ reason }) => reason._tag)
      yield* TestCache.fail("read", 2)
      assert.deepStrictEqual([yield* reason, yield* reason, yield* reason], [
        "Unavailable",
        "Unavailable",
        "CircuitOpen"
      ])
      yield* TestClock.adjust(300)
      assert.isUndefined(yield* read(at("a")))
    }).pipe(Effect.provide(fresh({ failures: 2, openFor: 300 }))))

  it.effect("programs draw from the seed, so everything repeats", () =>
    Effect.gen(function*() {
      const draws = Effect.all([Random.next, Random.next, Random.nextInt])
      const from = (options?: TestCache.Options) => Effect.provide(draws, fresh(options))
      assert.deepStrictEqual(yield* from(), yield* from())
      assert.deepStrictEqual(yield* from({ seed: 7 }), yield* from({ seed: 7 }))
      assert.notDeepEqual(yield* from({ seed: 7 }), yield* from({ seed: 8 }))
      assert.notDeepEqual(yield* from({ seed: 7 }), yield* from())
    }))

  it.effect("two test caches know nothing of each other", () =>
    Effect.gen(function*() {
      const { cached, origin } = counted()
      const used = Effect.andThen(Cached.get(cached, 1), Effect.all([TestCache.sizes, names]))
      assert.deepStrictEqual(yield* Effect.provide(used, fresh()), yield* Effect.provide(used, fresh()))
      assert.strictEqual(origin.loads, 2)
    }))
})
