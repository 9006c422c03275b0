import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option } from "effect"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { offer, updateProduct } from "../../examples/articles/strategies/write-through.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/write-through.ts"
import { beforeStoring, counted, fresh, onBoth, onWatchedRedis, site } from "./support.ts"

/** A process whose way to the cache is slow: its `set` waits. */
class Slow extends DjangoCache {
  readonly reached = Deferred.makeUnsafe<void>()
  readonly go = Deferred.makeUnsafe<void>()

  override set(...args: Parameters<DjangoCache["set"]>) {
    return Deferred.succeed(this.reached, undefined).pipe(
      Effect.andThen(Deferred.await(this.go)),
      Effect.andThen(super.set(...args))
    )
  }
}

layer(site, { timeout: "60 seconds" })("write-through", (it) => {
  describe("the Django way", () => {
    it.effect("leaves the older of two values in the cache, for its hour", () =>
      Effect.gen(function*() {
        const slow = new Slow()
        const other = new DjangoCache({ memory: slow.memory })
        const first = yield* Effect.forkChild(Django.updateProduct(slow, 1, { price: 1_000 }))
        yield* Deferred.await(slow.reached)
        yield* Django.updateProduct(other, 1, { price: 1_200 })
        yield* Deferred.succeed(slow.go, undefined)
        yield* Fiber.join(first)
        assert.strictEqual((yield* Queries.product(1)).price, 1_200)
        assert.strictEqual((yield* Django.getProduct(other, 1)).price, 1_000)
      }))
  })

  describe("the way here", () => {
    onBoth(it, "keeps the later of two values, or none", (here: Process, there: Process) =>
      Effect.gen(function*() {
        const [reached, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const slow = beforeStoring(here, Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go)))
        const first = yield* Effect.forkChild(slow.run(updateProduct(2, { price: 1_000 })))
        yield* Deferred.await(reached)
        yield* there.run(updateProduct(2, { price: 1_200 }))
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(first)
        assert.strictEqual((yield* Queries.product(2)).price, 1_200)
        for (const one of [here, there]) {
          assert.strictEqual((yield* one.run(Cached.get(offer, 2))).price, 1_200)
        }
      }))

    onBoth(
      it,
      "is read without a query after a write that nobody raced",
      (here: Process, there: Process) =>
        Effect.gen(function*() {
          const { price } = yield* here.run(updateProduct(3, { price: 1_350 }))
          const { result, statements } = yield* counted(there.run(Cached.get(offer, 3)))
          assert.deepStrictEqual([price, result.price, statements], [1_350, 1_350, 0])
        })
    )

    it.effect("is two scripts on Redis, around the one that tells the others", () =>
      Effect.gen(function*() {
        const { commands } = yield* onWatchedRedis
        const { price } = yield* Queries.product(7)
        const asked = yield* commands(updateProduct(7, { price: price + 50 }))
        assert.deepStrictEqual(asked, ["EVALSHA", "EVALSHA", "EVALSHA"])
      }))

    it.effect("tells the other caches that show the product", () =>
      Effect.gen(function*() {
        yield* Cached.get(Site.product, 4)
        yield* updateProduct(4, { name: "Another lamp" })
        assert.strictEqual((yield* Cached.get(Site.product, 4)).name, "Another lamp")
      }).pipe(fresh))

    it.effect("a write that fails leaves nothing in the cache", () =>
      Effect.gen(function*() {
        yield* Cached.get(offer, 5)
        const exit = yield* Effect.exit(updateProduct(5, { price: 1e12 }))
        assert.isTrue(Exit.isFailure(exit), "the column holds no such number")
        assert.isTrue(Option.isNone(yield* Cached.getOption(offer, 5)))
        assert.deepStrictEqual(yield* Cached.get(offer, 5), yield* Queries.product(5))
      }).pipe(fresh))

    it.effect("a read that names the entity is ended by the publication: right, and empty", () =>
      Effect.gen(function*() {
        yield* Cached.get(Site.product, 6)
        yield* Site.product.pipe(
          Cached.set(6, Effect.map(Writes.updateProduct(6, { price: 1_450 }), ({ after }) => after))
        )
        assert.isTrue(Option.isNone(yield* Cached.getOption(Site.product, 6)))
        assert.strictEqual((yield* Cached.get(Site.product, 6)).price, 1_450)
      }).pipe(fresh))
  })
})
