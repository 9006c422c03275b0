import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../examples/articles/Queries.ts"
import { invalidateUser, orders, profile } from "../../examples/articles/strategies/key-tracking.ts"
import { Cached } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { keysUnder, lookAt, oneNode, places, type Process, promise, start } from "../support/redisCache.ts"
import { freshPrefix, nodeUrl } from "../support/sharedRedis.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/key-tracking.ts"
import { counted, midway, onBoth, onWatchedRedis, site } from "./support.ts"

/** A process whose way to the cache is slow when it writes the tracker. */
class Slow extends DjangoCache {
  readonly reached = Deferred.makeUnsafe<void>()
  readonly go = Deferred.makeUnsafe<void>()

  override set(...args: Parameters<DjangoCache["set"]>) {
    const set = super.set(...args)
    return args[0] !== Django.CacheKeyTracker.TRACKER_KEY
      ? set
      : Effect.andThen(Effect.andThen(Deferred.succeed(this.reached, undefined), Deferred.await(this.go)), set)
  }
}

/** A change of which nobody is told: it says by how much the name is longer now. */
const rename = (userId: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update users set name = name || '!' where id = ${userId}`)

const exclaims = ({ name }: { readonly name: string }) => name.endsWith("!")

layer(site, { timeout: "60 seconds" })("key tracking", (it) => {
  describe("the Django way", () => {
    it.effect("loses a key when two are registered at once", () =>
      Effect.gen(function*() {
        const slow = new Slow()
        const other = new DjangoCache({ memory: slow.memory })
        const first = yield* Effect.forkChild(Django.getOrders(slow, 1))
        yield* Deferred.await(slow.reached)
        yield* Django.getProfile(other, 1)
        yield* Deferred.succeed(slow.go, undefined)
        yield* Fiber.join(first)
        yield* rename(1)
        yield* Django.CacheKeyTracker.invalidatePattern(other, "user:1")
        assert.isFalse(exclaims(yield* Django.getProfile(other, 1)), "the profile was not in the tracker")
      }))

    it.effect("invalidates nothing once the tracker is evicted", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.getProfile(cache, 2)
        // A store that is full drops what it likes.
        yield* cache.delete(Django.CacheKeyTracker.TRACKER_KEY)
        yield* rename(2)
        yield* Django.CacheKeyTracker.invalidatePattern(cache, "user:2")
        assert.isFalse(exclaims(yield* Django.getProfile(cache, 2)))
      }))

    it.effect("keeps the keys of everybody who was ever here in one value", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        for (const userId of [1, 2, 3, 4, 5, 6]) yield* Django.getProfile(cache, userId)
        const tracker = yield* cache.get<object>(Django.CacheKeyTracker.TRACKER_KEY)
        assert.strictEqual(Object.keys(tracker!).length, 6)
      }))
  })

  describe("the way here", () => {
    onBoth(it, "two that are loaded at once are both found", (here: Process, there: Process) =>
      Effect.gen(function*() {
        const finish = yield* midway(here.run(Cached.get(orders, 3)))
        yield* there.run(Cached.get(profile, 3))
        yield* finish
        yield* there.run(invalidateUser(3))
        const read = (one: Process) => one.run(Effect.all([Cached.get(orders, 3), Cached.get(profile, 3)]))
        assert.strictEqual((yield* counted(read(here))).statements, 2)
      }))

    onBoth(it, "what is being loaded is found", (here: Process, there: Process) =>
      Effect.gen(function*() {
        yield* here.run(invalidateUser(4))
        const finish = yield* midway(there.run(Cached.get(profile, 4)))
        yield* rename(4)
        yield* here.run(invalidateUser(4))
        yield* finish
        assert.deepStrictEqual(yield* there.run(Cached.get(profile, 4)), yield* Queries.userProfile(4))
      }))

    it.effect("what Redis evicts costs loads: markers that are gone make entries untrue", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* lookAt(nodeUrl())
        const { run } = yield* start(oneNode.layer({ prefix }))
        const read = run(Cached.get(profile, 5))
        yield* read
        assert.strictEqual((yield* counted(read)).statements, 0)
        const markers = (yield* keysUnder(client, prefix)).filter((key) =>
          key.startsWith(places(prefix).marker("").slice(0, -2))
        )
        assert.isNotEmpty(markers)
        yield* promise(() => client.del(...markers))
        yield* rename(5)
        assert.isTrue(exclaims(yield* read))
      }))

    it.effect("so in this process: entries and journal may be dropped at any time", () =>
      Effect.gen(function*() {
        yield* Cached.get(profile, 6)
        yield* TestCache.evict("journal")
        yield* rename(6)
        yield* invalidateUser(6)
        assert.isTrue(exclaims(yield* Cached.get(profile, 6)))
      }).pipe(Effect.provide(TestCache.layer())))

    it.effect("is one script, however many there are", () =>
      Effect.gen(function*() {
        const { commands, run } = yield* onWatchedRedis
        yield* run(Effect.all([Cached.get(orders, 1), Cached.get(profile, 1)]))
        assert.deepStrictEqual(yield* commands(invalidateUser(1)), ["EVALSHA"])
      }))
  })
})
