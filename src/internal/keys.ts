/**
 * How keys are stored: `name:part:part`.
 */
import type { Pattern } from "../Key.ts"
import * as Check from "./check.ts"
import { escapePart } from "./escape.ts"
import { refused } from "./refused.ts"

/** The stored form of a definition's name. */
export const encodeName = (name: string): string => escapePart(Check.name("Cached.make", "a cached value", name))

// It is part of the name of every entry.
const longestVersion = 64

/** The version of a definition as it is stored: 2 and "2" are the same. */
export const encodeVersion = (where: string, version: string | number): string => {
  const good = typeof version === "number"
    ? Number.isSafeInteger(version)
    : typeof version === "string" && version.length > 0 && version.length <= longestVersion
  if (good) return escapePart(String(version))
  throw refused(
    where,
    "InvalidVersion",
    `a version is an integer or a text of 1 to ${longestVersion} characters, and is ${JSON.stringify(version)}`
  )
}

/** What a definition is called for people: `name(id, day) version 2`. */
export const titleOf = (
  { key, name, version }: {
    readonly name: string
    readonly key: ReadonlyArray<string>
    readonly version?: string | undefined
  }
): string => `${name}(${key.join(", ")})${version === undefined ? "" : ` version ${version}`}`

/** Prints a pattern with `*` for what it leaves open: `films:drama:*`. */
export const formatPattern = (pattern: Pattern): string =>
  [pattern.name, ...pattern.parts.map((part) => part ?? "*")].join(":")
