/**
 * Which cached values depend on what, for a whole program: as data, as tables, and as a graph.
 *
 * All is read from the policies. A part of a policy that its normal form does without is left out: of
 * `tagged(a) or (tagged(a) and tagged(b))` the tag `b` ends nothing.
 */
import type * as Cron from "effect/Cron"
import * as Dependency from "../Dependency.ts"
import type * as Verdict from "../Verdict.ts"
import type { Definition } from "./definition.ts"
import * as Durations from "./duration.ts"
import * as Explain from "./explain.ts"
import { titleOf } from "./keys.ts"
import * as Plan from "./plan.ts"
import type { Case, Tree } from "./policy/node.ts"
import * as Text from "./policy/text.ts"
import type { Version } from "./stamp.ts"

/** An entity as far as a catalogue is concerned. */
export interface Declared {
  readonly name: string
  readonly fields: ReadonlyArray<string>
  readonly relations: ReadonlyArray<string>
}

/** The longest ages, in milliseconds; jitter may shorten them. All are 0 for what is never kept. */
export interface Lifetime {
  readonly fresh: number
  readonly stale: number
  readonly onError: number
}

/** What ends a cached value. */
export type Cause = {
  /** For people. */
  readonly label: string
  /** What becomes of the value. */
  readonly severity: Verdict.Severity
  /** Whether it does so whatever else holds; else an alternative of the policy may still hold. */
  readonly always: boolean
  /** Whether it ends a cached failure rather than a value. */
  readonly failure: boolean
} & What

export type What =
  | {
    readonly _tag: "Entity"
    readonly entity: string
    /** Undefined: any. That a row comes or goes always counts, and for a partition its own field. */
    readonly fields: ReadonlyArray<string> | undefined
    readonly scope: "row" | "partition" | "all"
    readonly partition: string | undefined
    /** What says which rows. */
    readonly from: "key" | "value" | undefined
  }
  /** Without a name: a tag that is computed from the key or the value. */
  | { readonly _tag: "Tag"; readonly name: string | undefined; readonly from: "key" | "value" | undefined }
  /** Without `current`: a version that is read for each key. */
  | {
    readonly _tag: "Version"
    readonly name: string
    readonly current: Version | undefined
    readonly atLeast: boolean
  }
  | { readonly _tag: "Tick"; readonly cron: Cron.Cron }

/** One cached value. */
export interface Row {
  readonly name: string
  readonly key: ReadonlyArray<string>
  readonly policy: string
  readonly lifetime: Lifetime
  readonly failures: { readonly policy: string; readonly lifetime: Lifetime } | undefined
  readonly causes: ReadonlyArray<Cause>
}

/** What can change, and what that invalidates. */
export interface Change {
  readonly kind: "field" | "otherFields" | "membership" | "tag" | "computedTag" | "version"
  readonly entity: string | undefined
  /** The field, tag or version; of `otherFields` those that are known. */
  readonly names: ReadonlyArray<string>
  /** For people. */
  readonly label: string
  readonly invalidates: ReadonlyArray<Invalidated>
}

/** What a change does to a cached value at worst; to cached failures where it does nothing to values. */
export interface Invalidated {
  readonly name: string
  readonly severity: Verdict.Severity
  readonly always: boolean
  /** Whether only cached failures are concerned. */
  readonly failure: boolean
}

// -----------------------------------------------------------------------------
// from policies
// -----------------------------------------------------------------------------

const entityOf = (node: Case<"Conditional">): What => {
  const { entity, fields, scope } = node
  const about = { _tag: "Entity" as const, entity, fields, partition: undefined, from: undefined }
  switch (scope._tag) {
    case "Row":
      return { ...about, scope: "row", from: scope.ids?.from ?? "key" }
    case "Partition":
      return { ...about, scope: "partition", partition: scope.partition, from: scope.values?.from ?? "key" }
    case "Type":
      return { ...about, scope: "all" }
  }
}

// All fields of a known entity are the same as any.
const generalized = (policy: Pick<Tree, "node">, declared: ReadonlyArray<Declared>): Pick<Tree, "node"> => {
  const { node } = policy
  const entity = node._tag === "Conditional" && declared.find(({ name }) => name === node.entity)
  if (!entity || node._tag !== "Conditional") return policy
  const named = new Set(node.fields)
  return [...entity.fields, ...entity.relations].every((field) => named.has(field))
    ? { node: { ...node, fields: undefined } }
    : policy
}

type Found = { readonly label: string; readonly severity: Verdict.Severity } & What

const found = ({ node }: Pick<Tree, "node">): ReadonlyArray<Found> => {
  switch (node._tag) {
    case "Until":
      return [{ _tag: "Tick", cron: node.cron, severity: node.severity, label: Text.print(node) }]
    case "Versioned": {
      const { atLeast, current, name } = node
      const constant = typeof current === "function" ? undefined : current
      return [{ _tag: "Version", name, current: constant, atLeast, severity: "Dead", label: `another ${name}` }]
    }
    case "Tagged": {
      const { severity, tags } = node
      return "from" in tags
        ? [{ _tag: "Tag", name: undefined, from: tags.from, severity, label: `tags ${Explain.dependsOn(tags)}` }]
        : tags.map((name) => ({ _tag: "Tag", name, from: undefined, severity, label: `tag ${name}` }))
    }
    case "Conditional":
      return [{ ...entityOf(node), severity: node.severity, label: Explain.conditionalText(node) }]
    default:
      return []
  }
}

const leavesOf = (policy: Tree): ReadonlyArray<Tree> =>
  policy.node._tag === "And" || policy.node._tag === "Or"
    ? [...leavesOf(policy.node.left), ...leavesOf(policy.node.right)]
    : [policy]

// To demand once more what is demanded already changes nothing.
const demands = (alternative: Plan.Plan, leaf: Pick<Tree, "plan">): boolean =>
  Plan.equals(Plan.and(alternative, leaf.plan), alternative)

// Each of several tags is demanded for itself, or not.
const tagByTag = (leaf: Tree): ReadonlyArray<Pick<Tree, "node" | "plan">> => {
  const { node } = leaf
  return node._tag !== "Tagged" || "from" in node.tags ? [leaf] : node.tags.map((tag) => ({
    node: { ...node, tags: [tag] },
    plan: Plan.of({ constants: new Map([[Dependency.tag(tag), node.severity]]) })
  }))
}

const causesOf = (
  policy: Tree,
  failure: boolean,
  declared: ReadonlyArray<Declared>
): ReadonlyArray<Cause> => {
  const alternatives = policy.plan.alternatives.map((alternative) => Plan.of(alternative))
  return leavesOf(policy).flatMap(tagByTag).flatMap((leaf) => {
    const causes = found(generalized(leaf, declared))
    const count = causes.length === 0 ? 0 : alternatives.filter((alternative) => demands(alternative, leaf)).length
    return count === 0 ? [] : causes.map((cause) => ({ ...cause, always: count === alternatives.length, failure }))
  })
}

const longest = (plan: Plan.Plan, of: (alternative: Plan.Alternative) => ReadonlyArray<Plan.Bound>): number =>
  greatest(plan.alternatives.map((one) => of(one).reduce((least, { base }) => Math.min(least, base), Infinity)))

const lifetimeOf = ({ plan }: Tree): Lifetime => ({
  fresh: longest(plan, (a) => a.fresh),
  stale: longest(plan, (a) => a.stale),
  onError: longest(plan, (a) => a.onError)
})

const about = (policy: Tree) => ({ policy: Text.print(policy.node), lifetime: lifetimeOf(policy) })

// Equal in all but the functions, which are not shown.
const distinct = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...new Map(all.map((one) => [JSON.stringify(one), one])).values()
]

export const rowOf = (definition: Definition, declared: ReadonlyArray<Declared>): Row => {
  const { failures, key, name, value } = definition
  return {
    name,
    key: key.fields,
    ...about(value.policy),
    failures: failures && about(failures.policy),
    causes: distinct([
      ...causesOf(value.policy, false, declared),
      ...(failures === undefined ? [] : causesOf(failures.policy, true, declared))
    ])
  }
}

// -----------------------------------------------------------------------------
// the other direction
// -----------------------------------------------------------------------------

const rank = (cause: Cause): number =>
  (cause.failure ? 0 : 8) + { Dead: 4, OnError: 2, Stale: 0 }[cause.severity] +
  (cause.always ? 1 : 0)

const invalidatedBy = (
  rows: ReadonlyArray<Row>,
  concerns: (cause: Cause) => boolean
): ReadonlyArray<Invalidated> =>
  rows.flatMap(({ causes, name }) => {
    const worst = causes.filter(concerns).toSorted((a, b) => rank(b) - rank(a))[0]
    if (worst === undefined) return []
    const { always, failure, severity } = worst
    return [{ name, severity, always, failure }]
  })

const unique = (names: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(names)]

type EntityCause = Extract<Cause, { readonly _tag: "Entity" }>

const changesOfEntity = (rows: ReadonlyArray<Row>, entity: string, declared: Declared | undefined) => {
  const isOf = (cause: Cause): cause is EntityCause => cause._tag === "Entity" && cause.entity === entity
  const causes = rows.flatMap((row) => row.causes.filter(isOf))
  const named = unique(causes.flatMap((c) => [...c.fields ?? [], ...c.partition === undefined ? [] : [c.partition]]))
  const known = declared === undefined ? named : [...declared.fields, ...declared.relations]
  const fields = known.filter((field) => named.includes(field))
  const others = known.filter((field) => !named.includes(field))
  const change = (
    kind: Change["kind"],
    names: ReadonlyArray<string>,
    label: string,
    concerns: (cause: EntityCause) => boolean
  ): Change => ({
    kind,
    entity,
    names,
    label,
    invalidates: invalidatedBy(rows, (cause) => isOf(cause) && concerns(cause))
  })
  const rest = declared !== undefined && others.length === 0
    ? []
    : [change(
      "otherFields",
      others,
      `${entity}: any ${fields.length === 0 ? "" : "other "}field${
        others.length === 0 ? "" : ` (${others.join(", ")})`
      }`,
      (cause) => cause.fields === undefined
    )]
  return [
    ...fields.map((field) =>
      change(
        "field",
        [field],
        `${entity}.${field}`,
        (cause) => cause.fields === undefined || cause.fields.includes(field) || cause.partition === field
      )
    ),
    // Of an entity that was not declared, only the fields that something depends on are known.
    ...rest.filter(({ invalidates }) => declared !== undefined || invalidates.length > 0),
    change("membership", [], `${entity}: coming or going`, () => true)
  ]
}

export const changesOf = (rows: ReadonlyArray<Row>, declared: ReadonlyArray<Declared>): ReadonlyArray<Change> => {
  const causes = rows.flatMap((row) => row.causes)
  const entities = unique([
    ...declared.map(({ name }) => name),
    ...causes.flatMap((c) => c._tag === "Entity" ? [c.entity] : [])
  ])
  const tags = unique(causes.flatMap((c) => c._tag === "Tag" && c.name !== undefined ? [c.name] : []))
  const versions = unique(causes.flatMap((c) => c._tag === "Version" ? [c.name] : []))
  const change = (kind: Change["kind"], name: string | undefined, label: string, tag: What["_tag"]): Change => ({
    kind,
    entity: undefined,
    names: name === undefined ? [] : [name],
    label,
    invalidates: invalidatedBy(rows, (cause) => cause._tag === tag && "name" in cause && cause.name === name)
  })
  return [
    ...entities.flatMap((entity) => changesOfEntity(rows, entity, declared.find(({ name }) => name === entity))),
    ...tags.map((tag) => change("tag", tag, `tag ${tag}`, "Tag")),
    change("computedTag", undefined, "a tag that is computed", "Tag"),
    ...versions.map((name) => change("version", name, `another ${name}`, "Version"))
  ].filter(({ entity, invalidates }) => entity !== undefined || invalidates.length > 0)
}

// -----------------------------------------------------------------------------
// tables
// -----------------------------------------------------------------------------

/** Whatever ends lines and controls terminals is one space. */
export const oneLine = (text: string): string => text.replaceAll(/[\s\p{Cc}\u2028\u2029]+/gu, " ")

/** Half a character would be none once it is written as UTF-8. */
export const wellFormed = (text: string): string => text.replaceAll(/\p{Cs}/gu, "\ufffd")

/** The greatest of any number of numbers, and at least 0. */
export const greatest = (all: ReadonlyArray<number>): number => all.reduce((a, b) => Math.max(a, b), 0)

/** `5m, stale 6m`: how long a value is kept at most. */
export const kept = ({ fresh, onError, stale }: Lifetime): string => {
  if (onError === 0) return "nothing is kept"
  if (fresh === Infinity) return "no limit"
  return [
    Durations.format(fresh),
    ...(stale > fresh ? [`stale ${Durations.format(stale)}`] : []),
    ...(onError > stale ? [`on error ${Durations.format(onError)}`] : [])
  ].join(", ")
}

const remarks = (of: { readonly severity: Verdict.Severity; readonly always: boolean }): ReadonlyArray<string> => [
  ...(of.severity === "Dead" ? [] : [of.severity]),
  ...(of.always ? [] : ["unless an alternative holds"])
]

const remarked = (text: string, all: ReadonlyArray<string>): string =>
  all.length === 0 ? text : `${text} (${all.join(", ")})`

/** A cause in words. */
export const wordsOf = (cause: Cause): string =>
  `${cause.failure ? "failures: " : ""}${
    // A printed expression has its severity in it.
    remarked(cause.label, remarks(cause._tag === "Tick" ? { ...cause, severity: "Dead" } : cause))}`

const briefly = (of: { readonly severity: Verdict.Severity; readonly always: boolean }): ReadonlyArray<string> => [
  ...(of.severity === "Dead" ? [] : [of.severity]),
  ...(of.always ? [] : ["perhaps"])
]

const invalidatedWords = (one: Invalidated): string =>
  remarked(one.name, [...(one.failure ? ["failures"] : []), ...briefly(one)])

/** A list in lines that are not too long. */
export const filled = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < 80) lines[lines.length - 1] = `${last}, ${word}`
    else {
      if (last !== undefined) lines[lines.length - 1] = `${last},`
      lines.push(word)
    }
  }
  return lines
}

export interface Table {
  readonly head: ReadonlyArray<string>
  /** Each cell has one or more lines. */
  readonly rows: ReadonlyArray<ReadonlyArray<ReadonlyArray<string>>>
}

export const valuesTable = (rows: ReadonlyArray<Row>): Table => ({
  head: ["cached value", "kept", "invalidated by"],
  rows: rows.map((row) => [
    [titleOf(row)],
    [kept(row.lifetime), ...(row.failures === undefined ? [] : [`failures ${kept(row.failures.lifetime)}`])],
    row.causes.length === 0 ? ["nothing but its key"] : row.causes.map(wordsOf)
  ])
})

export const changesTable = (
  changes: ReadonlyArray<Change>,
  lines: (words: ReadonlyArray<string>) => ReadonlyArray<string>
): Table => ({
  head: ["what changes", "what that invalidates"],
  rows: changes.map(({ invalidates, label }) => [
    [label],
    invalidates.length === 0 ? ["nothing"] : lines(invalidates.map(invalidatedWords))
  ])
})

export const asText = ({ head, rows }: Table): string => {
  const all = [head.map((name) => [name]), ...rows].map((row) => row.map((cell) => cell.map(oneLine)))
  const widths = head.map((_, i) => greatest(all.flatMap((row) => row[i]!.map((line) => line.length))))
  const lines = ([first, ...more]: ReadonlyArray<ReadonlyArray<ReadonlyArray<string>>>): ReadonlyArray<string> =>
    first === undefined ? [] : [
      ...Array.from(
        { length: greatest(first.map((cell) => cell.length)) },
        (_, j) => first.map((cell, i) => (cell[j] ?? "").padEnd(widths[i]!)).join("  ").trimEnd()
      ),
      ...lines(more)
    ]
  const [heading, ...rest] = lines(all)
  return [heading, widths.map((width) => "-".repeat(width)).join("  "), ...rest].join("\n")
}

// Whatever could begin something of its own in Markdown or HTML; a bar would end the cell, also within code.
const markdown = (text: string): string =>
  oneLine(text).replaceAll(/[\\`*_{}[\]<>&#|~$@]|:\/\//g, (char) => `&#${char.charCodeAt(0)};${char.slice(1)}`)

export const asMarkdown = ({ head, rows }: Table): string =>
  [
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---").join("|")}|`,
    ...rows.map((row) => `| ${row.map((cell) => cell.map(markdown).join("<br>")).join(" | ")} |`)
  ].join("\n")

// -----------------------------------------------------------------------------
// the graph
// -----------------------------------------------------------------------------

// Mermaid takes characters by their number. All that is not plain is written so: a colon after the word "style" is enough to lose the rest.
const numbered = (text: string): string =>
  wellFormed(oneLine(text)).replaceAll(/[^\w ,.()-]/gu, (char) => `#${char.codePointAt(0)};`)

const label = (lines: ReadonlyArray<string>): string => `"${lines.map(numbered).join("<br/>")}"`

const what = (cause: Cause): string => {
  if (cause._tag !== "Entity") return ""
  const rows = { row: "", partition: ` in the ${cause.partition}`, all: " of any" }[cause.scope]
  const fields = cause.fields === undefined
    ? "anything"
    : cause.fields.length === 0
    ? cause.scope === "row" ? "existence" : "members"
    : cause.fields.join(", ")
  return `${fields}${rows}`
}

const sourceOf = (cause: Cause): string => {
  switch (cause._tag) {
    case "Entity":
      return cause.entity
    case "Tag":
      return cause.name === undefined ? `tags of the ${cause.from}` : `tag ${cause.name}`
    case "Version":
      return `${cause.name} (version)`
    case "Tick":
      return cause.label
  }
}

export const asMermaid = (rows: ReadonlyArray<Row>, changes: ReadonlyArray<Change>): string => {
  const kinds = ["Entity", "Tag", "Version", "Tick"] as const
  const causes = rows.flatMap((row) => row.causes)
  const nameOf = (cause: Cause): string => JSON.stringify([cause._tag, sourceOf(cause)])
  const order = unique(changes.flatMap(({ entity }) => entity ?? []))
  const placeOf = (cause: Cause): number => cause._tag === "Entity" ? order.indexOf(cause.entity) : 0
  const sources = kinds.flatMap((kind) => [
    ...new Map(causes.filter((c) => c._tag === kind).map((c) => [nameOf(c), c])).values()
  ]).toSorted((a, b) => kinds.indexOf(a._tag) - kinds.indexOf(b._tag) || placeOf(a) - placeOf(b))
  const ids = new Map(sources.map((cause, i) => [nameOf(cause), `s${i}`]))
  const fieldsOf = (cause: Cause): ReadonlyArray<string> => {
    const fields = cause._tag !== "Entity" ? [] : changes
      .filter(({ entity, kind }) => kind === "field" && entity === cause.entity)
      .flatMap(({ names }) => names)
    return fields.length === 0 ? [] : [fields.join(", ")]
  }
  const node = (cause: Cause): string => {
    const text = label([sourceOf(cause), ...fieldsOf(cause)])
    return `  ${ids.get(nameOf(cause))}${cause._tag === "Entity" ? `[${text}]` : `(${text})`}`
  }
  return [
    "flowchart LR",
    ...sources.map(node),
    ...rows.map((row, i) => `  v${i}([${label([titleOf(row)])}])`),
    ...unique(rows.flatMap(({ causes }, i) =>
      causes.map((cause) => {
        const arrow = cause.severity === "Dead" && cause.always ? "-->" : "-.->"
        const words = remarked(`${cause.failure ? "failures: " : ""}${what(cause)}`, briefly(cause)).trim()
        return `  ${ids.get(nameOf(cause))} ${arrow}${words === "" ? "" : `|${label([words])}|`} v${i}`
      })
    ))
  ].join("\n")
}
