/** Random operations: what they are, how they are drawn, and how they are printed. */
import type * as Random from "effect/Random"
import type * as Verdict from "../../../Verdict.ts"
import { type Instruments, type Losable, losses } from "../law.ts"
import { long } from "../scene.ts"

export type Mode = Verdict.Mode

/** What an invalidation names, by index. */
export interface Names {
  readonly keys: ReadonlyArray<readonly [number, Mode]>
  readonly dependencies: ReadonlyArray<readonly [number, Mode]>
}

/**
 * One operation. Loads and fences go by the operation that began them, so that
 * any other operation can be taken out of a sequence.
 */
export type Operation =
  | { readonly _tag: "Read"; readonly by: number; readonly key: number }
  | {
    readonly _tag: "Begin"
    readonly id: number
    readonly by: number
    readonly key: number
    readonly seen: boolean
    readonly drop: boolean
    readonly force: boolean
    readonly leaseFor: number
  }
  | { readonly _tag: "Repeat"; readonly load: number }
  | {
    readonly _tag: "Commit"
    readonly load: number
    readonly found: ReadonlyArray<number>
    readonly fatal: ReadonlyArray<number>
    readonly late: boolean
    /** Whether the entry has another name than the lease. */
    readonly renamed: boolean
  }
  | { readonly _tag: "Discard"; readonly load: number; readonly found: ReadonlyArray<number> | undefined }
  | { readonly _tag: "Abandon"; readonly load: number; readonly stranger: boolean }
  | ({ readonly _tag: "Invalidate" } & Names)
  | { readonly _tag: "Sweep"; readonly pattern: number; readonly mode: Mode }
  | (
    & { readonly _tag: "Fence"; readonly id: number; readonly pattern: number | undefined; readonly length: number }
    & Names
  )
  | { readonly _tag: "Lift"; readonly fence: number }
  | { readonly _tag: "Advance"; readonly millis: number }
  | { readonly _tag: "Lose"; readonly what: Losable; readonly key: number }

export const keyParts: ReadonlyArray<ReadonlyArray<string>> = [["a", "1"], ["a", "2"], ["b", "1"]]
export const patternParts: ReadonlyArray<ReadonlyArray<string | undefined>> = [["a", undefined], [undefined, "1"]]
export const tagNames: ReadonlyArray<string> = ["w", "x", "y", "z"]
/** The dependencies known from each key. */
export const knownOf: ReadonlyArray<ReadonlyArray<number>> = [[], [0], [0, 1]]

/** Draws operations. Times are such that nothing ends at the very moment of an operation. */
export class Draw {
  readonly random: typeof Random.Random["Service"]
  readonly instruments: Instruments<never>
  private begun = 0
  private fenced = 0

  constructor(random: typeof Random.Random["Service"], instruments: Instruments<never>) {
    this.random = random
    this.instruments = instruments
  }

  below(limit: number): number {
    return Math.floor(this.random.nextDoubleUnsafe() * limit)
  }

  chance(probability: number): boolean {
    return this.random.nextDoubleUnsafe() < probability
  }

  some(limit: number, probability: number): ReadonlyArray<number> {
    return Array.from({ length: limit }, (_, i) => i).filter(() => this.chance(probability))
  }

  mode(): Mode {
    return this.chance(0.35) ? "soft" : "hard"
  }

  /** One of the last few, since old ones have usually ended. */
  recent(count: number): number {
    return count - 1 - this.below(Math.min(count, 4))
  }

  time(): number {
    return this.instruments.advance === undefined ? long : 100 + 200 * this.below(8)
  }

  names(): Names {
    const modes = (all: ReadonlyArray<number>) => all.map((i) => [i, this.mode()] as const)
    const keys = modes(this.some(keyParts.length, 0.2))
    const dependencies = modes(this.some(tagNames.length, 0.3))
    return keys.length + dependencies.length > 0
      ? { keys, dependencies }
      : { keys, dependencies: [[this.below(4), "hard"]] }
  }

  lose(): Operation | undefined {
    const all = losses(this.instruments.lose ?? {})
    return all.length === 0
      ? undefined
      : { _tag: "Lose", what: all[this.below(all.length)]![0], key: this.below(keyParts.length) }
  }

  operation(): Operation {
    const by = this.below(3)
    const key = this.below(keyParts.length)
    const at = this.below(100)
    if (at < 22) return { _tag: "Read", by, key }
    if (at < 44 || this.begun === 0) {
      const [seen, drop, force] = [this.chance(0.6), this.chance(0.3), this.chance(0.15)]
      return { _tag: "Begin", id: this.begun++, by, key, seen, drop, force, leaseFor: this.time() }
    }
    if (at < 64) {
      const [found, fatal] = [this.some(tagNames.length, 0.35), this.some(tagNames.length, 0.3)]
      return {
        _tag: "Commit",
        load: this.recent(this.begun),
        found,
        fatal,
        late: this.chance(0.05),
        renamed: this.chance(0.3)
      }
    }
    if (at < 68) {
      const found = this.chance(0.3) ? undefined : this.some(tagNames.length, 0.35)
      return { _tag: "Discard", load: this.recent(this.begun), found }
    }
    if (at < 69) return { _tag: "Abandon", load: this.recent(this.begun), stranger: this.chance(0.4) }
    if (at < 71) return { _tag: "Repeat", load: this.recent(this.begun) }
    if (at < 79) return { _tag: "Invalidate", ...this.names() }
    if (at < 82) return { _tag: "Sweep", pattern: this.below(patternParts.length), mode: this.mode() }
    if (at < 87) {
      const pattern = this.chance(0.2) ? this.below(patternParts.length) : undefined
      return { _tag: "Fence", id: this.fenced++, ...this.names(), pattern, length: this.time() }
    }
    if (at < 92 && this.fenced > 0) return { _tag: "Lift", fence: this.recent(this.fenced) }
    if (at < 96 && this.instruments.advance !== undefined) return { _tag: "Advance", millis: 200 * (1 + this.below(5)) }
    return this.lose() ?? { _tag: "Read", by, key }
  }
}

const describeNames = ({ dependencies, keys }: Names): string =>
  [
    ...keys.map(([i, mode]) => `${keyParts[i]!.join(":")} (${mode})`),
    ...dependencies.map(([i, mode]) => `${tagNames[i]} (${mode})`)
  ].join(", ")

const describePattern = (pattern: number | undefined): string =>
  pattern === undefined ? "" : patternParts[pattern]!.map((one) => one ?? "*").join(":")

const flags = (all: Record<string, boolean>): string =>
  Object.keys(all).filter((name) => all[name]).map((name) => `, ${name}`).join("")

const tags = (all: ReadonlyArray<number>): string => `[${all.map((i) => tagNames[i]).join(" ")}]`

/** An operation for people: `load 3: process 1 begins a:1, by force`. */
export const describe = (operation: Operation): string => {
  switch (operation._tag) {
    case "Read":
      return `process ${operation.by} reads ${keyParts[operation.key]!.join(":")}`
    case "Begin": {
      const { by, drop, force, id, key, leaseFor, seen } = operation
      const known = tags(knownOf[key]!)
      return `load ${id}: process ${by} begins ${keyParts[key]!.join(":")} ${known} for ${leaseFor} ms` + flags({
        "over what it saw": seen,
        drop,
        "by force": force
      })
    }
    case "Repeat":
      return `load ${operation.load} asks for its lease again`
    case "Commit":
      return `load ${operation.load} commits, found ${tags(operation.found)}, fatal ${tags(operation.fatal)}` +
        flags({ late: operation.late, "under another name": operation.renamed })
    case "Discard":
      return `load ${operation.load} stores nothing, found ${
        operation.found ? tags(operation.found) : "what is unknown"
      }`
    case "Abandon":
      return `${
        operation.stranger ? "a stranger" : `load ${operation.load}`
      } abandons the lease of load ${operation.load}`
    case "Invalidate":
      return `invalidate ${describeNames(operation)}`
    case "Sweep":
      return `sweep ${describePattern(operation.pattern)} (${operation.mode})`
    case "Fence":
      return `fence ${operation.id} over ${describeNames(operation)} ${
        describePattern(operation.pattern)
      } for ${operation.length} ms`
    case "Lift":
      return `lift fence ${operation.fence}`
    case "Advance":
      return `${operation.millis} ms pass`
    case "Lose":
      return operation.what === "entry" || operation.what === "lease"
        ? `the ${operation.what} of ${keyParts[operation.key]!.join(":")} is lost`
        : `the ${operation.what} of the store is lost`
  }
}
