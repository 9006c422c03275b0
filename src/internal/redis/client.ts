/**
 * What the store needs of a client of Redis. One file of this folder adapts a
 * package to it; everything else speaks of this and of no package.
 *
 * Whatever fails says, in a `StoreError`, whether what was asked may have
 * happened all the same.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StoreError } from "../../CacheStore.ts"
import type { Script } from "./scripts.ts"

/** A value of a string key; null if it has none. */
export type Value = string | null

/** What a command or a script is given. */
export type Argument = string | number

/**
 * `WAIT` is about what its own connection has written. A script that has found
 * nothing to do has written nothing, while another's writes may still be on
 * their way. So `key`, which has no other use, is written first.
 */
export interface Wait {
  readonly key: string
  readonly replicas: number
  /** Milliseconds. */
  readonly within: number
}

/** One server. The name of an operation is for errors. */
export interface Node {
  /** Any command, answered by this server. */
  readonly command: (
    operation: string,
    ...command: readonly [string, ...Array<Argument>]
  ) => Effect.Effect<unknown, StoreError>
  /** Waits for replicas of this server; gives how many have what was written before. */
  readonly wait: (operation: string, wait: Wait) => Effect.Effect<unknown, StoreError>
}

/** What comes in on the channels that were subscribed to. */
export interface Listener {
  readonly hear: (channel: string, message: string) => void
  /** Called each time that a connection listens, before any message of it. */
  readonly subscribed: () => void
  /** The server does not let this user subscribe. */
  readonly refused: (why: string) => void
}

/** A connection to a server, or to a cluster. */
export interface Client {
  readonly isCluster: boolean
  /** How many connections were made so far: another number after each. */
  readonly connections: () => number
  /** Why nothing can be asked now, if that is known. */
  readonly trouble: () => string | undefined
  /** The values of string keys: on one server by one command, in a cluster each where it lies. */
  readonly get: (operation: string, keys: ReadonlyArray<string>) => Effect.Effect<unknown, StoreError>
  /** A server's time, as `TIME` gives it. It is asked for as values are: where writes wait, this does not. */
  readonly time: (operation: string) => Effect.Effect<unknown, StoreError>
  /** Runs a script where its first key lies, also if the server has forgotten it. */
  readonly script: (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Argument>
  ) => Effect.Effect<unknown, StoreError>
  /** The same, and then waits for replicas; gives the script's answer, and how many have what it wrote. */
  readonly scriptAndWait: (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<Argument>,
    wait: Wait
  ) => Effect.Effect<readonly [answer: unknown, acknowledged: unknown], StoreError>
  readonly publish: (operation: string, channel: string, message: string) => Effect.Effect<void, StoreError>
  /** The servers that take writes, as far as the client knows them. */
  readonly primaries: () => ReadonlyArray<Node>
  /** Lets the client of a cluster look again where the slots are. */
  readonly refresh: () => void
  /** A connection like this one, for what would hold up the others. */
  readonly beside: Effect.Effect<Client, never, Scope.Scope>
  /** Listens until the scope ends, on a connection of its own that is made again whenever it is lost. */
  readonly listen: (channels: ReadonlyArray<string>, listener: Listener) => Effect.Effect<void, never, Scope.Scope>
}

/** The server could not be reached, or refused. */
export const unavailable = (operation: string, cause: Error, mayHaveHappened = true): StoreError =>
  new StoreError({ operation, reason: { _tag: "Unavailable" }, mayHaveHappened, cause })

/** The server answered something that is not an answer. */
export const malformed = (operation: string, answer: unknown): StoreError =>
  new StoreError({
    operation,
    reason: { _tag: "Malformed" },
    mayHaveHappened: true,
    cause: new Error(`an answer of type ${Array.isArray(answer) ? "array" : typeof answer}`)
  })

/** A number in an answer; a client that was lent may give it as a text. Not a number if it is none. */
export const numberOf = (answer: unknown): number =>
  typeof answer === "number" || (typeof answer === "string" && answer !== "") ? Number(answer) : Number.NaN
