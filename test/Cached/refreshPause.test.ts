/** A refresh in the background that failed is not tried again by the next reader, but after a pause that grows. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import { Pauses } from "../../src/internal/service/pauses.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { Down, onEach, Origin, settle } from "../support/cached.ts"
import { refusal } from "../support/policies.ts"

const stale = Policy.ttl<string, number>("10 seconds", { stale: "1 day" })

const of = (origin: Origin<number, Down>, refreshPause?: Cached.RefreshPause) =>
  Cached.make("number", {
    key: Key.string("of"),
    value: Schema.Finite,
    lookup: () => origin.load,
    ...(refreshPause === undefined ? {} : { refreshPause })
  }, stale)

/** Reads ten times a second, and gives at which tenths the origin was asked. */
const readFor = Effect.fnUntraced(
  function*(
    origin: Origin<number, Down>,
    read: Effect.Effect<number, Down, never>,
    seconds: number
  ) {
    const asked: Array<number> = []
    for (let tenth = 0; tenth < seconds * 10; tenth++) {
      const { loads } = origin
      yield* read
      yield* settle
      if (origin.loads > loads) asked.push(tenth)
      yield* TestClock.adjust(100)
    }
    return asked
  },
  Effect.provideService(Random.Random, {
    // No pause is shortened.
    nextDoubleUnsafe: () => 0,
    nextIntUnsafe: () => 0
  } as never)
)

const failing = Effect.gen(function*() {
  const origin = new Origin<number, Down>(1)
  return origin
})

describe("a refresh in the background that failed", () => {
  onEach(
    "is tried after one second, then after two, four and so on up to a minute; readers are served meanwhile",
    Effect.gen(function*() {
      const origin = yield* failing
      const cached = of(origin)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      const asked = yield* readFor(origin, Cached.get(cached, "a") as never, 200)
      assert.deepStrictEqual(asked, [0, 10, 30, 70, 150, 310, 630, 1230, 1830])
    })
  )

  onEach(
    "holds up no other key, and no one who waits",
    Effect.gen(function*() {
      const origin = yield* failing
      const cached = of(origin)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "b")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      for (const key of ["a", "b", "a", "b"]) yield* Effect.andThen(Cached.get(cached, key), settle)
      assert.strictEqual(origin.loads, 4)
      origin.ends = Effect.void
      origin.value = 2
      assert.strictEqual(yield* Cached.refresh(cached, "a"), 2)
      yield* Cached.invalidate(cached, "b")
      assert.strictEqual(yield* Cached.get(cached, "b"), 2)
    })
  )

  onEach(
    "begins with the first pause again, once the key was loaded",
    Effect.gen(function*() {
      const origin = yield* failing
      const cached = of(origin)
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      assert.deepStrictEqual(yield* readFor(origin, Cached.get(cached, "a") as never, 8), [0, 10, 30, 70])
      origin.ends = Effect.void
      yield* Cached.refresh(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      assert.deepStrictEqual(yield* readFor(origin, Cached.get(cached, "a") as never, 4), [0, 10, 30])
      yield* TestClock.adjust("1 hour")
      origin.ends = Effect.void
      yield* Effect.andThen(Cached.get(cached, "a"), settle)
      assert.strictEqual((yield* Cached.explain(cached, "a")).verdict, "Fresh")
    })
  )

  onEach(
    "is tried as often as is asked for",
    Effect.gen(function*() {
      const origin = yield* failing
      const cached = of(origin, { first: 0 })
      yield* Cached.get(cached, "a")
      yield* TestClock.adjust("20 seconds")
      origin.ends = Effect.fail(new Down())
      assert.strictEqual((yield* readFor(origin, Cached.get(cached, "a") as never, 1)).length, 10)
      assert.strictEqual(refusal(() => of(origin, { first: -1 })).reason, "NegativeDuration")
    })
  )

  onEach(
    "shortens its pause by chance, and remembers a bounded number of keys",
    Effect.sync(() => {
      const pauses = new Pauses()
      const limits = { first: 1000, longest: 60_000 }
      pauses.failed("a", 0, limits, 0.999)
      assert.deepStrictEqual([499, 501].map((now) => pauses.holds("a", now)), [true, false])
      for (let n = 0; n < 10_000; n++) pauses.failed(`${n}`, 0, limits, 0)
      assert.deepStrictEqual(["a", "0", "9999"].map((key) => pauses.holds(key, 1)), [false, true, true])
      for (let n = 0; n < 100; n++) pauses.failed("b", 0, limits, 0)
      assert.deepStrictEqual([59_999, 60_000].map((now) => pauses.holds("b", now)), [true, false])
    })
  )
})
