/**
 * Policies that are not composed: their input is checked here, and becomes a condition of a plan.
 */
import type * as Cron from "effect/Cron"
import type * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import * as Dependency from "../../Dependency.ts"
import type { Severity } from "../../Verdict.ts"
import * as Crons from "../cron.ts"
import * as Dependencies from "../dependencies.ts"
import * as Durations from "../duration.ts"
import { fingerprint } from "../fingerprint.ts"
import * as Plan from "../plan.ts"
import { refused } from "../refused.ts"
import { toVersion, type Version } from "../stamp.ts"
import type { Scope, Tree } from "./node.ts"
import * as Selector from "./selector.ts"
import { make } from "./tree.ts"

export const forever: Tree = make({ _tag: "Forever" }, Plan.forever)

export const never = (because?: string): Tree => make({ _tag: "Never", because }, Plan.never)

export interface TtlOptions {
  readonly stale?: Duration.Input
  readonly staleFor?: Duration.Input
  readonly onError?: Duration.Input
  readonly onErrorFor?: Duration.Input
  readonly jitter?: number
}

export const ttl = (lifetime: Duration.Input, options: TtlOptions = {}): Tree => {
  const where = "Policy.ttl"
  const fresh = Durations.millis(where, "the lifetime", lifetime)
  const after = (
    start: number,
    age: Duration.Input | undefined,
    grace: Duration.Input | undefined,
    name: string
  ): number => {
    if (age !== undefined && grace !== undefined) {
      throw refused(where, "UnorderedDurations", `give ${name} or ${name}For, not both`)
    }
    if (age !== undefined) return Durations.millis(where, name, age)
    return grace === undefined ? start : start + Durations.millis(where, `${name}For`, grace)
  }
  const stale = after(fresh, options.stale, options.staleFor, "stale")
  const onError = after(stale, options.onError, options.onErrorFor, "onError")
  if (!(fresh <= stale && stale <= onError)) {
    const [first, second, third] = [fresh, stale, onError].map(Durations.format)
    throw refused(
      where,
      "UnorderedDurations",
      `the ages must be in order: fresh ${first}, stale ${second}, onError ${third}`
    )
  }
  const jitter = options.jitter ?? 0
  if (!(jitter >= 0 && jitter < 1)) {
    throw refused(where, "InvalidNumber", `jitter must be from 0 up to but not including 1, and is ${jitter}`)
  }
  const bound = (base: number) => base === Infinity ? [] : [{ base, jitter }]
  return make(
    { _tag: "Ttl", fresh, stale, onError, jitter },
    Plan.of({ fresh: bound(fresh), stale: bound(stale), onError: bound(onError) })
  )
}

export interface UntilOptions {
  readonly timeZone?: string
  readonly spread?: Duration.Input
  readonly severity?: Severity
}

export const until = (cron: string | Cron.Cron, options: UntilOptions = {}): Tree => {
  const where = "Policy.until"
  const parsed = Crons.parse(where, cron, options.timeZone)
  const spread = Durations.millis(where, "the spread", options.spread ?? 0)
  if (spread === Infinity) throw refused(where, "InvalidNumber", "the spread must be finite")
  const tick = { cron: parsed, spread, severity: options.severity ?? "Dead" }
  return make({ _tag: "Until", ...tick }, Plan.of({ ticks: [tick] }))
}

export interface VersionedOptions {
  readonly name?: string
  readonly atLeast?: boolean
}

export const versioned = (current: Version | Date | Plan.Current, options: VersionedOptions = {}): Tree => {
  const where = "Policy.versioned"
  const name = options.name ?? "version"
  if (!/^[\w.-]+$/.test(name)) {
    throw refused(where, "EmptyName", `a version's name is made of letters, digits, "_", "." and "-"`)
  }
  const version = {
    name,
    current: typeof current === "function" ? current : toVersion(where, name, current),
    atLeast: options.atLeast ?? false
  }
  return make({ _tag: "Versioned", ...version }, Plan.of({ versions: [version] }))
}

export const versionOf = (schema: Schema.Top, constant?: Version): string => {
  const where = "Policy.versionOf"
  let shape: string
  try {
    shape = fingerprint(schema)
  } catch (cause) {
    throw refused(where, "NotEncodable", `the schema has no JSON: ${String(cause)}`)
  }
  return constant === undefined ? shape : `${toVersion(where, "constant", constant)}:${shape}`
}

export const xfetch = (beta = 1): Tree => {
  if (!(beta > 0 && beta < Infinity)) {
    throw refused("Policy.xfetch", "InvalidNumber", `beta must be a positive number, and is ${beta}`)
  }
  return make({ _tag: "XFetch", beta }, Plan.of({ beta }))
}

// -----------------------------------------------------------------------------
// dependencies
// -----------------------------------------------------------------------------

type Names = Plan.Source["names"]

const known = new WeakMap<object, Map<string, Names>>()

/**
 * A source of dependencies. Two policies with one user function are one in
 * normal form, so what wraps the function for one purpose must be one too.
 */
const sourceOf = <A>(
  selector: Selector.Selector<A>,
  purpose: string,
  severity: Severity,
  namesOf: (named: A) => ReadonlyArray<Dependency.Dependency>
): Plan.Source => {
  const { from, select } = selector
  let purposes = known.get(select)
  if (purposes === undefined) known.set(select, purposes = new Map())
  let names = purposes.get(`${from} ${purpose}`)
  if (names === undefined) {
    names = (key, value) => Selector.ask(selector, key, value).flatMap(namesOf)
    purposes.set(`${from} ${purpose}`, names)
  }
  return { from, names, severity }
}

const constantsOf = (names: ReadonlyArray<Dependency.Dependency>, severity: Severity): Plan.Plan =>
  Plan.of({ constants: new Map(names.map((name) => [name, severity])) })

export const tagged = (
  tags: string | ReadonlyArray<string> | Selector.Selector<string>,
  severity: Severity = "Dead"
): Tree => {
  if (typeof tags === "object" && "from" in tags) {
    const source = sourceOf(tags, "tagged", severity, (tag) => [Dependency.tag(tag)])
    return make({ _tag: "Tagged", tags, severity }, Plan.of({ sources: [source] }))
  }
  const list = typeof tags === "string" ? [tags] : [...new Set(tags)]
  return make({ _tag: "Tagged", tags: list, severity }, constantsOf(list.map(Dependency.tag), severity))
}

/** What a `conditional` names of a row, or of a partition, once it is known which. */
const conditionalNames =
  (entity: string, fields: ReadonlyArray<string> | undefined, scope: Exclude<Scope, { readonly _tag: "Type" }>) =>
  (id: Dependency.Id): ReadonlyArray<Dependency.Dependency> =>
    scope._tag === "Row"
      ? [
        Dependencies.exists(entity, id),
        ...fields?.map((field) => Dependencies.rowField(entity, id, field)) ?? [Dependencies.row(entity, id)]
      ]
      : [
        Dependencies.partitionMembers(entity, scope.partition, id),
        ...(fields ?? []).map((field) => Dependencies.partitionField(entity, scope.partition, id, field))
      ]

export const conditional = (
  entity: string,
  given: ReadonlyArray<string> | undefined,
  scope: Scope,
  severity: Severity = "Dead"
): Tree => {
  const fields = given && [...new Set(given)]
  const node = { _tag: "Conditional", entity, fields, scope, severity } as const
  if (scope._tag === "Type") {
    const names = (fields ?? []).map((field) => Dependencies.typeField(entity, field))
    return make(node, constantsOf([Dependencies.typeMembers(entity), ...names], severity))
  }
  const selector = (scope._tag === "Row" ? scope.ids : scope.values) ?? Selector.byKey
  const purpose = JSON.stringify([entity, fields?.toSorted(), scope._tag === "Partition" ? scope.partition : null])
  const source = sourceOf(selector, purpose, severity, conditionalNames(entity, fields, scope))
  return make(node, Plan.of({ sources: [source] }))
}

/** An entity as far as a policy is concerned. */
export interface Declared {
  readonly name: string
  readonly fields: ReadonlyArray<string>
  readonly partitions: ReadonlyArray<string>
  readonly relations: ReadonlyArray<string>
}

/**
 * Refuses what an entity does not have: it is never said to have changed, so a
 * policy that named it would trust its entries for ever.
 */
export const mustHave = (
  where: string,
  entity: Declared,
  what: string,
  has: ReadonlyArray<string>,
  named: ReadonlyArray<string> = []
): void => {
  const unknown = named.find((name) => !has.includes(name))
  if (unknown !== undefined) {
    throw refused(where, "UnknownField", `"${entity.name}" has no ${what} "${unknown}"`)
  }
}
