/**
 * Searching the schedules of a case: all of them, or many at random.
 *
 * The exhaustive search runs the case again and again, each time with another
 * choice at the last point where one is left. Steps that touch nothing in
 * common may change places without anybody noticing; of such schedules only one
 * is run (sleep sets, Godefroid 1996). Where time passes with every step that
 * does not hold, and all are run.
 */
import type { Mistake } from "../support/markerStore.ts"
import { type Access, type Gate, independent } from "./machine.ts"
import { type Actress, type Bug, inMemory, type Settings, violation, type World } from "./world.ts"

export interface Case {
  readonly name: string
  readonly settings: Settings
  /** These run first, one after the other. */
  readonly first?: ReadonlyArray<Actress>
  /** These run at once. */
  readonly early: ReadonlyArray<Actress>
  /** When all of those have ended, these run one after the other. */
  readonly late: ReadonlyArray<Actress>
  readonly expect?: (world: World) => string | undefined
}

export interface Violation {
  readonly case: string
  readonly what: string
  readonly schedule: ReadonlyArray<string>
  readonly seed: number | undefined
  readonly history: ReadonlyArray<unknown>
}

/** What a test says of a violation: what it is, and by which command it is seen again. Empty when there is none. */
export const complaint = (found: Violation | undefined, command: string): string =>
  found === undefined
    ? ""
    : `${found.what}\n  ${command} --case "${found.case}" --schedule "${found.schedule.join(",")}"`

/**
 * Something that is run in steps. It gives what has to be awaited before it goes on: nothing where the store answers
 * at once, so that it then is a function like any other.
 */
export type Run<A> = Generator<Promise<unknown>, A, unknown>

/** Runs what awaits nothing. */
export const atOnce = <A>(run: Run<A>): A => {
  const step = run.next()
  if (step.done !== true) throw new Error("this store does not answer at once")
  return step.value
}

/** Runs what may await something. */
export const inTime = async <A>(run: Run<A>): Promise<A> => {
  let step = run.next()
  while (step.done !== true) step = run.next(await step.value)
  return step.value
}

/** Makes the world of a run. */
export type MakeWorld = (settings: Settings) => World | Promise<World>

/** Chooses one of the gates; undefined to give the run up. */
type Choose = (gates: ReadonlyArray<Gate>) => Gate | undefined

// No case is longer; a run that is has gone in circles.
const maxSteps = 2000

function* settle(world: World, choose: Choose): Run<"ended" | "given up" | "endless"> {
  const { ground: { quiet }, machine } = world
  machine.drain()
  for (let n = 0; n < maxSteps; n++) {
    if (quiet !== undefined) yield quiet()
    const gates = [...machine.gates.values()]
    if (gates.length === 0) {
      if (machine.jump()) continue
      return "ended"
    }
    const gate = choose(gates)
    if (gate === undefined) return "given up"
    machine.step(gate)
  }
  return "endless"
}

const first: Choose = (gates) => gates[0]

/** Runs a case by one way of choosing. Undefined when nothing is wrong, or when the run was given up. */
function* runOnce(of: Case, make: MakeWorld, choose: Choose, seed?: number): Run<Violation | undefined> {
  const made = make(of.settings)
  const world = made instanceof Promise ? (yield made) as World : made
  for (const [i, actress] of (of.first ?? []).entries()) {
    world.machine.fork(`first ${actress.name}${i}`, actress.act(world, `first ${actress.name}${i}`))
    yield* settle(world, first)
  }
  // What is replayed is what is chosen.
  world.machine.schedule.length = 0
  const fibers = of.early.map((actress, i) => {
    const who = `${actress.name}${i}`
    return world.machine.fork(who, actress.act(world, who))
  })
  let end = yield* settle(world, choose)
  if (end === "ended") {
    for (const [i, actress] of of.late.entries()) {
      const who = `late ${actress.name}${i}`
      fibers.push(world.machine.fork(who, actress.act(world, who)))
      end = yield* settle(world, first)
    }
  }
  if (end === "given up") return undefined
  const hanging = fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length
  const counted = world.ground.leases()
  const leases = typeof counted === "number" ? counted : (yield counted) as number
  const what = end === "endless"
    ? "goes in circles"
    : hanging > 0
    ? `${hanging} fibers hang`
    : violation(world, leases) ?? of.expect?.(world)
  return what === undefined
    ? undefined
    : { case: of.name, what, schedule: [...world.machine.schedule], seed, history: world.history }
}

/** A generator of numbers in [0, 1) from a seed (mulberry32). */
const random = (seed: number): () => number => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const runSeedIn = (make: MakeWorld, of: Case, seed: number): Run<Violation | undefined> => {
  const next = random(seed)
  return runOnce(of, make, (gates) => gates[Math.floor(next() * gates.length)], seed)
}

/** What is done wrong: in a wrapping of the store, or in the store whose invalidations take steps. */
export interface Wrong {
  readonly bug?: Bug
  readonly inSteps?: Mistake
}

const worlds = ({ bug, inSteps }: Wrong = {}): MakeWorld => inMemory(bug, inSteps)

export const runSeed = (of: Case, seed: number, wrong?: Wrong): Violation | undefined =>
  atOnce(runSeedIn(worlds(wrong), of, seed))

/** Runs a case by a schedule; after its end, the first gate is taken. */
export const replayIn = (
  make: MakeWorld,
  of: Case,
  schedule: ReadonlyArray<string>
): Run<Violation | undefined> => {
  let i = 0
  return runOnce(of, make, (gates) => {
    const next = schedule[i++]
    return gates.find((gate) => gate.id === next) ?? gates[0]
  })
}

export const replay = (of: Case, schedule: ReadonlyArray<string>, wrong?: Wrong): Violation | undefined =>
  atOnce(replayIn(worlds(wrong), of, schedule))

export interface Found {
  readonly schedules: number
  readonly violation: Violation | undefined
  readonly complete: boolean
}

export function* sampleIn(make: MakeWorld, of: Case, count: number, from = 1): Run<Found> {
  for (let n = 0; n < count; n++) {
    const found = yield* runSeedIn(make, of, from + n)
    if (found !== undefined) return { schedules: n + 1, violation: found, complete: false }
  }
  return { schedules: count, violation: undefined, complete: false }
}

/** Many schedules at random, from seed 1. */
export const sample = (of: Case, count: number, wrong?: Wrong, from = 1): Found =>
  atOnce(sampleIn(worlds(wrong), of, count, from))

export function* huntIn(make: MakeWorld, cases: ReadonlyArray<Case>, seeds: number): Run<Found> {
  let schedules = 0
  for (let seed = 1; seed <= seeds; seed++) {
    for (const of of cases) {
      schedules++
      const violation = yield* runSeedIn(make, of, seed)
      if (violation !== undefined) return { schedules, violation, complete: false }
    }
  }
  return { schedules, violation: undefined, complete: false }
}

/** One schedule of each case, then another of each, until a mistake is found. */
export const hunt = (cases: ReadonlyArray<Case>, wrong: Wrong, seeds: number): Found =>
  atOnce(huntIn(worlds(wrong), cases, seeds))

interface Point {
  readonly options: Map<string, Access>
  /** Steps that need not be tried here: a schedule that differs only by their place was run. */
  readonly sleep: Map<string, Access>
  readonly tried: Set<string>
  chosen: string
}

const asleepAfter = (point: Point, chosen: Access, reduces: boolean): Map<string, Access> => {
  const sleep = new Map<string, Access>()
  if (!reduces) return sleep
  const before = [
    ...point.sleep,
    ...[...point.tried].filter((id) => id !== point.chosen).map((id) => [id, point.options.get(id)!] as const)
  ]
  for (const [id, access] of before) if (independent(access, chosen)) sleep.set(id, access)
  return sleep
}

export function* exhaustIn(make: MakeWorld, of: Case, limit: number): Run<Found> {
  const reduces = (of.settings.tick ?? 0) === 0
  const path: Array<Point> = []
  for (let schedules = 1; schedules <= limit; schedules++) {
    let depth = 0
    const choose: Choose = (gates) => {
      let point = path[depth]
      if (point === undefined) {
        const before = path[depth - 1]
        const sleep = before === undefined
          ? new Map<string, Access>()
          : asleepAfter(before, before.options.get(before.chosen)!, reduces)
        const options = new Map(gates.map((gate) => [gate.id, gate.access]))
        const awake = [...options.keys()].find((id) => !sleep.has(id))
        if (awake === undefined) return undefined
        path.push(point = { options, sleep, tried: new Set([awake]), chosen: awake })
      }
      depth++
      return gates.find((gate) => gate.id === point.chosen)
    }
    const found = yield* runOnce(of, make, choose)
    if (found !== undefined) return { schedules, violation: found, complete: false }
    if (!advance(path)) return { schedules, violation: undefined, complete: true }
  }
  return { schedules: limit, violation: undefined, complete: false }
}

/** All schedules, up to `limit` runs. */
export const exhaust = (of: Case, limit: number, wrong?: Wrong): Found => atOnce(exhaustIn(worlds(wrong), of, limit))

/** Takes another way at the last point where one is left; false when none is. */
const advance = (path: Array<Point>): boolean => {
  for (let point = path.pop(); point !== undefined; point = path.pop()) {
    const next = [...point.options.keys()].find((id) => !point.tried.has(id) && !point.sleep.has(id))
    if (next === undefined) continue
    point.tried.add(next)
    point.chosen = next
    path.push(point)
    return true
  }
  return false
}
