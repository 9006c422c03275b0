/** How many entries an invalidation ended; undefined where the store cannot tell of all. */
export type Count = number | undefined

export const add = (a: Count, b: Count): Count => a === undefined || b === undefined ? undefined : a + b

export const sumOf = (counts: ReadonlyArray<Count>): Count => counts.reduce(add, 0)
