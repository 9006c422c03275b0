/**
 * Invalidations that happen at given times, once for all processes that share a
 * store.
 *
 * A schedule is a value (`Schedules.cron`); a layer of this module is
 * the worker that runs it. Each process may have the layer: at a tick one of
 * them takes a lease, applies the invalidation, and leaves a marker; the others
 * find the marker. If the one dies before, its lease ends, and another does it.
 *
 * **Details**
 *
 * - **Once** means: at least once, and twice only if a lease ends too early or
 *   the marker is lost. Repeating an invalidation costs loads.
 * - What the store does not acknowledge is tried again until it is. Nothing that
 *   it covers is served by this process meanwhile. A store that cannot even give
 *   the lease is asked again, too; until it can, what it lets be read is served.
 * - A tick that passed while no process ran is made up for when one starts (one
 *   tick, the last), as is one that passed while the machine slept.
 * - An invalidation of everything waits for a second: it removes lease and marker,
 *   too, and until then the other processes have seen who does it.
 *
 * **Gotchas**
 *
 * - If only freshness is wanted, `Policy.until` needs no worker and is
 *   exact: an entry judges itself.
 * - Ticks come by the wall clocks of the processes. Those that differ by seconds
 *   do no harm; the first one's tick counts.
 * - A marker stays until the tick after the next, at least for an hour. A store
 *   that keeps nothing for so long (`maxLifetime` of `RedisCache`) makes a
 *   process that starts later repeat the last tick.
 *
 * **Example** (A list that is loaded again each night)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Cached, Invalidation, Key, MemoryCache, Policy } from "effect-cache-algebra"
 * import * as Schedules from "effect-cache-algebra/Schedules"
 * import { TestClock } from "effect/testing"
 *
 * let loads = 0
 * const popular = Cached.make(
 *   "popular",
 *   { key: Key.unit, value: Schema.Finite, lookup: () => Effect.sync(() => ++loads) },
 *   Policy.tagged("popular")
 * )
 *
 * const nightly = Schedules.cron("0 3 * * *", Invalidation.tags("popular"), {
 *   name: "nightly",
 *   timeZone: "Europe/Rome"
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* TestClock.adjust("1 hour") // it is two o'clock in Rome
 *   yield* Cached.get(popular, undefined)
 *   yield* TestClock.adjust("1 hour")
 *   return yield* Cached.get(popular, undefined)
 * }).pipe(
 *   Effect.provide(Schedules.layer(nightly).pipe(Layer.provideMerge(MemoryCache.layer({ capacity: 10 })))),
 *   Effect.provide(TestClock.layer())
 * )
 *
 * await Effect.runPromise(program) // => 2
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Cron from "effect/Cron"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Layer from "effect/Layer"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import { backoff } from "./internal/backoff.ts"
import * as Crons from "./internal/cron.ts"
import { encodeName } from "./internal/keys.ts"
import { refused } from "./internal/refused.ts"
import { invalidate } from "./internal/service/invalidating.ts"
import { inside, type Service } from "./internal/service/model.ts"
import type * as Invalidation from "./Invalidation.ts"

const TypeId = "~effect-cache-algebra/Schedules"

/**
 * An invalidation at the ticks of a cron expression. `layer` runs it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Schedule extends Pipeable.Pipeable, Equal.Equal {
  readonly "~effect-cache-algebra/Schedules": "~effect-cache-algebra/Schedules"
  readonly name: string
  readonly cron: Cron.Cron
  readonly invalidation: Invalidation.Invalidation
  readonly missed: "run" | "skip"
  toString(): string
}

const isSchedule = (u: unknown): u is Schedule => Predicate.hasProperty(u, TypeId)

const textOf = (cron: Cron.Cron, invalidation: Invalidation.Invalidation): string =>
  `${invalidation} on (${Crons.words(cron).join(", ")})`

const Proto = {
  ...Pipeable.Prototype,
  [TypeId]: TypeId,
  [Equal.symbol](this: Schedule, that: unknown): boolean {
    return isSchedule(that) && this.name === that.name && this.missed === that.missed &&
      Cron.equals(this.cron, that.cron) && Equal.equals(this.invalidation, that.invalidation)
  },
  [Hash.symbol](this: Schedule): number {
    return Hash.string(this.name)
  },
  toString(this: Schedule): string {
    const text = textOf(this.cron, this.invalidation)
    return `${this.name === text ? "" : `${this.name}: `}${text}${this.missed === "run" ? "" : " (missed: skip)"}`
  },
  toJSON(this: Schedule): unknown {
    return { _id: "Schedule", schedule: this.toString() }
  },
  [Symbol.for("nodejs.util.inspect.custom")](this: Schedule): string {
    return `Schedule(${this.toString()})`
  }
}

/**
 * The same invalidation at each tick of a cron expression, which is text or a
 * `Cron`. Nothing happens until it is given to `layer`.
 *
 * - `name`: under which processes agree that a tick was run. Unless given, the
 *   expression and the invalidation as text: then another invalidation is
 *   another schedule, also while two deploys run side by side.
 * - `timeZone`: where an expression ticks that names no time zone (UTC). Where the
 *   clocks are changed it ticks as `Policy.until` says.
 * - `missed`: whether the last tick before the start is made up for, if no
 *   process ran it (`run`, unless given), or not (`skip`).
 *
 * Throws `InvalidInput` for an expression that does not parse or never ticks,
 * for an unknown time zone, and for an empty name.
 *
 * **Example** (Each night in Rome)
 *
 * ```ts
 * import { Invalidation } from "effect-cache-algebra"
 * import * as Schedules from "effect-cache-algebra/Schedules"
 *
 * const nightly = Schedules.cron("0 3 * * *", Invalidation.tags("popular"), { timeZone: "Europe/Rome" })
 * nightly.toString() // => 'tag popular on ("0 3 * * *", Europe/Rome)'
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const cron = (
  expression: string | Cron.Cron,
  invalidation: Invalidation.Invalidation,
  options: {
    readonly name?: string
    readonly timeZone?: string
    readonly missed?: "run" | "skip"
  } = {}
): Schedule => {
  const where = "Schedules.cron"
  const parsed = Crons.parse(where, expression, options.timeZone)
  const name = options.name ?? textOf(parsed, invalidation)
  if (typeof name !== "string" || name === "") throw refused(where, "EmptyName", "a schedule needs a name")
  return Object.assign(Object.create(Proto), {
    name,
    cron: parsed,
    invalidation,
    missed: options.missed ?? "run"
  })
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute

// After this others may take over. A process that still applies an invalidation then takes the lease again.
const leaseFor = minute

// A waiter looks again so often: not every store announces a lease that has run out.
const waitAtMost = 10 * second

// A waiter lets the process that had the lease go first: an invalidation of everything takes it away.
const pause = second

// Clocks may differ by this much.
const tolerance = minute

// A wall clock may be set while a fiber sleeps, and a machine may sleep as a whole.
const sleepAtMost = hour

const again = backoff("100 millis", "5 seconds")

/** The lease and the marker of one tick. */
class Tick {
  readonly at: number
  readonly token: CacheStore.Token
  readonly address: CacheStore.Address
  readonly life: number
  private readonly service: Service
  /** A marker that was found and is of an earlier tick. */
  private seen: CacheStore.Token | undefined = undefined
  private warned = false

  constructor(service: Service, { cron, name }: Schedule, at: number) {
    this.service = service
    this.at = at
    this.token = service.token()
    // No name of a user's definition holds a "!".
    this.address = { key: `!schedule:${encodeName(name)}`, known: [] }
    this.life = Math.max(hour, Crons.nextTick(cron, Crons.nextTick(cron, at)) - at)
  }

  begin(force = false): Effect.Effect<CacheStore.Begun, CacheStore.StoreError> {
    return Effect.suspend(() =>
      this.service.store.begin(this.address, { token: this.token, seen: this.seen, drop: false, force, leaseFor })
    )
  }

  /** Whether this tick was run, as far as the marker that was found says so. */
  isRun({ payload, stamp, token }: CacheStore.Entry): Effect.Effect<boolean> {
    return Effect.withFiber((fiber) => {
      // A process whose clock is ahead leaves a marker, too. So the marker's age counts, which every process knows: it
      // cannot be much older than the tick.
      const age = this.service.store.now(fiber.getRef(Clock.Clock)) - stamp.storedAt
      const since = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() - this.at
      const isRun = Number(payload) >= this.at && age <= since + tolerance
      if (!isRun) this.seen = token
      return Effect.succeed(isRun)
    })
  }

  /** Waits until the lease is over, or may be. */
  released(token: CacheStore.Token, atMost: number): Effect.Effect<void> {
    return Effect.timeoutOrElse(Effect.ignore(this.service.store.released(this.address, token)), {
      duration: atMost,
      orElse: () => Effect.void
    })
  }

  readonly abandon: Effect.Effect<void> = Effect.suspend(() =>
    Effect.ignore(this.service.store.abandon(this.address, this.token))
  )

  commit(lease: CacheStore.Lease): Effect.Effect<CacheStore.Outcome, CacheStore.StoreError> {
    return Effect.withFiber((fiber) => {
      const storedAt = this.service.store.now(fiber.getRef(Clock.Clock))
      const payload = String(this.at)
      return this.service.store.commit(this.address, lease, {
        token: lease.token,
        payload,
        stamp: {
          storedAt,
          beganAt: storedAt,
          duration: 0,
          jitter: 0,
          versions: {},
          dependencies: [],
          shape: "",
          failure: false
        },
        found: [],
        fatal: new Set(),
        expiresAt: storedAt + this.life,
        size: () => payload.length,
        memo: undefined
      })
    })
  }

  /** Tries until the store answers. */
  patiently<A>(effect: Effect.Effect<A, CacheStore.StoreError>): Effect.Effect<A> {
    const sound = Effect.catchDefect(effect, (cause) =>
      Effect.fail(
        new CacheStore.StoreError({
          operation: "schedule",
          reason: { _tag: "Malformed" },
          mayHaveHappened: true,
          cause
        })
      ))
    return Effect.orDie(Effect.retry(Effect.tapError(sound, (error) => this.failed(error)), again))
  }

  private failed(error: CacheStore.StoreError): Effect.Effect<void> {
    this.service.publish({ _tag: "StoreFailed", error })
    if (this.warned) return Effect.void
    this.warned = true
    return Effect.logWarning("a scheduled invalidation waits for the store").pipe(
      Effect.annotateLogs({ reason: error.reason._tag })
    )
  }
}

/** The lease, or nothing if another process ran the tick. */
const takeLease = Effect.fnUntraced(function*(
  tick: Tick,
  everything: boolean
): Effect.fn.Return<CacheStore.Lease | undefined> {
  let gathered = !everything
  for (;;) {
    const begun = yield* tick.patiently(tick.begin())
    if (begun._tag === "Found") {
      if (yield* tick.isRun(begun.entry)) return undefined
    } else if (begun._tag === "Busy") {
      yield* tick.released(begun.token, waitAtMost)
      yield* Effect.sleep(pause)
      gathered = !everything
    } else if (gathered) {
      return begun.lease
    } else {
      yield* Effect.sleep(pause)
      gathered = true
    }
  }
})

/** Takes the lease again where it ends or is swept away, unless another process has it. */
const keepLease = Effect.fnUntraced(function*(tick: Tick): Effect.fn.Return<never> {
  for (;;) {
    yield* tick.released(tick.token, pause)
    const begun = yield* Effect.result(tick.begin())
    if (Result.isSuccess(begun) && begun.success._tag !== "Leased") return yield* Effect.never
    yield* Effect.sleep(pause / 10)
  }
})

/** Waits until the store has acknowledged it: the service keeps what could not be delivered, and tries it again. */
const apply = Effect.fnUntraced(function*(
  service: Service,
  invalidation: Invalidation.Invalidation
): Effect.fn.Return<void, never, CacheService.CacheService> {
  const isKept = Effect.map(service.undelivered, (all) =>
    all.some((kept) =>
      // If too many are kept, the queue replaces them by an invalidation of everything.
      kept.invalidation.everything !== undefined || Equal.equals(kept.invalidation, invalidation)
    ))
  yield* Effect.exit(invalidate(invalidation))
  while (yield* isKept) yield* Effect.sleep(second)
})

/** Leaves the marker. An invalidation that has removed the lease is not repeated for that. */
const mark = (tick: Tick, lease: CacheStore.Lease): Effect.Effect<void, CacheStore.StoreError> =>
  Effect.gen(function*() {
    const outcome = yield* tick.commit(lease)
    if (outcome !== "lost" && outcome !== "invalidated") return
    const begun = yield* tick.begin(true)
    if (begun._tag === "Leased") yield* tick.commit(begun.lease)
  })

const runTick = Effect.fnUntraced(function*(
  schedule: Schedule,
  at: number
): Effect.fn.Return<void, never, CacheService.CacheService> {
  const service = inside(yield* CacheService.CacheService)
  const tick = new Tick(service, schedule, at)
  const { invalidation, name } = schedule
  const run = Effect.gen(function*() {
    const lease = yield* takeLease(tick, invalidation.everything !== undefined)
    if (lease === undefined) return
    yield* Effect.raceFirst(apply(service, invalidation), keepLease(tick))
    yield* tick.patiently(mark(tick, lease))
  })
  yield* run.pipe(
    Effect.onInterrupt(() => tick.abandon),
    Effect.annotateLogs({ schedule: name, tick: new Date(at).toISOString() })
  )
})

const run = Effect.fnUntraced(function*(
  schedule: Schedule
): Effect.fn.Return<never, never, CacheService.CacheService> {
  const { cron, missed } = schedule
  /** Ticks up to here are done with. */
  let done = missed === "run" ? -Infinity : yield* Clock.currentTimeMillis
  for (;;) {
    const now = yield* Clock.currentTimeMillis
    // No tick is run twice because a clock was set back; but one that was set back by more was wrong before.
    if (done > now + hour) done = now
    const last = Crons.lastTick(cron, now)
    if (last > done) {
      yield* runTick(schedule, last)
      done = last
    } else yield* Effect.sleep(Math.min(Crons.nextTick(cron, Math.max(now, done)) - now, sleepAtMost))
  }
})

/**
 * Runs schedules for as long as the layer lives, each in a fiber of its own. One
 * that is interrupted in a tick leaves it to other processes.
 *
 * Throws `InvalidInput` if two of them have one name.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  ...schedules: ReadonlyArray<Schedule>
): Layer.Layer<never, never, CacheService.CacheService> => {
  const names = new Set<string>()
  for (const { name } of schedules) {
    if (names.has(name)) {
      throw refused("Schedules.layer", "InvalidOption", `two schedules are called ${JSON.stringify(name)}`)
    }
    names.add(name)
  }
  return Layer.effectDiscard(Effect.forEach(schedules, (one) => Effect.forkScoped(run(one)), { discard: true }))
}
