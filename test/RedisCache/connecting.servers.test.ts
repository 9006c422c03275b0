/**
 * Why there is no connection: the server's own words are in the warning at the
 * start and in what the store fails with, for every way to a server. And nothing
 * is read or written in another database than the one that was asked for.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Cluster, Redis } from "ioredis"
import { Redis as Redis5 } from "ioredis-5"
import { once } from "node:events"
import * as http from "node:http"
import type * as net from "node:net"
import * as tls from "node:tls"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Ioredis from "../../src/internal/redis/ioredis.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import { targetOf } from "../../src/internal/redis/target.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { type Server, startProxy, startServer } from "../support/redis.ts"
import { keysUnder, listening, lookAt, Origin, patient, promise, silent, start, until } from "../support/redisCache.ts"
import { certificate, certificateKey } from "../support/selfSigned.ts"

const server = (config: Record<string, string | number> = {}): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(promise(() => startServer({ config })), (one) => promise(() => one.stop()))

/** Gives the port. */
const listen = (make: () => net.Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      promise(async () => {
        const one = make()
        const sockets = new Set<net.Socket>()
        one.on("connection", (socket) => {
          sockets.add(socket)
          socket.on("error", () => undefined)
        })
        one.listen(0, "127.0.0.1")
        await once(one, "listening")
        return { one, sockets }
      }),
      ({ one, sockets }) =>
        Effect.sync(() => {
          one.close()
          for (const socket of sockets) socket.destroy()
        })
    ),
    ({ one }) => (one.address() as net.AddressInfo).port
  )

const secured = () => tls.createServer({ key: certificateKey, cert: certificate }).on("tlsClientError", () => undefined)

/** A server that nobody can use, and what it says. */
const bad: Record<string, readonly [Effect.Effect<string, never, Scope.Scope>, RegExp]> = {
  "a wrong password": [
    Effect.map(server({ requirepass: "right" }), ({ host, port }) => `redis://:wrong@${host}:${port}`),
    /WRONGPASS/
  ],
  "no password": [
    Effect.map(server({ requirepass: "right" }), ({ host, port }) => `redis://${host}:${port}`),
    /NOAUTH/
  ],
  "a closed port": [Effect.succeed("redis://127.0.0.1:1"), /ECONNREFUSED/],
  "an unknown host": [Effect.succeed("redis://no-such-host.invalid:6379"), /ENOTFOUND|EAI_AGAIN/],
  "a certificate that nobody has signed": [
    Effect.map(listen(secured), (port) => `rediss://localhost:${port}`),
    /self-signed certificate/
  ],
  "TLS where the server speaks plainly": [
    Effect.map(server(), ({ host, port }) => `rediss://${host}:${port}`),
    /TLS/
  ],
  "plain speech where the server wants TLS": [
    Effect.map(listen(secured), (port) => `redis://127.0.0.1:${port}`),
    /TLS|Protocol error|ECONNRESET/
  ],
  "too many clients": [
    Effect.gen(function*() {
      const { url } = yield* server({ maxclients: 1 })
      const client = yield* lookAt(url)
      yield* promise(() => client.ping())
      return url
    }),
    /max number of clients reached|too many clients/
  ],
  "a web server at the port": [
    Effect.map(
      listen(() => http.createServer((_, response) => response.end("hello"))),
      (port) => `redis://127.0.0.1:${port}`
    ),
    /got "H"|type 72/
  ]
}

const quick = { timeLimit: "400 millis", failures: 1_000 } as const

/** The warnings at the start, and what a read of the store fails with. */
const complaints = (options: RedisCache.Options) =>
  Effect.gen(function*() {
    const log = listening()
    const one = yield* Effect.provide(start(RedisCache.layer({ ...quick, ...options })), log.layer)
    const error = yield* Effect.flip(one.service.store.read({ key: "a", known: [] }))
    assert.instanceOf(error, CacheStore.StoreError)
    assert.isFalse(error.mayHaveHappened)
    return { warnings: log.warnings(), cause: String(error.cause) }
  })

const quickly = { connectTimeout: 400 }

describe("why there is no connection is told", () => {
  for (const [what, [make, words]] of Object.entries(bad)) {
    it.live(`${what}: by a url, and by clients that are lent`, () =>
      Effect.gen(function*() {
        const url = yield* make
        const six = yield* silent(() => new Redis(url, quickly))
        const five = yield* silent(() => new Redis5(url, { ...quickly, family: 0 }))
        yield* until("one has failed", () => six.status === "reconnecting" && five.status === "reconnecting")
        yield* Effect.forEach(
          [{ url }, { client: six }, { client: five }] satisfies ReadonlyArray<RedisCache.Options>,
          (options) =>
            Effect.gen(function*() {
              const { cause, warnings } = yield* complaints(options)
              assert.lengthOf(warnings, 1, warnings.join("\n"))
              assert.match(warnings[0]!, words)
              assert.match(cause, words)
            }),
          { concurrency: "unbounded" }
        )
      }))
  }

  const unreachable: Record<string, readonly [() => RedisCache.Options, RegExp]> = {
    "a cluster whose nodes are away": [
      () => ({ cluster: { nodes: ["redis://127.0.0.1:1", "redis://127.0.0.1:2"] } }),
      /None of startup nodes.*ECONNREFUSED|Failed to refresh slots cache.*ECONNREFUSED/
    ],
    "a cluster at an unknown host": [
      () => ({ cluster: { nodes: ["redis://no-such-host.invalid:6379"] } }),
      /ENOTFOUND|EAI_AGAIN/
    ],
    "Sentinels that are away": [
      () => ({ options: { sentinels: [{ host: "127.0.0.1", port: 1 }], name: "mymaster" } }),
      /All sentinels are unreachable.*ECONNREFUSED/
    ]
  }
  for (const [what, [options, words]] of Object.entries(unreachable)) {
    it.live(what, () =>
      Effect.gen(function*() {
        const { cause, warnings } = yield* complaints(options())
        assert.lengthOf(warnings, 1, warnings.join("\n"))
        assert.match(warnings[0]!, words)
        assert.match(cause, words)
      }))
  }

  it.live("a cluster's client that is lent", () =>
    Effect.gen(function*() {
      const client = yield* silent(() => new Cluster([{ host: "127.0.0.1", port: 1 }]))
      yield* until("it has failed", () => client.status === "reconnecting")
      const { cause, warnings } = yield* complaints({ client })
      assert.match(warnings.join("\n"), /None of startup nodes|Failed to refresh slots/)
      assert.match(cause, /None of startup nodes|Failed to refresh slots/)
    }))

  it.live("a cluster with a wrong password, by the words of its nodes", () =>
    Effect.gen(function*() {
      const node = yield* server({ "cluster-enabled": "yes", requirepass: "right" })
      const { cause, warnings } = yield* complaints({
        cluster: { nodes: [`redis://${node.host}:${node.port}`], options: { password: "wrong" } }
      })
      assert.match(warnings.join("\n"), /WRONGPASS/)
      assert.match(cause, /WRONGPASS/)
    }))

  it.live("a Sentinel that does not know the name", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const { cause, warnings } = yield* complaints({
        options: { sentinels: [{ host: node.host, port: node.port }], name: "mymaster" }
      })
      assert.match(warnings.join("\n"), /All sentinels are unreachable: failed to connect to sentinel/)
      assert.match(cause, /All sentinels are unreachable/)
    }))

  it.live("a connection that is lost amid a command", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const proxy = yield* Effect.acquireRelease(promise(() => startProxy(node)), (one) => promise(() => one.stop()))
      const client = yield* Ioredis.open(targetOf({ url: proxy.url }), Scripts.all, 20_000)
      const cut = proxy.cutAfter(1, ([command]) => /^mget$/i.test(command ?? ""))
      const error = yield* Effect.flip(client.get("look", ["a", "b"]))
      yield* promise(() => cut)
      assert.match(String(error.cause), /no connection: (?:read ECONNRESET|it was closed)/)
      assert.isTrue(error.mayHaveHappened)
    }))

  it.live("a connection that is lost later, and what is there again is used", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const one = yield* start(RedisCache.layer({ ...quick, url: node.url }))
      const read = one.service.store.read({ key: "a", known: [] })
      yield* read
      yield* promise(() => node.kill())
      yield* until("the port is closed", async () => {
        const error = await Effect.runPromise(Effect.flip(read))
        return /no connection:.*ECONNREFUSED/.test(String(error.cause))
      })
      yield* promise(() => node.restart())
      yield* until("it is there again", () => Effect.runPromise(Effect.isSuccess(read)))
    }))
})

// -----------------------------------------------------------------------------
// databases
// -----------------------------------------------------------------------------

const numbers = (origin: Origin) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, Policy.tagged("t"))

const grant = (client: Redis, name: string, rule: string) =>
  promise(() => client.call("ACL", "SETUSER", name, "reset", "resetchannels", "on", ">pass", ...rule.split(" ")))

const without = (rule: string) => rule.replace(" +select", "")

describe("a database that the server refuses", () => {
  const ways: Record<string, (url: string) => Effect.Effect<RedisCache.Options, never, Scope.Scope>> = {
    "a url": (url) => Effect.succeed({ url }),
    "a client that is lent while it connects": (url) =>
      Effect.map(silent(() => new Redis(url)), (client) => ({ client })),
    "a client that is lent before it connects": (url) =>
      Effect.map(silent(() => new Redis(url, { lazyConnect: true })), (client) => ({ client })),
    "a client that is lent when it is connected": (url) =>
      Effect.gen(function*() {
        const client = yield* silent(() => new Redis(url))
        yield* until("ready", () => client.status === "ready")
        return { client }
      }),
    "a client of version 5 that is not asked whether it is ready": (url) =>
      Effect.map(silent(() => new Redis5(url, { enableReadyCheck: false })), (client) => ({ client }))
  }
  for (const [what, way] of Object.entries(ways)) {
    it.live(`nothing is read or written anywhere else, by ${what}`, () =>
      Effect.gen(function*() {
        const node = yield* server()
        const look = yield* lookAt(node.url)
        const options = yield* way(`${node.url}/99`)
        const log = listening()
        const one = yield* Effect.provide(start(RedisCache.layer({ ...patient, ...options })), log.layer)
        assert.match(log.warnings().join("\n"), /SELECT 99 was refused: ERR DB index is out of range/)
        const origin = new Origin()
        yield* one.run(Cached.get(numbers(origin), "a"))
        yield* one.run(Cached.get(numbers(origin), "a"))
        assert.strictEqual(origin.loads, 2)
        const error = yield* Effect.flip(one.run(Cached.invalidate(numbers(origin), "a")))
        assert.isFalse(error.mayHaveHappened)
        assert.deepStrictEqual(yield* keysUnder(look, "*"), [])
      }))
  }

  it.live("two programs in two databases share nothing under the user of acl()", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const look = yield* lookAt(node.url)
      yield* grant(look, "cache", RedisCache.acl())
      const log = listening()
      const loads = yield* Effect.forEach([1, 2], (db) =>
        Effect.gen(function*() {
          const url = `redis://cache:pass@${node.host}:${node.port}/${db}`
          const one = yield* Effect.provide(start(RedisCache.layer({ ...patient, url })), log.layer)
          const origin = new Origin()
          origin.version = db
          const values = yield* Effect.forEach([1, 2], () => one.run(Cached.get(numbers(origin), "a")))
          return [origin.loads, ...values]
        }))
      assert.deepStrictEqual(log.warnings(), [])
      assert.deepStrictEqual(loads, [[1, 1, 1], [1, 2, 2]])
      assert.deepStrictEqual(yield* keysUnder(look, "cache"), [])
    }))

  it.live("at a later connection, nothing is read from another; and once it is allowed it is used", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const look = yield* lookAt(node.url)
      yield* grant(look, "cache", RedisCache.acl())
      const url = `redis://cache:pass@${node.host}:${node.port}/1`
      const client = yield* silent(() => new Redis(url))
      const layers = [RedisCache.layer({ ...patient, url }), RedisCache.layer({ ...patient, client })]
      for (const layer of layers) {
        yield* grant(look, "cache", RedisCache.acl())
        const one = yield* start(layer)
        const read = one.service.store.read({ key: "a", known: [] })
        yield* until("it is there", () => Effect.runPromise(Effect.isSuccess(read)))
        yield* grant(look, "cache", without(RedisCache.acl()))
        yield* promise(() => look.call("CLIENT", "KILL", "TYPE", "normal"))
        yield* until("it is refused", async () => {
          const error = await Effect.runPromise(Effect.flip(read))
          return /SELECT 1 was refused: NOPERM/.test(String(error.cause))
        })
        yield* grant(look, "cache", RedisCache.acl())
        yield* until("it is there again", () => Effect.runPromise(Effect.isSuccess(read)))
      }
      assert.deepStrictEqual(yield* keysUnder(look, "cache"), [])
    }))

  it.live("a connection beside one that is lent is at the database where that is now", () =>
    Effect.gen(function*() {
      const node = yield* server()
      const look = yield* lookAt(node.url)
      const client = yield* silent(() => new Redis(node.url))
      yield* promise(() => client.select(5))
      const port = yield* Ioredis.open({ _tag: "Client", client }, Scripts.all, 20_000)
      const beside = yield* port.beside
      yield* beside.primaries()[0]!.command("write", "SET", "k", "v")
      yield* promise(() => look.select(5))
      assert.strictEqual(yield* promise(() => look.get("k")), "v")
    }))
})
