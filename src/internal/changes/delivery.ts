/**
 * Delivering what was published: the cache is invalidated, then subscribers are notified.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CacheService from "../../CacheService.ts"
import type * as Change from "../../Change.ts"
import * as Invalidation from "../../Invalidation.ts"
import { invalidate } from "../service/invalidating.ts"
import { collectorOf } from "./collector.ts"
import type { Collected, Subscriber } from "./model.ts"

export const Subscribers = Context.Reference<ReadonlyArray<Subscriber>>("effect-cache-algebra/Changes/Subscribers", {
  defaultValue: () => []
})

/** The subscribers, and `cache`, that nothing is delivered to. */
export const Disconnected = Context.Reference<ReadonlySet<string> | "all">(
  "effect-cache-algebra/Changes/Disconnected",
  { defaultValue: () => new Set<string>() }
)

type Delivery = Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, CacheService.CacheService>

const nothing: CacheService.Invalidated = { entries: 0, deferred: false }

const notify = (subscribers: ReadonlyArray<Subscriber>, changes: ReadonlyArray<Change.Change>): Effect.Effect<void> =>
  Effect.forEach(
    subscribers,
    ({ name, notify }) =>
      Effect.catchCause(
        notify(changes),
        (cause) => Effect.annotateLogs(Effect.logError("a subscriber to changes died", cause), { subscriber: name })
      ),
    { discard: true }
  )

const deliverNow = ({ changes, invalidation }: Collected): Delivery =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const disconnected = yield* Disconnected
      if (disconnected === "all") return nothing
      const batch = () => Invalidation.combine(Invalidation.changes(changes), invalidation)
      const exit = disconnected.has("cache")
        ? Exit.succeed(nothing)
        : yield* Effect.exit(restore(Effect.suspend(() => invalidate(batch()))))
      // The change has happened, whatever became of the invalidation.
      if (changes.length > 0) {
        yield* notify((yield* Subscribers).filter(({ name }) => !disconnected.has(name)), changes)
      }
      return yield* exit
    })
  )

/**
 * Invalidates what was collected as one batch, then notifies the subscribers of the changes, also if the store did not
 * acknowledge the batch. In a transaction it is collected by that.
 */
export const deliver = (collected: Collected): Delivery =>
  Effect.flatMap(CacheService.CacheService, (service) => {
    const transaction = collectorOf(service)
    if (transaction === undefined) return deliverNow(collected)
    transaction.addAll(collected)
    return Effect.succeed({ entries: undefined, deferred: true })
  })
