/**
 * Messages for any number of listeners. Without one, publishing costs a
 * comparison and holds nothing. A listener that falls behind loses the oldest,
 * so that watching cannot hold memory.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface Broadcast<in out A> {
  readonly watched: () => boolean
  readonly publish: (message: A) => void
  readonly stream: Stream.Stream<A>
}

/** A message, and how many were published before it. */
interface Numbered<A> {
  readonly message: A
  readonly number: number
}

/** Makes a broadcast. Where a `gap` is given, a listener that has lost messages gets it in their place. */
export const make = <A>(capacity: number, gap?: A): Effect.Effect<Broadcast<A>, never, Scope.Scope> =>
  Effect.suspend(() => {
    // A hub of a size holds that much from the start, so it is made for the first listener.
    let hub: PubSub.PubSub<Numbered<A>> | undefined
    let published = 0
    let listeners = 0
    const listen = Effect.acquireRelease(
      Effect.suspend(() => {
        listeners++
        return hub === undefined
          ? Effect.map(PubSub.sliding<Numbered<A>>(capacity), (made) => hub ??= made)
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
        if (listeners === 0 || hub === undefined) return
        const numbered = { message, number: published++ }
        if (!PubSub.publishUnsafe(hub, numbered)) Effect.runSyncExit(PubSub.publish(hub, numbered))
      },
      stream: Stream.unwrap(
        Effect.map(Effect.flatMap(listen, PubSub.subscribe), (own) => {
          let expected = published
          return Stream.mapArray(
            Stream.fromSubscription(own),
            (all) =>
              Arr.flatMap(all, ({ message, number }): Arr.NonEmptyReadonlyArray<A> => {
                const lost = number > expected
                expected = number + 1
                return lost && gap !== undefined ? [gap, message] : [message]
              })
          )
        })
      )
    }
    return Effect.as(
      Effect.addFinalizer(() => hub === undefined ? Effect.void : PubSub.shutdown(hub)),
      broadcast
    )
  })
