/**
 * What goes wrong with servers and connections: reads succeed in bounded time,
 * invalidations have happened or fail truthfully, and afterwards the guarantees
 * hold as before. Each test has a server of its own.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside, type Service } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import {
  type Proxy,
  type Server,
  type ServerOptions,
  startCluster,
  startProxies,
  startProxy,
  startServer
} from "../support/redis.ts"
import {
  keysUnder,
  listening,
  lookAt,
  Origin,
  patient,
  places,
  type Process,
  promise,
  start,
  until
} from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const server = (options: ServerOptions = {}): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startServer(options)), (one) => promise(() => one.stop()))

const proxyTo = (target: Server): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startProxy(target)), (one) => promise(() => one.stop()))

const numbers = (origin: Origin) =>
  Cached.make(
    "number",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(Policy.tagged("known"), Policy.tagged({ fromValue: (__: number) => ["found"] }))
  )

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = performance.now()
    return Effect.map(effect, (value) => ({ value, millis: performance.now() - before }))
  })

/** How often the store was waited for in vain. */
const timeouts = <A, E>({ service }: Process, effect: Effect.Effect<A, E, CacheService.CacheService>) =>
  Effect.suspend(() => {
    let count = 0
    const inner = inside(service)
    const publish = (event: CacheService.CacheEvent): void => {
      if (event._tag === "StoreFailed" && event.error.reason._tag === "Timeout") count++
      inner.publish(event)
    }
    const watching: Service = { ...inner, watched: () => true, publish }
    return effect.pipe(
      Effect.provideService(CacheService.CacheService, watching),
      Effect.map((value) => ({ value, count }))
    )
  })

/** Reads until the store is used again. */
const heals = (process: Process, cached: Cached.Cached<string, number>, origin: Origin, key = "a") =>
  until("a read is a hit again", async () => {
    await Effect.runPromise(process.run(Cached.get(cached, key)))
    const { loads } = origin
    await Effect.runPromise(process.run(Cached.get(cached, key)))
    return origin.loads === loads
  })

describe("a server that does not answer", () => {
  it.live("frozen: a read costs at most the time limit, later ones nothing, and when it goes on it is used again", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const prefix = freshPrefix()
      const one = yield* start(
        RedisCache.layer({ url: node.url, prefix, timeLimit: "200 millis", failures: 2, openFor: "150 millis" })
      )
      const two = yield* start(RedisCache.layer({ url: node.url, ...patient, prefix }))
      const origin = new Origin()
      const cached = numbers(origin)
      yield* one.run(Cached.get(cached, "a"))
      yield* two.run(Cached.get(cached, "a"))
      node.freeze()
      origin.version = 1
      // At the worst the read, the begin and the commit of one get each take their time.
      const first = yield* timeouts(one, Cached.get(cached, "a"))
      assert.strictEqual(first.value, 1)
      assert.isAtMost(first.count, 3)
      yield* one.run(Cached.get(cached, "b"))
      const later = yield* timeouts(
        one,
        timed(Effect.forEach(Array.from({ length: 10 }, (_, i) => `later${i}`), (key) => Cached.get(cached, key)))
      )
      // One is let through to see whether it is back, which takes 200 ms, and the next not before 150 ms have passed.
      assert.isAtMost(later.count, Math.ceil((later.value.millis + 150) / (200 + 150)))
      const error = yield* Effect.flip(one.run(Cached.invalidate(cached, "a")))
      assert.strictEqual(error.reason._tag, "Timeout")
      assert.isTrue(error.mayHaveHappened)
      node.thaw()
      yield* until(
        "it is delivered",
        () => Effect.runPromise(one.run(CacheService.undelivered)).then((all) => all.length === 0)
      )
      yield* heals(one, cached, origin)
      assert.strictEqual(yield* two.run(Cached.get(cached, "a")), 1)
    }))

  it.live("killed: reads load at once, invalidations fail truthfully and are delivered when it is back", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const one = yield* start(RedisCache.layer({ url: node.url, timeLimit: "300 millis", failures: 1000 }))
      const origin = new Origin()
      const cached = numbers(origin)
      yield* one.run(Cached.get(cached, "a"))
      yield* promise(() => node.kill())
      origin.version = 1
      const read = yield* timed(one.run(Cached.get(cached, "a")))
      assert.strictEqual(read.value, 1)
      const again = yield* timeouts(one, Cached.get(cached, "a"))
      assert.strictEqual(again.value, 1)
      assert.strictEqual(again.count, 0, "whose connection is gone is not waited for")
      const error = yield* Effect.flip(one.run(Cached.invalidate(cached, "a")))
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.lengthOf(yield* one.run(CacheService.undelivered), 1)
      const write = Effect.sync(() => origin.version++)
      yield* Effect.flip(one.run(Cached.set(cached, "a", write)))
      yield* Effect.flip(one.run(Cached.mutate(write, Invalidation.tags("known"))))
      assert.strictEqual(origin.version, 1)
      yield* promise(() => node.restart())
      yield* until(
        "all is delivered",
        () => Effect.runPromise(one.run(CacheService.undelivered)).then((all) => all.length === 0)
      )
      yield* heals(one, cached, origin)
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 1)
    }))

  it.live("not there at the start: the layer is built, says so once, and works when it comes up", () =>
    Effect.gen(function*() {
      const node = yield* server()
      yield* promise(() => node.kill())
      const log = listening()
      const build = yield* timed(
        Effect.provide(start(RedisCache.layer({ url: node.url, timeLimit: "200 millis", failures: 1000 })), log.layer)
      )
      const one = build.value
      assert.isBelow(build.millis, 3_000)
      assert.lengthOf(log.warnings(), 1)
      const origin = new Origin()
      const cached = numbers(origin)
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 0)
      yield* promise(() => node.restart())
      yield* heals(one, cached, origin)
      // Notifications come, too.
      const client = yield* lookAt(node.url)
      yield* until(
        "it listens",
        () =>
          client.call("PUBSUB", "NUMSUB", "cache:released").then((answer) =>
            Number((answer as Array<unknown>)[1]) === 1
          )
      )
    }))

  it.live("frozen at the start: the layer is built within a few time limits", () =>
    Effect.gen(function*() {
      const node = yield* server()
      node.freeze()
      const build = yield* timed(start(RedisCache.layer({ url: node.url, timeLimit: "200 millis" })))
      assert.isBelow(build.millis, 3_000)
      const origin = new Origin()
      assert.strictEqual(yield* build.value.run(Cached.get(numbers(origin), "a")), 0)
      node.thaw()
      yield* heals(build.value, numbers(origin), origin)
    }))
})

// -----------------------------------------------------------------------------
// a connection that is dropped at every step
// -----------------------------------------------------------------------------

const isOfCache = ([command = ""]: ReadonlyArray<string>) => /^(?:mget|get|evalsha|eval|scan)$/i.test(command)

describe("a connection that is dropped", () => {
  interface Scene {
    readonly origin: Origin
    readonly cached: ReturnType<typeof numbers>
  }

  /** Servers behind proxies. */
  interface Behind {
    readonly through: RedisCache.Options
    readonly direct: RedisCache.Options
    readonly proxies: ReadonlyArray<Proxy>
  }

  /** Cuts the connection of the `k`-th request to any of the servers; gives whether it was cut. */
  const arm = (proxies: ReadonlyArray<Proxy>, where: "cutBefore" | "cutAfter", k: number): () => boolean => {
    let cut = false
    let seen = 0
    const counts = (request: ReadonlyArray<string>) => isOfCache(request) && ++seen === k
    for (const proxy of proxies) void proxy[where](1, counts).then(() => cut = true)
    return () => cut
  }

  const scope = Scope.makeUnsafe()
  const behind: Record<string, Behind> = {}
  beforeAll(() =>
    Effect.runPromise(Scope.provide(
      Effect.gen(function*() {
        const node = yield* server()
        const proxy = yield* proxyTo(node)
        behind["one node"] = { through: { url: proxy.url }, direct: { url: node.url }, proxies: [proxy] }
        const cluster = yield* Effect.acquireRelease(
          promise(() => startCluster({ replicasEach: 0 })),
          (one) => promise(() => one.stop())
        )
        const { proxies, stop } = yield* promise(() => startProxies(cluster.nodes))
        yield* Effect.addFinalizer(() => promise(stop))
        // The nodes themselves lead to the proxies: a `natMap` is forgotten by ioredis when a slot has moved.
        yield* promise(() =>
          Promise.all(
            cluster.nodes.map((node, i) => node.send("CONFIG", "SET", "cluster-announce-port", proxies[i]!.port))
          )
        )
        const ports = new Set(proxies.map(({ port }) => port))
        yield* until("all nodes lead to the proxies", async () => {
          const slots = await Promise.all(cluster.nodes.map((node) => node.send("CLUSTER", "SLOTS")))
          return (slots as Array<Array<[number, number, [string, number]]>>).flat().every(([, , [, port]]) =>
            ports.has(port)
          )
        }, 30_000)
        const nodes = proxies.map(({ host, port }) => ({ host, port }))
        behind["a cluster"] = { through: { cluster: { nodes } }, direct: { cluster: { nodes } }, proxies }
      }),
      scope
    ))
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const operations: Record<string, {
    readonly warm: boolean
    readonly writes: boolean
    readonly act: (s: Scene) => Effect.Effect<unknown, unknown, CacheService.CacheService>
  }> = {
    "a get of a cold key": { warm: false, writes: false, act: ({ cached }) => Cached.get(cached, "a") },
    "a hit": { warm: true, writes: false, act: ({ cached }) => Cached.get(cached, "a") },
    "an invalidation of a key": {
      warm: true,
      writes: true,
      act: ({ cached, origin }) =>
        Effect.suspend(() => {
          origin.version++
          return Cached.invalidate(cached, "a")
        })
    },
    "an invalidation of a found tag": {
      warm: true,
      writes: true,
      act: ({ origin }) =>
        Effect.suspend(() => {
          origin.version++
          return Cached.apply(Invalidation.tags("found"))
        })
    },
    "an invalidation in pieces": {
      warm: true,
      writes: true,
      act: ({ cached, origin }) =>
        Effect.suspend(() => {
          origin.version++
          const others = Array.from({ length: 250 }, (_, i) => `another ${i}`)
          return Cached.apply(Invalidation.combine(Invalidation.keys(others), Cached.invalidation(cached, ["a"])))
        })
    },
    "a sweep": {
      warm: true,
      writes: true,
      act: ({ cached, origin }) =>
        Effect.suspend(() => {
          origin.version++
          return Cached.apply(Cached.pattern(cached))
        })
    },
    "a mutate": {
      warm: true,
      writes: true,
      act: ({ origin }) => Cached.mutate(Effect.sync(() => origin.version++), Invalidation.tags("known"))
    },
    "a set": {
      warm: true,
      writes: true,
      act: ({ cached, origin }) => Cached.set(cached, "a", Effect.sync(() => ++origin.version))
    }
  }

  const cases = Object.entries(operations).flatMap((one) =>
    ["one node", "a cluster"].map((servers) => [...one, servers] as const)
  )
  for (const [what, { act, warm, writes }, servers] of cases) {
    it.live(`at every step of ${what}, on ${servers}`, () =>
      Effect.gen(function*() {
        const { proxies, ...options } = behind[servers]!
        const prefix = freshPrefix()
        const through = yield* start(
          RedisCache.layer({ ...options.through, prefix, timeLimit: "2 seconds", failures: 1000 })
        )
        const direct = yield* start(RedisCache.layer({ ...options.direct, prefix, timeLimit: "5 seconds" }))
        const origin = new Origin()
        const scene: Scene = { origin, cached: numbers(origin) }
        let cuts = 0
        for (const where of ["cutBefore", "cutAfter"] as const) {
          for (let k = 1; k <= 40; k++) {
            yield* direct.run(Cached.invalidate(scene.cached, "a"))
            // So that nothing of the last round is left, and the remembered entry is the one that is there.
            yield* heals(through, scene.cached, origin, "other")
            if (warm) yield* through.run(Cached.get(scene.cached, "a"))
            const before = origin.version
            const isCut = arm(proxies, where, k)
            const { millis, value: exit } = yield* timed(Effect.exit(through.run(act(scene))))
            for (const proxy of proxies) proxy.disarm()
            const label = `${where} ${k}: ${exit}`
            if (!writes) assert.isTrue(Exit.isSuccess(exit), label)
            assert.isBelow(millis, 5_000, label)
            if (Exit.isFailure(exit)) {
              const error = yield* Effect.flip(exit)
              assert.instanceOf(error, CacheService.InvalidationError, label)
              assert.isTrue(error.mayHaveHappened || where === "cutBefore" || origin.version === before, label)
            }
            // This process never serves what was before; the others not once it was acknowledged.
            const next = yield* timed(through.run(Cached.get(scene.cached, "a")))
            assert.strictEqual(next.value, origin.version, label)
            assert.isBelow(next.millis, 5_000, `${label}: the read after it`)
            yield* until(
              "all is delivered",
              () => Effect.runPromise(through.run(CacheService.undelivered)).then((all) => all.length === 0)
            )
            assert.strictEqual(yield* direct.run(Cached.get(scene.cached, "a")), origin.version, label)
            if (!isCut()) break
            cuts++
          }
        }
        assert.isAbove(cuts, 1)
      }))
  }

  it.live("while it subscribes again is no unhandled rejection, and it tries again", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const proxy = yield* proxyTo(node)
      const client = yield* lookAt(node.url)
      yield* start(RedisCache.layer({ url: proxy.url }))
      const rejected: Array<unknown> = []
      const note = (reason: unknown) => rejected.push(reason)
      yield* Effect.acquireRelease(Effect.sync(() => process.on("unhandledRejection", note)), () =>
        Effect.sync(() => process.off("unhandledRejection", note)))
      for (const where of ["cutBefore", "cutAfter"] as const) {
        const cut = proxy[where](1, ([command = ""]) =>
          /^subscribe$/i.test(command))
        proxy.drop()
        yield* promise(() => cut)
        yield* until("it listens", () =>
          client.call("PUBSUB", "NUMSUB", "cache:released").then((answer) =>
            Number((answer as Array<unknown>)[1]) === 1
          ))
      }
      assert.deepStrictEqual(rejected.map(String), [])
    }))

  it.live("scripts that the server forgets at any moment are sent again", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const prefix = freshPrefix()
      const one = yield* start(RedisCache.layer({ url: node.url, ...patient, prefix, failures: 1 }))
      const client = yield* lookAt(node.url)
      const origin = new Origin()
      const cached = numbers(origin)
      const flushed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.andThen(promise(() => client.call("SCRIPT", "FLUSH")), effect)
      const flushing = { on: true }
      const loop = yield* Effect.forkChild(Effect.whileLoop({
        while: () => flushing.on,
        body: () => promise(() => client.call("SCRIPT", "FLUSH")),
        step: () => {}
      }))
      for (let i = 0; i < 30; i++) {
        yield* flushed(one.run(Cached.get(cached, `${i}`)))
        origin.version++
        yield* flushed(one.run(Cached.mutate(Effect.void, Invalidation.tags("found"))))
        yield* flushed(one.run(Cached.set(cached, `${i}`, Effect.sync(() => origin.version))))
        yield* flushed(one.run(Cached.apply(Cached.pattern(cached))))
        yield* flushed(one.run(Cached.apply(Invalidation.tags("known"))))
        assert.strictEqual(yield* one.run(Cached.get(cached, `${i}`)), origin.version)
      }
      flushing.on = false
      yield* Fiber.join(loop)
      assert.strictEqual((yield* one.run(Cached.stats(cached))).storeFailures, 0)
    }))
})

// -----------------------------------------------------------------------------
// servers that refuse
// -----------------------------------------------------------------------------

describe("a server that refuses", () => {
  it.live("full, with noeviction: reads go on, and invalidations still hold", () =>
    Effect.gen(function*() {
      const node = yield* server({ config: { maxmemory: "3mb", "maxmemory-policy": "noeviction" } })
      const log = listening()
      const prefix = freshPrefix()
      const one = yield* Effect.provide(
        start(RedisCache.layer({ url: node.url, ...patient, prefix, failures: 1000 })),
        log.layer
      )
      assert.lengthOf(log.warnings(), 1)
      const two = yield* start(RedisCache.layer({ url: node.url, ...patient, prefix, failures: 1000 }))
      const client = yield* lookAt(node.url)
      const origin = new Origin()
      const cached = numbers(origin)
      yield* Effect.forEach(["a", "b", "c", "d", "e"], (key) => one.run(Cached.get(cached, key)))
      yield* until("it is full", async () => {
        try {
          for (let i = 0; i < 50; i++) await client.append("ballast", "x".repeat(20_000))
          return false
        } catch (error) {
          return /OOM/.test(String(error))
        }
      })
      for (
        const [key, batch] of Object.entries({
          a: Cached.invalidation(cached, ["a"]),
          b: Invalidation.tags("known"),
          c: Invalidation.tags("found"),
          d: Cached.pattern(cached),
          e: Invalidation.everything
        })
      ) {
        origin.version++
        yield* two.run(Cached.apply(batch))
        assert.strictEqual(yield* one.run(Cached.get(cached, key)), origin.version, batch.toString())
        assert.strictEqual(yield* two.run(Cached.get(cached, key)), origin.version, batch.toString())
      }
      for (
        const batch of [Invalidation.tags("known"), Invalidation.tags("found"), Cached.invalidation(cached, ["a"])]
      ) {
        const exit = yield* Effect.exit(two.run(Cached.mutate(Effect.sync(() => origin.version++), batch)))
        if (Exit.isFailure(exit)) assert.instanceOf(yield* Effect.flip(exit), CacheService.InvalidationError)
        assert.strictEqual(yield* one.run(Cached.get(cached, "a")), origin.version, batch.toString())
      }
      yield* promise(() => client.del("ballast"))
      yield* heals(one, cached, origin)
    }))

  it.live("a replica: it is said at the start, reads load, invalidations fail and surely did not happen", () =>
    Effect.gen(function*() {
      const primary = yield* server()
      const replica = yield* server({ config: { replicaof: `${primary.host} ${primary.port}` } })
      const log = listening()
      const one = yield* Effect.provide(
        start(RedisCache.layer({ url: replica.url, ...patient, failures: 1000 })),
        log.layer
      )
      assert.isTrue(log.warnings().some((line) => line.includes("is a replica")), log.warnings().join("\n"))
      const origin = new Origin()
      const cached = numbers(origin)
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 0)
      const error = yield* Effect.flip(one.run(Cached.invalidate(cached, "a")))
      assert.instanceOf(error, CacheService.InvalidationError)
    }))

  it.live("a password that is wrong: it is said at the start, and reads load", () =>
    Effect.gen(function*() {
      const node = yield* server({ config: { requirepass: "right" } })
      const log = listening()
      const one = yield* Effect.provide(
        start(RedisCache.layer({ url: `redis://:wrong-secret@${node.host}:${node.port}`, timeLimit: "3 seconds" })),
        log.layer
      )
      assert.isAbove(log.warnings().length, 0)
      const origin = new Origin()
      const cached = numbers(origin)
      assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 0)
      const error = yield* Effect.flip(one.run(Cached.invalidate(cached, "a")))
      assert.isFalse(error.mayHaveHappened)
      assert.isFalse(log.lines.join().includes("wrong-secret"))
      assert.isFalse(JSON.stringify(error).includes("wrong-secret"))
    }))
})

// -----------------------------------------------------------------------------
// replicas
// -----------------------------------------------------------------------------

describe("acknowledge: \"replicas\"", () => {
  it.live("an invalidation has succeeded when a replica has it; else it fails, may have happened, and is delivered later", () =>
    Effect.gen(function*() {
      const primary = yield* server()
      const replica = yield* server({ config: { replicaof: `${primary.host} ${primary.port}` } })
      const direct = yield* lookAt(primary.url)
      yield* until(
        "the replica is linked",
        () => direct.info("replication").then((info) => /slave0:.*state=online/.test(info))
      )
      const log = listening()
      const prefix = freshPrefix()
      const one = yield* Effect.provide(
        start(RedisCache.layer({ url: primary.url, prefix, acknowledge: "replicas", ...patient })),
        log.layer
      )
      assert.deepStrictEqual(log.warnings(), [])
      const hasty = yield* start(
        RedisCache.layer({ url: primary.url, prefix, acknowledge: "replicas", timeLimit: "2 seconds" })
      )
      const two = yield* start(RedisCache.layer({ url: primary.url, ...patient, prefix }))
      const origin = new Origin()
      const cached = numbers(origin)
      const follower = yield* lookAt(replica.url)
      yield* one.run(Cached.get(cached, "a"))
      const isThere = () => follower.exists(places(prefix).entry("number:a")).then((n) => n === 1)
      yield* until("the replica has it", isThere)
      origin.version++
      yield* one.run(Cached.invalidate(cached, "a"))
      assert.strictEqual(yield* promise(() => follower.exists(places(prefix).entry("number:a"))), 0)
      const ways = [
        Cached.apply(Invalidation.tags("found")),
        Cached.apply(Cached.pattern(cached)),
        Cached.mutate(Effect.void, Invalidation.tags("known"))
      ]
      yield* Effect.forEach(
        ways,
        (way) =>
          one.run(Effect.asVoid(way) as Effect.Effect<void, CacheService.InvalidationError, CacheService.CacheService>)
      )

      replica.freeze()
      const waiting = yield* Effect.forkChild(Effect.exit(one.run(Cached.invalidate(cached, "b"))))
      yield* until(
        "it waits for the replica",
        () => direct.info("clients").then((info) => /blocked_clients:[1-9]/.test(info))
      )
      // It may wait for sixteen seconds.
      const read = yield* Effect.timeoutOption(one.run(Cached.get(cached, "a")), "8 seconds")
      assert.isTrue(Option.isSome(read), "reads are not held up by what waits for replicas")
      yield* hasty.run(Cached.get(cached, "a"))
      origin.version++
      const error = yield* Effect.flip(hasty.run(Cached.invalidate(cached, "a")))
      assert.isTrue(error.mayHaveHappened)
      assert.lengthOf(yield* hasty.run(CacheService.undelivered), 1)
      assert.strictEqual(yield* hasty.run(Cached.get(cached, "a")), origin.version)
      assert.strictEqual(yield* two.run(Cached.get(cached, "a")), origin.version)
      replica.thaw()
      yield* until(
        "it is delivered",
        () => Effect.runPromise(hasty.run(CacheService.undelivered)).then((all) => all.length === 0),
        20_000
      )
      yield* Fiber.join(waiting)
      yield* one.run(Cached.invalidate(cached, "a"))

      // With more replicas than there are it is said at the start.
      const wanting = listening()
      const three = yield* Effect.provide(
        start(
          RedisCache.layer({ url: primary.url, prefix, acknowledge: "replicas", replicas: 2, timeLimit: "2 seconds" })
        ),
        wanting.layer
      )
      assert.isTrue(wanting.warnings().some((line) => line.includes("2 replicas are to acknowledge")))
      assert.isTrue((yield* Effect.flip(three.run(Cached.invalidate(cached, "a")))).mayHaveHappened)
      assert.isAbove((yield* keysUnder(direct, prefix)).length, 0)
    }))
})
