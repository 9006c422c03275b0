/** A store as the list of what happened to it. */
import type * as CacheStore from "../../../CacheStore.ts"
import type * as Dependency from "../../../Dependency.ts"
import { stronger } from "../../mode.ts"
import type { Loading } from "../scene.ts"
import type { Mode } from "./operation.ts"

/** A load of the model. */
export interface InFlightLoad {
  readonly id: number
  readonly key: number
  readonly loading: Loading
  readonly until: number
  /** How much had happened when it began. */
  readonly since: number
  /** The fences that stood then. */
  readonly fences: ReadonlyArray<OpenFence>
  /** What it was committed with first. */
  draft: CacheStore.Draft | undefined
}

export interface OpenFence {
  readonly id: number
  readonly fence: CacheStore.Fence
  readonly until: number
}

/** What happened. All that the model knows follows from the list of these. */
export type Fact =
  | { readonly _tag: "began"; readonly inFlight: InFlightLoad }
  | { readonly _tag: "ended"; readonly inFlight: InFlightLoad }
  | { readonly _tag: "stored"; readonly inFlight: InFlightLoad; readonly draft: CacheStore.Draft }
  | { readonly _tag: "voided"; readonly key: number }
  | { readonly _tag: "gone"; readonly key: number }
  | { readonly _tag: "softened"; readonly key: number }
  | { readonly _tag: "touched"; readonly dependency: Dependency.Dependency; readonly mode: Mode }
  /** A mark for which the model knows no reason but a loss. */
  | { readonly _tag: "marked"; readonly key: number; readonly dependency: Dependency.Dependency; readonly mode: Mode }
  | { readonly _tag: "fenced"; readonly open: OpenFence }
  | { readonly _tag: "lifted"; readonly id: number; readonly stood: boolean }
  | { readonly _tag: "forgot" }

/** What the model knows of a stored entry. */
export interface Known {
  readonly inFlight: InFlightLoad
  readonly draft: CacheStore.Draft
  readonly marks: ReadonlyMap<Dependency.Dependency, Mode>
  readonly softened: boolean
  /** Whether a store may have removed it at once: nothing of it could be served. */
  readonly mayBeGone: boolean
}

export const sameMarks = (a: ReadonlyMap<unknown, Mode>, b: ReadonlyMap<unknown, Mode>): boolean =>
  a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)

/** A store as a list of what happened; naive on purpose. */
export class Model {
  readonly facts: Array<Fact> = []

  note(...facts: ReadonlyArray<Fact>): void {
    this.facts.push(...facts)
  }

  /** The load whose lease is the key's, though its time may be over. */
  holder(key: number): InFlightLoad | undefined {
    let holder: InFlightLoad | undefined
    for (const fact of this.facts) {
      if (fact._tag === "began" && fact.inFlight.key === key) holder = fact.inFlight
      if (fact._tag === "ended" && fact.inFlight === holder) holder = undefined
      if (fact._tag === "voided" && fact.key === key) holder = undefined
    }
    return holder
  }

  entry(key: number): Known | undefined {
    let stored: { readonly inFlight: InFlightLoad; readonly draft: CacheStore.Draft } | undefined
    let marks = new Map<Dependency.Dependency, Mode>()
    let [softened, mayBeGone] = [false, false]
    const mark = (dependency: Dependency.Dependency, mode: Mode) => {
      marks.set(dependency, stronger(marks.get(dependency), mode)!)
      if (mode === "hard" && stored?.draft.fatal.has(dependency)) mayBeGone = true
    }
    for (const fact of this.facts) {
      if (fact._tag === "stored" && fact.inFlight.key === key) {
        stored = fact
        marks = new Map()
        softened = mayBeGone = false
      }
      if (stored === undefined) continue
      if (fact._tag === "gone" && fact.key === key) stored = undefined
      if (fact._tag === "softened" && fact.key === key) softened = true
      if (fact._tag === "marked" && fact.key === key) mark(fact.dependency, fact.mode)
      if (fact._tag === "touched" && stored?.draft.stamp.dependencies.includes(fact.dependency)) {
        mark(fact.dependency, fact.mode)
      }
    }
    return stored && { inFlight: stored.inFlight, draft: stored.draft, marks, softened, mayBeGone }
  }

  /** Whether one of these was invalidated since, or any if they are not known. */
  touchedSince(since: number, dependencies: ReadonlyArray<Dependency.Dependency> | undefined): boolean {
    return this.facts.slice(since).some((fact) =>
      fact._tag === "touched" && (dependencies?.includes(fact.dependency) ?? true)
    )
  }

  /** Whether surely nothing happened since then that may void a load. */
  unmovedSince({ fences, since }: InFlightLoad, now: number): boolean {
    const standing = this.standing(now)
    return !this.touchedSince(since, undefined) && standing.every((open) => fences.includes(open)) &&
      // One that the store had lost before the load began is not missed.
      fences.every((open) => standing.includes(open) || this.mayBeUnseen(open, since)) &&
      !this.facts.slice(since).some(({ _tag }) => _tag === "forgot")
  }

  stands({ id, until }: OpenFence, now: number): boolean {
    return now < until && !this.facts.some((fact) => fact._tag === "lifted" && fact.id === id)
  }

  /** Whether a load that began after so much may not have seen the fence, since the store lost it with its journal. */
  mayBeUnseen(open: OpenFence, since: number): boolean {
    const at = this.facts.findIndex((fact) => fact._tag === "fenced" && fact.open === open)
    return this.facts.slice(at, since).some(({ _tag }) => _tag === "forgot") &&
      !this.facts.some((fact) => fact._tag === "lifted" && fact.id === open.id && fact.stood)
  }

  fence(id: number): OpenFence | undefined {
    for (const fact of this.facts) if (fact._tag === "fenced" && fact.open.id === id) return fact.open
    return undefined
  }

  standing(now: number): ReadonlyArray<OpenFence> {
    return this.facts.flatMap((fact) => fact._tag === "fenced" && this.stands(fact.open, now) ? [fact.open] : [])
  }
}
