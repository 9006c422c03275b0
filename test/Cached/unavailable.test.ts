import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Changes from "../../src/Changes.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  beginAll,
  defectOf,
  Down,
  ends,
  errorOf,
  isRunning,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

const sharing = <E = never>(origin: Origin<number, E>, storeFailure: "load" | "share" = "share") =>
  Cached.make("number", {
    key: Key.string("of"),
    value: Schema.Finite,
    lookup: () => origin.load,
    lease: "30 seconds",
    storeFailure
  }, Policy.all(Policy.ttl("1 hour"), Policy.tagged("all")))

/** An origin that takes a second, and a store that cannot be read. */
const down = Effect.fnUntraced(function*() {
  const origin = new Origin(0)
  origin.takes = "1 second"
  yield* TestCache.fail("read")
  return origin
})

describe("while the store cannot be asked", () => {
  for (const [storeFailure, loads] of [["share", 1], ["load", 100]] as const) {
    onText(
      `storeFailure ${storeFailure}: a hundred readers of a key are ${loads} loads`,
      Effect.gen(function*() {
        const origin = yield* down()
        const cached = sharing(origin, storeFailure)
        const readers = yield* beginAll(100, Cached.get(cached, "a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(new Set(yield* Effect.forEach(readers, Fiber.join)), new Set([0]))
        assert.strictEqual(origin.loads, loads)
        const health = yield* CacheService.health
        assert.strictEqual(health._tag === "Lost" && health.loads, loads)
        // Nothing is stored, nor kept.
        yield* TestCache.restore
        assert.deepStrictEqual(yield* TestCache.entries, [])
        yield* assertQuiet
      })
    )
  }

  onText(
    "a load is shared while it runs, and no longer; each key has its own",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      const first = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(999)
      const late = yield* begin(Cached.get(cached, "a"))
      const other = yield* begin(Cached.get(cached, "b"))
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(first), 0)
      assert.strictEqual(yield* Fiber.join(late), 0)
      assert.isTrue(isRunning(other))
      origin.value = 1
      const next = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 1)
      assert.strictEqual(origin.loads, 3)
    })
  )

  onText(
    "each version of a definition has loads of its own",
    Effect.gen(function*() {
      yield* down()
      const of = <V>(version: number, value: Schema.Codec<V, unknown>, loaded: V) =>
        Cached.make("shape", {
          key: Key.string("of"),
          value,
          version,
          lookup: () => Effect.delay(Effect.succeed(loaded), "1 second"),
          storeFailure: "share"
        }, Policy.forever)
      const older = yield* begin(Cached.get(of(1, Schema.String, "one"), "a"))
      const newer = yield* begin(Cached.get(of(2, Schema.Finite, 2), "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(older), "one")
      assert.strictEqual(yield* Fiber.join(newer), 2)
      yield* assertQuiet
    })
  )

  onText(
    "where begin fails it is shared as well, also beside an old value",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "share",
        softTimeout: "5 seconds"
      }, Policy.ttl("10 seconds", { onError: "1 hour" }))
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("15 seconds")
      yield* TestCache.fail("begin")
      origin.takes = "1 second"
      origin.value = 1
      const readers = yield* beginAll(10, Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(new Set(yield* Effect.forEach(readers, Fiber.join)), new Set([1]))
      assert.strictEqual(origin.loads, 2)
      origin.takes = "1 minute"
      const slow = yield* beginAll(10, Cached.get(cached, "a"))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(new Set(yield* Effect.forEach(slow, Fiber.join)), new Set([0]), "the soft limit holds")
      assert.strictEqual(origin.loads, 3)
    })
  )

  // Whatever this process changes: a read that starts afterwards is given nothing that began to load before.
  type Change = (
    cached: Cached.Cached<string, number>,
    write: Effect.Effect<number>
  ) => Effect.Effect<unknown, unknown, CacheService.CacheService>
  const wrote = (invalidation: Invalidation.Invalidation): Change => (_, write) =>
    Effect.andThen(write, Cached.apply(invalidation))
  const changes: Record<string, Change> = {
    "an invalidation of a key": (cached, write) => Effect.andThen(write, Cached.invalidate(cached, "a")),
    "of a tag": wrote(Invalidation.tags("all")),
    "of everything": wrote(Invalidation.everything),
    "of a tag, softly": wrote(Invalidation.soft(Invalidation.tags("all"))),
    "of a pattern": (cached, write) => Effect.andThen(write, Cached.apply(Cached.pattern(cached))),
    "mutate": (_, write) => Cached.mutate(write, Invalidation.tags("all")),
    "set": (cached, write) => Cached.set(cached, "a", write),
    "a transaction": (cached, write) =>
      Changes.withTransaction((effect) => effect)(Effect.andThen(write, Cached.invalidate(cached, "a")))
  }
  for (const [name, change] of Object.entries(changes)) {
    for (const acknowledged of [true, false]) {
      // What writes first and cannot be acknowledged has written all the same.
      const writesAnyhow = !(name === "mutate" || name === "set")
      if (!acknowledged && !writesAnyhow) continue
      onText(
        `${name} that is ${acknowledged ? "acknowledged" : "not acknowledged"} voids what is being loaded`,
        Effect.gen(function*() {
          const origin = yield* down()
          const cached = sharing(origin)
          const before = yield* beginAll(3, Cached.get(cached, "a"))
          yield* TestClock.adjust(500)
          if (!acknowledged) yield* TestCache.fail("invalidate")
          const write = Effect.sync(() => origin.value = 1)
          const exit = yield* Effect.exit(change(cached as Cached.Cached<string, number>, write))
          // A transaction that is committed succeeds, whatever becomes of what it invalidates.
          const succeeds = acknowledged || name === "a transaction"
          assert.strictEqual(exit._tag, succeeds ? "Success" : "Failure")
          assert.lengthOf(yield* CacheService.undelivered, acknowledged ? 0 : 1)
          const after = yield* beginAll(3, Cached.get(cached, "a"))
          yield* TestClock.adjust("1 second")
          const given = yield* ends(after)
          assert.deepStrictEqual(given, [Exit.succeed(1), Exit.succeed(1), Exit.succeed(1)])
          // Its starter is given what it began to load before; the others look again.
          assert.deepStrictEqual(yield* ends(before), [Exit.succeed(0), Exit.succeed(1), Exit.succeed(1)])
          assert.strictEqual(origin.loads, 2)
        })
      )
    }
  }

  onText(
    "a fence that stands while it is loaded, too: what is loaded before the write is given to nobody after it",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      const write = Effect.andThen(Effect.sleep(500), Effect.sync(() => origin.value = 1))
      const mutating = yield* begin(Cached.mutate(write, Invalidation.tags("all")))
      yield* TestClock.adjust(100)
      const during = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(400)
      yield* Fiber.join(mutating)
      const after = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(during), 0)
      assert.strictEqual(yield* Fiber.join(after), 1)
    })
  )

  onText(
    "what another process invalidates is not known: that is what sharing weakens, for as long as one load takes",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      const { store } = yield* TestCache.TestCache
      const before = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      origin.value = 1
      yield* store.invalidate(Invalidation.tags("all")) // elsewhere
      const after = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* Fiber.join(before), 0)
      assert.strictEqual(yield* Fiber.join(after), 0)
      const later = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(later), 1)
    })
  )

  onText(
    "whoever leaves leaves the load to the others; the last one ends it",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      const [first, second] = yield* beginAll(2, Cached.get(cached, "a"))
      yield* Fiber.interrupt(first!)
      yield* TestClock.adjust(500)
      assert.strictEqual(origin.interrupted, 0)
      yield* Fiber.interrupt(second!)
      assert.strictEqual(origin.interrupted, 1)
      const next = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 0)
      yield* TestCache.restore
      yield* assertQuiet
    })
  )

  onText(
    "a load that does not end is joined for as long as a lease, and then by nobody",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      origin.takes = Infinity
      const stuck = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("29 seconds")
      const joined = yield* begin(Cached.get(cached, "a"))
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust("1 second")
      origin.takes = "1 second"
      const next = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 0)
      yield* Fiber.interruptAll([stuck, joined])
    })
  )

  onText(
    "a failure is shared, and so is a defect",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.takes = "1 second"
      yield* TestCache.fail("read")
      const cached = sharing<Down>(origin)
      origin.ends = Effect.fail(new Down())
      const readers = yield* beginAll(5, errorOf(Cached.get(cached, "a")))
      yield* TestClock.adjust("1 second")
      for (const reader of readers) assert.instanceOf(yield* Fiber.join(reader), Down)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "getMany shares key by key, and asks for the others at once",
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<number>> = []
      const rows = Cached.make("rows", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id) => Effect.succeed(`row ${id}`),
        lookupMany: (ids) =>
          Effect.suspend(() => {
            batches.push(ids)
            return Effect.as(Effect.sleep("1 second"), ids.map((id) => Result.succeed(`row ${id}`)))
          }),
        storeFailure: "share"
      }, Policy.forever)
      yield* TestCache.fail("read")
      const first = yield* begin(Cached.getMany(rows, [1, 2, 3]))
      const second = yield* begin(Cached.getMany(rows, [2, 3, 4]))
      const single = yield* begin(Cached.get(rows, 1))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(first), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual(yield* Fiber.join(second), ["row 2", "row 3", "row 4"])
      assert.strictEqual(yield* Fiber.join(single), "row 1")
      assert.deepStrictEqual(batches, [[1, 2, 3], [4]])
    })
  )

  onText(
    "a lookup of a batch may read another key of it",
    Effect.gen(function*() {
      const rows: Cached.Cached<number, number> = Cached.make("rows", {
        key: Key.int("id"),
        value: Schema.Finite,
        lookup: (id: number): Effect.Effect<number> =>
          id === 1 ? Effect.succeed(1) : Effect.suspend(() => Cached.get(rows, 1)) as Effect.Effect<number>,
        lookupMany: (ids: ReadonlyArray<number>): Effect.Effect<Array<Result.Result<number>>> =>
          Effect.map(Cached.get(rows, 1), (one) => ids.map(() => Result.succeed(one))) as never,
        storeFailure: "share"
      }, Policy.forever)
      yield* TestCache.fail("read")
      assert.deepStrictEqual(yield* Cached.getMany(rows, [1, 2]), [1, 1])
    })
  )

  onText(
    "a load under another version is not joined",
    Effect.gen(function*() {
      const origin = yield* down()
      let version = "1"
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load,
        storeFailure: "share"
      }, Policy.versioned(() => Effect.sync(() => version)))
      const before = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      version = "2"
      origin.value = 1
      const after = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* Fiber.join(before), 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(after), 1)
    })
  )

  onText(
    "lookups that need each other die, and do not wait for ever",
    Effect.gen(function*() {
      const options = { key: Key.unit, value: Schema.Finite, storeFailure: "share" } as const
      const one: Cached.Cached<void, number> = Cached.make("one", {
        ...options,
        lookup: () => Effect.andThen(Effect.yieldNow, Effect.suspend(() => Cached.get(two, undefined)))
      }, Policy.forever) as never
      const two: Cached.Cached<void, number> = Cached.make("two", {
        ...options,
        lookup: () => Effect.andThen(Effect.yieldNow, Effect.suspend(() => Cached.get(one, undefined)))
      }, Policy.forever) as never
      yield* TestCache.fail("read")
      const readers = yield* Effect.forEach([one, two], (cached) => begin(defectOf(Cached.get(cached, undefined))))
      yield* settle
      for (const exit of yield* ends(readers)) assert.strictEqual(exit._tag, "Success")
    })
  )

  onText(
    "a transaction reads for itself",
    Effect.gen(function*() {
      const origin = yield* down()
      const cached = sharing(origin)
      const outside = yield* begin(Cached.get(cached, "a"))
      origin.value = 1
      const inside = yield* begin(Changes.withTransaction((effect) => effect)(Cached.get(cached, "a")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* Fiber.join(outside), yield* Fiber.join(inside)], [0, 1])
    })
  )
})
