import type { Address } from "../CacheStore.ts"

/** Where the entry and the lease of an address lie: its key, and its version after it. No key contains a `#`. */
export const placeOf = ({ key, version }: Pick<Address, "key" | "version">): string =>
  version === undefined ? key : `${key}#${version}`

/** The key of a place. */
export const keyOf = (place: string): string => {
  const end = place.indexOf("#")
  return end < 0 ? place : place.slice(0, end)
}
