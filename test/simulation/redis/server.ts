/**
 * A Redis in this process. It answers what the library and its clients ask as
 * Redis 7.0.15 does, and does with one command at a time what it does with a
 * script: all of it, or what was refused not at all.
 *
 * Time, chance and timers are given from outside, so that a world can repeat.
 */
import type { Random } from "../world/random.ts"
import { type Command, dataCommands, type Effect, type Holder } from "./commands.ts"
import { Connection, later, postponed, type ServerCommand, serverCommands } from "./connection.ts"
import { type Entries, type Entry, Hash, Keyspace, type Kind, kindOf, SortedSet, type Value } from "./keyspace.ts"
import { compile, type Compiled, type Host } from "./lua/engine.ts"
import { general } from "./lua/numbers.ts"
import { Failure, Raised, type Reply } from "./reply.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

export interface ServerOptions {
  readonly id: string
  /** The wall clock of this server: microseconds since the epoch. */
  readonly now: () => number
  readonly random: Random
  /** Where clients find it, as the server says itself. */
  readonly address?: Address
  /** Runs something so many microseconds later. Without it `WAIT` answers at once, as it does in a script. */
  readonly after?: (us: number, run: () => void) => void
}

/** Whoever is at the other end of a connection. */
export interface Peer {
  /** What comes without being asked for: `["message", channel, text]`. */
  readonly push: (message: Reply) => void
  /** The server has closed the connection. */
  readonly closed?: () => void
}

export interface Session {
  readonly receive: (command: ReadonlyArray<string>, answer: (reply: Reply) => void) => void
  readonly close: () => void
}

/** A command that has changed something, as replicas get it. */
export interface Write {
  readonly index: number
  /** When it was done, by the server's clock. */
  readonly us: number
  readonly name: string
  readonly args: ReadonlyArray<string>
}

/** What a primary knows of a replica. */
export interface Replica {
  readonly server: Server
  /** Up to which write it has said to have all. */
  acknowledged: number
  /** Ends what connects the two. */
  readonly leave: () => void
}

/** Where a replica has its data from. */
export interface Source {
  readonly primary: Server
  readonly leave: () => void
}

/** What a server knows of the cluster that it belongs to. */
export interface Membership {
  /** Why a command is not for this server now; undefined if it is. */
  readonly refusal: (
    command: Command<never>,
    args: ReadonlyArray<string>,
    connection: Connection
  ) => Failure | undefined
  /** The same of a command in a script. */
  readonly refusalInScript: Membership["refusal"]
  /** Answers `CLUSTER <name>`. */
  readonly tell: (name: string, args: ReadonlyArray<string>) => Reply
  /** Lets the other nodes hear it. */
  readonly publish: (message: Reply & ReadonlyArray<string>) => void
}

/** What a server had at some time, and what was written since. */
export interface Snapshot {
  readonly entries: Entries
  readonly since: ReadonlyArray<Write>
}

interface Waiter {
  readonly connection: Connection
  readonly replicas: number
  readonly offset: number
}

const table: ReadonlyMap<string, ServerCommand> = new Map([
  ...serverCommands.map((command) => [command.name.toUpperCase(), command] as const),
  ...dataCommands.map((command) =>
    [
      command.name.toUpperCase(),
      { ...command, run: (connection: Connection, args: ReadonlyArray<string>) => command.run(connection.server, args) }
    ] as const
  )
])

const commandNamed = (name: string): ServerCommand | undefined => table.get(name) ?? table.get(name.toUpperCase())

const fits = ({ arity }: ServerCommand, words: number): boolean => arity < 0 ? words >= -arity : words === arity

const unknown = ([name, ...args]: ReadonlyArray<string>): Failure =>
  new Failure(
    `ERR unknown command '${name!.slice(0, 128)}', with args beginning with: ${args.map((arg) => `'${arg}' `).join("")}`
  )

const unknownPart = (name: string, part: string): Failure =>
  new Failure(`ERR unknown subcommand '${part.slice(0, 128)}'. Try ${name.toUpperCase()} HELP.`)

const wrongNumber = ({ name }: ServerCommand): Failure =>
  new Failure(`ERR wrong number of arguments for '${name}' command`)

const listens = ({ name }: ServerCommand): Failure =>
  new Failure(
    `ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
  )

const oom = new Failure("OOM command not allowed when used memory > 'maxmemory'.")
const readOnly = new Failure("READONLY You can't write against a read only replica.")
const unknownInScript = new Failure("ERR Unknown Redis command called from script")
const wrongNumberInScript = new Failure("ERR Wrong number of args calling Redis command from script")
const notInScript = new Failure("ERR This Redis command is not allowed from script")
const unblocked = new Failure(
  "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)

type Words = readonly [name: string, ...args: ReadonlyArray<string>]

/** The commands that make a key what it is. */
const writesOf = (key: string, value: Value, at: number): ReadonlyArray<Words> => {
  const made: Words = typeof value === "string"
    ? ["set", key, value]
    : value instanceof SortedSet
    ? ["zadd", key, ...value.list.flatMap(({ member, score }) => [general(score, 17), member])]
    : value instanceof Hash
    ? ["hset", key, ...[...value.fields].flat()]
    : ["rpush", key, ...value.items]
  return at === 0 ? [made] : [made, ["pexpireat", key, String(at)]]
}

const silent: Peer = { push: () => {} }

const runIdOf = (random: Random): string => Array.from({ length: 40 }, () => random.int(16).toString(16)).join("")

export class Server implements Holder {
  readonly id: string
  readonly address: Address
  readonly now: () => number
  readonly keyspace: Keyspace
  /** New in each run. */
  runId: string
  role: "master" | "slave" = "master"
  source: Source | undefined
  readonly replicas = new Set<Replica>()
  cluster: Membership | undefined
  /** Whether it is over its memory limit: it refuses what may need more. */
  full = false
  /** What `CONFIG` knows. */
  readonly settings = new Map([
    ["maxmemory", "0"],
    ["maxmemory-policy", "noeviction"],
    ["save", ""],
    ["appendonly", "no"],
    ["appendfsync", "everysec"]
  ])
  readonly scripts = new Map<string, Compiled>()
  /** How much it has written. */
  offset = 0
  effect: Effect | undefined
  private readonly random: Random
  private readonly after: ServerOptions["after"]
  private readonly connections = new Set<Connection>()
  private connectionsMade = 0
  private readonly channels = new Map<string, Set<Connection>>()
  private readonly listeners = new Set<(writes: ReadonlyArray<Write>) => void>()
  /** What the command that runs now has written. */
  private written: Array<Write> = []
  private readonly waiters = new Set<Waiter>()
  private writesArePaused = false
  private readonly delayed = new Set<Connection>()
  private readonly inner: Connection
  /** Who has called the script that runs now. */
  private caller: Connection | undefined
  /** Whether the script that runs now has tried to write. */
  private isDirty = false
  private readonly host: Host = { run: (name, args) => this.runInScript(name, args) }
  private forgetSaved = (): void => {}

  constructor({ address, after, id, now, random }: ServerOptions) {
    this.id = id
    this.address = address ?? { host: id, port: 6379 }
    this.now = now
    this.after = after
    this.random = random
    this.runId = runIdOf(random)
    this.keyspace = new Keyspace(random.fork())
    this.keyspace.expired = (key) => this.wrote("del", [key])
    this.inner = new Connection(this, silent, 0)
  }

  // ---------------------------------------------------------------------------
  // connections
  // ---------------------------------------------------------------------------

  open(peer: Peer): Session {
    const connection = new Connection(this, peer, ++this.connectionsMade)
    this.connections.add(connection)
    return connection
  }

  get connected(): number {
    return this.connections.size
  }

  /** One command, without a connection. */
  run(name: string, args: ReadonlyArray<string>): Reply {
    let answer: Reply | undefined
    this.inner.receive([name, ...args], (reply) => {
      answer = reply
    })
    if (answer === undefined) throw new Error(`${name} is answered later`)
    return answer
  }

  /** Called when a connection is closed. */
  leave(connection: Connection): void {
    this.connections.delete(connection)
    this.delayed.delete(connection)
    for (const channel of connection.channels) this.channels.get(channel)?.delete(connection)
    for (const waiter of this.waiters) if (waiter.connection === connection) this.waiters.delete(waiter)
  }

  /** Whether what may write waits, as with `CLIENT PAUSE WRITE`. */
  get pausedWrites(): boolean {
    return this.writesArePaused
  }

  set pausedWrites(paused: boolean) {
    this.writesArePaused = paused
    if (paused) return
    const delayed = [...this.delayed]
    this.delayed.clear()
    for (const connection of delayed) connection.resume()
  }

  // ---------------------------------------------------------------------------
  // commands
  // ---------------------------------------------------------------------------

  execute(connection: Connection, words: ReadonlyArray<string>): Reply {
    const named = commandNamed(words[0]!)
    if (named === undefined) return unknown(words)
    const isPart = named.parts !== undefined && words.length > 1
    const command = isPart ? named.parts.get(words[1]!.toUpperCase()) : named
    if (command === undefined) return unknownPart(named.name, words[1]!)
    if (!fits(command, words.length)) return wrongNumber(command)
    const args = words.slice(isPart ? 2 : 1)
    this.settle()
    if (this.cluster !== undefined && command.keys !== "none") {
      const refusal = this.cluster.refusal(command, args, connection)
      if (refusal !== undefined) return refusal
    }
    if (command.denyoom && this.full) return oom
    if (command.writes && this.role === "slave") return readOnly
    if (connection.channels.size > 0 && connection.protocol === 2 && !command.pubsub) return listens(command)
    if (this.writesArePaused && command.mayReplicate) {
      this.delayed.add(connection)
      return postponed
    }
    const reply = this.perform(command, connection, args)
    this.tell()
    // Whatever it has asked, it waits for all that was written before by anybody.
    connection.offset = this.offset
    return reply
  }

  /** Before a command: what time it is while it runs, and what then becomes of keys that are over. */
  private settle(): void {
    const { keyspace } = this
    keyspace.ms = Math.floor(this.now() / 1000)
    keyspace.expiry = this.role === "slave" || this.writesArePaused ? "hidden" : "removed"
  }

  private perform(command: ServerCommand, connection: Connection, args: ReadonlyArray<string>): Reply {
    if (!command.writes) return command.run(connection, args)
    const { keyspace } = this
    const before = keyspace.changes
    const reply = command.run(connection, args)
    const { effect = { name: command.name, args } } = this
    this.effect = undefined
    if (keyspace.changes !== before) this.wrote(effect.name, effect.args)
    return reply
  }

  private runInScript(name: string, args: ReadonlyArray<string>): Reply {
    const named = commandNamed(name)
    const command = named?.parts === undefined || args.length === 0 ? named : named.parts.get(args[0]!.toUpperCase())
    if (command === undefined) return unknownInScript
    if (command.noScript) return notInScript
    if (!fits(command, args.length + 1)) return wrongNumberInScript
    if (command.writes && this.role === "slave") return readOnly
    if (command.denyoom && this.full && !this.isDirty) return oom
    if (command.writes) this.isDirty = true
    const caller = this.caller!
    if (this.cluster !== undefined && command.keys !== "none") {
      const refusal = this.cluster.refusalInScript(command, args, caller)
      if (refusal !== undefined) return refusal
    }
    return this.perform(command, caller, command === named ? args : args.slice(1))
  }

  /** Remembers a script by its name. */
  remember(source: string, sha: string): Compiled {
    const script = compile(source)
    this.scripts.set(sha, script)
    return script
  }

  /** Of the arguments, `count` are keys, from the third on. */
  runScript(caller: Connection, script: Compiled, sha: string, count: number, args: ReadonlyArray<string>): Reply {
    this.caller = caller
    this.isDirty = false
    const reply = script.run(this.host, args.slice(2, 2 + count), args.slice(2 + count))
    this.caller = undefined
    return reply instanceof Raised ? new Failure(`${reply.err} script: ${sha}, on @user_script:1.`) : reply
  }

  // ---------------------------------------------------------------------------
  // messages
  // ---------------------------------------------------------------------------

  subscribe(connection: Connection, channel: string): void {
    connection.channels.add(channel)
    const all = this.channels.get(channel)
    if (all === undefined) this.channels.set(channel, new Set([connection]))
    else all.add(connection)
  }

  unsubscribe(connection: Connection, channel: string): void {
    connection.channels.delete(channel)
    this.channels.get(channel)?.delete(connection)
  }

  /** Those who listen here hear it, and so do those at replicas and at other nodes; gives how many are here. */
  publish([channel, text]: ReadonlyArray<string>): number {
    const message = ["message", channel!, text!]
    if (this.cluster !== undefined) this.cluster.publish(message)
    else if (this.role === "master") this.wrote("publish", [channel!, text!])
    return this.hear(message)
  }

  /** Tells those who listen here. */
  hear(message: ReadonlyArray<string>): number {
    const all = this.channels.get(message[1]!)
    if (all === undefined) return 0
    for (const { peer } of all) peer.push(message)
    return all.size
  }

  // ---------------------------------------------------------------------------
  // replicas
  // ---------------------------------------------------------------------------

  /** Tells of what was written, in order; of what one command or script has written, at once. Gives the end of it. */
  onWrites(listener: (writes: ReadonlyArray<Write>) => void): () => void {
    this.listeners.add(listener)
    return () => {
      this.listeners.delete(listener)
    }
  }

  private wrote(name: string, args: ReadonlyArray<string>): void {
    const index = ++this.offset
    if (this.listeners.size > 0) this.written.push({ index, us: this.now(), name, args })
  }

  private tell(): void {
    const { written } = this
    if (written.length === 0) return
    this.written = []
    for (const listener of this.listeners) listener(written)
  }

  /** Does, at a replica, what was done at its primary. */
  apply({ args, index, name }: Write): void {
    const command = commandNamed(name)
    if (command === undefined) throw new Error(`no command is named ${name}`)
    const { keyspace } = this
    keyspace.ms = Math.floor(this.now() / 1000)
    keyspace.expiry = "ignored"
    if (command.name === "publish") this.hear(["message", ...args])
    else command.run(this.inner, args)
    this.effect = undefined
    this.offset = index
  }

  /** Called when a replica has said what it has. */
  acknowledged(): void {
    for (const waiter of this.waiters) {
      const count = this.countAt(waiter.offset)
      if (count >= waiter.replicas) this.release(waiter, count)
    }
  }

  awaitReplicas(connection: Connection, replicas: number, ms: number): Reply {
    const { after } = this
    const { offset } = connection
    const count = this.countAt(offset)
    if (count >= replicas || after === undefined) return count
    const waiter = { connection, replicas, offset }
    this.waiters.add(waiter)
    if (ms > 0) after(ms * 1000, () => this.release(waiter, this.countAt(offset)))
    return later
  }

  private countAt(offset: number): number {
    let count = 0
    for (const { acknowledged } of this.replicas) if (acknowledged >= offset) count++
    return count
  }

  private release(waiter: Waiter, count: number): void {
    if (!this.waiters.delete(waiter)) return
    waiter.connection.settle(count)
  }

  /** Becomes a replica: what waits for replicas of its own waits in vain. */
  follow(source: Source): void {
    this.source?.leave()
    for (const { leave } of [...this.replicas]) leave()
    this.source = source
    this.role = "slave"
    for (const waiter of [...this.waiters]) {
      this.waiters.delete(waiter)
      waiter.connection.settle(unblocked)
      this.hangUp(waiter.connection)
    }
  }

  /** A replica has all that its primary had then. */
  load(entries: Entries, offset: number): void {
    this.keyspace.load(entries)
    this.offset = offset
  }

  /** Becomes a primary, with what it has. */
  lead(): void {
    this.source?.leave()
    this.source = undefined
    this.role = "master"
  }

  // ---------------------------------------------------------------------------
  // what happens to a server
  // ---------------------------------------------------------------------------

  /** Takes a key away, to be put into another server. */
  take(key: string): Entry | undefined {
    this.settle()
    const entry = this.keyspace.find(key)
    if (entry !== undefined) {
      this.keyspace.delete(key)
      this.wrote("del", [key])
    }
    this.tell()
    return entry
  }

  /** Puts what another server had. */
  put(key: string, { at, value }: Entry): void {
    this.settle()
    for (const [name, ...args] of writesOf(key, value, at)) this.perform(commandNamed(name)!, this.inner, args)
    this.tell()
  }

  /** Closes all connections, as when a Sentinel has made another server the primary. */
  hangUpAll(): void {
    for (const connection of [...this.connections]) this.hangUp(connection)
  }

  private hangUp(connection: Connection): void {
    connection.close()
    connection.peer.closed?.()
  }

  /** Drops keys, as a server does that needs the room; gives which. */
  evict(which: Kind | ((key: string, value: Value) => boolean)): ReadonlyArray<string> {
    const isChosen = typeof which === "string" ? (_: string, value: Value) => kindOf(value) === which : which
    this.settle()
    const chosen = [...this.keyspace.keys()].filter((key) => {
      const entry = this.keyspace.find(key)
      return entry !== undefined && isChosen(key, entry.value)
    })
    for (const key of chosen) {
      this.keyspace.delete(key)
      this.wrote("del", [key])
    }
    this.tell()
    return chosen
  }

  /** Ends all keys whose time is over, as a server does now and then. */
  sweep(): void {
    this.settle()
    for (const key of [...this.keyspace.keys()]) this.keyspace.find(key)
    this.tell()
  }

  /** Saves what is there. A server has one such file: of an earlier one nothing more is known. */
  snapshot(): Snapshot {
    this.forgetSaved()
    const since: Array<Write> = []
    this.forgetSaved = this.onWrites((writes) => since.push(...writes))
    return { entries: this.keyspace.copy(), since }
  }

  /**
   * Begins anew, with other data or the same; gives what was written and is lost. Where nothing is left, nothing of it is
   * out of date: then what was lost is all, and is not given.
   */
  restart(data: "empty" | "kept" | Snapshot): ReadonlyArray<Write> {
    this.source?.leave()
    this.source = undefined
    for (const { leave } of [...this.replicas]) leave()
    this.hangUpAll()
    this.runId = runIdOf(this.random)
    this.scripts.clear()
    this.keyspace.reseed()
    this.writesArePaused = false
    if (data === "kept") return []
    if (data === "empty") this.keyspace.clear()
    else this.keyspace.load(data.entries)
    const lost = data === "empty" ? [] : [...data.since]
    this.forgetSaved()
    return lost
  }
}
