/**
 * The port on Redis: the order in which the steps of the protocol are sent, and
 * what this process remembers beside.
 *
 * On one node an operation is one script. In a cluster its steps come apart,
 * and their order is what keeps the promises:
 *
 * | operation | steps |
 * |---|---|
 * | read | entry and markers, in any order, after the read began |
 * | begin | capture the dependencies known from the key; take the lease; the journal's position and the fences last |
 * | commit | capture those found in the value; ask the journal; store; a last look at the markers and fences |
 * | discard | give up the lease; then look at the journal, the markers and the fences |
 * | fence | open it and note; replace the markers and remove keys; announce |
 * | invalidate | a single key only; all else is a fence |
 *
 * A fence over a key or a pattern has no marker that a load could have
 * captured, but it removes leases after it is opened: a load that took its
 * lease before has lost it, and one that took it after sees the fence, since it
 * looks for fences after it has the lease.
 *
 * Each group of operations has a file of its own: `reading.ts`, `loading.ts`,
 * `invalidating.ts`, `inspecting.ts`. They share a `session.ts`.
 *
 * **Positions.** What is announced comes with the position of the journal after
 * it: its epoch, its sequence, and the fences that stand. On one node the script
 * that invalidates publishes it. In a cluster it is the position when the
 * invalidation was noted, before its first marker was replaced; the fence that
 * stood from then on refuses what began in between. The journal does not note
 * keys, patterns and everything: where these are announced alone, the position
 * is one that equals no other, since an equal one would not say which of a copy
 * and the invalidation was first.
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import type { CacheStore, StoreError } from "../../CacheStore.ts"
import * as Inspecting from "./inspecting.ts"
import * as Invalidating from "./invalidating.ts"
import * as Loading from "./loading.ts"
import * as Reading from "./reading.ts"
import * as Session from "./session.ts"
import type { Transport } from "./transport.ts"

/** `synchronize` asks for the server's time, without which no age is known. */
export interface RedisStore extends CacheStore {
  readonly synchronize: Effect.Effect<void, StoreError>
}

export const make = (
  transport: Transport,
  settings: Session.Settings,
  notices: Session.Notices
): RedisStore => {
  const session = Session.make(transport, settings, notices)
  const reading = Reading.make(session)
  return {
    name: "redis",
    payload: "text",
    synchronize: session.synchronize,
    now: Object.assign((clock: Clock.Clock) => session.clock.now(clock), { behind: () => session.clock.behind }),
    read: reading.read,
    ...Loading.make(session, reading),
    ...Invalidating.make(session),
    ...Inspecting.make(session),
    announcements: notices.announcements.stream
  }
}
