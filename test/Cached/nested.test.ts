/**
 * Loads that read the cache: pages made of cached cards, and failures that are
 * shared. What is made of an old entry is old, and a load that failed is a load.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Random, Result, Scheduler, Schema } from "effect"
import type { Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { begin, beginAll, Down, ends, isRunning, memory, NotFound, Origin, text } from "../support/cached.ts"
import { makeMarkerStore } from "../support/markerStore.ts"
import { serviceOn } from "../support/port.ts"

/** Lets every fiber run that can, also where each operation of the store is several turns. */
const settle = Effect.asVoid(Effect.repeat(Effect.yieldNow, { times: 200 }))

const inSteps = Layer.fresh(serviceOn(makeMarkerStore({ split: true })))

/** One test on each store; the last one invalidates in several steps. */
const onEvery = (
  name: string,
  test: () => Effect.Effect<unknown, unknown, CacheService.CacheService | Scope.Scope>
): void => {
  for (const [store, layer] of Object.entries({ memory, text, steps: inSteps })) {
    it.effect(`${name} [${store}]`, () => Effect.provide(Random.withSeed(test(), "seed"), layer))
  }
}

const value = Schema.String

interface Parts {
  readonly card?: Policy.Policy<string, string>
  readonly page?: Policy.Policy<string, string>
  readonly options?: Partial<Cached.Options<string, string, Down, never>>
}

/** A card, a page that shows it, and a site that shows the page. */
const nest = ({ card: ofCard = Policy.tagged("t"), options, page: ofPage = Policy.tagged("t") }: Parts = {}) => {
  const origin = new Origin<string, Down>("old")
  const made = { page: 0, site: 0 }
  const key = Key.string("id")
  const card = Cached.make("card", { key, value, lookup: () => origin.load, ...options }, ofCard)
  const showing = (
    name: "page" | "site",
    part: Cached.Cached<string, string, Down, CacheService.CacheService>,
    tag: string
  ) =>
    Cached.make(name, {
      key,
      value,
      lookup: (id) =>
        Effect.suspend(() => {
          made[name]++
          return Effect.map(Cached.get(part, id), (text) => `<${tag}>${text}</${tag}>`)
        })
    }, ofPage)
  const page = showing("page", card, "p")
  const site = showing("site", page, "html")
  return { card, made, origin, page, site }
}

/** Reads until nothing is refreshed behind one's back. */
const readOut = <V, E, R>(self: Cached.Cached<string, V, E, R>) =>
  Effect.andThen(Effect.exit(Cached.get(self, "a")), Effect.andThen(settle, Cached.get(self, "a")))

const verdictOf = <V, E, R>(self: Cached.Cached<string, V, E, R>) =>
  Effect.map(Cached.explain(self, "a"), ({ verdict }) => verdict)

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
        yield* Cached.apply(Invalidation.keys("page:a", "site:a"))
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

describe("loads that need one another", () => {
  const both = (stale: boolean) => stale ? Policy.ttl("10 seconds", { staleFor: "1 hour" }) : Policy.ttl("10 seconds")

  for (const stale of [false, true]) {
    const when = stale ? "stale" : "cold"
    onEvery(`of one batch, give their values (${when})`, () =>
      Effect.gen(function*() {
        let version = 1
        const path: Cached.Cached<number, string, never, CacheService.CacheService> = Cached.make("path", {
          key: Key.int("id"),
          value,
          lookup: (id: number): Effect.Effect<string, never, CacheService.CacheService> =>
            id === 1
              ? Effect.succeed(`/${version}`)
              : Effect.map(Cached.get(path, id - 1), (above) => `${above}/${id}`),
          lookupMany: (ids: ReadonlyArray<number>) =>
            Effect.forEach(ids, (id) =>
              id === 1
                ? Effect.succeed(Result.succeed(`/${version}`))
                : Effect.map(Cached.get(path, id - 1), (above) => Result.succeed(`${above}/${id}`)))
        }, both(stale))
        assert.deepStrictEqual(yield* Cached.getMany(path, [1, 2, 3]), ["/1", "/1/2", "/1/2/3"])
        version = 2
        yield* TestClock.adjust("1 minute")
        yield* Cached.getMany(path, [1, 2, 3])
        yield* settle
        assert.deepStrictEqual(yield* Cached.getMany(path, [1, 2, 3]), ["/2", "/2/2", "/2/2/3"])
        const { flights, refreshing } = yield* CacheService.CacheService
        assert.deepStrictEqual([flights.size, refreshing.size], [0, 0])
      }))

    onEvery(`in a circle, die or are given what is stale, and nothing is left (${when})`, () =>
      Effect.gen(function*() {
        let circle = !stale
        const one: Cached.Cached<string, string, never, CacheService.CacheService> = Cached.make("one", {
          key: Key.string("id"),
          value,
          lookup: (id) => Effect.suspend(() => circle ? Cached.get(other, id) : Effect.succeed("one"))
        }, both(stale))
        const other: typeof one = Cached.make("other", {
          key: Key.string("id"),
          value,
          lookup: (id) => Effect.suspend(() => circle ? Cached.get(one, id) : Effect.succeed("other"))
        }, both(stale))
        if (stale) {
          yield* Cached.get(one, "a")
          yield* Cached.get(other, "a")
          yield* TestClock.adjust("1 minute")
          circle = true
        }
        const exits = yield* Effect.all([Effect.exit(Cached.get(one, "a")), Effect.exit(Cached.get(other, "a"))], {
          concurrency: "unbounded"
        })
        assert.isTrue(exits.every((exit) => stale ? Exit.isSuccess(exit) : Exit.hasDies(exit)), String(exits))
        yield* settle
        const { flights, refreshing } = yield* CacheService.CacheService
        assert.deepStrictEqual([flights.size, refreshing.size], [0, 0])
      }))
  }

  it("hang under no schedule", async () => {
    // A fiber may have to let others go on between any two steps of its own.
    class Dice extends Scheduler.MixedScheduler {
      private state: number
      constructor(seed: number) {
        super("async")
        this.state = seed
      }
      override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
        this.state = (Math.imul(this.state, 1_103_515_245) + 12_345) & 0x7fffffff
        return fiber.currentOpCount > 2 && (this.state >> 8) % 6 === 0
      }
    }
    const make = (name: string, other: () => Cached.Cached<number, string, never, CacheService.CacheService>) =>
      Cached.make(name, {
        key: Key.int("id"),
        value,
        lookup: (id: number): Effect.Effect<string, never, CacheService.CacheService> => Effect.succeed(`${name}${id}`),
        lookupMany: (ids: ReadonlyArray<number>) =>
          Effect.map(Cached.get(other(), 1), (one) => ids.map((id) => Result.succeed(`${name}${id} (${one})`)))
      }, Policy.forever)
    const a: Cached.Cached<number, string, never, CacheService.CacheService> = make("a", () => b)
    const b: Cached.Cached<number, string, never, CacheService.CacheService> = make("b", () => a)
    for (let seed = 1; seed <= 300; seed++) {
      const both = Effect.all([Cached.getMany(a, [1, 2]), Cached.getMany(b, [1, 2])], { concurrency: "unbounded" })
        .pipe(
          Effect.timeoutOption("20 seconds"),
          Effect.provide(MemoryCache.layer({ capacity: 100 }))
        )
      const found = await Effect.runPromise(both, { scheduler: new Dice(seed * 7919) })
      assert.strictEqual(found._tag, "Some", `seed ${seed}`)
    }
  })

  onEvery("recursion over other keys is no circle", () =>
    Effect.gen(function*() {
      const sum: Cached.Cached<number, number, never, CacheService.CacheService> = Cached.make("sum", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => n === 0 ? Effect.succeed(0) : Effect.map(Cached.get(sum, n - 1), (less) => less + n)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(sum, 300), 45_150)
    }))

  onEvery("a lookup may look at what it is to replace", () =>
    Effect.gen(function*() {
      let asked = 0
      const page: Cached.Cached<string, string, never, CacheService.CacheService> = Cached.make("page", {
        key: Key.string("id"),
        value,
        lookup: (id) =>
          Effect.map(Cached.getOption(page, id), (old) => {
            asked++
            // Not modified.
            return old._tag === "Some" ? old.value : "body"
          })
      }, Policy.ttl("10 seconds", { staleFor: "1 hour" }))
      yield* Cached.get(page, "a")
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* readOut(page), "body")
      assert.strictEqual(yield* verdictOf(page), "Fresh")
      yield* Cached.get(page, "a")
      assert.strictEqual(asked, 2)
    }))

  onEvery("what a lookup leaves behind is no part of a load", () =>
    Effect.gen(function*() {
      const { card, origin } = nest({ card: Policy.ttl("10 seconds", { staleFor: "1 hour" }) })
      yield* Cached.get(card, "a")
      let left: Fiber.Fiber<string, Down> | undefined
      const page = Cached.make("leaving", {
        key: Key.unit,
        value,
        lookup: () =>
          Effect.gen(function*() {
            left = yield* Effect.forkDetach(Effect.delay(Cached.get(card, "a"), "1 minute"))
            return "page"
          })
      }, Policy.forever)
      yield* Cached.get(page, undefined)
      origin.takes = 5000
      yield* TestClock.adjust("1 minute")
      yield* settle
      // Served at once, and refreshed behind its back.
      assert.isFalse(isRunning(left!))
      yield* TestClock.adjust(5000)
    }))
})

describe("a load that failed is shared only with those who came before it could have been voided", () => {
  /** An origin without the row at first. */
  const missing = (policy: Policy.Policy<number, string>) => {
    const origin = new Origin<string, NotFound>("Ada")
    origin.ends = Effect.fail(new NotFound({ id: 1 }))
    origin.takes = 1000
    const user = Cached.make("user", {
      key: Key.int("id"),
      value,
      // It answers with what was there when it was asked.
      lookup: () => origin.load
    }, policy)
    const insert = Effect.sync(() => {
      origin.ends = Effect.void
    })
    return { insert, origin, user }
  }

  const ofKey = Policy.tagged((id: number) => [`user:${id}`])
  const ofValue = Policy.tagged({ fromValue: (name: string) => [`name:${name}`] })
  const ways: ReadonlyArray<readonly [string, Policy.Policy<number, string>, Invalidation.Invalidation]> = [
    ["nothing but its key", Policy.forever, Invalidation.keys("user:1")],
    ["a tag of its key", ofKey, Invalidation.tags("user:1")],
    ["a tag of its value", ofValue, Invalidation.tags("name:Ada")]
  ]

  for (const [what, policy, over] of ways) {
    onEvery(`not after the end of the mutate under which it began (${what})`, () =>
      Effect.gen(function*() {
        const { insert, origin, user } = missing(policy)
        const writer = yield* begin(Cached.mutate(Effect.andThen(Effect.sleep(500), insert), over))
        const early = yield* begin(Cached.get(user, 1))
        assert.strictEqual(origin.loads, 1)
        yield* TestClock.adjust(500)
        yield* Fiber.join(writer)
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
        assert.strictEqual(yield* Fiber.join(late), "Ada")
        assert.strictEqual(origin.loads, 2)
      }))

    onEvery(`not after an invalidation (${what})`, () =>
      Effect.gen(function*() {
        const { insert, origin, user } = missing(policy)
        const early = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(500)
        yield* insert
        yield* Cached.apply(over)
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
        assert.strictEqual(yield* Fiber.join(late), "Ada")
        assert.strictEqual(origin.loads, 2)
      }))

    onEvery(
      `a hundred make one call, though other things are invalidated all the time (${what})`,
      () =>
        Effect.gen(function*() {
          const { origin, user } = missing(policy)
          const readers = yield* beginAll(100, Cached.get(user, 1))
          for (let i = 0; i < 10; i++) {
            yield* TestClock.adjust(100)
            yield* Cached.apply(Invalidation.tags(`other ${i}`))
          }
          yield* settle
          for (const exit of yield* ends(readers)) assert.isTrue(Exit.isFailure(exit))
          assert.strictEqual(origin.loads, 1)
        })
    )

    onEvery(
      `a hundred who come after another invalidation share a call among them (${what})`,
      () =>
        Effect.gen(function*() {
          const { origin, user } = missing(policy)
          const early = yield* begin(Cached.get(user, 1))
          yield* Cached.apply(Invalidation.tags("other"))
          const late = yield* beginAll(100, Cached.get(user, 1))
          yield* TestClock.adjust(1000)
          yield* TestClock.adjust(1000)
          for (const exit of yield* ends([early, ...late])) assert.isTrue(Exit.isFailure(exit))
          // Where only a value could tell what it depends on, the first one might be void.
          assert.strictEqual(origin.loads, policy === ofValue ? 2 : 1)
        })
    )

    onEvery(`a hundred make one call under a fence that stands (${what})`, () =>
      Effect.gen(function*() {
        const { origin, user } = missing(policy)
        const writer = yield* begin(Cached.mutate(Effect.sleep("10 seconds"), over))
        const readers = yield* beginAll(100, Cached.get(user, 1))
        yield* TestClock.adjust(1000)
        for (const exit of yield* ends(readers)) assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(origin.loads, 1)
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.join(writer)
      }))
  }

  onEvery(
    "a hundred, where something is invalidated all the time, make no more than three and have the old value",
    () =>
      Effect.gen(function*() {
        const origin = new Origin<string, Down>("old")
        const user = Cached.make(
          "noisy",
          {
            key: Key.int("id"),
            value,
            lookup: () => origin.load
          },
          Policy.all(
            Policy.tagged({ fromValue: (name: string) => [`name:${name}`] }),
            Policy.ttl("10 seconds", { onErrorFor: "1 day" })
          )
        )
        yield* Cached.get(user, 1)
        yield* TestClock.adjust("1 minute")
        origin.ends = Effect.fail(new Down())
        origin.takes = 100
        const readers: Array<Fiber.Fiber<string, Down>> = []
        for (let i = 0; i < 100; i++) {
          readers.push(yield* begin(Cached.get(user, 1)))
          yield* Cached.apply(Invalidation.tags(`other ${i}`))
          yield* TestClock.adjust(1)
        }
        for (let i = 0; i < 40; i++) {
          yield* Cached.apply(Invalidation.tags(`more ${i}`))
          yield* TestClock.adjust(10)
        }
        for (const exit of yield* ends(readers)) assert.deepStrictEqual(exit, Exit.succeed("old"))
        assert.isAtMost(origin.loads, 4) // with the first one
      })
  )

  onEvery("a page that shows the failure does not keep it", () =>
    Effect.gen(function*() {
      const { insert, user } = missing(ofValue)
      let made = 0
      const page = Cached.make("page", {
        key: Key.int("id"),
        value,
        lookup: (id) =>
          Effect.suspend(() => {
            made++
            return Effect.catch(Cached.get(user, id), () => Effect.succeed("no such user"))
          })
      }, Policy.tagged("page"))
      const both = Invalidation.tags("name:Ada", "page")
      const writer = yield* begin(Cached.mutate(Effect.andThen(Effect.sleep(500), insert), both))
      const early = yield* begin(Cached.get(user, 1))
      yield* TestClock.adjust(500)
      yield* Fiber.join(writer)
      const late = yield* begin(Cached.get(page, 1))
      yield* TestClock.adjust(2000)
      yield* Fiber.await(early)
      assert.strictEqual(yield* Fiber.join(late), "Ada")
      assert.strictEqual(yield* Cached.get(page, 1), "Ada")
      assert.strictEqual(made, 1)
    }))

  // It has no place in JSON.
  const Odd = Schema.Struct({
    tag: Schema.String,
    odd: Schema.Any.check(Schema.makeFilter((odd) => odd === unwritable))
  })
  const unwritable = { toJSON: () => 1n }

  it.effect("a failure that is cached and cannot be written is asked for the tags that are found in it", () =>
    Effect.gen(function*() {
      const origin = new Origin<string, { readonly tag: string; readonly odd: unknown }>("right")
      origin.takes = 1000
      const cached = Cached.make("odd", {
        key: Key.unit,
        value,
        lookup: () =>
          Effect.suspend(() => {
            const answer = origin.value
            return Effect.andThen(
              origin.load,
              answer === "right" ? Effect.succeed(answer) : Effect.fail({ tag: "t", odd: unwritable })
            )
          }),
        failures: { error: Odd, policy: Policy.tagged({ fromValue: ({ tag }: typeof Odd.Type) => [tag] }) }
      }, Policy.forever)
      origin.value = "wrong"
      const early = yield* begin(Cached.get(cached, undefined))
      origin.value = "right"
      yield* Cached.apply(Invalidation.tags("t"))
      const late = yield* begin(Cached.get(cached, undefined))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), "right")
    }).pipe(Effect.provide(text)))

  it.effect("a tag function that throws is a load that failed", () =>
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = Cached.make(
        "throws",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.tagged({
          fromValue: (n: number) => {
            if (n === 0) throw new Error("no tag")
            return [`n:${n}`]
          }
        })
      )
      const early = yield* begin(Cached.get(cached, undefined))
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("any"))
      const late = yield* begin(Cached.get(cached, undefined))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), 1)
    }).pipe(Effect.provide(memory)))

  it.effect("where the store does not answer, with those who came early, or with all if nothing can be found late", () =>
    Effect.gen(function*() {
      for (
        const [policy, loads] of [[ofKey, 1], [ofValue, 2]] as const
      ) {
        const { origin, user } = missing(policy)
        yield* TestCache.fail("discard")
        const early = yield* beginAll(10, Cached.get(user, 1))
        yield* Cached.apply(Invalidation.tags("other"))
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        for (const exit of yield* ends([...early, late])) assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(origin.loads, loads)
        yield* TestCache.restore
      }
    }).pipe(Effect.provide(text)))

  it.effect("an invalidation that the store has not acknowledged counts as well", () =>
    Effect.gen(function*() {
      const { insert, origin, user } = missing(ofValue)
      const early = yield* begin(Cached.get(user, 1))
      yield* insert
      yield* TestCache.fail("invalidate")
      yield* Effect.flip(Cached.apply(Invalidation.tags("name:Ada")))
      const late = yield* begin(Cached.get(user, 1))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), "Ada")
      assert.isAbove(origin.loads, 1)
    }).pipe(Effect.provide(text)))
})
