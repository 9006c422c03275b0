/**
 * A store whose leases each process keeps for itself: what a cache has that
 * coalesces in the process and knows nothing of the others.
 *
 * Like such a cache it stores whatever was loaded, also what was invalidated
 * meanwhile. That is the flaw which it is here to show.
 */
import { Effect } from "effect"
import type { CacheStore } from "../../src/index.ts"

export const unshared = (store: CacheStore.CacheStore): CacheStore.CacheStore => {
  const held = new Map<string, CacheStore.Token>()
  const begin = (
    { key }: CacheStore.Address,
    { force, seen, token }: CacheStore.Begin,
    entry: CacheStore.Entry | undefined
  ): CacheStore.Begun => {
    if (entry !== undefined && !force && entry.token !== seen) return { _tag: "Found", entry }
    const other = held.get(key)
    if (other !== undefined && !force) return { _tag: "Busy", token: other }
    held.set(key, token)
    return { _tag: "Leased", lease: { token, fenced: false } }
  }
  return {
    ...store,
    begin: (address, request) => Effect.map(store.read(address), (entry) => begin(address, request, entry)),
    commit: (address, lease, draft) => {
      if (held.get(address.key) !== lease.token) return Effect.succeed("lost")
      held.delete(address.key)
      const request = { token: `${lease.token}!`, seen: undefined, drop: false, force: true, leaseFor: 60_000 }
      return Effect.flatMap(store.begin(address, request), (begun) =>
        begun._tag === "Leased"
          ? store.commit(address, begun.lease, draft)
          : Effect.succeed("lost"))
    },
    abandon: ({ key }, token) =>
      Effect.sync(() => {
        if (held.get(key) === token) held.delete(key)
      }),
    // Who has it is always in this process, and joined.
    released: () => Effect.never
  }
}
