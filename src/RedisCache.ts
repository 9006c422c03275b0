/**
 * A cache on Redis: the same promises across processes.
 *
 * A program that was written against memory runs on it by another layer. It
 * works on one node, behind Sentinel and on Redis Cluster, from version 6.2 on,
 * through `ioredis` (5.8 or 6), which is yours to install.
 *
 * **Details**
 *
 * - A hit is one command on one node: the entry and the markers of what it
 *   depends on in one `MGET`. In a cluster they are asked for at once, each at
 *   its node.
 * - Beginning a load, storing it, invalidating and fencing are one script each
 *   on one node.
 * - One load of a key at a time across all processes. Those who wait are woken
 *   when it is done; they look again each second as well.
 * - Everything that is stored has an end: what is not read any more goes.
 *
 * **Gotchas**
 *
 * - The server must not lose what it acknowledged: turn persistence off, or set
 *   `appendfsync always`; an old snapshot that comes back after a crash brings
 *   back what was invalidated. The layer warns.
 * - A failover to a replica that was behind loses what it had not got yet.
 *   `acknowledge: "replicas"` makes that window smaller, and does not close it.
 * - Values are shared: reads of one process that see the same stored text are
 *   given the same decoded object. Do not change it.
 * - Services that are not a Redis of your own forbid or change things: see "Managed
 *   services" in `docs/redis.md`, and "Limits" there for what is bounded. Where keys
 *   lie on several shards behind one address, scripts are refused; the layer warns.
 * - A client that is lent is used as it is. One with an offline queue keeps
 *   commands while it connects for the first time, and sends them late; the time
 *   limit still holds. While the layer is there, its errors are those of what is
 *   asked of it: `ioredis` no longer prints those that nobody listens to.
 *
 * **Example** (Swapping the layer)
 *
 * ```ts
 * import { Config, Effect, Schema } from "effect"
 * import { Cached, Key, Policy } from "effect-cache-algebra"
 * import * as RedisCache from "effect-cache-algebra/RedisCache"
 *
 * const square = Cached.make("square", {
 *   key: Key.int("n"),
 *   value: Schema.Int,
 *   lookup: (n) => Effect.succeed(n * n)
 * }, Policy.ttl("5 minutes"))
 *
 * const program = Cached.get(square, 12).pipe(
 *   Effect.provide(RedisCache.layerConfig({ url: Config.Redacted("REDIS_URL") }))
 * )
 * await Effect.runPromise(program) // => 144
 * ```
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import * as Check from "./internal/check.ts"
import { finiteMillis, positiveMillis } from "./internal/duration.ts"
import * as Ioredis from "./internal/redis/ioredis.ts"
import * as Scripts from "./internal/redis/scripts.ts"
import type { Settings } from "./internal/redis/session.ts"
import * as Stack from "./internal/redis/stack.ts"
import * as Target from "./internal/redis/target.ts"
import type * as Transport from "./internal/redis/transport.ts"
import { Names } from "./internal/redis/wire.ts"
import { refused } from "./internal/refused.ts"
import { InvalidInput } from "./InvalidInput.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

// A client of `ioredis`.
interface Client {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  duplicate(): unknown
}

interface ConnectionOptions {
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly username?: string
  readonly password?: string | Redacted.Redacted<string> | Effect.Effect<string | Redacted.Redacted<string>, unknown>
  readonly db?: number
  readonly tls?: object | boolean
  readonly sentinels?: ReadonlyArray<{ readonly host?: string; readonly port?: number }>
  readonly name?: string
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string | Redacted.Redacted<string>
  readonly [option: string]: unknown
}

/**
 * Options of a cache on Redis. One of `url`, `options`, `cluster` and `client`
 * says where it is (`url` and `options` go together).
 *
 * - `url`: `redis://user:password@host:port/db`, or `rediss://` for TLS. What has
 *   a meaning in a URL is encoded: a `%` in a password is written `%25`.
 * - `options`: of the connection to a node, or to Sentinel. What is not named in
 *   the type is given to `ioredis` as it is. `password` may be an Effect, which is
 *   run at each connection: for a token that is renewed. If it fails, there is no
 *   connection, for that reason, and it is run again.
 * - `cluster`: a Redis Cluster: the `nodes` to begin with (the others are found),
 *   the `options` of each node, and options for `ioredis`.
 * - `client`: a client of `ioredis` that is yours, a `Redis` or a `Cluster`: it is
 *   used, and not closed. Two more like it are made, for reads and for notifications.
 * - `prefix`: with which all keys begin (`cache`). Programs that share it share
 *   the cache.
 * - `acknowledge`: whether the primary's word is enough for an invalidation (the
 *   default), or `replicas` (1) must have it within the time limit.
 * - `readLimit`, `timeLimit`, `sweepLimit`, `failures`, `openAfter`, `openFor`: see
 *   `CacheStore.guard`. `readLimit` is that of each answer: a read is mostly one.
 * - `retry`: how an invalidation is tried again within the time limit.
 * - `redeliver`: when one that could not be delivered is tried again, see
 *   `CacheService.Options`.
 * - `maxLifetime`: nothing stays longer in Redis (30 days).
 * - `journal`: the most invalidated dependencies that are remembered for in-flight
 *   loads (10 000).
 * - `remember`: bytes of entries that this process remembers as it decoded them
 *   (32 MiB). Each read still asks the server; 0 decodes each time.
 * - `trusted`: decodes without the schema's checks. What is stored must have been
 *   written by programs that you trust.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly url?: string | Redacted.Redacted<string>
  readonly options?: ConnectionOptions
  readonly cluster?: {
    readonly nodes: ReadonlyArray<string | { readonly host: string; readonly port: number }>
    readonly options?: ConnectionOptions
    readonly cluster?: { readonly [option: string]: unknown }
  }
  readonly client?: Client
  readonly prefix?: string
  readonly acknowledge?: "primary" | "replicas"
  readonly replicas?: number
  readonly readLimit?: Duration.Input
  readonly timeLimit?: Duration.Input
  readonly sweepLimit?: Duration.Input
  readonly failures?: number
  readonly openAfter?: Duration.Input
  readonly openFor?: Duration.Input
  readonly retry?: Schedule.Schedule<unknown, CacheStore.StoreError>
  readonly redeliver?: Schedule.Schedule<unknown>
  readonly maxLifetime?: Duration.Input
  readonly journal?: number
  readonly remember?: number
  readonly trusted?: boolean
}

const where = "RedisCache"

const refuse = (message: string): InvalidInput => refused(where, "InvalidOption", message)

const natural = (name: string, value: number, least: number): number => Check.integer(where, name, value, { least })

// Braces would decide where a cluster keeps a key, and the others mean something in a pattern.
const prefixOf = ({ prefix = "cache" }: Options): string => {
  if (typeof prefix === "string" && /^[^\s{}*?[\]\\^\p{Cs}\p{Cc}]+$/u.test(prefix)) return prefix
  throw refuse("a prefix needs at least one character, and none of { } * ? [ ] \\ ^ or white space")
}

const day = 86_400_000

const settingsOf = (options: Options): Settings => ({
  prefix: prefixOf(options),
  journal: natural("journal", options.journal ?? 10_000, 1),
  // What a 32-bit count of seconds can hold, some 68 years, is enough for infinity.
  longest: Math.min(positiveMillis(where, "maxLifetime", options.maxLifetime ?? 30 * day), 2_147_483_647_000),
  remember: natural("remember", options.remember ?? 33_554_432, 0)
})

const acknowledgementOf = (options: Options, within: number): Transport.Acknowledgement | undefined => {
  const { acknowledge = "primary", replicas } = options
  if (acknowledge !== "primary" && acknowledge !== "replicas") {
    throw refuse("acknowledge is \"primary\" or \"replicas\"")
  }
  if (acknowledge === "primary" && replicas !== undefined) throw refuse("`replicas` needs acknowledge: \"replicas\"")
  return acknowledge === "primary"
    ? undefined
    : { replicas: natural("replicas", replicas ?? 1, 1), within, keys: new Names(prefixOf(options)).acknowledgements }
}

/**
 * The least that a user of the server must be allowed, as `ACL SETUSER` takes it:
 * keys and channels of the prefix, and the commands that are used. A user of Redis
 * 6.2 begins with all channels: put `resetchannels` before the rule.
 *
 * **Example** (A user for the cache)
 *
 * ```ts
 * import * as RedisCache from "effect-cache-algebra/RedisCache"
 *
 * const rule = RedisCache.acl("shop")
 * rule.startsWith("~shop:* &shop:* -@all +get +mget") // => true
 * ```
 *
 * @category security
 * @since 0.1.0
 */
export const acl = (prefix = "cache"): string => {
  const checkedPrefix = prefixOf({ prefix })
  return [`~${checkedPrefix}:*`, `&${checkedPrefix}:*`, "-@all", ...commands.map((command) => `+${command}`)].join(" ")
}

// What scripts call, what is sent besides, and what `ioredis` asks of a node and of a cluster.
const commands = [
  ..."get mget set del getrange setrange pttl pexpire".split(" "),
  ..."zadd zcard zscore zrange zremrangebyrank hset hget hgetall hdel".split(" "),
  ..."evalsha eval scan time publish subscribe wait".split(" "),
  ..."info ping select client|setname".split(" "),
  ..."cluster|slots cluster|shards cluster|info cluster|nodes readonly".split(" ")
]

// -----------------------------------------------------------------------------
// the store
// -----------------------------------------------------------------------------

const scheduleOf = <S extends Schedule.Schedule<unknown, never>>(name: string, given: S | undefined): S | undefined => {
  if (given === undefined || Schedule.isSchedule(given)) return given
  throw refuse(`${name} is to be a Schedule`)
}

const trustedOf = ({ trusted = false }: Options): boolean => {
  if (typeof trusted === "boolean") return trusted
  throw refuse("trusted is true or false")
}

/** Everything that options decide, checked before anything is done. */
const prepare = (options: Options) => {
  const patience = finiteMillis(where, "timeLimit", options.timeLimit ?? "1 second")
  const { failures, openAfter, openFor, readLimit, sweepLimit } = options
  const patienceOfReaders = finiteMillis(where, "readLimit", readLimit ?? patience / 4)
  return {
    limits: {
      readLimit: patienceOfReaders,
      timeLimit: patience,
      ...(sweepLimit === undefined ? {} : { sweepLimit: finiteMillis(where, "sweepLimit", sweepLimit) }),
      ...(failures === undefined ? {} : { failures: natural("failures", failures, 1) }),
      ...(openAfter === undefined ? {} : { openAfter: finiteMillis(where, "openAfter", openAfter) }),
      ...(openFor === undefined ? {} : { openFor: finiteMillis(where, "openFor", openFor) })
    },
    patience,
    patienceOfReaders,
    target: Target.targetOf(options),
    settings: settingsOf(options),
    acknowledgement: acknowledgementOf(options, Math.max(1, Math.floor(patience * 0.8))),
    retry: scheduleOf("retry", options.retry) ?? Stack.defaultRetry,
    redeliver: scheduleOf("redeliver", options.redeliver),
    trusted: trustedOf(options)
  }
}

const makeOn = (prepared: ReturnType<typeof prepare>, limit: number | undefined) =>
  Stack.make(Ioredis.open(prepared.target, Scripts.all, prepared.patience), prepared, limit)

/**
 * A store on Redis, without the time limit and circuit breaker of the layer.
 *
 * Throws `InvalidInput` for options that cannot be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeStore = (options: Options): Effect.Effect<CacheStore.CacheStore, never, Scope.Scope> =>
  makeOn(prepare(options), undefined)

/**
 * The store alone, behind its time limit and circuit breaker, for
 * `CacheService.layer` or what is built around a store.
 *
 * Throws `InvalidInput` for options that cannot be.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (options: Options): Layer.Layer<CacheStore.CacheStore> => {
  const prepared = prepare(options)
  return Layer.effect(
    CacheStore.CacheStore,
    Effect.map(makeOn(prepared, prepared.patienceOfReaders), (store) => CacheStore.guard(store, prepared.limits))
  )
}

/**
 * A cache on Redis. It starts also when the server cannot be reached: reads
 * load then, and invalidations fail, until it can.
 *
 * Throws `InvalidInput` for options that cannot be.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<CacheService.CacheService> =>
  Layer.provide(
    CacheService.layer(options.redeliver === undefined ? {} : { retry: options.redeliver }),
    layerStore(options)
  )

/**
 * A cache on Redis whose options come from a `Config`. Options that cannot be
 * are a `ConfigError`, too.
 *
 * **Example** (A URL from the environment)
 *
 * ```ts
 * import * as RedisCache from "effect-cache-algebra/RedisCache"
 * import { Config } from "effect"
 *
 * const live = RedisCache.layerConfig({ url: Config.Redacted("REDIS_URL") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<Options>
): Layer.Layer<CacheService.CacheService, Config.ConfigError> =>
  Layer.unwrap(Effect.flatMap(Config.unwrap(config), (options) =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(layer(options))
      } catch (error) {
        return error instanceof InvalidInput ? Effect.fail(configError(error)) : Effect.die(error)
      }
    })))

// Its message is that of the refusal, which has no secrets.
const configError = (error: InvalidInput): Config.ConfigError =>
  new Config.ConfigError(new ConfigProvider.SourceError({ message: error.message, cause: error }))
