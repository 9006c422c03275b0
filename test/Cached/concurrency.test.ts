/**
 * How many lookups of a definition run at once: the others wait their turn, and
 * nobody waits for ever.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Changes from "../../src/Changes.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, begin, ends, isRunning, memory, onEach, onText, settle } from "../support/cached.ts"
import { refusal } from "../support/policies.ts"

/** An origin that says how many loads it had at once, and in which order they began. */
class Busy {
  now = 0
  most = 0
  readonly order: Array<number> = []

  readonly load = (n: number) =>
    Effect.suspend(() => {
      this.order.push(n)
      this.most = Math.max(this.most, ++this.now)
      return Effect.as(Effect.sleep("1 second"), n).pipe(Effect.ensuring(Effect.sync(() => this.now--)))
    })
}

const of = (
  busy: Busy,
  concurrency: number,
  more: object = {},
  policy: Policy.Policy<number, number> = Policy.forever
) =>
  Cached.make(
    "busy",
    { key: Key.int("n"), value: Schema.Int, lookup: busy.load, concurrency, waitLimit: "1 hour", ...more },
    policy
  )

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

describe("a limit of loads", () => {
  onEach(
    "holds, and those who wait are served in the order in which they came",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 3)
      const readers = []
      for (const n of upTo(10)) readers.push(yield* begin(Cached.get(cached, n)))
      assert.deepStrictEqual(busy.order, [0, 1, 2])
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(busy.order, [0, 1, 2, 3, 4, 5])
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([busy.most, busy.order], [3, upTo(10)])
      assert.deepStrictEqual(yield* ends(readers), upTo(10).map((n) => Exit.succeed(n)))
      yield* assertQuiet
    })
  )

  onEach(
    "stops no hit and no reader of the same key",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1)
      const first = yield* begin(Cached.get(cached, 0))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      const readers = [yield* begin(Cached.get(cached, 1)), yield* begin(Cached.get(cached, 2))]
      readers.push(yield* begin(Cached.get(cached, 2)))
      assert.strictEqual(yield* Cached.get(cached, 0), 0)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* ends(readers), [Exit.succeed(1), Exit.succeed(2), Exit.succeed(2)])
      assert.deepStrictEqual(busy.order, [0, 1, 2])
    })
  )

  onEach(
    "is not held up by who leaves: one that waits, one that runs, and one whose turn has just come",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1)
      const readers = []
      for (const n of upTo(5)) readers.push(yield* begin(Cached.get(cached, n)))
      yield* Fiber.interrupt(readers[1]!)
      yield* Fiber.interrupt(readers[0]!)
      yield* settle
      assert.deepStrictEqual(busy.order, [0, 2])
      // Both at once: the end of the one gives its turn to the other, which leaves.
      yield* Effect.all([Fiber.interrupt(readers[2]!), Fiber.interrupt(readers[3]!)], { concurrency: "unbounded" })
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(readers[4]!), 4)
      assert.strictEqual(busy.most, 1)
      const again = yield* begin(Cached.get(cached, 9))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(again), 9)
      yield* assertQuiet
    })
  )

  onEach(
    "counts refreshes in the background, in their turn",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1, {}, Policy.ttl("10 seconds", { stale: "1 hour" }))
      const first = yield* begin(Cached.get(cached, 0))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* TestClock.adjust("20 seconds")
      const one = yield* begin(Cached.get(cached, 1))
      assert.strictEqual(yield* Cached.get(cached, 0), 0) // stale, and to be refreshed
      const two = yield* begin(Cached.get(cached, 2))
      yield* TestClock.adjust("3 seconds")
      yield* ends([one, two])
      assert.deepStrictEqual([busy.order, busy.most], [[0, 1, 0, 2], 1])
      yield* assertQuiet
    })
  )

  onEach(
    "does not count its waiting as the time of the load",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1, { hardTimeout: "1500 millis" })
      const readers = []
      for (const n of upTo(4)) readers.push(yield* begin(Cached.get(cached, n)))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* ends(readers), upTo(4).map((n) => Exit.succeed(n)))
    })
  )

  onEach(
    "is one for all definitions of a name: one that is built for each request has no slots of its own",
    Effect.gen(function*() {
      const busy = new Busy()
      const readers = []
      for (const n of upTo(4)) readers.push(yield* begin(Cached.get(of(busy, 2), n)))
      assert.strictEqual(busy.now, 2)
      yield* TestClock.adjust("2 seconds")
      yield* ends(readers)
    })
  )

  onEach(
    "takes a call of lookupMany for one",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1, {
        lookupMany: (keys: ReadonlyArray<number>) =>
          Effect.as(busy.load(keys[0]!), keys.map((key) => Result.succeed(key)))
      })
      const one = yield* begin(Cached.getMany(cached, [1, 2, 3]))
      const other = yield* begin(Cached.getMany(cached, [4, 5, 6]))
      assert.strictEqual(busy.now, 1)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* ends([one, other]), [Exit.succeed([1, 2, 3]), Exit.succeed([4, 5, 6])])
    })
  )

  onText(
    "protects the origin also while the store is down",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 2)
      yield* TestCache.fail("read")
      yield* TestCache.fail("begin")
      const readers = []
      for (const n of upTo(6)) readers.push(yield* begin(Cached.get(cached, n)))
      assert.strictEqual(busy.now, 2)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* ends(readers), upTo(6).map((n) => Exit.succeed(n)))
      assert.strictEqual(busy.most, 2)
    })
  )

  it("is a positive integer", () => {
    for (const concurrency of [0, -1, 1.5, NaN, Infinity]) {
      assert.strictEqual(refusal(() => of(new Busy(), concurrency)).reason, "InvalidNumber")
    }
  })
})

describe("nobody waits for ever", () => {
  onEach(
    "a recursion has its slot once, also where another reader waits for a part of it",
    Effect.gen(function*() {
      const fib: Cached.Cached<number, number> = Cached.make("fib", {
        key: Key.int("n"),
        value: Schema.Finite,
        lookup: (n: number): Effect.Effect<number, never, never> =>
          (n < 2 ? Effect.succeed(n) : Effect.zipWith(
            Effect.andThen(Effect.sleep(1), Cached.get(fib, n - 1)),
            Cached.get(fib, n - 2),
            (a, b) => a + b
          )) as Effect.Effect<number>,
        concurrency: 1
      }, Policy.forever)
      const readers = [
        yield* begin(Cached.get(fib, 30)),
        yield* begin(Cached.get(fib, 20)),
        yield* begin(Cached.get(fib, 25))
      ]
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* ends(readers), [832040, 6765, 75025].map((n) => Exit.succeed(n)))
      yield* assertQuiet
    })
  )

  // Each load of one reads the other: with a slot each, both would wait for the slot of the other.
  const crossed = () => {
    const make = (name: string, other: () => Cached.Cached<number, number>, concurrency: number) =>
      Cached.make(name, {
        key: Key.int("n"),
        value: Schema.Int,
        lookup: (n: number): Effect.Effect<number> =>
          Effect.andThen(
            Effect.sleep("1 second"),
            n === 0 ? Effect.succeed(0) : Effect.map(Cached.get(other(), n - 1), (m) => m + 1)
          ) as Effect.Effect<number>,
        concurrency,
        waitLimit: "1 hour"
      }, Policy.forever)
    const a: Cached.Cached<number, number> = make("a", () => b, 1)
    const b: Cached.Cached<number, number> = make("b", () => a, 1)
    return { a, b }
  }

  onEach(
    "two definitions whose loads read one another",
    Effect.gen(function*() {
      const { a, b } = crossed()
      const readers = [yield* begin(Cached.get(a, 5)), yield* begin(Cached.get(b, 5))]
      for (const n of upTo(5)) {
        readers.push(yield* begin(Cached.get(a, n)))
        readers.push(yield* begin(Cached.get(b, n)))
      }
      yield* TestClock.adjust("1 minute")
      assert.isTrue((yield* ends(readers)).every(Exit.isSuccess))
      yield* assertQuiet
    })
  )

  it.effect("loads of two services that read one another", () =>
    Effect.scoped(Effect.gen(function*() {
      const services = [yield* Layer.build(memory), yield* Layer.build(memory)] as const
      const of = (service: 0 | 1): Cached.Cached<number, number> =>
        Cached.make("number", {
          key: Key.int("n"),
          value: Schema.Int,
          lookup: (n: number): Effect.Effect<number> =>
            Effect.andThen(Effect.sleep("1 second"), n === 1 ? get(service === 0 ? 1 : 0, 2) : Effect.succeed(n)),
          concurrency: 1
        }, Policy.forever)
      const definitions = [of(0), of(1)] as const
      const get = (service: 0 | 1, n: number): Effect.Effect<number> =>
        Effect.provide(Cached.get(definitions[service], n), services[service])
      // Each has the only slot of its service, and needs a load that waits for the slot of the other.
      const readers = [yield* begin(get(0, 1)), yield* begin(get(1, 1))]
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* ends(readers), [Exit.succeed(2), Exit.succeed(2)])
    })))

  onEach(
    "a load that is joined while it waits, by one that has a slot",
    Effect.gen(function*() {
      const busy = new Busy()
      const inner = of(busy, 1)
      const outer = Cached.make("outer", {
        key: Key.int("n"),
        value: Schema.Int,
        lookup: (n: number) => Effect.andThen(Effect.sleep(1), Cached.get(inner, n)),
        concurrency: 1
      }, Policy.forever)
      const running = yield* begin(Cached.get(inner, 0))
      const waiting = yield* begin(Cached.get(inner, 1))
      const joining = yield* begin(Cached.get(outer, 1))
      assert.deepStrictEqual(busy.order, [0])
      yield* TestClock.adjust(1)
      yield* settle
      // It has a slot of its own definition, for which others may wait.
      assert.deepStrictEqual(busy.order, [0, 1])
      assert.isTrue(isRunning(waiting))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* ends([running, waiting, joining]), [0, 1, 1].map((n) => Exit.succeed(n)))
    })
  )

  onEach(
    "what is read in a transaction, whose connection the others may wait for",
    Effect.gen(function*() {
      const busy = new Busy()
      const cached = of(busy, 1)
      const outside = yield* begin(Cached.get(cached, 0))
      const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) => effect
      const inside = yield* begin(Changes.withTransaction(transaction)(Cached.get(cached, 1)))
      assert.deepStrictEqual(busy.order, [0, 1])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* ends([outside, inside]), [Exit.succeed(0), Exit.succeed(1)])
    })
  )

  onEach(
    "but a load in one without a limit waits",
    Effect.gen(function*() {
      const busy = new Busy()
      const inner = of(busy, 1)
      const outer = Cached.make("outer", {
        key: Key.int("n"),
        value: Schema.Int,
        lookup: (n: number) => Cached.get(inner, n)
      }, Policy.forever)
      const readers = []
      for (const n of upTo(4)) readers.push(yield* begin(Cached.get(outer, n)))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* ends(readers), upTo(4).map((n) => Exit.succeed(n)))
      assert.strictEqual(busy.most, 1)
    })
  )
})
