/** What a law is, how it is broken, and what it may be given. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as CacheService from "../../CacheService.ts"
import type * as CacheStore from "../../CacheStore.ts"
import type * as Dependency from "../../Dependency.ts"

/** The guarantee that falls when a law does, by its number in `docs/consistency.md`; `port` for any other promise. */
export const Guarantee = Schema.Literals(["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "port"])

export type Guarantee = typeof Guarantee.Type

/**
 * A store broke a law.
 *
 * `message` says all of it. `seed` and `operations` are there when the
 * operations were random: the fewest that still broke the law, with the store's
 * answers, and the seed that leads to them again (`random({ seed, runs: 1 })`)
 * on a store that is new: one that has seen other runs may need those, too.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContractViolation extends Schema.TaggedError<ContractViolation>()("ContractViolation", {
  law: Schema.String,
  guarantee: Guarantee,
  message: Schema.String,
  seed: Schema.optional(Schema.Finite),
  operations: Schema.optional(Schema.Array(Schema.String))
}) {}

/**
 * A promise that every store keeps.
 *
 * - `name`: the promise.
 * - `guarantee`: what of the cache's guarantees rests on it, by its number in
 *   `docs/consistency.md`; `port` for what the interpreter relies on otherwise.
 * - `alone`: whether it touches all that the store holds, or moves its clock.
 * - `check`: can be run any number of times; each time on keys of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law<out R = never> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly alone: boolean
  readonly check: Effect.Effect<void, ContractViolation, CacheService.CacheService | R>
}

/**
 * What a store can lose at any time: an entry, a key's lease, the journal of invalidations with the fences in it, the
 * tokens of dependencies.
 */
export type Losable = "entry" | "lease" | "journal" | "markers"

/**
 * Ways to disturb a store, as far as it has them.
 *
 * - `advance`: moves the store's clock, and the one that is provided, by some
 *   milliseconds. Where it is the real one that goes on, a law of time takes
 *   some four seconds.
 * - `lose`: loses one thing: an entry, a key's lease, the journal of invalidations
 *   with the fences in it, or the tokens of dependencies (`markers`). Given is the
 *   key whose entry or lease is meant, and the dependencies whose tokens are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Instruments<out R = never> {
  readonly advance?: (millis: number) => Effect.Effect<unknown, never, R>
  readonly lose?: {
    readonly [What in Losable]?: (
      key: string,
      dependencies: ReadonlyArray<Dependency.Dependency>
    ) => Effect.Effect<unknown, never, R>
  }
}

/**
 * Options of the laws.
 *
 * - `runs`: how many sequences of random operations (40), each of `steps` (40).
 * - `seed`: of the first sequence; the next ones follow it.
 * - `exact`: whether the store must answer as the model does. A store that
 *   forgets, as one with a short journal, sets `false`: it may then miss and
 *   refuse more than the model, and never less. With things to lose it may too.
 * - `prefix`: with which all keys and dependencies begin (`contract`).
 * - `patience`: for how many milliseconds of real time a law waits for what a store
 *   is to announce (5000).
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out R = never> {
  readonly instruments?: Instruments<R>
  readonly runs?: number
  readonly steps?: number
  readonly seed?: number
  readonly exact?: boolean
  readonly prefix?: string
  readonly patience?: number
}

/** How a law was broken; it becomes a `ContractViolation` that names the law. */
export class Broken extends Data.TaggedError("Broken")<{
  readonly message: string
  readonly seed?: number
  readonly operations?: ReadonlyArray<string>
}> {}

/** A part of a law. */
export type Step<A, R = never> = Effect.Effect<A, Broken | CacheStore.StoreError, R>

export const broken = (message: string): Step<never> => Effect.fail(new Broken({ message }))

export const expect = (holds: boolean, message: () => string): Step<void> => holds ? Effect.void : broken(message())

/** The ways to lose things. */
export type Lose<R> = NonNullable<Instruments<R>["lose"]>

/** The ways that are given. */
export const losses = <R>(lose: Lose<R>): ReadonlyArray<readonly [Losable, NonNullable<Lose<R>[Losable]>]> =>
  (["entry", "lease", "journal", "markers"] as const).flatMap((what) => {
    const way = lose[what]
    return way === undefined ? [] : [[what, way] as const]
  })
