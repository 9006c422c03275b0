/** The limit of lookups that run at once. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CacheService, inside } from "../service/model.ts"
import * as Loading from "./loading.ts"

/**
 * Runs a lookup with at most so many others of its definition. Inside of a transaction it does not wait: it uses the
 * connection of the transaction, for which the others may wait.
 */
export const limited = <A, E, R>(lookup: Effect.Effect<A, E, R>, name: string, most: number): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const { collecting, slots } = inside(Context.getUnsafe(fiber.context, CacheService))
    const loading = fiber.getRef(Loading.Current)
    if (loading === undefined || collecting?.open === true) return lookup
    return Effect.uninterruptibleMask((restore) => {
      const turn = slots.take(slots.limit(name, most), loading)
      const left = Effect.sync(() => slots.leave(turn))
      if (turn.state !== "waiting") return Effect.onExit(restore(lookup), () => left)
      return Effect.flatMap(
        // It may be interrupted when its turn has just come.
        Effect.onExit(restore(Deferred.await(turn.came)), (exit) => Exit.isFailure(exit) ? left : Effect.void),
        () => Effect.onExit(restore(lookup), () => left)
      )
    })
  })
