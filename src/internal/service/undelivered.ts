/**
 * Invalidations that the store has not acknowledged, in the order in which they
 * failed, what they cover, and the store without what they cover. Bounded: of too
 * many targets one invalidation of everything is made.
 */
import * as Effect from "effect/Effect"
import * as CacheStore from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import { targetsIn } from "../targets.ts"

/** One that is kept. When it is asked for again it is replaced, since it has to happen after that. */
export interface Kept {
  readonly id: string
  readonly invalidation: Invalidation.Invalidation
  /** Milliseconds of the store's clock, when it failed first. */
  readonly since: number
  /** The log annotations of the first caller. */
  readonly who: Readonly<Record<string, unknown>>
  /** Greater than that of all that were kept before it. */
  readonly position: number
  attempts: number
}

/** The last invalidation that names each target. One that is given out only grows. */
class Index {
  private readonly keys = new Map<string, Kept>()
  private readonly dependencies = new Map<Dependency, Kept>()
  private readonly patterns = new Map<string, readonly [Key.Pattern, Kept]>()
  private everything: Kept | undefined = undefined

  add(kept: Kept): void {
    const { dependencies, everything, keys, patterns } = kept.invalidation
    for (const key of keys.keys()) this.keys.set(key, kept)
    for (const dependency of dependencies.keys()) this.dependencies.set(dependency, kept)
    for (const [text, { pattern }] of patterns) this.patterns.set(text, [pattern, kept])
    if (everything !== undefined) this.everything = kept
  }

  /** One that covers this and was kept after a position. */
  covering(key: string, dependencies: ReadonlyArray<Dependency>, after = 0): Kept | undefined {
    const counts = (kept: Kept | undefined): kept is Kept => kept !== undefined && kept.position > after
    if (counts(this.everything)) return this.everything
    const byKey = this.keys.get(key)
    if (counts(byKey)) return byKey
    for (const dependency of dependencies) {
      const byName = this.dependencies.get(dependency)
      if (counts(byName)) return byName
    }
    for (const [pattern, kept] of this.patterns.values()) {
      if (counts(kept) && Key.matches(pattern, key)) return kept
    }
    return undefined
  }
}

// The same targets in another order are another invalidation.
const idOf = ({ dependencies, everything, keys, patterns }: Invalidation.Invalidation): string =>
  JSON.stringify([[...keys], [...dependencies], [...patterns].map(([text, { mode }]) => [text, mode]), everything])

export class Undelivered {
  private readonly most: number
  private readonly kept = new Map<string, Kept>()
  /** By token: the position at which leases were granted while anything was kept. Those of others are older. */
  private readonly granted = new Map<CacheStore.Token, number>()
  private position = 0
  private targets = 0
  private made: Index | undefined = undefined

  constructor(most: number) {
    this.most = most
  }

  get size(): number {
    return this.kept.size
  }

  get all(): ReadonlyArray<Kept> {
    return [...this.kept.values()]
  }

  has(kept: Kept): boolean {
    return this.kept.get(kept.id) === kept
  }

  find(invalidation: Invalidation.Invalidation): Kept | undefined {
    return this.kept.size === 0 ? undefined : this.kept.get(idOf(invalidation))
  }

  /** What is covered; undefined while nothing is kept. */
  get index(): Index | undefined {
    if (this.kept.size === 0) return undefined
    if (this.made === undefined) {
      this.made = new Index()
      for (const kept of this.kept.values()) this.made.add(kept)
    }
    return this.made
  }

  keep(invalidation: Invalidation.Invalidation, now: number, who: Kept["who"] = {}): Kept {
    const id = idOf(invalidation)
    const old = this.kept.get(id)
    if (old !== undefined) this.remove(old)
    const { attempts, since, who: first } = old ?? { attempts: 0, since: now, who }
    if (this.size > 0 && this.targets + targetsIn(invalidation) > this.most) return this.keepEverything()
    return this.add({ id, invalidation, since, who: first, position: ++this.position, attempts: attempts + 1 })
  }

  // Only the names are given up, not the promise.
  private keepEverything(): Kept {
    const { everything } = Invalidation
    const since = this.all.reduce((least, one) => Math.min(least, one.since), Infinity)
    const attempts = this.kept.get(idOf(everything))?.attempts ?? 0
    this.forget()
    return this.add({
      id: idOf(everything),
      invalidation: everything,
      since,
      who: {},
      position: ++this.position,
      attempts: attempts + 1
    })
  }

  private add(kept: Kept): Kept {
    this.kept.set(kept.id, kept)
    this.targets += targetsIn(kept.invalidation)
    this.made?.add(kept)
    return kept
  }

  /** Drops one that was acknowledged. */
  remove(kept: Kept): void {
    if (!this.kept.delete(kept.id)) return
    this.targets -= targetsIn(kept.invalidation)
    this.made = undefined
    if (this.kept.size === 0) this.granted.clear()
  }

  private forget(): void {
    this.kept.clear()
    this.targets = 0
    this.made = undefined
  }

  /** Remembers when a load began, so that it is not taken for an older one. */
  grant(token: CacheStore.Token): void {
    this.granted.set(token, this.position)
  }

  end(token: CacheStore.Token): void {
    if (this.granted.size > 0) this.granted.delete(token)
  }

  /** Whether a load may be older than an invalidation that is kept and covers it: any, if its dependencies are not known. */
  voids(token: CacheStore.Token, key: string, dependencies: ReadonlyArray<Dependency> | undefined): boolean {
    const { index } = this
    if (index === undefined) return false
    const since = this.granted.get(token) ?? 0
    return dependencies === undefined
      ? this.all.some(({ position }) => position > since)
      : index.covering(key, dependencies, since) !== undefined
  }
}

/**
 * The store as this process may see it: what an undelivered invalidation covers
 * is not there. A call that was made while one was kept is answered by it, also
 * when it was delivered before the answer came.
 *
 * `isLoading` says whether a lease is that of a load of this process.
 */
export const withoutUndelivered = (
  store: CacheStore.CacheStore,
  kept: Undelivered,
  isLoading: (token: CacheStore.Token) => boolean
): CacheStore.CacheStore =>
  CacheStore.wrap(store, (store) => {
    const abandon: CacheStore.CacheStore["abandon"] = (address, token) => {
      kept.end(token)
      return store.abandon(address, token)
    }
    const begin: CacheStore.CacheStore["begin"] = (address, request) => {
      const { index } = kept
      const begun = store.begin(address, request)
      return index === undefined ? begun : Effect.flatMap(begun, (begun): ReturnType<typeof begin> => {
        if (begun._tag === "Leased") kept.grant(begun.lease.token)
        else if (begun._tag === "Found") {
          const { entry: { stamp, token } } = begun
          if (index.covering(address.key, stamp.dependencies) !== undefined) {
            return begin(address, { ...request, seen: token, drop: true })
          }
        } else if (isLoading(begun.token) && kept.voids(begun.token, address.key, address.known)) {
          // A load of this process that may be older: it must not be joined. By force, of several callers who see it each
          // would take the lease from the other.
          return Effect.andThen(abandon(address, begun.token), begin(address, request))
        } else if (kept.voids(begun.token, address.key, undefined)) {
          // The store's journal does not know of it yet, so its position says nothing.
          return Effect.succeed({ _tag: "Busy", token: begun.token })
        }
        return Effect.succeed(begun)
      })
    }
    /** Ends a load, unless it is voided; `undefined` stands for dependencies that are not known. */
    const ending = (
      address: CacheStore.Address,
      lease: CacheStore.Lease,
      dependencies: ReadonlyArray<Dependency> | undefined,
      end: Effect.Effect<CacheStore.Outcome, CacheStore.StoreError>
    ): Effect.Effect<CacheStore.Outcome, CacheStore.StoreError> => {
      const voided = () => kept.voids(lease.token, address.key, dependencies)
      if (voided()) return Effect.as(Effect.ignore(abandon(address, lease.token)), "invalidated")
      // Looked at again: a caller may have joined since.
      return Effect.map(end, (outcome) => {
        const answer = voided() ? "invalidated" : outcome
        kept.end(lease.token)
        return answer
      })
    }
    return {
      // Called for each hit, and answered by the store itself while nothing is kept.
      read: (address) => {
        const { index } = kept
        const answer = store.read(address)
        return index === undefined ?
          answer :
          Effect.map(answer, (entry) =>
            entry !== undefined && index.covering(address.key, entry.stamp.dependencies) !== undefined
              ? undefined
              : entry)
      },
      begin,
      commit: (address, lease, draft) =>
        ending(address, lease, draft.stamp.dependencies, store.commit(address, lease, draft)),
      discard: (address, lease, dependencies) =>
        ending(address, lease, dependencies, store.discard(address, lease, dependencies)),
      abandon,
      released: store.released,
      inspect: (address) =>
        Effect.map(store.inspect(address), (found) => {
          const covering = found.entry && kept.index?.covering(address.key, found.entry.stamp.dependencies)
          return covering === undefined || found.removed !== undefined
            ? found
            : { ...found, removed: { because: "invalidated, not acknowledged by the store", at: covering.since } }
        }),
      // Keys only: `read` and `inspect` say what an entry is worth.
      scan: store.scan,
      invalidate: store.invalidate,
      fence: store.fence,
      lift: store.lift
    }
  })
