/**
 * What is to be invalidated: keys, dependencies, patterns of keys, or everything.
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
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Change from "./Change.ts"
import * as Dependency from "./Dependency.ts"
import { formatPattern } from "./internal/keys.ts"
import { stronger } from "./internal/mode.ts"
import { eachOf } from "./internal/oneOrMany.ts"
import * as Key from "./Key.ts"
import type * as Verdict from "./Verdict.ts"

const TypeId = "~effect-cache-algebra/Invalidation"

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
  readonly "~effect-cache-algebra/Invalidation": "~effect-cache-algebra/Invalidation"
  readonly keys: ReadonlyMap<string, Verdict.Mode>
  readonly dependencies: ReadonlyMap<Dependency.Dependency, Verdict.Mode>
  readonly patterns: ReadonlyMap<string, { readonly pattern: Key.Pattern; readonly mode: Verdict.Mode }>
  readonly everything: Verdict.Mode | undefined
  /** For people: at most 100 of each kind are named. */
  toString(): string
}

const sameEntries = <V>(a: ReadonlyMap<unknown, V>, b: ReadonlyMap<unknown, V>, same: (x: V, y: V) => boolean) =>
  a.size === b.size && [...a].every(([key, value]) => b.has(key) && same(value, b.get(key)!))

const softly = (text: string, mode: Verdict.Mode): string => mode === "soft" ? `${text} (soft)` : text

// A star that stands in a key stays escaped: the others stand for anything.
const showPattern = (text: string): string =>
  text.split(":").map((part) => part === "*" ? part : Key.format(part).replaceAll("*", "%2A")).join(":")

// Stands in log lines and errors, where nobody reads thousands.
const mostShown = 100

const firstOf = <K, V>(all: ReadonlyMap<K, V>): ReadonlyArray<readonly [K, V]> => {
  const first: Array<readonly [K, V]> = []
  for (const one of all) {
    if (first.length === mostShown) break
    first.push(one)
  }
  return first
}

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
    const shown = [
      ...firstOf(this.keys).map(([key, mode]) => softly(`key ${Key.format(key)}`, mode)),
      ...firstOf(this.dependencies).map(([dependency, mode]) => softly(Dependency.format(dependency), mode)),
      ...firstOf(this.patterns).map(([text, { mode }]) => softly(`keys ${showPattern(text)}`, mode)),
      ...(this.everything === undefined ? [] : [softly("everything", this.everything)])
    ].sort()
    const count = this.keys.size + this.dependencies.size + this.patterns.size + (this.everything === undefined ? 0 : 1)
    if (count > shown.length) shown.push(`and ${count - shown.length} more`)
    return shown.length === 0 ? "nothing" : shown.join(", ")
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

const isInvalidation = (u: unknown): u is Invalidation => Predicate.hasProperty(u, TypeId)

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

const allHard = <K>(names: Iterable<K>): ReadonlyMap<K, Verdict.Mode> => {
  const all = new Map<K, Verdict.Mode>()
  for (const name of names) all.set(name, "hard")
  return all
}

/**
 * Stored keys, as `Cached.keyOf` gives them: one, or any number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keys = (stored: string | Iterable<string>): Invalidation => make({ keys: allHard(eachOf(stored)) })

/**
 * Names that entries depend on: one, or any number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dependencies = (names: Dependency.Dependency | Iterable<Dependency.Dependency>): Invalidation =>
  make({ dependencies: allHard(eachOf(names)) })

/**
 * Tags: one, or any number. A string is one tag, whatever characters it has.
 * Throws `InvalidInput` for an empty one.
 *
 * **Example** (One tag, and several)
 *
 * ```ts
 * import { Invalidation } from "effect-cache-algebra"
 *
 * Invalidation.tags("genre").toString() // => "tag genre"
 * Invalidation.tags(["genre:drama", "genre:noir"]).toString() // => "tag genre:drama, tag genre:noir"
 * Invalidation.tags(new Set(["genre"])).toString() // => "tag genre"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tags = (names: string | Iterable<string>): Invalidation =>
  dependencies(Array.from(eachOf(names), Dependency.tag))

/**
 * What changes touch: of one, or of any number.
 *
 * @category constructors
 * @since 0.1.0
 */
export const changes = (all: Change.Change | Iterable<Change.Change>): Invalidation => {
  const touched = new Set<Dependency.Dependency>()
  for (const change of eachOf(all)) {
    for (const name of Change.dependencies(change)) touched.add(name)
  }
  return dependencies(touched)
}

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
 * The same, with other keys or patterns.
 *
 * @internal
 */
export const withTargets = (
  self: Invalidation,
  targets: Partial<Pick<Invalidation, "keys" | "patterns">>
): Invalidation => make({ ...self, ...targets })

/**
 * The same targets, softly: what they cover is served once more as stale.
 *
 * @category mapping
 * @since 0.1.0
 */
export const soft = (self: Invalidation): Invalidation => withMode(self, "soft")

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

const encode = (self: Invalidation): string =>
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

// If one target has two modes, the stronger counts, as everywhere.
const decodeModes = <Name extends string>(all: unknown): ReadonlyMap<Name, Verdict.Mode> => {
  const modes = new Map<Name, Verdict.Mode>()
  for (const [name, mode] of all as Modes) {
    if (typeof name !== "string" || name === "") throw new TypeError("no name")
    modes.set(name as Name, stronger(modes.get(name as Name), decodeMode(mode))!)
  }
  return modes
}

const decodeMode = (mode: unknown): Verdict.Mode => mode === "s" ? "soft" : "hard"

const decodePattern = (one: unknown): Invalidation => {
  const [name, parts, mode] = one as readonly [string, ReadonlyArray<string | null>, string]
  if (typeof name !== "string" || !parts.every((part) => part === null || typeof part === "string")) {
    throw new TypeError("no pattern")
  }
  return withMode(pattern({ name, parts: parts.map((part) => part ?? undefined) }), decodeMode(mode))
}

const decode = (text: string): Invalidation => {
  const { d, e, k, p } = JSON.parse(text) as Readonly<Record<string, unknown>>
  if (e !== "h" && e !== "s" && e !== "") throw new TypeError("no mode")
  const named = make({
    keys: decodeModes(k),
    dependencies: decodeModes(d),
    everything: e === "" ? undefined : decodeMode(e)
  })
  return combineAll([named, ...(p as ReadonlyArray<unknown>).map(decodePattern)])
}

/**
 * An invalidation as text, for a message or an outbox. Text that is not an
 * invalidation fails to decode; a reader that must not miss one takes it for an
 * invalidation of everything.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Option, Schema } from "effect"
 * import { Invalidation } from "effect-cache-algebra"
 *
 * const text = Schema.encodeSync(Invalidation.FromString)(Invalidation.soft(Invalidation.tags("genre:drama")))
 * Schema.decodeSync(Invalidation.FromString)(text).toString() // => "tag genre:drama (soft)"
 * Option.isNone(Schema.decodeOption(Invalidation.FromString)("garbage")) // => true
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString: Schema.Codec<Invalidation, string> = Schema.String.pipe(
  Schema.decodeTo(Schema.declare(isInvalidation), {
    decode: SchemaGetter.transformEffect((text, options) =>
      Effect.try({
        try: () => decode(text),
        // What is not understood may stand for everything.
        catch: () => new SchemaIssue.InvalidValue({ expected: "an invalidation as text" }, text, options)
      })
    ),
    encode: SchemaGetter.transform(encode)
  })
)
