/**
 * What a policy means, in the most naive way: a fold of its tree.
 *
 * Every node becomes a list of alternatives; a leaf is one, `or` puts the lists
 * of its sides behind each other, `and` combines each with each. Nothing is
 * simplified, remembered or prepared, and none of `Plan`'s judging is used: the
 * laws compare the two, and a benchmark shows what the plan is for.
 *
 * Only the names of slots are taken from the plan, since that is where a stamp
 * and an observation keep the versions that functions compute.
 */
import * as Dependency from "../../src/Dependency.ts"
import { nextTick } from "../../src/internal/cron.ts"
import * as Dependencies from "../../src/internal/dependencies.ts"
import type * as Plan from "../../src/internal/plan.ts"
import type { Case, Node } from "../../src/internal/policy/node.ts"
import type { Selector } from "../../src/internal/policy/selector.ts"
import * as Tree from "../../src/internal/policy/tree.ts"
import type { Stamp, Version } from "../../src/internal/stamp.ts"
import type * as Policy from "../../src/Policy.ts"
import * as Verdict from "../../src/Verdict.ts"

interface Alternative {
  /** Without XFetch. */
  readonly verdict: Verdict.Verdict
  /** When freshness ends, in milliseconds of the store's clock. */
  readonly freshUntil: number
  readonly beta: number
}

interface Read {
  readonly key: unknown
  readonly value: unknown
  readonly stamp: Stamp
  readonly observation: Plan.Observation
  readonly slot: (name: string, current: Plan.Current) => string | undefined
}

const alternative = (verdict: Verdict.Verdict, freshUntil = Infinity, beta = 0): Alternative => ({
  verdict,
  freshUntil,
  beta
})

/** A function of the key looks at the key alone; what it gives may be one, or several. */
const ask = <A>(selector: Selector<A>, { key, value }: Read): ReadonlyArray<A> => {
  const given = selector.from === "key" ? selector.select(key as never) : selector.select(value as never, key as never)
  return [given].flat() as ReadonlyArray<A>
}

/** Clocks differ by up to a second; what is stored at a later time than that was stored before some clock was set back. */
const isFromTheFuture = ({ observation: { now }, stamp }: Read): boolean =>
  Math.max(stamp.storedAt, stamp.beganAt) - now > 1000

const ttl = (node: Case<"Ttl">, read: Read): Alternative => {
  const { observation: { now }, stamp } = read
  if (Math.min(node.fresh, node.stale, node.onError) < Infinity && isFromTheFuture(read)) return alternative("Dead")
  const end = (age: number) => stamp.storedAt + age * (1 - node.jitter * stamp.jitter)
  return alternative(
    now < end(node.fresh) ? "Fresh" : now < end(node.stale) ? "Stale" : now < end(node.onError) ? "OnError" : "Dead",
    end(node.fresh)
  )
}

const satisfies = (have: Version | undefined, wanted: Version | undefined, atLeast: boolean): boolean =>
  have !== undefined && wanted !== undefined && typeof have === typeof wanted &&
  (atLeast ? have >= wanted : have === wanted)

const versioned = (node: Case<"Versioned">, read: Read): Alternative => {
  const { observation, stamp } = read
  if (typeof node.current !== "function") {
    return alternative(satisfies(stamp.versions[node.name], node.current, node.atLeast) ? "Fresh" : "Dead")
  }
  const slot = read.slot(node.name, node.current)
  const good = slot !== undefined && satisfies(stamp.versions[slot], observation.versions[slot], node.atLeast)
  return alternative(good ? "Fresh" : "Dead")
}

/** A name that the stamp lacks counts as changed, and nothing softens that. */
const depends = (
  names: ReadonlyArray<Dependency.Dependency>,
  severity: Verdict.Severity,
  { observation: { changed }, stamp }: Read
): Alternative => {
  let verdict: Verdict.Verdict = "Fresh"
  for (const name of names) {
    if (!stamp.dependencies.includes(name)) verdict = Verdict.meet(verdict, severity)
    const mode = changed?.get(name)
    if (mode === "hard") verdict = Verdict.meet(verdict, severity)
    if (mode === "soft") verdict = Verdict.meet(verdict, "Stale")
  }
  return alternative(verdict)
}

const tagNames = ({ tags }: Case<"Tagged">, read: Read) =>
  ("from" in tags ? ask(tags, read) : tags).map((tag) => Dependency.tag(tag))

const conditionalNames = (
  { entity, fields, scope }: Case<"Conditional">,
  read: Read
): ReadonlyArray<Dependency.Dependency> => {
  const some = (selector: Selector<Dependency.Id> | undefined): ReadonlyArray<Dependency.Id> =>
    selector === undefined ? [read.key as Dependency.Id].flat() : ask(selector, read)
  switch (scope._tag) {
    case "Row":
      return some(scope.ids).flatMap((id) => [
        Dependencies.exists(entity, id),
        ...(fields?.map((field) => Dependencies.rowField(entity, id, field)) ?? [Dependencies.row(entity, id)])
      ])
    case "Partition":
      return some(scope.values).flatMap((value) => [
        Dependencies.partitionMembers(entity, scope.partition, value),
        ...(fields ?? []).map((field) => Dependencies.partitionField(entity, scope.partition, value, field))
      ])
    case "Type":
      return [Dependencies.typeMembers(entity), ...(fields ?? []).map((field) => Dependencies.typeField(entity, field))]
  }
}

const both = (a: Alternative, b: Alternative): Alternative =>
  alternative(
    Verdict.meet(a.verdict, b.verdict),
    Math.min(a.freshUntil, b.freshUntil),
    Math.max(a.beta, b.beta)
  )

const fold = (node: Node, read: Read): ReadonlyArray<Alternative> => {
  switch (node._tag) {
    case "Forever":
      return [alternative("Fresh")]
    case "Never":
      return [alternative("Dead")]
    case "Ttl":
      return [ttl(node, read)]
    case "Until": {
      if (isFromTheFuture(read)) return [alternative("Dead")]
      const tick = nextTick(node.cron, read.stamp.beganAt) + node.spread * read.stamp.jitter
      return [alternative(read.observation.now < tick ? "Fresh" : node.severity, tick)]
    }
    case "Versioned":
      return [versioned(node, read)]
    case "Tagged":
      return [depends(tagNames(node, read), node.severity, read)]
    case "Conditional":
      return [depends(conditionalNames(node, read), node.severity, read)]
    case "XFetch":
      return [alternative("Fresh", Infinity, node.beta)]
    case "And": {
      const right = fold(node.right.node, read)
      return fold(node.left.node, read).flatMap((a) => right.map((b) => both(a, b)))
    }
    case "Or":
      return [...fold(node.left.node, read), ...fold(node.right.node, read)]
  }
}

/** XFetch: what is fresh is refreshed early when `now - delta * beta * ln(u) >= f`. */
const refreshed = (self: Alternative, { observation: { draw, now }, stamp: { duration } }: Read): Verdict.Verdict =>
  self.verdict === "Fresh" && self.beta > 0 &&
    now - self.beta * duration * Math.log(draw()) >= self.freshUntil
    ? "Refresh"
    : self.verdict

/**
 * The verdict on an entry, by the tree.
 */
export const judgeTree = <K, V, E, R>(
  policy: Policy.Policy<K, V, E, R>,
  entry: { readonly key: K; readonly value: V; readonly stamp: Stamp },
  observation: Plan.Observation
): Verdict.Verdict => {
  const { node, plan } = Tree.of(policy)
  const read: Read = {
    ...entry,
    observation,
    slot: (name, current) => plan.computed.find((c) => c.name === name && c.current === current)?.slot
  }
  return fold(node, read)
    .map((each) => refreshed(each, read))
    .reduce<Verdict.Verdict>((best, verdict) => Verdict.join(best, verdict), "Dead")
}
