import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { ages, begin, beginAll, Down, ends, numbers, onEach, onText, Origin, settle } from "../support/cached.ts"

// Everything that is counted, once or more, with what it is expected to be counted as.
const history = Effect.gen(function*() {
  const origin = new Origin<number, Down>(0)
  origin.takes = 100
  const cached = Cached.make(
    "history",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    ages
  )
  const reads = (times: number, key = "a") =>
    Effect.gen(function*() {
      const fibers = yield* beginAll(times, Effect.exit(Cached.get(cached, key)))
      yield* TestClock.adjust(100)
      yield* ends(fibers)
    })
  yield* reads(1) // a miss
  yield* reads(2) // two hits
  yield* reads(3, "b") // three misses, of which two share the load of the first
  yield* TestClock.adjust("10 seconds")
  yield* reads(1) // stale, and refreshed
  yield* TestClock.adjust("20 seconds")
  origin.ends = Effect.fail(new Down())
  yield* reads(1) // an old value in place of a load that failed
  yield* reads(1, "c") // a miss that failed
  origin.ends = Effect.void
  const early = yield* begin(Cached.get(cached, "d"))
  yield* Cached.invalidate(cached, "d")
  yield* TestClock.adjust(100) // a miss whose load is refused
  yield* Fiber.join(early)
  yield* Cached.refresh(cached, "e").pipe(begin) // a load, and no read
  yield* TestClock.adjust(100)
  assert.strictEqual(yield* Cached.getOption(cached, "e").pipe(Effect.map(({ _tag }) => _tag)), "Some") // a hit
  const leaving = yield* begin(Cached.get(cached, "f"))
  yield* Fiber.interrupt(leaving) // a load that nobody waits for, and no read that was answered
  return cached
})

const expected = {
  hits: 3,
  staleServed: 2,
  misses: 6,
  loads: 8,
  loadFailures: 2,
  refreshes: 1,
  coalesced: 2,
  refused: 1,
  unreadable: 0,
  unwritable: 0,
  storeFailures: 0,
  reads: 11,
  hitRate: 5 / 11,
  loadsAvoided: 3
}

describe("stats", () => {
  onEach(
    "do not count a cached failure as a load that failed: it is an answer",
    Effect.gen(function*() {
      const cached = Cached.make("maybe", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: (of) => of === "down" ? Effect.die("down") : Effect.fail(new Down()),
        failures: { error: Down, policy: Policy.forever }
      }, Policy.forever)
      yield* Effect.exit(Cached.get(cached, "a"))
      yield* Effect.exit(Cached.get(cached, "a"))
      yield* Effect.exit(Cached.get(cached, "down"))
      const { hits, loadFailures, loads } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ hits, loadFailures, loads }, { hits: 1, loadFailures: 1, loads: 2 })
    })
  )

  onEach(
    "count exactly what happened",
    Effect.gen(function*() {
      const cached = yield* history
      assert.deepStrictEqual(yield* Cached.stats(cached), expected)
      assert.deepStrictEqual([...yield* Cached.stats()], [["history", expected]])
    })
  )

  onEach(
    "count nothing of what was never used",
    Effect.gen(function*() {
      const { hitRate, loads, loadsAvoided, reads } = yield* Cached.stats(numbers(new Origin(1), Policy.forever))
      assert.deepStrictEqual([reads, loads, loadsAvoided, hitRate], [0, 0, 0, 0])
      assert.strictEqual((yield* Cached.stats()).size, 0)
    })
  )

  for (const refresh of ["caller", "everyone"] as const) {
    onEach(
      `count each read once when ${refresh === "caller" ? "the caller waits" : "everyone waits"} for a refresh`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = Cached.make("n", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () => origin.load,
          refresh
        }, ages)
        yield* Cached.get(cached, "a")
        yield* TestClock.adjust("10 seconds")
        origin.takes = 100
        yield* beginAll(3, Cached.get(cached, "a"))
        yield* TestClock.adjust(100)
        yield* settle
        const { coalesced, hits, loads, misses, reads, refreshes, staleServed } = yield* Cached.stats(cached)
        assert.deepStrictEqual(
          { coalesced, hits, loads, misses, reads, refreshes, staleServed },
          refresh === "caller"
            ? { coalesced: 0, hits: 0, loads: 2, misses: 2, reads: 4, refreshes: 1, staleServed: 2 }
            : { coalesced: 2, hits: 0, loads: 2, misses: 4, reads: 4, refreshes: 1, staleServed: 0 }
        )
      })
    )
  }

  onEach(
    "count a read that was served the old value after a soft time limit as stale, and no miss",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        softTimeout: 50
      }, ages)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.takes = 100
      yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(100)
      const { loads, loadsAvoided, misses, reads, staleServed } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ loads, loadsAvoided, misses, reads, staleServed }, {
        loads: 2,
        loadsAvoided: 0,
        misses: 1,
        reads: 2,
        staleServed: 1
      })
    })
  )

  onText(
    "count the reads that the store left without an answer as misses",
    Effect.gen(function*() {
      const cached = numbers(new Origin(0), Policy.forever)
      yield* TestCache.fail("read", 2)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      const { loads, misses, reads, storeFailures } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ loads, misses, reads, storeFailures }, {
        loads: 2,
        misses: 2,
        reads: 2,
        storeFailures: 2
      })
    })
  )
})

describe("metrics", () => {
  /** Metrics belong to a registry, and tests of one file share the default one. */
  const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

  onEach(
    "equal the stats, by name and with the cache's name as an attribute",
    alone(Effect.gen(function*() {
      const cached = yield* history
      const stats = yield* Cached.stats(cached)
      for (
        const counter of [
          "hits",
          "staleServed",
          "misses",
          "loads",
          "loadFailures",
          "refreshes",
          "coalesced",
          "refused"
        ] as const
      ) {
        const { count } = yield* Metric.value(Cached.metric(cached, counter))
        assert.strictEqual(count, stats[counter], counter)
      }
      yield* Cached.get(cached, "a").pipe(begin)
      yield* TestClock.adjust(100)
      yield* Cached.get(cached, "a")
      assert.strictEqual((yield* Metric.value(Cached.metric(cached, "hits"))).count, stats.hits + 1)
      const { id } = Cached.metric(cached, "staleServed")
      assert.strictEqual(id, "effect_cache_stale_served")
      const names = (yield* Metric.snapshot).filter(({ attributes }) => attributes?.["cache"] === "history").map((
        { id }
      ) => id)
      assert.include(names, "effect_cache_hits")
      assert.strictEqual(new Set(names).size, names.length)
    }))
  )

  onEach(
    "of a process count all its services, while stats count one",
    alone(Effect.gen(function*() {
      const count = Effect.gen(function*() {
        const cached = numbers(new Origin(1), Policy.forever)
        yield* Cached.get(cached, "a")
        yield* Cached.get(cached, "a")
        return [(yield* Cached.stats(cached)).hits, (yield* Metric.value(Cached.metric(cached, "hits"))).count]
      })
      const another = Effect.provide(count, Layer.fresh(MemoryCache.layer({ capacity: 10 })))
      assert.deepStrictEqual([yield* count, yield* another, yield* another], [[1, 1], [1, 2], [1, 3]])
    }))
  )
})

describe("events", () => {
  /** Events as one word each, with what matters of them. */
  const word = (event: CacheService.CacheEvent): string => {
    switch (event._tag) {
      case "StaleServed":
        return `${event.key} StaleServed ${event.verdict}`
      case "Miss":
        return `${event.key} Miss ${event.found}`
      case "Load":
        return `${event.key} Load ${event.result} ${event.outcome} ${event.millis}`
      case "Refused":
        return `${event.key} Refused ${event.outcome}`
      case "Invalidated":
        return `Invalidated ${event.invalidation} ${event.entries}`
      case "Undelivered":
        return `Undelivered ${event.invalidation} ${event.attempts}`
      case "StoreFailed":
        return `StoreFailed ${event.error.operation} ${event.error.reason._tag}`
      default:
        return `${event.key} ${event._tag}`
    }
  }

  const watched = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const watching = yield* begin(
        Stream.runForEach(CacheService.events, (event) => Effect.sync(() => seen.push(word(event))))
      )
      const exit = yield* Effect.exit(effect)
      yield* settle
      yield* Fiber.interrupt(watching)
      if (Exit.isFailure(exit)) yield* exit
      return seen
    })

  onEach(
    "tell the history in order",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* watched(history), [
        "history:a Miss Nothing",
        "history:a Load success stored 100",
        "history:a Hit",
        "history:a Hit",
        "history:b Miss Nothing",
        "history:b Miss Nothing",
        "history:b Coalesced",
        "history:b Miss Nothing",
        "history:b Coalesced",
        "history:b Load success stored 100",
        "history:a StaleServed Stale",
        "history:a Refresh",
        "history:a Load success stored 100",
        "history:a Miss OnError",
        "history:a Load failure unsaved 100",
        "history:a StaleServed OnError",
        "history:c Miss Nothing",
        "history:c Load failure unsaved 100",
        "history:d Miss Nothing",
        "Invalidated key history:d 0",
        "history:d Refused lost",
        "history:d Load success lost 100",
        "history:e Load success stored 100",
        "history:e Hit",
        "history:f Miss Nothing",
        "history:f Load interrupted unsaved 0"
      ])
    })
  )

  onEach(
    "tell what became of a load: fenced, unstored, invalidated",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const tagged = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`t${value}`] }))
      const never = Cached.make(
        "never",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.never
      )
      const words = yield* watched(Effect.gen(function*() {
        yield* Cached.get(never, undefined)
        yield* Cached.get(tagged, "a").pipe(Effect.asVoid, Cached.mutate(Invalidation.tags("t0")))
        origin.takes = 100
        const reader = yield* begin(Cached.get(tagged, "a"))
        yield* Cached.apply(Invalidation.tags("t0"))
        yield* TestClock.adjust(100)
        yield* Fiber.join(reader)
      }))
      assert.deepStrictEqual(words, [
        "never Miss Nothing",
        "never Load success unstored 0",
        "Invalidated tag t0 undefined",
        "number:a Miss Nothing",
        "number:a Load success fenced 0",
        "number:a Miss Nothing",
        "Invalidated tag t0 0",
        "number:a Refused invalidated",
        "number:a Load success invalidated 100"
      ])
    })
  )

  onText(
    "tell what could not be read, and what of the store failed",
    Effect.gen(function*() {
      const cached = numbers(new Origin(0), Policy.forever)
      yield* Cached.get(cached, "a")
      const words = yield* watched(Effect.gen(function*() {
        yield* TestCache.corrupt("number:a", "{")
        yield* Cached.get(cached, "a")
        yield* TestCache.fail("read", 1)
        yield* Cached.get(cached, "a")
        yield* TestCache.fail("invalidate", 1)
        yield* Effect.ignore(Cached.invalidate(cached, "a"))
      }))
      assert.deepStrictEqual(words, [
        "number:a Unreadable",
        "number:a Miss Dead",
        "number:a Load success stored 0",
        "number:a Miss Nothing",
        "StoreFailed read Unavailable",
        "number:a Load success unsaved 0",
        "StoreFailed invalidate Unavailable",
        "Undelivered key number:a 1"
      ])
    })
  )

  onEach(
    "of one load for several keys come for each key",
    Effect.gen(function*() {
      const cached = Cached.make("n", {
        key: Key.int("id"),
        value: Schema.Finite,
        lookup: (id): Effect.Effect<number, Down> => Effect.succeed(id),
        lookupMany: (ids) => Effect.succeed(ids.map((id) => id === 2 ? Result.fail(new Down()) : Result.succeed(id)))
      }, Policy.forever)
      assert.sameMembers(yield* watched(Cached.getMany(cached, [1, 2], { mode: "result" })), [
        "n:1 Miss Nothing",
        "n:2 Miss Nothing",
        "n:2 Load failure unsaved 0",
        "n:1 Load success stored 0"
      ])
    })
  )
})
