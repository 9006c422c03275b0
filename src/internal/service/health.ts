/**
 * Whether the stores of a service answer. One behind a guard is observed there, any
 * other here.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CacheStore from "../../CacheStore.ts"
import { usualLimits } from "../circuit.ts"
import { Condition, conditionsOf, Group, harmless, type Lost, type Part, withConditions } from "../condition.ts"
import type { Health } from "./model.ts"

// What has no limit of its own must not keep those who ask for it.
const patience = "1 second"

/** The operations of a store, each of which says how it ended. */
const observing = (store: CacheStore.CacheStore, condition: Condition): CacheStore.Operations => {
  const groups = {
    reads: new Group(usualLimits, condition, "reads"),
    writes: new Group(usualLimits, condition, "writes")
  }
  const told = <A>(
    part: Part,
    operation: string,
    effect: Effect.Effect<A, CacheStore.StoreError>
  ): Effect.Effect<A, CacheStore.StoreError> => {
    const group = groups[part]
    // A hit in memory goes through as it is.
    if (Exit.isExit(effect) && Exit.isSuccess(effect) && group.circuit.isQuiet) return effect
    return Effect.onExit(effect, (exit) =>
      Effect.withFiber((fiber) => {
        if (Exit.isSuccess(exit)) group.succeeded(fiber)
        else if (!Cause.hasInterruptsOnly(exit.cause)) {
          group.failed(CacheStore.StoreError.fromCause(operation, exit.cause), undefined, fiber)
        }
        return Effect.void
      }))
  }
  return {
    read: (address) => told("reads", "read", store.read(address)),
    begin: (address, request) => told("writes", "begin", store.begin(address, request)),
    commit: (address, lease, draft) => told("writes", "commit", store.commit(address, lease, draft)),
    discard: (address, lease, dependencies) => told("writes", "discard", store.discard(address, lease, dependencies)),
    abandon: (address, token) => told("writes", "abandon", store.abandon(address, token)),
    released: store.released,
    inspect: store.inspect,
    scan: store.scan,
    invalidate: (batch) => told("writes", "invalidate", store.invalidate(batch)),
    fence: (fence) => told("writes", "fence", store.fence(fence)),
    lift: (fence) => told("writes", "lift", store.lift(fence))
  }
}

export interface Observed {
  readonly store: CacheStore.CacheStore
  readonly health: Effect.Effect<Health>
}

/** A store that is lost, and the first part of it that was. */
interface Found {
  readonly condition: Condition
  readonly first: Lost
}

const isWorse = (a: Found, b: Found): boolean => {
  const [parts, others] = [a.condition.lost.size, b.condition.lost.size]
  return parts === others ? a.first.since < b.first.since : parts > others
}

const worst = (all: Iterable<Condition>): Health => {
  let worst: Found | undefined
  for (const condition of all) {
    const [first] = condition.lost.values()
    if (first === undefined) continue
    const one = { condition, first }
    if (worst === undefined || isWorse(one, worst)) worst = one
  }
  if (worst === undefined) return { _tag: "Healthy" }
  const { condition: { loads, lost, store }, first: { error, since } } = worst
  return { _tag: "Lost", store, parts: [...lost.keys()], since, loads, error: error as CacheStore.StoreError }
}

export const observe = (store: CacheStore.CacheStore): Observed => {
  const conditions = new Set(conditionsOf(store))
  const observed = CacheStore.wrap(store, (store) => {
    if (conditionsOf(store).length > 0) return store
    const tryAgain = Effect.suspend(() =>
      Effect.forEach(
        [...condition.lost.keys()],
        (part) =>
          Effect.timeoutOption(
            Effect.ignore(harmless<Effect.Effect<unknown, CacheStore.StoreError>>(operations, part)),
            patience
          ),
        {
          concurrency: "unbounded",
          discard: true
        }
      )
    )
    const condition = new Condition(store.name, tryAgain)
    const operations = observing(store, condition)
    conditions.add(condition)
    return withConditions(operations, [condition])
  })
  return {
    store: observed,
    // Where nothing is asked for, nothing is learnt: a program that gets no requests while this says that its store is lost
    // would get none for ever.
    health: Effect.map(
      Effect.suspend(() =>
        Effect.forEach([...conditions], ({ lost, tryAgain }) => lost.size === 0 ? Effect.void : tryAgain, {
          concurrency: "unbounded",
          discard: true
        })
      ),
      () => worst(conditions)
    )
  }
}
