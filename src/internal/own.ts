/**
 * Properties whose name a user chose. An object has inherited some that are no data, as `constructor` and `toString`.
 */

/** A property of a record, which has nothing but its own. */
export const own = <A>(record: Readonly<Record<string, A>>, name: string): A | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined

/** A field of a row or of a key. One of a class may come from an accessor of its prototype. */
export const fieldOf = (row: unknown, name: string): unknown =>
  name in Object.prototype && !Object.hasOwn(row as object, name) ? undefined : (row as Record<string, unknown>)[name]
