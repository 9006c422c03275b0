/**
 * Typed keys with an injective encoding.
 *
 * A key says what a cached value is asked for by. It encodes to parts, and two
 * different inputs never encode alike, whatever characters they hold; so a
 * user's text in a key cannot reach another entry or act as a pattern.
 *
 * **Gotchas**
 *
 * - `Key.number` and `Key.int` refuse `NaN`; `-0` is `0`.
 *
 * **Example** (Keys of one and of several parts)
 *
 * ```ts
 * import { Key } from "effect-cache-algebra"
 *
 * const byId = Key.int("id")
 * const page = Key.struct({ genre: Key.string("genre"), page: Key.int("page") })
 *
 * Key.encode(byId, 42) // => "42"
 * Key.encode(page, { genre: "film noir", page: 2 }) // => "film%20noir:2"
 * ```
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import { dual } from "effect/Function"
import * as Pipeable from "effect/Pipeable"
import * as Calendar from "./internal/calendar.ts"
import * as Check from "./internal/check.ts"
import { escapePart, unescapePart } from "./internal/escape.ts"
import { fieldOf } from "./internal/own.ts"
import { refused } from "./internal/refused.ts"
import type { InvalidInput } from "./InvalidInput.ts"

/**
 * How inputs of type `A` are written as key parts.
 *
 * - `fields`: the name of each part, for `describe` and for patterns.
 * - `parts`: the escaped parts of an input, as many as there are fields;
 *   throws `InvalidInput` for an input that cannot be encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Key<in A> extends Pipeable.Pipeable {
  readonly "~effect-cache-algebra/Key": (_: A) => void
  readonly fields: ReadonlyArray<string>
  readonly parts: (input: A) => ReadonlyArray<string>
  /** Whether the parts depend on the input alone, so that they may be remembered. A user's function may look elsewhere. */
  readonly lasting: boolean
  /** The parts that a partial input fixes, and `undefined` for the others. */
  readonly pattern: (input: Record<string, unknown>) => ReadonlyArray<string | undefined>
}

/**
 * The input type of a key.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Input<K> = K extends Key<infer A> ? A : never

/**
 * What may be fixed in a pattern over keys of type `A`: any of the fields of a
 * struct key, any of the places of a tuple (`{ 1: "it" }`).
 *
 * @category utility types
 * @since 0.1.0
 */
export type Fixed<A> = A extends ReadonlyArray<unknown>
  ? { readonly [I in Exclude<keyof A, keyof ReadonlyArray<unknown>>]?: A[I] }
  // Not an empty object type, which any key itself would be: it would fix nothing, and empty the whole definition.
  : A extends string | number | bigint | boolean | void | Date | DateTime.DateTime ? Record<string, never>
  : Partial<A>

const TypeId = "~effect-cache-algebra/Key"

const Proto = {
  ...Pipeable.Prototype,
  [TypeId]: (_: never) => {},
  toString(this: Key<never>) {
    return `Key(${this.fields.join(", ")})`
  }
}

const makeKey = <A>(
  fields: ReadonlyArray<string>,
  parts: (input: A) => ReadonlyArray<string>,
  pattern: (input: Record<string, unknown>) => ReadonlyArray<string | undefined>,
  lasting = false
): Key<A> => Object.assign(Object.create(Proto), { fields, parts, pattern, lasting })

const partName = (where: string, name: string): string => Check.name(where, "a key part", name)

/**
 * A key of one part, from a function that writes the input as text. The
 * function must be injective; what it returns is escaped. A pattern cannot fix
 * a field of such an input: it throws `InvalidInput`.
 *
 * **Example** (A key of your own)
 *
 * ```ts
 * import { Key } from "effect-cache-algebra"
 *
 * const day = Key.make("day", (date: Date) => date.toISOString().slice(0, 10))
 * Key.encode(day, new Date(0)) // => "1970-01-01"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(name: string, write: (input: A) => string): Key<A> => opaque(onePart(name, write, false))

// What a function makes of a whole input it cannot make of a field: the part that a pattern would fix might be another.
const opaque = <A>(self: Key<A>): Key<A> =>
  makeKey(self.fields, self.parts, (input) => {
    const [field] = Object.keys(input)
    if (field === undefined) return self.pattern(input)
    const names = self.fields.join(", ")
    throw refused("Key", "UnknownField", `a key (${names}) of a whole input is not fixed by its "${field}"`)
  }, self.lasting)

const onePart = <A>(name: string, write: (input: A) => string, lasting: boolean): Key<A> => {
  partName("Key.make", name)
  const encode = (input: A): string => {
    const text = write(input)
    if (typeof text !== "string") {
      throw refused("Key", "InvalidKeyPart", `key part "${name}" cannot be written from ${String(input)}`)
    }
    return escapePart(text)
  }
  return makeKey([name], (input) => [encode(input)], (input) => [
    Object.hasOwn(input, name) ? encode(input[name] as A) : undefined
  ], lasting)
}

const refuse = (name: string, wanted: string, input: unknown): InvalidInput =>
  refused("Key", "InvalidKeyPart", `key part "${name}" must be ${wanted}, and is ${String(input)}`)

/**
 * A key of one string, which may be empty.
 *
 * @category constructors
 * @since 0.1.0
 */
export const string = (name: string): Key<string> =>
  onePart(name, (input: string) => {
    if (typeof input !== "string") throw refuse(name, "a string", input)
    return input
  }, true)

/**
 * A key of one safe integer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const int = (name: string): Key<number> =>
  onePart(name, (input: number) => {
    if (!Number.isSafeInteger(input)) throw refuse(name, "an integer", input)
    return String(input)
  }, true)

/**
 * A key of one finite number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const number = (name: string): Key<number> =>
  onePart(name, (input: number) => {
    if (!Number.isFinite(input)) throw refuse(name, "a finite number", input)
    return String(input)
  }, true)

/**
 * A key of one bigint.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bigint = (name: string): Key<bigint> =>
  make(name, (input: bigint) => {
    if (typeof input !== "bigint") throw refuse(name, "a bigint", input)
    return String(input)
  })

/**
 * A key of one boolean.
 *
 * @category constructors
 * @since 0.1.0
 */
export const boolean = (name: string): Key<boolean> =>
  make(name, (input: boolean) => {
    if (typeof input !== "boolean") throw refuse(name, "a boolean", input)
    return String(input)
  })

/**
 * A key of one of some strings.
 *
 * @category constructors
 * @since 0.1.0
 */
export const literals = <const L extends ReadonlyArray<string>>(name: string, allowed: L): Key<L[number]> => {
  const set = new Set<string>(allowed)
  return make(name, (input: L[number]) => {
    if (!set.has(input)) throw refuse(name, `one of ${allowed.join(", ")}`, input)
    return input
  })
}

const instant = (name: string, input: Date | DateTime.DateTime): number => {
  const millis = DateTime.isDateTime(input)
    ? DateTime.toEpochMillis(input)
    : input instanceof Date
    ? input.getTime()
    : Number.NaN
  if (Number.isNaN(millis)) throw refuse(name, "a valid date", input)
  return millis
}

const isoInstant = (millis: number): string => new Date(millis).toISOString()

/**
 * A key of one instant, written in UTC to the millisecond. For a value that is to
 * have another entry after each change: "vary on `updated_at`".
 *
 * It takes a `Date` or a `DateTime`; those of one instant are one key, whatever
 * their time zones.
 *
 * **Example** (One instant)
 *
 * ```ts
 * import { Key } from "effect-cache-algebra"
 *
 * const version = Key.date("updatedAt")
 * Key.format(Key.encode(version, new Date(0))) // => "1970-01-01T00:00:00.000Z"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const date = (name: string): Key<Date | DateTime.DateTime> =>
  make(name, (input: Date | DateTime.DateTime) => isoInstant(instant(name, input)))

/**
 * A key of the hour, day, week ... in which an instant lies: all instants of one
 * are one key, written as the instant at which it began. Weeks begin on Mondays.
 *
 * `bounds` says when the bucket of an instant began, and when it ends, which is
 * not of it any more. A lookup is given the instant that was asked for, and must
 * not use more of it than its bucket.
 *
 * Hours and days are those of `timeZone`, a name or an offset, UTC unless given:
 * processes in different zones must agree on what they share. An hour that the
 * clocks repeat in autumn is two; a day may have 23 or 25 hours.
 *
 * With the time in its key, an entry is never asked for again once its hour is
 * over, and needs a `ttl` to go away. The key does not know of loads that a
 * change of the hour interrupts, either: what is loaded is kept under the hour in which
 * it was asked for. `Policy.until` needs neither.
 *
 * Throws `InvalidInput` for an unknown unit or time zone.
 *
 * **Example** (Statistics of the hour)
 *
 * ```ts
 * import { DateTime } from "effect"
 * import { Key } from "effect-cache-algebra"
 *
 * const hour = Key.bucket("hour", { every: "hour" })
 * const day = Key.bucket("day", { every: "day", timeZone: "Europe/Rome" })
 *
 * const now = DateTime.makeUnsafe("2024-06-01T22:34:56Z") // in a program: yield* DateTime.now
 * Key.format(Key.encode(hour, now)) // => "2024-06-01T22:00:00.000Z"
 * Key.format(Key.encode(day, now)) // => "2024-06-01T22:00:00.000Z"
 *
 * // For the lookup: the day as the database is asked for it.
 * const { from, to } = day.bounds(now)
 * const hours = (to.getTime() - from.getTime()) / 3_600_000 // => 24
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const bucket = (
  name: string,
  options: { readonly every: Calendar.Unit; readonly timeZone?: string }
): Key<Date | DateTime.DateTime> & {
  readonly bounds: (instant: Date | DateTime.DateTime) => { readonly from: Date; readonly to: Date }
} => {
  const { every } = options
  if (!Calendar.units.includes(every)) {
    throw refused(
      "Key.bucket",
      "InvalidOption",
      `every must be one of ${Calendar.units.join(", ")}, and is ${String(every)}`
    )
  }
  const zone = Calendar.timeZone("Key.bucket", "InvalidOption", options.timeZone)
  const startOf = (input: Date | DateTime.DateTime) => Calendar.startOf(zone, every, instant(name, input))
  return Object.assign(make(name, (input: Date | DateTime.DateTime) => isoInstant(startOf(input))), {
    bounds: (input: Date | DateTime.DateTime) => {
      const start = startOf(input)
      return { from: new Date(start), to: new Date(Calendar.endOf(zone, every, start)) }
    }
  })
}

/**
 * The key of a value of which there is only one: the list of popular articles.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unit: Key<void> = makeKey([], () => [], () => [])

const fixed = (key: Key<unknown>, given: boolean, input: unknown): ReadonlyArray<string | undefined> =>
  given ? key.parts(input) : key.fields.map(() => undefined)

/**
 * A key of several named parts. Patterns can fix any of them.
 *
 * @category combining
 * @since 0.1.0
 */
export const struct = <const F extends Record<string, Key<never>>>(
  fields: F
): Key<{ readonly [N in keyof F]: Input<F[N]> }> => {
  const entries = Object.entries(fields) as unknown as ReadonlyArray<readonly [string, Key<unknown>]>
  if (entries.length === 0) throw refused("Key.struct", "EmptyName", "a struct key needs a field")
  const nested = (name: string, key: Key<unknown>) =>
    key.fields.length === 1 ? [name] : key.fields.map((field) => `${name}.${field}`)
  return makeKey(
    entries.flatMap(([name, key]) => nested(partName("Key.struct", name), key)),
    (input) => entries.flatMap(([name, key]) => key.parts(fieldOf(input, name))),
    (input) => entries.flatMap(([name, key]) => fixed(key, Object.hasOwn(input, name), input[name]))
  )
}

/**
 * A key of several parts in order.
 *
 * @category combining
 * @since 0.1.0
 */
export const tuple = <const T extends ReadonlyArray<Key<never>>>(
  ...keys: T
): Key<{ readonly [I in keyof T]: Input<T[I]> }> => {
  const members = keys as unknown as ReadonlyArray<Key<unknown>>
  if (members.length === 0) throw refused("Key.tuple", "EmptyName", "a tuple key needs a member")
  return makeKey(
    members.flatMap((key) => key.fields),
    (input) => members.flatMap((key, i) => key.parts((input as unknown as ReadonlyArray<unknown>)[i])),
    (input) => members.flatMap((key, i) => fixed(key, Object.hasOwn(input, i), input[i]))
  )
}

/**
 * The key of a rendered fragment of a page: its name, and what it varies on.
 *
 * The input is that of what it varies on: nothing, the one key's own, or a tuple
 * of several. A `struct` as the one key names them, so that patterns can fix
 * some by name. The name is fixed in every pattern, so one that fixes nothing
 * else covers all variants of the fragment.
 *
 * Throws `InvalidInput` for an empty name.
 *
 * **Example** (A sidebar for each user, a menu for all)
 *
 * ```ts
 * import { Key } from "effect-cache-algebra"
 *
 * const menu = Key.fragment("menu")
 * const sidebar = Key.fragment("sidebar", Key.int("user"))
 * const article = Key.fragment("article", Key.int("id"), Key.date("updatedAt"))
 *
 * Key.encode(menu, undefined) // => "menu"
 * Key.encode(sidebar, 42) // => "sidebar:42"
 * Key.format(Key.encode(article, [7, new Date(0)])) // => "article:7:1970-01-01T00:00:00.000Z"
 * ```
 *
 * @category combining
 * @since 0.1.0
 */
export const fragment: {
  (name: string): Key<void>
  <A>(name: string, varyOn: Key<A>): Key<A>
  <const T extends ReadonlyArray<Key<never>>>(
    name: string,
    ...varyOn: T
  ): Key<{ readonly [I in keyof T]: Input<T[I]> }>
} = (name: string, ...varyOn: ReadonlyArray<Key<never>>): Key<unknown> => {
  const first = escapePart(partName("Key.fragment", name))
  const rest = (varyOn.length === 0 ? unit : varyOn.length === 1 ? varyOn[0] : tuple(...varyOn)) as Key<unknown>
  return makeKey(
    ["fragment", ...rest.fields],
    (input) => [first, ...rest.parts(input)],
    (input) => [first, ...rest.pattern(input)]
  )
}

/**
 * The same key for other inputs. A pattern cannot fix a field of them, since
 * the function is for whole inputs: it throws `InvalidInput`. Within a `struct`
 * or a `tuple` it can fix the key as one.
 *
 * @category mapping
 * @since 0.1.0
 */
export const contramap: {
  // Not a mere function type: the compiler puts off a call that may give one, and within the options of a definition it
  // would have fixed the type of the key by then.
  <A, B>(f: (input: B) => A): ((self: Key<A>) => Key<B>) & { readonly length: number }
  <A, B>(self: Key<A>, f: (input: B) => A): Key<B>
} = dual(
  2,
  <A, B>(self: Key<A>, f: (input: B) => A): Key<B> =>
    opaque(makeKey(self.fields, (input: B) => self.parts(f(input)), self.pattern))
)

/**
 * The parts of an input, joined with `:`.
 *
 * Throws `InvalidInput` when the input cannot be encoded.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode: {
  <A>(input: A): (self: Key<A>) => string
  <A>(self: Key<A>, input: A): string
} = dual(2, <A>(self: Key<A>, input: A): string => {
  const parts = self.parts(input)
  return parts.length === 1 ? parts[0]! : parts.join(":")
})

/**
 * A set of keys of one definition: those whose parts equal the parts that the
 * pattern fixes. An `undefined` part stands for any.
 *
 * @category patterns
 * @since 0.1.0
 */
export interface Pattern {
  readonly name: string
  readonly parts: ReadonlyArray<string | undefined>
}

/**
 * Whether a stored key (`name:part:part`) belongs to a pattern.
 *
 * Parts are compared as wholes, so no character in them can widen the match.
 *
 * @category patterns
 * @since 0.1.0
 */
export const matches = (pattern: Pattern, key: string): boolean => {
  const parts = key.split(":")
  return parts.length === pattern.parts.length + 1 && parts[0] === pattern.name &&
    pattern.parts.every((part, i) => part === undefined || part === parts[i + 1])
}

/**
 * Writes a stored key for people: what was escaped is shown as it was.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (key: string): string => key.split(":").map(unescapePart).join(":")
