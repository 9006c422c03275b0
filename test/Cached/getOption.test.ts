import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, begin, errorOf, NotFound, numbers, onEach, onText, Origin, settle } from "../support/cached.ts"

describe("getOption", () => {
  onEach(
    "gives what may be served, and never loads",
    Effect.gen(function*() {
      const origin = new Origin(1)
      const cached = numbers(origin, Policy.ttl("10 seconds", { stale: "20 seconds", onError: "30 seconds" }))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* Cached.get(cached, "a")
      const seen: Array<Option.Option<number>> = []
      for (const at of [9_999, 10_000, 19_999, 20_000, 30_000]) {
        yield* TestClock.setTime(at)
        seen.push(yield* cached.pipe(Cached.getOption("a")))
        yield* settle
      }
      assert.deepStrictEqual(seen, [Option.some(1), Option.some(1), Option.some(1), Option.none(), Option.none()])
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  onEach(
    "fails with a failure that is cached, and is none where it has ended",
    Effect.gen(function*() {
      const cached = Cached.make("user", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id): Effect.Effect<string, NotFound> => Effect.fail(new NotFound({ id })),
        failures: { error: NotFound, policy: Policy.ttl("10 seconds") }
      }, Policy.forever)
      yield* errorOf(Cached.get(cached, 1))
      assert.instanceOf(yield* errorOf(Cached.getOption(cached, 1)), NotFound)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Cached.getOption(cached, 1), Option.none())
    })
  )

  onEach(
    "is none for what was invalidated, and the old value for what was invalidated softly",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1), Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.some(1))
      yield* Cached.apply(Invalidation.tags("t"))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
    })
  )

  onEach(
    "does not disturb a load that is under way, and does not wait for it",
    Effect.gen(function*() {
      const origin = new Origin(1)
      origin.takes = "1 second"
      const cached = numbers(origin)
      const reader = yield* begin(Cached.get(cached, "a"))
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(reader), 1)
      assert.strictEqual(origin.loads, 1)
    })
  )

  onText(
    "is none when the store fails, and counts that",
    Effect.gen(function*() {
      const cached = numbers(new Origin(1))
      yield* Cached.get(cached, "a")
      yield* TestCache.fail("read")
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      assert.strictEqual((yield* Cached.stats(cached)).storeFailures, 1)
    })
  )
})
