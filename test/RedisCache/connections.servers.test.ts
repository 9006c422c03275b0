/**
 * Connections that are not what they seem: over which nothing comes any more, behind which the server has become
 * another, or on which something waits. Each test has servers of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Redis } from "ioredis"
import * as Cached from "../../src/Cached.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import {
  type Proxy,
  type Seen,
  type Server,
  type ServerOptions,
  startCluster,
  startProxy,
  startServer,
  type Target
} from "../support/redis.ts"
import { lookAt, Origin, type Process, promise, start, until } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const server = (options: ServerOptions = {}): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startServer(options)), (one) => promise(() => one.stop()))

const proxyTo = (target: Target): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startProxy(target)), (one) => promise(() => one.stop()))

const lentTo = (url: string): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.tap(
    Effect.acquireRelease(
      Effect.sync(() => new Redis(url, { lazyConnect: true, enableOfflineQueue: false })),
      (client) => Effect.sync(() => client.disconnect())
    ),
    (client) => promise(() => client.connect())
  )

const numbers = (origin: Origin) =>
  Cached.make(
    "number",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(Policy.tagged("known"), Policy.ttl("1 hour"))
  )

type Numbers = ReturnType<typeof numbers>

/** Reads until a read needs no load. */
const hits = (process: Process, cached: Numbers, origin: Origin, key = "a") =>
  until("a read is a hit", async () => {
    const { loads } = origin
    await Effect.runPromise(process.run(Cached.get(cached, key)))
    return origin.loads === loads
  })

const isSubscribed = ({ asked }: Seen): boolean => asked.has("subscribe")
const reads = ({ asked }: Seen): boolean => asked.has("mget")
const writes = ({ asked }: Seen): boolean => asked.has("evalsha") || asked.has("eval")

const connectionsOf = (proxy: Proxy, which: (connection: Seen) => boolean): ReadonlyArray<Seen> => {
  const found: Array<Seen> = []
  proxy.swallow((connection) => {
    if (which(connection)) found.push(connection)
    return false
  })
  return found
}

/** Reads until they go by a connection of their own. */
const readsApart = (proxy: Proxy, process: Process, cached: Numbers) =>
  until("reads have a connection of their own", async () => {
    await Effect.runPromise(process.run(Cached.get(cached, "a")))
    return connectionsOf(proxy, (one) => reads(one) && !writes(one)).length > 0
  })

/** What is announced to a process from now on. */
const listenTo = ({ service }: Process) =>
  Effect.gen(function*() {
    const heard: Array<CacheStore.Announcement["_tag"]> = []
    yield* Effect.forkScoped(
      Stream.runForEach(service.store.announcements, ({ _tag }) => Effect.sync(() => heard.push(_tag))),
      { startImmediately: true }
    )
    return heard
  })

const quick = { timeLimit: "200 millis", readLimit: "200 millis", failures: 3, openFor: "100 millis" } as const

/** The same, where no read is to be lost on a machine that is busy. */
const quickWrites = { ...quick, readLimit: "2 seconds" } as const

describe("a connection over which nothing comes any more", () => {
  for (const whose of ["ours", "lent"]) {
    it.live(`is replaced by one that is answered: ${whose}`, () =>
      Effect.gen(function*() {
        const node = yield* server()
        const proxy = yield* proxyTo(node)
        const client = whose === "ours" ? undefined : yield* lentTo(proxy.url)
        const one = yield* start(
          RedisCache.layer({ ...(client === undefined ? { url: proxy.url } : { client }), ...quick })
        )
        const origin = new Origin()
        const cached = numbers(origin)
        yield* hits(one, cached, origin)
        yield* readsApart(proxy, one, cached)
        proxy.swallow()
        yield* hits(one, cached, origin)
        yield* until(
          "an invalidation succeeds",
          () => Effect.runPromise(Effect.exit(one.run(Cached.invalidate(cached, "a")))).then(Exit.isSuccess)
        )
      }))

    it.live(`is replaced where it listens, and a gap is announced: ${whose}`, () =>
      Effect.gen(function*() {
        const node = yield* server()
        const proxy = yield* proxyTo(node)
        const client = whose === "ours" ? undefined : yield* lentTo(proxy.url)
        const one = yield* start(
          RedisCache.layer({ ...(client === undefined ? { url: proxy.url } : { client }), ...quick })
        )
        const heard = yield* listenTo(one)
        proxy.swallow(isSubscribed)
        yield* until("a gap is announced", () => heard.includes("Gap"), 10_000)
      }))
  }

  it.live("stays where the server is frozen, which is not stormed, and is used when it goes on", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const proxy = yield* proxyTo(node)
      const one = yield* start(RedisCache.layer({ url: proxy.url, ...quick }))
      const origin = new Origin()
      const cached = numbers(origin)
      yield* readsApart(proxy, one, cached)
      const before = proxy.made()
      node.freeze()
      yield* Effect.sleep("3 seconds")
      // Those that read and write are tried after 3, 4, 6, 10 limits; the one that listens is made anew.
      assert.isAtMost(proxy.made() - before, 12)
      node.thaw()
      yield* hits(one, cached, origin)
    }))
})

/** With writes paused and one read that misses, reads of what is there are hits. */
const paused = (cached: Numbers, origin: Origin, one: Process, pause: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    yield* pause
    const missing = yield* Effect.forkChild(one.run(Cached.get(cached, "missing")))
    yield* until("it is loaded", () => origin.loads === 2)
    yield* Effect.forEach(Array.from({ length: 50 }), () => one.run(Cached.get(cached, "a")))
    assert.strictEqual(origin.loads, 2)
    const { storeFailures } = yield* one.run(Cached.stats(cached))
    // Those of the one that was missing.
    assert.isAtMost(storeFailures, 2)
    yield* Fiber.interrupt(missing)
  })

describe("a script that the server keeps waiting", () => {
  for (const whose of ["ours", "lent"]) {
    it.live(`holds up no hit: ${whose}`, () =>
      Effect.gen(function*() {
        const node = yield* server()
        const proxy = yield* proxyTo(node)
        const client = whose === "ours" ? undefined : yield* lentTo(proxy.url)
        const prefix = freshPrefix()
        const one = yield* start(
          RedisCache.layer({ ...(client === undefined ? { url: proxy.url } : { client }), prefix, ...quickWrites })
        )
        const origin = new Origin()
        const cached = numbers(origin)
        yield* readsApart(proxy, one, cached)
        const writing = connectionsOf(proxy, writes)
        yield* paused(cached, origin, one, promise(() => node.send("CLIENT", "PAUSE", 2_500, "WRITE")))
        // A process that begins meanwhile is served, too.
        const two = yield* start(RedisCache.layer({ url: node.url, prefix, ...quickWrites }))
        yield* two.run(Cached.get(cached, "a"))
        assert.strictEqual(origin.loads, 2)
        // A connection that waits is not replaced, since another would wait as well.
        yield* Effect.sleep("900 millis")
        yield* one.run(Cached.get(cached, "a"))
        assert.strictEqual(origin.loads, 2)
        assert.deepStrictEqual(connectionsOf(proxy, (one) => writing.includes(one)), writing)
      }))
  }
})

describe("in a cluster", () => {
  it.live("a script that a node keeps waiting holds up no hit, and a connection that is silent is replaced", () =>
    Effect.gen(function*() {
      const servers = yield* Effect.acquireRelease(
        promise(() => startCluster({ replicasEach: 0 })),
        (one) => promise(() => one.stop())
      )
      const proxies = yield* Effect.forEach(servers.nodes, proxyTo)
      yield* promise(() =>
        Promise.all(
          servers.nodes.map((node, i) => node.send("CONFIG", "SET", "cluster-announce-port", proxies[i]!.port))
        )
      )
      const ports = new Set(proxies.map(({ port }) => port))
      yield* until("all nodes lead to the proxies", async () => {
        const slots = await Promise.all(servers.nodes.map((node) => node.send("CLUSTER", "SLOTS")))
        return (slots as Array<Array<[number, number, [string, number]]>>).flat().every(([, , [, port]]) =>
          ports.has(port)
        )
      })
      const nodes = proxies.map(({ host, port }) => ({ host, port }))
      const one = yield* start(RedisCache.layer({ cluster: { nodes }, ...quickWrites }))
      const origin = new Origin()
      const cached = numbers(origin)
      const isApart = (connection: Seen) => connection.asked.has("get") && !writes(connection)
      yield* until("reads have connections of their own", async () => {
        await Effect.runPromise(one.run(Cached.get(cached, "a")))
        return proxies.some((proxy) => connectionsOf(proxy, isApart).length > 0)
      })
      const pause = promise(() =>
        Promise.all(servers.nodes.map((node) => node.send("CLIENT", "PAUSE", 4_000, "WRITE")))
      )
      yield* paused(cached, origin, one, pause)

      yield* promise(() => Promise.all(servers.nodes.map((node) => node.send("CLIENT", "UNPAUSE"))))
      for (const proxy of proxies) proxy.swallow()
      yield* hits(one, cached, origin)
      yield* until(
        "an invalidation succeeds",
        () => Effect.runPromise(Effect.exit(one.run(Cached.invalidate(cached, "a")))).then(Exit.isSuccess)
      )
    }))
})

describe("a server that is another one", () => {
  /** Two servers of which the second has what the first had, and takes its place. */
  const failover = Effect.gen(function*() {
    const before = yield* server()
    const after = yield* server({ config: { replicaof: `${before.host} ${before.port}` } })
    const proxy = yield* proxyTo(before)
    const prefix = freshPrefix()
    return {
      before,
      after,
      proxy,
      prefix,
      promote: Effect.gen(function*() {
        const [old, fresh] = [yield* lookAt(before.url), yield* lookAt(after.url)]
        yield* until(
          "it has everything",
          async () =>
            (await fresh.dbsize()) === (await old.dbsize()) && /link_status:up/.test(await fresh.info("replication"))
        )
        yield* promise(() => fresh.call("REPLICAOF", "NO", "ONE"))
        proxy.lead(after)
      })
    }
  })

  for (const whose of ["ours", "lent"]) {
    it.live(`is left, and a gap is announced, when the primary is demoted: ${whose}`, () =>
      Effect.gen(function*() {
        const { after, before, prefix, promote, proxy } = yield* failover
        const client = whose === "ours" ? undefined : yield* lentTo(proxy.url)
        const one = yield* start(
          RedisCache.layer({ ...(client === undefined ? { url: proxy.url } : { client }), prefix, ...quick })
        )
        const two = yield* start(RedisCache.layer({ url: after.url, prefix }))
        const origin = new Origin()
        const cached = numbers(origin)
        yield* hits(one, cached, origin)
        yield* readsApart(proxy, one, cached)
        const heard = yield* listenTo(one)
        yield* promote
        // It cannot copy, and keeps what it has.
        yield* promise(() => before.send("REPLICAOF", "127.0.0.1", 1))
        origin.version++
        yield* two.run(Cached.apply(Invalidation.tags("known"))).pipe(Effect.retry({ times: 3 }))
        yield* until("what was invalidated is not read any more", async () =>
          (await Effect.runPromise(one.run(Cached.get(cached, "a")))) === 1, 5_000)
        yield* until("a gap is announced", () =>
          heard.includes("Gap"), 5_000)
        yield* hits(one, cached, origin)
        assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 1)
      }))
  }

  it.live("is not read from once another has been written to", () =>
    Effect.gen(function*() {
      const { prefix, promote, proxy } = yield* failover
      const one = yield* start(RedisCache.layer({ url: proxy.url, prefix, timeLimit: "2 seconds" }))
      const origin = new Origin()
      const cached = numbers(origin)
      yield* hits(one, cached, origin)
      yield* readsApart(proxy, one, cached)
      yield* promote
      // Only the connection of writes is made again. The server that it has left is a primary still.
      proxy.drop(writes)
      origin.version++
      yield* one.run(Cached.apply(Invalidation.tags("known"))).pipe(Effect.retry({ times: 3 }))
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 1)
      yield* hits(one, cached, origin)
      yield* readsApart(proxy, one, cached)
    }))
})
