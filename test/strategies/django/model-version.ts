/** "Per-Model Version": `cache_version` of the row is the version of its key. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { Instance } from "./Article.ts"
import type { DjangoCache } from "./DjangoCache.ts"

const computeExpensiveData = (id: number) =>
  Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content }))

// #region model
export const getCachedData = (cache: DjangoCache, self: Instance) =>
  cache.getOrSet(`article:${self.id}`, computeExpensiveData(self.id), 3600, self.cacheVersion)

/** Increment version instead of deleting: `self.save(update_fields=['cache_version'])`. */
export const invalidateCache = (self: Instance) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    self.cacheVersion += 1
    yield* sql`update articles set cache_version = ${self.cacheVersion} where id = ${self.id}`
  })
// #endregion
