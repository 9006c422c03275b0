/**
 * What was served and could not be stored, since its schema refuses it or would
 * give back another value: told in the log once in a while, and remembered for `explain`.
 */
import { Latest } from "../latest.ts"
import { Seldom } from "../seldom.ts"

/** Why a value was not stored, and when, in milliseconds of the monotonic clock. */
export interface Unstored {
  readonly because: string
  readonly at: number
}

// The most keys that are remembered; then the oldest is forgotten.
const mostKeys = 1000

export class Unwritten {
  private readonly keys = new Latest<Unstored>(mostKeys)
  /** A definition whose values cannot be stored makes a line in the log once in a while. */
  private readonly warnings = new Map<string, Seldom>()
  private readonly known = new Set<string>()

  /** Whether this is the first value of a definition. */
  isFirst(name: string): boolean {
    if (this.known.has(name)) return false
    this.known.add(name)
    return true
  }

  /** Remembers that a value was not stored. Gives how many of its definition were not told, if it is time to tell. */
  add(name: string, key: string, unstored: Unstored): number | undefined {
    this.keys.set(key, unstored)
    let warnings = this.warnings.get(name)
    if (warnings === undefined) this.warnings.set(name, warnings = new Seldom())
    return warnings.ask(unstored.at)
  }

  /** A value of the key was stored after all. */
  forget(key: string): void {
    this.keys.delete(key)
  }

  of(key: string): Unstored | undefined {
    return this.keys.get(key)
  }
}
