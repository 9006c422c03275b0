/**
 * The caches that are measured, all holding the same users.
 */
import { type CacheEntry, cachified } from "@epic-web/cachified"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { Cacheable, createKeyv } from "cacheable"
import { Cache, Context, Effect, Layer, Scheduler, Schema } from "effect"
import { LRUCache } from "lru-cache"
import { Cached, type CacheService, Entity, Key, MemoryCache, Policy } from "../../src/index.ts"
import { random, shuffled } from "./harness.ts"

export const User = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  email: Schema.String,
  groups: Schema.Array(Schema.String)
})

export type User = typeof User.Type

const Users = Entity.make("user", { schema: User, id: "id" })

export const lifetime = 3_600_000
export const capacity = 20_000

export const three = ["users", "directory", "en"]
export const ten = ["users", "directory", "en", "a", "b", "c", "d", "e", "f", "g"]

export const userOf = (id: number): User => ({
  id,
  name: `User ${id}`,
  email: `user${id}@example.org`,
  groups: [`g${id % 7}`, `g${id % 11}`, `g${id % 13}`]
})

/** Where the keys of a loop come from. */
export interface Keys<K> {
  readonly describe: string
  readonly all: ReadonlyArray<K>
  readonly next: () => K
}

const inTurn = <K>(all: ReadonlyArray<K>): () => K => {
  let at = 0
  return () => {
    const key = all[at]!
    at = at + 1 === all.length ? 0 : at + 1
    return key
  }
}

const keyCount = 1000

const ids = shuffled(Array.from({ length: keyCount }, (_, i) => i + 1), random())

const nameOf = (id: number): string => `${(id * 7919 + 1e6).toString(36)}-user-${id.toString().padStart(5, "0")}`

export const ints = (count: number): Keys<number> => {
  const all = ids.slice(0, count)
  return { describe: `int keys, ${count === 1 ? `one of ${keyCount}` : count}`, all, next: inTurn(all) }
}

export const strings = (count: number): Keys<string> => {
  const all = ids.slice(0, count).map(nameOf)
  return { describe: `string keys, ${count === 1 ? `one of ${keyCount}` : count}`, all, next: inTurn(all) }
}

/** Strings as they come from a request: cut out of a text, never seen before, so their hash is not known. */
export const newStrings = (): Keys<string> => {
  const all = ids.map(nameOf)
  const text = all.join(",")
  const places = inTurn(all.map((key) => ({ from: text.indexOf(key), to: text.indexOf(key) + key.length })))
  return {
    describe: `string keys made anew, ${keyCount}`,
    all,
    next: () => {
      const { from, to } = places()
      return text.slice(from, to)
    }
  }
}

/** A list in pages, asked for with an object that is made anew each time. */
export interface Page {
  readonly list: string
  readonly page: number
}

export const pageKey: Key.Key<Page> = Key.struct({ list: Key.string("list"), page: Key.int("page") })

export const pages = (): Keys<Page> => {
  const all = ids.map((id): Page => ({ list: nameOf(id % 10), page: id }))
  const next = inTurn(all)
  return { describe: `struct keys made anew, ${keyCount}`, all, next: () => ({ ...next() }) }
}

/** How lru-cache is asked for a key that it cannot compare. */
const plain = (key: number | string | Page): number | string =>
  typeof key === "object" ? `${key.list}:${key.page}` : key

/** A way to read by key as an effect. */
export interface Subject<K> {
  readonly name: string
  readonly get: (key: K) => Effect.Effect<User, never, CacheService.CacheService>
}

export const effectCache = "effect Cache.get, TTL"
export const loopAlone = "the loop alone (Effect.sync)"

const someone = userOf(1)
// Made anew like what the others return; an `Exit` would not start a fiber in `runSync`.
const nothingToDo = () => Effect.sync(() => someone)

/** Our definitions: from no dependency to ten, and of each kind. */
const definitions = <K>(key: Key.Key<K>, kind: string, userFor: (key: K) => User) => {
  const define = (name: string, policy: Policy.Policy<K, User>) =>
    Cached.make(`${kind}-${name}`, { key, value: User, lookup: (key: K) => Effect.succeed(userFor(key)) }, policy)
  const ttl = Policy.ttl<K, User>("1 hour")
  // Names of one length: a longer key costs more to build, and that is not what is compared. The kinds of keys share a
  // service, in which a name belongs to keys of one kind.
  return {
    "Cached.get, TTL, no dependency": define("user-none", ttl),
    "Cached.get, TTL, 3 tags": define("user-tag3", Policy.and(ttl, Policy.tagged(three))),
    "Cached.get, TTL, 10 tags": define("user-tags", Policy.and(ttl, Policy.tagged(ten))),
    "Cached.get, TTL, 3 tags from the value": define(
      "user-from",
      Policy.and(ttl, Policy.tagged({ fromValue: (user: User) => user.groups }))
    ),
    "Cached.get, TTL, conditional, 2 fields": define(
      "user-rows",
      Policy.and(
        ttl,
        Policy.conditional(Users, { id: { fromValue: (user: User) => user.id }, fields: ["name", "email"] })
      )
    )
  }
}

export const noDependency = "Cached.get, TTL, no dependency"

const kindOf = (key: number | string | Page): string =>
  typeof key === "number" ? "int" : typeof key === "string" ? "str" : "obj"

/** What is read through an effect. They keep their entries until the scope closes. */
export const subjects = Effect.fnUntraced(function*<K extends number | string | Page>(
  key: Key.Key<K>,
  keys: ReadonlyArray<K>
): Effect.fn.Return<ReadonlyArray<Subject<K>>, never, CacheService.CacheService> {
  const users = new Map(keys.map((key, i) => [plain(key), userOf(i + 1)]))
  const userFor = (key: K): User => users.get(plain(key)) ?? someone
  const theirs = yield* Cache.make({
    capacity,
    timeToLive: "1 hour",
    lookup: (key: K) => Effect.succeed(userFor(key))
  })
  const lru = new LRUCache<number | string, User>({ max: capacity, ttl: lifetime })
  for (const key of keys) lru.set(plain(key), userFor(key))
  const ours = Object.entries(definitions(key, kindOf(keys[0]!), userFor)).map(([name, definition]): Subject<K> => ({
    name,
    get: (key) => Cached.get(definition, key)
  }))
  const all: ReadonlyArray<Subject<K>> = [
    { name: loopAlone, get: nothingToDo },
    { name: effectCache, get: (key) => Cache.get(theirs, key) },
    ...ours,
    { name: "lru-cache get, TTL, in Effect.sync", get: (key) => Effect.sync(() => lru.get(plain(key))!) }
  ]
  // All mixed: in a `Map` what was added last is found first, and they share one.
  const fills = shuffled(keys.flatMap((key) => all.map(({ get }) => get(key))), random())
  yield* Effect.all(fills, { discard: true })
  return all
})

/**
 * A service in memory of its own. Fibers do not yield: on a busy machine a turn
 * of the event loop takes as long as thousands of reads.
 */
export const memory = (options: MemoryCache.Options = { capacity }) =>
  Effect.map(
    Effect.flatMap(Effect.scope, (scope) => Layer.buildWithScope(MemoryCache.layer(options), scope)),
    Context.add(Scheduler.PreventSchedulerYield, true)
  )

export type Services = Context.Context<CacheService.CacheService>

// -----------------------------------------------------------------------------
// other libraries
// -----------------------------------------------------------------------------

/** Another library: how it reads, fills and invalidates. Values are kept as they are, as ours are. */
export interface Library {
  readonly name: string
  readonly get: (key: string) => Promise<User>
  readonly fill: (key: string, tags: ReadonlyArray<string>) => Promise<unknown>
  readonly invalidate?: (tag: string) => Promise<unknown>
}

const bento = (max: number, tags: ReadonlyArray<string> | undefined): Library => {
  const cache = new BentoCache({
    default: "memory",
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: max, serialize: false })) }
  })
  const read = (key: string, tags: ReadonlyArray<string> | undefined) =>
    cache.getOrSet({ key, ttl: lifetime, factory: () => userOf(key.length), ...(tags && { tags: [...tags] }) })
  return {
    name: `bentocache getOrSet, ${tags?.length ?? "no"} tags`,
    get: (key) => read(key, tags),
    fill: read,
    invalidate: (tag) => cache.deleteByTag({ tags: [tag] })
  }
}

const cacheable = (max: number, tags: ReadonlyArray<string> | undefined): Library => {
  const cache = new Cacheable({ primary: createKeyv({ lruSize: max, useClone: false }), tags: tags !== undefined })
  const options = (tags: ReadonlyArray<string> | undefined) => ({ ttl: lifetime, ...(tags && { tags: [...tags] }) })
  return {
    name: `cacheable get, ${tags?.length ?? "no"} tags`,
    get: async (key) => (await cache.get<User>(key))!,
    // It has no read-through with tags.
    fill: async (key, tags) => {
      if (await cache.get(key) === undefined) await cache.set(key, userOf(key.length), options(tags))
    },
    invalidate: (tag) => cache.tags.invalidateTag(tag)
  }
}

const epicWeb = (max: number): Library => {
  const cache = new LRUCache<string, CacheEntry>({ max })
  const get = (key: string): Promise<User> =>
    cachified({ key, cache, ttl: lifetime, getFreshValue: () => userOf(key.length) })
  return { name: "cachified, no tags", get, fill: get }
}

export const libraries = (max: number = capacity) => ({
  bento: bento(max, undefined),
  bentoTagged: bento(max, three),
  cacheable: cacheable(max, undefined),
  cacheableTagged: cacheable(max, three),
  cachified: epicWeb(max)
})
