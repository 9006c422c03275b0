/**
 * What is reported of an invalidation that was acknowledged: an event, counts, and a
 * line in the log.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import type { Invalidation } from "../../Invalidation.ts"
import type { Service } from "./model.ts"

/**
 * The level at which invalidations are logged: `Debug` unless provided;
 * `undefined` for not at all.
 *
 * @category references
 * @since 0.1.0
 */
export const InvalidationLogLevel = Context.Reference<LogLevel.Severity | undefined>(
  "effect-cache-algebra/CacheService/InvalidationLogLevel",
  { defaultValue: () => "Debug" }
)

/**
 * What is counted of invalidations, beside the counts of each definition.
 *
 * - `invalidations`: how many were acknowledged: `effect_cache_invalidations`.
 * - `invalidatedEntries`: how many entries were removed or softened at once, where
 *   the store can count them: `effect_cache_invalidated_entries`.
 * - `failedInvalidations`: how often one was not acknowledged, each time that it
 *   was tried: `effect_cache_invalidations_failed`.
 *
 * @category observing
 * @since 0.1.0
 */
export const metrics = {
  invalidations: Metric.counter("effect_cache_invalidations", { incremental: true }),
  invalidatedEntries: Metric.counter("effect_cache_invalidated_entries", { incremental: true }),
  failedInvalidations: Metric.counter("effect_cache_invalidations_failed", { incremental: true })
}

export const report = Effect.fnUntraced(function*(
  publish: Service["publish"],
  batch: Invalidation,
  entries: number | undefined
): Effect.fn.Return<void> {
  publish({ _tag: "Invalidated", invalidation: batch, entries })
  yield* Metric.update(metrics.invalidations, 1)
  if (entries !== undefined) yield* Metric.update(metrics.invalidatedEntries, entries)
  const level = yield* InvalidationLogLevel
  if (level === undefined) return
  yield* Effect.logWithLevel(level)("cache invalidated").pipe(
    Effect.annotateLogs({ invalidation: batch.toString(), ...(entries === undefined ? {} : { entries }) })
  )
})
