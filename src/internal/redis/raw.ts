/**
 * What is used of a client of the package: of one node, or of a cluster.
 *
 * Written down here, so that programs without the package need not have its
 * types.
 */
import type { Argument } from "./client.ts"

/**
 * Runs a script, by its text or by its hash. The lists are given as such, and not as so many arguments: the package flattens
 * them. A command that throws while it is queued, as one with too many arguments does, leaves a pipeline in which each answer
 * goes to the command before.
 */
type Evaluate<A> = (
  script: string,
  numberOfKeys: number,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<Argument>
) => A

export interface Raw {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  /** What the connection is now; `select` is the database that was asked for, whatever the server said to it. */
  readonly condition?: { readonly select?: number } | null
  /** The socket, once there is one. */
  readonly stream?: Socket | null
  get(key: string): Promise<string | null>
  eval: Evaluate<Promise<unknown>>
  evalsha: Evaluate<Promise<unknown>>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(...channels: Array<string>): Promise<unknown>
  select(db: number): Promise<unknown>
  pipeline(): Pipeline
  call(command: string, ...args: Array<Argument>): Promise<unknown>
  connect(): Promise<void>
  disconnect(reconnect?: boolean): void
  duplicate(options: object): unknown
  on(event: string, listener: (...args: Array<never>) => void): unknown
  off(event: string, listener: (...args: Array<never>) => void): unknown
}

export interface Pipeline {
  get(key: string): Pipeline
  mget(keys: ReadonlyArray<string>): Pipeline
  evalsha: Evaluate<Pipeline>
  eval: Evaluate<Pipeline>
  call(command: string, ...args: Array<Argument>): Pipeline
  exec(): Promise<Array<[Error | null, unknown]> | null>
}

interface Socket {
  readonly bytesRead?: number
  once(event: "data", listener: (chunk: Uint8Array) => void): unknown
  destroy(): unknown
}

/** What only the client of a cluster has. */
export interface RawCluster {
  /** The names of the nodes that have a slot, the primary first. */
  readonly slots?: ReadonlyArray<ReadonlyArray<string> | undefined>
  readonly connectionPool?: { getInstanceByKey?(name: string): Raw | undefined }
  nodes(role: "master"): Array<Raw>
  refreshSlotsCache?(): void
  duplicate(nodes: ReadonlyArray<unknown>, options: object): unknown
}

export const clusterOf = (raw: Raw): RawCluster => raw as unknown as RawCluster

export const primariesOf = (raw: Raw): ReadonlyArray<Raw> => raw.isCluster ? clusterOf(raw).nodes("master") : [raw]

/** The name of the primary of a slot, as the client of a cluster knows it. */
export const primaryOf = (raw: Raw, slot: number): string | undefined => clusterOf(raw).slots?.[slot]?.[0]

/** The connection of a cluster's client to a node. */
export const nodeNamed = (raw: Raw, name: string): Raw | undefined =>
  clusterOf(raw).connectionPool?.getInstanceByKey?.(name)

/** Lets the client of a cluster look again where the slots are. */
export const refresh = (raw: Raw): void => {
  if (raw.isCluster) clusterOf(raw).refreshSlotsCache?.()
}
