/**
 * A limit in time for many operations. One fiber sleeps for all of them, until
 * the oldest has had its time, and ends when none is pending: a timer for each
 * would cost as much as asking a fast store.
 *
 * It is the time of what is asked. While this process does something else, a
 * question may not have been sent yet, and an answer may lie there unread: that is
 * nobody's failure. So that time is not counted.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

/** Milliseconds of a clock's time that is never set back. */
export const elapsed = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** An operation that has not ended. */
interface Pending {
  until: number
  readonly expire: () => void
}

// Milliseconds by which a timer of a process that is not too busy may be late.
const late = 20

// A limit is slept for in so many pieces: by one that ends late it is known that this process was busy.
const pieces = 5

type AnyFiber = Fiber.Fiber<unknown, unknown>

class Watch {
  readonly clock: Clock.Clock
  private readonly limit: number
  /** All have the same limit, so they stand in the order in which they expire. */
  private readonly pending = new Set<Pending>()
  private timer: Fiber.Fiber<void> | undefined = undefined
  /** Milliseconds in which this process was busy. */
  private busy = 0

  constructor(clock: Clock.Clock, limit: number) {
    this.clock = clock
    this.limit = limit
  }

  add(expire: () => void, fiber: AnyFiber): Pending {
    const one: Pending = { until: this.now() + this.limit, expire }
    this.pending.add(one)
    this.timer ??= this.start(fiber)
    return one
  }

  /** Whether it was pending still. */
  drop(one: Pending): boolean {
    if (!this.pending.delete(one)) return false
    if (this.pending.size === 0) this.stop()
    return true
  }

  private start(fiber: AnyFiber): Fiber.Fiber<void> {
    // It needs only the time of the operation that happens to be there, and must not hold the rest.
    const context = Context.make(Clock.Clock, this.clock).pipe(
      Context.add(Scheduler.Scheduler, fiber.getRef(Scheduler.Scheduler))
    )
    return Effect.runForkWith(context)(this.sleep(this.limit))
  }

  private stop(): void {
    const { timer } = this
    this.timer = undefined
    timer?.interruptUnsafe()
  }

  private now(): number {
    return elapsed(this.clock) - this.busy
  }

  private sleep(millis: number): Effect.Effect<void> {
    // Where this process was busy, answers that came meanwhile are let in first.
    return Effect.flatMap(
      this.wait(Math.ceil(Math.min(millis, this.limit / pieces))),
      (inTime) => inTime ? this.look() : Effect.flatMap(this.wait(1), () => this.look())
    )
  }

  /** Gives whether it ended in time. */
  private wait(millis: number): Effect.Effect<boolean> {
    const due = elapsed(this.clock) + millis
    return Effect.map(this.clock.sleep(Duration.millis(millis)), () => {
      const over = elapsed(this.clock) - due
      if (over > late) this.wasBusy(over)
      return over <= late
    })
  }

  private wasBusy(millis: number): void {
    this.busy += millis
    // What was begun meanwhile has waited for less of it.
    const latest = this.now() + this.limit
    for (const one of this.pending) one.until = Math.min(one.until, latest)
  }

  private look(): Effect.Effect<void> {
    const now = this.now()
    const expired: Array<Pending> = []
    for (const one of this.pending) {
      if (one.until > now) break
      expired.push(one)
    }
    for (const one of expired) if (this.drop(one)) one.expire()
    return Effect.suspend(() => {
      const [first] = this.pending
      return first === undefined ? Effect.void : this.sleep(first.until - this.now())
    })
  }
}

export class Deadline {
  /** Milliseconds. */
  private readonly limit: number
  private watch: Watch | undefined = undefined

  constructor(limit: number) {
    this.limit = limit
  }

  /**
   * Runs an effect for as long as the limit allows. `end` is given how it ended
   * (undefined: it took too long, and was interrupted), and makes the answer.
   */
  run<A, E>(
    effect: Effect.Effect<A, E>,
    fiber: AnyFiber,
    end: (exit: Exit.Exit<A, E> | undefined) => Exit.Exit<A, E>
  ): Effect.Effect<A, E> {
    const watch = this.watchOf(fiber.getRef(Clock.Clock))
    return Effect.callback((resume) => {
      // In a fiber of its own: what is frozen must be left behind, also where its caller cannot be interrupted.
      const child = Effect.runForkWith(fiber.context)(effect)
      const exit = child.pollUnsafe()
      if (exit !== undefined) return resume(end(exit))
      const pending = watch.add(() => {
        child.interruptUnsafe()
        resume(end(undefined))
      }, fiber)
      child.addObserver((exit) => {
        if (watch.drop(pending)) resume(end(exit))
      })
      return Fiber.interrupt(child)
    })
  }

  // A caller with another clock gets another watch; the old one ends by itself.
  private watchOf(clock: Clock.Clock): Watch {
    return this.watch?.clock === clock ? this.watch : this.watch = new Watch(clock, this.limit)
  }
}
