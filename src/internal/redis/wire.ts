/**
 * What is written to Redis, and how it is read again. Nothing that is read is
 * trusted: it has the shape that was written, or it is unreadable.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Address, Entry, Position } from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import type * as Key from "../../Key.ts"
import type { Mode } from "../../Verdict.ts"
import { isKey, keyIn, ofKey } from "../dependencies.ts"
import type { Stamp } from "../stamp.ts"
import { slack } from "../steady.ts"

/** A key, and the version of the definition whose entry of it is meant. */
type At = Pick<Address, "key" | "version">

/**
 * The names of keys and channels. A stored key or dependency stands in braces,
 * which are escaped in it: a cluster keeps an entry, its lease and the marker of
 * its key together, and no name can be taken for another. The version of an entry
 * stands behind the braces.
 */
export class Names {
  readonly journal: string
  readonly fences: string
  readonly probe: string
  readonly protocol: string
  /** What the names of keys begin with that are written to be waited for. */
  readonly acknowledgements: string
  readonly released: string
  readonly invalidated: string
  private readonly entries: string
  private readonly leases: string
  private readonly markers: string
  private readonly keyMarkers: string

  private readonly prefix: string

  constructor(prefix: string) {
    this.prefix = prefix
    this.entries = `${prefix}:e:{`
    this.leases = `${prefix}:l:{`
    this.markers = `${prefix}:m:{`
    this.keyMarkers = `${prefix}:k:{`
    this.journal = `${prefix}:j:{journal}`
    this.fences = `${prefix}:f:{journal}`
    this.probe = `${prefix}:p:{probe}`
    this.protocol = `${prefix}:v:{protocol}`
    this.acknowledgements = `${prefix}:a:`
    this.released = `${prefix}:released`
    this.invalidated = `${prefix}:invalidated`
  }

  entry({ key, version }: At): string {
    return version === undefined ? `${this.entries}${key}}` : `${this.entries}${key}}#${version}`
  }

  lease({ key, version }: At): string {
    return version === undefined ? `${this.leases}${key}}` : `${this.leases}${key}}#${version}`
  }

  /** That of a key lies where its entries do. */
  marker(name: Dependency): string {
    return isKey(name) ? this.keyMarker(keyIn(name)) : `${this.markers}${name}}`
  }

  keyMarker(key: string): string {
    return `${this.keyMarkers}${key}}`
  }

  /** What an invalidation of a key removes, in the order of `Scripts.removeKey`; an entry that was found in place of its own. */
  ofKey(key: string, entry = this.entry({ key })): ReadonlyArray<string> {
    return [entry, `${this.leases}${entry.slice(this.entries.length)}`, this.keyMarker(key)]
  }

  /** The key of an entry, of a lease, or of a key's marker. */
  keyOf(name: string): string | undefined {
    const kind = [this.entries, this.leases, this.keyMarkers].find((kind) => name.startsWith(kind))
    const end = kind === undefined ? -1 : name.indexOf("}", kind.length)
    return end < 0 ? undefined : name.slice(kind!.length, end)
  }

  /** Of what was found by the first glob: whether it is the marker of a key. */
  isKeyMarker(name: string): boolean {
    return name.startsWith(this.keyMarkers)
  }

  /** Glob patterns of leases and markers of keys, then of entries. What they find too much is compared again. */
  globs(pattern: Key.Pattern | "everything"): readonly [string, string] {
    const inside = pattern === "everything"
      ? "*"
      : [glob(pattern.name), ...pattern.parts.map((part) => part === undefined ? "*" : glob(part))].join(":")
    return [`${glob(this.prefix)}:[kl]:{${inside}}*`, `${glob(this.entries)}${inside}}*`]
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
// positions and announcements
// -----------------------------------------------------------------------------

/**
 * A position as an opaque text: the epoch and the sequence of the journal, and
 * the ids of the fences that stand, which the server lists in any order.
 */
export const positionOf = (epoch: string, sequence: string, fences: ReadonlyArray<string>): Position =>
  [epoch, sequence, ...[...fences].sort()].join(" ")

/** A position of which nothing is known; the name makes it another than any other. */
export const unknownPosition = (name: string): Position => `-${name}`

/** Who invalidates, and what. Where it is announced its position follows in another line. */
export const writeMessage = (origin: string, batch: Invalidation.Invalidation): string =>
  `${origin} ${Schema.encodeSync(Invalidation.FromString)(batch)}`

/** The position as a script gives it, and publishes it. */
export const readPosition = (text: string): Position => {
  const [epoch = "", sequence, ...fences] = text.split(" ")
  return sequence === undefined ? epoch : positionOf(epoch, sequence, fences)
}

/** What was announced, as far as it can be read: who invalidated, what, and at which position. */
export interface Message {
  readonly origin: string
  readonly batch: Option.Option<Invalidation.Invalidation>
  readonly position: Position
}

export const readMessage = (text: string): Message => {
  const [, origin = "", batch = "", position = ""] = /^([^ ]*) ([^\n]*)\n([^\n]+)$/.exec(text) ?? []
  return { origin, batch: Schema.decodeOption(Invalidation.FromString)(batch), position: readPosition(position) }
}

/** What a text of an invalidation covers; one that cannot be read covers everything, since none may be missed. */
export const coveredBy = (text: string): Invalidation.Invalidation =>
  Option.getOrElse(Schema.decodeOption(Invalidation.FromString)(text), () => Invalidation.everything)

// -----------------------------------------------------------------------------
// entries
// -----------------------------------------------------------------------------

/** An entry as it lies there. */
export interface Written {
  readonly token: string
  readonly softened: boolean
  readonly stamp: Stamp
  readonly expiresAt: number
  /** What it was loaded under: its key first if it has a version, then the stamp's dependencies. */
  readonly names: ReadonlyArray<Dependency>
  /** Their tokens, in their order. */
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
  names: none,
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
    // JSON cannot write infinity.
    Number.isFinite(expiresAt) ? expiresAt : null,
    ...(stamp.partsUntil === undefined && stamp.behind === undefined ? [] : [stamp.partsUntil ?? null]),
    ...(stamp.behind === undefined ? [] : [stamp.behind])
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
  if (!Array.isArray(facts) || facts.length < 9 || facts.length > 11) return undefined
  const [storedAt, beganAt, duration, jitter, shape, failure, dependencies, versions, expiresAt, partsUntil, behind] =
    facts as ReadonlyArray<unknown>
  return (partsUntil === undefined || partsUntil === null || isNumber(partsUntil)) &&
      (behind === undefined || isNumber(behind)) && (expiresAt === null || isNumber(expiresAt)) &&
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
        ...(behind === undefined ? {} : { behind }),
        ...(isNumber(partsUntil) ? { partsUntil } : {})
      },
      expiresAt: expiresAt ?? Infinity
    }
    : undefined
}

// As the scripts have it: a byte that was changed must not make the same token two. They look for its end in the first
// 256 bytes.
const writable = /^[ -~]{1,254}$/

/** Whether an entry can be stored under this name: another would be read as one that is longer, shorter or none. */
export const isWritable = (name: string): boolean => writable.test(name)

/**
 * An entry whose times are those of a process that knew the server's clock before
 * it was set back, as one that did not know it takes them.
 */
const inTimeOf = (behind: number, written: Written): Written => {
  const { stamp } = written
  if (stamp.behind === undefined || Math.abs(stamp.behind - behind) <= slack) return written
  const { behind: before, partsUntil, ...rest } = stamp
  return {
    ...written,
    stamp: {
      ...rest,
      storedAt: stamp.storedAt - before,
      beganAt: stamp.beganAt - before,
      ...(partsUntil === undefined ? {} : { partsUntil: partsUntil - before })
    },
    expiresAt: written.expiresAt - before
  }
}

/** What an entry with a version depends on beside what its definition says; it is the first of its vector. */
export const keyOf = ({ key, version }: At): Dependency | undefined => version === undefined ? undefined : ofKey(key)

/** All that an entry is loaded under. */
export const namesOf = (address: At, dependencies: ReadonlyArray<Dependency>): ReadonlyArray<Dependency> => {
  const key = keyOf(address)
  return key === undefined ? dependencies : [key, ...dependencies]
}

/**
 * Reads what lies under an entry's name. The server's clock is so much behind the time of this process; `key` is the
 * dependency on its key, if it has a version.
 */
export const readEntry = (text: string, behind: number, key?: Dependency): Written =>
  inTimeOf(behind, parseEntry(text, key))

const parseEntry = (text: string, key: Dependency | undefined): Written => {
  const flag = text[0]
  const endOfToken = text.indexOf("\n")
  // Those of releases before begin with an A: the facts in them are others.
  if ((flag !== "B" && flag !== "b") || endOfToken < 0) return unreadable("")
  const token = text.slice(1, endOfToken)
  if (!isWritable(token)) return unreadable("")
  const endOfVector = text.indexOf("\n", endOfToken + 1)
  const endOfFacts = endOfVector < 0 ? -1 : text.indexOf("\n", endOfVector + 1)
  if (endOfFacts < 0) return unreadable(token)
  const facts = readFacts(text.slice(endOfVector + 1, endOfFacts))
  if (facts === undefined) return unreadable(token)
  const vector = endOfVector === endOfToken + 1 ? none : text.slice(endOfToken + 1, endOfVector).split(",")
  const { dependencies } = facts.stamp
  const names = key === undefined ? dependencies : [key, ...dependencies]
  if (vector.length !== names.length) return unreadable(token)
  return { token, softened: flag === "b", ...facts, names, vector, payload: text.slice(endOfFacts + 1) }
}

/** What became of what an entry was loaded under, where a marker is given for each. */
export const changesOf = (
  { names, vector }: Pick<Written, "names" | "vector">,
  markerOf: (name: Dependency) => string | null | undefined
): Map<Dependency, Mode> | undefined => {
  let changed: Map<Dependency, Mode> | undefined
  for (let i = 0; i < vector.length; i++) {
    const name = names[i]!
    const mode = changeBetween(vector[i]!, markerOf(name))
    if (mode !== undefined) (changed ??= new Map()).set(name, mode)
  }
  return changed
}

/** What is served of an entry with a version: nothing once its key was invalidated, and it is softened if that was soft. */
export const apartFromKey = (
  changed: Map<Dependency, Mode> | undefined,
  key: Dependency | undefined
): { readonly changed: Entry["changed"]; readonly key: Mode | undefined } => {
  const mode = key && changed?.get(key)
  if (mode === undefined) return { changed, key: undefined }
  const others = new Map(changed)
  others.delete(key!)
  return { changed: others.size === 0 ? undefined : others, key: mode }
}
