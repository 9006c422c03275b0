/**
 * The cache as it is inside of a transaction: it keeps nothing, so that every
 * read sees what the transaction sees and no other caller does, and what is
 * invalidated waits for the commit.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Fence, Token } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import type { ClockedStore, Collecting, Service } from "./model.ts"

/** What the transaction has to do when it has ended, however it ended. */
export interface Ending extends Collecting {
  readonly addFence: (fence: Fence) => void
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)
const lifted: Exit.Exit<boolean> = Exit.succeed(true)

// All operations are named, as in `CacheStore.wrap`: the compiler asks about one that is added.
const emptyStore = (store: ClockedStore, deliver: Service["deliver"], ending: Ending): ClockedStore => {
  // Refreshes and writes: what others have of their keys is old afterwards.
  const forced = new Set<Token>()
  // Those that end with the transaction. Others are taken away by their owners.
  const standing = new Set<Token>()
  return {
    name: store.name,
    // Nothing is stored, so nothing need be written as text.
    payload: "value",
    now: store.now,
    read: () => nothing,
    begin: (_address, { force, token }) => {
      if (force) forced.add(token)
      return Exit.succeed({ _tag: "Leased", lease: { token, fenced: false } })
    },
    commit: ({ key }, { token }) =>
      forced.delete(token) ? Effect.as(deliver(Invalidation.keys(key)), "unstored") : Exit.succeed("unstored"),
    abandon: (_address, token) => {
      forced.delete(token)
      return Exit.void
    },
    // Inside of the transaction everything is read anew, and only its own fibers are in it.
    discard: (_address, { token }) => {
      forced.delete(token)
      return Exit.succeed("unstored")
    },
    released: () => Exit.void,
    atomic: () => true,
    invalidate: deliver,
    inspect: store.inspect,
    scan: store.scan,
    // It stands from now on, for others: a process that dies after its commit has invalidated already.
    fence: (fence) =>
      Effect.map(store.fence(fence), (count) => {
        if (!ending.open) return count
        ending.add(fence.over)
        ending.addFence(fence)
        standing.add(fence.id)
        return count
      }),
    lift: (fence) => Effect.suspend(() => ending.open && standing.has(fence.id) ? lifted : store.lift(fence)),
    announcements: store.announcements
  }
}

/** The service that is provided inside of a transaction. */
export const within = (service: Service, ending: Ending): Service => {
  // What still runs when it has ended is applied at once.
  const deliver: Service["deliver"] = (batch) =>
    Effect.suspend(() => ending.open ? (ending.add(batch), Effect.undefined) : service.deliver(batch))
  return {
    ...service,
    store: emptyStore(service.store, deliver, ending),
    routed: undefined,
    collecting: ending,
    deliver,
    keep: (batch, error) =>
      Effect.suspend(() => ending.open ? Effect.sync(() => ending.add(batch)) : service.keep(batch, error))
  }
}
