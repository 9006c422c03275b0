/** World after world, until enough has been read. */
import { type Mode, type Plan, planOf, type Where } from "./plan.ts"
import { kinds } from "./programs.ts"
import { type Options, type Result, runPlan } from "./run.ts"
import { randomOf } from "./world/random.ts"

/** A cache that keeps nothing is always right. So this share of the reads must be hits. */
export const leastHits = 0.15

// Reads and writes of one world: many worlds see more than one that lasts.
const actsOfWorld = 300

const weights: ReadonlyArray<readonly [Mode, number]> = [
  ["node", 30],
  ["split", 20],
  ["replicas", 20],
  ["cluster", 20],
  ["ioredis", 7],
  ["ioredis cluster", 3]
]

/** What is run under a seed, and which of its worlds. */
export interface Chosen {
  readonly seed: number
  readonly world: number
  /** Only worlds of these modes. */
  readonly modes?: ReadonlyArray<Mode> | undefined
  readonly where?: Where | undefined
}

export const planFor = ({ modes, seed, where, world }: Chosen): Plan => {
  const random = randomOf(Math.imul(seed, 0x9e3779b1) ^ Math.imul(world + 1, 0x85ebca6b))
  const all = modes === undefined ? weights : weights.filter(([mode]) => modes.includes(mode))
  let left = random.next() * all.reduce((sum, [, weight]) => sum + weight, 0)
  const mode = all.find(([, weight]) => (left -= weight) < 0)?.[0] ?? all[0]![0]
  return planOf({ seed: random.int(2 ** 31), mode, acts: actsOfWorld, definitions: kinds, random, where })
}

/** What was seen in some worlds. */
export interface Seen {
  reads: number
  hits: number
  loads: number
  excused: number
  faults: number
  worlds: number
  violations: number
  /** Of all runs, in their order. */
  hash: number
}

export const nothingSeen = (): Seen => ({
  reads: 0,
  hits: 0,
  loads: 0,
  excused: 0,
  faults: 0,
  worlds: 0,
  violations: 0,
  hash: 0
})

export const hexOf = (hash: number): string => (hash >>> 0).toString(16).padStart(8, "0")

const add = (seen: Seen, result: Result): void => {
  seen.reads += result.reads
  seen.hits += result.hits
  seen.loads += result.loads
  seen.excused += result.excused
  seen.faults += result.faults
  seen.worlds++
  seen.violations += result.violations.length
  seen.hash = Math.imul(seen.hash ^ Number.parseInt(result.hash, 16), 16_777_619)
}

/** A run that broke a promise. */
export interface Broken {
  readonly chosen: Chosen
  readonly plan: Plan
  readonly result: Result
}

/**
 * Runs the worlds of a seed until so many keys were read, or a promise was broken.
 * Each begins in a macrotask of its own; `options` are made anew for each.
 */
export const series = async (
  { modes, options = () => ({}), progress = () => {}, reads, seed, twice = false, where }: {
    readonly seed: number
    readonly reads: number
    readonly modes?: ReadonlyArray<Mode> | undefined
    readonly where?: Where | undefined
    readonly options?: (() => Options) | undefined
    /** Runs each world a second time, and fails if that is another run. */
    readonly twice?: boolean
    readonly progress?: (seen: Seen) => void
  }
): Promise<{ readonly seen: Seen; readonly broken: Broken | undefined }> => {
  const seen = nothingSeen()
  for (let world = 0; seen.reads < reads; world++) {
    const chosen = { seed, world, modes, where }
    const plan = planFor(chosen)
    const run = () =>
      new Promise<Result>((resolve, reject) =>
        setImmediate(() => {
          try {
            resolve(runPlan(plan, { ...options(), mostReads: reads - seen.reads }))
          } catch (error) {
            reject(error)
          }
        })
      )
    const result = await run()
    if (twice && result.hash !== (await run()).hash) {
      throw new Error(`world ${world} of seed ${seed} was another one when it was run again`)
    }
    add(seen, result)
    progress(seen)
    if (result.violations.length > 0) return { seen, broken: { chosen, plan, result } }
  }
  return { seen, broken: undefined }
}
