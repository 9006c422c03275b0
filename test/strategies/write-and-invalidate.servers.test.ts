import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Order } from "../../examples/articles/Model.ts"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { updateAndTell, updateProduct } from "../../examples/articles/strategies/write-and-invalidate.ts"
import { Cached, type CacheService } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/write-and-invalidate.ts"
import { getProduct } from "./django/write-through.ts"
import { counted, fresh, type Given, midway, onBoth, onWatchedRedis, site } from "./support.ts"

type Write = Effect.Effect<unknown, unknown, Given | CacheService.CacheService>

const crowd = <A, E, R>(read: Effect.Effect<A, E, R>) =>
  Effect.all(Array.from({ length: 50 }, () => read), { concurrency: "unbounded" })

layer(site, { timeout: "60 seconds" })("write and invalidate", (it) => {
  describe("the Django way", () => {
    it.effect("lets all who come after the write load, each for itself", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* getProduct(cache, 1)
        yield* Django.updateProduct(cache, 1, { price: 1_000 })
        const { statements } = yield* counted(crowd(getProduct(cache, 1)))
        assert.strictEqual(statements, 50)
      }))

    it.effect("takes back what another has written to another column", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { stock } = yield* Queries.product(2)
        const finish = yield* midway(Django.updateProduct(cache, 2, { price: 1_000 }))
        yield* Django.updateProduct(cache, 2, { stock: stock + 100 })
        yield* finish
        assert.strictEqual((yield* Queries.product(2)).stock, stock)
      }))
  })

  describe("the way here", () => {
    const writes: Record<string, (id: number, patch: { readonly price: number }) => Write> = {
      mutate: updateProduct,
      publish: updateAndTell
    }
    for (const [name, write] of Object.entries(writes)) {
      onBoth(
        it,
        `all who come after the write share one load (${name})`,
        (here: Process, there: Process) =>
          Effect.gen(function*() {
            for (const one of [here, there]) yield* one.run(Cached.get(Site.product, 3))
            const price = (yield* Queries.product(3)).price + 50
            yield* here.run(write(3, { price }))
            const { result, statements } = yield* counted(
              Effect.all([here, there].map((one) => one.run(crowd(Cached.get(Site.product, 3)))), {
                concurrency: "unbounded"
              })
            )
            assert.isTrue(result.flat().every((product) => product.price === price))
            assert.strictEqual(statements, 1)
          })
      )
    }

    it.effect("is two scripts on Redis behind a fence, and one script when it is told", () =>
      Effect.gen(function*() {
        const { commands } = yield* onWatchedRedis
        const { price } = yield* Queries.product(5)
        assert.deepStrictEqual(yield* commands(updateProduct(5, { price: price + 50 })), [
          "EVALSHA",
          "EVALSHA"
        ])
        assert.deepStrictEqual(yield* commands(updateAndTell(5, { price: price + 100 })), ["EVALSHA"])
      }))

    it.effect("leaves what another has written to another column", () =>
      Effect.gen(function*() {
        const { stock } = yield* Queries.product(4)
        yield* Effect.all([updateProduct(4, { price: 1_000 }), updateProduct(4, { stock: stock + 100 })], {
          concurrency: "unbounded"
        })
        const { price, stock: now } = yield* Cached.get(Site.product, 4)
        assert.deepStrictEqual([price, now], [1_000, stock + 100])
      }).pipe(fresh))

    it.effect("naming a key reaches that key, and telling reaches whoever shows the product", () =>
      Effect.gen(function*() {
        const [order] = yield* Queries.rows(Order, (sql) => sql`select * from orders order by id limit 1`)
        const { productId, userId } = order!
        const nameInOrders = Effect.map(
          Cached.get(Site.userOrders, { userId }),
          (orders) => orders.find(({ product }) => product.id === productId)!.product.name
        )
        const before = yield* nameInOrders
        yield* updateProduct(productId, { name: "A lamp" })
        assert.strictEqual(yield* nameInOrders, before)
        yield* updateAndTell(productId, { name: "The lamp" })
        assert.strictEqual(yield* nameInOrders, "The lamp")
      }).pipe(fresh))
  })
})
