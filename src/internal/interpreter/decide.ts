/**
 * What a read does next, by what it knows. Nothing else decides it: a single read
 * and one of several go the same way.
 *
 * | the store | what was found | then |
 * |---|---|---|
 * | failed | | load alone, share a load, or fail (`storeFailure`) |
 * | answered | fresh | serve |
 * | | servable, and refreshed in the background | serve and refresh |
 * | | anything else | load |
 *
 * Inside of a load nothing is refreshed in the background but what is `Refresh`.
 * When it was to be loaded:
 *
 * | what came of it | if | then |
 * |---|---|---|
 * | loaded | | conclude |
 * | refused | for the fourth time | load alone |
 * | | else | look again |
 * | found | | look at that entry |
 * | circle | the old value may still be served | fall back on it |
 * | | else | die |
 * | in a batch that waits for it | | load by itself |
 * | written by what waits for it | | load alone |
 * | late | the old value may still be served | fall back on it |
 * | | else | look again |
 * | busy elsewhere | servable, and only the caller who refreshes waits | serve |
 * | | waited for `softTimeout`, and the old value may still be served | fall back on it |
 * | | waited for `waitLimit` | load alone |
 * | | else | wait, then look again |
 * | the store failed | | load alone, share a load, or fail (`storeFailure`) |
 */
import type * as Verdict from "../../Verdict.ts"
import * as Verdicts from "../verdicts.ts"

/** Which callers wait while an entry that may still be served is refreshed. */
export type Refresh = "background" | "caller" | "everyone"

/** What a read does when the store fails: load for its caller alone, share loads with others of this process, or fail. */
export type StoreFailure = "load" | "share" | "fail"

/** What a definition says of its reads. Limits are milliseconds. */
export interface Rules {
  readonly refresh: Refresh
  readonly softTimeout: number | undefined
  readonly waitLimit: number
  readonly storeFailure: StoreFailure
}

/** The verdict on what was found: `Nothing`, if there was no entry or none that can be read. */
export type Found = Verdict.Verdict | "Nothing"

/** Whether it may be served at once, and be refreshed meanwhile. */
export const isServable = (found: Found): boolean => found !== "Nothing" && Verdicts.isServable(found)

/**
 * Which callers wait for a refresh of what was found. Inside of a load all do, since what is made must not be older than
 * its parts; but what is refreshed early is still fresh.
 */
export const refreshOf = (found: Found, rules: Rules, insideLoad: boolean): Refresh =>
  insideLoad && found !== "Refresh" ? "everyone" : rules.refresh

/** What a read does with what it has found. */
export type AtFirst = "serve" | "serve and refresh" | "load"

export const atFirst = (found: Found, rules: Rules, insideLoad: boolean): AtFirst =>
  found === "Fresh"
    ? "serve"
    : isServable(found) && refreshOf(found, rules, insideLoad) === "background"
    ? "serve and refresh"
    : "load"

/** How filling a key went. `Refused` is a load whose result this read may not be given. */
export type Came =
  | "Loaded"
  | "Refused"
  | "Found"
  | "Circle"
  | "InBatch"
  | "Writing"
  | "Late"
  | "Busy"
  | "StoreFailed"

/**
 * What is known when it is over.
 *
 * - `old`: whether what was found may be served now, in place of a load.
 * - `refused`: how often a load was refused by now.
 * - `waited`: milliseconds since the read began.
 */
export interface Tried {
  readonly came: Came
  readonly found: Found
  readonly insideLoad: boolean
  readonly old: boolean
  readonly refused: number
  readonly waited: number
}

export type Next =
  | { readonly _tag: "Conclude" }
  | { readonly _tag: "Serve" }
  | { readonly _tag: "FallBack" }
  | { readonly _tag: "LookAgain" }
  | { readonly _tag: "LookAtFound" }
  | { readonly _tag: "Wait"; readonly atMost: number }
  | { readonly _tag: "LoadAlone" }
  | { readonly _tag: "Share" }
  | { readonly _tag: "LoadByItself" }
  | { readonly _tag: "Die" }
  | { readonly _tag: "Fail" }

// A caller looks again this many times after a load that it joined was refused; then it loads for itself.
const mostRefused = 4

export const afterwards = (tried: Tried, rules: Rules): Next => {
  switch (tried.came) {
    case "Loaded":
      return { _tag: "Conclude" }
    case "Refused":
      return tried.refused < mostRefused ? { _tag: "LookAgain" } : { _tag: "LoadAlone" }
    case "Found":
      return { _tag: "LookAtFound" }
    case "Circle":
      return tried.old ? { _tag: "FallBack" } : { _tag: "Die" }
    case "InBatch":
      return { _tag: "LoadByItself" }
    case "Writing":
      return { _tag: "LoadAlone" }
    case "Late":
      return tried.old ? { _tag: "FallBack" } : { _tag: "LookAgain" }
    case "StoreFailed":
      return withoutStore(rules)
    case "Busy":
      return whileBusy(tried, rules)
  }
}

/** What a read does when the store failed. */
export const withoutStore = ({ storeFailure }: Rules) => nextWithoutStore[storeFailure]

const nextWithoutStore = {
  load: { _tag: "LoadAlone" },
  share: { _tag: "Share" },
  fail: { _tag: "Fail" }
} as const

/** Another process has the lease, or a write-through of this one. */
const whileBusy = ({ found, insideLoad, old, waited }: Tried, rules: Rules): Next => {
  const { softTimeout, waitLimit } = rules
  if (isServable(found) && refreshOf(found, rules, insideLoad) === "caller") return { _tag: "Serve" }
  if (old && softTimeout !== undefined && waited >= softTimeout) return { _tag: "FallBack" }
  if (waited >= waitLimit) return { _tag: "LoadAlone" }
  const limit = old && softTimeout !== undefined ? Math.min(softTimeout, waitLimit) : waitLimit
  return { _tag: "Wait", atMost: limit - waited }
}
