/** What the tests of the service share: the service and its store, and short words for what they do. */
import { Context, Effect, Layer } from "effect"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import { instrument } from "../../src/internal/instruments.ts"
import type * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as TestCache from "../../src/TestCache.ts"

export const service = CacheService.CacheService

export const store = Effect.map(service, ({ store }) => store)

export const text = (options: TestCache.Options = {}) => Layer.fresh(TestCache.layer({ payload: "value", ...options }))

/** A store that walks its keys, as a remote one does: what names patterns or everything takes it several steps. */
export const inSteps = Layer.fresh(Layer.effectContext(Effect.gen(function*() {
  const { instruments, store } = instrument(yield* MemoryCache.makeStore({ capacity: 100 }), "value")
  const atomic = ({ everything, patterns }: Invalidation.Invalidation) =>
    patterns.size === 0 && everything === undefined
  const made = yield* CacheService.make(CacheStore.guard({ ...store, atomic }))
  return Context.make(service, made).pipe(Context.add(TestCache.TestCache, instruments))
})))

export const forked = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

export const reasonOf = <A>(effect: Effect.Effect<A, CacheStore.StoreError>) =>
  Effect.map(Effect.result(effect), (result) => result._tag === "Failure" ? result.failure.reason._tag : "fine")

export const asked = (name: TestCache.Operation["name"]) =>
  Effect.map(TestCache.operations, (all) => all.filter((one) => one.name === name).length)

export const opened = Effect.map(TestCache.operations, (all) => all.map(({ name }) => name))
