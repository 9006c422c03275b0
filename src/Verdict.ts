/**
 * What a policy says of an entry: a chain of five, from best to worst.
 *
 * | verdict | what the interpreter does |
 * |---|---|
 * | `Fresh` | serve |
 * | `Refresh` | serve; one caller refreshes in the background |
 * | `Stale` | serve, marked stale; one caller refreshes in the background |
 * | `OnError` | load; serve the old value only if the load fails or its soft time limit passes |
 * | `Dead` | load; the old value is never served |
 *
 * `meet` is the worse of two, `join` the better. A chain is a bounded
 * distributive lattice, and policies inherit its laws pointwise.
 *
 * **Example** (Meet and join)
 *
 * ```ts
 * import { Verdict } from "effect-cache-algebra"
 *
 * Verdict.meet("Fresh", "Stale") // => "Stale"
 * Verdict.join("OnError", "Dead") // => "OnError"
 * ```
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"

/**
 * `Fresh > Refresh > Stale > OnError > Dead`.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = "Fresh" | "Refresh" | "Stale" | "OnError" | "Dead"

/**
 * What the mismatch of a dependency can mean. `Dead` unless said otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export type Severity = "Stale" | "OnError" | "Dead"

/**
 * How an invalidation is meant: a `hard` one makes what it covers as bad as
 * the dependency's severity says, a `soft` one never worse than `Stale`.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "hard" | "soft"

const ranks: Record<Verdict, number> = { Dead: 0, OnError: 1, Stale: 2, Refresh: 3, Fresh: 4 }

/**
 * The worse of two. `Fresh` is its unit.
 *
 * @category combining
 * @since 0.1.0
 */
export const meet: {
  <B extends Verdict>(that: B): <A extends Verdict>(self: A) => A | B
  <A extends Verdict, B extends Verdict>(self: A, that: B): A | B
} = dual(
  2,
  <A extends Verdict, B extends Verdict>(self: A, that: B): A | B => ranks[self] <= ranks[that] ? self : that
)

/**
 * The better of two. `Dead` is its unit.
 *
 * @category combining
 * @since 0.1.0
 */
export const join: {
  <B extends Verdict>(that: B): <A extends Verdict>(self: A) => A | B
  <A extends Verdict, B extends Verdict>(self: A, that: B): A | B
} = dual(
  2,
  <A extends Verdict, B extends Verdict>(self: A, that: B): A | B => ranks[self] >= ranks[that] ? self : that
)
