/**
 * Why an entry is served or not, and what a definition depends on: for people.
 */
import * as Cause from "effect/Cause"
import * as Cron from "effect/Cron"
import * as Exit from "effect/Exit"
import type { CacheStore, Inspection } from "../CacheStore.ts"
import * as Dependency from "../Dependency.ts"
import * as Key from "../Key.ts"
import * as Verdict from "../Verdict.ts"
import type { Counters } from "./counters.ts"
import { type Definition, type KeyAddress, kindOf, open, type Versions } from "./definition.ts"
import * as Dependencies from "./dependencies.ts"
import * as Durations from "./duration.ts"
import { titleOf } from "./keys.ts"
import { own } from "./own.ts"
import * as Plan from "./plan.ts"
import type { Case, Tree } from "./policy/node.ts"
import * as Text from "./policy/text.ts"
import type { Stamp, Version } from "./stamp.ts"
import { slack } from "./steady.ts"
import { ofChange } from "./verdicts.ts"

/**
 * Why an entry is served or not: the policy as a tree, with each leaf's verdict
 * and its reason. `toString` draws it.
 *
 * @category observing
 * @since 0.1.0
 */
export interface Explanation {
  readonly key: string
  /** What a read would find; `Dead` also when nothing is stored. */
  readonly verdict: Verdict.Verdict
  /** Whether an entry is stored. A removed one may still be explained. */
  readonly stored: boolean
  readonly because: string
  readonly tree: Part | undefined
  toString(): string
}

export interface Part {
  readonly label: string
  readonly verdict: Verdict.Verdict
  readonly because: string
  readonly parts: ReadonlyArray<Part>
}

/** A length of time for people: `3.2 s`, `4 min`, `2 h`. */
export const ago = (millis: number): string => {
  if (!Number.isFinite(millis)) return millis === Infinity ? "ever" : "some time"
  const [unit, size] = Durations.units.find(([, size]) => millis >= size) ?? ["ms", 1]
  return `${Math.round(millis / size * 10) / 10} ${unit === "m" ? "min" : unit}`
}

interface Seen {
  readonly address: KeyAddress
  readonly plan: Plan.Plan
  readonly content: unknown
  /** Whether only the facts of a removed entry are left. */
  readonly gone: boolean
  readonly stamp: Stamp
  readonly changed: ReadonlyMap<Dependency.Dependency, Verdict.Mode>
  readonly changedAt: ReadonlyMap<Dependency.Dependency, number>
  readonly versions: Readonly<Record<string, Version>>
  readonly now: number
}

// A leaf numbers its own computed versions; its facts are found under the numbers of the whole plan.
const slotsOf = (
  leaf: Plan.Plan,
  seen: Seen,
  from: Readonly<Record<string, Version>>
): Record<string, Version> => {
  const mine: Record<string, Version> = { ...from }
  for (const { current, name, slot } of leaf.computed) {
    const whole = seen.plan.computed.find((c) => c.name === name && c.current === current)?.slot
    const version = whole === undefined ? undefined : from[whole]
    if (version === undefined) delete mine[slot]
    else mine[slot] = version
  }
  return mine
}

const judgeLeaf = (policy: Tree, seen: Seen): Verdict.Verdict => {
  if (looksAtLostValue(policy, seen)) {
    const { node } = policy
    const severity = node._tag === "Tagged" || node._tag === "Conditional" ? node.severity : "Dead"
    return recordedFor(policy, seen)
      .flatMap((name): ReadonlyArray<Verdict.Verdict> => {
        const mode = seen.changed.get(name)
        return mode === undefined ? [] : [ofChange(severity, mode)]
      })
      .reduce(Verdict.meet, "Fresh")
  }
  const stamp = { ...seen.stamp, versions: slotsOf(policy.plan, seen, seen.stamp.versions) }
  const armed = Plan.arm(policy.plan, seen.address.input, seen.content, stamp)
  return Plan.judge(armed, seen.now, () => 1, seen.changed, slotsOf(policy.plan, seen, seen.versions))
}

// A function of the value cannot be asked about a value that is gone. What it named then is among what was recorded.
const looksAtLostValue = ({ plan }: { readonly plan: Plan.Plan }, seen: Seen): boolean =>
  seen.gone && plan.fromValue.length > 0

const recordedFor = ({ node }: Tree, seen: Seen): ReadonlyArray<Dependency.Dependency> =>
  seen.stamp.dependencies.filter((name) =>
    node._tag === "Tagged"
      ? Dependencies.isTag(name)
      : node._tag === "Conditional" && Dependencies.isOf(name, node.entity)
  )

const namesOf = (policy: Tree, seen: Seen): ReadonlyArray<Dependency.Dependency> => {
  if (looksAtLostValue(policy, seen)) return recordedFor(policy, seen)
  const known = Plan.knownDependencies(policy.plan, seen.address.input)
  return [...known, ...Plan.foundDependencies(policy.plan, seen.address.input, seen.content, known)]
}

const changesOf = (policy: Tree, seen: Seen): ReadonlyArray<string> => {
  const names = namesOf(policy, seen)
  const recorded = new Set(seen.stamp.dependencies)
  return names.flatMap((name) => {
    const mode = seen.changed.get(name)
    if (mode === undefined) {
      return recorded.has(name) ? [] : [`${Dependency.format(name)} was no dependency when it was loaded`]
    }
    const at = seen.changedAt.get(name)
    const when = at === undefined ? "" : ` ${ago(seen.now - at)} ago`
    return [`${Dependency.format(name)} invalidated${mode === "soft" ? " softly" : ""}${when}`]
  })
}

/** Why no age of an entry can be true, if none can. */
const fromTheFuture = ({ now, stamp }: Seen): string | undefined =>
  now < Math.max(stamp.storedAt, stamp.beganAt) - slack
    ? `stored at a time that comes in ${ago(stamp.storedAt - now)}: a clock was set back`
    : undefined

const ttlReason = (node: Case<"Ttl">, seen: Seen): string => {
  const future = node.fresh === Infinity ? undefined : fromTheFuture(seen)
  if (future !== undefined) return future
  const age = Math.max(0, seen.now - seen.stamp.storedAt)
  const shortened = 1 - node.jitter * seen.stamp.jitter
  const until = (millis: number) => ago(millis * shortened)
  const grace = [
    ...(node.stale > node.fresh ? [`stale until ${until(node.stale)}`] : []),
    ...(node.onError > node.stale ? [`on error until ${until(node.onError)}`] : [])
  ]
  return [`age ${ago(age)} of ${until(node.fresh)}`, ...grace].join(", ")
}

const untilReason = (node: Case<"Until">, seen: Seen): string => {
  const tick = Plan.tickAfter(node.cron, seen.stamp)
  if (tick === Infinity) return "never ticks again"
  const future = fromTheFuture(seen)
  if (future !== undefined) return future
  const end = Plan.endByTick(node, seen.stamp)
  const ends = end > tick && end > seen.now ? `, ends in ${ago(end - seen.now)}` : ""
  return (tick <= seen.now ? `ticked ${ago(seen.now - tick)} ago` : `ticks in ${ago(tick - seen.now)}`) + ends
}

const versionReason = (policy: Tree, seen: Seen): string => {
  const node = policy.node as Case<"Versioned">
  const slot = typeof node.current === "function"
    ? seen.plan.computed.find((c) => c.current === node.current && c.name === node.name)?.slot ?? ""
    : node.name
  const now = typeof node.current === "function" ? own(seen.versions, slot) : node.current
  return `loaded under ${node.name} ${own(seen.stamp.versions, slot) ?? "none"}, now ${now ?? "none"}`
}

const xfetchReason = (beta: number, seen: Seen): string => {
  if (looksAtLostValue(seen, seen)) return ""
  const armed = Plan.arm(seen.plan, seen.address.input, seen.content, seen.stamp)
  const end = armed.alternatives.reduce((last, { freshUntil }) => Math.max(last, freshUntil), -Infinity)
  if (!Number.isFinite(end)) return "nothing ends freshness"
  if (seen.now >= end) return "freshness has ended"
  const spread = beta * seen.stamp.duration
  const chance = spread === 0 ? 0 : Math.exp((seen.now - end) / spread)
  return `the load took ${ago(seen.stamp.duration)}; a read refreshes with chance ${chance.toPrecision(2)}`
}

const reasonOf = (policy: Tree, seen: Seen): string => {
  const { node } = policy
  switch (node._tag) {
    case "Ttl":
      return ttlReason(node, seen)
    case "Until":
      return untilReason(node, seen)
    case "Versioned":
      return versionReason(policy, seen)
    case "XFetch":
      return xfetchReason(node.beta, seen)
    case "Tagged":
    case "Conditional":
      return changesOf(policy, seen).join("; ") || "unchanged"
    default:
      return ""
  }
}

const partOf = (policy: Tree, seen: Seen): Part => {
  const { node } = policy
  if (node._tag !== "And" && node._tag !== "Or") {
    return { label: Text.print(node), verdict: judgeLeaf(policy, seen), because: reasonOf(policy, seen), parts: [] }
  }
  const sides = [partOf(node.left, seen), partOf(node.right, seen)]
  const label = node._tag.toLowerCase()
  const parts = sides.flatMap((side) => side.label === label && side.parts.length > 0 ? side.parts : [side])
  const verdict = sides.map((side) => side.verdict).reduce(node._tag === "And" ? Verdict.meet : Verdict.join)
  return { label, verdict, because: "", parts }
}

const decisive = (part: Part): string =>
  part.verdict === "Fresh"
    ? "all of its policy holds"
    : part.parts.length === 0
    ? part.because || part.label
    : part.parts.filter((p) => p.verdict === part.verdict).map(decisive).join("; ")

const lineOf = ({ because, label, verdict }: Part): string =>
  `${label}  ${verdict}${because === "" ? "" : `: ${because}`}`

/** Each line once, behind the branches that it hangs from. */
const draw = (part: Part, branch = "", trunk = ""): ReadonlyArray<string> => [
  branch + lineOf(part),
  ...part.parts.flatMap((child, i) =>
    i === part.parts.length - 1
      ? draw(child, `${trunk}└─ `, `${trunk}   `)
      : draw(child, `${trunk}├─ `, `${trunk}│  `)
  )
]

const explanation = (fields: Omit<Explanation, "toString">): Explanation => ({
  ...fields,
  toString() {
    const head = `${Key.format(fields.key)} is ${fields.verdict}: ${fields.because}`
    return fields.tree === undefined ? head : [head, ...draw(fields.tree)].join("\n")
  }
})

const beside = (inspection: Inspection): ReadonlyArray<string> => [
  ...(inspection.leased === undefined ? [] : ["a load is under way"]),
  ...(inspection.fenced ? ["a fence stands over it"] : [])
]

/** Explains what a store knows of a key. */
export const make = (
  address: KeyAddress,
  inspection: Inspection,
  versions: Versions,
  now: number,
  store: CacheStore,
  counters: Counters,
  whyUnstored?: string
): Explanation => {
  const { definition, key } = address
  const { entry, removed } = inspection
  const none = (because: string) =>
    explanation({
      key,
      verdict: "Dead",
      stored: false,
      because: [because, ...beside(inspection)].join("; "),
      tree: undefined
    })
  if (entry === undefined) {
    return none(["nothing is stored", ...(whyUnstored === undefined ? [] : [whyUnstored])].join("; "))
  }
  const kind = kindOf(definition, entry.stamp.failure)
  if (kind === undefined) return none("a stored failure that is not cached any more")
  let content: unknown
  if (removed === undefined) {
    const view = open(address, { ...entry, memo: undefined }, store, counters)
    if (view === undefined) return none("what is stored cannot be read")
    content = Exit.isSuccess(view.exit) ? view.exit.value : Cause.squash(view.exit.cause)
  }
  // What it was made of is not part of its policy, so it is shown beside it.
  const { partsUntil, ...stamp } = entry.stamp
  const seen: Seen = {
    address,
    plan: kind.plan,
    content,
    gone: removed !== undefined,
    stamp,
    changed: entry.changed ?? new Map(),
    changedAt: inspection.changedAt,
    versions: entry.stamp.failure ? versions.failure : versions.value,
    now
  }
  const tree = partOf(kind.policy, seen)
  const parts = Plan.judge(Plan.arm(Plan.forever, address.input, content, entry.stamp), now, () => 1, undefined, {})
  const judged = Verdict.meet(Verdict.meet(tree.verdict, parts), entry.softened ? "Stale" : "Fresh")
  const gone = removed === undefined
    ? undefined
    : removed.because === "invalidated" && judged === "Dead"
    ? undefined
    : `${removed.because}${Number.isFinite(removed.at) ? ` ${ago(now - removed.at)} ago` : ""}`
  const why = [
    ...(gone === undefined ? [] : [gone]),
    ...(entry.softened ? ["the key was invalidated softly"] : []),
    ...(partsUntil === undefined ? [] : ["it was made of something stale"]),
    ...(gone === undefined || judged !== "Fresh" ? [decisive(tree)] : []),
    ...beside(inspection)
  ]
  return explanation({
    key,
    verdict: removed === undefined ? judged : "Dead",
    stored: removed === undefined,
    because: why.filter((reason) => reason !== "").join("; "),
    tree
  })
}

// -----------------------------------------------------------------------------
// describing
// -----------------------------------------------------------------------------

/**
 * What a definition depends on, for documentation and review. `toString` writes
 * it for people.
 *
 * @category observing
 * @since 0.1.0
 */
export interface Description {
  readonly name: string
  readonly version: string | undefined
  readonly key: ReadonlyArray<string>
  readonly policy: string
  readonly failures: string | undefined
  readonly invalidatedBy: ReadonlyArray<string>
  /** What its schemas write as the same text: `undefined and null at ["a"]`. A store that keeps text may not keep such a value. */
  readonly ambiguous: ReadonlyArray<string>
  toString(): string
}

/** Whether the key or the value says what a policy depends on; without a selector the key does. */
export const dependsOn = (selector: { readonly from: "key" | "value" } | undefined): string =>
  `of the ${selector?.from ?? "key"}`

const fieldsOf = (fields: ReadonlyArray<string> | undefined): string =>
  fields === undefined ? "anything" : fields.length === 0 ? "" : fields.join(", ")

export const conditionalText = (node: Case<"Conditional">): string => {
  const { entity, scope } = node
  const fields = fieldsOf(node.fields)
  switch (scope._tag) {
    case "Row":
      return `the ${entity} ${dependsOn(scope.ids)}: ${fields === "" ? "" : `${fields}, `}coming or going`
    case "Partition":
      return `the ${entity}s of a ${scope.partition} ${dependsOn(scope.values)}: ${
        fields === "" ? "" : `${fields}, `
      }membership`
    case "Type":
      return `any ${entity}: ${fields === "" ? "" : `${fields}, `}membership`
  }
}

const causes = (policy: Tree): ReadonlyArray<string> => {
  const { node } = policy
  switch (node._tag) {
    case "And":
    case "Or":
      return [...causes(node.left), ...causes(node.right)]
    case "Ttl":
      return node.fresh === Infinity ? [] : [`age ${Durations.format(node.fresh)}`]
    case "Until":
      return [
        `the clock: ${Cron.format(node.cron)}${
          node.spread === 0 ? "" : `, or up to ${Durations.format(node.spread)} later`
        }`
      ]
    case "Versioned":
      return [`another ${node.name}`]
    case "Tagged":
      return "from" in node.tags ? [`tags ${dependsOn(node.tags)}`] : node.tags.map((tag) => `tag ${tag}`)
    case "Conditional":
      return [conditionalText(node)]
    case "Never":
      return ["at once"]
    default:
      return []
  }
}

/** Describes a definition, from its policy. */
export const describe = (definition: Definition): Description => {
  const description = {
    name: definition.name,
    version: definition.version,
    key: definition.key.fields,
    policy: Text.print(definition.value.policy.node),
    failures: definition.failures && Text.print(definition.failures.policy.node),
    invalidatedBy: [
      ...new Set([
        "its key",
        ...causes(definition.value.policy),
        ...(definition.failures === undefined
          ? []
          : causes(definition.failures.policy).map((cause) => `failures: ${cause}`))
      ])
    ],
    ambiguous: [
      ...definition.value.codec.ambiguity().pairs,
      ...(definition.failures?.codec.ambiguity().pairs ?? []).map((pair) => `failures: ${pair}`)
    ]
  }
  return {
    ...description,
    toString() {
      return [
        titleOf(description),
        `  policy: ${description.policy}`,
        ...(description.failures === undefined ? [] : [`  failures: ${description.failures}`]),
        "  invalidated by:",
        ...description.invalidatedBy.map((cause) => `    - ${cause}`),
        ...(description.ambiguous.length === 0 ? [] : ["  written as the same text:"]),
        ...description.ambiguous.map((pair) => `    - ${pair}`)
      ].join("\n")
    }
  }
}
