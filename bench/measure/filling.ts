/**
 * What a miss costs: finding nothing, loading at once, storing, and throwing
 * out the oldest entry, since every key is new and all caches are full.
 */
import { Cache, Effect } from "effect"
import { LRUCache } from "lru-cache"
import { Cached, type CacheService, Key, Policy } from "../../src/index.ts"
import { consume, type Contender, type Run, type Table } from "./harness.ts"
import { effectCache, libraries, lifetime, type Services, ten, three, User, userOf } from "./subjects.ts"

const capacity = 1000

const newKeys = (): () => string => {
  let count = 0
  return () => `user-${++count}`
}

const inFiber = (
  services: Services,
  fill: (key: string) => Effect.Effect<User, never, CacheService.CacheService>
): Run => {
  const run = Effect.runPromiseWith(services)
  const next = newKeys()
  return (n) => {
    let i = 0
    return run(Effect.whileLoop({ while: () => i < n, body: () => (i++, fill(next())), step: consume }))
  }
}

const load = (key: string): Effect.Effect<User> => Effect.sync(() => userOf(key.length))

const ours = (services: Services, name: string, policy: Policy.Policy<string, User>): Contender => {
  const definition = Cached.make(name, { key: Key.string("name"), value: User, lookup: load }, policy)
  return { name: `Cached.get, TTL, ${name}`, run: inFiber(services, (key) => Cached.get(definition, key)) }
}

const lru = (services: Services): Contender => {
  const cache = new LRUCache<string, User>({ max: capacity, ttl: lifetime })
  return {
    name: "lru-cache get and set, in Effect",
    run: inFiber(services, (key) =>
      Effect.suspend(() => {
        const found = cache.get(key)
        return found === undefined
          ? Effect.map(load(key), (user) => {
            cache.set(key, user)
            return user
          })
          : Effect.succeed(found)
      }))
  }
}

/** A miss of each; `services` must come with a store of the same capacity. */
export const fillingTable = Effect.fnUntraced(function*(services: Services): Effect.fn.Return<Table> {
  const theirs = yield* Cache.make({ capacity, timeToLive: "1 hour", lookup: load })
  const ttl = Policy.ttl<string, User>("1 hour")
  const others = libraries(capacity)
  const filled = (kind: keyof typeof others, tags: ReadonlyArray<string>): Contender => ({
    name: others[kind].name,
    run: inFiber(services, (key) => Effect.as(Effect.promise(() => others[kind].fill(key, tags)), userOf(1)))
  })
  return {
    title: "a miss, its load and what it pushes out; string keys, never seen before",
    reference: effectCache,
    contenders: [
      { name: effectCache, run: inFiber(services, (key) => Cache.get(theirs, key)) },
      ours(services, "no dependency", ttl),
      ours(services, "3 tags", Policy.and(ttl, Policy.tagged(three))),
      ours(services, "10 tags", Policy.and(ttl, Policy.tagged(ten))),
      ours(
        services,
        "3 tags from the value",
        Policy.and(ttl, Policy.tagged({ fromValue: (user: User) => user.groups }))
      ),
      lru(services),
      filled("bento", []),
      filled("bentoTagged", three),
      filled("cacheable", []),
      filled("cacheableTagged", three),
      filled("cachified", [])
    ]
  }
})

export { capacity as fillingCapacity }
