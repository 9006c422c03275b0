/**
 * Invalidations of several steps.
 *
 * Several steps are a fence from the first to the last: a load that reads other
 * cached values may begin between two of them and be given what is still old. It
 * would be stored under a token that is new already, for its whole lifetime.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as CacheStore from "../../CacheStore.ts"
import type { Invalidation } from "../../Invalidation.ts"

// Milliseconds for which the fence of a process that dies goes on standing. A store renews it while it is at work.
const fenceLength = 10_000

// So often an invalidation is begun whose fence did not stand to the end.
const mostAttempts = 5

/**
 * - `store`: makes every invalidation as if in one step.
 * - `settled`: completes when all fences that failed or were interrupted have
 *   been taken away.
 */
export interface InOneStep {
  readonly store: CacheStore.CacheStore
  readonly settled: Effect.Effect<void>
}

export const inOneStep = (store: CacheStore.CacheStore, token: () => CacheStore.Token): InOneStep => {
  const lifting = new Set<Fiber.Fiber<unknown, unknown>>()

  // A fence that failed or was interrupted may stand all the same. It is taken away in a fiber that belongs to no scope,
  // since the layer may be released meanwhile.
  const takeAway = (fence: CacheStore.Fence): Effect.Effect<void> =>
    Effect.map(Effect.forkDetach(Effect.ignore(store.lift(fence))), (fiber) => {
      lifting.add(fiber)
      fiber.addObserver(() => lifting.delete(fiber))
    })

  const orTakeAway = <A>(
    fence: CacheStore.Fence,
    use: Effect.Effect<A, CacheStore.StoreError>
  ): Effect.Effect<A, CacheStore.StoreError> =>
    Effect.onExit(use, (exit) => Exit.isSuccess(exit) ? Effect.void : takeAway(fence))

  const fenced = (
    over: Invalidation,
    left = mostAttempts
  ): Effect.Effect<number | undefined, CacheStore.StoreError> =>
    Effect.suspend(() => {
      const fence = { id: token(), over, length: fenceLength }
      const steps = Effect.flatMap(store.fence(fence), (count) =>
        Effect.map(
          Effect.mapError(store.lift(fence), (error) => error.ofPart()),
          (stood) => ({ count, stood })
        ))
      return Effect.flatMap(orTakeAway(fence, steps), ({ count, stood }) => {
        if (stood) return Effect.succeed(count)
        // What began to load when it did not stand may have been stored.
        if (left > 1) return Effect.mapError(fenced(over, left - 1), (error) => error.ofPart())
        return Effect.fail(
          new CacheStore.StoreError({
            operation: "invalidate",
            reason: { _tag: "Unavailable" },
            mayHaveHappened: true,
            cause: new Error("the fence around its steps was lost each time")
          })
        )
      })
    })

  return {
    store: CacheStore.wrap(store, (store) => ({
      read: store.read,
      begin: store.begin,
      commit: store.commit,
      discard: store.discard,
      abandon: store.abandon,
      released: store.released,
      inspect: store.inspect,
      scan: store.scan,
      invalidate: (batch) => store.atomic(batch) ? store.invalidate(batch) : fenced(batch),
      fence: (fence) => orTakeAway(fence, store.fence(fence)),
      lift: store.lift
    })),
    settled: Effect.suspend(() => Effect.forEach(lifting, (fiber) => Fiber.await(fiber), { discard: true }))
  }
}
