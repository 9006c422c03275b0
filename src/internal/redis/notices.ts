/**
 * What is published under a prefix: leases that are over, and what others
 * invalidated.
 *
 * While there is no connection no message comes in, and what was published
 * meanwhile is not published again. So whenever one listens, also for the first
 * time, every waiter looks again, and a gap is announced.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Announcement, Token } from "../../CacheStore.ts"
import * as Broadcast from "../broadcast.ts"
import type { Client } from "./client.ts"
import type { Notices } from "./session.ts"
import * as Wire from "./wire.ts"

/** How many announcements a slow listener may be behind before it loses the oldest. */
const buffered = 4096

/** The waiters of each lease. */
class Waiting {
  private readonly byToken = new Map<Token, Set<() => void>>()

  /** Gives the end of waiting. */
  add(token: Token, wake: () => void): () => void {
    let all = this.byToken.get(token)
    if (all === undefined) this.byToken.set(token, all = new Set())
    all.add(wake)
    const those = all
    return () => {
      those.delete(wake)
      if (those.size === 0 && this.byToken.get(token) === those) this.byToken.delete(token)
    }
  }

  wake(token: Token): void {
    for (const wake of this.byToken.get(token) ?? []) wake()
  }

  wakeAll(): void {
    for (const token of this.byToken.keys()) this.wake(token)
  }
}

/** Waits for the first connection as long as `patience` says; later ones come by themselves. */
export const listen = (
  client: Client,
  prefix: string,
  origin: string,
  patience: number
): Effect.Effect<Notices, never, Scope.Scope> =>
  Effect.gen(function*() {
    const names = new Wire.Names(prefix)
    const announcements = yield* Broadcast.make<Announcement>(buffered, { _tag: "Gap" })
    const waiting = new Waiting()
    const first = yield* Deferred.make<string | undefined>()

    const hearInvalidation = (text: string): void => {
      const message = Wire.readMessage(text)
      if (message.origin === origin) return
      // One that cannot be read may have been of anything.
      announcements.publish(
        Option.isSome(message.batch)
          ? { _tag: "Invalidated", invalidation: message.batch.value, position: message.position }
          : { _tag: "Gap" }
      )
    }

    yield* client.listen([names.released, names.invalidated], {
      hear: (channel, message) => {
        if (channel === names.released) waiting.wake(message)
        if (channel === names.invalidated) hearInvalidation(message)
      },
      subscribed: () => {
        announcements.publish({ _tag: "Gap" })
        waiting.wakeAll()
        Deferred.doneUnsafe(first, Effect.succeed(undefined))
      },
      refused: (why) => {
        Deferred.doneUnsafe(first, Effect.succeed(why))
      }
    })
    const refused = yield* Effect.timeoutOrElse(Deferred.await(first), {
      duration: patience,
      orElse: () => Effect.succeed(undefined)
    })
    return { origin, refused, announcements, onReleased: (token, wake) => waiting.add(token, wake) }
  })
