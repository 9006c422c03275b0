/**
 * Transactions: what an effect publishes and invalidates is collected, and delivered after the commit.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as CacheService from "../../CacheService.ts"
import { refused } from "../refused.ts"
import { withResult } from "../service/model.ts"
import { Collector, collectorOf, inside, lift, noTransaction, type Owner } from "./collector.ts"
import { deliver } from "./delivery.ts"
import type { Collected, OnUndelivered, Transaction, WithTransaction } from "./model.ts"

/**
 * Saves what a transaction collected, inside of it and just before its commit. What that gives is run once all is
 * delivered.
 */
export type Save<E, R> = (collected: Collected) => Effect.Effect<Effect.Effect<void>, E, R>

export const withTransaction = <E2, R2, E3 = never, R3 = never>(
  transaction: Transaction<E2, R2>,
  onUndelivered: OnUndelivered,
  save?: Save<E3, R3>
): WithTransaction<E2 | E3, R2 | R3> =>
<A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const service = yield* CacheService.CacheService
      const outer = collectorOf(service)
      const outside = outer?.outside ?? service
      // A savepoint is delivered with its transaction. Collecting without a transaction delivers nothing.
      const isPart = outer !== undefined &&
        (outer.owner === noTransaction || outer.owner.transaction === transaction)
      const isSaved = isPart && outer.owner.saves
      const owner: Owner = { transaction, saves: save !== undefined || isSaved }
      const saved = (collector: Collector): Effect.Effect<void, E3, R3> =>
        save === undefined || isSaved || collector.isEmpty
          ? Effect.void
          : Effect.map(save(collector), (done) => void collector.after.push(done))
      // One that is tried again succeeds several times, and what any of them collected may have happened.
      const all = new Collector(outside, owner, isPart ? outer : undefined)
      const body = inside(
        outside,
        owner,
        all,
        Effect.tap(effect, Effect.flatMap(CacheService.CacheService, (service) => saved(collectorOf(service)!))),
        (collector, succeeded) => {
          all.addEndingOf(collector)
          if (succeeded) all.addAll(collector)
        }
      )
      const exit: Exit.Exit<A, E | E2 | E3> = yield* Effect.exit(restore(transaction(body as never)))
      all.end()
      // The outer one may have ended before.
      const waiting = outer?.current
      if (waiting !== undefined) {
        waiting.addAll(all)
        waiting.addEndingOf(all)
        if (isPart) return yield* exit
      }
      const delivered: Exit.Exit<unknown, CacheService.InvalidationError> = all.isEmpty
        ? Exit.void
        : yield* Effect.exit(Effect.provideService(deliver(all), CacheService.CacheService, outside))
      if (waiting === undefined) yield* lift(outside, all.fences)
      // What waits for the delivery stays: the invalidation is tried again, and a message is left to the relay.
      if (Exit.isFailure(delivered)) return yield* undelivered(onUndelivered, exit, delivered.cause)
      if (waiting === undefined) yield* Effect.forEach(all.after, (done) => done, { discard: true })
      return yield* exit
    })
  ) as never

/** How a transaction ends whose invalidation was not acknowledged. It is committed, if its exit is a success. */
const undelivered = <A, E>(
  onUndelivered: OnUndelivered,
  exit: Exit.Exit<A, E>,
  cause: Cause.Cause<CacheService.InvalidationError>
): Effect.Effect<A, E | CacheService.InvalidationError> => {
  if (Exit.isFailure(exit)) return exit
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error === undefined) return Effect.failCause(cause)
  return onUndelivered === "fail"
    ? Effect.fail(withResult(error, exit.value))
    : Effect.as(
      Effect.annotateLogs(
        Effect.logWarning("a transaction is committed, and what it invalidates is not delivered yet"),
        { invalidation: error.invalidation, reason: error.reason._tag }
      ),
      exit.value
    )
}

/** Throws `InvalidInput` for anything but the two words. */
export const onUndeliveredOf = (
  where: string,
  { onUndelivered = "log" }: { readonly onUndelivered?: OnUndelivered }
): OnUndelivered => {
  if (onUndelivered === "log" || onUndelivered === "fail") return onUndelivered
  throw refused(where, "InvalidOption", `onUndelivered must be "log" or "fail", and is ${String(onUndelivered)}`)
}

export const collect = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Collected], E, R | CacheService.CacheService> =>
  Effect.gen(function*() {
    const service = yield* CacheService.CacheService
    const outer = collectorOf(service)
    const outside = outer?.outside ?? service
    let collected: Collector | undefined
    const lifted = Effect.suspend(() => lift(outside, collected?.fences ?? []))
    const result = yield* Effect.ensuring(
      inside(outside, noTransaction, outer, effect, (collector) => {
        collected = collector
      }),
      lifted
    )
    const { changes, invalidation } = collected!
    return [result, { changes, invalidation }] as const
  })
