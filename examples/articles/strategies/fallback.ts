/** What is left when the cache, or the database, does not answer. */
import { Effect } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { NotFound, Product, Products } from "../Model.ts"
import * as Queries from "../Queries.ts"
import * as Writes from "../Writes.ts"

// #region read
/** Without the cache it is loaded; without the database it may be a day old. That there is none is an answer, too. */
export const product = Cached.make(
  "productOrOld",
  {
    key: Key.int("id"),
    value: Product,
    lookup: (id) => Queries.product(id),
    failures: {
      error: NotFound,
      policy: Policy.all(Policy.ttl("1 minute"), Policy.conditional(Products, { fields: [] }))
    }
  },
  Policy.all(
    Policy.ttl("5 minutes", { onErrorFor: "1 day" }),
    Policy.conditional(Products)
  )
)

export const getProduct = (id: number) => Cached.get(product, id)
// #endregion

// #region write
/** The product is saved in both cases. The result says whether all processes see it already. */
export const updateProduct = (id: number, patch: Partial<Writes.NewProduct>) =>
  Writes.updateProduct(id, patch).pipe(
    Effect.as("saved" as const),
    Effect.catchTag("InvalidationError", (error) =>
      Effect.as(
        Effect.logWarning("others may see the old product for a while", error),
        "saved, and shown soon" as const
      ))
  )
// #endregion
