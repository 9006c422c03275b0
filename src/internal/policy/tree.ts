/**
 * Makes policies: a tree of cases with its normal form, equal to another when the normal forms are.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import { mostPolicies } from "../limits.ts"
import * as Plan from "../plan.ts"
import type { Node, Tree } from "./node.ts"
import * as Text from "./text.ts"

const TypeId = "~effect-cache-algebra/Policy"

const variance = {
  _Key: (_: never) => {},
  _Value: (_: never) => {},
  _Error: (): never => undefined as never,
  _Requirements: (): never => undefined as never
}

const Proto = {
  ...Pipeable.Prototype,
  [TypeId]: variance,
  [Equal.symbol](this: Tree, that: unknown): boolean {
    return isTree(that) && Plan.equals(this.plan, that.plan)
  },
  [Hash.symbol](this: Tree): number {
    // Coarse on purpose: all that one normal form's spellings surely share.
    return Hash.number(this.plan.alternatives.length)
  },
  toString(this: Tree): string {
    return Text.print(this.node)
  },
  toJSON(this: Tree): unknown {
    return { _id: "Policy", policy: this.toString() }
  },
  [Symbol.for("nodejs.util.inspect.custom")](this: Tree): string {
    return this.toString()
  }
}

/** Throws `InvalidInput` for a policy that is made of too many others. */
export const make = (node: Node, plan: Plan.Plan): Tree => {
  const size = node._tag === "And" || node._tag === "Or" ? node.left.size + node.right.size : 1
  if (size > mostPolicies) throw Text.tooManyPolicies(`Policy.${node._tag.toLowerCase()}`)
  return Object.assign(Object.create(Proto), { node, plan, size })
}

export const isTree = (u: unknown): u is Tree => Predicate.hasProperty(u, TypeId)

/** A policy as users have it. */
export interface Opaque {
  readonly [TypeId]: unknown
}

/** What a policy is inside. */
export const of = (policy: Opaque): Tree => policy as never
