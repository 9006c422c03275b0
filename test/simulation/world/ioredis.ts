/**
 * The library as it is in production, on `ioredis`: the package runs as it is,
 * and its sockets lead into the simulated network.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Redis } from "ioredis"
import { EventEmitter } from "node:events"
import type { CacheService } from "../../../src/CacheService.ts"
import type { Client } from "../../../src/internal/redis/client.ts"
import { open } from "../../../src/internal/redis/ioredis.ts"
import { all as allScripts } from "../../../src/internal/redis/scripts.ts"
import { targetOf } from "../../../src/internal/redis/target.ts"
import * as RedisCache from "../../../src/RedisCache.ts"
import { Failure, type Reply } from "../redis/reply.ts"
import type { Session } from "../redis/server.ts"
import type { Deployment } from "./client.ts"
import { encode as bytesOf, type Place } from "./connection.ts"
import type { Connect } from "./globals.ts"
import type { Link, Network } from "./network.ts"
import { CommandReader, encode, type Kind, type Protocol } from "./resp.ts"

// -----------------------------------------------------------------------------
// at the server
// -----------------------------------------------------------------------------

const kindOf = (name: string): Kind => {
  switch (name) {
    case "HELLO":
      return "map"
    case "INFO":
    case "CLUSTER":
      return "verbatim"
    case "SUBSCRIBE":
    case "UNSUBSCRIBE":
      return "push"
    default:
      return "plain"
  }
}

const isMessage = (pushed: Reply): boolean => Array.isArray(pushed) && pushed[0] === "message"

/** The server's end of a connection. */
class Service {
  private readonly reader = new CommandReader()
  private readonly session: Session
  private readonly network: Network
  private readonly link: Link
  private readonly deliver: (text: string) => void
  private protocol: Protocol = 2
  /** What is answered together is sent together. */
  private answers: string | undefined

  constructor(network: Network, link: Link, place: Place, deliver: (text: string) => void) {
    this.network = network
    this.link = link
    this.deliver = deliver
    this.session = place.server.open({ push: (message) => this.push(message), closed: () => link.cut() })
  }

  hear(text: string): void {
    this.network.sim.note(text)
    this.answers = ""
    for (const command of this.reader.read(text)) this.obey(command)
    this.flush()
    this.answers = undefined
  }

  close(): void {
    this.session.close()
  }

  private obey(command: ReadonlyArray<string>): void {
    const name = command[0]!.toUpperCase()
    const kind = kindOf(name)
    this.session.receive(command, (reply) => {
      if (name === "HELLO" && command[1] !== undefined && !(reply instanceof Failure)) {
        this.protocol = command[1] === "3" ? 3 : 2
      }
      this.answer(reply, kind)
    })
  }

  private push(message: Reply): void {
    // That a channel is listened to is no message: it is an answer.
    if (!isMessage(message)) return this.answer(message, "push")
    const text = encode(message, this.protocol, "push")
    // An answer that came before it is sent before it.
    this.flush()
    this.network.push(this.link, () => this.deliver(text))
  }

  private answer(reply: Reply, kind: Kind): void {
    const text = encode(reply, this.protocol, kind)
    if (this.answers === undefined) this.send(text)
    else this.answers += text
  }

  private flush(): void {
    const { answers } = this
    if (answers === undefined || answers === "") return
    this.answers = ""
    this.send(answers)
  }

  private send(text: string): void {
    inPieces(this.network, text, (piece) => this.link.toClient(() => this.deliver(piece)))
  }
}

// A network does not keep together what was sent together.
const inPieces = ({ random }: Network, text: string, send: (piece: string) => void): void => {
  if (!random.chance(0.02)) return send(text)
  const at = random.int(text.length + 1)
  send(text.slice(0, at))
  send(text.slice(at))
}

// -----------------------------------------------------------------------------
// at the client
// -----------------------------------------------------------------------------

const errorOf = (code: string, syscall: string): Error =>
  Object.assign(new Error(`${syscall} ${code}`), { code, syscall })

/** A socket, as far as the package knows one. Like those of Node it tells of its end later, when whoever has ended it is done. */
class SimulatedSocket extends EventEmitter {
  connecting = true
  destroyed = false
  writable = true
  bytesRead = 0
  private readonly network: Network
  private link: Link | undefined
  private service: Service | undefined
  private ending = false
  private alarm: NodeJS.Timeout | undefined

  constructor(network: Network, place: Place | undefined) {
    super()
    this.network = network
    if (place === undefined) this.destroy(errorOf("ENOTFOUND", "getaddrinfo"))
    else this.connect(place)
  }

  private connect(place: Place): void {
    const { network } = this
    const client = network.sim.current
    if (client === undefined) throw new Error("a process connects, and none runs")
    network.connect(
      {
        client,
        host: place.host,
        lost: () => this.destroy(network.random.chance(0.5) ? errorOf("ECONNRESET", "read") : undefined),
        closed: () => this.service?.close()
      },
      (link) => this.connected(link, place),
      () => this.destroy(errorOf("ECONNREFUSED", "connect"))
    )
  }

  private connected(link: Link, place: Place): void {
    if (this.destroyed) return link.leave()
    this.link = link
    this.service = new Service(this.network, link, place, (text) => this.hear(text))
    this.connecting = false
    this.emit("connect")
    if (this.ending) this.end()
  }

  private hear(text: string): void {
    if (this.destroyed) return
    this.network.sim.note(text)
    this.bytesRead += text.length
    this.emit("data", Buffer.from(text, "latin1"))
  }

  write(data: string | Buffer): boolean {
    const { link, service, writable } = this
    if (!writable || link === undefined || service === undefined) return false
    const text = typeof data === "string" ? bytesOf(data) : data.toString("latin1")
    inPieces(this.network, text, (piece) => link.toServer(() => service.hear(piece)))
    return true
  }

  /** Says farewell; the other end closes the connection once it has heard that. */
  end(): this {
    this.writable = false
    this.ending = true
    const { link, service } = this
    link?.toServer(() => {
      service?.close()
      link.toClient(() => this.destroy())
    })
    return this
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.connecting = false
    this.writable = false
    clearTimeout(this.alarm)
    this.link?.leave()
    setImmediate(() => {
      if (error !== undefined) this.emit("error", error)
      this.emit("close", error !== undefined)
    })
    return this
  }

  /** Only how long it takes to connect is asked for, and so what comes in does not put it off. */
  setTimeout(millis: number, run?: () => void): this {
    clearTimeout(this.alarm)
    if (millis > 0 && run !== undefined) this.alarm = setTimeout(run, millis)
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  resume(): this {
    return this
  }
}

// -----------------------------------------------------------------------------
// both
// -----------------------------------------------------------------------------

/** A name that leads wherever the deployment says at the time. */
const entrance = "cache"

const port = 6379

const placeIn = (deployment: Deployment, host: string, at: number): Place | undefined =>
  host === entrance ? deployment.entrance() : deployment.at(`${host}:${at}`)

/** What the processes of a world connect by, for `replaceGlobals`. */
export const socketsOf = (network: Network, deployment: Deployment): Connect => ({ host = "localhost", port: at }) =>
  new SimulatedSocket(network, placeIn(deployment, host, at))

/** How a process comes to its client. */
export interface Own {
  /** That of the package unless given: it asks for RESP3. */
  readonly protocol?: Protocol
  /** Whether the program has a client, and lends it. */
  readonly lent?: boolean
}

type Where = Pick<RedisCache.Options, "options" | "cluster" | "client">

type Spoken = Pick<Own, "protocol">

// Names of nodes are looked up by the socket.
const dnsLookup = (name: string, found: (error: null, address: string) => void): void => found(null, name)

const start = { host: entrance, port }

const made = (isCluster: boolean, spoken: Spoken): Where =>
  isCluster
    ? { cluster: { nodes: [start], options: spoken, cluster: { dnsLookup } } }
    : { options: { ...start, ...spoken } }

const lent = (isCluster: boolean, spoken: Spoken): Effect.Effect<Where, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => ({
      client: isCluster
        ? new Redis.Cluster([start], { dnsLookup, redisOptions: spoken })
        : new Redis({ ...start, ...spoken })
    })),
    ({ client }) => Effect.sync(() => client.disconnect())
  )

const whereOf = ({ isCluster }: Pick<Deployment, "isCluster">, own: Own): Effect.Effect<Where, never, Scope.Scope> => {
  const spoken = own.protocol === undefined ? {} : { protocol: own.protocol }
  return own.lent === true ? lent(isCluster, spoken) : Effect.succeed(made(isCluster, spoken))
}

/** The port of a client on the package, as the layer opens it. Like the layer it is made by a task of its process. */
export const openIoredis = (
  deployment: Pick<Deployment, "isCluster">,
  own: Own,
  patience: number
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.flatMap(whereOf(deployment, own), (where) => open(targetOf(where), allScripts, patience))

/** The layer as programs have it. */
export const layerOf = (
  deployment: Pick<Deployment, "isCluster">,
  own: Own = {},
  more: Omit<RedisCache.Options, "url" | keyof Where> = {}
): Layer.Layer<CacheService> =>
  Layer.unwrap(Effect.map(whereOf(deployment, own), (where) => RedisCache.layer({ ...more, ...where })))
