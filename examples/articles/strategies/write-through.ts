/** A page that writers fill, so that no reader waits for it after an edit. */
import { Effect } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { NotFound, Product } from "../Model.ts"
import * as Queries from "../Queries.ts"
import * as Writes from "../Writes.ts"

// #region update
/** It names no entity: a change that is published would end what was just written. So all edits go through `updateProduct`. */
export const offer = Cached.make(
  "offer",
  {
    key: Key.int("id"),
    value: Product,
    lookup: (id) => Queries.product(id),
    failures: { error: NotFound, policy: Policy.ttl("1 minute") }
  },
  Policy.ttl("1 hour")
)

/** Writes the product, publishes the change for other values that show it, and stores the new row. */
export const updateProduct = (id: number, patch: Partial<Writes.NewProduct>) =>
  offer.pipe(Cached.set(id, Effect.map(Writes.updateProduct(id, patch), ({ after }) => after)))
// #endregion
