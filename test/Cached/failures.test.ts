import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
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
  NotFound,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../support/cached.ts"

describe("the old value in place of a load that fails", () => {
  const policy = Policy.ttl<string, number>("10 seconds", { onError: "30 seconds" })
  const aging = (origin: Origin<number, Down>) =>
    Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

  const failures: Record<string, Effect.Effect<never, Down>> = {
    "with a typed failure": Effect.fail(new Down()),
    "with a defect": Effect.die("boom"),
    "by interrupting itself": Effect.interrupt
  }
  for (const [how, failure] of Object.entries(failures)) {
    onEach(
      `is served when the load ends ${how}, up to its last age and never past it`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = aging(origin)
        yield* Cached.get(cached, "a")
        origin.ends = failure
        yield* TestClock.setTime(29_999)
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* TestClock.setTime(30_000)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Cached.get(cached, "a"))))
        origin.ends = Effect.void
        origin.value = 1
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        yield* assertQuiet
      })
    )

    onEach(
      `is not served when a load that ends ${how} takes until past its last age`,
      Effect.gen(function*() {
        const origin = new Origin<number, Down>(0)
        const cached = aging(origin)
        yield* Cached.get(cached, "a")
        origin.ends = failure
        origin.takes = "5 seconds"
        yield* TestClock.setTime(25_000)
        const late = yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(5000)
        const [exit] = yield* ends([late])
        assert.isTrue(Exit.isFailure(exit!))
      })
    )
  }

  onEach(
    "is served to all who waited for the load",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = aging(origin)
      yield* Cached.get(cached, "a")
      origin.ends = Effect.fail(new Down())
      origin.takes = "1 second"
      yield* TestClock.adjust("10 seconds")
      const readers = yield* beginAll(20, Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        (yield* ends(readers)).map((exit) => Exit.isSuccess(exit) && exit.value),
        Array(20).fill(0)
      )
      assert.strictEqual(origin.loads, 2)
    })
  )
})

describe("failures", () => {
  const users = (policy: Policy.Policy<number, NotFound>) => {
    const state = { loads: 0, row: undefined as string | undefined, ends: Effect.void as Effect.Effect<void, Down> }
    const cached = Cached.make("user", {
      key: Key.int("id"),
      value: Schema.String,
      lookup: (id) =>
        Effect.suspend((): Effect.Effect<string, NotFound | Down> => {
          state.loads++
          return Effect.andThen(
            state.ends,
            state.row === undefined ? Effect.fail(new NotFound({ id })) : Effect.succeed(state.row)
          )
        }),
      failures: { error: NotFound, policy }
    }, Policy.ttl("1 minute", { onError: "1 hour" }))
    return { state, cached }
  }

  onEach(
    "a failure that is worth caching is cached, with its own policy",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      const first = yield* errorOf(Cached.get(cached, 1))
      yield* TestClock.setTime(9_999)
      const second = yield* errorOf(Cached.get(cached, 1))
      assert.instanceOf(second, NotFound)
      assert.deepStrictEqual(second, first)
      assert.strictEqual(state.loads, 1)
      yield* TestClock.setTime(10_000)
      state.row = "Ada"
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
      yield* TestClock.setTime(69_999)
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a failure that is an answer replaces an old value, also one that may be served on errors",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      state.row = "Ada"
      yield* Cached.get(cached, 1)
      state.row = undefined
      yield* TestClock.adjust("2 minutes")
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      assert.strictEqual(state.loads, 2)
      assert.isTrue((yield* TestCache.entries)[0]!.stamp.failure)
    })
  )

  onEach(
    "a failure that is not of that kind is not cached, and replaces nothing",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds"))
      state.ends = Effect.fail(new Down())
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), Down)
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), Down)
      assert.strictEqual(state.loads, 2)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      state.ends = Effect.void
      state.row = "Ada"
      yield* Cached.get(cached, 1)
      state.ends = Effect.fail(new Down())
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
      yield* assertQuiet
    })
  )

  onEach(
    "without `failures`, no failure is cached",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      origin.ends = Effect.fail(new Down())
      const cached = Cached.make(
        "n",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      yield* errorOf(Cached.get(cached, undefined))
      yield* errorOf(Cached.get(cached, undefined))
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a cached failure can be stale, refreshed in the background, and give way to a value",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.ttl("10 seconds", { stale: "20 seconds" }))
      yield* errorOf(Cached.get(cached, 1))
      state.row = "Ada"
      yield* TestClock.adjust("10 seconds")
      assert.instanceOf(yield* errorOf(Cached.get(cached, 1)), NotFound)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
    })
  )

  onEach(
    "a tag that a cached failure has ends it",
    Effect.gen(function*() {
      const { cached, state } = users(Policy.tagged({ fromValue: (error: NotFound) => [`user:${error.id}`] }))
      yield* errorOf(Cached.get(cached, 1))
      yield* errorOf(Cached.get(cached, 1))
      assert.strictEqual(state.loads, 1)
      state.row = "Ada"
      yield* Cached.apply(Invalidation.tags("user:1"))
      assert.strictEqual(yield* Cached.get(cached, 1), "Ada")
    })
  )
})

describe("what goes wrong harms nobody else", () => {
  const endings: Record<string, { readonly ends: Effect.Effect<never, Down> }> = {
    "that fails": { ends: Effect.fail(new Down()) },
    "that dies": { ends: Effect.die("boom") },
    "that interrupts itself": { ends: Effect.interrupt }
  }
  for (const [which, { ends: ended }] of Object.entries(endings)) {
    for (const takes of [0, 1000]) {
      onEach(
        `a lookup ${which} ${takes === 0 ? "at once" : "after a while"} leaves nothing behind`,
        Effect.gen(function*() {
          const origin = new Origin<number, Down>(1)
          origin.ends = ended
          origin.takes = takes
          const cached = Cached.make("n", {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => origin.load
          }, Policy.forever)
          const fiber = yield* begin(Cached.get(cached, "a"))
          yield* TestClock.adjust(takes)
          const [exit] = yield* ends([fiber])
          assert.isTrue(Exit.isFailure(exit!))
          yield* assertQuiet
          origin.ends = Effect.void
          origin.takes = 0
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          assert.strictEqual(origin.loads, 2)
        })
      )
    }
  }

  onEach(
    "who waited for a load that interrupted itself loads for himself, and is not interrupted",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        // The first caller's lookup depends on something that is interrupted.
        lookup: () =>
          Effect.suspend(() => origin.loads === 0 ? Effect.andThen(origin.load, Effect.interrupt) : origin.load)
      }, Policy.forever)
      const readers = yield* beginAll(3, Cached.get(cached, "a"))
      yield* TestClock.adjust("2 seconds")
      const [first, ...others] = yield* ends(readers)
      assert.isTrue(Exit.isFailure(first!) && Exit.hasInterrupts(first))
      assert.deepStrictEqual(others.map((exit) => Exit.isSuccess(exit) && exit.value), [1, 1])
      assert.strictEqual(origin.loads, 2)
      yield* assertQuiet
    })
  )

  onEach(
    "a lookup that throws where it is called is a defect of that read",
    Effect.gen(function*() {
      const boom = new Error("boom")
      let broken = true
      const cached = Cached.make("n", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => {
          if (broken) throw boom
          return Effect.succeed(1)
        }
      }, Policy.forever)
      assert.strictEqual(yield* defectOf(Cached.get(cached, "a")), boom)
      yield* assertQuiet
      broken = false
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  const throwing = (on: (key: string) => boolean) => ({
    "the key": Policy.tagged((key: string): Array<string> => {
      if (on(key)) throw new Error("boom")
      return ["t"]
    }),
    "key and value": Policy.tagged({
      fromValue: (_value: number, key: string): Array<string> => {
        if (on(key)) throw new Error("boom")
        return ["t"]
      }
    })
  })
  for (const from of ["the key", "key and value"] as const) {
    onEach(
      `a function for tags from ${from} that throws is a defect of those reads alone`,
      Effect.gen(function*() {
        const origin = new Origin(1)
        let broken = true
        const cached = numbers(origin, throwing((key) => broken && key === "bad")[from])
        for (let i = 0; i < 10; i++) assert.instanceOf(yield* defectOf(Cached.get(cached, "bad")), Error)
        yield* assertQuiet
        assert.strictEqual(yield* Cached.get(cached, "good"), 1)
        const loads = origin.loads
        assert.strictEqual(yield* Cached.get(cached, "good"), 1)
        assert.strictEqual(origin.loads, loads)
        assert.strictEqual((yield* Cached.stats(cached)).storeFailures, 0)
        broken = false
        assert.strictEqual(yield* Cached.get(cached, "bad"), 1)
        assert.strictEqual(yield* Cached.get(cached, "bad"), 1)
        assert.strictEqual(origin.loads, loads + 1)
      })
    )
  }

  onText(
    "a function for tags of the key that throws never does so inside of the store, which would count it as its own",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), throwing(() => true)["the key"])
      yield* defectOf(Cached.get(cached, "bad"))
      assert.deepStrictEqual((yield* TestCache.operations).map(({ name }) => name), ["read"])
    })
  )

  onEach(
    "an empty tag is a defect of the read that met it",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged({ fromValue: (_value: number) => [""] }))
      const defect = yield* defectOf(Cached.get(cached, "a"))
      assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "EmptyTag")
      yield* assertQuiet
    })
  )

  onEach(
    "a key that is refused is a defect of that call, and nothing is asked",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.forever)
      const calls = [
        Cached.get(cached, 1 as never),
        Cached.getOption(cached, 1 as never),
        Cached.getMany(cached, ["a", 1 as never]),
        Cached.refresh(cached, 1 as never),
        Cached.set(cached, 1 as never, Effect.succeed(1)),
        Cached.invalidate(cached, 1 as never),
        Cached.explain(cached, 1 as never)
      ]
      for (const call of calls) {
        const defect = yield* defectOf(call as Effect.Effect<unknown, unknown, CacheService.CacheService>)
        assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "InvalidKeyPart")
      }
      assert.strictEqual(origin.loads, 0)
      yield* assertQuiet
    })
  )

  onEach(
    "a value that cannot be encoded is served",
    Effect.gen(function*() {
      const cached = Cached.make("odd", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.succeed(Number.NaN) // types do not keep NaN out
      }, Policy.forever)
      assert.isNaN(yield* Cached.get(cached, undefined))
      yield* assertQuiet
    })
  )

  onText(
    "a value that cannot be encoded is not cached, is warned about, and may be shared",
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push([logLevel, message])
      })
      const origin = new Origin(Number.NaN)
      origin.takes = "1 second"
      const cached = Cached.make(
        "odd",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.forever
      )
      const readers = yield* beginAll(3, Cached.get(cached, undefined)).pipe(Effect.provide(Logger.layer([logger])))
      yield* TestClock.adjust("1 second")
      yield* ends(readers)
      assert.deepStrictEqual([origin.loads, yield* TestCache.entries], [1, []])
      assert.deepStrictEqual(logged, [["Warn", ["odd is served and not stored: Expected a finite number"]]])
      yield* assertQuiet
    })
  )
})
