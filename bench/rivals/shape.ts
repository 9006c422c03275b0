/**
 * What a library is made of: its words, its keys, its clock, and what it says
 * when its store fails. These programs are written for each library by itself.
 */
import * as Cachified from "@epic-web/cachified"
import { createCache } from "async-cache-dedupe"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { Cacheable, Keyv } from "cacheable"
import { Effect, Layer, Logger, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { Redis } from "ioredis"
import * as Api from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { type Library, open } from "./caches.ts"
import { holds, no, partly, type Program, type Seen, yes } from "./claim.ts"

const { Cached, Key, Policy } = Api

const anHour = 3_600_000

// -----------------------------------------------------------------------------
// words
// -----------------------------------------------------------------------------

const namesOf = (...objects: ReadonlyArray<object>): ReadonlyArray<string> =>
  objects.flatMap((object) => Object.getOwnPropertyNames(object))

const dedupe = () => createCache({ ttl: 1, storage: { type: "memory" } })

/** What a cache of each library can be asked for, and what makes one. */
const words: Readonly<Record<Library, () => ReadonlyArray<string>>> = {
  ours: () => [...Object.keys(Api), ...Object.values(Api).flatMap((module) => Object.keys(module))],
  bentocache: () => namesOf(BentoCache.prototype, Object.getPrototypeOf(bentostore())),
  cachified: () => Object.keys(Cachified),
  cacheable: () => namesOf(Cacheable.prototype),
  "async-cache-dedupe": () => namesOf(Object.getPrototypeOf(dedupe()))
}

/** Whether any word of a library is about something. A word proves little; that there is none says enough. */
export const wordsAbout = (about: RegExp) => (library: Library): Program => async () => {
  const found = words[library]().filter((word) => about.test(word))
  return found.length === 0
    ? no(`none of its ${words[library]().length} words`)
    : yes([...new Set(found)].slice(0, 4).join(", "))
}

// -----------------------------------------------------------------------------
// two kinds of value under one key
// -----------------------------------------------------------------------------

const title = async (_key?: unknown): Promise<string> => "Alien"
const year = async (_key?: unknown): Promise<number> => 1979

/** How each library reads a year where a title has been read under the same key. */
const yearOf: Readonly<Record<Library, () => Promise<unknown>>> = {
  ours: () => {
    const define = <A>(name: string, value: Schema.Codec<A>, load: () => Promise<A>) =>
      Cached.make(name, { key: Key.string("id"), value, lookup: () => Effect.promise(load) }, Policy.ttl("1 hour"))
    const program = Effect.andThen(
      Cached.get(define("title", Schema.String, title), "7"),
      Cached.get(define("year", Schema.Finite, year), "7")
    )
    return Effect.runPromise(Effect.provide(program, TestCache.layer()))
  },
  bentocache: async () => {
    const stores = { films: bentostore().useL1Layer(memoryDriver({ maxItems: 10 })) }
    const cache = new BentoCache({ default: "films", stores })
    await cache.getOrSet({ key: "7", factory: title })
    return cache.getOrSet({ key: "7", factory: year })
  },
  cachified: async () => {
    const cache = new Map<string, Cachified.CacheEntry>()
    await Cachified.cachified({
      key: "7",
      cache,
      getFreshValue: title,
      checkValue: (value) => typeof value === "string"
    })
    return Cachified.cachified({
      key: "7",
      cache,
      getFreshValue: year,
      checkValue: (value) => typeof value === "number"
    })
  },
  cacheable: async () => {
    const cache = new Cacheable()
    await cache.getOrSet("7", title)
    return cache.getOrSet("7", year)
  },
  "async-cache-dedupe": async () => {
    const cache = createCache({ ttl: 60, storage: { type: "memory" } }).define("title", title).define("year", year)
    await cache.title("7")
    return cache.year("7")
  }
}

export const twoKinds = (library: Library): Program => async () => {
  const read = await yearOf[library]()
  return holds(read === 1979, `a year was asked for, and ${JSON.stringify(read)} given`, "each is given its own")
}

// -----------------------------------------------------------------------------
// a store that fails
// -----------------------------------------------------------------------------

const down = (): Promise<never> => Promise.reject(new Error("the store is down"))

const outcomeOf = async (invalidate: () => Promise<unknown>): Promise<string> => {
  try {
    return `returned ${JSON.stringify(await invalidate())}`
  } catch (error) {
    return `failed with ${(error as Error).name}`
  }
}

const bentoWithoutRemote = async (memoryBefore: boolean, suppressL2Errors?: false): Promise<string> => {
  const remote = {
    type: "l2" as const,
    namespace: () => remote,
    get: async () => undefined,
    pull: down,
    set: down,
    clear: down,
    delete: down,
    deleteMany: down,
    disconnect: async () => undefined
  }
  const alone = memoryBefore ? bentostore().useL1Layer(memoryDriver({ maxItems: 10 })) : bentostore()
  const films = alone.useL2Layer({ options: {}, factory: () => remote })
  const options = { default: "films", stores: { films } } as const
  const cache = new BentoCache(suppressL2Errors === undefined ? options : { ...options, suppressL2Errors })
  return outcomeOf(() => cache.delete({ key: "7" }))
}

/** What each says when its store did not do what was asked of it. */
export const refusedInvalidation: Readonly<Record<Library, Program>> = {
  ours: async () => {
    const film = Cached.make(
      "film",
      { key: Key.string("id"), value: Schema.String, lookup: () => Effect.succeed("Alien") },
      Policy.ttl("1 hour")
    )
    const program = Effect.andThen(TestCache.fail("invalidate"), Cached.invalidate(film, "7"))
    // It is logged besides.
    const quietly = program.pipe(Effect.provide(TestCache.layer()), Effect.provide(Logger.layer([])))
    const outcome = await outcomeOf(() => Effect.runPromise(quietly))
    return holds(outcome === "failed with InvalidationError", outcome, outcome)
  },
  bentocache: async () => {
    const [alone, behind] = [await bentoWithoutRemote(false), await bentoWithoutRemote(true)]
    const asked = await bentoWithoutRemote(true, false)
    const what = `a store alone: ${alone}; behind a memory: ${behind}, or with suppressL2Errors false: ${asked}`
    if (behind.startsWith("failed")) return yes(what)
    return alone.startsWith("failed") ? partly(what) : no(what)
  },
  cachified: async () => {
    // What deletes is the object that is handed in.
    const cache: Cachified.Cache = { get: () => null, set: down, delete: down }
    const outcome = await outcomeOf(async () => cache.delete("7"))
    return holds(outcome.startsWith("failed"), outcome, `the store is your own object: ${outcome}`)
  },
  cacheable: async () => {
    const store = { get: async () => undefined, set: down, delete: down, clear: down }
    const cache = new Cacheable({ primary: new Keyv({ store }) })
    const errors: Array<unknown> = []
    cache.on("error", (error) => errors.push(error))
    const there = new Cacheable()
    await there.set("7", "Alien")
    const missing = await outcomeOf(() => there.delete("8"))
    const outcome = await outcomeOf(() => cache.delete("7"))
    if (outcome.startsWith("failed")) return yes(outcome)
    const what = `${outcome}, and ${errors.length} error events; for a key that is not there: ${missing}`
    return errors.length > 0 || outcome !== missing ? partly(what) : no(what)
  },
  "async-cache-dedupe": async () => {
    const client = { get: down, set: down, del: down } as unknown as Redis
    const cache = createCache({ ttl: 60, storage: { type: "redis", options: { client } } }).define("film", title)
    const outcome = await outcomeOf(() => cache.clear("film", "7"))
    return holds(outcome.startsWith("failed"), outcome, outcome)
  }
}

// -----------------------------------------------------------------------------
// the clock
// -----------------------------------------------------------------------------

/** Counts how often the time of day is read meanwhile. */
const countingDates = async (program: () => Promise<unknown>): Promise<number> => {
  const { now } = Date
  let count = 0
  Date.now = () => {
    count++
    return now()
  }
  try {
    await program()
  } finally {
    Date.now = now
  }
  return count
}

const onATestClock = async (): Promise<Seen> => {
  let loads = 0
  const film = Cached.make(
    "film",
    { key: Key.string("id"), value: Schema.Finite, lookup: () => Effect.sync(() => ++loads) },
    Policy.ttl(anHour)
  )
  const program = Effect.gen(function*() {
    yield* Cached.get(film, "7")
    yield* TestClock.adjust("2 hours")
    yield* Cached.get(film, "7")
  }).pipe(Effect.provide(Layer.merge(TestCache.layer(), TestClock.layer())))
  const dates = await countingDates(() => Effect.runPromise(program))
  return holds(
    loads === 2 && dates === 0,
    `${loads} loads, Date.now was read ${dates} times`,
    "it expired on TestClock; Date.now was not read"
  )
}

/** Whether time is read from something that a test can hand in. */
export const clock = (library: Library): Program => async () => {
  if (library === "ours") return onATestClock()
  const cache = await open[library]({})
  const dates = await countingDates(async () => {
    await cache.get("7", title)
    await cache.get("7", title)
  })
  await cache.close()
  const option = words[library]().filter((word) => /clock|timer/i.test(word))
  return holds(
    dates === 0 || option.length > 0,
    "Date.now is read, and no word of it is about a clock: its tests replace global timers",
    option.join(", ")
  )
}
