/**
 * Entities: what `conditional` policies depend on and changes happen to.
 *
 * An entity is declared once: its name, the schema of its rows, which field
 * identifies a row, and the fields that lists are selected by (its partitions).
 * Writers say what changed (`Films.updated(before, after)`) and need not know
 * which caches there are; readers say what they show
 * (`Policy.conditional(Films, ["title"])`) and need not know who writes.
 *
 * Fields are compared with the schema's equivalence. `Equal.equals` would not
 * do: it remembers its answer for a pair of objects, so an object that is
 * mutated afterwards still "equals" the other.
 *
 * **Gotchas**
 *
 * - A row that is mutated in place and given as both `before` and `after` does
 *   not differ from itself. Keep a copy of what was there before.
 *
 * @since 0.1.0
 */
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type * as Change from "./Change.ts"
import type * as Dependency from "./Dependency.ts"
import * as Check from "./internal/check.ts"
import { isScalar, showScalar } from "./internal/escape.ts"
import { fieldOf } from "./internal/own.ts"
import { refused } from "./internal/refused.ts"

/**
 * A declared entity.
 *
 * - `created`, `updated`, `deleted`: say what happened to a row. `updated`
 *   throws `InvalidInput` when the two rows have different ids: that is one row
 *   deleted and another created. All throw it when the id or a partition of a row is
 *   neither of the type that the schema says nor decoded by it.
 * - `end`: one end of a relation, for `Change.related`. Throws `InvalidInput`
 *   for what is neither a relation nor a field of the entity: nothing could
 *   depend on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entity<
  in out Row,
  out Id extends Dependency.Id,
  out Field extends string,
  out Partition extends string = never,
  out Relation extends string = never
> {
  readonly "~effect-cache-algebra/Entity": { readonly _Id: () => Id }
  readonly name: string
  readonly fields: ReadonlyArray<Field>
  readonly partitions: ReadonlyArray<Partition>
  readonly relations: ReadonlyArray<Relation>
  readonly created: (row: Row) => Change.Change
  readonly updated: (before: Row, after: Row) => Change.Change
  readonly deleted: (row: Row) => Change.Change
  readonly end: (id: Dependency.Id, relation: string) => Change.End
}

const TypeId = "~effect-cache-algebra/Entity"

const variance = { _Id: (): never => undefined as never }

type Row<S> = S extends { readonly Type: infer T } ? T : never

// The fields of a row that can name a partition: scalars, or arrays of them.
type PartitionOf<T> = Extract<
  { [K in keyof T]: T[K] extends Dependency.Id | ReadonlyArray<Dependency.Id> ? K : never }[keyof T],
  string
>

type IdOf<T> = Extract<{ [K in keyof T]: T[K] extends Dependency.Id ? K : never }[keyof T], string>

/**
 * A field's value, to be compared by its schema's equivalence.
 *
 * Equivalences ask `Equal.equals` about dates, unknown values and instances of
 * classes, and would get its answer of the last time. It remembers only the
 * outermost two that it was asked about, so it is asked about two of these.
 */
class Compared implements Equal.Equal {
  readonly value: unknown
  readonly same: (a: never, b: never) => boolean

  constructor(value: unknown, same: (a: never, b: never) => boolean) {
    this.value = value
    this.same = same
  }

  [Equal.symbol](that: Equal.Equal): boolean {
    try {
      return this.same(this.value as never, (that as Compared).value as never)
    } catch {
      return false // one of them is not what the schema says, and so may be another
    }
  }

  [Hash.symbol](): number {
    return 0
  }
}

/**
 * What names a row is what its schema says, and nothing that only looks like it: a
 * driver may give `"7"` where the schema says `7`, and no reader depends on that
 * row. What the schema can decode is decoded, and all else is refused.
 */
const checked = (entity: string, field: string, schema: Schema.Top): (value: unknown) => unknown => {
  const is = Schema.is(schema)
  const decode = Schema.decodeUnknownExit(schema as Schema.Codec<unknown, unknown>)
  const mayBeAbsent = SchemaAST.isOptional(schema.ast)
  return (value) => {
    if ((value === undefined && mayBeAbsent) || is(value)) return value
    const decoded = decode(value)
    if (Exit.isSuccess(decoded)) return decoded.value
    const given = isScalar(value) ? `${typeof value} ${showScalar(value)}` : typeof value
    throw refused(`Entity "${entity}"`, "InvalidRow", `"${field}" of a row is the ${given}, which its schema refuses`)
  }
}

/**
 * Whether a value is an `Entity`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isEntity = (u: unknown): u is Entity<never, never, never> => Predicate.hasProperty(u, TypeId)

/**
 * Declares an entity.
 *
 * - `schema`: a struct or class schema of the rows.
 * - `id`: the field that identifies a row.
 * - `partitions`: the fields that lists are selected by; a field that holds an
 *   array puts the row in several partitions.
 * - `relations`: names of many-to-many relations, beside the fields.
 *
 * Throws `InvalidInput` for an empty name and for fields that the schema lacks.
 *
 * **Example** (Declaring an entity)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Entity } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, genre: Schema.String })
 * const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })
 *
 * const before = { id: 7, title: "Alien", genre: "horror" }
 * Change.format(Films.updated(before, { ...before, genre: "science fiction" })) // => "film:7 updated (genre)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  S extends Schema.Top & { readonly fields: Schema.Struct.Fields },
  const I extends IdOf<Row<S>>,
  const P extends PartitionOf<Row<S>> = never,
  const L extends string = never
>(
  name: string,
  options: {
    readonly schema: S
    readonly id: I
    readonly partitions?: ReadonlyArray<P>
    readonly relations?: ReadonlyArray<L>
  }
): Entity<Row<S>, Extract<Row<S>[I & keyof Row<S>], Dependency.Id>, Extract<keyof Row<S>, string>, P, L> => {
  Check.name("Entity.make", "an entity", name)
  const { fields } = options.schema
  const names = Object.keys(fields)
  const partitions = options.partitions ?? []
  for (const field of [options.id, ...partitions]) {
    if (!Object.hasOwn(fields, field)) {
      throw refused("Entity.make", "UnknownField", `"${name}" has no field "${field}"`)
    }
  }
  const check = (field: string) => checked(name, field, fields[field] as Schema.Top)
  const idOf = check(options.id)
  const partitionsOf = partitions.map((partition) => [partition, check(partition)] as const)
  const equivalences = names.map((field) => [field, Schema.toEquivalence(fields[field] as Schema.Top)] as const)
  const asRow = (row: unknown): Change.Row => ({
    entity: name,
    id: idOf(fieldOf(row, options.id)) as Dependency.Id,
    partitions: partitionsOf.flatMap(([partition, valueOf]) => {
      const value = valueOf(fieldOf(row, partition)) as Dependency.Id | ReadonlyArray<Dependency.Id> | undefined
      const values = Array.isArray(value) ? value as ReadonlyArray<Dependency.Id> : [value ?? null]
      return values.map((v) => [partition, v as Dependency.Id] as const)
    })
  })
  const differing = (before: unknown, after: unknown): ReadonlyArray<string> =>
    equivalences.flatMap(([field, same]) => {
      const [a, b] = [fieldOf(before, field), fieldOf(after, field)]
      return a === b ||
          (a !== undefined && b !== undefined && Equal.equals(new Compared(a, same), new Compared(b, same)))
        ? []
        : [field]
    })
  return {
    [TypeId]: variance,
    name,
    fields: names as never,
    partitions,
    relations: options.relations ?? [],
    created: (row) => ({ _tag: "Created", row: asRow(row) }),
    deleted: (row) => ({ _tag: "Deleted", row: asRow(row) }),
    updated: (before, after) => {
      const [from, to] = [asRow(before), asRow(after)]
      if (from.id !== to.id) {
        throw refused(
          `${name}.updated`,
          "DifferentRows",
          `the rows have the ids ${showScalar(from.id)} and ${showScalar(to.id)}; publish one deleted and one created`
        )
      }
      return { _tag: "Updated", before: from, after: to, fields: differing(before, after) }
    },
    end: (id, relation) => {
      if (
        !(options.relations as ReadonlyArray<string> | undefined)?.includes(relation) &&
        !Object.hasOwn(fields, relation)
      ) {
        throw refused(`${name}.end`, "UnknownField", `"${name}" has no relation "${relation}"`)
      }
      return { entity: name, id: idOf(id) as Dependency.Id, relation }
    }
  }
}
