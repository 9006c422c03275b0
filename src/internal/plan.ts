/**
 * A policy in normal form, which the hot path evaluates.
 *
 * A plan is a set of alternatives, none of which makes another superfluous; its
 * verdict is the best of theirs. An alternative is a flat conjunction: bounds on
 * the age, ticks of cron expressions, versions, dependencies with their
 * severities and one `beta`. No alternative at all is `never`; one without
 * conditions is `forever`. So `or` is union, `and` is the product, and both
 * lattices' laws hold by construction (`test/Policy/laws.test.ts` checks them).
 *
 * Reading happens in two steps. `arm` meets the plan with one entry's stamp,
 * once, and yields absolute deadlines; `judge` compares them with the time of a
 * read and allocates nothing.
 */
import * as Cron from "effect/Cron"
import type * as Effect from "effect/Effect"
import type { Dependency } from "../Dependency.ts"
import * as Verdict from "../Verdict.ts"
import { nextTick } from "./cron.ts"
import { own } from "./own.ts"
import { refused } from "./refused.ts"
import type { Stamp, Version } from "./stamp.ts"
import { slack } from "./steady.ts"
import { noWorse, ofChange } from "./verdicts.ts"

/**
 * What a read sees besides the stamp.
 *
 * - `now`: milliseconds of the store's clock.
 * - `draw`: gives a number in (0, 1]; asked at most once per read, and shared by
 *   all leaves. With a draw per leaf, `xfetch and xfetch` would refresh more
 *   often than `xfetch`.
 * - `changed`: dependencies whose token is not the one of the vector any more.
 * - `versions`: the current values of computed versions, by slot.
 */
export interface Observation {
  readonly now: number
  readonly draw: () => number
  readonly changed: ReadonlyMap<Dependency, Verdict.Mode> | undefined
  readonly versions: Readonly<Record<string, Version>>
}

/**
 * An upper bound of an age in milliseconds, shortened by `jitter` times the
 * entry's draw: `base * (1 - jitter * draw)`.
 */
export interface Bound {
  readonly base: number
  readonly jitter: number
}

/**
 * From the first tick after its load began, or up to `spread` milliseconds
 * later by the entry's draw, an entry is no better than `severity`.
 */
export interface Tick {
  readonly cron: Cron.Cron
  readonly spread: number
  readonly severity: Verdict.Severity
}

/** A function that reads a version, directly or as an effect. */
export type Current = (key: never) => Version | Date | Effect.Effect<Version | Date, unknown, unknown>

/** A version that the stamp must have (`equal`) or reach (`atLeast`). */
export interface Versioned {
  readonly name: string
  readonly current: Version | Current
  readonly atLeast: boolean
}

/** A function that names dependencies: from the key alone, or from key and value. */
export interface Source {
  readonly from: "key" | "value"
  readonly names: (key: never, value: never) => ReadonlyArray<Dependency>
  readonly severity: Verdict.Severity
}

/** One conjunction of a plan. */
export interface Alternative {
  readonly fresh: ReadonlyArray<Bound>
  readonly stale: ReadonlyArray<Bound>
  readonly onError: ReadonlyArray<Bound>
  readonly ticks: ReadonlyArray<Tick>
  readonly beta: number
  readonly versions: ReadonlyArray<Versioned>
  readonly constants: ReadonlyMap<Dependency, Verdict.Severity>
  readonly sources: ReadonlyArray<Source>
}

/** A policy in normal form: its alternatives, and what they need gathered once. */
export interface Plan {
  readonly alternatives: ReadonlyArray<Alternative>
  /** Versions to be recorded as they are, by slot. */
  readonly constants: Readonly<Record<string, Version>>
  /** Versions to be read before a load and at each judgement, with their slots. */
  readonly computed: ReadonlyArray<{ readonly slot: string; readonly name: string; readonly current: Current }>
  /** Dependencies that need neither key nor value. */
  readonly known: ReadonlyArray<Dependency>
  /** Sources that need the key alone. */
  readonly fromKey: ReadonlyArray<Source>
  /** Sources that need the value. */
  readonly fromValue: ReadonlyArray<Source>
}

/**
 * The most alternatives that a plan may have. More is an error when composing:
 * every read would pay for them.
 */
export const maxAlternatives = 8

// -----------------------------------------------------------------------------
// building
// -----------------------------------------------------------------------------

const noConditions: Alternative = {
  fresh: [],
  stale: [],
  onError: [],
  ticks: [],
  beta: 0,
  versions: [],
  constants: new Map(),
  sources: []
}

const atOne = (bound: Bound): number => bound.base * (1 - bound.jitter)

// A bound is linear in the draw, so it lies below another everywhere when it does at both ends.
const boundBelow = (a: Bound, b: Bound): boolean => a.base <= b.base && atOne(a) <= atOne(b)

const addBound = (bounds: ReadonlyArray<Bound>, bound: Bound): ReadonlyArray<Bound> =>
  bound.base === Infinity || bounds.some((b) => boundBelow(b, bound))
    ? bounds
    : [...bounds.filter((b) => !boundBelow(bound, b)), bound]

const tickImplies = (a: Tick, b: Tick): boolean =>
  Cron.equals(a.cron, b.cron) && a.spread <= b.spread && noWorse(b.severity, a.severity)

const addTick = (ticks: ReadonlyArray<Tick>, tick: Tick): ReadonlyArray<Tick> =>
  ticks.some((t) => tickImplies(t, tick)) ? ticks : [...ticks.filter((t) => !tickImplies(tick, t)), tick]

const sameVersion = (a: Versioned, b: Versioned): boolean =>
  a.name === b.name && a.current === b.current && a.atLeast === b.atLeast

const sameSource = (a: Source, b: Source): boolean => a.from === b.from && a.names === b.names

const addSource = (sources: ReadonlyArray<Source>, source: Source): ReadonlyArray<Source> => {
  const twin = sources.find((s) => sameSource(s, source))
  if (twin === undefined) return [...sources, source]
  return sources.map((s) => s === twin ? { ...s, severity: Verdict.meet(s.severity, source.severity) } : s)
}

const isConstant = (v: Versioned): v is Versioned & { readonly current: Version } => typeof v.current !== "function"

const atLeast = (have: Version, wanted: Version): boolean => typeof have === typeof wanted && have >= wanted

// What the constants of one name demand together; `undefined` when nothing satisfies them.
const addVersion = (
  versions: ReadonlyArray<Versioned>,
  version: Versioned
): ReadonlyArray<Versioned> | undefined => {
  if (versions.some((v) => sameVersion(v, version))) return versions
  if (!isConstant(version)) return [...versions, version]
  let rest = versions
  for (const other of versions) {
    if (!isConstant(other) || other.name !== version.name) continue
    if (typeof other.current !== typeof version.current) return undefined
    const [exact, least] = other.atLeast ? [version, other] : [other, version]
    if (!exact.atLeast && !least.atLeast) return undefined // two different constants
    if (exact.atLeast) { // both are lower limits: the higher one counts
      if (other.current >= version.current) return versions
      rest = rest.filter((v) => v !== other)
    } else if (atLeast(exact.current, least.current)) {
      if (exact === other) return versions
      rest = rest.filter((v) => v !== other)
    } else return undefined
  }
  return [...rest, version]
}

const product = (a: Alternative, b: Alternative): Alternative | undefined => {
  let versions: ReadonlyArray<Versioned> | undefined = a.versions
  for (const version of b.versions) {
    versions = addVersion(versions, version)
    if (versions === undefined) return undefined
  }
  const constants = new Map(a.constants)
  for (const [dependency, severity] of b.constants) {
    constants.set(dependency, Verdict.meet(severity, constants.get(dependency) ?? severity))
  }
  return {
    fresh: b.fresh.reduce(addBound, a.fresh),
    stale: b.stale.reduce(addBound, a.stale),
    onError: b.onError.reduce(addBound, a.onError),
    ticks: b.ticks.reduce(addTick, a.ticks),
    beta: Math.max(a.beta, b.beta),
    versions,
    constants,
    sources: b.sources.reduce(addSource, a.sources)
  }
}

const boundsImply = (a: ReadonlyArray<Bound>, b: ReadonlyArray<Bound>): boolean =>
  b.every((bound) => a.some((other) => boundBelow(other, bound)))

const versionImplied = (by: ReadonlyArray<Versioned>, version: Versioned): boolean =>
  by.some((v) =>
    sameVersion(v, version) ||
    (v.name === version.name && version.atLeast && isConstant(v) && isConstant(version) &&
      atLeast(v.current, version.current)) ||
    // an exact computed version reaches itself
    (v.name === version.name && version.atLeast && !v.atLeast && v.current === version.current)
  )

/**
 * Whether `a` demands all that `b` demands, so that its verdict is never better.
 */
const implies = (a: Alternative, b: Alternative): boolean =>
  boundsImply(a.fresh, b.fresh) && boundsImply(a.stale, b.stale) && boundsImply(a.onError, b.onError) &&
  a.beta >= b.beta &&
  b.ticks.every((tick) => a.ticks.some((t) => tickImplies(t, tick))) &&
  b.versions.every((version) => versionImplied(a.versions, version)) &&
  [...b.constants].every(([dependency, severity]) => {
    const mine = a.constants.get(dependency)
    return mine !== undefined && noWorse(severity, mine)
  }) &&
  b.sources.every((source) => a.sources.some((s) => sameSource(s, source) && noWorse(source.severity, s.severity)))

const prune = (alternatives: ReadonlyArray<Alternative>): ReadonlyArray<Alternative> => {
  const kept: Array<Alternative> = []
  for (const alternative of alternatives) {
    if (kept.some((other) => implies(alternative, other))) continue
    for (let i = kept.length - 1; i >= 0; i--) if (implies(kept[i]!, alternative)) kept.splice(i, 1)
    kept.push(alternative)
  }
  return kept
}

const greater = (a: Version | undefined, b: Version): Version =>
  a === undefined || (typeof a === typeof b && b > a) ? b : a

const make = (where: string, all: ReadonlyArray<Alternative>): Plan => {
  const alternatives = prune(all)
  if (alternatives.length > maxAlternatives) {
    throw refused(
      where,
      "TooManyAlternatives",
      `a policy may have ${maxAlternatives} alternatives, and this one has ${alternatives.length}`
    )
  }
  // Without a prototype: a version may be called "constructor" or "__proto__".
  const constants: Record<string, Version> = Object.create(null)
  const computed: Array<{ slot: string; name: string; current: Current }> = []
  const known = new Set<Dependency>()
  const sources: Array<Source> = []
  for (const alternative of alternatives) {
    for (const version of alternative.versions) {
      if (isConstant(version)) {
        // Alternatives may accept different constants; the newest is what is written.
        constants[version.name] = greater(constants[version.name], version.current)
      } else if (!computed.some((c) => c.name === version.name && c.current === version.current)) {
        const twins = computed.filter((c) => c.name === version.name).length
        computed.push({ slot: `${version.name}~${twins}`, name: version.name, current: version.current as Current })
      }
    }
    for (const dependency of alternative.constants.keys()) known.add(dependency)
    for (const source of alternative.sources) if (!sources.some((s) => sameSource(s, source))) sources.push(source)
  }
  return {
    alternatives,
    constants,
    computed,
    known: [...known],
    fromKey: sources.filter((s) => s.from === "key"),
    fromValue: sources.filter((s) => s.from === "value")
  }
}

/** No condition: always fresh. The unit of `and`. */
export const forever: Plan = make("Plan.forever", [noConditions])

/** No alternative: always dead. The unit of `or`. */
export const never: Plan = make("Plan.never", [])

/** A plan of one alternative with the given conditions. */
export const of = (conditions: Partial<Alternative>): Plan => make("Plan.of", [{ ...noConditions, ...conditions }])

/** The meet of two plans. */
export const and = (self: Plan, that: Plan): Plan =>
  make(
    "Policy.and",
    self.alternatives.flatMap((a) => that.alternatives.flatMap((b) => product(a, b) ?? []))
  )

/** The join of two plans. */
export const or = (self: Plan, that: Plan): Plan => make("Policy.or", [...self.alternatives, ...that.alternatives])

/** Whether two plans are one normal form. */
export const equals = (self: Plan, that: Plan): boolean =>
  self.alternatives.every((a) => that.alternatives.some((b) => implies(a, b))) &&
  that.alternatives.every((b) => self.alternatives.some((a) => implies(b, a)))

// -----------------------------------------------------------------------------
// write side
// -----------------------------------------------------------------------------

const gather = (
  start: ReadonlyArray<Dependency>,
  sources: ReadonlyArray<Source>,
  key: unknown,
  value: unknown
): ReadonlyArray<Dependency> => {
  if (sources.length === 0) return start
  const all = new Set(start)
  for (const source of sources) for (const name of source.names(key as never, value as never)) all.add(name)
  return [...all]
}

/**
 * The dependencies known from the key, before anything is loaded. May throw
 * what a user's function throws.
 */
export const knownDependencies = (self: Plan, key: unknown): ReadonlyArray<Dependency> =>
  gather(self.known, self.fromKey, key, undefined)

/**
 * The dependencies found in the value, beside those known from the key. May throw
 * what a user's function throws.
 */
export const foundDependencies = (
  self: Plan,
  key: unknown,
  value: unknown,
  known: ReadonlyArray<Dependency>
): ReadonlyArray<Dependency> => {
  if (self.fromValue.length === 0) return []
  const already = new Set(known)
  return gather([], self.fromValue, key, value).filter((name) => !already.has(name))
}

// -----------------------------------------------------------------------------
// read side
// -----------------------------------------------------------------------------

interface ComputedVersion {
  readonly slot: string
  readonly recorded: Version | undefined
  readonly atLeast: boolean
}

/**
 * An alternative that has met a stamp: absolute times in place of ages, the
 * worst that lasting facts allow in place of constants and names.
 */
export interface ArmedAlternative {
  /** Before this time its age cannot be true: it was stored later. Nothing, where no age and no tick counts. */
  readonly notBefore: number
  readonly freshUntil: number
  readonly staleUntil: number
  readonly onErrorUntil: number
  /** The best verdict that versions and missing dependencies leave. */
  readonly cap: Verdict.Verdict
  /** `beta` times the duration of the load, in milliseconds; 0 for no XFetch. */
  readonly spread: number
  readonly severities: ReadonlyMap<Dependency, Verdict.Severity>
  readonly computed: ReadonlyArray<ComputedVersion>
}

/** A plan that has met a stamp. */
export interface Armed {
  readonly alternatives: ReadonlyArray<ArmedAlternative>
  /** From then to then the entry is fresh if nothing changed: two comparisons on the hot path. */
  readonly surelyFreshFrom: number
  readonly surelyFreshUntil: number
}

const shortest = (bounds: ReadonlyArray<Bound>, draw: number): number => {
  let least = Infinity
  for (const { base, jitter } of bounds) least = Math.min(least, base * (1 - jitter * draw))
  return least
}

/** When a tick ends an entry, in milliseconds of the store's clock. */
export const endByTick = (self: Pick<Tick, "cron" | "spread">, stamp: Stamp): number =>
  tickAfter(self.cron, stamp) + self.spread * stamp.jitter

/** The first tick after a load began, in milliseconds of the store's clock. */
export const tickAfter = (cron: Cron.Cron, { beganAt, behind = 0 }: Stamp): number =>
  nextTick(cron, beganAt - behind) + behind

// -ln of the smallest 53-bit draw: beyond this many spreads before the end of freshness no draw can fire.
const farthest = 36.74

/** The worst that a change of each dependency does. Where none comes from key or value, it is the same for all entries. */
const severitiesOf = (
  { constants, sources }: Alternative,
  key: unknown,
  value: unknown
): ReadonlyMap<Dependency, Verdict.Severity> => {
  if (sources.length === 0) return constants
  const severities = new Map(constants)
  for (const source of sources) {
    for (const name of source.names(key as never, value as never)) {
      severities.set(name, Verdict.meet(source.severity, severities.get(name) ?? source.severity))
    }
  }
  return severities
}

// Of so many it is quicker to look through all.
const fewNames = 12

const recordedIn = (names: ReadonlyArray<Dependency>): (name: Dependency) => boolean => {
  if (names.length <= fewNames) return (name) => names.includes(name)
  const set = new Set(names)
  return (name) => set.has(name)
}

const nothingComputed: ReadonlyArray<ComputedVersion> = []

const armAlternative = (
  plan: Plan,
  self: Alternative,
  key: unknown,
  value: unknown,
  stamp: Stamp,
  isRecorded: (name: Dependency) => boolean
): ArmedAlternative => {
  const { jitter, partsUntil = Infinity, storedAt } = stamp
  let freshUntil = Math.min(storedAt + shortest(self.fresh, jitter), partsUntil)
  let staleUntil = Math.min(storedAt + shortest(self.stale, jitter), partsUntil)
  let onErrorUntil = Math.min(storedAt + shortest(self.onError, jitter), partsUntil)
  for (const tick of self.ticks) {
    const at = endByTick(tick, stamp)
    freshUntil = Math.min(freshUntil, at)
    if (tick.severity !== "Stale") staleUntil = Math.min(staleUntil, at)
    if (tick.severity === "Dead") onErrorUntil = Math.min(onErrorUntil, at)
  }
  const severities = severitiesOf(self, key, value)
  let cap: Verdict.Verdict = stamp.partsUntil === undefined ? "Fresh" : "Stale"
  // A dependency that the policy gained since is missing from the stamp: a mismatch.
  for (const [name, severity] of severities) if (!isRecorded(name)) cap = Verdict.meet(cap, severity)
  let computed = nothingComputed
  for (const version of self.versions) {
    if (isConstant(version)) {
      const have = own(stamp.versions, version.name)
      const good = version.atLeast ? have !== undefined && atLeast(have, version.current) : have === version.current
      if (!good) cap = "Dead"
    } else {
      const { slot } = plan.computed.find((c) => c.name === version.name && c.current === version.current)!
      computed = [...computed, { slot, recorded: own(stamp.versions, slot), atLeast: version.atLeast }]
    }
  }
  return {
    notBefore: Math.min(freshUntil, staleUntil, onErrorUntil) === Infinity
      ? -Infinity
      : Math.max(storedAt, stamp.beganAt) - slack,
    freshUntil,
    staleUntil,
    onErrorUntil,
    cap,
    spread: freshUntil === Infinity ? 0 : self.beta * stamp.duration,
    severities,
    computed
  }
}

/**
 * Meets a plan with an entry: once per entry and process. May throw what a
 * user's tag function throws.
 */
export const arm = (self: Plan, key: unknown, value: unknown, stamp: Stamp): Armed => {
  const isRecorded = recordedIn(stamp.dependencies)
  const alternatives = self.alternatives.map((a) => armAlternative(self, a, key, value, stamp, isRecorded))
  let [surelyFreshFrom, surelyFreshUntil] = [Infinity, -Infinity]
  for (const a of alternatives) {
    if (a.cap !== "Fresh" || a.computed.length > 0) continue
    const until = a.freshUntil - farthest * a.spread
    if (until <= surelyFreshUntil) continue
    surelyFreshFrom = a.notBefore
    surelyFreshUntil = until
  }
  return { alternatives, surelyFreshFrom, surelyFreshUntil }
}

const byAge = (self: ArmedAlternative, now: number): Verdict.Verdict =>
  now < self.notBefore
    ? "Dead"
    : now < self.freshUntil
    ? "Fresh"
    : now < self.staleUntil
    ? "Stale"
    : now < self.onErrorUntil
    ? "OnError"
    : "Dead"

/** What changes since the load leave of a verdict. */
const afterChanges = (
  before: Verdict.Verdict,
  changed: ReadonlyMap<Dependency, Verdict.Mode>,
  severities: ArmedAlternative["severities"]
): Verdict.Verdict => {
  let verdict = before
  for (const [name, mode] of changed) {
    const severity = severities.get(name)
    if (severity !== undefined) verdict = Verdict.meet(verdict, ofChange(severity, mode))
  }
  return verdict
}

/** Without XFetch. */
const judgeAlternative = (
  self: ArmedAlternative,
  now: number,
  changed: ReadonlyMap<Dependency, Verdict.Mode> | undefined,
  versions: Readonly<Record<string, Version>>
): Verdict.Verdict => {
  const { cap, computed, severities } = self
  const age = byAge(self, now)
  const verdict = cap === "Fresh" ? age : Verdict.meet(cap, age)
  if (verdict === "Dead") return "Dead"
  for (let i = 0; i < computed.length; i++) {
    const { atLeast: least, recorded, slot } = computed[i]!
    const current = versions[slot]
    const good = recorded !== undefined && current !== undefined &&
      (least ? atLeast(recorded, current) : recorded === current)
    if (!good) return "Dead"
  }
  return changed === undefined ? verdict : afterChanges(verdict, changed, severities)
}

/** Whether an entry of which nothing changed is fresh for any draw, and whatever versions there are. */
export const isSurelyFresh = ({ surelyFreshFrom, surelyFreshUntil }: Armed, now: number): boolean =>
  now < surelyFreshUntil && now >= surelyFreshFrom

/**
 * The verdict on an armed entry. Allocates nothing.
 *
 * `draw` is asked at most once, and only when its answer matters.
 */
export const judge = (
  self: Armed,
  now: number,
  draw: () => number,
  changed: ReadonlyMap<Dependency, Verdict.Mode> | undefined,
  versions: Readonly<Record<string, Version>>
): Verdict.Verdict => {
  // Nearly all that are asked about.
  if (changed === undefined && isSurelyFresh(self, now)) return "Fresh"
  let best: Verdict.Verdict = "Dead"
  let u = 0 // not drawn yet, since no draw is 0
  const { alternatives } = self
  for (let i = 0; i < alternatives.length; i++) {
    const alternative = alternatives[i]!
    const verdict = judgeAlternative(alternative, now, changed, versions)
    if (verdict !== "Fresh") {
      if (verdict !== "Dead") best = Verdict.join(best, verdict)
      continue
    }
    // XFetch, with the bound of the whole alternative: age - delta * beta * ln(u) >= f.
    const { freshUntil, spread } = alternative
    if (spread === 0 || freshUntil - now > farthest * spread) return "Fresh"
    if (u === 0) u = draw()
    if (!(now - spread * Math.log(u) >= freshUntil)) return "Fresh"
    best = "Refresh"
  }
  return best
}

/** The end of freshness by age and ticks, of the alternatives that changes and versions have not ended; `now` if it is over. */
export const freshUntil = (
  self: Armed,
  now: number,
  changed: ReadonlyMap<Dependency, Verdict.Mode> | undefined,
  versions: Readonly<Record<string, Version>>
): number =>
  self.alternatives
    .filter((alternative) => judgeAlternative(alternative, now, changed, versions) === "Fresh")
    .reduce((last, alternative) => Math.max(last, alternative.freshUntil), now)

const lastOf = (last: number, { freshUntil, onErrorUntil, staleUntil }: ArmedAlternative): number =>
  Math.max(last, freshUntil, staleUntil, onErrorUntil)

/**
 * The last moment at which an entry may be served as it is now: by an alternative
 * that changes and versions have not ended.
 */
export const usableUntil = (
  self: Armed,
  now: number,
  changed: ReadonlyMap<Dependency, Verdict.Mode> | undefined,
  versions: Readonly<Record<string, Version>>
): number =>
  self.alternatives
    .filter((alternative) => judgeAlternative(alternative, now, changed, versions) !== "Dead")
    .reduce(lastOf, -Infinity)

/**
 * The last moment at which any alternative lets the entry be served, for the
 * store's own expiry. `Infinity` if none ends.
 */
export const lastUse = (self: Armed): number => self.alternatives.reduce(lastOf, -Infinity)
