/**
 * So many at once; the others wait, in the order in which they came. Each turn
 * costs the same however many wait, which the semaphore of the package does not
 * promise: with 20 000 that wait it looks at all of them at each turn.
 */
import * as Effect from "effect/Effect"

interface Turn {
  state: "none" | "waiting" | "running"
  come: () => void
}

export class Turns {
  private free: number
  private readonly waiting = new Set<Turn>()
  private isGiving = false

  constructor(most: number) {
    this.free = most
  }

  inTurn<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const turn: Turn = { state: "none", come: () => {} }
      return Effect.onExit(Effect.andThen(this.take(turn), effect), () => this.leave(turn))
    })
  }

  private take(turn: Turn): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.free > 0 && this.waiting.size === 0) {
        this.free--
        turn.state = "running"
        return Effect.void
      }
      turn.state = "waiting"
      return Effect.callback<void>((resume) => {
        turn.come = () => resume(Effect.void)
        this.waiting.add(turn)
      })
    })
  }

  /** It has ended, or does not wait any more. */
  private leave(turn: Turn): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      if (turn.state === "running") this.free++
      this.waiting.delete(turn)
      turn.state = "none"
      if (this.waiting.size > 0 && !this.isGiving) {
        this.isGiving = true
        // What has ended together is known of by those that come next, and those that end as they come do not nest.
        fiber.currentDispatcher.scheduleTask(() => this.give(), 0)
      }
      return Effect.void
    })
  }

  private give(): void {
    this.isGiving = false
    for (const next of this.waiting) {
      if (this.free === 0) break
      this.waiting.delete(next)
      this.free--
      next.state = "running"
      next.come()
    }
  }
}
