/**
 * Connections: those that the layer makes and closes, and what it hears on them.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Announcement, StoreError, Token } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Broadcast from "../broadcast.ts"
import type { Notices } from "./store.ts"
import { type Client, toStoreError } from "./transport.ts"
import * as Wire from "./wire.ts"

/** What `ioredis` exports, as far as it is used. */
export interface Module {
  readonly Redis: new(...args: Array<never>) => unknown
  readonly Cluster: new(...args: Array<never>) => unknown
}

/** Where to connect to. */
export type Target =
  | { readonly _tag: "Client"; readonly client: Client }
  | { readonly _tag: "Node"; readonly url: string | undefined; readonly options: object }
  | { readonly _tag: "Cluster"; readonly nodes: ReadonlyArray<unknown>; readonly options: object }

const reconnectAfter = (times: number): number => Math.min(50 * 2 ** Math.min(times, 10), 2000)

// A replica that was the primary: the connection leads to the wrong node, and a new one finds the right one.
const leadsToReplica = (error: Error): boolean => error.message.startsWith("READONLY")

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
  reconnectOnError: leadsToReplica
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

const plain = (value: unknown): unknown => Redacted.isRedacted(value) ? Redacted.value(value) : value

const plainly = (options: object): object =>
  Object.fromEntries(Object.entries(options).map(([name, value]) => [name, plain(value)]))

const construct = (module: Module, target: Exclude<Target, { readonly _tag: "Client" }>, patience: number): Client => {
  if (target._tag === "Node") {
    const options = { ...nodeDefaults(patience), ...plainly(target.options), lazyConnect: true }
    const args = target.url === undefined ? [options] : [target.url, options]
    return new module.Redis(...args as Array<never>) as Client
  }
  const { connectionName, connectTimeout } = nodeDefaults(patience)
  const { redisOptions = {}, ...rest } = target.options as { readonly redisOptions?: object }
  const options = {
    ...clusterDefaults(patience),
    ...plainly(rest),
    lazyConnect: true,
    redisOptions: { connectionName, connectTimeout, ...plainly(redisOptions) }
  }
  return new module.Cluster(...[target.nodes, options] as unknown as Array<never>) as Client
}

const duplicateOf = (client: Client, options: object): Client => {
  const { duplicate } = client as unknown as { duplicate: (...args: Array<unknown>) => Client }
  return client.isCluster
    ? duplicate.call(client, [], { lazyConnect: true })
    : duplicate.call(client, { ...options, lazyConnect: true })
}

/** A connection of our own: its errors are told by what is asked of it, and it ends with the scope. */
const owned = (make: () => Client): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const client = make()
      client.on("error", () => {})
      return client
    }),
    (client) => Effect.sync(() => client.disconnect())
  )

// Already connecting, or connected, where a client was lent.
const start = (client: Client): Effect.Effect<void, StoreError> =>
  client.status !== "wait"
    ? Effect.void
    : Effect.callback((resume) => {
      client.connect().then(
        () => resume(Effect.void),
        (error) => resume(Effect.fail(toStoreError("connect", error)))
      )
    })

/** The client to work with, started as far as it can be within the time that is given. */
export const open = (
  target: Target,
  patience: number
): Effect.Effect<Client, never, Scope.Scope> =>
  target._tag === "Client"
    ? Effect.succeed(target.client)
    : Effect.gen(function*() {
      const module = yield* load
      const client = yield* owned(() => construct(module, target, patience))
      yield* startWithin(client, patience)
      return client
    })

const startWithin = (client: Client, patience: number): Effect.Effect<void> =>
  Effect.ignore(Effect.timeoutOrElse(start(client), { duration: patience, orElse: () => Effect.void }))

// Optional, so it is asked for only by who uses it.
const load: Effect.Effect<Module> = Effect.promise(() =>
  import("ioredis").then(
    (module) => module as unknown as Module,
    (cause) => {
      throw new Error("RedisCache needs the package \"ioredis\": npm install ioredis", { cause })
    }
  )
)

/** A second connection like the first, for what would hold up the others. */
export const beside = (client: Client, patience: number): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.tap(owned(() => duplicateOf(client, {})), (made) => startWithin(made, patience))

// -----------------------------------------------------------------------------
// listening
// -----------------------------------------------------------------------------

// Subscribing anew is done here: what `ioredis` does by itself nobody would hear fail.
const listening = { enableOfflineQueue: true, maxRetriesPerRequest: null, autoResubscribe: false }

/** How many invalidations a slow listener may be behind before it loses the oldest. */
const buffered = 4096

/**
 * Hears what is published under a prefix. Without a connection nothing is
 * heard: whoever waits polls as well, and is woken when there is one again.
 */
export const listen = (
  client: Client,
  prefix: string,
  origin: string,
  patience: number
): Effect.Effect<Notices, never, Scope.Scope> =>
  Effect.gen(function*() {
    const names = new Wire.Names(prefix)
    const announcements = yield* Broadcast.make<Announcement>(buffered, { _tag: "Gap" })
    const waiting = new Map<Token, Set<() => void>>()
    const subscriber = yield* owned(() => duplicateOf(client, listening))

    const wake = (token: Token): void => {
      for (const one of waiting.get(token) ?? []) one()
    }
    const hear = (channel: string, message: string): void => {
      if (channel === names.released) return wake(message)
      const end = message.indexOf(" ")
      if (channel !== names.invalidated || end < 0 || message.slice(0, end) === origin) return
      const batch = Schema.decodeOption(Invalidation.FromString)(message.slice(end + 1))
      if (Option.isSome(batch)) announcements.publish({ _tag: "Invalidated", invalidation: batch.value, position: "" })
    }
    subscriber.on("message", hear)
    // Each time there is a connection: the first may come long after the start. What was told in between is not told
    // again, so whoever waits looks for himself.
    const subscribe = (): Promise<void> =>
      subscriber.subscribe(names.released, names.invalidated).then(() => {
        for (const token of waiting.keys()) wake(token)
      })
    const first = Effect.callback<string | undefined>((resume) => {
      subscriber.on("ready", () => {
        subscribe().then(
          () => resume(Effect.succeed(undefined)),
          (error: unknown) => resume(Effect.succeed(error instanceof Error ? error.message : String(error)))
        )
      })
      // It goes on trying by itself.
      subscriber.connect().catch(() => {})
    })
    const refused = yield* Effect.timeoutOrElse(first, { duration: patience, orElse: () => Effect.succeed(undefined) })

    return {
      origin,
      refused,
      announcements,
      onReleased: (token, one) => {
        let all = waiting.get(token)
        if (all === undefined) waiting.set(token, all = new Set())
        all.add(one)
        const those = all
        return () => {
          those.delete(one)
          if (those.size === 0 && waiting.get(token) === those) waiting.delete(token)
        }
      }
    }
  })
