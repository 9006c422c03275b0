/**
 * What the cache costs on Redis, against plain `ioredis` and other libraries on
 * the same server.
 *
 * The client and the server share the machine, so a client that is slow is not
 * hidden behind a network. All clients of `ioredis` are set alike, with
 * auto-pipelining on or off as the title says. The one of `cacheable` is
 * another (`@redis/client`), which always sends what is asked in one turn
 * together. `RedisCache` asks in one command for what is read in one turn.
 */
import { Effect } from "effect"
import { Redis } from "ioredis"
import { startServer } from "../../test/support/redis.ts"
import {
  consume,
  type Contender,
  type Effort,
  measure,
  type Measured,
  measureStaged,
  type Run,
  type Staged,
  type Table
} from "./harness.ts"
import { listsTable, listsTitle } from "./redisLists.ts"
import { stepsTitle, stepTables } from "./redisSteps.ts"
import {
  asPromises,
  large,
  type Library,
  loads,
  others,
  ours,
  plainSet,
  raw,
  rawFills,
  rawGet,
  type Server,
  small,
  tagging
} from "./redisSubjects.ts"
import { type Traffic, trafficOf } from "./redisTraffic.ts"

export const atOnce = 64
const keysOf = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `customer-${i}`)

// -----------------------------------------------------------------------------
// a server
// -----------------------------------------------------------------------------

export interface Place {
  readonly url: string
  readonly version: string
  readonly stop: () => Promise<void>
}

const ask = async <A>(url: string, use: (redis: Redis) => Promise<A>): Promise<A> => {
  const redis = new Redis(url, { retryStrategy: null })
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

const flush = (url: string): Promise<unknown> => ask(url, (redis) => redis.flushdb())

/** A server of our own, or an empty database of the one that is given. It is emptied at the end. */
export const openServer = async (given: string | undefined): Promise<Place> => {
  const server = given === undefined ? await startServer() : undefined
  const url = given ?? server!.url
  const version = await ask(url, async (redis) => {
    if (await redis.dbsize() > 0) throw new Error("the database is not empty, and a benchmark would empty it")
    return /redis_version:(\S+)/.exec(await redis.info("server"))![1]!
  })
  return { url, version, stop: server === undefined ? async () => void await flush(url) : server.stop }
}

// -----------------------------------------------------------------------------
// driving
// -----------------------------------------------------------------------------

const inTurn = (all: ReadonlyArray<string>): () => string => {
  let at = 0
  return () => all[at++ % all.length]!
}

const newKeys = (): () => string => {
  let count = 0
  return () => `customer-${count++}`
}

/** So many workers at once, which share the work. */
const byPromises = ({ get }: Library, next: () => string): Run => async (n) => {
  let i = 0
  const worker = async (): Promise<void> => {
    while (i++ < n) consume(await get(next()))
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

const byFibers = (
  effect: NonNullable<Library["effect"]>,
  services: NonNullable<Library["services"]>,
  next: () => string
): Run => {
  const run = Effect.runPromiseWith(services)
  return (n) => {
    let i = 0
    const worker = Effect.whileLoop({ while: () => i++ < n, body: () => effect(next()), step: consume })
    return run(
      Effect.forEach(Array.from({ length: atOnce }), () => worker, { concurrency: "unbounded", discard: true })
    )
  }
}

const driven = (library: Library, services: Library["services"], next: () => string): Contender => {
  const { effect, name } = library
  const around = library.services ?? services
  return {
    name,
    run: effect === undefined || around === undefined ? byPromises(library, next) : byFibers(effect, around, next)
  }
}

const forEachKey = async (all: ReadonlyArray<string>, act: (key: string) => Promise<unknown>): Promise<void> => {
  let i = 0
  const worker = async (): Promise<void> => {
    while (i < all.length) await act(all[i++]!)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

// -----------------------------------------------------------------------------
// tables
// -----------------------------------------------------------------------------

type Use = (table: Table) => Promise<void>

const settingOf = ({ pipelining, size }: Server): string =>
  `${atOnce} at once, ${size.describe}, auto-pipelining ${pipelining ? "on" : "off"}`

/** All read what is there: whoever loads meanwhile is found out. */
const hits = Effect.fnUntraced(function*(server: Server, use: Use) {
  const usual = yield* ours(server, "usual", [
    "no dependency",
    "3 tags",
    "3 tags from the key",
    "3 tags from the value",
    "10 tags",
    "10 tags from the value"
  ])
  const all = [
    ...yield* raw(server),
    ...usual,
    asPromises(usual[0]!),
    ...yield* ours(server, "decoding", ["no dependency", "3 tags", "3 tags from the value"]),
    ...yield* ours(server, "trusting", ["no dependency", "3 tags"]),
    ...yield* others(server)
  ]
  const keys = keysOf(server.size.keys)
  yield* Effect.promise(async () => {
    for (const { fill } of all) await forEachKey(keys, fill)
    const before = loads()
    await use({
      title: `redis hits, ${settingOf(server)}`,
      note: `${keys.length} keys. Ours asks the server at each read; a text that it has decoded before it decodes again`
        + " only with remember 0.",
      reference: rawGet,
      rate: true,
      contenders: all.map((library) => driven(library, usual[0]!.services, inTurn(keys)))
    })
    if (loads() > before) throw new Error(`${loads() - before} reads that should have been hits were loads`)
  })
})

const misses = Effect.fnUntraced(function*(server: Server, use: Use) {
  const usual = yield* ours(server, "usual", ["no dependency", "3 tags", "3 tags from the value", "10 tags"])
  const all = [...yield* rawFills(server), ...usual, ...yield* others(server)]
  yield* Effect.promise(() =>
    use({
      title: `redis misses, each with its load and what stores it, ${settingOf(server)}`,
      note: "Keys that were never seen. Loads take no time.",
      reference: plainSet,
      rate: true,
      contenders: all.map((library) => driven(library, undefined, newKeys()))
    })
  )
})

const tag = "everyone"
const spaced = (count: number): string => count.toLocaleString("en").replaceAll(",", " ")

/** Those that note an invalidation and look it up at each read are flat; `hits` shows what that read costs. */
const invalidations = Effect.fnUntraced(function*(
  server: Server,
  sizes: ReadonlyArray<{ readonly count: number; readonly rounds: number }>,
  progress: (done: number, of: number) => void,
  each: (measured: Measured) => void
) {
  const all = yield* tagging(server, tag)
  yield* Effect.promise(async () => {
    for (const { count, rounds } of sizes) {
      const names = keysOf(count)
      const stages = all.map(({ fill, invalidate, name }): Staged => ({
        name: `${name}: invalidate`,
        prepare: () => forEachKey(names, fill),
        act: async () => void await invalidate!(tag)
      }))
      each(
        await measureStaged(
          {
            title: `redis invalidating a tag of ${spaced(count)} ${count === 1 ? "entry" : "entries"}`,
            note: "Time of one invalidation, nothing else under way, entries prepared before.",
            reference: "ours: invalidate"
          },
          stages,
          rounds,
          progress
        )
      )
    }
  })
})

export interface Options {
  readonly url: string
  readonly full: boolean
  readonly effort: Effort
  readonly wanted: (title: string) => boolean
  readonly progress: (title: string) => (done: number, of: number) => void
  readonly each: (measured: Measured) => void
}

/** Measures everything that is wanted, table after table, each in an empty database. */
export const measureRedis = Effect.fnUntraced(function*({ each, effort, full, progress, url, wanted }: Options) {
  const server = (pipelining: boolean, size: Server["size"]): Server => ({ url, pipelining, size, prefix: "b:" })
  const emptied = Effect.promise(() => flush(url))
  const use: Use = async (table) => each(await measure(table, effort, progress(table.title)))
  const settings = [
    server(true, small),
    server(false, small),
    server(true, large),
    ...full ? [server(false, large)] : []
  ]
  for (const one of settings) {
    if (wanted(`redis hits, ${settingOf(one)}`)) yield* Effect.scoped(Effect.andThen(emptied, hits(one, use)))
  }
  if (wanted("redis misses")) yield* Effect.scoped(Effect.andThen(emptied, misses(server(true, small), use)))
  if (wanted("redis invalidating a tag")) {
    const sizes = [
      { count: 1, rounds: full ? 100 : 40 },
      { count: 1000, rounds: full ? 10 : 5 },
      { count: full ? 100_000 : 10_000, rounds: 1 }
    ]
    yield* Effect.scoped(Effect.andThen(
      emptied,
      invalidations(server(true, small), sizes, progress("redis invalidating a tag"), each)
    ))
  }
  if (wanted(stepsTitle)) yield* Effect.scoped(Effect.andThen(emptied, stepTables(url, use)))
  if (wanted(listsTitle)) yield* Effect.scoped(Effect.andThen(emptied, listsTable(url, use)))
  yield* emptied
})

// -----------------------------------------------------------------------------
// traffic
// -----------------------------------------------------------------------------

const times = 100
const timesAtOnce = 10 * atOnce

const oneByOne = async (n: number, act: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < n; i++) await act()
}

/** What hits, misses and invalidations cost of each, counted and not timed. */
export const traffic = Effect.fnUntraced(function*(url: string) {
  const server: Server = { url, pipelining: true, size: small, prefix: "t:" }
  const [rawOnly] = yield* raw(server)
  const fills = yield* rawFills(server)
  const all: ReadonlyArray<Library> = [
    ...yield* ours(server, "usual", ["no dependency", "3 tags", "3 tags from the value", "10 tags"]),
    ...yield* ours(server, "decoding", ["3 tags from the value"]),
    ...yield* others(server)
  ]
  const some = keysOf(times)
  const counts: Array<Traffic> = []
  const count = async (library: Library, operation: string, n: number, act: () => Promise<unknown>): Promise<void> => {
    const { fill, name } = library
    // Scripts are known, connections are made, and each key was read once since it was filled.
    const prepare = async () => {
      await forEachKey(some, fill)
      await forEachKey(some, fill)
    }
    counts.push(await trafficOf(url, { name, operation, times: n, prepare, act }))
  }
  const hit = async (library: Library): Promise<void> => {
    const next = inTurn(some)
    await count(library, "hit", times, () => oneByOne(times, () => library.get(next())))
    await count(
      library,
      `hit, ${atOnce} at once`,
      timesAtOnce,
      () => byPromises(library, next)(timesAtOnce) as Promise<void>
    )
  }
  const miss = async (library: Library): Promise<void> => {
    let at = 1000
    await count(library, "miss", times, () => oneByOne(times, () => library.get(`customer-${at++}`)))
  }
  yield* Effect.promise(async () => {
    await flush(url)
    await hit(rawOnly!)
    for (const library of fills) await miss(library)
    for (const library of all) {
      await hit(library)
      await miss(library)
      const { invalidate } = library
      if (invalidate !== undefined && !library.name.includes("no ")) {
        await count(library, "invalidate a tag", times, () => oneByOne(times, () => invalidate("customers")))
      }
    }
    await flush(url)
  })
  return counts as ReadonlyArray<Traffic>
})

const amount = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value.toFixed(value % 1 === 0 ? 0 : value < 0.1 ? 3 : 2)

/** A table for the terminal. */
export const formatTraffic = (all: ReadonlyArray<Traffic>): string =>
  [
    "",
    `redis traffic of one operation, ${small.describe}, as the server counts it`,
    "  commands sent; commands that scripts run there; bytes to the server and from it",
    ` ${"".padEnd(62)} ${"sent".padStart(6)} ${"inside".padStart(7)} ${"bytes in".padStart(9)} ${"out".padStart(7)}`,
    ...all.map(({ bytesIn, bytesOut, name, operation, scripted, sent }) => {
      const total = Object.values(sent).reduce((sum, one) => sum + one, 0)
      const list = Object.entries(sent).map(([command, n]) => `${amount(n)} ${command}`).join(", ")
      return `  ${name.padEnd(42)}${operation.padEnd(18)} ${amount(total).padStart(6)} ${
        amount(scripted).padStart(7)
      } ${bytesIn.toFixed(0).padStart(9)} ${bytesOut.toFixed(0).padStart(7)}  ${list}`
    })
  ].join("\n")
