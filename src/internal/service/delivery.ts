/**
 * The delivery queue: applies invalidations, keeps those that the store did not
 * acknowledge, and tries them again until it does.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { StoreError } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { elapsed } from "../deadline.ts"
import { inRealTime } from "../realClock.ts"
import { Seldom } from "../seldom.ts"
import type { ClockedStore, Service } from "./model.ts"
import { metrics, report } from "./report.ts"
import type { Kept, Undelivered } from "./undelivered.ts"

// How long the layer's release waits for what is left.
const lastAttempt = "1 second"

// In halves: one batch is copied with each that is added to it.
const together = (all: ReadonlyArray<Kept>): Invalidation.Invalidation => {
  if (all.length <= 1) return all[0]?.invalidation ?? Invalidation.empty
  const half = all.length >> 1
  return Invalidation.combine(together(all.slice(0, half)), together(all.slice(half)))
}

/**
 * - `store`: makes every invalidation as if in one step.
 * - `settled`: completes when the store has nothing more to do on its own.
 * - `retry`: when what was not acknowledged is tried again.
 */
export interface Options {
  readonly store: ClockedStore
  readonly settled: Effect.Effect<void>
  readonly kept: Undelivered
  readonly publish: Service["publish"]
  readonly retry: Schedule.Schedule<unknown>
}

export const make = Effect.fnUntraced(function*(
  { kept, publish, retry, settled, store }: Options
): Effect.fn.Return<Pick<Service, "deliver" | "keep" | "undelivered">, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const context = yield* Effect.context<Scope.Scope>()
  let delivering = false
  const warnings = new Seldom()

  const warn = (invalidation: Invalidation.Invalidation, { reason }: StoreError): Effect.Effect<void> =>
    Effect.clockWith((clock) => {
      if (warnings.ask(elapsed(clock)) === undefined) return Effect.void
      return Effect.logWarning("a cache invalidation was not delivered, and is tried again").pipe(
        Effect.annotateLogs({ invalidation: invalidation.toString(), reason: reason._tag, undelivered: kept.size })
      )
    })

  const reportFailure = ({ attempts, invalidation, who }: Kept, error: StoreError): Effect.Effect<void> => {
    publish({ _tag: "Undelivered", invalidation, attempts, error })
    return Effect.andThen(
      Metric.update(metrics.failedInvalidations, 1),
      Effect.annotateLogs(warn(invalidation, error), who)
    )
  }

  const tryAgain = Effect.fnUntraced(function*(one: Kept): Effect.fn.Return<boolean> {
    const exit = yield* Effect.exit(store.invalidate(one.invalidation))
    // One that was asked for again meanwhile is another, and still to be delivered.
    if (Exit.isSuccess(exit)) {
      if (kept.has(one)) {
        kept.remove(one)
        yield* Effect.annotateLogs(report(publish, one.invalidation, exit.value), one.who)
      }
      return true
    }
    const error = StoreError.fromCause("invalidate", exit.cause)
    one.attempts++
    publish({ _tag: "StoreFailed", error })
    yield* reportFailure(one, error)
    return false
  })

  // Tries all in order. The n-th round ends with its n-th failure: a store that is down is not asked for each, and one
  // that cannot be delivered does not hold up those behind it for ever.
  const round = Effect.fnUntraced(function*(patience: number): Effect.fn.Return<void, "undelivered"> {
    let failures = 0
    for (const one of kept.all) {
      if (failures >= patience) break
      if (kept.has(one) && !(yield* tryAgain(one))) failures++
    }
    if (kept.size > 0) return yield* Effect.fail("undelivered" as const)
    delivering = false
  })

  const rounds = Effect.suspend(() => {
    let rounds = 0
    return Effect.ignore(Effect.retry(Effect.suspend(() => round(rounds++)), retry))
  })

  const start = Effect.suspend(() => {
    if (delivering) return Effect.void
    delivering = true
    // Not in the context of the caller that was the first to fail.
    return Effect.asVoid(Effect.forkIn(Effect.updateContext(rounds, (_: Context.Context<never>) => context), scope))
  })

  const keep = (batch: Invalidation.Invalidation, error: StoreError): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const now = store.now(fiber.getRef(Clock.Clock))
      const one = kept.keep(batch, now, fiber.getRef(References.CurrentLogAnnotations))
      return Effect.andThen(start, reportFailure(one, error))
    })

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      const left = kept.all
      const late = inRealTime(Effect.sleep(lastAttempt))
      const end = Effect.raceFirst(settled, late)
      if (left.length === 0) return end
      const batch = together(left)
      const delivered = Effect.matchCauseEffect(
        Effect.raceFirst(store.invalidate(batch), Effect.andThen(late, Effect.fail("late" as const))),
        {
          onSuccess: (entries) => report(publish, batch, entries),
          onFailure: () =>
            Effect.logWarning("cache invalidations are lost: the store did not acknowledge them").pipe(
              Effect.annotateLogs({ invalidation: batch.toString(), undelivered: left.length })
            )
        }
      )
      return Effect.andThen(delivered, end)
    })
  )

  return {
    deliver: (batch) =>
      Effect.suspend(() => {
        const before = kept.find(batch)
        return Effect.onExit(store.invalidate(batch), (exit) => {
          if (Exit.isSuccess(exit)) {
            // A repetition settles the earlier one, too.
            if (before !== undefined && kept.has(before)) kept.remove(before)
            return Effect.void
          }
          const error = StoreError.fromCause("invalidate", exit.cause)
          if (!Cause.hasInterrupts(exit.cause)) publish({ _tag: "StoreFailed", error })
          return keep(batch, error)
        })
      }),
    keep,
    undelivered: Effect.sync(() => kept.all)
  }
})
