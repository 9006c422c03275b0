/**
 * A client of the port, on the simulated network: for volume. It does what
 * `ioredis` does with a server, or with a cluster, and no more, so a read costs
 * little. A share of the worlds runs on `ioredis` itself.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import type { StoreError } from "../../../src/CacheStore.ts"
import type { Argument, Client, Listener, Node, Wait } from "../../../src/internal/redis/client.ts"
import { toStoreError } from "../../../src/internal/redis/ioredis.ts"
import { NotSent } from "../../../src/internal/redis/link.ts"
import { all as allScripts, type Script } from "../../../src/internal/redis/scripts.ts"
import { slotCount, slotOf } from "../../../src/internal/redis/slots.ts"
import type { Reply } from "../redis/reply.ts"
import { Connection, decode, encode, isFailure, type Outcome, type Place } from "./connection.ts"
import type { Network } from "./network.ts"
import type { Process } from "./process.ts"

/** The servers of a world. */
export interface Deployment {
  readonly isCluster: boolean
  /** Where the name of the server leads to now; of a cluster, any node. */
  readonly entrance: () => Place
  /** The node of a cluster by its address. */
  readonly at: (address: string) => Place | undefined
}

type Command = ReadonlyArray<string>

type Send = (commands: ReadonlyArray<Command>, done: (outcomes: ReadonlyArray<Outcome>) => void) => void

class ReplyError extends Error {
  override readonly name = "ReplyError"
}

const errorOf = (outcome: Outcome): Error | undefined => {
  if (outcome._tag === "Unsent") return new NotSent("no connection: it was closed")
  if (outcome._tag === "Lost") return new Error("Connection is closed.")
  return isFailure(outcome.reply) ? new ReplyError(outcome.reply.err) : undefined
}

const replyIn = (outcome: Outcome): unknown => outcome._tag === "Answered" ? decode(outcome.reply) : undefined

/** The answers to commands that belong together; the first error is that of all. */
const ask = (operation: string, send: Send, commands: ReadonlyArray<Command>) =>
  Effect.callback<ReadonlyArray<unknown>, StoreError>((resume) => {
    send(commands, (outcomes) => {
      for (const outcome of outcomes) {
        const error = errorOf(outcome)
        if (error !== undefined) return resume(Effect.fail(toStoreError(operation, error)))
      }
      resume(Effect.succeed(outcomes.map(replyIn)))
    })
  })

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

const hashes = new Map<Script, string>()

const hashOf = (script: Script): string => {
  let hash = hashes.get(script)
  if (hash === undefined) {
    hashes.set(script, hash = createHash("sha1").update(script.source).digest("hex"))
  }
  return hash
}

for (const script of allScripts) hashOf(script)

const isForgotten = (outcome: Outcome | undefined): boolean =>
  outcome?._tag === "Answered" && isFailure(outcome.reply) && outcome.reply.err.startsWith("NOSCRIPT")

/** Sends a script by its name, and as a whole if the server has forgotten it. */
const sendScript = (
  send: Send,
  script: Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<Argument>,
  after: ReadonlyArray<Command>,
  done: (outcomes: ReadonlyArray<Outcome>) => void
): void => {
  const rest = [String(keys.length), ...keys.map(encode), ...args.map(encode)]
  send([["EVALSHA", hashOf(script), ...rest], ...after], (outcomes) => {
    if (isForgotten(outcomes[0])) send([["EVAL", encode(script.source), ...rest], ...after], done)
    else done(outcomes)
  })
}

// What was written only to be waited for, in milliseconds.
const acknowledgementLife = "1000"

const waiting = ({ key, replicas, within }: Wait): ReadonlyArray<Command> => [
  ["SET", encode(key), "", "PX", acknowledgementLife],
  ["WAIT", String(replicas), String(within)]
]

const nodeOn = (send: Send): Node => ({
  command: (operation, ...command) => Effect.map(ask(operation, send, [command.map(encode)]), ([answer]) => answer),
  wait: (operation, wait) => Effect.map(ask(operation, send, waiting(wait)), ([, count]) => count)
})

// -----------------------------------------------------------------------------
// listening
// -----------------------------------------------------------------------------

/** Subscribes at each connection that is made. */
const listenAt = (
  network: Network,
  process: Process,
  find: () => Place,
  channels: ReadonlyArray<string>,
  listener: Listener
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const connection: Connection = new Connection(network, process, find, {
        ready: () =>
          connection.send([["SUBSCRIBE", ...channels.map(encode)]], ([outcome]) => {
            if (outcome?._tag === "Answered") listener.subscribed()
          }),
        pushed: ([kind, channel, message]) => {
          if (kind === "message") listener.hear(String(channel), String(message))
        }
      })
      return connection
    }),
    (connection) => Effect.sync(() => connection.close())
  ))

const kept = (make: () => Connection): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (connection) => Effect.sync(() => connection.close()))

// -----------------------------------------------------------------------------
// one node
// -----------------------------------------------------------------------------

const nodeClient = (
  network: Network,
  process: Process,
  deployment: Deployment
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.map(kept(() => new Connection(network, process, deployment.entrance)), (connection): Client => {
    const send: Send = (commands, done) => connection.send(commands, done)
    return {
      isCluster: false,
      connections: () => connection.made,
      trouble: () => connection.isReady ? undefined : "it was closed",
      get: (operation, keys) => Effect.map(ask(operation, send, [["MGET", ...keys.map(encode)]]), ([values]) => values),
      time: (operation) => Effect.map(ask(operation, send, [["TIME"]]), ([time]) => time),
      script: (operation, script, keys, args) =>
        Effect.map(
          ask(operation, (_, done) => sendScript(send, script, keys, args, [], done), []),
          ([answer]) => answer
        ),
      scriptAndWait: (operation, script, keys, args, wait) =>
        Effect.map(
          ask(operation, (_, done) => sendScript(send, script, keys, args, waiting(wait), done), []),
          ([answer, , count]) => [answer, count]
        ),
      publish: (operation, channel, message) =>
        Effect.asVoid(ask(operation, send, [["PUBLISH", encode(channel), encode(message)]])),
      primaries: () => [nodeOn(send)],
      refresh: () => {},
      beside: Effect.suspend(() => nodeClient(network, process, deployment)),
      listen: (channels, listener) => listenAt(network, process, deployment.entrance, channels, listener)
    }
  })

// -----------------------------------------------------------------------------
// a cluster
// -----------------------------------------------------------------------------

const mostRedirections = 5
const retryAfter = 50_000

/** The connections to the nodes of a cluster, and where the slots are as far as it was told. */
class Pool {
  made = 0
  private readonly connections = new Map<string, Connection>()
  private readonly owners: Array<string | undefined> = Array.from({ length: slotCount })
  private readonly network: Network
  private readonly process: Process
  private readonly deployment: Deployment
  private readonly entrance: Connection
  private asking = false
  private known: ReadonlyArray<string> | undefined

  constructor(network: Network, process: Process, deployment: Deployment) {
    this.network = network
    this.process = process
    this.deployment = deployment
    this.entrance = new Connection(network, process, deployment.entrance, { ready: () => this.refresh() })
  }

  close(): void {
    this.entrance.close()
    for (const connection of this.connections.values()) connection.close()
  }

  get isReady(): boolean {
    return this.owners[0] !== undefined
  }

  /** Where primaries are. */
  get addresses(): ReadonlyArray<string> {
    return this.known ??= [...new Set(this.owners.filter((owner) => owner !== undefined))]
  }

  connection(address: string): Connection | undefined {
    const known = this.connections.get(address)
    if (known !== undefined) return known
    const place = this.deployment.at(address)
    if (place === undefined) return undefined
    const connection = new Connection(this.network, this.process, () => place, {
      ready: () => {
        this.made++
      },
      lost: () => this.refresh()
    })
    this.connections.set(address, connection)
    return connection
  }

  refresh(): void {
    if (this.asking) return
    this.asking = true
    const others = [...this.connections.values()].filter(({ isReady }) => isReady)
    const connection = this.entrance.isReady ? this.entrance : others[0] ?? this.entrance
    connection.send([["CLUSTER", "SLOTS"]], ([outcome]) => {
      this.asking = false
      if (outcome?._tag === "Answered" && Array.isArray(outcome.reply)) this.learn(outcome.reply)
      else if (outcome?._tag === "Lost") this.network.sim.after(retryAfter, () => this.refresh(), this.process)
    })
  }

  private learn(ranges: ReadonlyArray<Reply>): void {
    for (const range of ranges) {
      const [from, to, primary] = range as ReadonlyArray<unknown> as readonly [
        number,
        number,
        readonly [string, number]
      ]
      const address = `${primary[0]}:${primary[1]}`
      this.connection(address)
      this.owners.fill(address, from, to + 1)
    }
    this.known = undefined
  }

  /** Sends to where a slot is, and follows where that leads. */
  to(slot: number): Send {
    return (commands, done) => this.follow(slot, undefined, commands, mostRedirections, done)
  }

  private follow(
    slot: number,
    asked: string | undefined,
    commands: ReadonlyArray<Command>,
    left: number,
    done: (outcomes: ReadonlyArray<Outcome>) => void
  ): void {
    const address = asked ?? this.owners[slot]
    const connection = address === undefined ? undefined : this.connection(address)
    if (connection === undefined) {
      this.refresh()
      return done(commands.map(() => ({ _tag: "Unsent" })))
    }
    const sent = asked === undefined ? commands : commands.flatMap((command) => [["ASKING"], command])
    connection.send(sent, (all) => {
      const outcomes = asked === undefined ? all : all.filter((_, i) => i % 2 === 1)
      const [word, , to] = redirectionIn(outcomes)
      if (left === 0 || word === undefined) return done(outcomes)
      if (word === "MOVED") {
        this.owners[slot] = to
        this.known = undefined
        this.refresh()
        this.follow(slot, undefined, commands, left - 1, done)
      } else if (word === "ASK") this.follow(slot, to, commands, left - 1, done)
      else {
        this.network.sim.after(
          retryAfter,
          () => this.follow(slot, undefined, commands, left - 1, done),
          this.process
        )
      }
    })
  }
}

/** Of several commands all are redirected if one is: what the others did is done again, which is safe. */
const redirectionIn = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<string | undefined> => {
  for (const outcome of outcomes) {
    if (outcome._tag !== "Answered" || !isFailure(outcome.reply)) continue
    const words = outcome.reply.err.split(" ")
    if (/^(?:MOVED|ASK|TRYAGAIN|CLUSTERDOWN)$/.test(words[0]!)) return words
  }
  return []
}

const clusterClient = (
  network: Network,
  process: Process,
  deployment: Deployment
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Pool(network, process, deployment)),
      (pool) => Effect.sync(() => pool.close())
    ),
    (pool): Client => {
      const near = (keys: ReadonlyArray<string>): Send => pool.to(slotOf(keys[0]!))
      // As `MGET` has it: what is no string is missing.
      const getOne = (operation: string, key: string) =>
        Effect.callback<unknown, StoreError>((resume) => {
          near([key])([["GET", encode(key)]], ([outcome]) => {
            const error = errorOf(outcome!)
            if (error === undefined) resume(Effect.succeed(replyIn(outcome!)))
            else if (error.message.startsWith("WRONGTYPE")) resume(Effect.succeed(null))
            else resume(Effect.fail(toStoreError(operation, error)))
          })
        })
      const toNode = (address: string): Send => (commands, done) => {
        const connection = pool.connection(address)
        if (connection === undefined) done(commands.map(() => ({ _tag: "Unsent" })))
        else connection.send(commands, done)
      }
      return {
        isCluster: true,
        connections: () => pool.made,
        trouble: () => pool.isReady ? undefined : "no node of the cluster is known",
        get: (operation, keys) => Effect.forEach(keys, (key) => getOne(operation, key), { concurrency: "unbounded" }),
        time: (operation) =>
          Effect.suspend(() =>
            Effect.map(ask(operation, toNode(pool.addresses[0] ?? ""), [["TIME"]]), ([time]) => time)
          ),
        script: (operation, script, keys, args) =>
          Effect.map(
            ask(operation, (_, done) => sendScript(near(keys), script, keys, args, [], done), []),
            ([answer]) => answer
          ),
        scriptAndWait: (operation, script, keys, args, wait) =>
          Effect.map(
            ask(operation, (_, done) => sendScript(near(keys), script, keys, args, waiting(wait), done), []),
            ([answer, , count]) => [answer, count]
          ),
        publish: (operation, channel, message) =>
          Effect.suspend(() => Effect.asVoid(
            ask(operation, toNode(pool.addresses[0] ?? ""), [["PUBLISH", encode(channel), encode(message)]])
          )),
        primaries: () => pool.addresses.map((address) => nodeOn(toNode(address))),
        refresh: () => pool.refresh(),
        beside: Effect.suspend(() => clusterClient(network, process, deployment)),
        listen: (channels, listener) => listenAt(network, process, deployment.entrance, channels, listener)
      }
    }
  )

export const openClient = (
  network: Network,
  process: Process,
  deployment: Deployment
): Effect.Effect<Client, never, Scope.Scope> =>
  (deployment.isCluster ? clusterClient : nodeClient)(network, process, deployment)
