/**
 * The origin: one for all processes, so that it knows how many loads run now.
 * It lives in the process that measures, and each load is a message to it.
 */
import { duration, fails, stream } from "../draw.ts"
import type { Scenario } from "../scenario.ts"
import { sleep } from "./messages.ts"

export class Origin {
  /** How many loads it was ever asked for. */
  asked = 0
  private running = 0
  private readonly scenario: Scenario
  private readonly times: () => number
  private readonly faults: () => number

  constructor(scenario: Scenario, seed: number) {
    this.scenario = scenario
    this.times = stream(seed, "durations")
    this.faults = stream(seed, "faults")
  }

  /** Takes as long as a load takes, and tells whether it was a good one. */
  async load(): Promise<boolean> {
    const { load, origin } = this.scenario
    const takes = duration(origin, load, this.running, this.times, performance.now())
    const good = !fails(origin, this.faults, performance.now())
    this.asked++
    this.running++
    await sleep(takes)
    this.running--
    return good
  }
}
