/**
 * What the tests of the strategies share: the site on a real database, readers that are held up in the middle, and the
 * caches that a scenario is tried on.
 */
import type { Vitest } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { fill, small } from "../../examples/articles/content.ts"
import * as Database from "../../examples/articles/Database.ts"
import type { CacheStore } from "../../src/index.ts"
import { Cached, CacheService, Invalidation, MemoryCache } from "../../src/index.ts"
import type * as Outbox from "../../src/Outbox.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import { eventually } from "../support/redis.ts"
import { oneNode, type Process, start } from "../support/redisCache.ts"
import { startProxy } from "../support/redisProxy.ts"
import { freshDatabase } from "../support/sharedPostgres.ts"
import { freshPrefix, nodeUrl } from "../support/sharedRedis.ts"

/** A database with a little content, and its outbox. */
export const filled = <A, E>(database: Layer.Layer<A | SqlClient.SqlClient, E>) =>
  Layer.mergeAll(Layer.effectDiscard(fill(small)), SqlOutbox.layer()).pipe(Layer.provideMerge(database))

/** The site's database, on a server. One for all tests of a file: each changes rows of its own. */
// Its connections live by the real clock: a test may set its own as it likes.
export const site = filled(
  Layer.effectContext(TestClock.withLive(Layer.build(Layer.unwrap(Effect.map(freshDatabase, Database.server)))))
)

/** What a test may ask for beside its cache. */
export type Given = SqlClient.SqlClient | Outbox.Outbox | Scope.Scope

/** The caches of two processes on one store. */
export type Processes = readonly [one: Process, other: Process]

const inMemory = Effect.map(start(MemoryCache.layer({ capacity: 1000 })), (one): Processes => [one, one])

/** Two processes on the shared Redis. */
export const onRedis: Effect.Effect<Processes, never, Scope.Scope> = Effect.suspend(() => {
  const another = start(oneNode.layer({ prefix: freshPrefix() }))
  return Effect.all([another, another])
})

/** One test in one process in memory, where both are the same, and in two on Redis. */
export const onBoth = <R>(
  it: Vitest.MethodsNonLive<R>,
  name: string,
  test: (...processes: Processes) => Effect.Effect<unknown, unknown, R | Scope.Scope>
): void => {
  it.effect(`${name} [memory]`, () => Effect.flatMap(inMemory, (processes) => test(...processes)))
  it.effect(`${name} [redis]`, () => Effect.flatMap(onRedis, (processes) => test(...processes)))
}

const isQuery = (args: ReadonlyArray<unknown>): boolean => Array.isArray(args[0]) && "raw" in args[0]

/**
 * Starts a reader, and waits until the database has answered its query. The reader has not heard the answer: it goes on
 * when what this gives is run, and that gives what it read.
 */
export const midway = Effect.fnUntraced(function*<A, E, R>(read: Effect.Effect<A, E, R>) {
  const sql = yield* SqlClient.SqlClient
  const answered = yield* Deferred.make<void>()
  const go = yield* Deferred.make<void>()
  const wait = Effect.andThen(Deferred.succeed(answered, undefined), Deferred.await(go))
  const slow = new Proxy(sql, {
    apply: (target, self, args) => {
      const made = Reflect.apply(target, self, args)
      return isQuery(args) ? Effect.tap(made as Effect.Effect<unknown>, wait) : made
    }
  })
  const fiber = yield* Effect.forkScoped(Effect.provideService(read, SqlClient.SqlClient, slow))
  const askedNothing = Effect.andThen(Fiber.join(fiber), Effect.die(new Error("the reader did not ask the database")))
  yield* Effect.raceFirst(Deferred.await(answered), askedNothing)
  return Effect.andThen(Deferred.succeed(go, undefined), Fiber.join(fiber))
})

/** A cache of its own for a test, in this process. */
export const fresh = Effect.provide(MemoryCache.layer({ capacity: 1000 }), { local: true })

/** The same process, but something stands before each value that it stores. */
export const beforeStoring = ({ service }: Process, before: Effect.Effect<unknown>): Process => {
  const store: CacheStore.CacheStore = {
    ...service.store,
    commit: (...args) => Effect.andThen(before, service.store.commit(...args))
  }
  const held = { ...service, store }
  return { service: held, run: Effect.provideService(CacheService.CacheService, held) }
}

/** What an effect gives, and how many statements it put to the database. */
export const counted = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => {
    let statements = 0
    const counting = new Proxy(sql, {
      apply: (target, self, args) => {
        if (isQuery(args)) statements++
        return Reflect.apply(target, self, args)
      }
    })
    return Effect.map(
      Effect.provideService(effect, SqlClient.SqlClient, counting),
      (result) => ({ result, statements })
    )
  })

/** Runs an effect on a database that does something after each answer: counts it, or takes a while. */
export const afterQueries =
  (something: Effect.Effect<unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | SqlClient.SqlClient> =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => {
      const watched = new Proxy(sql, {
        apply: (target, self, args) => {
          const made = Reflect.apply(target, self, args)
          return isQuery(args) ? Effect.tap(made as Effect.Effect<unknown>, something) : made
        }
      })
      return Effect.provideService(effect, SqlClient.SqlClient, watched)
    })

/** Runs an effect, and counts its queries. */
export const queriesOf = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<number, E, R | SqlClient.SqlClient> =>
  Effect.suspend(() => {
    let queries = 0
    const count = Effect.sync(() => {
      queries++
    })
    return Effect.map(afterQueries(count)(effect), () => queries)
  })

/** Lets the time of the test go on until a fiber ends. What it asks of a server meanwhile takes real time. */
export const passing = <A, E>(fiber: Fiber.Fiber<A, E>, step = 100): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const goOn = () => Effect.runPromiseWith(context)(TestClock.adjust(step))
    yield* Effect.promise(() =>
      eventually("the fiber ends", () => fiber.pollUnsafe() !== undefined || goOn().then(() => false))
    )
    return yield* Fiber.join(fiber)
  })

/** Waits until something waits for a lock of the database, or has ended without. */
export const lockedOrEnded = Effect.fnUntraced(function*(fiber: Fiber.Fiber<unknown, unknown>) {
  const sql = yield* SqlClient.SqlClient
  const waiting = Effect.map(
    sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    (rows) => rows.length > 0
  )
  yield* Effect.promise(() =>
    eventually("it waits for a lock", () => fiber.pollUnsafe() !== undefined || Effect.runPromise(waiting))
  )
})

/** A process on Redis, and the names of the commands that it sends while it does something. */
export const onWatchedRedis = Effect.gen(function*() {
  const { hostname, port } = new URL(nodeUrl())
  const proxy = yield* Effect.acquireRelease(
    Effect.promise(() => startProxy({ host: hostname, port: Number(port) })),
    ({ stop }) => Effect.promise(stop)
  )
  const prefix = freshPrefix()
  const process = yield* start(RedisCache.layer({ url: proxy.url, prefix }))
  // What a connection does at its start is done, and scripts are known.
  yield* process.run(Cached.apply(Invalidation.tags("start")))
  const commands = <A, E, R>(effect: Effect.Effect<A, E, R | CacheService.CacheService>) =>
    Effect.gen(function*() {
      const before = proxy.requests.length
      yield* process.run(effect)
      return proxy.requests.slice(before).map(([name]) => name!.toUpperCase())
    })
  return { ...process, url: nodeUrl(), prefix, proxy, commands }
})

/** Starts a reader, and waits until the database has answered its query of that number. Otherwise as `midway`. */
export const midwayAt = Effect.fnUntraced(function*<A, E, R>(query: number, read: Effect.Effect<A, E, R>) {
  const [answered, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  let queries = 0
  const hold = Effect.suspend(() =>
    ++queries === query ? Effect.andThen(Deferred.succeed(answered, undefined), Deferred.await(go)) : Effect.void
  )
  const fiber = yield* Effect.forkScoped(afterQueries(hold)(read))
  yield* Effect.raceFirst(Deferred.await(answered), Fiber.join(fiber))
  return Effect.andThen(Deferred.succeed(go, undefined), Fiber.join(fiber))
})
