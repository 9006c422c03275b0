/**
 * The commands that ask for keys, or write them. Errors, their order and their
 * words are those of Redis 7.0.
 */
import { type Entry, Hash, type Keyspace, kindOf, List, matches, SortedSet, type Value } from "./keyspace.ts"
import { general, parseDouble } from "./lua/numbers.ts"
import { Failure, type Reply, Status } from "./reply.ts"

type Args = ReadonlyArray<string>

/** Which of the arguments are keys; `numbered`: as many as the second says, after it. */
export type Keys = "none" | "first" | "all" | "numbered"

/** `noScript`: no script may call it. `mayReplicate`: it waits where writes wait, as what writes does. */
export type Flag = "write" | "denyoom" | "noScript" | "mayReplicate" | "pubsub"

export interface Command<At> {
  /** As errors name it. */
  readonly name: string
  /** How many words it has with its name; at least as many if it is negative. */
  readonly arity: number
  readonly writes: boolean
  readonly denyoom: boolean
  readonly noScript: boolean
  readonly mayReplicate: boolean
  /** Whether a connection that listens may send it. */
  readonly pubsub: boolean
  readonly keys: Keys
  readonly run: (at: At, args: Args) => Reply
}

export const commandOf = <At>(
  name: string,
  arity: number,
  keys: Keys,
  flags: ReadonlyArray<Flag>,
  run: Command<At>["run"]
): Command<At> => ({
  name,
  arity,
  keys,
  run,
  writes: flags.includes("write"),
  denyoom: flags.includes("denyoom"),
  noScript: flags.includes("noScript"),
  mayReplicate: flags.includes("write") || flags.includes("mayReplicate"),
  pubsub: flags.includes("pubsub")
})

/** What a write is to its replicas, where that is not what was asked for: times are absolute there. */
export interface Effect {
  readonly name: string
  readonly args: Args
}

/** What such a command works on. */
export interface Holder {
  readonly keyspace: Keyspace
  effect: Effect | undefined
}

export const dataCommands: Array<Command<Holder>> = []

const command = (
  name: string,
  arity: number,
  keys: Keys,
  flags: ReadonlyArray<Flag>,
  run: Command<Holder>["run"]
): void => {
  dataCommands.push(commandOf(name, arity, keys, flags, run))
}

export const ok = new Status("OK")
export const notInteger = new Failure("ERR value is not an integer or out of range")
export const syntaxError = new Failure("ERR syntax error")
const wrongType = new Failure("WRONGTYPE Operation against a key holding the wrong kind of value")
const notFloat = new Failure("ERR value is not a valid float")
const outOfRange = new Failure("ERR offset is out of range")
const tooLong = new Failure("ERR string exceeds maximum allowed size (proto-max-bulk-len)")

// -----------------------------------------------------------------------------
// numbers
// -----------------------------------------------------------------------------

const largest = 2 ** 63

/** One of 64 bits, without a sign other than `-`, leading zeros or space. Large ones are only about right. */
export const integerOf = (text: string): number | undefined => {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) return undefined
  const number = Number(text)
  return Math.abs(number) < largest || isIn64Bits(text) ? number : undefined
}

const isIn64Bits = (text: string): boolean => BigInt.asIntN(64, BigInt(text)) === BigInt(text)

/** A score. One that is too large or too small for a double is refused. */
const scoreOf = (text: string): number | undefined => {
  const score = parseDouble(text)
  if (score === undefined || Number.isNaN(score)) return undefined
  if (!Number.isFinite(score) && !/inf/i.test(text)) return undefined
  if (score === 0 && /^[^ep]*[1-9a-f]/i.test(text.replace(/0x/i, ""))) return undefined
  return score
}

const textOf = (score: number): string => general(score, 17)

// -----------------------------------------------------------------------------
// values of one kind
// -----------------------------------------------------------------------------

const stringAt = (space: Keyspace, key: string): string | undefined | Failure => {
  const value = space.find(key)?.value
  return value === undefined || typeof value === "string" ? value : wrongType
}

const sortedSetAt = (space: Keyspace, key: string): SortedSet | undefined | Failure => {
  const value = space.find(key)?.value
  return value === undefined || value instanceof SortedSet ? value : wrongType
}

const hashAt = (space: Keyspace, key: string): Hash | undefined | Failure => {
  const value = space.find(key)?.value
  return value === undefined || value instanceof Hash ? value : wrongType
}

const listAt = (space: Keyspace, key: string): List | undefined | Failure => {
  const value = space.find(key)?.value
  return value === undefined || value instanceof List ? value : wrongType
}

const made = <A extends Value>(space: Keyspace, key: string, value: A): A => {
  space.set(key, value, 0)
  return value
}

// -----------------------------------------------------------------------------
// strings
// -----------------------------------------------------------------------------

command("get", 2, "first", [], ({ keyspace }, args) => stringAt(keyspace, args[0]!) ?? null)

command("mget", -2, "all", [], ({ keyspace }, args) => {
  const values: Array<string | null> = []
  for (let i = 0; i < args.length; i++) {
    const value = keyspace.find(args[i]!)?.value
    values.push(typeof value === "string" ? value : null)
  }
  return values
})

command("strlen", 2, "first", [], ({ keyspace }, [key]) => {
  const value = stringAt(keyspace, key!)
  return value instanceof Failure ? value : value?.length ?? 0
})

const units: Readonly<Record<string, { readonly ms: number; readonly relative: boolean }>> = {
  EX: { ms: 1000, relative: true },
  PX: { ms: 1, relative: true },
  EXAT: { ms: 1000, relative: false },
  PXAT: { ms: 1, relative: false }
}

interface SetOptions {
  unit: string | undefined
  time: string
  condition: "NX" | "XX" | undefined
  keeps: boolean
  gives: boolean
}

const setOptionsOf = (args: Args): SetOptions | undefined => {
  const options: SetOptions = { unit: undefined, time: "", condition: undefined, keeps: false, gives: false }
  for (let i = 2; i < args.length; i++) {
    const option = args[i]!.toUpperCase()
    if (option === "GET") options.gives = true
    else if ((option === "NX" || option === "XX") && (options.condition ?? option) === option) {
      options.condition = option
    } else if (option === "KEEPTTL" && options.unit === undefined) options.keeps = true
    else if (
      units[option] !== undefined && !options.keeps && (options.unit ?? option) === option && i + 1 < args.length
    ) {
      options.unit = option
      options.time = args[++i]!
    } else return undefined
  }
  return options
}

/** When it expires; 0 if no time is given. */
const expiryOf = ({ time, unit }: SetOptions, now: number): number | Failure => {
  if (unit === undefined) return 0
  const { ms, relative } = units[unit]!
  const given = integerOf(time)
  if (given === undefined) return notInteger
  const at = given * ms + (relative ? now : 0)
  return given <= 0 || (unit !== "PXAT" && at >= largest) ? new Failure("ERR invalid expire time in 'set' command") : at
}

command("set", -3, "first", ["write", "denyoom"], (holder, args) => {
  const { keyspace } = holder
  const key = args[0]!
  const value = args[1]!
  if (args.length === 2) {
    keyspace.set(key, value, 0)
    return ok
  }
  const options = setOptionsOf(args)
  if (options === undefined) return syntaxError
  const at = expiryOf(options, keyspace.ms)
  if (at instanceof Failure) return at
  const old = options.gives ? stringAt(keyspace, key) ?? null : ok
  if (old instanceof Failure) return old
  const entry = options.keeps || options.condition !== undefined ? keyspace.find(key) : undefined
  if (options.condition !== undefined && (options.condition === "NX") === (entry !== undefined)) {
    return options.gives ? old : null
  }
  keyspace.set(key, value, options.keeps ? entry?.at ?? 0 : at)
  if (options.unit !== undefined) holder.effect = { name: "set", args: [key, value, "PXAT", String(at)] }
  return old
})

command("getrange", 4, "first", [], ({ keyspace }, args) => {
  const from = integerOf(args[1]!)
  const to = integerOf(args[2]!)
  if (from === undefined || to === undefined) return notInteger
  const value = stringAt(keyspace, args[0]!)
  if (value instanceof Failure) return value
  if (value === undefined || (from < 0 && to < 0 && from > to)) return ""
  const { length } = value
  const start = from < 0 ? Math.max(0, length + from) : from
  const end = Math.min(to < 0 ? Math.max(0, length + to) : to, length - 1)
  return start > end ? "" : value.slice(start, end + 1)
})

const longest = 512 * 1024 * 1024

command("setrange", 4, "first", ["write", "denyoom"], ({ keyspace }, args) => {
  const key = args[0]!
  const piece = args[2]!
  const offset = integerOf(args[1]!)
  if (offset === undefined) return notInteger
  if (offset < 0) return outOfRange
  const old = stringAt(keyspace, key)
  if (old instanceof Failure) return old
  if (piece === "") return old?.length ?? 0
  if (offset + piece.length > longest) return tooLong
  const before = old ?? ""
  const value = before.slice(0, offset).padEnd(offset, "\0") + piece + before.slice(offset + piece.length)
  keyspace.set(key, value, keyspace.find(key)?.at ?? 0)
  return value.length
})

// -----------------------------------------------------------------------------
// keys
// -----------------------------------------------------------------------------

const drop: Command<Holder>["run"] = ({ keyspace }, keys) => {
  let count = 0
  for (const key of keys) if (keyspace.delete(key)) count++
  return count
}

command("del", -2, "all", ["write"], drop)
command("unlink", -2, "all", ["write"], drop)

command("exists", -2, "all", [], ({ keyspace }, keys) => {
  let count = 0
  for (const key of keys) if (keyspace.find(key) !== undefined) count++
  return count
})

command("type", 2, "first", [], ({ keyspace }, [key]) => {
  const entry = keyspace.find(key!)
  return new Status(entry === undefined ? "none" : kindOf(entry.value))
})

/** What a key has left, or -1 if it has no end, or -2 if it is not there. */
const left = (name: string, read: (at: number, now: number) => number): void =>
  command(name, 2, "first", [], ({ keyspace }, [key]) => {
    const entry = keyspace.find(key!)
    return entry === undefined ? -2 : entry.at === 0 ? -1 : read(entry.at, keyspace.ms)
  })

left("pttl", (at, now) => at - now)
left("ttl", (at, now) => Math.floor((at - now + 500) / 1000))
left("pexpiretime", (at) => at)
left("expiretime", (at) => Math.floor((at + 500) / 1000))

const conditions = ["NX", "XX", "GT", "LT"]

const expireConditionsOf = (args: Args): ReadonlySet<string> | Failure => {
  const all = new Set<string>()
  for (let i = 2; i < args.length; i++) {
    const option = args[i]!.toUpperCase()
    if (!conditions.includes(option)) return new Failure(`ERR Unsupported option ${args[i]!}`)
    all.add(option)
  }
  if (all.has("NX") && all.size > 1) {
    return new Failure("ERR NX and XX, GT or LT options at the same time are not compatible")
  }
  return all.has("GT") && all.has("LT")
    ? new Failure("ERR GT and LT options at the same time are not compatible")
    : all
}

const mayExpire = (asked: ReadonlySet<string>, now: number, at: number): boolean =>
  !((asked.has("NX") && now !== 0) ||
    (asked.has("XX") && now === 0) ||
    (asked.has("GT") && (at <= now || now === 0)) ||
    (asked.has("LT") && now !== 0 && at >= now))

const expire = (name: string, ms: number, relative: boolean): void =>
  command(name, -3, "first", ["write"], (holder, args) => {
    const { keyspace } = holder
    const key = args[0]!
    const asked = expireConditionsOf(args)
    if (asked instanceof Failure) return asked
    const given = integerOf(args[1]!)
    if (given === undefined) return notInteger
    const at = given * ms + (relative ? keyspace.ms : 0)
    const isTooFar = (relative || ms > 1) && at >= largest
    if (isTooFar || given * ms < -largest) return new Failure(`ERR invalid expire time in '${name}' command`)
    const entry = keyspace.find(key)
    if (entry === undefined || (asked.size > 0 && !mayExpire(asked, entry.at, at))) return 0
    // A replica never ends a key by itself.
    if (at <= keyspace.ms && keyspace.expiry === "removed") {
      keyspace.delete(key)
      holder.effect = { name: "del", args: [key] }
    } else {
      keyspace.set(key, entry.value, at)
      holder.effect = { name: "pexpireat", args: [key, String(at)] }
    }
    return 1
  })

expire("pexpire", 1, true)
expire("expire", 1000, true)
expire("pexpireat", 1, false)
expire("expireat", 1000, false)

command("persist", 2, "first", ["write"], ({ keyspace }, [key]) => {
  const entry = keyspace.find(key!)
  if (entry === undefined || entry.at === 0) return 0
  keyspace.set(key!, entry.value, 0)
  return 1
})

command("dbsize", 1, "none", [], ({ keyspace }) => keyspace.size)

command(
  "keys",
  2,
  "none",
  [],
  ({ keyspace }, [pattern]) =>
    keyspace.page(0, Infinity).keys.filter((key) => matches(pattern!, key) && keyspace.has(key))
)

const flush: Command<Holder>["run"] = ({ keyspace }, args) => {
  if (args.length > 1 || (args.length === 1 && !/^a?sync$/i.test(args[0]!))) return syntaxError
  keyspace.clear()
  return ok
}

command("flushall", -1, "none", ["write"], flush)
command("flushdb", -1, "none", ["write"], flush)

interface ScanOptions {
  count: number
  pattern: string
  type: string | undefined
}

const scanOptionsOf = (args: Args): ScanOptions | Failure => {
  const options: ScanOptions = { count: 10, pattern: "*", type: undefined }
  for (let i = 1; i < args.length; i += 2) {
    const value = args[i + 1]
    if (value === undefined) return syntaxError
    const option = args[i]!.toUpperCase()
    if (option === "MATCH") options.pattern = value
    else if (option === "TYPE") options.type = value.toLowerCase()
    else if (option === "COUNT") {
      const count = integerOf(value)
      if (count === undefined) return notInteger
      if (count < 1) return syntaxError
      options.count = count
    } else return syntaxError
  }
  return options
}

const isOf = (entry: Entry | undefined, type: string | undefined): boolean =>
  entry !== undefined && (type === undefined || kindOf(entry.value) === type)

command("scan", -2, "none", [], ({ keyspace }, args) => {
  const cursor = /^(?:[+-]?\d+)?$/.test(args[0]!) ? BigInt(args[0]!) : undefined
  if (cursor === undefined || cursor >= 2n ** 64n || cursor <= -(2n ** 64n)) return new Failure("ERR invalid cursor")
  const options = scanOptionsOf(args)
  if (options instanceof Failure) return options
  const { count, pattern, type } = options
  // A negative one is a very large one.
  const { keys, next } = keyspace.page(cursor < 0n ? Infinity : Number(cursor), count)
  const isAsked = (key: string): boolean =>
    (pattern === "*" || matches(pattern, key)) &&
    isOf(keyspace.find(key), type)
  return [String(next), keys.filter(isAsked)]
})

// -----------------------------------------------------------------------------
// sorted sets
// -----------------------------------------------------------------------------

const addOptions = ["NX", "XX", "GT", "LT", "CH", "INCR"]

const addConflict = (asked: ReadonlySet<string>, pairs: number): Failure | undefined => {
  const [nx, gt, lt] = [asked.has("NX"), asked.has("GT"), asked.has("LT")]
  if (nx && asked.has("XX")) return new Failure("ERR XX and NX options at the same time are not compatible")
  if ((nx && (gt || lt)) || (gt && lt)) {
    return new Failure("ERR GT, LT, and/or NX options at the same time are not compatible")
  }
  return asked.has("INCR") && pairs > 1
    ? new Failure("ERR INCR option supports a single increment-element pair")
    : undefined
}

/** The new score; undefined if it may not be. */
const scoreAfter = (asked: ReadonlySet<string>, old: number | undefined, given: number): number | undefined => {
  if (old === undefined) return asked.has("XX") ? undefined : given
  if (asked.has("NX")) return undefined
  const score = asked.has("INCR") ? old + given : given
  return (asked.has("GT") && score <= old) || (asked.has("LT") && score >= old) ? undefined : score
}

command("zadd", -4, "first", ["write", "denyoom"], ({ keyspace }, args) => {
  const key = args[0]!
  const asked = new Set<string>()
  let from = 1
  for (; from < args.length && addOptions.includes(args[from]!.toUpperCase()); from++) {
    asked.add(args[from]!.toUpperCase())
  }
  const words = args.length - from
  if (words === 0 || words % 2 !== 0) return syntaxError
  const conflict = addConflict(asked, words / 2)
  if (conflict !== undefined) return conflict
  const scores: Array<number> = []
  for (let i = from; i < args.length; i += 2) {
    const score = scoreOf(args[i]!)
    if (score === undefined) return notFloat
    scores.push(score)
  }
  const found = sortedSetAt(keyspace, key)
  if (found instanceof Failure) return found
  if (found === undefined && asked.has("XX")) return asked.has("INCR") ? null : 0
  const set = found ?? made(keyspace, key, new SortedSet())
  let [added, changed]: [number, number] = [0, 0]
  let last: number | undefined
  for (let i = 0; i < scores.length; i++) {
    const member = args[from + 2 * i + 1]!
    const old = set.scores.get(member)
    last = scoreAfter(asked, old, scores[i]!)
    if (last === undefined || last === old) continue
    if (Number.isNaN(last)) return new Failure("ERR resulting score is not a number (NaN)")
    // A small sorted set keeps whole numbers as integers, which have no negative zero.
    set.put(member, last === 0 ? 0 : last)
    if (old === undefined) added++
    else changed++
  }
  keyspace.changes += added + changed
  if (asked.has("INCR")) return last === undefined ? null : textOf(last)
  return asked.has("CH") ? added + changed : added
})

command("zcard", 2, "first", [], ({ keyspace }, [key]) => {
  const set = sortedSetAt(keyspace, key!)
  return set instanceof Failure ? set : set?.list.length ?? 0
})

command("zscore", 3, "first", [], ({ keyspace }, [key, member]) => {
  const set = sortedSetAt(keyspace, key!)
  if (set instanceof Failure) return set
  const score = set?.scores.get(member!)
  return score === undefined ? null : textOf(score)
})

command("zrem", -3, "first", ["write"], ({ keyspace }, [key, ...members]) => {
  const set = sortedSetAt(keyspace, key!)
  if (set === undefined || set instanceof Failure) return set ?? 0
  const count = members.filter((member) => set.remove(member)).length
  keyspace.changes += count
  keyspace.dropIfEmpty(key!, set.list.length)
  return count
})

/** The first and the last place of a range, of which negative ones count from the end; undefined if it is empty. */
const placesOf = (length: number, from: number, to: number): readonly [number, number] | undefined => {
  const start = from < 0 ? Math.max(0, length + from) : from
  const end = to < 0 ? length + to : to
  return start > end || start >= length ? undefined : [start, Math.min(end, length - 1)]
}

command("zrange", -4, "first", [], ({ keyspace }, args) => {
  let withScores = false
  let reversed = false
  for (let i = 3; i < args.length; i++) {
    const option = args[i]!.toUpperCase()
    if (option === "WITHSCORES") withScores = true
    else if (option === "REV" && !reversed) reversed = true
    else if (["BYSCORE", "BYLEX", "LIMIT"].includes(option)) throw new Error(`ZRANGE ${option} is not simulated`)
    else return syntaxError
  }
  const from = integerOf(args[1]!)
  const to = integerOf(args[2]!)
  if (from === undefined || to === undefined) return notInteger
  const set = sortedSetAt(keyspace, args[0]!)
  if (set instanceof Failure) return set
  const answer: Array<string> = []
  const places = set && placesOf(set.list.length, from, to)
  if (set === undefined || places === undefined) return answer
  for (let i = places[0]; i <= places[1]; i++) {
    const { member, score } = set.list[reversed ? set.list.length - 1 - i : i]!
    answer.push(member)
    if (withScores) answer.push(textOf(score))
  }
  return answer
})

command("zremrangebyrank", 4, "first", ["write"], ({ keyspace }, [key, first, last]) => {
  const from = integerOf(first!)
  const to = integerOf(last!)
  if (from === undefined || to === undefined) return notInteger
  const set = sortedSetAt(keyspace, key!)
  if (set instanceof Failure) return set
  const places = set && placesOf(set.list.length, from, to)
  if (set === undefined || places === undefined) return 0
  const count = places[1] - places[0] + 1
  set.removeFrom(places[0], count)
  keyspace.changes += count
  keyspace.dropIfEmpty(key!, set.list.length)
  return count
})

// -----------------------------------------------------------------------------
// hashes and lists
// -----------------------------------------------------------------------------

command("hset", -4, "first", ["write", "denyoom"], ({ keyspace }, args) => {
  if (args.length % 2 === 0) return new Failure("ERR wrong number of arguments for 'hset' command")
  const found = hashAt(keyspace, args[0]!)
  if (found instanceof Failure) return found
  const hash = found ?? made(keyspace, args[0]!, new Hash())
  const before = hash.fields.size
  for (let i = 1; i < args.length; i += 2) hash.put(args[i]!, args[i + 1]!)
  keyspace.changes++
  return hash.fields.size - before
})

command("hget", 3, "first", [], ({ keyspace }, [key, field]) => {
  const hash = hashAt(keyspace, key!)
  return hash instanceof Failure ? hash : hash?.fields.get(field!) ?? null
})

command("hlen", 2, "first", [], ({ keyspace }, [key]) => {
  const hash = hashAt(keyspace, key!)
  return hash instanceof Failure ? hash : hash?.fields.size ?? 0
})

command("hgetall", 2, "first", [], ({ keyspace }, [key]) => {
  const hash = hashAt(keyspace, key!)
  return hash instanceof Failure ? hash : hash === undefined ? [] : keyspace.fieldsOf(hash)
})

command("hdel", -3, "first", ["write"], ({ keyspace }, [key, ...fields]) => {
  const hash = hashAt(keyspace, key!)
  if (hash === undefined || hash instanceof Failure) return hash ?? 0
  const count = fields.filter((field) => hash.fields.delete(field)).length
  keyspace.changes += count
  keyspace.dropIfEmpty(key!, hash.fields.size)
  return count
})

command("rpush", -3, "first", ["write", "denyoom"], ({ keyspace }, [key, ...items]) => {
  const found = listAt(keyspace, key!)
  if (found instanceof Failure) return found
  const list = found ?? made(keyspace, key!, new List())
  keyspace.changes++
  return list.items.push(...items)
})

command("llen", 2, "first", [], ({ keyspace }, [key]) => {
  const list = listAt(keyspace, key!)
  return list instanceof Failure ? list : list?.items.length ?? 0
})

command("lrange", 4, "first", [], ({ keyspace }, [key, first, last]) => {
  const from = integerOf(first!)
  const to = integerOf(last!)
  if (from === undefined || to === undefined) return notInteger
  const list = listAt(keyspace, key!)
  if (list instanceof Failure) return list
  const places = list && placesOf(list.items.length, from, to)
  return list === undefined || places === undefined ? [] : list.items.slice(places[0], places[1] + 1)
})
