/**
 * What the processes of a history do: five definitions with hot keys, and
 * writers that tell of their writes in every way there is.
 */
import { Effect, Result, Schema } from "effect"
import { Cached, Dependency, Invalidation, Key, Policy } from "../../src/index.ts"
import type { Limits, Targets } from "./history.ts"

/** A row of the origin, with the load that read it; and the load of the row that it was made of, if it was. */
export const Row = Schema.Struct({
  v: Schema.Int,
  tag: Schema.String,
  load: Schema.String,
  of: Schema.optionalKey(Schema.String)
})
export type Row = typeof Row.Type

export interface RowKey {
  readonly group: number
  readonly id: number
}

export const groups = 2
export const ids = 2

export const rowKeys: ReadonlyArray<RowKey> = Array.from(
  { length: groups * ids },
  (_, i) => ({ group: i % groups, id: Math.floor(i / groups) })
)

/** Tags that are found in values; a writer moves rows between them. */
export const foundTags = ["red", "green", "blue"]

export const knownTag = (name: Name, group: number): string => `${name} ${group}`

/**
 * - `plain`: nothing but its key.
 * - `known`: a tag that the key tells, and a lookup for several.
 * - `found`: a tag that is found in the value.
 * - `brief`: expires again and again.
 * - `stale`: a known tag, and a window in which it is refreshed in the background.
 * - `card`, `page`, `site`: the page is made of the card, and the site of the page. Each has a tag of its own, one that all
 *   three have, and one that is found in the value.
 */
export const names = ["plain", "known", "found", "brief", "stale", "card", "page", "site"] as const
export type Name = typeof names[number]

/** What a value is made of, by a cached read; the others are rows of the origin. */
export const innerOf: Partial<Record<Name, Name>> = { page: "card", site: "page" }

const nested = ["card", "page", "site"] as const

const isNested = (name: Name): boolean => (nested as ReadonlyArray<Name>).includes(name)

const nestedTags = (name: Name, group: number): ReadonlyArray<string> => [knownTag(name, group), `nest ${group}`]

const nestedPolicy = (name: Name): Policy.Policy<RowKey, Row> =>
  Policy.all(
    Policy.tagged(({ group }: RowKey) => nestedTags(name, group)),
    Policy.tagged({ fromValue: (row: Row) => [row.tag] })
  )

export const limits = {
  lifetimes: { brief: 150, stale: 400 },
  lease: 250,
  waitLimit: 1_500
} satisfies Partial<Limits>

const policies: Record<Name, Policy.Policy<RowKey, Row>> = {
  plain: Policy.forever,
  known: Policy.tagged(({ group }: RowKey) => [knownTag("known", group)]),
  found: Policy.tagged({ fromValue: (row: Row) => [row.tag] }),
  brief: Policy.ttl("150 millis"),
  stale: Policy.all(
    Policy.ttl("120 millis", { stale: "400 millis" }),
    Policy.tagged(({ group }: RowKey) => [knownTag("stale", group)])
  ),
  card: nestedPolicy("card"),
  page: nestedPolicy("page"),
  site: nestedPolicy("site")
}

export type Definition = Cached.Cached<RowKey, Row>
export type Definitions = Readonly<Record<Name, Definition>>

/** Loads some rows of one definition at once. */
export type Lookup = (name: Name, keys: ReadonlyArray<RowKey>) => Effect.Effect<ReadonlyArray<Row>>

export const define = (lookup: Lookup): Definitions => {
  const one = (name: Name): Definition =>
    Cached.make(name, {
      key: Key.struct({ group: Key.int("group"), id: Key.int("id") }),
      value: Row,
      lookup: (key) => Effect.map(lookup(name, [key]), ([row]) => row!),
      ...(name === "known"
        ? { lookupMany: (keys) => Effect.map(lookup(name, keys), (rows) => rows.map((row) => Result.succeed(row))) }
        : {}),
      lease: limits.lease,
      waitLimit: limits.waitLimit
    }, policies[name])
  return {
    plain: one("plain"),
    known: one("known"),
    found: one("found"),
    brief: one("brief"),
    stale: one("stale"),
    card: one("card"),
    page: one("page"),
    site: one("site")
  }
}

/** As the library writes it; the naive cache uses it, too. */
export const storedKey = (name: Name, { group, id }: RowKey): string => `${name}:${group}:${id}`

export const dependenciesOf = (name: Name, { group }: RowKey): ReadonlyArray<string> =>
  (isNested(name) ? nestedTags(name, group) : name === "known" || name === "stale" ? [knownTag(name, group)] : [])
    .map(Dependency.tag)

export const foundIn = (name: Name, tag: string): ReadonlyArray<string> =>
  name === "found" || isNested(name) ? [Dependency.tag(tag)] : []

/** All dependencies there are. */
export const allDependencies: ReadonlyArray<string> = [
  ...foundTags.map(Dependency.tag),
  ...[
    ...new Set(
      names.flatMap((name) =>
        Array.from({ length: groups }, (_, group) => dependenciesOf(name, { group, id: 0 })).flat()
      )
    )
  ]
]

export const targetsOf = (of: Invalidation.Invalidation): Targets => ({
  keys: [...of.keys.keys()],
  dependencies: [...of.dependencies.keys()],
  patterns: [...of.patterns.values()].map(({ pattern: { name, parts } }) => [
    name,
    ...parts.map((part) => part ?? null)
  ])
})

// -----------------------------------------------------------------------------
// chance
// -----------------------------------------------------------------------------

/** Chance that repeats. */
export interface Dice {
  readonly next: () => number
  readonly below: (n: number) => number
  readonly pick: <A>(all: ReadonlyArray<A>) => A
  readonly happens: (chance: number) => boolean
}

export const dice = (seed: number): Dice => {
  let state = (seed * 2654435761 + 1) >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = Math.imul(state ^ (state >>> 15), state | 1)
    z = (z + Math.imul(z ^ (z >>> 7), z | 61)) ^ z
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  return { next, below, pick: (all) => all[below(all.length)]!, happens: (chance) => next() < chance }
}

// -----------------------------------------------------------------------------
// what a writer does next
// -----------------------------------------------------------------------------

export type Deed =
  /** Write, then invalidate. The tags of a row that was moved are known only then. */
  | {
    readonly _tag: "Invalidate"
    readonly name: Name
    readonly key: RowKey
    readonly move: string | undefined
    readonly over: (before: string, after: string) => Invalidation.Invalidation
  }
  | { readonly _tag: "Set"; readonly name: Name; readonly key: RowKey; readonly move: string | undefined }
  | {
    readonly _tag: "Mutate"
    readonly name: Name
    readonly key: RowKey
    readonly move: string | undefined
    readonly over: Invalidation.Invalidation
  }

const keyTargets = (definitions: Definitions, name: Name, key: RowKey, at: Dice): Invalidation.Invalidation => {
  const keys = Cached.invalidation(definitions[name], [key])
  return at.happens(0.15) ? Cached.pattern(definitions[name], { group: key.group }) : keys
}

/** What covers a row of this definition, told before its write. */
const targetsBefore = (definitions: Definitions, name: Name, key: RowKey, at: Dice): Invalidation.Invalidation => {
  if (name === "found" && at.happens(0.8)) return Invalidation.tags(foundTags)
  if ((name === "known" || name === "stale") && at.happens(0.8)) return Invalidation.tags(knownTag(name, key.group))
  return keyTargets(definitions, name, key, at)
}

/** What covers a card, and all that is made of it; those that show the most come first. */
const nestTargets = (definitions: Definitions, key: RowKey, at: Dice): Invalidation.Invalidation => {
  const outerFirst = nested.toReversed()
  const keys = outerFirst.map((name) => Cached.invalidation(definitions[name], [key]))
  switch (at.below(5)) {
    case 0:
      return Invalidation.tags(`nest ${key.group}`)
    case 1:
      return Invalidation.tags(outerFirst.map((name) => knownTag(name, key.group)))
    case 2:
      return Invalidation.combineAll(keys)
    case 3:
      return Invalidation.combineAll(outerFirst.map((name) => Cached.pattern(definitions[name], { group: key.group })))
    default: {
      const [first, ...rest] = keys
      const others = Array.from({ length: 400 }, (_, i) => `another ${i}`)
      return Invalidation.combineAll([first!, Invalidation.keys(others), ...rest])
    }
  }
}

const nestDeed = (definitions: Definitions, key: RowKey, at: Dice): Deed => {
  const move = at.happens(0.3) ? at.pick(foundTags) : undefined
  const byTag = at.happens(0.3)
  const kind = at.next()
  if (kind < 0.15) return { _tag: "Set", name: "card", key, move }
  const targets = nestTargets(definitions, key, at)
  if (kind < 0.3) {
    return { _tag: "Mutate", name: "card", key, move, over: byTag ? Invalidation.tags(foundTags) : targets }
  }
  const soften = at.happens(0.15) ? Invalidation.soft : (hard: Invalidation.Invalidation) => hard
  return {
    _tag: "Invalidate",
    name: "card",
    key,
    move,
    over: (from, to) => soften(byTag ? Invalidation.tags([from, to]) : targets)
  }
}

export const nextDeed = (definitions: Definitions, at: Dice): Deed => {
  const name = at.pick(names)
  const key = at.pick(rowKeys)
  if (isNested(name)) return nestDeed(definitions, key, at)
  const move = name === "found" && at.happens(0.4) ? at.pick(foundTags) : undefined
  const kind = at.next()
  if (kind < 0.15) return { _tag: "Set", name, key, move }
  if (kind < 0.3) return { _tag: "Mutate", name, key, move, over: targetsBefore(definitions, name, key, at) }
  const soften = at.happens(0.15) ? Invalidation.soft : (hard: Invalidation.Invalidation) => hard
  const before = targetsBefore(definitions, name, key, at)
  const byTag = name === "found" && before.dependencies.size > 0
  return {
    _tag: "Invalidate",
    name,
    key,
    move,
    over: (from, to) => soften(byTag ? Invalidation.tags([from, to]) : before)
  }
}
