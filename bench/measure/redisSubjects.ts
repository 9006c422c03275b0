/**
 * The caches that are measured on one Redis, all holding the same customers.
 *
 * Each has a connection of its own, and none keeps values in this process that
 * it serves without asking the server.
 */
import { type CacheEntry, cachified } from "@epic-web/cachified"
import { createKeyv } from "@keyv/redis"
import { BentoCache, bentostore } from "bentocache"
import { redisDriver } from "bentocache/drivers/redis"
import { Cacheable } from "cacheable"
import { type Context, Effect, Layer, Schema, type Scope } from "effect"
import { Redis } from "ioredis"
import type { CacheService } from "../../src/index.ts"
import { Cached, Invalidation, Key, Policy } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"

const Order = Schema.Struct({
  id: Schema.Int,
  item: Schema.String,
  price: Schema.Finite,
  placed: Schema.String,
  paid: Schema.Boolean
})

export const Customer = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  email: Schema.String,
  groups: Schema.Array(Schema.String),
  orders: Schema.Array(Order)
})

export type Customer = typeof Customer.Type

/** A customer with so many orders. */
export const customerOf = (id: number, orders: number): Customer => ({
  id,
  name: `Customer ${id}`,
  email: `customer${id}@example.org`,
  // Ten of fifty, so that customers share some.
  groups: Array.from({ length: 10 }, (_, i) => `g${(id * 7 + i * 5) % 50}`),
  orders: Array.from({ length: orders }, (_, i) => ({
    id: id * 1000 + i,
    item: `article ${(id * 31 + i * 17) % 997}`,
    price: ((id * 13 + i * 7) % 10_000) / 100,
    placed: `2026-0${1 + i % 9}-1${id % 10}T0${i % 10}:00:00.000Z`,
    paid: (id + i) % 3 !== 0
  }))
})

export interface Size {
  readonly orders: number
  /** So many that what is remembered of them fits into what `RedisCache` remembers unless told otherwise. */
  readonly keys: number
  /** For the title of a table. */
  readonly describe: string
}

const sizeOf = (orders: number, keys: number): Size => {
  const bytes = JSON.stringify(customerOf(500, orders)).length
  return {
    orders,
    keys,
    describe: bytes < 1000 ? `${Math.round(bytes / 10) * 10} bytes` : `${(bytes / 1000).toFixed(1)} kB`
  }
}

export const small = sizeOf(2, 1000)
export const large = sizeOf(100, 100)

export const three = ["customers", "directory", "en"]
export const ten = ["customers", "directory", "en", "a", "b", "c", "d", "e", "f", "g"]

const lifetime = 3_600_000

/** How many loads there were; a hit makes none. */
let loaded = 0
export const loads = (): number => loaded

const load = (key: string, { orders }: Size): Customer => {
  loaded++
  return customerOf(idOf(key), orders)
}

const idOf = (key: string): number => Number(key.slice(key.lastIndexOf("-") + 1))

/** A cache as it is asked: `get` reads, and loads what is not there. */
export interface Library {
  readonly name: string
  /** For what is driven inside fibers. */
  readonly effect?: (key: string) => Effect.Effect<Customer, never, CacheService.CacheService>
  readonly services?: Context.Context<CacheService.CacheService>
  readonly get: (key: string) => Promise<Customer>
  readonly fill: (key: string) => Promise<unknown>
  readonly invalidate?: (tag: string) => Promise<unknown>
}

/** Where all are, and how their clients are set. */
export interface Server {
  readonly url: string
  readonly pipelining: boolean
  /** Put before all names, so that tables do not share entries. */
  readonly prefix: string
  readonly size: Size
}

const connected = ({ pipelining, url }: Server): Effect.Effect<Redis, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const redis = new Redis(url, { enableAutoPipelining: pipelining, lazyConnect: true })
      await redis.connect()
      return redis
    }),
    (redis) => Effect.sync(() => redis.disconnect())
  )

// -----------------------------------------------------------------------------
// without a library
// -----------------------------------------------------------------------------

export const rawGet = "ioredis GET, parsed"

export const raw = (server: Server): Effect.Effect<ReadonlyArray<Library>, never, Scope.Scope> =>
  Effect.map(connected(server), (redis) => {
    const { prefix, size } = server
    const decode = Schema.decodeUnknownSync(Customer)
    const fill = (key: string) =>
      redis.set(`${prefix}raw:${key}`, JSON.stringify(customerOf(idOf(key), size.orders)), "PX", lifetime)
    const get = async (key: string): Promise<Customer> => JSON.parse((await redis.get(`${prefix}raw:${key}`))!)
    return [
      { name: rawGet, get, fill },
      { name: "ioredis GET, parsed, decoded by schema", get: async (key) => decode(await get(key)), fill },
      { name: "ioredis GET, parsed, in fibers", get, effect: (key) => Effect.promise(() => get(key)), fill }
    ]
  })

export const plainSet = "ioredis SET"
export const getAndSet = "ioredis GET, load, SET"

export const rawFills = (server: Server): Effect.Effect<ReadonlyArray<Library>, never, Scope.Scope> =>
  Effect.map(connected(server), (redis) => {
    const { prefix, size } = server
    const setAt = async (key: string, place: string): Promise<Customer> => {
      const customer = load(key, size)
      await redis.set(place, JSON.stringify(customer), "PX", lifetime)
      return customer
    }
    const set = (key: string): Promise<Customer> => setAt(key, `${prefix}set:${key}`)
    const getOrSet = async (key: string): Promise<Customer> => {
      const place = `${prefix}raw:${key}`
      const text = await redis.get(place)
      return text === null ? setAt(key, place) : JSON.parse(text)
    }
    return [
      { name: plainSet, get: set, fill: set },
      { name: getAndSet, get: getOrSet, fill: getOrSet }
    ]
  })

// -----------------------------------------------------------------------------
// ours
// -----------------------------------------------------------------------------

type Tags = Policy.Policy<string, Customer> | undefined

const kinds: Readonly<Record<string, Tags>> = {
  "no dependency": undefined,
  "3 tags": Policy.tagged(three),
  "3 tags from the key": Policy.tagged((key: string) => [0, 1, 2].map((i) => `k${(idOf(key) * 7 + i * 5) % 50}`)),
  "3 tags from the value": Policy.tagged({ fromValue: ({ groups }: Customer) => groups.slice(0, 3) }),
  "10 tags": Policy.tagged(ten),
  "10 tags from the value": Policy.tagged({ fromValue: ({ groups }: Customer) => groups })
}

export type Kind = keyof typeof kinds

/** Names of one length: a longer key costs more, and that is not what is compared. */
const define = (kind: Kind, size: Size) => {
  const ttl = Policy.ttl<string, Customer>("1 hour")
  const tags = kinds[kind]
  return Cached.make(`c${Object.keys(kinds).indexOf(kind)}`, {
    key: Key.string("name"),
    value: Customer,
    lookup: (key: string) => Effect.sync(() => load(key, size))
  }, tags === undefined ? ttl : Policy.and(ttl, tags))
}

interface Way {
  readonly note: string
  readonly options: Partial<RedisCache.Options>
}

const ways = {
  usual: { note: "", options: {} },
  decoding: { note: ", remember 0", options: { remember: 0 } },
  trusting: { note: ", remember 0, trusted", options: { remember: 0, trusted: true } }
} satisfies Record<string, Way>

export const ours = Effect.fnUntraced(function*(
  server: Server,
  way: keyof typeof ways,
  some: ReadonlyArray<Kind>
): Effect.fn.Return<ReadonlyArray<Library>, never, Scope.Scope> {
  const { pipelining, prefix, size, url } = server
  const { note, options } = ways[way] as Way
  const scope = yield* Effect.scope
  const services = yield* Layer.buildWithScope(
    RedisCache.layer({ url, options: { enableAutoPipelining: pipelining }, prefix: `${prefix}${way}`, ...options }),
    scope
  )
  const run = Effect.runPromiseWith(services)
  return some.map((kind): Library => {
    const definition = define(kind, size)
    const effect = (key: string) => Cached.get(definition, key)
    const get = (key: string) => run(effect(key))
    return {
      name: `ours, ${kind}${note}`,
      effect,
      services,
      get,
      fill: get,
      invalidate: (tag) => run(Cached.apply(Invalidation.tags(tag)))
    }
  })
})

/** The same, a fiber for each read. */
export const asPromises = ({ fill, get, name }: Library): Library => ({ name: `${name}, runPromise`, get, fill })

// -----------------------------------------------------------------------------
// other libraries
// -----------------------------------------------------------------------------

type Tagged = ReadonlyArray<string> | undefined

const bento = (server: Server, tags: Tagged): Effect.Effect<Library, never, Scope.Scope> =>
  Effect.map(connected(server), (connection) => {
    const cache = new BentoCache({
      default: "redis",
      prefix: `${server.prefix}bento${tags?.length ?? 0}`,
      stores: { redis: bentostore().useL2Layer(redisDriver({ connection })) }
    })
    const get = (key: string): Promise<Customer> =>
      cache.getOrSet({
        key,
        ttl: lifetime,
        factory: () => load(key, server.size),
        ...(tags && { tags: [...tags] })
      })
    return {
      name: `bentocache getOrSet, ${tags?.length ?? "no"} tags`,
      get,
      fill: get,
      invalidate: (tag) => cache.deleteByTag({ tags: [tag] })
    }
  })

const cacheable = (server: Server, tags: Tagged): Effect.Effect<Library, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const namespace = `${server.prefix}cacheable${tags?.length ?? 0}`
        return new Cacheable({ primary: createKeyv(server.url, { namespace }), tags: tags !== undefined })
      }),
      (cache) => Effect.promise(() => cache.disconnect())
    ),
    (cache) => {
      const set = async (key: string): Promise<Customer> => {
        const customer = load(key, server.size)
        await cache.set(key, customer, { ttl: lifetime, ...(tags && { tags: [...tags] }) })
        return customer
      }
      // It has no read-through with tags.
      const get = async (key: string): Promise<Customer> => await cache.get<Customer>(key) ?? await set(key)
      return {
        name: `cacheable get, ${tags?.length ?? "no"} tags`,
        get,
        fill: get,
        invalidate: (tag) => cache.tags.invalidateTag(tag)
      }
    }
  )

// As its documentation writes an adapter.
const epicWeb = (server: Server): Effect.Effect<Library, never, Scope.Scope> =>
  Effect.map(connected(server), (redis) => {
    const place = (key: string): string => `${server.prefix}cachified:${key}`
    const cache = {
      get: async (key: string): Promise<CacheEntry | null> => {
        const text = await redis.get(place(key))
        return text === null ? null : JSON.parse(text)
      },
      set: (key: string, entry: CacheEntry) => redis.set(place(key), JSON.stringify(entry), "PX", lifetime),
      delete: (key: string) => redis.del(place(key))
    }
    const get = (key: string): Promise<Customer> =>
      cachified({ key, cache, ttl: lifetime, getFreshValue: () => load(key, server.size) })
    return { name: "cachified, no tags", get, fill: get }
  })

/** Those that can have tags come twice. */
export const others = (server: Server): Effect.Effect<ReadonlyArray<Library>, never, Scope.Scope> =>
  Effect.all([
    bento(server, undefined),
    bento(server, three),
    cacheable(server, undefined),
    cacheable(server, three),
    epicWeb(server)
  ])

/** With one tag that is given by the key. */
export const tagging = Effect.fnUntraced(function*(
  server: Server,
  tag: string
): Effect.fn.Return<ReadonlyArray<Library>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const { pipelining, prefix, size, url } = server
  const services = yield* Layer.buildWithScope(
    RedisCache.layer({ url, options: { enableAutoPipelining: pipelining }, prefix: `${prefix}ours` }),
    scope
  )
  const run = Effect.runPromiseWith(services)
  const definition = Cached.make("c", {
    key: Key.string("name"),
    value: Customer,
    lookup: (key: string) => Effect.sync(() => load(key, size))
  }, Policy.and(Policy.ttl("1 hour"), Policy.tagged([tag])))
  const get = (key: string) => run(Cached.get(definition, key))
  return [
    {
      name: "ours",
      get,
      fill: get,
      invalidate: (name) => run(Cached.apply(Invalidation.tags(name)))
    },
    { ...yield* bento(server, [tag]), name: "bentocache" },
    { ...yield* cacheable(server, [tag]), name: "cacheable" }
  ]
})
