import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, begin, Down, errorOf, isRunning, onEach, onText, settle } from "../support/cached.ts"
import type { RowsOptions } from "../support/rows.ts"
import { graced, Rows, rowsBy } from "../support/rows.ts"

describe("what is asked for", () => {
  onEach(
    "all misses are loaded by one lookupMany, in the order of the keys",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      assert.deepStrictEqual(yield* Cached.getMany(cached, [3, 1, 2]), ["row 3", "row 1", "row 2"])
      assert.deepStrictEqual(rows.batches, [[3, 1, 2]])
      assert.deepStrictEqual(rows.single, [])
      yield* assertQuiet
    })
  )

  onEach(
    "hits are not asked for",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      yield* Cached.get(cached, 1)
      yield* Cached.getMany(cached, [2, 3])
      assert.deepStrictEqual(yield* Cached.getMany(cached, [5, 2, 1, 4]), ["row 5", "row 2", "row 1", "row 4"])
      assert.deepStrictEqual(rows.batches, [[2, 3], [5, 4]])
      yield* Cached.getMany(cached, [1, 2, 3, 4, 5])
      assert.strictEqual(rows.batches.length, 2)
    })
  )

  onEach(
    "a key that is given twice is asked for once, and answered twice",
    Effect.gen(function*() {
      const rows = new Rows()
      assert.deepStrictEqual(yield* Cached.getMany(rowsBy(rows), [1, 2, 1, 1]), ["row 1", "row 2", "row 1", "row 1"])
      assert.deepStrictEqual(rows.batches, [[1, 2]])
    })
  )

  onEach(
    "nothing is asked for nothing",
    Effect.gen(function*() {
      const rows = new Rows()
      assert.deepStrictEqual(yield* Cached.getMany(rowsBy(rows), []), [])
      assert.deepStrictEqual(yield* Cached.getMany(rowsBy(rows), [], { mode: "result" }), [])
      assert.deepStrictEqual(rows.batches, [])
    })
  )

  onEach(
    "without lookupMany there is one lookup for each, all at once",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = Cached.make("row", { key: Key.int("id"), value: Schema.String, lookup: rows.one }, Policy.forever)
      yield* begin(Cached.get(cached, 2))
      const fiber = yield* begin(Cached.getMany(cached, [1, 2, 3, 1]))
      assert.deepStrictEqual(rows.single, [2, 1, 3])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["row 1", "row 2", "row 3", "row 1"])
      assert.strictEqual(rows.single.length, 3)
      yield* assertQuiet
    })
  )

  onText(
    "every key costs the store one read, and a hit nothing else",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      yield* Cached.getMany(cached, [1, 2])
      yield* TestCache.forget
      yield* Cached.getMany(cached, [1, 2])
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read", "read"])
    })
  )

  onEach(
    "each key's entry has its own tags, and ends by them",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows, Policy.tagged({ fromValue: (row: string) => [row] }))
      yield* Cached.getMany(cached, [1, 2, 3])
      yield* Cached.apply(Invalidation.tags("row 2"))
      yield* Cached.getMany(cached, [1, 2, 3])
      assert.deepStrictEqual(rows.batches, [[1, 2, 3], [2]])
    })
  )

  onEach(
    "several reads of a list are counted as several reads",
    Effect.gen(function*() {
      const cached = rowsBy(new Rows())
      yield* Cached.getMany(cached, [1, 2, 3])
      yield* Cached.getMany(cached, [1, 2, 4, 4])
      const { hits, loads, misses, reads } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ hits, loads, misses, reads }, { hits: 2, loads: 4, misses: 4, reads: 6 })
    })
  )
})

describe("single flight", () => {
  onEach(
    "loads that are under way are joined, whether one key or several are loaded",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      const one = yield* begin(Cached.get(cached, 1))
      const several = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      const more = yield* begin(Cached.getMany(cached, [3, 4, 1]))
      const single = yield* begin(Cached.get(cached, 4))
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(one), "row 1")
      assert.deepStrictEqual(yield* Fiber.join(several), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual(yield* Fiber.join(more), ["row 3", "row 4", "row 1"])
      assert.strictEqual(yield* Fiber.join(single), "row 4")
      assert.deepStrictEqual(rows.single, [1])
      assert.deepStrictEqual(rows.batches, [[2, 3], [4]])
      yield* assertQuiet
    })
  )

  onEach(
    "joined loads are waited for beside one's own, not after it",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      yield* begin(Cached.get(cached, 1))
      yield* TestClock.adjust(500)
      const both = yield* begin(Cached.getMany(cached, [1, 2]))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(both), ["row 1", "row 2"])
    })
  )

  onEach(
    "a list that nobody waits for is not held up by a key that someone else has in hand",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      const writer = yield* begin(Cached.set(cached, 1, Effect.as(Effect.sleep(1000), "written")))
      const many = yield* begin(Cached.getMany(cached, [1, 2]))
      assert.deepStrictEqual(rows.batches, [[2]])
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      assert.deepStrictEqual(yield* Fiber.join(many), ["written", "row 2"])
      assert.deepStrictEqual(rows.single, [])
      yield* assertQuiet
    })
  )

  onEach(
    "an invalidation during the load concerns only the keys that it covers",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      const early = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      rows.rows.set(2, "new")
      yield* Cached.invalidate(cached, 2)
      const late = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(early), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual(yield* Fiber.join(late), ["row 1", "new", "row 3"])
      assert.deepStrictEqual(rows.batches, [[1, 2, 3], [2]])
      rows.takes = 0
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), ["row 1", "new", "row 3"])
      assert.strictEqual(rows.batches.length, 2)
      yield* assertQuiet
    })
  )
})

describe("what is not fresh", () => {
  const aged = (to: string, options: RowsOptions = {}) =>
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows, graced, options)
      yield* Cached.getMany(cached, [1, 2, 3])
      for (const id of [1, 2, 3]) rows.rows.set(id, `new ${id}`)
      yield* TestClock.adjust(to as "1 second")
      rows.takes = 1000
      const read = yield* begin(Cached.getMany(cached, [1, 2, 3, 4]))
      return { rows, cached, read }
    })
  const old = ["row 1", "row 2", "row 3", "row 4"]
  const fresh = ["new 1", "new 2", "new 3", "row 4"]

  onEach(
    "stale ones are served, and refreshed by one lookupMany in the background",
    Effect.gen(function*() {
      const { cached, read, rows } = yield* aged("10 seconds")
      assert.sameDeepMembers(rows.batches.slice(1), [[1, 2, 3], [4]])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(read), old)
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3, 4]), fresh)
      assert.deepStrictEqual(rows.single, [])
      assert.strictEqual(rows.batches.length, 3)
      assert.strictEqual((yield* Cached.stats(cached)).refreshes, 3)
      yield* assertQuiet
    })
  )

  onEach(
    "stale ones that are being refreshed are not refreshed twice",
    Effect.gen(function*() {
      const { cached, rows } = yield* aged("10 seconds")
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["row 1", "row 2"])
      assert.strictEqual(yield* Cached.get(cached, 3), "row 3")
      yield* settle
      assert.deepStrictEqual([rows.batches.length, rows.single], [3, []])
      yield* TestClock.adjust(1000)
      yield* assertQuiet
    })
  )

  onEach(
    "with refresh everyone, all wait for one lookupMany",
    Effect.gen(function*() {
      const { read, rows } = yield* aged("10 seconds", { refresh: "everyone" })
      assert.deepStrictEqual(rows.batches.slice(1), [[1, 2, 3, 4]])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(read), fresh)
      yield* assertQuiet
    })
  )

  onEach(
    "with refresh caller, the one who refreshes waits and the others are served what is there",
    Effect.gen(function*() {
      const { cached, read, rows } = yield* aged("10 seconds", { refresh: "caller" })
      assert.deepStrictEqual(rows.batches.slice(1), [[1, 2, 3, 4]])
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), old.slice(0, 3))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(read), fresh)
      assert.strictEqual(rows.batches.length, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "those that may be served on errors only are loaded by the same lookupMany",
    Effect.gen(function*() {
      const { read, rows } = yield* aged("20 seconds")
      assert.deepStrictEqual(rows.batches.slice(1), [[1, 2, 3, 4]])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(read), fresh)
      assert.deepStrictEqual(rows.single, [])
      yield* assertQuiet
    })
  )

  onEach(
    "those that may be served on errors are when lookupMany fails, and the others fail",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows, graced)
      yield* Cached.getMany(cached, [1, 2])
      yield* TestClock.adjust("20 seconds")
      rows.ends = Effect.fail(new Down())
      const results = yield* Cached.getMany(cached, [1, 2, 3], { mode: "result" })
      assert.deepStrictEqual(results, [Result.succeed("row 1"), Result.succeed("row 2"), Result.fail(new Down())])
      yield* TestClock.adjust("10 seconds")
      assert.instanceOf(yield* errorOf(Cached.getMany(cached, [1])), Down)
      yield* assertQuiet
    })
  )

  onEach(
    "softTimeout: the old values are served when it has passed, and the load goes on",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows, graced, { softTimeout: "300 millis" })
      yield* Cached.getMany(cached, [1, 2])
      yield* TestClock.adjust("20 seconds")
      rows.rows.set(1, "new")
      rows.takes = 1000
      const read = yield* begin(Cached.getMany(cached, [1, 2]))
      yield* TestClock.adjust(299)
      assert.isTrue(isRunning(read))
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* Fiber.join(read), ["row 1", "row 2"])
      yield* TestClock.adjust(700)
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["new", "row 2"])
      assert.deepStrictEqual([rows.batches.length, rows.interrupted], [2, 0])
      yield* assertQuiet
    })
  )

  onEach(
    "hardTimeout: bounds lookupMany too",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 10_000
      const cached = Cached.make("row", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: rows.one,
        lookupMany: rows.many,
        hardTimeout: "1 second"
      }, Policy.forever)
      const read = yield* begin(errorOf(Cached.getMany(cached, [1, 2])))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(read)
      assert.instanceOf(error, Cached.LoadTimeout)
      assert.strictEqual((error as Cached.LoadTimeout).message, "loading 2 keys of \"row\" took longer than 1000 ms")
      assert.strictEqual(rows.interrupted, 1)
      yield* assertQuiet
    })
  )
})

describe("interruption", () => {
  onEach(
    "ends the load and gives up its leases, and the next call loads at once",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      const read = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      yield* Fiber.interrupt(read)
      assert.strictEqual(rows.interrupted, 1)
      yield* assertQuiet
      rows.takes = 0
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2]), ["row 1", "row 2"])
    })
  )

  onEach(
    "disturbs nobody who waits for one of the keys, and the whole load goes on",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      const many = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      const one = yield* begin(Cached.get(cached, 2))
      yield* Fiber.interrupt(many)
      assert.isTrue(isRunning(one))
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(one), "row 2")
      assert.deepStrictEqual(yield* Cached.getMany(cached, [1, 2, 3]), ["row 1", "row 2", "row 3"])
      assert.deepStrictEqual([rows.batches.length, rows.interrupted], [1, 0])
      yield* assertQuiet
    })
  )

  onEach(
    "of one who joined disturbs nobody",
    Effect.gen(function*() {
      const rows = new Rows()
      rows.takes = 1000
      const cached = rowsBy(rows)
      const many = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      const one = yield* begin(Cached.get(cached, 2))
      const other = yield* begin(Cached.getMany(cached, [2, 3]))
      yield* Fiber.interrupt(one)
      yield* Fiber.interrupt(other)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(many), ["row 1", "row 2", "row 3"])
      yield* assertQuiet
    })
  )

  onText(
    "while one of several leases is waited for leaves none behind",
    Effect.gen(function*() {
      const cached = rowsBy(new Rows())
      yield* TestCache.delay("begin", "500 millis", 1)
      const read = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      assert.strictEqual((yield* TestCache.sizes).leases, 2)
      yield* Fiber.interrupt(read)
      yield* TestClock.adjust("1 minute")
      yield* assertQuiet
    })
  )

  onText(
    "while one of several values is stored: the others stay, and no lease is left",
    Effect.gen(function*() {
      const rows = new Rows()
      const cached = rowsBy(rows)
      yield* TestCache.delay("commit", "500 millis", 1)
      const read = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      assert.strictEqual((yield* TestCache.entries).length, 2)
      yield* Fiber.interrupt(read)
      yield* assertQuiet
      assert.strictEqual((yield* TestCache.entries).length, 2)
    })
  )
})
