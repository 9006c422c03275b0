/** What the parent and the processes of a history say to each other. */
import type { RowKey } from "./workload.ts"

export type CacheKind =
  | { readonly _tag: "node"; readonly url: string }
  | { readonly _tag: "cluster"; readonly nodes: ReadonlyArray<{ readonly host: string; readonly port: number }> }
  | { readonly _tag: "naive"; readonly url: string }
  | { readonly _tag: "memory" }

export interface Job {
  readonly p: string
  readonly file: string
  readonly cache: CacheKind
  readonly prefix: string
  readonly seed: number
  readonly acknowledge: "primary" | "replicas"
  /** Milliseconds that an operation of the store may take. */
  readonly timeLimit: number
  readonly failures: number
  readonly openFor: number
  readonly readers: number
  readonly writers: number
  /** Milliseconds by which the wall clock is wrong, from so many milliseconds after the start. */
  readonly clock: ReadonlyArray<{ readonly after: number; readonly by: number }>
  /** Dies while it writes behind a fence, so many milliseconds after the start. */
  readonly crashAfter: number | undefined
}

/** Many callers of one key at once. */
export interface Storm {
  readonly of: "cold" | "expiring" | "staling" | "failing" | "refused"
  readonly key: RowKey
  readonly callers: number
  /** Each calls again and again until it gets another value than this; once, if there is none. */
  readonly not?: string | undefined
}

export interface StormResult {
  readonly values: ReadonlyArray<string>
  readonly errors: ReadonlyArray<string>
  readonly calls: number
  /** So many calls had to wait for a load. */
  readonly waited: number
}

export type ToWorker =
  | { readonly _tag: "Prepare"; readonly job: Job }
  | { readonly _tag: "Go" }
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Storm"; readonly storm: Storm }
  | { readonly _tag: "Answer"; readonly n: number; readonly v: number; readonly tag: string; readonly before: string }

export type ToParent =
  | { readonly _tag: "Born" }
  | { readonly _tag: "Prepared" }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Trouble"; readonly what: string }
  | { readonly _tag: "Stormed"; readonly result: StormResult }
  | {
    readonly _tag: "Ask"
    readonly n: number
    readonly p: string
    readonly key: string
    readonly write: boolean
    readonly move: string | undefined
  }
