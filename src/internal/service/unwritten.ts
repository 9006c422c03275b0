/**
 * What was served and could not be stored, since its schema refuses it or would
 * give back another value: told in the log once in a while, and remembered for `explain`.
 */

/** Why a value was not stored, and when, in milliseconds of the monotonic clock. */
export interface Unstored {
  readonly because: string
  readonly at: number
}

// A definition whose values cannot be stored makes a line in the log this often, in milliseconds.
const warnEvery = 60_000

// The most keys that are remembered; then the oldest is forgotten.
const mostKeys = 1000

export class Unwritten {
  private readonly keys = new Map<string, Unstored>()
  private readonly warnings = new Map<string, { readonly at: number; untold: number }>()
  private readonly known = new Set<string>()

  /** Whether this is the first value of a definition. */
  isFirst(name: string): boolean {
    if (this.known.has(name)) return false
    this.known.add(name)
    return true
  }

  /** Remembers that a value was not stored. Gives how many of its definition were not told, if it is time to tell. */
  add(name: string, key: string, unstored: Unstored): number | undefined {
    this.keys.delete(key)
    this.keys.set(key, unstored)
    if (this.keys.size > mostKeys) this.keys.delete(this.keys.keys().next().value!)
    const last = this.warnings.get(name)
    if (last !== undefined && unstored.at < last.at + warnEvery) {
      last.untold++
      return undefined
    }
    this.warnings.set(name, { at: unstored.at, untold: 0 })
    return last?.untold ?? 0
  }

  /** A value of the key was stored after all. */
  forget(key: string): void {
    if (this.keys.size > 0) this.keys.delete(key)
  }

  of(key: string): Unstored | undefined {
    return this.keys.get(key)
  }
}
