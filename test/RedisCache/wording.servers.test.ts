/**
 * Errors of scripts in the words of Redis 6.2, which a proxy puts in the place of those of the server: they are
 * understood as those of version 7 are.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { as6, type Proxy, type Server, type ServerOptions, startProxy, startServer } from "../support/redis.ts"
import { Origin, promise, start, until } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const server = (options: ServerOptions = {}): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startServer(options)), (one) => promise(() => one.stop()))

const proxyTo = (target: Server): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startProxy(target, as6)), (one) => promise(() => one.stop()))

const numbers = (origin: Origin) =>
  Cached.make(
    "number",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(Policy.tagged("known"), Policy.ttl("1 hour"))
  )

const linked = (replica: Server) =>
  until("it follows", async () => /master_link_status:up/.test(String(await replica.send("INFO", "replication"))))

describe("in the words of 6.2", () => {
  it.live("a primary that became a replica is left, and invalidations reach the new one", () =>
    Effect.gen(function*() {
      const before = yield* server()
      const after = yield* server({ config: { replicaof: `${before.host} ${before.port}` } })
      yield* linked(after)
      const proxy = yield* proxyTo(before)
      const prefix = freshPrefix()
      const one = yield* start(RedisCache.layer({ url: proxy.url, prefix, timeLimit: "2 seconds" }))
      const origin = new Origin()
      const cached = numbers(origin)
      yield* one.run(Cached.get(cached, "a"))
      yield* promise(() => after.send("REPLICAOF", "NO", "ONE"))
      yield* promise(() => before.send("REPLICAOF", after.host, after.port))
      yield* linked(before)
      proxy.lead(after)
      origin.version++
      // Each attempt tries for some 600 ms.
      yield* one.run(Cached.apply(Invalidation.tags("known"))).pipe(Effect.retry({ times: 2 }))
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 1)
    }))

  it.live("what a full server refused has not happened", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const proxy = yield* proxyTo(node)
      const store = yield* RedisCache.makeStore({ url: proxy.url, prefix: freshPrefix() })
      // Less than it needs when it is empty.
      yield* promise(() => node.send("CONFIG", "SET", "maxmemory", "1kb"))
      const address = { key: "number:a", known: [] }
      const error = yield* Effect.flip(
        store.begin(address, { token: "t1", seen: undefined, drop: false, force: false, leaseFor: 1_000 })
      )
      assert.match(String(error.cause), /OOM/)
      assert.isFalse(error.mayHaveHappened)
    }))
})
