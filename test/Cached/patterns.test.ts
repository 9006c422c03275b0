import { assert, describe, test } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { onEach } from "../support/cached.ts"
import { refusal } from "../support/policies.ts"

const texts = { value: Schema.String, lookup: () => Effect.succeed("loaded") }
const user = Key.int("userId")
const settings = Cached.make("settings", { key: Key.struct({ userId: user }), ...texts }, Policy.forever)
const orders = Cached.make(
  "orders",
  { key: Key.struct({ page: Key.int("page"), userId: user }), ...texts },
  Policy.forever
)
const friends = Cached.make(
  "friends",
  { key: Key.struct({ userId: user, of: Key.tuple(Key.int("x"), Key.int("y")) }), ...texts },
  Policy.forever
)

const isThere = <K, V, E, R>(cached: Cached.Cached<K, V, E, R>, key: K) =>
  Effect.map(Cached.getOption(cached, key), Option.isSome)

describe("patterns", () => {
  onEach(
    "end everything of one user in all of the definitions, and nothing else",
    Effect.gen(function*() {
      for (const userId of [5, 6, 55]) {
        yield* Cached.get(settings, { userId })
        yield* Cached.get(orders, { userId, page: 5 })
        yield* Cached.get(friends, { userId, of: [5, 5] })
      }
      yield* Cached.apply(Cached.pattern([settings, orders], { userId: 5 }))
      const left = yield* Effect.forEach([5, 6, 55], (userId) =>
        Effect.all([
          isThere(settings, { userId }),
          isThere(orders, { userId, page: 5 }),
          isThere(friends, { userId, of: [5, 5] })
        ]))
      assert.deepStrictEqual(left, [[false, false, true], [true, true, true], [true, true, true]])
    })
  )

  onEach(
    "of a fragment end all of its variants, or some, and no other fragment of the same definition name",
    Effect.gen(function*() {
      const varyOn = Key.struct({ userId: user, language: Key.literals("language", ["en", "it"]) })
      const sidebar = Cached.make("fragment", { key: Key.fragment("sidebar", varyOn), ...texts }, Policy.forever)
      const footer = Cached.make("fragment", { key: Key.fragment("footer", varyOn), ...texts }, Policy.forever)
      const all = ([5, 6] as const).flatMap((userId) =>
        (["en", "it"] as const).map((language) => ({ userId, language }))
      )
      const left = Effect.forEach(all, (key) => isThere(sidebar, key))
      yield* Effect.forEach(all, (key) => Effect.andThen(Cached.get(sidebar, key), Cached.get(footer, key)))
      yield* Cached.apply(Cached.pattern(sidebar, { language: "it" }))
      assert.deepStrictEqual(yield* left, [true, false, true, false])
      yield* Cached.apply(Cached.pattern(sidebar))
      assert.deepStrictEqual(yield* left, [false, false, false, false])
      assert.deepStrictEqual(yield* Effect.forEach(all, (key) => isThere(footer, key)), [true, true, true, true])
    })
  )

  test("are one invalidation of the patterns of each", () => {
    assert.strictEqual(
      Cached.pattern([settings, orders, friends], { userId: 5 }).toString(),
      "keys friends:5:*:*, keys orders:*:5, keys settings:5"
    )
    assert.strictEqual(Cached.pattern([settings, orders], {}).toString(), "keys orders:*:*, keys settings:*")
    assert.strictEqual(Cached.pattern([friends], { of: [1, 2] }).toString(), "keys friends:*:1:2")
    assert.strictEqual(Cached.pattern([], {}).toString(), "nothing")
  })

  test("refuse what would leave a pattern wider than it says", () => {
    // What the compiler refuses may still come from an untyped caller.
    const untyped = Cached.pattern as unknown as (all: ReadonlyArray<unknown>, fixed: object) => unknown
    const error = refusal(() => untyped([settings, orders], { userId: 5, page: 1 }))
    assert.strictEqual(error.reason, "UnknownField")
    assert.include(error.message, "the key of \"settings\" has no field \"page\"")
    assert.strictEqual(refusal(() => untyped([settings], { userid: 5 })).reason, "UnknownField")
    assert.strictEqual(refusal(() => untyped([settings], { userId: undefined })).reason, "InvalidKeyPart")
  })
})
