/**
 * Loads that read the cache: pages made of cached cards. What is made of an old
 * entry is old.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import { begin, beginAll, Down, ends, isRunning, NotFound, Origin } from "../support/cached.ts"
import type { Parts } from "../support/nested.ts"
import { nest, onEvery, readOut, settle, value, verdictOf } from "../support/nested.ts"
import { serviceOn } from "../support/port.ts"

describe("a load is given nothing stale", () => {
  onEvery("after a soft invalidation of both", () =>
    Effect.gen(function*() {
      const { card, made, origin, page, site } = nest()
      yield* Cached.get(site, "a")
      origin.value = "new"
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      // Served once more, as is its right, and refreshed from what is fresh.
      assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>old</p></html>")
      assert.strictEqual(yield* readOut(site), "<html><p>new</p></html>")
      assert.strictEqual(yield* Cached.get(page, "a"), "<p>new</p>")
      assert.deepStrictEqual([yield* verdictOf(card), yield* verdictOf(page), yield* verdictOf(site)], [
        "Fresh",
        "Fresh",
        "Fresh"
      ])
      // And kept: a cache that stores nothing is always right.
      yield* Cached.get(site, "a")
      assert.deepStrictEqual([origin.loads, made], [2, { page: 2, site: 2 }])
    }))

  onEvery("after a hard one that leaves the card to be served as stale", () =>
    Effect.gen(function*() {
      const { made, origin, page } = nest({ card: Policy.tagged("t", { severity: "Stale" }) })
      yield* Cached.get(page, "a")
      origin.value = "new"
      yield* Cached.apply(Invalidation.tags("t"))
      assert.strictEqual(yield* Cached.get(page, "a"), "<p>new</p>")
      assert.strictEqual(yield* Cached.get(page, "a"), "<p>new</p>")
      assert.deepStrictEqual([origin.loads, made.page], [2, 2])
    }))

  for (const refresh of ["background", "caller", "everyone"] as const) {
    onEvery(
      `of a card that is past its freshness, refreshed by ${refresh}, though somebody refreshes it already`,
      () =>
        Effect.gen(function*() {
          const { card, made, origin, page } = nest({
            card: Policy.ttl("10 seconds", { staleFor: "1 hour" }),
            options: { refresh }
          })
          yield* Cached.get(page, "a")
          yield* TestClock.adjust("20 seconds")
          origin.value = "new"
          origin.takes = 1000
          const other = yield* begin(Cached.get(card, "a"))
          yield* Cached.apply(Invalidation.keys(Cached.keyOf(page, "a")))
          const reader = yield* begin(Cached.get(page, "a"))
          assert.isTrue(isRunning(reader))
          yield* TestClock.adjust(1000)
          yield* ends([other])
          assert.strictEqual(yield* Fiber.join(reader), "<p>new</p>")
          // They share the refresh.
          assert.deepStrictEqual([origin.loads, made.page], [2, 2])
        })
    )
  }

  onEvery("by getMany of cards, with one lookup for all or one for each", () =>
    Effect.gen(function*() {
      for (const batch of [false, true]) {
        let price = 1
        let calls = 0
        const load = Effect.sync(() => {
          calls++
          return price
        })
        const cards = Cached.make(`cards ${batch}`, {
          key: Key.int("id"),
          value: Schema.Finite,
          lookup: (_id: number) => load,
          ...(batch
            ? {
              lookupMany: (ids: ReadonlyArray<number>) => Effect.map(load, (one) => ids.map(() => Result.succeed(one)))
            }
            : {})
        }, Policy.tagged("t"))
        const sum = Cached.make(`sum ${batch}`, {
          key: Key.unit,
          value: Schema.Finite,
          lookup: () => Effect.map(Cached.getMany(cards, [1, 2, 3]), (all) => all.reduce((a, b) => a + b, 0))
        }, Policy.tagged("t"))
        assert.strictEqual(yield* Cached.get(sum, undefined), 3)
        price = 10
        yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
        yield* Cached.get(sum, undefined)
        yield* settle
        assert.strictEqual(yield* Cached.get(sum, undefined), 30)
        assert.strictEqual(calls, batch ? 2 : 6)
      }
    }))

  onEvery("in the fibers that a lookup forks", () =>
    Effect.gen(function*() {
      const { card, origin } = nest()
      const both = Cached.make("both", {
        key: Key.unit,
        value,
        lookup: () =>
          Effect.map(
            Effect.all([Cached.get(card, "a"), Effect.flatMap(Effect.forkChild(Cached.get(card, "b")), Fiber.join)], {
              concurrency: "unbounded"
            }),
            (all) => all.join(" ")
          )
      }, Policy.tagged("t"))
      yield* Cached.get(both, undefined)
      origin.value = "new"
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      yield* Cached.get(both, undefined)
      yield* settle
      assert.strictEqual(yield* Cached.get(both, undefined), "new new")
    }))

  onEvery("outside of loads a stale card is served at once, as before", () =>
    Effect.gen(function*() {
      const { card, origin } = nest()
      yield* Cached.get(card, "a")
      origin.value = "new"
      origin.takes = 1000
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      assert.strictEqual(yield* Cached.get(card, "a"), "old")
    }))
})

describe("what was made of something stale is stored as stale", () => {
  const stale: Record<string, Parts> = {
    "a refresh that failed, in its stale time": { card: Policy.ttl("10 seconds", { staleFor: "1 hour" }) },
    "a load that failed, in its time for errors": { card: Policy.ttl("10 seconds", { onErrorFor: "1 hour" }) }
  }
  for (const [what, parts] of Object.entries(stale)) {
    onEvery(`and is true again as soon as the origin is: ${what}`, () =>
      Effect.gen(function*() {
        const { made, origin, page, site } = nest({ ...parts, page: Policy.ttl("1 minute") })
        yield* Cached.get(site, "a")
        yield* TestClock.adjust("2 minutes")
        origin.ends = Effect.fail(new Down())
        assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>old</p></html>")
        assert.deepStrictEqual([yield* verdictOf(page), yield* verdictOf(site)], ["Stale", "Stale"])
        // It is no part of its policy, which still holds.
        const explained = String(yield* Cached.explain(page, "a"))
        assert.match(explained, /is Stale: it was made of something stale; all of its policy holds/)
        assert.deepStrictEqual(made, { page: 2, site: 2 })
        origin.ends = Effect.void
        origin.value = "new"
        // Served once more, and refreshed.
        assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>old</p></html>")
        yield* settle
        assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>new</p></html>")
        assert.deepStrictEqual([yield* verdictOf(page), yield* verdictOf(site)], ["Fresh", "Fresh"])
        yield* Cached.get(site, "a")
        assert.deepStrictEqual(made, { page: 3, site: 3 })
      }))

    onEvery(`and keeps nobody waiting while the origin does not answer: ${what}`, () =>
      Effect.gen(function*() {
        const { origin, page } = nest({ ...parts, page: Policy.ttl("1 hour") })
        yield* Cached.get(page, "a")
        yield* Cached.apply(Invalidation.keys(Cached.keyOf(page, "a")))
        yield* TestClock.adjust("1 minute")
        origin.ends = Effect.fail(new Down())
        origin.takes = 5000
        const first = yield* begin(Cached.get(page, "a"))
        yield* TestClock.adjust(5000)
        assert.strictEqual(yield* Fiber.join(first), "<p>old</p>")
        const readers = yield* beginAll(50, Cached.get(page, "a"))
        for (const exit of yield* ends(readers)) assert.deepStrictEqual(exit, Exit.succeed("<p>old</p>"))
        // One of them tries again.
        assert.strictEqual(origin.loads, 3)
      }))

    onEvery(`and shared with those who wait for it: ${what}`, () =>
      Effect.gen(function*() {
        const { made, origin, page } = nest({ ...parts, page: Policy.ttl("5 seconds") })
        yield* Cached.get(page, "a")
        yield* TestClock.adjust("20 seconds")
        origin.ends = Effect.fail(new Down())
        origin.takes = 1000
        const readers = yield* beginAll(50, Cached.get(page, "a"))
        yield* TestClock.adjust(1000)
        for (const exit of yield* ends(readers)) assert.deepStrictEqual(exit, Exit.succeed("<p>old</p>"))
        assert.deepStrictEqual([made.page, origin.loads], [2, 2])
      }))

    onEvery(`and served no longer than that may be: ${what}`, () =>
      Effect.gen(function*() {
        const { origin, site } = nest({ ...parts, page: Policy.ttl("1 day") })
        yield* Cached.get(site, "a")
        yield* Cached.apply(Invalidation.everything)
        yield* Cached.get(site, "a")
        yield* TestClock.adjust("1 minute")
        yield* Cached.apply(Invalidation.keys(["page:a", "site:a"]))
        origin.ends = Effect.fail(new Down())
        assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>old</p></html>")
        yield* TestClock.adjust("59 minutes")
        assert.strictEqual(yield* Cached.get(site, "a"), "<html><p>old</p></html>")
        yield* settle
        yield* TestClock.adjust("11 seconds")
        assert.strictEqual(yield* verdictOf(site), "Dead")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Cached.get(site, "a"))))
      }))

    onEvery(
      `and replaces what was there before, also by a failure that is an answer: ${what}`,
      () =>
        Effect.gen(function*() {
          const { card: header, origin } = nest(parts)
          let text: string | undefined = "first"
          const article = Cached.make("article", {
            key: Key.string("id"),
            value,
            lookup: (id) =>
              Effect.flatMap(
                Cached.get(header, id),
                (above) =>
                  text === undefined ? Effect.fail(new NotFound({ id: 1 })) : Effect.succeed(`${above}: ${text}`)
              ),
            failures: { error: NotFound, policy: Policy.tagged("article") }
          }, Policy.tagged("article"))
          yield* Cached.get(article, "a")
          yield* TestClock.adjust("1 minute")
          origin.ends = Effect.fail(new Down())
          text = "edited"
          yield* Cached.apply(Invalidation.soft(Invalidation.tags("article")))
          assert.strictEqual(yield* readOut(article), "old: edited")
          yield* settle
          text = undefined
          yield* Cached.apply(Invalidation.soft(Invalidation.tags("article")))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(readOut(article))))
        })
    )
  }

  onEvery("a load that took too long, so that the old card came in its place", () =>
    Effect.gen(function*() {
      const { made, origin, page } = nest({
        card: Policy.ttl("10 seconds", { onErrorFor: "1 hour" }),
        page: Policy.ttl("15 seconds"),
        options: { softTimeout: "1 second" }
      })
      yield* Cached.get(page, "a")
      yield* TestClock.adjust("20 seconds")
      origin.value = "new"
      origin.takes = 3000
      const reader = yield* begin(Cached.get(page, "a"))
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(reader), "<p>old</p>")
      assert.strictEqual(yield* verdictOf(page), "Stale")
      yield* TestClock.adjust(2000)
      assert.strictEqual(yield* readOut(page), "<p>new</p>")
      assert.deepStrictEqual([made.page, origin.loads], [3, 2])
    }))

  onEvery("but not in place of an entry that was only refreshed early", () =>
    Effect.gen(function*() {
      const { made, origin, page } = nest({
        card: Policy.ttl("10 seconds", { onErrorFor: "1 hour" }),
        page: Policy.all(Policy.ttl("1 hour"), Policy.xfetch({ beta: 1e9 }))
      })
      origin.takes = 1000
      const first = yield* begin(Cached.get(page, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(first)
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      yield* Cached.get(page, "a")
      yield* settle
      yield* TestClock.adjust(1000)
      yield* settle
      assert.deepStrictEqual([made.page, yield* verdictOf(page)], [2, "Fresh"])
    }))

  onEvery("a card that was there, and may be stale", () =>
    Effect.gen(function*() {
      const { card, origin } = nest()
      const maybe = Cached.make("maybe", {
        key: Key.unit,
        value,
        lookup: () => Effect.map(Cached.getOption(card, "a"), (found) => String(found._tag === "Some" && found.value))
      }, Policy.tagged("t"))
      yield* Cached.get(card, "a")
      assert.strictEqual(yield* Cached.get(maybe, undefined), "old")
      origin.value = "new"
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      yield* Cached.get(maybe, undefined)
      yield* settle
      yield* Cached.refresh(card, "a")
      yield* Cached.get(maybe, undefined)
      yield* settle
      assert.strictEqual(yield* Cached.get(maybe, undefined), "new")
    }))

  onEvery("a write-through of something stale leaves the key empty", () =>
    Effect.gen(function*() {
      const { card, origin } = nest({ card: Policy.ttl("10 seconds", { onErrorFor: "1 hour" }) })
      let asked = 0
      const copy = Cached.make("copy", {
        key: Key.unit,
        value,
        lookup: () => Effect.sync(() => String(++asked))
      }, Policy.forever)
      const write = Cached.set(copy, undefined, Cached.get(card, "a"))
      assert.strictEqual(yield* write, "old")
      assert.strictEqual(yield* Cached.get(copy, undefined), "old")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      assert.strictEqual(yield* write, "old")
      assert.strictEqual(yield* Cached.get(copy, undefined), "1")
    }))

  onEvery("but a card that is only refreshed early is as good as fresh", () =>
    Effect.gen(function*() {
      const { made, origin, page } = nest({
        card: Policy.all(Policy.ttl("1 hour"), Policy.xfetch({ beta: 1e9 })),
        page: Policy.tagged("t")
      })
      origin.takes = 1000
      const reader = yield* begin(Cached.get(page, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(reader)
      yield* Cached.apply(Invalidation.tags("t"))
      // Served without waiting for its refresh, and stored.
      assert.strictEqual(yield* Cached.get(page, "a"), "<p>old</p>")
      yield* settle
      yield* Cached.get(page, "a")
      assert.deepStrictEqual([made.page, origin.loads], [2, 2])
    }))
})

describe("what a load is told of", () => {
  for (const how of ["get", "getOption"] as const) {
    onEvery(
      `by keys of its own batch, too, since nobody knows for which of them it reads (${how})`,
      () =>
        Effect.gen(function*() {
          let down = false
          const read = (id: number): Effect.Effect<string, Down, CacheService.CacheService> =>
            how === "get"
              ? Cached.get(node, id)
              : Effect.map(Cached.getOption(node, id), (found) => found._tag === "Some" ? found.value : "none")
          const one = (id: number) =>
            Effect.suspend(() =>
              id === 2
                ? down ? Effect.fail(new Down()) : Effect.succeed("two")
                : Effect.map(read(2), (two) => `one and ${two}`)
            )
          const node: Cached.Cached<number, string, Down, CacheService.CacheService> = Cached.make("node", {
            key: Key.int("id"),
            value,
            lookup: one,
            lookupMany: (ids: ReadonlyArray<number>) => Effect.forEach(ids, (id) => Effect.result(one(id))),
            refresh: "everyone"
          }, Policy.ttl("10 seconds", { staleFor: "1 minute" }))
          yield* Cached.get(node, 2)
          yield* Cached.getMany(node, [1, 2])
          yield* TestClock.adjust("20 seconds")
          yield* Cached.invalidate(node, 1)
          down = true
          assert.deepStrictEqual(yield* Cached.getMany(node, [1, 2]), ["one and two", "two"])
          assert.strictEqual((yield* Cached.explain(node, 1)).verdict, "Stale")
        })
    )
  }

  onEvery("counts only what may still be served by an alternative that holds", () =>
    Effect.gen(function*() {
      const origin = new Origin<string, Down>("old")
      const card = Cached.make("either", {
        key: Key.string("id"),
        value,
        lookup: () => origin.load
      }, Policy.any(Policy.tagged("t"), Policy.ttl("10 seconds", { staleFor: "1 minute" })))
      const page = Cached.make("of either", {
        key: Key.string("id"),
        value,
        lookup: (id) => Effect.map(Cached.get(card, id), (text) => `<p>${text}</p>`)
      }, Policy.forever)
      yield* Cached.get(card, "a")
      yield* Cached.apply(Invalidation.tags("t"))
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      assert.strictEqual(yield* Cached.get(page, "a"), "<p>old</p>")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([yield* verdictOf(card), yield* verdictOf(page)], ["Dead", "Dead"])
    }))

  it.effect("is told across services, each by its own clock and under its own names", () =>
    Effect.gen(function*() {
      const ahead = Effect.map(MemoryCache.makeStore({ capacity: 10 }), (store): CacheStore.CacheStore => ({
        ...store,
        now: (clock) => clock.currentTimeMillisUnsafe() + 86_400_000
      }))
      const back = yield* Layer.build(serviceOn(ahead))
      const front = yield* Layer.build(Layer.fresh(MemoryCache.layer({ capacity: 10 })))
      const origin = new Origin<string, Down>("old")
      const key = Key.string("id")
      const behind = Cached.make("same name", {
        key,
        value,
        lookup: () => origin.load
      }, Policy.ttl("10 seconds", { onErrorFor: "1 minute" }))
      const page = Cached.make("same name", {
        key,
        value,
        lookup: (id) => Effect.provideContext(Cached.get(behind, id), back)
      }, Policy.ttl("7 days"))
      yield* Effect.provideContext(Cached.get(behind, "a"), back)
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      const verdict = Effect.provideContext(verdictOf(page), front)
      yield* Effect.provideContext(Cached.get(page, "a"), front)
      assert.strictEqual(yield* verdict, "Stale")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* verdict, "Dead")
    }))

  onEvery("not of what a lookup leaves behind that was interrupted", () =>
    Effect.gen(function*() {
      const { card, origin } = nest({ card: Policy.ttl("10 seconds", { staleFor: "1 hour" }) })
      yield* Cached.get(card, "a")
      yield* TestClock.adjust("20 seconds")
      let left: Fiber.Fiber<string, Down> | undefined
      const page = Cached.make("interrupted", {
        key: Key.unit,
        value,
        lookup: () =>
          Effect.gen(function*() {
            left = yield* Effect.forkDetach(Effect.delay(Cached.get(card, "a"), "5 seconds"))
            return yield* Effect.never
          })
      }, Policy.forever)
      const reader = yield* begin(Cached.get(page, undefined))
      yield* settle
      yield* Fiber.interrupt(reader)
      origin.takes = 60_000
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.isFalse(isRunning(left!))
      yield* TestClock.adjust("1 minute")
    }))
})
