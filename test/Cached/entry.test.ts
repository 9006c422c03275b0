/** `getEntry` and `peekEntry`: what is known of an entry, and its validator. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type { CacheService } from "../../src/CacheService.ts"
import * as Changes from "../../src/Changes.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import type { NumbersOptions } from "../support/cached.ts"
import {
  ages,
  assertQuiet,
  begin,
  beginAll,
  Down,
  errorOf,
  isRunning,
  NotFound,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

const peek = <V, E, R>(cached: Cached.Cached<string, V, E, R>) =>
  Effect.map(Cached.peekEntry(cached, "a"), Option.getOrUndefined)

const validatorOf = (entry: Cached.Entry<unknown> | undefined): string => {
  assert(entry !== undefined, "there is no entry")
  return Option.getOrThrow(entry.validator)
}

/** What is said of a value that was loaded at a moment and not stored. */
const unstored = <V>(value: V, now: number): Cached.Entry<V> => ({
  value,
  verdict: "Fresh",
  storedAt: now,
  age: 0,
  freshUntil: now,
  usableUntil: now,
  dependencies: [],
  validator: Option.none()
})

describe("what is known of an entry", () => {
  onEach(
    "times are from when it was stored, by the clock of the store",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin, ages)
      yield* TestClock.adjust("5 seconds")
      const reader = yield* begin(cached.pipe(Cached.getEntry("a")))
      yield* TestClock.adjust("1 second")
      const loaded = yield* Fiber.join(reader)
      const { validator, ...known } = loaded
      assert.isTrue(Option.isSome(validator))
      assert.deepStrictEqual(known, {
        value: 1,
        verdict: "Fresh",
        storedAt: 6000,
        age: 0,
        freshUntil: 16_000,
        usableUntil: 36_000,
        dependencies: []
      })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Cached.getEntry(cached, "a"), { ...loaded, age: 2000 })
      assert.deepStrictEqual(yield* cached.pipe(Cached.peekEntry("a")), Option.some({ ...loaded, age: 2000 }))
    })
  )

  onEach(
    "as it ages: fresh until then, or until now",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), ages)
      yield* Cached.get(cached, "a")
      const seen: Array<unknown> = []
      for (const now of [9_999, 10_000, 15_000, 19_999, 20_000, 29_999, 30_000]) {
        yield* TestClock.setTime(now)
        const entry = yield* peek(cached)
        seen.push([now, entry?.verdict, entry?.age, entry?.freshUntil, entry?.usableUntil])
      }
      assert.deepStrictEqual(seen, [
        [9_999, "Fresh", 9_999, 10_000, 30_000],
        [10_000, "Stale", 10_000, 10_000, 30_000],
        [15_000, "Stale", 15_000, 15_000, 30_000],
        [19_999, "Stale", 19_999, 19_999, 30_000],
        [20_000, "OnError", 20_000, 20_000, 30_000],
        [29_999, "OnError", 29_999, 29_999, 30_000],
        [30_000, undefined, undefined, undefined, undefined]
      ])
    })
  )

  onEach(
    "what no time ends is fresh for ever",
    Effect.gen(function*() {
      const { freshUntil, usableUntil } = yield* Cached.getEntry(numbers(new Origin(1)), "a")
      assert.deepStrictEqual([freshUntil, usableUntil], [Infinity, Infinity])
    })
  )

  for (
    const [name, policy] of [
      ["a jitter", Policy.ttl<string, number>("10 seconds", { jitter: 0.5 })],
      ["a spread", Policy.until("0 * * * * *", { spread: "30 seconds" })]
    ] as const
  ) {
    onEach(
      `${name} counts: fresh to the millisecond`,
      Effect.gen(function*() {
        const cached = numbers(new Origin(1), policy)
        yield* TestClock.setTime(1000)
        const { freshUntil, usableUntil } = yield* Cached.getEntry(cached, "a")
        assert.strictEqual(usableUntil, freshUntil)
        yield* TestClock.setTime(Math.ceil(freshUntil) - 1)
        assert.strictEqual((yield* peek(cached))?.verdict, "Fresh")
        yield* TestClock.setTime(Math.ceil(freshUntil))
        assert.isUndefined(yield* peek(cached))
      })
    )
  }

  onEach(
    "what is refreshed early is fresh until its end, and the same entry",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch({ beta: 1000 })))
      const reader = yield* begin(Cached.getEntry(cached, "a"))
      yield* TestClock.adjust("1 second")
      const loaded = yield* Fiber.join(reader)
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(yield* peek(cached), { ...loaded, verdict: "Refresh", age: 9000, freshUntil: 11_000 })
      assert.deepStrictEqual(yield* Cached.getEntry(cached, "a"), { ...loaded, verdict: "Refresh", age: 9000 })
      assert.strictEqual(origin.loads, 1)
      yield* settle
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "what something has ended counts no more: another alternative may end sooner",
    Effect.gen(function*() {
      const tagged = Policy.all(Policy.ttl<string, number>("1 hour"), Policy.tagged("t"))
      const cached = numbers(new Origin(1), Policy.any(tagged, Policy.ttl("1 minute")))
      const loaded = yield* Cached.getEntry(cached, "a")
      assert.deepInclude(loaded, { freshUntil: 3_600_000, usableUntil: 3_600_000 })
      yield* Cached.apply(Invalidation.tags("t"))
      const expected = { ...loaded, freshUntil: 60_000, usableUntil: 60_000 }
      assert.deepStrictEqual(yield* peek(cached), expected)
      assert.deepStrictEqual(yield* Cached.getEntry(cached, "a"), expected)
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(yield* peek(cached))
    })
  )

  onEach(
    "a version that is asked for at each read does not end it beforehand",
    Effect.gen(function*() {
      const version = (_: string) => 1
      const cached = numbers(new Origin(1), Policy.all(Policy.ttl("10 seconds"), Policy.versioned(version)))
      assert.strictEqual((yield* Cached.getEntry(cached, "a")).freshUntil, 10_000)
      assert.strictEqual((yield* Cached.getEntry(cached, "a")).freshUntil, 10_000)
    })
  )

  onEach(
    "dependencies are those that the key tells and those found in the value",
    Effect.gen(function*() {
      const cached = numbers(
        new Origin(5),
        Policy.all(
          Policy.tagged((key: string) => [`of ${key}`]),
          Policy.tagged({ fromValue: (value: number) => [`is ${value}`] })
        )
      )
      const all = ["of a", "is 5"].map(Dependency.tag)
      assert.deepStrictEqual((yield* Cached.getEntry(cached, "a")).dependencies, all)
      assert.deepStrictEqual((yield* Cached.getEntry(cached, "a")).dependencies, all)
      assert.deepStrictEqual((yield* peek(cached))?.dependencies, all)
    })
  )

  onEach(
    "a cached failure fails",
    Effect.gen(function*() {
      const cached = Cached.make("user", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id): Effect.Effect<string, NotFound> => Effect.fail(new NotFound({ id })),
        failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
      }, Policy.forever)
      assert.instanceOf(yield* errorOf(Cached.getEntry(cached, 1)), NotFound)
      assert.instanceOf(yield* errorOf(Cached.peekEntry(cached, 1)), NotFound)
      assert.instanceOf(yield* errorOf(Cached.getEntry(cached, 1)), NotFound)
      assert.strictEqual((yield* Cached.stats(cached)).loads, 1)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Cached.peekEntry(cached, 1), Option.none())
    })
  )

  onEach(
    "getEntry is a read and counts as get does",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), ages)
      for (const at of [0, 0, 10_000]) {
        yield* TestClock.setTime(at)
        yield* Cached.getEntry(cached, "a")
      }
      yield* settle
      const { hits, loads, misses, refreshes, staleServed } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ hits, loads, misses, refreshes, staleServed }, {
        hits: 1,
        loads: 2,
        misses: 1,
        refreshes: 1,
        staleServed: 1
      })
    })
  )
})

describe("a validator", () => {
  onEach(
    "is the same while the entry is, also when that is stale",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, ages)
      const validator = validatorOf(yield* Cached.getEntry(cached, "a"))
      assert.strictEqual(validatorOf(yield* Cached.getEntry(cached, "a")), validator)
      yield* Cached.invalidate(cached, "a", { soft: true })
      const softened = yield* peek(cached)
      assert.deepInclude(softened, { verdict: "Stale", freshUntil: 0, usableUntil: 30_000 })
      assert.strictEqual(validatorOf(softened), validator)
      for (const at of [9_999, 10_000, 29_999]) {
        yield* TestClock.setTime(at)
        assert.strictEqual(validatorOf(yield* peek(cached)), validator)
      }
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "is another whenever the value may be another, and that of the stored entry",
    Effect.gen(function*() {
      let version = 1
      const cached = numbers(
        new Origin(1),
        Policy.all(Policy.ttl("10 seconds"), Policy.tagged("t"), Policy.versioned((_: string) => version))
      )
      const validators = [validatorOf(yield* Cached.getEntry(cached, "a"))]
      const ways: ReadonlyArray<Effect.Effect<unknown, unknown, CacheService>> = [
        Cached.invalidate(cached, "a"),
        Cached.apply(Invalidation.tags("t")),
        Cached.refresh(cached, "a"),
        Cached.set(cached, "a", Effect.succeed(2)),
        Effect.sync(() => version++),
        TestClock.adjust("10 seconds")
      ]
      for (const way of ways) {
        yield* way
        const entry = yield* Cached.getEntry(cached, "a")
        validators.push(validatorOf(entry))
        assert.deepStrictEqual(yield* peek(cached), entry)
      }
      assert.strictEqual(new Set(validators).size, ways.length + 1)
    })
  )

  onEach(
    "is one for all who waited for one load",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin, ages)
      const fibers = yield* beginAll(3, Cached.getEntry(cached, "a"))
      yield* TestClock.adjust("1 second")
      const entries = yield* Effect.forEach(fibers, Fiber.join)
      const stored = yield* peek(cached)
      assert.deepStrictEqual(entries, [stored, stored, stored])
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "is given when the entry is stored, not before",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1))
      yield* TestCache.delay("commit", 500)
      const reader = yield* begin(Cached.getEntry(cached, "a"))
      yield* TestClock.adjust(499)
      assert.isTrue(isRunning(reader))
      yield* TestClock.adjust(1)
      const entry = yield* Fiber.join(reader)
      assert.isTrue(Option.isSome(entry.validator))
      assert.deepStrictEqual(yield* peek(cached), entry)
    })
  )
})

describe("what is not stored has no validator", () => {
  onEach(
    "by its policy",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.never)
      yield* TestClock.setTime(1000)
      assert.deepStrictEqual(yield* Cached.getEntry(cached, "a"), unstored(1, 1000))
      assert.isUndefined(yield* peek(cached))
    })
  )

  it.effect("too large", () =>
    Effect.gen(function*() {
      const cached = Cached.make("text", {
        key: Key.string("of"),
        value: Schema.String,
        lookup: (length) => Effect.succeed("x".repeat(Number(length)))
      }, Policy.forever)
      assert.isTrue(Option.isSome((yield* Cached.getEntry(cached, "10")).validator))
      assert.deepStrictEqual(yield* Cached.getEntry(cached, "100"), unstored("x".repeat(100), 0))
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10, maxBytes: 50 }))))

  onText(
    "not to be encoded",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Cached.getEntry(numbers(new Origin(NaN)), "a"), unstored(NaN, 0))
    })
  )

  onEach(
    "loaded under a fence",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged("t"))
      const entry = yield* Cached.getEntry(cached, "a").pipe(Cached.mutate(Invalidation.tags("t")))
      assert.deepStrictEqual(entry, unstored(1, 0))
      assert.isUndefined(yield* peek(cached))
    })
  )

  onEach(
    "invalidated while it was loaded",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.tagged("t"))
      const reader = yield* begin(Cached.getEntry(cached, "a"))
      yield* Cached.apply(Invalidation.tags("t"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(reader), unstored(1, 1000))
      assert.isUndefined(yield* peek(cached))
    })
  )

  for (const operation of ["read", "begin", "commit"] as const) {
    onText(
      `while the store fails to ${operation}`,
      Effect.gen(function*() {
        const cached = numbers(new Origin(1), Policy.tagged("t"))
        yield* TestCache.fail(operation)
        assert.deepStrictEqual(yield* Cached.getEntry(cached, "a"), unstored(1, 0))
        yield* TestCache.restore
        assert.isUndefined(yield* peek(cached))
      })
    )
  }

  onText(
    "ended before the store had answered",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.ttl(100))
      // It happens at once, and the answer is late.
      yield* TestCache.disturb("commit", (_, perform) => Effect.tap(perform, () => Effect.sleep(200)))
      const reader = yield* begin(Cached.getEntry(cached, "a"))
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(yield* Fiber.join(reader), unstored(1, 200))
      assert.isUndefined(yield* peek(cached))
    })
  )

  onEach(
    "inside of a transaction, which neither sees nor stores an entry",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin)
      const stored = yield* Cached.getEntry(cached, "a")
      origin.value = 2
      const inside = yield* Effect.all([Cached.getEntry(cached, "a"), Cached.peekEntry(cached, "a")]).pipe(
        Changes.withTransaction((effect) => effect)
      )
      assert.deepStrictEqual(inside, [unstored(2, 0), Option.none()])
      assert.deepStrictEqual(yield* peek(cached), stored)
    })
  )
})

describe("getEntry of what is refreshed", () => {
  const stale = (
    refresh: Cached.Refresh,
    options: NumbersOptions = {},
    ends: Effect.Effect<unknown, Down> = Effect.void
  ) =>
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = numbers(origin, ages, { refresh, ...options })
      const old = yield* Cached.getEntry(cached, "a")
      origin.value = 1
      origin.takes = "1 second"
      origin.ends = ends
      yield* TestClock.setTime(19_500)
      const readers = yield* beginAll(2, Cached.getEntry(cached, "a"))
      const waiting = readers.map(isRunning)
      return {
        cached,
        old,
        readers,
        waiting,
        served: { ...old, verdict: "Stale", age: 19_500, freshUntil: 19_500 }
      }
    })

  onEach(
    "background: the old entry, with its verdict and validator",
    Effect.gen(function*() {
      const { cached, old, readers, served, waiting } = yield* stale("background")
      assert.deepStrictEqual(waiting, [false, false])
      assert.deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [served, served])
      yield* TestClock.adjust("1 second")
      const refreshed = yield* Cached.getEntry(cached, "a")
      assert.deepInclude(refreshed, { value: 1, verdict: "Fresh", storedAt: 20_500, age: 0 })
      assert.notStrictEqual(validatorOf(refreshed), validatorOf(old))
    })
  )

  onEach(
    "caller: the new one for who refreshes, the old one for the others",
    Effect.gen(function*() {
      const { cached, readers: [first, second], served, waiting } = yield* stale("caller")
      assert.deepStrictEqual(waiting, [true, false])
      assert.deepStrictEqual(yield* Fiber.join(second!), served)
      yield* TestClock.adjust("1 second")
      const refreshed = yield* Fiber.join(first!)
      assert.deepInclude(refreshed, { value: 1, verdict: "Fresh", storedAt: 20_500 })
      assert.deepStrictEqual(yield* peek(cached), refreshed)
    })
  )

  onEach(
    "everyone: the new one",
    Effect.gen(function*() {
      const { cached, readers, waiting } = yield* stale("everyone")
      assert.deepStrictEqual(waiting, [true, true])
      yield* TestClock.adjust("1 second")
      const entries = yield* Effect.forEach(readers, Fiber.join)
      const stored = yield* peek(cached)
      assert.deepInclude(stored, { value: 1, verdict: "Fresh", storedAt: 20_500 })
      assert.deepStrictEqual(entries, [stored, stored])
    })
  )

  onEach(
    "if that fails: the old one, with the verdict that it has by then",
    Effect.gen(function*() {
      const { readers, served } = yield* stale("everyone", {}, Effect.fail(new Down()))
      yield* TestClock.adjust("1 second")
      const late = { ...served, verdict: "OnError", age: 20_500, freshUntil: 20_500 }
      assert.deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [late, late])
      yield* assertQuiet
    })
  )

  onEach(
    "if that takes too long: the old one, with the verdict that it has by then",
    Effect.gen(function*() {
      const { readers, served } = yield* stale("everyone", { softTimeout: "700 millis" })
      yield* TestClock.adjust(700)
      const late = { ...served, verdict: "OnError", age: 20_200, freshUntil: 20_200 }
      assert.deepStrictEqual(yield* Effect.forEach(readers, Fiber.join), [late, late])
      yield* TestClock.adjust(300)
      yield* assertQuiet
    })
  )
})

describe("peekEntry", () => {
  onEach(
    "loads nothing, refreshes nothing and counts nothing, whatever it finds",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, ages)
      assert.isUndefined(yield* peek(cached))
      yield* Cached.get(cached, "a")
      const before = yield* Cached.stats(cached)
      for (const at of [5000, 10_000, 20_000, 30_000, 30_000]) {
        yield* TestClock.setTime(at)
        yield* peek(cached)
        yield* settle
      }
      assert.deepStrictEqual(yield* Cached.stats(cached), before)
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onText(
    "looks once, and drops what it finds dead",
    Effect.gen(function*() {
      let version = 1
      const cached = numbers(new Origin(1), Policy.all(ages, Policy.versioned((_: string) => version)))
      const asked = Effect.gen(function*() {
        yield* TestCache.forget
        const entry = yield* peek(cached)
        return [entry?.verdict, (yield* TestCache.operations).map(({ name }) => name)]
      })
      assert.deepStrictEqual(yield* asked, [undefined, ["read"]])
      yield* Cached.get(cached, "a")
      assert.deepStrictEqual(yield* asked, ["Fresh", ["read"]])
      yield* TestClock.setTime(20_000)
      assert.deepStrictEqual(yield* asked, ["OnError", ["read"]])
      version = 2
      assert.deepStrictEqual(yield* asked, [undefined, ["read", "begin", "abandon"]])
      assert.deepStrictEqual(yield* TestCache.entries, [])
      // What was found dead does not come back, though its version does.
      version = 1
      assert.deepStrictEqual(yield* asked, [undefined, ["read"]])
      yield* assertQuiet
    })
  )

  onEach(
    "does not disturb a load that is in flight, and does not wait for it",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin)
      const reader = yield* begin(Cached.getEntry(cached, "a"))
      assert.isUndefined(yield* peek(cached))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* peek(cached), yield* Fiber.join(reader))
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "is none when the store fails or gives what cannot be read: that is counted, and no read is",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1))
      yield* Cached.get(cached, "a")
      yield* TestCache.fail("read", 1)
      assert.isUndefined(yield* peek(cached))
      yield* TestCache.corrupt("number:a", "{")
      assert.isUndefined(yield* peek(cached))
      const { reads, storeFailures, unreadable } = yield* Cached.stats(cached)
      assert.deepStrictEqual({ reads, storeFailures, unreadable }, { reads: 1, storeFailures: 1, unreadable: 1 })
    })
  )
})

describe("inside of a load", () => {
  /** A page that is made of a card by some read of it. */
  const pageOf = <E>(read: Effect.Effect<number, E, CacheService>) =>
    Cached.make("page", { key: Key.string("of"), value: Schema.Finite, lookup: () => read }, Policy.forever)

  const peekValue = (cached: Cached.Cached<string, number>) =>
    Effect.map(Cached.peekEntry(cached, "a"), (entry) => Option.getOrThrow(entry).value)

  onEach(
    "what is made of a stale entry that was peeked at is stale, and ends with it",
    Effect.gen(function*() {
      const card = numbers(new Origin(1), ages)
      const page = pageOf(peekValue(card))
      yield* Cached.get(card, "a")
      assert.deepInclude(yield* Cached.getEntry(page, "a"), { verdict: "Fresh", usableUntil: Infinity })
      for (const at of [10_000, 20_000]) {
        yield* TestClock.setTime(at)
        yield* Cached.invalidate(page, "a")
        const entry = yield* Cached.getEntry(page, "a")
        assert.deepInclude(entry, { value: 1, verdict: "Stale", storedAt: at, freshUntil: at, usableUntil: 30_000 })
        assert.deepStrictEqual(yield* peek(page), entry)
      }
    })
  )

  onEach(
    "a load may peek at what it is to replace",
    Effect.gen(function*() {
      const values: Array<number | undefined> = []
      const cached: Cached.Cached<string, number> = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => Effect.map(peek(cached), (entry) => values.push(entry?.value))
      }, ages) as never
      assert.strictEqual((yield* Cached.getEntry(cached, "a")).value, 1)
      yield* TestClock.setTime(20_000)
      const entry = yield* Cached.getEntry(cached, "a")
      assert.deepInclude(entry, { value: 2, verdict: "Fresh", freshUntil: 30_000 })
      assert.deepStrictEqual(values, [undefined, 1])
    })
  )

  onEach(
    "getEntry waits for a refresh, and is given the old entry only if that fails",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(1)
      const card = Cached.make(
        "card",
        { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
        ages
      )
      const verdicts: Array<string> = []
      const page = pageOf(Effect.map(Cached.getEntry(card, "a"), ({ value, verdict }) => {
        verdicts.push(verdict)
        return value
      }))
      yield* Cached.get(page, "a")
      origin.value = 2
      for (const ends of [Effect.void, Effect.fail(new Down())]) {
        origin.ends = ends
        yield* TestClock.adjust("10 seconds")
        yield* Cached.invalidate(page, "a")
        yield* Cached.get(page, "a")
      }
      assert.deepStrictEqual(verdicts, ["Fresh", "Fresh", "Stale"])
      assert.deepInclude(yield* peek(page), { value: 2, verdict: "Stale", usableUntil: 40_000 })
    })
  )
})
