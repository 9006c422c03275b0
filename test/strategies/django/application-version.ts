/** "Application-Level Versioning": a hash of `CACHE_VERSION` at the end of each key, and two releases of one program. */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import * as Queries from "../../../examples/articles/Queries.ts"
import type { DjangoCache } from "./DjangoCache.ts"

// #region key
/** Of the settings. Somebody has to think of it. */
export const settings = { CACHE_VERSION: "1.0.0" }

export const versionedCacheKey = (key: string): string => {
  const versionHash = createHash("md5").update(settings.CACHE_VERSION).digest("hex").slice(0, 8)
  return `${key}:v${versionHash}`
}
// #endregion

// #region releases
/** Release one shows the title, and release two the tags, too. */
export const releaseOne = (cache: DjangoCache, id: number) =>
  cache.getOrSet(versionedCacheKey(`card:${id}`), Effect.map(Queries.article(id), ({ title }) => ({ title })), 3600)

export const releaseTwo = (cache: DjangoCache, id: number) =>
  Effect.map(
    cache.getOrSet(
      versionedCacheKey(`card:${id}`),
      Effect.map(Queries.article(id), ({ tags, title }) => ({ title, tags: tags.map(({ name }) => name) })),
      3600
    ),
    ({ tags, title }) => `${title} (${tags.join(", ")})`
  )

/** What has not changed between them. */
export const sidebar = (cache: DjangoCache) => cache.getOrSet(versionedCacheKey("sidebar"), Queries.sidebar, 3600)
// #endregion
