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
 * - A tag function with exactly one parameter sees the key only, and its tags
 *   are known before the load. Any other sees key and value, and its tags are
 *   found after the load.
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
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Dependency from "./Dependency.ts"
import type * as Entity from "./Entity.ts"
import * as Crons from "./internal/cron.ts"
import { millis } from "./internal/duration.ts"
import { fingerprint } from "./internal/fingerprint.ts"
import * as Text from "./internal/policyText.ts"
import * as InvalidInput from "./InvalidInput.ts"
import * as Plan from "./Plan.ts"
import type * as Verdict from "./Verdict.ts"

/**
 * Runtime type identifier of policies.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-cache-algebra/Policy"

/**
 * Type-level identifier of policies.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-cache-algebra/Policy"

/**
 * A policy for keys of type `Key` and values of type `Value`. Judging it may
 * fail with `Error` and need `Requirements`: those of its version effects.
 *
 * - `node`: the case and its parameters, for matching; see `match`.
 * - `plan`: the normal form. Two policies are `Equal` when their plans are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<in Key, in Value, out Error = never, out Requirements = never>
  extends Pipeable.Pipeable, Equal.Equal
{
  readonly [TypeId]: {
    readonly _Key: (_: Key) => void
    readonly _Value: (_: Value) => void
    readonly _Error: () => Error
    readonly _Requirements: () => Requirements
  }
  readonly node: Node
  readonly plan: Plan.Plan
  toString(): string
}

/**
 * Any policy, whatever it is for.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = Policy<never, never, unknown, unknown>

/**
 * What a `Conditional` looks at: one row (or several), the rows of a partition,
 * or all rows of the entity. `ids` and `values` are undefined where the key
 * itself says it.
 *
 * @category models
 * @since 0.1.0
 */
export type Scope =
  | { readonly _tag: "Row"; readonly ids: Selector | undefined }
  | { readonly _tag: "Partition"; readonly partition: string; readonly values: Selector | undefined }
  | { readonly _tag: "Type" }

/**
 * A function from key and value to ids.
 *
 * @category models
 * @since 0.1.0
 */
export type Selector = (key: never, value: never) => Dependency.Id | ReadonlyArray<Dependency.Id>

/**
 * The cases of a policy. Durations are milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Node =
  | { readonly _tag: "Forever" }
  | { readonly _tag: "Never"; readonly because: string | undefined }
  | {
    readonly _tag: "Ttl"
    readonly fresh: number
    readonly stale: number
    readonly onError: number
    readonly jitter: number
  }
  | {
    readonly _tag: "Until"
    readonly cron: Cron.Cron
    readonly spread: number
    readonly severity: Verdict.Severity
  }
  | {
    readonly _tag: "Versioned"
    readonly name: string
    readonly current: Plan.Version | Plan.Current
    readonly atLeast: boolean
  }
  | {
    readonly _tag: "Tagged"
    readonly tags: ReadonlyArray<string> | ((key: never, value: never) => ReadonlyArray<string>)
    readonly severity: Verdict.Severity
  }
  | {
    readonly _tag: "Conditional"
    readonly entity: string
    readonly fields: ReadonlyArray<string> | undefined
    readonly scope: Scope
    readonly severity: Verdict.Severity
  }
  | { readonly _tag: "XFetch"; readonly beta: number }
  | { readonly _tag: "And"; readonly left: Any; readonly right: Any }
  | { readonly _tag: "Or"; readonly left: Any; readonly right: Any }

const variance = {
  _Key: (_: never) => {},
  _Value: (_: never) => {},
  _Error: (): never => undefined as never,
  _Requirements: (): never => undefined as never
}

const Proto = {
  ...Pipeable.Prototype,
  [TypeId]: variance,
  [Equal.symbol](this: Any, that: unknown): boolean {
    return isPolicy(that) && Plan.equals(this.plan, that.plan)
  },
  [Hash.symbol](this: Any): number {
    // Coarse on purpose: all that one normal form's spellings surely share.
    return Hash.number(this.plan.alternatives.length)
  },
  toString(this: Any): string {
    return Text.print(this.node)
  },
  toJSON(this: Any): unknown {
    return { _id: "Policy", policy: this.toString() }
  },
  [Symbol.for("nodejs.util.inspect.custom")](this: Any): string {
    return this.toString()
  }
}

const make = <K, V, E = never, R = never>(node: Node, plan: Plan.Plan): Policy<K, V, E, R> =>
  Object.assign(Object.create(Proto), { node, plan })

/**
 * Tells whether a value is a `Policy`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPolicy = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

// -----------------------------------------------------------------------------
// leaves
// -----------------------------------------------------------------------------

/**
 * Always fresh; the unit of `and`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const forever: Policy<unknown, unknown> = make({ _tag: "Forever" }, Plan.forever)

/**
 * Always dead; the unit of `or`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const never: Policy<unknown, unknown> = make({ _tag: "Never", because: undefined }, Plan.never)

/**
 * Options of `ttl`.
 *
 * `stale` and `onError` are ages, counted from storing like the lifetime
 * itself; `staleFor` counts from the end of freshness and `onErrorFor` from the
 * end of staleness. `jitter`, from 0 up to but not including 1, is the largest
 * part by which all three are shortened: one draw per entry, when it is stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface TtlOptions {
  readonly stale?: Duration.Input
  readonly staleFor?: Duration.Input
  readonly onError?: Duration.Input
  readonly onErrorFor?: Duration.Input
  readonly jitter?: number
}

/**
 * Fresh until the age `lifetime`, Stale until `stale`, OnError until `onError`,
 * then Dead.
 *
 * Jitter shortens and never lengthens, so the ages given are upper bounds.
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
export const ttl = <K, V>(lifetime: Duration.Input, options: TtlOptions = {}): Policy<K, V> => {
  const fresh = millis("Policy.ttl", "the lifetime", lifetime)
  const after = (
    start: number,
    age: Duration.Input | undefined,
    grace: Duration.Input | undefined,
    name: string
  ): number => {
    if (age !== undefined && grace !== undefined) {
      throw InvalidInput.make("Policy.ttl", "UnorderedDurations", `give ${name} or ${name}For, not both`)
    }
    if (age !== undefined) return millis("Policy.ttl", name, age)
    return grace === undefined ? start : start + millis("Policy.ttl", `${name}For`, grace)
  }
  const stale = after(fresh, options.stale, options.staleFor, "stale")
  const onError = after(stale, options.onError, options.onErrorFor, "onError")
  if (!(fresh <= stale && stale <= onError)) {
    throw InvalidInput.make(
      "Policy.ttl",
      "UnorderedDurations",
      `the ages must be in order: fresh ${Text.duration(fresh)}, stale ${Text.duration(stale)}, onError ${
        Text.duration(onError)
      }`
    )
  }
  const jitter = options.jitter ?? 0
  if (!(jitter >= 0 && jitter < 1)) {
    throw InvalidInput.make(
      "Policy.ttl",
      "InvalidNumber",
      `jitter must be from 0 up to but not including 1, and is ${jitter}`
    )
  }
  const bound = (base: number) => base === Infinity ? [] : [{ base, jitter }]
  return make(
    { _tag: "Ttl", fresh, stale, onError, jitter },
    Plan.of({ fresh: bound(fresh), stale: bound(stale), onError: bound(onError) })
  )
}

/**
 * Fresh until the first tick of a cron expression after the load began; then
 * as bad as `severity` says (`Dead` unless given). "Every hour", "at midnight
 * in Rome", with no worker to run. A load that a tick interrupts has read what
 * was true before it: its result is served to those who wait for it when it
 * ends, also if they came after the tick, and to nobody later.
 *
 * The expression is text or a `Cron`. If it has no time zone, it ticks in
 * `timeZone`, which is UTC unless given: processes in different zones must agree
 * on what they share.
 *
 * Everything that is stored under one expression ends at once. `spread` lets
 * entries end one after the other: each outlives the tick by a part of it, by
 * the one draw that is made when it is stored. So something may be served that
 * is old by up to `spread`. With a severity of `Stale` nobody waits, either.
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
  options: {
    readonly timeZone?: string
    readonly spread?: Duration.Input
    readonly severity?: Verdict.Severity
  } = {}
): Policy<K, V> => {
  const parsed = Crons.parse("Policy.until", cron, options.timeZone)
  const severity = options.severity ?? "Dead"
  const spread = millis("Policy.until", "the spread", options.spread ?? 0)
  if (spread === Infinity) throw InvalidInput.make("Policy.until", "InvalidNumber", "the spread must be finite")
  const tick = { cron: parsed, spread, severity }
  return make({ _tag: "Until", ...tick }, Plan.of({ ticks: [tick] }))
}

/**
 * Dead unless the entry was loaded under the version that is current.
 *
 * The version is a constant, a function of the key, or an effect of the key: a
 * row's version column, a setting. What is recorded is the version observed
 * **before** the load began, so a version that changes during a load makes the
 * loaded entry dead. With `atLeast` an entry is good while its version is not
 * below the current one ("not older than `updated_at`").
 *
 * `name` tells constants apart: two different constants under one name can
 * never both hold, so their conjunction is `never`. Give each function a name of
 * its own: what is recorded of several under one name is told apart by their
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
  current:
    | Plan.Version
    | ((key: K) => Plan.Version | Date | Effect.Effect<Plan.Version | Date, E, R>),
  options: { readonly name?: string; readonly atLeast?: boolean } = {}
): Policy<K, V, E, R> => {
  const name = options.name ?? "version"
  if (name.length === 0 || !/^[\w.-]+$/.test(name)) {
    throw InvalidInput.make(
      "Policy.versioned",
      "EmptyName",
      `a version's name is made of letters, digits, "_", "." and "-"`
    )
  }
  const version = {
    name,
    current: typeof current === "function"
      ? current as Plan.Current
      : Plan.toVersion("Policy.versioned", name, current),
    atLeast: options.atLeast ?? false
  }
  return make({ _tag: "Versioned", ...version }, Plan.of({ versions: [version] }))
}

/**
 * A version made of a schema's own shape: it changes when what is written of a
 * value changes, and is the same in every process. `constant` is for what the
 * shape does not tell: that a price is now in cents.
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
export const versionOf = (schema: Schema.Top, constant?: Plan.Version): string => {
  let shape: string
  try {
    shape = fingerprint(schema)
  } catch (cause) {
    throw InvalidInput.make("Policy.versionOf", "NotEncodable", `the schema has no JSON: ${String(cause)}`)
  }
  return constant === undefined ? shape : `${Plan.toVersion("Policy.versionOf", "constant", constant)}:${shape}`
}

const fromKeyAlone = (f: (...args: Array<never>) => unknown): boolean => f.length === 1

/** A function of the key alone never sees the value, whoever calls it. */
const asDeclared = <A>(f: (key: never, value: never) => A): (key: never, value: never) => A =>
  fromKeyAlone(f) ? (key) => f(key, undefined as never) : f

/**
 * Depends on tags: constants, a function of the key, or a function of key and
 * value. An invalidation of any of them makes the entry as bad as `severity`
 * says (`Dead` unless given).
 *
 * A function with exactly one parameter is given the key only; its tags are
 * known before the load. Any other is given key and value; its tags are found
 * after the load, and what was invalidated during the load is not stored.
 *
 * What a function of the value looks at must itself be covered by the policy:
 * if the tag is the film's genre, a change of the genre has to end the entry
 * too (`conditional(Films, [..., "genre"])`), or it keeps the old tag.
 *
 * Throws `InvalidInput` for an empty tag: at once for constants, from the read
 * that met it for functions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tagged = <K, V>(
  tags: string | ReadonlyArray<string> | ((key: K, value: V) => ReadonlyArray<string>),
  options: { readonly severity?: Verdict.Severity } = {}
): Policy<K, V> => {
  const severity = options.severity ?? "Dead"
  if (typeof tags === "function") {
    const tagsOf = asDeclared(tags)
    const names = (key: never, value: never) => tagsOf(key, value).map((tag) => Dependency.tag(tag))
    return make(
      { _tag: "Tagged", tags: tags as never, severity },
      Plan.of({
        sources: [{ from: fromKeyAlone(tags) ? "key" : "value", names: shared(names, tags, "tagged"), severity }]
      })
    )
  }
  const list = typeof tags === "string" ? [tags] : [...new Set(tags)]
  return make(
    { _tag: "Tagged", tags: list, severity },
    Plan.of({ constants: new Map(list.map((tag) => [Dependency.tag(tag), severity])) })
  )
}

type Names = (key: never, value: never) => ReadonlyArray<Dependency.Dependency>

const wrapped = new WeakMap<object, Map<string, Names>>()

// Two policies with one user function are one in normal form, so what wraps the function must be one too.
const shared = (names: Names, by: object, purpose: string): Names => {
  let purposes = wrapped.get(by)
  if (purposes === undefined) wrapped.set(by, purposes = new Map())
  const known = purposes.get(purpose)
  if (known !== undefined) return known
  purposes.set(purpose, names)
  return names
}

const listOf = (ids: Dependency.Id | ReadonlyArray<Dependency.Id>): ReadonlyArray<Dependency.Id> =>
  Array.isArray(ids) ? ids as ReadonlyArray<Dependency.Id> : [ids as Dependency.Id]

const rowNames = (entity: string, fields: ReadonlyArray<string> | undefined, id: Dependency.Id) => [
  Dependency.exists(entity, id),
  ...(fields === undefined ? [Dependency.row(entity, id)] : fields.map((f) => Dependency.rowField(entity, id, f)))
]

const byTheKey: Selector = (key: Dependency.Id) => key

// Stands for all policies that take the id from the key, so that equal ones share their functions.
const keyItself: { readonly select: Selector } = { select: byTheKey }

const conditionalNode = <K, V>(
  entity: string,
  given: ReadonlyArray<string> | undefined,
  scope: Scope,
  severity: Verdict.Severity
): Policy<K, V> => {
  const fields = given === undefined ? undefined : [...new Set(given)]
  const node: Node = { _tag: "Conditional", entity, fields, scope, severity }
  if (scope._tag === "Type") {
    const names = [Dependency.typeMembers(entity), ...(fields ?? []).map((f) => Dependency.typeField(entity, f))]
    return make(node, Plan.of({ constants: new Map(names.map((name) => [name, severity])) }))
  }
  const select = scope._tag === "Row" ? scope.ids : scope.values
  const namesOf = (id: Dependency.Id) =>
    scope._tag === "Row" ? rowNames(entity, fields, id) : [
      Dependency.partitionMembers(entity, scope.partition, id),
      ...(fields ?? []).map((f) => Dependency.partitionField(entity, scope.partition, id, f))
    ]
  const of = asDeclared(select ?? byTheKey)
  const names: Names = (key, value) => listOf(of(key, value)).flatMap(namesOf)
  const purpose = JSON.stringify([
    entity,
    fields && [...fields].sort(),
    scope._tag,
    scope._tag === "Partition" && scope.partition
  ])
  return make(
    node,
    Plan.of({
      sources: [{
        from: select === undefined || fromKeyAlone(select) ? "key" : "value",
        names: shared(names, select ?? keyItself, purpose),
        severity
      }]
    })
  )
}

// What an entity does not have is never said to have changed, so a policy that named it would trust its entries forever.
const mustHave = (
  where: string,
  entity: string,
  what: string,
  has: ReadonlyArray<string>,
  named: ReadonlyArray<string> = []
): void => {
  const unknown = named.find((name) => !has.includes(name))
  if (unknown !== undefined) {
    throw InvalidInput.make(where, "UnknownField", `"${entity}" has no ${what} "${unknown}"`)
  }
}

/** An entity as far as a policy is concerned. */
interface Declared {
  readonly name: string
  readonly fields: ReadonlyArray<string>
  readonly partitions: ReadonlyArray<string>
  readonly relations: ReadonlyArray<string>
}

/**
 * Dead only if one of these fields (or relations) of that row changed, or the
 * row appeared or vanished. Without fields: if anything about the row changed.
 *
 * Which row is said by `id`: a function of the key (one parameter) or of key
 * and value, to one id or several. Without it the key itself is the id.
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
 * Policy.conditional(Films, ["title"]).toString() // => "conditional(film, [title])"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const conditional: {
  <Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, V>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    fields?: ReadonlyArray<NoInfer<F | L>>,
    id?: undefined,
    options?: { readonly severity?: Verdict.Severity }
  ): Policy<Id, V>
  <K, V, Row, Id extends Dependency.Id, F extends string, P extends string, L extends string>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    fields: ReadonlyArray<NoInfer<F | L>> | undefined,
    id: (key: K, value: V) => NoInfer<Id> | ReadonlyArray<NoInfer<Id>>,
    options?: { readonly severity?: Verdict.Severity }
  ): Policy<K, V>
} = <K, V>(
  entity: Declared,
  fields?: ReadonlyArray<string>,
  id?: (key: K, value: V) => Dependency.Id | ReadonlyArray<Dependency.Id>,
  options: { readonly severity?: Verdict.Severity } = {}
): Policy<K, V> => {
  mustHave("Policy.conditional", entity.name, "field or relation", [...entity.fields, ...entity.relations], fields)
  return conditionalNode(
    entity.name,
    fields,
    { _tag: "Row", ids: id as Selector | undefined },
    options.severity ?? "Dead"
  )
}

/**
 * Dead only if a partition of the entity gained or lost a row, or one of these
 * fields changed within it: "the titles of the films of a genre". Without
 * fields: by membership or any field.
 *
 * Which partition is said by `value`, as in `conditional`; without it the key
 * itself is the partition's value.
 *
 * Throws `InvalidInput` for a partition or fields that the entity lacks.
 *
 * @category constructors
 * @since 0.1.0
 */
export const conditionalIn: {
  <Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, const N extends P, V>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    partition: N,
    fields?: ReadonlyArray<NoInfer<F>>,
    value?: undefined,
    options?: { readonly severity?: Verdict.Severity }
  ): Policy<PartitionValue<Row, N>, V>
  <K, V, Row, Id extends Dependency.Id, F extends string, P extends string, L extends string, const N extends P>(
    entity: Entity.Entity<Row, Id, F, P, L>,
    partition: N,
    fields: ReadonlyArray<NoInfer<F>> | undefined,
    value: (
      key: K,
      value: V
    ) => NoInfer<PartitionValue<Row, N>> | ReadonlyArray<NoInfer<PartitionValue<Row, N>>>,
    options?: { readonly severity?: Verdict.Severity }
  ): Policy<K, V>
} = <K, V>(
  entity: Declared,
  partition: string,
  fields?: ReadonlyArray<string>,
  value?: (key: K, value: V) => Dependency.Id | ReadonlyArray<Dependency.Id>,
  options: { readonly severity?: Verdict.Severity } = {}
): Policy<K, V> => {
  mustHave("Policy.conditionalIn", entity.name, "partition", entity.partitions, [partition])
  mustHave("Policy.conditionalIn", entity.name, "field", entity.fields, fields)
  return conditionalNode(
    entity.name,
    fields ?? entity.fields,
    { _tag: "Partition", partition, values: value as Selector | undefined },
    options.severity ?? "Dead"
  )
}

/**
 * The values that a partition can have: of the field, or of its elements.
 *
 * @category utility types
 * @since 0.1.0
 */
export type PartitionValue<Row, N extends string> = N extends keyof Row
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
  fields?: ReadonlyArray<NoInfer<F | L>>,
  options: { readonly severity?: Verdict.Severity } = {}
): Policy<K, V> => {
  const all = [...entity.fields, ...entity.relations]
  mustHave("Policy.conditionalAll", entity.name, "field or relation", all, fields)
  return conditionalNode(entity.name, fields ?? all, { _tag: "Type" }, options.severity ?? "Dead")
}

/**
 * Refresh early, at random, the more likely the nearer the end of freshness and
 * the longer the load takes: when `age - delta * beta * ln(u) >= f`, with `u`
 * uniform in (0, 1], `delta` how long the load took and `f` the age at which
 * the whole policy stops being fresh.
 *
 * At `beta` 1 an expiry costs `e` loads on average without a lease; with one,
 * as here, close to one load and nobody waits. Throws `InvalidInput` unless
 * `beta` is a positive finite number.
 *
 * Source: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache
 * Stampede Prevention", PVLDB 8(8), 2015.
 *
 * @category constructors
 * @since 0.1.0
 */
export const xfetch = <K, V>(options: { readonly beta?: number } = {}): Policy<K, V> => {
  const beta = options.beta ?? 1
  if (!(beta > 0 && beta < Infinity)) {
    throw InvalidInput.make("Policy.xfetch", "InvalidNumber", `beta must be a positive number, and is ${beta}`)
  }
  return make({ _tag: "XFetch", beta }, Plan.of({ beta }))
}

// -----------------------------------------------------------------------------
// composing
// -----------------------------------------------------------------------------

interface Constant {
  readonly node: Extract<Node, { readonly _tag: "Versioned" }>
  readonly plan: Plan.Plan
}

const constantsOf = ({ node, plan }: Any): ReadonlyArray<Constant> => {
  switch (node._tag) {
    case "And":
    case "Or":
      return [...constantsOf(node.left), ...constantsOf(node.right)]
    case "Versioned":
      return typeof node.current === "function" ? [] : [{ node, plan }]
    default:
      return []
  }
}

const conflict = (left: Any, right: Any): string | undefined => {
  const wanted = ({ node }: Constant) => `${node.atLeast ? ">= " : ""}${JSON.stringify(node.current)}`
  for (const a of constantsOf(left)) {
    const b = constantsOf(right).find((other) => Plan.and(a.plan, other.plan).alternatives.length === 0)
    if (b !== undefined) return `${a.node.name} cannot be both ${wanted(a)} and ${wanted(b)}`
  }
}

const isNever = (policy: Any): boolean => policy.plan.alternatives.length === 0

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
} = dual(2, (left: Any, right: Any): Any => {
  const plan = Plan.and(left.plan, right.plan)
  return plan.alternatives.length === 0 && !isNever(left) && !isNever(right)
    ? make({ _tag: "Never", because: conflict(left, right) }, plan)
    : make({ _tag: "And", left, right }, plan)
})

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
} = dual(2, (left: Any, right: Any): Any => make({ _tag: "Or", left, right }, Plan.or(left.plan, right.plan)))

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

const reduce = (combine: (a: Any, b: Any) => Any, unit: Any) => (...policies: ReadonlyArray<Any | undefined>): Any => {
  const given = policies.filter((policy) => policy !== undefined)
  return given.length === 0 ? unit : given.reduce(combine)
}

/**
 * The meet of up to ten policies; `forever` for none.
 *
 * @category combining
 * @since 0.1.0
 */
export const all: Variadic = reduce((a, b) => and(a, b), forever) as never

/**
 * The join of up to ten policies; `never` for none.
 *
 * @category combining
 * @since 0.1.0
 */
export const any: Variadic = reduce((a, b) => or(a, b), never) as never

type Fn = (key: never, value: never) => unknown

/** How a policy's functions are to be given other inputs. */
interface Inputs {
  readonly onKey: (key: never) => unknown
  readonly onValue: (value: never) => unknown
  /** What has been mapped already: one composition of a pair of functions is one function, or a policy would not equal itself when made twice. */
  readonly done: { readonly key: WeakMap<object, Fn>; readonly both: WeakMap<object, Fn> }
}

const mappings = { key: new WeakMap<object, Inputs>(), value: new WeakMap<object, Inputs>() }

const inputsBy = (side: "key" | "value", f: (input: never) => unknown): Inputs => {
  const same = (input: never): unknown => input
  let inputs = mappings[side].get(f)
  if (inputs === undefined) {
    inputs = {
      onKey: side === "key" ? f : same,
      onValue: side === "value" ? f : same,
      done: { key: new WeakMap(), both: new WeakMap() }
    }
    mappings[side].set(f, inputs)
  }
  return inputs
}

const mapFunction = (f: Fn, { done, onKey, onValue }: Inputs, keyAlone = fromKeyAlone(f)): never => {
  const known = keyAlone ? done.key : done.both
  let mapped = known.get(f)
  if (mapped === undefined) {
    // Keeps the number of parameters, which says what the function looks at.
    mapped = keyAlone
      ? (key: never) => f(onKey(key) as never, undefined as never)
      : (key: never, value: never) => f(onKey(key) as never, onValue(value) as never)
    known.set(f, mapped)
  }
  return mapped as never
}

const mapInputs = (policy: Any, inputs: Inputs): Any => {
  const { node } = policy
  switch (node._tag) {
    case "And":
      return and(mapInputs(node.left, inputs), mapInputs(node.right, inputs))
    case "Or":
      return or(mapInputs(node.left, inputs), mapInputs(node.right, inputs))
    case "Versioned":
      // A version never sees the value, whatever its parameters: there is none yet when it is read before a load.
      return typeof node.current === "function" ? versioned(mapFunction(node.current, inputs, true), node) : policy
    case "Tagged":
      return typeof node.tags === "function" ? tagged(mapFunction(node.tags, inputs), node) : policy
    case "Conditional":
      return node.scope._tag === "Type"
        ? policy
        : conditionalNode(node.entity, node.fields, mapScope(node.scope, inputs), node.severity)
    default:
      return policy
  }
}

const mapScope = (scope: Exclude<Scope, { readonly _tag: "Type" }>, inputs: Inputs): Scope =>
  scope._tag === "Row"
    ? { _tag: "Row", ids: mapFunction(scope.ids ?? byTheKey, inputs) }
    : { _tag: "Partition", partition: scope.partition, values: mapFunction(scope.values ?? byTheKey, inputs) }

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
} = dual(2, (self: Any, f: (key: never) => unknown): Any => mapInputs(self, inputsBy("key", f)))

/**
 * The same policy for other values.
 *
 * @category mapping
 * @since 0.1.0
 */
export const contramapValue: {
  <V2, V>(f: (value: V2) => V): <K, E, R>(self: Policy<K, V, E, R>) => Policy<K, V2, E, R>
  <K, V, E, R, V2>(self: Policy<K, V, E, R>, f: (value: V2) => V): Policy<K, V2, E, R>
} = dual(2, (self: Any, f: (value: never) => unknown): Any => mapInputs(self, inputsBy("value", f)))

// -----------------------------------------------------------------------------
// looking into
// -----------------------------------------------------------------------------

/**
 * Eliminates a policy by its case.
 *
 * @category pattern matching
 * @since 0.1.0
 */
export const match: {
  <A>(
    cases: { readonly [T in Node["_tag"]]: (node: Extract<Node, { readonly _tag: T }>) => A }
  ): (self: Any) => A
  <A>(
    self: Any,
    cases: { readonly [T in Node["_tag"]]: (node: Extract<Node, { readonly _tag: T }>) => A }
  ): A
} = dual(
  2,
  <A>(self: Any, cases: Record<Node["_tag"], (node: never) => A>): A => cases[self.node._tag](self.node as never)
)

/**
 * The verdict on an entry, by the plan.
 *
 * May throw what a user's tag function throws.
 *
 * @category judging
 * @since 0.1.0
 */
export const judge = <K, V, E, R>(
  self: Policy<K, V, E, R>,
  entry: { readonly key: K; readonly value: V; readonly stamp: Plan.Stamp },
  observation: Plan.Observation
): Verdict.Verdict =>
  Plan.judge(
    Plan.arm(self.plan, entry.key, entry.value, entry.stamp),
    observation.now,
    observation.draw,
    observation.changed,
    observation.versions
  )

/**
 * Draws the policy as a tree of lines.
 *
 * **Example** (A policy as a tree)
 *
 * ```ts
 * import { Policy } from "effect-cache-algebra"
 *
 * Policy.draw(Policy.all(Policy.ttl("5 minutes"), Policy.tagged("a")))
 * // => "and\n├─ ttl(5m)\n└─ tagged(a)"
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const draw = (self: Any): string => Text.draw(Text.outline(self.node, (node) => Text.print(node)))

/**
 * Reads back what `toString` prints, for policies without functions.
 *
 * Fails with `InvalidInput` (`Unparsable`) for anything else.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Equal, Result } from "effect"
 * import { Policy } from "effect-cache-algebra"
 *
 * const policy = Policy.or(Policy.ttl("1 minute"), Policy.versioned("2024-06"))
 * const back = Result.getOrThrow(Policy.parse(policy.toString()))
 * Equal.equals(policy, back) // => true
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Policy<unknown, unknown>, InvalidInput.InvalidInput> => {
  try {
    return Result.succeed(fromSyntax(Text.parse(text)) as Policy<unknown, unknown>)
  } catch (error) {
    if (InvalidInput.isInvalidInput(error)) return Result.fail(error)
    if (error instanceof RangeError) { // the call stack has an end
      return Result.fail(InvalidInput.make("Policy.parse", "Unparsable", "the policy is nested too deeply"))
    }
    throw error
  }
}

/**
 * A codec between policies and their text. Encoding a policy that holds
 * functions fails: no text could stand for it.
 *
 * @category encoding
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Policy<unknown, unknown>, string> = Schema.String.pipe(
  Schema.decodeTo(
    Schema.declare((u: unknown): u is Policy<unknown, unknown> => isPolicy(u)),
    SchemaTransformation.transformEffect({
      decode: (text: string) => Effect.mapError(Effect.fromResult(parse(text)), (error) => issue(error.message)),
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

const fromSyntax = (syntax: Text.Syntax): Any => {
  switch (syntax._tag) {
    case "Forever":
      return forever
    case "Never":
      return make({ _tag: "Never", because: syntax.because ?? undefined }, Plan.never)
    case "Ttl":
      return ttl(syntax.fresh, { stale: syntax.stale, onError: syntax.onError, jitter: syntax.jitter })
    case "Until": {
      const { and, cron, overlap: onDstOverlap, severity, spread, timeZone } = syntax
      return until(Crons.remake(Crons.fromText("Policy.until", cron), { onDstOverlap, ...(and ? { and } : {}) }), {
        severity,
        spread,
        ...(timeZone === null ? {} : { timeZone })
      })
    }
    case "Versioned":
      return versioned(syntax.current, { name: syntax.name, atLeast: syntax.atLeast })
    case "Tagged":
      return tagged(syntax.tags, { severity: syntax.severity })
    case "Conditional":
      return conditionalNode(
        syntax.entity,
        syntax.fields ?? undefined,
        syntax.scope === "Row"
          ? { _tag: "Row", ids: undefined }
          : syntax.scope === "Type"
          ? { _tag: "Type" }
          : { _tag: "Partition", partition: syntax.partition, values: undefined },
        syntax.severity
      )
    case "XFetch":
      return xfetch({ beta: syntax.beta })
    case "And":
      return and(fromSyntax(syntax.left), fromSyntax(syntax.right))
    case "Or":
      return or(fromSyntax(syntax.left), fromSyntax(syntax.right))
  }
}
