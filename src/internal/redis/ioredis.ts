/**
 * The port of a client, on the package `ioredis` (5.8 or 6). It is an optional
 * peer, loaded here and nowhere else, when a layer that connects is built. What
 * its clients are like is known to the files that this one is made of: `raw.ts`,
 * `options.ts`, `connectors.ts`, `link.ts`, `lines.ts`, `routes.ts` and
 * `pipelines.ts`.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../CacheStore.ts"
import { inRealTime } from "../realClock.ts"
import { type Client, type Listener, type Node, unavailable, type Wait } from "./client.ts"
import { disconnectWithin, late, type Module, nodeConnector, sentinelConnector, type Sockets } from "./connectors.ts"
import { runIn } from "./info.ts"
import { bare, type Link, NotSent, reasonOf, watch } from "./link.ts"
import { valuesOf } from "./pipelines.ts"
import { clusterOf, type Pipeline, primariesOf, type Raw, refresh } from "./raw.ts"
import * as Routes from "./routes.ts"
import type { Script } from "./scripts.ts"
import { sha1 } from "./sha1.ts"
import type { Target } from "./target.ts"
import { isReadOnly, isRefusal } from "./words.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

// The command never left this process.
const unsent = /enableOfflineQueue|Cluster isn't ready|None of startup nodes|ECONNREFUSED|ENOTFOUND/

/** A script may have done a part of its work before it failed; what the server refused as a whole did not happen. */
export const toStoreError = (operation: string, error: unknown, link?: Link): StoreError => {
  const { message } = bare(error)
  const isKnown = error instanceof NotSent || isRefusal(message) || unsent.test(message)
  return unavailable(operation, link?.explain(error) ?? bare(error), !isKnown)
}

const beginsWith = (error: unknown, word: string): boolean => error instanceof Error && error.message.startsWith(word)

type Ask = <A>(operation: string, send: () => Promise<A>) => Effect.Effect<A, StoreError>

// A redirection is followed by the package, but not where it has put commands of several slots into one pipeline: it
// would go on asking the wrong node.
const askBy = (raw: Raw, link: Link): Ask => (operation, send) =>
  Effect.callback((resume) => {
    const fail = (error: unknown) => {
      if (beginsWith(error, "MOVED ")) refresh(raw)
      resume(Effect.fail(toStoreError(operation, error, link)))
    }
    try {
      link.send(send).then((answer) => resume(Effect.succeed(answer)), fail)
    } catch (error) {
      fail(error)
    }
  })

// -----------------------------------------------------------------------------
// commands
// -----------------------------------------------------------------------------

// What was written only to be waited for.
const acknowledgementLife = 1000

const waiting = (pipeline: Pipeline, { key, replicas, within }: Wait): Pipeline =>
  pipeline.call("SET", key, "", "PX", acknowledgementLife).call("WAIT", replicas, within)

const nodeOf = (raw: Raw, ask: Ask): Node => ({
  command: (operation, ...command) => ask(operation, () => raw.call(...command)),
  wait: (operation, wait) =>
    Effect.map(ask(operation, () => valuesOf(waiting(raw.pipeline(), wait))), ([, count]) => count)
})

/** Names of scripts by which the server remembers them. */
export type Hashes = ReadonlyMap<Script, string>

export const hashAll = (scripts: ReadonlyArray<Script>): Effect.Effect<Hashes> =>
  Effect.map(
    Effect.forEach(scripts, ({ source }) => sha1(source)),
    (hashes) => new Map(scripts.map((script, i) => [script, hashes[i]!]))
  )

/** A client of the package, and how more like it are made. */
interface Source {
  readonly raw: Raw
  readonly link: Link
  /** Another one with the same options, as they are then. */
  readonly beside: Effect.Effect<Source, never, Scope.Scope>
  /** The options that may have changed since the client was made. */
  readonly fresh: Effect.Effect<object, Error>
}

/** The port on a client that is there. */
const adapt = (source: Source, routes: Routes.Routes, hashes: Hashes, patience: number): Client => {
  const { link, raw } = source
  const ask = askBy(raw, link)

  // A script that the server has forgotten is sent as a whole once, and then remembered again.
  const orWhole = <A>(send: (whole: boolean) => Promise<A>): Promise<A> =>
    send(false).catch((error) => beginsWith(error, "NOSCRIPT") ? send(true) : Promise.reject(error))

  const named = (script: Script, whole: boolean): string => whole ? script.source : hashes.get(script)!

  return {
    isCluster: raw.isCluster,
    connections: routes.connections,
    trouble: () => link.trouble,
    get: (operation, keys) =>
      Effect.suspend(() => {
        const way = routes.way()
        return askBy(way.raw, way.link)(operation, () => routes.get(keys))
      }),
    time: (operation) =>
      Effect.suspend(() => {
        const way = routes.way()
        return askBy(way.raw, way.link)(operation, routes.time)
      }),
    script: (operation, script, keys, args) =>
      ask(
        operation,
        () =>
          orWhole((whole) => raw[whole ? "eval" : "evalsha"](named(script, whole), keys.length, keys, args))
            .then(routes.settled)
      ),
    scriptAndWait: (operation, script, keys, args, wait) =>
      Effect.map(
        ask(operation, () =>
          orWhole((whole) => {
            const sent = raw.pipeline()[whole ? "eval" : "evalsha"](named(script, whole), keys.length, keys, args)
            return valuesOf(waiting(sent, wait))
          })),
        ([answer, , count]) => [answer, count]
      ),
    publish: (operation, channel, message) => Effect.asVoid(ask(operation, () => raw.publish(channel, message))),
    primaries: () => primariesOf(raw).map((node) => nodeOf(node, ask)),
    refresh: () => refresh(raw),
    beside: Effect.map(source.beside, (made) => {
      routes.add(made)
      return adapt(made, routes, hashes, patience)
    }),
    listen: (channels, listener) =>
      Effect.asVoid(Effect.forkScoped(listening(source, routes, patience, channels, listener)))
  }
}

// -----------------------------------------------------------------------------
// connections
// -----------------------------------------------------------------------------

interface Loaded {
  readonly module: Module
  readonly sockets: Sockets
}

const load: Effect.Effect<Loaded> = Effect.promise(async () => {
  const module = await import("ioredis").catch((cause: unknown) => {
    throw new Error(whyNotLoaded(cause), { cause })
  })
  const [net, tls] = await Promise.all([import("node:net"), import("node:tls")])
  return {
    // A bundler may put what a package exports below `default`.
    module: ("Redis" in module ? module : (module as { readonly default: unknown }).default) as Module,
    sockets: { plain: (options) => net.connect(options as never), secure: (options) => tls.connect(options) }
  }
})

/** Whether the package itself is missing, or could not be run. */
export const whyNotLoaded = (cause: unknown): string => {
  const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown }
  return /^(?:ERR_)?MODULE_NOT_FOUND$/.test(String(code)) && /['"]ioredis['"]/.test(String(message))
    ? "RedisCache needs the package \"ioredis\": npm install ioredis"
    : `RedisCache could not load the package "ioredis": ${String(message)}`
}

const reconnectAfter = (times: number): number => Math.min(50 * 2 ** Math.min(times, 10), 2000)

/** What a client of ours needs whatever it is told: it is connected, and connected again, by `keepConnected`. */
const ours = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  retryStrategy: null,
  stringNumbers: false
}

/**
 * A command that cannot be sent fails at once, and one that was sent is not sent
 * again: the store's own retries know what may be repeated, and a read does not
 * wait for a server that is not there.
 */
const nodeDefaults = (patience: number) => ({
  connectionName: "effect-cache-algebra",
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  connectTimeout: patience,
  disconnectTimeout: disconnectWithin,
  // Who cannot reach any Sentinel begins anew, as with a server.
  sentinelRetryStrategy: null
})

// A replica that was the primary: the connection leads to the wrong node, and a new one finds the right one.
const isMoved = (error: Error): boolean => isReadOnly(error.message)

type Reconnect = ((error: Error) => unknown) | null

// Only the store knows what may be sent again (2).
const isMovedOr = (given: Reconnect | undefined) => (error: Error): boolean => isMoved(error) || Boolean(given?.(error))

// A handshake that takes longer than that many milliseconds is begun anew.
const handshakeWithin = 10_000

const clusterDefaults = (patience: number) => ({
  enableAutoPipelining: true,
  slotsRefreshTimeout: patience,
  // What one command waits for while the cluster changes must fit into a time limit.
  maxRedirections: 5,
  retryDelayOnFailover: 50,
  retryDelayOnClusterDown: 50,
  retryDelayOnTryAgain: 50
})

/** Without what is absent, and with the secrets as they are. */
const plainly = (options: object): object =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
  )

const emitterOf = (raw: unknown) => raw as { emit(event: string, ...args: Array<unknown>): void }

type ClusterRetry = (this: unknown, times: number, reason?: Error) => unknown

/** What a cluster could not begin for, such as an unknown host, the package tells nobody else. */
const telling = (retry: ClusterRetry): ClusterRetry =>
  function(times, reason) {
    if (reason !== undefined) emitterOf(this).emit("error", reason)
    return retry.call(this, times, reason)
  }

type NodeTarget = Extract<Target, { readonly _tag: "Node" }>

const constructNode = ({ module }: Loaded, { options }: NodeTarget, patience: number): Raw => {
  const given = plainly(options) as { readonly sentinels?: unknown; readonly reconnectOnError?: Reconnect }
  const connector = given.sentinels === undefined ? {} : { Connector: sentinelConnector(module) }
  const reconnectOnError = isMovedOr(given.reconnectOnError)
  return new module.Redis({ ...nodeDefaults(patience), ...connector, ...given, ...ours, reconnectOnError })
}

type ClusterTarget = Extract<Target, { readonly _tag: "Cluster" }>

const constructCluster = ({ module, sockets }: Loaded, target: ClusterTarget, patience: number): Raw => {
  const { connectionName, connectTimeout, disconnectTimeout } = nodeDefaults(patience)
  const { clusterRetryStrategy = reconnectAfter, ...rest } = plainly(target.options) as {
    readonly clusterRetryStrategy?: ClusterRetry
  }
  let password = ""
  const renew = async (): Promise<void> => {
    if (target.password !== undefined) password = await Effect.runPromise(target.password)
  }
  const tell = (error: Error, node: string): void => {
    emitterOf(raw).emit("node error", error, node)
  }
  const Connector = nodeConnector(module, sockets, renew, tell)
  const options = {
    ...clusterDefaults(patience),
    ...rest,
    clusterRetryStrategy: telling(clusterRetryStrategy),
    lazyConnect: true,
    enableOfflineQueue: false,
    redisOptions: {
      connectionName,
      connectTimeout,
      disconnectTimeout,
      Connector,
      ...plainly(target.nodeOptions),
      stringNumbers: false,
      ...(target.password === undefined ? {} : { Connector, password: late(() => password) })
    }
  }
  const raw = new module.Cluster(target.nodes, options)
  return raw
}

/** A client of our own: its errors are those of what is asked of it, and it ends with the scope. */
const owned = (make: () => Raw): Effect.Effect<Raw, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const raw = make()
      raw.on("error", () => {})
      return raw
    }),
    (raw) =>
      Effect.sync(() => {
        if (raw.isCluster || raw.status !== "end") raw.disconnect()
      })
  )

/** Connects, and gives whether it could. */
const connect = (raw: Raw): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    raw.connect().then(() => resume(Effect.succeed(true)), () => resume(Effect.succeed(false)))
  })

/** Waits until a client of one node has given up its connection. */
const ended = (raw: Raw): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const leave = (): void => {
      raw.off("end", end)
    }
    const end = (): void => {
      leave()
      resume(Effect.void)
    }
    if (raw.status === "end") return end()
    raw.on("end", end)
    return Effect.sync(leave)
  })

/** One connection from its making until it is lost; gives whether there was one. */
const connectOnce = ({ fresh, link, raw }: Source, settled: Effect.Effect<unknown>): Effect.Effect<boolean> =>
  Effect.matchEffect(fresh, {
    onFailure: (error) => {
      link.fail(reasonOf(error))
      return Effect.as(settled, false)
    },
    onSuccess: (options) => {
      Object.assign(raw.options, options)
      const anew = Effect.sync(() => {
        raw.disconnect()
        return false
      })
      return Effect.tap(
        inRealTime(Effect.timeoutOrElse(connect(raw), { duration: handshakeWithin, orElse: () => anew })),
        () => Effect.andThen(settled, ended(raw))
      )
    }
  })

type Retry = (times: number) => unknown

/** The pause before a connection: that of the options, if they have one. */
const pauseAfter = (retry: Retry | undefined, times: number): number => {
  const pause = retry?.(times)
  return typeof pause === "number" && pause >= 0 ? pause : reconnectAfter(times)
}

/** Connects a client of one node again and again, each time with the options as they are then. */
const keepConnected = (
  source: Source,
  retry: Retry | undefined,
  settled: Effect.Effect<unknown>
): Effect.Effect<never> => {
  let failures = 0
  return Effect.forever(Effect.flatMap(connectOnce(source, settled), (connected) => {
    failures = connected ? 1 : failures + 1
    return inRealTime(Effect.sleep(pauseAfter(retry, failures)))
  }))
}

const within = (effect: Effect.Effect<unknown>, patience: number): Effect.Effect<void> =>
  Effect.timeoutOrElse(Effect.asVoid(effect), { duration: patience, orElse: () => Effect.void })

const nothing: Effect.Effect<object> = Effect.succeed({})

/** A client of our own, connected as far as it can be within the time that is given. */
const made = (
  make: () => Raw,
  fresh: Source["fresh"],
  patience: number,
  retry?: Retry
): Effect.Effect<Source, never, Scope.Scope> =>
  Effect.gen(function*() {
    const raw = yield* owned(make)
    const link = yield* watch(raw, true)
    const source = { raw, link, fresh, beside: Effect.suspend(() => made(make, fresh, patience, retry)) }
    if (raw.isCluster) {
      yield* within(connect(raw), patience)
    } else {
      const settled = yield* Deferred.make<void>()
      yield* Effect.forkScoped(keepConnected(source, retry, Deferred.succeed(settled, undefined)))
      yield* within(Deferred.await(settled), patience)
    }
    return source
  })

const redisOptionsOf = (raw: Raw): { readonly password?: string } =>
  (raw.options as { readonly redisOptions?: object }).redisOptions ?? {}

/** The password of a cluster's nodes now, if there is one for all. */
const passwordOf = (raw: Raw): { readonly password?: string } => {
  const { password } = redisOptionsOf(raw)
  return password === undefined ? {} : { password }
}

const besideCluster = (raw: Raw): Raw => {
  const { password } = passwordOf(raw)
  const redisOptions = {
    ...redisOptionsOf(raw),
    disconnectTimeout: disconnectWithin,
    stringNumbers: false,
    ...(password === undefined ? {} : { password: late(() => passwordOf(raw).password ?? "") })
  }
  const options = { lazyConnect: true, enableOfflineQueue: false, himportFieldsets: undefined, redisOptions }
  return clusterOf(raw).duplicate([], options) as Raw
}

/** A client that was lent is already connecting, or connected. */
const lent = (raw: Raw, patience: number): Effect.Effect<Source, never, Scope.Scope> =>
  Effect.map(watch(raw, false), (link) => {
    const options = () => ({
      ...raw.options,
      ...ours,
      disconnectTimeout: disconnectWithin,
      sentinelRetryStrategy: null,
      reconnectOnError: isMovedOr((raw.options as { readonly reconnectOnError?: Reconnect }).reconnectOnError),
      himportFieldsets: undefined,
      db: raw.condition?.select ?? (raw.options as { readonly db?: number }).db
    })
    return raw.isCluster
      ? {
        raw,
        link,
        fresh: Effect.sync(() => passwordOf(raw)),
        beside: made(() => besideCluster(raw), nothing, patience)
      }
      : {
        raw,
        link,
        fresh: nothing,
        beside: made(() => raw.duplicate(options()) as Raw, Effect.sync(options), patience)
      }
  })

const sourceOf = (target: Target, patience: number): Effect.Effect<Source, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (target._tag === "Client") return yield* lent(target.client as Raw, patience)
    const loaded = yield* load
    if (target._tag === "Cluster") {
      return yield* made(() => constructCluster(loaded, target, patience), nothing, patience)
    }
    const fresh = target.password === undefined ? nothing : Effect.map(target.password, (password) => ({ password }))
    const { retryStrategy } = target.options as { readonly retryStrategy?: Retry }
    return yield* made(() => constructNode(loaded, target, patience), fresh, patience, retryStrategy)
  })

/** How connections like these are made. */
const makingFrom = ({ beside, fresh, raw }: Source, patience: number): Routes.Making => {
  const optionsOf = (like: Raw) => ({
    ...like.options,
    ...ours,
    maxRetriesPerRequest: 0,
    enableAutoPipelining: true,
    himportFieldsets: undefined
  })
  return {
    connect: (like) =>
      like === raw
        ? beside
        : made(
          () => like.duplicate(optionsOf(like)) as Raw,
          Effect.map(fresh, (options) => ({ ...optionsOf(like), ...options })),
          patience
        ),
    isAnswered: (like, writes) =>
      Effect.scoped(Effect.gen(function*() {
        const options = yield* fresh
        const own = yield* owned(() => like.duplicate({ ...once, ...options }) as Raw)
        const answer = Effect.promise(() =>
          own.connect().then(() => writes ? own.call("EVAL", "return 1", 0) : own.call("PING")).then(
            () => true,
            isAnswer
          )
        )
        return yield* inRealTime(
          Effect.timeoutOrElse(answer, { duration: patience, orElse: () => Effect.succeed(false) })
        )
      })).pipe(Effect.orElseSucceed(() => false)),
    patience
  }
}

// What a server refuses it has answered.
const isAnswer = (error: unknown): boolean => error instanceof Error && error.name === "ReplyError"

/** The client to work with, started as far as it can be within the time that is given. */
export const open = (
  target: Target,
  scripts: ReadonlyArray<Script>,
  patience: number
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.gen(function*() {
    const hashes = yield* hashAll(scripts)
    const source = yield* sourceOf(target, patience)
    const routes = yield* Routes.make(source, target._tag !== "Client", makingFrom(source, patience))
    return adapt(source, routes, hashes, patience)
  })

// -----------------------------------------------------------------------------
// listening
// -----------------------------------------------------------------------------

// The package would connect and subscribe again by itself, and hide that messages were lost meanwhile.
const once = {
  lazyConnect: true,
  disconnectTimeout: disconnectWithin,
  // What is published is heard in every database.
  db: 0,
  himportFieldsets: undefined,
  enableOfflineQueue: true,
  maxRetriesPerRequest: null,
  autoResubscribe: false,
  retryStrategy: null
}

/** In a cluster each node gets what is published at any other. Drawn at random, so that not all listen at the same one. */
const nodeToListenAt = (raw: Raw): Effect.Effect<Raw | undefined> =>
  raw.isCluster
    ? Effect.suspend(() => {
      const nodes = primariesOf(raw)
      return nodes.length === 0
        ? Effect.succeed(undefined)
        : Effect.map(Random.nextIntBetween(0, nodes.length, { halfOpen: true }), (i) => nodes[i])
    })
    : Effect.succeed(raw)

const isSameNode = (a: Raw, b: Raw): boolean => {
  const [one, other] = [a.options, b.options] as ReadonlyArray<{ readonly host?: unknown; readonly port?: unknown }>
  return one?.host === other?.host && one?.port === other?.port
}

/** One connection, from its making until it is lost; gives whether it has listened. */
const listenOnce = (
  { fresh, raw }: Source,
  routes: Routes.Routes,
  patience: number,
  channels: ReadonlyArray<string>,
  listener: Listener
): Effect.Effect<boolean> =>
  Effect.scoped(Effect.gen(function*() {
    const node = yield* nodeToListenAt(raw)
    const options = yield* Effect.option(fresh)
    if (node === undefined || Option.isNone(options)) return false
    const own = yield* owned(() => node.duplicate({ ...once, ...options.value }) as Raw)
    // A node that leaves the cluster gets nothing of it any more, though its connection may stand.
    const leave = (gone: Raw): void => {
      if (isSameNode(gone, node)) own.disconnect()
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => raw.on("-node", leave)),
      () => Effect.sync(() => raw.off("-node", leave))
    )
    yield* Effect.forkScoped(Routes.cutWhenSilent(own, patience))
    let run: string | undefined
    // It may have led to a server that is the primary no more.
    const leaveOther = (): void => {
      if (run !== undefined && routes.primary() !== run) own.disconnect()
    }
    yield* Effect.acquireRelease(Effect.sync(() => routes.onMoved(leaveOther)), (stop) => Effect.sync(stop))
    const meet = async (): Promise<void> => {
      if (raw.isCluster) return
      run = await own.call("INFO", "server").then(runIn, () => undefined)
      if (routes.primary() !== undefined) leaveOther()
    }
    return yield* Effect.callback<boolean>((resume) => {
      let listens = false
      // A message that came in one piece with the answer is given before the answer is.
      const begin = (): void => {
        if (!listens) listener.subscribed()
        listens = true
      }
      const end = (): void => resume(Effect.sync(() => listens))
      own.on("message", (channel: string, message: string) => {
        begin()
        listener.hear(channel, message)
      })
      own.on("end", end)
      own.connect().then(meet).then(() => own.subscribe(...channels)).then(begin, (error: unknown) => {
        const { message } = bare(error)
        if (isRefusal(message)) listener.refused(message)
        end()
      })
    })
  }))

const listening = (...given: Parameters<typeof listenOnce>): Effect.Effect<never> => {
  let failures = 0
  return Effect.forever(Effect.flatMap(listenOnce(...given), (listened) => {
    failures = listened ? 0 : failures + 1
    return inRealTime(Effect.sleep(reconnectAfter(failures)))
  }))
}
