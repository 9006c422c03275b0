/**
 * Applying an invalidation, and writing behind a fence.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Fence, StoreError } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { elapsed } from "../deadline.ts"
import { millisUpTo } from "../duration.ts"
import { longestFence } from "../limits.ts"
import { CacheService, inside, type Invalidated, InvalidationError, withResult } from "./model.ts"
import { report } from "./report.ts"

const toInvalidationError = (batch: Invalidation.Invalidation, error: StoreError): InvalidationError =>
  new InvalidationError({
    invalidation: batch.toString(),
    reason: error.reason,
    mayHaveHappened: error.mayHaveHappened,
    cause: error
  })

export const invalidate = Effect.fnUntraced(function*(
  batch: Invalidation.Invalidation
): Effect.fn.Return<Invalidated, InvalidationError, CacheService> {
  if (Invalidation.isEmpty(batch)) return { entries: 0, deferred: false }
  const service = inside(yield* CacheService)
  if (service.collecting?.open === true) {
    service.collecting.add(batch)
    return { entries: undefined, deferred: true }
  }
  const entries = yield* Effect.mapError(service.deliver(batch), (error) => toInvalidationError(batch, error))
  yield* report(service.publish, batch, entries)
  return { entries, deferred: false }
})

const outlasted = (over: Invalidation.Invalidation): InvalidationError =>
  new InvalidationError({
    invalidation: over.toString(),
    reason: { _tag: "Timeout" },
    mayHaveHappened: true,
    cause: new Error("the write outlasted its fence")
  })

/** Throws `InvalidInput` for a fence that is not positive, or longer than a day. */
export const mutate = <A, E, R>(
  write: Effect.Effect<A, E, R>,
  over: Invalidation.Invalidation,
  options: { readonly fence?: Duration.Input } = {}
): Effect.Effect<A, E | InvalidationError, R | CacheService> => {
  const length = millisUpTo("mutate", "a fence", options.fence ?? "30 seconds", longestFence)
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const service = inside(yield* CacheService)
      const { store } = service
      const fail = (error: StoreError) => {
        service.publish({ _tag: "StoreFailed", error })
        return toInvalidationError(over, error)
      }
      const fence: Fence = { id: service.token(), over: Invalidation.withMode(over, "hard"), length }
      // Asked before the fence is opened, so the write is bounded by a moment that is not after the fence's end.
      const clock = yield* Clock.Clock
      const opened = elapsed(clock)
      // Interruptible: nothing is written yet. An interruption may come when the fence has just been opened.
      yield* Effect.mapError(restore(store.fence(fence)), fail).pipe(
        Effect.onInterrupt(() => Effect.forkDetach(Effect.ignore(store.lift(fence))))
      )
      yield* report(service.publish, over, undefined)
      const left = Math.max(0, opened + length - elapsed(clock))
      const exit = yield* Effect.exit(
        restore(Effect.timeoutOrElse(write, { duration: left, orElse: () => Effect.fail(outlasted(over)) }))
      )
      const lifted = yield* Effect.exit(store.lift(fence))
      if (Exit.isFailure(lifted)) {
        // The fence runs out by itself; but whether it stood all the time is not known.
        // What it is over was invalidated when it was opened, so it cannot be said that nothing happened.
        const error = StoreError.fromCause("lift", lifted.cause).ofPart()
        const failure = fail(error)
        yield* service.keep(over, error)
        return yield* Exit.isFailure(exit) ? exit : withResult(failure, exit.value)
      }
      // A fence that ran out or was lost protected nothing since: what was loaded then has to go.
      if (!lifted.value) {
        return yield* Exit.isFailure(exit)
          ? Effect.andThen(Effect.ignore(invalidate(over)), exit)
          : Effect.andThen(Effect.mapError(invalidate(over), (error) => withResult(error, exit.value)), exit)
      }
      return yield* exit
    })
  )
}
