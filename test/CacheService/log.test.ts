import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, References } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import { at, load } from "../support/port.ts"
import { store } from "./support.ts"

describe("the log", () => {
  interface Line {
    readonly level: string
    readonly message: unknown
    readonly annotations: Readonly<Record<string, unknown>>
  }

  const lines = (program: Effect.Effect<unknown, unknown, CacheService.CacheService>) =>
    Effect.gen(function*() {
      const heard: Array<Line> = []
      const logger = Logger.make((options) => {
        heard.push({
          level: options.logLevel,
          message: options.message,
          annotations: options.fiber.getRef(References.CurrentLogAnnotations)
        })
      })
      yield* program.pipe(
        Effect.provide(MemoryCache.layer({ capacity: 10 })),
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      return heard
    })

  const invalidating = Effect.gen(function*() {
    yield* load(yield* store, at("a", "x"))
    yield* Cached.apply(Invalidation.combine(Invalidation.tags("x"), Invalidation.keys("film:1")))
  })

  it.effect("has invalidations at Debug, with what and how many", () =>
    Effect.gen(function*() {
      const [line, ...others] = yield* lines(invalidating)
      assert.strictEqual(others.length, 0)
      assert.strictEqual(line?.level, "Debug")
      assert.deepStrictEqual(line?.annotations, { invalidation: "key film:1, tag x", entries: 1 })
    }))

  it.effect("has them at the level that is given", () =>
    Effect.gen(function*() {
      const [line] = yield* lines(Effect.provideService(invalidating, CacheService.InvalidationLogLevel, "Info"))
      assert.strictEqual(line?.level, "Info")
    }))

  it.effect("has none of them if no level is given", () =>
    Effect.gen(function*() {
      const quiet = Effect.provideService(invalidating, CacheService.InvalidationLogLevel, undefined)
      assert.deepStrictEqual(yield* lines(quiet), [])
    }))

  it.effect("has nothing of an invalidation of nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* lines(Cached.apply(Invalidation.empty)), [])
    }))
})
