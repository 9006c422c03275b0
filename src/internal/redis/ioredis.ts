/**
 * The port of a client, on the package `ioredis` (5.8 or 6). No other file of
 * this folder knows of it. It is an optional peer: it is loaded when a layer
 * that connects is built, and only then.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { StoreError } from "../../CacheStore.ts"
import { type Argument, type Client, type Listener, type Node, unavailable, type Value, type Wait } from "./client.ts"
import type { Script } from "./scripts.ts"
import { realClock } from "./serverClock.ts"
import { sha1 } from "./sha1.ts"
import { isReadOnly, isRefusal } from "./words.ts"

/**
 * Runs a script, by its text or by its hash. The lists are given as such, and not as so many arguments: the package flattens
 * them. A command that throws while it is queued, as one with too many arguments does, leaves a pipeline in which each answer
 * goes to the command before.
 */
type Evaluate<A> = (
  script: string,
  numberOfKeys: number,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<Argument>
) => A

/**
 * What is used of a `Redis` or a `Cluster`.
 *
 * Written down here, so that programs without `ioredis` need not have its types.
 */
export interface Raw {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  get(key: string): Promise<string | null>
  mget(keys: Array<string>): Promise<unknown>
  eval: Evaluate<Promise<unknown>>
  evalsha: Evaluate<Promise<unknown>>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(...channels: Array<string>): Promise<unknown>
  pipeline(): Pipeline
  call(command: string, ...args: Array<Argument>): Promise<unknown>
  connect(): Promise<void>
  disconnect(): void
  duplicate(options: object): unknown
  on(event: string, listener: (...args: Array<never>) => void): unknown
  off(event: string, listener: (...args: Array<never>) => void): unknown
}

interface Pipeline {
  evalsha: Evaluate<Pipeline>
  eval: Evaluate<Pipeline>
  call(command: string, ...args: Array<Argument>): Pipeline
  exec(): Promise<Array<[Error | null, unknown]> | null>
}

/** What only the client of a cluster has. */
interface RawCluster {
  nodes(role: "master"): Array<Raw>
  refreshSlotsCache?(): void
  duplicate(nodes: ReadonlyArray<unknown>, options: object): unknown
}

const clusterOf = (raw: Raw): RawCluster => raw as unknown as RawCluster

const primariesOf = (raw: Raw): ReadonlyArray<Raw> => raw.isCluster ? clusterOf(raw).nodes("master") : [raw]

const refresh = (raw: Raw): void => {
  if (raw.isCluster) clusterOf(raw).refreshSlotsCache?.()
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

// The command never left this process.
const unsent = /enableOfflineQueue|Cluster isn't ready|None of startup nodes|ECONNREFUSED|ENOTFOUND/

/** An error of the client without the command's arguments: those may be payloads or secrets. */
const bare = (error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error)
  const copy = new Error(message.replace(/, with args beginning with:.*$/s, ""))
  if (error instanceof Error) copy.name = error.name
  return copy
}

/** A script may have done a part of its work before it failed; what the server refused as a whole did not happen. */
export const toStoreError = (operation: string, error: unknown): StoreError => {
  const cause = bare(error)
  return unavailable(operation, cause, !isRefusal(cause.message) && !unsent.test(cause.message))
}

const beginsWith = (error: unknown, word: string): boolean => error instanceof Error && error.message.startsWith(word)

type Ask = <A>(operation: string, send: () => Promise<A>) => Effect.Effect<A, StoreError>

// A redirection is followed by the package, but not where it has put commands of several slots into one pipeline: it
// would go on asking the wrong node.
const askBy = (raw: Raw): Ask => (operation, send) =>
  Effect.callback((resume) => {
    const fail = (error: unknown) => {
      if (beginsWith(error, "MOVED ")) refresh(raw)
      resume(Effect.fail(toStoreError(operation, error)))
    }
    try {
      send().then((answer) => resume(Effect.succeed(answer)), fail)
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

/** The answers to a pipeline; the first error is that of all. */
const answersOf = (pipeline: Pipeline): Promise<ReadonlyArray<unknown>> =>
  pipeline.exec().then((answers) => {
    if (answers === null) throw new Error("no answer")
    return answers.map(([error, answer]) => {
      if (error !== null) throw error
      return answer
    })
  })

// As `MGET` has it: a key that does not hold a string is missing.
const getString = (raw: Raw, key: string): Promise<Value> =>
  raw.get(key).catch((error) => {
    if (beginsWith(error, "WRONGTYPE")) return null
    throw error
  })

const nodeOf = (raw: Raw, ask: Ask): Node => ({
  command: (operation, ...command) => ask(operation, () => raw.call(...command)),
  wait: (operation, wait) =>
    Effect.map(ask(operation, () => answersOf(waiting(raw.pipeline(), wait))), ([, count]) => count)
})

/** Names of scripts by which the server remembers them. */
export type Hashes = ReadonlyMap<Script, string>

export const hashAll = (scripts: ReadonlyArray<Script>): Effect.Effect<Hashes> =>
  Effect.map(
    Effect.forEach(scripts, ({ source }) => sha1(source)),
    (hashes) => new Map(scripts.map((script, i) => [script, hashes[i]!]))
  )

/** The port on a client that is there. */
export const adapt = (raw: Raw, hashes: Hashes, patience: number): Client => {
  const ask = askBy(raw)

  // A script that the server has forgotten is sent as a whole once, and then remembered again.
  const orWhole = <A>(send: (whole: boolean) => Promise<A>): Promise<A> =>
    send(false).catch((error) => beginsWith(error, "NOSCRIPT") ? send(true) : Promise.reject(error))

  const named = (script: Script, whole: boolean): string => whole ? script.source : hashes.get(script)!

  return {
    isCluster: raw.isCluster,
    get: (operation, keys) =>
      ask(
        operation,
        (): Promise<unknown> =>
          !raw.isCluster
            ? raw.mget(keys as Array<string>)
            : keys.length === 1
            ? getString(raw, keys[0]!).then((value) => [value])
            : Promise.all(keys.map((key) => getString(raw, key)))
      ),
    script: (operation, script, keys, args) =>
      ask(
        operation,
        () => orWhole((whole) => raw[whole ? "eval" : "evalsha"](named(script, whole), keys.length, keys, args))
      ),
    scriptAndWait: (operation, script, keys, args, wait) =>
      Effect.map(
        ask(operation, () =>
          orWhole((whole) => {
            const sent = raw.pipeline()[whole ? "eval" : "evalsha"](named(script, whole), keys.length, keys, args)
            return answersOf(waiting(sent, wait))
          })),
        ([answer, , count]) => [answer, count]
      ),
    publish: (operation, channel, message) => Effect.asVoid(ask(operation, () => raw.publish(channel, message))),
    primaries: () => primariesOf(raw).map((node) => nodeOf(node, ask)),
    refresh: () => refresh(raw),
    beside: Effect.map(
      Effect.tap(
        owned(() =>
          (raw.isCluster
            ? clusterOf(raw).duplicate([], { lazyConnect: true })
            : raw.duplicate({ lazyConnect: true })) as Raw
        ),
        (made) => startWithin(made, patience)
      ),
      (made) => adapt(made, hashes, patience)
    ),
    listen: (channels, listener) => Effect.asVoid(Effect.forkScoped(listening(raw, channels, listener)))
  }
}

// -----------------------------------------------------------------------------
// connections
// -----------------------------------------------------------------------------

/** What `ioredis` exports, as far as it is used. */
interface Module {
  readonly Redis: new(...args: Array<never>) => unknown
  readonly Cluster: new(...args: Array<never>) => unknown
}

const load: Effect.Effect<Module> = Effect.promise(() =>
  import("ioredis").then(
    (module) => module as unknown as Module,
    (cause) => {
      throw new Error("RedisCache needs the package \"ioredis\": npm install ioredis", { cause })
    }
  )
)

/** Where to connect to. */
export type Target =
  | { readonly _tag: "Client"; readonly client: object }
  | { readonly _tag: "Node"; readonly url: string | undefined; readonly options: object }
  | { readonly _tag: "Cluster"; readonly nodes: ReadonlyArray<unknown>; readonly options: object }

/** Why a connection with these options would break what the cache promises; nothing if it would not. */
export const complaintAbout = (options: object): string | undefined => {
  const { keyPrefix, readOnly, redisOptions, role, scaleReads } = options as Readonly<Record<string, unknown>>
  if (keyPrefix !== undefined && keyPrefix !== "") {
    return "keyPrefix of ioredis would hide keys from patterns: use `prefix`"
  }
  if ((scaleReads ?? "master") !== "master" || role === "slave" || readOnly === true) {
    return "a cache reads from primaries only: a replica may not know yet what was invalidated"
  }
  return typeof redisOptions === "object" && redisOptions !== null ? complaintAbout(redisOptions) : undefined
}

const reconnectAfter = (times: number): number => Math.min(50 * 2 ** Math.min(times, 10), 2000)

/**
 * A command that cannot be sent fails at once, and one that was sent is not sent
 * again: the store's own retries know what may be repeated, and a read does not
 * wait for a server that is not there.
 */
const nodeDefaults = (patience: number) => ({
  connectionName: "effect-cache-algebra",
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  connectTimeout: patience,
  retryStrategy: reconnectAfter,
  // A replica that was the primary: the connection leads to the wrong node, and a new one finds the right one.
  reconnectOnError: (error: Error): boolean => isReadOnly(error.message)
})

const clusterDefaults = (patience: number) => ({
  enableOfflineQueue: false,
  enableAutoPipelining: true,
  slotsRefreshTimeout: patience,
  // What one command waits for while the cluster changes must fit into a time limit.
  maxRedirections: 5,
  retryDelayOnFailover: 50,
  retryDelayOnClusterDown: 50,
  retryDelayOnTryAgain: 50,
  clusterRetryStrategy: reconnectAfter
})

const plainly = (options: object): object =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
  )

const construct = (module: Module, target: Exclude<Target, { readonly _tag: "Client" }>, patience: number): Raw => {
  if (target._tag === "Node") {
    const options = { ...nodeDefaults(patience), ...plainly(target.options), lazyConnect: true }
    const args = target.url === undefined ? [options] : [target.url, options]
    return new module.Redis(...args as Array<never>) as Raw
  }
  const { connectionName, connectTimeout } = nodeDefaults(patience)
  const { redisOptions = {}, ...rest } = target.options as { readonly redisOptions?: object }
  const options = {
    ...clusterDefaults(patience),
    ...plainly(rest),
    lazyConnect: true,
    redisOptions: { connectionName, connectTimeout, ...plainly(redisOptions) }
  }
  return new module.Cluster(...[target.nodes, options] as unknown as Array<never>) as Raw
}

/** A connection of our own: its errors are those of what is asked of it, and it ends with the scope. */
const owned = (make: () => Raw): Effect.Effect<Raw, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const raw = make()
      raw.on("error", () => {})
      return raw
    }),
    (raw) => Effect.sync(() => raw.disconnect())
  )

// A client that was lent is already connecting, or connected.
const start = (raw: Raw): Effect.Effect<void> =>
  raw.status !== "wait"
    ? Effect.void
    : Effect.callback((resume) => {
      const done = () => resume(Effect.void)
      raw.connect().then(done, done)
    })

const startWithin = (raw: Raw, patience: number): Effect.Effect<void> =>
  Effect.timeoutOrElse(start(raw), { duration: patience, orElse: () => Effect.void })

/** The client to work with, started as far as it can be within the time that is given. */
export const open = (
  target: Target,
  scripts: ReadonlyArray<Script>,
  patience: number
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.gen(function*() {
    const hashes = yield* hashAll(scripts)
    if (target._tag === "Client") return adapt(target.client as Raw, hashes, patience)
    const module = yield* load
    const raw = yield* owned(() => construct(module, target, patience))
    yield* startWithin(raw, patience)
    return adapt(raw, hashes, patience)
  })

// -----------------------------------------------------------------------------
// listening
// -----------------------------------------------------------------------------

// The package would connect and subscribe again by itself, and hide that messages were lost meanwhile.
const once = {
  lazyConnect: true,
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
  raw: Raw,
  channels: ReadonlyArray<string>,
  listener: Listener
): Effect.Effect<boolean> =>
  Effect.scoped(Effect.gen(function*() {
    const node = yield* nodeToListenAt(raw)
    if (node === undefined) return false
    const own = yield* owned(() => node.duplicate(once) as Raw)
    // A node that leaves the cluster gets nothing of it any more, though its connection may stand.
    const leave = (gone: Raw): void => {
      if (isSameNode(gone, node)) own.disconnect()
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => raw.on("-node", leave)),
      () => Effect.sync(() => raw.off("-node", leave))
    )
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
      own.connect().then(() => own.subscribe(...channels)).then(begin, (error: unknown) => {
        const { message } = bare(error)
        if (isRefusal(message)) listener.refused(message)
        end()
      })
    })
  }))

const listening = (raw: Raw, channels: ReadonlyArray<string>, listener: Listener): Effect.Effect<never> => {
  let failures = 0
  return Effect.forever(Effect.flatMap(listenOnce(raw, channels, listener), (listened) => {
    failures = listened ? 0 : failures + 1
    // Connections are made in real time, also under the clock of a test.
    return Effect.provideService(Effect.sleep(reconnectAfter(failures)), Clock.Clock, realClock)
  }))
}
