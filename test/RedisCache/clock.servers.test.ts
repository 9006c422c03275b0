/** A server whose clock is set back under the processes that read from it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Cached from "../../src/Cached.ts"
import type * as Transport from "../../src/internal/redis/transport.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { serviceOn } from "../support/port.ts"
import { oneNode, places, storeOf } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const hour = 3_600_000

/** A server whose answers tell its time, and one that is wrong by what a test says. */
class Server {
  wrongBy = hour
  readonly prefix = freshPrefix()

  /** A process of its own. */
  readonly process = Effect.suspend(() =>
    Layer.build(Layer.fresh(serviceOn(storeOf(this.prefix, false, (transport) => ({
      ...transport,
      run: this.telling(transport.run),
      runAcknowledged: this.telling(transport.runAcknowledged)
    })))))
  )

  private telling(send: Transport.Transport["run"]): Transport.Transport["run"] {
    return (...request) =>
      Effect.map(send(...request), ([now, ...rest]) => [String(Number(now) + this.wrongBy), ...rest])
  }

  /** The clock is right again, so what is stored lasts for an hour more: the server ends it by its clock. */
  readonly setBack = Effect.flatMap(oneNode.look, (client) => {
    this.wrongBy = 0
    return Effect.promise(async () => {
      const entry = places(this.prefix).entry("counted:a")
      await client.persist(entry)
      assert.strictEqual(await client.exists(entry), 1)
    })
  })
}

const counted = (lifetime: "300 millis" | "1 hour") => {
  const origin = { loads: 0 }
  const cached = Cached.make("counted", {
    key: Key.string("id"),
    value: Schema.Finite,
    lookup: () => Effect.sync(() => ++origin.loads)
  }, Policy.or(Policy.ttl(lifetime), Policy.and(Policy.ttl(lifetime), Policy.tagged("t"))))
  return { origin, get: Cached.get(cached, "a"), cached }
}

describe("a server's clock that is set back by an hour", () => {
  it.live("makes nothing younger for a process that knew the time before, and caching goes on", () =>
    Effect.gen(function*() {
      const server = new Server()
      const process = yield* server.process
      const { get, origin } = counted("300 millis")
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* get, 1)
        yield* server.setBack
        // Any script of this process tells it the time.
        yield* Cached.invalidate(counted("1 hour").cached, "another")
        yield* Effect.sleep(310)
        assert.strictEqual(yield* get, 2)
      }).pipe(Effect.provide(process))
      const long = counted("1 hour")
      yield* Effect.gen(function*() {
        yield* Cached.invalidate(long.cached, "a")
        yield* long.get
        yield* long.get
        assert.strictEqual(long.origin.loads, 1)
      }).pipe(Effect.provide(process))
      assert.strictEqual(origin.loads, 2)
    }))

  it.live("leaves what processes from before and from afterwards store good for both", () =>
    Effect.gen(function*() {
      const server = new Server()
      const { cached, get, origin } = counted("300 millis")
      const before = yield* server.process
      yield* Effect.provide(get, before)
      server.wrongBy = 0
      const after = yield* server.process
      // It seems to be an hour old to the other, whose value is good for both.
      yield* Effect.provide(Cached.invalidate(cached, "a"), after)
      assert.strictEqual(yield* Effect.provide(get, after), 2)
      assert.strictEqual(yield* Effect.provide(get, before), 3)
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(yield* Effect.provide(get, after), 3)
        assert.strictEqual(yield* Effect.provide(get, before), 3)
      }
      const { age } = yield* Effect.provide(Cached.getEntry(cached, "a"), after)
      assert.isBelow(age, 300)
      yield* Effect.sleep(310)
      assert.strictEqual(yield* Effect.provide(get, after), 4)
      assert.strictEqual(origin.loads, 4)
    }))

  it.live("makes nothing younger for a process that starts afterwards", () =>
    Effect.gen(function*() {
      const server = new Server()
      const { cached, get, origin } = counted("300 millis")
      yield* Effect.provide(get, yield* server.process)
      yield* server.setBack
      const later = yield* server.process
      yield* Effect.gen(function*() {
        const why = String(yield* Cached.explain(cached, "a"))
        assert.match(why, /is Dead: .*a clock was set back/)
        assert.strictEqual(yield* get, 2)
        assert.strictEqual(yield* get, 2)
      }).pipe(Effect.provide(later))
      assert.strictEqual(origin.loads, 2)
    }))
})
