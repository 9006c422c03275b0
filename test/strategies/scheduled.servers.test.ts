/** Invalidation at given times: `docs/strategies/scheduled.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Scheduled from "../../examples/articles/strategies/scheduled.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, CacheService } from "../../src/index.ts"
import { inside, type Service } from "../../src/internal/service/model.ts"
import * as TestCache from "../../src/TestCache.ts"
import { eventually } from "../support/redis.ts"
import { oneNode, type Process, start } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/scheduled.ts"
import { midway, queriesOf, site } from "./support.ts"

const millis = (time: string) => Date.parse(`2025-06-02T${time}Z`)

const at = (time: string) => TestClock.setTime(millis(time))

const getDashboard = Cached.get(Scheduled.dashboard, undefined)

const testCache = Effect.provide(TestCache.layer(), { local: true })

/** A process with a worker: how often it invalidated, and the last tick that it is done with. */
const working = (process: Process) =>
  Effect.gen(function*() {
    const done = { applied: 0, tick: 0 }
    const inner = inside(process.service)
    const { deliver, store } = inner
    const service: Service = {
      ...inner,
      deliver: (batch) => Effect.tap(deliver(batch), () => Effect.sync(() => done.applied++)),
      store: {
        ...store,
        // It finds the marker that another process has left, or leaves its own: the time of the tick.
        begin: (address, request) =>
          Effect.tap(store.begin(address, request), (begun) =>
            Effect.sync(() => begun._tag === "Found" ? done.tick = Number(begun.entry.payload) : 0)),
        commit: (address, lease, draft) =>
          Effect.tap(store.commit(address, lease, draft), () =>
            Effect.sync(() => done.tick = Number(draft.payload)))
      }
    }
    yield* Effect.provideService(Layer.build(Layer.fresh(Scheduled.worker)), CacheService.CacheService, service)
    return { ...process, done }
  })

/** Lets the time of the schedules go on until something is so. What is under way on the server takes real time. */
const goOnUntil = (what: string, is: () => boolean) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const goOn = () => Effect.runPromiseWith(context)(TestClock.adjust("100 millis"))
    yield* Effect.promise(() => eventually(what, () => is() || goOn().then(() => false)))
  })

layer(site, { timeout: "60 seconds" })("scheduled", (it) => {
  describe("the Django way", () => {
    it.effect("what is computed while the beat deletes is old until the next beat", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* at("08:59:59")
        yield* Effect.forkScoped(Django.beat(cache))
        const finish = yield* midway(Django.getDashboard(cache))
        yield* Writes.view(1)
        yield* TestClock.adjust("2 seconds")
        const late = yield* finish
        yield* at("09:59:00")
        assert.deepStrictEqual(yield* Django.getDashboard(cache), late)
        assert.notDeepEqual(yield* Queries.stats, late)
        yield* at("10:00:00")
        assert.deepStrictEqual(yield* Django.getDashboard(cache), yield* Queries.stats)
      }))

    it.effect("three beats delete three times", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        let loads = 0
        for (let beat = 0; beat < 3; beat++) {
          yield* Django.invalidateStaleCaches(cache)
          loads += yield* queriesOf(Django.getDashboard(cache))
        }
        assert.strictEqual(loads, 3)
      }))

    it.effect("a beat that nobody ran is lost", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* at("08:30:00")
        const old = yield* Django.getDashboard(cache)
        const worker = yield* Effect.forkScoped(Django.beat(cache))
        yield* TestClock.adjust("29 minutes")
        yield* Fiber.interrupt(worker) // a deploy, for two minutes
        yield* Writes.view(1)
        yield* at("09:01:00")
        yield* Effect.forkScoped(Django.beat(cache))
        yield* at("09:59:00")
        assert.deepStrictEqual(yield* Django.getDashboard(cache), old)
        assert.notDeepEqual(yield* Queries.stats, old)
      }))
  })

  describe("the way here", () => {
    it.effect("what is loaded while the schedule invalidates is served to nobody later", () =>
      Effect.gen(function*() {
        yield* at("08:59:59")
        yield* Layer.build(Layer.fresh(Scheduled.worker))
        const finish = yield* midway(getDashboard)
        yield* Writes.view(1)
        yield* TestClock.adjust("2 seconds")
        const late = yield* finish
        const next = yield* getDashboard
        assert.strictEqual(next.views, late.views + 1)
      }).pipe(testCache))

    it.effect("three processes with a worker each invalidate once [redis]", () =>
      Effect.gen(function*() {
        yield* at("08:30:00")
        const cache = oneNode.layer({ prefix: freshPrefix(), timeLimit: "10 seconds" })
        const processes = yield* Effect.forEach([1, 2, 3], () =>
          Effect.flatMap(TestClock.withLive(start(cache)), working))
        const all = (time: string) =>
          processes.every(({ done }) => done.tick === millis(time))
        const applied = () => processes.map(({ done }) => done.applied).toSorted()
        // Nobody knows of the tick at eight: one makes up for it.
        yield* goOnUntil("the tick at eight", () => all("08:00:00"))
        assert.deepStrictEqual(applied(), [0, 0, 1])
        yield* processes[0]!.run(getDashboard)
        yield* at("09:00:00")
        yield* goOnUntil("the tick at nine", () => all("09:00:00"))
        assert.strictEqual(applied().reduce((sum, one) => sum + one), 2)
        let loads = 0
        for (const { run } of processes) loads += yield* queriesOf(run(getDashboard))
        assert.strictEqual(loads, 1)
      }))

    it.effect("a tick that nobody ran is made up for", () =>
      Effect.gen(function*() {
        yield* at("08:30:00")
        const old = yield* Effect.scoped(Effect.gen(function*() {
          yield* Layer.build(Layer.fresh(Scheduled.worker))
          yield* TestClock.adjust("1 second")
          return yield* getDashboard
        }))
        yield* Writes.view(1)
        yield* at("09:01:00")
        assert.deepStrictEqual(yield* getDashboard, old)
        yield* Layer.build(Layer.fresh(Scheduled.worker))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* getDashboard).views, old.views + 1)
      }).pipe(testCache))
  })
})
