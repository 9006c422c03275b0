/**
 * What is written to Redis, and how it is read again. Nothing that is read is
 * trusted: it has the shape that was written, or it is unreadable.
 */
import type { Entry } from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import type * as Key from "../../Key.ts"
import type { Mode } from "../../Verdict.ts"
import type { Stamp } from "../stamp.ts"

/**
 * The names of keys and channels. A stored key or dependency stands in braces,
 * which are escaped in it: a cluster keeps an entry and its lease together, and
 * no name can be taken for another.
 */
export class Names {
  readonly journal: string
  readonly fences: string
  readonly probe: string
  readonly witness: string
  readonly released: string
  readonly invalidated: string
  private readonly entries: string
  private readonly leases: string
  private readonly markers: string

  constructor(prefix: string) {
    this.entries = `${prefix}:e:{`
    this.leases = `${prefix}:l:{`
    this.markers = `${prefix}:m:{`
    this.journal = `${prefix}:j:{journal}`
    this.fences = `${prefix}:f:{journal}`
    this.probe = `${prefix}:p:{probe}`
    this.witness = `${prefix}:w:`
    this.released = `${prefix}:released`
    this.invalidated = `${prefix}:invalidated`
  }

  entry(key: string): string {
    return `${this.entries}${key}}`
  }

  lease(key: string): string {
    return `${this.leases}${key}}`
  }

  marker(name: Dependency): string {
    return `${this.markers}${name}}`
  }

  /** The stored key of an entry or a lease. */
  keyOf(name: string): string | undefined {
    const start = name.startsWith(this.entries)
      ? this.entries.length
      : name.startsWith(this.leases)
      ? this.leases.length
      : undefined
    return start === undefined || !name.endsWith("}") ? undefined : name.slice(start, -1)
  }

  /** Glob patterns of leases, then of entries. What they find too much is compared again. */
  globs(pattern: Key.Pattern | "everything"): readonly [string, string] {
    const inside = pattern === "everything"
      ? "*"
      : [glob(pattern.name), ...pattern.parts.map((part) => part === undefined ? "*" : glob(part))].join(":")
    return [`${glob(this.leases)}${inside}}`, `${glob(this.entries)}${inside}}`]
  }
}

// Keys are escaped so that nothing in them means anything in a pattern; this does not rely on it.
const glob = (text: string): string => text.replace(/[*?[\]\\^]/g, "\\$&")

// -----------------------------------------------------------------------------
// markers
// -----------------------------------------------------------------------------

/** What happened to a dependency between two looks at its marker. */
export const changeBetween = (then: string, now: string | null | undefined): Mode | undefined => {
  if (then === now) return undefined
  if (now === undefined || now === null) return "hard"
  return hardToken(then) === hardToken(now) ? "soft" : "hard"
}

const hardToken = (marker: string): string => {
  const slash = marker.indexOf("/")
  return slash < 0 ? marker : marker.slice(0, slash)
}

/** When a marker was last replaced, in milliseconds of the server's clock: its token begins with it. */
export const replacedAt = (marker: string): number | undefined => {
  const micros = /^(?:.*\/)?(\d{16})/.exec(marker)
  return micros === null ? undefined : Math.floor(Number(micros[1]) / 1000)
}

// -----------------------------------------------------------------------------
// entries
// -----------------------------------------------------------------------------

/** An entry as it lies there. */
export interface Written {
  readonly token: string
  readonly softened: boolean
  readonly stamp: Stamp
  readonly expiresAt: number
  /** The tokens of the stamp's dependencies, in their order. */
  readonly vector: ReadonlyArray<string>
  readonly payload: unknown
}

const none: ReadonlyArray<never> = []

// No definition has this shape, and nothing decodes from it: the interpreter counts it as unreadable, and drops it.
const unreadable = (token: string): Written => ({
  token,
  softened: false,
  stamp: {
    storedAt: 0,
    beganAt: 0,
    duration: 0,
    jitter: 0,
    versions: {},
    dependencies: none,
    shape: "unreadable",
    failure: false
  },
  expiresAt: 0,
  vector: none,
  payload: undefined
})

/** The facts of an entry in one line. */
export const writeFacts = (stamp: Stamp, expiresAt: number): string =>
  JSON.stringify([
    stamp.storedAt,
    stamp.beganAt,
    stamp.duration,
    stamp.jitter,
    stamp.shape,
    stamp.failure ? 1 : 0,
    stamp.dependencies,
    stamp.versions,
    // JSON has no infinity.
    Number.isFinite(expiresAt) ? expiresAt : null,
    ...(stamp.partsUntil === undefined ? [] : [stamp.partsUntil])
  ])

const isNumber = (u: unknown): u is number => typeof u === "number"

export const isStrings = (u: unknown): u is ReadonlyArray<string> =>
  Array.isArray(u) && u.every((one) => typeof one === "string")

const isVersions = (u: unknown): u is Stamp["versions"] =>
  typeof u === "object" && u !== null && !Array.isArray(u) &&
  Object.values(u).every((version) => typeof version === "string" || typeof version === "number")

const readFacts = (text: string): Pick<Written, "stamp" | "expiresAt"> | undefined => {
  let facts: unknown
  try {
    facts = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(facts) || facts.length < 9 || facts.length > 10) return undefined
  const [storedAt, beganAt, duration, jitter, shape, failure, dependencies, versions, expiresAt, partsUntil] =
    facts as ReadonlyArray<unknown>
  return (facts.length === 9 || isNumber(partsUntil)) && (expiresAt === null || isNumber(expiresAt)) &&
      isNumber(storedAt) && isNumber(beganAt) &&
      isNumber(duration) && isNumber(jitter) &&
      typeof shape === "string" && isStrings(dependencies) && isVersions(versions)
    ? {
      stamp: {
        storedAt,
        beganAt,
        duration,
        jitter,
        shape,
        failure: failure === 1,
        dependencies: dependencies as ReadonlyArray<Dependency>,
        versions,
        ...(isNumber(partsUntil) ? { partsUntil } : {})
      },
      expiresAt: expiresAt ?? Infinity
    }
    : undefined
}

// As the scripts have it: a byte that was changed must not make the same token two.
const printable = /^[ -~]*$/

/** Reads what lies under an entry's key. */
export const readEntry = (text: string): Written => {
  const flag = text[0]
  const endOfToken = text.indexOf("\n")
  if ((flag !== "A" && flag !== "a") || endOfToken < 0) return unreadable("")
  const token = text.slice(1, endOfToken)
  if (!printable.test(token)) return unreadable("")
  const endOfVector = text.indexOf("\n", endOfToken + 1)
  const endOfFacts = endOfVector < 0 ? -1 : text.indexOf("\n", endOfVector + 1)
  if (endOfFacts < 0) return unreadable(token)
  const facts = readFacts(text.slice(endOfVector + 1, endOfFacts))
  if (facts === undefined) return unreadable(token)
  const vector = endOfVector === endOfToken + 1 ? none : text.slice(endOfToken + 1, endOfVector).split(",")
  if (vector.length !== facts.stamp.dependencies.length) return unreadable(token)
  return { token, softened: flag === "a", ...facts, vector, payload: text.slice(endOfFacts + 1) }
}

/** What became of an entry's dependencies, where a marker is given for each. */
export const changesOf = (
  { stamp, vector }: Pick<Written, "stamp" | "vector">,
  markerOf: (name: Dependency) => string | null | undefined
): Entry["changed"] => {
  let changed: Map<Dependency, Mode> | undefined
  for (let i = 0; i < vector.length; i++) {
    const name = stamp.dependencies[i]!
    const mode = changeBetween(vector[i]!, markerOf(name))
    if (mode !== undefined) (changed ??= new Map()).set(name, mode)
  }
  return changed
}
