/**
 * Keys whose refresh in the background failed: the next one is not tried at once,
 * but after a pause, which is longer after each failure in a row.
 */
import { Latest } from "../latest.ts"

interface Pause {
  readonly failures: number
  /** In milliseconds of the monotonic clock. */
  readonly until: number
}

/** The pause after the first failure, and the longest one, in milliseconds. */
export interface Limits {
  readonly first: number
  readonly longest: number
}

// The most keys that are remembered; then the oldest is forgotten, and tried at once.
const mostKeys = 10_000

export class Pauses {
  private readonly pauses = new Latest<Pause>(mostKeys)

  /** Whether a refresh has to wait. */
  holds(key: string, now: number): boolean {
    const pause = this.pauses.get(key)
    return pause !== undefined && now < pause.until
  }

  /** A refresh failed. `draw` in [0, 1) shortens the pause by up to a half, so that not all keys are tried at one moment. */
  failed(key: string, now: number, { first, longest }: Limits, draw: number): void {
    const failures = (this.pauses.get(key)?.failures ?? 0) + 1
    const pause = Math.min(longest, first * 2 ** (failures - 1))
    this.pauses.set(key, { failures, until: now + pause * (1 - draw / 2) })
  }

  /** It was loaded after all. */
  forget(key: string): void {
    this.pauses.delete(key)
  }
}
