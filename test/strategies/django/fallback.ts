/** "Always Have a Fallback": `get_data`; and the same habit where a value is written. */
import { Effect } from "effect"
import type { Product } from "../../../examples/articles/Model.ts"
import type { DjangoCache } from "./DjangoCache.ts"
import * as Invalidating from "./write-and-invalidate.ts"

// #region get
/** Always handle cache failures gracefully */
export const getData = <A, E, R>(cache: DjangoCache, key: string, fetchFromDb: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let data = yield* cache.get<A>(key)
    if (data === undefined) {
      data = yield* fetchFromDb
      yield* cache.set(key, data, 300).pipe(
        Effect.catchCause(() => Effect.void) // Log but don't fail
      )
    }
    return data
  }).pipe(
    Effect.catchCause(() => fetchFromDb)
  )
// #endregion

// #region update
/** Not on the page, but in the programs of those who have read it. */
export const updateProduct = (cache: DjangoCache, productId: number, kwargs: Partial<Product>) =>
  Invalidating.updateProduct(cache, productId, kwargs).pipe(
    Effect.catchDefect(() => Effect.void) // Log but don't fail
  )
// #endregion
