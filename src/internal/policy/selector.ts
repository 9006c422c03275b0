/**
 * Functions that name tags, rows or partitions: of the key, or of the loaded value.
 */

/** As a user gives it: a plain function takes the key. */
export type Given<K, V, A> = ((key: K) => A) | { readonly fromValue: (value: V, key: K) => A }

export type Selector<A> =
  | { readonly from: "key"; readonly select: (key: never) => A | ReadonlyArray<A> }
  | { readonly from: "value"; readonly select: (value: never, key: never) => A | ReadonlyArray<A> }

export const make = <K, V, A>(given: Given<K, V, A | ReadonlyArray<A>>): Selector<A> =>
  typeof given === "function" ? { from: "key", select: given } : { from: "value", select: given.fromValue }

/** Whether what was given is a function, of the key or of the value, and not a constant. */
export const isGiven = <K, V, A>(u: Given<K, V, A> | string | ReadonlyArray<string>): u is Given<K, V, A> =>
  typeof u === "function" || (typeof u === "object" && "fromValue" in u)

/** The key is the id, or the partition's value. */
export const byKey: Selector<never> = { from: "key", select: (key: never) => key }

/** What a selector names, as a list. A selector of the key never sees the value, whichever caller has one. */
export const ask = <A>(self: Selector<A>, key: never, value: never): ReadonlyArray<A> => {
  const named = self.from === "key" ? self.select(key) : self.select(value, key)
  return Array.isArray(named) ? named as ReadonlyArray<A> : [named as A]
}
