/**
 * The store in memory with instruments, for tests: every operation is recorded,
 * and can be disturbed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as CacheStore from "../../CacheStore.ts"
import type * as MemoryCache from "../../MemoryCache.ts"

/**
 * An operation that was asked of the store. `key` is the stored key, for
 * operations of one key; `detail` says what it was about; `result` how it
 * ended, once it has.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operation {
  readonly name: keyof CacheStore.Operations
  readonly key: string | undefined
  readonly detail: string | undefined
  readonly result: string | undefined
}

/** What stands around an operation: it is given the operation and the effect that performs it. */
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
  readonly disturb: (name: Operation["name"], around: Around, times: number) => void
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
  readonly name: Operation["name"]
  readonly around: Around
  left: number
}

interface Recorded {
  readonly name: Operation["name"]
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

// A remote store's answer does not change after it was sent.
const copied = (entry: CacheStore.Entry): CacheStore.Entry => ({
  token: entry.token,
  payload: entry.payload,
  stamp: entry.stamp,
  expiresAt: entry.expiresAt,
  changed: entry.changed && new Map(entry.changed),
  softened: entry.softened,
  memo: undefined
})

/** Puts instruments around a store in memory. */
export const instrument = (
  store: MemoryCache.MemoryStore,
  payload: "value" | "text" = "text"
): { readonly instruments: TestCache; readonly store: CacheStore.CacheStore } => {
  let recorded: Array<Recorded> = []
  let disturbances: Array<Disturbance> = []

  const around = <A>(
    name: Operation["name"],
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
    inspect: (address) => around("inspect", address.key, undefined, store.inspect(address)),
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
    store: { ...CacheStore.wrap(store, recording), name: "test", payload, compares: true }
  }
}
