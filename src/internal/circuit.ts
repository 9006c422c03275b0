/**
 * When a store that fails is left alone: after so many failures in a row, or when
 * it has answered nothing for so long since the first of them, the circuit is open
 * for a while. Then one operation tries, and what becomes of it decides.
 *
 * After failures that cost time it is left alone for `openFor`, after those that
 * did not for a twentieth of it. Times are milliseconds of a clock that is never
 * set back.
 */

/** Given to an operation that was admitted; a number if it is the one that tries. */
export type Ticket = number | undefined

export interface Limits {
  readonly failures: number
  readonly openAfter: number
  readonly openFor: number
}

/** Unless others are given. */
export const usualLimits = { failures: 5, openAfter: 1000, openFor: 5000 } satisfies Limits

export class Circuit {
  private readonly limits: Limits
  private failures = 0
  private firstFailed = 0
  private slow = false
  private openUntil: number | undefined = undefined
  private probe: Ticket = undefined
  private probes = 0

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Nothing has failed since the last answer. */
  get isQuiet(): boolean {
    return this.failures === 0
  }

  /** Whether it has cost time to ask, so that nobody should wait for the one that tries. */
  get isSlow(): boolean {
    return this.slow
  }

  get wasOpened(): boolean {
    return this.openUntil !== undefined
  }

  /** One that has answered nothing for long enough is not waited for again, however seldom it was asked. */
  isOpen(now: number): boolean {
    if (this.openUntil === undefined && this.slow && now - this.firstFailed >= this.limits.openAfter) {
      this.openUntil = now
    }
    return this.openUntil !== undefined
  }

  /** The ticket of the one that tries; undefined if it is not yet time, or another tries already. */
  tryNow(now: number): Ticket {
    if (this.openUntil === undefined || now < this.openUntil || this.probe !== undefined) return undefined
    return this.probe = ++this.probes
  }

  /** An answer of the store closes the circuit, also one to an operation that was not admitted by it. */
  succeeded(): void {
    this.failures = 0
    this.slow = false
    this.openUntil = undefined
    this.probe = undefined
  }

  /**
   * While it is open, only the one that tries may prolong it: failures of what is always tried would keep readers away
   * from a store that answers them.
   */
  failed(ticket: Ticket, now: number, slow: boolean): void {
    const { failures, openAfter, openFor } = this.limits
    // What refuses at once costs next to nothing to ask: a connection that is back after a moment must be found soon.
    const until = now + (slow ? openFor : openFor / 20)
    if (this.openUntil === undefined) {
      if (this.failures++ === 0) this.firstFailed = now
      this.slow = slow
      if (this.failures >= failures || now - this.firstFailed >= openAfter) this.openUntil = until
    } else if (ticket !== undefined && ticket === this.probe) {
      this.openUntil = until
      this.slow = slow
      this.probe = undefined
    }
  }

  /** An operation that was interrupted has learnt nothing: the next one may try. */
  interrupted(ticket: Ticket): void {
    if (ticket !== undefined && ticket === this.probe) this.probe = undefined
  }
}
