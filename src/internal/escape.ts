import { refused } from "./refused.ts"

/**
 * Parts of keys and dependencies, made so that they cannot run into each other.
 *
 * Every character that separates (`:` `#` `?` `=` `!` `/`), that means
 * something in a Redis pattern or hash tag (`*` `[` `]` `{` `}` `\` `^`), that
 * is white space, or that would not survive UTF-8 (a lone surrogate becomes
 * U+FFFD, and two different strings one) is written as `%XX` or `%uXXXX`. `%`
 * itself is escaped too, which makes the encoding injective.
 */
const unsafe = /[\u0000-\u0020\s!"#%*/:=?[\\\]^{|}\u007f]|\p{Cs}/gu
const plain = /^[A-Za-z0-9_.~-]*$/

const escapeChar = (char: string): string => {
  const code = char.charCodeAt(0)
  return code < 0x80
    ? `%${code.toString(16).toUpperCase().padStart(2, "0")}`
    : `%u${code.toString(16).toUpperCase().padStart(4, "0")}`
}

export const escapePart = (part: string): string => plain.test(part) ? part : part.replace(unsafe, escapeChar)

export const unescapePart = (part: string): string =>
  part.replace(
    /%u([0-9A-F]{4})|%([0-9A-F]{2})/g,
    (_, wide, narrow) => String.fromCharCode(Number.parseInt(wide ?? narrow, 16))
  )

/**
 * A value that a row's id or a partition can have.
 */
export type Scalar = string | number | boolean | bigint | null

// What a string must not look like, since the value of that other type is written so.
const literal = /^(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|-?Infinity|NaN|true|false|null|-?\d+n)$/i

const scalars: ReadonlySet<string> = new Set(["string", "number", "boolean", "bigint"])

/** Whether a value can identify a row or a partition. */
export const isScalar = (value: unknown): value is Scalar => value === null || scalars.has(typeof value)

/** A scalar for people: a text that looks like another scalar stands in quotes. */
export const showScalar = (value: Scalar): string =>
  typeof value === "string" && literal.test(value) ? JSON.stringify(value) : String(value)

/** The same of one that `escapeScalar` wrote. */
export const formatScalar = (escaped: string): string => {
  const text = unescapePart(escaped)
  return text !== escaped && literal.test(text) ? JSON.stringify(text) : text
}

/**
 * Injective over all scalars: `42` and `"42"` differ (`42`, `%342`). Throws `InvalidInput` for anything else, which nothing
 * could be found under again.
 */
export const escapeScalar = (value: Scalar): string => {
  if (!isScalar(value)) {
    throw refused(
      "Dependency",
      "InvalidRow",
      `a row or partition cannot be identified by a value of type ${typeof value}`
    )
  }
  if (typeof value === "string") {
    return literal.test(value) ? escapeChar(value[0]!) + escapePart(value.slice(1)) : escapePart(value)
  }
  if (typeof value === "bigint") return `${value}n`
  return Object.is(value, -0) ? "0" : String(value)
}
