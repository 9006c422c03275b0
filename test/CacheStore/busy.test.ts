import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as CacheStore from "../../src/CacheStore.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import { forked, reasonOf } from "../CacheService/support.ts"
import { at } from "../support/port.ts"

/** Keeps this process from doing anything else. */
const block = (millis: number): void => {
  const end = performance.now() + millis
  while (performance.now() < end);
}

describe("a process that is busy", () => {
  it.live("takes its own time for its own: an answer that lies there is no time-out", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      // The answer is there at once, and this process does not look for longer than the limit. Then its timers come first.
      const read = () =>
        Effect.callback<undefined>((resume) => {
          setImmediate(() => {
            block(120)
            setImmediate(() => resume(Effect.undefined))
          })
        })
      const guarded = CacheStore.guard({ ...memory, read }, { readLimit: 60, failures: 1 })
      assert.strictEqual(yield* reasonOf(guarded.read(at("a"))), "fine")
    }))

  it.live("takes no time of its own for the store's: what was not sent yet has its whole limit", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      // Sent only when this process has time for it, and answered well within the limit then.
      const read = () => Effect.as(Effect.sleep(60), undefined)
      const guarded = CacheStore.guard({ ...memory, read }, { readLimit: 200, failures: 1 })
      const sent = () => Effect.andThen(Effect.promise(() => new Promise<void>(setImmediate)), read())
      const asked = yield* forked(
        reasonOf(CacheStore.guard({ ...memory, read: sent }, { readLimit: 200 }).read(at("a")))
      )
      block(300)
      // Begun while it was busy.
      const late = yield* forked(reasonOf(guarded.read(at("a"))))
      block(300)
      assert.deepStrictEqual([yield* Fiber.join(asked), yield* Fiber.join(late)], ["fine", "fine"])
    }))

  it.live("takes no silence for an answer", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const guarded = CacheStore.guard({ ...memory, read: () => Effect.never }, { readLimit: 60 })
      const fiber = yield* forked(reasonOf(guarded.read(at("a"))))
      block(120)
      const exit = yield* Effect.timeoutOption(Fiber.await(fiber), "1 second")
      assert.isTrue(exit._tag === "Some" && Exit.isSuccess(exit.value) && exit.value.value === "Timeout")
    }))
})
