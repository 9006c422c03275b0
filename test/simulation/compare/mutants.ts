/**
 * Servers that are wrong on purpose, each in one thing: the comparison must notice. What it cannot notice, since no script
 * depends on it, is said with the reason.
 */
import type { Host } from "../redis/lua/engine.ts"
import { fixed, general } from "../redis/lua/numbers.ts"
import { type Runtime, runtime, Table, type Value } from "../redis/lua/runtime.ts"
import { Failure, type Reply, Status } from "../redis/reply.ts"

type Run = Host["run"]

/** How commands are run instead, where a script runs them. */
export type Wrapping = (run: Run, isFull: () => boolean) => Run

export interface Mutant {
  readonly name: string
  readonly commands?: Wrapping
  readonly lua?: Partial<Runtime>
  /** Why no script can see it; the comparison must not either. */
  readonly unseen?: string
  /** Whether only a server that is told the time shows it. */
  readonly needsClock?: boolean
}

const oom = new Failure("OOM command not allowed when used memory > 'maxmemory'.")

/** One command is run otherwise. */
const instead =
  (name: string, otherwise: (run: Run, args: ReadonlyArray<string>) => Reply): Wrapping => (run) => (one, args) =>
    one === name ? otherwise(run, args) : run(one, args)

/** The answer of one command is another. */
const answering = (name: string, change: (reply: Reply, args: ReadonlyArray<string>) => Reply): Wrapping =>
  instead(name, (run, args) => change(run(name, args), args))

const growing = new Set(["SET", "SETRANGE", "ZADD", "HSET"])

const lifeOf = (run: Run, key: string): number => run("PTTL", [key]) as number

const keepingLife = (key: string, run: Run, act: () => Reply): Reply => {
  const life = lifeOf(run, key)
  const reply = act()
  if (life > 0) run("PEXPIRE", [key, String(life)])
  return reply
}

const ofServer: ReadonlyArray<Mutant> = [
  {
    name: "a key expires a millisecond early",
    needsClock: true,
    commands: (run) => (name, args) => {
      if (args[0] !== undefined && lifeOf(run, args[0]) === 0) run("DEL", [args[0]])
      return run(name, args)
    }
  },
  {
    name: "SET forgets when the key expires",
    commands: instead("SET", (run, args) => run("SET", args.slice(0, 2)))
  },
  {
    name: "SET has no KEEPTTL",
    commands: instead("SET", (run, args) => run("SET", args.filter((one) => one !== "KEEPTTL")))
  },
  {
    name: "SET keeps the life that there was",
    commands: instead("SET", (run, args) => keepingLife(args[0]!, run, () => run("SET", args)))
  },
  {
    name: "SET refuses what is of another type",
    commands: instead("SET", (run, args) => {
      const there = run("GET", [args[0]!])
      return there instanceof Failure ? there : run("SET", args)
    })
  },
  {
    name: "SETRANGE takes the life away",
    commands: instead("SETRANGE", (run, args) => {
      const length = run("SETRANGE", args)
      const text = run("GET", [args[0]!])
      if (typeof text === "string" && args[2] !== "") run("SET", [args[0]!, text])
      return length
    })
  },
  {
    name: "GETRANGE ends before the last",
    commands: instead("GETRANGE", (run, [key, from, to]) => run("GETRANGE", [key!, from!, String(Number(to) - 1)]))
  },
  {
    name: "PEXPIRE makes no life shorter",
    commands: instead("PEXPIRE", (run, args) => lifeOf(run, args[0]!) > Number(args[1]) ? 0 : run("PEXPIRE", args))
  },
  {
    name: "a full server refuses also after a write",
    commands: (run, isFull) => (name, args) => isFull() && growing.has(name) ? oom : run(name, args)
  },
  {
    name: "a full server refuses DEL",
    commands: (run, isFull) => (name, args) => isFull() && name === "DEL" ? oom : run(name, args)
  },
  {
    name: "a full server refuses PEXPIRE",
    commands: (run, isFull) => (name, args) => isFull() && name === "PEXPIRE" ? oom : run(name, args)
  },
  {
    name: "a full server takes a SETRANGE of nothing",
    commands: (run) => (name, args) => name === "SETRANGE" && args[2] === "" ? 0 : run(name, args)
  },
  {
    name: "the last field of a hash stays",
    commands: instead("HDEL", (run, args) => {
      const all = run("HGETALL", [args[0]!])
      return Array.isArray(all) && all.length === 2 ? 0 : run("HDEL", args)
    })
  },
  {
    name: "HSET replaces nothing",
    commands: instead("HSET", (run, args) => typeof run("HGET", args.slice(0, 2)) === "string" ? 0 : run("HSET", args)),
    unseen: "whoever sets a field takes it away before"
  },
  {
    name: "ZADD moves nothing",
    commands: instead("ZADD", (run, args) => {
      const pairs = args.slice(1).flatMap((one, i, all) => i % 2 === 0 ? [[one, all[i + 1]!] as const] : [])
      const missing = pairs.filter(([, member]) => run("ZSCORE", [args[0]!, member]) === null)
      return missing.length === 0 ? 0 : run("ZADD", [args[0]!, ...missing.flat()])
    })
  },
  {
    name: "of the same score, the last comes first",
    commands: answering("ZRANGE", (reply, args) => {
      if (!Array.isArray(reply) || args.length < 4 || reply.length !== 2 || args[1] !== "-1") return reply
      return [reply[0]!, String(Number(reply[1]) + 1)]
    })
  },
  {
    name: "ZREMRANGEBYRANK takes one less",
    commands: instead(
      "ZREMRANGEBYRANK",
      (run, [key, from, to]) => run("ZREMRANGEBYRANK", [key!, from!, String(Number(to) - 1)])
    )
  },
  {
    name: "ZSCORE of what is missing is 0",
    commands: answering("ZSCORE", (reply) => reply === null ? "0" : reply)
  },
  {
    name: "DEL of nothing counts",
    commands: answering("DEL", (reply) => reply === 0 ? 1 : reply)
  },
  {
    name: "what is of another type is missing",
    commands: answering("GET", (reply) => reply instanceof Failure ? null : reply)
  },
  {
    name: "PUBLISH is not heard",
    commands: instead("PUBLISH", () => 0)
  },
  {
    name: "HGETALL in another order",
    commands: answering("HGETALL", (reply) => {
      if (!Array.isArray(reply)) return reply
      const all: ReadonlyArray<Reply> = reply
      return all.flatMap((_, i) => i % 2 === 0 ? [all[all.length - 2 - i]!, all[all.length - 1 - i]!] : [])
    }),
    unseen: "a hash has no order: what is answered of it is compared sorted"
  },
  {
    name: "SETRANGE of nothing answers 0",
    commands: answering("SETRANGE", (reply, args) => args[2] === "" && typeof reply === "number" ? 0 : reply),
    unseen: "whoever asks for room looks only whether it was refused"
  },
  {
    name: "SET answers a text",
    commands: answering("SET", (reply) => reply instanceof Status ? "OK" : reply),
    unseen: "scripts look only whether it failed"
  },
  {
    name: "PUBLISH answers 7",
    commands: answering("PUBLISH", (reply) => typeof reply === "number" ? 7 : reply),
    unseen: "nobody asks how many have heard it"
  }
]

const halfUp = (x: number): string => Number.isFinite(x) ? fixed(Math.floor(x + 0.5)) : fixed(x)

const differing = (change: (pattern: string) => string): Runtime["patternOf"] => (pattern, flags) =>
  runtime.patternOf(change(pattern), flags)

const fractions = (value: Value): Reply =>
  typeof value === "number" ? value : isList(value) ? value.list.map(fractions) : runtime.toReply(value)

const beyondNil = (value: Value): Reply => isList(value) ? value.list.map(beyondNil) : runtime.toReply(value)

const isList = (value: Value): value is Table => value instanceof Table && Array.isArray(runtime.toReply(value))

const ofLua: ReadonlyArray<Mutant> = [
  { name: "%.0f rounds half up", lua: { fixed: (value) => halfUp(runtime.tonumber(value)!) } },
  {
    name: "%06d has no zeros before it",
    lua: { sixDigits: (value) => String(runtime.tonumber(value)) }
  },
  {
    name: "%d is no zero",
    lua: {
      patternOf: (pattern, flags) => new RegExp(runtime.patternOf(pattern).source.replaceAll("0-9", "1-9"), flags)
    }
  },
  {
    name: "a dot is no end of line",
    lua: { patternOf: (pattern, flags) => new RegExp(runtime.patternOf(pattern).source.replaceAll("[^]", "."), flags) }
  },
  { name: "patterns are not anchored", lua: { patternOf: differing((pattern) => pattern.replace(/^\^/, "")) } },
  { name: "string.sub counts from 0", lua: { cut: (text, from, to) => String(text).slice(Number(from), Number(to)) } },
  { name: "string.find finds nothing", lua: { find: () => [undefined] } },
  {
    name: "redis.error_reply has its own code",
    lua: { errorReply: (message: Value) => runtime.errorReply(`ERR ${String(message)}`) }
  },
  {
    name: "a number is sent with 14 digits",
    lua: {
      call: (host, args) => runtime.call(host, args.map((one) => typeof one === "number" ? general(one, 14) : one))
    }
  },
  {
    name: "tonumber knows no inf",
    lua: {
      tonumber: (value) => {
        const number = runtime.tonumber(value)
        return number === undefined || Number.isFinite(number) ? number : undefined
      }
    }
  },
  { name: "pcall lets errors through", lua: { protect: (f, _, ...args) => [true, f(...args) as Value] } },
  {
    name: "math.floor truncates",
    lua: { floor: (value) => Math.trunc(runtime.tonumber(value)!) },
    unseen: "what is below 0 is a life that is over"
  },
  { name: "false is true", lua: { isTrue: (value) => value !== undefined } },
  {
    name: "a list has a separator",
    lua: { join: (table, separator = "") => runtime.join(table, `${String(separator)} `) }
  },
  {
    name: "numbers are not truncated in an answer",
    lua: { toReply: fractions },
    unseen: "no script answers a number with a fraction"
  },
  {
    name: "an answer goes on behind nil",
    lua: { toReply: beyondNil },
    unseen: "no script answers nil before something else"
  }
]

export const mutants: ReadonlyArray<Mutant> = [...ofServer, ...ofLua]
