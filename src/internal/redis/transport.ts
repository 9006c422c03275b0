/**
 * The few commands that the store needs of a client, and the one place that
 * knows `ioredis`.
 *
 * Every failure says whether what was asked may have happened all the same.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { StoreError } from "../../CacheStore.ts"
import { Deadline } from "../deadline.ts"
import { toHex } from "../randomId.ts"
import { together } from "./batch.ts"
import type { Script } from "./scripts.ts"
import { type Claim, claimOf, coverAll, tagIn } from "./slots.ts"

export type Value = string | null

/** What the store asks of Redis. Names of operations are for errors. */
export interface Transport {
  /** Whether keys lie on several nodes, so that a script may name those of one slot only. */
  readonly cluster: boolean
  /** The values of string keys. */
  readonly get: (operation: string, keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Value>, StoreError>
  /** Runs a script at the node of its first key. */
  readonly run: (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>
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
  readonly publish: (operation: string, channel: string, message: string) => Effect.Effect<void, StoreError>
}

/**
 * What is used of a client of `ioredis`: a `Redis` or a `Cluster`.
 *
 * Written down here, so that programs without `ioredis` need not have its types.
 */
export interface Client {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  get(key: string): Promise<string | null>
  mget(keys: Array<string>): Promise<Array<string | null>>
  eval(source: string, numberOfKeys: number, ...args: Array<string | number>): Promise<unknown>
  evalsha(sha: string, numberOfKeys: number, ...args: Array<string | number>): Promise<unknown>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(...channels: Array<string>): Promise<unknown>
  pipeline(): Pipeline
  call(command: string, ...args: Array<string | number>): Promise<unknown>
  connect(): Promise<void>
  disconnect(): void
  on(event: string, listener: (...args: Array<never>) => void): unknown
  off(event: string, listener: (...args: Array<never>) => void): unknown
}

interface Pipeline {
  evalsha(sha: string, numberOfKeys: number, ...args: Array<string | number>): Pipeline
  eval(source: string, numberOfKeys: number, ...args: Array<string | number>): Pipeline
  call(command: string, ...args: Array<string | number>): Pipeline
  exec(): Promise<Array<[Error | null, unknown]> | null>
}

/** A cluster's client also knows its nodes. */
export const primariesOf = (client: Client): ReadonlyArray<Client> =>
  client.isCluster ? (client as unknown as { nodes(role: "master"): Array<Client> }).nodes("master") : [client]

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

// The server said so before it did anything.
const refusals =
  /^(?:OOM|READONLY|LOADING|NOAUTH|WRONGPASS|NOPERM|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|MISCONF|BUSY|TRYAGAIN|CROSSSLOT|NOSCRIPT|DENIED|MOVED|ASK)\b/

// The command never left this process.
const unsent = /enableOfflineQueue|Cluster isn't ready|None of startup nodes|ECONNREFUSED|ENOTFOUND/

/** An error of the client without the command's arguments: those may be payloads or secrets. */
const bare = (error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error)
  const copy = new Error(message.replace(/, with args beginning with:.*$/s, ""))
  if (error instanceof Error) copy.name = error.name
  return copy
}

/** A script may have done a part of its work before it failed; what the server refused as a whole did not happen. */
export const toStoreError = (operation: string, error: unknown): StoreError => {
  const cause = bare(error)
  return new StoreError({
    operation,
    reason: { _tag: "Unavailable" },
    mayHaveHappened: !refusals.test(cause.message) && !unsent.test(cause.message),
    cause
  })
}

export const malformed = (operation: string, answer: unknown): StoreError =>
  new StoreError({
    operation,
    reason: { _tag: "Malformed" },
    mayHaveHappened: true,
    cause: new Error(`an answer of type ${Array.isArray(answer) ? "array" : typeof answer}`)
  })

// -----------------------------------------------------------------------------
// ioredis
// -----------------------------------------------------------------------------

type Ask = <A>(operation: string, send: () => Promise<A>) => Effect.Effect<A, StoreError>

/** Lets a cluster's client look where the slots are. */
const refresh = (client: Client): void => {
  if (client.isCluster) (client as unknown as { refreshSlotsCache?: () => void }).refreshSlotsCache?.()
}

// `ioredis` follows a redirection, but not where it has put commands of several slots into one pipeline: it would go on
// asking the wrong node.
const leadsElsewhere = (error: unknown): boolean => error instanceof Error && error.message.startsWith("MOVED ")

const askBy = (client: Client): Ask => (operation, send) =>
  Effect.callback((resume) => {
    const fail = (error: unknown) => {
      if (leadsElsewhere(error)) refresh(client)
      resume(Effect.fail(toStoreError(operation, error)))
    }
    try {
      send().then((answer) => resume(Effect.succeed(answer)), fail)
    } catch (error) {
      fail(error)
    }
  })

/** Names of scripts by which the server remembers them. */
export type Hashes = ReadonlyMap<Script, string>

export const hashAll = (scripts: Iterable<Script>): Effect.Effect<Hashes> =>
  Effect.promise(async () => {
    const hashes = new Map<Script, string>()
    for (const script of scripts) {
      hashes.set(
        script,
        toHex(new Uint8Array(await crypto.subtle.digest("SHA-1", new TextEncoder().encode(script.source))))
      )
    }
    return hashes
  })

const isUnknownScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith("NOSCRIPT")

/**
 * So many replicas must have acknowledged a write within so many milliseconds.
 * `WAIT` is about what its connection has written. A script that has found
 * nothing to do has written nothing, and another's writes may be on their way
 * still: so a witness is written first, a key that begins with `witness`.
 */
export interface Acknowledgement {
  readonly replicas: number
  readonly within: number
  readonly witness: string
}

const witnessLife = 1000

const keysPerScan = 500

/**
 * - `writer`: the client for what replicas must acknowledge: `WAIT` holds up what
 *   comes after it on the same connection.
 * - `limit`: milliseconds that a batch of reads may take.
 */
export interface TransportOptions {
  readonly writer: Client
  readonly acknowledgement: Acknowledgement | undefined
  readonly hashes: Hashes
  readonly limit?: number | undefined
}

/** Bounds what is sent in time: once for all that wait for it. */
const within = (send: Transport["get"], limit: number | undefined): Transport["get"] => {
  if (limit === undefined) return send
  const deadline = new Deadline(limit)
  return (operation, keys) =>
    Effect.withFiber((fiber) =>
      deadline.run(
        send(operation, keys),
        fiber,
        (exit) => exit ?? Exit.fail(new StoreError({ operation, reason: { _tag: "Timeout" }, mayHaveHappened: true }))
      )
    )
}

// As `MGET` has it: what is no string is not there.
const getString = (client: Client, key: string): Promise<Value> =>
  client.get(key).catch((error) => {
    if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return null
    throw error
  })

const waiting = (pipeline: Pipeline, witness: string, { replicas, within }: Acknowledgement): Pipeline =>
  pipeline.call("SET", witness, "", "PX", witnessLife).call("WAIT", replicas, within)

/** The answers to a pipeline; the first error is that of all. */
const answersOf = (pipeline: Pipeline): Promise<ReadonlyArray<unknown>> =>
  pipeline.exec().then((answers) => {
    if (answers === null) throw new Error("no answer")
    return answers.map(([error, answer]) => {
      if (error !== null) throw error
      return answer
    })
  })

/** A transport on a client of `ioredis`. */
export const make = (
  client: Client,
  options: TransportOptions
): Transport => {
  const { acknowledgement, limit, writer } = options
  const ask = askBy(client)
  const hashFor = (script: Script): string => options.hashes.get(script)!

  const getAtOnce: Transport["get"] = (operation, keys) =>
    Effect.flatMap(
      ask(operation, () => client.mget(keys as Array<string>)),
      (values) =>
        Array.isArray(values) && values.length === keys.length
          ? Effect.succeed(values)
          : Effect.fail(malformed(operation, values))
    )

  const getEach: Transport["get"] = (operation, keys) =>
    keys.length === 1
      ? Effect.map(ask(operation, () => getString(client, keys[0]!)), (value) => [value])
      : ask(operation, () => Promise.all(keys.map((key) => getString(client, key))))

  const runOn = (
    operation: string,
    { by, script }: { readonly by: Client; readonly script: Script },
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>
  ): Effect.Effect<unknown, StoreError> =>
    ask(operation, () =>
      by.evalsha(hashFor(script), keys.length, ...keys, ...args).catch((error) => {
        // Forgotten by the server: sent as a whole once, it is remembered again.
        if (isUnknownScript(error)) return by.eval(script.source, keys.length, ...keys, ...args)
        throw error
      }))

  const checked = (operation: string, answer: unknown): Effect.Effect<ReadonlyArray<unknown>, StoreError> =>
    Array.isArray(answer) && typeof answer[0] === "string"
      ? Effect.succeed(answer)
      : Effect.fail(malformed(operation, answer))

  const run: Transport["run"] = (operation, script, keys, args) =>
    Effect.flatMap(runOn(operation, { by: client, script }, keys, args), (answer) => checked(operation, answer))

  const waitedFor = (
    operation: string,
    { replicas }: Acknowledgement,
    count: unknown
  ): Effect.Effect<void, StoreError> =>
    typeof count === "number" && count >= replicas
      ? Effect.void
      : Effect.fail(
        new StoreError({
          operation,
          reason: { _tag: "Unavailable" },
          mayHaveHappened: true,
          cause: new Error(`${String(count)} of ${replicas} replicas acknowledged`)
        })
      )

  const acknowledged = (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>,
    acknowledgement: Acknowledgement
  ): Effect.Effect<ReadonlyArray<unknown>, StoreError> => {
    // In the slot of the first key, which has braces.
    const witness = `${acknowledgement.witness}${/\{[^}]*\}/.exec(keys[0]!)?.[0] ?? ""}`
    const send = (known: boolean) => {
      const pipeline = writer.pipeline()
      const sent = known
        ? pipeline.evalsha(hashFor(script), keys.length, ...keys, ...args)
        : pipeline.eval(script.source, keys.length, ...keys, ...args)
      return answersOf(waiting(sent, witness, acknowledgement))
    }
    return Effect.flatMap(
      ask(operation, () => send(true).catch((error) => isUnknownScript(error) ? send(false) : Promise.reject(error))),
      ([answer, , count]) => Effect.andThen(waitedFor(operation, acknowledgement, count), checked(operation, answer))
    )
  }

  const claimsOf = (operation: string, node: Client): Effect.Effect<Claim, StoreError> =>
    Effect.flatMap(
      ask(operation, () => Promise.all([node.call("CLUSTER", "MYID"), node.call("CLUSTER", "SLOTS")])),
      ([id, slots]) => {
        const claim = claimOf(id, slots)
        return claim === undefined ? Effect.fail(malformed(operation, slots)) : Effect.succeed(claim)
      }
    )

  const unsure = (operation: string, why: string): Effect.Effect<never, StoreError> => {
    // So that it may be another time.
    for (const one of new Set([client, writer])) refresh(one)
    return Effect.fail(
      new StoreError({ operation, reason: { _tag: "Unavailable" }, mayHaveHappened: true, cause: new Error(why) })
    )
  }

  /**
   * Does something at every primary. The client may have lost one of them, or
   * not know of one yet: in a cluster each is asked what it has, before and
   * after, and unless all slots are there and stayed where they were it fails.
   */
  const everywhere = (
    operation: string,
    by: Client,
    act: (node: Client, claim: Claim | undefined) => Effect.Effect<void, StoreError>
  ): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      if (!by.isCluster) return act(by, undefined)
      const nodes = primariesOf(by)
      const asking = Effect.forEach(nodes, (node) => claimsOf(operation, node), { concurrency: "unbounded" })
      return Effect.flatMap(asking, (claims) => {
        if (!coverAll(claims)) return unsure(operation, "some slots have no primary that is connected")
        const acting = Effect.forEach(nodes, (node, i) => act(node, claims[i]), {
          concurrency: "unbounded",
          discard: true
        })
        return Effect.flatMap(Effect.andThen(acting, asking), (after) =>
          JSON.stringify(after) === JSON.stringify(claims)
            ? Effect.void
            : unsure(operation, "slots were moved meanwhile"))
      })
    })

  const walkOne = (
    node: Client,
    operation: string,
    pattern: string,
    each: (keys: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  ): Effect.Effect<void, StoreError> => {
    const from = (cursor: string): Effect.Effect<void, StoreError> =>
      Effect.flatMap(
        ask(operation, () => node.call("SCAN", cursor, "MATCH", pattern, "COUNT", keysPerScan)),
        (answer) => {
          if (!Array.isArray(answer) || !Array.isArray(answer[1])) return Effect.fail(malformed(operation, answer))
          const [next, keys] = answer as [unknown, Array<string>]
          return String(next) === "0" ? each(keys) : Effect.flatMap(each(keys), () => from(String(next)))
        }
      )
    return from("0")
  }

  return {
    cluster: client.isCluster,
    get: client.isCluster ? getEach : together(within(getAtOnce, limit)),
    run,
    runAcknowledged: acknowledgement === undefined
      ? run
      : (operation, script, keys, args) => acknowledged(operation, script, keys, args, acknowledgement),
    settle: (operation) =>
      acknowledgement === undefined ? Effect.void : everywhere(operation, writer, (node, claim) => {
        const tag = claim === undefined ? "" : tagIn(claim.ranges)
        if (tag === undefined) return Effect.void
        const witness = `${acknowledgement.witness}{${tag}}`
        return Effect.flatMap(
          ask(operation, () => answersOf(waiting(node.pipeline(), witness, acknowledgement))),
          ([, count]) => waitedFor(operation, acknowledgement, count)
        )
      }),
    walk: (operation, pattern, each) =>
      everywhere(operation, client, (node) => walkOne(node, operation, pattern, each)),
    publish: (operation, channel, message) => Effect.asVoid(ask(operation, () => client.publish(channel, message)))
  }
}
