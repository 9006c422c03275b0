import { assert, describe, it } from "@effect/vitest"
import type { Fiber } from "effect"
import { Effect, Exit, Result, Scheduler, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import type { Down } from "../support/cached.ts"
import { isRunning } from "../support/cached.ts"
import { nest, onEvery, readOut, settle, value, verdictOf } from "../support/nested.ts"

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
        const { loads, refreshing } = inside(yield* CacheService.CacheService)
        assert.deepStrictEqual([loads.size, refreshing.size], [0, 0])
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
        const { loads, refreshing } = inside(yield* CacheService.CacheService)
        assert.deepStrictEqual([loads.size, refreshing.size], [0, 0])
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
