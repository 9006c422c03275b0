/**
 * The laws of the port, for those who write a store.
 *
 * Each law is a small program that knows `CacheService` and nothing else; it
 * fails with a `ContractViolation` that says what was promised and what was
 * seen. The guarantees that a cache gives rest on these laws, so a store that
 * obeys them may stand below `Cached`.
 *
 * **Details**
 *
 * - `laws` needs nothing but the store. `make` takes instruments, which move the
 *   clock and lose things; the laws that need them are left out without them.
 * - Laws use keys and dependencies of their own, so they may run on a store that
 *   holds other things, and side by side. The laws that are marked `alone` touch
 *   everything, or move the clock, and must run when no other does.
 * - `random` compares the store with a small model under random operations. What
 *   it finds it repeats with fewer and fewer operations, until none can be spared.
 *
 * **Gotchas**
 *
 * - Keys are made from the prefix, so they are the same in each process. Give a
 *   prefix of its own to each run on a store that keeps what it held.
 * - A law that waits for an announcement, or for the end of a lease, waits by the
 *   real clock, whatever clock is provided.
 * - What is made of stores, as a tier is, is judged as one: what an instrument loses
 *   must be gone from all of them.
 *
 * **Example** (The store in memory obeys)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCache } from "effect-cache-algebra"
 * import * as Contract from "effect-cache-algebra/Contract"
 *
 * const program = Contract.violations(Contract.laws).pipe(
 *   Effect.provide(MemoryCache.layer({ capacity: 1000 }))
 * )
 *
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { CacheService } from "./CacheService.ts"
import { announcementLaws } from "./internal/contract/announcements.ts"
import { clockLaws } from "./internal/contract/clock.ts"
import { entryLaws } from "./internal/contract/entries.ts"
import { fenceLaws } from "./internal/contract/fences.ts"
import { invalidationLaws } from "./internal/contract/invalidations.ts"
import { type ContractViolation, type Law, losses, type Options } from "./internal/contract/law.ts"
import { leaseLaws, releaseLaw } from "./internal/contract/leases.ts"
import { leaseLossLaw, lossLaws, nestedLossLaws } from "./internal/contract/losses.ts"
import { interruptedLaw, nestedLaws } from "./internal/contract/nested.ts"
import { raceLaws } from "./internal/contract/races.ts"
import { randomLaw } from "./internal/contract/random/search.ts"
import { type Rule, settle } from "./internal/contract/rule.ts"
import { scanLaws } from "./internal/contract/scans.ts"
import { targetLaws } from "./internal/contract/targets.ts"
import { versionLaws, versionLossLaw } from "./internal/contract/versions.ts"
import type { Waiting } from "./internal/contract/waiting.ts"

export { ContractViolation, type Instruments, type Law, type Options } from "./internal/contract/law.ts"

const agreement = "random operations: the store answers as the model does"

const disturbed = "random operations: losing things costs loads and nothing else"

/**
 * Random operations of three processes on three keys with four dependencies,
 * compared with a small model: reads, loads that overlap, hard and soft
 * invalidations, fences, and as far as there are instruments for it, time that
 * passes and things that are lost.
 *
 * The store must answer exactly as the model does. When things are lost, or with
 * `exact: false`, it may miss and refuse more, and never less; and what it has
 * once not served it must not serve again.
 *
 * **Example** (A longer search)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCache } from "effect-cache-algebra"
 * import * as Contract from "effect-cache-algebra/Contract"
 *
 * const law = Contract.random({ runs: 20, steps: 100, seed: 7 })
 * const program = Contract.violations([law]).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 })))
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const random = <R = never>(options: Options<R> = {}): Law<R> => {
  const losing = losses(options.instruments?.lose ?? {}).length > 0
  const draft = losing ? randomLaw(disturbed, "G9", options) : randomLaw(agreement, "G1", options)
  return settle([draft], options.prefix)[0]!
}

/**
 * All laws, with those that need the instruments that are given. The last ones
 * are those of `random`.
 *
 * **Example** (Laws that move the clock)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import * as Contract from "effect-cache-algebra/Contract"
 * import * as TestCache from "effect-cache-algebra/TestCache"
 *
 * const laws = Contract.make({
 *   instruments: {
 *     advance: (millis) => TestClock.adjust(millis),
 *     lose: { entry: (key) => TestCache.evict("entry", key) }
 *   },
 *   runs: 5
 * })
 * const program = Contract.violations(laws).pipe(
 *   Effect.provide(TestCache.layer()),
 *   Effect.provide(TestClock.layer())
 * )
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R = never>(options: Options<R> = {}): ReadonlyArray<Law<R>> => {
  const { advance, lose = {} } = options.instruments ?? {}
  const waiting: Waiting<R> = { advance, patience: options.patience ?? 5000 }
  const undisturbed = { ...options, instruments: advance === undefined ? {} : { advance } }
  const rules: ReadonlyArray<Rule<R>> = [
    ...entryLaws,
    ...scanLaws,
    ...leaseLaws,
    releaseLaw(waiting),
    ...targetLaws,
    ...invalidationLaws,
    ...announcementLaws(waiting),
    ...fenceLaws,
    ...versionLaws,
    ...raceLaws,
    ...nestedLaws,
    interruptedLaw(waiting),
    ...(advance === undefined ? [] : clockLaws(advance)),
    ...lossLaws(lose),
    ...(lose.lease === undefined ? [] : [leaseLossLaw(lose.lease)]),
    ...(lose.markers === undefined ? [] : [versionLossLaw(lose.markers)]),
    ...(lose.journal === undefined ? [] : nestedLossLaws(lose.journal)),
    randomLaw(agreement, "G1", undisturbed),
    ...(losses(lose).length === 0 ? [] : [randomLaw(disturbed, "G9", options)])
  ]
  return settle(rules, options.prefix)
}

/**
 * The laws that need nothing but the store.
 *
 * @category laws
 * @since 0.1.0
 */
export const laws: ReadonlyArray<Law> = make()

/**
 * Checks laws one after another, and gives what was broken.
 *
 * @category checking
 * @since 0.1.0
 */
export const violations = <R>(
  laws: ReadonlyArray<Law<R>>
): Effect.Effect<ReadonlyArray<ContractViolation>, never, CacheService | R> =>
  Effect.map(
    Effect.forEach(laws, ({ check }) => Effect.result(check)),
    (results) => results.flatMap((result) => Result.isFailure(result) ? [result.failure] : [])
  )
