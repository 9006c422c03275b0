/**
 * The caches that are compared, each behind the same few words. What a library
 * cannot do is absent.
 */
import {
  type Cache as CachifiedStore,
  type CacheEntry,
  cachified,
  createCacheEntry,
  softPurge,
  totalTtl
} from "@epic-web/cachified"
import { createKeyv } from "@keyv/redis"
import { createCache } from "async-cache-dedupe"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { redisDriver } from "bentocache/drivers/redis"
import { Cacheable } from "cacheable"
import { Clock, Context, Effect, Exit, Layer, Random, Schema, Scope } from "effect"
import { Redis } from "ioredis"
import { Cached, type CacheService, Invalidation, Key, MemoryCache, Policy } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"

export const libraries = ["ours", "bentocache", "cachified", "cacheable", "async-cache-dedupe"] as const

export type Library = typeof libraries[number]

/** Their packages, for the version that was run. */
export const packages: Readonly<Record<Library, string>> = {
  ours: "effect-cache-algebra",
  bentocache: "bentocache",
  cachified: "@epic-web/cachified",
  cacheable: "cacheable",
  "async-cache-dedupe": "async-cache-dedupe"
}

export type Load = () => Promise<string>

/** The only tag there is; all entries have it if there are tags. */
export const tag = "films"

export const minute = 60_000
export const hour = 60 * minute

/** What a cache is opened with. A library leaves out what it has no option for. */
export interface Settings {
  /** The Redis that the values are kept on, and what all names there begin with; in memory if absent. */
  readonly redis?: { readonly url: string; readonly prefix: string }
  /** Milliseconds; an hour if absent. */
  readonly lifetime?: number
  /** Entries have the tag. */
  readonly tagged?: boolean
  /** What has expired is served for another hour while it is refreshed. */
  readonly stale?: boolean
  /** What has expired is served for another hour if its load fails. */
  readonly onError?: boolean
  /** Entries are refreshed early, at random. */
  readonly early?: boolean
  /** Failures are kept. */
  readonly failures?: boolean
  /** An empty value lives for a second only. */
  readonly shortIfEmpty?: boolean
}

const lifetimeOf = ({ lifetime = hour }: Settings): number => lifetime

const second = 1000

export interface Cache {
  readonly get: (key: string, load: Load) => Promise<string>
  readonly invalidate: (key: string) => Promise<unknown>
  readonly set: (key: string, value: string) => Promise<unknown>
  readonly invalidateTag?: () => Promise<unknown>
  /** What is cached may be served once more while it is refreshed. */
  readonly soften?: (key: string) => Promise<unknown>
  /** Loads, whatever is cached. */
  readonly refresh?: (key: string, load: Load) => Promise<string>
  /** A write, and the invalidation that belongs to it. */
  readonly write: (key: string, write: () => Promise<void>) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

export type Open = (settings: Settings) => Promise<Cache>

/** The best that can be done with an invalidation alone: nothing old is left before the write, and nothing after it. */
const onBothSides = (invalidate: Cache["invalidate"]): Cache["write"] => async (key, write) => {
  await invalidate(key)
  await write()
  await invalidate(key)
}

const connect = async (url: string): Promise<Redis> => {
  const redis = new Redis(url, { lazyConnect: true })
  await redis.connect()
  return redis
}

// -----------------------------------------------------------------------------
// ours
// -----------------------------------------------------------------------------

/** A load that failed. */
export class LoadFailed extends Schema.TaggedError<LoadFailed>()("LoadFailed", {}) {}

/** Each read brings its own load, as it does with the others. */
const CurrentLoad = Context.Reference<Load>("rivals/CurrentLoad", {
  defaultValue: () => () => Promise.reject(new Error("no load was given"))
})

const lookup = Effect.flatMap(
  CurrentLoad,
  (load) => Effect.tryPromise({ try: load, catch: () => new LoadFailed() })
)

const policyOf = (settings: Settings): Policy.Policy<string, string> =>
  Policy.all<string, string>(
    Policy.ttl(lifetimeOf(settings), {
      ...settings.stale && { staleFor: hour },
      ...settings.onError && { onErrorFor: hour }
    }),
    settings.tagged ? Policy.tagged(tag) : Policy.forever,
    settings.early ? Policy.xfetch() : Policy.forever
  )

/** Everything is read from the clock of `onAStillClock`, durations as well. */
const stillClock: Clock.Clock = Object.assign(Object.create(Clock.Clock.defaultValue()), {
  monotonicTimeNanosUnsafe: () => BigInt(Date.now()) * 1_000_000n
})

const ours: Open = async (settings) => {
  const { redis } = settings
  const scope = Scope.makeUnsafe()
  const layer: Layer.Layer<CacheService.CacheService> = redis === undefined
    ? MemoryCache.layer({ capacity: 1000 })
    : RedisCache.layer(redis)
  const services = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const random = await Effect.runPromise(Random.withSeed(Random.Random, "rivals"))
  const run = Effect.runPromiseWith(
    redis === undefined
      ? services.pipe(Context.add(Clock.Clock, stillClock), Context.add(Random.Random, random))
      : services
  )
  const failures = { error: LoadFailed, policy: Policy.ttl<string, LoadFailed>("1 minute") }
  const film = Cached.make(
    "film",
    {
      key: Key.string("id"),
      value: Schema.String,
      lookup: () => lookup,
      ...settings.failures && { failures }
    },
    policyOf(settings)
  )
  return {
    get: (key, load) => run(Effect.provideService(Cached.get(film, key), CurrentLoad, load)),
    invalidate: (key) => run(Cached.invalidate(film, key)),
    set: (key, value) => run(Cached.set(film, key, Effect.succeed(value))),
    invalidateTag: () => run(Cached.apply(Invalidation.tags(tag))),
    soften: (key) => run(Cached.invalidate(film, key, { soft: true })),
    refresh: (key, load) => run(Effect.provideService(Cached.refresh(film, key), CurrentLoad, load)),
    write: (key, write) => run(Cached.mutate(Effect.promise(write), Cached.invalidation(film, [key]))),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

// -----------------------------------------------------------------------------
// bentocache
// -----------------------------------------------------------------------------

const bento: Open = async (settings) => {
  const { redis } = settings
  const connection = redis && await connect(redis.url)
  const store = connection === undefined
    ? bentostore().useL1Layer(memoryDriver({ maxItems: 1000 }))
    : bentostore().useL2Layer(redisDriver({ connection }))
  const cache = new BentoCache({
    default: "films",
    ...redis && { prefix: redis.prefix },
    ttl: lifetimeOf(settings),
    stores: { films: store },
    ...settings.stale && { grace: hour, timeout: 0 },
    // A read of what has expired waits for the load, and gets the expired value if the load fails.
    ...settings.onError && { grace: hour, timeout: hour }
  })
  const tags = settings.tagged ? [tag] : []
  const read = (key: string, load: Load, forceFresh: boolean) =>
    cache.getOrSet({
      key,
      tags,
      forceFresh,
      factory: async ({ setTtl }) => {
        const value = await load()
        if (settings.shortIfEmpty && value === "") setTtl(second)
        return value
      }
    })
  const invalidate = (key: string) => cache.delete({ key })
  return {
    get: (key, load) => read(key, load, false),
    refresh: (key, load) => read(key, load, true),
    invalidate,
    write: onBothSides(invalidate),
    set: (key, value) => cache.set({ key, value, tags }),
    invalidateTag: () => cache.deleteByTag({ tags: [tag] }),
    soften: (key) => cache.expire({ key }),
    close: async () => {
      await cache.disconnectAll()
      connection?.disconnect()
    }
  }
}

// -----------------------------------------------------------------------------
// cachified
// -----------------------------------------------------------------------------

/** As its adapters for Redis are written. */
const cachifiedOnRedis = (redis: Redis, prefix: string): CachifiedStore => {
  const place = (key: string): string => `${prefix}${key}`
  return {
    get: async (key) => {
      const text = await redis.get(place(key))
      return text === null ? null : JSON.parse(text)
    },
    set: (key, entry) => {
      const until = (entry.metadata.createdTime ?? Date.now()) + totalTtl(entry.metadata)
      return redis.set(place(key), JSON.stringify(entry), "PXAT", Math.ceil(until))
    },
    delete: (key) => redis.del(place(key))
  }
}

const epicWeb: Open = async (settings) => {
  const { redis } = settings
  const connection = redis && await connect(redis.url)
  const cache = connection === undefined
    ? new Map<string, CacheEntry>()
    : cachifiedOnRedis(connection, redis!.prefix)
  const ttl = lifetimeOf(settings)
  const swr = settings.stale ? hour : 0
  const read = (key: string, load: Load, forceFresh: boolean) =>
    cachified<string>({
      key,
      cache,
      ttl,
      swr,
      forceFresh,
      getFreshValue: async ({ metadata }) => {
        const value = await load()
        if (settings.shortIfEmpty && value === "") metadata.ttl = second
        return value
      }
    })
  const invalidate = async (key: string) => cache.delete(key)
  return {
    get: (key, load) => read(key, load, false),
    refresh: (key, load) => read(key, load, true),
    invalidate,
    write: onBothSides(invalidate),
    set: async (key, value) => cache.set(key, createCacheEntry(value, { ttl, swr })),
    soften: (key) => softPurge({ cache, key }),
    close: async () => connection?.disconnect()
  }
}

// -----------------------------------------------------------------------------
// cacheable
// -----------------------------------------------------------------------------

const cacheable: Open = async (settings) => {
  const { redis, shortIfEmpty = false, tagged = false } = settings
  const ttl = lifetimeOf(settings)
  const cache = new Cacheable({
    ttl,
    tags: tagged,
    ...redis && { primary: createKeyv(redis.url, { namespace: redis.prefix }) }
  })
  // Failures of loads are emitted besides.
  cache.on("error", () => undefined)
  const set = (key: string, value: string) =>
    cache.set(key, value, {
      ttl: shortIfEmpty && value === "" ? second : ttl,
      ...tagged && { tags: [tag] }
    })
  /** Its `getOrSet` takes no tags, and the lifetime before the load, so both are written by hand. */
  const byHand = async (key: string, load: Load): Promise<string> => {
    const found = await cache.get<string>(key)
    if (found !== undefined) return found
    const value = await load()
    await set(key, value)
    return value
  }
  const invalidate = (key: string) => cache.delete(key)
  return {
    get: tagged || shortIfEmpty
      ? byHand
      : async (key, load) =>
        (await cache.getOrSet(key, load, { ttl, throwErrors: "function", cacheErrors: settings.failures ?? false }))!,
    invalidate,
    write: onBothSides(invalidate),
    set,
    invalidateTag: () => cache.tags.invalidateTag(tag),
    close: () => cache.disconnect()
  }
}

// -----------------------------------------------------------------------------
// async-cache-dedupe
// -----------------------------------------------------------------------------

interface Asked {
  readonly key: string
  readonly load: Load
}

const dedupe: Open = async (settings) => {
  const { redis, tagged = false } = settings
  const client = redis && await connect(redis.url)
  const ttl = lifetimeOf(settings) / 1000
  const name = `${redis?.prefix ?? ""}film`
  const cache = createCache({
    ttl: (value: unknown) => settings.shortIfEmpty && value === "" ? 1 : ttl,
    stale: settings.stale ? hour / 1000 : 0,
    storage: client === undefined
      ? { type: "memory", options: { invalidation: true } }
      : { type: "redis", options: { client, invalidation: true } }
  }).define(
    name,
    { serialize: ({ key }: Asked) => key, ...tagged && { references: () => [tag] } },
    ({ load }: Asked) => load()
  )
  const film = cache[name]!
  const invalidate = (key: string) => cache.clear(name, { key })
  return {
    get: (key, load) => film({ key, load }),
    invalidate,
    write: onBothSides(invalidate),
    set: (key, value) => cache.set(name, `${name}~${key}`, value, ttl, []),
    invalidateTag: () => cache.invalidate(name, tag),
    close: async () => client?.disconnect()
  }
}

export const open: Readonly<Record<Library, Open>> = {
  ours,
  bentocache: bento,
  cachified: epicWeb,
  cacheable,
  "async-cache-dedupe": dedupe
}
