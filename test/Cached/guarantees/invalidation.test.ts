/** Guarantees of docs/consistency.md, each with its sentence and tests that try to break it in this process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import * as Cached from "../../../src/Cached.ts"
import type * as CacheService from "../../../src/CacheService.ts"
import * as Entity from "../../../src/Entity.ts"
import * as Invalidation from "../../../src/Invalidation.ts"
import * as Key from "../../../src/Key.ts"
import * as Policy from "../../../src/Policy.ts"
import * as TestCache from "../../../src/TestCache.ts"
import {
  alien,
  assertQuiet,
  begin,
  beginAll,
  ends,
  Film,
  numbers,
  onEach,
  onText,
  Origin,
  settle
} from "../../support/cached.ts"
import { noHistoryBreaksIt, twoProcesses } from "./support.ts"

describe("G1. Read your invalidation, everywhere: after it has returned, no read that starts later returns a load that began before it and that it covers", () => {
  noHistoryBreaksIt({ writes: ["key"] })
  noHistoryBreaksIt({ writes: ["known"] })
  noHistoryBreaksIt({ writes: ["found"] })
  noHistoryBreaksIt({ writes: ["key", "known", "found", "pattern", "everything"] })

  it.effect("in another process on the same store too, whatever is in flight there", () =>
    Effect.gen(function*() {
      const { here, there } = yield* twoProcesses
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      const early = yield* begin(there(Cached.get(cached, "a")))
      origin.value = 1
      yield* here(Cached.apply(Invalidation.tags("value:0")))
      const late = yield* begin(there(Cached.get(cached, "a")))
      yield* TestClock.adjust(3000)
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Fiber.join(late), 1)
      assert.strictEqual(yield* here(Cached.get(cached, "a")), 1)
    }))

  onEach(
    "softly: what was loaded before is not served as fresh",
    Effect.gen(function*() {
      for (const batch of [Invalidation.tags("value:0"), Invalidation.keys("number:a"), Invalidation.everything]) {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
        yield* Cached.apply(Invalidation.everything)
        origin.takes = 1000
        const early = yield* begin(Cached.get(cached, "a"))
        origin.value = 1
        yield* Cached.apply(Invalidation.soft(batch))
        yield* TestClock.adjust(1000)
        yield* Fiber.join(early)
        const { hits } = yield* Cached.stats(cached)
        yield* begin(Cached.get(cached, "a"))
        assert.strictEqual((yield* Cached.stats(cached)).hits, hits)
        yield* TestClock.adjust(1000)
        yield* settle
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      }
    })
  )

  onText(
    "an invalidation that is slow counts from when it has returned",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestCache.delay("invalidate", 500, 1)
      const invalidation = yield* begin(Cached.invalidate(cached, "a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* TestClock.adjust(500)
      yield* Fiber.join(invalidation)
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )
})

describe("G2. No resurrection: once a read or an invalidation has found an entry dead, no later read returns it", () => {
  const flipping = Effect.sync(() => {
    const origin = new Origin(0)
    const state = { version: 1 }
    return { origin, state, cached: numbers(origin, Policy.versioned(() => state.version)) }
  })
  const finders: Record<
    string,
    (cached: Cached.Cached<string, number>) => Effect.Effect<unknown, unknown, CacheService.CacheService>
  > = {
    "get": (cached) => Cached.get(cached, "a"),
    "getOption": (cached) => Cached.getOption(cached, "a"),
    "a get that fails": (cached) => Effect.exit(Cached.get(cached, "a"))
  }
  for (const [how, find] of Object.entries(finders)) {
    onEach(
      `a version that comes back does not bring back what ${how} found dead`,
      Effect.gen(function*() {
        const { cached, origin, state } = yield* flipping
        yield* Cached.get(cached, "a")
        origin.value = 1
        state.version = 2
        if (how === "a get that fails") origin.ends = Effect.die("boom") as never
        yield* find(cached)
        origin.ends = Effect.void
        state.version = 1
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a clock that is set back does not make an entry younger",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.ttl("10 seconds"))
      yield* TestClock.setTime(100_000)
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.setTime(110_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      yield* TestClock.setTime(105_000)
      assert.deepStrictEqual(yield* Cached.getOption(cached, "a"), Option.none())
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a load that began before the invalidation stores nothing afterwards, however late it ends",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      origin.takes = 10_000
      const early = yield* begin(Cached.get(cached, "a"))
      for (let i = 1; i <= 3; i++) { // each invalidation is followed by a read that fills the key again
        origin.value = i
        origin.takes = 0
        yield* Cached.apply(i === 2 ? Cached.invalidation(cached, ["a"]) : Invalidation.tags("t"))
        assert.strictEqual(yield* Cached.get(cached, "a"), i)
      }
      yield* TestClock.adjust(10_000)
      assert.strictEqual(yield* Fiber.join(early), 0)
      assert.strictEqual(yield* Cached.get(cached, "a"), 3)
      assert.strictEqual(origin.loads, 4)
    })
  )
})

describe("G3. No late joiners: a read never joins a load that an invalidation, returned before the read started, covers", () => {
  const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
  const policy = Policy.all(
    Policy.tagged<number, Film>("films"),
    Policy.tagged((id: number) => [`film:${id}`]),
    Policy.tagged({ fromValue: (film: Film) => [`genre:${film.genre}`] }),
    Policy.conditional(Films, { fields: ["title"] })
  )
  const covering: Record<string, Invalidation.Invalidation> = {
    "a constant tag": Invalidation.tags("films"),
    "a tag of the key": Invalidation.tags("film:7"),
    "a tag of the value": Invalidation.tags("genre:horror"),
    "the key": Invalidation.keys("film:7"),
    "a change": Invalidation.changes(Films.updated(alien, { ...alien, title: "Aliens" })),
    "everything": Invalidation.everything
  }
  for (const [what, batch] of Object.entries(covering)) {
    onEach(
      `after an invalidation of ${what}, a hundred readers share a load of their own`,
      Effect.gen(function*() {
        const origin = new Origin(alien)
        origin.takes = 1000
        const cached = Cached.make("film", { key: Key.int("id"), value: Film, lookup: () => origin.load }, policy)
        const early = yield* beginAll(100, Cached.get(cached, 7))
        yield* TestClock.adjust(500)
        origin.value = { ...alien, title: "Aliens" }
        yield* Cached.apply(batch)
        const late = yield* beginAll(100, Cached.get(cached, 7))
        yield* TestClock.adjust(3000)
        for (const exit of yield* ends(late)) assert.isTrue(Exit.isSuccess(exit) && exit.value.title === "Aliens")
        for (const exit of yield* ends(early)) assert.isTrue(Exit.isSuccess(exit))
        assert.strictEqual(origin.loads, 2)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "those who joined a load that is refused look again",
    Effect.gen(function*() {
      const origin = new Origin(0)
      origin.takes = 1000
      const cached = numbers(origin, Policy.tagged({ fromValue: (value: number) => [`value:${value}`] }))
      const first = yield* begin(Cached.get(cached, "a"))
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("value:0"))
      // Nobody can know yet that this load is void: its tag is found in its value.
      const joined = yield* begin(Cached.get(cached, "a"))
      assert.strictEqual(origin.loads, 1)
      yield* TestClock.adjust(2000)
      assert.strictEqual(yield* Fiber.join(first), 0)
      assert.strictEqual(yield* Fiber.join(joined), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )
})
