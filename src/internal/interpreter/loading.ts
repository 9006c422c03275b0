/**
 * What a load knows of itself, for the cached reads that its lookup makes.
 *
 * A value that is made of cached values is no better than they are. So a read
 * inside of a load does not serve what is stale and refresh it behind the load's
 * back: it waits for the refresh, as a caller with `refresh: "everyone"` does.
 * Where it is given something stale all the same, since the refresh failed or
 * took too long, the load is marked, and what it made is stale from the start.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/** Something that others wait for, and which itself waits for others. */
export interface Waiting {
  /** Once for each read of it that waits. */
  readonly waitsFor: Array<Waiting>
}

/** A stored key of a service: two services may each have one of the same name. */
export interface Place {
  /** What all views of a service have in common. */
  readonly of: object
  readonly key: string
}

export const isSame = (a: Place, b: Place): boolean => a.of === b.of && a.key === b.key

const nowhere: ReadonlyArray<Place> = []

export class Loading {
  /** What waits while a read of this load waits; nothing where only its caller does. */
  readonly waiting: Waiting | undefined
  /** The one key that it fills. Of several it is not known for which of them a lookup reads. */
  readonly fills: Place | undefined
  /** The keys that are loaded around it where no other caller can join, its own included. */
  readonly alone: ReadonlyArray<Place>
  /**
   * Until when all of what it was given that was stale may be served; nothing, if none was. In milliseconds of this
   * process's monotonic clock: each service may have a clock of its own.
   */
  partsUntil: number | undefined = undefined
  /** Fibers that a lookup leaves behind are not part of it any more. */
  ended = false

  constructor(waiting: Waiting | undefined, fills: Place | undefined, alone = nowhere) {
    this.waiting = waiting
    this.fills = fills
    this.alone = alone
  }

  /** It was given something stale, which may be served until then. */
  given(until: number): void {
    this.partsUntil = Math.min(this.partsUntil ?? Infinity, until)
  }
}

/** The load on whose behalf a fiber runs. The fibers that a lookup forks inherit it. */
export const Current = Context.Reference<Loading | undefined>("effect-cache-algebra/Loading", {
  defaultValue: () => undefined
})

/** How a lookup ended, and `partsUntil` of its load. */
export interface Made<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly partsUntil: number | undefined
}

/** Runs a lookup on behalf of a load. */
export const within = <A, E, R>(lookup: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<A, E, R> =>
  Effect.onExit(Effect.provideService(lookup, Current, loading), () => {
    loading.ended = true
    return Effect.void
  })

/** The same, and how it ended. */
export const run = <A, E, R>(lookup: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<Made<A, E>, never, R> =>
  Effect.map(Effect.exit(within(lookup, loading)), (exit) => ({ exit, partsUntil: loading.partsUntil }))

/** Whether something that is waited for waits for this, directly or through others. */
export const reaches = (from: Waiting, to: Waiting): boolean => {
  const seen = new Set<Waiting>([from])
  for (const one of seen) {
    if (one === to) return true
    for (const next of one.waitsFor) seen.add(next)
  }
  return false
}
