/** Guarantees of docs/consistency.md, each with its sentence and tests that try to break it in this process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import * as CacheService from "../../../src/CacheService.ts"
import * as Changes from "../../../src/Changes.ts"
import * as Entity from "../../../src/Entity.ts"
import * as Invalidation from "../../../src/Invalidation.ts"
import * as Key from "../../../src/Key.ts"
import * as Policy from "../../../src/Policy.ts"
import * as TestCache from "../../../src/TestCache.ts"
import { alien, begin, ends, errorOf, Film, isRunning, numbers, onEach, onText, Origin } from "../../support/cached.ts"
import { noHistoryBreaksIt, twoProcesses } from "./support.ts"

describe("G6. Writes: a write-through never leaves an older value over a newer one", () => {
  noHistoryBreaksIt({ writes: ["set"] })
  noHistoryBreaksIt({ writes: ["set", "key", "found", "mutate"] })

  it.effect("of two processes that write at once, the later value stands or the key is empty", () =>
    Effect.gen(function*() {
      const { here, memory, there } = yield* twoProcesses
      for (const [a, b] of [[100, 200], [200, 100], [150, 150], [50, 300]] as const) {
        const origin = new Origin(0)
        const cached = numbers(origin)
        const write = (value: number, takes: number) =>
          Cached.set(cached, "a", Effect.andThen(Effect.sleep(takes), Effect.sync(() => origin.value = value)))
        const writers = [
          yield* begin(here(write(1, a))),
          yield* begin(Effect.delay(there(write(2, b)), 40))
        ]
        yield* TestClock.adjust(1000)
        yield* ends(writers)
        const stored = memory.peek("number:a")
        if (stored !== undefined) assert.strictEqual(Number(stored.payload), origin.value)
        assert.strictEqual(yield* here(Cached.get(cached, "a")), origin.value)
        assert.strictEqual(yield* there(Cached.get(cached, "a")), origin.value)
        yield* here(Cached.apply(Invalidation.everything))
      }
    }))

  onEach(
    "a write that outlasts its lease does not overwrite what was loaded meanwhile",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        lease: "1 second"
      }, Policy.forever)
      const slow = yield* begin(Cached.set(
        cached,
        "a",
        Effect.gen(function*() {
          origin.value = 1
          yield* Effect.sleep("3 seconds") // the transaction is done, the answer is on its way
          return 1
        })
      ))
      yield* TestClock.adjust("2 seconds")
      origin.value = 2 // another writer, elsewhere
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
    })
  )
})

describe("G7. mutate: nothing loaded between its start and its end is stored or served after it, also if its process dies", () => {
  noHistoryBreaksIt({ writes: ["mutate"] })

  const tagged = (origin: Origin<number>) =>
    numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`, "t"] }))

  for (const loadsAt of [0, 500, 999]) {
    onEach(
      `a load that begins ${loadsAt} ms after the write has, and ends after it`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = tagged(origin)
        const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
        const writer = yield* begin(Cached.mutate(writing, Invalidation.tags("t")))
        yield* TestClock.adjust(loadsAt)
        origin.takes = 2000
        const early = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(1000 - loadsAt)
        yield* Fiber.join(writer)
        origin.takes = 0
        assert.strictEqual(yield* Effect.map(begin(Cached.get(cached, "a")), isRunning), true)
        yield* TestClock.adjust(2000)
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      })
    )
  }

  for (const found of [false, true]) {
    onText(
      `what was loaded under the fence is not shared after it by a load that could not be stored${
        found ? ", tags found" : ""
      }`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = found ? tagged(origin) : numbers(origin)
        const writing = Effect.andThen(Effect.sleep(1000), Effect.sync(() => origin.value = 1))
        const writer = yield* begin(Cached.mutate(writing, Cached.invalidation(cached, ["a"])))
        yield* TestClock.adjust(500)
        origin.takes = 2000
        const early = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(500)
        yield* Fiber.join(writer)
        origin.takes = 0
        const late = yield* begin(Cached.get(cached, "a"))
        assert.isTrue(isRunning(late))
        yield* TestCache.fail("commit", 1)
        yield* TestClock.adjust(1500)
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.strictEqual(yield* Fiber.join(late), 1)
      })
    )
  }

  it.effect("a process that dies in the middle: until its fence has ended nothing is stored, and nothing of it afterwards", () =>
    Effect.gen(function*() {
      const { here, memory, there } = yield* twoProcesses
      const origin = new Origin(0)
      const cached = tagged(origin)
      yield* there(Cached.get(cached, "a"))
      yield* here(TestCache.lose("lift", "request"))
      const dying = Cached.mutate(Effect.sync(() => origin.value = 1), Invalidation.tags("t"), { fence: "5 seconds" })
      yield* begin(here(Effect.exit(dying)))
      origin.takes = 6000
      const under = yield* begin(there(Cached.get(cached, "a")))
      yield* TestClock.adjust(6000)
      yield* Fiber.join(under)
      assert.deepStrictEqual(memory.keys(), [])
      origin.takes = 0
      assert.strictEqual(yield* there(Cached.get(cached, "a")), 1)
      assert.deepStrictEqual(memory.keys(), ["number:a"])
    }))

  onEach(
    "two at once over the same: the end of one does not end the other's fence",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = tagged(origin)
      const long = yield* begin(Cached.mutate(Effect.sleep(1000), Invalidation.tags("t")))
      yield* Cached.mutate(Effect.void, Invalidation.tags("t"))
      yield* Cached.get(cached, "a")
      assert.deepStrictEqual(yield* TestCache.entries, [])
      yield* TestClock.adjust(1000)
      yield* Fiber.join(long)
      yield* Cached.get(cached, "a")
      assert.strictEqual((yield* TestCache.entries).length, 1)
    })
  )
})

describe("G8. Truthful invalidation: it succeeds only if the store acknowledged it; else it fails with a typed error that says whether it may have happened", () => {
  const Films = Entity.make("film", { schema: Film, id: "id" })
  const ways: Record<string, Effect.Effect<unknown, CacheService.InvalidationError, CacheService.CacheService>> = {
    "a key": Cached.apply(Invalidation.keys("number:a")),
    "a tag": Cached.apply(Invalidation.tags("t")),
    "a change": Changes.publish(Films.created(alien)),
    "mutate": Cached.mutate(Effect.void, Invalidation.tags("t")),
    "everything": Cached.apply(Invalidation.everything)
  }
  for (const [what, way] of Object.entries(ways)) {
    const name = what === "mutate" ? "fence" : "invalidate"
    onText(
      `${what}: a store that refuses, that is not reached, that does not answer`,
      Effect.gen(function*() {
        const cases = [
          [TestCache.fail(name, 1), false, "Unavailable"],
          [TestCache.lose(name, "request", 1), true, "Timeout"],
          [TestCache.lose(name, "answer", 1), true, "Timeout"],
          [TestCache.delay(name, Infinity, 1), true, "Timeout"]
        ] as const
        for (const [disturb, mayHaveHappened, reason] of cases) {
          yield* disturb
          const fiber = yield* begin(errorOf(way))
          yield* TestClock.adjust(what === "everything" ? "1 minute" : "1 second")
          assert.deepInclude(yield* Fiber.join(fiber), {
            _tag: "InvalidationError",
            mayHaveHappened,
            reason: { _tag: reason }
          })
          yield* way // repeating it is safe
        }
      })
    )
  }

  for (const how of ["key", "known", "found", "pattern", "everything", "set", "mutate"] as const) {
    noHistoryBreaksIt({ writes: [how], refuses: true })
  }
  noHistoryBreaksIt({ writes: ["key", "known", "found", "pattern", "everything", "set", "mutate"], refuses: true })

  it.effect("one that failed counts in its process at once, and everywhere when the store has acknowledged it", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* there(Cached.get(cached, "a"))
      origin.value = 1
      yield* here(TestCache.fail("invalidate", 1))
      yield* errorOf(here(Cached.apply(Invalidation.tags("t"))))
      assert.strictEqual(yield* there(Cached.get(cached, "a")), 0)
      assert.deepStrictEqual(yield* here(Cached.getOption(cached, "a")), Option.none())
      assert.deepStrictEqual(yield* here(Cached.getMany(cached, ["a"])), [1])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* here(CacheService.undelivered), [])
      assert.deepStrictEqual([yield* there(Cached.get(cached, "a")), yield* here(Cached.get(cached, "a"))], [1, 1])
    }))

  onText(
    "a write-through whose key could not be emptied: nobody here is given what was there before",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      // Whoever fills the key while it is written may have read before it.
      const write = Effect.andThen(Cached.refresh(cached, "a"), Effect.sync(() => origin.value = 1))
      yield* TestCache.fail("invalidate", 1)
      assert.deepInclude(yield* errorOf(Cached.set(cached, "a", write)), { mayHaveHappened: true })
      assert.strictEqual((yield* CacheService.undelivered)[0]?.invalidation.toString(), "key number:a")
      assert.strictEqual((yield* TestCache.entries)[0]?.payload, "0")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* CacheService.undelivered, [])
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onText(
    "an invalidation that may have happened and did is one that has",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestCache.lose("invalidate", "answer", 1)
      const fiber = yield* begin(errorOf(Cached.invalidate(cached, "a")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "says to the log what was invalidated, and gives how many entries that were",
    Effect.gen(function*() {
      const cached = numbers(new Origin(0), Policy.tagged("t"))
      yield* Effect.forEach(["a", "b", "c"], (key) => Cached.get(cached, key))
      assert.strictEqual((yield* Cached.apply(Invalidation.tags("t"))).entries, 3)
    })
  )
})
