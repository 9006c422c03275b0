/**
 * The relay, on an outbox in memory that can be disturbed. `SqlOutbox.test.ts` has those on Postgres.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Outbox from "../../src/Outbox.ts"
import { begin, memory } from "../support/cached.ts"

const messages = ["1", "2"].map((id) => ({
  id,
  text: Schema.encodeSync(Outbox.FromString)({ changes: [], invalidation: Invalidation.tags(id) })
}))

/** Gives the same two messages at each claim, and notes what is given back. */
const makeOutbox = (instead: Partial<Outbox.Outbox>) => {
  const released: Array<string> = []
  const outbox: Outbox.Outbox = {
    append: () => Effect.succeed("1"),
    remove: () => Effect.void,
    claim: () => Effect.succeed(messages),
    release: (ids) => Effect.sync(() => void released.push(...ids)),
    ...instead
  }
  return { outbox, released }
}

describe("a relay", () => {
  it.effect("gives nothing back after its lease, when it may be another's", () =>
    Effect.gen(function*() {
      const { outbox, released } = makeOutbox({ remove: () => Effect.sleep("2 seconds") })
      const relay = Outbox.relay({ lease: "1 second" }).pipe(Effect.provideService(Outbox.Outbox, outbox))
      const fiber = yield* begin(relay)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 1)
      assert.deepStrictEqual(released, [])
    }).pipe(Effect.provide(memory)))

  it.effect("goes on after it has died: a transaction dies that cannot be rolled back", () =>
    Effect.gen(function*() {
      let claims = 0
      const claimed = yield* Deferred.make<void>()
      const { outbox } = makeOutbox({
        claim: () =>
          Effect.suspend(() =>
            ++claims === 1
              ? Effect.die(new Error("no connection"))
              : Effect.as(Deferred.succeed(claimed, undefined), [])
          )
      })
      yield* Effect.gen(function*() {
        yield* TestClock.adjust("1 minute")
        assert.isTrue(yield* Deferred.isDone(claimed), "it claimed no more")
      }).pipe(Effect.provide(Outbox.layerRelay()), Effect.provideService(Outbox.Outbox, outbox))
    }).pipe(Effect.provide(memory)))
})
