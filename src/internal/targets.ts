import type { Invalidation } from "../Invalidation.ts"

/** How many targets an invalidation names: keys, dependencies and patterns, and everything as one. */
export const targetsIn = ({ dependencies, everything, keys, patterns }: Invalidation): number =>
  keys.size + dependencies.size + patterns.size + (everything === undefined ? 0 : 1)
