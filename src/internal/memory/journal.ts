/** What the store in memory remembers for in-flight loads: what was invalidated, which fences stand, who has a lease. */
import type * as CacheStore from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"

/**
 * What was invalidated, as far back as the oldest in-flight load needs it: the
 * last position at which each dependency was named. Bounded; what is forgotten
 * raises the floor, below which the journal does not know, and loads are refused.
 */
export class Journal {
  readonly limit: number
  readonly last = new Map<Dependency, number>()
  position = 0
  floor = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** The position is another after each invalidation; what was named is `kept` only for in-flight loads. */
  note(dependency: Dependency, kept: boolean): void {
    this.position++
    if (!kept) return
    // Deleting first keeps the map in order of position.
    this.last.delete(dependency)
    this.last.set(dependency, this.position)
    if (this.last.size > this.limit) this.forgetOldest(Math.ceil(this.limit / 8))
  }

  // Several at once: finding the first of a map again after each deletion would take longer and longer.
  private forgetOldest(count: number): void {
    for (const [dependency, at] of this.last) {
      if (count-- <= 0) break
      this.last.delete(dependency)
      this.floor = at
    }
  }

  forgetTo(position: number): void {
    for (const [dependency, at] of this.last) {
      if (at > position) break
      this.last.delete(dependency)
    }
    this.floor = Math.max(this.floor, position)
  }

  quietSince(position: number, dependencies: Iterable<Dependency>): boolean {
    // What depends on nothing needs no journal.
    for (const dependency of dependencies) {
      if (position < this.floor || (this.last.get(dependency) ?? 0) > position) return false
    }
    return true
  }
}

export interface StandingFence extends CacheStore.Fence {
  readonly until: number
}

export class HeldLease implements CacheStore.Lease {
  readonly token: CacheStore.Token
  readonly known: ReadonlyArray<Dependency>
  /** How far the journal had come when the load began. */
  readonly since: number
  /** The fences that stood when the load began. */
  readonly fences: ReadonlyArray<StandingFence>
  readonly fenced: boolean
  readonly until: number
  /** Whether it is that of a write. */
  readonly writes: boolean
  readonly waiting = new Set<() => void>()

  constructor(
    token: CacheStore.Token,
    known: ReadonlyArray<Dependency>,
    since: number,
    fences: ReadonlyArray<StandingFence>,
    until: number,
    writes: boolean
  ) {
    this.token = token
    this.known = known
    this.since = since
    this.fences = fences
    this.fenced = fences.length > 0
    this.until = until
    this.writes = writes
  }

  /** Asked for only by those who wait. */
  get position(): CacheStore.Position {
    return positionOf(this.since, this.fences)
  }
}

/** The position of the journal, as the port knows it. */
export const positionOf = (since: number, fences: ReadonlyArray<StandingFence>): CacheStore.Position =>
  fences.length === 0 ? String(since) : [since, ...fences.map(({ id }) => id)].join(" ")
