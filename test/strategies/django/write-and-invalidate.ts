/** "Write-Behind (Write-Back) Strategy", which is neither: `update_product`. It is read as in `write-through.ts`. */
import { Effect } from "effect"
import { Product } from "../../../examples/articles/Model.ts"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"
import { save } from "./write-through.ts"

// #region update
export const updateProduct = (cache: DjangoCache, productId: number, kwargs: Partial<Product>) =>
  Effect.gen(function*() {
    const product = new Product({ ...(yield* Queries.product(productId)), ...kwargs })

    // Update database: all columns, as they were read and changed
    yield* save(product)

    // Invalidate cache (will be refilled on next read)
    yield* cache.delete(`product:${productId}`)

    return product
  })
// #endregion
