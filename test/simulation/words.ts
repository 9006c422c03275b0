/** What is done, and what goes wrong, in plain English. */
import type { Target } from "./judge.ts"
import type { Act, Fault, Field, Plan } from "./plan.ts"

export const processName = (process: number): string => `P${process + 1}`

/** Milliseconds since the first step. */
export const timeOf = (us: number): string => `${(us / 1000).toFixed(2)} ms`

export const listOf = (all: ReadonlyArray<string>): string =>
  all.length < 3 ? all.join(" and ") : `${all.slice(0, -1).join(", ")} and ${all.at(-1)}`

/** `tag:0`, a stored key, as what a reader of the story asks for: `tag(0)`. */
export const keyName = (stored: string): string => stored.replace(/^(.+?):(.*)$/, "$1($2)")

const readWords: Record<Exclude<Act["do"], "write" | "set">, string> = {
  get: "reads",
  getOption: "reads with getOption",
  getEntry: "reads with getEntry",
  peekEntry: "looks, with peekEntry, at",
  refresh: "refreshes",
  getMany: "reads with getMany"
}

/** What a process is asked for; nothing for what writes, which tells of itself. */
export const actInWords = (act: Act): string | undefined => {
  if (act.do === "write" || act.do === "set") return undefined
  const rows = act.do === "getMany" ? act.rows : [act.row]
  return `${readWords[act.do]} ${listOf(rows.map((row) => `${act.of}(${row})`))}`
}

const fieldWords: Record<Field, string> = {
  a: "field a",
  b: "field b",
  group: "its group",
  presence: "whether it is there"
}

export const writeInWords = (row: number, field: Field, version: number): string =>
  `row ${row} is written (${fieldWords[field]}): version ${version}`

export const targetInWords = (target: Target): string => {
  const [kind = "", ...rest] = target.split(":")
  const [what = "", field] = rest.join(":").split(".")
  switch (kind) {
    case "*":
      return "everything"
    case "tag":
      return `tag ${what}`
    case "key":
      return keyName(what)
    case "of":
      return `every ${what}`
    case "row":
      return field === undefined ? `row ${what}` : `field ${field} of row ${what}`
    case "in":
      return field === undefined ? `group ${what}` : `field ${field} in group ${what}`
    default:
      return target.includes(".") ? `field ${target.split(".")[1]} of any row` : "which rows there are"
  }
}

const howWords: Readonly<Record<string, string>> = {
  apply: "invalidates",
  publish: "publishes a change of",
  mutate: "begins to mutate",
  transaction: "begins a transaction that invalidates",
  set: "sets"
}

/** What the judge calls an invalidation: `apply soft tag:t0, row:0.a`. */
export const callInWords = (what: string): string => {
  const [, how = "", soft, targets = ""] = /^(\w+) (soft )?(.*)$/.exec(what) ?? []
  const named = how === "set" ? targets : listOf(targets.split(", ").map(targetInWords))
  return `${howWords[how] ?? how} ${named}${soft === undefined ? "" : ", softly"}`
}

/** The same, once it is over. */
export const endInWords = (what: string): string =>
  what.startsWith("mutate ")
    ? "its mutate"
    : what.startsWith("transaction ")
    ? "its transaction"
    : what.startsWith("set ")
    ? "its set"
    : "its invalidation"

const evictedWords = {
  entry: "entries",
  lease: "leases",
  marker: "markers",
  keyMarker: "markers of keys",
  journal: "the journal",
  fences: "the record of fences",
  any: "keys"
} as const

/** Where a fault happens, and what it is. */
export const faultInWords = (
  fault: Fault,
  { processes }: Pick<Plan, "processes">
): readonly [where: string, what: string] => {
  const at = "process" in fault ? processName(fault.process % processes) : "world"
  switch (fault.fault) {
    case "pause":
      return [at, `stands still for ${fault.ms} ms`]
    case "crash":
      return [at, "dies"]
    case "leave":
      return [at, "is told to end"]
    case "interrupt":
      return [at, "what it does is interrupted"]
    case "cut":
      return [at, "loses a connection"]
    case "stall":
      return [at, `nothing reaches it ${fault.server === undefined ? "" : "from one server "}for ${fault.ms} ms`]
    case "wallClock":
      return [at, `its wall clock is set by ${fault.ms} ms`]
    case "cutAll":
      return [at, "every connection is cut"]
    case "freeze":
      return [at, `a server stands still for ${fault.ms} ms`]
    case "full":
      return [at, `a server is out of memory for ${fault.ms} ms`]
    case "pauseWrites":
      return [at, `a server takes no writes for ${fault.ms} ms`]
    case "restart":
      return [
        at,
        `a server goes down, and is back after ${fault.ms} ms, ${fault.data === "empty" ? "empty" : "with its data"}`
      ]
    case "evict":
      return [
        at,
        `a server evicts ${fault.many === 1 ? "one" : `up to ${fault.many}`} of its keys: ${evictedWords[fault.what]}`
      ]
    case "failover":
      return [at, "the replica takes over"]
    case "move":
      return [at, `${fault.slots} slots move to another server`]
    case "serverClock":
      return [at, `the clock of a server is set by ${fault.ms} ms`]
    case "messages":
      return [
        at,
        `of what is published ${fault.lost} is lost, ${fault.doubled} comes twice, ${fault.late} comes late, for ${fault.ms} ms`
      ]
  }
}
