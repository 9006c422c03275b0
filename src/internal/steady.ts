/**
 * Time that no clock can hold up or turn back.
 *
 * An age is a difference of two times, so a clock that is set back, frozen or
 * `NaN` would make what is old young. The time that ages are counted in goes on
 * by what the monotonic clock says has passed, and ahead with the clock that it
 * is read from: a machine that sleeps may stop its monotonic clock.
 */
import type * as Clock from "effect/Clock"
import type { Now } from "../CacheStore.ts"
import { elapsed } from "./deadline.ts"

/**
 * Milliseconds by which clocks that are right may differ: of two processes, or of
 * one process before and after its clock was corrected. An age that is below
 * zero by more cannot be true.
 */
export const slack = 1000

// A clock that is slewed runs slower than the monotonic clock by less than a thousandth.
const rate = 0.999

/**
 * How far back a time may go. The slack is counted from the farthest that it has
 * ever been ahead of the monotonic clock, so it is granted once and not at every
 * look.
 */
export class Limit {
  private ahead = -Infinity

  /** Whether a clock that is right can have gone back to this time; `ticks` are those of the monotonic clock. */
  allows(time: number, ticks: number): boolean {
    return time >= this.ahead + rate * ticks - slack
  }

  /** The time was this at these ticks. */
  note(time: number, ticks: number): void {
    this.ahead = Math.max(this.ahead, time - rate * ticks)
  }
}

/** The time of this process, for ages, leases and fences that it keeps for itself. */
export const makeNow = (): Now => {
  let read: Clock.Clock | undefined
  let limit = new Limit()
  let last = -Infinity
  let lastTicks = 0
  // By how much the wall clock was set back, or held up, so far. It counts on from there: a machine that sleeps shows on
  // the wall clock only.
  let behind = 0
  const now = (clock: Clock.Clock): number => {
    const ticks = elapsed(clock)
    let passed = ticks - lastTicks
    // To ask both clocks takes a good part of a hit, and once a millisecond is enough.
    if (passed > 0 && passed < 1 && clock === read) return last
    if (clock !== read) { // its ticks are others
      read = clock
      passed = 0
      limit = new Limit()
      limit.note(last, ticks)
    }
    lastTicks = ticks
    const expected = last === -Infinity ? ticks : last + Math.max(0, passed)
    const wall = clock.currentTimeMillisUnsafe() + behind
    let time = Number.isFinite(wall) ? wall : expected
    if (time < expected && !limit.allows(time, ticks)) {
      behind += expected - time
      time = expected
    }
    limit.note(time, ticks)
    return last = Math.max(last, time)
  }
  return Object.assign(now, { behind: () => behind })
}
