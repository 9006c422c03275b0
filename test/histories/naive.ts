/**
 * The cache that most people would write: get, set, del. It is here to be found
 * guilty, so that an acquittal means something.
 *
 * - read: GET; on a miss load and SET, and add the key to the sets of its tags.
 *   Calls of this process for one key share a load.
 * - invalidate: DEL; a tag: DEL all keys of its set.
 */
import { Redis } from "ioredis"
import type { Invalidation } from "../../src/Invalidation.ts"
import { matches } from "../../src/Key.ts"
import { dependenciesOf, foundIn, limits, type Name, type Row, type RowKey, storedKey } from "./workload.ts"

export interface Naive {
  readonly get: (
    name: Name,
    key: RowKey,
    load: () => Promise<Row>
  ) => Promise<{ readonly row: Row; readonly hit: boolean }>
  readonly apply: (over: Invalidation) => Promise<void>
  readonly set: (name: Name, key: RowKey, row: Row) => Promise<void>
  readonly close: () => void
}

const lifetimeOf = (name: Name): number => name === "brief" || name === "stale" ? limits.lifetimes[name] : 60_000

export const makeNaive = (url: string, prefix: string): Naive => {
  const redis = new Redis(url)
  const loading = new Map<string, Promise<Row>>()
  const entry = (key: string) => `${prefix}:e:{${key}}`
  const members = (dependency: string) => `${prefix}:t:{${dependency}}`

  const store = async (name: Name, key: RowKey, row: Row): Promise<void> => {
    const stored = storedKey(name, key)
    await redis.set(entry(stored), JSON.stringify(row), "PX", lifetimeOf(name))
    for (const tag of [...dependenciesOf(name, key), ...foundIn(name, row.tag)]) await redis.sadd(members(tag), stored)
  }

  const remove = async (keys: ReadonlyArray<string>): Promise<void> => {
    if (keys.length > 0) await redis.del(...keys.map(entry))
  }

  const keysOf = async (over: Invalidation): Promise<ReadonlyArray<string>> => {
    const found = [...over.keys.keys()]
    for (const dependency of over.dependencies.keys()) found.push(...await redis.smembers(members(dependency)))
    for (const { pattern } of over.patterns.values()) {
      const all = await redis.keys(`${prefix}:e:*`)
      found.push(...all.map((one) => one.slice(prefix.length + 4, -1)).filter((key) => matches(pattern, key)))
    }
    return found
  }

  return {
    get: async (name, key, load) => {
      const stored = storedKey(name, key)
      const text = await redis.get(entry(stored))
      if (text !== null) return { row: JSON.parse(text) as Row, hit: true }
      const running = loading.get(stored)
      if (running !== undefined) return { row: await running, hit: false }
      const mine = load().then((row) => store(name, key, row).then(() => row)).finally(() => loading.delete(stored))
      loading.set(stored, mine)
      return { row: await mine, hit: false }
    },
    apply: async (over) => remove(await keysOf(over)),
    set: store,
    close: () => redis.disconnect()
  }
}
