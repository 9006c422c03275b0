/**
 * The real server of the comparison. Where its clock can be preloaded (`clock.ts`), it shows what it is told. Elsewhere the
 * scripts are told the time by their arguments, on both sides; keys expire by the server's own clock, which the
 * simulated one cannot follow: then nothing lives so short that it could expire meanwhile, and what is left of a life
 * may be less by the time that has gone by.
 */
import * as Scripts from "../../../src/internal/redis/scripts.ts"
import { type Server, startServer } from "../../support/redis.ts"
import { makeFolder } from "../../support/redisFolder.ts"
import { Failure, type Reply } from "../redis/reply.ts"
import { type Call, channels, type Placed, places, type Stored } from "./calls.ts"
import { compiler, type FileClock, makeClock } from "./clock.ts"
import { Connection } from "./resp.ts"
import type { Lying, Recorder, Seen, Step } from "./tape.ts"

/** Whether the server shows the time it is told, or the scripts are told. */
export type Timing = "told to the server" | "told to the scripts"

/** The simulated server speaks of errors in the words of 7.0; another server has others. */
export type Words = "the same" | "others"

/** What is sent of a script, and with which arguments. */
export interface Sending {
  readonly source: (script: string) => string
  readonly args: (us: number, args: ReadonlyArray<string>) => ReadonlyArray<string>
}

/** By their names. */
export const scripts: ReadonlyArray<string> = Scripts.all.map(({ name }) => name)

const sources = new Map(Scripts.all.map(({ name, source }) => [name, source]))

const sourceOf = (script: string): string => sources.get(script)!

const rewritten = (source: string, from: string, to: string): string => {
  if (!source.includes(from)) throw new Error(`a script has no longer the text ${from}`)
  return source.replaceAll(from, to)
}

// The time stands before the other arguments: behind them, a script that finds too few would take it for one.
const timed = (source: string): string =>
  rewritten(rewritten(source, "redis.call('TIME')", "{ ARGV[1], ARGV[2] }"), "local at = 0", "local at = 2")

export const sendingOf = (timing: Timing): Sending =>
  timing === "told to the server" ? { source: sourceOf, args: (_, args) => args } : {
    source: (script) => timed(sourceOf(script)),
    args: (us, args) => [String(Math.floor(us / 1e6)), String(us % 1e6), ...args]
  }

/** The command that lays out a value. */
export const layingOut = (key: string, stored: Stored): ReadonlyArray<string> => {
  switch (stored.type) {
    case "string":
      return ["SET", key, stored.value]
    case "zset":
      return ["ZADD", key, ...stored.value.flatMap(([member, score]) => [score, member])]
    case "hash":
      return ["HSET", key, ...stored.value.flat()]
    case "list":
      return ["RPUSH", key, ...stored.value]
  }
}

/** All that lies at its keys, without a change of it. */
export const looking = `
local all = {}
for i, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  local value = false
  if type == 'string' then value = redis.call('GET', key)
  elseif type == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif type == 'hash' then value = redis.call('HGETALL', key)
  elseif type == 'list' then value = redis.call('LRANGE', key, 0, -1) end
  all[i] = { type, value, redis.call('PTTL', key) }
end
return all
`

export const pairsOf = (all: ReadonlyArray<string>): ReadonlyArray<readonly [string, string]> =>
  all.flatMap((one, i) => i % 2 === 0 ? [[one, all[i + 1]!] as const] : [])

/** A hash has no order. */
export const byName = (pairs: ReadonlyArray<readonly [string, string]>): ReadonlyArray<readonly [string, string]> =>
  [...pairs].sort(([a], [b]) => a < b ? -1 : 1)

const storedIn = (type: string, value: string | ReadonlyArray<string>): Stored | undefined => {
  switch (type) {
    case "string":
      return { type, value: value as string }
    case "zset":
      return { type, value: pairsOf(value as ReadonlyArray<string>) }
    case "hash":
      return { type, value: byName(pairsOf(value as ReadonlyArray<string>)) }
    case "list":
      return { type, value: value as ReadonlyArray<string> }
    default:
      return undefined
  }
}

/** What was looked at, place by place: its type, its value, its PTTL. */
export const readLook = (reply: Reply): ReadonlyArray<Lying> =>
  (reply as ReadonlyArray<readonly [string, string | ReadonlyArray<string>, number]>)
    .map(([type, value, ttl]) => ({ stored: storedIn(type, value), ttl }))

const mark = "mark"

/** Hears what is published, apart for each call: after each one is published that says so. */
class Ear {
  private connection: Connection | undefined
  private calls: Array<Array<readonly [string, string]>> = [[]]
  private waiting: (() => void) | undefined
  private awaited = 0

  async open(server: Server): Promise<void> {
    this.connection = await Connection.open(server, (channel, text) => {
      if (channel !== mark) this.calls.at(-1)!.push([channel, text])
      else if (this.calls.push([]) > this.awaited) this.waiting?.()
    })
    await this.connection.send("SUBSCRIBE", ...channels, mark)
  }

  begin(): void {
    this.calls = [[]]
  }

  /** Of so many calls. */
  async heard(count: number): Promise<ReadonlyArray<Seen["messages"]>> {
    if (this.calls.length <= count) {
      this.awaited = count
      await new Promise<void>((resolve) => {
        this.waiting = resolve
      })
      this.waiting = undefined
    }
    return this.calls.slice(0, count)
  }

  close(): void {
    this.connection?.close()
  }
}

const insist = (reply: Reply): Reply => {
  if (reply instanceof Failure) throw new Error(`the server refused what the comparison needs: ${reply.err}`)
  return reply
}

export class Real implements Recorder {
  readonly timing: Timing
  readonly shortest: number
  /** As it names itself. */
  readonly version: string
  readonly words: Words
  private readonly server: Server
  private readonly connection: Connection
  private readonly ear: Ear
  private readonly clock: FileClock | undefined
  private readonly sending: Sending
  private readonly hashes: ReadonlyMap<string, string>
  private readonly lookHash: string
  private full = false
  private count = 0
  private began = 0

  private constructor(
    server: Server,
    connection: Connection,
    ear: Ear,
    clock: FileClock | undefined,
    version: string,
    hashes: ReadonlyMap<string, string>,
    lookHash: string
  ) {
    this.timing = clock === undefined ? "told to the scripts" : "told to the server"
    this.shortest = clock === undefined ? 30_000 : 1
    this.version = version
    this.words = version.startsWith("redis 7.0.") ? "the same" : "others"
    this.server = server
    this.connection = connection
    this.ear = ear
    this.clock = clock
    this.sending = sendingOf(this.timing)
    this.hashes = hashes
    this.lookHash = lookHash
  }

  /** `cc`: the compiler, or none. */
  static async start(cc = compiler() ?? "none"): Promise<Real> {
    const folder = makeFolder()
    const clock = makeClock(folder, cc)
    const server = await startServer(clock === undefined ? {} : { env: clock.env })
    const connection = await Connection.open(server)
    const told = clock !== undefined && await isTold(connection, clock)
    const sending = sendingOf(told ? "told to the server" : "told to the scripts")
    const load = async (source: string) => String(insist(await connection.send("SCRIPT", "LOAD", source)))
    const hashes = new Map<string, string>()
    for (const name of scripts) hashes.set(name, await load(sending.source(name)))
    const info = String(await connection.send("INFO", "server"))
    // Valkey says also which Redis it is like.
    const [, name = "", version = ""] = /(valkey)_version:(\S+)/.exec(info) ?? /(redis)_version:(\S+)/.exec(info) ?? []
    const ear = new Ear()
    await ear.open(server)
    const lookHash = await load(looking)
    return new Real(server, connection, ear, told ? clock : undefined, `${name} ${version}`, hashes, lookHash)
  }

  private setFull(full: boolean): ReadonlyArray<Promise<Reply>> {
    if (full === this.full) return []
    this.full = full
    return [this.connection.send("CONFIG", "SET", "maxmemory", full ? "1" : "0")]
  }

  private look(): Promise<Reply> {
    return this.connection.send("EVALSHA", this.lookHash, String(places.length), ...places)
  }

  private get late(): number {
    return this.clock === undefined ? performance.now() - this.began : 0
  }

  async layOut(us: number, placed: ReadonlyArray<Placed>): Promise<ReadonlyArray<Lying>> {
    this.clock?.set(us)
    this.began = performance.now()
    this.count = 0
    this.ear.begin()
    const { connection } = this
    const all = connection.together(() => [
      ...this.setFull(false),
      connection.send("DEL", ...places),
      ...placed.flatMap(({ key, life, stored }) => [
        connection.send(...layingOut(key, stored)),
        ...life === undefined ? [] : [connection.send("PEXPIRE", key, String(life))]
      ]),
      this.look()
    ])
    const replies = await Promise.all(all)
    return readLook(replies.map(insist).at(-1)!)
  }

  async run(
    us: number,
    full: boolean,
    { args, keys, script }: Call
  ): Promise<Omit<Seen, "messages"> & Pick<Step, "late">> {
    this.clock?.set(us)
    this.count++
    const { connection } = this
    const sent = this.sending.args(us, args)
    const [settings, reply, look] = await Promise.all(connection.together(() =>
      [
        Promise.all(this.setFull(full)),
        connection.send("EVALSHA", this.hashes.get(script)!, String(keys.length), ...keys, ...sent),
        this.look(),
        connection.send("PUBLISH", mark, "")
      ] as const
    ))
    for (const one of settings) insist(one)
    return { reply, keyspace: readLook(insist(look)), late: this.late }
  }

  heard(): Promise<ReadonlyArray<Seen["messages"]>> {
    return this.ear.heard(this.count)
  }

  /** Commands at one time, whether it is full or not. */
  async commands(us: number, full: boolean, all: ReadonlyArray<ReadonlyArray<string>>): Promise<ReadonlyArray<Reply>> {
    this.clock?.set(us)
    const { connection } = this
    const [settings, replies] = await Promise.all(connection.together(() =>
      [
        Promise.all(this.setFull(full)),
        Promise.all(all.map((one) => connection.send(...one)))
      ] as const
    ))
    for (const one of settings) insist(one)
    return replies
  }

  /** Any script. */
  async evaluate(source: string, keys: ReadonlyArray<string>, args: ReadonlyArray<string>): Promise<Reply> {
    return this.connection.send("EVAL", source, String(keys.length), ...keys, ...args)
  }

  async stop(): Promise<void> {
    this.connection.close()
    this.ear.close()
    this.clock?.close()
    await this.server.stop()
  }
}

/** Whether the preloaded clock is the server's: it may have been refused. */
const isTold = async (connection: Connection, clock: FileClock): Promise<boolean> => {
  clock.set(1_800_000_000_654_321)
  const time = await connection.send("TIME")
  return Array.isArray(time) && time[0] === "1800000000" && time[1] === "654321"
}
