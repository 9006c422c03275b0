/**
 * What a store on Redis is made of, above a client: it is tried again where
 * repeating is safe, looks around once when it is made, and knows the time.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type CacheStore, StoreError, wrap } from "../../CacheStore.ts"
import { randomId } from "../randomId.ts"
import { type Client, unavailable } from "./client.ts"
import * as Look from "./look.ts"
import * as Notices from "./notices.ts"
import type { Settings } from "./session.ts"
import * as Store from "./store.ts"
import * as Transport from "./transport.ts"

/** What the options of a layer come to; times in milliseconds. */
export interface Prepared {
  readonly settings: Settings
  /** How long an operation may take. */
  readonly patience: number
  readonly acknowledgement: Transport.Acknowledgement | undefined
  readonly retry: Schedule.Schedule<unknown, StoreError>
  readonly trusted: boolean
}

// Some 600 ms in all: a connection that broke is there again, or the server is away.
export const defaultRetry = Schedule.upTo(Schedule.exponential("20 millis"), { times: 5 })

// Repeating is safe. Whatever the last attempt met, an earlier one may have happened. Giving up a lease is repeated too:
// left behind, it would keep others waiting.
const retrying = (store: CacheStore, retry: Prepared["retry"]): CacheStore => {
  const again = <A>(effect: Effect.Effect<A, StoreError>) =>
    Effect.suspend(() => {
      let mayHaveHappened = false
      const attempt = Effect.mapError(effect, (error) => {
        mayHaveHappened ||= error.mayHaveHappened
        const { cause, operation, reason } = error
        return new StoreError({ operation, reason, mayHaveHappened, cause })
      })
      return Effect.retry(attempt, { schedule: retry, while: ({ reason }) => reason._tag === "Unavailable" })
    })
  return wrap(store, (store) => ({
    read: store.read,
    begin: store.begin,
    commit: store.commit,
    discard: store.discard,
    abandon: (address, token) => again(store.abandon(address, token)),
    released: store.released,
    invalidate: (batch) => again(store.invalidate(batch)),
    fence: (fence) => again(store.fence(fence)),
    lift: (fence) => again(store.lift(fence)),
    inspect: store.inspect,
    scan: store.scan
  }))
}

const within = <A>(effect: Effect.Effect<A, StoreError>, client: Client, patience: number) =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () => {
      const trouble = client.trouble()
      return Effect.fail(
        unavailable("look", new Error(trouble === undefined ? "no answer" : `no connection: ${trouble}`))
      )
    }
  })

/** Warns once of each thing that will hurt. */
const lookAround = (
  client: Client,
  transport: Transport.Transport,
  { acknowledgement, patience, settings }: Prepared,
  unheard: string | undefined
): Effect.Effect<void> => {
  const warn = (what: string) => Effect.logWarning(`RedisCache: ${what}`)
  const expected = { cluster: client.isCluster, replicas: acknowledgement?.replicas ?? 0 }
  return within(Look.look(client, transport, settings.prefix), client, patience).pipe(
    Effect.matchEffect({
      onSuccess: (seen) => {
        const refused = unheard === undefined ? seen.refused : [...seen.refused, `SUBSCRIBE: ${unheard}`]
        return Effect.forEach(Look.complaints({ ...seen, refused }, expected), warn, { discard: true })
      },
      onFailure: ({ cause }) =>
        warn(
          `the server does not answer (${
            cause instanceof Error ? cause.message : "no reason"
          }); reads load until it does`
        )
    })
  )
}

/** `limit` is that of each answer to a read, in milliseconds. */
export const make = Effect.fnUntraced(function*(
  open: Effect.Effect<Client, never, Scope.Scope>,
  prepared: Prepared,
  limit: number | undefined
): Effect.fn.Return<CacheStore, never, Scope.Scope> {
  const { acknowledgement, patience, retry, settings } = prepared
  const client = yield* open
  const writer = acknowledgement === undefined ? client : yield* client.beside
  const transport = Transport.make(client, { writer, acknowledgement, limit })
  const notices = yield* Notices.listen(client, settings.prefix, randomId(), patience)
  yield* lookAround(client, transport, prepared, notices.refused)
  const store = Store.make(transport, settings, notices)
  yield* Effect.ignore(within(Look.patiently(store.synchronize), client, patience))
  return retrying({ ...store, trusted: prepared.trusted, readsInTime: limit !== undefined }, retry)
})
