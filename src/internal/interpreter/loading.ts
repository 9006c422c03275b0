/**
 * What a lookup knows of itself, for the cached reads that it makes, and who waits for whom.
 *
 * A value that is made of cached values is no better than they are. So a read
 * inside of a load does not serve what is stale and refresh it behind the load's
 * back: it waits for the refresh, as a caller with `refresh: "everyone"` does.
 * Where it is given something stale all the same, since the refresh failed or
 * took too long, the load is marked, and what it made is stale from the start.
 *
 * A lookup that waits for itself would never end. Each knows in which other it
 * was begun, and for which others it waits, so a read sees that it would close a
 * circle before it waits. Whether it is one is certain if each lookup in it is
 * for a single key; a batch of several may read one of them for another.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { Token } from "../../CacheStore.ts"
import type { Waits } from "../service/slots.ts"

/** Where an entry of a service lives: two services may each have one of the same name. */
export interface Place {
  /** What all views of a service have in common. */
  readonly of: object
  /** Its key, and its version. */
  readonly key: string
}

/**
 * - `load`: a lookup, of one key or of several.
 * - `versions`: the versions that a policy asks for, which come before a read of the key.
 * - `write`: what a write-through stores.
 */
export type Kind = "load" | "versions" | "write"

export class Loading implements Waits {
  readonly kind: Kind
  /** In which it was begun, by a read that waits for it. */
  readonly parent: Loading | undefined
  /** What is worked on: keys of one service. */
  readonly keys: ReadonlySet<string>
  /** The lease under which it stores, where others do not wait for it. */
  readonly lease: Token | undefined
  /** How many are around it. */
  readonly depth: number
  private readonly of: object
  /** For whom its reads wait, and how many of them. */
  private readonly waitsFor = new Map<Loading, number>()
  /**
   * Until when all of what it was given that was stale may be served; nothing, if none was. In milliseconds of this
   * process's monotonic clock: each service may have a clock of its own.
   */
  partsUntil: number | undefined = undefined
  /** Fibers that a lookup leaves behind are not part of it any more. */
  ended = false

  constructor(kind: Kind, places: ReadonlyArray<Place>, parent: Loading | undefined, lease?: Token) {
    this.kind = kind
    this.parent = parent
    this.of = places[0]!.of
    this.keys = new Set(places.map(({ key }) => key))
    this.lease = lease
    this.depth = parent === undefined ? 0 : parent.depth + 1
  }

  /** The load whose value the reads in it become part of. */
  get load(): Loading | undefined {
    return this.kind === "versions" ? this.parent?.load : this
  }

  get isSingle(): boolean {
    return this.keys.size === 1
  }

  worksOn({ key, of }: Place): boolean {
    return this.of === of && this.keys.has(key)
  }

  /** It was given something stale, which may be served until then. */
  given(until: number): void {
    this.partsUntil = Math.min(this.partsUntil ?? Infinity, until)
  }

  begins(waitingFor: Loading): void {
    this.waitsFor.set(waitingFor, (this.waitsFor.get(waitingFor) ?? 0) + 1)
  }

  /** One that has not begun has nothing to end. */
  ends(waitingFor: Loading): void {
    const left = (this.waitsFor.get(waitingFor) ?? 0) - 1
    if (left > 0) this.waitsFor.set(waitingFor, left)
    else this.waitsFor.delete(waitingFor)
  }

  addWaitedFor(all: Set<Waits>): void {
    for (const next of this.waitsFor.keys()) all.add(next)
  }

  /** The one around it, if that waits for it. */
  get outer(): Loading | undefined {
    const { parent } = this
    return parent !== undefined && !parent.ended && parent.waitsFor.has(this) ? parent : undefined
  }

  /** From this to another, each waiting for the next, if it waits for that, directly or through others. */
  pathTo(other: Loading): ReadonlyArray<Loading> | undefined {
    const before = new Map<Loading, Loading | undefined>([[this, undefined]])
    for (const one of before.keys()) {
      if (one !== other) {
        for (const next of one.waitsFor.keys()) if (!before.has(next)) before.set(next, one)
        continue
      }
      const path: Array<Loading> = []
      for (let step: Loading | undefined = other; step !== undefined; step = before.get(step)) path.unshift(step)
      return path
    }
    return undefined
  }
}

// A circle through a large batch names some of its keys.
const mostNamed = 10

const named = (
  circle: ReadonlyArray<Loading>
): ReadonlyArray<string> => [...new Set(circle.flatMap(({ keys }) => [...keys].slice(0, mostNamed)))]

/**
 * A read would wait for itself.
 *
 * - `Circle`: surely so. `keys` are those that need each other.
 * - `InBatch`: the key is one of a batch that waits for the read, and may be
 *   needed by another of it. It ends if the key is loaded by itself.
 */
export type Circular =
  | { readonly _tag: "Circle"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "InBatch" }

/** Whether the key is loaded around a read of it; or its versions are read, where these are asked for. */
export const loadedAround = (
  reader: Loading | undefined,
  place: Place,
  kind: Kind = "load"
): Circular | undefined => {
  // Nearly always none does, however deep it is.
  let known = reader
  while (known !== undefined && !known.worksOn(place)) known = known.parent
  if (known === undefined) return undefined
  let inBatch = false
  for (let one = reader; one !== undefined; one = one.outer) {
    if (one.kind !== kind || !one.worksOn(place)) continue
    if (one.isSingle) return { _tag: "Circle", keys: named(one.pathTo(reader!)!) }
    inBatch = true
  }
  return inBatch ? { _tag: "InBatch" } : undefined
}

/** Whether a load that has begun waits for a reader who would join it. */
export const joinedBy = (reader: Loading | undefined, load: Loading): Circular | undefined => {
  const path = reader && load.pathTo(reader)
  if (path === undefined) return undefined
  return path.every(({ isSingle }) => isSingle) ? { _tag: "Circle", keys: named(path) } : { _tag: "InBatch" }
}

/** Whether a lease is that of a write-through that waits for a reader. */
export const writtenAround = (reader: Loading | undefined, lease: Token): boolean => {
  for (let one = reader; one !== undefined; one = one.outer) if (one.lease === lease) return true
  return false
}

/** On whose behalf a fiber runs. The fibers that a lookup forks inherit it. */
export const Current = Context.Reference<Loading | undefined>("effect-cache-algebra/Loading", {
  defaultValue: () => undefined
})

/** How a lookup ended, and `partsUntil` of its load. */
export interface Made<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly partsUntil: number | undefined
}

/** Runs a lookup on behalf of a load. */
export const within = <A, E, R>(lookup: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<A, E, R> =>
  Effect.onExit(Effect.provideService(lookup, Current, loading), () => {
    loading.ended = true
    return Effect.void
  })

/** The same in the fiber of the read that needs it, which waits for it. */
export const inside = <A, E, R>(lookup: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<A, E, R> => {
  const { parent } = loading
  if (parent === undefined) return within(lookup, loading)
  // Begun in what is sure to end it.
  const begun = Effect.suspend(() => {
    parent.begins(loading)
    return within(lookup, loading)
  })
  return Effect.onExit(begun, () => {
    parent.ends(loading)
    return Effect.void
  })
}

/** Runs a lookup inside of a read, and gives how it ended. */
export const run = <A, E, R>(lookup: Effect.Effect<A, E, R>, loading: Loading): Effect.Effect<Made<A, E>, never, R> =>
  Effect.map(Effect.exit(inside(lookup, loading)), (exit) => ({ exit, partsUntil: loading.partsUntil }))
