/** What all operations of one store share: its names, its way to the server, and the server's clock. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Announcement, StoreError, Token } from "../../CacheStore.ts"
import type { Broadcast } from "../broadcast.ts"
import { elapsed } from "../deadline.ts"
import * as Durations from "../duration.ts"
import { atOnce } from "../limits.ts"
import { agreeing } from "./agreement.ts"
import { malformed } from "./client.ts"
import type * as Scripts from "./scripts.ts"
import { ServerClock } from "./serverClock.ts"
import { shared } from "./shared.ts"
import type { Transport } from "./transport.ts"
import * as Wire from "./wire.ts"

/** What a store is given besides its transport. */
export interface Settings {
  readonly prefix: string
  /** The most invalidated dependencies that are remembered for in-flight loads. */
  readonly journal: number
  /** Milliseconds that nothing outlives. */
  readonly longest: number
  /** Bytes of entries that are remembered as they were read. */
  readonly remember: number
  /** Whether steps come apart although there is one node, as they do in a cluster. */
  readonly split?: boolean
}

/** How a store learns of what others did. */
export interface Notices {
  /** Calls when a lease that was waited for is over; gives the end of listening. */
  readonly onReleased: (token: Token, wake: () => void) => () => void
  readonly announcements: Broadcast<Announcement>
  /** Why it cannot listen, where the server said so. */
  readonly refused?: string | undefined
  /** What this process publishes begins with it, so that it ignores its own messages. */
  readonly origin: string
}

/** A marker that nothing relies on yet outlives the load that captured it, whatever it takes. */
export const markerLife = 3_600_000

/** Only in-flight loads rely on the journal. */
export const journalLife = 7 * 24 * 3_600_000

/** A list among the arguments of a script. */
export const list = (all: ReadonlyArray<string | number>): ReadonlyArray<string | number> => [all.length, ...all]

/** Does something with all of a list, with some of them at once. */
export const together = <A, B>(
  all: ReadonlyArray<A>,
  each: (one: A, i: number) => Effect.Effect<B, StoreError>
): Effect.Effect<Array<B>, StoreError> => Effect.forEach(all, each, { concurrency: atOnce })

export interface Session {
  readonly transport: Transport
  readonly settings: Settings
  readonly notices: Notices
  readonly names: Wire.Names
  /** Whether an operation is several scripts, as keys lie on several nodes. */
  readonly split: boolean
  readonly clock: ServerClock
  /** Milliseconds that nothing outlives, as the scripts take them. */
  readonly longest: number
  /** Makes different what is made in the same microsecond. */
  readonly newNonce: () => string
  /** Runs a script, and learns the time from its answer. */
  readonly run: (
    operation: string,
    script: Scripts.Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>,
    send?: Transport["run"]
  ) => Effect.Effect<ReadonlyArray<unknown>, StoreError>
  /** Asks for the server's time, without which no age is known. */
  readonly synchronize: Effect.Effect<void, StoreError>
}

export const make = (plain: Transport, settings: Settings, notices: Notices): Session => {
  const names = new Wire.Names(settings.prefix)
  const transport = agreeing(plain, names, settings.prefix)
  const clock = new ServerClock()
  let count = 0
  let warned = false

  const warnSetBack = (behind: number): Effect.Effect<void> => {
    warned = true
    return Effect.logWarning(
      `The server's clock was set back by ${Durations.format(behind)}, or a node of its cluster is behind. ` +
        "This process takes nothing for younger by it, but one that starts from now on may: apply Invalidation.everything"
    )
  }

  const learning = <A>(
    asking: Effect.Effect<A, StoreError>,
    timeOf: (answer: A) => Effect.Effect<number, StoreError>
  ): Effect.Effect<A, StoreError> =>
    Effect.withFiber((fiber) => {
      const own = fiber.getRef(Clock.Clock)
      const sent = elapsed(own)
      return Effect.flatMap(asking, (answer) =>
        Effect.flatMap(timeOf(answer), (server) => {
          clock.learn(own, server, sent, elapsed(own))
          return clock.behind === 0 || warned ? Effect.succeed(answer) : Effect.as(warnSetBack(clock.behind), answer)
        }))
    })

  const run: Session["run"] = (operation, script, keys, args, send = transport.run) =>
    learning(send(operation, script, keys, args), (answer) => {
      const server = Number(answer[0])
      return Number.isFinite(server) ? Effect.succeed(server) : Effect.fail(malformed(operation, answer))
    })

  return {
    transport,
    settings,
    notices,
    names,
    split: settings.split ?? transport.cluster,
    clock,
    longest: Math.floor(settings.longest),
    newNonce: () => `${notices.origin}.${(++count).toString(36)}`,
    run,
    synchronize: shared(Effect.asVoid(Effect.suspend(() => learning(transport.time("time"), Effect.succeed))))
  }
}
