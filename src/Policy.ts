/**
 * Invalidation policies: values that say when cached data stops being true.
 *
 * A policy says nothing about a store. It is judged by facts that were recorded
 * when a value was loaded (its stamp) and by what is observed now, and answers
 * with a `Verdict`. Policies compose: `and` is the worse of two verdicts, `or`
 * the better; both are associative, commutative, idempotent, absorb and
 * distribute over each other, with the units `forever` and `never`.
 *
 * **Gotchas**
 *
 * - The thresholds of `ttl` are absolute ages. Relative grace periods do not
 *   compose; `staleFor` and `onErrorFor` are sugar that is resolved at once.
 * - XFetch uses the end of freshness of the whole policy, not of a neighbour.
 *   Alone, without anything that ends freshness, it does nothing.
 * - Where a function names tags, rows or partitions, a plain one takes the key,
 *   and what it names is known before the load. `{ fromValue: (value, key) => ... }`
 *   takes the loaded value, and what it names is found after the load.
 * - Functions compare by identity. Make them once, beside the definition.
 *
 * **Example** (A policy is a value)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * const policy = Policy.all(
 *   Policy.ttl("5 minutes", { staleFor: "1 minute" }),
 *   Policy.tagged("category"),
 *   Policy.xfetch({ beta: 1 })
 * )
 * policy.toString() // => "ttl(5m, stale 6m) and tagged(category) and xfetch(1)"
 * ```
 *
 * @since 0.1.0
 */
import type * as Cron from "effect/Cron"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import type * as Pipeable from "effect/Pipeable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type * as Dependency from "./Dependency.ts"
import type * as Entity from "./Entity.ts"
import * as Plan from "./internal/plan.ts"
import * as Compose from "./internal/policy/compose.ts"
import * as Leaves from "./internal/policy/leaves.ts"
import type * as Node from "./internal/policy/node.ts"
import { parse } from "./internal/policy/read.ts"
import * as Selector from "./internal/policy/selector.ts"
import * as Tree from "./internal/policy/tree.ts"
import type { Stamp, Version } from "./internal/stamp.ts"
import type * as Verdict from "./Verdict.ts"

/**
 * A policy for keys of type `Key` and values of type `Value`. Judging it may
 * fail with `Error` and need `Requirements`: those of its version effects.
 *
 * Two policies are `Equal` when their normal forms are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<in Key, in Value, out Error = never, out Requirements = never>
  extends Pipeable.Pipeable, Equal.Equal
{
  readonly "~effect-cache-algebra/Policy": {
    readonly _Key: (_: Key) => void
    readonly _Value: (_: Value) => void
    readonly _Error: () => Error
    readonly _Requirements: () => Requirements
  }
  toString(): string
}

/**
 * Any policy, whatever it is for.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = Policy<never, never, unknown, unknown>

// What a policy is for is known to its type alone.
const typed = <K, V, E = never, R = never>(tree: Node.Tree): Policy<K, V, E, R> => tree as never

// -----------------------------------------------------------------------------
// leaves
// -----------------------------------------------------------------------------

/**
 * Always fresh; the unit of `and`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const forever: Policy<unknown, unknown> = typed(Leaves.forever)

/**
 * Always dead; the unit of `or`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const never: Policy<unknown, unknown> = typed(Leaves.never())

/**
 * Fresh until the age `lifetime`, Stale until `stale`, OnError until `onError`,
 * then Dead.
 *
 * - `stale` and `onError` are ages, counted from storing like the lifetime itself.
 * - `staleFor` counts from the end of freshness, `onErrorFor` from the end of
 *   staleness.
 * - `jitter`, from 0 up to but not including 1, is the largest part by which all
 *   three ages are shortened: one draw per entry, when it is stored. It never
 *   lengthens, so the ages given are upper bounds.
 *
 * Throws `InvalidInput` for durations that are negative, not numbers, or not in
 * order, and for a jitter outside [0, 1).
 *
 * **Example** (Five minutes, then a minute of grace)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * Policy.ttl("5 minutes", { staleFor: "1 minute", onErrorFor: "1 hour", jitter: 0.1 }).toString()
 * // => "ttl(5m, stale 6m, onError 1h6m, jitter 0.1)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ttl = <K, V>(
  lifetime: Duration.Input,
  options?: {
    readonly stale?: Duration.Input
    readonly staleFor?: Duration.Input
    readonly onError?: Duration.Input
    readonly onErrorFor?: Duration.Input
    readonly jitter?: number
  }
): Policy<K, V> => typed(Leaves.ttl(lifetime, options))

/**
 * Fresh until the first tick of a cron expression after the load began; then
 * as bad as `severity` says (`Dead` unless given). "Every hour", "at midnight
 * in Rome", with no worker to run. A load that a tick interrupts has read what
 * was true before it: its result is served to those who wait for it when it
 * ends, also if they came after the tick, and to no later caller.
 *
 * The expression is text or a `Cron`. If it has no time zone, it ticks in
 * `timeZone`, which is UTC unless given: processes in different zones must agree
 * on what they share. Where the clocks go back an expression whose hours are
 * all, or three or more that are evenly spaced, ticks through the hour that comes
 * twice; others tick in its first.
 *
 * Everything that is stored under one expression ends at once. `spread` lets
 * entries end one after the other: each outlives the tick by a part of it, by
 * the one draw that is made when it is stored. So something may be served that
 * is old by up to `spread`. With a severity of `Stale` no caller waits, either.
 * `xfetch` alone does not help: what it loads before the tick ends at the tick
 * all the same.
 *
 * Throws `InvalidInput` for an expression that does not parse or never ticks,
 * and for a spread that is negative or has no end.
 *
 * **Example** (Until midnight in Rome)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * Policy.until("0 0 * * *", { timeZone: "Europe/Rome" }).toString() // => 'until("0 0 * * *", Europe/Rome)'
 * Policy.until("0 * * * *", { spread: "5 minutes" }).toString() // => 'until("0 * * * *", spread 5m)'
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const until = <K, V>(
  cron: string | Cron.Cron,
  options?: {
    readonly timeZone?: string
    readonly spread?: Duration.Input
    readonly severity?: Verdict.Severity
  }
): Policy<K, V> => typed(Leaves.until(cron, options))

/**
 * Dead unless the entry was loaded under the version that is current.
 *
 * The version is a constant, a function of the key, or an effect of the key: a
 * row's version column, a setting. What is recorded is the version observed
 * **before** the load began, so a version that changes during a load makes the
 * loaded entry dead. With `atLeast` an entry is good while its version is not
 * below the current one ("not older than `updated_at`").
 *
 * `name` keeps constants apart: two different constants under one name can
 * never both hold, so their conjunction is `never`. Give each function a name of
 * its own: what is recorded of several under one name is matched by their
 * order, which another deploy may change.
 *
 * An effect is run at every read. Its errors and requirements become those of
 * the read.
 *
 * **Example** (Two constants for one version)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * Policy.and(Policy.versioned(1), Policy.versioned(2)).toString()
 * // => "never(version cannot be both 1 and 2)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const versioned = <K, V, E = never, R = never>(
  current: Version | ((key: K) => Version | Date | Effect.Effect<Version | Date, E, R>),
  options?: { readonly name?: string; readonly atLeast?: boolean }
): Policy<K, V, E, R> => typed(Leaves.versioned(current, options))

/**
 * A version made of a schema's own shape: it changes when what is written of a
 * value changes, and is the same in every process. `constant` is for what the
 * shape does not show: that a price is now in cents.
 *
 * Stores that keep text treat an entry of another shape as a miss by
 * themselves. A version in the policy says so to people, and may cover a schema
 * that is not the value's own: of a row that a rendered page was made from.
 *
 * What counts is the JSON that values are written as, with its checks and
 * descriptions, in 64 bits. What a schema leaves open (`Unknown`) and a
 * transformation that writes the same JSON (a string, or a date) do not show;
 * and another version of `effect` may describe one schema in other words.
 * Throws `InvalidInput` for a schema that no JSON can stand for.
 *
 * **Example** (A changed schema is another version)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Policy } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String })
 * const Longer = Schema.Struct({ ...Film.fields, year: Schema.Int })
 *
 * Policy.versionOf(Film) === Policy.versionOf(Longer) // => false
 * Policy.versioned(Policy.versionOf(Film, "prices in cents"), { name: "page" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const versionOf: (schema: Schema.Top, constant?: Version) => string = Leaves.versionOf

/**
 * Depends on tags: constants, or those that a function names. An invalidation of
 * any of them makes the entry as bad as `severity` says (`Dead` unless given).
 *
 * A plain function is given the key; its tags are known before the load.
 * `fromValue` is given the loaded value, and the key; its tags are found after
 * the load, and what was invalidated during the load is not stored.
 *
 * What `fromValue` looks at must itself be covered by the policy: if the tag is
 * the film's genre, a change of the genre has to end the entry too
 * (`conditional(Films, { fields: [..., "genre"] })`), or it keeps the old tag.
 *
 * Throws `InvalidInput` for an empty tag: at once for constants, from the read
 * that met it for functions. What depends on more than 2000 names in all is served
 * and not stored, with a warning.
 *
 * **Example** (Constants, of the key, of the value)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * interface Film {
 *   readonly genres: ReadonlyArray<string>
 * }
 *
 * Policy.tagged(["films", "posters"]).toString() // => "tagged(films, posters)"
 * Policy.tagged((id: number) => `film:${id}`).toString() // => "tagged(<key>)"
 * Policy.tagged({ fromValue: (film: Film) => film.genres }).toString() // => "tagged(<value>)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tagged = <K, V>(
  tags: string | ReadonlyArray<string> | Selector.Given<K, V, string | ReadonlyArray<string>>,
  options?: { readonly severity?: Verdict.Severity }
): Policy<K, V> => typed(Leaves.tagged(Selector.isGiven(tags) ? Selector.make(tags) : tags, options?.severity))

/**
 * Dead only if one of these fields (or relations) of that row changed, or the
 * row appeared or vanished. Without fields: if anything about the row changed.
 *
 * `id` says which row: a function of the key, or `fromValue` of the loaded
 * value, to one id or several. Without it the key itself is the id.
 *
 * Throws `InvalidInput` for fields that the entity lacks.
 *
 * **Example** (Only what is shown matters)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Entity, Policy } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, rating: Schema.Finite })
 * const Films = Entity.make("film", { schema: Film, id: "id" })
 *
 * Policy.conditional(Films, { fields: ["title"] }).toString() // => "conditional(film, [title])"
 *
 * // Of those films that a page shows.
 * const shown = (films: ReadonlyArray<typeof Film.Type>) => films.map(({ id }) => id)
 * Policy.conditional(Films, { id: { fromValue: shown }, fields: ["title"] }).toString()
 * // => "conditional(film, [title], <value>)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const conditional: {
  <Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, V>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    options?: {
      readonly fields?: ReadonlyArray<NoInfer<F | L>> | undefined
      readonly id?: undefined
      readonly severity?: Verdict.Severity
    }
  ): Policy<Id, V>
  <K, V, Row, Id extends Dependency.Id, F extends string, P extends string, L extends string>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    options: {
      readonly fields?: ReadonlyArray<NoInfer<F | L>> | undefined
      readonly id: Selector.Given<K, V, NoInfer<Id> | ReadonlyArray<NoInfer<Id>>>
      readonly severity?: Verdict.Severity
    }
  ): Policy<K, V>
} = <K, V>(entity: Leaves.Declared, { fields, id, severity }: {
  readonly fields?: ReadonlyArray<string> | undefined
  readonly id?: Selector.Given<K, V, Dependency.Id | ReadonlyArray<Dependency.Id>> | undefined
  readonly severity?: Verdict.Severity
} = {}): Policy<K, V> => {
  Leaves.mustHave("Policy.conditional", entity, "field or relation", [...entity.fields, ...entity.relations], fields)
  return typed(Leaves.conditional(entity.name, fields, { _tag: "Row", ids: id && Selector.make(id) }, severity))
}

/**
 * Dead only if a partition of the entity gained or lost a row, or one of these
 * fields changed within it: "the titles of the films of a genre". Without
 * fields: by membership or any field.
 *
 * `equals` says which partition: a function of the key, or `fromValue` of
 * the loaded value, to one value of the partition's field or several. Without it
 * the key itself is that value.
 *
 * Throws `InvalidInput` for a partition or fields that the entity lacks.
 *
 * **Example** (A page of a genre)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Entity, Policy } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String })
 * const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
 *
 * Policy.conditionalIn(Films, "genre", { equals: (key: { readonly genre: string }) => key.genre, fields: ["title"] })
 *   .toString() // => "conditionalIn(film, genre, [title], <key>)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const conditionalIn: {
  <Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, const N extends P, V>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    partition: N,
    options?: {
      readonly fields?: ReadonlyArray<NoInfer<F>> | undefined
      readonly equals?: undefined
      readonly severity?: Verdict.Severity
    }
  ): Policy<PartitionValue<Row, N>, V>
  <K, V, Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, const N extends P>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    partition: N,
    options: {
      readonly fields?: ReadonlyArray<NoInfer<F>> | undefined
      readonly equals: Selector.Given<
        K,
        V,
        NoInfer<PartitionValue<Row, N>> | ReadonlyArray<NoInfer<PartitionValue<Row, N>>>
      >
      readonly severity?: Verdict.Severity
    }
  ): Policy<K, V>
} = <K, V>(entity: Leaves.Declared, partition: string, { equals, fields, severity }: {
  readonly fields?: ReadonlyArray<string> | undefined
  readonly equals?: Selector.Given<K, V, Dependency.Id | ReadonlyArray<Dependency.Id>> | undefined
  readonly severity?: Verdict.Severity
} = {}): Policy<K, V> => {
  Leaves.mustHave("Policy.conditionalIn", entity, "partition", entity.partitions, [partition])
  Leaves.mustHave("Policy.conditionalIn", entity, "field", entity.fields, fields)
  const scope = { _tag: "Partition", partition, values: equals && Selector.make(equals) } as const
  return typed(Leaves.conditional(entity.name, fields ?? entity.fields, scope, severity))
}

/** The values that a partition can have: of the field, or of its elements. */
type PartitionValue<Row, N extends string> = N extends keyof Row
  ? Row[N] extends ReadonlyArray<infer A> ? Extract<A, Dependency.Id> : Extract<Row[N], Dependency.Id>
  : never

/**
 * Dead only if the entity gained or lost a row, or one of these fields (or
 * relations) changed in any row. Without fields: by membership or any field.
 *
 * Throws `InvalidInput` for fields that the entity lacks.
 *
 * @category constructors
 * @since 0.1.0
 */
export const conditionalAll = <
  Row,
  Id extends Dependency.Id,
  F extends string,
  P extends string,
  L extends string,
  K,
  V
>(
  entity: Entity.Entity<Row, Id, F, P, L>,
  options: {
    readonly fields?: ReadonlyArray<NoInfer<F | L>> | undefined
    readonly severity?: Verdict.Severity
  } = {}
): Policy<K, V> => {
  const all = [...entity.fields, ...entity.relations]
  Leaves.mustHave("Policy.conditionalAll", entity, "field or relation", all, options.fields)
  return typed(Leaves.conditional(entity.name, options.fields ?? all, { _tag: "Type" }, options.severity))
}

/**
 * Refresh early, at random, the more likely the nearer the end of freshness and
 * the longer the load takes: when `age - delta * beta * ln(u) >= f`, with `u`
 * uniform in (0, 1], `delta` how long the load took and `f` the age at which
 * the whole policy stops being fresh.
 *
 * At `beta` 1 an expiry costs `e` loads on average without a lease; with one,
 * as here, close to one load, and no caller waits. Throws `InvalidInput` unless
 * `beta` is a positive finite number.
 *
 * Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache
 * Stampede Prevention", PVLDB 8(8), 2015.
 *
 * @category constructors
 * @since 0.1.0
 */
export const xfetch = <K, V>(options?: { readonly beta?: number }): Policy<K, V> => typed(Leaves.xfetch(options?.beta))

// -----------------------------------------------------------------------------
// composing
// -----------------------------------------------------------------------------

/**
 * The worse of two verdicts: an entry must satisfy both.
 *
 * Two different constants for one version give `never`, and `toString` says
 * so. Throws `InvalidInput` when the result needs more than eight alternatives.
 *
 * @category combining
 * @since 0.1.0
 */
export const and: {
  <K2, V2, E2, R2>(
    that: Policy<K2, V2, E2, R2>
  ): <K, V, E, R>(self: Policy<K, V, E, R>) => Policy<K & K2, V & V2, E | E2, R | R2>
  // First those of one key and value: so a tag function's parameters infer from the definition.
  <K, V, E, R, E2, R2>(self: Policy<K, V, E, R>, that: Policy<K, V, E2, R2>): Policy<K, V, E | E2, R | R2>
  <K, V, E, R, K2, V2, E2, R2>(
    self: Policy<K, V, E, R>,
    that: Policy<K2, V2, E2, R2>
  ): Policy<K & K2, V & V2, E | E2, R | R2>
} = dual(2, (self: Any, that: Any): Any => typed(Compose.and(Tree.of(self), Tree.of(that))))

/**
 * The better of two verdicts: an entry must satisfy either.
 *
 * Throws `InvalidInput` when the result needs more than eight alternatives.
 *
 * @category combining
 * @since 0.1.0
 */
export const or: {
  <K2, V2, E2, R2>(
    that: Policy<K2, V2, E2, R2>
  ): <K, V, E, R>(self: Policy<K, V, E, R>) => Policy<K & K2, V & V2, E | E2, R | R2>
  <K, V, E, R, E2, R2>(self: Policy<K, V, E, R>, that: Policy<K, V, E2, R2>): Policy<K, V, E | E2, R | R2>
  <K, V, E, R, K2, V2, E2, R2>(
    self: Policy<K, V, E, R>,
    that: Policy<K2, V2, E2, R2>
  ): Policy<K & K2, V & V2, E | E2, R | R2>
} = dual(2, (self: Any, that: Any): Any => typed(Compose.or(Tree.of(self), Tree.of(that))))

/**
 * A list of policies of one key and value, each with its own errors and
 * requirements. Spelled out up to ten: so the key and value of a tag function
 * infer from the definition that the policy is given to. More can be nested.
 */
interface Variadic {
  <
    K,
    V,
    E1 = never,
    R1 = never,
    E2 = never,
    R2 = never,
    E3 = never,
    R3 = never,
    E4 = never,
    R4 = never,
    E5 = never,
    R5 = never,
    E6 = never,
    R6 = never,
    E7 = never,
    R7 = never,
    E8 = never,
    R8 = never,
    E9 = never,
    R9 = never,
    E10 = never,
    R10 = never
  >(
    p1?: Policy<K, V, E1, R1>,
    p2?: Policy<K, V, E2, R2>,
    p3?: Policy<K, V, E3, R3>,
    p4?: Policy<K, V, E4, R4>,
    p5?: Policy<K, V, E5, R5>,
    p6?: Policy<K, V, E6, R6>,
    p7?: Policy<K, V, E7, R7>,
    p8?: Policy<K, V, E8, R8>,
    p9?: Policy<K, V, E9, R9>,
    p10?: Policy<K, V, E10, R10>
  ): Policy<
    K,
    V,
    E1 | E2 | E3 | E4 | E5 | E6 | E7 | E8 | E9 | E10,
    R1 | R2 | R3 | R4 | R5 | R6 | R7 | R8 | R9 | R10
  >
}

/**
 * The meet of up to ten policies; `forever` for none.
 *
 * @category combining
 * @since 0.1.0
 */
export const all: Variadic = Compose.fold(Compose.and, Leaves.forever) as never

/**
 * The join of up to ten policies; `never` for none.
 *
 * @category combining
 * @since 0.1.0
 */
export const any: Variadic = Compose.fold(Compose.or, Leaves.never()) as never

/**
 * The same policy for other keys: a contravariant functor that distributes over
 * `and` and `or`.
 *
 * @category mapping
 * @since 0.1.0
 */
export const contramapKey: {
  <K2, K>(f: (key: K2) => K): <V, E, R>(self: Policy<K, V, E, R>) => Policy<K2, V, E, R>
  <K, V, E, R, K2>(self: Policy<K, V, E, R>, f: (key: K2) => K): Policy<K2, V, E, R>
} = dual(2, (self: Any, f: (key: never) => unknown): Any => typed(Compose.contramapKey(Tree.of(self), f)))

/**
 * The same policy for other values.
 *
 * @category mapping
 * @since 0.1.0
 */
export const contramapValue: {
  <V2, V>(f: (value: V2) => V): <K, E, R>(self: Policy<K, V, E, R>) => Policy<K, V2, E, R>
  <K, V, E, R, V2>(self: Policy<K, V, E, R>, f: (value: V2) => V): Policy<K, V2, E, R>
} = dual(2, (self: Any, f: (value: never) => unknown): Any => typed(Compose.contramapValue(Tree.of(self), f)))

// -----------------------------------------------------------------------------
// judging
// -----------------------------------------------------------------------------

/** An entry, and what a read of it sees. */
interface Read<K, V> {
  readonly key: K
  readonly value: V
  readonly stamp: Stamp
  readonly now: number
  readonly draw?: () => number
  readonly changed?: ReadonlyMap<Dependency.Dependency, Verdict.Mode> | undefined
  readonly versions?: Readonly<Record<string, Version>>
}

/**
 * The verdict on an entry, without a store.
 *
 * - `stamp`: what was recorded when the entry was stored.
 * - `now`: milliseconds of the store's clock.
 * - `draw`: gives a number in (0, 1], for `xfetch`; asked at most once. Unless it
 *   is given, nothing is refreshed early.
 * - `changed`: which dependencies were invalidated since.
 * - `versions`: what the versions that are functions are now, under the names
 *   that the stamp has for them.
 *
 * May throw what a user's function throws.
 *
 * **Example** (An hour later)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * const stamp = {
 *   storedAt: 0,
 *   beganAt: 0,
 *   duration: 0,
 *   jitter: 0,
 *   versions: {},
 *   dependencies: [],
 *   shape: "",
 *   failure: false
 * }
 * const policy = Policy.ttl("1 hour", { staleFor: "1 minute" })
 * Policy.judge(policy, { key: "a", value: 1, stamp, now: 3_600_000 }) // => "Stale"
 * ```
 *
 * @category judging
 * @since 0.1.0
 */
export const judge: {
  <K, V>(read: Read<K, V>): <E, R>(self: Policy<K, V, E, R>) => Verdict.Verdict
  <K, V, E, R>(self: Policy<K, V, E, R>, read: Read<K, V>): Verdict.Verdict
} = dual(
  2,
  (self: Any, { changed, draw = () => 1, key, now, stamp, value, versions = {} }: Read<unknown, unknown>) =>
    Plan.judge(Plan.arm(Tree.of(self).plan, key, value, stamp), now, draw, changed, versions)
)

// -----------------------------------------------------------------------------
// encoding
// -----------------------------------------------------------------------------

/**
 * Policies as text: what `toString` prints, and reads back.
 *
 * Encoding a policy that holds functions fails: no text could stand for it.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Equal, Schema } from "effect"
 * import { Policy } from "effect-cache-algebra"
 *
 * const policy = Policy.or(Policy.ttl("1 minute"), Policy.versioned("2024-06"))
 * const text = Schema.encodeSync(Policy.FromString)(policy) // => 'ttl(1m) or versioned("2024-06")'
 * Equal.equals(policy, Schema.decodeSync(Policy.FromString)(text)) // => true
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Policy<unknown, unknown>, string> = Schema.String.pipe(
  Schema.decodeTo(
    Schema.declare((u: unknown): u is Policy<unknown, unknown> => Tree.isTree(u)),
    SchemaTransformation.transformEffect({
      decode: (text: string) =>
        Effect.mapBoth(Effect.fromResult(parse(text)), {
          onSuccess: (tree) => typed<unknown, unknown>(tree),
          onFailure: (error) => issue(error.message)
        }),
      encode: (policy: Policy<unknown, unknown>) => {
        const text = policy.toString()
        return Result.isFailure(parse(text))
          ? Effect.fail(issue("the policy holds a function"))
          : Effect.succeed(text)
      }
    })
  )
)

const issue = (message: string): SchemaIssue.Issue => new SchemaIssue.InvalidValue({ message })
