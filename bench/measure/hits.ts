/**
 * What a hit costs, in memory.
 */
import { Effect } from "effect"
import { LRUCache } from "lru-cache"
import { type CacheService, Key } from "../../src/index.ts"
import { consume, type Contender, type Run, type Table } from "./harness.ts"
import {
  capacity,
  effectCache,
  ints,
  type Keys,
  libraries,
  lifetime,
  loopAlone,
  newStrings,
  pageKey,
  pages,
  type Services,
  strings,
  type Subject,
  subjects,
  three,
  type User,
  userOf
} from "./subjects.ts"

type Get<K> = Subject<K>["get"]

/** One fiber that reads in a loop, with the least that a loop in Effect can cost. */
const inFiber = <K>(services: Services, { next }: Keys<K>, get: Get<K>): Run => {
  const run = Effect.runPromiseWith(services)
  return (n) => {
    let i = 0
    return run(Effect.whileLoop({ while: () => i < n, body: () => (i++, get(next())), step: consume }))
  }
}

/** The same as most people write it. */
const inGenerator = <K>(services: Services, { next }: Keys<K>, get: Get<K>): Run => {
  const run = Effect.runPromiseWith(services)
  return (n) =>
    run(Effect.gen(function*() {
      for (let i = 0; i < n; i++) consume(yield* get(next()))
    }))
}

/** A fiber for each read. */
const throughRunSync = <K>(services: Services, { next }: Keys<K>, get: Get<K>): Run => {
  const run = Effect.runSyncWith(services)
  return (n) => {
    for (let i = 0; i < n; i++) consume(run(get(next())))
  }
}

const throughRunPromise = <K>(services: Services, { next }: Keys<K>, get: Get<K>): Run => {
  const run = Effect.runPromiseWith(services)
  return async (n) => {
    for (let i = 0; i < n; i++) consume(await run(get(next())))
  }
}

/** Without Effect: to see what it costs by itself. */
const rawLru = <K extends number | string>({ all, next }: Keys<K>): Contender => {
  const lru = new LRUCache<K, User>({ max: capacity, ttl: lifetime })
  all.forEach((key, i) => lru.set(key, userOf(i + 1)))
  return {
    name: "lru-cache get, TTL, without Effect",
    outside: true,
    run: (n) => {
      for (let i = 0; i < n; i++) consume(lru.get(next())!)
    }
  }
}

type Way = <K>(services: Services, keys: Keys<K>, get: Get<K>) => Run

const table = <K>(
  services: Services,
  title: string,
  way: Way,
  all: ReadonlyArray<Subject<K>>,
  keys: Keys<K>,
  more: ReadonlyArray<Contender> = []
): Table => ({
  title: `hits, ${title}; ${keys.describe}`,
  reference: effectCache,
  baseline: loopAlone,
  contenders: [...all.map(({ get, name }): Contender => ({ name, run: way(services, keys, get) })), ...more]
})

/** Hits against Effect's own cache. */
export const hitTables = Effect.fnUntraced(function*(
  services: Services,
  full: boolean
): Effect.fn.Return<ReadonlyArray<Table>, never, CacheService.CacheService> {
  const byInt = yield* subjects(Key.int("id"), ints(1000).all)
  const byString = yield* subjects(Key.string("name"), strings(1000).all)
  const byPage = yield* subjects(pageKey, pages().all)
  const fiber = "inside a fiber"
  return [
    table(services, fiber, inFiber, byInt, ints(1), [rawLru(ints(1))]),
    table(services, fiber, inFiber, byInt, ints(1000), [rawLru(ints(1000))]),
    table(services, fiber, inFiber, byString, strings(1), [rawLru(strings(1))]),
    table(services, fiber, inFiber, byString, strings(1000), [rawLru(strings(1000))]),
    table(services, fiber, inFiber, byString, newStrings(), [rawLru(newStrings())]),
    table(services, fiber, inFiber, byPage, pages()),
    table(services, "Effect.gen", inGenerator, byString, strings(1000)),
    table(services, "runSync for each", throughRunSync, byString, strings(1000)),
    table(services, "runPromise for each", throughRunPromise, byString, strings(1000)),
    ...full
      ? [
        table(services, "Effect.gen", inGenerator, byInt, ints(1000)),
        table(services, "runSync for each", throughRunSync, byInt, ints(1000)),
        table(services, "runPromise for each", throughRunPromise, byInt, ints(1000))
      ]
      : []
  ]
})

const awaited = (keys: Keys<string>, get: (key: string) => Promise<User>): Run => async (n) => {
  for (let i = 0; i < n; i++) consume(await get(keys.next()))
}

/** Hits against libraries that give promises. */
export const libraryTables = Effect.fnUntraced(function*(
  services: Services
): Effect.fn.Return<ReadonlyArray<Table>, never, CacheService.CacheService> {
  const keys = strings(1000)
  const ours = (yield* subjects(Key.string("name"), keys.all)).filter(({ name }) => /TTL(, no|, 3 tags$|$)/.test(name))
  const theirs = Object.entries(libraries())
  for (const [kind, { fill }] of theirs) {
    for (const key of keys.all) yield* Effect.promise(() => fill(key, kind.endsWith("Tagged") ? three : []))
  }
  return [
    {
      title: `hits, a promise for each; ${keys.describe}`,
      note: "Ours and Effect's through runPromise; bentocache without serialising, cacheable without cloning.",
      reference: effectCache,
      contenders: [
        ...ours.map(({ get, name }) => ({ name, run: throughRunPromise(services, keys, get) })),
        ...theirs.map(([, { get, name }]) => ({ name, run: awaited(keys, get) }))
      ]
    },
    {
      title: `hits, inside a fiber; ${keys.describe}`,
      note: "The others through Effect.promise.",
      reference: effectCache,
      contenders: [
        ...ours.map(({ get, name }) => ({ name, run: inFiber(services, keys, get) })),
        ...theirs.map(([, { get, name }]) => ({
          name,
          run: inFiber(services, keys, (key: string) => Effect.promise(() => get(key)))
        }))
      ]
    }
  ]
})
