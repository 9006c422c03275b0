/**
 * The cache as it is inside of a transaction: it keeps nothing, so that every
 * read sees what the transaction sees and nobody else does, and what is
 * invalidated waits for the commit.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { CacheService, Collecting } from "../CacheService.ts"
import type { CacheStore, Fence, Token } from "../CacheStore.ts"
import type { Invalidation } from "../Invalidation.ts"

/** What the transaction has to do when it has ended, however it ended. */
export interface Ending extends Collecting {
  /** The batch that is this key. */
  readonly batchOf: (key: string) => Invalidation
  readonly addFence: (fence: Fence) => void
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)
const lifted: Exit.Exit<boolean> = Exit.succeed(true)

const emptyStore = (store: CacheStore, deliver: CacheService["deliver"], ending: Ending): CacheStore => {
  // Refreshes and writes: what others have of their keys is old afterwards.
  const forced = new Set<Token>()
  // Those that fall with the transaction. Others are taken away by who opened them.
  const standing = new Set<Token>()
  return {
    name: store.name,
    // Nothing is stored, so nothing need be written as text.
    payload: "value",
    read: () => nothing,
    begin: (_address, { force, token }) => {
      if (force) forced.add(token)
      return Exit.succeed({ _tag: "Leased", lease: { token, fenced: false } })
    },
    commit: ({ key }, { token }) =>
      forced.delete(token) ? Effect.as(deliver(ending.batchOf(key)), "unstored") : Exit.succeed("unstored"),
    abandon: (_address, token) => {
      forced.delete(token)
      return Exit.void
    },
    // Inside of the transaction everything is read anew, and nobody else is in it.
    discard: (_address, { token }) => {
      forced.delete(token)
      return Exit.succeed("unstored")
    },
    released: () => Exit.void,
    atomic: () => true,
    invalidate: deliver,
    inspect: store.inspect,
    scan: store.scan,
    // It stands from now on, for others: a process that dies after its commit has told them already.
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
export const within = (service: CacheService, ending: Ending): CacheService => {
  // Who is still at work when it has ended is told at once.
  const deliver: CacheService["deliver"] = (batch) =>
    Effect.suspend(() => ending.open ? (ending.add(batch), Effect.undefined) : service.deliver(batch))
  return {
    ...service,
    store: emptyStore(service.store, deliver, ending),
    collecting: ending,
    deliver,
    keep: (batch, error) =>
      Effect.suspend(() => ending.open ? Effect.sync(() => ending.add(batch)) : service.keep(batch, error))
  }
}
