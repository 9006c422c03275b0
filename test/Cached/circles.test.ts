/** Lookups that need each other: a circle dies and says so, and what only looks like one gives its values. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { begin, defectOf, ends, isRunning, onText } from "../support/cached.ts"
import { onEvery, settle } from "../support/nested.ts"

type Reads<A> = Effect.Effect<A, never, CacheService.CacheService>
type Numbers = Cached.Cached<number, number, never, CacheService.CacheService>

/** A transaction of no database. */
const transaction = Changes.withTransaction(<A, E, R>(effect: Effect.Effect<A, E, R>) => effect)

/** Numbers by numbers; `asked` are the keys of its lookups, in turn. */
const numbers = (
  name: string,
  one: (n: number) => Reads<number>,
  { batches = false, policy = Policy.forever as Policy.Policy<number, number>, ...options }: {
    readonly batches?: boolean
    readonly policy?: Policy.Policy<number, number>
    readonly waitLimit?: string
  } = {}
): { readonly cached: Numbers; readonly asked: Array<number> } => {
  const asked: Array<number> = []
  const lookup = (n: number) => Effect.suspend(() => (asked.push(n), one(n)))
  const cached: Numbers = Cached.make(name, {
    key: Key.int("n"),
    value: Schema.Finite,
    lookup,
    ...(batches
      ? {
        lookupMany: (all: ReadonlyArray<number>) => Effect.forEach(all, (n) => Effect.map(lookup(n), Result.succeed))
      }
      : {}),
    ...(options as object)
  }, policy)
  return { cached, asked }
}

/** What a read dies with: the keys of the circle. */
const circleOf = <A, R>(read: Effect.Effect<A, unknown, R>): Effect.Effect<ReadonlyArray<string>, never, R> =>
  Effect.map(defectOf(read), (defect) => {
    assert.instanceOf(defect, Cached.LoadCircle, String(defect))
    return defect.keys
  })

const nothingLeft = Effect.gen(function*() {
  yield* settle
  const { loads, refreshing } = inside(yield* CacheService.CacheService)
  assert.deepStrictEqual([loads.size, refreshing.size], [0, 0])
})

describe("a circle dies with a defect that names its keys", () => {
  onEvery("a lookup that reads its own key, as soon as it does", () =>
    Effect.gen(function*() {
      let mistaken = true
      const { asked, cached }: ReturnType<typeof numbers> = numbers(
        "own",
        (n) => mistaken ? Cached.get(cached, n) : Effect.succeed(n)
      )
      assert.deepStrictEqual(yield* circleOf(Cached.get(cached, 7)), ["own:7"])
      assert.deepStrictEqual(asked, [7])
      yield* nothingLeft
      // When the mistake is gone, so is all that came of it.
      mistaken = false
      assert.strictEqual(yield* Cached.get(cached, 7), 7)
      assert.strictEqual(
        new Cached.LoadCircle({ keys: ["own:7", "other:1"] }).message,
        "cached reads that need each other: own:7 -> other:1 -> own:7"
      )
    }))

  onEvery(
    "several definitions in a round, whoever begins, and all who wait for any of them",
    () =>
      Effect.gen(function*() {
        const round: ReadonlyArray<ReturnType<typeof numbers>> = ["a", "b", "c"].map((name, i) =>
          numbers(name, (n) => Effect.flatMap(Effect.sleep(100), () => Cached.get(round[(i + 1) % 3]!.cached, n)))
        )
        const readers = yield* Effect.forEach(round, ({ cached }) => begin(Cached.get(cached, 1)))
        yield* TestClock.adjust(500)
        for (const exit of yield* ends(readers)) {
          const keys = yield* circleOf(exit)
          assert.sameMembers([...keys], ["a:1", "b:1", "c:1"])
        }
        assert.deepStrictEqual(round.map(({ asked }) => asked), [[1], [1], [1]])
        yield* nothingLeft
      })
  )

  onEvery("many keys that all need each other, by a lookup of each", () =>
    Effect.gen(function*() {
      const all = [1, 2, 3, 4, 5, 6, 7]
      const { asked, cached }: ReturnType<typeof numbers> = numbers("all", () =>
        Effect.map(
          Effect.forEach(all, (n) => Cached.get(cached, n), { concurrency: "unbounded" }),
          (some) => some.length
        ))
      yield* circleOf(Cached.get(cached, 1))
      assert.isAtMost(asked.length, all.length)
      yield* nothingLeft
    }))

  onEvery("keys of one batch that do", () =>
    Effect.gen(function*() {
      const { asked, cached }: ReturnType<typeof numbers> = numbers("batch", (n) => Cached.get(cached, 3 - n), {
        batches: true
      })
      assert.deepStrictEqual(yield* circleOf(Cached.getMany(cached, [1, 2])), ["batch:2", "batch:1"])
      assert.isAtMost(asked.length, 4)
      yield* nothingLeft
    }))

  onEvery("a lookup that refreshes its own key, or another that does", () =>
    Effect.gen(function*() {
      const one: ReturnType<typeof numbers> = numbers("one", (n) => Cached.refresh(other.cached, n))
      const other: ReturnType<typeof numbers> = numbers("other", (n) => Cached.refresh(one.cached, n))
      assert.deepStrictEqual(yield* circleOf(Cached.refresh(one.cached, 1)), ["one:1", "other:1"])
      assert.deepStrictEqual(yield* circleOf(Cached.get(one.cached, 2)), ["one:2", "other:2"])
      yield* nothingLeft
    }))

  onEvery("a policy whose version is a read of its own key, or of what needs it", () =>
    Effect.gen(function*() {
      const own: Numbers = Cached.make("own", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: Effect.succeed
      }, Policy.versioned((n: number): Reads<number> => Cached.get(own, n)))
      assert.deepStrictEqual(yield* circleOf(Cached.get(own, 1)), ["own:1"])
      const version = numbers("version", (n) => Cached.get(page, n))
      const page: Numbers = Cached.make("page", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: Effect.succeed
      }, Policy.versioned((n: number): Reads<number> => Cached.get(version.cached, n)))
      assert.deepStrictEqual(yield* circleOf(Cached.get(page, 1)), ["page:1", "version:1"])
      assert.deepStrictEqual(yield* circleOf(Cached.get(version.cached, 1)), ["version:1", "page:1"])
      yield* nothingLeft
    }))

  onEvery("inside of a transaction, where nothing is kept", () =>
    Effect.gen(function*() {
      const own: ReturnType<typeof numbers> = numbers("own", (n) => Cached.get(own.cached, n))
      assert.deepStrictEqual(yield* circleOf(transaction(Cached.get(own.cached, 1))), ["own:1"])
      const one: ReturnType<typeof numbers> = numbers("one", (n) => Cached.get(other.cached, n))
      const other: ReturnType<typeof numbers> = numbers("other", (n) => transaction(Cached.get(one.cached, n)) as never)
      assert.deepStrictEqual(yield* circleOf(transaction(Cached.get(one.cached, 1))), ["one:1", "other:1"])
      // One that is begun inside of a lookup does not hide it either.
      assert.deepStrictEqual(yield* circleOf(Cached.get(one.cached, 1)), ["one:1", "other:1"])
      yield* nothingLeft
    }))

  onText(
    "while the store is down",
    Effect.gen(function*() {
      yield* TestCache.fail("read")
      yield* TestCache.fail("begin")
      const own: ReturnType<typeof numbers> = numbers("own", (n) => Cached.get(own.cached, n))
      assert.deepStrictEqual(yield* circleOf(Cached.get(own.cached, 1)), ["own:1"])
      const batch: ReturnType<typeof numbers> = numbers("batch", (n) => Cached.get(batch.cached, 3 - n), {
        batches: true
      })
      assert.deepStrictEqual(yield* circleOf(Cached.getMany(batch.cached, [1, 2])), ["batch:2", "batch:1"])
      assert.isAtMost(batch.asked.length, 4)
    })
  )

  onText(
    "while the store is down and loads are shared all the same",
    Effect.gen(function*() {
      yield* TestCache.fail("read")
      yield* TestCache.fail("begin")
      const pair: Numbers = Cached.make("pair", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Cached.get(pair, -n),
        storeFailure: "share"
      }, Policy.forever)
      const readers = yield* Effect.forEach([1, -1], (n) => begin(Cached.get(pair, n)))
      for (const exit of yield* ends(readers)) {
        assert.sameMembers([...(yield* circleOf(exit))], ["pair:1", "pair:-1"])
      }
    })
  )

  onText(
    "also if the lease was lost meanwhile, so that the store would grant another",
    Effect.gen(function*() {
      const own: ReturnType<typeof numbers> = numbers(
        "own",
        (n) => Effect.flatMap(TestCache.evict("lease"), () => Cached.get(own.cached, n)) as never
      )
      assert.deepStrictEqual(yield* circleOf(Cached.get(own.cached, 1)), ["own:1"])
      assert.deepStrictEqual(own.asked, [1])
    })
  )

  it.effect("in two processes, as soon as one of them has waited for its limit", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 100 })
      const process = Layer.fresh(Layer.provide(CacheService.layer(), Layer.succeed(CacheStore.CacheStore, store)))
      const [first, second] = [yield* Layer.build(process), yield* Layer.build(process)]
      const options = { waitLimit: "5 seconds" }
      const one: ReturnType<typeof numbers> = numbers("one", (n) =>
        Effect.flatMap(Effect.sleep(10), () => Cached.get(other.cached, n)), options)
      const other: ReturnType<typeof numbers> = numbers("other", (n) =>
        Effect.flatMap(Effect.sleep(10), () =>
          Cached.get(one.cached, n)), options)
      const readers = [
        yield* begin(Effect.provideContext(Cached.get(one.cached, 1), first)),
        yield* begin(Effect.provideContext(Cached.get(other.cached, 1), second))
      ]
      yield* TestClock.adjust("4 seconds")
      assert.isTrue(readers.every(isRunning))
      yield* TestClock.adjust("1100 millis")
      for (const exit of yield* ends(readers)) {
        assert.sameMembers([...(yield* circleOf(exit))], ["one:1", "other:1"])
      }
      assert.strictEqual(store.sizes().leases, 0)
    }))
})

describe("no circle", () => {
  for (
    const [where, around] of Object.entries({
      "": <A>(read: Reads<A>) => read,
      " inside of a transaction": <A>(read: Reads<A>) => transaction(read) as Reads<A>
    })
  ) {
    onEvery(
      `a key of a batch that another of it needs: each is loaded once more at most${where}`,
      () =>
        Effect.gen(function*() {
          const { asked, cached }: ReturnType<typeof numbers> = numbers(
            "path",
            (n) => n === 1 ? Effect.succeed(1) : Effect.map(Cached.get(cached, n - 1), (above) => above + n),
            { batches: true }
          )
          assert.deepStrictEqual(yield* around(Cached.getMany(cached, [1, 2])), [1, 3])
          assert.isAtMost(asked.length, 3)
          yield* nothingLeft
        })
    )
  }

  onEvery(
    "a recursion that branches, as one batch: each key is loaded once more at most",
    () =>
      Effect.gen(function*() {
        const { asked, cached }: ReturnType<typeof numbers> = numbers(
          "fib",
          (n) =>
            n < 2
              ? Effect.succeed(n)
              : Effect.zipWith(Cached.get(cached, n - 1), Cached.get(cached, n - 2), (a, b) => a + b, {
                concurrent: true
              }),
          { batches: true }
        )
        const all = Array.from({ length: 31 }, (_, n) => n)
        assert.strictEqual((yield* Cached.getMany(cached, all))[30], 832_040)
        assert.isAtMost(asked.length, 2 * all.length)
        assert.deepStrictEqual(yield* Cached.getMany(cached, all.slice(0, 8)), [0, 1, 1, 2, 3, 5, 8, 13])
        assert.isAtMost(asked.length, 2 * all.length)
        yield* nothingLeft
      })
  )

  onEvery("a batch whose lookup reads all of its keys, by a lookup of each", () =>
    Effect.gen(function*() {
      let batches = 0
      const cached: Numbers = Cached.make("all", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.succeed(10 * n),
        lookupMany: (all) => {
          batches++
          return Effect.map(Cached.getMany(cached, all), (some) => some.map((n) => Result.succeed(n)))
        }
      }, Policy.forever)
      const read: Reads<ReadonlyArray<number>> = Cached.getMany(cached, [1, 2, 3])
      assert.deepStrictEqual(yield* read, [10, 20, 30])
      assert.deepStrictEqual(yield* transaction(read), [10, 20, 30])
      assert.strictEqual(batches, 2)
      yield* nothingLeft
    }))

  onText(
    "a batch whose lookup reads all of its keys, while the store is down",
    Effect.gen(function*() {
      yield* TestCache.fail("read")
      yield* TestCache.fail("begin")
      const cached: Numbers = Cached.make("all", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n) => Effect.succeed(10 * n),
        lookupMany: (all) => Effect.map(Cached.getMany(cached, all), (some) => some.map((n) => Result.succeed(n)))
      }, Policy.forever)
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), [10, 20, 30])
    })
  )

  onEvery("a lookup that has stopped waiting for what needs it", () =>
    Effect.gen(function*() {
      const slow = (millis: number) => Effect.sleep(millis)
      const one: ReturnType<typeof numbers> = numbers("one", () =>
        Effect.andThen(
          Effect.timeoutOption(Cached.get(other.cached, 1), 1000),
          Effect.as(slow(5000), 1)
        ))
      const other: ReturnType<typeof numbers> = numbers("other", () =>
        Effect.andThen(slow(2000), Effect.map(Cached.get(one.cached, 1), (n) => n + 1)))
      const readers = [yield* begin(Cached.get(one.cached, 1)), yield* begin(Cached.get(other.cached, 1))]
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* ends(readers), [Exit.succeed(1), Exit.succeed(2)])
      assert.deepStrictEqual([one.asked, other.asked], [[1], [1]])
      yield* nothingLeft
    }))

  onEvery("a write-through that reads its own key does not wait for itself", () =>
    Effect.gen(function*() {
      const { cached } = numbers("counter", Effect.succeed)
      const write = yield* begin(Cached.set(cached, 1, Effect.map(Cached.get(cached, 1), (n) => n + 1)))
      yield* settle
      assert.deepStrictEqual(yield* ends([write]), [Exit.succeed(2)])
      assert.strictEqual(yield* Cached.get(cached, 1), 2)
      yield* nothingLeft
    }))
})

describe("a load that nobody outside waits for ends", () => {
  onEvery("with all that it waits for, however they have joined", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const hanging = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const c = numbers("c", () => hanging)
      const b = numbers("b", () => Cached.get(c.cached, 1))
      const a = numbers("a", () =>
        Effect.map(Effect.all([Cached.get(b.cached, 1), Cached.get(c.cached, 1)], { concurrency: "unbounded" }), () =>
          1))
      const callers = [a, b, a, c, a].map(({ cached }) =>
        Effect.timeoutOption(Cached.get(cached, 1), "1 second")
      )
      const readers = yield* Effect.forEach(callers, begin)
      assert.deepStrictEqual([a.asked, b.asked, c.asked], [[1], [1], [1]])
      yield* TestClock.adjust("1 second")
      yield* ends(readers)
      assert.strictEqual(interrupted, 1)
      yield* nothingLeft
    }))

  onEvery("a thousand deep", () =>
    Effect.gen(function*() {
      let stuck = true
      const { asked, cached }: ReturnType<typeof numbers> = numbers("sum", (n) =>
        n > 0
          ? Effect.map(Cached.get(cached, n - 1), (less) => less + 1)
          : stuck
          ? Effect.never
          : Effect.succeed(0))
      const reader = yield* begin(Cached.get(cached, 1000))
      for (let n = 0; asked.length <= 1000 && n < 100; n++) yield* settle
      assert.strictEqual(asked.length, 1001)
      yield* Fiber.interrupt(reader)
      yield* settle
      yield* nothingLeft
      stuck = false
      const again = yield* begin(Cached.get(cached, 1000))
      for (let n = 0; isRunning(again) && n < 100; n++) yield* settle
      assert.deepStrictEqual(yield* ends([again]), [Exit.succeed(1000)])
    }))
})
