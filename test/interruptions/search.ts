/**
 * Interrupts callers at every step of every fiber, and looks at what is left.
 *
 * A step is one operation of Effect's run loop. A run counts the steps of all fibers of its program, lets the others run at
 * one of them, and interrupts the program's victims there: the callers are interrupted when the load, the refresh in the
 * background, or another caller is between any two operations of its own. There is no real time and no real scheduler in
 * it: the same step of the same program under the same seed is the same run.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import { clockAt } from "../support/clock.ts"
import type { Program } from "./programs.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Whole numbers below `n` that look like chance. */
const dice = (seed: number) => {
  let state = Math.imul(seed, 2_654_435_761) >>> 0
  return (n: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

interface Timer {
  readonly due: number
  readonly fire: () => void
}

/** Runs fibers one after the other: in turn, or with a seed at random, and each for as long as chance lets it. */
class Machine implements Scheduler.Scheduler {
  readonly executionMode = "sync"
  private readonly at: number
  private readonly roll: ((n: number) => number) | undefined
  private tasks: Array<() => void> = []
  private timers: Array<Timer> = []
  private now = 0
  private victims: ReadonlyArray<AnyFiber> | undefined = undefined
  private steps = 0
  /** Whether the program came to the step. */
  came = false

  constructor(at: number, seed: number | undefined) {
    this.at = at
    this.roll = seed === undefined ? undefined : dice(seed)
  }

  arm(victims: ReadonlyArray<AnyFiber> | undefined): void {
    this.victims = victims
  }

  shouldYield(fiber: AnyFiber): boolean {
    const { victims } = this
    if (victims === undefined) return fiber.currentOpCount > 2000
    if (++this.steps === this.at) {
      this.came = true
      this.tasks.unshift(() => {
        for (const victim of victims) victim.interruptUnsafe()
      })
      // Nothing comes before that.
      this.next = true
      return true
    }
    return this.roll !== undefined && fiber.currentOpCount > 2 && this.roll(8) === 0
  }

  private next = false

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return { scheduleTask: (task) => void this.tasks.push(task), flush: () => this.drain() }
  }

  private drain(): void {
    while (this.tasks.length > 0) {
      const index = this.next || this.roll === undefined ? 0 : this.roll(this.tasks.length)
      this.next = false
      const [task] = this.tasks.splice(index, 1)
      task!()
    }
  }

  private readonly clock = clockAt(() => this.now, (duration) => this.sleep(Duration.toMillis(duration)))

  private sleep(millis: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const timer: Timer = { due: this.now + millis, fire: () => resume(Effect.void) }
      if (millis !== Infinity) this.timers.push(timer)
      return Effect.sync(() => {
        this.timers = this.timers.filter((other) => other !== timer)
      })
    })
  }

  /** Runs to the end; time goes on when nothing else can. Undefined if it never ends. */
  run<A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> | undefined {
    const context = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, this as Scheduler.Scheduler),
      Context.add(Clock.Clock, this.clock),
      Context.add(References.MinimumLogLevel, "None" as const),
      Context.add(Metric.MetricRegistry, new Map())
    )
    const fiber = Effect.runForkWith(context)(Random.withSeed(effect, "seed"))
    for (;;) {
      this.drain()
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return exit
      const due = Math.min(...this.timers.map((timer) => timer.due))
      // So late that only what comes again and again can still be there.
      if (due > 3_600_000) return undefined
      this.now = due
      const fire = this.timers.filter((timer) => timer.due === due)
      this.timers = this.timers.filter((timer) => timer.due !== due)
      for (const timer of fire) timer.fire()
    }
  }
}

export interface Left {
  readonly program: string
  readonly step: number
  readonly seed: number | undefined
  readonly what: string
}

const test = ({ after, others, prepare, victims }: Program, machine: Machine) =>
  Effect.gen(function*() {
    yield* prepare
    const interrupted = yield* Effect.forEach(victims, (victim) => Effect.forkChild(victim))
    const rest = yield* Effect.forEach(others, (other) => Effect.forkChild(other))
    machine.arm(interrupted)
    yield* Effect.forEach(interrupted, Fiber.await)
    const exits = yield* Effect.forEach(rest, Fiber.await)
    machine.arm(undefined)
    for (const exit of exits) {
      if (Exit.isFailure(exit)) throw new Error(`another caller was disturbed: ${Cause.pretty(exit.cause)}`)
    }
    yield* after
  })

/** Runs a program once; tells whether it came to the step, and what was left. */
const runOnce = (
  program: Program,
  step: number,
  seed: number | undefined
): { readonly came: boolean; readonly left: Left | undefined } => {
  const machine = new Machine(step, seed)
  const exit = machine.run(Effect.provide(test(program, machine), program.layer))
  const found = (what: string) => ({ came: machine.came, left: { program: program.name, step, seed, what } })
  if (exit === undefined) return found("it hangs")
  return Exit.isFailure(exit) ? found(Cause.pretty(exit.cause)) : { came: machine.came, left: undefined }
}

export interface Found {
  readonly runs: number
  readonly left: Left | undefined
}

/**
 * Interrupts at the steps `from`, `from + stride` and so on, until the program ends before it comes to one. Gives the
 * number of runs, and the first that left something behind. Without a seed fibers run in turn.
 */
export const search = (
  program: Program,
  { from = 1, seed, stride = 1 }: {
    readonly from?: number | undefined
    readonly stride?: number | undefined
    readonly seed?: number | undefined
  } = {}
): Found => {
  for (let step = from, runs = 1;; step += stride, runs++) {
    const { came, left } = runOnce(program, step, seed)
    if (left !== undefined || !came) return { runs, left }
  }
}

export const replay = (program: Program, step: number, seed: number | undefined): Left | undefined =>
  runOnce(program, step, seed).left
