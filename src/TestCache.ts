/**
 * A cache for tests: the store in memory with instruments.
 *
 * It keeps values as text, as a remote store would, so a schema that does not
 * survive its own encoding shows in a unit test. It records every operation,
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
import * as MemoryCache from "./MemoryCache.ts"

/**
 * The name of an operation of a store.
 *
 * @category models
 * @since 0.1.0
 */
export type OperationName = keyof CacheStore.Operations

/**
 * An operation that was asked of the store. `key` is the stored key, for
 * operations of one key; `detail` says what it was about; `result` how it
 * ended, once it has.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operation {
  readonly name: OperationName
  readonly key: string | undefined
  readonly detail: string | undefined
  readonly result: string | undefined
}

/**
 * An entry as the store holds it: its payload is the encoded text.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredEntry {
  readonly key: string
  readonly payload: unknown
  readonly stamp: CacheStore.Stamp
}

/**
 * What stands around an operation: it is given the operation and the effect
 * that performs it.
 *
 * @category models
 * @since 0.1.0
 */
export type Around = <A>(
  operation: Operation,
  perform: Effect.Effect<A, CacheStore.StoreError>
) => Effect.Effect<A, CacheStore.StoreError>

/**
 * The instruments of a test cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestCache {
  readonly store: MemoryCache.MemoryStore
  readonly operations: () => ReadonlyArray<Operation>
  readonly forget: () => void
  readonly disturb: (name: OperationName, around: Around, times: number) => void
  readonly restore: () => void
}

/**
 * The instruments of a test cache.
 *
 * @category services
 * @since 0.1.0
 */
export const TestCache: Context.Service<TestCache, TestCache> = Context.Service("effect-cache-algebra/TestCache")

interface Disturbance {
  readonly name: OperationName
  readonly around: Around
  left: number
}

interface Recorded {
  readonly name: OperationName
  readonly key: string | undefined
  readonly detail: string | undefined
  result: string | undefined
}

const label = (value: unknown): string =>
  typeof value === "object" && value !== null && "_tag" in value
    ? String(value._tag)
    : value === undefined
    ? "nothing"
    : typeof value === "object"
    ? "entry"
    : String(value)

// A remote store's answer does not change while it travels, nor afterwards.
const copied = (entry: CacheStore.Entry): CacheStore.Entry => ({
  token: entry.token,
  payload: entry.payload,
  stamp: entry.stamp,
  expiresAt: entry.expiresAt,
  changed: entry.changed && new Map(entry.changed),
  softened: entry.softened,
  memo: undefined
})

/**
 * Puts instruments around a store in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const instrument = (
  store: MemoryCache.MemoryStore,
  payload: "value" | "text" = "text"
): { readonly instruments: TestCache; readonly store: CacheStore.CacheStore } => {
  let recorded: Array<Recorded> = []
  let disturbances: Array<Disturbance> = []

  const around = <A>(
    name: OperationName,
    key: string | undefined,
    detail: string | undefined,
    perform: Effect.Effect<A, CacheStore.StoreError>
  ): Effect.Effect<A, CacheStore.StoreError> =>
    Effect.suspend(() => {
      const operation: Recorded = { name, key, detail, result: undefined }
      recorded.push(operation)
      const disturbance = disturbances.find((d) => d.name === name && d.left > 0)
      if (disturbance !== undefined) disturbance.left--
      return (disturbance === undefined ? perform : disturbance.around(operation, perform)).pipe(
        Effect.tap((result) =>
          Effect.sync(() => {
            operation.result = label(result)
          })
        ),
        Effect.tapError((error) =>
          Effect.sync(() => {
            operation.result = error.reason._tag
          })
        )
      )
    })

  // All operations of the port, so one that is added to it is recorded too.
  const recording = (store: CacheStore.CacheStore): CacheStore.Operations => ({
    // Suspended: the store in memory answers a read when it is called.
    read: (address) =>
      around(
        "read",
        address.key,
        undefined,
        Effect.suspend(() => Effect.map(store.read(address), (entry) => entry && copied(entry)))
      ),
    begin: (address, request) =>
      around(
        "begin",
        address.key,
        request.force ? "by force" : undefined,
        Effect.map(store.begin(address, request), (begun) =>
          begun._tag === "Found" ? { _tag: "Found" as const, entry: copied(begun.entry) } : begun)
      ),
    commit: (address, lease, draft) => around("commit", address.key, undefined, store.commit(address, lease, draft)),
    discard: (address, lease, dependencies) =>
      around("discard", address.key, undefined, store.discard(address, lease, dependencies)),
    abandon: (address, token) => around("abandon", address.key, undefined, store.abandon(address, token)),
    released: (address, token) => around("released", address.key, undefined, store.released(address, token)),
    invalidate: (batch) => around("invalidate", undefined, batch.toString(), store.invalidate(batch)),
    fence: (fence) => around("fence", undefined, fence.over.toString(), store.fence(fence)),
    lift: (fence) => around("lift", undefined, fence.over.toString(), store.lift(fence)),
    inspect: (key, known) => around("inspect", key, undefined, store.inspect(key, known)),
    scan: (scan) => around("scan", undefined, undefined, store.scan(scan))
  })

  return {
    instruments: {
      store,
      operations: () => recorded,
      forget: () => {
        recorded = []
      },
      disturb: (name, by, times) => {
        disturbances.push({ name, around: by, left: times })
      },
      restore: () => {
        disturbances = []
      }
    },
    store: { ...CacheStore.wrap(store, recording), name: "test", payload }
  }
}

/**
 * Options of a test cache.
 *
 * - `capacity`: the most entries (10 000).
 * - `payload`: whether values are kept as text (the default) or as they are.
 * - `seed`: of the randomness that programs under this layer use.
 * - `timeLimit`, `failures`, `openFor`: see `CacheStore.guard`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly capacity?: number
  readonly payload?: "value" | "text"
  readonly seed?: string | number
  readonly timeLimit?: Duration.Input
  readonly failures?: number
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
export const disturb = (name: OperationName, around: Around, times = Infinity): Effect.Effect<void, never, TestCache> =>
  using((t) => t.disturb(name, around, times))

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
export const fail = (name: OperationName, times = Infinity): Effect.Effect<void, never, TestCache> =>
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
  name: OperationName,
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
  name: OperationName,
  what: "request" | "answer",
  times = Infinity
): Effect.Effect<void, never, TestCache> =>
  disturb(name, (_, perform) => what === "request" ? Effect.never : Effect.andThen(perform, Effect.never), times)

/**
 * The entries that are stored.
 *
 * @category instruments
 * @since 0.1.0
 */
export const entries: Effect.Effect<ReadonlyArray<StoredEntry>, never, TestCache> = using(({ store }) =>
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
