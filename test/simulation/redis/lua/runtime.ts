/**
 * What a translated script calls: the values, operators and functions of Lua 5.1, as far as the scripts use them.
 *
 * nil is undefined, strings are binary strings, numbers are doubles. A function of Lua that gives several values gives
 * an array of them here.
 */
import { Failure, Raised, type Reply, Status } from "../reply.ts"
import type { Host } from "./engine.ts"
import { fixed, general, parseDouble } from "./numbers.ts"

export type Value = undefined | boolean | number | string | Table | LuaFunction
/** Whether it gives one value or an array of them is known where it is called. */
export type LuaFunction = (...args: ReadonlyArray<Value>) => Value | ReadonlyArray<Value>

/** An error in a script: a text, or the table that `redis.call` raises. */
export class LuaError extends Error {
  readonly value: Value

  constructor(value: Value) {
    super(typeof value === "string" ? value : "an error of redis.call")
    this.value = value
  }
}

const raise = (text: string): never => {
  throw new LuaError(text)
}

/** A table: a list from 1 on, and whatever else. */
export class Table {
  readonly list: Array<Value>
  private rest: Map<Value, Value> | undefined

  constructor(list: Array<Value> = []) {
    this.list = list
    this.trim()
  }

  get(key: Value): Value {
    if (typeof key === "number") {
      const value = this.list[key - 1]
      if (value !== undefined) return value
    }
    return this.rest?.get(key)
  }

  set(key: Value, value: Value): void {
    if (key === undefined) raise("table index is nil")
    if (typeof key === "number" && this.setAt(key, value)) return
    if (value === undefined) this.rest?.delete(key)
    else (this.rest ??= new Map()).set(key, value)
  }

  private setAt(at: number, value: Value): boolean {
    const { list } = this
    if (Number.isNaN(at)) raise("table index is NaN")
    if (at === list.length + 1 && value !== undefined) {
      list.push(value)
      if (this.rest !== undefined) this.gather(this.rest)
      return true
    }
    if (!(at >= 1 && at <= list.length && Number.isInteger(at))) return false
    list[at - 1] = value
    this.trim()
    return true
  }

  /** What was put beyond the end belongs to the list once it has come so far. */
  private gather(rest: Map<Value, Value>): void {
    rest.delete(this.list.length)
    for (let at = this.list.length + 1; rest.has(at); at++) {
      this.list.push(rest.get(at))
      rest.delete(at)
    }
  }

  /** A nil at its end is none of the list. Where there is a hole before, Lua may see another end; scripts make none. */
  private trim(): void {
    while (this.list.length > 0 && this.list.at(-1) === undefined) this.list.pop()
  }
}

const typeOf = (value: Value): string => value === undefined ? "nil" : value instanceof Table ? "table" : typeof value

// -----------------------------------------------------------------------------
// numbers, and texts of them
// -----------------------------------------------------------------------------

const aroundNumber = /^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g

/** A text ends at a zero byte for C, and may have space around. */
const tonumber = (value: Value): number | undefined => {
  if (typeof value === "number") return value
  if (typeof value !== "string") return undefined
  const end = value.indexOf("\0")
  return parseDouble((end < 0 ? value : value.slice(0, end)).replace(aroundNumber, ""))
}

const operand = (value: Value): number =>
  typeof value === "number"
    ? value
    : tonumber(value) ?? raise(`attempt to perform arithmetic on a ${typeOf(value)} value`)

const textOf = (value: Value): string => typeof value === "number" ? general(value, 14) : value as string

const isText = (value: Value): value is string | number => typeof value === "string" || typeof value === "number"

const got = (value: Value): string => value === undefined ? "no value" : typeOf(value)

const textAt = (value: Value, at: number, name: string): string =>
  isText(value) ? textOf(value) : raise(`bad argument #${at} to '${name}' (string expected, got ${got(value)})`)

const numberAt = (value: Value, at: number, name: string): number =>
  tonumber(value) ?? raise(`bad argument #${at} to '${name}' (number expected, got ${got(value)})`)

const loopNumber = (value: Value, what: string): number => tonumber(value) ?? raise(`'for' ${what} must be a number`)

// -----------------------------------------------------------------------------
// operators
// -----------------------------------------------------------------------------

const incomparable = (a: Value, b: Value): never =>
  raise(
    typeOf(a) === typeOf(b)
      ? `attempt to compare two ${typeOf(a)} values`
      : `attempt to compare ${typeOf(a)} with ${typeOf(b)}`
  )

const less = (a: Value, b: Value): boolean =>
  typeof a === "number" && typeof b === "number"
    ? a < b
    : typeof a === "string" && typeof b === "string"
    ? a < b
    : incomparable(a, b)

const atMost = (a: Value, b: Value): boolean =>
  typeof a === "number" && typeof b === "number"
    ? a <= b
    : typeof a === "string" && typeof b === "string"
    ? a <= b
    : incomparable(a, b)

const operators = {
  add: (a: Value, b: Value): number => operand(a) + operand(b),
  subtract: (a: Value, b: Value): number => operand(a) - operand(b),
  multiply: (a: Value, b: Value): number => operand(a) * operand(b),
  divide: (a: Value, b: Value): number => operand(a) / operand(b),
  power: (a: Value, b: Value): number => operand(a) ** operand(b),
  negate: (a: Value): number => -operand(a),
  less,
  atMost,
  more: (a: Value, b: Value): boolean => less(b, a),
  atLeast: (a: Value, b: Value): boolean => atMost(b, a),
  concat: (a: Value, b: Value): string =>
    typeof a === "string" && typeof b === "string"
      ? a + b
      : !isText(a) || !isText(b)
      ? raise(`attempt to concatenate a ${typeOf(isText(a) ? b : a)} value`)
      : textOf(a) + textOf(b),
  length: (value: Value): number =>
    value instanceof Table
      ? value.list.length
      : typeof value === "string"
      ? value.length
      : raise(`attempt to get length of a ${typeOf(value)} value`),
  index: (table: Value, key: Value): Value =>
    table instanceof Table
      ? table.get(key)
      : typeof table === "string"
      ? undefined
      : raise(`attempt to index a ${typeOf(table)} value`),
  put: (table: Value, key: Value, value: Value): void =>
    table instanceof Table ? table.set(key, value) : raise(`attempt to index a ${typeOf(table)} value`),
  isTrue: (value: Value): boolean => value !== undefined && value !== false,
  callValue: (f: Value): Value =>
    typeof f === "function" ? f() as Value : raise(`attempt to call a ${typeOf(f)} value`),
  table: (list: Array<Value>): Table => new Table(list),
  record: (entries: ReadonlyArray<readonly [Value, Value]>): Table => {
    const made = new Table()
    for (const [key, value] of entries) made.set(key, value)
    return made
  },
  loopNumber
}

// -----------------------------------------------------------------------------
// the library
// -----------------------------------------------------------------------------

const refusePattern = (pattern: string): never => {
  throw new Error(`not translated: the pattern ${JSON.stringify(pattern)}`)
}

const escaped = (char: string): string => char === "\n" ? "\\n" : /[\\^$.*+?()[\]{}|/-]/.test(char) ? `\\${char}` : char

const setOf = (pattern: string, set: string): string => {
  if (set.includes("%")) refusePattern(pattern)
  const [, not = "", rest = ""] = /^(\^?)([^]*)$/.exec(set) ?? []
  return `[${not}${rest.replace(/[\\\][]/g, "\\$&").replace(/\n/g, "\\n")}]`
}

/** A pattern of Lua as a regular expression: of characters, sets, `%d`, `.`, `*`, `+`, captures and anchors. */
const patternOf = (pattern: string, flags = ""): RegExp => {
  let out = pattern.startsWith("^") ? "^" : ""
  for (let at = out.length; at < pattern.length; at++) {
    const char = pattern[at]!
    if (char === "[") {
      const end = pattern.indexOf("]", at + 2)
      if (end < 0) refusePattern(pattern)
      out += setOf(pattern, pattern.slice(at + 1, end))
      at = end
    } else if (char === "%") {
      if (pattern[++at] !== "d") refusePattern(pattern)
      out += "[0-9]"
    } else if (char === ".") out += "[^]"
    else if (char === "(" && pattern[at + 1] === ")") refusePattern(pattern)
    else if ("*+()".includes(char) || (char === "$" && at === pattern.length - 1)) out += char
    else if ("-?".includes(char)) refusePattern(pattern)
    else out += escaped(char)
  }
  return new RegExp(out, flags)
}

/** What the captures found, or all of it where there are none. */
const capturesOf = (found: RegExpExecArray | RegExpMatchArray): ReadonlyArray<string> =>
  found.length === 1 ? [found[0]!] : found.slice(1)

const matchAll = (text: Value, regex: RegExp): ReadonlyArray<Value> => {
  const found = regex.exec(textAt(text, 1, "match"))
  return found === null ? [undefined] : capturesOf(found)
}

const elementOf = (value: Value, at: number): string =>
  isText(value) ? textOf(value) : raise(`invalid value (${typeOf(value)}) at index ${at} in table for 'concat'`)

const library = {
  patternOf,
  match: matchAll,
  matchOne: (text: Value, regex: RegExp): Value => {
    const found = regex.exec(textAt(text, 1, "match"))
    return found === null ? undefined : found.length === 1 ? found[0] : found[1]
  },
  matches: (text: Value, regex: RegExp): LuaFunction => {
    const all = textAt(text, 1, "gmatch").matchAll(regex)
    return () => {
      const { value } = all.next()
      return value === undefined ? undefined : capturesOf(value)[0]
    }
  },
  /** A text as it stands, from the first character on. */
  find: (text: Value, what: Value): ReadonlyArray<Value> => {
    const sought = textAt(what, 2, "find")
    const at = textAt(text, 1, "find").indexOf(sought)
    return at < 0 ? [undefined] : [at + 1, at + sought.length]
  },
  cut: (value: Value, from: Value, to: Value = -1): string => {
    const text = textAt(value, 1, "sub")
    const first = Math.trunc(numberAt(from, 2, "sub"))
    const last = Math.trunc(numberAt(to, 3, "sub"))
    const start = first < 0 ? Math.max(1, text.length + first + 1) : Math.max(1, first)
    const end = last < 0 ? text.length + last + 1 : Math.min(last, text.length)
    return start > end ? "" : text.slice(start - 1, end)
  },
  fixed: (value: Value, at: number): string => fixed(numberAt(value, at, "format")),
  sixDigits: (value: Value, at: number): string => {
    const whole = Math.trunc(numberAt(value, at, "format"))
    return whole < 0 ? `-${String(-whole).padStart(5, "0")}` : String(whole).padStart(6, "0")
  },
  /** C stops at a zero byte where it fills a form; a long text is no matter of a form. */
  spelled: (value: Value, at: number): string => {
    const text = textAt(value, at, "format")
    const end = text.length < 100 ? text.indexOf("\0") : -1
    return end < 0 ? text : text.slice(0, end)
  },
  floor: (value: Value): number => Math.floor(numberAt(value, 1, "floor")),
  min: (...values: ReadonlyArray<Value>): number =>
    values.map((value, i) => numberAt(value, i + 1, "min")).reduce((least, one) => one < least ? one : least),
  join: (table: Value, separator: Value = ""): string => {
    if (!(table instanceof Table)) return raise(`bad argument #1 to 'concat' (table expected, got ${got(table)})`)
    return table.list.map((one, i) => typeof one === "string" ? one : elementOf(one, i + 1))
      .join(textAt(separator, 2, "concat"))
  },
  each: (table: Value): ReadonlyArray<Value> => {
    if (!(table instanceof Table)) return raise(`bad argument #1 to 'ipairs' (table expected, got ${got(table)})`)
    const end = table.list.indexOf(undefined)
    return end < 0 ? table.list : table.list.slice(0, end)
  },
  tonumber,
  typeOf,
  /** `gives` says whether the function gives several values. Of an error of `redis.call` Redis gives the text. */
  protect: (f: LuaFunction, gives: "one" | "many", ...args: ReadonlyArray<Value>): ReadonlyArray<Value> => {
    try {
      const result = f(...args)
      return gives === "many" ? [true, ...result as ReadonlyArray<Value>] : [true, result as Value]
    } catch (error) {
      if (!(error instanceof LuaError)) throw error
      return [false, error.value instanceof Table ? error.value.get("err") : error.value]
    }
  }
}

// -----------------------------------------------------------------------------
// Redis
// -----------------------------------------------------------------------------

const toValue = (reply: Reply): Value => {
  if (typeof reply === "string" || typeof reply === "number") return reply
  if (reply === null) return false
  if (reply instanceof Failure) return operators.record([["err", reply.err]])
  if (reply instanceof Status) return operators.record([["ok", reply.ok]])
  return new Table(reply.map(toValue))
}

/** What a script returns, as it is answered. */
const toReply = (value: Value): Reply => {
  if (typeof value === "string") return value
  // There is no -0 among whole numbers.
  if (typeof value === "number") return Math.trunc(value) + 0
  if (value === true) return 1
  if (!(value instanceof Table)) return null
  const err = value.get("err")
  if (typeof err === "string") return new Failure(err)
  const ok = value.get("ok")
  if (typeof ok === "string") return new Status(ok)
  return library.each(value).map(toReply)
}

const badArguments = new Failure("ERR Lua redis lib command arguments must be strings or integers")
const noArguments = new Failure("ERR Please specify at least one argument for this redis.call()")

/** A number goes to the server with 17 digits, which is not how Lua writes it. */
const send = (host: Host, [name, ...args]: ReadonlyArray<Value>): Reply => {
  if (name === undefined && args.length === 0) return noArguments
  if (!isText(name) || !args.every(isText)) return badArguments
  return host.run(textOf(name), args.map((one) => typeof one === "number" ? general(one, 17) : one))
}

const redis = {
  call: (host: Host, args: ReadonlyArray<Value>): Value => {
    const reply = send(host, args)
    if (reply instanceof Failure) throw new LuaError(toValue(reply))
    return toValue(reply)
  },
  tryCall: (host: Host, args: ReadonlyArray<Value>): Value => toValue(send(host, args)),
  /** The first word is the code of the error, if there are two. */
  errorReply: (message: Value): Value => {
    if (typeof message !== "string") return toValue(new Failure("ERR wrong number or type of arguments"))
    const text = message.startsWith("-") ? message.slice(1) : message
    return toValue(new Failure(text.includes(" ") ? text : `ERR ${text}`))
  },
  toReply,
  toFailure: (error: LuaError): Failure => {
    const err = error.value instanceof Table ? error.value.get("err") : error.value
    return new Raised(error.value instanceof Table ? textOf(err) : `ERR user_script: ${textOf(err)}`)
  }
}

export const runtime = { ...operators, ...library, ...redis }

export type Runtime = typeof runtime
