import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { begin, isRunning, numbers, onEach, Origin, readsAt, settle } from "../support/cached.ts"

describe("xfetch", () => {
  /** Loads that take a second, read every 50 ms from the first on. */
  const history = (seed: string) =>
    Effect.gen(function*() {
      yield* Cached.apply(Invalidation.everything)
      yield* TestClock.setTime(0)
      const origin = new Origin(0)
      origin.takes = "1 second"
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch({ beta: 1 })))
      const first = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      const refreshes: Array<number> = []
      let waited = 0
      for (let at = 1000; at < 25_000; at += 50) {
        const before = origin.loads
        const fiber = yield* begin(Cached.get(cached, "a"))
        if (isRunning(fiber)) waited++
        if (origin.loads > before) refreshes.push(at)
        yield* TestClock.adjust(50)
      }
      return { refreshes, waited }
    }).pipe(Random.withSeed(seed))

  onEach(
    "an entry is refreshed before its end, and nobody waits",
    Effect.gen(function*() {
      const { refreshes, waited } = yield* history("one")
      assert.isTrue(refreshes.length >= 2, String(refreshes))
      assert.strictEqual(waited, 0)
      // A refresh takes a second, and the entry lives ten from then on.
      let stored = 1000
      for (const at of refreshes) {
        assert.isTrue(at > stored && at < stored + 10_000, `a refresh at ${at} of what was stored at ${stored}`)
        stored = at + 1000
      }
    })
  )

  onEach(
    "one seed gives one history, another gives another",
    Effect.gen(function*() {
      const [once, again, other] = [yield* history("one"), yield* history("one"), yield* history("two")]
      assert.deepStrictEqual(again, once)
      assert.notDeepEqual(other, once)
    })
  )

  onEach(
    "past the end of freshness it is a plain miss",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch()))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual((yield* Cached.stats(cached)).misses, 2)
    })
  )

  onEach(
    "a load that took no time is not refreshed early",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds"), Policy.xfetch({ beta: 1000 })))
      yield* readsAt(cached, origin, [...Array.from({ length: 100 }, (_, i) => i * 100), 9_999])
      assert.strictEqual(origin.loads, 1)
    })
  )

  onEach(
    "one slow load is remembered: the estimate of how long loads take falls off slowly",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.all(Policy.ttl("10 seconds", { stale: "1 hour" }), Policy.xfetch()))
      const durations: Array<number> = []
      for (const takes of [4000, 0, 0, 8000, 6000]) {
        origin.takes = takes
        yield* begin(Cached.get(cached, "a"))
        yield* TestClock.adjust(takes)
        yield* settle
        durations.push((yield* TestCache.entries)[0]!.stamp.duration)
        yield* TestClock.adjust("10 seconds")
      }
      assert.deepStrictEqual(durations, [4000, 2000, 1000, 8000, 7000])
    })
  )
})
