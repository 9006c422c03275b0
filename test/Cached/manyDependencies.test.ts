/** Entries that depend on more than an entry may: served, shared, and not stored. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import { mostDependencies } from "../../src/internal/limits.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { assertQuiet, begin, beginAll, ends, isRunning, onEach, Origin } from "../support/cached.ts"

/** So many of it are too many. */
const most = mostDependencies

const tags = (count: number, first = 0) => Array.from({ length: count }, (_, i) => `tag ${first + i}`)

type Tags = Policy.Policy<string, number>

const fromKey = (count: number): Tags => Policy.tagged(() => tags(count))
const fromValue = (count: number): Tags => Policy.tagged({ fromValue: () => tags(count, most) })

const numbers = (origin: Origin<number>, policy: Tags) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

const ways: ReadonlyArray<readonly [name: string, policy: (count: number) => Tags, invalidated: string]> = [
  ["found in the value", fromValue, `tag ${most}`],
  ["known from the key", fromKey, "tag 0"],
  ["of both", (count) => Policy.all(fromKey(count - 1), fromValue(1)), "tag 0"]
]

/** Runs something, and gives the warnings of it. */
const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => {
    lines.push(...[message].flat())
  })
  return Effect.as(Effect.provide(effect, Logger.layer([logger])), lines)
}

for (const [name, policy, invalidated] of ways) {
  describe(`dependencies ${name}`, () => {
    onEach(
      "as many as an entry may have are stored, and the entry ends by each",
      Effect.gen(function*() {
        const origin = new Origin(1)
        const cached = numbers(origin, policy(most))
        yield* Cached.get(cached, "a")
        yield* Cached.get(cached, "a")
        assert.strictEqual(origin.loads, 1)
        origin.value = 2
        yield* Cached.apply(Invalidation.tags(invalidated))
        assert.strictEqual(yield* Cached.get(cached, "a"), 2)
        yield* assertQuiet
      })
    )

    onEach(
      "of one more the value is served and not stored, and a warning names it",
      Effect.gen(function*() {
        const origin = new Origin(1)
        const cached = numbers(origin, policy(most + 1))
        const lines = yield* warnings(Effect.gen(function*() {
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
          assert.strictEqual(yield* Cached.get(cached, "b"), 1)
          assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        }))
        assert.deepStrictEqual([origin.loads, yield* TestCache.entries], [3, []])
        assert.deepStrictEqual(lines, [
          `number:a is served and not stored: it depends on ${most + 1} names, and ${most} is the most`
        ])
        assert.strictEqual((yield* Cached.stats(cached)).unwritable, 3)
        yield* assertQuiet
      })
    )

    onEach(
      "readers that come together share one load",
      Effect.gen(function*() {
        const origin = new Origin(1)
        origin.takes = "1 second"
        const readers = yield* beginAll(3, Cached.get(numbers(origin, policy(most + 1)), "a"))
        yield* TestClock.adjust("1 second")
        yield* ends(readers)
        assert.strictEqual(origin.loads, 1)
        yield* assertQuiet
      })
    )

    for (const write of ["invalidation", "mutate"] as const) {
      onEach(
        `a reader after the end of an ${write} is not given a load from before it`,
        Effect.gen(function*() {
          const origin = new Origin(1)
          origin.takes = "1 second"
          const cached = numbers(origin, policy(most + 1))
          const over = Invalidation.tags(invalidated)
          const set = Effect.sync(() => origin.value = 2)
          const writer = yield* begin(
            write === "mutate" ? Cached.mutate(Effect.delay(set, "500 millis"), over) : Effect.void
          )
          const before = yield* begin(Cached.get(cached, "a"))
          yield* TestClock.adjust("500 millis")
          yield* Fiber.join(writer)
          if (write === "invalidation") yield* Effect.andThen(set, Cached.apply(over))
          const after = yield* begin(Cached.get(cached, "a"))
          yield* TestClock.adjust("500 millis")
          assert.strictEqual(yield* Fiber.join(before), 1)
          assert.isTrue(isRunning(after))
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* Fiber.join(after), 2)
          assert.strictEqual(origin.loads, 2)
          yield* assertQuiet
        })
      )
    }

    onEach(
      "what is written through is given, and an older entry does not stay",
      Effect.gen(function*() {
        const origin = new Origin(1)
        yield* Cached.get(numbers(origin, policy(most)), "a")
        const cached = numbers(origin, policy(most + 1))
        assert.strictEqual(yield* Cached.set(cached, "a", Effect.sync(() => origin.value = 2)), 2)
        assert.deepStrictEqual(yield* TestCache.entries, [])
        assert.strictEqual(yield* Cached.get(cached, "a"), 2)
      })
    )
  })
}

onEach(
  "`explain` says why nothing is stored",
  Effect.gen(function*() {
    const cached = numbers(new Origin(1), fromKey(most + 1))
    yield* Cached.get(cached, "a")
    assert.include(
      String(yield* Cached.explain(cached, "a")),
      `it depends on ${most + 1} names, and ${most} is the most`
    )
  })
)

it("too many that are the same for every key are refused where the value is defined", () => {
  const define = (count: number) => () => numbers(new Origin(1), Policy.tagged(tags(count)))
  define(most)()
  assert.throws(define(most + 1), InvalidInput.InvalidInput, `its policy names ${most + 1} dependencies`)
})
