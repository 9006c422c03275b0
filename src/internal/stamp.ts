/**
 * The facts of a load that are stored beside its result.
 */
import type { Dependency } from "../Dependency.ts"
import { refused } from "./refused.ts"

/**
 * A version as it is stored and compared.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = string | number

/**
 * The facts recorded when a load ends. Entries hold facts, never verdicts, so a
 * new deploy with a changed policy judges old entries by the new policy.
 *
 * - `storedAt`: milliseconds of the store's clock.
 * - `beganAt`: when the load began, in milliseconds of the store's clock. What a
 *   load saw may be as old as that, so ticks are counted from here.
 * - `duration`: milliseconds the load took; the larger of the last one and a
 *   decaying average, since one fast load makes a poor estimate.
 * - `jitter`: one draw in [0, 1) for all jitter of the entry's lifetime.
 * - `versions`: by slot, as observed **before** the load began.
 * - `dependencies`: what the vector holds tokens of.
 * - `shape`: fingerprint of the value's schema, for stores that keep text.
 * - `failure`: whether a typed failure is stored in the value's place.
 * - `behind`: there if the store's clock was set back: by how many milliseconds the
 *   times of this stamp are ahead of it. Ticks are counted by the calendar, so
 *   without them.
 * - `partsUntil`: there if the load was given something stale by a cached read:
 *   until when that may be served, in milliseconds of the store's clock. What was
 *   made of it is stale from the start, and dead from then on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stamp {
  readonly storedAt: number
  readonly beganAt: number
  readonly duration: number
  readonly jitter: number
  readonly versions: Readonly<Record<string, Version>>
  readonly dependencies: ReadonlyArray<Dependency>
  readonly shape: string
  readonly failure: boolean
  readonly behind?: number
  readonly partsUntil?: number
}

/**
 * A version in the form in which it is stored. Throws `InvalidInput` for
 * anything but a string, a finite number, or a valid date.
 */
export const toVersion = (where: string, name: string, version: unknown): Version => {
  const value = version instanceof Date ? version.getTime() : version
  if (typeof value === "string" || (typeof value === "number" && Number.isFinite(value))) return value
  throw refused(
    where,
    "InvalidVersion",
    `version "${name}" must be a string, number or date, and is ${String(version)}`
  )
}
