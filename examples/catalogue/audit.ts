/**
 * Asks everything twice: the cache, and then the database as if there were no cache. Both must say the same. What the
 * second way costs is what the cache saved.
 */
import { Clock, Effect, Result } from "effect"
import { isDeepStrictEqual } from "node:util"
import { Cached, type CacheService } from "../../src/index.ts"
import { Database, DatabaseError } from "./Database.ts"

/** What one question to the cache did, and whether its answers are those of the database. */
export interface Answer<V, E> {
  readonly results: ReadonlyArray<Result.Result<V, E>>
  readonly hits: number
  readonly stale: number
  readonly loads: number
  readonly joined: number
  readonly queries: number
  readonly wrong: number
}

export interface Total {
  reads: number
  wrong: number
  queriesWithout: number
  millisWith: number
  millisWithout: number
}

/** A way to ask several keys at once: a result for each. */
type Ask<K, V, E, R, F = never> = (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyArray<Result.Result<V, E>>, F, R>

/** Asks each key by itself, all at once. */
export const each = <K, V, E, R>(one: (key: K) => Effect.Effect<V, E, R>): Ask<K, V, E, R> => (keys) =>
  Effect.forEach(keys, (key) => Effect.result(one(key)), { concurrency: "unbounded" })

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const begun = yield* Clock.monotonicTimeNanos
    const result = yield* effect
    return { result, millis: Number((yield* Clock.monotonicTimeNanos) - begun) / 1e6 }
  })

/** A database that does not answer is no answer, even if it does so twice. */
const same = (a: Result.Result<unknown, unknown>, b: Result.Result<unknown, unknown>): boolean =>
  isDeepStrictEqual(a, b) && !(Result.isFailure(a) && a.failure instanceof DatabaseError)

export const make = Effect.gen(function*() {
  const database = yield* Database
  const uncached = yield* database.another
  const total: Total = { reads: 0, wrong: 0, queriesWithout: 0, millisWith: 0, millisWithout: 0 }

  const ask = <K, V, E, E2, F>(
    definition: Cached.Cached<K, V, E, Database>,
    keys: ReadonlyArray<K>,
    origin: Ask<K, V, E2, Database, F>,
    through: Ask<K, V, E, Database | CacheService.CacheService> = each((key) => Cached.get(definition, key))
  ) =>
    Effect.gen(function*() {
      const before = { stats: yield* Cached.stats(definition), queries: yield* database.queries }
      const cached = yield* timed(through(keys))
      const after = { stats: yield* Cached.stats(definition), queries: yield* database.queries }
      const truth = yield* Effect.provideService(timed(origin(keys)), Database, uncached)
      const results = cached.result
      const wrong = keys.filter((_, i) => !same(results[i]!, truth.result[i]!)).length
      total.reads += keys.length
      total.wrong += wrong
      total.queriesWithout = yield* uncached.queries
      total.millisWith += cached.millis
      total.millisWithout += truth.millis
      const answer: Answer<V, E> = {
        results,
        hits: after.stats.hits - before.stats.hits,
        stale: after.stats.staleServed - before.stats.staleServed,
        loads: after.stats.loads - before.stats.loads,
        joined: after.stats.coalesced - before.stats.coalesced,
        queries: after.queries - before.queries,
        wrong
      }
      return answer
    })

  return { ask, total }
})
