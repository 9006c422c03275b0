/** `getMany` of more keys than one call loads, and how much is asked of a store at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import { atOnce } from "../../src/internal/limits.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, begin, errorOf, onEach, onText, settle } from "../support/cached.ts"
import { serviceOn } from "../support/port.ts"

const ids = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i)

/** Counts what is under way. */
class Running {
  now = 0
  most = 0

  readonly count = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      this.most = Math.max(this.most, ++this.now)
      return Effect.onExit(effect, () => Effect.sync(() => void this.now--))
    })
}

type Options = Partial<
  Pick<Cached.Options<number, number, string, never>, "batchSize" | "refresh"> & { readonly takes: number }
>

/** Squares of numbers; there are none of those below 0. */
const squares = ({ takes = 0, ...options }: Options = {}, policy: Policy.Policy<number, number> = Policy.forever) => {
  const running = new Running()
  const batches: Array<ReadonlyArray<number>> = []
  const wait = takes === 0 ? Effect.void : Effect.sleep(takes)
  const square = (of: number) => of < 0 ? Result.fail("negative") : Result.succeed(of * of)
  const common = { key: Key.int("of"), value: Schema.Int, ...options }
  const lookup = (of: number) => running.count(Effect.andThen(wait, Effect.fromResult(square(of))))
  const lookupMany = (all: ReadonlyArray<number>) =>
    running.count(Effect.suspend(() => {
      batches.push(all)
      return Effect.as(wait, all.map(square))
    }))
  return {
    running,
    batches,
    together: Cached.make("square", { ...common, lookup, lookupMany }, policy),
    oneByOne: Cached.make("square", { ...common, lookup }, policy)
  }
}

describe("with lookupMany", () => {
  onEach(
    "a call loads at most `batchSize` keys, one call after another, and all are stored",
    Effect.gen(function*() {
      const { batches, running, together } = squares({ batchSize: 3, takes: 1000 })
      const reader = yield* begin(Cached.getMany(together, ids(8)))
      assert.deepStrictEqual(batches, [[0, 1, 2]])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(batches, [[0, 1, 2], [3, 4, 5]])
      assert.strictEqual((yield* TestCache.entries).length, 3)
      yield* TestClock.adjust(2000)
      assert.deepStrictEqual(yield* Fiber.join(reader), ids(8).map((of) => of * of))
      assert.deepStrictEqual(batches, [[0, 1, 2], [3, 4, 5], [6, 7]])
      assert.strictEqual(running.most, 1)
      yield* Cached.getMany(together, ids(8))
      assert.strictEqual(batches.length, 3)
      yield* assertQuiet
    })
  )

  onEach(
    "that is 1000 unless given",
    Effect.gen(function*() {
      const { batches, together } = squares()
      yield* Cached.getMany(together, ids(1000))
      yield* Cached.getMany(together, ids(2500, 1000))
      assert.deepStrictEqual(batches.map((batch) => batch.length), [1000, 1000, 1000, 500])
    })
  )

  onEach(
    "what is stored takes no place in a batch",
    Effect.gen(function*() {
      const { batches, together } = squares({ batchSize: 3 })
      yield* Cached.getMany(together, [1, 2, 4])
      yield* Cached.getMany(together, ids(6))
      assert.deepStrictEqual(batches, [[1, 2, 4], [0, 3, 5]])
    })
  )

  onEach(
    "a failure in one batch is that of its key alone",
    Effect.gen(function*() {
      const { batches, together } = squares({ batchSize: 2 })
      const keys = [1, -1, 2, -2, 3]
      assert.strictEqual(yield* errorOf(Cached.getMany(together, keys)), "negative")
      const results = yield* Cached.getMany(together, keys, { mode: "result" })
      assert.deepStrictEqual(results.map(Result.isSuccess), [true, false, true, false, true])
      assert.deepStrictEqual(batches, [[1, -1], [2, -2], [3], [-1, -2]])
      yield* assertQuiet
    })
  )

  onEach(
    "what is stale is served at once, and refreshed in batches",
    Effect.gen(function*() {
      const { batches, together } = squares({ batchSize: 3, takes: 1000 }, Policy.tagged("all"))
      yield* Effect.andThen(begin(Cached.getMany(together, ids(7))), TestClock.adjust(3000))
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("all")))
      yield* Cached.getMany(together, ids(7))
      yield* settle
      yield* Cached.getMany(together, ids(7))
      yield* settle
      assert.deepStrictEqual(batches.slice(3), [[0, 1, 2]])
      yield* TestClock.adjust(1000)
      // Those that were refreshed may be refreshed again, while the others still are.
      yield* Cached.apply(Invalidation.soft(Cached.invalidation(together, [1])))
      yield* Cached.getMany(together, ids(7))
      yield* settle
      assert.deepStrictEqual(batches.slice(4), [[3, 4, 5], [1]])
      yield* TestClock.adjust(3000)
      assert.deepStrictEqual(batches.slice(6), [[6]])
      yield* assertQuiet
    })
  )

  onEach(
    "who leaves ends the batch that is loaded, and the others do not begin",
    Effect.gen(function*() {
      const { batches, running, together } = squares({ batchSize: 3, takes: 1000 })
      const reader = yield* begin(Cached.getMany(together, ids(9)))
      yield* TestClock.adjust(1500)
      yield* Fiber.interrupt(reader)
      assert.deepStrictEqual([batches.length, running.now], [2, 0])
      yield* assertQuiet
    })
  )

  onText(
    "a store that is down is no reason for larger ones",
    Effect.gen(function*() {
      const { batches, running, together } = squares({ batchSize: 3 })
      yield* TestCache.fail("read")
      yield* Cached.getMany(together, ids(7))
      yield* TestCache.restore
      yield* TestCache.fail("begin")
      yield* Cached.getMany(together, ids(7))
      assert.deepStrictEqual(batches.map((batch) => batch.length), [3, 3, 1, 3, 3, 1])
      assert.strictEqual(running.most, 1)
    })
  )

  it("a size that is none is refused", () => {
    for (const batchSize of [0, -1, 1.5, Number.NaN, Infinity]) {
      assert.throws(() => squares({ batchSize }), InvalidInput.InvalidInput)
    }
  })
})

describe("without lookupMany", () => {
  onEach(
    "so many lookups run at once, and all are stored",
    Effect.gen(function*() {
      const { oneByOne, running } = squares({ takes: 1000 })
      const reader = yield* begin(Cached.getMany(oneByOne, ids(300)))
      assert.strictEqual(running.now, atOnce)
      yield* TestClock.adjust(3000)
      assert.deepStrictEqual(yield* Fiber.join(reader), ids(300).map((of) => of * of))
      assert.strictEqual(running.most, atOnce)
      assert.strictEqual((yield* TestCache.entries).length, 300)
      yield* assertQuiet
    })
  )

  onText(
    "so many where the store is down, too",
    Effect.gen(function*() {
      const { oneByOne, running } = squares({ takes: 1000 })
      yield* TestCache.fail("begin")
      const reader = yield* begin(Cached.getMany(oneByOne, ids(300)))
      yield* TestClock.adjust(3000)
      yield* Fiber.join(reader)
      assert.strictEqual(running.most, atOnce)
    })
  )
})

describe("of a store", () => {
  // Each operation takes a millisecond.
  const slow = (running: Running) =>
    serviceOn(Effect.map(MemoryCache.makeStore({ capacity: 10_000 }), (store) => {
      const counted = <A, E>(effect: Effect.Effect<A, E>) => running.count(Effect.andThen(Effect.sleep(1), effect))
      return CacheStore.wrap(store, (store) => ({
        ...store,
        begin: (address, request) => counted(store.begin(address, request)),
        commit: (address, lease, draft) => counted(store.commit(address, lease, draft)),
        discard: (address, lease, dependencies) => counted(store.discard(address, lease, dependencies)),
        abandon: (address, token) => counted(store.abandon(address, token))
      }))
    }))

  for (const name of ["together", "oneByOne"] as const) {
    it.effect(`no more than so much is asked at once, whatever the size of a batch: ${name}`, () =>
      Effect.gen(function*() {
        const running = new Running()
        yield* Effect.gen(function*() {
          const cached = squares({ batchSize: 5000 })[name]
          const reader = yield* begin(Effect.exit(Cached.getMany(cached, ids(1000))))
          yield* TestClock.adjust(100)
          assert.isTrue(Exit.isSuccess(yield* Fiber.join(reader)))
          assert.strictEqual(running.most, atOnce)
        }).pipe(Effect.provide(slow(running)))
      }))
  }
})
