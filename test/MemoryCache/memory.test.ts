import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import fc from "fast-check"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Dependency from "../../src/Dependency.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import { InvalidInput } from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import { asks, at, begin, draft, load } from "../support/port.ts"

const empty: ReturnType<MemoryCache.MemoryStore["sizes"]> = {
  entries: 0,
  bytes: 0,
  dependencies: 0,
  leases: 0,
  journal: 0,
  fences: 0
}

const tags = (...names: ReadonlyArray<string>) => Invalidation.tags(names)

describe("room", () => {
  it.effect("the least recently used entry goes first, and reading is using", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 3 })
      for (const key of ["a", "b", "c"]) yield* load(store, at(key))
      yield* store.read(at("a"))
      yield* load(store, at("d"))
      assert.sameMembers([...store.keys()], ["a", "c", "d"])
      yield* load(store, at("a"))
      yield* load(store, at("e"))
      assert.sameMembers([...store.keys()], ["a", "d", "e"])
    }))

  it("goes by use: of the uses of an entry between two insertions, the first counts", () => {
    const key = fc.constantFrom("a", "b", "c", "d", "e")
    const uses = fc.array(fc.tuple(fc.constantFrom("read", "load"), key), { maxLength: 60, size: "max" })
    const play = (all: ReadonlyArray<readonly [string, string]>) =>
      Effect.gen(function*() {
        const store = yield* MemoryCache.makeStore({ capacity: 3 })
        // The least recently used first, and those that were read since the last insertion.
        let [order, read]: [Array<string>, Set<string>] = [[], new Set()]
        for (const [use, key] of all) {
          const there = order.includes(key)
          if (use === "load") {
            yield* load(store, at(key))
            order = [...order.filter((one) => one !== key), key].slice(-3)
            read = new Set()
          } else {
            assert.strictEqual((yield* store.read(at(key))) !== undefined, there)
            if (there && !read.has(key)) order = [...order.filter((one) => one !== key), key]
            read.add(key)
          }
          assert.sameMembers([...store.keys()], order)
        }
      })
    fc.assert(fc.property(uses, (all) => Effect.runSync(Effect.scoped(play(all)))), { numRuns: 300, seed: 1 })
  })

  it.effect("looking is not using", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 2 })
      for (const key of ["a", "b"]) yield* load(store, at(key))
      store.peek("a")
      yield* store.inspect({ key: "a", known: [] })
      yield* load(store, at("c"))
      assert.sameMembers([...store.keys()], ["b", "c"])
    }))

  it.effect("what was evicted is forgotten, with its dependencies, and is not blamed on an invalidation", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      yield* load(store, at("a", "x", "y"))
      yield* load(store, at("b", "y", "z"))
      assert.deepStrictEqual(store.sizes(), { ...empty, entries: 1, dependencies: 2 })
      assert.isUndefined(yield* store.read(at("a")))
      assert.strictEqual((yield* store.inspect({ key: "a", known: [] })).removed?.because, "evicted to make room")
      assert.strictEqual(yield* store.invalidate(tags("x")), 0)
      assert.strictEqual(yield* store.invalidate(tags("y")), 1)
    }))

  it.effect("bytes are bounded, and the least recently used make room for what is larger", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 100, maxBytes: 100 })
      for (const key of ["a", "b", "c", "d"]) yield* load(store, at(key, key), { size: 25 })
      assert.strictEqual(store.sizes().bytes, 100)
      assert.strictEqual(yield* load(store, at("e"), { size: 60 }), "stored")
      assert.sameMembers([...store.keys()], ["d", "e"])
      assert.deepStrictEqual(store.sizes(), { ...empty, entries: 2, bytes: 85, dependencies: 1 })
      yield* load(store, at("e"), { size: 10 })
      assert.strictEqual(store.sizes().bytes, 35)
    }))

  it.effect("a value that is too large disturbs no other, and leaves nothing older behind", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 100, maxBytes: 100 })
      yield* load(store, at("a"), { size: 10 })
      yield* load(store, at("b", "x"), { size: 10 })
      assert.strictEqual(yield* load(store, at("b", "x"), { size: 101 }), "unstored")
      assert.sameMembers([...store.keys()], ["a"])
      assert.deepStrictEqual(store.sizes(), { ...empty, entries: 1, bytes: 10 })
    }))

  it.effect("a value that is too large is served, and loaded again by the next read", () =>
    Effect.gen(function*() {
      let loads = 0
      const text = Cached.make("text", {
        key: Key.int("length"),
        value: Schema.String,
        lookup: (length) =>
          Effect.sync(() => {
            loads++
            return "x".repeat(length)
          })
      }, Policy.forever)
      assert.strictEqual((yield* Cached.get(text, 500)).length, 500)
      assert.strictEqual((yield* Cached.get(text, 500)).length, 500)
      assert.strictEqual(loads, 2)
      yield* Cached.get(text, 50)
      yield* Cached.get(text, 50)
      assert.strictEqual(loads, 3)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10, maxBytes: 200 }))))

  it.effect("sizes are not asked for without a bound of bytes", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1 })
      const lease = yield* begin(store, at("a"))
      const size = () => {
        throw new Error("asked")
      }
      assert.strictEqual(yield* store.commit(at("a"), lease, { ...draft(at("a")), size }), "stored")
    }))
})

describe("the journal", () => {
  it.effect("is written only while a load is in flight", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      yield* store.invalidate(tags("a", "b", "c"))
      assert.strictEqual(store.sizes().journal, 0)
      const lease = yield* begin(store, at("k"))
      yield* store.invalidate(tags("a", "b", "c"))
      yield* store.invalidate(tags("a"))
      assert.strictEqual(store.sizes().journal, 3)
      yield* store.commit(at("k"), lease, draft(at("k")))
      assert.strictEqual(store.sizes().journal, 0)
    }))

  it.effect("reaches back to the oldest load in flight, and no further", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      const [first, second, third] = [at("1"), at("2"), at("3")]
      const one = yield* begin(store, first)
      yield* store.invalidate(tags("a"))
      const two = yield* begin(store, second)
      yield* store.invalidate(tags("b"))
      const three = yield* begin(store, third)
      yield* store.invalidate(tags("c"))
      assert.strictEqual(store.sizes().journal, 3)
      // One in the middle ends: nothing can be forgotten.
      assert.strictEqual(yield* store.commit(second, two, draft(second, { found: ["a"] })), "stored")
      assert.strictEqual(store.sizes().journal, 3)
      assert.strictEqual(yield* store.commit(first, one, draft(first, { found: ["a"] })), "invalidated")
      assert.strictEqual(store.sizes().journal, 1)
      assert.strictEqual(yield* store.commit(third, three, draft(third, { found: ["c"] })), "invalidated")
      assert.strictEqual(store.sizes().journal, 0)
    }))

  it.effect("refuses when it had to forget, rather than lie", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10, journalLimit: 3 })
      const [address, other] = [at("k"), at("other")]
      const lease = yield* begin(store, address)
      yield* store.invalidate(tags("a"))
      const later = yield* begin(store, other)
      for (const name of ["b", "c", "d"]) yield* store.invalidate(tags(name))
      assert.strictEqual(store.sizes().journal, 3)
      // What it forgot came after the first load began, and before the second.
      assert.strictEqual(yield* store.commit(address, lease, draft(address, { found: ["z"] })), "invalidated")
      assert.strictEqual(yield* store.commit(other, later, draft(other, { found: ["z"] })), "stored")
      assert.strictEqual(yield* load(store, address, { found: ["z"] }), "stored")
    }))

  it.effect("cannot refuse what depends on nothing", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10, journalLimit: 1 })
      const lease = yield* begin(store, at("k"))
      yield* store.invalidate(tags("a", "b", "c"))
      assert.strictEqual(yield* store.commit(at("k"), lease, draft(at("k"))), "stored")
    }))

  it.effect("forgets the oldest eighth when it is full, and knows the rest", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10, journalLimit: 80 })
      const name = (i: number) => `tag ${i}`
      const leases = yield* Effect.forEach(Array.from({ length: 100 }, (_, i) => i), (i) =>
        Effect.tap(begin(store, at(`k${i}`)), () => store.invalidate(tags(name(i)))))
      // Ten were forgotten at the 81st, and ten more at the 91st.
      assert.strictEqual(store.sizes().journal, 80)
      const commit = (i: number, found: string) =>
        store.commit(at(`k${i}`), leases[i]!, draft(at(`k${i}`), { found: [found] }))
      assert.strictEqual(yield* commit(19, "unlike"), "invalidated")
      assert.strictEqual(yield* commit(20, "unlike"), "stored")
      assert.strictEqual(yield* commit(21, name(21)), "invalidated")
      assert.strictEqual(yield* commit(50, name(49)), "stored")
      assert.strictEqual(yield* commit(51, name(99)), "invalidated")
    }))

  it.effect("counts a dependency once, however often it was invalidated", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10, journalLimit: 2 })
      const lease = yield* begin(store, at("k"))
      for (let i = 0; i < 100; i++) yield* store.invalidate(tags(i % 2 === 0 ? "a" : "b"))
      assert.strictEqual(yield* store.commit(at("k"), lease, draft(at("k"), { found: ["c"] })), "stored")
    }))
})

describe("nothing is left", () => {
  it.effect("when everything has ended, however it ended", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      const addresses = ["1", "2", "3", "4", "5", "6", "7"].map((key) => at(key, "known"))
      const leases = yield* Effect.forEach(addresses, (address) => begin(store, address))
      const fence = { id: "fence", over: tags("other"), length: 1000 }
      yield* store.fence(fence)
      yield* store.commit(addresses[0]!, leases[0]!, draft(addresses[0]!, { found: ["found"] }))
      yield* store.commit(addresses[1]!, leases[1]!, draft(addresses[1]!, { found: ["other"] }))
      yield* store.abandon(addresses[2]!, leases[2]!.token)
      yield* store.invalidate(Invalidation.keys("4"))
      yield* store.invalidate(Invalidation.pattern({ name: "5", parts: [] }))
      yield* begin(store, addresses[5]!, { token: "forced" })
      yield* store.abandon(addresses[5]!, "forced")
      yield* store.discard(addresses[6]!, leases[6]!, undefined)
      yield* store.lift(fence)
      assert.deepStrictEqual(store.sizes(), { ...empty, entries: 1, dependencies: 2 })
      yield* store.invalidate(Invalidation.everything)
      assert.deepStrictEqual(store.sizes(), empty)
    }))

  it.effect("of a fence that ran out, once somebody loads", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      yield* store.fence({ id: "fence", over: tags("a"), length: 1000 })
      yield* TestClock.adjust(1000)
      yield* load(store, at("k"))
      assert.strictEqual(store.sizes().fences, 0)
    }))

  it.effect("of those who waited for a lease and left", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      const lease = yield* begin(store, at("k"))
      const waiting = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        Effect.forkChild(store.released(at("k"), lease.token), { startImmediately: true }))
      const held = lease as unknown as { readonly waiting: ReadonlySet<unknown> }
      assert.strictEqual(held.waiting.size, 10)
      yield* Effect.forEach(waiting.slice(1), Fiber.interrupt)
      assert.strictEqual(held.waiting.size, 1)
      yield* store.abandon(at("k"), lease.token)
      yield* Fiber.join(waiting[0]!)
    }))

  it.effect("of a hundred reads by the interpreter, of which half were interrupted", () =>
    Effect.gen(function*() {
      const { loads, refreshing, store } = inside(yield* CacheService.CacheService)
      const slow = Cached.make("slow", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.as(Effect.sleep("1 second"), n)
      }, Policy.all(Policy.ttl("1 minute"), Policy.tagged("slow")))
      const fibers = yield* Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) =>
        Effect.forkChild(Cached.get(slow, n), { startImmediately: true }))
      yield* Effect.forEach(
        fibers.filter((_, n) =>
          n % 2 === 0
        ),
        Fiber.interrupt
      )
      yield* TestClock.adjust("2 seconds")
      const sizes = () => (store as MemoryCache.MemoryStore).sizes()
      assert.deepStrictEqual(sizes(), { ...empty, entries: 50, dependencies: 1 })
      yield* Cached.apply(tags("slow"))
      assert.deepStrictEqual(sizes(), empty)
      assert.strictEqual(loads.size + refreshing.size, 0)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 }))))
})

describe("options", () => {
  const refused = (make: () => unknown): unknown => {
    try {
      make()
      return undefined
    } catch (error) {
      return error instanceof InvalidInput ? error.reason : error
    }
  }

  it("that are no positive integers are refused when the layer is made", () => {
    for (const bad of [0, -1, 1.5, Number.NaN, Infinity, "10"]) {
      const number = bad as number
      for (
        const options of [{ capacity: number }, { capacity: 1, maxBytes: number }, {
          capacity: 1,
          journalLimit: number
        }]
      ) {
        assert.strictEqual(refused(() => MemoryCache.layer(options)), "InvalidNumber", JSON.stringify(options))
        assert.strictEqual(refused(() => MemoryCache.makeStore(options)), "InvalidNumber", JSON.stringify(options))
      }
    }
    assert.isUndefined(refused(() => MemoryCache.layer({ capacity: 1, maxBytes: 1, journalLimit: 1 })))
  })

  it("that no machine can meet are refused, too", () => {
    const most = 2 ** 24
    assert.strictEqual(refused(() => MemoryCache.layer({ capacity: most + 1 })), "InvalidNumber")
    assert.strictEqual(refused(() => MemoryCache.layer({ capacity: Number.MAX_SAFE_INTEGER })), "InvalidNumber")
    assert.strictEqual(refused(() => MemoryCache.layer({ capacity: 1, journalLimit: most + 1 })), "InvalidNumber")
    assert.isUndefined(refused(() => MemoryCache.layer({ capacity: most, maxBytes: Number.MAX_SAFE_INTEGER })))
  })

  it("that are wrong are named", () => {
    const message = (make: () => unknown) => {
      try {
        return make()
      } catch (error) {
        return String(error)
      }
    }
    assert.include(
      message(() => MemoryCache.layer({ capacity: -3 })),
      "capacity must be an integer from 1 to 16777216, and is -3"
    )
    assert.include(message(() => MemoryCache.layer({ capacity: 1, maxBytes: 0.5 })), "maxBytes")
  })
})

describe("layers", () => {
  const one = Cached.make(
    "one",
    { key: Key.unit, value: Schema.Finite, lookup: () => Effect.succeed(1) },
    Policy.forever
  )

  it.effect("two of them know nothing of each other", () =>
    Effect.gen(function*() {
      const first = yield* Layer.build(MemoryCache.layer({ capacity: 10 }))
      const second = yield* Layer.build(MemoryCache.layer({ capacity: 10 }))
      yield* Effect.provideContext(Cached.get(one, undefined), first)
      const misses = (context: typeof first) =>
        Effect.map(Effect.provideContext(Cached.stats(one), context), (stats) => stats.misses)
      assert.deepStrictEqual([yield* misses(first), yield* misses(second)], [1, 0])
      yield* Effect.provideContext(Cached.get(one, undefined), second)
      assert.deepStrictEqual([yield* misses(first), yield* misses(second)], [1, 1])
      yield* Effect.provideContext(Cached.apply(Invalidation.everything), first)
      const keys = (context: typeof first) =>
        (Context.get(context, CacheService.CacheService).store as MemoryCache.MemoryStore).keys()
      assert.deepStrictEqual([keys(first).length, keys(second).length], [0, 1])
    }))

  it.effect("the end of one interrupts the loads that are in flight", () =>
    Effect.gen(function*() {
      let ended = "no"
      const endless = Cached.make("endless", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () =>
          Effect.onExit(Effect.never, (exit) =>
            Effect.sync(() => {
              ended = Exit.isFailure(exit) && Exit.hasInterrupts(exit) ? "interrupted" : "otherwise"
            }))
      }, Policy.forever)
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(MemoryCache.layer({ capacity: 10 }), scope)
      const { loads } = inside(Context.get(context, CacheService.CacheService))
      const reader = yield* Effect.forkChild(Effect.provideContext(Cached.get(endless, undefined), context), {
        startImmediately: true
      })
      assert.strictEqual(loads.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(ended, "interrupted")
      assert.strictEqual(loads.size, 0)
      yield* Fiber.interrupt(reader)
    }))
})

describe("the clock of another store", () => {
  // It is an hour before the clock of the process.
  const hour = 3_600_000
  const now = (clock: Clock.Clock) => clock.currentTimeMillisUnsafe() + hour

  it.effect("is given as the store's own", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      assert.strictEqual((yield* MemoryCache.makeStore({ capacity: 1, now })).now?.(clock), hour)
      assert.strictEqual((yield* MemoryCache.makeStore({ capacity: 1 })).now!(clock), clock.currentTimeMillisUnsafe())
    }))

  it.effect("says when an entry is past its time", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1, now })
      assert.strictEqual(yield* load(store, at("a"), { expiresAt: hour }), "unstored")
      assert.strictEqual(yield* load(store, at("a"), { expiresAt: hour + 1 }), "stored")
    }))

  it.effect("says when leases and fences end", () =>
    Effect.gen(function*() {
      let time = 0
      const store = yield* MemoryCache.makeStore({ capacity: 1, now: () => time })
      yield* begin(store, at("a"), { leaseFor: 1000 })
      const fence = { id: "fence", over: tags("x"), length: 1000 }
      yield* store.fence(fence)
      yield* TestClock.adjust(5000)
      assert.strictEqual((yield* store.begin(at("a"), asks()))._tag, "Busy")
      assert.isTrue((yield* store.inspect({ key: "a", known: [Dependency.tag("x")] })).fenced)
      time = 1000
      assert.strictEqual((yield* store.begin(at("a"), asks()))._tag, "Leased")
      assert.isFalse(yield* store.lift(fence))
    }))
})

describe("scans", () => {
  const all = (store: MemoryCache.MemoryStore, limit: number) =>
    Effect.gen(function*() {
      const pages: Array<ReadonlyArray<string>> = []
      let cursor: string | undefined
      do {
        const page = yield* store.scan({ limit, ...(cursor === undefined ? {} : { cursor }) })
        pages.push(page.keys)
        cursor = page.cursor
      } while (cursor !== undefined)
      return pages
    })

  it.effect("give pages of the length that was asked for, in the order of the keys", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 10 })
      for (const key of ["c", "a", "e", "b", "d"]) yield* load(store, at(key))
      assert.deepStrictEqual(yield* all(store, 2), [["a", "b"], ["c", "d"], ["e"]])
      assert.deepStrictEqual(yield* all(store, 5), [["a", "b", "c", "d", "e"]])
      yield* load(store, at("aa"))
      yield* store.invalidate(Invalidation.keys("d"))
      assert.deepStrictEqual(yield* all(store, 3), [["a", "aa", "b"], ["c", "e"]])
    }))

  it.effect("forget what was evicted", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 2 })
      for (const key of ["a", "b"]) yield* load(store, at(key))
      assert.deepStrictEqual(yield* all(store, 10), [["a", "b"]])
      yield* load(store, at("c"))
      assert.deepStrictEqual(yield* all(store, 10), [["b", "c"]])
    }))

  it.effect("of nothing are one empty page", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 2 })
      assert.deepStrictEqual(yield* all(store, 1), [[]])
    }))

  it.effect("refuse a limit that is no positive integer", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 2 })
      for (const limit of [0, -1, 1.5, Number.NaN, Infinity]) {
        assert.throws(() => store.scan({ limit }), /limit of a scan must be an integer of at least 1/)
      }
    }))
})
