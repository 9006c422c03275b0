import { assert, describe, it } from "@effect/vitest"
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
import * as CacheStore from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  alien,
  assertQuiet,
  begin,
  beginAll,
  Down,
  ends,
  errorOf,
  Film,
  NotFound,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

const numbers = <E = never>(origin: Origin<number, E>, policy: Policy.Policy<string, number>) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

const ages = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })

/** What an explanation says, without the tree. */
const gist = <V, E, R>(cached: Cached.Cached<string, V, E, R>) =>
  Effect.map(Cached.explain(cached, "a"), ({ because, stored, verdict }) => [verdict, stored, because])

describe("explain", () => {
  const film = (origin: Origin<Film>) =>
    Cached.make(
      "film",
      {
        key: Key.int("id"),
        value: Film,
        lookup: () => origin.load
      },
      Policy.all(
        Policy.ttl("5 minutes", { staleFor: "1 minute", onErrorFor: "1 hour" }),
        Policy.xfetch(),
        Policy.tagged({ fromValue: (film) => [`genre:${film.genre}`] }),
        Policy.conditional(Films, { fields: ["title", "rating"] })
      )
    )

  onEach(
    "draws the whole policy, with each part's verdict and reason",
    Effect.gen(function*() {
      const origin = new Origin(alien)
      origin.takes = 200
      const cached = film(origin)
      const explained = Effect.map(cached.pipe(Cached.explain(7)), String)
      assert.strictEqual(yield* explained, "film:7 is Dead: nothing is stored")
      const reader = yield* begin(Cached.get(cached, 7))
      assert.strictEqual(yield* explained, "film:7 is Dead: nothing is stored; a load is under way")
      yield* TestClock.adjust(200)
      yield* Fiber.join(reader)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(
        yield* explained,
        [
          "film:7 is Fresh: all of its policy holds",
          "and  Fresh",
          "├─ ttl(5m, stale 6m, onError 1h6m)  Fresh: age 4 min of 5 min, stale until 6 min, on error until 1.1 h",
          "├─ xfetch(1)  Fresh: the load took 200 ms; a read refreshes with chance 5.1e-131",
          "├─ tagged(<value>)  Fresh: unchanged",
          "└─ conditional(film, [title, rating])  Fresh: unchanged"
        ].join("\n")
      )
      yield* Cached.apply(Invalidation.tags("genre:horror"))
      yield* TestClock.adjust(3200)
      assert.strictEqual(
        yield* explained,
        [
          "film:7 is Dead: tag genre:horror invalidated 3.2 s ago",
          "and  Dead",
          "├─ ttl(5m, stale 6m, onError 1h6m)  Fresh: age 4.1 min of 5 min, stale until 6 min, on error until 1.1 h",
          "├─ xfetch(1)  Fresh",
          "├─ tagged(<value>)  Dead: tag genre:horror invalidated 3.2 s ago",
          "└─ conditional(film, [title, rating])  Fresh: unchanged"
        ].join("\n")
      )
    })
  )

  onEach(
    "tells by its age what is stale, on error, or dead",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), ages)
      yield* Cached.get(cached, "a")
      const seen: Array<unknown> = []
      for (const at of [9_000, 10_000, 25_000, 30_000]) {
        yield* TestClock.setTime(at)
        seen.push(yield* gist(cached))
      }
      assert.deepStrictEqual(seen, [
        ["Fresh", true, "all of its policy holds"],
        ["Stale", true, "age 10 s of 10 s, stale until 20 s, on error until 30 s"],
        ["OnError", true, "age 25 s of 10 s, stale until 20 s, on error until 30 s"],
        ["Dead", true, "age 30 s of 10 s, stale until 20 s, on error until 30 s"]
      ])
    })
  )

  onEach(
    "tells the age by which jitter has shortened the lifetime",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.ttl("50 seconds", { jitter: 0.5 }))
      yield* Cached.get(cached, "a")
      const { jitter } = (yield* TestCache.entries)[0]!.stamp
      const end = 50_000 * (1 - 0.5 * jitter)
      yield* TestClock.setTime(Math.ceil(end) - 1)
      assert.strictEqual((yield* Cached.explain(cached, "a")).verdict, "Fresh")
      yield* TestClock.setTime(Math.ceil(end))
      const [verdict, , because] = yield* gist(cached)
      assert.strictEqual(verdict, "Dead")
      const seconds = (millis: number) => `${Math.round(millis / 100) / 10} s`
      assert.strictEqual(because, `age ${seconds(end)} of ${seconds(end)}`)
    })
  )

  onEach(
    "names the tag, or the change of an entity, and when",
    Effect.gen(function*() {
      const cached = Cached.make(
        "film",
        { key: Key.int("id"), value: Film, lookup: () => Effect.succeed(alien) },
        Policy.conditional(Films, { fields: ["title"] })
      )
      yield* Cached.get(cached, 7)
      yield* Changes.publish(Films.updated(alien, { ...alien, title: "Aliens" }))
      yield* TestClock.adjust("2 hours")
      assert.strictEqual((yield* Cached.explain(cached, 7)).because, "film:7#title invalidated 2 h ago")
    })
  )

  onEach(
    "tells of keys that were invalidated, evicted, found dead, or never there",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), ages)
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "nothing is stored"])
      yield* Cached.get(cached, "a")
      yield* Cached.invalidate(cached, "a")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "the key was invalidated 5 s ago"])
      yield* Cached.get(cached, "a")
      assert.deepStrictEqual(yield* gist(cached), ["Fresh", true, "all of its policy holds"])
      yield* Cached.apply(Cached.pattern(cached))
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "the key was invalidated 0 ms ago"])
    })
  )

  it.effect("tells what was evicted to make room", () =>
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.forever)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "b")
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "evicted to make room"])
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 1 }))))

  onEach(
    "tells what was softened, by its key or by a tag",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      yield* Cached.invalidate(cached, "a", { soft: true })
      assert.deepStrictEqual(yield* gist(cached), [
        "Stale",
        true,
        "the key was invalidated softly; all of its policy holds"
      ])
      yield* Cached.refresh(cached, "a")
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* gist(cached), ["Stale", true, "tag t invalidated softly 1 s ago"])
    })
  )

  onEach(
    "tells a severity that is not the worst",
    Effect.gen(function*() {
      const cached = numbers(
        new Origin(1),
        Policy.and(Policy.tagged("t", { severity: "OnError" }), Policy.ttl("1 hour"))
      )
      yield* Cached.get(cached, "a")
      yield* Cached.apply(Invalidation.tags("t"))
      assert.deepStrictEqual(yield* gist(cached), ["OnError", true, "tag t invalidated 0 ms ago"])
    })
  )

  onEach(
    "tells of versions: what it was loaded under, and what is current",
    Effect.gen(function*() {
      let version = 1
      const row = () => version
      const cached = numbers(
        new Origin(1),
        Policy.and(
          Policy.versioned(row, { name: "row" }),
          Policy.or(Policy.versioned("v1"), Policy.ttl("1 minute"))
        )
      )
      yield* Cached.get(cached, "a")
      version = 2
      const { because, tree } = yield* Cached.explain(cached, "a")
      assert.strictEqual(because, "loaded under row 1, now 2")
      assert.deepStrictEqual(tree!.parts.map(({ label, verdict }) => [label, verdict]), [
        ["versioned(row = <key>)", "Dead"],
        ["or", "Fresh"]
      ])
      assert.deepStrictEqual(tree!.parts[1]!.parts.map(({ because }) => because), [
        "loaded under version v1, now v1",
        "age 0 ms of 1 min"
      ])
    })
  )

  onEach(
    "tells of ticks",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.until("0 * * * *"))
      yield* TestClock.setTime(1_800_000)
      yield* Cached.get(cached, "a")
      assert.strictEqual((yield* Cached.explain(cached, "a")).tree!.because, "ticks in 30 min")
      yield* TestClock.adjust("31 minutes")
      assert.deepStrictEqual(yield* gist(cached), ["Dead", true, "ticked 1 min ago"])
    })
  )

  onEach(
    "tells of a tag that the policy has gained since",
    Effect.gen(function*() {
      yield* Cached.get(numbers(new Origin(1), Policy.forever), "a")
      assert.deepStrictEqual(yield* gist(numbers(new Origin(1), Policy.tagged("new"))), [
        "Dead",
        true,
        "tag new was no dependency when it was loaded"
      ])
    })
  )

  onEach(
    "explains a cached failure by its own policy, as a read judges it",
    Effect.gen(function*() {
      const cached = Cached.make("user", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id): Effect.Effect<string, NotFound> => Effect.fail(new NotFound({ id })),
        failures: {
          error: NotFound,
          policy: Policy.tagged({ fromValue: (error: NotFound) => [`user:${error.id}`] }, { severity: "Stale" })
        }
      }, Policy.never)
      yield* errorOf(Cached.get(cached, 1))
      assert.strictEqual((yield* Cached.explain(cached, 1)).verdict, "Fresh")
      yield* Cached.apply(Invalidation.tags("user:1"))
      const { because, verdict } = yield* Cached.explain(cached, 1)
      assert.deepStrictEqual([verdict, because], ["Stale", "tag user:1 invalidated 0 ms ago"])
      yield* errorOf(Cached.get(cached, 1))
      assert.strictEqual((yield* Cached.stats(cached)).staleServed, 1)
    })
  )

  onEach(
    "tells of a load that is under way, and of a fence that stands over the key",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      origin.takes = 1000
      yield* begin(Cached.refresh(cached, "a"))
      assert.deepStrictEqual(yield* gist(cached), ["Fresh", true, "all of its policy holds; a load is under way"])
      yield* TestClock.adjust(1000)
      const writer = yield* begin(Effect.sleep(1000).pipe(Cached.mutate(Invalidation.tags("t"))))
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "tag t invalidated 0 ms ago; a fence stands over it"])
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "tag t invalidated 1 s ago"])
    })
  )

  onText(
    "tells what cannot be read",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.forever)
      yield* Cached.get(cached, "a")
      yield* TestCache.corrupt("number:a", "{")
      assert.deepStrictEqual(yield* gist(cached), ["Dead", false, "what is stored cannot be read"])
    })
  )

  onEach(
    "agrees with what a read then finds, whatever happened",
    Effect.gen(function*() {
      const policies: ReadonlyArray<Policy.Policy<string, number>> = [
        ages,
        Policy.tagged("t"),
        Policy.tagged("t", { severity: "Stale" }),
        Policy.and(ages, Policy.tagged({ fromValue: (value: number) => [`t${value}`] }, { severity: "OnError" })),
        Policy.or(Policy.ttl("5 seconds"), Policy.tagged("t", { severity: "Stale" })),
        Policy.and(Policy.versioned(1), Policy.or(Policy.tagged("t"), Policy.until("* * * * *")))
      ]
      const happenings = [
        Effect.void,
        TestClock.adjust("6 seconds"),
        TestClock.adjust("70 seconds"),
        Cached.apply(Invalidation.tags("t", "t1")),
        Cached.apply(Invalidation.soft(Invalidation.tags("t", "t1"))),
        Cached.apply(Invalidation.soft(Invalidation.everything))
      ]
      for (const [i, policy] of policies.entries()) {
        for (const happening of happenings) {
          const cached = Cached.make(`policy ${i}`, {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => Effect.succeed(1)
          }, policy)
          yield* Cached.apply(Invalidation.everything)
          yield* Cached.get(cached, "a")
          yield* happening
          const { verdict } = yield* Cached.explain(cached, "a")
          const before = yield* Cached.stats(cached)
          yield* Cached.get(cached, "a")
          const after = yield* Cached.stats(cached)
          const found = after.hits > before.hits ? "hit" : after.staleServed > before.staleServed ? "stale" : "miss"
          const expected = verdict === "Fresh" ? "hit" : verdict === "Stale" || verdict === "Refresh" ? "stale" : "miss"
          assert.strictEqual(found, expected, `${policy}: ${verdict}`)
          yield* settle
        }
      }
    })
  )

  onEach(
    "changes nothing: counts no read, starts no load, drops and softens nothing",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, ages)
      yield* Cached.get(cached, "a")
      const before = yield* Cached.stats(cached)
      const explained: Array<unknown> = []
      for (const at of [0, 15_000, 25_000, 35_000]) {
        yield* TestClock.setTime(at)
        explained.push((yield* Cached.explain(cached, "a")).verdict)
        yield* Cached.explain(cached, "unknown")
      }
      assert.deepStrictEqual(explained, ["Fresh", "Stale", "OnError", "Dead"])
      assert.deepStrictEqual(yield* Cached.stats(cached), before)
      assert.strictEqual((yield* TestCache.entries).length, 1)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onText(
    "asks the store for nothing but an inspection, and counts nothing unreadable",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.forever)
      yield* Cached.get(cached, "a")
      yield* TestCache.corrupt("number:a", "{")
      yield* TestCache.forget
      yield* Cached.explain(cached, "a")
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["inspect"])
      assert.strictEqual((yield* Cached.stats(cached)).unreadable, 0)
    })
  )

  it.effect("does not save an entry from eviction", () =>
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "b")
      yield* Cached.explain(cached, "a")
      yield* Cached.get(cached, "c") // "a" is the least recently used
      yield* Cached.get(cached, "b")
      assert.strictEqual(origin.loads, 3)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 2 }))))

  onText(
    "fails with StoreError when the store does",
    Effect.gen(function*() {
      yield* TestCache.fail("inspect")
      const error = yield* errorOf(Cached.explain(numbers(new Origin(1), Policy.forever), "a"))
      assert.instanceOf(error, CacheStore.StoreError)
    })
  )

  onEach(
    "shows keys as they were written",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.forever)
      assert.strictEqual(
        String(yield* Cached.explain(cached, "film noir/ü")),
        "number:film noir/ü is Dead: nothing is stored"
      )
    })
  )
})

describe("describe", () => {
  const described = (policy: Policy.Policy<{ id: number; genre: string }, Film>) =>
    Cached.describe(Cached.make("film", {
      key: Key.struct({ id: Key.int("id"), genre: Key.string("genre") }),
      value: Film,
      lookup: () => Effect.succeed(alien)
    }, policy)).invalidatedBy

  it("says what is cached by what, under which policy, and what ends it", () => {
    const cached = Cached.make("film", {
      key: Key.int("id"),
      value: Film,
      lookup: (): Effect.Effect<Film, NotFound> => Effect.succeed(alien),
      failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
    }, Policy.all(Policy.ttl("5 minutes"), Policy.tagged("films"), Policy.conditional(Films, { fields: ["title"] })))
    assert.strictEqual(
      String(Cached.describe(cached)),
      [
        "film(id)",
        "  policy: ttl(5m) and tagged(films) and conditional(film, [title])",
        "  failures: ttl(10s)",
        "  invalidated by:",
        "    - its key",
        "    - age 5m",
        "    - tag films",
        "    - the film of the key: title, coming or going",
        "    - failures: age 10s"
      ].join("\n")
    )
    assert.strictEqual(String(cached), "film(id): ttl(5m) and tagged(films) and conditional(film, [title])")
    assert.deepStrictEqual(JSON.parse(JSON.stringify(cached)), {
      _id: "Cached",
      name: "film",
      key: ["id"],
      policy: "ttl(5m) and tagged(films) and conditional(film, [title])"
    })
  })

  type K = { id: number; genre: string }
  const kinds: ReadonlyArray<readonly [Policy.Policy<K, Film>, ReadonlyArray<string>]> = [
    [Policy.forever, []],
    [Policy.never, ["at once"]],
    [Policy.ttl("1 hour"), ["age 1h"]],
    [Policy.ttl(Infinity), []],
    [Policy.until("0 0 * * *"), ["the clock: 0 0 * * *"]],
    [Policy.versioned(1), ["another version"]],
    [Policy.versioned((key: K) => key.id, { name: "row", atLeast: true }), ["another row"]],
    [Policy.tagged(["a", "b"]), ["tag a", "tag b"]],
    [Policy.tagged((key: K) => [key.genre]), ["tags of the key"]],
    [Policy.tagged({ fromValue: (film: Film) => [film.genre] }), ["tags of the value"]],
    [Policy.conditional(Films, { id: (key: K) => key.id, fields: ["title"] }), [
      "the film of the key: title, coming or going"
    ]],
    [Policy.conditional(Films, { id: { fromValue: (film: Film) => film.id } }), [
      "the film of the value: anything, coming or going"
    ]],
    [Policy.conditionalIn(Films, "genre", { equals: (key: K) => key.genre, fields: ["title"] }), [
      "the films of a genre of the key: title, membership"
    ]],
    [Policy.conditionalIn(Films, "genre", { equals: (key: K) => key.genre, fields: [] }), [
      "the films of a genre of the key: membership"
    ]],
    [Policy.conditionalAll(Films, { fields: ["rating"] }), ["any film: rating, membership"]],
    [Policy.xfetch(), []],
    [Policy.or(Policy.tagged("a"), Policy.tagged("a")), ["tag a"]]
  ]
  for (const [policy, causes] of kinds) {
    it(`says what ends ${policy}`, () => assert.deepStrictEqual(described(policy), ["its key", ...causes]))
  }
})

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
  storeFailures: 0,
  reads: 11,
  hitRate: 5 / 11,
  loadsAvoided: 3
}

describe("stats", () => {
  onEach(
    "count exactly what happened",
    Effect.gen(function*() {
      const cached = yield* history
      assert.deepStrictEqual(yield* Cached.stats(cached), expected)
      assert.deepStrictEqual([...yield* Cached.allStats], [["history", expected]])
    })
  )

  onEach(
    "count nothing of what was never used",
    Effect.gen(function*() {
      const { hitRate, loads, loadsAvoided, reads } = yield* Cached.stats(numbers(new Origin(1), Policy.forever))
      assert.deepStrictEqual([reads, loads, loadsAvoided, hitRate], [0, 0, 0, 0])
      assert.strictEqual((yield* Cached.allStats).size, 0)
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
