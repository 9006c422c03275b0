/**
 * Telling whoever listens. While nobody does it costs one comparison and holds
 * nothing; a listener that falls behind loses the oldest, so that watching
 * cannot hold memory.
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface Broadcast<in out A> {
  readonly watched: () => boolean
  readonly publish: (message: A) => void
  readonly stream: Stream.Stream<A>
}

export const make = <A>(capacity: number): Effect.Effect<Broadcast<A>, never, Scope.Scope> =>
  Effect.suspend(() => {
    // A hub of a size holds that much from the start, so it is made for the first listener.
    let hub: PubSub.PubSub<A> | undefined
    let listeners = 0
    const listen = Effect.acquireRelease(
      Effect.suspend(() => {
        listeners++
        return hub === undefined
          ? Effect.map(PubSub.sliding<A>(capacity), (made) => hub ??= made)
          : Effect.succeed(hub)
      }),
      () =>
        Effect.sync(() => {
          listeners--
        })
    )
    const broadcast: Broadcast<A> = {
      watched: () => listeners > 0,
      publish: (message) => {
        // Publishing unsafely does not slide: while one listener is behind, all would lose what is new.
        if (listeners > 0 && hub !== undefined && !PubSub.publishUnsafe(hub, message)) {
          Effect.runSyncExit(PubSub.publish(hub, message))
        }
      },
      stream: Stream.unwrap(Effect.map(Effect.flatMap(listen, PubSub.subscribe), (own) => Stream.fromSubscription(own)))
    }
    return Effect.as(
      Effect.addFinalizer(() => hub === undefined ? Effect.void : PubSub.shutdown(hub)),
      broadcast
    )
  })
