/**
 * Says of each read whether it may be what it was, from what has happened up to
 * then. A value names the load that made it; the judge knows when that began and
 * which invalidations cover it.
 *
 * It counts moments, not time: each thing that it is told of is one later than
 * the one before. An invalidation **voids** a load if it covers it and was called
 * after the load had begun; then no read that starts after it has returned may
 * give what the load made, nor what was made of that, as far as the invalidation
 * covers it too.
 *
 * Looking is quick, since for each target the calls are kept with the greatest
 * one so far. Only where something seems wrong is it looked at one by one.
 */

/** A name of something that ends entries: a key, a tag, a field of a row. */
export type Target = string

/** A load of a value, or a value that was written through. */
export interface Load {
  readonly id: number
  readonly of: string
  readonly row: number
  readonly process: string
  /** One at a time may run of those that have the same; nothing for one that any may run beside. */
  readonly lane: string | undefined
  /** The moment when it began, and when that was and it had ended, in microseconds. */
  readonly began: number
  readonly beganAt: number
  /** Since when the store may have let it begin. */
  readonly grantedAt: number
  endedAt: number
  inFlight: boolean
  /** What ends it. */
  hard: ReadonlyArray<Target>
  /** What makes it stale, and from which age on it ends by these, in milliseconds. */
  soft: ReadonlyArray<Target>
  aged: ReadonlyArray<Target>
  /** Loads whose values it was made of. */
  parts: ReadonlyArray<Load>
  /** Whether what it depends on is known only from its value. */
  readonly isOpen: boolean
  /** The version of the origin that it has read. */
  version: number
  /** How many of the batches were looked at. */
  checked: number
}

export interface Invalidation {
  /** What it was, in words. */
  readonly what: string
  readonly process: string
  readonly hard: ReadonlySet<Target>
  readonly soft: ReadonlySet<Target>
  /** Names of what it changes in the store, or all, for knowing what was lost. */
  readonly keys: ReadonlySet<string> | "all"
  /** What was loaded before this moment is void once it has returned. */
  call: number
  returned: number
  calledAt: number
  returnedAt: number
}

/** What a server lost after it had acknowledged it. */
export interface Lost {
  readonly from: number
  readonly to: number
  readonly keys: ReadonlySet<string>
}

export interface Violation {
  readonly guarantee: string
  readonly what: string
  /** When, in microseconds from the beginning. */
  readonly at: number
}

/** The invalidations of one target that have returned, in that order. */
class History {
  readonly all: Array<Invalidation> = []
  /** The greatest call among those up to here. */
  private readonly greatest: Array<number> = []

  add(invalidation: Invalidation): void {
    const before = this.greatest.at(-1) ?? 0
    this.all.push(invalidation)
    this.greatest.push(Math.max(before, invalidation.call))
  }

  /** Whether one that had returned by then was called after `began`. */
  voids(began: number, by: number): boolean {
    let i = this.all.length - 1
    while (i >= 0 && this.all[i]!.returned > by) i--
    return i >= 0 && this.greatest[i]! > began
  }
}

/** What a definition promises of the age of what is served, in milliseconds. */
export interface Ages {
  /** Nothing older is served, whatever happens. */
  readonly last?: number
  /** The same, where nothing is wrong with the world. */
  readonly calm?: number
  /** Up to this age the targets in `aged` end nothing. */
  readonly aged?: number
}

export interface Read {
  readonly of: string
  readonly row: number
  readonly process: string
  readonly ages: Ages
  /** The moment when it began, and when that was, in microseconds. */
  readonly started: number
  readonly startedAt: number
  /** Whether what it gave was said to be fresh. Not known of most reads. */
  readonly fresh: boolean
}

// So many does a reader wait for.
const mostRefused = 4

export class Judge {
  readonly violations: Array<Violation> = []
  readonly loads: Array<Load> = []
  excused = 0
  judged = 0
  /** Microseconds that an age may be wrong by. */
  tolerance = 100_000
  /** A load begins when the store's answer is here, which takes so many microseconds at most. */
  answered = 0
  /** Whether nothing is wrong with the world. */
  calm = false
  /** Processes that have heard nothing for a while. */
  private readonly deaf = new Map<string, { readonly from: number; readonly until: number }>()
  /** Whether nothing goes wrong that ends leases, so that loads may be counted. */
  countsLoads = false
  private moments = 0
  private readonly hard = new Map<Target, History>()
  private readonly soft = new Map<Target, History>()
  /** Those that have several targets. */
  private readonly batches: Array<Invalidation> = []
  private readonly lost: Array<Lost> = []
  private readonly running = new Map<string, Set<Load>>()
  /** Of the lanes of a process: how many of the last loads, one after the other, may have been refused to who waited. */
  private readonly refused = new Map<string, number>()
  private readonly now: () => number
  private readonly origin: number

  /** `now` is in microseconds. */
  constructor(now: () => number) {
    this.now = now
    this.origin = now()
  }

  moment(): number {
    return ++this.moments
  }

  violate(guarantee: string, what: string): void {
    this.violations.push({ guarantee, what, at: this.now() - this.origin })
  }

  // --------------------------------------------------------------------------
  // loads
  // --------------------------------------------------------------------------

  begin(
    { hard, isOpen, lane, of, process, row }: Pick<Load, "of" | "row" | "process" | "lane" | "hard" | "isOpen">
  ): Load {
    const now = this.now()
    const load: Load = {
      id: this.loads.length,
      of,
      row,
      process,
      lane,
      began: this.moment(),
      beganAt: now,
      grantedAt: this.heardSince(process, now),
      endedAt: now,
      inFlight: true,
      hard,
      soft: [],
      aged: [],
      parts: [],
      isOpen,
      version: 0,
      checked: 0
    }
    this.loads.push(load)
    if (lane !== undefined) this.single(load, lane)
    return load
  }

  /** A process hears nothing for so many microseconds. */
  deafen(process: string, us: number): void {
    const now = this.now()
    const before = this.deaf.get(process)
    const goesOn = before !== undefined && before.until >= now
    this.deaf.set(process, {
      from: goesOn ? before.from : now,
      until: goesOn ? Math.max(before.until, now + us) : now + us
    })
  }

  /** Since when it may be on its way what a process hears now. */
  private heardSince(process: string, now: number): number {
    const since = now - this.answered
    const deaf = this.deaf.get(process)
    return deaf === undefined || deaf.until < since ? since : Math.min(since, deaf.from - this.answered)
  }

  /** `interrupted`: from within, so that nobody else is given what it came to. */
  end(load: Load, interrupted: boolean): void {
    load.inFlight = false
    load.endedAt = this.now()
    const { lane, process } = load
    if (lane === undefined || !this.countsLoads) return
    this.running.get(lane)?.delete(load)
    const here = `${lane} in ${process}`
    const isRefused = interrupted || this.mayBeVoid(load)
    this.refused.set(here, isRefused ? (this.refused.get(here) ?? 0) + 1 : 0)
  }

  /**
   * One load of a key at a time (G5), but for those that something has voided since they began. Who was refused four loads
   * of his process, one after the other, makes one alone.
   */
  private single(load: Load, lane: string): void {
    if (!this.countsLoads || (this.refused.get(`${lane} in ${load.process}`) ?? 0) >= mostRefused) return
    let running = this.running.get(lane)
    if (running === undefined) this.running.set(lane, running = new Set())
    for (const other of running) {
      if (this.mayBeVoid(other)) continue
      this.violate("G5", `${nameOf(load)} begins in ${load.process} while ${nameOf(other)} runs in ${other.process}`)
    }
    running.add(load)
  }

  /** Of targets: how many do something to them now, and when that was last so. */
  private readonly disturbed = new Map<Target, { now: number; until: number }>()
  private anything = { now: 0, until: 0 }

  /** Something begins that may void loads, whether or not it returns. */
  disturb(targets: Iterable<Target>): void {
    for (const target of targets) {
      const known = this.disturbed.get(target)
      if (known === undefined) this.disturbed.set(target, { now: 1, until: 0 })
      else known.now++
    }
    this.anything.now++
  }

  /** It is over. */
  calmDown(targets: Iterable<Target>): void {
    const until = this.now()
    for (const target of targets) {
      const known = this.disturbed.get(target)!
      known.now--
      known.until = until
    }
    this.anything.now--
    this.anything.until = until
  }

  private mayBeVoid(load: Load): boolean {
    const isDisturbed = (one: { readonly now: number; readonly until: number } | undefined) =>
      one !== undefined && (one.now > 0 || one.until > load.grantedAt)
    if (load.isOpen && isDisturbed(this.anything)) return true
    return [...load.hard, ...load.soft, ...load.aged].some((target) => isDisturbed(this.disturbed.get(target)))
  }

  /** What a load has read of the origin. */
  saw(load: Load, version: number): void {
    load.version = version
  }

  // --------------------------------------------------------------------------
  // invalidations
  // --------------------------------------------------------------------------

  call(what: string, process: string, targets: Pick<Invalidation, "hard" | "soft" | "keys">): Invalidation {
    this.disturb([...targets.hard, ...targets.soft])
    return {
      what,
      process,
      ...targets,
      call: this.moment(),
      returned: Infinity,
      calledAt: this.now(),
      returnedAt: Infinity
    }
  }

  /** It is over, and whether it has happened is not known. */
  unsure({ hard, soft }: Invalidation): void {
    this.calmDown([...hard, ...soft])
  }

  /** It has returned without an error. */
  returned(invalidation: Invalidation): void {
    this.calmDown([...invalidation.hard, ...invalidation.soft])
    invalidation.returned = this.moment()
    invalidation.returnedAt = this.now()
    for (const [histories, targets] of [[this.hard, invalidation.hard], [this.soft, invalidation.soft]] as const) {
      for (const target of targets) {
        let history = histories.get(target)
        if (history === undefined) histories.set(target, history = new History())
        history.add(invalidation)
      }
    }
    if (invalidation.hard.size > 1) this.batches.push(invalidation)
  }

  lose(lost: Lost): void {
    this.lost.push(lost)
  }

  // --------------------------------------------------------------------------
  // reads
  // --------------------------------------------------------------------------

  /** A read gave what this load has made. */
  read(read: Read, id: number): void {
    this.judged++
    const load = this.loads[id]
    if (load === undefined) return this.violate("G10", `a read of ${read.of}(${read.row}) gave what no load has made`)
    if (load.of !== read.of || load.row !== read.row) {
      return this.violate("G10", `a read of ${read.of}(${read.row}) gave the value of ${load.of}(${load.row})`)
    }
    this.judgeAge(read, load)
    this.judgeVoid(read, load)
  }

  private ageAt(read: Read, load: Load): number {
    return read.startedAt - load.endedAt - this.tolerance
  }

  private judgeAge(read: Read, load: Load): void {
    const last = this.calm ? read.ages.calm ?? read.ages.last : read.ages.last
    if (last === undefined || load.inFlight) return
    const age = this.ageAt(read, load)
    if (age > last * 1000) {
      this.violate(
        "G4",
        `${this.tell(read, load)}, which had ended ${Math.round((age + this.tolerance) / 1000)} ms before`
      )
    }
  }

  private judgeVoid(read: Read, load: Load): void {
    const by = this.voiding(read, load, load, undefined)
    if (by === undefined) return
    if (by === "excused") {
      this.excused++
      return
    }
    const [invalidation, old] = by
    this.violate(
      invalidation.hard.has(`key:${load.of}:${load.row}`) && invalidation.what.startsWith("set") ? "G6" : "G1",
      `${this.tell(read, load)}${old === load ? "" : `, made of ${nameOf(old)},`} ` +
        `which began before ${invalidation.process} called: ${invalidation.what}`
    )
  }

  private tell(read: Read, load: Load): string {
    return `${read.process} read ${nameOf(load)}${read.fresh ? " as fresh" : ""}`
  }

  /** What voids a part of the value through all that is around it. `within` is what covers that, if it is not all. */
  private voiding(
    read: Read,
    outer: Load,
    load: Load,
    within: ReadonlyArray<Target> | undefined
  ): readonly [Invalidation, Load] | "excused" | undefined {
    const { aged } = read.ages
    const hard = load === outer && aged !== undefined && this.ageAt(read, outer) > aged * 1000
      ? [...load.hard, ...load.aged]
      : load.hard
    const through = within === undefined ? hard : hard.filter((target) => within.includes(target))
    let found = this.among(this.hard, through, load, read)
    if (found === undefined && read.fresh) {
      const soft = [...load.hard, ...load.soft]
      found = this.among(
        this.soft,
        within === undefined ? soft : soft.filter((one) => within.includes(one)),
        load,
        read
      )
      found ??= this.among(this.hard, within === undefined ? load.soft : [], load, read)
    }
    if (found !== undefined) return found
    for (const part of load.parts) {
      found = this.voiding(read, outer, part, through)
      if (found !== undefined) return found
    }
    return load === outer && load.parts.length > 0 ? this.byBatch(read, load) : undefined
  }

  private among(
    histories: ReadonlyMap<Target, History>,
    targets: ReadonlyArray<Target>,
    load: Load,
    { started }: Read
  ): readonly [Invalidation, Load] | "excused" | undefined {
    let excused: "excused" | undefined
    for (const target of targets) {
      const history = histories.get(target)
      if (history === undefined || !history.voids(load.began, started)) continue
      const all = history.all.filter(({ call, returned }) => returned <= started && call > load.began)
      const standing = all.find((one) => !this.isExcused(one))
      if (standing !== undefined) return [standing, load]
      excused = "excused"
    }
    return excused
  }

  /** One invalidation may cover a part by one target, and what is around it by another. */
  private byBatch(read: Read, load: Load): readonly [Invalidation, Load] | "excused" | undefined {
    const { batches } = this
    if (load.checked === 0) {
      const oldest = oldestOf(load)
      load.checked = batches.length
      while (load.checked > 0 && batches[load.checked - 1]!.returned > oldest) load.checked--
    }
    let excused: "excused" | undefined
    for (; load.checked < batches.length; load.checked++) {
      const batch = batches[load.checked]!
      if (batch.returned > read.started) break
      const old = this.oldUnder(batch, load)
      if (old === undefined) continue
      if (!this.isExcused(batch)) return [batch, old]
      excused = "excused"
    }
    return excused
  }

  private oldUnder(batch: Invalidation, load: Load): Load | undefined {
    if (!load.hard.some((target) => batch.hard.has(target))) return undefined
    if (batch.call > load.began) return load
    for (const part of load.parts) {
      const old = this.oldUnder(batch, part)
      if (old !== undefined) return old
    }
    return undefined
  }

  // --------------------------------------------------------------------------
  // excuses
  // --------------------------------------------------------------------------

  /** The server has lost what it had acknowledged of this invalidation. */
  private isExcused({ calledAt, keys, returnedAt }: Invalidation): boolean {
    return this.lost.some((lost) =>
      calledAt <= lost.to && returnedAt >= lost.from &&
      (keys === "all" || [...keys].some((key) => lost.keys.has(key)))
    )
  }
}

const oldestOf = ({ began, parts }: Load): number => Math.min(began, ...parts.map(oldestOf))

const nameOf = ({ id, of, row }: Load): string => `load ${id} of ${of}(${row})`
