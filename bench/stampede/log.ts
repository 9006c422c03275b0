/**
 * What was seen: every load, every request, every change. Written down while it
 * happens, and made sense of afterwards (`summary.ts`).
 */

export interface Load {
  readonly key: number
  readonly process: number
  readonly start: number
  /** Infinite while it is under way. */
  end: number
  /** Whether what it gave may be in the cache since `end`. */
  stored: boolean
  failed: boolean
}

/** In place of a load that a request was given: it failed, or it was not answered until the end. */
export const failed = -1
export const unanswered = -2

/** A change of the truth. */
export interface Change {
  readonly key: number
  /** When it was committed: what began to be loaded later has seen it. */
  readonly at: number
  /** When the writer knew that it was told: whoever asks later is owed it. */
  readonly known: number
}

export class Log {
  readonly loads: Array<Load> = []
  readonly changes: Array<Change> = []
  // In columns: there are millions of them.
  readonly keys: Array<number> = []
  readonly ats: Array<number> = []
  readonly ends: Array<number> = []
  readonly given: Array<number> = []
  /** How often the store was asked, by operation. */
  readonly operations: Record<string, number> = {}
  /** How many loads run now. */
  running = 0

  /** Gives the load's number, which is the value that it loads. */
  begin(key: number, process: number, start: number): number {
    this.running++
    return this.loads.push({ key, process, start, end: Infinity, stored: false, failed: false }) - 1
  }

  /** A good load is taken for stored, unless it is `refused`. */
  finish(load: number, end: number, good: boolean): void {
    this.running--
    const one = this.loads[load]!
    one.end = end
    one.stored = good
    one.failed = !good
  }

  /** What was loaded is not in the cache. */
  refused(load: number): void {
    this.loads[load]!.stored = false
  }

  /** What became of a request. `load` is the one whose value it was given. */
  answered(key: number, at: number, end: number, load: number): void {
    this.keys.push(key)
    this.ats.push(at)
    this.ends.push(end)
    this.given.push(load)
  }

  count(operation: string): void {
    this.operations[operation] = (this.operations[operation] ?? 0) + 1
  }

  get requests(): number {
    return this.ats.length
  }
}
