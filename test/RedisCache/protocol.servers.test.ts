/** Two releases of this library whose protocols differ: nothing is served, and nothing is invalidated as if it were. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { Redis } from "ioredis"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { protocol } from "../../src/internal/redis/agreement.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { both, keysUnder, lent, places, promise, start, until } from "../support/redisCache.ts"
import { freshPrefix, nodeUrl } from "../support/sharedRedis.ts"

const counting = () => {
  let loads = 0
  const cached = Cached.make("number", {
    key: Key.string("of"),
    value: Schema.Finite,
    lookup: () => Effect.sync(() => ++loads)
  }, Policy.tagged("numbers"))
  return { cached, loads: () => loads }
}

const hearing = () => {
  const told: Array<string> = []
  const logger = Logger.make(({ message }) => void told.push(String(message)))
  return { told, layer: Logger.layer([logger]) }
}

const aboutProtocol = (told: ReadonlyArray<string>) => told.filter((line) => /by protocol "2"/.test(line))

/** What ends the stores of another protocol may do; each fails with what was found. */
const refusals = (cached: ReturnType<typeof counting>["cached"]) => [
  Cached.invalidate(cached, "a"),
  Cached.apply(Invalidation.tags("numbers")),
  Cached.apply(Cached.pattern(cached)),
  Cached.mutate(Effect.void, Invalidation.tags("numbers"))
]

describe.each([...both])("a store of another protocol, on $name", (way) => {
  it.live("is not used: reads load, invalidations fail, and the log says once what to do", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* way.look
      const at = places(prefix)
      yield* promise(() => client.set(at.protocol, "2"))
      const { layer, told } = hearing()
      const one = yield* start(Layer.provide(way.layer({ prefix }), layer))
      assert.lengthOf(aboutProtocol(told), 1, "when the layer is made")
      assert.match(told.join("\n"), new RegExp(`this release speaks ${protocol}.*docs/deploying.md`))
      const { cached, loads } = counting()
      for (let read = 1; read <= 3; read++) assert.strictEqual(yield* one.run(Cached.get(cached, "a")), read)
      for (const refused of refusals(cached)) {
        const error = yield* one.run(Effect.flip<unknown, unknown, unknown>(refused) as Effect.Effect<unknown>)
        assert.instanceOf(error, CacheService.InvalidationError)
        assert.deepStrictEqual(error.reason, { _tag: "Incompatible", found: "2", spoken: protocol })
        assert.isFalse(error.mayHaveHappened)
      }
      assert.lengthOf(aboutProtocol(told), 1)
      // Nothing of it is there: only what the look at the start may have left, and the number.
      assert.deepStrictEqual(
        (yield* keysUnder(client, prefix)).filter((name) => !name.startsWith(`${prefix}:p:`)),
        [at.protocol]
      )
      // The other release is gone, and its data.
      yield* promise(() => client.del(at.protocol))
      yield* until("it is used", async () => {
        const before = loads()
        await Effect.runPromise(one.run(Cached.get(cached, "a")))
        return loads() === before
      })
      assert.strictEqual(yield* promise(() => client.get(at.protocol)), protocol)
    }))

  it.live("is found where there is none: the number is written, and one that is no text is garbage", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* way.look
      const at = places(prefix)
      yield* promise(() => client.rpush(at.protocol, "2"))
      const { cached } = counting()
      for (let times = 0; times < 2; times++) {
        const one = yield* start(way.layer({ prefix }))
        yield* one.run(Cached.get(cached, "a"))
        assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 1)
        assert.strictEqual(yield* promise(() => client.get(at.protocol)), protocol)
        assert.strictEqual(yield* promise(() => client.pttl(at.protocol)), -1)
      }
    }))
})

describe("a connection that was made again", () => {
  it.live("may have met a store of another protocol, and is asked", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = new Redis(nodeUrl())
      const { layer, told } = hearing()
      const one = yield* start(Layer.provide(lent(() => client)({ prefix }), layer))
      const at = places(prefix)
      const { cached, loads } = counting()
      const get = Effect.provide(one.run(Cached.get(cached, "a")), layer)
      const reconnect = Effect.gen(function*() {
        client.disconnect(true)
        yield* until("it is connected", async () => client.status === "ready" && (await client.ping()) === "PONG")
      })
      yield* get
      assert.strictEqual(yield* get, 1)
      // Unnoticed by a connection that stands: a hit asks for nothing more.
      yield* promise(() => client.set(at.protocol, "2"))
      assert.strictEqual(yield* get, 1)
      yield* reconnect
      assert.strictEqual(yield* get, 2)
      assert.strictEqual(yield* get, 3)
      assert.lengthOf(aboutProtocol(told), 1)
      yield* promise(() => client.set(at.protocol, protocol))
      yield* reconnect
      yield* until("it is used again", async () => {
        const before = loads()
        await Effect.runPromise(get)
        return loads() === before
      })
    }))
})
