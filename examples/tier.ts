/**
 * A tier in the memory of one process, in front of a store that keeps text: a
 * read that finds a good copy asks the store below nothing.
 *
 * It is written against the port alone. `docs/writing-a-store.md` explains it.
 */
import { Effect } from "effect"
import { CacheStore, Invalidation, MemoryCache } from "../src/index.ts"

// #region tier
/** Whether an entry may be served: it is there, and nothing of it was invalidated. */
export const isGood = (entry: CacheStore.Entry | undefined): entry is CacheStore.Entry =>
  entry !== undefined && !entry.softened && (entry.changed?.size ?? 0) === 0

/** An entry of the store below, to be stored above: under the name and until the end that it has there. */
export const copyOf = ({ expiresAt, payload, stamp, token }: CacheStore.Entry): CacheStore.Draft => ({
  token,
  payload,
  stamp,
  expiresAt,
  found: stamp.dependencies,
  fatal: new Set(),
  size: () => String(payload).length,
  memo: undefined
})

/** Long enough for a read of the store below. After so many milliseconds another read may fill the key. */
const fillFor = 10_000

export const tier = (above: CacheStore.CacheStore, below: CacheStore.CacheStore): CacheStore.CacheStore => {
  let named = 0
  const name = (what: string) => `${what} ${++named}`

  // A fill is a load: its lease above is taken before the store below is read, so that an invalidation meanwhile voids it.
  const fill = (below: CacheStore.CacheStore, address: CacheStore.Address, copy: CacheStore.Entry | undefined) => {
    const slot = { key: address.key, version: address.version, known: [] }
    const request = { token: name("fill"), seen: copy?.token, drop: false, force: false, leaseFor: fillFor }
    return Effect.acquireUseRelease(
      above.begin(slot, request),
      (begun) =>
        Effect.tap(below.read(address), (entry) =>
          begun._tag === "Leased" && isGood(entry)
            ? above.commit(slot, begun.lease, copyOf(entry))
            : Effect.void),
      () => above.abandon(slot, request.token)
    )
  }

  // From before the first step below to after the last, nothing that is covered is above, nor gets there. So what takes
  // one step below takes one step here.
  const without = <A>(over: Invalidation.Invalidation, step: () => Effect.Effect<A, CacheStore.StoreError>) =>
    Effect.suspend(() => {
      const fence = { id: name("fence"), over, length: Infinity }
      return Effect.acquireUseRelease(above.fence(fence), step, () => above.lift(fence))
    })

  return CacheStore.wrap(below, (below) => ({
    read: (address) =>
      Effect.flatMap(
        above.read(address),
        (copy) => isGood(copy) ? Effect.succeed(copy) : fill(below, address, copy)
      ),
    // These replace or remove what is stored.
    begin: (address, request) =>
      request.drop
        ? without(Invalidation.keys(address.key), () => below.begin(address, request))
        : below.begin(address, request),
    commit: (address, lease, draft) =>
      without(Invalidation.keys(address.key), () => below.commit(address, lease, draft)),
    invalidate: (batch) => without(batch, () => below.invalidate(batch)),
    fence: (fence) => without(fence.over, () => below.fence(fence)),
    // What follows has nothing to do with copies.
    lift: below.lift,
    discard: below.discard,
    abandon: below.abandon,
    released: below.released,
    inspect: below.inspect,
    scan: below.scan
  }))
}

/** As much memory as it is given, by the clock of the store below: what ends there ends here. */
export const makeTier = (below: CacheStore.CacheStore, capacity: number) =>
  Effect.map(
    MemoryCache.makeStore({ capacity, ...(below.now && { now: below.now }) }),
    (above) => tier(above, below)
  )
// #endregion
