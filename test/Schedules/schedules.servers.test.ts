import { assert, describe, it } from "@effect/vitest"
import { Clock, Cron, Deferred, Effect, Equal, Exit, Fiber, Hash, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import { inside, type Service } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Schedules from "../../src/Schedules.ts"
import * as TestCache from "../../src/TestCache.ts"
import { listening } from "../support/redisCache.ts"
import { countingPopular } from "./popular.ts"

const tag = Invalidation.tags("popular")
const hourly = Schedules.cron("0 * * * *", tag, { name: "hourly" })

const refusal = (attempt: () => unknown): InvalidInput.InvalidInput => {
  try {
    attempt()
  } catch (error) {
    if (error instanceof InvalidInput.InvalidInput) return error
    throw error
  }
  throw new Error("it was not refused")
}

/** A process: a service of its own on a store, and when invalidations were applied through it. */
interface Process {
  readonly service: CacheService.CacheService
  readonly applied: Array<string>
}

const processOn = (store: CacheStore.CacheStore, applied: Array<string> = []) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const made = inside(yield* CacheService.make(store))
    const publish = (event: CacheService.CacheEvent) => {
      if (event._tag === "Invalidated") applied.push(new Date(clock.currentTimeMillisUnsafe()).toISOString())
      made.publish(event)
    }
    const service: Service = { ...made, publish }
    return { service, applied } satisfies Process
  })

const run = ({ service }: Process, ...scheduled: ReadonlyArray<Schedules.Schedule>) =>
  Effect.asVoid(Effect.provideService(Layer.build(Schedules.layer(...scheduled)), CacheService.CacheService, service))

const memory = MemoryCache.makeStore({ capacity: 100 })

/** A service whose events are heard. */
const watching = (service: Service, heard: Array<CacheService.CacheEvent["_tag"]>): Service => ({
  ...service,
  publish: (event) => void heard.push(event._tag)
})

/** So many processes on one store that run the same schedules; the times at which any of them applied one. */
const crew = (size: number, ...scheduled: ReadonlyArray<Schedules.Schedule>) =>
  Effect.gen(function*() {
    const store = yield* memory
    const applied: Array<string> = []
    const processes = yield* Effect.replicateEffect(processOn(store, applied), size)
    yield* Effect.forEach(processes, (one) => run(one, ...scheduled))
    return { store, applied, processes }
  })

const startAt = (time: string) => TestClock.setTime(Date.parse(time))

/** The times at which a schedule was applied from one time to another, by one process. */
const timesOf = (scheduled: Schedules.Schedule, from: string, to: string) =>
  Effect.scoped(Effect.gen(function*() {
    yield* startAt(from)
    const { applied } = yield* crew(1, scheduled)
    yield* TestClock.adjust(Date.parse(to) - Date.parse(from))
    return applied
  }))

/** A wall clock that can be set, while time goes on as it does. */
const settable = Effect.map(Clock.Clock, (clock) => {
  let ahead = 0
  const now = () => clock.currentTimeMillisUnsafe() + ahead
  const wall: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now)
  })
  return {
    wall,
    set: (millis: number) => {
      ahead += millis
    }
  }
})

/** A store with a clock of its own, as a remote one has. It need not be right. */
const withClock = Effect.gen(function*() {
  const { set, wall } = yield* settable
  set(-10 * 3_600_000)
  return yield* MemoryCache.makeStore({ capacity: 100, now: () => wall.currentTimeMillisUnsafe() })
})

describe("a scheduled invalidation", () => {
  it("prints, and is named by what it does unless it has a name", () => {
    assert.strictEqual(hourly.toString(), "hourly: tag popular on (\"0 * * * *\")")
    const rome = Schedules.cron("0 3 * * *", tag, { timeZone: "Europe/Rome", missed: "skip" })
    assert.strictEqual(rome.name, "tag popular on (\"0 3 * * *\", Europe/Rome)")
    assert.strictEqual(rome.toString(), `${rome.name} (missed: skip)`)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(rome)), { _id: "Schedule", schedule: rome.toString() })
  })

  it("has another name for whatever makes it another", () => {
    const crons = [
      "0 4 */2 * 1",
      "0 4 1-31/2 * 1",
      Cron.parseUnsafe("0 4 * * *", "Europe/Rome"),
      Cron.parseUnsafe("0 4 * * *", "Europe/Rome", { onDstOverlap: "both" }),
      "0 4 * * *"
    ]
    const names = crons.map((cron) => Schedules.cron(cron, tag).name)
    assert.strictEqual(new Set([...names, Schedules.cron("0 4 * * *", Invalidation.soft(tag)).name]).size, 6)
  })

  it("equals what means the same", () => {
    const same = Schedules.cron(Cron.parseUnsafe("0 * * * *"), Invalidation.tags("popular"), {
      name: "hourly",
      timeZone: "UTC"
    })
    assert.isTrue(Equal.equals(hourly, same))
    assert.strictEqual(Hash.hash(hourly), Hash.hash(same))
    for (
      const other of [
        Schedules.cron("0 * * * *", tag),
        Schedules.cron("0 * * * *", tag, { name: "hourly", timeZone: "Europe/Rome" }),
        Schedules.cron("1 * * * *", tag, { name: "hourly" }),
        Schedules.cron("0 * * * *", Invalidation.everything, { name: "hourly" }),
        Schedules.cron("0 * * * *", tag, { name: "hourly", missed: "skip" })
      ]
    ) assert.isFalse(Equal.equals(hourly, other), other.toString())
  })

  it("keeps days and weekdays together in another zone", () => {
    const cron = Cron.parseUnsafe("0 4 */2 * 1")
    const { cron: made } = Schedules.cron(cron, tag, { timeZone: "Europe/Rome" })
    assert.isTrue(Cron.equals(made, Cron.parseUnsafe("0 4 */2 * 1", "Europe/Rome")))
  })

  for (
    const [what, attempt, reason] of [
      ["what does not parse", () => Schedules.cron("every hour", tag), "InvalidCron"],
      ["what never ticks", () => Schedules.cron("0 0 30 2 *", tag), "InvalidCron"],
      ["a zone there is not", () => Schedules.cron("0 * * * *", tag, { timeZone: "Mars" }), "InvalidCron"],
      ["an empty name", () => Schedules.cron("0 * * * *", tag, { name: "" }), "EmptyName"],
      ["one name twice", () => Schedules.layer(hourly, hourly), "InvalidOption"]
    ] as const
  ) it(`refuses ${what}`, () => assert.strictEqual(refusal(attempt).reason, reason))
})

describe("ticks", () => {
  it.effect("a value is loaded again after each, and not before", () =>
    Effect.gen(function*() {
      const popular = countingPopular()
      const seen: Array<number> = []
      for (let i = 0; i < 6; i++) {
        yield* TestClock.adjust("30 minutes")
        seen.push(yield* Cached.get(popular, undefined))
      }
      assert.deepStrictEqual(seen, [1, 2, 2, 3, 3, 4])
    }).pipe(Effect.provide(Layer.provideMerge(Schedules.layer(hourly), TestCache.layer()))))

  it.effect("are those of the expression, in UTC", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* timesOf(
          Schedules.cron("30 6 * * 1-5", tag, { missed: "skip" }),
          "2026-01-02T00:00:00Z",
          "2026-01-06T00:00:00Z"
        ),
        ["2026-01-02T06:30:00.000Z", "2026-01-05T06:30:00.000Z"]
      )
    }))

  const atTwoInRome = Schedules.cron("0 2 * * *", tag, { timeZone: "Europe/Rome", missed: "skip" })

  it.effect("when the hour is skipped: once, after the gap", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* timesOf(atTwoInRome, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z"), [
        "2026-03-28T01:00:00.000Z",
        "2026-03-29T01:00:00.000Z", // it is three o'clock there
        "2026-03-30T00:00:00.000Z"
      ])
    }))

  it.effect("when the hour is repeated: once, the first time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* timesOf(atTwoInRome, "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z"), [
        "2026-10-24T00:00:00.000Z",
        "2026-10-25T00:00:00.000Z",
        "2026-10-26T01:00:00.000Z"
      ])
    }))

  it.effect("do not drift, and may come each second", () =>
    Effect.gen(function*() {
      const { applied } = yield* crew(1, Schedules.cron("* * * * * *", tag, { missed: "skip" }))
      yield* TestClock.adjust("100500 millis")
      assert.strictEqual(applied.length, 100)
      assert.isTrue(applied.every((time) => time.endsWith(".000Z")))
    }))

  it.effect("each schedule has its own", () =>
    Effect.gen(function*() {
      const daily = Schedules.cron("0 0 * * *", Invalidation.tags("news"), { name: "daily", missed: "skip" })
      const half = Schedules.cron("30 * * * *", tag, { name: "half", missed: "skip" })
      const { applied } = yield* crew(1, daily, half)
      yield* TestClock.adjust("24 hours")
      assert.strictEqual(applied.length, 25)
    }))

  it.effect("leave one marker for a schedule, however often they come", () =>
    Effect.gen(function*() {
      const { store } = yield* crew(1, Schedules.cron("* * * * * *", tag, { name: "a:b!c *" }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(store.keys(), ["!schedule:a%3Ab%21c%20%2A"])
    }))
})

describe("what was missed", () => {
  it.effect("the last tick before the start is made up for, once", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T10:20:00Z")
      const { applied } = yield* crew(3, hourly)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(applied, ["2026-01-01T10:20:00.000Z"])
    }))

  it.effect("unless it is to be skipped", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T10:20:00Z")
      const { applied } = yield* crew(3, Schedules.cron("0 * * * *", tag, { missed: "skip" }))
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(applied, [])
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(applied, ["2026-01-01T11:00:00.000Z"])
    }))

  it.effect("unless its marker is there: a restart repeats nothing, and one after several ticks runs one", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T10:20:00Z")
      const store = yield* memory
      const applied: Array<string> = []
      const live = (length: string) =>
        Effect.scoped(Effect.gen(function*() {
          yield* run(yield* processOn(store, applied), hourly)
          yield* TestClock.adjust(length as "1 hour")
        }))
      yield* live("10 minutes")
      yield* live("10 minutes")
      assert.deepStrictEqual(applied, ["2026-01-01T10:20:00.000Z"])
      yield* TestClock.adjust("5 hours") // none runs
      yield* live("10 minutes")
      assert.deepStrictEqual(applied, ["2026-01-01T10:20:00.000Z", "2026-01-01T15:40:00.000Z"])
    }))

  it.effect("a machine that slept over several ticks runs one, at the latest an hour after it woke", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T00:30:00Z")
      const { set, wall } = yield* settable
      const applied: Array<string> = []
      const onTheFirst = Schedules.cron("0 * 1 * *", tag, { missed: "skip" })
      yield* Effect.gen(function*() {
        yield* run(yield* processOn(yield* memory, applied), onTheFirst)
        yield* TestClock.adjust("1 minute")
        set(7 * 3_600_000)
        yield* TestClock.adjust("28 minutes")
        assert.deepStrictEqual(applied, [])
        yield* TestClock.adjust("1 minute")
        yield* TestClock.adjust("20 minutes")
        assert.deepStrictEqual(applied, ["2026-01-01T08:00:00.000Z"])
      }).pipe(Effect.provideService(Clock.Clock, wall))
    }))

  it.effect("a sleep until a far tick looks at the clock each hour", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-05T00:30:00Z")
      const { set, wall } = yield* settable
      const applied: Array<string> = []
      const monthly = Schedules.cron("0 0 1 * *", tag, { missed: "skip" })
      yield* Effect.gen(function*() {
        yield* run(yield* processOn(yield* memory, applied), monthly)
        yield* TestClock.adjust("10 minutes")
        set(27 * 24 * 3_600_000)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(applied, ["2026-02-01T01:30:00.000Z"])
      }).pipe(Effect.provideService(Clock.Clock, wall))
    }))

  it.effect("a clock that is set back repeats no tick", () =>
    Effect.gen(function*() {
      const often = Schedules.cron("*/10 * * * *", tag)
      for (const seconds of [10, 2000]) {
        yield* startAt("2026-01-01T00:55:00Z")
        const { set, wall } = yield* settable
        const applied: Array<string> = []
        yield* Effect.gen(function*() {
          yield* run(yield* processOn(yield* memory, applied), often)
          yield* TestClock.adjust("305 seconds")
          assert.strictEqual(applied.length, 2)
          set(-seconds * 1000)
          yield* TestClock.adjust((seconds + 300) * 1000)
          assert.strictEqual(applied.length, 2)
          yield* TestClock.adjust("5 minutes")
          assert.strictEqual(applied.length, 3)
        }).pipe(Effect.scoped, Effect.provideService(Clock.Clock, wall))
      }
    }))

  it.effect("a clock that was a day ahead, and is set right, stops nothing", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T00:30:00Z")
      const { set, wall } = yield* settable
      const applied: Array<string> = []
      set(24 * 3_600_000)
      const store = yield* memory
      yield* Effect.gen(function*() {
        yield* run(yield* processOn(store, applied), hourly)
        yield* TestClock.adjust("40 minutes")
        assert.strictEqual(applied.length, 2)
      }).pipe(Effect.provideService(Clock.Clock, wall))
      set(-24 * 3_600_000)
      yield* TestClock.adjust("2 hours")
      assert.isAtLeast(applied.length, 3)
    }))
})

describe("processes that share a store", () => {
  it.effect("one of them runs a tick", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T00:30:00Z")
      const { applied } = yield* crew(6, hourly)
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(applied, [
        "2026-01-01T00:30:00.000Z",
        "2026-01-01T01:00:00.000Z",
        "2026-01-01T02:00:00.000Z",
        "2026-01-01T03:00:00.000Z"
      ])
    }))

  it.effect("one of them, also if their clocks differ by seconds", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T00:30:00Z")
      const store = yield* withClock
      const applied: Array<string> = []
      for (const ahead of [0, 3000, -5000, 20_000]) {
        const { set, wall } = yield* settable
        set(ahead)
        yield* Effect.provideService(
          Effect.flatMap(processOn(store, applied), (one) => run(one, hourly)),
          Clock.Clock,
          wall
        )
      }
      yield* TestClock.adjust("2 hours")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(applied.length, 3)
    }))

  it.effect("a process whose clock is ahead by hours does not run the ticks of the others", () =>
    Effect.gen(function*() {
      yield* startAt("2026-01-01T00:30:00Z")
      const store = yield* withClock
      const { set, wall } = yield* settable
      set(5 * 3_600_000 + 1_200_000)
      const ahead = yield* processOn(store)
      yield* Effect.provideService(run(ahead, hourly), Clock.Clock, wall)
      const right = yield* processOn(store)
      yield* run(right, hourly)
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(right.applied, [
        "2026-01-01T01:00:00.000Z",
        "2026-01-01T02:00:00.000Z",
        "2026-01-01T03:00:00.000Z"
      ])
    }))

  for (
    const [what, invalidation] of [
      ["everything", Invalidation.everything],
      ["a pattern", Invalidation.pattern({ name: "film", parts: [undefined] })],
      ["its own marker", Invalidation.keys("!schedule:it")]
    ] as const
  ) {
    it.effect(`an invalidation of ${what} is applied once, and leaves a marker`, () =>
      Effect.gen(function*() {
        yield* startAt("2026-01-01T00:30:00Z")
        const it = Schedules.cron("0 * * * *", invalidation, { name: "it", missed: "skip" })
        const { applied, processes, store } = yield* crew(6, it)
        yield* TestClock.adjust("59 minutes")
        assert.strictEqual(applied.length, 1)
        assert.deepStrictEqual(store.keys(), ["!schedule:it"])
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(applied.length, 2)
        // Who starts later finds the marker.
        yield* run(processes[0]!, Schedules.cron("0 * * * *", invalidation, { name: "it" }))
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual(applied.length, 2)
      }))
  }

  // Removes leases first, as a walk over the keys does, and takes a while for the rest.
  const atLength = <A, E>(walk: Effect.Effect<A, E>) =>
    Effect.andThen(walk, Effect.andThen(Effect.sleep("40 seconds"), walk))
  const walking: Record<string, (store: CacheStore.CacheStore) => Partial<CacheStore.CacheStore>> = {
    "in one step": (store) => ({ invalidate: (batch) => atLength(store.invalidate(batch)) }),
    "behind a fence": (store) => ({
      atomic: () => false,
      // It is renewed meanwhile.
      fence: (fence) => atLength(store.fence({ ...fence, length: fence.length + 40_000 }))
    })
  }
  for (const [how, walks] of Object.entries(walking)) {
    it.effect(`a long invalidation of everything is applied once (${how})`, () =>
      Effect.gen(function*() {
        const memory_ = yield* memory
        const store: CacheStore.CacheStore = { ...memory_, ...walks(memory_) }
        const applied: Array<string> = []
        for (let i = 0; i < 4; i++) {
          yield* run(
            yield* processOn(store, applied),
            Schedules.cron("0 * * * *", Invalidation.everything, { missed: "skip" })
          )
        }
        yield* TestClock.adjust("90 minutes")
        assert.strictEqual(applied.length, 1)
      }))
  }

  it.effect("if the one that has the lease dies, another takes over", () =>
    Effect.gen(function*() {
      const store = yield* memory
      const dead = yield* Deferred.make<void>()
      let begun = 0
      const victim = yield* processOn({
        ...store,
        begin: (address, request) => begun++ === 0 ? store.begin(address, request) : Effect.never,
        // The last attempt when it is closed may succeed: no one waits for it.
        invalidate: (batch) =>
          Effect.flatMap(Deferred.succeed(dead, undefined), (first) => first ? Effect.never : store.invalidate(batch)),
        abandon: () => Effect.void
      })
      yield* run(victim, hourly)
      yield* Deferred.await(dead)
      const other = yield* processOn(store)
      yield* run(other, hourly)
      yield* TestClock.adjust("50 seconds")
      assert.deepStrictEqual(other.applied, [])
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(other.applied.length, 1)
    }))

  it.effect("who is interrupted in a tick leaves it to another at once", () =>
    Effect.gen(function*() {
      const store = yield* memory
      const hanging = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const slow = yield* processOn({
        ...store,
        invalidate: (batch) =>
          Effect.flatMap(
            Deferred.succeed(hanging, undefined),
            (first) => first ? Effect.never : store.invalidate(batch)
          )
      })
      yield* Scope.provide(run(slow, hourly), scope)
      yield* Deferred.await(hanging)
      const other = yield* processOn(store)
      yield* run(other, hourly)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(other.applied, [])
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(other.applied.length, 1)
    }))
})

describe("a store that fails", () => {
  const instrumented = Effect.provide(TestCache.layer())
  const wanted = TestCache.operations.pipe(
    Effect.map((all) => all.filter(({ name, result }) => name === "invalidate" && result === "0").length)
  )
  const started = Effect.asVoid(Layer.build(Schedules.layer(hourly)))

  it.effect("is asked until it acknowledges the invalidation; then the marker is left", () => {
    const log = listening()
    return Effect.gen(function*() {
      const service = inside(yield* CacheService.CacheService)
      const published: Array<CacheService.CacheEvent["_tag"]> = []
      yield* TestCache.fail("invalidate")
      const scope = yield* Scope.make()
      yield* Scope.provide(
        Effect.provideService(started, CacheService.CacheService, watching(service, published)),
        scope
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* wanted, 0)
      assert.strictEqual((yield* service.undelivered).length, 1)
      assert.deepStrictEqual(yield* TestCache.entries, [])
      assert.isTrue(
        log.warnings().some((line) => line.includes("not delivered") && line.includes("hourly")),
        log.lines.join("\n")
      )
      yield* TestCache.restore
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* wanted, 1)
      assert.strictEqual((yield* TestCache.entries).length, 1)
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(yield* wanted, 1)
    }).pipe(instrumented, Effect.provide(log.layer))
  })

  for (const operation of ["begin", "commit"] as const) {
    it.effect(`is asked until it can ${operation}`, () => {
      const log = listening()
      return Effect.gen(function*() {
        const service = inside(yield* CacheService.CacheService)
        const published: Array<CacheService.CacheEvent["_tag"]> = []
        yield* TestCache.fail(operation)
        yield* Effect.provideService(started, CacheService.CacheService, watching(service, published))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* wanted, operation === "begin" ? 0 : 1)
        assert.include(published, "StoreFailed")
        const lines = log.warnings().filter((line) => line.includes("waits for the store"))
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], "\"schedule\":\"hourly\"")
        yield* TestCache.restore
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(yield* wanted, 1)
        assert.strictEqual((yield* TestCache.entries).length, 1)
      }).pipe(instrumented, Effect.provide(log.layer))
    })
  }

  it.effect("an answer that was lost makes no second invalidation", () =>
    Effect.gen(function*() {
      yield* TestCache.lose("begin", "answer", 1)
      yield* TestCache.lose("commit", "answer", 1)
      yield* started
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* wanted, 1)
      assert.strictEqual((yield* TestCache.entries).length, 1)
    }).pipe(instrumented))

  it.effect("one that dies has failed", () =>
    Effect.gen(function*() {
      const store = yield* memory
      let broken = true
      const dies = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend(() => broken ? Effect.die(new Error("broken")) : effect)
      const one = yield* processOn({
        ...store,
        begin: (address, request) => dies(store.begin(address, request)),
        invalidate: (batch) => dies(store.invalidate(batch))
      })
      yield* run(one, hourly)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(one.applied, [])
      broken = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(one.applied.length, 1)
      assert.strictEqual(store.keys().length, 1)
    }))

  it.effect("a marker that cannot be read, or is lost, costs one more invalidation", () =>
    Effect.gen(function*() {
      const { store } = yield* TestCache.TestCache
      for (const lose of [() => store.corrupt("!schedule:hourly", "?"), () => store.evict("entry")]) {
        yield* Effect.scoped(Effect.andThen(started, TestClock.adjust("1 minute")))
        const before = yield* wanted
        lose()
        yield* Effect.scoped(Effect.andThen(started, TestClock.adjust("1 minute")))
        assert.strictEqual(yield* wanted, before + 1)
      }
    }).pipe(instrumented))
})

describe("the layer", () => {
  it.effect("stops when it is closed", () =>
    Effect.gen(function*() {
      const one = yield* processOn(yield* memory)
      const scope = yield* Scope.make()
      yield* Scope.provide(run(one, hourly), scope)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(one.applied.length, 2)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("3 hours")
      assert.strictEqual(one.applied.length, 2)
    }))

  it.effect("does not hold up what it is provided to", () =>
    Effect.gen(function*() {
      yield* TestCache.delay("begin", Infinity)
      const fiber = yield* Effect.forkChild(Effect.scoped(Layer.build(Schedules.layer(hourly))))
      yield* Effect.yieldNow
      yield* TestClock.adjust(0)
      assert.isDefined(fiber.pollUnsafe())
      yield* Fiber.await(fiber)
    }).pipe(Effect.provide(TestCache.layer())))
})
