/** "Global Cache Version": `VERSION` in the settings is a part of every key. Two deploys are two of these. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Queries from "../../../examples/articles/Queries.ts"
import { DjangoCache, type DjangoCacheOptions } from "./DjangoCache.ts"

// #region settings
/** `CACHES`, of a deploy. */
export const deploy = (version: number, memory: NonNullable<DjangoCacheOptions["memory"]>) =>
  new DjangoCache({ version, memory })

export const getTitle = (cache: DjangoCache, id: number) =>
  cache.getOrSet(`article:title:${id}`, Queries.title(id), 86400)

export const updateTitle = (cache: DjangoCache, id: number, title: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`update articles set title = ${title} where id = ${id}`
    yield* cache.delete(`article:title:${id}`)
  })
// #endregion
