/**
 * What tests of the cache on Redis share: ways to a server, processes' worth of
 * connections, and an origin whose loads begin and end when a test says so.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { Cluster, Redis } from "ioredis"
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis-5"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import type * as RedisClient from "../../src/internal/redis/client.ts"
import * as Ioredis from "../../src/internal/redis/ioredis.ts"
import * as Notices from "../../src/internal/redis/notices.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import * as Store from "../../src/internal/redis/store.ts"
import * as Target from "../../src/internal/redis/target.ts"
import * as Transport from "../../src/internal/redis/transport.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { serviceOn } from "./port.ts"
import { eventually } from "./redis.ts"
import { clusterNodes, nodeUrl } from "./sharedRedis.ts"

export type Client = Redis | Cluster

// -----------------------------------------------------------------------------
// ways to a server
// -----------------------------------------------------------------------------

/** A way to the servers that all tests share. */
export interface Way {
  readonly name: string
  readonly layer: (
    more: Omit<RedisCache.Options, "url" | "cluster" | "client">
  ) => Layer.Layer<CacheService.CacheService>
  /** A client to look and to arrange things with. */
  readonly look: Effect.Effect<Client, never, Scope.Scope>
}

const released = <C extends { disconnect(): void }>(make: () => C): Effect.Effect<C, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (client) => Effect.sync(() => client.disconnect()))

export const lookAt = (url: string): Effect.Effect<Redis, never, Scope.Scope> => released(() => new Redis(url))

const lookAtNode = Effect.suspend(() => lookAt(nodeUrl()))

// It knows its nodes only once it is ready.
const lookAtCluster = Effect.tap(
  released(() => new Cluster(clusterNodes())),
  (client) => until("the cluster's client is ready", () => client.status === "ready")
)

/**
 * How long a store may take where nothing is wrong with it: a machine that stalls is no store that has failed, and loads
 * are counted.
 */
export const patient = { timeLimit: "20 seconds" } as const

/** A layer with a client that is made for it, and lent. */
export const lent =
  <C extends NonNullable<RedisCache.Options["client"]> & { disconnect(): void }>(make: () => C): Way["layer"] =>
  (more) => Layer.unwrap(Effect.map(released(make), (client) => RedisCache.layer({ client, ...patient, ...more })))

/** The port of a client on the shared node. */
export const nodeClient: Effect.Effect<RedisClient.Client, never, Scope.Scope> = Effect.suspend(() =>
  Ioredis.open(Target.targetOf({ url: nodeUrl() }), Scripts.all, 20_000)
)

/**
 * A store on the shared node from its parts. With `split` its steps come apart, as they do in a cluster; `between` stands
 * between it and its transport, and `below` between that and its client.
 */
export const storeOf = (
  prefix: string,
  split: boolean,
  between: (transport: Transport.Transport) => Transport.Transport = (transport) => transport,
  below: (client: RedisClient.Client) => RedisClient.Client = (client) => client
): Effect.Effect<CacheStore.CacheStore, never, Scope.Scope> =>
  Effect.gen(function*() {
    const client = below(yield* nodeClient)
    const transport = Transport.make(client, { writer: client, acknowledgement: undefined })
    const notices = yield* Notices.listen(client, prefix, crypto.randomUUID(), 1000)
    const settings = { prefix, journal: 10_000, longest: 86_400_000, remember: 1_000_000, split }
    return Store.make(between(transport), settings, notices)
  })

const apart: Way["layer"] = ({ prefix = "cache" }) =>
  serviceOn(Effect.map(storeOf(prefix, true), (store) => CacheStore.guard(store, patient)))

export const oneNode: Way = {
  name: "one node",
  layer: (more) => RedisCache.layer({ url: nodeUrl(), ...patient, ...more }),
  look: lookAtNode
}

export const cluster: Way = {
  name: "a cluster",
  layer: (more) => RedisCache.layer({ cluster: { nodes: clusterNodes() }, ...patient, ...more }),
  look: lookAtCluster
}

export const stepsApart: Way = { name: "steps apart on one node", layer: apart, look: lookAtNode }

export const lentNode5: Way = {
  name: "a lent client of ioredis 5",
  layer: lent(() => new Redis5(nodeUrl())),
  look: lookAtNode
}

export const lentCluster5: Way = {
  name: "a lent cluster client of ioredis 5",
  layer: lent(() => new Cluster5(clusterNodes())),
  look: lookAtCluster
}

/** The two that everything is tried on. */
export const both: ReadonlyArray<Way> = [oneNode, cluster]

// -----------------------------------------------------------------------------
// keys
// -----------------------------------------------------------------------------

/** Where things lie under a prefix. */
export const places = (prefix: string) => ({
  entry: (key: string) => `${prefix}:e:{${key}}`,
  lease: (key: string) => `${prefix}:l:{${key}}`,
  marker: (name: string) => `${prefix}:m:{${name}}`,
  keyMarker: (key: string) => `${prefix}:k:{${key}}`,
  journal: `${prefix}:j:{journal}`,
  fences: `${prefix}:f:{journal}`,
  protocol: `${prefix}:v:{protocol}`
})

export const nodesOf = (client: Client): ReadonlyArray<Redis> =>
  client instanceof Redis ? [client] : client.nodes("master")

export const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** All keys that begin with a prefix, on every node. */
export const keysUnder = (client: Client, prefix: string): Effect.Effect<ReadonlyArray<string>> =>
  promise(async () => (await Promise.all(nodesOf(client).map((node) => node.keys(`${prefix}:*`)))).flat().sort())

/** Waits until the time of each server has gone on by so much. */
export const serversGoOn = (client: Client, millis: number): Effect.Effect<void> =>
  promise(async () => {
    const micros = async (node: ReturnType<typeof nodesOf>[number]) => {
      const [seconds, rest] = await node.time()
      return Number(seconds) * 1_000_000 + Number(rest)
    }
    const nodes = nodesOf(client)
    const before = await Promise.all(nodes.map(micros))
    for (const [i, node] of nodes.entries()) {
      for (;;) {
        const left = millis - ((await micros(node)) - before[i]!) / 1000
        if (left <= 0) break
        await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)))
      }
    }
  })

/** Waits for something to become so, by the real clock, with a limit. */
export const until = <A>(
  what: string,
  ask: () => A | undefined | false | Promise<A | undefined | false>,
  limit = 30_000
): Effect.Effect<A> => promise(() => eventually(what, ask, limit))

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

/** Runs programs on a service of its own. */
export interface Process {
  readonly service: CacheService.CacheService
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, CacheService.CacheService>>
}

/** What a process has: connections, loads under way and counters of its own. */
export const start = <E>(
  layer: Layer.Layer<CacheService.CacheService, E>
): Effect.Effect<Process, E, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => {
    const service = Context.get(context, CacheService.CacheService)
    return { service, run: (effect) => Effect.provideService(effect, CacheService.CacheService, service) }
  })

/** A clock that is wrong by some milliseconds. */
export const skewed = (millis: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const now = () => clock.currentTimeMillisUnsafe() + millis
    const wrong: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
      currentTimeMillisUnsafe: now,
      currentTimeMillis: Effect.sync(now)
    })
    return Effect.provideService(effect, Clock.Clock, wrong)
  })

/** Under a clock on which no sleep ends: whoever waits and comes back was woken, and has not polled. */
export const sleepless = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const clock = Object.create(fiber.getRef(Clock.Clock)) as Clock.Clock
    return Effect.provideService(effect, Clock.Clock, Object.assign(clock, { sleep: () => Effect.never }))
  })

// -----------------------------------------------------------------------------
// logs
// -----------------------------------------------------------------------------

/** Collects what is logged, from debug on. */
export const listening = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ cause, fiber, logLevel, message }) => {
    const annotations = fiber.getRef(References.CurrentLogAnnotations)
    lines.push([logLevel, String(message), JSON.stringify(annotations), String(cause)].join(" "))
  })
  const layer = Layer.merge(
    Logger.layer([logger]),
    Layer.succeed(References.MinimumLogLevel, "Trace")
  )
  return { lines, warnings: () => lines.filter((line) => line.startsWith("Warn")), layer }
}

// -----------------------------------------------------------------------------
// an origin
// -----------------------------------------------------------------------------

interface Held {
  readonly version: number
  readonly go: Deferred.Deferred<void>
}

/**
 * An origin of one version. Once it holds, each load that begins reads the
 * version, and answers with it when it is let go.
 */
export class Origin {
  version = 0
  loads = 0
  private holds = false
  private readonly held: Array<Held> = []

  /** The next loads wait. */
  hold(): void {
    this.holds = true
  }

  readonly load: Effect.Effect<number> = Effect.suspend(() => {
    this.loads++
    const { version } = this
    if (!this.holds) return Effect.succeed(version)
    const go = Deferred.makeUnsafe<void>()
    this.held.push({ version, go })
    return Effect.as(Deferred.await(go), version)
  })

  /** Waits until so many loads have begun. */
  begun(loads: number): Effect.Effect<void> {
    return Effect.asVoid(until(`${loads} loads have begun`, () => this.loads >= loads))
  }

  /** Lets go those that wait; later ones do not wait. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => {
    this.holds = false
    return Effect.forEach(this.held.splice(0), ({ go }) => Deferred.succeed(go, undefined), { discard: true })
  })
}

/** A client that is disconnected with the scope, and whose errors nobody need hear. */
export const silent = <C extends { on(event: "error", listener: () => void): unknown; disconnect(): void }>(
  make: () => C
) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = make()
      client.on("error", () => undefined)
      return client
    }),
    (client) => Effect.sync(() => client.disconnect())
  )
