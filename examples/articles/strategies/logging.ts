/** What was invalidated, how much that was, by whom: as lines of a log, as a stream, and as numbers. */
import { Effect, Layer } from "effect"
import { CacheService } from "../../../src/index.ts"
import * as Writes from "../Writes.ts"

// #region log
/** Each acknowledged invalidation is a line. They are written anyway, at `Debug`. */
export const atInfo = Layer.succeed(CacheService.InvalidationLogLevel, "Info")

/** Who it was is known where a request comes in, and stands on all lines that are written on its behalf. */
export const editTitle = (editor: string, id: number, title: string) =>
  Writes.updateArticle(id, { title }).pipe(Effect.annotateLogs({ editor }))
// #endregion

// #region metric
/** What an exporter finds, beside the hits and misses of each read. */
export const metrics = {
  /** `effect_cache_invalidations` */
  acknowledged: CacheService.metrics.invalidations,
  /** `effect_cache_invalidations_failed`: each time that one was tried in vain */
  failed: CacheService.metrics.failedInvalidations,
  /** `effect_cache_invalidated_entries`: if the store knows the number */
  entries: CacheService.metrics.invalidatedEntries
}
// #endregion
