/** Failures that are shared: a load that failed is a load. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { begin, beginAll, Down, ends, memory, NotFound, Origin, text } from "../support/cached.ts"
import { onEvery, settle, value } from "../support/nested.ts"

describe("a load that failed is shared only with those who came before it could have been voided", () => {
  /** An origin without the row at first. */
  const missing = (policy: Policy.Policy<number, string>) => {
    const origin = new Origin<string, NotFound>("Ada")
    origin.ends = Effect.fail(new NotFound({ id: 1 }))
    origin.takes = 1000
    const user = Cached.make("user", {
      key: Key.int("id"),
      value,
      // It answers with what was there when it was asked.
      lookup: () => origin.load
    }, policy)
    const insert = Effect.sync(() => {
      origin.ends = Effect.void
    })
    return { insert, origin, user }
  }

  const ofKey = Policy.tagged((id: number) => [`user:${id}`])
  const ofValue = Policy.tagged({ fromValue: (name: string) => [`name:${name}`] })
  const ways: ReadonlyArray<readonly [string, Policy.Policy<number, string>, Invalidation.Invalidation]> = [
    ["nothing but its key", Policy.forever, Invalidation.keys("user:1")],
    ["a tag of its key", ofKey, Invalidation.tags("user:1")],
    ["a tag of its value", ofValue, Invalidation.tags("name:Ada")]
  ]

  for (const [what, policy, over] of ways) {
    onEvery(`not after the end of the mutate under which it began (${what})`, () =>
      Effect.gen(function*() {
        const { insert, origin, user } = missing(policy)
        const writer = yield* begin(Cached.mutate(Effect.andThen(Effect.sleep(500), insert), over))
        const early = yield* begin(Cached.get(user, 1))
        assert.strictEqual(origin.loads, 1)
        yield* TestClock.adjust(500)
        yield* Fiber.join(writer)
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
        assert.strictEqual(yield* Fiber.join(late), "Ada")
        assert.strictEqual(origin.loads, 2)
      }))

    onEvery(`not after an invalidation (${what})`, () =>
      Effect.gen(function*() {
        const { insert, origin, user } = missing(policy)
        const early = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(500)
        yield* insert
        yield* Cached.apply(over)
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
        assert.strictEqual(yield* Fiber.join(late), "Ada")
        assert.strictEqual(origin.loads, 2)
      }))

    onEvery(
      `a hundred make one call, though other things are invalidated all the time (${what})`,
      () =>
        Effect.gen(function*() {
          const { origin, user } = missing(policy)
          const readers = yield* beginAll(100, Cached.get(user, 1))
          for (let i = 0; i < 10; i++) {
            yield* TestClock.adjust(100)
            yield* Cached.apply(Invalidation.tags(`other ${i}`))
          }
          yield* settle
          for (const exit of yield* ends(readers)) assert.isTrue(Exit.isFailure(exit))
          assert.strictEqual(origin.loads, 1)
        })
    )

    onEvery(
      `a hundred who come after another invalidation share a call among them (${what})`,
      () =>
        Effect.gen(function*() {
          const { origin, user } = missing(policy)
          const early = yield* begin(Cached.get(user, 1))
          yield* Cached.apply(Invalidation.tags("other"))
          const late = yield* beginAll(100, Cached.get(user, 1))
          yield* TestClock.adjust(1000)
          yield* TestClock.adjust(1000)
          for (const exit of yield* ends([early, ...late])) assert.isTrue(Exit.isFailure(exit))
          // Where only a value could tell what it depends on, the first one might be void.
          assert.strictEqual(origin.loads, policy === ofValue ? 2 : 1)
        })
    )

    onEvery(`a hundred make one call under a fence that stands (${what})`, () =>
      Effect.gen(function*() {
        const { origin, user } = missing(policy)
        const writer = yield* begin(Cached.mutate(Effect.sleep("10 seconds"), over))
        const readers = yield* beginAll(100, Cached.get(user, 1))
        yield* TestClock.adjust(1000)
        for (const exit of yield* ends(readers)) assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(origin.loads, 1)
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.join(writer)
      }))
  }

  onEvery(
    "a hundred, where something is invalidated all the time, make no more than three and have the old value",
    () =>
      Effect.gen(function*() {
        const origin = new Origin<string, Down>("old")
        const user = Cached.make(
          "noisy",
          {
            key: Key.int("id"),
            value,
            lookup: () => origin.load
          },
          Policy.all(
            Policy.tagged({ fromValue: (name: string) => [`name:${name}`] }),
            Policy.ttl("10 seconds", { onErrorFor: "1 day" })
          )
        )
        yield* Cached.get(user, 1)
        yield* TestClock.adjust("1 minute")
        origin.ends = Effect.fail(new Down())
        origin.takes = 100
        const readers: Array<Fiber.Fiber<string, Down>> = []
        for (let i = 0; i < 100; i++) {
          readers.push(yield* begin(Cached.get(user, 1)))
          yield* Cached.apply(Invalidation.tags(`other ${i}`))
          yield* TestClock.adjust(1)
        }
        for (let i = 0; i < 40; i++) {
          yield* Cached.apply(Invalidation.tags(`more ${i}`))
          yield* TestClock.adjust(10)
        }
        for (const exit of yield* ends(readers)) assert.deepStrictEqual(exit, Exit.succeed("old"))
        assert.isAtMost(origin.loads, 4) // with the first one
      })
  )

  onEvery("a page that shows the failure does not keep it", () =>
    Effect.gen(function*() {
      const { insert, user } = missing(ofValue)
      let made = 0
      const page = Cached.make("page", {
        key: Key.int("id"),
        value,
        lookup: (id) =>
          Effect.suspend(() => {
            made++
            return Effect.catch(Cached.get(user, id), () => Effect.succeed("no such user"))
          })
      }, Policy.tagged("page"))
      const both = Invalidation.tags(["name:Ada", "page"])
      const writer = yield* begin(Cached.mutate(Effect.andThen(Effect.sleep(500), insert), both))
      const early = yield* begin(Cached.get(user, 1))
      yield* TestClock.adjust(500)
      yield* Fiber.join(writer)
      const late = yield* begin(Cached.get(page, 1))
      yield* TestClock.adjust(2000)
      yield* Fiber.await(early)
      assert.strictEqual(yield* Fiber.join(late), "Ada")
      assert.strictEqual(yield* Cached.get(page, 1), "Ada")
      assert.strictEqual(made, 1)
    }))

  // It has no place in JSON.
  const Odd = Schema.Struct({
    tag: Schema.String,
    odd: Schema.Any.check(Schema.makeFilter((odd) => odd === unwritable))
  })
  const unwritable = { toJSON: () => 1n }

  it.effect("a failure that is cached and cannot be written is asked for the tags that are found in it", () =>
    Effect.gen(function*() {
      const origin = new Origin<string, { readonly tag: string; readonly odd: unknown }>("right")
      origin.takes = 1000
      const cached = Cached.make("odd", {
        key: Key.unit,
        value,
        lookup: () =>
          Effect.suspend(() => {
            const answer = origin.value
            return Effect.andThen(
              origin.load,
              answer === "right" ? Effect.succeed(answer) : Effect.fail({ tag: "t", odd: unwritable })
            )
          }),
        failures: { error: Odd, policy: Policy.tagged({ fromValue: ({ tag }: typeof Odd.Type) => [tag] }) }
      }, Policy.forever)
      origin.value = "wrong"
      const early = yield* begin(Cached.get(cached, undefined))
      origin.value = "right"
      yield* Cached.apply(Invalidation.tags("t"))
      const late = yield* begin(Cached.get(cached, undefined))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), "right")
    }).pipe(Effect.provide(text)))

  it.effect("a tag function that throws is a load that failed", () =>
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = Cached.make(
        "throws",
        { key: Key.unit, value: Schema.Finite, lookup: () => origin.load },
        Policy.tagged({
          fromValue: (n: number) => {
            if (n === 0) throw new Error("no tag")
            return [`n:${n}`]
          }
        })
      )
      const early = yield* begin(Cached.get(cached, undefined))
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("any"))
      const late = yield* begin(Cached.get(cached, undefined))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), 1)
    }).pipe(Effect.provide(memory)))

  it.effect("where the store does not answer, with those who came early, or with all if nothing can be found late", () =>
    Effect.gen(function*() {
      for (
        const [policy, loads] of [[ofKey, 1], [ofValue, 2]] as const
      ) {
        const { origin, user } = missing(policy)
        yield* TestCache.fail("discard")
        const early = yield* beginAll(10, Cached.get(user, 1))
        yield* Cached.apply(Invalidation.tags("other"))
        const late = yield* begin(Cached.get(user, 1))
        yield* TestClock.adjust(2000)
        for (const exit of yield* ends([...early, late])) assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(origin.loads, loads)
        yield* TestCache.restore
      }
    }).pipe(Effect.provide(text)))

  it.effect("an invalidation that the store has not acknowledged counts as well", () =>
    Effect.gen(function*() {
      const { insert, origin, user } = missing(ofValue)
      const early = yield* begin(Cached.get(user, 1))
      yield* insert
      yield* TestCache.fail("invalidate")
      yield* Effect.flip(Cached.apply(Invalidation.tags("name:Ada")))
      const late = yield* begin(Cached.get(user, 1))
      yield* TestClock.adjust(2000)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(early)))
      assert.strictEqual(yield* Fiber.join(late), "Ada")
      assert.isAbove(origin.loads, 1)
    }).pipe(Effect.provide(text)))
})
