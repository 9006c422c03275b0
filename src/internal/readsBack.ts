/**
 * What became of a value that was written as text and read again.
 *
 * Values are compared by what can be seen of them, and more strictly than
 * `Equal.equals` does: `-0` is not `0`, and `undefined` is not `null`. What a schema
 * leaves out is no difference: properties that it does not know, and a property
 * that is `undefined` where it may be absent.
 */
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { at } from "./ambiguous.ts"

type Path = ReadonlyArray<PropertyKey>

// What it is, never what it holds: a value must not get into a log.
const kindOf = (value: unknown): string => {
  if (value === null || value === undefined || value === 0) return Object.is(value, -0) ? "-0" : String(value)
  if (typeof value === "number") return Number.isFinite(value) ? "a number" : String(value)
  if (typeof value !== "object") return `a ${typeof value}`
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === "string" && name !== "" && name !== "Object" ? `a ${name}` : "an object"
}

const became = (path: Path, written: unknown, read: unknown): string => {
  const [before, after] = [kindOf(written), kindOf(read)]
  return before === after ? `${before} became another${at(path)}` : `${before} became ${after}${at(path)}`
}

const listsOf = (value: object): ReadonlyArray<unknown> | undefined =>
  Array.isArray(value) || ArrayBuffer.isView(value)
    ? value as unknown as ReadonlyArray<unknown>
    : value instanceof Map || value instanceof Set
    ? [...value as Iterable<unknown>]
    : undefined

const compareLists = (
  written: ReadonlyArray<unknown>,
  read: ReadonlyArray<unknown>,
  path: Path
): string | undefined => {
  if (written.length !== read.length) return became([...path, "length"], written.length, read.length)
  for (let i = 0; i < read.length; i++) {
    const difference = differenceBetween(written[i], read[i], [...path, i])
    if (difference !== undefined) return difference
  }
}

// What can be seen of two equal maps or dates of Effect may differ. An option or a result is what it holds.
const isEqualItself = (written: object, read: object): boolean =>
  Equal.isEqual(written) && Equal.isEqual(read) && !Option.isOption(read) && !Result.isResult(read) &&
  Equal.equals(written, read)

const compareObjects = (written: object, read: object, path: Path): string | undefined => {
  if (written instanceof Date && read instanceof Date) {
    return Object.is(written.getTime(), read.getTime()) ? undefined : became(path, written, read)
  }
  if (Redacted.isRedacted(written) && Redacted.isRedacted(read)) {
    return differenceBetween(Redacted.value(written), Redacted.value(read), path)
  }
  const [before, after] = [listsOf(written), listsOf(read)]
  if (before !== undefined && after !== undefined) return compareLists(before, after, path)
  if (before !== undefined || after !== undefined) return became(path, written, read)
  // A class where the schema says a struct is as good; an object where it says a class is not.
  const prototype: unknown = Object.getPrototypeOf(read)
  if (prototype !== Object.prototype && prototype !== null && Object.getPrototypeOf(written) !== prototype) {
    return became(path, written, read)
  }
  // A user's instance with nothing to be seen, as a URL, is taken at its word.
  for (const name of Object.keys(read)) {
    const difference = differenceBetween(
      (written as Record<string, unknown>)[name],
      (read as Record<string, unknown>)[name],
      [...path, name]
    )
    if (difference !== undefined) return isEqualItself(written, read) ? undefined : difference
  }
  return undefined
}

/** What differs first, and where; nothing if what was read is what was written. */
export const differenceBetween = (written: unknown, read: unknown, path: Path = []): string | undefined => {
  if (Object.is(written, read)) return undefined
  return Predicate.isObjectKeyword(written) && Predicate.isObjectKeyword(read)
    ? compareObjects(written, read, path)
    : became(path, written, read)
}
