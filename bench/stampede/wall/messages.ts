/**
 * What the process that measures and its workers tell each other.
 */
import type { Scenario } from "../scenario.ts"
import type { Stretch } from "./scenarios.ts"

/** Who plays, where, and as which of the processes. */
export interface Part {
  readonly contender: string
  readonly scenario: Scenario
  readonly process: number
  readonly url: string
  readonly prefix: string
  readonly seed: number
  /** How long ours waits for an answer of the server. */
  readonly timeLimit: number
}

/** A load as the process saw it that asked for it. Times are milliseconds since the beginning of the stretch. */
export interface LoadRecord {
  /** The value: no other load of any process has it. */
  readonly name: number
  readonly key: number
  readonly start: number
  readonly end: number
  readonly good: boolean
  readonly stored: boolean
}

/** All that one process saw. Requests are in columns. */
export interface Observed {
  readonly process: number
  readonly loads: ReadonlyArray<LoadRecord>
  readonly keys: ReadonlyArray<number>
  readonly ats: ReadonlyArray<number>
  readonly ends: ReadonlyArray<number>
  /** The name of the load whose value was given; below 0 what became of it instead, as in the log. */
  readonly given: ReadonlyArray<number>
  readonly changes: ReadonlyArray<{ readonly key: number; readonly at: number; readonly known: number }>
  /** How many commands its clients of `ioredis` sent from `from` to `until`. */
  readonly commands: number
}

export type ToWorker =
  | { readonly _tag: "Prepare"; readonly part: Part }
  /** Begin when the clock says so, and take what arrives until the stretch ends. */
  | { readonly _tag: "Go"; readonly at: number; readonly stretch: Stretch }
  | { readonly _tag: "Loaded"; readonly name: number; readonly good: boolean }
  | { readonly _tag: "Close" }

export type ToParent =
  | { readonly _tag: "Born" }
  | { readonly _tag: "Prepared" }
  | { readonly _tag: "Load"; readonly name: number; readonly key: number }
  | { readonly _tag: "Done"; readonly observed: Observed }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Failed"; readonly message: string }

/** Milliseconds of the clock that all processes of this machine share, and that nobody sets. */
export const clock = (): number => Number(process.hrtime.bigint()) / 1e6

export const sleep = (millis: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, millis)))
