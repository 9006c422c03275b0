/**
 * Names of what an entry was made from. When what a name stands for changes,
 * every entry that was loaded under the name is wrong.
 *
 * A dependency is a plain string, made only here: a tag, or a part of an
 * entity. Components are escaped, so no two things share a name: the tag
 * `film:42#title` is not the title of film 42.
 *
 * | made by | written | stands for |
 * |---|---|---|
 * | `tag("genre:drama")` | `tag/genre%3Adrama` | the tag |
 * | `row("film", 42)` | `entity/film:42` | anything about the row |
 * | `rowField("film", 42, "title")` | `entity/film:42#title` | one field (or relation) of the row |
 * | `exists("film", 42)` | `entity/film:42!exists` | whether the row is there |
 * | `typeField("film", "title")` | `entity/film#title` | one field of any row |
 * | `typeMembers("film")` | `entity/film!members` | which rows there are |
 * | `partitionField("film", "genre", "drama", "title")` | `entity/film?genre=drama#title` | one field of any row of the partition |
 * | `partitionMembers("film", "genre", "drama")` | `entity/film?genre=drama!members` | which rows the partition has |
 *
 * Existence and membership are written with `!`, so a field that is called
 * `members` is nothing else than a field.
 *
 * @since 0.1.0
 */
import { escapePart, escapeScalar, type Scalar, unescapePart } from "./internal/escape.ts"
import * as InvalidInput from "./InvalidInput.ts"

/**
 * The name of something an entry depends on.
 *
 * @category models
 * @since 0.1.0
 */
export type Dependency = string & { readonly "~effect-cache-algebra/Dependency": true }

/**
 * What can identify a row or a partition.
 *
 * @category models
 * @since 0.1.0
 */
export type Id = Scalar

const made = (text: string): Dependency => text as Dependency

/**
 * A tag. Throws `InvalidInput` when it is empty.
 *
 * **Example** (Tags are any text)
 *
 * ```ts
 * import { Dependency } from "effect-cache-algebra"
 *
 * Dependency.format(Dependency.tag("genre:drama")) // => "tag genre:drama"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tag = (text: string): Dependency => {
  if (typeof text !== "string" || text.length === 0) {
    throw InvalidInput.make(
      "Dependency.tag",
      "EmptyTag",
      `a tag must be a non-empty string, and is ${JSON.stringify(text)}`
    )
  }
  return made(`tag/${escapePart(text)}`)
}

/**
 * Anything about one row.
 *
 * @category constructors
 * @since 0.1.0
 */
export const row = (entity: string, id: Id): Dependency => made(`entity/${escapePart(entity)}:${escapeScalar(id)}`)

/**
 * One field, or one relation, of one row.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rowField = (entity: string, id: Id, field: string): Dependency =>
  made(`${row(entity, id)}#${escapePart(field)}`)

/**
 * Whether one row is there. Every `conditional` on a row carries it, so a
 * cached "not found" ends when the row appears.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exists = (entity: string, id: Id): Dependency => made(`${row(entity, id)}!exists`)

/**
 * One field of any row of the entity.
 *
 * @category constructors
 * @since 0.1.0
 */
export const typeField = (entity: string, field: string): Dependency =>
  made(`entity/${escapePart(entity)}#${escapePart(field)}`)

/**
 * Which rows the entity has.
 *
 * @category constructors
 * @since 0.1.0
 */
export const typeMembers = (entity: string): Dependency => made(`entity/${escapePart(entity)}!members`)

const partition = (entity: string, name: string, value: Id): string =>
  `entity/${escapePart(entity)}?${escapePart(name)}=${escapeScalar(value)}`

/**
 * One field of any row of a partition: a title among the dramas.
 *
 * @category constructors
 * @since 0.1.0
 */
export const partitionField = (entity: string, name: string, value: Id, field: string): Dependency =>
  made(`${partition(entity, name, value)}#${escapePart(field)}`)

/**
 * Which rows a partition has.
 *
 * @category constructors
 * @since 0.1.0
 */
export const partitionMembers = (entity: string, name: string, value: Id): Dependency =>
  made(`${partition(entity, name, value)}!members`)

/**
 * Whether a dependency is a tag.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isTag = (self: Dependency): boolean => self.startsWith("tag/")

/**
 * Whether a dependency is a part of an entity: a row, a field, a membership.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOf = (self: Dependency, entity: string): boolean => {
  const prefix = `entity/${escapePart(entity)}`
  return self.startsWith(prefix) && /^[:#?!]/.test(self.slice(prefix.length))
}

/**
 * Writes a dependency for people: `tag genre:drama`, `film:42#title`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: Dependency): string =>
  self.startsWith("tag/") ? `tag ${unescapePart(self.slice(4))}` : unescapePart(self.slice(self.indexOf("/") + 1))
