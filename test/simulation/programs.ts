/**
 * The definitions of a world, and what can be done with them. Each is of another
 * kind, and says by itself what ends its values, in the judge's words and not in
 * the library's.
 *
 * A value says which load has made it. So what a read gives can be judged
 * without knowing what the cache did.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as Schedules from "../../src/Schedules.ts"
import type { Ages, Judge, Load, Target } from "./judge.ts"
import { type Origin, Rows } from "./origin.ts"
import type { Random } from "./world/random.ts"

export const Value = Schema.Struct({
  load: Schema.Int,
  group: Schema.Int,
  parts: Schema.Array(Schema.Int),
  text: Schema.String
})

export type Value = typeof Value.Type

/** The row is not there. */
export class Absent extends Schema.TaggedError<Absent>()("Absent", { load: Schema.Int }) {}

/** The origin did not answer. */
export class Broken extends Schema.TaggedError<Broken>()("Broken", { load: Schema.Int }) {}

export type Failure = Absent | Broken

type AnyCached = Cached.Cached<number, Value, Failure>

/** A definition, and what the judge has to know of it. */
export interface Defined {
  readonly name: string
  readonly cached: AnyCached
  readonly ages: Ages
  /** What ends a value that is known before it is loaded. */
  readonly known: (row: number) => Targets
  /** What ends it, once it is known; nothing for a failure. */
  readonly found: (row: number, group: number) => ReadonlyArray<Target>
  /** Whether a value must be of the version that the origin has, or newer. */
  readonly isVersioned: boolean
  /** Whether a read fails where the store does. */
  readonly failsWithStore: boolean
  /** Whether its loads read other cached values. */
  readonly isMadeOfOthers: boolean
  /** Loads of a key, one at a time; nothing where more may run. */
  readonly lane: string | undefined
}

interface Targets {
  readonly hard: ReadonlyArray<Target>
  readonly soft?: ReadonlyArray<Target>
  readonly aged?: ReadonlyArray<Target>
}

/** What is put in on purpose: definitions, or the reads inside of lookups, that are others than the judge knows of. */
export interface Wrong {
  readonly kind?: (kind: Kind, origin: Origin) => Kind
  readonly inside?: <A, E, R>(reads: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface Env {
  readonly judge: Judge
  readonly origin: Origin
  readonly random: Random
  readonly failing: number
  readonly slowest: number
  readonly lease: number | undefined
  /** The name of the process that runs now. */
  readonly process: () => string
  readonly wrong?: Wrong
}

// -----------------------------------------------------------------------------
// loads
// -----------------------------------------------------------------------------

type Reading = Effect.Effect<Value, Failure, CacheService.CacheService>

/** What a lookup reads from the cache, if it does. */
type Parts = (row: number) => Effect.Effect<ReadonlyArray<Value>, Failure, CacheService.CacheService>

const none: Parts = () => Effect.succeed([])

const padding = (random: Random): string => random.chance(0.1) ? "é".repeat(random.int(300)) : "x"

/** Takes some of the time that a lookup may take. */
const busy = ({ random, slowest }: Env): Effect.Effect<void> =>
  Effect.suspend(() => random.chance(0.3) ? Effect.void : Effect.sleep((1 + random.int(slowest * 1000)) / 1000))

/** Makes a value of a row as it is at some moment of the load. */
const making = (env: Env, defined: Defined, load: Load, parts: Parts, canBeAbsent: boolean): Reading =>
  Effect.gen(function*() {
    const { judge, origin, random } = env
    const inside = env.wrong?.inside ?? identity
    const { row } = load
    yield* busy(env)
    const { group } = origin.rows[row]!
    const present = origin.present[row]! || !canBeAbsent
    judge.saw(load, origin.versions[row]!)
    // A failure is void if the value in its place would be.
    load.hard = [...load.hard, ...defined.found(row, group)]
    // What a part failed with is what this load fails with.
    const read = yield* Effect.mapError(inside(parts(row)), () => new Broken({ load: load.id }))
    yield* busy(env)
    // A lookup may be interrupted from within, as by a scope that it uses.
    if (random.chance(env.failing / 4)) return yield* Effect.interrupt
    if (random.chance(env.failing)) return yield* Effect.fail(new Broken({ load: load.id }))
    if (!present) return yield* Effect.fail(new Absent({ load: load.id }))
    load.parts = read.map((part) => judge.loads[part.load]!)
    return { load: load.id, group, parts: read.map((part) => part.load), text: padding(random) }
  })

const begin = ({ judge, process }: Env, { found, known, lane, name }: Defined, row: number, isWrite: boolean): Load => {
  const { aged = [], hard, soft = [] } = known(row)
  const load = judge.begin({
    of: name,
    row,
    lane: isWrite || lane === undefined ? undefined : `${lane}:${row}`,
    process: process(),
    hard: [...hard, `key:${name}:${row}`, `of:${name}`, "*"],
    isOpen: found(row, 0).length > 0
  })
  load.soft = soft
  load.aged = aged
  return load
}

interface Loading {
  readonly parts?: Parts
  readonly canBeAbsent?: boolean
  /** Whether it is what a writer writes. */
  readonly isWrite?: boolean
}

/** One load of a row, from its beginning to its end. */
export const loading = (
  env: Env,
  defined: Defined,
  row: number,
  { canBeAbsent = false, isWrite = false, parts = none }: Loading = {}
): Reading =>
  Effect.suspend(() => {
    const load = begin(env, defined, row, isWrite)
    return Effect.onExit(
      making(env, defined, load, parts, canBeAbsent),
      (exit) => Effect.sync(() => env.judge.end(load, Exit.isFailure(exit) && Exit.hasInterrupts(exit)))
    )
  })

// -----------------------------------------------------------------------------
// definitions
// -----------------------------------------------------------------------------

/** The tag that is known of a row, and the one that is found in its value. */
export const knownTag = (row: number): string => `t${row % 3}`
export const foundTag = (group: number): string => `u${group}`

/** What a schedule invalidates each second, and how many milliseconds it may take to. */
const scheduledTag = "each second"
const tickWithin = 1500

/** It ends what it is over without a word to the judge. */
export const scheduledTarget: Target = `tag:${scheduledTag}`

export const schedule = Schedules.cron("* * * * * *", Invalidation.tags(scheduledTag))

const known = (row: number): Target => `tag:${knownTag(row)}`
const foundIn = (group: number): Target => `tag:${foundTag(group)}`

const taggedByKey = Policy.tagged((row: number) => knownTag(row))
const taggedByValue = Policy.tagged<number, Value>({ fromValue: ({ group }) => foundTag(group) })

export interface Kind {
  readonly name: string
  readonly policy: Policy.Policy<number, Value>
  readonly known: (row: number) => Targets
  readonly found?: (row: number, group: number) => ReadonlyArray<Target>
  readonly ages?: Ages
  readonly isVersioned?: boolean
  readonly canBeAbsent?: boolean
  readonly options?: Partial<
    Pick<
      Cached.Options<number, Value, Failure, never, never, never, "load" | "fail">,
      "refresh" | "softTimeout" | "version" | "concurrency" | "storeFailure"
    >
  >
  readonly batches?: boolean
  readonly parts?: (all: ReadonlyMap<string, Defined>, rows: number) => Parts
}

const byTag = (row: number): Targets => ({ hard: [known(row)] })

const nothing = (): Targets => ({ hard: [] })

/** Read by `get`, one after the other or at once. */
const gets =
  (name: string, of: (row: number, rows: number) => ReadonlyArray<number>): NonNullable<Kind["parts"]> =>
  (all, rows) =>
  (row) =>
    Effect.forEach(of(row, rows), (one) => Cached.get(all.get(name)!.cached, one), {
      concurrency: row % 2 === 0 ? 1 : "unbounded"
    })

const getsMany = (name: string): NonNullable<Kind["parts"]> => (all, rows) => () =>
  Cached.getMany(all.get(name)!.cached, Array.from({ length: rows }, (_, i) => i))

const neighbours = (row: number, rows: number): ReadonlyArray<number> => [...new Set([row, (row + 1) % rows])]

/** Kinds that others are made of come first. Two releases of a program may run beside each other. */
const kindsOf = (origin: Origin, release: number): ReadonlyArray<Kind> => {
  const rows = origin.rows.length
  const everyTag: Targets = { hard: [...new Set(origin.rows.map(({ id }) => known(id)))] }
  const tagsOfAll = Policy.tagged([...new Set(origin.rows.map(({ id }) => knownTag(id)))])
  const tagsOfNeighbours = Policy.tagged((row: number) => neighbours(row, rows).map(knownTag))
  const byNeighbours = (row: number): Targets => ({ hard: neighbours(row, rows).map(known) })
  return [
    { name: "forever", policy: Policy.forever, known: nothing },
    { name: "tag", policy: taggedByKey, known: byTag },
    { name: "found", policy: taggedByValue, known: nothing, found: (_, group) => [foundIn(group)] },
    {
      name: "ttl",
      policy: Policy.all(
        Policy.ttl("150 millis", { staleFor: "100 millis", onErrorFor: "150 millis" }),
        taggedByKey,
        taggedByValue
      ),
      known: byTag,
      found: (_, group) => [foundIn(group)],
      ages: { last: 400 }
    },
    {
      name: "waits",
      policy: Policy.all(Policy.ttl("120 millis", { stale: "1 second" }), taggedByValue),
      known: nothing,
      found: (_, group) => [foundIn(group)],
      ages: { last: 1000 },
      options: { refresh: "everyone" }
    },
    {
      name: "caller",
      policy: Policy.all(Policy.ttl("80 millis", { staleFor: "200 millis" }), taggedByKey),
      known: byTag,
      ages: { last: 280 },
      options: { refresh: "caller" }
    },
    {
      name: "hurried",
      policy: Policy.all(Policy.ttl("100 millis", { staleFor: "200 millis", onErrorFor: "200 millis" }), taggedByKey),
      known: byTag,
      ages: { last: 500 },
      options: { refresh: "everyone", softTimeout: "4 millis", concurrency: 1 }
    },
    { name: "strict", policy: taggedByKey, known: byTag, options: { storeFailure: "fail" } },
    {
      name: "field",
      policy: Policy.conditional(Rows, { fields: ["a"] }),
      known: (row) => ({ hard: [`row:${row}.a`] })
    },
    {
      name: "partition",
      policy: Policy.conditionalIn(Rows, "group", {
        equals: { fromValue: ({ group }: Value) => group },
        fields: ["a"]
      }),
      known: nothing,
      found: (_, group) => [`in:${group}`, `in:${group}.a`]
    },
    {
      name: "all",
      policy: Policy.conditionalAll(Rows, { fields: ["b"] }),
      known: () => ({ hard: ["all", "all.b"] })
    },
    {
      name: "or",
      policy: Policy.any(taggedByKey, Policy.ttl("100 millis")),
      known: (row) => ({ hard: [], aged: [known(row)] }),
      ages: { aged: 100 }
    },
    {
      name: "stale",
      policy: Policy.tagged((row: number) => knownTag(row), { severity: "Stale" }),
      known: (row) => ({ hard: [], soft: [known(row)] })
    },
    {
      name: "versioned",
      policy: Policy.versioned((row: number) => Effect.sync(() => origin.versions[row]!), { name: "row" }),
      known: nothing,
      isVersioned: true
    },
    {
      name: "released",
      policy: taggedByKey,
      known: byTag,
      options: { version: release }
    },
    {
      name: "negative",
      policy: Policy.conditional(Rows),
      known: (row) => ({ hard: [`row:${row}`] }),
      canBeAbsent: true
    },
    {
      name: "batch",
      policy: Policy.all(taggedByKey, taggedByValue),
      known: byTag,
      found: (_, group) => [foundIn(group)],
      batches: true
    },
    {
      name: "early",
      policy: Policy.all(Policy.ttl("250 millis"), Policy.xfetch({ beta: 2 }), taggedByKey),
      known: byTag,
      ages: { last: 250 }
    },
    {
      name: "scheduled",
      policy: Policy.tagged(scheduledTag),
      known: () => ({ hard: [scheduledTarget] }),
      ages: { calm: 1000 + tickWithin }
    },
    {
      name: "page",
      policy: tagsOfNeighbours,
      known: byNeighbours,
      parts: gets("tag", neighbours)
    },
    {
      name: "digest",
      policy: Policy.all(tagsOfAll, taggedByValue),
      known: () => everyTag,
      found: (_, group) => [foundIn(group)],
      parts: getsMany("batch")
    },
    {
      name: "view",
      policy: Policy.forever,
      known: nothing,
      parts: gets("found", (row) => [row])
    },
    {
      name: "site",
      policy: Policy.all(tagsOfAll, Policy.ttl("500 millis")),
      known: () => everyTag,
      ages: { last: 500 },
      parts: getsMany("page")
    },
    {
      name: "front",
      policy: tagsOfAll,
      known: () => everyTag,
      parts: gets("site", (row) => [row])
    }
  ]
}

/** What a definition reads inside of its loads. */
const needs: Readonly<Record<string, string>> = {
  page: "tag",
  digest: "batch",
  view: "found",
  site: "page",
  front: "site"
}

/** Names of all kinds. */
export const kinds: ReadonlyArray<string> = [
  "forever",
  "tag",
  "found",
  "ttl",
  "waits",
  "caller",
  "hurried",
  "strict",
  "field",
  "partition",
  "all",
  "or",
  "stale",
  "versioned",
  "released",
  "negative",
  "batch",
  "early",
  "scheduled",
  "page",
  "digest",
  "view",
  "site",
  "front"
]

/** These, and what they are made of. */
const withParts = (names: ReadonlyArray<string>): ReadonlySet<string> => {
  const all = new Set(names)
  for (const name of all) if (needs[name] !== undefined) all.add(needs[name])
  return all
}

const define = (env: Env, kind: Kind, all: ReadonlyMap<string, Defined>): Defined => {
  const { ages = {}, canBeAbsent = false, found = () => [], isVersioned = false, known, name, policy } = kind
  const parts = kind.parts?.(all, env.origin.rows.length) ?? none
  const one = (row: number) => loading(env, defined, row, { parts, canBeAbsent })
  const many = (rows: ReadonlyArray<number>) =>
    Effect.forEach(rows, (row) => Effect.result(one(row)), { concurrency: "unbounded" })
  const cached = Cached.make(name, {
    key: Key.int("row"),
    value: Value,
    lookup: one,
    ...(kind.batches === true ? { lookupMany: many } : {}),
    ...(canBeAbsent ? { failures: { error: Absent, policy: Policy.conditional(Rows) } } : {}),
    ...(env.lease === undefined ? {} : { lease: env.lease }),
    ...kind.options
  }, policy) as unknown as AnyCached
  const { storeFailure, version } = kind.options ?? {}
  // Where leases end before loads do, and where a load waits for its turn (and may be void before it begins), several may run.
  const isCounted = env.lease === undefined && kind.options?.concurrency === undefined
  const lane = isCounted ? `${name}#${version ?? ""}` : undefined
  const failsWithStore = storeFailure === "fail"
  const defined: Defined = {
    name,
    cached,
    ages,
    known,
    found,
    isVersioned,
    failsWithStore,
    isMadeOfOthers: kind.parts !== undefined,
    lane
  }
  return defined
}

/** The definitions of a world, each after what it is made of. */
export const definitionsOf = (
  env: Env,
  names: ReadonlyArray<string>,
  release: number
): ReadonlyMap<string, Defined> => {
  const wanted = withParts(names)
  const all = new Map<string, Defined>()
  const changed = env.wrong?.kind ?? identity
  for (const kind of kindsOf(env.origin, release)) {
    if (wanted.has(kind.name)) all.set(kind.name, define(env, changed(kind, env.origin), all))
  }
  return all
}

/** The load that an answer is of: a value, or a failure of the lookup. */
export const loadIn = (exit: Exit.Exit<Value, unknown>): number | undefined => {
  if (Exit.isSuccess(exit)) return exit.value.load
  const failure = Exit.findErrorOption(exit)
  return failure._tag === "Some" && (failure.value instanceof Absent || failure.value instanceof Broken)
    ? failure.value.load
    : undefined
}

export const resultAsExit = <A, E>(result: Result.Result<A, E>): Exit.Exit<A, E> =>
  Result.isSuccess(result) ? Exit.succeed(result.success) : Exit.fail(result.failure)
