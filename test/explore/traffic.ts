/**
 * Knows when nothing moves any more in a world whose store answers later.
 *
 * What is under way is counted: a command from its sending until its answer is
 * there. When none is, what the answers set off runs within the turns of the
 * event loop that follow; after some in which nothing moved, nothing will.
 */
import type { Machine } from "./machine.ts"

// An answer may pass through a few callbacks before it reaches the fiber that asked.
const quietTurns = 2

// Far longer than a command takes; a run that waits so long has lost one.
const longest = 10_000

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export class Traffic {
  private underWay = 0
  private moves = 0
  private waiting: (() => void) | undefined

  /** Counts something from now until it is done. */
  async follow<A>(run: () => PromiseLike<A>): Promise<A> {
    const done = this.begin()
    try {
      return await run()
    } finally {
      done()
    }
  }

  begin(): () => void {
    this.underWay++
    this.moves++
    return () => {
      this.underWay--
      this.moves++
      if (this.underWay === 0) this.waiting?.()
    }
  }

  private answered(): Promise<void> {
    return new Promise((resolve, reject) => {
      const alarm = setTimeout(() => reject(new Error(`${this.underWay} commands were not answered`)), longest)
      this.waiting = () => {
        clearTimeout(alarm)
        this.waiting = undefined
        resolve()
      }
    })
  }

  /** Waits until nothing moves. */
  async quiet(machine: Machine): Promise<void> {
    for (let still = 0; still < quietTurns;) {
      machine.drain()
      if (this.underWay > 0) {
        await this.answered()
        still = 0
        continue
      }
      const before = this.moves + machine.moves
      await turn()
      still = this.moves + machine.moves === before ? still + 1 : 0
    }
  }
}
