/**
 * Generators of policies, and of situations in which to judge them.
 *
 * Everything is drawn from small pools, so that what is interesting happens
 * often: thresholds that coincide, one function used twice, a tag that is a
 * constant here and computed there, a read at the very millisecond at which
 * something ends.
 *
 * A situation says what holds in the world (when an entry was stored, what each
 * version was and is, what changed), and nothing of slots, which differ from
 * policy to policy. `stampOf` and `observationOf` put one situation into the
 * form that a given policy reads.
 *
 * A failing property prints a seed and a path. To run only that case:
 * `FC_SEED=... FC_PATH=... npx vitest run test/Policy/laws.test.ts -t "its name"`.
 * `FC_RUNS=10` makes ten times as many runs.
 */
import * as Cron from "effect/Cron"
import * as Schema from "effect/Schema"
import fc from "fast-check"
import type * as Dependency from "../../src/Dependency.ts"
import * as Entity from "../../src/Entity.ts"
import * as Plan from "../../src/internal/plan.ts"
import type * as Node from "../../src/internal/policy/node.ts"
import * as Text from "../../src/internal/policy/text.ts"
import * as Tree from "../../src/internal/policy/tree.ts"
import { type Stamp, toVersion, type Version } from "../../src/internal/stamp.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as Policy from "../../src/Policy.ts"
import type * as Verdict from "../../src/Verdict.ts"

const { FC_PATH, FC_RUNS, FC_SEED } = process.env

/** How often to run a property; see above for the environment. */
export const runs = (count: number) => ({
  numRuns: Math.ceil(count * Number(FC_RUNS ?? 1)),
  ...(FC_SEED === undefined ? {} : { seed: Number(FC_SEED) }),
  ...(FC_PATH === undefined ? {} : { path: FC_PATH })
})

/** Checks a property; its failure names the smallest case found, the seed and the path. */
export const holds = <T extends Array<unknown>>(count: number, property: fc.IProperty<T>): void =>
  fc.assert(property, runs(count))

/** The refusal of bad input, which is thrown. */
export const refusal = (attempt: () => unknown): InvalidInput.InvalidInput => {
  let result: unknown
  try {
    result = attempt()
  } catch (error) {
    if (error instanceof InvalidInput.InvalidInput) return error
    throw error
  }
  throw new Error(`not refused: ${String(result)}`)
}

// -----------------------------------------------------------------------------
// texts
// -----------------------------------------------------------------------------

const meaning = [
  ..."%:#?=!/*[]{}\\^\"|,;()<> \n\t",
  "%3A",
  "%25",
  "%u",
  "%uD800",
  "\ud800",
  "\udc00",
  "\ufffd",
  "😀",
  "é",
  "a",
  "1"
]

/** Texts that try to be something else: short ones of characters that mean something, so that two often collide, and any. */
export const nasty: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.constantFrom(...meaning), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
  fc.string({ minLength: 1, unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) }),
  fc.string({ minLength: 1, unit: "grapheme" })
)

// -----------------------------------------------------------------------------
// keys, values, functions
// -----------------------------------------------------------------------------

export type Key = number

export interface Value {
  readonly tags: ReadonlyArray<string>
  readonly owner: number
}

export type Generated = Policy.Policy<Key, Value>

export const keys: ReadonlyArray<Key> = [0, 1, 2]

export const values: ReadonlyArray<Value> = [
  { tags: ["a"], owner: 1 },
  { tags: [], owner: 0 },
  { tags: ["b", "drama"], owner: 2 }
]

/** What the functions of the pool read. An `undefined` version is one that nobody recorded or could read. */
export interface World {
  readonly rows: ReadonlyArray<number | undefined>
  readonly setting: string | number | undefined
  readonly updatedAt: number | undefined
}

let world: World = { rows: [], setting: undefined, updatedAt: undefined }

const rowVersion = (key: Key) => world.rows[key] as Version
const setting = (_: Key) => world.setting as Version
const updatedAt = () => (world.updatedAt === undefined ? undefined : new Date(world.updatedAt)) as Date

const ownTag = (key: Key) => [`k${key}`]
const severalTags = (key: Key) => key === 0 ? [] : ["a", `k${key}`]
const tagsOfValue = { fromValue: (value: Value) => value.tags }
const tagOfOwner = { fromValue: (value: Value, key: Key) => [`k${value.owner}`, `k${key}`] }

const sameRow = (key: Key) => key
const neighbours = (key: Key) => [key, (key + 1) % 3]
const owner = { fromValue: (value: Value) => value.owner }
const genre = (key: Key) => key === 1 ? "comedy" : "drama"
const genres = { fromValue: (value: Value) => value.tags }

const Film = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  year: Schema.Int,
  genre: Schema.String
})

export const Films = Entity.make("film", {
  schema: Film,
  id: "id",
  partitions: ["genre", "year"],
  relations: ["actors"]
})

// -----------------------------------------------------------------------------
// leaves
// -----------------------------------------------------------------------------

const severities: ReadonlyArray<Verdict.Severity> = ["Dead", "OnError", "Stale"]

/** Each choice from the first list with each from the second. */
const pairs = <A, B, C>(
  as: ReadonlyArray<A>,
  bs: ReadonlyArray<B>,
  f: (a: A, b: B) => C
): ReadonlyArray<C> => as.flatMap((a) => bs.map((b) => f(a, b)))

const pick = <A>(all: ReadonlyArray<A>): fc.Arbitrary<A> => fc.constantFrom(...all)

const ages = [0, 5_000, 10_000, 20_000, 60_000, Infinity]
const jitters = [0, 0.1, 0.5]

const anyTtl = fc.tuple(
  fc.uniqueArray(fc.nat(ages.length - 1), { minLength: 1, maxLength: 3 }),
  fc.constantFrom(...jitters, 0)
).map(([places, jitter]): Generated => {
  const [fresh, stale, onError] = [...places].sort().map((i) => ages[i]!)
  return Policy.ttl(fresh!, {
    stale: stale ?? fresh!,
    onError: onError ?? stale ?? fresh!,
    jitter
  })
})

const longTtl = fc.tuple(fc.integer({ min: 2, max: ages.length - 1 }), pick(jitters))
  .map(([i, jitter]): Generated => Policy.ttl(ages[i]!, { jitter }))

const crons = [
  Cron.parseUnsafe("*/10 * * * * *", "UTC"),
  Cron.parseUnsafe("0 * * * *", "UTC"),
  Cron.parseUnsafe("0 0 * * *", "UTC"),
  Cron.parseUnsafe("0 0 * * *", "Europe/Rome"),
  Cron.parseUnsafe("0 0 * * *", "America/New_York"),
  Cron.parseUnsafe("0 22 * * 6", "UTC"),
  // on odd days that are Saturdays, which a cron expression can say only with a step
  Cron.parseUnsafe("0 22 */2 * 6", "UTC"),
  Cron.parseUnsafe("0 22 */2 * 6", "+05:30"),
  Cron.parseUnsafe("30 2 * * *", "Europe/Rome", { onDstOverlap: "later" }),
  Cron.parseUnsafe("30 2 * * *", "Europe/Rome", { onDstOverlap: "both" })
]

const spreads = [0, 0, 4_000, 10_000, 3_600_000]

const anyUntil = fc.tuple(pick(crons), pick(severities), pick(spreads))
  .map(([cron, severity, spread]): Generated => Policy.until(cron, { severity, spread }))

const names = ["version", "schema"]
const constants: ReadonlyArray<Version> = [1, 1, 2, 3, "1", "2"]

const constantVersions = pairs(
  pairs(names, [false, true], (name, atLeast) => ({ name, atLeast })),
  constants,
  (options, current): Generated => Policy.versioned(current, options)
)

const computedVersions = pairs(
  pairs(names, [false, true], (name, atLeast) => ({ name, atLeast })),
  [rowVersion, setting, updatedAt],
  (options, current): Generated => Policy.versioned(current, options)
)

const tagLists = [["a"], ["b"], ["a", "b"], ["k0", "k1"], []]

const constantTags = pairs(tagLists, severities, (tags, severity): Generated => Policy.tagged(tags, { severity }))

const computedTags = pairs(
  [ownTag, severalTags, tagsOfValue, tagOfOwner],
  severities,
  (tags, severity): Generated => Policy.tagged(tags, { severity })
)

const fieldLists = [undefined, ["title"], ["title", "genre"], []] as const

const conditionals = [
  ...pairs(
    [...fieldLists, ["actors"]] as const,
    severities,
    (fields, severity): Generated => Policy.conditional(Films, { fields, severity })
  ),
  ...pairs(
    fieldLists,
    severities,
    (fields, severity): Generated => Policy.conditionalIn(Films, "year", { fields, severity })
  ),
  ...pairs(
    [undefined, ["title"], ["title", "actors"], []] as const,
    severities,
    (fields, severity): Generated => Policy.conditionalAll(Films, { fields, severity })
  )
]

const computedConditionals = [
  ...pairs(
    pairs(fieldLists, severities, (fields, severity) => ({ fields, severity })),
    [sameRow, neighbours, owner],
    ({ fields, severity }, of): Generated => Policy.conditional(Films, { id: of, fields, severity })
  ),
  ...pairs(
    pairs(fieldLists, severities, (fields, severity) => ({ fields, severity })),
    [genre, genres],
    ({ fields, severity }, of): Generated => Policy.conditionalIn(Films, "genre", { equals: of, fields, severity })
  )
]

const xfetches = [1, 0.5, 2, 10].map((beta): Generated => Policy.xfetch({ beta }))

const computed = [...computedVersions, ...computedTags, ...computedConditionals]

/**
 * What a generated policy may hold. `loadable`: only what an entry that has
 * just been loaded satisfies.
 */
export interface Kinds {
  readonly xfetch?: boolean
  readonly functions?: boolean
  readonly loadable?: boolean
}

/** Policies that are not composed. */
export const leaves = ({ functions = true, loadable = false, xfetch = true }: Kinds = {}): fc.Arbitrary<Generated> =>
  fc.oneof(
    { arbitrary: fc.constant<Generated>(Policy.forever), weight: 1 },
    ...(loadable ? [] : [{ arbitrary: fc.constant<Generated>(Policy.never), weight: 1 }]),
    { arbitrary: loadable ? longTtl : anyTtl, weight: 8 },
    { arbitrary: anyUntil, weight: 3 },
    { arbitrary: loadable ? fc.constant<Generated>(Policy.versioned(1)) : pick(constantVersions), weight: 2 },
    { arbitrary: pick(constantTags), weight: 3 },
    { arbitrary: pick(conditionals), weight: 2 },
    ...(xfetch ? [{ arbitrary: pick(xfetches), weight: 4 }] : []),
    ...(functions
      ? [
        { arbitrary: pick(computedVersions), weight: 2 },
        { arbitrary: pick(computedTags), weight: 3 },
        { arbitrary: pick(computedConditionals), weight: 3 }
      ]
      : [])
  )

// -----------------------------------------------------------------------------
// policies
// -----------------------------------------------------------------------------

/** A composition that has more than eight alternatives is not to be had: `undefined`, or `fc.pre` in a property. */
export const attempt = <A>(compose: () => A): A | undefined => {
  try {
    return compose()
  } catch (error) {
    if (error instanceof InvalidInput.InvalidInput && error.reason === "TooManyAlternatives") return undefined
    throw error
  }
}

/** Skips a case that cannot be composed. */
export const composed = <A>(compose: () => A): A => {
  const result = attempt(compose)
  fc.pre(result !== undefined)
  return result
}

/** What a policy is inside. */
export const nodeOf = (policy: Policy.Any): Node.Node => Tree.of(policy).node

/** The normal form of a policy. */
export const planOf = (policy: Policy.Any): Plan.Plan => Tree.of(policy).plan

/** The policy with its functions by name, for the report of a failure. */
export const explain = (policy: Policy.Any): string => explainTree(Tree.of(policy))

const explainTree = ({ node }: Node.Tree): string => {
  const name = (f: { readonly name: string } | undefined) => f === undefined ? "" : ` {${f.name || "anonymous"}}`
  switch (node._tag) {
    case "And":
    case "Or":
      return `(${explainTree(node.left)} ${node._tag.toLowerCase()} ${explainTree(node.right)})`
    case "Versioned":
      return Text.print(node) + (typeof node.current === "function" ? name(node.current) : "")
    case "Tagged":
      return Text.print(node) + ("from" in node.tags ? name(node.tags.select) : "")
    case "Conditional":
      return Text.print(node) + (node.scope._tag === "Row" ? name(node.scope.ids?.select) : "") +
        (node.scope._tag === "Partition" ? name(node.scope.values?.select) : "")
    default:
      return Text.print(node)
  }
}

const named = (policy: Generated): Generated =>
  fc.hasToStringMethod(policy)
    ? policy
    : Object.defineProperty(policy, fc.toStringMethod, { value: () => explain(policy) })

/** Policies nested to a depth of four, of up to eight alternatives. */
export const policies = (kinds: Kinds = {}, maxDepth = 4): fc.Arbitrary<Generated> => {
  const leaf: fc.Arbitrary<Generated | undefined> = leaves(kinds)
  const both = (
    combine: (a: Generated, b: Generated) => Generated
  ) =>
  ([a, b]: readonly [Generated | undefined, Generated | undefined]): Generated | undefined =>
    a === undefined || b === undefined ? undefined : attempt(() => combine(a, b))
  const { policy } = fc.letrec<{ policy: Generated | undefined }>((tie) => ({
    policy: fc.oneof(
      { maxDepth, withCrossShrink: true },
      { arbitrary: leaf, weight: 2 },
      { arbitrary: fc.tuple(tie("policy"), tie("policy")).map(both((a, b) => Policy.and(a, b))), weight: 3 },
      { arbitrary: fc.tuple(tie("policy"), tie("policy")).map(both((a, b) => Policy.or(a, b))), weight: 2 },
      ...(kinds.xfetch === false
        ? []
        // Seldom does anything fire, so what could fire is made often.
        : [{ arbitrary: fc.tuple(tie("policy"), pick(xfetches)).map(both((a, b) => Policy.and(a, b))), weight: 1 }])
    )
  }))
  return policy.filter((p): p is Generated => p !== undefined).map(named)
}

// -----------------------------------------------------------------------------
// situations
// -----------------------------------------------------------------------------

/** What holds in the world when an entry is read. */
export interface Situation {
  readonly key: Key
  readonly value: Value
  readonly storedAt: number
  /** How long the load itself took; `duration` is smoothed. */
  readonly took: number
  readonly duration: number
  readonly jitter: number
  readonly now: number
  readonly draw: number
  /** Constants that were written under each name. */
  readonly constants: Readonly<Record<string, Version>>
  /** The versions when the entry was loaded, and now. */
  readonly before: World
  readonly after: World
  /** Dependencies that the stamp lacks. */
  readonly missing: ReadonlySet<Dependency.Dependency>
  readonly changed: ReadonlyMap<Dependency.Dependency, Verdict.Mode> | undefined
}

/** All dependencies that policies of the pool can name. */
export const universe: ReadonlyArray<Dependency.Dependency> = [
  ...new Set(
    [...constantTags, ...conditionals, ...computed].flatMap((policy) =>
      pairs(keys, values, (key, value) => {
        const plan = planOf(policy)
        const known = Plan.knownDependencies(plan, key)
        return [...known, ...Plan.foundDependencies(plan, key, value, known)]
      }).flat()
    )
  )
]

// Ten seconds before it is midnight in Rome, which is a full hour everywhere and 22:00 on a Saturday in London.
const evening = Date.UTC(2024, 5, 1, 21, 59, 50)
const storedAts = [0, evening, evening + 9_999, evening + 10_000, evening + 10_001, evening + 5_000.5]
  // a minute before clocks in Rome go forward, and before they go back
  .concat(Date.UTC(2024, 2, 31, 0, 59), Date.UTC(2024, 9, 27, 0, 59))

const ends = [0, 4_500, 5_000, 9_000, 10_000, 18_000, 20_000, 54_000, 60_000, 3_600_000]

const elapsed = fc.oneof(
  fc.tuple(pick(ends), fc.constantFrom(0, -1, 1)).map(([end, shift]) => end + shift),
  fc.integer({ min: 0, max: 25_000 }),
  fc.integer({ min: -1_000, max: 100_000_000 })
)

/** Draws of 53 bits, in (0, 1]. */
export const draws: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(1, 0.5, 0.1, 0.001, 1e-8, 2 ** -53),
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }).map((n) => (n + 1) / 2 ** 53)
)

const mostly = <A>(usual: A, unusual: fc.Arbitrary<A>, weight = 4): fc.Arbitrary<A> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight }, { arbitrary: unusual, weight: 1 })

const rowNumber = fc.constantFrom(1, 2, 3)

const worlds: fc.Arbitrary<World> = fc.record({
  rows: fc.array(mostly<number | undefined>(2, fc.option(rowNumber, { nil: undefined })), {
    minLength: 3,
    maxLength: 3
  }),
  setting: mostly<string | number | undefined>("on", fc.constantFrom("off", "on", 1, 2, undefined)),
  updatedAt: mostly<number | undefined>(2_000, fc.constantFrom(1_000, 2_000, 3_000, undefined))
})

const dependencies = (maxLength: number) => fc.uniqueArray(pick(universe), { maxLength })

export const modes: fc.Arbitrary<Verdict.Mode> = fc.constantFrom("hard", "soft")

const changes = fc.oneof(
  { arbitrary: fc.constant(undefined), weight: 2 },
  { arbitrary: fc.array(fc.tuple(pick(universe), modes), { maxLength: 8 }).map((all) => new Map(all)), weight: 3 }
)

const stored: fc.Arbitrary<Readonly<Record<string, Version>>> = fc.record(
  { version: fc.constantFrom(...constants, 1, 1), schema: fc.constantFrom(...constants, 1, 1) },
  { requiredKeys: [] }
)

export const situations: fc.Arbitrary<Situation> = fc.tuple(
  fc.record({
    key: pick(keys),
    value: pick(values),
    storedAt: pick(storedAts),
    took: fc.constantFrom(0, 0, 1, 4_999, 5_001, 30_000),
    duration: fc.constantFrom(100, 0, 1_000, 5_000, 30_000),
    jitter: fc.constantFrom(0, 0.25, 0.5, 0.9, 0.999),
    draw: draws,
    constants: stored,
    before: worlds,
    missing: mostly<ReadonlyArray<Dependency.Dependency>>([], dependencies(4)).map((all) => new Set(all)),
    changed: changes
  }),
  elapsed,
  fc.option(worlds, { nil: undefined, freq: 2 })
).map(([facts, age, after]) => ({ ...facts, now: facts.storedAt + age, after: after ?? facts.before }))

/** The same, or at an age that cannot be true, since some clock was set back. */
export const anySituations: fc.Arbitrary<Situation> = fc.oneof(
  { arbitrary: situations, weight: 5 },
  {
    arbitrary: fc.tuple(situations, fc.constantFrom(1_000, 1_001, 3_600_000))
      .map(([situation, before]) => ({ ...situation, now: situation.storedAt - before })),
    weight: 1
  }
)

/** Runs something while the functions of the pool read this world. */
const inWorld = <A>(now: World, read: () => A): A => {
  const outer = world
  world = now
  try {
    return read()
  } finally {
    world = outer
  }
}

/** The computed versions of a policy in a world, by slot. */
export const versionsIn = (policy: Policy.Any, now: World, key: unknown): Record<string, Version> =>
  inWorld(now, () => {
    const versions: Record<string, Version> = {}
    for (const { current, slot } of planOf(policy).computed) {
      const version = current(key as never) as Version | Date | undefined
      if (version !== undefined) versions[slot] = toVersion("test", slot, version)
    }
    return versions
  })

export const stampOf = (policy: Policy.Any, situation: Situation, key: unknown = situation.key): Stamp => ({
  storedAt: situation.storedAt,
  beganAt: situation.storedAt - situation.took,
  duration: situation.duration,
  jitter: situation.jitter,
  versions: { ...situation.constants, ...versionsIn(policy, situation.before, key) },
  dependencies: universe.filter((name) => !situation.missing.has(name)),
  shape: "",
  failure: false
})

export const observationOf = (
  policy: Policy.Any,
  situation: Situation,
  key: unknown = situation.key
): Plan.Observation => ({
  now: situation.now,
  draw: () => situation.draw,
  changed: situation.changed,
  versions: versionsIn(policy, situation.after, key)
})

/** The verdict of a policy for other keys or values than those of the situation, in the situation. */
export const judgeFor = <K, V>(policy: Policy.Policy<K, V>, key: K, value: V, situation: Situation): Verdict.Verdict =>
  Policy.judge(policy, { key, value, stamp: stampOf(policy, situation, key), ...observationOf(policy, situation, key) })

/** The verdict of a policy in a situation. */
export const judge = (policy: Generated, situation: Situation): Verdict.Verdict =>
  judgeFor(policy, situation.key, situation.value, situation)
