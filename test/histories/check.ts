/**
 * Decides from a recorded history whether the promises were kept.
 *
 * A pure function: the same history gives the same verdict. Nothing here knows
 * how the cache works; what the store told is used only where the promise speaks
 * of it (an entry that was found dead, a lease that was granted).
 */
import {
  type Called,
  covers,
  type Dead,
  type Fact,
  type Fault,
  type History,
  type Invalidate,
  type Load,
  type MutateEnd,
  type MutateOpen,
  type Put,
  type Read,
  type Stored,
  type StoreFailed,
  type Targets
} from "./history.ts"

export type Rule = "origin" | "G1" | "G2" | "G3" | "G4" | "G5" | "G6" | "G7" | "G8" | "G10"

export interface Violation {
  readonly rule: Rule
  readonly what: string
  readonly key: string
  /** What was broken: the invalidation, the write, the fact that was forgotten. */
  readonly by: Fact | undefined
  readonly around: ReadonlyArray<Fact>
}

export interface Verdict {
  readonly violations: ReadonlyArray<Violation>
  readonly seen: Readonly<Record<string, number>>
  /** Pairs of loads of one key that overlapped, by what excuses it. */
  readonly overlaps: Readonly<Record<string, number>>
}

/** From `ret` on, nothing that was loaded before `call` is returned. `own`: to this process only. */
interface Claim {
  readonly rule: "G1" | "G7" | "G8"
  readonly targets: Targets
  readonly soft: boolean
  readonly call: number
  readonly ret: number
  readonly own: string | undefined
  /** Says nothing of what was made of such a load. */
  readonly bare?: boolean
  readonly fact: Fact
}

const of = <T extends Fact["t"]>(facts: ReadonlyArray<Fact>, t: T): ReadonlyArray<Extract<Fact, { readonly t: T }>> =>
  facts.filter((fact): fact is Extract<Fact, { readonly t: T }> => fact.t === t)

const groupBy = <A>(all: ReadonlyArray<A>, by: (one: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const one of all) {
    const group = groups.get(by(one))
    if (group === undefined) groups.set(by(one), [one])
    else group.push(one)
  }
  return groups
}

const timeOf = (fact: Fact): number => {
  switch (fact.t) {
    case "read":
    case "set":
    case "mutate-open":
    case "mutate-end":
      return fact.start
    case "load":
      return fact.begin
    case "stored":
    case "invalidate":
      return fact.call
    case "commit":
    case "called":
    case "dead":
    case "store-failed":
      return fact.at
    case "fault":
      return fact.from
    case "counts":
      return 0
  }
}

const concerns = (fact: Fact, load: Load): boolean => {
  switch (fact.t) {
    case "read":
      return fact.load === load.id
    case "dead":
    case "stored":
      return fact.load === load.id
    case "load":
    case "commit":
    case "set":
      return fact.key === load.key
    case "called":
    case "invalidate":
    case "mutate-open":
    case "mutate-end":
      return isCovered(fact.targets, load)
    case "store-failed":
      return fact.p === load.p
    case "fault":
      return true
    case "counts":
      return false
  }
}

/** What happened to a key from a load on: the evidence that is printed. */
const evidence = (facts: ReadonlyArray<Fact>, load: Load, until: number, always: Fact | undefined) => {
  const from = Math.min(load.begin, always === undefined ? Infinity : timeOf(always))
  const around = facts.filter((fact) => timeOf(fact) >= from && timeOf(fact) <= until && concerns(fact, load))
  const reads = around.filter(({ t }) => t === "read").slice(-2)
  const others = around.filter(({ t }) => t !== "read")
  return [...new Set([...others.slice(0, 10), ...others.slice(-6), ...reads, ...always === undefined ? [] : [always]])]
    .sort((a, b) => timeOf(a) - timeOf(b))
}

const claimsOf = (
  invalidations: ReadonlyArray<Invalidate>,
  opened: ReadonlyArray<MutateOpen>,
  ended: ReadonlyArray<MutateEnd>,
  { crashed, lost }: {
    readonly crashed: (open: MutateOpen) => number | undefined
    /** Whether the fence was lost before this, in which case it sheltered none of the steps in which it was opened. */
    readonly lost: (open: MutateOpen, before: number) => boolean
  }
): ReadonlyArray<Claim> => [
  ...invalidations.map((fact): Claim => ({
    rule: fact.ok ? "G1" : "G8",
    targets: fact.targets,
    soft: fact.soft && fact.ok,
    call: fact.call,
    ret: fact.ret,
    own: fact.ok ? undefined : fact.p,
    fact
  })),
  // The fence stood when the write began, so what was loaded before is gone; and nothing loaded under it is stored.
  ...opened.flatMap((fact): ReadonlyArray<Claim> => {
    const base = { rule: "G7", targets: fact.targets, soft: false, own: undefined, fact } as const
    const opening = { ...base, call: fact.start, ret: fact.write, bare: lost(fact, fact.write) }
    const end = crashed(fact)
    return end === undefined ? [opening] : [opening, { ...base, call: end, ret: fact.until }]
  }),
  ...ended.flatMap((fact): ReadonlyArray<Claim> =>
    fact.ok && fact.written !== undefined
      ? [{
        rule: "G7",
        targets: fact.targets,
        soft: false,
        call: fact.written,
        ret: fact.end,
        own: undefined,
        fact
      }]
      : []
  )
]

const isCovered = (targets: Targets, { found, key, known }: Load): boolean => covers(targets, key, [...known, ...found])

const millis = (micros: number): string => `${(micros / 1000).toFixed(2)} ms`

/** The part of [from, to] in which a process was paused. */
const pausedWithin = (pauses: ReadonlyArray<Fault>, p: string, from: number, to: number): number =>
  pauses.filter((pause) => pause.p === p)
    .reduce((sum, pause) => sum + Math.max(0, Math.min(pause.to, to) - Math.max(pause.from, from)), 0)

class Checker {
  readonly violations: Array<Violation> = []
  readonly overlaps: Record<string, number> = {}
  readonly facts: ReadonlyArray<Fact>
  readonly history: History
  readonly loads: ReadonlyMap<string, Load>
  readonly reads: ReadonlyArray<Read>
  readonly faults: ReadonlyArray<Fault>
  readonly puts: ReadonlyArray<Put>
  /** By process and time: calls of which it was said how they ended. */
  readonly ended: ReadonlySet<string>
  readonly readsById: ReadonlyMap<string, ReadonlyArray<Read>>
  readonly failuresByRead: ReadonlyMap<string, ReadonlyArray<StoreFailed>>

  constructor(history: History) {
    this.history = history
    this.facts = [...history.facts].sort((a, b) => timeOf(a) - timeOf(b))
    this.loads = new Map(of(this.facts, "load").map((load) => [load.id, load]))
    this.reads = of(this.facts, "read")
    this.faults = of(this.facts, "fault")
    this.puts = of(this.facts, "set")
    this.ended = new Set([
      ...of(this.facts, "invalidate").map(({ call, p }) => `${p} ${call}`),
      ...[...this.puts, ...of(this.facts, "mutate-end")].map(({ p, start }) => `${p} ${start}`)
    ])
    this.readsById = groupBy(this.reads, ({ id }) => id)
    this.failuresByRead = groupBy(of(this.facts, "store-failed"), ({ read }) => read)
  }

  report(rule: Rule, load: Load, until: number, what: string, by: Fact | undefined): void {
    this.violations.push({ rule, what, key: load.key, by, around: evidence(this.facts, load, until, by) })
  }

  /** A read returns what was loaded, and a load what the origin had at some time while it ran. */
  origin(): void {
    const commits = groupBy(of(this.facts, "commit"), ({ key }) => key)
    for (const load of this.loads.values()) {
      if (load.v === undefined || load.of !== undefined) continue
      const all = commits.get(load.key) ?? []
      const written = all.find(({ v }) => v === load.v)?.at ?? -Infinity
      const replaced = all.find(({ v }) => v === load.v! + 1)?.at ?? Infinity
      if (written > load.end || replaced < load.begin) {
        this.report(
          "origin",
          load,
          load.end,
          `load ${load.id} gave version ${load.v}, which was not current`,
          undefined
        )
      }
    }
    for (const read of this.reads) {
      if (read.load === undefined) continue
      const load = this.loads.get(read.load)
      if (load?.key === read.key && load.v === read.v && load.begin <= read.end) continue
      const what = `${read.id} returned version ${read.v} of load ${read.load}, which never gave it`
      this.violations.push({ rule: "origin", what, key: read.key, by: undefined, around: [read] })
    }
  }

  /** G1, G3, G7 and G8: what a claim covers is not returned to whoever begins to read after it. */
  invalidations(): void {
    const ended = of(this.facts, "mutate-end")
    const finished = new Set(ended.map(({ id }) => id))
    const died = new Set(this.faults.filter(({ kind }) => kind === "crash").map(({ p }) => p))
    const claims = claimsOf(
      of(this.facts, "invalidate").filter(({ forgiven }) => forgiven !== true),
      of(this.facts, "mutate-open").filter(({ forgiven }) => forgiven !== true),
      ended,
      {
        crashed: (open) => died.has(open.p) && !finished.has(open.id) ? this.endOfFence(open) : undefined,
        lost: (open, before) => this.isLost(open, before)
      }
    )
    const readsOf = groupBy(this.reads.filter(({ load }) => load !== undefined), ({ load }) => load!)
    for (const [id, reads] of readsOf) {
      const load = this.loads.get(id)
      if (load === undefined) continue
      // What was made of an older load by a cached read is as old as that.
      const chain = this.madeOf(load)
      const against = claims.filter(({ bare, call, targets }) =>
        isCovered(targets, load) &&
        (bare === true ? [load] : chain).some((one) => one.begin < call && isCovered(targets, one))
      )
      for (const read of reads) {
        const broken = against.find(({ own, ret, soft }) =>
          ret < read.start && !(soft && read.how === "stale") && (own === undefined || own === read.p)
        )
        if (broken === undefined) continue
        const begin = Math.min(...chain.filter((one) => isCovered(broken.targets, one)).map((one) => one.begin))
        const joined = broken.rule === "G1" && read.start < load.end
        const rule = joined ? "G3" : broken.rule
        const deed = `${broken.soft ? "softly " : ""}${broken.rule === "G7" ? "mutated" : "invalidated"}`
        this.report(
          rule,
          load,
          read.end,
          `${read.id} in ${read.p} began ${millis(read.start - broken.ret)} after ${read.key} was ${deed} by ` +
            `${(broken.fact as Invalidate).p}, and got version ${read.v} of load ${id}, which began ` +
            `${begin < load.begin ? "or was made of one that began " : ""}` +
            `${millis(broken.call - begin)} before (${read.how})`,
          broken.fact
        )
      }
    }
  }

  /** A load, and those that it was made of. */
  private madeOf(load: Load): ReadonlyArray<Load> {
    const inner = load.of === undefined ? undefined : this.loads.get(load.of)
    return inner === undefined ? [load] : [load, ...this.madeOf(inner)]
  }

  /** What began before this was loaded under the fence of a writer that died. */
  private endOfFence(open: MutateOpen): number {
    // Nobody knows of a fence that was lost and whose writer is dead; what was loaded before it is gone all the same.
    return this.isLost(open, open.until) ? open.write : open.until - (open.write - open.start)
  }

  private isLost({ start }: MutateOpen, before: number): boolean {
    return this.faults.some(({ from, kind, to, what }) =>
      (kind === "down" || kind === "failover" || what === "fences") && to >= start && from <= before
    )
  }

  /** G2: what was found dead is not returned again. */
  resurrections(): void {
    const first = new Map<string, Dead>()
    for (const dead of of(this.facts, "dead")) if (!first.has(dead.load)) first.set(dead.load, dead)
    for (const read of this.reads) {
      const dead = read.load === undefined ? undefined : first.get(read.load)
      if (dead === undefined || read.start <= dead.at) continue
      const late = millis(read.start - dead.at)
      const what = `${read.id} in ${read.p} began ${late} after ${dead.p} found load ${dead.load} dead ` +
        `(${dead.because}), and got it (${read.how})`
      this.report("G2", this.loads.get(dead.load)!, read.end, what, dead)
    }
  }

  /** G4: nothing is served past its last threshold. It was stored no later than when the store was told to. */
  ages(): void {
    const { clockSlack, lifetimes } = this.history.limits
    const stored = new Map<string, Stored>(of(this.facts, "stored").map((fact) => [fact.load, fact]))
    for (const read of this.reads) {
      const lifetime = lifetimes[read.key.split(":")[0]!]
      const fact = read.load === undefined ? undefined : stored.get(read.load)
      if (lifetime === undefined || fact === undefined) continue
      const age = (read.start - fact.call) / 1000
      if (age <= lifetime + clockSlack) continue
      const what = `${read.id} in ${read.p} got load ${fact.load} at the age of ${age.toFixed(0)} ms, and nothing of ` +
        `it may be served after ${lifetime} ms (${read.how})`
      this.report("G4", this.loads.get(fact.load)!, read.end, what, fact)
    }
  }

  /** G6: after a write-through has returned, nobody who begins to read gets an older version. */
  writes(): void {
    const reads = groupBy(this.reads, ({ key }) => key)
    for (const put of this.puts) {
      if (!put.ok) continue
      const older = (reads.get(put.key) ?? []).find(({ start, v }) => v !== undefined && v < put.v! && start > put.end)
      if (older === undefined) continue
      const what = `${older.id} in ${older.p} began ${millis(older.start - put.end)} after ${put.p} had written ` +
        `version ${put.v} of ${put.key} through, and got version ${older.v} (${older.how})`
      this.report("G6", this.loads.get(older.load!)!, older.end, what, put)
    }
  }

  /** G10: reads neither fail nor hang, whatever the store does. */
  failOpen(): void {
    const pauses = this.faults.filter(({ kind }) => kind === "pause")
    for (const read of this.reads) {
      const took = (read.end - read.start - pausedWithin(pauses, read.p, read.start, read.end)) / 1000
      const what = read.how === "failed"
        ? `${read.id} in ${read.p} failed: ${read.error}`
        : took > this.history.limits.read
        ? `${read.id} in ${read.p} took ${took.toFixed(0)} ms`
        : undefined
      if (what !== undefined) {
        this.violations.push({ rule: "G10", what, key: read.key, by: undefined, around: [read] })
      }
    }
  }

  /** G5: two loads of one key overlap only for a reason that the guarantee names. */
  flights(): void {
    const byKey = groupBy([...this.loads.values()].filter(({ set }) => !set), ({ key }) => key)
    for (const loads of byKey.values()) {
      const sorted = [...loads].sort((a, b) => a.begin - b.begin)
      let running: Array<Load> = []
      for (const load of sorted) {
        running = running.filter(({ end }) => end > load.begin)
        for (const other of running) {
          const excuse = this.excuse(other, load)
          this.overlaps[excuse ?? "none"] = (this.overlaps[excuse ?? "none"] ?? 0) + 1
          if (excuse !== undefined) continue
          const alone = load.leased === undefined || other.leased === undefined
          const what = `load ${load.id} of ${load.key} in ${load.p} began ${millis(load.begin - other.begin)} after ` +
            `${other.id} in ${other.p}, which was running${alone ? ", and one of them without a lease" : ""}`
          this.report("G5", other, load.end, what, load)
        }
        running.push(load)
      }
    }
  }

  private excuse(earlier: Load, later: Load): string | undefined {
    for (const load of [earlier, later]) {
      if (load.leased === undefined) return this.whyAlone(load)
    }
    // Whose lease was granted first is not known: the answer that came later may be the older one.
    const [one, two] = [earlier.leased!, later.leased!]
    const [from, to] = [Math.min(one.call, two.call), Math.max(one.ret, two.ret)]
    const within = (a: number, b: number): boolean => a <= to && b >= from
    const names = (targets: Targets): boolean => covers(targets, earlier.key, earlier.known)
    if (to - from >= this.history.limits.lease * 1000) return "lease expired"
    for (const fact of this.facts) {
      if (timeOf(fact) > to) break
      switch (fact.t) {
        case "invalidate":
          // One that failed may have happened at any time since.
          if (names(fact.targets) && within(fact.call, fact.ok ? fact.ret : Infinity)) return "invalidated"
          break
        case "called":
          if (names(fact.targets) && within(fact.at, this.diedInTheMiddle(fact))) return "a writer died"
          break
        case "mutate-open":
          if (names(fact.targets) && within(fact.start, fact.write)) return "mutated"
          break
        case "mutate-end":
          // One that failed, or is forgiven, may have opened its fence as soon as it began.
          if (
            names(fact.targets) &&
            within(fact.ok ? fact.written ?? fact.start : fact.start, fact.ok ? fact.end : Infinity)
          ) return "mutated"
          break
        case "set":
          if (fact.key === earlier.key && within(fact.start, fact.ok ? fact.end : Infinity)) return "written"
          break
        case "fault":
          if (!within(fact.from, fact.to)) break
          if (fact.kind === "down" || fact.kind === "failover") return "lease lost"
          if (fact.kind === "evict" && [earlier.key, ...earlier.known].includes(fact.what!)) return "lease evicted"
          break
      }
    }
    return undefined
  }

  /** Until when something may have happened that a process was doing when it died. Nothing, if it lived to say how it ended. */
  private diedInTheMiddle({ at, p }: Called): number {
    if (this.ended.has(`${p} ${at}`)) return -Infinity
    return this.faults.find((fault) => fault.kind === "crash" && fault.p === p)?.to ?? -Infinity
  }

  /** Why somebody loaded for themselves, without a lease. */
  private whyAlone(load: Load): string | undefined {
    const failed = (this.failuresByRead.get(load.read) ?? []).some(({ at }) => at <= load.begin)
    if (failed) return "store failed"
    const read = this.readsById.get(load.read)?.find(({ key }) => key === load.key)
    if (read === undefined) return undefined
    if (load.begin - read.start >= this.history.limits.waitLimit * 1000 - 1000) return "wait limit"
    return read.joined >= 4 ? "refused four times" : undefined
  }

  seen(): Record<string, number> {
    const count = (name: string, all: ReadonlyArray<unknown>) => all.length === 0 ? {} : { [name]: all.length }
    const tally = (prefix: string, names: ReadonlyArray<string>) => {
      const counts: Record<string, number> = {}
      for (const name of names) counts[`${prefix}${name}`] = (counts[`${prefix}${name}`] ?? 0) + 1
      return counts
    }
    const invalidations = of(this.facts, "invalidate")
    const mutations = of(this.facts, "mutate-end")
    const loads = [...this.loads.values()].filter(({ set }) => !set)
    return {
      reads: this.reads.length,
      ...tally("reads ", this.reads.map(({ how }) => how)),
      loads: loads.length,
      ...count("loads without a lease", loads.filter(({ leased }) => leased === undefined)),
      ...tally("outcome ", of(this.facts, "stored").map(({ outcome }) => outcome)),
      commits: of(this.facts, "commit").length,
      invalidations: invalidations.length,
      ...count("invalidations soft", invalidations.filter(({ soft }) => soft)),
      ...count("invalidations failed", invalidations.filter(({ ok }) => !ok)),
      ...count("mutations", mutations),
      ...count("mutations failed", mutations.filter(({ ok }) => !ok)),
      ...count("writes through", this.puts),
      ...count("writes through failed", this.puts.filter(({ ok }) => !ok)),
      ...count("found dead", of(this.facts, "dead")),
      ...tally(
        "store failed: ",
        of(this.facts, "store-failed").map(({ operation, reason }) => `${operation} ${reason}`)
      ),
      ...tally("fault ", this.faults.map(({ kind }) => kind))
    }
  }
}

/** Decides G1 to G8 and G10 from a history. */
export const check = (history: History): Verdict => {
  const checker = new Checker(history)
  checker.origin()
  checker.invalidations()
  checker.resurrections()
  checker.ages()
  checker.flights()
  checker.writes()
  checker.failOpen()
  const { overlaps, violations } = checker
  return { violations, seen: checker.seen(), overlaps }
}

/**
 * A history without the promises that may have been made in [from, to]: for a store that lost what it had acknowledged.
 * What was done then may have had its effect all the same, and still excuses loads that overlap.
 */
export const forgive = (history: History, from: number, to: number): History => {
  const within = (begin: number, end: number) => begin <= to && end >= from
  const facts = history.facts.flatMap((fact): ReadonlyArray<Fact> => {
    switch (fact.t) {
      case "invalidate":
        return within(fact.call, fact.ret) ? [{ ...fact, ok: false, forgiven: true }] : [fact]
      case "set":
        return within(fact.start, fact.end) ? [{ ...fact, ok: false }] : [fact]
      case "mutate-open":
        return within(fact.start, fact.write) ? [{ ...fact, forgiven: true }] : [fact]
      case "mutate-end":
        return within(fact.start, fact.end) ? [{ ...fact, ok: false }] : [fact]
      case "dead":
        // When it was asked for is not known: somewhat before.
        return within(fact.at - underWay, fact.at) ? [] : [fact]
      default:
        return [fact]
    }
  })
  return { ...history, facts }
}

/** Microseconds by which an answer of the store may be older than what is written down of it. */
const underWay = 1_000_000

/** For people: what was seen, and each violation with what happened around it. */
export const print = ({ overlaps, seen, violations }: Verdict, most = 3): string => {
  const table = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ")
  const rules = groupBy(violations, ({ rule }) => rule)
  return [
    table(seen),
    `loads that overlapped: ${table(overlaps) || "none"}`,
    ...[...rules].flatMap(([rule, all]) => [
      `${rule} BROKEN ${all.length} times`,
      ...all.slice(0, most).flatMap(({ around, what }) => [
        `  ${rule}: ${what}`,
        ...around.map((fact) => `    ${timeOf(fact)} ${JSON.stringify(fact)}`)
      ])
    ])
  ].join("\n")
}
