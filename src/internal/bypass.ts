/**
 * The cache as it is inside of a transaction: it keeps nothing, so that every
 * read sees what the transaction sees and nobody else does, and what is
 * invalidated waits for the commit.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { CacheService, CacheStore, Collecting, Fence } from "../CacheService.ts"

/** What the transaction has to do when it has ended, however it ended. */
export interface Ending extends Collecting {
  readonly addKey: (key: string) => void
  readonly addFence: (fence: Fence) => void
}

const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)

const emptyStore = (store: CacheStore, ending: Ending): CacheStore => ({
  name: store.name,
  // Nothing is stored, so nothing need be written as text.
  payload: "value",
  read: () => nothing,
  begin: ({ key }, { force, token }) => {
    // A refresh or a write: what others have of the key is old when this is committed.
    if (force) ending.addKey(key)
    return Exit.succeed({ _tag: "Leased", lease: { token, fenced: false } })
  },
  commit: () => Exit.succeed("unstored"),
  abandon: () => Exit.void,
  released: () => Exit.void,
  invalidate: (batch) => Effect.sync(() => (ending.add(batch), undefined)),
  sweep: (keys, mode) => store.sweep(keys, mode),
  inspect: (address) => store.inspect(address),
  // It stands from now on, for others: a process that dies after its commit has told them already.
  fence: (fence) =>
    Effect.map(store.fence(fence), () => {
      ending.add(fence.over)
      ending.addFence(fence)
    }),
  lift: () => Exit.succeed(true),
  invalidations: store.invalidations
})

/** The service that is provided inside of a transaction. */
export const within = (service: CacheService, ending: Ending): CacheService => ({
  ...service,
  store: emptyStore(service.store, ending),
  collecting: ending,
  deliver: (batch) => ending.open ? Effect.sync(() => (ending.add(batch), undefined)) : service.deliver(batch),
  keep: (batch, error) => ending.open ? Effect.sync(() => ending.add(batch)) : service.keep(batch, error)
})
