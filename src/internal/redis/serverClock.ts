/**
 * The server's clock, seen from this process.
 *
 * Between two answers of the server it goes on by the monotonic clock. The wall
 * clock of this process may be wrong by hours, or be set while an entry is
 * served, and takes no part. Nor does the server's clock make anything younger
 * when it is set back: this process goes on from the time that it knew.
 */
import type * as Clock from "effect/Clock"
import { elapsed } from "../deadline.ts"
import { realClock } from "../realClock.ts"
import { Limit } from "../steady.ts"

export class ServerClock {
  private ahead: number | undefined
  private readonly limit = new Limit()
  /** By how many milliseconds the server's clock was set back, as far as the last answer says. */
  behind = 0

  get isKnown(): boolean {
    return this.ahead !== undefined
  }

  /**
   * The server said `server` to what was sent and answered at these ticks. The
   * truth lies between what it said and what it would say when the answer came,
   * so the estimate moves only as far as an answer demands, and not back farther
   * than a clock that is right would. The clock of a test learns it once: ages
   * then move with it, and not with real time.
   */
  learn(clock: Clock.Clock, server: number, sent: number, received: number): void {
    if (this.ahead !== undefined && clock !== realClock) return
    const { ahead = server - (sent + received) / 2 } = this
    const said = Math.min(Math.max(ahead, server - received), server - sent + 1)
    const allowed = this.limit.allows(received + said, received)
    this.behind = allowed ? 0 : Math.round(ahead - said)
    this.ahead = allowed ? said : ahead
    this.limit.note(received + this.ahead, received)
  }

  now(clock: Clock.Clock): number {
    return Math.round(elapsed(clock) + (this.ahead ?? 0))
  }
}
