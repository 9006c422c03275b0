/**
 * What the store asks of Redis, on one node and in a cluster: reads, scripts,
 * what replicas must acknowledge, and walks over all keys.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { StoreError } from "../../CacheStore.ts"
import { Deadline } from "../deadline.ts"
import { slices } from "../slices.ts"
import { together } from "./batch.ts"
import {
  type Argument,
  type Client,
  malformed,
  type Node,
  numberOf,
  unavailable,
  type Value,
  type Wait
} from "./client.ts"
import { runIn } from "./info.ts"
import type { Script } from "./scripts.ts"
import { sha1 } from "./sha1.ts"
import { type Claim, claimOf, coverAll, everySlot, tagIn } from "./slots.ts"

/** Names of operations are for errors. */
export interface Transport {
  /** Whether keys lie on several nodes, so that a script may name those of one slot only. */
  readonly cluster: boolean
  /** How many connections were made so far: another number after each. */
  readonly connections: () => number
  /** The values of string keys. */
  readonly get: (operation: string, keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Value>, StoreError>
  /** A server's time, in milliseconds. */
  readonly time: (operation: string) => Effect.Effect<number, StoreError>
  /** Runs a script at the node of its first key. */
  readonly run: (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Argument>
  ) => Effect.Effect<ReadonlyArray<unknown>, StoreError>
  /** The same, acknowledged by as many replicas as were asked for. */
  readonly runAcknowledged: Transport["run"]
  /** Waits until that many replicas of every primary have what was written before. */
  readonly settle: (operation: string) => Effect.Effect<void, StoreError>
  /**
   * Gives all keys that match a glob pattern, of every primary, some or none at a time, so that something can be done
   * meanwhile; fails if it is not sure of each.
   */
  readonly walk: (
    operation: string,
    pattern: string,
    each: (keys: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  ) => Effect.Effect<void, StoreError>
  /**
   * One step of such a walk: about `count` keys of one primary are looked at. It fails when a key that is there all the
   * while might be left out, since the cursor belongs to other servers.
   */
  readonly page: (
    operation: string,
    pattern: string,
    count: number,
    cursor: string | undefined
  ) => Effect.Effect<Paged, StoreError>
  readonly publish: (operation: string, channel: string, message: string) => Effect.Effect<void, StoreError>
  /** Bounds in time what a read needs besides. */
  readonly inTime: <A>(operation: string, effect: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
}

/** A page of keys; the last one has no cursor. */
export interface Paged {
  readonly keys: ReadonlyArray<string>
  readonly cursor: string | undefined
}

/** So many replicas must have acknowledged a write within so many milliseconds. */
export interface Acknowledgement {
  readonly replicas: number
  readonly within: number
  /** What the acknowledgement keys begin with, which are written to be waited for. */
  readonly keys: string
}

/** In the slot of what stands in these braces. */
const waitFor = ({ keys, replicas, within }: Acknowledgement, braces: string): Wait => ({
  key: `${keys}${braces}`,
  replicas,
  within
})

/**
 * - `writer`: the client for what replicas must acknowledge: `WAIT` holds up what
 *   comes after it on the same connection.
 * - `limit`: milliseconds that each answer to a read may take.
 */
export interface TransportOptions {
  readonly writer: Client
  readonly acknowledgement: Acknowledgement | undefined
  readonly limit?: number | undefined
}

/** A server that takes writes, and what it says that it has. */
interface Primary {
  readonly node: Node
  readonly claim: Claim
}

const keysPerScan = 500

// The server does nothing else while it answers one command. An entry with many dependencies has as many markers.
const keysPerRead = 500
const readsAtOnce = 4

/** Sends as many commands as a long list needs. Nothing is asked of a read that several of them would not keep. */
const inPieces = (send: Transport["get"]): Transport["get"] => (operation, keys) =>
  keys.length <= keysPerRead ? send(operation, keys) : Effect.map(
    Effect.forEach(slices(keys, keysPerRead), (piece) => send(operation, piece), { concurrency: readsAtOnce }),
    (values) => values.flat()
  )

const within = (limit: number | undefined): Transport["inTime"] => {
  if (limit === undefined) return (_, effect) => effect
  const deadline = new Deadline(limit)
  return (operation, effect) =>
    Effect.withFiber((fiber) =>
      deadline.run(
        effect,
        fiber,
        (exit) => exit ?? Exit.fail(new StoreError({ operation, reason: { _tag: "Timeout" }, mayHaveHappened: true }))
      )
    )
}

const checked = (operation: string, answer: unknown): Effect.Effect<ReadonlyArray<unknown>, StoreError> =>
  Array.isArray(answer) && typeof answer[0] === "string"
    ? Effect.succeed(answer)
    : Effect.fail(malformed(operation, answer))

/** Seconds, and microseconds of the next one. */
const timeIn = (operation: string, answer: unknown): Effect.Effect<number, StoreError> => {
  const millis = Array.isArray(answer) ? Number(answer[0]) * 1000 + Math.floor(Number(answer[1]) / 1000) : NaN
  return Number.isFinite(millis) ? Effect.succeed(millis) : Effect.fail(malformed(operation, answer))
}

const enough = (operation: string, { replicas }: Acknowledgement, count: unknown): Effect.Effect<void, StoreError> =>
  numberOf(count) >= replicas
    ? Effect.void
    : Effect.fail(unavailable(operation, new Error(`${String(count)} of ${replicas} replicas acknowledged`)))

// -----------------------------------------------------------------------------
// every primary
// -----------------------------------------------------------------------------

/** Sorted, so that a walk that goes on later finds them in the same order. */
const claimed = (operation: string, by: Client): Effect.Effect<ReadonlyArray<Primary>, StoreError> =>
  Effect.map(
    Effect.forEach(by.primaries(), (node) =>
      Effect.flatMap(node.command(operation, "CLUSTER", "NODES"), (answer) => {
        const claim = claimOf(answer)
        return claim === undefined ? Effect.fail(malformed(operation, answer)) : Effect.succeed({ node, claim })
      }), { concurrency: "unbounded" }),
    (primaries) => primaries.sort((a, b) => a.claim.id < b.claim.id ? -1 : 1)
  )

const claimsOf = (primaries: ReadonlyArray<Primary>): string => JSON.stringify(primaries.map(({ claim }) => claim))

/**
 * Does something with every primary. The client may have lost one of them, or
 * not know of one yet: in a cluster each is asked what it has, before and after.
 * Unless all slots are there and stay where they are, it fails.
 */
const everywhere = <A>(
  operation: string,
  by: Client,
  act: (primaries: ReadonlyArray<Primary>) => Effect.Effect<A, StoreError>
): Effect.Effect<A, StoreError> =>
  Effect.suspend(() => {
    if (!by.isCluster) return act(by.primaries().map((node) => ({ node, claim: everySlot })))
    return Effect.gen(function*() {
      const before = yield* claimed(operation, by)
      const claims = before.map(({ claim }) => claim)
      if (!coverAll(claims)) return yield* unsure(operation, by, "some slots have no primary that is connected")
      const done = yield* act(before)
      const after = yield* claimed(operation, by)
      if (claimsOf(after) !== claimsOf(before)) return yield* unsure(operation, by, "slots were moved meanwhile")
      // Their keys are moved one by one, before the slot is.
      if (claims.some(({ moving }) => moving)) return yield* unsure(operation, by, "slots are being moved")
      return done
    })
  })

const unsure = (operation: string, by: Client, why: string): Effect.Effect<never, StoreError> =>
  Effect.suspend(() => {
    // So that it may be another time.
    by.refresh()
    return Effect.fail(unavailable(operation, new Error(why)))
  })

// -----------------------------------------------------------------------------
// scanning
// -----------------------------------------------------------------------------

interface Scanned {
  readonly next: string
  readonly keys: ReadonlyArray<string>
}

const scan = (
  node: Node,
  operation: string,
  pattern: string,
  count: number,
  from: string
): Effect.Effect<Scanned, StoreError> =>
  Effect.flatMap(
    node.command(operation, "SCAN", from, "MATCH", pattern, "COUNT", count),
    (answer) =>
      Array.isArray(answer) && Array.isArray(answer[1])
        ? Effect.succeed({ next: String(answer[0]), keys: answer[1] as ReadonlyArray<string> })
        : Effect.fail(malformed(operation, answer))
  )

const walkOne = (
  node: Node,
  operation: string,
  pattern: string,
  each: (keys: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
): Effect.Effect<void, StoreError> => {
  const from = (cursor: string): Effect.Effect<void, StoreError> =>
    Effect.flatMap(
      scan(node, operation, pattern, keysPerScan, cursor),
      ({ keys, next }) => next === "0" ? each(keys) : Effect.flatMap(each(keys), () => from(next))
    )
  return from("0")
}

/** Where a page ended: a cursor of the server with this id, and what the servers were like. */
interface Place {
  readonly next: string
  readonly id: string
  readonly state: string
}

const writePlace = ({ id, next, state }: Place): string => `${next}-${id}-${state}`

const readPlace = (cursor: string): Place | undefined => {
  const parts = /^(\d{1,20})-(\w+)-([0-9a-f]{40})$/.exec(cursor)
  if (parts === null || BigInt(parts[1]!) >= 2n ** 64n) return undefined
  return { next: parts[1]!, id: parts[2]!, state: parts[3]! }
}

/** A cursor of an earlier run means nothing to it. */
const runOf = (node: Node, operation: string): Effect.Effect<string, StoreError> =>
  Effect.map(
    node.command(operation, "INFO", "server"),
    (info) => runIn(info) ?? ""
  )

const onePage = (
  primaries: ReadonlyArray<Primary>,
  operation: string,
  { count, from, pattern }: { readonly pattern: string; readonly count: number; readonly from: Place | undefined }
): Effect.Effect<Paged, StoreError> =>
  Effect.gen(function*() {
    const at = from === undefined ? 0 : primaries.findIndex(({ claim }) => claim.id === from.id)
    const primary = primaries[at]
    const changed = unavailable(operation, new Error("the servers are others than at the page before"), false)
    if (primary === undefined) return yield* Effect.fail(changed)
    const start = from?.next ?? "0"
    const run = yield* runOf(primary.node, operation)
    const { keys, next } = yield* scan(primary.node, operation, pattern, count, start)
    // The beginning of a server's keys is the same in each of its runs.
    const stateAt = (cursor: string) => sha1(`${cursor === "0" ? "" : run} ${claimsOf(primaries)}`)
    const same = from === undefined || from.state === (yield* stateAt(start))
    if (!same || run !== (yield* runOf(primary.node, operation))) return yield* Effect.fail(changed)
    const then = next === "0" ? primaries[at + 1] : primary
    return {
      keys,
      cursor: then && writePlace({ next, id: then.claim.id, state: yield* stateAt(next) })
    }
  })

// -----------------------------------------------------------------------------
// the transport
// -----------------------------------------------------------------------------

export const make = (client: Client, options: TransportOptions): Transport => {
  const { acknowledgement, limit, writer } = options
  const inTime = within(limit)

  const get: Transport["get"] = (operation, keys) =>
    inTime(
      operation,
      Effect.flatMap(
        client.get(operation, keys),
        (values) =>
          Array.isArray(values) && values.length === keys.length
            ? Effect.succeed(values as ReadonlyArray<Value>)
            : Effect.fail(malformed(operation, values))
      )
    )

  const run: Transport["run"] = (operation, script, keys, args) =>
    Effect.flatMap(client.script(operation, script, keys, args), (answer) => checked(operation, answer))

  const runAndWait = (asked: Acknowledgement): Transport["run"] => (operation, script, keys, args) => {
    const [braces = ""] = /\{[^}]*\}/.exec(keys[0]!) ?? []
    return Effect.flatMap(
      writer.scriptAndWait(operation, script, keys, args, waitFor(asked, braces)),
      ([answer, count]) => Effect.andThen(enough(operation, asked, count), checked(operation, answer))
    )
  }

  const settle = (operation: string, asked: Acknowledgement): Effect.Effect<void, StoreError> =>
    everywhere(operation, writer, (primaries) =>
      Effect.forEach(primaries, ({ claim, node }) => {
        const tag = tagIn(claim.ranges)
        return tag === undefined ? Effect.void : Effect.flatMap(
          node.wait(operation, waitFor(asked, `{${tag}}`)),
          (count) => enough(operation, asked, count)
        )
      }, { concurrency: "unbounded", discard: true }))

  return {
    cluster: client.isCluster,
    connections: client.connections,
    // Of a batch, all that wait for it are bounded at once.
    get: client.isCluster ? inPieces(get) : together(inPieces(get)),
    time: (operation) => Effect.flatMap(client.time(operation), (answer) => timeIn(operation, answer)),
    run,
    runAcknowledged: acknowledgement === undefined ? run : runAndWait(acknowledgement),
    settle: (operation) => acknowledgement === undefined ? Effect.void : settle(operation, acknowledgement),
    walk: (operation, pattern, each) =>
      everywhere(
        operation,
        client,
        (primaries) =>
          Effect.forEach(primaries, ({ node }) => walkOne(node, operation, pattern, each), {
            concurrency: "unbounded",
            discard: true
          })
      ),
    page: (operation, pattern, count, cursor) => {
      const from = cursor === undefined ? undefined : readPlace(cursor)
      if (cursor !== undefined && from === undefined) {
        const cause = new Error("the cursor is none that a scan of this store has given")
        return Effect.fail(
          new StoreError({ operation, reason: { _tag: "Malformed" }, mayHaveHappened: false, cause })
        )
      }
      return everywhere(operation, client, (primaries) => onePage(primaries, operation, { pattern, count, from }))
    },
    publish: client.publish,
    inTime
  }
}
