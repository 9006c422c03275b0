/**
 * Policies made of others: met, joined, and given other keys and values.
 */
import * as Plan from "../plan.ts"
import { conditional, never, tagged, versioned } from "./leaves.ts"
import type { Case, Scope, Tree } from "./node.ts"
import * as Selector from "./selector.ts"
import { make } from "./tree.ts"

// -----------------------------------------------------------------------------
// the lattice
// -----------------------------------------------------------------------------

interface Constant {
  readonly node: Case<"Versioned">
  readonly plan: Plan.Plan
}

const constantsOf = ({ node, plan }: Tree): ReadonlyArray<Constant> => {
  switch (node._tag) {
    case "And":
    case "Or":
      return [...constantsOf(node.left), ...constantsOf(node.right)]
    case "Versioned":
      return typeof node.current === "function" ? [] : [{ node, plan }]
    default:
      return []
  }
}

const conflict = (left: Tree, right: Tree): string | undefined => {
  const wanted = ({ node }: Constant) => `${node.atLeast ? ">= " : ""}${JSON.stringify(node.current)}`
  for (const a of constantsOf(left)) {
    const b = constantsOf(right).find((other) => isNever(Plan.and(a.plan, other.plan)))
    if (b !== undefined) return `${a.node.name} cannot be both ${wanted(a)} and ${wanted(b)}`
  }
}

const isNever = (plan: Plan.Plan): boolean => plan.alternatives.length === 0

export const and = (left: Tree, right: Tree): Tree => {
  const plan = Plan.and(left.plan, right.plan)
  return isNever(plan) && !isNever(left.plan) && !isNever(right.plan)
    ? never(conflict(left, right))
    : make({ _tag: "And", left, right }, plan)
}

export const or = (left: Tree, right: Tree): Tree => make({ _tag: "Or", left, right }, Plan.or(left.plan, right.plan))

/** All of several policies by `and` or `or`; the unit for none. */
export const fold =
  (combine: (a: Tree, b: Tree) => Tree, unit: Tree) => (...policies: ReadonlyArray<Tree | undefined>): Tree => {
    const given = policies.filter((policy) => policy !== undefined)
    return given.length === 0 ? unit : given.reduce(combine)
  }

// -----------------------------------------------------------------------------
// other keys and values
// -----------------------------------------------------------------------------

type Fn = (...args: ReadonlyArray<never>) => unknown

/** How a policy's functions are to be given other inputs. */
interface Inputs {
  readonly onKey: (key: never) => unknown
  readonly onValue: (value: never) => unknown
  /**
   * What has been mapped already. One function after another is one function,
   * or a policy would not equal itself when it is made twice.
   */
  readonly done: { readonly key: WeakMap<Fn, Fn>; readonly value: WeakMap<Fn, Fn> }
}

const mappings = { key: new WeakMap<Fn, Inputs>(), value: new WeakMap<Fn, Inputs>() }

const inputsBy = (side: "key" | "value", f: (input: never) => unknown): Inputs => {
  const same = (input: never): unknown => input
  let inputs = mappings[side].get(f)
  if (inputs === undefined) {
    inputs = {
      onKey: side === "key" ? f : same,
      onValue: side === "value" ? f : same,
      done: { key: new WeakMap(), value: new WeakMap() }
    }
    mappings[side].set(f, inputs)
  }
  return inputs
}

const mapFunction = <F extends Fn>(f: F, from: "key" | "value", { done, onKey, onValue }: Inputs): F => {
  let mapped = done[from].get(f)
  if (mapped === undefined) {
    mapped = from === "key"
      ? (key) => f(onKey(key) as never)
      : (value, key) => f(onValue(value) as never, onKey(key) as never)
    done[from].set(f, mapped)
  }
  return mapped as F
}

const mapSelector = <A>({ from, select }: Selector.Selector<A>, inputs: Inputs): Selector.Selector<A> =>
  ({ from, select: mapFunction(select, from, inputs) }) as Selector.Selector<A>

const mapScope = (scope: Scope, inputs: Inputs): Scope => {
  switch (scope._tag) {
    case "Row":
      return { _tag: "Row", ids: mapSelector(scope.ids ?? Selector.byKey, inputs) }
    case "Partition":
      return { ...scope, values: mapSelector(scope.values ?? Selector.byKey, inputs) }
    case "Type":
      return scope
  }
}

const mapInputs = (policy: Tree, inputs: Inputs): Tree => {
  const { node } = policy
  switch (node._tag) {
    case "And":
      return and(mapInputs(node.left, inputs), mapInputs(node.right, inputs))
    case "Or":
      return or(mapInputs(node.left, inputs), mapInputs(node.right, inputs))
    case "Versioned":
      return typeof node.current === "function" ? versioned(mapFunction(node.current, "key", inputs), node) : policy
    case "Tagged":
      return "from" in node.tags ? tagged(mapSelector(node.tags, inputs), node.severity) : policy
    case "Conditional":
      return conditional(node.entity, node.fields, mapScope(node.scope, inputs), node.severity)
    default:
      return policy
  }
}

export const contramapKey = (self: Tree, f: (key: never) => unknown): Tree => mapInputs(self, inputsBy("key", f))

export const contramapValue = (self: Tree, f: (value: never) => unknown): Tree => mapInputs(self, inputsBy("value", f))
