/** Random commands with random arguments, right ones and wrong ones, as they come from connections. */
import type { Reply } from "../redis/reply.ts"
import { Server } from "../redis/server.ts"
import { type Random, randomOf } from "../world/random.ts"
import { told } from "./compare.ts"
import { byName, pairsOf, type Real, type Words } from "./real.ts"

type Make = () => ReadonlyArray<string>

const keys = ["s1", "s2", "z1", "z2", "h1", "h2", "l1"]
const members = ["a", "b", "c", "\0\xff", ""]

class Commands {
  private readonly random: Random
  private us = 0

  constructor(random: Random) {
    this.random = random
  }

  private pick<A>(all: ReadonlyArray<A>): A {
    return this.random.pick(all)
  }

  /** Mostly one that has what the command is about. */
  private key(kind: string): string {
    return this.random.chance(0.85) ? `${kind}${1 + this.random.int(kind === "l" ? 1 : 2)}` : this.pick(keys)
  }

  private integer(): string {
    const edges = ["", "x", "1.5", "01", "+1", " 1", "-0", "9223372036854775807", "9223372036854775808"]
    return this.random.chance(0.1) ? this.pick(edges) : String(this.random.int(9) - 4)
  }

  private life(): string {
    return this.random.chance(0.2) ? this.integer() : String(this.pick([1, 2, 500, 1000, 1499, 1500, 100_000]))
  }

  private score(): string {
    const edges = [
      "inf",
      "-inf",
      "+inf",
      "infinity",
      "nan",
      "x",
      "",
      "1e400",
      "0x10",
      " 1",
      "1 ",
      "-0",
      "1e-400",
      "1.",
      ".5"
    ]
    return this.random.chance(0.2)
      ? this.pick(edges)
      : this.pick(["1", "2", "-1", "0.1", "2.5", "1e22", "9007199254740993"])
  }

  private text(): string {
    return this.pick(["", "v", "\r\n", "\0\x80", "x".repeat(70), "0"])
  }

  private some(make: () => string, most: number): ReadonlyArray<string> {
    return Array.from({ length: this.random.int(most + 1) }, make)
  }

  /** In capitals or not. */
  private option(all: ReadonlyArray<string>): string {
    const one = this.pick(all)
    return this.random.chance(0.2) ? one.toLowerCase() : one
  }

  private time(): ReadonlyArray<string> {
    const ms = Math.floor(this.us / 1000)
    const at = ms + this.random.int(4000) - 1000
    const absolute = this.random.chance(0.5) ? ["PXAT", String(at)] : ["EXAT", String(Math.floor(at / 1000))]
    return this.random.chance(0.3) ? absolute : [this.option(["PX", "EX"]), this.life()]
  }

  private readonly makers: ReadonlyArray<Make> = [
    () => ["GET", this.key("s")],
    () => ["MGET", ...this.some(() => this.pick(keys), 3)],
    () => ["STRLEN", this.key("s")],
    () => ["SET", this.pick(keys), this.text()],
    () => ["SET", this.key("s"), this.text(), ...this.time()],
    () => ["SET", this.key("s"), this.text(), ...this.some(() => this.option(["NX", "XX", "GET", "KEEPTTL", "XY"]), 2)],
    () => ["SET", this.key("s"), this.text(), this.option(["NX", "XX", "GET", "KEEPTTL"]), ...this.time()],
    () => ["GETRANGE", this.key("s"), this.integer(), this.integer()],
    () => ["SETRANGE", this.key("s"), this.integer(), this.text()],
    () => [this.option(["DEL", "UNLINK", "EXISTS"]), ...this.some(() => this.pick(keys), 3)],
    () => [this.option(["TYPE", "TTL", "PTTL", "PEXPIRETIME", "EXPIRETIME", "PERSIST"]), this.pick(keys)],
    () => ["PEXPIRE", this.pick(keys), this.life(), ...this.some(() => this.option(["NX", "XX", "GT", "LT", "AB"]), 2)],
    () => ["EXPIRE", this.pick(keys), this.integer(), ...this.some(() => this.option(["NX", "XX", "GT", "LT"]), 1)],
    () => ["PEXPIREAT", this.pick(keys), String(Math.floor(this.us / 1000) + this.random.int(3000) - 1000)],
    () => ["EXPIREAT", this.pick(keys), String(Math.floor(this.us / 1_000_000) + this.random.int(4) - 1)],
    () => ["ZADD", this.key("z"), ...this.some(() => this.option(["NX", "XX", "GT", "LT", "CH"]), 2), ...this.scored()],
    () => ["ZADD", this.key("z"), ...this.scored(), ...this.scored(), ...this.some(() => this.score(), 1)],
    () => [
      "ZADD",
      this.key("z"),
      this.option(["INCR"]),
      this.pick(["1", "-1", "0.1", "inf", "-inf", "x"]),
      this.pick(members)
    ],
    () => ["ZCARD", this.key("z")],
    () => ["ZSCORE", this.key("z"), this.pick(members)],
    () => ["ZREM", this.key("z"), ...this.some(() => this.pick(members), 3)],
    () => [
      ...["ZRANGE", this.key("z"), this.integer(), this.integer()],
      ...this.some(() => this.option(["WITHSCORES", "REV", "XX"]), 2)
    ],
    () => ["ZREMRANGEBYRANK", this.key("z"), this.integer(), this.integer()],
    () => ["HSET", this.key("h"), this.pick(members), this.text(), ...this.some(() => this.pick(members), 2)],
    () => ["HGET", this.key("h"), this.pick(members)],
    () => ["HLEN", this.key("h")],
    () => ["HGETALL", this.key("h")],
    () => ["HDEL", this.key("h"), ...this.some(() => this.pick(members), 3)],
    () => ["RPUSH", this.key("l"), ...this.some(() => this.text(), 3)],
    () => ["LLEN", this.key("l")],
    () => ["LRANGE", this.key("l"), this.integer(), this.integer()],
    () => ["TIME"],
    () => ["PING", ...this.some(() => this.text(), 2)],
    () => ["ECHO", ...this.some(() => this.text(), 2)],
    () => ["PUBLISH", "nobody", this.text()],
    () => ["NOSUCH", ...this.some(() => this.pick(["a", "b c"]), 2)],
    () => ["EVALSHA", "0".repeat(40), this.integer(), ...this.some(() => this.pick(keys), 2)],
    () => ["EVAL", "return { #KEYS, #ARGV }", this.integer(), ...this.some(() => this.pick(keys), 3)]
  ]

  private scored(): ReadonlyArray<string> {
    return [this.score(), this.pick(members)]
  }

  /** One for that time. */
  next(us: number): ReadonlyArray<string> {
    this.us = us
    const words = this.pick(this.makers)()
    // Too few, or too many.
    if (!this.random.chance(0.04)) return words
    return this.random.chance(0.5) ? words.slice(0, Math.max(1, words.length - 1)) : [...words, this.pick(["x", "1"])]
  }
}

// -----------------------------------------------------------------------------
// on both servers
// -----------------------------------------------------------------------------

const turns = 8
const together = 6

/** So many are sent for a seed. */
export const commandsOfSeed = turns * together

/** A hash has no order. */
const comparable = ([name]: ReadonlyArray<string>, reply: Reply, words: Words): string =>
  JSON.stringify(
    name === "HGETALL" && Array.isArray(reply)
      ? byName(pairsOf(reply as ReadonlyArray<string>))
      : told(reply, words)
  )

/** Sends those of a seed to both; the first that is answered otherwise, in words. */
export const differenceInCommands = async (real: Real, seed: number): Promise<string> => {
  const random = randomOf(seed)
  const commands = new Commands(random.fork())
  const time = { us: 1_800_000_000_000_000 + random.int(1e12) }
  const server = new Server({ id: "simulated", now: () => time.us, random: random.fork() })
  await real.commands(time.us, false, [["FLUSHALL"]])
  for (let turn = 0; turn < turns; turn++) {
    time.us += random.pick([0, 1, 999, 1000, 1001, 500_000, 2_000_000])
    server.full = random.chance(0.1)
    const sent = Array.from({ length: together }, () => commands.next(time.us))
    const replies = await real.commands(time.us, server.full, sent)
    for (const [i, words] of sent.entries()) {
      const [theirs, mine] = [replies[i]!, server.run(words[0]!, words.slice(1))].map((one) =>
        comparable(words, one, real.words)
      )
      if (theirs !== mine) {
        return `seed ${seed}, turn ${turn}${server.full ? ", full" : ""}: ${JSON.stringify(words)} is answered ` +
          `${theirs}, and simulated ${mine}`
      }
    }
  }
  return ""
}
