/**
 * The server's clock, seen from this process.
 *
 * Between two answers of the server it goes on by the monotonic clock. The wall
 * clock of this process may be wrong by hours, or be set while an entry is
 * served, and takes no part.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import { elapsed } from "../deadline.ts"

/** The clock of the machine, whatever clock a program is given. */
export const realClock = Context.get(Context.empty(), Clock.Clock)

export class ServerClock {
  private ahead: number | undefined

  get isKnown(): boolean {
    return this.ahead !== undefined
  }

  /**
   * The server said `server` to what was sent and answered at these ticks. The
   * truth lies between what it said and what it would say when the answer came,
   * so the estimate moves only as far as an answer demands. The clock of a test
   * learns it once: ages then move with it, and not with real time.
   */
  learn(clock: Clock.Clock, server: number, sent: number, received: number): void {
    if (this.ahead === undefined) this.ahead = server - (sent + received) / 2
    else if (clock === realClock) this.ahead = Math.min(Math.max(this.ahead, server - received), server - sent + 1)
  }

  now(clock: Clock.Clock): number {
    return Math.round(elapsed(clock) + (this.ahead ?? 0))
  }
}
