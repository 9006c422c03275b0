/**
 * What happened to an entity, and which dependencies that touches.
 *
 * | change | touches |
 * |---|---|
 * | updated, field `f` differs | the row, the row's field, the type's field, and for each partition the field within it |
 * | updated, a partition field differs | also the membership of the old **and** the new partition |
 * | created, deleted | the row, its existence, the type's membership, the membership of its partitions |
 * | related (many-to-many) added, removed | the relation on both sides: of the row, of the type, and the rows themselves |
 *
 * Changes are made by an entity: `Films.updated(before, after)`.
 *
 * @since 0.1.0
 */
import * as Dependency from "./Dependency.ts"

/**
 * A row as far as invalidation is concerned: its id, and its partitions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly entity: string
  readonly id: Dependency.Id
  readonly partitions: ReadonlyArray<readonly [name: string, value: Dependency.Id]>
}

/**
 * A row that is there now and was not before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Created {
  readonly _tag: "Created"
  readonly row: Row
}

/**
 * A row of which some fields differ.
 *
 * @category models
 * @since 0.1.0
 */
export interface Updated {
  readonly _tag: "Updated"
  readonly before: Row
  readonly after: Row
  readonly fields: ReadonlyArray<string>
}

/**
 * A row that was there and is not any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Deleted {
  readonly _tag: "Deleted"
  readonly row: Row
}

/**
 * One end of a many-to-many relation: the row, and what it calls the relation.
 *
 * @category models
 * @since 0.1.0
 */
export interface End {
  readonly entity: string
  readonly id: Dependency.Id
  readonly relation: string
}

/**
 * A many-to-many relation between two rows that was added or removed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Related {
  readonly _tag: "Related"
  readonly kind: "added" | "removed"
  readonly ends: readonly [End, End]
}

/**
 * What happened to an entity.
 *
 * @category models
 * @since 0.1.0
 */
export type Change = Created | Updated | Deleted | Related

/**
 * A relation between two rows was added or removed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const related = (kind: "added" | "removed", one: End, other: End): Change => ({
  _tag: "Related",
  kind,
  ends: [one, other]
})

const membership = (row: Row): ReadonlyArray<Dependency.Dependency> => [
  ...new Set([
    Dependency.row(row.entity, row.id),
    Dependency.exists(row.entity, row.id),
    Dependency.typeMembers(row.entity),
    ...row.partitions.map(([name, value]) => Dependency.partitionMembers(row.entity, name, value))
  ])
]

const has = (row: Row, name: string, value: Dependency.Id): boolean =>
  row.partitions.some(([n, v]) => n === name && v === value)

const moved = (from: Row, to: Row): ReadonlyArray<Dependency.Dependency> =>
  from.partitions.flatMap(([name, value]) =>
    has(to, name, value) ? [] : [Dependency.partitionMembers(from.entity, name, value)]
  )

const updated = ({ after, before, fields }: Updated): ReadonlyArray<Dependency.Dependency> => {
  // A schema may hold two values equal that name two partitions ("drama" and "Drama"): the row moved all the same.
  const moves = [...moved(before, after), ...moved(after, before)]
  return fields.length === 0 && moves.length === 0 ? [] : [
    Dependency.row(after.entity, after.id),
    ...fields.flatMap((field) => [
      Dependency.rowField(after.entity, after.id, field),
      Dependency.typeField(after.entity, field),
      ...[...before.partitions, ...after.partitions].map(([name, value]) =>
        Dependency.partitionField(after.entity, name, value, field)
      )
    ]),
    ...moves
  ]
}

/**
 * The dependencies that a change touches, without repetition.
 *
 * **Example** (A changed rating leaves the title alone)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Dependency, Entity } from "effect-cache-algebra"
 *
 * const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, rating: Schema.Finite })
 * const Films = Entity.make("film", { schema: Film, id: "id" })
 * const before = { id: 7, title: "Alien", rating: 8.4 }
 *
 * Change.dependencies(Films.updated(before, { ...before, rating: 8.5 })).map(Dependency.format)
 * // => ["film:7", "film:7#rating", "film#rating"]
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const dependencies = (self: Change): ReadonlyArray<Dependency.Dependency> => {
  switch (self._tag) {
    case "Created":
    case "Deleted":
      return membership(self.row)
    case "Updated":
      return [...new Set(updated(self))]
    case "Related":
      return [
        ...new Set(self.ends.flatMap(({ entity, id, relation }) => [
          Dependency.row(entity, id),
          Dependency.rowField(entity, id, relation),
          Dependency.typeField(entity, relation)
        ]))
      ]
  }
}

/**
 * Prints a change: `film:7 updated (rating)`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: Change): string => {
  const name = (row: { readonly entity: string; readonly id: Dependency.Id }) =>
    Dependency.format(Dependency.row(row.entity, row.id))
  switch (self._tag) {
    case "Created":
      return `${name(self.row)} created`
    case "Deleted":
      return `${name(self.row)} deleted`
    case "Updated":
      return `${name(self.after)} updated (${self.fields.join(", ") || "nothing"})`
    case "Related":
      return `${name(self.ends[0])} ${self.kind} ${self.ends[0].relation} ${name(self.ends[1])}`
  }
}
