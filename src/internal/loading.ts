/**
 * What a load knows of itself, for the cached reads that its lookup makes.
 *
 * A value that is made of cached values is no better than they are. So a read
 * inside of a load does not serve what is stale and refresh it behind the load's
 * back: it waits for the refresh, as a caller with `refresh: "everyone"` does.
 * Where it is given something stale all the same, since the refresh failed or
 * took too long, the load is told, and what it made is not stored.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

export class Loading {
  /** Whether everything that was read so far, directly or through other loads, was fresh. */
  fresh = true
}

/** The load on whose behalf a fiber runs. The fibers that a lookup forks inherit it. */
export const Current = Context.Reference<Loading | undefined>("effect-cache-algebra/Loading", {
  defaultValue: () => undefined
})

/** How a lookup ended, and whether it was given nothing stale. */
export interface Made<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly fresh: boolean
}

/** Runs a lookup as a load. */
export const run = <A, E, R>(lookup: Effect.Effect<A, E, R>): Effect.Effect<Made<A, E>, never, R> =>
  Effect.suspend(() => {
    const loading = new Loading()
    return Effect.map(Effect.exit(within(lookup, loading)), (exit) => ({ exit, fresh: loading.fresh }))
  })

/** Runs something on behalf of a load. */
export const within = <A, E, R>(effect: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Current, loading)
