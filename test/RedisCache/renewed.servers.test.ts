/**
 * Options that change: passwords that are renewed while the layer is there, for
 * every way to a server and every connection, and clients that were told to give
 * answers in another shape.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Cluster, Redis } from "ioredis"
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis-5"
import * as Cached from "../../src/Cached.ts"
import * as Ioredis from "../../src/internal/redis/ioredis.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import { targetOf } from "../../src/internal/redis/target.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { type Config, type Server, startSentinel, startServer } from "../support/redis.ts"
import { listening, lookAt, Origin, patient, promise, silent, start, until } from "../support/redisCache.ts"
import { clusterNodes, freshPrefix, nodeUrl } from "../support/sharedRedis.ts"

const server = (config: Config = {}): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startServer({ config })), (one) => promise(() => one.stop()))

const numbers = (origin: Origin) =>
  Cached.make(
    "number",
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(Policy.tagged("known"), Policy.tagged({ fromValue: (__: number) => ["found"] }))
  )

// -----------------------------------------------------------------------------
// answers
// -----------------------------------------------------------------------------

describe("answers are read the same, whatever shape a client that is lent gives them", () => {
  const shapes = {
    "numbers as texts": { stringNumbers: true },
    "maps as objects": { replyMapping: "resp3" },
    "the older protocol": { protocol: 2 },
    "all at once": { stringNumbers: true, replyMapping: "resp3" }
  } as const
  const ways: Record<
    string,
    (shape: object) => Effect.Effect<NonNullable<RedisCache.Options["client"]>, never, Scope.Scope>
  > = {
    "one node": (shape) => silent(() => new Redis(nodeUrl(), shape)),
    "one node, by version 5": (shape) => silent(() => new Redis5(nodeUrl(), shape)),
    "a cluster": (shape) => silent(() => new Cluster(clusterNodes(), { redisOptions: shape })),
    "a cluster, by version 5": (shape) => silent(() => new Cluster5(clusterNodes(), { redisOptions: shape }))
  }
  for (const [shape, options] of Object.entries(shapes)) {
    for (const [what, way] of Object.entries(ways)) {
      it.live(`${shape}: ${what}`, () =>
        Effect.gen(function*() {
          const client = yield* way(options)
          const log = listening()
          const layer = RedisCache.layer({ client, ...patient, prefix: freshPrefix() })
          const one = yield* Effect.provide(start(layer), log.layer)
          assert.deepStrictEqual(log.warnings(), [])
          const origin = new Origin()
          const cached = numbers(origin)
          const load = one.run(Cached.get(cached, "a"))
          yield* load
          yield* load
          assert.strictEqual(origin.loads, 1, "it was stored, and is found")
          const { entries } = yield* one.run(Cached.invalidate(cached, "a"))
          assert.strictEqual(entries, 1)
          yield* load
          yield* one.run(Cached.apply(Invalidation.tags("found")))
          yield* load
          yield* one.run(Cached.mutate(Effect.sync(() => ++origin.version), Invalidation.tags("known")))
          assert.strictEqual(yield* load, 1)
          yield* one.run(Cached.apply(Invalidation.combine(Cached.pattern(cached), Invalidation.tags("known"))))
          yield* load
          assert.strictEqual(origin.loads, 5)
          yield* one.run(Cached.set(cached, "a", Effect.succeed(7)))
          assert.strictEqual(yield* load, 7)
        }))
    }
  }
})

// -----------------------------------------------------------------------------
// passwords
// -----------------------------------------------------------------------------

/** A user whose password is changed from time to time, on some servers. */
const user = (servers: ReadonlyArray<Server>) => {
  let count = 0
  const name = "cache"
  const password = () => `password-${count}`
  const onAll = (...command: ReadonlyArray<string>) =>
    Effect.forEach(servers, (one) => promise(() => one.send(command[0]!, ...command.slice(1))), { discard: true })
  const set = Effect.suspend(() => onAll("ACL", "SETUSER", name, "reset", "on", `>${password()}`, "~*", "&*", "+@all"))
  return {
    name,
    password,
    set,
    /** Another password; connections are cut, and come back only with that. */
    renew: Effect.suspend(() => {
      count++
      return Effect.andThen(set, onAll("CLIENT", "KILL", "USER", name))
    })
  }
}

const oneNodeCluster = Effect.gen(function*() {
  const node = yield* server({ "cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1" })
  yield* promise(() => node.send("CLUSTER", "ADDSLOTSRANGE", 0, 16_383))
  yield* until(
    "it has its slots",
    () => node.send("CLUSTER", "INFO").then((info) => /cluster_state:ok/.test(String(info)))
  )
  return node
})

type Asked = ReturnType<typeof user>

/** The servers, and what a layer is given. */
const ways: Record<
  string,
  Effect.Effect<
    {
      readonly servers: ReadonlyArray<Server>
      readonly options: (asked: Asked) => Effect.Effect<RedisCache.Options, never, Scope.Scope>
    },
    never,
    Scope.Scope
  >
> = {
  "a node, with a password that is asked for": Effect.map(server(), (node) => ({
    servers: [node],
    options: ({ name: username, password }) =>
      Effect.succeed({
        options: { host: node.host, port: node.port, username, password: Effect.sync(() => Redacted.make(password())) }
      })
  })),
  "behind Sentinel, with a password that is asked for": Effect.map(
    Effect.acquireRelease(promise(() => startSentinel()), (one) => promise(() => one.stop())),
    (sentinel) => ({
      servers: sentinel.nodes,
      options: ({ name: username, password }) =>
        Effect.succeed({
          options: {
            sentinels: sentinel.sentinels.map(({ host, port }) => ({ host, port })),
            name: sentinel.name,
            username,
            password: Effect.sync(password)
          }
        })
    })
  ),
  "a cluster, with a password that is asked for": Effect.map(oneNodeCluster, (node) => ({
    servers: [node],
    options: ({ name: username, password }) =>
      Effect.succeed({
        cluster: { nodes: [`${node.host}:${node.port}`], options: { username, password: Effect.sync(password) } }
      })
  })),
  "a client that is lent, and told of the new one": Effect.map(server(), (node) => ({
    servers: [node],
    options: ({ name: username, password }) =>
      Effect.map(silent(() => new Redis(node.port, node.host, { username, password: password() })), (client) => {
        Object.defineProperty(client.options, "password", { get: password, enumerable: true })
        return { client }
      })
  })),
  "a client of version 5 that is lent, and told of the new one": Effect.map(server(), (node) => ({
    servers: [node],
    options: ({ name: username, password }) =>
      Effect.map(silent(() => new Redis5(node.port, node.host, { username, password: password() })), (client) => {
        Object.defineProperty(client.options, "password", { get: password, enumerable: true })
        return { client }
      })
  })),
  "a cluster's client that is lent, and told of the new one": Effect.map(oneNodeCluster, (node) => ({
    servers: [node],
    options: ({ name: username, password }) => {
      const redisOptions = {
        username,
        get password() {
          return password()
        }
      }
      const make = () => new Cluster5([{ host: node.host, port: node.port }], { redisOptions })
      return Effect.map(silent(make), (client) => ({ client }))
    }
  }))
}

describe("a password that is renewed", () => {
  for (const [what, way] of Object.entries(ways)) {
    it.live(`${what}: every connection comes back`, () =>
      Effect.gen(function*() {
        const { options, servers } = yield* way
        const asked = user(servers)
        yield* asked.set
        const given = yield* options(asked)
        const port = yield* Ioredis.open(targetOf(given), Scripts.all, 20_000)
        const beside = yield* port.beside
        let heard = 0
        yield* port.listen(["news"], { subscribed: () => heard++, hear: () => undefined, refused: () => undefined })
        const isThere = (one: typeof port) => () =>
          Effect.runPromise(Effect.isSuccess(one.get("look", ["{x}a", "{x}b"])))
        for (let round = 1; round <= 2; round++) {
          yield* until("the client is there", isThere(port))
          yield* until("the one beside it is there", isThere(beside))
          yield* until("it listens", () => heard >= round)
          yield* asked.renew
        }
        yield* until("the client is there again", isThere(port))
        yield* until("the one beside it is there again", isThere(beside))
        yield* until("it listens again", () => heard >= 3)
      }))
  }

  it.live("one that cannot be had is why there is no connection, until it can", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const cluster = yield* oneNodeCluster
      const asked = user([node, cluster])
      yield* asked.set
      class NoToken extends Schema.TaggedError<NoToken>()("NoToken", { message: Schema.String }) {}
      let works = false
      const password = Effect.suspend(() =>
        works ? Effect.succeed(asked.password()) : Effect.fail(new NoToken({ message: "the token service is away" }))
      )
      const all: ReadonlyArray<RedisCache.Options> = [
        { url: `redis://${asked.name}@${node.host}:${node.port}`, options: { password } },
        { cluster: { nodes: [`${cluster.host}:${cluster.port}`], options: { username: asked.name, password } } }
      ]
      const reads = yield* Effect.forEach(all, (options) =>
        Effect.gen(function*() {
          const log = listening()
          const layer = RedisCache.layer({ ...options, timeLimit: "500 millis", failures: 1_000 })
          const one = yield* Effect.provide(start(layer), log.layer)
          assert.match(log.warnings().join("\n"), /the password could not be had: the token service is away/)
          const read = one.service.store.read({ key: "a", known: [] })
          const error = yield* Effect.flip(read)
          assert.match(String(error.cause), /the token service is away/)
          assert.isFalse(error.mayHaveHappened)
          return read
        }))
      works = true
      for (const read of reads) yield* until("it is there", () => Effect.runPromise(Effect.isSuccess(read)))
    }))

  it.live("one that is no text is none", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const look = yield* lookAt(node.url)
      assert.strictEqual(yield* promise(() => look.ping()), "PONG")
      const log = listening()
      const password = Effect.succeed(7 as unknown as string)
      yield* Effect.provide(start(RedisCache.layer({ url: node.url, options: { password } })), log.layer)
      assert.match(log.warnings().join("\n"), /the password could not be had: it is no text/)
    }))
})
