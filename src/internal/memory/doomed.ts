/**
 * Entries with a dependency that very many have, and that was invalidated: to end
 * them all in one step would hold up everything else for as long. So they are set
 * apart at once, whatever their number, and ended in pieces. Whoever asks one of
 * them before its turn ends that one first, so that nobody sees the difference.
 */
import type { Dependency } from "../../Dependency.ts"
import type * as Verdict from "../../Verdict.ts"
import { stronger } from "../mode.ts"

/** Entries that wait for their end. */
export interface Batch<Entry> {
  readonly dependency: Dependency
  mode: Verdict.Mode
  readonly at: number
  readonly entries: Set<Entry>
}

export class Doomed<Entry> {
  isEmpty = true
  private readonly batches = new Set<Batch<Entry>>()
  private readonly end: (entry: Entry, batch: Batch<Entry>) => void

  /** `end` ends one of them, which is set apart no more. */
  constructor(end: (entry: Entry, batch: Batch<Entry>) => void) {
    this.end = end
  }

  /** Sets those apart that have the dependency now. */
  add(batch: Batch<Entry>): void {
    this.isEmpty = false
    this.batches.add(batch)
  }

  /** The dependency is invalidated again, also for those that wait. Tells whether any do. */
  again(dependency: Dependency, mode: Verdict.Mode): boolean {
    let any = false
    for (const batch of this.batches) {
      if (batch.dependency !== dependency) continue
      batch.mode = stronger(batch.mode, mode)!
      any = true
    }
    return any
  }

  /** Ends this one now, if it waits. */
  settle(entry: Entry): void {
    for (const batch of this.batches) if (batch.entries.delete(entry)) this.ended(entry, batch)
  }

  /** Ends some more. */
  settleSome(count: number): void {
    let left = count
    for (const batch of this.batches) {
      for (const entry of batch.entries) {
        if (left-- === 0) return
        batch.entries.delete(entry)
        this.ended(entry, batch)
      }
    }
  }

  settleAll(): void {
    this.settleSome(Infinity)
  }

  private ended(entry: Entry, batch: Batch<Entry>): void {
    if (batch.entries.size === 0) {
      this.batches.delete(batch)
      this.isEmpty = this.batches.size === 0
    }
    this.end(entry, batch)
  }
}
