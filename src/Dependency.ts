/**
 * Names of what an entry was made from. When what a name stands for changes,
 * every entry that was loaded under the name is wrong.
 *
 * A dependency is a plain string, which stores do not look into. A tag is one,
 * and so is each part of an entity that a policy can look at: a row, a field of
 * it, whether it is there, which rows a partition has. `format` writes them for
 * people.
 *
 * @since 0.1.0
 */
import { escapePart, formatScalar, type Scalar, unescapePart } from "./internal/escape.ts"
import { refused } from "./internal/refused.ts"

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
    throw refused(
      "Dependency.tag",
      "EmptyTag",
      `a tag must be a non-empty string, and is ${JSON.stringify(text)}`
    )
  }
  return `tag/${escapePart(text)}` as Dependency
}

/**
 * Writes a dependency for people: `tag genre:drama`, `film:42#title`. A text that
 * looks like a number stands in quotes: `film:"42"` is another row.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: Dependency): string => {
  if (self.startsWith("tag/")) return `tag ${unescapePart(self.slice(4))}`
  const [, entity = "", of = "", id = "", rest = ""] =
    /^([^:?#!]*)(?:(:|\?[^=]*=)([^#!]*))?(.*)$/.exec(self.slice(self.indexOf("/") + 1)) ?? []
  return unescapePart(entity) + unescapePart(of) + formatScalar(id) + unescapePart(rest)
}
