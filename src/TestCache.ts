/**
 * A cache for tests: the store in memory with instruments.
 *
 * It keeps values as text, as a remote store would, and compares each with what
 * that reads as: one that would come back as another is not stored, with a
 * warning. So a schema that does not survive its own encoding shows in a unit test. It records every operation,
 * can fail, delay or lose one, shows and loses what it holds, and
 * obeys `TestClock`. Randomness is seeded.
 *
 * **Gotchas**
 *
 * - Assert what a reader sees, not which operation was called: operations are
 *   there to be disturbed, and to count.
 * - Operations are bounded in time and a circuit breaker stands before them, as
 *   for a remote store: under `TestClock` a delayed read waits until the clock
 *   is moved.
 *
 * **Example** (A store that fails costs a load, never an error)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Cached, Key, Policy } from "effect-cache-algebra"
 * import * as TestCache from "effect-cache-algebra/TestCache"
 *
 * const answer = Cached.make("answer", {
 *   key: Key.unit,
 *   value: Schema.Finite,
 *   lookup: () => Effect.succeed(42)
 * }, Policy.forever)
 *
 * const program = Effect.gen(function*() {
 *   yield* TestCache.fail("read")
 *   return yield* Cached.get(answer, undefined)
 * }).pipe(Effect.provide(TestCache.layer()))
 *
 * await Effect.runPromise(program) // => 42
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as CacheService from "./CacheService.ts"
import * as CacheStore from "./CacheStore.ts"
import { type Around, instrument, type Operation, TestCache } from "./internal/testing/instruments.ts"
import * as MemoryCache from "./MemoryCache.ts"

export { type Operation, TestCache } from "./internal/testing/instruments.ts"

/**
 * Options of a test cache.
 *
 * - `capacity`: the most entries (10 000).
 * - `payload`: whether values are kept as text (the default) or as they are.
 * - `seed`: of the randomness that programs under this layer use.
 * - `readLimit`, `timeLimit`, `failures`, `openAfter`, `openFor`: see
 *   `CacheStore.guard`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly capacity?: number
  readonly payload?: "value" | "text"
  readonly seed?: string | number
  readonly readLimit?: Duration.Input
  readonly timeLimit?: Duration.Input
  readonly failures?: number
  readonly openAfter?: Duration.Input
  readonly openFor?: Duration.Input
}

/**
 * The store alone, with its instruments and seeded randomness.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (options: Options = {}): Layer.Layer<CacheStore.CacheStore | TestCache> => {
  const { capacity = 10_000, payload = "text", seed = "effect-cache-algebra", ...limits } = options
  return Layer.effectContext(Effect.gen(function*() {
    const memory = yield* MemoryCache.makeStore({ capacity })
    const { instruments, store } = instrument(memory, payload)
    const random = yield* Random.withSeed(
      Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Random.Random))),
      seed
    )
    return Context.make(CacheStore.CacheStore, CacheStore.guard(store, limits)).pipe(
      Context.add(TestCache, instruments),
      Context.add(Random.Random, random)
    )
  }))
}

/**
 * A cache for tests, its instruments, and seeded randomness.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<CacheService.CacheService | TestCache> =>
  Layer.provideMerge(CacheService.layer(), layerStore(options))

const using = <A>(f: (instruments: TestCache) => A): Effect.Effect<A, never, TestCache> => Effect.map(TestCache, f)

/**
 * The operations that were asked so far, in order.
 *
 * @category instruments
 * @since 0.1.0
 */
export const operations: Effect.Effect<ReadonlyArray<Operation>, never, TestCache> = using((t) => t.operations())

/**
 * Forgets the operations that were recorded.
 *
 * @category instruments
 * @since 0.1.0
 */
export const forget: Effect.Effect<void, never, TestCache> = using((t) => t.forget())

/**
 * Puts something around the next `times` operations of a name (all that follow,
 * unless given).
 *
 * @category instruments
 * @since 0.1.0
 */
export const disturb = (
  name: Operation["name"],
  around: Around,
  times = Infinity
): Effect.Effect<void, never, TestCache> => using((t) => t.disturb(name, around, times))

/**
 * Ends all disturbances.
 *
 * @category instruments
 * @since 0.1.0
 */
export const restore: Effect.Effect<void, never, TestCache> = using((t) => t.restore())

/**
 * Lets the next operations of a name fail, without taking effect.
 *
 * @category instruments
 * @since 0.1.0
 */
export const fail = (name: Operation["name"], times = Infinity): Effect.Effect<void, never, TestCache> =>
  disturb(
    name,
    (operation) =>
      Effect.fail(
        new CacheStore.StoreError({
          operation: operation.name,
          reason: { _tag: "Unavailable" },
          mayHaveHappened: false
        })
      ),
    times
  )

/**
 * Lets the next operations of a name wait before they happen. `Infinity` for a
 * store that is frozen.
 *
 * @category instruments
 * @since 0.1.0
 */
export const delay = (
  name: Operation["name"],
  by: Duration.Input,
  times = Infinity
): Effect.Effect<void, never, TestCache> =>
  disturb(name, (_, perform) => {
    const duration = Duration.fromInputUnsafe(by)
    return Duration.isFinite(duration) ? Effect.delay(perform, duration) : Effect.never
  }, times)

/**
 * Loses the next operations of a name: the request, so that nothing happens, or
 * the answer, so that it happens and the caller never learns of it.
 *
 * @category instruments
 * @since 0.1.0
 */
export const lose = (
  name: Operation["name"],
  what: "request" | "answer",
  times = Infinity
): Effect.Effect<void, never, TestCache> =>
  disturb(name, (_, perform) => what === "request" ? Effect.never : Effect.andThen(perform, Effect.never), times)

/**
 * The entries that are stored, as the store holds them: a payload is the encoded
 * text, unless values are kept as they are.
 *
 * @category instruments
 * @since 0.1.0
 */
export const entries: Effect.Effect<
  ReadonlyArray<{ readonly key: string; readonly payload: unknown; readonly stamp: CacheStore.Stamp }>,
  never,
  TestCache
> = using(({ store }) =>
  store.keys().flatMap((key) => {
    const entry = store.peek(key)
    return entry === undefined ? [] : [{ key, payload: entry.payload, stamp: entry.stamp }]
  })
)

/**
 * Loses entries, leases or the journal, as any store may at any time: those of
 * a stored key, or all.
 *
 * @category instruments
 * @since 0.1.0
 */
export const evict = (what: "entry" | "lease" | "journal", key?: string): Effect.Effect<void, never, TestCache> =>
  using((t) => t.store.evict(what, key))

/**
 * Replaces the stored payload of a key; false when nothing is stored.
 *
 * @category instruments
 * @since 0.1.0
 */
export const corrupt = (key: string, payload: unknown): Effect.Effect<boolean, never, TestCache> =>
  using((t) => t.store.corrupt(key, payload))

/**
 * How much the store holds.
 *
 * @category instruments
 * @since 0.1.0
 */
export const sizes: Effect.Effect<ReturnType<MemoryCache.MemoryStore["sizes"]>, never, TestCache> = using((t) =>
  t.store.sizes()
)
