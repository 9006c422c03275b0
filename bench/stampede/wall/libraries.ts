/**
 * Other libraries, each with what its documentation advises against stampedes.
 * Where it has a lock, it is in the process; what they share is one Redis.
 *
 * Lifetimes are those of the scenario. What may be served stale may be so for
 * half a lifetime more, as with the strategies, where the library can say it.
 */
import { type CacheEntry, cachified, totalTtl } from "@epic-web/cachified"
import { createKeyv } from "@keyv/redis"
import { createCache } from "async-cache-dedupe"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { redisBusDriver, redisDriver } from "bentocache/drivers/redis"
import { Cacheable, type CacheableSyncOptions } from "cacheable"
import { Context, Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Persistable, PersistedCache, Persistence, Redis as EffectRedis } from "effect/persistence"
import { Redis } from "ioredis"
import type { Scenario } from "../scenario.ts"
import { OriginDown } from "../strategies.ts"
import type { Client, Connection, Contender } from "./contenders.ts"

const connect = async (url: string): Promise<Redis> => {
  const redis = new Redis(url, { lazyConnect: true })
  await redis.connect()
  return redis
}

const nameOf = (key: number): string => `page-${key}`

// -----------------------------------------------------------------------------
// Bentocache
// -----------------------------------------------------------------------------

const bento =
  (tiers: "one" | "two") => async ({ load, prefix, url }: Connection, scenario: Scenario): Promise<Client> => {
    const connection = await connect(url)
    const remote = redisDriver({ connection })
    const store = tiers === "one"
      ? bentostore().useL2Layer(remote)
      : bentostore().useL1Layer(memoryDriver({ maxItems: 1000 })).useL2Layer(remote)
        .useBus(redisBusDriver({ connection }))
    const cache = new BentoCache({
      default: "pages",
      prefix,
      ttl: scenario.lifetime,
      // How long it is kept in all.
      grace: 1.5 * scenario.lifetime,
      timeout: 0,
      stores: { pages: store }
    })
    return {
      get: (key) => cache.getOrSet({ key: nameOf(key), factory: () => load(key) }),
      invalidate: (key) => cache.delete({ key: nameOf(key) }),
      close: async () => {
        await cache.disconnectAll()
        connection.disconnect()
      }
    }
  }

// -----------------------------------------------------------------------------
// cacheable
// -----------------------------------------------------------------------------

type Provider = Exclude<CacheableSyncOptions["qified"], ReadonlyArray<unknown> | { readonly messageProviders: unknown }>

/** What `@qified/redis` is to it: messages by publish and subscribe. */
class Messages {
  readonly id = "redis"
  readonly subscriptions: Provider["subscriptions"] = new Map()
  private readonly publisher: Redis
  private readonly subscriber: Redis

  constructor(publisher: Redis, subscriber: Redis) {
    this.publisher = publisher
    this.subscriber = subscriber
    subscriber.on("message", (topic, text) => {
      for (const { handler } of this.subscriptions.get(topic) ?? []) void handler(JSON.parse(text))
    })
  }

  async publish(topic: string, message: object): Promise<void> {
    await this.publisher.publish(topic, JSON.stringify({ ...message, providerId: this.id }))
  }

  async subscribe(topic: string, handler: Parameters<Provider["subscribe"]>[1]): Promise<void> {
    await this.subscriber.subscribe(topic)
    this.subscriptions.set(topic, [...this.subscriptions.get(topic) ?? [], handler])
  }

  async unsubscribe(topic: string): Promise<void> {
    this.subscriptions.delete(topic)
    await this.subscriber.unsubscribe(topic)
  }

  async disconnect(): Promise<void> {
    this.publisher.disconnect()
    this.subscriber.disconnect()
  }
}

const asClient = (cache: Cacheable, { load }: Connection, { lifetime }: Scenario): Client => {
  // It tells of failed loads there, too; whoever asked is told.
  cache.on("error", () => undefined)
  return {
    get: async (key) =>
      (await cache.getOrSet(nameOf(key), () => load(key), { ttl: lifetime, throwErrors: "function" }))!,
    invalidate: (key) => cache.delete(nameOf(key)),
    close: () => cache.disconnect()
  }
}

const cacheableOnRedis = async (connection: Connection, scenario: Scenario): Promise<Client> =>
  asClient(
    new Cacheable({ primary: createKeyv(connection.url, { namespace: connection.prefix }) }),
    connection,
    scenario
  )

const cacheableInTwo = async (connection: Connection, scenario: Scenario): Promise<Client> => {
  const { prefix, url } = connection
  const messages = new Messages(await connect(url), await connect(url))
  const cache = new Cacheable({
    secondary: createKeyv(url, { namespace: prefix }),
    namespace: prefix,
    sync: { qified: messages }
  })
  // It listens to what is set and to what is deleted, and does not say when it does.
  while (messages.subscriptions.size < 2) await new Promise(setImmediate)
  return asClient(cache, connection, scenario)
}

// -----------------------------------------------------------------------------
// cachified
// -----------------------------------------------------------------------------

const cachifiedOnRedis = async ({ load, prefix, url }: Connection, { lifetime }: Scenario): Promise<Client> => {
  const redis = await connect(url)
  const place = (key: string): string => `${prefix}${key}`
  // As its adapters for Redis do.
  const cache = {
    get: async (key: string): Promise<CacheEntry | null> => {
      const text = await redis.get(place(key))
      return text === null ? null : JSON.parse(text)
    },
    set: (key: string, entry: CacheEntry) => {
      const until = (entry.metadata.createdTime ?? Date.now()) + totalTtl(entry.metadata)
      return redis.set(place(key), JSON.stringify(entry), "PXAT", Math.ceil(until))
    },
    delete: (key: string) => redis.del(place(key))
  }
  return {
    get: (key) =>
      cachified({ key: nameOf(key), cache, ttl: lifetime, swr: lifetime / 2, getFreshValue: () => load(key) }),
    invalidate: (key) => cache.delete(nameOf(key)),
    close: async () => redis.disconnect()
  }
}

// -----------------------------------------------------------------------------
// async-cache-dedupe
// -----------------------------------------------------------------------------

const dedupe = async ({ load, prefix, url }: Connection, { lifetime }: Scenario): Promise<Client> => {
  const client = await connect(url)
  const seconds = lifetime / 1000
  const cache = createCache({
    ttl: seconds,
    // Whole seconds.
    stale: Math.ceil(seconds / 2),
    storage: { type: "redis", options: { client } }
  }).define(`${prefix}page`, (key: number) => load(key))
  const page = cache[`${prefix}page`]!
  return {
    get: (key) => page(key),
    invalidate: (key) => cache.clear(`${prefix}page`, key),
    close: async () => client.disconnect()
  }
}

// -----------------------------------------------------------------------------
// Effect's PersistedCache
// -----------------------------------------------------------------------------

class Page extends Persistable.Class<{ readonly payload: { readonly id: number } }>()("Page", {
  primaryKey: ({ id }) => nameOf(id),
  success: Schema.Int,
  error: OriginDown
}) {}

const persisted = async ({ load, prefix, url }: Connection, { changes, lifetime }: Scenario): Promise<Client> => {
  const redis = await connect(url)
  const unused = Effect.die(new Error("no message is sent, and no connection reserved"))
  const service = EffectRedis.make({
    send: <A>(command: string, ...args: ReadonlyArray<string>) =>
      Effect.tryPromise({
        try: () => redis.call(command, ...args) as Promise<A>,
        catch: (cause) => new EffectRedis.RedisError({ cause })
      }),
    subscribe: () => unused,
    connect: unused
  })
  // What is kept in the process is not invalidated by another one. Both together are as old as an entry may be.
  const inMemory = changes.invalidates ? 0 : lifetime / 10
  const live = (millis: number) => (exit: Exit.Exit<unknown, unknown>) =>
    Exit.isSuccess(exit) ? Duration.millis(millis) : Duration.zero
  const scope = Scope.makeUnsafe()
  const run = Effect.runPromiseWith(Context.make(Scope.Scope, scope))
  const persistence = await run(Layer.buildWithScope(
    Persistence.layerRedis.pipe(Layer.provide(Layer.effect(EffectRedis.Redis, service))),
    scope
  ))
  const cache = await run(Effect.provideContext(
    PersistedCache.make(
      ({ id }: Page) => Effect.tryPromise({ try: () => load(id), catch: () => new OriginDown() }),
      { storeId: prefix, timeToLive: live(lifetime - inMemory), inMemoryTTL: live(inMemory) }
    ),
    persistence
  ))
  return {
    get: (key) => run(cache.get(new Page({ id: key }))),
    invalidate: (key) => run(cache.invalidate(new Page({ id: key }))),
    close: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      redis.disconnect()
    }
  }
}

// -----------------------------------------------------------------------------

export const libraries: ReadonlyArray<Contender> = [
  {
    id: "bentocache",
    title: "Bentocache, Redis alone",
    about: "A lock in each process, and a grace period with the timeout 0: what has expired is served while a process"
      + " refreshes. Its pages \"Stampede protection\", \"Grace periods\" and \"Options\" advise both, and say that"
      + " each process loads for itself. Invalidated by delete.",
    make: bento("one")
  },
  {
    id: "bentocache-tiers",
    title: "Bentocache, memory and Redis and bus",
    about: "The same with a memory before it in each process and a bus between them, as its page \"Multi-tier\" sets it"
      + " up. Hits do not ask Redis.",
    make: bento("two")
  },
  {
    id: "cacheable",
    title: "cacheable, Redis alone",
    about: "getOrSet, which calls once at a time in a process (\"Stampede protection\" in its README). It has no stale"
      + " values. Invalidated by delete.",
    make: cacheableOnRedis
  },
  {
    id: "cacheable-tiers",
    title: "cacheable, memory and Redis and sync",
    about:
      "The same with memory before Redis, and CacheableSync, which sends what is set to the memory of all processes."
      + " Its messages go through a provider that is written here. Not nonBlocking: that would load whatever memory has"
      + " not. Hits do not ask Redis.",
    make: cacheableInTwo
  },
  {
    id: "cachified",
    title: "cachified",
    about: "swr, half a lifetime: what has expired is served while a process refreshes; a process loads once at a time."
      + " \"Stale while revalidate\" in its README. Invalidated by cache.delete.",
    make: cachifiedOnRedis
  },
  {
    id: "async-cache-dedupe",
    title: "async-cache-dedupe",
    about:
      "Deduplicated in the process, and stale for half a lifetime, rounded up to whole seconds, while it refreshes;"
      + " its README. Invalidated by clear(name, key), which deletes the key itself and needs no references.",
    make: dedupe
  },
  {
    id: "persisted-cache",
    title: "Effect's PersistedCache",
    about: "One lookup at a time in a process. A tenth of the lifetime in its memory, and the rest in Redis; nothing in"
      + " memory where keys are invalidated, since other processes would not hear of it. Failures are not kept.",
    make: persisted
  }
]
