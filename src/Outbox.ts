/**
 * What a transaction invalidates, written to the database inside of it.
 *
 * An invalidation that follows a commit is lost without notice if the process
 * dies in between. So it is written to a table in the same transaction, as a
 * message: either both are there or neither. After the commit it is delivered and
 * removed; what a process that died left behind is delivered by a relay, in
 * order, at least once. A message that is delivered twice costs a load.
 *
 * `SqlOutbox.layer` keeps the table in Postgres. For another origin, implement
 * the `Outbox` interface.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as CacheService from "./CacheService.ts"
import type * as Changes from "./Changes.ts"
import { backoff } from "./internal/backoff.ts"
import { ChangeFromJson } from "./internal/changeJson.ts"
import { deliver } from "./internal/changes/delivery.ts"
import * as Transactions from "./internal/changes/transaction.ts"
import * as Check from "./internal/check.ts"
import { elapsed } from "./internal/deadline.ts"
import { finiteMillis, millis } from "./internal/duration.ts"
import * as Invalidation from "./Invalidation.ts"

/**
 * The outbox could not be written or read.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutboxError extends Schema.TaggedError<OutboxError>()("OutboxError", {
  operation: Schema.Literals(["append", "remove", "claim", "release"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `the outbox failed to ${this.operation}`
  }
}

/**
 * A message that waits to be delivered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly id: string
  readonly text: string
}

/**
 * Where messages are kept: the origin that is written to.
 *
 * - `append`: writes a message, in the transaction of the caller; gives its id.
 * - `remove`: takes it away.
 * - `claim`: takes the oldest messages in their order, `limit` of them at most, and
 *   keeps them from other relays for `lease` milliseconds. Messages younger than
 *   `grace` milliseconds are left to the writer. Takes none while another claim
 *   stands, or messages would be delivered out of order.
 * - `release`: gives claimed messages back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outbox {
  readonly append: (text: string) => Effect.Effect<string, OutboxError>
  readonly remove: (id: string) => Effect.Effect<void, OutboxError>
  readonly claim: (
    claim: { readonly limit: number; readonly lease: number; readonly grace: number }
  ) => Effect.Effect<ReadonlyArray<Message>, OutboxError>
  readonly release: (ids: ReadonlyArray<string>) => Effect.Effect<void, OutboxError>
}

/**
 * The service that `withTransaction` and the relay need: provided by
 * `SqlOutbox.layer`, or a layer of your own.
 *
 * @category services
 * @since 0.1.0
 */
export const Outbox: Context.Service<Outbox, Outbox> = Context.Service("effect-cache-algebra/Outbox")

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

/**
 * What a transaction collected, as the text of a message. Text that is not such a
 * message fails to decode. It may have said anything, so the relay takes it for an
 * invalidation of everything.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Changes.Collected, string> = Schema.fromJsonString(
  Schema.Struct({ changes: Schema.Array(ChangeFromJson), invalidation: Invalidation.FromString })
)

const collectedOf = (text: string): Changes.Collected =>
  Option.getOrElse(
    Schema.decodeOption(FromString)(text),
    () => ({ changes: [], invalidation: Invalidation.everything })
  )

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

// A message that stays is delivered again, which does no harm.
const removed = (outbox: Outbox, id: string): Effect.Effect<void> =>
  Effect.catchCause(
    outbox.remove(id),
    (cause) => Effect.logWarning("a message that was delivered stays in the outbox", cause)
  )

/**
 * As `Changes.withTransaction`, and what was collected is written to the outbox
 * before the commit. A process that dies after the commit has not lost it.
 *
 * Fails with `OutboxError` if the message could not be written; nothing is
 * written then. If the store does not acknowledge the invalidation, the message
 * stays for the relay, and the transaction ends as `onUndelivered` says.
 *
 * @category writing
 * @since 0.1.0
 */
export const withTransaction: {
  <E = never, R = never>(
    transaction: Changes.Transaction<E, R>,
    options: { readonly onUndelivered: "fail" }
  ): Changes.WithTransaction<E | OutboxError | CacheService.InvalidationError, R | Outbox>
  <E = never, R = never>(
    transaction: Changes.Transaction<E, R>,
    options?: { readonly onUndelivered?: "log" }
  ): Changes.WithTransaction<E | OutboxError, R | Outbox>
} = <E, R>(
  transaction: Changes.Transaction<E, R>,
  options: { readonly onUndelivered?: Changes.OnUndelivered } = {}
): Changes.WithTransaction<E | OutboxError, R | Outbox> =>
  Transactions.withTransaction(
    transaction,
    Transactions.onUndeliveredOf("Outbox.withTransaction", options),
    ({ changes, invalidation }) =>
      Effect.flatMap(Outbox, (outbox) =>
        Effect.map(
          outbox.append(Schema.encodeSync(FromString)({ changes, invalidation })),
          (id) => removed(outbox, id)
        ))
  )

// -----------------------------------------------------------------------------
// the relay
// -----------------------------------------------------------------------------

/**
 * Options of a relay.
 *
 * - `interval`: how often it looks (1 second unless given).
 * - `batch`: how many messages it claims at once (100).
 * - `lease`: how long what it has claimed is kept from other relays (30 seconds);
 *   if it dies, another goes on after that.
 * - `grace`: how long a message is left to its writer (1 second).
 *
 * @category models
 * @since 0.1.0
 */
export interface RelayOptions {
  readonly interval?: Duration.Input
  readonly batch?: number
  readonly lease?: Duration.Input
  readonly grace?: Duration.Input
}

const claimOf = (where: string, { batch = 100, grace = "1 second", lease = "30 seconds" }: RelayOptions) => {
  return {
    limit: Check.integer(where, "batch", batch),
    lease: finiteMillis(where, "lease", lease),
    grace: millis(where, "grace", grace)
  }
}

/** Delivers claimed messages in their order, while they are surely ours. Whatever becomes of it, the rest is released. */
const deliverInOrder = (
  outbox: Outbox,
  messages: ReadonlyArray<Message>,
  until: number,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<number, OutboxError | CacheService.InvalidationError, CacheService.CacheService> =>
  Effect.suspend(() => {
    let done = 0
    const next: Effect.Effect<number, OutboxError | CacheService.InvalidationError, CacheService.CacheService> = Effect
      .clockWith((clock) => {
        const message = messages[done]
        if (message === undefined || elapsed(clock) >= until) return Effect.succeed(done)
        return deliver(collectedOf(message.text)).pipe(
          Effect.andThen(outbox.remove(message.id)),
          Effect.andThen(Effect.suspend(() => (done++, next)))
        )
      })
    const release = Effect.clockWith((clock) => {
      const left = messages.slice(done).map(({ id }) => id)
      // After the lease they may belong to another relay.
      return left.length === 0 || elapsed(clock) >= until ? Effect.void : Effect.ignore(outbox.release(left))
    })
    return Effect.ensuring(restore(next), release)
  })

/**
 * Delivers what waits in the outbox, one batch at most, and gives how many
 * messages that were. Fails at the first that was not acknowledged, and leaves
 * that and those after it, or they would be delivered out of order. `layerRelay`
 * does this all the time.
 *
 * @category relaying
 * @since 0.1.0
 */
export const relay = (
  options: RelayOptions = {}
): Effect.Effect<number, OutboxError | CacheService.InvalidationError, Outbox | CacheService.CacheService> => {
  const claim = claimOf("Outbox.relay", options)
  return Effect.flatMap(Outbox, (outbox) =>
    Effect.clockWith((clock) => {
      // Counted from before they are claimed, so it ends before the lease does.
      const until = elapsed(clock) + claim.lease
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(outbox.claim(claim)), (messages) => deliverInOrder(outbox, messages, until, restore))
      )
    }))
}

// After a failure the relay looks again after the interval, then twice as long each time, up to this.
const longestPause = "30 seconds"

/**
 * Delivers what others left in the outbox, as long as the layer lives. Run it in
 * every process: of those that share an outbox one works at a time, and when it
 * dies another goes on after the lease.
 *
 * Throws `InvalidInput` for durations that are not positive and a batch of none.
 *
 * @category relaying
 * @since 0.1.0
 */
export const layerRelay = (
  options: RelayOptions = {}
): Layer.Layer<never, never, Outbox | CacheService.CacheService> => {
  const { limit } = claimOf("Outbox.layerRelay", options)
  const interval = finiteMillis("Outbox.layerRelay", "interval", options.interval ?? "1 second")
  const pauses = backoff(interval, longestPause)
  const once = relay(options).pipe(
    Effect.tapCause((cause) => Effect.logWarning("the relay of the outbox failed, and goes on", cause)),
    // Defects are retried, too: a transaction whose connection is lost dies when it is rolled back.
    Effect.sandbox,
    Effect.retry(pauses)
  )
  const forEver = Effect.forever(
    Effect.flatMap(once, (delivered) => delivered === limit ? Effect.void : Effect.sleep(interval))
  )
  return Layer.effectDiscard(Effect.forkScoped(forEver))
}
