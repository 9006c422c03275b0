/** A simulated process: its clocks, its fibers, and what interrupts its life. */
import * as Context from "effect/Context"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import type { Owner, Sim } from "./sim.ts"

export class Process implements Owner {
  readonly name: string
  pausedUntil = 0
  dead = false
  /** By how much its wall clock is wrong, in microseconds. It may be set at any time. */
  skew: number
  private readonly origin: number
  private readonly drift: number

  /** `drift` is how much faster its monotonic clock goes than it should: 0.0002 is 200 ppm. */
  constructor(sim: Sim, name: string, skew: number, drift: number) {
    this.name = name
    this.skew = skew
    this.drift = drift
    this.origin = sim.us
  }

  wall(us: number): number {
    return us + this.skew
  }

  /** What the monotonic clock shows. Where it began means nothing. */
  ticks(us: number): number {
    return (us - this.origin) * (1 + this.drift)
  }

  /** How long something truly lasts that lasts so long by the monotonic clock. */
  trueUs(us: number): number {
    return us / (1 + this.drift)
  }
}

/** What the fibers of a process run in. */
export const contextOf = (sim: Sim, process: Process): Context.Context<never> => {
  const random = sim.random.fork()
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => sim.soon(task, process),
    flush: () => {}
  }
  return Context.empty().pipe(
    Context.add(Scheduler.Scheduler, {
      executionMode: "sync",
      shouldYield: (fiber) => fiber.currentOpCount > 2000,
      makeDispatcher: () => dispatcher
    }),
    Context.add(Metric.MetricRegistry, new Map()),
    Context.add(Logger.CurrentLoggers, new Set()),
    Context.add(Random.Random, {
      nextDoubleUnsafe: () => random.next(),
      nextIntUnsafe: () => random.int(2 ** 31)
    })
  ) as Context.Context<never>
}
