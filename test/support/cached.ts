/**
 * What tests of cached reads share: the stores to run on, an origin that counts
 * what is asked of it, and a few words about fibers.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Entity from "../../src/Entity.ts"
import { inside } from "../../src/internal/service/model.ts"
import { instrument } from "../../src/internal/testing/instruments.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"

export type Provided = CacheService.CacheService | TestCache.TestCache

/** The store in memory, with the instruments that look and lose. It answers at once: nothing can be disturbed. */
export const memory: Layer.Layer<Provided> = Layer.effect(
  TestCache.TestCache,
  Effect.map(
    CacheService.CacheService,
    ({ store }) => instrument(store as MemoryCache.MemoryStore).instruments
  )
).pipe(Layer.provideMerge(MemoryCache.layer({ capacity: 1000 })), Layer.fresh)

/** The store for tests: values as text, every operation bounded in time and open to disturbance. */
export const text: Layer.Layer<Provided> = Layer.fresh(TestCache.layer())

type Test = Effect.Effect<unknown, unknown, Provided | Scope.Scope>

const provided = (test: Test, layer: Layer.Layer<Provided>) => Effect.provide(Random.withSeed(test, "seed"), layer)

/** One test on each store. */
export const onEach = (name: string, test: Test): void => {
  it.effect(`${name} [memory]`, () => provided(test, memory))
  it.effect(`${name} [text]`, () => provided(test, text))
}

/** A test that disturbs the store. */
export const onText = (name: string, test: Test): void => {
  it.effect(`${name} [text]`, () => provided(test, text))
}

/**
 * An origin of one value. A load reads the value when it begins and answers
 * after `takes`, so it can be overtaken by a write. What fails or dies does so
 * at the end, too.
 */
export class Origin<A, E = never> {
  value: A
  takes: Duration.Input = 0
  ends: Effect.Effect<unknown, E> = Effect.void
  /** Loads that began, those that ended by themselves, and those that were interrupted. */
  loads = 0
  ended = 0
  interrupted = 0

  constructor(value: A) {
    this.value = value
  }

  readonly load: Effect.Effect<A, E> = Effect.suspend(() => {
    this.loads++
    const { ends, takes, value } = this
    const wait = Duration.toMillis(takes) === 0 ? Effect.void : Effect.sleep(takes)
    return Effect.andThen(wait, Effect.as(ends, value)).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) && Exit.hasInterrupts(exit)) this.interrupted++
          else this.ended++
        })
      )
    )
  })
}

export type NumbersOptions = Partial<Pick<Cached.Options<string, number, never, never>, "refresh" | "softTimeout">>

/** Numbers by a string, from one origin. */
export const numbers = <E = never>(
  origin: Origin<number, E>,
  policy: Policy.Policy<string, number> = Policy.forever,
  options: NumbersOptions = {}
) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load, ...options }, policy)

/** Ten seconds fresh, ten more served while it is refreshed, and ten more in place of a load that fails. */
export const ages = Policy.ttl<string, number>("10 seconds", { stale: "20 seconds", onError: "30 seconds" })

/** Lets every fiber run that can. */
export const settle: Effect.Effect<void> = Effect.repeat(Effect.yieldNow, { times: 20 }).pipe(Effect.asVoid)

/** Starts something and lets it come as far as it can. */
export const begin = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.tap(Effect.forkChild(effect), () => settle)

export const beginAll = <A, E, R>(
  times: number,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<Array<Fiber.Fiber<A, E>>, never, R> =>
  Effect.tap(Effect.forEach(Array.from({ length: times }), () => Effect.forkChild(effect)), () => settle)

/** What fibers ended with; fails the test if one still runs. */
export const ends = <A, E>(fibers: ReadonlyArray<Fiber.Fiber<A, E>>): Effect.Effect<Array<Exit.Exit<A, E>>> =>
  Effect.map(settle, () =>
    fibers.map((fiber) => {
      const exit = fiber.pollUnsafe()
      assert(exit !== undefined, "the fiber still runs")
      return exit
    }))

export const isRunning = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.pollUnsafe() === undefined

/** Runs something on the same store by a service of its own, as another process or a later release does. */
export const elsewhere = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | CacheService.CacheService> =>
  Effect.scoped(Effect.gen(function*() {
    const { store } = yield* CacheService.CacheService
    return yield* Effect.provideService(effect, CacheService.CacheService, yield* CacheService.make(store))
  })) as Effect.Effect<A, E, R | CacheService.CacheService>

/** What an effect fails with: its typed error. */
export const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, unknown, R> => Effect.flip(effect)

/** What an effect dies with. */
export const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.map(Effect.exit(effect), (exit) => {
    assert(Exit.isFailure(exit), "it did not fail")
    const reason = exit.cause.reasons.find(Cause.isDieReason)
    assert(reason !== undefined, `no defect: ${Cause.pretty(exit.cause)}`)
    return reason.defect
  })

/** Nothing of a load is left: no lease, no flight, no refresh. */
export const assertQuiet: Effect.Effect<void, never, Provided> = Effect.gen(function*() {
  yield* settle
  const { loads, refreshing } = inside(yield* CacheService.CacheService)
  const { leases } = yield* TestCache.sizes
  assert.deepStrictEqual(
    { loads: loads.size, refreshing: refreshing.size, leases },
    { loads: 0, refreshing: 0, leases: 0 }
  )
})

/** What reads find at some moments, and how often the origin was asked by then. */
export const readsAt = Effect.fnUntraced(function*<E, R>(
  cached: Cached.Cached<string, number, E, R>,
  origin: Origin<number, unknown>,
  moments: ReadonlyArray<number>
) {
  const seen: Array<readonly [at: number, value: number, loads: number]> = []
  let now = 0
  for (const at of moments) {
    yield* TestClock.adjust(at - now)
    now = at
    const value = yield* Cached.get(cached, "a")
    yield* settle
    seen.push([at, value, origin.loads])
  }
  return seen
})

/** Writes to the origin when it has taken a while, as a transaction does that commits. */
export const writing = (origin: Origin<number>, value: number, takes: number): Effect.Effect<number> =>
  Effect.andThen(
    takes === 0 ? Effect.void : Effect.sleep(takes),
    Effect.sync(() => origin.value = value)
  )

export const isInvalidationError = (
  error: unknown,
  mayHaveHappened: boolean,
  reason: CacheStore.Reason["_tag"]
): void => {
  assert.instanceOf(error, CacheService.InvalidationError)
  assert.deepStrictEqual([error.mayHaveHappened, error.reason._tag], [mayHaveHappened, reason])
}

// -----------------------------------------------------------------------------
// films
// -----------------------------------------------------------------------------

export const Film = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  genre: Schema.String,
  rating: Schema.Finite
})

export const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

export type Film = typeof Film.Type

export const alien: Film = { id: 7, title: "Alien", genre: "horror", rating: 8.4 }

export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Int }) {}

export class Down extends Schema.TaggedError<Down>()("Down", {}) {}
