/**
 * Runs a plan: makes its world, lets its steps happen, and gives what the judge
 * says. The same plan is the same run, to the last answer of a server.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as CacheService from "../../src/CacheService.ts"
import * as Schedules from "../../src/Schedules.ts"
import { type Count, doing, type Stage } from "./acts.ts"
import { inject } from "./faults.ts"
import { Judge, type Violation } from "./judge.ts"
import { Origin } from "./origin.ts"
import { type Fault, isFault, type Plan, prompt, type Step } from "./plan.ts"
import { definitionsOf, schedule, scheduledTarget, type Wrong } from "./programs.ts"
import { replaceGlobals } from "./world/globals.ts"
import { socketsOf } from "./world/ioredis.ts"
import { type Between, layerOf } from "./world/layer.ts"
import { fairWeather, Network } from "./world/network.ts"
import { contextOf, Process } from "./world/process.ts"
import { replaceReality } from "./world/reality.ts"
import { Servers } from "./world/servers.ts"
import { Sim } from "./world/sim.ts"

const prefix = "c"

/** What is put in on purpose. */
export interface Options extends Between, Wrong {
  /** Draws how long things take; the plan's, unless given. */
  readonly seed?: number
  /** The run ends when so many keys were read. */
  readonly mostReads?: number
  /** Sees the world before anything happens in it. */
  readonly attach?: (world: World) => void
  /** Is told of what happens, for the story of a run. */
  readonly tell?: (event: Event) => void
}

/** Something that happened, in microseconds from the beginning. */
export interface Event {
  readonly at: number
  /** A process, a server, or the world. */
  readonly where: string
  readonly what: string
}

export interface Result extends Count {
  readonly loads: number
  readonly excused: number
  readonly faults: number
  readonly violations: ReadonlyArray<Violation>
  readonly hash: string
  /** Virtual seconds. */
  readonly seconds: number
}

// Monotonic clocks are right to 200 parts in a million.
const drift = 0.0002

/** Where a process is, or will be again. */
class Seat {
  process: Process
  context: Context.Context<CacheService.CacheService> | undefined
  scope = Scope.makeUnsafe()
  generation = 0
  readonly running = new Set<Fiber.Fiber<unknown, unknown>>()
  readonly name: string

  constructor(name: string, process: Process) {
    this.name = name
    this.process = process
  }
}

export class World {
  readonly sim: Sim
  readonly network: Network
  readonly servers: Servers
  readonly judge: Judge
  readonly seats: ReadonlyArray<Seat>
  readonly plan: Plan
  readonly count: Count
  faults = 0
  /** Of each release of the program that runs. */
  readonly stages: ReadonlyArray<Stage>
  private readonly options: Options
  private readonly beginning: number
  private readonly losesFences: boolean
  private pending = 0
  private readonly fenced: Stage["fenced"] = new Map()
  private readonly written: Stage["written"] = new Set()

  constructor(plan: Plan, options: Options) {
    this.plan = plan
    this.options = options
    this.count = { reads: 0, hits: 0, writes: 0, unsure: 0, most: options.mostReads ?? Infinity }
    const sim = this.sim = new Sim(options.seed ?? plan.seed)
    this.beginning = sim.us
    this.losesFences = plan.steps.some((step) => isFault(step) && losesFences.has(step.fault.fault))
    this.network = new Network(sim, sim.random.fork(), plan.weather)
    this.servers = new Servers(sim, this.network, plan.mode, prefix, (where, what) => this.tell(where, what))
    this.judge = new Judge(() => sim.us)
    this.judge.calm = !plan.steps.some(isFault)
    this.judge.countsLoads = plan.steps.every((step) => !isFault(step) || endsNoLease(step.fault))
    this.judge.tolerance = toleranceOf(plan)
    this.judge.disturb([scheduledTarget])
    this.judge.answered = 5000 + 2 * (plan.weather.delay + plan.weather.slow)
    const origin = new Origin(plan.rows)
    const env = {
      judge: this.judge,
      origin,
      random: sim.random.fork(),
      failing: plan.failing,
      slowest: plan.slowest,
      lease: plan.lease,
      process: () => sim.current?.name ?? "nobody",
      wrong: options
    }
    this.stages = [2, 3].map((release) => ({
      ...env,
      definitions: definitionsOf(env, plan.definitions, release),
      isPrompt: onlyHas(plan, prompt),
      isSlow: plan.weather.slowness > fairWeather.slowness,
      prefix,
      fence: plan.fence,
      now: () => sim.us,
      note: (text) => sim.note(text),
      count: this.count,
      fenced: this.fenced,
      written: this.written
    }))
    this.seats = Array.from({ length: plan.processes }, (_, i) => {
      const name = `P${i + 1}`
      return new Seat(name, this.processOf(name))
    })
  }

  private processOf(name: string): Process {
    const { random } = this.sim
    return new Process(this.sim, name, random.int(10_000_000) - 5_000_000, (2 * random.next() - 1) * drift)
  }

  tell(where: string, what: string): void {
    this.options.tell?.({ at: this.sim.us - this.beginning, where, what })
  }

  // --------------------------------------------------------------------------
  // processes
  // --------------------------------------------------------------------------

  /** Starts a process, with its layer. */
  boot(seat: Seat): void {
    const { sim } = this
    const { process, scope } = seat
    const context = contextOf(sim, process)
    sim.soon(() => {
      const cache = layerOf(this.network, process, this.servers, this.plan, prefix, this.options)
      const layer = this.plan.definitions.includes("scheduled")
        ? Layer.provideMerge(Schedules.layer(schedule), cache)
        : cache
      Effect.runForkWith(context)(Layer.buildWithScope(layer, scope)).addObserver((exit) => {
        if (Exit.isSuccess(exit)) seat.context = Context.merge(context, exit.value)
      })
    }, process)
  }

  /** Ends a process at once; it is started again after a while. */
  crash(seat: Seat, ms: number): void {
    this.tell(seat.name, "dies")
    this.vanish(seat)
    this.sim.after(ms * 1000, () => this.again(seat), undefined)
  }

  /** Ends a process as one that is told to: what runs is interrupted, and its layer is released. */
  leave(seat: Seat, ms: number): void {
    const { context, running, scope } = seat
    if (context === undefined) return
    this.tell(seat.name, "is told to end")
    seat.context = undefined
    for (const fiber of running) fiber.interruptUnsafe()
    const { process } = seat
    this.sim.soon(() => {
      Effect.runForkWith(context)(Scope.close(scope, Exit.void)).addObserver(() => {
        if (seat.process !== process) return
        this.vanish(seat)
        this.sim.after(ms * 1000, () => this.again(seat), undefined)
      })
    }, process)
  }

  private vanish(seat: Seat): void {
    seat.process.dead = true
    seat.context = undefined
    this.pending -= seat.running.size
    seat.running.clear()
    for (const link of this.network.all) if (link.client === seat.process) link.cut()
    for (const [called, until] of this.fenced) {
      if (called.process !== seat.name || !this.fenced.delete(called)) continue
      // What was loaded before the write, and under the fence, is not stored: also if nobody is left to invalidate it.
      if (!this.losesFences) this.sim.at(Math.max(this.sim.us, until), () => this.judge.returned(called), undefined)
    }
    for (const called of this.written) {
      if (called.process !== seat.name || !this.written.delete(called)) continue
      // Its key was emptied before it wrote, and what began before is not stored: also if nobody is left to store its value.
      if (!this.losesFences && this.plan.lease === undefined) this.judge.returned(called)
    }
  }

  private again(seat: Seat): void {
    if (!seat.process.dead) return
    this.tell(seat.name, "starts again")
    seat.process = this.processOf(seat.name)
    seat.scope = Scope.makeUnsafe()
    this.boot(seat)
  }

  // --------------------------------------------------------------------------
  // steps
  // --------------------------------------------------------------------------

  act(seat: Seat, step: Extract<Step, { readonly process: number }>): void {
    const { context, process, running } = seat
    // Nobody asks a process that is not there.
    if (context === undefined) return
    this.sim.soon(() => {
      if (seat.context !== context) return
      this.pending++
      const fiber = Effect.runForkWith(context)(doing(this.stages[step.process % this.stages.length]!, step.act))
      running.add(fiber)
      fiber.addObserver((exit) => {
        if (running.delete(fiber)) this.pending--
        if (Exit.isFailure(exit) && !Exit.hasInterrupts(exit)) {
          this.judge.violate("G10", `a step of ${seat.name} died: ${String(exit.cause)}`)
        }
      })
    }, process)
  }

  interrupt(seat: Seat): void {
    const all = [...seat.running]
    if (all.length === 0) return
    const fiber = this.sim.random.pick(all)
    this.sim.soon(() => fiber.interruptUnsafe(), seat.process)
  }

  happen(fault: Fault): void {
    this.faults++
    inject(this, fault)
  }

  run(): Result {
    const { plan, sim } = this
    this.options.attach?.(this)
    for (const seat of this.seats) this.boot(seat)
    sim.run(() => this.seats.every(({ context }) => context !== undefined))
    const start = sim.us + settling
    for (const step of plan.steps) {
      sim.at(
        start + step.at,
        () => isFault(step) ? this.happen(step.fault) : this.act(this.seats[step.process % this.seats.length]!, step),
        undefined
      )
    }
    const last = plan.steps.at(-1)?.at ?? 0
    const { mostReads = Infinity } = this.options
    const isEnough = () => this.count.reads >= mostReads
    const isOver = () => sim.us >= start + last && (this.pending === 0 || sim.us > start + last + patience)
    sim.run(() => isEnough() || isOver())
    if (!isEnough() && this.pending > 0) {
      const left = this.seats.filter(({ running }) => running.size > 0).map(({ name, running }) =>
        `${running.size} in ${name}`
      )
      this.judge.violate("G10", `steps did not end: ${left.join(", ")}`)
    }
    return {
      ...this.count,
      loads: this.judge.loads.length,
      excused: this.judge.excused,
      faults: this.faults,
      violations: this.judge.violations,
      hash: sim.hash,
      seconds: (sim.us - start) / 1_000_000
    }
  }
}

// Microseconds after which every connection is made.
const settling = 500_000

const onlyHas = ({ steps }: Plan, faults: ReadonlyArray<Fault["fault"]>): boolean =>
  steps.every((step) => !isFault(step) || faults.includes(step.fault.fault))

// Nothing that is waited for so long, in milliseconds, is given up.
const longestWait = 50

const endsNoLease = (fault: Fault): boolean =>
  fault.fault === "interrupt" || fault.fault === "wallClock" ||
  ((fault.fault === "stall" || fault.fault === "pause") && fault.ms <= longestWait)

// By these a fence or a lease may be lost, or last longer than it is meant to.
const losesFences: ReadonlySet<string> = new Set<Fault["fault"]>(["evict", "restart", "failover", "serverClock"])

// Microseconds in which all must have ended once nothing is begun any more.
const patience = 120_000_000

/** By how much an age may be wrong, where answers take long and clocks are set. */
const toleranceOf = ({ steps, weather }: Plan): number => {
  let tolerance = 10_000 + 4 * (weather.delay + weather.slow)
  let slow = 0
  for (const step of steps) {
    if (!isFault(step)) continue
    const { fault } = step
    if (fault.fault === "freeze" || fault.fault === "stall" || fault.fault === "pause") slow = Math.max(slow, fault.ms)
    // A clock is believed up to a second back, and what is set back further shows to those who start then.
    if (fault.fault === "serverClock") tolerance += 1_000_000 + Math.abs(fault.ms) * 1000
  }
  return tolerance + slow * 1000
}

/** Runs a plan in a world of its own. To be called from a macrotask. */
export const runPlan = (plan: Plan, options: Options = {}): Result => {
  const world = new World(plan, options)
  const { network, servers, sim } = world
  const random = sim.random.fork()
  const restore = plan.mode.startsWith("ioredis")
    ? replaceGlobals(sim, random, socketsOf(network, servers))
    : replaceReality(sim, random)
  try {
    return world.run()
  } finally {
    restore()
  }
}
