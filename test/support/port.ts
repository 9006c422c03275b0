/** The port in few words, for tests that speak to a store directly. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"

export const at = (key: string, ...known: ReadonlyArray<string>): CacheStore.Address => ({
  key,
  known: known.map(Dependency.tag)
})

let asked = 0

export const asks = (request: Partial<CacheStore.Begin> = {}): CacheStore.Begin => ({
  token: `token ${++asked}`,
  seen: undefined,
  drop: false,
  force: false,
  leaseFor: 60_000,
  ...request
})

/** What a load gives: a payload, and the tags that were found in it. */
export interface Given {
  readonly payload?: unknown
  readonly found?: ReadonlyArray<string>
  readonly fatal?: ReadonlyArray<string>
  readonly expiresAt?: number
  readonly size?: number
}

export const draft = (address: CacheStore.Address, given: Given = {}): CacheStore.Draft => {
  const { expiresAt = Infinity, fatal = [], found = [], payload = address.key, size = 1 } = given
  return {
    token: `entry ${++asked}`,
    payload,
    stamp: {
      storedAt: 0,
      beganAt: 0,
      duration: 1,
      jitter: 0,
      versions: {},
      dependencies: [...address.known, ...found.map(Dependency.tag)],
      shape: "",
      failure: false
    },
    found: found.map(Dependency.tag),
    fatal: new Set(fatal.map(Dependency.tag)),
    expiresAt,
    size: () => size,
    memo: undefined
  }
}

/** Begins a load that must be granted. */
export const begin = (
  store: CacheStore.CacheStore,
  address: CacheStore.Address,
  request: Partial<CacheStore.Begin> = {}
): Effect.Effect<CacheStore.Lease> =>
  Effect.flatMap(
    Effect.orDie(store.begin(address, asks({ force: true, ...request }))),
    (begun) =>
      begun._tag === "Leased" ? Effect.succeed(begun.lease) : Effect.die(new Error(`${address.key} is ${begun._tag}`))
  )

/** A whole load; gives what became of it. */
export const load = (
  store: CacheStore.CacheStore,
  address: CacheStore.Address,
  given: Given = {}
): Effect.Effect<CacheStore.Outcome> =>
  Effect.flatMap(
    begin(store, address),
    (lease) => Effect.orDie(store.commit(address, lease, { ...draft(address, given), token: lease.token }))
  )

/** The service on a store that is made. */
export const serviceOn = <E, R>(
  store: Effect.Effect<CacheStore.CacheStore, E, R>,
  options?: CacheService.Options
): Layer.Layer<CacheService.CacheService, E, Exclude<R, Scope.Scope>> =>
  Layer.provide(CacheService.layer(options), Layer.effect(CacheStore.CacheStore, store))
