/**
 * A connection at the server's end, and the commands that are about it, or about
 * the server. Commands of one connection are answered in order.
 */
import { type Command, commandOf, type Flag, integerOf, type Keys, notInteger, ok, syntaxError } from "./commands.ts"
import { infoOf } from "./info.ts"
import { matches } from "./keyspace.ts"
import { Failure, type Reply, Status } from "./reply.ts"
import { shaOf } from "./scripts.ts"
import type { Peer, Server, Session } from "./server.ts"

type Answer = (reply: Reply) => void

interface Received {
  readonly words: ReadonlyArray<string>
  readonly answer: Answer
}

/** In place of an answer: it comes later, and nothing else of the connection before. */
export const later = new Status("later")
/** In place of an answer: the command is to be run again, later. */
export const postponed = new Status("postponed")

export class Connection implements Session {
  readonly server: Server
  readonly peer: Peer
  readonly id: number
  name = ""
  protocol: 2 | 3 = 2
  readonly channels = new Set<string>()
  /** Whether the next command may be about a slot that is on its way here. */
  asking = false
  /** Whether it may read at a replica of a cluster. */
  readsReplicas = false
  /** How much the server had written when the last command of this connection was done. */
  offset = 0
  isClosed = false
  /** What came in while a command waits. */
  private waiting: Array<Received> | undefined
  private answer: Answer | undefined

  constructor(server: Server, peer: Peer, id: number) {
    this.server = server
    this.peer = peer
    this.id = id
  }

  readonly receive = (words: ReadonlyArray<string>, answer: Answer): void => {
    if (this.isClosed) return
    if (this.waiting !== undefined) return void this.waiting.push({ words, answer })
    const wasAsking = this.asking
    const reply = this.server.execute(this, words)
    if (reply === later) {
      this.waiting = []
      this.answer = answer
    } else if (reply === postponed) this.waiting = [{ words, answer }]
    else answer(reply)
    if (wasAsking && reply !== postponed && words[0]!.toUpperCase() !== "ASKING") this.asking = false
  }

  readonly close = (): void => {
    if (this.isClosed) return
    this.isClosed = true
    this.waiting = undefined
    this.server.leave(this)
  }

  /** Gives the answer that was to come later. */
  settle(reply: Reply): void {
    const { answer } = this
    this.answer = undefined
    if (this.isClosed) return
    answer?.(reply)
    this.resume()
  }

  /** Goes on with what came in meanwhile. */
  resume(): void {
    const waiting = this.waiting ?? []
    this.waiting = undefined
    for (const { answer, words } of waiting) this.receive(words, answer)
  }
}

// -----------------------------------------------------------------------------
// commands
// -----------------------------------------------------------------------------

export interface ServerCommand extends Command<Connection> {
  readonly parts?: ReadonlyMap<string, ServerCommand>
}

export const serverCommands: Array<ServerCommand> = []

type Run = Command<Connection>["run"]

const command = (name: string, arity: number, flags: ReadonlyArray<Flag>, run: Run, keys: Keys = "none"): void => {
  serverCommands.push(commandOf(name, arity, keys, flags, run))
}

type Part = readonly [name: string, arity: number, flags: ReadonlyArray<Flag>, run: Run]

/** A command whose second word says what it does. Its arguments begin after that word. */
const container = (name: string, all: ReadonlyArray<Part>): void => {
  const parts = new Map(all.map(([part, arity, flags, run]) => [
    part.toUpperCase(),
    commandOf(`${name}|${part}`, arity, "none", flags, run)
  ]))
  const run: Run = () => new Failure(`ERR wrong number of arguments for '${name}' command`)
  serverCommands.push({ ...commandOf(name, -2, "none", [], run), parts })
}

command("time", 1, [], ({ server }) => {
  const us = server.now()
  return [String(Math.floor(us / 1_000_000)), String(us % 1_000_000)]
})

command("ping", -1, ["pubsub"], ({ channels, protocol }, args) => {
  if (args.length > 1) return new Failure("ERR wrong number of arguments for 'ping' command")
  if (channels.size > 0 && protocol === 2) return ["pong", args[0] ?? ""]
  return args[0] ?? new Status("PONG")
})

command("echo", 2, [], (_, [text]) => text!)

command("select", 2, ["noScript"], ({ server }, [text]) => {
  const index = integerOf(text!)
  if (index === undefined) return notInteger
  if (index !== 0 && server.cluster !== undefined) return new Failure("ERR SELECT is not allowed in cluster mode")
  return index === 0 ? ok : new Failure("ERR DB index is out of range")
})

command("info", -1, [], ({ server }, args) => infoOf(server, args))

command("auth", -2, ["noScript"], (_, { length }) =>
  length === 1
    ? new Failure(
      "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    )
    : length === 2
    ? new Failure("WRONGPASS invalid username-password pair or user is disabled.")
    : syntaxError)

command("hello", -1, ["noScript"], (connection, [version, ...options]) => {
  if (version !== undefined && version !== "2" && version !== "3") {
    return new Failure(
      integerOf(version) === undefined
        ? "ERR Protocol version is not an integer or out of range"
        : "NOPROTO unsupported protocol version"
    )
  }
  if (options[0]?.toUpperCase() === "SETNAME" && options[1] !== undefined) connection.name = options[1]
  else if (options[0] !== undefined) return new Failure(`ERR Syntax error in HELLO option '${options[0]}'`)
  if (version !== undefined) connection.protocol = version === "3" ? 3 : 2
  const { id, protocol, server } = connection
  return [
    ...["server", "redis", "version", "7.0.15", "proto", protocol, "id", id],
    ...["mode", server.cluster === undefined ? "standalone" : "cluster"],
    ...["role", server.role === "master" ? "master" : "replica", "modules", []]
  ]
})

command("quit", -1, ["noScript", "pubsub"], (connection) => {
  connection.close()
  return ok
})

const isPlain = (name: string): boolean => /^[!-~]*$/.test(name)

container("client", [
  ["id", 2, ["noScript"], ({ id }) => id],
  ["getname", 2, ["noScript"], ({ name }) => name === "" ? null : name],
  ["setname", 3, ["noScript"], (connection, [name]) => {
    if (!isPlain(name!)) {
      return new Failure("ERR Client names cannot contain spaces, newlines or special characters.")
    }
    connection.name = name!
    return ok
  }]
])

container("config", [
  ["get", -3, ["noScript"], ({ server: { settings } }, patterns) =>
    patterns.flatMap((pattern) => {
      // A name is given back as it was asked for.
      const value = settings.get(pattern.toLowerCase())
      if (value !== undefined) return [pattern, value]
      return [...settings].filter(([name]) => matches(pattern.toLowerCase(), name)).flat()
    })],
  ["set", -4, ["noScript"], ({ server }, args) => {
    for (let i = 0; i < args.length; i += 2) {
      const name = args[i]!.toLowerCase()
      const value = args[i + 1]
      if (value === undefined || !server.settings.has(name)) {
        return new Failure(`ERR Unknown option or number of arguments for CONFIG SET - '${args[i]!}'`)
      }
      server.settings.set(name, value)
    }
    return ok
  }]
])

container("acl", [["whoami", 2, ["noScript"], () => "default"]])

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

const noScript = new Failure("NOSCRIPT No matching script. Please use EVAL.")
const tooManyKeys = new Failure("ERR Number of keys can't be greater than number of args")
const negativeKeys = new Failure("ERR Number of keys can't be negative")

const keyCountOf = (args: ReadonlyArray<string>): number | Failure => {
  const count = integerOf(args[1]!)
  return count === undefined ? notInteger : count > args.length - 2 ? tooManyKeys : count < 0 ? negativeKeys : count
}

command("eval", -3, ["noScript", "mayReplicate"], (connection, args) => {
  const { server } = connection
  const count = keyCountOf(args)
  if (count instanceof Failure) return count
  const sha = shaOf(args[0]!)
  return server.runScript(connection, server.remember(args[0]!, sha), sha, count, args)
}, "numbered")

command("evalsha", -3, ["noScript", "mayReplicate"], (connection, args) => {
  const { server } = connection
  const sha = args[0]!
  if (sha.length !== 40) return noScript
  const count = keyCountOf(args)
  if (count instanceof Failure) return count
  const script = server.scripts.get(sha) ?? server.scripts.get(sha.toLowerCase())
  return script === undefined ? noScript : server.runScript(connection, script, sha, count, args)
}, "numbered")

container("script", [
  ["load", 3, ["noScript"], ({ server }, [source]) => {
    const sha = shaOf(source!)
    server.remember(source!, sha)
    return sha
  }],
  [
    "exists",
    -3,
    ["noScript"],
    ({ server }, names) => names.map((name) => server.scripts.has(name.toLowerCase()) ? 1 : 0)
  ],
  ["flush", -2, ["noScript"], ({ server }, args) => {
    if (args.length > 1 || (args.length === 1 && !/^a?sync$/i.test(args[0]!))) {
      return new Failure("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    }
    server.scripts.clear()
    return ok
  }]
])

// -----------------------------------------------------------------------------
// messages, replicas and the cluster
// -----------------------------------------------------------------------------

/** What was done for each of several channels: the last is the answer, and the others come before it. */
const eachChannel = (
  connection: Connection,
  channels: ReadonlyArray<string>,
  tell: (channel: string) => Reply
): Reply => {
  const last = channels.length - 1
  for (let i = 0; i < last; i++) connection.peer.push(tell(channels[i]!))
  return tell(channels[last]!)
}

command(
  "subscribe",
  -2,
  ["noScript", "pubsub"],
  (connection, channels) =>
    eachChannel(connection, channels, (channel) => {
      connection.server.subscribe(connection, channel)
      return ["subscribe", channel, connection.channels.size]
    })
)

command("unsubscribe", -1, ["noScript", "pubsub"], (connection, asked) => {
  const channels = asked.length === 0 ? [...connection.channels] : asked
  if (channels.length === 0) return ["unsubscribe", null, 0]
  return eachChannel(connection, channels, (channel) => {
    connection.server.unsubscribe(connection, channel)
    return ["unsubscribe", channel, connection.channels.size]
  })
})

command("publish", 3, ["mayReplicate"], ({ server }, args) => server.publish(args))

command("wait", 3, ["noScript"], (connection, [count, timeout]) => {
  const { server } = connection
  if (server.role === "slave") {
    return new Failure(
      "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated."
    )
  }
  const replicas = integerOf(count!)
  if (replicas === undefined) return notInteger
  const ms = integerOf(timeout!)
  if (ms === undefined) return new Failure("ERR timeout is not an integer or out of range")
  if (ms < 0) return new Failure("ERR timeout is negative")
  return server.awaitReplicas(connection, replicas, ms)
})

const noCluster = new Failure("ERR This instance has cluster support disabled")

const inCluster = (run: Run): Run => (connection, args) =>
  connection.server.cluster === undefined ? noCluster : run(connection, args)

command(
  "asking",
  1,
  [],
  inCluster((connection) => {
    connection.asking = true
    return ok
  })
)
command(
  "readonly",
  1,
  [],
  inCluster((connection) => {
    connection.readsReplicas = true
    return ok
  })
)
command(
  "readwrite",
  1,
  [],
  inCluster((connection) => {
    connection.readsReplicas = false
    return ok
  })
)

const view = (name: string, arity: number): Part => [
  name,
  arity,
  [],
  inCluster(({ server }, args) => server.cluster!.tell(name, args))
]

container("cluster", [
  view("info", 2),
  view("slots", 2),
  view("shards", 2),
  view("nodes", 2),
  view("myid", 2),
  view("keyslot", 3),
  view("countkeysinslot", 3),
  view("getkeysinslot", 4)
])
