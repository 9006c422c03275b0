/** What was invalidated, how much that was, by whom: as lines of a log, as a stream, and as numbers. */
import { Effect, Layer, Metric, Stream } from "effect"
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
export const acknowledged = Metric.counter("site_cache_invalidations", { incremental: true })
export const failed = Metric.counter("site_cache_invalidations_failed", { incremental: true })
export const dropped = Metric.counter("site_cache_entries_dropped", { incremental: true })

const count = (event: CacheService.CacheEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "Invalidated":
      return Effect.andThen(Metric.update(acknowledged, 1), Metric.update(dropped, event.entries ?? 0))
    case "Undelivered":
      return Metric.update(failed, 1)
    default:
      return Effect.void
  }
}

/** Counts as long as the program runs. */
export const counting = Layer.effectDiscard(
  CacheService.events.pipe(Stream.runForEach(count), Effect.forkScoped({ startImmediately: true }))
)
// #endregion
