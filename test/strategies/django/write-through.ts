/** "Write-Through Strategy": `update_product`, and the read that goes with it. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Product } from "../../../examples/articles/Model.ts"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

/** `product.save()`: writes all columns. */
export const save = ({ id, name, price, stock }: Product) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`update products set ${sql.update({ name, price, stock })} where id = ${id}`
  )

/** Reads as Django programs do. */
export const getProduct = (cache: DjangoCache, productId: number) =>
  cache.getOrSet(`product:${productId}`, Queries.product(productId), 3600)

// #region update
export const updateProduct = (cache: DjangoCache, productId: number, kwargs: Partial<Product>) =>
  Effect.gen(function*() {
    const product = new Product({ ...(yield* Queries.product(productId)), ...kwargs })

    // Update database
    yield* save(product)

    // Update cache immediately
    yield* cache.set(`product:${productId}`, product, 3600)

    return product
  })
// #endregion
