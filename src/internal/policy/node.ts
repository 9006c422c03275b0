/**
 * What a policy is inside: a tree of cases, and its normal form. `Policy` shows users neither.
 */
import type * as Cron from "effect/Cron"
import type { Id } from "../../Dependency.ts"
import type { Severity } from "../../Verdict.ts"
import type * as Plan from "../plan.ts"
import type { Version } from "../stamp.ts"
import type { Selector } from "./selector.ts"

export interface Tree {
  readonly node: Node
  readonly plan: Plan.Plan
  /** Of how many policies it is made. */
  readonly size: number
}

/** What a `Conditional` looks at. Without ids or values the key itself says it. */
export type Scope =
  | { readonly _tag: "Row"; readonly ids: Selector<Id> | undefined }
  | { readonly _tag: "Partition"; readonly partition: string; readonly values: Selector<Id> | undefined }
  | { readonly _tag: "Type" }

/** Durations are milliseconds. */
export type Node =
  | { readonly _tag: "Forever" }
  | { readonly _tag: "Never"; readonly because: string | undefined }
  | {
    readonly _tag: "Ttl"
    readonly fresh: number
    readonly stale: number
    readonly onError: number
    readonly jitter: number
  }
  | { readonly _tag: "Until"; readonly cron: Cron.Cron; readonly spread: number; readonly severity: Severity }
  | {
    readonly _tag: "Versioned"
    readonly name: string
    readonly current: Version | Plan.Current
    readonly atLeast: boolean
  }
  | {
    readonly _tag: "Tagged"
    readonly tags: ReadonlyArray<string> | Selector<string>
    readonly severity: Severity
  }
  | {
    readonly _tag: "Conditional"
    readonly entity: string
    readonly fields: ReadonlyArray<string> | undefined
    readonly scope: Scope
    readonly severity: Severity
  }
  | { readonly _tag: "XFetch"; readonly beta: number }
  | { readonly _tag: "And"; readonly left: Tree; readonly right: Tree }
  | { readonly _tag: "Or"; readonly left: Tree; readonly right: Tree }

/** The node of one case. */
export type Case<Tag extends Node["_tag"]> = Extract<Node, { readonly _tag: Tag }>
