/**
 * What measured stampedes become: a file, tables for the terminal, and the page of `bench/laboratory`.
 */
import type { Spread } from "../measure/harness.ts"
import type { Scenario } from "./scenario.ts"
import type { Summary } from "./summary.ts"

/**
 * For each request. Bytes are those that the server counted. It counts what scripts run as commands, too; of those who
 * run scripts, commands are what their clients sent.
 */
export interface Traffic {
  readonly commands: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** What one strategy, or another library, did in a scenario. */
export interface Outcome {
  readonly id: string
  readonly title: string
  readonly about: string
  /** The policy as it prints; undefined for what is none. */
  readonly policy: string | undefined
  readonly summary: Summary
  /** On the wall clock only. */
  readonly traffic?: Traffic
  /** On the wall clock only: the same in virtual time, of what runs there. */
  readonly simulated?: Summary
}

/** All that ran in one scenario. */
export interface Result {
  readonly world: "virtual" | "wall"
  readonly scenario: Scenario
  readonly outcomes: ReadonlyArray<Outcome>
}

/** A table of ratios of another benchmark. */
export interface RatioTable {
  readonly title: string
  readonly note: string | undefined
  readonly reference: string
  /** Ratios are rates: more is better. Else they are times: less is better. */
  readonly rate: boolean
  readonly rows: ReadonlyArray<{ readonly name: string; readonly nanos: number; readonly ratio: Spread }>
}

/** All of a run of the benchmarks. */
export interface Report {
  readonly startedAt: string
  /** How it was run, to run it again. */
  readonly command: string
  readonly seed: number
  /** In lines, for people. */
  readonly machine: string
  readonly results: ReadonlyArray<Result>
  readonly tables: ReadonlyArray<RatioTable>
}
