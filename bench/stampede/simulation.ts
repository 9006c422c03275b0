/**
 * Virtual time: the real interpreter, on the store in memory, under `TestClock`.
 *
 * Several processes are several services on one store. What runs is put in a
 * queue of our own and run to the end between two moments, so a simulation is
 * synchronous, and the same seed gives the same bytes, here and in a browser.
 * The store answers at once; what a network adds is measured on the wall clock.
 */
import { Clock, Context, Effect, Exit, Random, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { CacheStore } from "../../src/index.ts"
import { MemoryCache } from "../../src/index.ts"
import { DjangoCache } from "../../test/strategies/django/DjangoCache.ts"
import { type Arrival, changes, duration, fails, requests, stream } from "./draw.ts"
import { failed, Log, unanswered } from "./log.ts"
import type { Scenario } from "./scenario.ts"
import { Here, OriginDown, type Place, type Strategy } from "./strategies.ts"

/**
 * What is to be run. The clock's own steps stand behind everything else: it
 * goes on only when nothing can be done at its present time.
 */
class Turns {
  private readonly now: Array<() => void> = []
  private readonly idle: Array<() => void> = []
  readonly work: Scheduler.Scheduler = queued(this.now)
  readonly clock: Scheduler.Scheduler = queued(this.idle)

  run(): void {
    const { idle, now } = this
    for (;;) {
      for (let i = 0; i < now.length; i++) now[i]!()
      now.length = 0
      const next = idle.shift()
      if (next === undefined) return
      next()
    }
  }
}

const queued = (tasks: Array<() => void>): Scheduler.Scheduler => ({
  executionMode: "sync",
  shouldYield: () => false,
  makeDispatcher: () => ({
    scheduleTask: (task) => void tasks.push(task),
    flush: () => {}
  })
})

/** The store as a process reaches it: counted, and asked what became of each load. */
const watched = (store: CacheStore.CacheStore, log: Log): CacheStore.CacheStore => ({
  ...store,
  read: (address) => {
    log.count("read")
    return store.read(address)
  },
  begin: (address, request) => {
    log.count("begin")
    return store.begin(address, request)
  },
  commit: (address, lease, draft) => {
    log.count("commit")
    return Effect.tap(store.commit(address, lease, draft), (outcome) =>
      Effect.sync(() => {
        if (outcome !== "stored") log.refused(draft.payload as number)
      }))
  },
  abandon: (address, token) => {
    log.count("abandon")
    return store.abandon(address, token)
  },
  invalidate: (batch) => {
    log.count("invalidate")
    return store.invalidate(batch)
  }
})

class CountedCache extends DjangoCache {
  private readonly log: Log

  constructor(memory: DjangoCache["memory"], log: Log) {
    super({ memory })
    this.log = log
  }

  override get<A>(key: string): Effect.Effect<A | undefined> {
    this.log.count("get")
    return super.get<A>(key)
  }

  override set(key: string, value: unknown, timeout?: number): Effect.Effect<void> {
    this.log.count("set")
    return super.set(key, value, timeout)
  }

  override delete(key: string): Effect.Effect<boolean> {
    this.log.count("delete")
    return super.delete(key)
  }
}

export interface Options {
  readonly scenario: Scenario
  readonly strategy: Strategy
  readonly seed: number
  /** Of XFetch; 1 unless given. */
  readonly beta?: number
  /** Processes take turns instead of being drawn. */
  readonly inTurn?: boolean
}

export interface Simulation {
  readonly log: Log
  /** Milliseconds since the beginning. */
  readonly now: () => number
  /** Lets everything happen until then. */
  readonly advance: (until: number) => void
  /** The truth about a key changes now, and the first process says so; whatever the scenario has of that. */
  readonly invalidate: (key: number) => void
  readonly close: () => void
}

const capacity = 10_000

/** A simulation, at the time 0, with nothing in the cache. */
export const start = ({ beta = 1, inTurn = false, scenario, seed, strategy }: Options): Simulation => {
  const log = new Log()
  const turns = new Turns()
  const scope = Scope.makeUnsafe()
  const outside = Context.make(Scheduler.Scheduler, turns.work).pipe(Context.add(Scope.Scope, scope))

  const runNow = <A, R>(effect: Effect.Effect<A, never, R>, context: Context.Context<R>): A => {
    const fiber = Effect.runForkWith(context)(effect)
    turns.run()
    const exit = fiber.pollUnsafe()
    if (exit === undefined) throw new Error("what should have ended at once has not")
    if (Exit.isFailure(exit)) throw new Error("the simulation failed", { cause: exit.cause })
    return exit.value
  }

  const clock = runNow(TestClock.make(), outside)
  const now = () => clock.currentTimeMillisUnsafe()
  const stepping = Context.make(Scheduler.Scheduler, turns.clock)
  const goTo = (time: number) => runNow(clock.setTime(time), stepping)

  const random = runNow(
    Random.withSeed(Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Random.Random))), `${seed}`),
    outside
  )
  const inside = Context.make(Clock.Clock, clock as Clock.Clock).pipe(
    Context.add(Scheduler.Scheduler, turns.work),
    Context.add(Random.Random, random),
    Context.add(Scope.Scope, scope)
  )

  const [times, faults] = [stream(seed, "durations"), stream(seed, "faults")]
  const loadIn = (process: number) => (key: number): Effect.Effect<number, OriginDown> =>
    Effect.suspend(() => {
      const takes = duration(scenario.origin, scenario.load, log.running, times, now())
      const bad = fails(scenario.origin, faults, now())
      const load = log.begin(key, process, now())
      return Effect.matchCauseEffect(Effect.sleep(takes), {
        onSuccess: () => {
          log.finish(load, now(), !bad)
          if (!strategy.keeps) log.refused(load)
          return bad ? Effect.fail(new OriginDown()) : Effect.succeed(load)
        },
        onFailure: (cause) => {
          if (!closed) log.finish(load, now(), false)
          return Effect.failCause(cause)
        }
      })
    })

  const store = watched(runNow(MemoryCache.makeStore({ capacity }), inside), log)
  const memory: DjangoCache["memory"] = new Map()
  const { reader, services } = strategy.make(scenario, beta)
  const processes = Array.from({ length: scenario.processes }, (_, process) => {
    const place: Place = { load: loadIn(process), store, plain: new CountedCache(memory, log) }
    const context = Context.merge(inside, Context.make(Here, place))
    return Context.merge(context, runNow(services(place), context))
  })

  let asked = 0
  const waiting = new Set<Arrival>()
  let closed = false
  const request = (arrival: Arrival): void => {
    const { at, key, process } = arrival
    const context = processes[inTurn ? asked++ % processes.length : process]!
    const fiber = Effect.runForkWith(context)(reader.get(key))
    const done = (exit: Exit.Exit<number, unknown>): void => {
      if (closed) return
      waiting.delete(arrival)
      log.answered(key, at, now(), Exit.isSuccess(exit) ? exit.value : failed)
    }
    const exit = fiber.pollUnsafe()
    if (exit === undefined) {
      waiting.add(arrival)
      fiber.addObserver(done)
    } else done(exit)
    turns.run()
  }

  const change = ({ at, key, process }: Arrival, tells: boolean): void => {
    log.changes.push({ key, at, known: at })
    if (!tells) return
    Effect.runForkWith(processes[process]!)(reader.invalidate(key))
    turns.run()
  }

  const [asking, changing] = [requests(scenario, seed), changes(scenario, seed)]
  let nextRequest = asking.next().value
  let nextChange = changing.next().value

  return {
    log,
    now,
    advance: (until) => {
      for (;;) {
        const at = Math.min(nextRequest.at, nextChange.at)
        if (at > until) break
        goTo(at)
        if (nextChange.at === at) {
          change(nextChange, scenario.changes.invalidates)
          nextChange = changing.next().value
        } else {
          request(nextRequest)
          nextRequest = asking.next().value
        }
      }
      goTo(until)
    },
    invalidate: (key) => change({ at: now(), key, process: 0 }, true),
    close: () => {
      // Whoever still waits has waited for so long at least. Then it is interrupted, which is nothing that was seen.
      for (const { at, key } of waiting) log.answered(key, at, now(), unanswered)
      closed = true
      Effect.runForkWith(inside)(Scope.close(scope, Exit.void))
      turns.run()
    }
  }
}
