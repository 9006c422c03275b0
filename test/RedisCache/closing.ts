/**
 * A program that opens a layer on a server that is away, reads, closes it, and
 * has nothing else to do: prints for how many milliseconds it is kept from
 * ending. Run with the name of a way to a server.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Redis } from "ioredis"
import { once } from "node:events"
import * as net from "node:net"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"

const away = { host: "127.0.0.1", port: 1 }

/** Takes connections, and never answers. */
const mute = async (): Promise<net.Server> => {
  const server = net.createServer((socket) => socket.on("error", () => undefined).resume())
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return server
}

interface Way {
  readonly options: RedisCache.Options
  readonly end?: () => void
}

const ways: Record<string, () => Promise<Way>> = {
  node: async () => ({ options: { options: away } }),
  replicas: async () => ({ options: { options: away, acknowledge: "replicas" } }),
  sentinel: async () => ({ options: { options: { sentinels: [away], name: "main" } } }),
  cluster: async () => ({ options: { cluster: { nodes: [away] } } }),
  lent: async () => {
    const client = new Redis({ ...away, retryStrategy: () => 10_000 })
    client.on("error", () => undefined)
    // The timer of the client itself is not of the layer.
    return { options: { client }, end: () => void client.disconnect() }
  },
  mute: async () => {
    const server = await mute()
    const { port } = server.address() as net.AddressInfo
    const sockets = new Set<net.Socket>()
    server.on("connection", (socket) => sockets.add(socket))
    const end = (): void => {
      server.close()
      for (const socket of sockets) socket.unref()
    }
    return { options: { options: { host: "127.0.0.1", port } }, end }
  }
}

const cached = Cached.make(
  "one",
  { key: Key.string("of"), value: Schema.Int, lookup: () => Effect.succeed(1) },
  Policy.ttl("1 minute")
)

const { end, options } = await ways[process.argv[2]!]!()
const layer = RedisCache.layer({ timeLimit: "300 millis", ...options })
await Effect.runPromise(Effect.provide(Cached.get(cached, "a"), layer))
const closed = performance.now()
end?.()
process.on("exit", () => console.log(`kept for ${Math.round(performance.now() - closed)} ms`))
