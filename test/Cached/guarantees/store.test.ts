/** Guarantees of docs/consistency.md, each with its sentence and tests that try to break it in this process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import * as CacheService from "../../../src/CacheService.ts"
import * as CacheStore from "../../../src/CacheStore.ts"
import { inside } from "../../../src/internal/service/model.ts"
import * as Invalidation from "../../../src/Invalidation.ts"
import * as Key from "../../../src/Key.ts"
import * as MemoryCache from "../../../src/MemoryCache.ts"
import * as Policy from "../../../src/Policy.ts"
import * as TestCache from "../../../src/TestCache.ts"
import { alien, begin, Down, errorOf, Film, isRunning, numbers, onEach, onText, Origin } from "../../support/cached.ts"
import { chance, noHistoryBreaksIt } from "./support.ts"

describe("G9. Eviction is harmless: the store may drop any of its keys at any time", () => {
  for (const lost of ["entry", "lease", "journal"] as const) {
    noHistoryBreaksIt({ writes: ["key", "known", "found", "set", "mutate"], lost: [lost] })
  }
  noHistoryBreaksIt({ writes: ["key", "known", "found", "set", "mutate"], lost: ["entry", "lease", "journal"] })

  onEach(
    "a fence that is lost while it stands: what was stored meanwhile goes with the end of the write",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
      const writer = yield* begin(Cached.mutate(writing, Invalidation.tags("t")))
      yield* TestCache.evict("journal")
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  it.effect("a store with room for one entry is slow and right", () =>
    Effect.gen(function*() {
      const rows = [0, 0, 0]
      let loads = 0
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.Int,
        lookup: (id) => Effect.sync(() => (loads++, rows[id]!))
      }, Policy.tagged({ fromValue: (_: number, id: number) => [`row:${id}`] }))
      for (let i = 0; i < 30; i++) {
        const id = i % 3
        assert.strictEqual(yield* Cached.get(cached, id), rows[id])
        if (i % 4 === 0) {
          rows[id]!++
          yield* Cached.apply(Invalidation.tags(`row:${id}`))
        }
        assert.strictEqual(yield* Cached.get(cached, id), rows[id])
      }
      assert.isTrue(loads >= 30)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1 }))))
})

describe("G10. Reads fail open, in bounded time: a store that is down, frozen, full or holds garbage makes a get load from the origin", () => {
  const operations = ["read", "begin", "commit", "abandon", "released"] as const
  const faults: Record<string, (name: TestCache.Operation["name"]) => Effect.Effect<void, never, TestCache.TestCache>> =
    {
      "failing": (name) => TestCache.fail(name),
      "frozen": (name) => TestCache.delay(name, Infinity),
      "losing its answers": (name) => TestCache.lose(name, "answer"),
      "slow": (name) => TestCache.delay(name, 900)
    }
  for (const [how, fault] of Object.entries(faults)) {
    onText(
      `with any set of operations ${how}, every read gives the value within the time limits, and nothing is left`,
      Effect.gen(function*() {
        for (let set = 1; set < 2 ** operations.length; set++) {
          const origin = new Origin(0)
          const cached = Cached.make(`set ${set}`, {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => origin.load,
            waitLimit: "2 seconds"
          }, Policy.ttl("10 seconds", { stale: "20 seconds" }))
          for (const [i, name] of operations.entries()) if (set & (1 << i)) yield* fault(name)
          for (const key of ["a", "b", "a"]) {
            const reader = yield* begin(Cached.get(cached, key))
            // A read, a begin and a commit, each within a second; or the wait limit for a lease that was not
            // given up.
            yield* TestClock.adjust("5 seconds")
            assert.isFalse(isRunning(reader), `${how}: ${operations.filter((_, i) => set & (1 << i))}`)
            assert.strictEqual(yield* Fiber.join(reader), 0)
          }
          yield* TestCache.restore
          yield* TestClock.adjust("2 minutes") // circuits close and leases run out
          assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        }
        const { loads, refreshing } = inside(yield* CacheService.CacheService)
        assert.deepStrictEqual([loads.size, refreshing.size], [0, 0])
      })
    )
  }

  onText(
    "garbage is never served, and never fails a read",
    Effect.gen(function*() {
      const { pick } = chance(3)
      const cached = Cached.make(
        "film",
        { key: Key.int("id"), value: Film, lookup: () => Effect.succeed(alien) },
        Policy.forever
      )
      const garbage = [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "7",
        "\"\"",
        JSON.stringify({ ...alien, id: 1.5 }),
        JSON.stringify([alien]),
        7,
        null,
        undefined,
        {},
        []
      ]
      for (let i = 0; i < 60; i++) {
        yield* TestCache.corrupt("film:7", pick(garbage))
        assert.deepStrictEqual(yield* Cached.get(cached, 7), alien)
      }
    })
  )

  onText(
    "errors of the store and errors of the lookup are told apart",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.ends = Effect.fail(new Down())
      yield* TestCache.fail("read")
      const open = numbers(origin)
      assert.instanceOf(yield* errorOf(Cached.get(open, "a")), Down)
      const strict = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "fail"
      }, Policy.forever)
      assert.instanceOf(yield* errorOf(Cached.get(strict, "a")), CacheStore.StoreError)
    })
  )

  it.effect("a store without room for a value serves it", () =>
    Effect.gen(function*() {
      const cached = Cached.make("text", {
        key: Key.int("n"),
        value: Schema.String,
        lookup: (n) => Effect.succeed("x".repeat(n))
      }, Policy.forever)
      assert.strictEqual((yield* Cached.get(cached, 1000)).length, 1000)
      assert.strictEqual((yield* Cached.get(cached, 1000)).length, 1000)
      assert.strictEqual((yield* Cached.stats(cached)).loads, 2)
      yield* Cached.get(cached, 10)
      yield* Cached.get(cached, 10)
      assert.strictEqual((yield* Cached.stats(cached)).loads, 3)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10, maxBytes: 100 }))))
})
