import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  ages,
  alien,
  assertQuiet,
  begin,
  errorOf,
  Film,
  Films,
  NotFound,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

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
        Cached.apply(Invalidation.tags(["t", "t1"])),
        Cached.apply(Invalidation.soft(Invalidation.tags(["t", "t1"]))),
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
