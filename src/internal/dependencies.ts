/**
 * Names of the parts of an entity, beside the tags of `Dependency`. Components
 * are escaped, so no two things share a name: the tag `film:42#title` is not the
 * title of film 42.
 *
 * | made by | written | stands for |
 * |---|---|---|
 * | `Dependency.tag("genre:drama")` | `tag/genre%3Adrama` | the tag |
 * | `row("film", 42)` | `entity/film:42` | anything about the row |
 * | `rowField("film", 42, "title")` | `entity/film:42#title` | one field (or relation) of the row |
 * | `exists("film", 42)` | `entity/film:42!exists` | whether the row is there |
 * | `typeField("film", "title")` | `entity/film#title` | one field of any row |
 * | `typeMembers("film")` | `entity/film!members` | which rows there are |
 * | `partitionField("film", "genre", "drama", "title")` | `entity/film?genre=drama#title` | one field of any row of the partition |
 * | `partitionMembers("film", "genre", "drama")` | `entity/film?genre=drama!members` | which rows the partition has |
 * | `ofKey("film:42")` | `key/film:42` | what is cached under a stored key, in any version |
 *
 * Existence and membership are written with `!`, so a field that is called
 * `members` is nothing else than a field.
 */
import type { Dependency, Id } from "../Dependency.ts"
import { escapePart, escapeScalar } from "./escape.ts"

const made = (text: string): Dependency => text as Dependency

/** Anything about one row. */
export const row = (entity: string, id: Id): Dependency => made(`entity/${escapePart(entity)}:${escapeScalar(id)}`)

/** One field, or one relation, of one row. */
export const rowField = (entity: string, id: Id, field: string): Dependency =>
  made(`${row(entity, id)}#${escapePart(field)}`)

/**
 * Whether one row is there. Every `conditional` on a row carries it, so a
 * cached "not found" ends when the row appears.
 */
export const exists = (entity: string, id: Id): Dependency => made(`${row(entity, id)}!exists`)

/** One field of any row of the entity. */
export const typeField = (entity: string, field: string): Dependency =>
  made(`entity/${escapePart(entity)}#${escapePart(field)}`)

/** Which rows the entity has. */
export const typeMembers = (entity: string): Dependency => made(`entity/${escapePart(entity)}!members`)

const partition = (entity: string, name: string, value: Id): string =>
  `entity/${escapePart(entity)}?${escapePart(name)}=${escapeScalar(value)}`

/** One field of any row of a partition: a title among the dramas. */
export const partitionField = (entity: string, name: string, value: Id, field: string): Dependency =>
  made(`${partition(entity, name, value)}#${escapePart(field)}`)

/** Which rows a partition has. */
export const partitionMembers = (entity: string, name: string, value: Id): Dependency =>
  made(`${partition(entity, name, value)}!members`)

/**
 * What is cached under a stored key. It changes when the key is invalidated, not
 * when what is cached there was loaded again.
 */
export const ofKey = (key: string): Dependency => made(`${keyKind}${key}`)

const keyKind = "key/"

/** Whether a dependency is what is cached under a key. */
export const isKey = (self: Dependency): boolean => self.startsWith(keyKind)

/** The stored key of a dependency of that kind. */
export const keyIn = (self: Dependency): string => self.slice(keyKind.length)

/** Whether a dependency is a tag. */
export const isTag = (self: Dependency): boolean => self.startsWith("tag/")

/** Whether a dependency is a part of an entity: a row, a field, a membership. */
export const isOf = (self: Dependency, entity: string): boolean => {
  const prefix = `entity/${escapePart(entity)}`
  return self.startsWith(prefix) && /^[:#?!]/.test(self.slice(prefix.length))
}
