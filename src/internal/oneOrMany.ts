/**
 * What is given as one, or as any number. A string is one: taken for its characters, a tag would invalidate others.
 */
export const eachOf = <A>(input: A | Iterable<A>): Iterable<A> =>
  typeof input === "object" && input !== null && Symbol.iterator in input ? input : [input as A]
