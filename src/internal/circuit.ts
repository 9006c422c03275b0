/**
 * When a store that fails is left alone: after so many failures in a row the
 * circuit is open for a while; then one operation tries, and what becomes of it
 * decides. After failures that cost time it is left alone for `openFor`, after
 * those that did not for a twentieth of it. Times are milliseconds of a clock
 * that is never set back.
 */

/** Given to an operation that was admitted; a number if it is the one that tries. */
export type Ticket = number | undefined

export class Circuit {
  private readonly limit: number
  private readonly openFor: number
  private failures = 0
  private openUntil: number | undefined = undefined
  private probe: Ticket = undefined
  private probes = 0

  constructor(limit: number, openFor: number) {
    this.limit = limit
    this.openFor = openFor
  }

  get isClosed(): boolean {
    return this.openUntil === undefined
  }

  /** The ticket of the one that tries; undefined if it is not yet time, or another tries already. */
  tryNow(now: number): Ticket {
    if (this.openUntil === undefined || now < this.openUntil || this.probe !== undefined) return undefined
    return this.probe = ++this.probes
  }

  /** An answer of the store closes the circuit, also one to an operation that was not admitted by it. */
  succeeded(): void {
    this.failures = 0
    this.openUntil = undefined
    this.probe = undefined
  }

  /**
   * While it is open, only the one that tries may prolong it: failures of what is always tried would keep readers away
   * from a store that answers them.
   */
  failed(ticket: Ticket, now: number, slow: boolean): void {
    // What refuses at once costs next to nothing to ask: a connection that is back after a moment must be found soon.
    const openFor = slow ? this.openFor : this.openFor / 20
    if (this.openUntil === undefined) {
      if (++this.failures >= this.limit) this.openUntil = now + openFor
    } else if (ticket !== undefined && ticket === this.probe) {
      this.openUntil = now + openFor
      this.probe = undefined
    }
  }

  /** An operation that was interrupted has learnt nothing: the next one may try. */
  interrupted(ticket: Ticket): void {
    if (ticket !== undefined && ticket === this.probe) this.probe = undefined
  }
}
