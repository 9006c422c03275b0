/**
 * The claims that are shown on a Redis, by two caches that share nothing but the
 * server, as two processes would.
 */
import { createKeyv } from "@keyv/redis"
import { BentoCache, bentostore } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { redisDriver } from "bentocache/drivers/redis"
import { Cacheable, type CacheableSyncOptions } from "cacheable"
import { Redis } from "ioredis"
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { type Cache, hour, type Library, open, type Settings } from "./caches.ts"
import { type Claim, each, holds, partly, type Program, type Seen, yes } from "./claim.ts"
import { invalidatedDuringALoad, invalidatedForAll, type Pair, tagInvalidatedDuringALoad } from "./invalidation.ts"
import { gate, heldLoad } from "./schedule.ts"

/** The time of day as it is, since clients of a server need it. */
const nextMillisecond = async (): Promise<void> => {
  const before = Date.now()
  while (Date.now() === before) await new Promise(setImmediate)
}

const closing = async <A>(caches: ReadonlyArray<{ readonly close: () => Promise<unknown> }>, use: () => Promise<A>) => {
  try {
    return await use()
  } finally {
    for (const { close } of caches) await close()
  }
}

const withTwo = async (url: string, library: Library, settings: Settings, use: (pair: Pair) => Promise<Seen>) => {
  const shared = { ...settings, redis: { url, prefix: `rivals-${randomUUID()}` } }
  const [reader, writer] = [await open[library](shared), await open[library](shared)]
  return closing([reader, writer], () => use({ reader, writer, nextMoment: nextMillisecond }))
}

// -----------------------------------------------------------------------------
// one load
// -----------------------------------------------------------------------------

/** That a cache waits for another process cannot be observed: one that has not loaded by then is taken to wait. */
const patience = 500

const coldInBoth = async ({ reader, writer }: Pair): Promise<Seen> => {
  const { answer, began, load } = heldLoad(() => "row")
  const other = gate()
  const first = reader.get("7", load)
  await began.opened
  const second = writer.get("7", async () => {
    other.open()
    return "row"
  })
  await Promise.race([other.opened, sleep(patience)])
  const loads = other.isOpen() ? 2 : 1
  answer.open()
  await Promise.all([first, second])
  return holds(loads === 1, "each loaded", "one load")
}

// -----------------------------------------------------------------------------
// memory before Redis, and messages between the memories
// -----------------------------------------------------------------------------

type Handler = (message: never) => unknown

/** Messages between processes, which are on their way until they are let through. */
class Wire {
  private readonly handlers: Array<{ readonly owner: object; readonly topic: string; readonly handler: Handler }> = []
  private underWay: Array<() => unknown> = []

  subscribe(owner: object, topic: string, handler: Handler): void {
    this.handlers.push({ owner, topic, handler })
  }

  publish(owner: object, topic: string, message: unknown): void {
    const listeners = this.handlers.filter((one) => one.topic === topic && one.owner !== owner)
    this.underWay.push(...listeners.map(({ handler }) => () => handler(message as never)))
  }

  async arrive(): Promise<void> {
    const arriving = this.underWay
    this.underWay = []
    for (const deliver of arriving) await deliver()
  }
}

type NearCache = Pick<Cache, "get" | "invalidate" | "close">

const bentoInTiers = (url: string, prefix: string, wire: Wire): NearCache => {
  const connection = new Redis(url)
  const transport = {
    setId: () => transport,
    onReconnect: () => undefined,
    publish: async (channel: string, message: unknown) => wire.publish(transport, channel, message),
    subscribe: async (channel: string, handler: Handler) => wire.subscribe(transport, channel, handler),
    unsubscribe: async () => undefined,
    disconnect: async () => undefined
  }
  const films = bentostore().useL1Layer(memoryDriver({ maxItems: 10 })).useL2Layer(redisDriver({ connection }))
    .useBus({ options: {}, factory: () => transport })
  const cache = new BentoCache({ default: "films", prefix, ttl: hour, stores: { films } })
  return {
    get: (key, factory) => cache.getOrSet({ key, factory }),
    invalidate: (key) => cache.delete({ key }),
    close: async () => {
      await cache.disconnectAll()
      connection.disconnect()
    }
  }
}

type Provider = Exclude<CacheableSyncOptions["qified"], ReadonlyArray<unknown> | { readonly messageProviders: unknown }>

const cacheableInTiers = (url: string, prefix: string, wire: Wire): NearCache => {
  const provider: Provider = {
    id: randomUUID(),
    subscriptions: new Map(),
    publish: async (topic, message) => wire.publish(provider, topic, { ...message, providerId: provider.id }),
    subscribe: async (topic, { handler }) => wire.subscribe(provider, topic, handler),
    unsubscribe: async () => undefined,
    disconnect: async () => undefined
  }
  const cache = new Cacheable({
    ttl: hour,
    namespace: prefix,
    secondary: createKeyv(url, { namespace: prefix }),
    sync: { qified: provider }
  })
  return {
    get: async (key, load) => (await cache.getOrSet(key, load))!,
    invalidate: (key) => cache.delete(key),
    close: () => cache.disconnect()
  }
}

/** What the other process is given before the message has arrived, and after. */
const behindAWire = async (
  url: string,
  make: (url: string, prefix: string, wire: Wire) => NearCache
): Promise<readonly [before: string, after: string]> => {
  const wire = new Wire()
  const prefix = `rivals-${randomUUID()}`
  const [reader, writer] = [make(url, prefix, wire), make(url, prefix, wire)]
  return closing([reader, writer], async () => {
    await writer.get("7", async () => "old")
    await wire.arrive()
    await reader.get("7", async () => "old")
    await writer.invalidate("7")
    const before = await reader.get("7", async () => "new")
    await wire.arrive()
    return [before, await reader.get("7", async () => "new")]
  })
}

const inTiers = { bentocache: bentoInTiers, cacheable: cacheableInTiers } as const

const trueForAll = (url: string, library: Library): Program => async () => {
  const shared = await withTwo(url, library, {}, invalidatedForAll)
  if (shared.verdict === "no" || (library !== "bentocache" && library !== "cacheable")) return shared
  const [before, after] = await behindAWire(url, inTiers[library])
  const what = `Redis alone: ${shared.what}; memory before it: ${before} until the message arrives, then ${after}`
  return before === "new" && after === "new" ? yes(what) : partly(what)
}

// -----------------------------------------------------------------------------

/** The claims, on the server at an address. */
export const redisClaims = (url: string): ReadonlyArray<Claim> => {
  const withPair = (settings: Settings, use: (pair: Pair) => Promise<Seen>): Claim["programs"] =>
    each((library) => () => withTwo(url, library, settings, use))
  return [
    {
      title: "Two processes: a key invalidated in one while the other loads it",
      programs: withPair({}, invalidatedDuringALoad)
    },
    {
      title: "Two processes: a tag invalidated in one during a load of the other",
      programs: withPair({ tagged: true }, tagInvalidatedDuringALoad)
    },
    {
      title: "Two processes: what one has invalidated, the other does not serve",
      programs: each((library) => trueForAll(url, library))
    },
    { title: "Two processes: one load of a cold key", programs: withPair({}, coldInBoth) }
  ]
}
