/**
 * A program that opens layers on servers that are away, reads, and closes them.
 * It prints for each what would keep it from ending a moment later, and ends.
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
    // What the client itself has is not of the layer.
    const client = new Redis({ ...away, retryStrategy: null })
    client.on("error", () => undefined)
    return { options: { client } }
  },
  mute: async () => {
    const server = await mute()
    const { port } = server.address() as net.AddressInfo
    const sockets = new Set<net.Socket>()
    server.on("connection", (socket) => sockets.add(socket))
    const end = (): void => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    return { options: { options: { host: "127.0.0.1", port } }, end }
  }
}

const cached = Cached.make(
  "one",
  { key: Key.string("of"), value: Schema.Int, lookup: () => Effect.succeed(1) },
  Policy.ttl("1 minute")
)

const moment = 200

for (const [name, way] of Object.entries(ways)) {
  const { end, options } = await way()
  const layer = RedisCache.layer({ timeLimit: "300 millis", ...options })
  await Effect.runPromise(Effect.provide(Cached.get(cached, "a"), layer))
  end?.()
  await new Promise((resolve) => setTimeout(resolve, moment))
  const left = process.getActiveResourcesInfo().filter((one) => /Timeout|TCP|TLS/.test(one))
  console.log(JSON.stringify({ name, left }))
}
