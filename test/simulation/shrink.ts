/**
 * Makes a plan that goes wrong as short and as simple as it gets, so that a
 * person can read it.
 *
 * What is drawn while a plan runs comes from its seed, so leaving out a step
 * changes how long everything after it takes, and a violation that needs a race
 * is mostly gone. So a shorter plan is tried under other seeds as well, and the
 * seed under which it goes wrong is kept.
 *
 * At the end no step can be left out: the plan without it goes wrong under none
 * of the seeds that are tried.
 */
import { type Act, type By, type Fault, isFault, type Mode, type Plan, type Step } from "./plan.ts"
import { fairWeather } from "./world/network.ts"

/**
 * Runs a plan under its seed. Says when it went wrong in the way that is looked
 * for, in microseconds from the first step on; nothing if it did not.
 */
export type Fails = (plan: Plan) => number | undefined

export interface Progress {
  readonly runs: number
  readonly steps: number
  readonly doing: string
}

export interface Options {
  readonly fails: Fails
  /** No more runs than these: what is shortest by then is given. */
  readonly mostRuns: number
  /** Under so many seeds a plan is tried besides its own (20). */
  readonly seeds?: number
  readonly progress?: (progress: Progress) => void
}

export interface Shrunk {
  readonly plan: Plan
  readonly runs: number
  /** Whether it was tried of each step to leave it out, and nothing went wrong then. */
  readonly isMinimal: boolean
}

// Runs are long while there are many steps, and many seeds are not needed then.
const seedsFor = ({ steps }: Plan, most: number): number =>
  Math.min(most, Math.max(4, Math.round(2000 / Math.max(1, steps.length))))

// Longer plans are not remembered.
const fewSteps = 100

class Shrinker {
  plan: Plan
  runs = 0
  private readonly options: Options
  private readonly most: number
  private readonly harmless = new Set<string>()

  constructor(plan: Plan, options: Options) {
    this.plan = plan
    this.options = options
    this.most = options.seeds ?? 20
  }

  get isSpent(): boolean {
    return this.runs >= this.options.mostRuns
  }

  say(doing: string): void {
    this.options.progress?.({ runs: this.runs, steps: this.plan.steps.length, doing })
  }

  private fails(plan: Plan): boolean {
    if (this.isSpent) return false
    // Much is tried again after something else was left out, and came to the same.
    const name = plan.steps.length > fewSteps ? undefined : JSON.stringify(plan)
    if (name !== undefined && this.harmless.has(name)) return false
    this.runs++
    const at = this.options.fails(plan)
    if (at === undefined) {
      if (name !== undefined) this.harmless.add(name)
      return false
    }
    // What comes after the violation has no part in it.
    const steps = plan.steps.filter((step) => step.at <= at)
    if (steps.length < plan.steps.length && this.fails({ ...plan, steps })) return true
    this.plan = plan
    return true
  }

  /** Takes a plan in place of the one so far, if it goes wrong. */
  takes(plan: Plan): boolean {
    if (this.fails(plan)) return true
    const seeds = seedsFor(plan, this.most)
    for (let seed = 1; seed <= seeds; seed++) if (seed !== plan.seed && this.fails({ ...plan, seed })) return true
    return false
  }

  /** Leaves out steps: halves, quarters, and so on, until no single one can be left out. */
  leaveOut(): boolean {
    for (let size = Math.ceil(this.plan.steps.length / 2); !this.isSpent;) {
      let isShorter = false
      for (let from = 0; from < this.plan.steps.length && !this.isSpent;) {
        const { steps } = this.plan
        if (this.takes({ ...this.plan, steps: [...steps.slice(0, from), ...steps.slice(from + size)] })) {
          isShorter = true
        } else from += size
      }
      this.say(`steps left out by ${size}`)
      if (size > 1) size = Math.min(Math.ceil(size / 2), Math.max(1, Math.ceil(this.plan.steps.length / 2)))
      else if (!isShorter) return !this.isSpent
    }
    return false
  }

  /** Which of these was taken, from one of them on. */
  private taken(all: Iterable<Plan>, from: number): number | undefined {
    let i = 0
    for (const plan of all) {
      if (i >= from && this.takes(plan)) return i
      i++
    }
    return undefined
  }

  /** Makes what is left simpler, as long as something can be. */
  simplify(all: (plan: Plan) => Iterable<Plan>, doing: string): boolean {
    let isSimpler = false
    // Goes on where it was, since what was refused before that probably still is; at the end all are tried again.
    for (let from = 0; !this.isSpent;) {
      const taken = this.taken(all(this.plan), from)
      if (taken === undefined && from === 0) break
      isSimpler ||= taken !== undefined
      from = taken ?? 0
    }
    this.say(doing)
    return isSimpler
  }
}

/** Shrinks a plan that goes wrong. Throws if it does not. */
export const shrink = (plan: Plan, options: Options): Shrunk => {
  const shrinker = new Shrinker(plan, options)
  if (!shrinker.takes(plan)) throw new Error("the plan does not go wrong when it is run again")
  shrinker.say("cut off after the violation")
  shrinker.simplify(calmer, "a calmer world")
  for (;;) {
    const isMinimal = shrinker.leaveOut()
    const isSimpler = [
      shrinker.simplify(calmer, "a calmer world"),
      shrinker.simplify(smaller, "fewer processes, rows and definitions"),
      shrinker.simplify(simplerSteps, "simpler steps"),
      shrinker.simplify(closer, "times closed up")
    ].includes(true)
    // What is simpler may need fewer steps.
    if (!isSimpler || shrinker.isSpent) {
      return { plan: shrinker.plan, runs: shrinker.runs, isMinimal: isMinimal && !isSimpler }
    }
  }
}

// -----------------------------------------------------------------------------
// simpler plans
//
// Each is a little simpler than the one before by a measure that it cannot fall
// below, so this ends.
// -----------------------------------------------------------------------------

const before = <A>(all: ReadonlyArray<A>, one: A): ReadonlyArray<A> => all.slice(0, Math.max(0, all.indexOf(one)))

const modesBySimplicity: ReadonlyArray<Mode> = ["node", "split", "replicas", "cluster", "ioredis", "ioredis cluster"]
const delays: ReadonlyArray<number> = [2, 8, 30]

/** Worlds in which less is going on besides. */
function* calmer(plan: Plan): Generator<Plan> {
  for (const mode of before(modesBySimplicity, plan.mode)) yield { ...plan, mode }
  if (plan.failing > 0) yield { ...plan, failing: 0 }
  if (plan.lease !== undefined) yield { ...plan, lease: undefined }
  if (plan.weather !== fairWeather) yield { ...plan, weather: fairWeather }
  if (plan.remember > 0) yield { ...plan, remember: 0 }
  if (plan.journal < 10_000) yield { ...plan, journal: 10_000 }
  if (plan.acknowledge === "replicas" && plan.mode !== "replicas") yield { ...plan, acknowledge: "primary" }
  for (const slowest of before(delays, plan.slowest)) yield { ...plan, slowest }
}

/** Definitions in which less is to be understood. */
const plainest: ReadonlyArray<string> = ["forever", "tag", "found"]

const onProcesses = (step: Step, of: (process: number) => number): Step =>
  isFault(step)
    ? "process" in step.fault ? { ...step, fault: { ...step.fault, process: of(step.fault.process) } } : step
    : { ...step, process: of(step.process) }

const onAct = (step: Step, of: (act: Act) => Act): Step => isFault(step) ? step : { ...step, act: of(step.act) }

const withRow = (act: Act, of: (row: number) => number): Act =>
  act.do === "getMany" ? { ...act, rows: [...new Set(act.rows.map(of))] } : { ...act, row: of(act.row) }

/** Fewer processes, rows and definitions. */
function* smaller(plan: Plan): Generator<Plan> {
  const { definitions, processes, rows, steps } = plan
  const last = processes - 1
  for (let from = last; from >= 0; from--) {
    for (let into = 0; into < last; into++) {
      if (into === from) continue
      // What one does another does, and the last one is called by the name that is free now.
      const rename = (process: number) =>
        process % processes === from ? into : process % processes === last ? from : process
      yield { ...plan, processes: last, steps: steps.map((step) => onProcesses(step, rename)) }
    }
  }
  const order = [...new Set(steps.flatMap((step) => isFault(step) ? [] : [step.process % processes]))]
  // By the order in which they come up.
  if (order.some((process, i) => process !== i)) {
    const all = [...new Set([...order, ...Array.from({ length: processes }, (_, i) => i)])]
    yield { ...plan, steps: steps.map((step) => onProcesses(step, (process) => all.indexOf(process % processes))) }
  }
  for (let fewer = 1; fewer < rows; fewer++) {
    yield { ...plan, rows: fewer, steps: steps.map((step) => onAct(step, (act) => withRow(act, (row) => row % fewer))) }
  }
  for (const name of definitions) {
    const others = definitions.filter((other) => other !== name)
    if (others.length > 0 && !steps.some((step) => !isFault(step) && step.act.of === name)) {
      yield { ...plan, definitions: others }
    }
    for (const plainer of plainest.includes(name) ? before(plainest, name) : plainest) {
      yield {
        ...plan,
        definitions: [...new Set(definitions.map((other) => other === name ? plainer : other))],
        steps: steps.map((step) => onAct(step, (act) => act.of === name ? { ...act, of: plainer } : act))
      }
    }
  }
}

/** The plan with another step in the place of one. */
const withStep = (plan: Plan, i: number, step: Step): Plan => ({ ...plan, steps: plan.steps.with(i, step) })

const bysBySimplicity: ReadonlyArray<By> = ["key", "known", "found", "change", "keys", "pattern", "mixed", "everything"]

/** The same with less to it. */
function* simplerAct(act: Act): Generator<Act> {
  switch (act.do) {
    case "get":
      return
    case "getMany": {
      const { of, rows } = act
      for (const row of rows) yield { do: "get", of, row }
      if (rows.length > 1) { for (const row of rows) yield { ...act, rows: rows.filter((other) => other !== row) } }
      return
    }
    case "write": {
      for (const by of before(bysBySimplicity, act.by)) yield { ...act, by }
      if (act.how !== "apply") yield { ...act, how: "apply" }
      if (act.soft) yield { ...act, soft: false }
      if (act.field !== "a") yield { ...act, field: "a" }
      return
    }
    default:
      yield { do: "get", of: act.of, row: act.row }
  }
}

/** A smaller whole number of milliseconds, or of things, of the same sign. */
function* lesser(n: number, least: number): Generator<number> {
  for (const one of [least, Math.sign(n) * 10 ** Math.floor(Math.log10(Math.abs(n))), Math.trunc(n / 2)]) {
    if (Math.abs(one) < Math.abs(n) && Math.abs(one) >= Math.abs(least)) yield one
  }
}

/** The same, and milder. */
function* milder(fault: Fault): Generator<Fault> {
  switch (fault.fault) {
    case "evict":
      for (const many of lesser(fault.many, 1)) yield { ...fault, many }
      return
    case "move":
      for (const slots of lesser(fault.slots, 1)) yield { ...fault, slots }
      return
    case "messages":
      for (const kind of ["late", "doubled", "lost"] as const) if (fault[kind] > 0) yield { ...fault, [kind]: 0 }
      break
    case "restart":
      if (fault.data === "empty") yield { ...fault, data: "kept" }
      break
  }
  if ("server" in fault && fault.server !== undefined && fault.server > 0) yield { ...fault, server: 0 }
  if ("ms" in fault) { for (const ms of lesser(fault.ms, fault.ms < 0 ? -1 : 1)) yield { ...fault, ms } }
}

function* simplerSteps(plan: Plan): Generator<Plan> {
  for (const [i, step] of plan.steps.entries()) {
    if (isFault(step)) { for (const fault of milder(step.fault)) yield withStep(plan, i, { ...step, fault }) }
    else for (const act of simplerAct(step.act)) yield withStep(plan, i, { ...step, act })
  }
}

/** What is read as a number: whole milliseconds, or a tenth of one. */
function* shorter(us: number): Generator<number> {
  const all = [
    0,
    1000,
    5000,
    Math.floor(us / 2 / 1000) * 1000,
    Math.floor(us / 1000) * 1000,
    Math.floor(us / 100) * 100
  ]
  for (const one of new Set(all)) if (one < us) yield one
}

/** The same steps one sooner after the other. */
function* closer(plan: Plan): Generator<Plan> {
  const { steps } = plan
  for (const [i, { at }] of steps.entries()) {
    const gap = at - (steps[i - 1]?.at ?? 0)
    // That the first one comes at once changes nothing that can be seen.
    for (const sooner of i === 0 ? gap > 0 ? [0] : [] : shorter(gap)) {
      yield { ...plan, steps: steps.map((step, j) => j < i ? step : { ...step, at: step.at - gap + sooner }) }
    }
  }
}
