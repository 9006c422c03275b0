/** What would be told again and again is told this often, in milliseconds. */
export const tellEvery = 60_000

/** Tells something at once, and then once in a while. */
export class Seldom {
  private toldAt = -Infinity
  private untold = 0

  /** At these ticks: how often it was not told since the last time, if it is to be told now. */
  ask(ticks: number): number | undefined {
    if (ticks < this.toldAt + tellEvery) {
      this.untold++
      return undefined
    }
    const { untold } = this
    this.toldAt = ticks
    this.untold = 0
    return untold
  }
}
