import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { assertQuiet, begin, defectOf, Down, errorOf, numbers, onEach, Origin } from "../support/cached.ts"

describe("versions", () => {
  onEach(
    "a constant: an entry of another version is dead",
    Effect.gen(function*() {
      const origin = new Origin(0)
      yield* Cached.get(numbers(origin, Policy.versioned("1")), "a")
      yield* Cached.get(numbers(origin, Policy.versioned("1")), "a")
      assert.strictEqual(origin.loads, 1)
      yield* Cached.get(numbers(origin, Policy.versioned("2")), "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a function of the key: asked at every read, compared with what was current before the load",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const versions: Record<string, number> = { a: 1, b: 1 }
      const cached = numbers(origin, Policy.versioned((key: string) => versions[key]!))
      const reads = Effect.andThen(Cached.get(cached, "a"), Cached.get(cached, "b"))
      yield* reads
      yield* reads
      assert.strictEqual(origin.loads, 2)
      versions["a"] = 2
      yield* reads
      yield* reads
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "an effect: its typed error is the read's, and poisons nothing",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const state: { version: number; down: boolean } = { version: 1, down: true }
      const version = (_: string) => state.down ? Effect.fail(new Down()) : Effect.succeed(state.version)
      const cached = numbers2(origin, Policy.versioned(version))
      assert.instanceOf(yield* errorOf(Cached.get(cached, "a")), Down)
      assert.strictEqual(origin.loads, 0)
      yield* assertQuiet
      state.down = false
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      state.down = true
      assert.instanceOf(yield* errorOf(Cached.get(cached, "a")), Down)
      state.down = false
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      yield* assertQuiet
    })
  )

  const numbers2 = <E, R>(origin: Origin<number>, policy: Policy.Policy<string, number, E, R>) =>
    Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

  onEach(
    "an effect: may need services, which the read then needs",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const ref = yield* Ref.make(1)
      const cached = numbers2(
        origin,
        Policy.versioned((_: string) => Random.nextInt.pipe(Effect.andThen(Ref.get(ref))))
      )
      yield* Cached.get(cached, "a")
      yield* Ref.set(ref, 2)
      yield* Cached.get(cached, "a")
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a version that is none is a defect of that read",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.versioned((_: string) => Number.NaN))
      const defect = yield* defectOf(Cached.get(cached, "a"))
      assert.isTrue(defect instanceof InvalidInput.InvalidInput && defect.reason === "InvalidVersion")
      yield* assertQuiet
    })
  )

  onEach(
    "a version function that throws is a defect of that read",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const boom = new Error("boom")
      const cached = numbers(
        origin,
        Policy.versioned((_: string): number => {
          throw boom
        })
      )
      assert.strictEqual(yield* defectOf(Cached.get(cached, "a")), boom)
      yield* assertQuiet
    })
  )

  onEach(
    "atLeast: an entry is good while its version is not below the current one",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let updated = new Date(5)
      const cached = numbers(origin, Policy.versioned((_: string) => updated, { atLeast: true }))
      yield* Cached.get(cached, "a")
      updated = new Date(4) // a replica that lags
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 1)
      updated = new Date(6)
      yield* Cached.get(cached, "a")
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a version that changes during a load makes the loaded entry dead",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let version = 1
      const cached = numbers(origin, Policy.versioned((_: string) => version))
      origin.takes = "1 second"
      const reader = yield* begin(Cached.get(cached, "a"))
      version = 2
      origin.value = 1
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(reader), 0)
      origin.takes = 0
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "a read under a newer version is not given a load that began under the older",
    Effect.gen(function*() {
      const origin = new Origin(0)
      let version = 1
      const cached = numbers(origin, Policy.versioned((_: string) => version))
      origin.takes = "1 second"
      const early = yield* begin(Cached.get(cached, "a"))
      version = 2
      origin.value = 1
      const late = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Fiber.join(late), 1)
      yield* assertQuiet
    })
  )
})
