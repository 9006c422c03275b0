/**
 * Patterns of keys: the fields of a definition's keys that are fixed.
 */
import * as Invalidation from "../../Invalidation.ts"
import type * as Key from "../../Key.ts"
import { encodeName } from "../keys.ts"
import { refused } from "../refused.ts"
import type { Definition } from "./definitions.ts"

type Fixable<K> = Extract<keyof Key.Fixed<K>, string>

// What each key of a union takes in a field, all at once: functions are asked, since parameters intersect.
type Taken<K, N> = (K extends unknown ? (_: N extends keyof K ? K[N] : never) => void : never) extends
  (_: infer A) => void ? A : never

/**
 * What may be fixed in keys of the types of a union: the fields that all of them
 * have, with values that each of them takes. An empty object type would take any.
 */
export type FixedInAll<K> = [Fixable<K>] extends [never] ? Record<string, never>
  : { readonly [N in Fixable<K>]?: Taken<K, N> }

export const pattern = ({ key, name }: Definition, fixed: object): Invalidation.Invalidation => {
  const none = key.pattern({})
  for (const [field, value] of Object.entries(fixed)) {
    // A name that fixes nothing would leave the pattern as wide as the definition.
    if (key.pattern({ [field]: value }).every((part, i) => part === none[i])) {
      throw refused("Cached.pattern", "UnknownField", `the key of "${name}" has no field "${field}"`)
    }
  }
  return Invalidation.pattern({ name: encodeName(name), parts: key.pattern({ ...fixed }) })
}
