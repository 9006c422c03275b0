/** A write that makes what it changed untrue, and leaves it to the next reader to load it. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Cached } from "../../../src/index.ts"
import * as Site from "../Site.ts"
import * as Writes from "../Writes.ts"

type Patch = Partial<Writes.NewProduct>

// #region update
/** Writes what is to change and nothing else. */
const update = (id: number, patch: Patch) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update products set ${sql.update(patch)} where id = ${id}`)

/** The writer names what it invalidates: here one key. No load of that key is stored during the write. */
export const updateProduct = (id: number, patch: Patch) =>
  update(id, patch).pipe(Cached.mutate(Cached.invalidation(Site.product, [id])))
// #endregion

// #region publish
/** The writer publishes what has changed, and the policies say which values that affects. */
export const updateAndTell = (id: number, patch: Patch) => Writes.updateProduct(id, patch)
// #endregion
