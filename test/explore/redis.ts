/**
 * The world of a case on a real Redis: each process has a store and a connection
 * of its own.
 *
 * The gates stand before the commands that a store sends. On one node that is
 * one an operation, mostly; with `split` the store goes the way of a cluster,
 * where an operation is several, and between any two of them others may go on.
 *
 * The server is told the time of the machine with every script, so that fences
 * run out when the schedule says so, and a schedule gives the same run again.
 */
import { Effect, Scope } from "effect"
import type { Redis } from "ioredis"
import { createHash } from "node:crypto"
import * as path from "node:path"
import { type CacheStore, Invalidation } from "../../src/index.ts"
import * as Broadcast from "../../src/internal/broadcast.ts"
import { protocol } from "../../src/internal/redis/agreement.ts"
import type { Value } from "../../src/internal/redis/client.ts"
import { toStoreError } from "../../src/internal/redis/ioredis.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import type { Script } from "../../src/internal/redis/scripts.ts"
import * as Store from "../../src/internal/redis/store.ts"
import type { Transport } from "../../src/internal/redis/transport.ts"
import { Names } from "../../src/internal/redis/wire.ts"
import { connect, startServer } from "../support/redis.ts"
import type { Access } from "./machine.ts"
import type { MakeWorld } from "./search.ts"
import { Traffic } from "./traffic.ts"
import { type Ground, type Losable, memoryOf, type Settings, World } from "./world.ts"

/** A deliberate mistake, put in from outside. */
export interface Mistake {
  /** Changes scripts: in those of these names (all, if absent), one text for another. */
  readonly edits?: ReadonlyArray<
    { readonly scripts?: ReadonlyArray<string>; readonly from: string; readonly to: string }
  >
  /** Stands between a store and its transport; one for each process of a world. */
  readonly between?: (transport: Transport) => Transport
}

export interface Options {
  /** The way of a cluster: an operation is several commands. */
  readonly split?: boolean
  readonly mistake?: Mistake
  /** Stores that were never used stand at the beginning of each run, which takes longer. */
  readonly fresh?: boolean
}

/** A server, and the connections to it, on which world after world is made. */
export interface Lab {
  readonly worlds: (options?: Options) => MakeWorld
  readonly stop: () => Promise<void>
}

const prefix = "explore"
const names = new Names(prefix)
const processes = ["P1", "P2"]

// All cases are about one row, what is made of it, and three tags.
const markers = [...Invalidation.tags(["T", "U", "own"]).dependencies.keys()].map((name) => names.marker(name))

const keysOf = (definition: string): ReadonlyArray<string> =>
  ["", "page", "site"].map((name) => `${definition}${name}:a`)

const placesOf = (definition: string): Record<Losable, ReadonlyArray<string>> => ({
  entry: keysOf(definition).map((key) => names.entry({ key })),
  lease: keysOf(definition).map((key) => names.lease({ key })),
  journal: [names.journal],
  marker: markers,
  fences: [names.fences]
})

// -----------------------------------------------------------------------------
// the server's time
// -----------------------------------------------------------------------------

// A time as good as any; tokens begin with it.
const epoch = 1_700_000_000

const askTheTime = "redis.call('TIME')"
const takeTheTime = "{ ARGV[#ARGV - 1], ARGV[#ARGV] }"

const timeOf = (world: World): readonly [seconds: number, micros: number] => {
  const millis = epoch * 1000 + world.machine.time - world.serverBehind
  return [Math.floor(millis / 1000), (millis % 1000) * 1000]
}

interface Sendable {
  readonly source: string
  readonly hash: string
}

/** Scripts that are told the time, and in which a mistake was made. */
const rewriting = (edits: Mistake["edits"] = []): (script: Script) => Sendable => {
  for (const { from, scripts } of edits) {
    const edited = Scripts.all.filter(({ name, source }) => source.includes(from) && (scripts?.includes(name) ?? true))
    // A mistake that does not take would be looked for in vain.
    if (edited.length === 0) throw new Error(`no script has the text ${from}`)
  }
  const made = new Map<Script, Sendable>()
  return (script) => {
    let sendable = made.get(script)
    if (sendable === undefined) {
      if (!script.source.includes(askTheTime)) throw new Error(`the script ${script.name} asks for no time`)
      let source = script.source.replaceAll(askTheTime, takeTheTime)
      for (const { from, scripts, to } of edits) {
        if (scripts?.includes(script.name) ?? true) source = source.replaceAll(from, () => to)
      }
      made.set(script, sendable = { source, hash: createHash("sha1").update(source).digest("hex") })
    }
    return sendable
  }
}

// -----------------------------------------------------------------------------
// commands
// -----------------------------------------------------------------------------

// Of these, some make what is missing; but nobody can tell by whom it was made.
const looking = new Set(["capture", "position", "quiet", "look", "stand", "fences", "scan"])

// These give up no lease.
const waking = (script: string): boolean =>
  !looking.has(script) && !["await", "note", "replace", "open", "lift"].includes(script)

// After their answer, a writer may be done.
const ending = new Set(["invalidate", "fence", "lift", "abandon"])

// What waits in a process goes on when these are answered.
const settling = new Set(["abandon", "discard"])

/**
 * What a command touches, and what the step after its answer does up to the next gate. A read leaves something in the
 * memory of its process; whoever looks again, since a load has landed or a lease is over, begins with that.
 */
const accessOf = (
  process: string,
  operation: string,
  script: string | undefined,
  keys: ReadonlyArray<string>,
  split: boolean
): Access => {
  const looks = script === undefined || looking.has(script)
  // These look at the fences for the position that they announce, and no actor listens.
  const touched = script === "invalidate" || script === "note" ? keys.filter((key) => key !== names.fences) : keys
  const isRead = script === undefined && operation === "read"
  return {
    // "store" is what an evictor writes.
    reads: [
      "store",
      ...looks ? touched : [],
      ...operation === "read" ? ["history"] : [],
      // Two that read the same leave the same. With split, a read ends with what it read earlier.
      ...isRead && !split ? [memoryOf(process)] : []
    ],
    writes: [
      ...looks ? [] : touched,
      ...(isRead && split) || operation === "released" ? [memoryOf(process)] : [],
      ...script !== undefined && waking(script) ? processes.map(memoryOf) : [],
      ...settling.has(operation) ? [process] : [],
      ...ending.has(operation) ? ["history"] : []
    ]
  }
}

const isUnknownScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith("NOSCRIPT")

/** What a store sends, each command behind a gate. */
const gated = (
  world: World,
  process: string,
  client: Redis,
  { onWait, scanned, sendable, split, traffic }: {
    /** The keys that a walk would find. */
    readonly scanned: ReadonlyArray<string>
    readonly sendable: (script: Script) => Sendable
    readonly split: boolean
    readonly traffic: Traffic
    readonly onWait: () => void
  }
): Transport => {
  const send = <A>(operation: string, command: () => Promise<A>): Effect.Effect<A, CacheStore.StoreError> =>
    Effect.tryPromise({ try: () => traffic.follow(command), catch: (error) => toStoreError(operation, error) })

  const evaluate = async (script: Script, keys: ReadonlyArray<string>, args: ReadonlyArray<string | number>) => {
    const { hash, source } = sendable(script)
    const all = [...keys, ...args, ...timeOf(world)]
    try {
      return await client.evalsha(hash, keys.length, ...all)
    } catch (error) {
      if (!isUnknownScript(error)) throw error
      return client.eval(source, keys.length, ...all)
    }
  }

  const gate = (operation: string, script: string | undefined, keys: ReadonlyArray<string>) =>
    Effect.andThen(
      world.machine.gate(
        script === undefined || script === operation ? operation : `${operation} ${script}`,
        accessOf(process, operation, script, keys, split)
      ),
      operation === "read" ? world.looks : Effect.void
    )

  const getAll: Transport["get"] = (operation, keys) =>
    // There is one protocol, and asking for it is no step.
    keys[0] === names.protocol ? Effect.succeed([protocol]) : Effect.andThen(
      gate(operation, undefined, keys),
      send(operation, () => client.mget(...keys) as Promise<ReadonlyArray<Value>>)
    )

  // In a cluster each key is asked for by itself, and the answers come when they come.
  const getEach: Transport["get"] = (operation, keys) =>
    Effect.map(
      Effect.forEach(keys, (one) => getAll(operation, [one]), { concurrency: "unbounded" }),
      (answers) => answers.flat()
    )

  const run: Transport["run"] = (operation, script, keys, args) =>
    Effect.andThen(
      gate(operation, script.name, keys),
      Effect.suspend(() => {
        if (script.name === "open" || script.name === "fence") noteFence(world, script.name, args)
        if (script.name === "await") onWait()
        if (world.settings.unanswered === true && (script.name === "commit" || script.name === "store")) {
          return Effect.fail(toStoreError(operation, new Error("no answer")))
        }
        return send(operation, () => evaluate(script, keys, args) as Promise<ReadonlyArray<unknown>>)
      })
    )

  return {
    cluster: split,
    connections: () => 0,
    get: split ? getEach : getAll,
    // Nobody but the store cares when it hears of the time.
    time: () => Effect.sync(() => epoch * 1000 + world.machine.time),
    run,
    runAcknowledged: run,
    walk: (operation, pattern, each) =>
      Effect.andThen(
        gate(operation, "scan", scanned),
        Effect.flatMap(
          send(operation, () => client.scan(0, "MATCH", pattern, "COUNT", 1000)),
          ([, found]) => each(found)
        )
      ),
    settle: () => Effect.void,
    page: () => Effect.die(new Error("no case asks which keys are stored")),
    // No actor listens to what was invalidated.
    publish: () => Effect.void,
    inTime: (_, effect) => effect
  }
}

/** A fence stands from when the server opens it. */
const noteFence = (world: World, script: string, args: ReadonlyArray<string | number>): void => {
  const [id, length] = script === "fence" ? args.slice(1) : args
  world.opened(String(id), Number(length))
}

// -----------------------------------------------------------------------------
// worlds
// -----------------------------------------------------------------------------

const inNewScope = <A>(effect: Effect.Effect<A, never, Scope.Scope>): A =>
  Effect.runSync(Scope.provide(effect, Effect.runSync(Scope.make())))

/** Sends what one store asks for by the transport of the world that is on. */
const switchboard = (split: boolean, current: () => Transport): Transport => ({
  cluster: split,
  connections: () => 0,
  get: (...args) => current().get(...args),
  time: (...args) => current().time(...args),
  run: (...args) => current().run(...args),
  runAcknowledged: (...args) => current().runAcknowledged(...args),
  settle: (...args) => current().settle(...args),
  walk: (...args) => current().walk(...args),
  page: (...args) => current().page(...args),
  publish: (...args) => current().publish(...args),
  inTime: (_, effect) => effect
})

/** A server that has nothing but the time. */
const silence: Transport = {
  cluster: false,
  connections: () => 0,
  get: (_, keys) => Effect.succeed(keys.map((key) => key === names.protocol ? protocol : null)),
  time: () => Effect.succeed(epoch * 1000),
  run: () => Effect.succeed([String(epoch * 1000)]),
  runAcknowledged: () => Effect.succeed([String(epoch * 1000)]),
  settle: () => Effect.void,
  walk: () => Effect.void,
  page: () => Effect.succeed({ keys: [], cursor: undefined }),
  publish: () => Effect.void,
  inTime: (_, effect) => effect
}

/** Starts a server of its own. */
export const makeLab = async (): Promise<Lab> => {
  const server = await startServer({ config: { unixsocket: "redis.sock" } })
  const open = () => connect(server.url, { path: path.join(server.folder, "redis.sock") })
  const clients = await Promise.all([open(), open()])
  const [harness] = clients
  const listener = await open()
  const traffic = new Traffic()
  let waiting = new Map<string, Set<() => void>>()
  // Nothing is published before somebody has said that it waits.
  let anybodyWaited = false

  await listener.subscribe(names.released)
  listener.on("message", (_channel, token: string) => {
    for (const wake of waiting.get(token) ?? []) wake()
  })

  const onReleased = (token: string, wake: () => void): () => void => {
    let wakes = waiting.get(token)
    if (wakes === undefined) waiting.set(token, wakes = new Set())
    wakes.add(wake)
    return () => wakes.delete(wake)
  }

  const quiet = async (world: World): Promise<void> => {
    await traffic.quiet(world.machine)
    if (!anybodyWaited) return
    // What was published before has arrived when this is answered.
    const moves = world.machine.moves
    await listener.ping()
    if (world.machine.moves !== moves) await traffic.quiet(world.machine)
  }

  // A store takes longer to make than a world to run. What it remembers it remembers by key, and each world has its own.
  let transports: ReadonlyArray<Transport> = []
  const makeStore = (process: string, split: boolean, current: () => Transport): CacheStore.CacheStore =>
    Store.make(switchboard(split, current), { prefix, journal: 100, longest: 1e9, remember: 1e6 }, {
      onReleased,
      announcements: inNewScope(Broadcast.make<CacheStore.Announcement>(1, { _tag: "Gap" })),
      origin: process
    })
  const makeStores = (split: boolean): Ground["stores"] => [
    makeStore("P1", split, () => transports[0]!),
    makeStore("P2", split, () => transports[1]!)
  ]
  const heated = async (split: boolean) => {
    const made = makeStores(split)
    transports = processes.map(() => silence)
    for (const store of made) await Effect.runPromise(store.read({ key: "?", known: [] }))
    return made
  }
  const stores = { together: await heated(false), split: await heated(true) }
  let count = 0
  const onWait = () => {
    anybodyWaited = true
  }

  return {
    worlds: ({ fresh = false, mistake, split = false } = {}) => {
      const sendable = rewriting(mistake?.edits)
      return async (settings: Settings) => {
        const definition = `k${++count}`
        const places = placesOf(definition)
        await harness.unlink(...Object.values(placesOf(`k${count - 1}`)).flat())
        waiting = new Map()
        anybodyWaited = false
        return new World(settings, (world): Ground => {
          transports = processes.map((process, i) => {
            const transport = gated(world, process, clients[i]!, {
              onWait,
              scanned: [...places.entry, ...places.lease],
              sendable,
              split,
              traffic
            })
            return mistake?.between?.(transport) ?? transport
          })
          return {
            stores: fresh ? makeStores(split) : split ? stores.split : stores.together,
            gates: "commands",
            definition,
            lose: (what) => Effect.promise(() => traffic.follow(() => harness.del(...places[what]))),
            leases: () => harness.exists(...places.lease),
            quiet: () => quiet(world)
          }
        })
      }
    },
    stop: async () => {
      for (const client of [...clients, listener]) client.disconnect()
      await server.stop()
    }
  }
}
