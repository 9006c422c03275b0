/**
 * Schedules of several processes on one Redis. A process is a layer with
 * connections of its own. Ticks come when the test says so; the server is real.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { inside, type Service } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Schedules from "../../src/Schedules.ts"
import { eventually } from "../support/redis.ts"
import { both, keysUnder, places, type Process, promise, start, type Way } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"
import { countingPopular } from "./popular.ts"

const crew = 6

/** What all of them did in the ticks so far. */
interface Record {
  /** The processes that applied an invalidation, in order. */
  readonly applied: Array<number>
  /** How often one found the marker of the tick, or left it. */
  ended: number
  /** The tick that is to be run. */
  tick: number
}

/** A process that is recorded, and dies where `dies` says so. */
const recorded = (
  { service }: Process,
  index: number,
  record: Record,
  dies: (index: number) => boolean
): CacheService.CacheService => {
  const inner = inside(service)
  let dead = false
  const alive = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => dead ? Effect.never : effect)
  const deliver: Service["deliver"] = (batch) =>
    Effect.suspend(() => {
      record.applied.push(index)
      if (!dies(index)) return inner.deliver(batch)
      dead = true
      return Effect.never
    })
  const ended = () => {
    record.ended++
  }
  const watched: Service = {
    ...inner,
    deliver,
    store: {
      ...inner.store,
      begin: (address, request) =>
        Effect.tap(
          alive(service.store.begin(address, request)),
          (begun) =>
            Effect.sync(() =>
              begun._tag === "Found" && begun.entry.payload === String(record.tick) ? ended() : undefined
            )
        ),
      commit: (address, lease, draft) =>
        Effect.tap(
          alive(service.store.commit(address, lease, draft)),
          (outcome) => Effect.sync(() => outcome === "stored" ? ended() : undefined)
        ),
      abandon: (address, token) => Effect.suspend(() => dead ? Effect.void : service.store.abandon(address, token))
    }
  }
  return watched
}

const crewOn = (
  way: Way,
  scheduled: Schedules.Schedule,
  dies: (index: number) => boolean = () => false
) =>
  Effect.gen(function*() {
    const prefix = freshPrefix()
    const record: Record = { applied: [], ended: 0, tick: 0 }
    // While the test's time flies, what is asked of the server takes real time.
    const processes = yield* Effect.forEach(
      Array.from({ length: crew }),
      () => start(way.layer({ prefix, timeLimit: "1 hour" })),
      { concurrency: "unbounded" }
    )
    for (const [index, process] of processes.entries()) {
      yield* Effect.provideService(
        Layer.build(Schedules.layer(scheduled)),
        CacheService.CacheService,
        recorded(process, index, record, dies)
      )
    }
    return { prefix, processes, record }
  })

/** Lets the time of the schedules go on until something is so. What is under way on the server takes real time. */
const goOnUntil = (what: string, is: () => boolean | Promise<boolean>, step = 100) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    yield* promise(() =>
      eventually(what, async () => {
        if (await is()) return true
        await Effect.runPromiseWith(context)(TestClock.adjust(step))
        return false
      }, 20_000)
    )
  })

const hour = 3_600_000

const toTick = (record: Record) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    record.tick = (Math.floor(now / hour) + 1) * hour
    yield* TestClock.adjust(record.tick - now)
  })

const ticks = [1, 2, 3]

for (const way of both) {
  describe(way.name, () => {
    for (
      const [what, invalidation] of [
        ["a tag", Invalidation.tags("popular")],
        ["a pattern", Invalidation.pattern({ name: "popular", parts: [] })],
        ["everything", Invalidation.everything]
      ] as const
    ) {
      it.effect(`six processes: ${what} is invalidated once at each tick`, () =>
        Effect.gen(function*() {
          const hourly = Schedules.cron("0 * * * *", invalidation, { name: "hourly", missed: "skip" })
          const { prefix, processes, record } = yield* crewOn(way, hourly)
          const popular = countingPopular()
          const seen = (process: Process) => process.run(Cached.get(popular, undefined))
          assert.strictEqual(yield* seen(processes[0]!), 1)
          for (const tick of ticks) {
            yield* toTick(record)
            yield* goOnUntil("all have ended the tick", () => record.ended >= crew * tick)
            assert.strictEqual(record.applied.length, tick)
            assert.strictEqual(yield* seen(processes[tick]!), tick + 1)
          }
          const client = yield* way.look
          const marker = places(prefix).entry("!schedule:hourly")
          assert.include(yield* keysUnder(client, prefix), marker)
          assert.isAbove(yield* promise(() => client.pttl(marker)), hour)
        }))
    }

    it.effect("one that dies while it has the lease is replaced when the lease ends, and no other repeats it", () =>
      Effect.gen(function*() {
        let first: number | undefined
        const hourly = Schedules.cron("0 * * * *", Invalidation.tags("popular"), {
          name: "hourly",
          missed: "skip"
        })
        const { prefix, record } = yield* crewOn(way, hourly, (index) => index === (first ??= index))
        yield* toTick(record)
        yield* goOnUntil("one has died", () => record.applied.length > 0)
        // The others wait for as long as the lease stands.
        yield* TestClock.adjust("30 seconds")
        const client = yield* way.look
        const lease = places(prefix).lease("!schedule:hourly")
        assert.strictEqual(yield* promise(() => client.exists(lease)), 1)
        assert.deepStrictEqual(record.applied, [first])
        // It ends by the server's clock.
        yield* promise(() => client.pexpire(lease, 1))
        yield* goOnUntil("the others have ended the tick", () => record.ended >= crew - 1)
        assert.strictEqual(record.applied.length, 2)
        assert.notStrictEqual(record.applied[1], first)
      }))

    it.effect("who starts later finds the marker, and makes up for a tick that none ran", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("90 minutes")
        const hourly = Schedules.cron("0 * * * *", Invalidation.tags("popular"), { name: "hourly" })
        const { processes, record } = yield* crewOn(way, hourly)
        record.tick = hour
        yield* goOnUntil("all have started", () => record.ended >= crew)
        assert.strictEqual(record.applied.length, 1)
        const restarted = (at: number) =>
          Effect.scoped(Effect.andThen(
            Effect.provideService(
              Layer.build(Schedules.layer(hourly)),
              CacheService.CacheService,
              recorded(processes[0]!, 0, record, () => false)
            ),
            goOnUntil("the restarted one has ended the tick", () => record.ended >= at)
          ))
        yield* restarted(crew + 1)
        assert.strictEqual(record.applied.length, 1)
      }))
  })
}
