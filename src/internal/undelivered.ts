/**
 * Invalidations that the store has not acknowledged, in the order in which they
 * failed, and what they cover. Bounded: of too many targets one invalidation of
 * everything is made.
 */
import type { Token } from "../CacheStore.ts"
import type { Dependency } from "../Dependency.ts"
import type { Invalidation } from "../Invalidation.ts"
import * as Key from "../Key.ts"
import { targetsIn } from "./targets.ts"

/** One that is kept. When it is called for again it is replaced: it is to happen after that. */
export interface Kept {
  readonly id: string
  readonly invalidation: Invalidation
  /** Milliseconds of the store's clock, when it failed first. */
  readonly since: number
  /** The log annotations of who called for it first. */
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

// Two that are the same in another order are two.
const idOf = ({ dependencies, everything, keys, patterns }: Invalidation): string =>
  JSON.stringify([[...keys], [...dependencies], [...patterns].map(([text, { mode }]) => [text, mode]), everything])

export class Undelivered {
  private readonly everything: Invalidation
  private readonly most: number
  private readonly kept = new Map<string, Kept>()
  /** By token: the position at which leases were granted while anything was kept. Those of others are older. */
  private readonly granted = new Map<Token, number>()
  private position = 0
  private targets = 0
  private made: Index | undefined = undefined

  constructor(everything: Invalidation, most: number) {
    this.everything = everything
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

  find(invalidation: Invalidation): Kept | undefined {
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

  keep(invalidation: Invalidation, now: number, who: Kept["who"] = {}): Kept {
    const id = idOf(invalidation)
    const old = this.kept.get(id)
    if (old !== undefined) this.remove(old)
    const { attempts, since, who: first } = old ?? { attempts: 0, since: now, who }
    if (this.size > 0 && this.targets + targetsIn(invalidation) > this.most) return this.keepEverything()
    return this.add({ id, invalidation, since, who: first, position: ++this.position, attempts: attempts + 1 })
  }

  // What is given up is the names, not the promise.
  private keepEverything(): Kept {
    const { everything } = this
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

  /** Gives up one that was acknowledged. */
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
  grant(token: Token): void {
    this.granted.set(token, this.position)
  }

  end(token: Token): void {
    if (this.granted.size > 0) this.granted.delete(token)
  }

  /** Whether a load may be older than an invalidation that is kept and covers it: any, if its dependencies are not known. */
  voids(token: Token, key: string, dependencies: ReadonlyArray<Dependency> | undefined): boolean {
    const { index } = this
    if (index === undefined) return false
    const since = this.granted.get(token) ?? 0
    return dependencies === undefined
      ? this.all.some(({ position }) => position > since)
      : index.covering(key, dependencies, since) !== undefined
  }
}
