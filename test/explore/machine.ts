/**
 * A machine on which every step of a concurrent program is chosen.
 *
 * Fibers run until they stand at a gate. When nothing moves any more, one of the
 * gates is opened, and so on; the sequence of gates opened is the schedule, and
 * the same schedule gives the same run. There is no real time and no real
 * scheduler in it, so a run takes microseconds and repeats exactly.
 */
import { Clock, Context, Effect, Exit, Metric, Random, References, Scheduler } from "effect"
import type { Duration, Fiber } from "effect"
import { clockAt } from "../support/clock.ts"

/** What a step touches, for telling which steps may change places: `store` read, `P1` written. */
export interface Access {
  readonly reads?: ReadonlyArray<string>
  readonly writes?: ReadonlyArray<string>
}

export interface Gate {
  readonly id: string
  readonly access: Access
  readonly open: () => void
}

const meet = (a: ReadonlyArray<string> = [], b: ReadonlyArray<string> = []): boolean => a.some((x) => b.includes(x))

/** Two steps that touch nothing in common may change places without anybody noticing. */
export const independent = (a: Access, b: Access): boolean =>
  !meet(a.writes, b.writes) && !meet(a.writes, b.reads) && !meet(a.reads, b.writes)

/** On whose behalf a fiber runs. Fibers that it starts inherit it. */
export const Actor = Context.Reference<string>("test/explore/Actor", { defaultValue: () => "?" })

interface Timer {
  readonly due: number
  readonly fire: () => void
}

export class Machine {
  readonly gates = new Map<string, Gate>()
  readonly schedule: Array<string> = []
  readonly problems: Array<string> = []
  /** How often something moved: a task was given, or a gate reached. */
  moves = 0
  time = 0
  /** Milliseconds that a step takes. Where time passes, no two steps may change places. */
  readonly tick: number
  private tasks: Array<() => void> = []
  private timers: Array<Timer> = []
  private readonly context: Context.Context<never>

  constructor(tick: number) {
    this.tick = tick
    const dispatcher = {
      scheduleTask: (task: () => void) => {
        this.moves++
        this.tasks.push(task)
      },
      flush: () => this.drain()
    }
    this.context = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, {
        executionMode: "sync" as const,
        shouldYield: () => false,
        makeDispatcher: () => dispatcher
      }),
      Context.add(Clock.Clock, this.clock()),
      // What is to be seen stands in the history.
      Context.add(References.MinimumLogLevel, "None" as const),
      // Each run counts for itself: the one registry of all would hold every world that ever was.
      Context.add(Metric.MetricRegistry, new Map()),
      // No case here depends on chance; a draw of one half never refreshes early by accident.
      Context.add(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })
    )
  }

  private clock(): Clock.Clock {
    const sleep = (duration: Duration.Duration) => {
      const wait = Number(duration.value._tag === "Millis" ? duration.value.millis : Infinity)
      return Effect.callback<void>((resume) => {
        if (wait === Infinity) return
        const timer: Timer = { due: this.time + wait, fire: () => resume(Effect.void) }
        this.timers.push(timer)
        return Effect.sync(() => {
          this.timers = this.timers.filter((other) => other !== timer)
        })
      })
    }
    return clockAt(() => this.time, sleep)
  }

  /** Waits until the schedule lets this step happen. */
  gate(name: string, access: Access): Effect.Effect<void> {
    return Effect.withFiber((fiber) =>
      Effect.callback<void>((resume) => {
        this.moves++
        const base = `${fiber.getRef(Actor)}:${name}`
        let id = base
        for (let n = 2; this.gates.has(id); n++) id = `${base}'${n}`
        this.gates.set(id, { id, access, open: () => resume(Effect.void) })
        return Effect.sync(() => this.gates.delete(id))
      })
    )
  }

  fork<A, E>(actor: string, effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    const fiber = Effect.runForkWith(Context.add(this.context, Actor, actor))(effect)
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && Exit.hasDies(exit)) this.problems.push(`${actor} died: ${exit.cause}`)
    })
    return fiber
  }

  /** Lets everything run that can run without a choice. */
  drain(): void {
    for (;;) {
      const tasks = this.tasks
      if (tasks.length > 0) {
        this.tasks = []
        for (const task of tasks) task()
        continue
      }
      const due = this.timers.filter((timer) => timer.due <= this.time)
      if (due.length === 0) return
      this.timers = this.timers.filter((timer) => timer.due > this.time)
      for (const timer of due) timer.fire()
    }
  }

  step(gate: Gate): void {
    this.gates.delete(gate.id)
    this.schedule.push(gate.id)
    this.time += this.tick
    gate.open()
    this.drain()
  }

  /** When nothing is left but waiting, time jumps to the next that waits; false when nobody does. */
  jump(): boolean {
    if (this.timers.length === 0) return false
    this.time = Math.max(this.time, Math.min(...this.timers.map((timer) => timer.due)))
    this.drain()
    return true
  }
}
