/**
 * Deliberate mistakes, each one that a real cache has made. The search must see
 * every one of them, or it sees nothing.
 *
 * Each wraps the good store, so nothing of this is in the product.
 */
import { Effect } from "effect"
import { Invalidation } from "../../src/index.ts"
import type { CacheStore, MemoryCache } from "../../src/index.ts"
import * as Loading from "../../src/internal/interpreter/loading.ts"
import { inside } from "../../src/internal/service/model.ts"
import { all } from "./cases.ts"
import type { Case, Wrong } from "./search.ts"
import type { Bug, World } from "./world.ts"

type Store = CacheStore.CacheStore

const stepInto = <A>(effect: Effect.Effect<A, CacheStore.StoreError>): A => Effect.runSync(effect)

/** Takes the key's lease anew, so that nothing that happened before counts. */
const leaseAgain = (
  store: MemoryCache.MemoryStore,
  address: CacheStore.Address,
  token: string
): CacheStore.Lease => {
  store.evict("lease", address.key)
  const begun = stepInto(
    store.begin(address, { token, seen: undefined, drop: false, force: true, leaseFor: 1e9 })
  )
  if (begun._tag !== "Leased") throw new Error("a forced lease was refused")
  return begun.lease
}

const overriding = (part: (store: MemoryCache.MemoryStore, world: World) => Partial<Store>): Bug => (store, world) => ({
  ...store,
  ...part(store, world)
})

const commitOf = (
  f: (
    store: MemoryCache.MemoryStore,
    ...args: Parameters<Store["commit"]>
  ) => CacheStore.Outcome
): Bug => overriding((store) => ({ commit: (...args) => Effect.sync(() => f(store, ...args)) }))

const outcomeAs = (
  store: Store,
  args: Parameters<Store["commit"]>,
  f: (o: CacheStore.Outcome) => CacheStore.Outcome
) => f(stepInto(store.commit(...args)))

/** A cache as most are: get, set, del. */
const naive: Bug = (store) => {
  const flights = new Map<string, string>()
  return {
    ...store,
    begin: (address, request) =>
      Effect.sync(() => {
        const token = flights.get(address.key)
        if (token !== undefined && !request.force) return { _tag: "Busy" as const, token }
        flights.set(address.key, request.token)
        return { _tag: "Leased" as const, lease: { token: request.token } }
      }),
    commit: (address, lease, draft) =>
      Effect.sync(() => {
        flights.delete(address.key)
        return stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
      }),
    abandon: (address) =>
      Effect.sync(() => {
        flights.delete(address.key)
      }),
    released: () => Effect.void
  }
}

export interface Mistake extends Wrong {
  readonly name: string
  /** The rule that it breaks. */
  readonly breaks: string
  /** A case in which it shows soon. */
  readonly seenIn: string
  /** Whether it is made where invalidations take several steps. */
  readonly steps?: boolean
}

/** A mistake is looked for on the store in which it was made. */
export const casesFor = ({ steps = false }: Mistake): ReadonlyArray<Case> =>
  all.filter(({ settings }) => (settings.steps === true) === steps)

export const mistakes: ReadonlyArray<Mistake> = [
  {
    name: "get, set, delete",
    breaks: "G1: a load in flight stores the old value",
    seenIn: "key: reader, mutate",
    bug: naive
  },
  {
    name: "commit does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    seenIn: "key: reader, mutate",
    bug: commitOf((store, address, lease, draft) =>
      stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
    )
  },
  {
    name: "versions captured after the load",
    breaks: "capture before the load",
    seenIn: "key: reader, mutate",
    bug: commitOf((store, address, lease, draft) => {
      const held = stepInto(store.inspect(address)).leased
      if (held !== lease.token) return outcomeAs(store, [address, lease, draft], (o) => o)
      return stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
    })
  },
  {
    name: "invalidating a key leaves its lease",
    breaks: "commit needs the token",
    seenIn: "key: two processes read, one writes",
    bug: overriding((store) => ({
      invalidate: (batch) =>
        Effect.sync(() => {
          for (const key of batch.keys.keys()) store.evict("entry", key)
          return stepInto(store.invalidate(Invalidation.dependencies(batch.dependencies.keys())))
        })
    }))
  },
  {
    name: "tags in the value are not looked up in the journal",
    breaks: "what is found late must have been quiet",
    seenIn: "tag from the value: reader, mutate",
    bug: commitOf((store, address, lease, draft) => {
      const held = stepInto(store.inspect(address)).leased
      return draft.found.length > 0 && held === lease.token
        ? stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
        : stepInto(store.commit(address, lease, draft))
    })
  },
  {
    name: "an evicted journal counts as quiet",
    breaks: "missing is unknown",
    seenIn: "tag from the value: mutate, the journal is evicted",
    bug: overriding((store) => {
      const lost = new Set<string>()
      const { evict } = store
      Object.assign(store, {
        evict: (what: "entry" | "lease" | "journal", key?: string) => {
          // Forgets what was noted and tells nobody.
          if (what === "journal") { for (const one of store.held()) lost.add(one) }
          else evict(what, key)
        }
      })
      return {
        commit: (address, lease, draft) =>
          Effect.sync(() => {
            const held = stepInto(store.inspect(address)).leased
            return lost.has(lease.token) && held === lease.token
              ? stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
              : stepInto(store.commit(address, lease, draft))
          })
      }
    })
  },
  {
    name: "a waiter joins whatever load of the key it knows",
    breaks: "G3: join only what the store says still stands",
    seenIn: "key: mutate crashes",
    bug: overriding((store, world) => {
      // Each process remembers the load it has under way, and asks nobody whether it still counts.
      const last = new Map<string, string>()
      const processOf = (token: string) => token.slice(0, token.lastIndexOf("-"))
      return {
        begin: (address, request) =>
          Effect.sync(() => {
            const known = last.get(processOf(request.token))
            const flying = known !== undefined &&
              world.processes.some(({ service }) => inside(service).loads.has(known))
            if (flying && !request.force) return { _tag: "Busy" as const, token: known }
            const begun = stepInto(store.begin(address, request))
            if (begun._tag === "Leased") last.set(processOf(request.token), request.token)
            return begun
          })
      }
    })
  },
  {
    name: "waiters are given a load that was refused",
    breaks: "G3: those who joined look again",
    seenIn: "tag from the value: readers, two mutates",
    bug: commitOf((store, ...args) => outcomeAs(store, args, (o) => o === "invalidated" ? "stored" : o))
  },
  {
    name: "mutate only invalidates before the write",
    breaks: "G7: a load between invalidation and write",
    seenIn: "key: reader, mutate",
    bug: overriding((store) => ({
      fence: (fence) => store.invalidate(fence.over),
      lift: () => Effect.succeed(true)
    }))
  },
  {
    name: "lifting one fence lifts all",
    breaks: "G7: fences overlap",
    seenIn: "key: mutate crashes beside a quick one",
    bug: overriding((store) => {
      const open: Array<CacheStore.Fence> = []
      return {
        fence: (fence) => {
          open.push(fence)
          return store.fence(fence)
        },
        lift: (fence) =>
          Effect.sync(() => {
            const stood = stepInto(store.lift(fence))
            for (const other of open.splice(0)) stepInto(store.lift(other))
            return stood
          })
      }
    })
  },
  {
    name: "a fence that ran out is lifted without a word",
    breaks: "G7: a lost fence protected nothing",
    seenIn: "key: a write outlasts its fence and cannot be stopped",
    bug: overriding((store) => ({
      lift: (fence) => Effect.map(store.lift(fence), () => true)
    }))
  },
  {
    name: "what was loaded under a lifted fence is shared",
    breaks: "G7: only while the fence stands",
    seenIn: "key: mutate crashes beside another",
    bug: commitOf((store, address, lease, draft) => {
      const before = store.sizes().journal
      return outcomeAs(store, [address, lease, draft], (o) => o === "invalidated" && before === 0 ? "fenced" : o)
    })
  },
  {
    name: "a write-through that was refused is stored all the same",
    breaks: "G6: an older value over a newer one",
    seenIn: "key: write-throughs, a writer, readers",
    bug: overriding((store) => {
      const forced = new Set<string>()
      return {
        begin: (address, request) => {
          if (request.force) forced.add(request.token)
          return store.begin(address, request)
        },
        commit: (address, lease, draft) =>
          Effect.sync(() => {
            const outcome = stepInto(store.commit(address, lease, draft))
            return outcome === "lost" && forced.has(lease.token)
              ? stepInto(store.commit(address, leaseAgain(store, address, lease.token), draft))
              : outcome
          })
      }
    })
  },
  {
    name: "invalidations return before they have happened",
    breaks: "G8: acknowledged means done",
    seenIn: "key: two processes read, one writes",
    bug: overriding((store) => {
      let queue: Array<() => void> = []
      const later = (run: () => void) => {
        queue.push(run)
      }
      const flush = () => {
        const due = queue
        queue = []
        for (const run of due) run()
      }
      let reads = 0
      return {
        // Two operations later it is delivered.
        read: (address) => {
          const answer = store.read(address)
          if (++reads % 2 === 0) flush()
          return answer
        },
        invalidate: (batch) => Effect.sync(() => later(() => stepInto(store.invalidate(batch)))).pipe(Effect.as(0))
      }
    })
  },
  {
    name: "a copy in front of the store is filled without asking",
    breaks: "a fill of any tier obeys the same check",
    seenIn: "pattern: two readers, writer",
    bug: overriding((store, world) => {
      const copies = new Map<string, CacheStore.Entry>()
      return {
        read: (address) =>
          Effect.suspend(() => {
            const copy = copies.get(address.key)
            if (copy !== undefined) return Effect.succeed(copy)
            return Effect.map(store.read(address), (entry) => {
              if (entry !== undefined) copies.set(address.key, entry)
              return entry
            })
          }),
        invalidate: (batch) =>
          Effect.sync(() => {
            copies.clear()
            // The copy goes first, and a reader fills it again from what is still there.
            return 0
          }).pipe(
            Effect.andThen(world.machine.gate("copies cleared", { writes: ["store"] })),
            Effect.andThen(store.invalidate(batch))
          )
      }
    })
  },
  {
    name: "a lease is released by whoever had it once",
    breaks: "token checked by the store",
    seenIn: "key: reader, refresh, writer",
    bug: overriding((store) => ({
      abandon: (address) => Effect.sync(() => store.evict("lease", address.key)),
      commit: (address, lease, draft) =>
        Effect.sync(() => {
          const held = stepInto(store.inspect(address)).leased
          if (held === undefined || held === lease.token) return stepInto(store.commit(address, lease, draft))
          return stepInto(store.commit(address, { token: held }, draft))
        })
    }))
  },
  {
    name: "an interrupted load keeps its lease",
    breaks: "a holder that goes gives up its lease",
    seenIn: "key: refreshes, interruptions, a writer",
    bug: overriding(() => ({ abandon: () => Effect.void }))
  },
  {
    name: "several steps of an invalidation are no fence",
    breaks: "G1: nothing is stored that was loaded between two steps",
    seenIn: "nested, keys: page, writer in steps",
    steps: true,
    bug: overriding(() => ({ atomic: () => true }))
  },
  {
    name: "a fence that was lost between two steps is not noticed",
    breaks: "G1: a lost fence protected nothing",
    seenIn: "nested, keys: site, page, the journal is evicted",
    steps: true,
    inSteps: "a fence that was lost is lifted without a word"
  },
  {
    name: "the position is read before the lease is taken",
    breaks: "G7: an invalidation by key is seen by one of them",
    seenIn: "nested, key: page, mutate in steps",
    steps: true,
    inSteps: "the position is read before the lease is taken"
  },
  {
    name: "a load is served what is stale",
    breaks: "G1: what was made of it is stored as fresh",
    seenIn: "nested, key: a stale page is refreshed",
    bug: (store, world) => {
      // The reads of a lookup do not know that they are those of a load.
      world.inside = (read) => Effect.provideService(read, Loading.Current, undefined)
      return store
    }
  },
  {
    name: "a load that failed is shared with whoever waits for it",
    breaks: "G3: what is not stored is shared as what is",
    seenIn: "nested, key: no row yet: reader, mutate then reader",
    bug: overriding((store) => ({
      discard: (...args) => Effect.map(store.discard(...args), () => "unstored")
    }))
  },
  {
    name: "what is not known did not happen",
    breaks: "G3: a load that failed has no value in which tags could be found",
    seenIn: "nested, tag from the value: no row yet: reader, writer then reader",
    bug: overriding((store) => ({
      discard: (address, lease, dependencies) => store.discard(address, lease, dependencies ?? address.known)
    }))
  },
  {
    name: "who joins late counts as early",
    breaks: "G3: the position says whether anything was invalidated",
    seenIn: "nested, key: no row yet: reader, mutate then reader",
    bug: overriding((store) => ({
      begin: (address, request) =>
        Effect.map(store.begin(address, request), (begun) =>
          begun._tag === "Leased"
            ? { ...begun, lease: { ...begun.lease, position: "" } }
            : begun._tag === "Busy"
            ? { ...begun, position: "" }
            : begun)
    }))
  }
]
