/**
 * What a server holds: strings, sorted sets, hashes, and lists, of which the
 * library has none, as garbage. Keys expire as those of Redis 7.0 do: when the
 * time is after theirs, and not at it.
 */
import type { Random } from "../world/random.ts"

// -----------------------------------------------------------------------------
// values
// -----------------------------------------------------------------------------

interface Scored {
  readonly score: number
  readonly member: string
}

const isBefore = (a: Scored, score: number, member: string): boolean =>
  a.score < score || (a.score === score && a.member < member)

/** A sorted set, as a sorted array: of a journal the newest is last. */
export class SortedSet {
  readonly scores: Map<string, number>
  readonly list: Array<Scored>

  constructor(list: ReadonlyArray<Scored> = []) {
    this.list = [...list]
    this.scores = new Map(list.map(({ member, score }) => [member, score]))
  }

  private placeOf(score: number, member: string): number {
    const { list } = this
    let high = list.length
    if (high > 0 && isBefore(list[high - 1]!, score, member)) return high
    let low = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(list[middle]!, score, member)) low = middle + 1
      else high = middle
    }
    return low
  }

  put(member: string, score: number): void {
    const old = this.scores.get(member)
    if (old !== undefined) this.list.splice(this.placeOf(old, member), 1)
    this.list.splice(this.placeOf(score, member), 0, { score, member })
    this.scores.set(member, score)
  }

  remove(member: string): boolean {
    const score = this.scores.get(member)
    if (score === undefined) return false
    this.list.splice(this.placeOf(score, member), 1)
    return this.scores.delete(member)
  }

  removeFrom(start: number, count: number): void {
    for (const { member } of this.list.splice(start, count)) this.scores.delete(member)
  }
}

// More fields, or a longer text, than Redis keeps in one piece.
const mostFields = 128
const longestField = 64

/** A hash. Once it was big its fields have no order, and never have one again. */
export class Hash {
  isBig: boolean
  readonly fields: Map<string, string>

  constructor(fields: Iterable<readonly [string, string]> = [], isBig = false) {
    this.fields = new Map(fields)
    this.isBig = isBig
  }

  put(field: string, value: string): void {
    this.fields.set(field, value)
    if (this.fields.size > mostFields || field.length > longestField || value.length > longestField) this.isBig = true
  }
}

export class List {
  readonly items: Array<string>

  constructor(items: ReadonlyArray<string> = []) {
    this.items = [...items]
  }
}

export type Value = string | SortedSet | Hash | List
export type Kind = "string" | "zset" | "hash" | "list"

export const kindOf = (value: Value): Kind =>
  typeof value === "string" ? "string" : value instanceof SortedSet ? "zset" : value instanceof Hash ? "hash" : "list"

const copyOf = (value: Value): Value =>
  typeof value === "string"
    ? value
    : value instanceof SortedSet
    ? new SortedSet(value.list)
    : value instanceof Hash
    ? new Hash(value.fields, value.isBig)
    : new List(value.items)

export class Entry {
  value: Value
  /** When it expires, in milliseconds since the epoch; 0 if it does not. */
  at: number

  constructor(value: Value, at: number) {
    this.value = value
    this.at = at
  }
}

export type Entries = ReadonlyMap<string, Entry>

const copyAll = (entries: Entries): Map<string, Entry> => {
  const copies = new Map<string, Entry>()
  for (const [key, { at, value }] of entries) copies.set(key, new Entry(copyOf(value), at))
  return copies
}

// -----------------------------------------------------------------------------
// patterns
// -----------------------------------------------------------------------------

const inOrder = (a: string, b: string, c: string): boolean => a <= b ? a <= c && c <= b : b <= c && c <= a

/** Where the set in brackets that begins at `at` ends, and whether the character is in it. */
const inSet = (pattern: string, at: number, char: string): readonly [end: number, found: boolean] => {
  const not = pattern[at + 1] === "^"
  let found = false
  let p = at + (not ? 2 : 1)
  for (; p < pattern.length && pattern[p] !== "]"; p++) {
    if (pattern[p] === "\\" && p + 1 < pattern.length) found = pattern[++p] === char || found
    else if (pattern[p + 1] === "-" && p + 2 < pattern.length) {
      found = inOrder(pattern[p]!, pattern[p + 2]!, char) || found
      p += 2
    } else found = pattern[p] === char || found
  }
  // One that nothing closes ends with the pattern.
  return [Math.min(p, pattern.length - 1), found !== not]
}

/** Whether a text matches a glob pattern of Redis. */
export const matches = (pattern: string, text: string, from = 0, begin = 0): boolean => {
  let p = from
  let t = begin
  for (; p < pattern.length && t < text.length; p++) {
    const char = pattern[p]
    if (char === "*") {
      while (pattern[p + 1] === "*") p++
      if (p === pattern.length - 1) return true
      for (; t < text.length; t++) if (matches(pattern, text, p + 1, t)) return true
      return false
    }
    if (char === "[") {
      const [end, found] = inSet(pattern, p, text[t]!)
      if (!found) return false
      p = end
    } else if (char !== "?") {
      if (char === "\\" && p + 1 < pattern.length) p++
      if (pattern[p] !== text[t]) return false
    }
    t++
    if (t === text.length) {
      p++
      while (pattern[p] === "*") p++
      break
    }
  }
  return p >= pattern.length && t === text.length
}

// -----------------------------------------------------------------------------
// all keys
// -----------------------------------------------------------------------------

/** What becomes of a key whose time is over: a replica waits until its primary says so, and takes any write of it. */
export type Expiry = "removed" | "hidden" | "ignored"

/** A part of the keys, and where the next part begins; 0 at the end. */
export interface Page {
  readonly keys: ReadonlyArray<string>
  readonly next: number
}

export class Keyspace {
  /** Milliseconds since the epoch, as they are while a command runs. */
  ms = 0
  expiry: Expiry = "removed"
  /** Grows with each change. */
  changes = 0
  /** Told of each key that is removed since its time is over. */
  expired: (key: string) => void = () => {}
  private entries = new Map<string, Entry>()
  private readonly random: Random
  /** Cursors and the order of keys are of one run of a server. */
  private seed = 0

  constructor(random: Random) {
    this.random = random
    this.reseed()
  }

  get size(): number {
    return this.entries.size
  }

  /** Those that are over are among them as long as nobody has asked for them. */
  keys(): IterableIterator<string> {
    return this.entries.keys()
  }

  reseed(): void {
    this.seed = this.random.int(2 ** 32)
  }

  find(key: string): Entry | undefined {
    const entry = this.entries.get(key)
    return entry === undefined || entry.at === 0 || entry.at >= this.ms ? entry : this.over(key, entry)
  }

  private over(key: string, entry: Entry): Entry | undefined {
    if (this.expiry === "ignored") return entry
    if (this.expiry === "removed") {
      this.entries.delete(key)
      this.expired(key)
    }
    return undefined
  }

  /** Whether it is there; if its time is over, it stays where it was. */
  has(key: string): boolean {
    const entry = this.entries.get(key)
    return entry !== undefined && (entry.at === 0 || entry.at >= this.ms)
  }

  set(key: string, value: Value, at: number): void {
    this.changes++
    const entry = this.entries.get(key)
    if (entry === undefined) this.entries.set(key, new Entry(value, at))
    else {
      entry.value = value
      entry.at = at
    }
  }

  delete(key: string): boolean {
    if (this.find(key) === undefined) return false
    this.changes++
    return this.entries.delete(key)
  }

  clear(): void {
    this.changes++
    this.entries.clear()
  }

  /** A value without elements is none. */
  dropIfEmpty(key: string, size: number): void {
    if (size === 0) this.entries.delete(key)
  }

  /** The fields of a hash with their values; of a big one in no order. */
  fieldsOf(hash: Hash): ReadonlyArray<string> {
    const all = [...hash.fields]
    if (hash.isBig) this.shuffle(all)
    return all.flat()
  }

  private shuffle<A>(all: Array<A>): void {
    for (let i = all.length - 1; i > 0; i--) {
      const j = this.random.int(i + 1)
      const one = all[i]!
      all[i] = all[j]!
      all[j] = one
    }
  }

  private hashOf(key: string): number {
    let hash = this.seed
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 16_777_619)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash ^= hash >>> 13
    // 0 is where a walk begins and ends.
    return (hash >>> 0) || 1
  }

  /**
   * About `count` keys from a cursor on, those that are over among them. Keys that are there all the while are in one of the pages of a walk, and may
   * be in two, as when Redis has made its table smaller meanwhile.
   */
  page(cursor: number, count: number): Page {
    const left: Array<readonly [hash: number, key: string]> = []
    for (const key of this.entries.keys()) {
      const hash = this.hashOf(key)
      if (hash >= cursor) left.push([hash, key])
    }
    left.sort((a, b) => a[0] - b[0])
    let end = Math.min(count, left.length)
    while (end < left.length && left[end]![0] === left[end - 1]![0]) end++
    const keys = left.slice(0, end).map(([, key]) => key)
    if (end === left.length) return { keys, next: 0 }
    const last = end > 1 && this.random.chance(0.1) ? this.random.int(end) : end - 1
    return { keys, next: left[last]![0] + 1 }
  }

  copy(): Entries {
    return copyAll(this.entries)
  }

  load(entries: Entries): void {
    this.entries = copyAll(entries)
  }
}
