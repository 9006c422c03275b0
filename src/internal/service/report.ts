/**
 * What is said of an invalidation that was acknowledged: an event, counts, and a
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
 * How many invalidations were acknowledged: `effect_cache_invalidations`.
 *
 * @category observing
 * @since 0.1.0
 */
export const invalidations = Metric.counter("effect_cache_invalidations", { incremental: true })

/**
 * How many entries were removed or softened at once, where the store can tell:
 * `effect_cache_invalidated_entries`.
 *
 * @category observing
 * @since 0.1.0
 */
export const invalidatedEntries = Metric.counter("effect_cache_invalidated_entries", { incremental: true })

/**
 * How often an invalidation was not acknowledged, each time that it was tried:
 * `effect_cache_invalidations_failed`.
 *
 * @category observing
 * @since 0.1.0
 */
export const failedInvalidations = Metric.counter("effect_cache_invalidations_failed", { incremental: true })

export const report = Effect.fnUntraced(function*(
  publish: Service["publish"],
  batch: Invalidation,
  entries: number | undefined
): Effect.fn.Return<void> {
  publish({ _tag: "Invalidated", invalidation: batch, entries })
  yield* Metric.update(invalidations, 1)
  if (entries !== undefined) yield* Metric.update(invalidatedEntries, entries)
  const level = yield* InvalidationLogLevel
  if (level === undefined) return
  yield* Effect.logWithLevel(level)("cache invalidated").pipe(
    Effect.annotateLogs({ invalidation: batch.toString(), ...(entries === undefined ? {} : { entries }) })
  )
})
