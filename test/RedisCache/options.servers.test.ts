/**
 * What is given to the layer and what it says at the start: options that are
 * refused, connections that are made and closed, warnings, secrets, rights.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Cluster, Redis } from "ioredis"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Contract from "../../src/Contract.ts"
import * as Ioredis from "../../src/internal/redis/ioredis.ts"
import * as Look from "../../src/internal/redis/look.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import * as Target from "../../src/internal/redis/target.ts"
import * as Transport from "../../src/internal/redis/transport.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { type Cluster as ClusterServer, startCluster, startSentinel, startServer } from "../support/redis.ts"
import {
  both,
  keysUnder,
  listening,
  lookAt,
  nodesOf,
  oneNode,
  Origin,
  patient,
  places,
  type Process,
  promise,
  start,
  until
} from "../support/redisCache.ts"
import { clusterNodes, freshPrefix, nodeUrl } from "../support/sharedRedis.ts"

const numbers = (origin: Origin) =>
  Cached.make(
    "number",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(Policy.tagged("known"), Policy.tagged({ fromValue: (__: number) => ["found"] }))
  )

const server = (config: Record<string, string | number> = {}) =>
  Effect.acquireRelease(promise(() => startServer({ config })), (one) => promise(() => one.stop()))

/** Every operation once, without faults. */
const tour = (process: Process, origin = new Origin()) =>
  Effect.gen(function*() {
    const cached = numbers(origin)
    const read = process.run(Cached.get(cached, "a"))
    const write = Effect.sync(() => ++origin.version)
    for (
      const invalidation of [
        Cached.invalidate(cached, "a"),
        Cached.invalidate(cached, "a", { soft: true }),
        Cached.apply(Invalidation.tags("known")),
        Cached.apply(Invalidation.soft(Invalidation.tags("known"))),
        Cached.apply(Invalidation.tags("found")),
        Cached.apply(Cached.pattern(cached)),
        Cached.apply(Invalidation.everything),
        Cached.mutate(write, Invalidation.tags("found")),
        Cached.mutate(write, Cached.pattern(cached)),
        Cached.set(cached, "a", write)
      ] as ReadonlyArray<Effect.Effect<unknown, CacheService.InvalidationError, CacheService.CacheService>>
    ) {
      yield* read
      yield* process.run(invalidation)
      yield* read
    }
    yield* process.run(Effect.exit(Cached.get(
      Cached.make("failing", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => Effect.fail("no")
      }, Policy.forever),
      "a"
    )))
    yield* process.run(Cached.explain(cached, "a"))
    const { storeFailures, unreadable } = yield* process.run(Cached.stats(cached))
    assert.deepStrictEqual({ storeFailures, unreadable }, { storeFailures: 0, unreadable: 0 })
  })

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

describe("options that cannot be are refused where the layer is made", () => {
  const url = "redis://127.0.0.1:1"
  const unconnected = (options: object) => {
    const client = new Redis({ lazyConnect: true, ...options })
    client.on("error", () => undefined)
    return client
  }
  const bad: Record<string, () => RedisCache.Options> = {
    "nowhere to connect to": () => ({}),
    "a url and a cluster": () => ({ url, cluster: { nodes: ["redis://127.0.0.1:1"] } }),
    "a url and a client": () => ({ url, client: unconnected({}) }),
    "a url that is none": () => ({ url: "127.0.0.1:6379" }),
    "a url of something else": () => ({ url: "http://127.0.0.1" }),
    "an empty url": () => ({ url: "" }),
    "a cluster without nodes": () => ({ cluster: { nodes: [] } }),
    "an empty prefix": () => ({ url, prefix: "" }),
    ...Object.fromEntries(
      ["a{b", "a}b", "a*", "a?", "[a]", "a\\", "a b", "a\nb", "\ud800"].map((prefix) => [
        `the prefix ${JSON.stringify(prefix)}`,
        () => ({ url, prefix })
      ])
    ),
    "no time": () => ({ url, timeLimit: 0 }),
    "a negative time": () => ({ url, timeLimit: -1 }),
    "endless time": () => ({ url, timeLimit: "Infinity" }),
    "no failures": () => ({ url, failures: 0 }),
    "half a failure": () => ({ url, failures: 1.5 }),
    "a circuit that opens for no time": () => ({ url, openFor: 0 }),
    "an endless sweep": () => ({ url, sweepLimit: "Infinity" }),
    "no journal": () => ({ url, journal: 0 }),
    "half a journal": () => ({ url, journal: 1.5 }),
    "no lifetime": () => ({ url, maxLifetime: 0 }),
    "a negative memory": () => ({ url, remember: -1 }),
    "replicas without acknowledgement": () => ({ url, replicas: 1 }),
    "no replicas": () => ({ url, acknowledge: "replicas", replicas: 0 }),
    "an acknowledgement that there is not": () => ({ url, acknowledge: "quorum" as "replicas" }),
    "ioredis' keyPrefix": () => ({ url, options: { keyPrefix: "x" } }),
    "ioredis' keyPrefix of a client": () => ({ client: unconnected({ keyPrefix: "x" }) }),
    "reading from replicas": () => ({ cluster: { nodes: ["redis://127.0.0.1:1"], cluster: { scaleReads: "slave" } } }),
    "a client that reads from replicas": () => ({ client: unconnected({ role: "slave" }) })
  }
  for (const [what, options] of Object.entries(bad)) {
    it(what, () => {
      let thrown: unknown
      try {
        RedisCache.layer(options())
      } catch (error) {
        thrown = error
      }
      assert.isTrue(thrown instanceof InvalidInput.InvalidInput, `${thrown}`)
      thrown = undefined
      try {
        RedisCache.makeStore(options())
      } catch (error) {
        thrown = error
      }
      // The limits are those of the guard, which the bare store does not have.
      if (thrown !== undefined) assert.isTrue(thrown instanceof InvalidInput.InvalidInput)
    })
  }

  it("a refusal does not tell the secret", () => {
    try {
      RedisCache.layer({ url: Redacted.make("rediss//:s3cret@host") })
      assert.fail("it was taken")
    } catch (error) {
      assert.isTrue(error instanceof InvalidInput.InvalidInput)
      assert.isFalse(`${error}${JSON.stringify(error)}`.includes("s3cret"))
    }
  })

  it.live("what can be is taken: infinity, Redacted, options beside a url", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* oneNode.look
      const { hostname, port } = new URL(nodeUrl())
      for (
        const options of [
          { url: Redacted.make(nodeUrl()), maxLifetime: "Infinity", remember: 0, trusted: true },
          { options: { host: hostname, port: Number(port) }, journal: 1 },
          { url: nodeUrl(), options: { connectionName: "mine" } }
        ] satisfies ReadonlyArray<RedisCache.Options>
      ) {
        const one = yield* start(RedisCache.layer({ ...options, ...patient, prefix }))
        yield* tour(one)
      }
      const lasting: Array<string> = []
      for (const key of yield* keysUnder(client, prefix)) {
        if ((yield* promise(() => client.pttl(key))) === -1) lasting.push(key)
      }
      assert.deepStrictEqual(lasting, [places(prefix).protocol], "everything else has an end")
    }))

  it.live("nothing stays longer than maxLifetime", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const client = yield* oneNode.look
      const one = yield* start(RedisCache.layer({ url: nodeUrl(), ...patient, prefix, maxLifetime: "5 seconds" }))
      yield* one.run(Cached.get(numbers(new Origin()), "a"))
      const [entry] = yield* keysUnder(client, `${prefix}:e`)
      assert.isAtMost(yield* promise(() => client.pttl(entry!)), 5_000)
    }))

  it.live("a load that began before the oldest of the journal is stored only if its key tells its dependencies", () =>
    Effect.gen(function*() {
      const one = yield* start(RedisCache.layer({ url: nodeUrl(), ...patient, prefix: freshPrefix(), journal: 2 }))
      /** How many of two reads load, where so many others are invalidated during the first one. */
      const loadsWith = (others: number, policy: Policy.Policy<string, number>) =>
        Effect.gen(function*() {
          const origin = new Origin()
          const source = { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }
          const cached = Cached.make(`number ${others}`, source, policy)
          origin.hold()
          const first = yield* Effect.forkChild(one.run(Cached.get(cached, "a")))
          yield* origin.begun(1)
          for (let i = 0; i < others; i++) yield* one.run(Cached.apply(Invalidation.tags(`other ${i}`)))
          yield* origin.release
          yield* Fiber.join(first)
          yield* one.run(Cached.get(cached, "a"))
          return origin.loads
        })
      assert.strictEqual(yield* loadsWith(2, Policy.tagged({ fromValue: () => ["mine"] })), 1)
      assert.strictEqual(yield* loadsWith(3, Policy.tagged({ fromValue: () => ["mine"] })), 2)
      assert.strictEqual(yield* loadsWith(4, Policy.tagged("mine")), 1)
    }))

  it.live("layerConfig reads from a ConfigProvider", () =>
    Effect.gen(function*() {
      const prefix = freshPrefix()
      const layer = RedisCache.layerConfig({ url: Config.Redacted("REDIS_URL"), prefix: Config.String("PREFIX") })
      const provider = ConfigProvider.fromUnknown({ REDIS_URL: nodeUrl(), PREFIX: prefix })
      const one = yield* Effect.provideService(start(layer), ConfigProvider.ConfigProvider, provider)
      yield* one.run(Cached.get(numbers(new Origin()), "a"))
      assert.isAbove((yield* keysUnder(yield* oneNode.look, prefix)).length, 0)
      const missing = yield* Effect.exit(
        Effect.provideService(start(layer), ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({}))
      )
      assert.isTrue(Exit.isFailure(missing))
    }))

  for (const way of both) {
    it.live(`prefixes keep caches apart, and join them, on ${way.name}`, () =>
      Effect.gen(function*() {
        const [mine, others] = [freshPrefix(), freshPrefix()]
        const [one, two, other] = yield* Effect.all([mine, mine, others].map((prefix) => start(way.layer({ prefix }))))
        const origin = new Origin()
        const cached = numbers(origin)
        yield* one!.run(Cached.get(cached, "a"))
        yield* two!.run(Cached.get(cached, "a"))
        assert.strictEqual(origin.loads, 1)
        yield* other!.run(Cached.get(cached, "a"))
        assert.strictEqual(origin.loads, 2)
        origin.version = 1
        yield* one!.run(
          Cached.apply(Invalidation.combine(Invalidation.everything, Invalidation.tags(["known", "found"])))
        )
        assert.deepStrictEqual(
          yield* Effect.forEach([one!, two!, other!], (process) => process.run(Cached.get(cached, "a"))),
          [1, 1, 0]
        )
      }))
  }
})

// -----------------------------------------------------------------------------
// connections
// -----------------------------------------------------------------------------

describe("connections", () => {
  const open = (client: Redis) => client.client("LIST").then((list) => String(list).trim().split("\n").length)

  it.live("of the layer are closed with it", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const client = yield* lookAt(node.url)
      const before = yield* promise(() => open(client))
      const scope = yield* Scope.make()
      const one = yield* Scope.provide(start(RedisCache.layer({ url: node.url, ...patient })), scope)
      yield* tour(one)
      assert.isAbove(yield* promise(() => open(client)), before)
      yield* Scope.close(scope, Exit.void)
      yield* until("all are closed", async () => await open(client) === before)
    }))

  it.live("a client that is lent is left open, with the listeners that it had", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const look = yield* lookAt(node.url)
      for (const make of [() => new Redis(node.url), () => new Redis(node.url, { lazyConnect: true })]) {
        const client = make()
        const listeners = () => client.eventNames().map((name) => [String(name), client.listenerCount(name)]).sort()
        if (client.status !== "wait") yield* until("ready", () => client.status === "ready")
        const idle = yield* promise(() => client.ping())
        assert.strictEqual(idle, "PONG")
        const [before, connections] = [listeners(), yield* promise(() => open(look))]
        const scope = yield* Scope.make()
        yield* tour(yield* Scope.provide(start(RedisCache.layer({ client, ...patient })), scope))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* promise(() => client.ping()), "PONG")
        assert.deepStrictEqual(listeners(), before)
        yield* until("the others are closed", async () => await open(look) === connections)
        client.disconnect()
        yield* until("closed", async () => await open(look) < connections)
      }
      const lent = new Cluster(clusterNodes())
      yield* until("ready", () => lent.status === "ready")
      const listeners = () => lent.eventNames().map((name) => [String(name), lent.listenerCount(name)]).sort()
      const before = listeners()
      const scope = yield* Scope.make()
      yield* tour(
        yield* Scope.provide(start(RedisCache.layer({ client: lent, ...patient, prefix: freshPrefix() })), scope)
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(lent.status, "ready")
      assert.deepStrictEqual(listeners(), before)
      lent.disconnect()
    }))

  it.live("through a Sentinel lead to the primary, also after a failover", () =>
    Effect.gen(function*() {
      const sentinel = yield* Effect.acquireRelease(promise(() => startSentinel()), (one) => promise(() => one.stop()))
      const options = { sentinels: sentinel.sentinels.map(({ host, port }) => ({ host, port })), name: sentinel.name }
      const one = yield* start(RedisCache.layer({ options, failures: 1000 }))
      yield* tour(one)
      yield* promise(() => sentinel.failover())
      const origin = new Origin()
      const cached = numbers(origin)
      yield* until("it is used again", async () => {
        await Effect.runPromise(one.run(Cached.get(cached, "b")))
        const { loads } = origin
        await Effect.runPromise(one.run(Cached.get(cached, "b")))
        return origin.loads === loads
      }, 20_000)
      yield* until("and written to", () =>
        Effect.runPromise(Effect.exit(one.run(Cached.invalidate(cached, "b")))).then(Exit.isSuccess))
    }))
})

// -----------------------------------------------------------------------------
// commands
// -----------------------------------------------------------------------------

/** How often each command was called while something was done. */
const commands = <A, E, R>(client: Redis, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    yield* promise(() => client.config("RESETSTAT"))
    yield* effect
    const info = yield* promise(() => client.info("commandstats"))
    const counts = new Map(
      [...info.matchAll(/cmdstat_(\S+?):calls=(\d+)/g)].map(([, name, calls]) => [name!, Number(calls)])
    )
    // Of the looking itself.
    for (const name of ["info", "config|resetstat", "config", "ping", "hello"]) counts.delete(name)
    return counts
  })

describe("commands", () => {
  const three = (where: "the key" | "the value" | "both" | "nowhere") => {
    const tags = (prefix: string) => [1, 2, 3].map((i) => `${prefix}${i}`)
    const known = Policy.tagged((_: string) => tags("known"))
    const found = Policy.tagged({ fromValue: (__: number) => tags("found") })
    const policy = where === "nowhere"
      ? Policy.forever
      : where === "the key"
      ? known
      : where === "the value"
      ? found
      : Policy.all(known, found)
    return (origin: Origin) =>
      Cached.make("three", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)
  }

  it.live("a hit is one command on one node, whatever it depends on; a cold entry with found tags is one load", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const client = yield* lookAt(node.url)
      for (const where of ["nowhere", "the key", "the value", "both"] as const) {
        const prefix = freshPrefix()
        const one = yield* start(RedisCache.layer({ url: node.url, ...patient, prefix }))
        const other = yield* start(RedisCache.layer({ url: node.url, ...patient, prefix }))
        const origin = new Origin()
        const cached = three(where)(origin)
        const fill = yield* commands(client, one.run(Cached.get(cached, "a")))
        assert.strictEqual(fill.get("evalsha") ?? 0, 2, "begin and commit")
        assert.strictEqual(fill.get("mget"), 1)
        assert.strictEqual(origin.loads, 1)
        for (const times of [1, 10]) {
          const hits = yield* commands(client, Effect.repeat(one.run(Cached.get(cached, "a")), { times: times - 1 }))
          assert.deepStrictEqual([...hits], [["mget", times]], where)
        }
        // A process that has not seen it yet asks again for what it finds, once.
        yield* commands(client, other.run(Cached.get(cached, "a"))).pipe(
          Effect.tap((first) => Effect.sync(() => assert.isAtMost(first.get("mget") ?? 0, 2)))
        )
        const warm = yield* commands(client, other.run(Cached.get(cached, "a")))
        assert.deepStrictEqual([...warm], [["mget", 1]], where)
        assert.strictEqual(origin.loads, 1)
      }
    }))

  it.live("beginning, storing, invalidating, fencing and lifting are one script each on one node", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const client = yield* lookAt(node.url)
      const one = yield* start(RedisCache.layer({ url: node.url, ...patient }))
      const origin = new Origin()
      const cached = three("both")(origin)
      yield* tour(one)
      yield* one.run(Cached.get(cached, "a"))
      const many = Invalidation.combineAll([
        Invalidation.tags(["known1", "known2", "found1"]),
        Cached.invalidation(cached, ["a", "b", "c"])
      ])
      const scripts = (effect: Effect.Effect<unknown, unknown, CacheService.CacheService>) =>
        Effect.map(commands(client, one.run(effect)), (counts) => [counts.get("evalsha") ?? 0, counts.get("eval") ?? 0])
      assert.deepStrictEqual(yield* scripts(Cached.apply(many)), [1, 0])
      assert.deepStrictEqual(yield* scripts(Cached.mutate(Effect.void, many)), [2, 0])
      assert.deepStrictEqual(yield* scripts(Cached.set(cached, "a", Effect.succeed(1))), [2, 0])
      yield* promise(() => client.call("SCRIPT", "FLUSH"))
      assert.deepStrictEqual(yield* scripts(Cached.apply(many)), [1, 1])
      assert.deepStrictEqual(yield* scripts(Cached.apply(many)), [1, 0])
    }))
})

// -----------------------------------------------------------------------------
// the start
// -----------------------------------------------------------------------------

describe("the start", () => {
  const good: Look.Look = {
    info: { redis_version: "7.0.15", cluster_enabled: "0", role: "master", connected_slaves: "0" },
    config: { "maxmemory": "0", "maxmemory-policy": "noeviction", "save": "", "appendonly": "no" },
    cluster: {},
    refused: []
  }
  const plain = { cluster: false, replicas: 0 }
  const cases: Record<string, readonly [Partial<Look.Look>, Look.Expected, ReadonlyArray<RegExp>]> = {
    "nothing of a good server": [{}, plain, []],
    "nothing where nothing is told": [{ info: {}, config: {} }, plain, []],
    "an old version": [{ info: { ...good.info, redis_version: "6.0.16" } }, plain, [/version 6\.0\.16/]],
    "not a version that will come": [{ info: { ...good.info, redis_version: "10.1" } }, plain, []],
    "not 6.2": [{ info: { ...good.info, redis_version: "6.2.0" } }, plain, []],
    "noeviction with a limit": [{ config: { ...good.config, maxmemory: "100" } }, plain, [/noeviction/]],
    "not another policy": [
      { config: { ...good.config, maxmemory: "100", "maxmemory-policy": "allkeys-lfu" } },
      plain,
      []
    ],
    "snapshots": [{ config: { ...good.config, save: "3600 1" } }, plain, [/snapshots/]],
    "an append-only file": [{ config: { ...good.config, appendonly: "yes", appendfsync: "everysec" } }, plain, [
      /append-only/
    ]],
    "not one that is always written": [
      { config: { ...good.config, appendonly: "yes", appendfsync: "always", save: "3600 1" } },
      plain,
      []
    ],
    "a cluster that the client does not know": [{ info: { ...good.info, cluster_enabled: "1" } }, plain, [
      /belongs to a cluster/
    ]],
    "a cluster that is not well": [
      { info: { ...good.info, cluster_enabled: "1" }, cluster: { cluster_state: "fail" } },
      { cluster: true, replicas: 0 },
      [/state is "fail"/]
    ],
    "a replica": [{ info: { ...good.info, role: "slave" } }, plain, [/is a replica/]],
    "too few replicas": [{}, { cluster: false, replicas: 1 }, [/1 replicas are to acknowledge/]],
    "each thing that is refused": [{ refused: ["GET: no", "SCAN: no"] }, plain, [/GET: no/, /SCAN: no/]],
    "shards behind one address": [
      { refused: ["EVALSHA: CROSSSLOT Keys in request don't hash to the same slot"] },
      plain,
      [
        /^behind this address the keys lie on several shards.*CROSSSLOT.*Give `cluster`/
      ]
    ]
  }
  for (const [what, [look, expected, complaints]] of Object.entries(cases)) {
    it(`complains of ${what}`, () => {
      const all = Look.complaints({ ...good, ...look }, expected)
      assert.lengthOf(all, complaints.length, all.join("\n"))
      for (const [i, complaint] of complaints.entries()) assert.match(all[i]!, complaint)
    })
  }

  for (const way of both) {
    it.live(`says nothing of a good server: ${way.name}`, () =>
      Effect.gen(function*() {
        const log = listening()
        yield* Effect.provide(start(way.layer({ prefix: freshPrefix() })), log.layer)
        assert.deepStrictEqual(log.warnings(), [])
      }))
  }

  it.live("warns once of each thing that will hurt", () =>
    Effect.gen(function*() {
      const node = yield* server({ maxmemory: "50mb", "maxmemory-policy": "noeviction", save: "3600 1000" })
      const log = listening()
      const one = yield* Effect.provide(start(RedisCache.layer({ url: node.url, ...patient })), log.layer)
      yield* Effect.provide(tour(one), log.layer)
      assert.lengthOf(log.warnings(), 2, log.warnings().join("\n"))
      const first = new URL(`redis://${clusterNodes()[0]!.host}:${clusterNodes()[0]!.port}`)
      const alone = listening()
      yield* Effect.provide(
        start(RedisCache.layer({ url: first.href, ...patient, prefix: freshPrefix() })),
        alone.layer
      )
      assert.isTrue(alone.warnings().some((line) => /belongs to a cluster/.test(line)), alone.warnings().join("\n"))
    }))

  it.live("sees whether scripts may use keys of two slots", () =>
    Effect.gen(function*() {
      const refusedAt = (url: string) =>
        Effect.gen(function*() {
          const client = yield* Ioredis.open(Target.targetOf({ url }), Scripts.all, 20_000)
          const transport = Transport.make(client, { writer: client, acknowledgement: undefined })
          return (yield* Look.look(client, transport, freshPrefix())).refused
        })
      assert.deepStrictEqual(yield* refusedAt(nodeUrl()), [])
      // The node of a cluster that has the slot of the probe refuses as shards behind one address do.
      const all = yield* Effect.forEach(clusterNodes(), ({ host, port }) =>
        Effect.option(refusedAt(`redis://${host}:${port}`)))
      const refused = all.flatMap(Option.toArray).flat()
      assert.isTrue(
        refused.some((one) =>
          one.startsWith("EVALSHA: CROSSSLOT")
        ),
        refused.join("\n")
      )
    }))

  it.live("tells no secret, whatever fails", () =>
    Effect.gen(function*() {
      const secret = "s3cr3t-passw0rd"
      const node = yield* server({ requirepass: "another" })
      const dead = { host: "127.0.0.1", port: 1 }
      const log = listening()
      const seen: Array<string> = []
      const note = (u: unknown) =>
        seen.push(
          String(u),
          JSON.stringify(u),
          u instanceof Error ? `${u.stack}${JSON.stringify(u.cause)}${u.cause}` : ""
        )
      for (
        const options of [
          { url: `redis://user:${secret}@${node.host}:${node.port}` },
          { url: Redacted.make(`redis://:${secret}@${node.host}:${node.port}`) },
          { url: `redis://:${secret}@${dead.host}:${dead.port}` },
          { options: { host: node.host, port: node.port, password: secret } },
          { options: { ...dead, password: Redacted.make(secret) } },
          { cluster: { nodes: [dead], options: { password: secret } } }
        ] satisfies ReadonlyArray<RedisCache.Options>
      ) {
        const layer = RedisCache.layer({ ...options, timeLimit: "100 millis" })
        note(layer)
        yield* Effect.gen(function*() {
          const one = yield* start(layer)
          const cached = numbers(new Origin())
          yield* one.run(Cached.get(cached, "a"))
          const failing: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            one.run(Cached.invalidate(cached, "a")),
            one.service.store.read({ key: "a", known: [] })
          ]
          const exits = yield* Effect.forEach(failing, Effect.exit)
          for (const exit of exits) {
            assert.isTrue(Exit.isFailure(exit))
            note(exit)
            if (Exit.isFailure(exit)) {
              seen.push(Cause.pretty(exit.cause))
              for (const reason of exit.cause.reasons) note("error" in reason ? reason.error : reason)
            }
          }
        }).pipe(Effect.scoped, Effect.provide(log.layer))
      }
      assert.isAbove(log.lines.length, 0)
      assert.isFalse([...log.lines, ...seen].join("\n").includes(secret))
    }))
})

// -----------------------------------------------------------------------------
// rights
// -----------------------------------------------------------------------------

/** What a deployment has to allow. */
const needed = [
  "get",
  "mget",
  "set",
  "del",
  "getrange",
  "setrange",
  "pttl",
  "pexpire",
  "zadd",
  "zcard",
  "zscore",
  "zrange",
  "zremrangebyrank",
  "hset",
  "hget",
  "hgetall",
  "hdel",
  "evalsha",
  "eval",
  "scan",
  "time",
  "publish",
  "subscribe"
]

/** What the clients of `ioredis` ask for besides, and the look at the start. */
const besides = ["info", "ping", "client|setname"]
const ofCluster = ["cluster|slots", "cluster|shards", "cluster|info", "cluster|nodes", "readonly"]

/** Those that scripts call. */
const called = [
  ...new Set(
    Scripts.all.flatMap(({ source }) =>
      [...source.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, name]) => name!.toLowerCase())
    )
  )
].sort()

describe("rights", () => {
  it("name each command that the scripts call, and no more than a transport needs besides", () => {
    const ofTransport = ["get", "mget", "evalsha", "eval", "scan", "publish", "subscribe"]
    assert.deepStrictEqual([...needed].sort(), [...new Set([...called, ...ofTransport])].sort())
  })

  const rule = (
    prefix: string,
    commands: ReadonlyArray<string>
  ) => [
    "reset",
    "resetchannels",
    "on",
    ">pass",
    `~${prefix}:*`,
    `&${prefix}:*`,
    ...commands.map((command) => `+${command}`)
  ]

  const withUser = (client: Redis | Cluster, name: string, rules: ReadonlyArray<string>) =>
    promise(() => Promise.all(nodesOf(client).map((node) => node.call("ACL", "SETUSER", name, ...rules))))

  it.live("the least that is needed, on one node: the laws hold, and with any less it is said at the start", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const client = yield* lookAt(node.url)
      const prefix = freshPrefix()
      const url = `redis://least:pass@${node.host}:${node.port}`
      yield* withUser(client, "least", rule(prefix, [...needed, ...besides]))
      const log = listening()
      const one = yield* Effect.provide(start(RedisCache.layer({ url, ...patient, prefix })), log.layer)
      assert.deepStrictEqual(log.warnings(), [])
      yield* tour(one)
      assert.deepStrictEqual(yield* one.run(Contract.violations(Contract.make({ runs: 3, prefix }))), [])
      const denied = yield* promise(() => client.call("ACL", "LOG"))
      // A server of version 6.2 does not tell which of the commands within a command it was.
      const reasons = (denied as ReadonlyArray<unknown>).map((one) => JSON.stringify(one)).filter((one) =>
        !/"(?:config\|get|cluster\|info|hello|config|cluster|client)"/.test(one)
      )
      assert.deepStrictEqual(reasons, [])
      const unsaid: Array<string> = []
      for (const without of needed) {
        // So that the start needs what any start may need.
        yield* promise(() => client.call("SCRIPT", "FLUSH"))
        yield* withUser(client, "less", rule(prefix, [...needed, ...besides].filter((command) => command !== without)))
        const said = listening()
        yield* Effect.scoped(
          Effect.provide(
            start(RedisCache.layer({ url: url.replace("least", "less"), ...patient, prefix })),
            said.layer
          )
        )
        const warnings = said.warnings().map((line) => line.toLowerCase())
        // Every script asks for the time, so without it none says which command is missing.
        if (!warnings.some((line) => without === "time" || line.includes(without))) unsaid.push(without)
      }
      assert.deepStrictEqual(unsaid, [])
    }))

  it.live("the least that is needed, on a cluster", () =>
    Effect.gen(function*() {
      const servers: ClusterServer = yield* Effect.acquireRelease(
        promise(() => startCluster({ replicasEach: 0 })),
        (one) => promise(() => one.stop())
      )
      const prefix = freshPrefix()
      yield* Effect.forEach(servers.nodes, (node) =>
        promise(() =>
          node.send("ACL", "SETUSER", "least", ...rule(prefix, [...needed, ...besides, ...ofCluster]))
        ))
      const log = listening()
      const nodes = servers.nodes.map(({ host, port }) => ({ host, port }))
      const options = { username: "least", password: Redacted.make("pass") }
      const one = yield* Effect.provide(
        start(RedisCache.layer({ cluster: { nodes, options }, ...patient, prefix })),
        log.layer
      )
      assert.deepStrictEqual(log.warnings(), [])
      yield* tour(one)
      assert.deepStrictEqual(yield* one.run(Contract.violations(Contract.make({ runs: 3, prefix }))), [])
    }))
})
