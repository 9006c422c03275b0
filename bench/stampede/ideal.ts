/**
 * How many loads would be enough: one whenever something is asked for that has ended.
 */
import type { Scenario } from "./scenario.ts"

export class Ideal {
  private readonly lasts: number
  private readonly until = new Map<number, number>()

  constructor({ lifetime, load }: Scenario) {
    this.lasts = load + lifetime
  }

  /** Whether whoever asks now makes a load necessary. */
  asked(key: number, at: number): boolean {
    if (at < (this.until.get(key) ?? -Infinity)) return false
    this.until.set(key, at + this.lasts)
    return true
  }

  /** What is cached of a key ends now. */
  ended(key: number, at: number): void {
    this.until.set(key, at)
  }
}
