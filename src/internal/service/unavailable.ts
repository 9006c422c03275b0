/**
 * Sharing loads in this process while the store cannot be asked: leases that are
 * known here only. Nothing is stored.
 *
 * What this process invalidates, fences or writes meanwhile voids all of them, also
 * if the store did not acknowledge it: who reads afterwards is given nothing that
 * began to load before. Of what other processes invalidate nothing is known.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CacheStore from "../../CacheStore.ts"
import { elapsed } from "../deadline.ts"
import { placeOf } from "../place.ts"

/** The lease of a load, for as long as it is honoured; `changes` is how many were made before it began. */
interface Held {
  readonly token: CacheStore.Token
  readonly until: number
  readonly changes: number
}

export interface Sharing {
  /**
   * Something that changes what loads read, or the store: noted before its caller knows how it ended, and however that
   * was. Not where an invalidation is only tried again: its caller knows already, and loads that began since are new.
   */
  readonly changing: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The store, with all that changes it noted. */
  readonly noted: (store: CacheStore.CacheStore) => CacheStore.CacheStore
  /** Grants leases in place of a store. */
  readonly leases: (store: CacheStore.CacheStore) => CacheStore.CacheStore
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)

/** `isLoading` says whether a lease is that of a load that is under way. */
export const sharing = (isLoading: (token: CacheStore.Token) => boolean): Sharing => {
  const held = new Map<string, Held>()
  let changes = 0

  const changing: Sharing["changing"] = (effect) =>
    Effect.onExit(effect, () => {
      changes++
      return Effect.void
    })

  const begin = (
    address: CacheStore.Address,
    { force, leaseFor, token }: CacheStore.Begin,
    now: number
  ): CacheStore.Begun => {
    const place = placeOf(address)
    const other = held.get(place)
    if (!force && other !== undefined && other.changes === changes && now < other.until && isLoading(other.token)) {
      return { _tag: "Busy", token: other.token, position: String(changes) }
    }
    held.set(place, { token, until: now + leaseFor, changes })
    return { _tag: "Leased", lease: { token, fenced: false, position: String(changes) } }
  }

  const giveUp = (address: CacheStore.Address, token: CacheStore.Token): void => {
    const place = placeOf(address)
    if (held.get(place)?.token === token) held.delete(place)
  }

  const end = (address: CacheStore.Address, { position, token }: CacheStore.Lease) =>
    Effect.sync((): CacheStore.Outcome => {
      giveUp(address, token)
      return position === String(changes) ? "unstored" : "invalidated"
    })

  return {
    changing,
    noted: (store) =>
      CacheStore.wrap(store, (store) => ({
        read: store.read,
        begin: store.begin,
        // What is written through is invalidated for nobody else.
        commit: (address, lease, draft) => changing(store.commit(address, lease, draft)),
        discard: store.discard,
        abandon: store.abandon,
        released: store.released,
        inspect: store.inspect,
        scan: store.scan,
        invalidate: (batch) => changing(store.invalidate(batch)),
        fence: (fence) => changing(store.fence(fence)),
        lift: (fence) => changing(store.lift(fence))
      })),
    leases: (store) => ({
      ...store,
      payload: "value",
      read: () => nothing,
      begin: (address, request) => Effect.clockWith((clock) => Effect.succeed(begin(address, request, elapsed(clock)))),
      commit: end,
      discard: end,
      abandon: (address, token) => Effect.sync(() => giveUp(address, token)),
      released: () => Exit.void
    })
  }
}
