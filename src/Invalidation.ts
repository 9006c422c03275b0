/**
 * What is to become untrue: keys, dependencies, patterns of keys, or everything.
 *
 * An invalidation is a value. `combine` makes one batch of any number of them
 * and is associative, commutative and idempotent, with `empty` as its unit; so
 * invalidations can be collected, printed, logged, tested and applied at once
 * after a commit. Nothing happens until one is given to `Cached.apply`.
 *
 * Each target has a mode. A `hard` one makes what it covers as bad as the
 * dependency's severity says (a key: gone); a `soft` one makes it `Stale`, so
 * it is served once more while one caller refreshes it. Where one target is
 * both, `hard` counts.
 *
 * **Example** (Invalidations are values)
 *
 * ```ts
 * import { Equal } from "effect"
 * import { Invalidation } from "effect-cache-algebra"
 *
 * const a = Invalidation.tags("genre:drama")
 * const b = Invalidation.soft(Invalidation.tags("genre:noir"))
 *
 * Invalidation.combine(a, b).toString() // => "tag genre:drama, tag genre:noir (soft)"
 * Equal.equals(Invalidation.combine(a, b), Invalidation.combine(b, a)) // => true
 * ```
 *
 * @since 0.1.0
 */
import * as Cron from "effect/Cron"
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Change from "./Change.ts"
import * as Dependency from "./Dependency.ts"
import * as Crons from "./internal/cron.ts"
import { formatPattern } from "./internal/keys.ts"
import * as InvalidInput from "./InvalidInput.ts"
import * as Key from "./Key.ts"
import type * as Verdict from "./Verdict.ts"

/**
 * Runtime type identifier of invalidations.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-cache-algebra/Invalidation"

/**
 * Type-level identifier of invalidations.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-cache-algebra/Invalidation"

/**
 * A batch of targets with their modes.
 *
 * - `keys`: stored keys (`film:42`).
 * - `dependencies`: names that entries depend on.
 * - `patterns`: by their printed form.
 * - `everything`: all that this cache's prefix holds, if given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Invalidation extends Pipeable.Pipeable, Equal.Equal {
  readonly [TypeId]: TypeId
  readonly keys: ReadonlyMap<string, Verdict.Mode>
  readonly dependencies: ReadonlyMap<Dependency.Dependency, Verdict.Mode>
  readonly patterns: ReadonlyMap<string, { readonly pattern: Key.Pattern; readonly mode: Verdict.Mode }>
  readonly everything: Verdict.Mode | undefined
  toString(): string
}

const sameEntries = <V>(a: ReadonlyMap<unknown, V>, b: ReadonlyMap<unknown, V>, same: (x: V, y: V) => boolean) =>
  a.size === b.size && [...a].every(([key, value]) => b.has(key) && same(value, b.get(key)!))

const softly = (text: string, mode: Verdict.Mode): string => mode === "soft" ? `${text} (soft)` : text

// A star that stands in a key stays escaped: the others stand for anything.
const showPattern = (text: string): string =>
  text.split(":").map((part) => part === "*" ? part : Key.format(part).replaceAll("*", "%2A")).join(":")

const Proto = {
  ...Pipeable.Prototype,
  [TypeId]: TypeId,
  [Equal.symbol](this: Invalidation, that: unknown): boolean {
    return isInvalidation(that) && this.everything === that.everything &&
      sameEntries(this.keys, that.keys, (a, b) => a === b) &&
      sameEntries(this.dependencies, that.dependencies, (a, b) => a === b) &&
      sameEntries(this.patterns, that.patterns, (a, b) => a.mode === b.mode)
  },
  [Hash.symbol](this: Invalidation): number {
    return Hash.string(`${this.everything} ${[...this.keys.keys(), ...this.dependencies.keys()].sort().join(" ")}`)
  },
  toString(this: Invalidation): string {
    const all = [
      ...[...this.keys].map(([key, mode]) => softly(`key ${Key.format(key)}`, mode)),
      ...[...this.dependencies].map(([dependency, mode]) => softly(Dependency.format(dependency), mode)),
      ...[...this.patterns].map(([text, { mode }]) => softly(`keys ${showPattern(text)}`, mode)),
      ...(this.everything === undefined ? [] : [softly("everything", this.everything)])
    ]
    return all.length === 0 ? "nothing" : all.sort().join(", ")
  },
  toJSON(this: Invalidation): unknown {
    return { _id: "Invalidation", invalidation: this.toString() }
  },
  [Symbol.for("nodejs.util.inspect.custom")](this: Invalidation): string {
    return `Invalidation(${this.toString()})`
  }
}

const make = (parts: Partial<Pick<Invalidation, "keys" | "dependencies" | "patterns" | "everything">>): Invalidation =>
  Object.assign(Object.create(Proto), {
    keys: parts.keys ?? new Map(),
    dependencies: parts.dependencies ?? new Map(),
    patterns: parts.patterns ?? new Map(),
    everything: parts.everything
  })

/**
 * Tells whether a value is an `Invalidation`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isInvalidation = (u: unknown): u is Invalidation => Predicate.hasProperty(u, TypeId)

/**
 * Nothing; the unit of `combine`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Invalidation = make({})

/**
 * All that the cache holds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const everything: Invalidation = make({ everything: "hard" })

/**
 * Stored keys, as `Cached.keyOf` gives them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keys = (...stored: ReadonlyArray<string>): Invalidation =>
  make({ keys: new Map(stored.map((key) => [key, "hard"])) })

/**
 * Names that entries depend on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dependencies = (...names: ReadonlyArray<Dependency.Dependency>): Invalidation =>
  make({ dependencies: new Map(names.map((name) => [name, "hard"])) })

/**
 * Tags. Throws `InvalidInput` for an empty one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tags = (...names: ReadonlyArray<string>): Invalidation => dependencies(...names.map(Dependency.tag))

/**
 * What changes touch.
 *
 * @category constructors
 * @since 0.1.0
 */
export const changes = (...all: ReadonlyArray<Change.Change>): Invalidation =>
  dependencies(...all.flatMap(Change.dependencies))

/**
 * All keys that match a pattern, as `Cached.pattern` gives it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pattern = (of: Key.Pattern): Invalidation =>
  make({ patterns: new Map([[formatPattern(of), { pattern: of, mode: "hard" }]]) })

/**
 * The same targets, all of them in one mode.
 *
 * @category mapping
 * @since 0.1.0
 */
export const withMode = (self: Invalidation, mode: Verdict.Mode): Invalidation =>
  make({
    keys: new Map([...self.keys.keys()].map((key) => [key, mode])),
    dependencies: new Map([...self.dependencies.keys()].map((name) => [name, mode])),
    patterns: new Map([...self.patterns].map(([text, { pattern }]) => [text, { pattern, mode }])),
    everything: self.everything && mode
  })

/**
 * The same targets, softly: what they cover is served once more as stale.
 *
 * @category mapping
 * @since 0.1.0
 */
export const soft = (self: Invalidation): Invalidation => withMode(self, "soft")

/**
 * The same targets, hard: what they cover is as bad as its policy says.
 *
 * @category mapping
 * @since 0.1.0
 */
export const hard = (self: Invalidation): Invalidation => withMode(self, "hard")

/**
 * The stronger of two modes.
 *
 * @category combining
 * @since 0.1.0
 */
export const stronger = (a: Verdict.Mode | undefined, b: Verdict.Mode | undefined): Verdict.Mode | undefined =>
  a === "hard" || b === "hard" ? "hard" : a ?? b

const addTo = <K, V>(all: Map<K, V>, more: ReadonlyMap<K, V>, both: (x: V, y: V) => V): void => {
  for (const [key, value] of more) all.set(key, all.has(key) ? both(all.get(key)!, value) : value)
}

/**
 * One batch of two. Associative, commutative, idempotent; `empty` is its unit.
 *
 * @category combining
 * @since 0.1.0
 */
export const combine: {
  (that: Invalidation): (self: Invalidation) => Invalidation
  (self: Invalidation, that: Invalidation): Invalidation
} = dual(2, (self: Invalidation, that: Invalidation): Invalidation => combineAll([self, that]))

/**
 * One batch of any number.
 *
 * @category combining
 * @since 0.1.0
 */
export const combineAll = (all: Iterable<Invalidation>): Invalidation => {
  const batch = {
    keys: new Map<string, Verdict.Mode>(),
    dependencies: new Map<Dependency.Dependency, Verdict.Mode>(),
    patterns: new Map<string, { readonly pattern: Key.Pattern; readonly mode: Verdict.Mode }>()
  }
  let everywhere: Verdict.Mode | undefined
  for (const one of all) {
    addTo(batch.keys, one.keys, (a, b) => stronger(a, b)!)
    addTo(batch.dependencies, one.dependencies, (a, b) => stronger(a, b)!)
    addTo(batch.patterns, one.patterns, (a, b) => a.mode === "hard" ? a : b)
    everywhere = stronger(everywhere, one.everything)
  }
  return make({ ...batch, everything: everywhere })
}

/**
 * Whether there is nothing to invalidate.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isEmpty = (self: Invalidation): boolean =>
  self.keys.size === 0 && self.dependencies.size === 0 && self.patterns.size === 0 && self.everything === undefined

/**
 * Whether the invalidation names this key, a dependency of it, or a pattern
 * that it matches.
 *
 * @category predicates
 * @since 0.1.0
 */
export const covers = (
  self: Invalidation,
  key: string,
  dependencies: ReadonlyArray<Dependency.Dependency>
): boolean =>
  self.everything !== undefined || self.keys.has(key) ||
  dependencies.some((name) => self.dependencies.has(name)) ||
  [...self.patterns.values()].some(({ pattern }) => Key.matches(pattern, key))

// -----------------------------------------------------------------------------
// as text
// -----------------------------------------------------------------------------

type Modes = ReadonlyArray<readonly [string, "h" | "s"]>

const letter = (mode: Verdict.Mode): "h" | "s" => mode === "hard" ? "h" : "s"

const encodeModes = (all: ReadonlyMap<string, Verdict.Mode>): Modes =>
  [...all].map(([name, mode]) => [name, letter(mode)])

/**
 * An invalidation as text, for a message or an outbox.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (self: Invalidation): string =>
  JSON.stringify({
    k: encodeModes(self.keys),
    d: encodeModes(self.dependencies),
    p: [...self.patterns.values()].map(({ mode, pattern }) => [
      pattern.name,
      pattern.parts.map((part) => part ?? null),
      letter(mode)
    ]),
    e: self.everything === undefined ? "" : letter(self.everything)
  })

const inMode = (mode: unknown, batch: Invalidation): Invalidation => mode === "s" ? soft(batch) : batch

const decodeModes = (all: unknown, one: (name: string) => Invalidation): ReadonlyArray<Invalidation> =>
  (all as Modes).map(([name, mode]) => {
    if (typeof name !== "string" || name === "") throw new TypeError("no name")
    return inMode(mode, one(name))
  })

const decodePattern = (one: unknown): Invalidation => {
  const [name, parts, mode] = one as readonly [string, ReadonlyArray<string | null>, string]
  if (typeof name !== "string" || !parts.every((part) => part === null || typeof part === "string")) {
    throw new TypeError("no pattern")
  }
  return inMode(mode, pattern({ name, parts: parts.map((part) => part ?? undefined) }))
}

/**
 * Reads what `encode` wrote. Nothing, if the text is no invalidation; whoever
 * must not miss one takes it for an invalidation of everything then.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Option } from "effect"
 * import { Invalidation } from "effect-cache-algebra"
 *
 * const text = Invalidation.encode(Invalidation.soft(Invalidation.tags("genre:drama")))
 * String(Option.getOrThrow(Invalidation.decode(text))) // => "tag genre:drama (soft)"
 * Option.isNone(Invalidation.decode("garbage")) // => true
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const decode = (text: string): Option.Option<Invalidation> => {
  try {
    const { d, e, k, p } = JSON.parse(text) as Readonly<Record<string, unknown>>
    // What is not understood may stand for everything.
    if (e !== "h" && e !== "s" && e !== "") return Option.none()
    return Option.some(combineAll([
      ...decodeModes(k, (key) => keys(key)),
      ...decodeModes(d, (name) => dependencies(name as Dependency.Dependency)),
      ...(p as ReadonlyArray<unknown>).map(decodePattern),
      ...(e === "" ? [] : [inMode(e, everything)])
    ]))
  } catch {
    return Option.none()
  }
}

// -----------------------------------------------------------------------------
// at given times
// -----------------------------------------------------------------------------

/**
 * Runtime type identifier of scheduled invalidations.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const ScheduledTypeId: ScheduledTypeId = "~effect-cache-algebra/Invalidation/Scheduled"

/**
 * Type-level identifier of scheduled invalidations.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type ScheduledTypeId = "~effect-cache-algebra/Invalidation/Scheduled"

/**
 * An invalidation at the ticks of a cron expression. `Schedules.layer` runs it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scheduled extends Pipeable.Pipeable, Equal.Equal {
  readonly [ScheduledTypeId]: ScheduledTypeId
  readonly name: string
  readonly cron: Cron.Cron
  readonly invalidation: Invalidation
  readonly missed: "run" | "skip"
  toString(): string
}

/**
 * Options of `onSchedule`.
 *
 * - `name`: under which processes agree that a tick was run. Unless given, the
 *   expression and the invalidation as text: then another invalidation is
 *   another schedule, also while two deploys run side by side.
 * - `timeZone`: in which an expression ticks that has none (UTC).
 * - `missed`: whether the last tick before the start is made up for, if no
 *   process ran it (`run`), or not (`skip`).
 *
 * @category models
 * @since 0.1.0
 */
export interface ScheduleOptions {
  readonly name?: string
  readonly timeZone?: string
  readonly missed?: "run" | "skip"
}

const ScheduledProto = {
  ...Pipeable.Prototype,
  [ScheduledTypeId]: ScheduledTypeId,
  [Equal.symbol](this: Scheduled, that: unknown): boolean {
    return isScheduled(that) && this.name === that.name && this.missed === that.missed &&
      Cron.equals(this.cron, that.cron) && Equal.equals(this.invalidation, that.invalidation)
  },
  [Hash.symbol](this: Scheduled): number {
    return Hash.string(this.name)
  },
  toString(this: Scheduled): string {
    const text = scheduleText(this.cron, this.invalidation)
    return `${this.name === text ? "" : `${this.name}: `}${text}${this.missed === "run" ? "" : " (missed: skip)"}`
  },
  toJSON(this: Scheduled): unknown {
    return { _id: "Scheduled", scheduled: this.toString() }
  },
  [Symbol.for("nodejs.util.inspect.custom")](this: Scheduled): string {
    return `Scheduled(${this.toString()})`
  }
}

const scheduleText = (cron: Cron.Cron, invalidation: Invalidation): string =>
  `${invalidation} on (${Crons.words(cron).join(", ")})`

/**
 * Tells whether a value is a scheduled invalidation.
 *
 * @category guards
 * @since 0.1.0
 */
export const isScheduled = (u: unknown): u is Scheduled => Predicate.hasProperty(u, ScheduledTypeId)

/**
 * The same invalidation at each tick of a cron expression, which is text or a
 * `Cron`. Nothing happens until it is given to `Schedules.layer`.
 *
 * Throws `InvalidInput` for an expression that does not parse or never ticks,
 * for a time zone that there is not, and for an empty name.
 *
 * **Example** (Each night in Rome)
 *
 * ```ts
 * import { Invalidation } from "effect-cache-algebra"
 *
 * const nightly = Invalidation.onSchedule("0 3 * * *", Invalidation.tags("popular"), { timeZone: "Europe/Rome" })
 * nightly.toString() // => 'tag popular on ("0 3 * * *", Europe/Rome)'
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const onSchedule = (
  cron: string | Cron.Cron,
  invalidation: Invalidation,
  options: ScheduleOptions = {}
): Scheduled => {
  const where = "Invalidation.onSchedule"
  const parsed = Crons.parse(where, cron, options.timeZone)
  const name = options.name ?? scheduleText(parsed, invalidation)
  if (typeof name !== "string" || name === "") throw InvalidInput.make(where, "EmptyName", "a schedule needs a name")
  return Object.assign(Object.create(ScheduledProto), {
    name,
    cron: parsed,
    invalidation,
    missed: options.missed ?? "run"
  })
}
