import { assert, describe, layer } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import { getProduct, updateProduct } from "../../examples/articles/strategies/fallback.ts"
import { CacheService } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import * as TestCache from "../../src/TestCache.ts"
import { start } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/fallback.ts"
import { counted, onWatchedRedis, passing, site } from "./support.ts"

/** A cache whose server does not answer: its operations fail after so many milliseconds. */
class Down extends DjangoCache {
  down = false
  after = 0

  private operation<A>(effect: Effect.Effect<A>): Effect.Effect<A> {
    return Effect.suspend(() => this.down ? Effect.delay(Effect.die(new Error("timed out")), this.after) : effect)
  }

  override get<A>(key: string) {
    return this.operation(super.get<A>(key))
  }

  override set(...args: Parameters<DjangoCache["set"]>) {
    return this.operation(super.set(...args))
  }

  override delete(...args: Parameters<DjangoCache["delete"]>) {
    return this.operation(super.delete(...args))
  }
}

/** The database is down: each query fails, and is counted. */
const databaseDown = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  counted(Effect.exit(Effect.flatMap(SqlClient.SqlClient, (sql) => {
    const broken = new Proxy(sql, {
      apply: (target, self, args) => {
        const made = Reflect.apply(target, self, args)
        return Effect.isEffect(made) ? Effect.fail(new Error("the database is down")) : made
      }
    })
    return Effect.provideService(effect, SqlClient.SqlClient, broken)
  })))

const millis = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    yield* passing(yield* Effect.forkChild(effect))
    return (yield* Clock.currentTimeMillis) - start
  })

const twenty = <A, E, R>(read: Effect.Effect<A, E, R>) => Effect.forEach(Array.from({ length: 20 }), () => read)

layer(site, { timeout: "60 seconds" })("fallback", (it) => {
  describe("the Django way", () => {
    it.effect("asks a database that is down once more", () =>
      Effect.gen(function*() {
        const { result, statements } = yield* databaseDown(
          Django.getData(new DjangoCache(), "product:1", Queries.product(1))
        )
        assert.isTrue(Exit.isFailure(result))
        assert.strictEqual(statements, 2)
      }))

    it.effect("asks for what is not there again and again", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const nothing = Queries.product(1_000_000).pipe(Effect.catchTag("NotFound", () => Effect.undefined))
        const { statements } = yield* counted(twenty(Django.getData(cache, "product:1000000", nothing)))
        assert.strictEqual(statements, 20)
      }))

    it.effect("waits for a cache that hangs, at each read", () =>
      Effect.gen(function*() {
        const cache = new Down()
        cache.down = true
        cache.after = 1_000
        const waited = yield* millis(twenty(Django.getData(cache, "product:1", Queries.product(1))))
        assert.isAtLeast(waited, 20_000)
      }))

    it.effect("hides that a deletion has failed: the old price stays", () =>
      Effect.gen(function*() {
        const cache = new Down()
        const read = Django.getData(cache, "product:2", Queries.product(2))
        const before = (yield* read)!.price
        cache.down = true
        yield* Django.updateProduct(cache, 2, { price: before + 50 })
        cache.down = false
        assert.strictEqual((yield* Queries.product(2)).price, before + 50)
        assert.strictEqual((yield* read)!.price, before)
      }))
  })

  describe("the way here", () => {
    it.effect("a cache that fails costs loads, and no errors", () =>
      Effect.gen(function*() {
        yield* getProduct(3)
        yield* TestCache.fail("read")
        const { result, statements } = yield* counted(getProduct(3))
        assert.deepStrictEqual([result, statements], [yield* Queries.product(3), 1])
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("a cache that hangs is waited for five times, then left alone", () =>
      Effect.gen(function*() {
        yield* getProduct(3)
        yield* TestCache.delay("read", Infinity)
        for (let i = 0; i < 5; i++) {
          const read = yield* Effect.forkChild(getProduct(3), { startImmediately: true })
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(read)
        }
        yield* TestCache.forget
        // No time passes: nobody moves the clock.
        const { statements } = yield* counted(twenty(getProduct(3)))
        assert.strictEqual(statements, 20)
        assert.lengthOf(yield* TestCache.operations, 0)
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("a database that fails is asked once, and the old value is served", () =>
      Effect.gen(function*() {
        const before = yield* getProduct(4)
        yield* TestClock.adjust("1 hour")
        const { result, statements } = yield* databaseDown(getProduct(4))
        assert.deepStrictEqual([Exit.getSuccess(result), statements], [Exit.getSuccess(Exit.succeed(before)), 1])
        yield* TestClock.adjust("1 day")
        assert.isTrue(Exit.isFailure((yield* databaseDown(getProduct(4))).result))
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("what is not there is asked for once", () =>
      Effect.gen(function*() {
        const { statements } = yield* counted(twenty(Effect.flip(getProduct(1_000_000))))
        assert.strictEqual(statements, 1)
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("an invalidation that fails is said, and kept: here nobody sees the old price", () =>
      Effect.gen(function*() {
        const { price } = yield* getProduct(5)
        yield* TestCache.fail("invalidate")
        assert.strictEqual(yield* updateProduct(5, { price: price + 50 }), "saved, and shown soon")
        assert.strictEqual((yield* getProduct(5)).price, price + 50)
        assert.lengthOf(yield* CacheService.undelivered, 1)
        yield* TestCache.restore
        yield* TestClock.adjust("1 minute")
        assert.lengthOf(yield* CacheService.undelivered, 0)
        assert.strictEqual(yield* updateProduct(5, { price: price + 100 }), "saved")
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("a Redis that is away: reads go on, and a change reaches the others when it is back", () =>
      Effect.gen(function*() {
        const { proxy, ...here } = yield* onWatchedRedis
        const there = yield* start(RedisCache.layer({ url: here.url, prefix: here.prefix }))
        const read = getProduct(6)
        const { price } = yield* there.run(read)
        yield* Effect.promise(() => proxy.refuse())
        assert.strictEqual((yield* passing(yield* Effect.forkChild(here.run(read)))).price, price)
        const said = yield* passing(yield* Effect.forkChild(here.run(updateProduct(6, { price: price + 50 }))))
        assert.strictEqual(said, "saved, and shown soon")
        // Only whoever has written it knows.
        assert.strictEqual((yield* passing(yield* Effect.forkChild(here.run(read)))).price, price + 50)
        assert.strictEqual((yield* there.run(read)).price, price)
        yield* Effect.promise(() => proxy.resume())
        const told = here.run(Effect.repeat(
          Effect.delay(CacheService.undelivered, "100 millis"),
          { until: (left) => left.length === 0 }
        ))
        yield* passing(yield* Effect.forkChild(told))
        assert.strictEqual((yield* there.run(read)).price, price + 50)
      }))
  })
})
