/**
 * What is written down while several processes share one cache.
 *
 * Times are microseconds of the machine's monotonic clock, which all processes
 * of a machine read alike, whatever their wall clocks say. Each is taken on the
 * side that makes a claim weaker: a call before it is made, a return after it.
 */

/** What an invalidation names. A pattern's open parts are `null`. */
export interface Targets {
  readonly keys: ReadonlyArray<string>
  readonly dependencies: ReadonlyArray<string>
  readonly patterns: ReadonlyArray<ReadonlyArray<string | null>>
}

/** One key as one read saw it. `load` names the load whose value was returned. */
export interface Read {
  readonly t: "read"
  readonly p: string
  readonly id: string
  readonly key: string
  readonly start: number
  readonly end: number
  readonly load?: string
  readonly v?: number
  readonly how: "hit" | "stale" | "waited" | "failed"
  /** So many loads of others it waited for. */
  readonly joined: number
  readonly error?: string
}

/** One call of the lookup; or the write of a write-through, whose value is stored likewise. */
export interface Load {
  readonly t: "load"
  readonly p: string
  readonly id: string
  readonly key: string
  readonly read: string
  readonly begin: number
  readonly end: number
  readonly set: boolean
  readonly v?: number
  /** The load that it was made of, by a cached read. */
  readonly of?: string
  /** Dependencies that the key tells, and those found in the value. */
  readonly known: ReadonlyArray<string>
  readonly found: ReadonlyArray<string>
  /** When the lease was asked for and granted; nothing for a load of one's own that stores nothing. */
  readonly leased?: { readonly call: number; readonly ret: number }
}

/** The value of a load was handed to the store. */
export interface Stored {
  readonly t: "stored"
  readonly p: string
  readonly load: string
  readonly key: string
  readonly call: number
  readonly ret: number
  readonly outcome: string
}

/** A row was written at the origin. */
export interface Commit {
  readonly t: "commit"
  readonly p: string
  readonly key: string
  readonly v: number
  readonly at: number
}

export interface Invalidate {
  readonly t: "invalidate"
  readonly p: string
  readonly targets: Targets
  readonly soft: boolean
  readonly call: number
  readonly ret: number
  readonly ok: boolean
  readonly error?: string
  /** Its promise does not count. */
  readonly forgiven?: boolean
}

/** Something that invalidates was called. Of what a process did that died in the middle of it, this is all that is known. */
export interface Called {
  readonly t: "called"
  readonly p: string
  readonly targets: Targets
  readonly at: number
}

/** The fence stood when the write began; `until` is the latest time at which it ends by itself. */
export interface MutateOpen {
  readonly t: "mutate-open"
  readonly p: string
  readonly id: string
  readonly targets: Targets
  readonly start: number
  readonly write: number
  readonly until: number
  /** Its promise does not count. */
  readonly forgiven?: boolean
}

export interface MutateEnd {
  readonly t: "mutate-end"
  readonly p: string
  readonly id: string
  readonly targets: Targets
  readonly start: number
  /** When the write had ended; nothing if it never began. */
  readonly written?: number
  readonly end: number
  readonly ok: boolean
  readonly error?: string
}

export interface Put {
  readonly t: "set"
  readonly p: string
  readonly key: string
  readonly load?: string
  readonly v?: number
  readonly start: number
  readonly end: number
  readonly ok: boolean
  readonly error?: string
}

/** The store has told this process that the value of this load is dead, or was asked to drop it. */
export interface Dead {
  readonly t: "dead"
  readonly p: string
  readonly load: string
  readonly key: string
  readonly at: number
  readonly because: string
}

export interface StoreFailed {
  readonly t: "store-failed"
  readonly p: string
  readonly read: string
  readonly operation: string
  readonly reason: string
  readonly at: number
}

/** What was done to the processes and servers. A pause names its process, an eviction its key. */
export interface Fault {
  readonly t: "fault"
  readonly kind: "pause" | "evict" | "drop" | "flush" | "stall" | "step" | "crash" | "down" | "failover"
  readonly p?: string
  readonly what?: string
  readonly from: number
  readonly to: number
}

export interface Counts {
  readonly t: "counts"
  readonly p: string
  readonly events: Readonly<Record<string, number>>
}

export type Fact =
  | Read
  | Load
  | Stored
  | Commit
  | Invalidate
  | Called
  | MutateOpen
  | MutateEnd
  | Put
  | Dead
  | StoreFailed
  | Fault
  | Counts

/** All limits are milliseconds. */
export interface Limits {
  /** By name of definition: so long after it was stored, nothing of an entry is served. */
  readonly lifetimes: Readonly<Record<string, number>>
  readonly lease: number
  readonly waitLimit: number
  /** How much two estimates of the store's clock may differ. */
  readonly clockSlack: number
  /** The longest that a read may take. */
  readonly read: number
}

export interface History {
  readonly facts: ReadonlyArray<Fact>
  readonly limits: Limits
}

const matches = (pattern: ReadonlyArray<string | null>, key: string): boolean => {
  const parts = key.split(":")
  return parts.length === pattern.length && pattern.every((part, i) => part === null || part === parts[i])
}

/** Whether an invalidation of these targets names the key, or one of the dependencies. */
export const covers = (targets: Targets, key: string, dependencies: ReadonlyArray<string>): boolean =>
  targets.keys.includes(key) || dependencies.some((name) => targets.dependencies.includes(name)) ||
  targets.patterns.some((pattern) => matches(pattern, key))

/** Microseconds of the clock that all processes of this machine share. */
export const now = (): number => Number(process.hrtime.bigint() / 1000n)
