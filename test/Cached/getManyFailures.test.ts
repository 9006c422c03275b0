import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import {
  assertQuiet,
  begin,
  defectOf,
  Down,
  ends,
  errorOf,
  isRunning,
  NotFound,
  onEach,
  onText
} from "../support/cached.ts"
import type { Batch } from "../support/rows.ts"
import { graced, Rows, rowsBy } from "../support/rows.ts"

describe("failures", () => {
  onEach(
    "the first failure in the order of the keys is what it fails with; the others are stored",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      const error = yield* errorOf(Cached.getMany(cached, [1, 20, 2, 10]))
      assert.deepStrictEqual(error, new NotFound({ id: 20 }))
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["row 1", "row 2"])
      assert.strictEqual(rows.batches.length, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "mode result gives a result for each key",
    Effect.gen(function*() {
      const rows = new Rows()
      const results = yield* Cached.getMany(rowsBy(rows), [10, 1, 10], { mode: "result" })
      assert.deepStrictEqual(results, [
        Result.fail(new NotFound({ id: 10 })),
        Result.succeed("row 1"),
        Result.fail(new NotFound({ id: 10 }))
      ])
    })
  )

  onEach(
    "a failure that is worth caching is not asked for again",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: rows.one,
        lookupMany: rows.many,
        failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
      }, Policy.ttl("1 minute"))
      yield* Cached.getMany(cached, [1, 10], { mode: "result" })
      const [, second] = yield* Cached.getMany(cached, [1, 10], { mode: "result" })
      assert.deepStrictEqual(second, Result.fail(new NotFound({ id: 10 })))
      assert.strictEqual(rows.batches.length, 1)
      assert.instanceOf(yield* errorOf(Cached.get(cached, 10)), NotFound)
      assert.deepStrictEqual(rows.single, [])
    })
  )

  onEach(
    "a lookupMany that fails fails for each key, and poisons none",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      rows.ends = Effect.fail(new Down())
      assert.instanceOf(yield* errorOf(Cached.getMany(cached, [1, 2])), Down)
      const results = yield* Cached.getMany(cached, [1, 2], { mode: "result" })
      assert.deepStrictEqual(results, [Result.fail(new Down()), Result.fail(new Down())])
      yield* assertQuiet
      rows.ends = Effect.void
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["row 1", "row 2"])
    })
  )

  const wrong: Record<string, (batch: Batch) => Batch> = {
    "too few results": (batch) => batch.slice(1),
    "too many results": (batch) => [...batch, ...batch],
    "no list": () => undefined as never,
    "no results": (batch) => batch.map(() => undefined as never)
  }
  for (const [what, spoil] of Object.entries(wrong)) {
    onEach(
      `a lookupMany that gives ${what} is a defect of that call only`,
      Effect.gen(function*() {
        const rows = new Rows()
        rows.takes = 1000
        rows.spoil = spoil
        const cached = rowsBy(rows)
        const many = yield* begin(Cached.getMany(cached, [1, 2]))
        const joined = yield* begin(Cached.get(cached, 2))
        assert.deepStrictEqual(rows.single, [])
        yield* TestClock.adjust(1000)
        const [exit] = yield* ends([many])
        assert.isTrue(Exit.isFailure(exit!) && Exit.hasDies(exit))
        // Who had joined loads for himself.
        yield* TestClock.adjust(1000)
        assert.strictEqual(yield* Fiber.join(joined), "row 2")
        assert.deepStrictEqual(rows.single, [2])
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a lookupMany that throws where it is called is a defect of that call",
    Effect.gen(function*() {
      const rows = new Rows()
      let broken = true
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: rows.one,
        lookupMany: (ids) => {
          if (broken) throw new Error("boom")
          return rows.many(ids)
        }
      }, Policy.forever)
      assert.instanceOf(yield* defectOf(Cached.getMany(cached, [1, 2])), Error)
      yield* assertQuiet
      broken = false
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["row 1", "row 2"])
    })
  )

  onEach(
    "a version that cannot be read is the failure of its key",
    Effect.gen(function*() {
      const rows = new Rows()
      const policy = Policy.versioned((id: number) => id === 2 ? Effect.fail(new Down()) : Effect.succeed(1))
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: rows.one,
        lookupMany: rows.many
      }, policy)
      const results = yield* Cached.getMany(cached, [1, 2, 3], { mode: "result" })
      assert.deepStrictEqual(results, [Result.succeed("row 1"), Result.fail(new Down()), Result.succeed("row 3")])
      assert.deepStrictEqual(rows.batches, [[1, 3]])
      yield* assertQuiet
    })
  )

  onEach(
    "a function for tags that throws is a defect of the call, and no other key's lease is left behind",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(
        rows,
        Policy.tagged((id: number): Array<string> => {
          if (id === 2) throw new Error("boom")
          return ["t"]
        })
      )
      assert.instanceOf(yield* defectOf(Cached.getMany(cached, [1, 2, 3])), Error)
      yield* assertQuiet
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 3]), ["row 1", "row 3"])
    })
  )

  onEach(
    "a function for tags of one value that throws is the defect of that key, and the others are stored",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(
        rows,
        Policy.tagged({
          fromValue: (_row: string, id: number): Array<string> => {
            if (id === 2) throw new Error("boom")
            return ["t"]
          }
        })
      )
      assert.instanceOf(yield* defectOf(Cached.getMany(cached, [1, 2, 3])), Error)
      yield* assertQuiet
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 3]), ["row 1", "row 3"])
      assert.strictEqual(rows.batches.length, 1)
    })
  )
})

describe("when the store fails", () => {
  onText(
    "a value whose storing takes longer than that of the others is waited for",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      // Only the last of three is delayed: the others have landed when it is waited for.
      let commits = 0
      yield* TestCache.disturb(
        "commit",
        (_, perform) => ++commits === 3 ? Effect.delay(perform, "500 millis") : perform
      )
      const read = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(yield* Fiber.join(read), ["row 1", "row 2", "row 3"])
      assert.strictEqual((yield* TestCache.entries).length, 3)
      yield* assertQuiet
    })
  )

  for (const operation of ["read", "begin"] as const) {
    onText(
      `with every ${operation} failing, all values are loaded by one lookupMany`,
      Effect.gen(function*() {
        const rows = new Rows()
        const cached = rowsBy(rows)
        yield* TestCache.fail(operation)
        assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), ["row 1", "row 2", "row 3"])
        assert.deepStrictEqual([rows.batches, rows.single], [[[1, 2, 3]], []])
        const { loads, misses, reads, storeFailures } = yield* Cached.stats(cached)
        assert.deepStrictEqual({ loads, misses, reads, storeFailures }, {
          loads: 3,
          misses: 3,
          reads: 3,
          storeFailures: 3
        })
      })
    )

    onText(
      `with every ${operation} frozen, the time limit is waited for once`,
      Effect.gen(function*() {
        const rows = new Rows()
        yield* TestCache.delay(operation, Infinity)
        const read = yield* begin(Cached.getMany(rowsBy(rows), [1, 2, 3]))
        yield* TestClock.adjust(operation === "read" ? 249 : 999)
        assert.isTrue(isRunning(read))
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* Fiber.join(read), ["row 1", "row 2", "row 3"])
        assert.deepStrictEqual(rows.batches, [[1, 2, 3]])
        yield* assertQuiet
      })
    )
  }

  onText(
    "with one read failing, the others are answered as ever",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      yield* Cached.getMany(cached, [1, 2])
      yield* TestCache.fail("read", 1)
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual(rows.batches, [[1, 2], [3], [1]])
      yield* assertQuiet
    })
  )

  onText(
    "storeFailure fail: fails with StoreError, for those that the store did not tell of",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: rows.one,
        lookupMany: rows.many,
        storeFailure: "fail"
      }, graced)
      yield* Cached.getMany(cached, [1, 2])
      yield* TestClock.adjust("20 seconds")
      yield* TestCache.fail("begin")
      const results = yield* Cached.getMany(cached, [1, 2, 3], { mode: "result" })
      assert.deepStrictEqual(results.slice(0, 2), [Result.succeed("row 1"), Result.succeed("row 2")])
      assert.isTrue(Result.isFailure(results[2]!) && results[2].failure instanceof CacheStore.StoreError)
      assert.strictEqual(rows.batches.length, 1)
    })
  )

  onText(
    "a payload that does not decode is loaded with the others",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      yield* Cached.getMany(cached, [1, 2])
      yield* TestCache.corrupt("row:1", "{")
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual(rows.batches, [[1, 2], [1, 3]])
      assert.strictEqual((yield* Cached.stats(cached)).unreadable, 1)
    })
  )
})
