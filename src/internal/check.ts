/**
 * Checks of what users give that several modules need.
 */
import { refused } from "./refused.ts"

/** An integer from `least` to `most`, both included; `least` is 1 unless given. */
export const integer = (
  where: string,
  name: string,
  value: number,
  { least = 1, most = Number.MAX_SAFE_INTEGER }: { readonly least?: number; readonly most?: number } = {}
): number => {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  const bounds = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  throw refused(where, "InvalidNumber", `${name} must be an integer ${bounds}, and is ${String(value)}`)
}

/** A name that is not empty. `what` says of what, for the message: "an entity". */
export const name = (where: string, what: string, given: string): string => {
  if (typeof given === "string" && given.length > 0) return given
  throw refused(where, "EmptyName", `${what} needs a name`)
}
