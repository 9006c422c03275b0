/**
 * Policies as text: printing, and reading back as data.
 *
 *     policy      = conjunction { "or" conjunction }
 *     conjunction = factor { "and" factor }
 *     factor      = "(" policy ")" | leaf
 *     leaf        = name [ "(" arguments [ ";" severity ] ")" ]
 *
 * What holds a function prints as `<key>` or `<value>`, which does not read
 * back: a policy with functions has no text that could stand for it.
 */
import type * as Cron from "effect/Cron"
import type { InvalidInput } from "../../InvalidInput.ts"
import type { Severity } from "../../Verdict.ts"
import * as Crons from "../cron.ts"
import * as Durations from "../duration.ts"
import { mostPolicies } from "../limits.ts"
import { refused } from "../refused.ts"
import type { Case, Node } from "./node.ts"

// -----------------------------------------------------------------------------
// printing
// -----------------------------------------------------------------------------

const bare = /^[A-Za-z_][\w:./-]*$/
const word = (text: string): string => bare.test(text) && text !== "and" && text !== "or" ? text : JSON.stringify(text)

const hole = ({ from }: { readonly from: "key" | "value" }): string => `<${from}>`

const graded = (name: string, args: ReadonlyArray<string>, severity: Severity): string =>
  `${name}(${args.join(", ")}${severity === "Dead" ? "" : `; ${severity}`})`

const conditional = (node: Case<"Conditional">): string => {
  const fields = node.fields === undefined ? [] : [`[${node.fields.map(word).join(", ")}]`]
  const of = (selector: { readonly from: "key" | "value" } | undefined) =>
    selector === undefined ? [] : [hole(selector)]
  switch (node.scope._tag) {
    case "Row":
      return graded("conditional", [word(node.entity), ...fields, ...of(node.scope.ids)], node.severity)
    case "Partition":
      return graded(
        "conditionalIn",
        [word(node.entity), word(node.scope.partition), ...fields, ...of(node.scope.values)],
        node.severity
      )
    case "Type":
      return graded("conditionalAll", [word(node.entity), ...fields], node.severity)
  }
}

const ttl = (node: Case<"Ttl">): string => {
  const args = [Durations.format(node.fresh)]
  if (node.stale !== node.fresh) args.push(`stale ${Durations.format(node.stale)}`)
  if (node.onError !== node.stale) args.push(`onError ${Durations.format(node.onError)}`)
  if (node.jitter !== 0) args.push(`jitter ${node.jitter}`)
  return `ttl(${args.join(", ")})`
}

const until = (node: Case<"Until">): string => {
  const args = [...Crons.words(node.cron, word)]
  if (node.spread !== 0) args.push(`spread ${Durations.format(node.spread)}`)
  return graded("until", args, node.severity)
}

const versioned = (node: Case<"Versioned">): string => {
  const value = typeof node.current === "function" ? "<key>" : JSON.stringify(node.current)
  if (node.atLeast) return `versioned(${node.name} >= ${value})`
  return node.name === "version" ? `versioned(${value})` : `versioned(${node.name} = ${value})`
}

export const print = (node: Node): string => {
  switch (node._tag) {
    case "Forever":
      return "forever"
    case "Never":
      return node.because === undefined ? "never" : `never(${node.because})`
    case "Ttl":
      return ttl(node)
    case "Until":
      return until(node)
    case "Versioned":
      return versioned(node)
    case "Tagged":
      return graded(
        "tagged",
        "from" in node.tags ? [hole(node.tags)] : node.tags.map(word),
        node.severity
      )
    case "Conditional":
      return conditional(node)
    case "XFetch":
      return `xfetch(${node.beta})`
    case "And": {
      const side = (inner: Node) => inner._tag === "Or" ? `(${print(inner)})` : print(inner)
      // `and` groups to the left; a conjunction on the right keeps its brackets, so the tree reads back as it was.
      const right = node.right.node
      return `${side(node.left.node)} and ${right._tag === "And" ? `(${print(right)})` : side(right)}`
    }
    case "Or": {
      const right = node.right.node
      return `${print(node.left.node)} or ${right._tag === "Or" ? `(${print(right)})` : print(right)}`
    }
  }
}

// -----------------------------------------------------------------------------
// reading back
// -----------------------------------------------------------------------------

export const tooManyPolicies = (where: string): InvalidInput =>
  refused(
    where,
    "TooManyPolicies",
    `a policy may be made of ${mostPolicies} others, and this one is made of more. Many tags are one: tagged([...])`
  )

/** A policy without functions, as data. */
export type Syntax =
  | { readonly _tag: "Forever" }
  | { readonly _tag: "Never"; readonly because: string | null }
  | {
    readonly _tag: "Ttl"
    readonly fresh: number
    readonly stale: number
    readonly onError: number
    readonly jitter: number
  }
  | {
    readonly _tag: "Until"
    readonly cron: string
    readonly timeZone: string | null
    /** Whether both days and weekdays must match; either does otherwise. */
    readonly and: boolean
    readonly overlap: Cron.DstOverlapPolicy
    readonly spread: number
    readonly severity: Severity
  }
  | { readonly _tag: "Versioned"; readonly name: string; readonly current: string | number; readonly atLeast: boolean }
  | { readonly _tag: "Tagged"; readonly tags: ReadonlyArray<string>; readonly severity: Severity }
  | {
    readonly _tag: "Conditional"
    readonly entity: string
    readonly scope: "Row" | "Partition" | "Type"
    readonly partition: string
    readonly fields: ReadonlyArray<string> | null
    readonly severity: Severity
  }
  | { readonly _tag: "XFetch"; readonly beta: number }
  | { readonly _tag: "And"; readonly left: Syntax; readonly right: Syntax }
  | { readonly _tag: "Or"; readonly left: Syntax; readonly right: Syntax }

// No two of their parts take the same character, so that they never try again: texts may be long.
const digits = "(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:e[+-]?\\d+)?"
const aNumber = new RegExp(`-?${digits}`, "i")
const aPart = new RegExp(`(${digits})(ms|[dhms])`, "i")

const blank = /\s*/y

// A pattern looks only where the reader is.
const stickies = new WeakMap<RegExp, RegExp>()

const stickyOf = (pattern: RegExp): RegExp => {
  let sticky = stickies.get(pattern)
  if (sticky === undefined) stickies.set(pattern, sticky = new RegExp(pattern.source, `${pattern.flags}y`))
  return sticky
}

// So much of a text is shown around what is wrong in it.
const shown = 200

class Reader {
  readonly text: string
  private at = 0
  private depth = 0
  private leaves = 0

  constructor(text: string) {
    this.text = text
  }

  fail(wanted: string): never {
    throw refused(
      "Policy.FromString",
      "Unparsable",
      `expected ${wanted} at ${this.at} of ${this.shown()}`
    )
  }

  private shown(): string {
    const { at, text } = this
    if (text.length <= 2 * shown) return JSON.stringify(text)
    return `...${JSON.stringify(text.slice(Math.max(0, at - shown), at + shown))}...`
  }

  find(pattern: RegExp): RegExpExecArray | undefined {
    blank.lastIndex = this.at
    blank.exec(this.text)
    const sticky = stickyOf(pattern)
    sticky.lastIndex = blank.lastIndex
    const found = sticky.exec(this.text)
    if (found === null) return undefined
    this.at = sticky.lastIndex
    return found
  }

  take(pattern: RegExp): string | undefined {
    return this.find(pattern)?.[0]
  }

  /** Counts a policy that others are made of. */
  leaf(): void {
    if (++this.leaves > mostPolicies) throw tooManyPolicies("Policy.FromString")
  }

  /** Reads what stands in brackets. */
  inside<A>(read: () => A): A {
    if (++this.depth > mostPolicies) this.fail("fewer brackets within brackets")
    const inner = read()
    this.depth--
    return inner
  }

  takeAll(pattern: RegExp, wanted: string): string {
    return this.take(pattern) ?? this.fail(wanted)
  }

  has(pattern: RegExp): boolean {
    return this.take(pattern) !== undefined
  }

  word(): string {
    const quoted = this.take(/"(?:[^"\\]|\\.)*"/)
    if (quoted === undefined) return this.takeAll(/[A-Za-z_][\w:./-]*/, "a name")
    try {
      return JSON.parse(quoted) as string
    } catch {
      return this.fail("a quoted name")
    }
  }

  number(): number {
    return Number(this.takeAll(aNumber, "a number"))
  }

  duration(): number {
    if (this.has(/inf\b/)) return Infinity
    let total = 0
    let read = false
    for (;;) {
      const part = this.find(aPart)
      if (part === undefined) return read ? total : this.fail("a duration")
      const size = Durations.units.find(([name]) => name === part[2])?.[1] ?? this.fail("a unit of time")
      total += Number(part[1]) * size
      read = true
    }
  }

  /** `, item` any number of times. */
  more<A>(read: () => A): Array<A> {
    const all: Array<A> = []
    while (this.has(/,/)) all.push(read())
    return all
  }

  severity(): Severity {
    return this.has(/;/) ? this.takeAll(/Stale|OnError|Dead/, "a severity") as Severity : "Dead"
  }
}

const parseFields = (reader: Reader): ReadonlyArray<string> => {
  reader.takeAll(/\[/, "[")
  if (reader.has(/\]/)) return []
  const fields = [reader.word(), ...reader.more(() => reader.word())]
  reader.takeAll(/\]/, "]")
  return fields
}

const parseTtl = (reader: Reader): Syntax => {
  const fresh = reader.duration()
  let stale = fresh
  let onError: number | undefined
  let jitter = 0
  reader.more(() => {
    if (reader.has(/stale\b/)) stale = reader.duration()
    else if (reader.has(/onError\b/)) onError = reader.duration()
    else if (reader.has(/jitter\b/)) jitter = reader.number()
    else reader.fail("stale, onError or jitter")
  })
  return { _tag: "Ttl", fresh, stale, onError: onError ?? stale, jitter }
}

const parseVersioned = (reader: Reader): Syntax => {
  const name = reader.take(/[\w.-]+(?=\s*(?:>=|=))/)
  const atLeast = name !== undefined && reader.has(/>=/)
  if (name !== undefined && !atLeast) reader.takeAll(/=/, "=")
  const current = reader.has(/(?=")/) ? reader.word() : reader.number()
  return { _tag: "Versioned", name: name ?? "version", current, atLeast }
}

const parseTagged = (reader: Reader): Syntax => {
  const tags = reader.has(/(?=[;)])/) ? [] : [reader.word(), ...reader.more(() => reader.word())]
  return { _tag: "Tagged", tags, severity: reader.severity() }
}

const parseConditional = (reader: Reader, scope: "Row" | "Partition" | "Type"): Syntax => {
  const entity = reader.word()
  let partition = ""
  if (scope === "Partition") {
    reader.takeAll(/,/, "a partition")
    partition = reader.word()
  }
  const fields = reader.has(/,/) ? parseFields(reader) : null
  return { _tag: "Conditional", entity, scope, partition, fields, severity: reader.severity() }
}

const parseUntil = (reader: Reader): Syntax => {
  const cron = reader.word()
  let timeZone: string | null = null
  let and = false
  let overlap: Cron.DstOverlapPolicy = "earlier"
  let spread = 0
  reader.more(() => {
    if (reader.has(/days and weekdays\b/)) and = true
    else if (reader.has(/overlap\b/)) overlap = reader.takeAll(/earlier|later|both/, "which overlap") as typeof overlap
    else if (reader.has(/spread\b/)) spread = reader.duration()
    else if (timeZone === null) timeZone = reader.word()
    else reader.fail("one time zone")
  })
  return { _tag: "Until", cron, timeZone, and, overlap, spread, severity: reader.severity() }
}

const bracketed: Record<string, (reader: Reader) => Syntax> = {
  ttl: parseTtl,
  until: parseUntil,
  versioned: parseVersioned,
  tagged: parseTagged,
  conditional: (reader) => parseConditional(reader, "Row"),
  conditionalIn: (reader) => parseConditional(reader, "Partition"),
  conditionalAll: (reader) => parseConditional(reader, "Type"),
  xfetch: (reader) => ({ _tag: "XFetch", beta: reader.number() })
}

// Why a policy is `never`: text without brackets, but for those in quotes.
const reason = /\((?:[^()"]|"(?:[^"\\]|\\.)*")*\)/

const parseFactor = (reader: Reader): Syntax => {
  if (reader.has(/\(/)) {
    const inner = reader.inside(() => parseOr(reader))
    reader.takeAll(/\)/, ")")
    return inner
  }
  reader.leaf()
  const name = reader.takeAll(/[A-Za-z]+/, "a policy")
  if (name === "forever") return { _tag: "Forever" }
  if (name === "never") return { _tag: "Never", because: reader.take(reason)?.slice(1, -1) ?? null }
  if (!Object.hasOwn(bracketed, name)) return reader.fail("the name of a policy")
  reader.takeAll(/\(/, "(")
  const leaf = bracketed[name]!(reader)
  reader.takeAll(/\)/, ")")
  return leaf
}

const parseAnd = (reader: Reader): Syntax => {
  let left = parseFactor(reader)
  while (reader.has(/and\b/)) left = { _tag: "And", left, right: parseFactor(reader) }
  return left
}

const parseOr = (reader: Reader): Syntax => {
  let left = parseAnd(reader)
  while (reader.has(/or\b/)) left = { _tag: "Or", left, right: parseAnd(reader) }
  return left
}

export const parse = (text: string): Syntax => {
  const reader = new Reader(text)
  const policy = parseOr(reader)
  reader.takeAll(/$/, "the end")
  return policy
}
