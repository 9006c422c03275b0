import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
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
  onText,
  settle
} from "../support/cached.ts"

type Batch = ReadonlyArray<Result.Result<string, NotFound | Down>>

/** An origin of rows that can be asked for one or for several, and remembers what it was asked. */
class Rows {
  readonly rows = new Map([1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => [id, `row ${id}`]))
  readonly single: Array<number> = []
  readonly batches: Array<ReadonlyArray<number>> = []
  interrupted = 0
  takes = 0
  ends: Effect.Effect<unknown, Down> = Effect.void
  spoil: (batch: Batch) => Batch = (batch) => batch

  private readonly wait = Effect.suspend(() =>
    Effect.andThen(this.takes === 0 ? Effect.void : Effect.sleep(this.takes), this.ends)
  ).pipe(Effect.onInterrupt(() =>
    Effect.sync(() => {
      this.interrupted++
    })
  ))

  private readonly row = (id: number): Result.Result<string, NotFound> => {
    const row = this.rows.get(id)
    return row === undefined ? Result.fail(new NotFound({ id })) : Result.succeed(row)
  }

  readonly one = (id: number): Effect.Effect<string, NotFound | Down> =>
    Effect.suspend(() => {
      this.single.push(id)
      const row = this.row(id)
      return Effect.andThen(this.wait, Effect.fromResult(row))
    })

  readonly many = (ids: ReadonlyArray<number>): Effect.Effect<Batch, Down> =>
    Effect.suspend(() => {
      this.batches.push(ids)
      const rows = ids.map(this.row)
      return Effect.as(this.wait, this.spoil(rows))
    })
}

type Options = Partial<Pick<Cached.Options<number, string, never, never>, "refresh" | "softTimeout">>

const rowsBy = (rows: Rows, policy: Policy.Policy<number, string> = Policy.ttl("1 minute"), options: Options = {}) =>
  Cached.make(
    "row",
    { key: Key.int("id"), value: Schema.String, lookup: rows.one, lookupMany: rows.many, ...options },
    policy
  )

const graced = Policy.ttl<number, string>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })

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
  const aged = (to: string, options: Options = {}) =>
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
        yield* TestClock.adjust(999)
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
