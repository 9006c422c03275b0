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
import * as Schema from "effect/Schema"
import * as Dependency from "./Dependency.ts"
import { ChangeFromJson } from "./internal/changeJson.ts"
import * as Dependencies from "./internal/dependencies.ts"

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
 * What happened to an entity.
 *
 * - `Created`: a row is there now and was not before.
 * - `Updated`: some fields of a row differ.
 * - `Deleted`: a row was there and is not any more.
 * - `Related`: a many-to-many relation between two rows was added or removed.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | { readonly _tag: "Created"; readonly row: Row }
  | {
    readonly _tag: "Updated"
    readonly before: Row
    readonly after: Row
    readonly fields: ReadonlyArray<string>
  }
  | { readonly _tag: "Deleted"; readonly row: Row }
  | { readonly _tag: "Related"; readonly kind: "added" | "removed"; readonly ends: readonly [End, End] }

/**
 * A relation between two rows was added or removed. Of several at once there is
 * a change for each: where all were removed, for each that was there.
 *
 * **Example** (All tags of an article are removed)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Entity } from "effect-cache-algebra"
 *
 * const Row = Schema.Struct({ id: Schema.Int })
 * const Articles = Entity.make("article", { schema: Row, id: "id", relations: ["tags"] })
 * const Tags = Entity.make("tag", { schema: Row, id: "id", relations: ["articles"] })
 *
 * const article = Articles.end(42, "tags")
 * const removed = [3, 4].map((id) => Change.related("removed", article, Tags.end(id, "articles")))
 * removed.map(Change.format)
 * // => ["article:42 removed tags tag:3", "article:42 removed tags tag:4"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const related = (kind: "added" | "removed", one: End, other: End): Change => ({
  _tag: "Related",
  kind,
  ends: [one, other]
})

const without = (ends: ReadonlyArray<End>, others: ReadonlyArray<End>): ReadonlyArray<End> => {
  const name = (end: End) => Dependencies.rowField(end.entity, end.id, end.relation)
  const known = new Set(others.map(name))
  return ends.filter((end) => {
    const isNew = !known.has(name(end))
    known.add(name(end))
    return isNew
  })
}

/**
 * A row was related to these, and is now related to those: only what differs,
 * first what was removed, then what was added. Nothing for the same ones in
 * another order.
 *
 * **Example** (The tags of an article are set)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Entity } from "effect-cache-algebra"
 *
 * const Row = Schema.Struct({ id: Schema.Int })
 * const Articles = Entity.make("article", { schema: Row, id: "id", relations: ["tags"] })
 * const Tags = Entity.make("tag", { schema: Row, id: "id", relations: ["articles"] })
 * const tags = (...ids: ReadonlyArray<number>) => ids.map((id) => Tags.end(id, "articles"))
 *
 * Change.replaced(Articles.end(42, "tags"), { before: tags(3, 4), after: tags(4, 5) }).map(Change.format)
 * // => ["article:42 removed tags tag:3", "article:42 added tags tag:5"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const replaced = (
  one: End,
  { after, before }: { readonly before: ReadonlyArray<End>; readonly after: ReadonlyArray<End> }
): ReadonlyArray<Change> => [
  ...without(before, after).map((other) => related("removed", one, other)),
  ...without(after, before).map((other) => related("added", one, other))
]

const membership = (row: Row): ReadonlyArray<Dependency.Dependency> => [
  ...new Set([
    Dependencies.row(row.entity, row.id),
    Dependencies.exists(row.entity, row.id),
    Dependencies.typeMembers(row.entity),
    ...row.partitions.map(([name, value]) => Dependencies.partitionMembers(row.entity, name, value))
  ])
]

const has = (row: Row, name: string, value: Dependency.Id): boolean =>
  row.partitions.some(([n, v]) => n === name && v === value)

const moved = (from: Row, to: Row): ReadonlyArray<Dependency.Dependency> =>
  from.partitions.flatMap(([name, value]) =>
    has(to, name, value) ? [] : [Dependencies.partitionMembers(from.entity, name, value)]
  )

const updated = (
  { after, before, fields }: Extract<Change, { readonly _tag: "Updated" }>
): ReadonlyArray<Dependency.Dependency> => {
  // A schema may hold two values equal that name two partitions ("drama" and "Drama"): the row moved all the same.
  const moves = [...moved(before, after), ...moved(after, before)]
  return fields.length === 0 && moves.length === 0 ? [] : [
    Dependencies.row(after.entity, after.id),
    ...fields.flatMap((field) => [
      Dependencies.rowField(after.entity, after.id, field),
      Dependencies.typeField(after.entity, field),
      ...[...before.partitions, ...after.partitions].map(([name, value]) =>
        Dependencies.partitionField(after.entity, name, value, field)
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
          Dependencies.row(entity, id),
          Dependencies.rowField(entity, id, relation),
          Dependencies.typeField(entity, relation)
        ]))
      ]
  }
}

const rowsOf = (self: Change): ReadonlyArray<{ readonly entity: string; readonly id: Dependency.Id }> => {
  switch (self._tag) {
    case "Created":
    case "Deleted":
      return [self.row]
    case "Updated":
      return [self.after]
    case "Related":
      return self.ends
  }
}

/**
 * The rows of an entity that something happened to, by their ids: what a search
 * index has to read again.
 *
 * **Example** (Which films)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Entity } from "effect-cache-algebra"
 *
 * const Row = Schema.Struct({ id: Schema.Int })
 * const Films = Entity.make("film", { schema: Row, id: "id", relations: ["actors"] })
 * const Actors = Entity.make("actor", { schema: Row, id: "id", relations: ["films"] })
 *
 * const changes = [
 *   Films.created({ id: 7 }),
 *   Change.related("added", Films.end(8, "actors"), Actors.end(1, "films"))
 * ]
 * const films = [...Change.idsOf(changes, Films)] // => [7, 8]
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const idsOf = <Id extends Dependency.Id>(
  changes: Iterable<Change>,
  entity: { readonly name: string; readonly "~effect-cache-algebra/Entity": { readonly _Id: () => Id } }
): ReadonlySet<Id> =>
  new Set(
    [...changes].flatMap(rowsOf).filter((row) => row.entity === entity.name).map(({ id }) => id as Id)
  )

/**
 * Prints a change: `film:7 updated (rating)`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: Change): string => {
  const name = (row: { readonly entity: string; readonly id: Dependency.Id }) =>
    Dependency.format(Dependencies.row(row.entity, row.id))
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

/**
 * A change as text, for a message or a queue. Ids keep their types. Text that is
 * not a change fails to decode.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Change, Entity } from "effect-cache-algebra"
 *
 * const Films = Entity.make("film", { schema: Schema.Struct({ id: Schema.Int, title: Schema.String }), id: "id" })
 * const text = Schema.encodeSync(Change.FromString)(Films.created({ id: 7, title: "Alien" }))
 * Change.format(Schema.decodeSync(Change.FromString)(text)) // => "film:7 created"
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Change, string> = Schema.fromJsonString(ChangeFromJson)
