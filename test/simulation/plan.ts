/**
 * What happens in a simulated world, written down before it begins: who does
 * what and when, and which faults there are. All else (how long things take, and
 * in which order what is ready goes on) is drawn while it runs, by the world's
 * seed. So a plan can be shortened, and what is left means the same.
 */
import { fairWeather, type Weather } from "./world/network.ts"
import type { Random } from "./world/random.ts"

/**
 * What the library stands on.
 *
 * - `node`: one server; an operation is a script.
 * - `split`: the same, with the steps of a cluster.
 * - `replicas`: a server with a replica that lags behind, and may take over.
 * - `cluster`: three servers, between which slots move.
 * - `ioredis`, `ioredis cluster`: the same by the real client.
 */
export type Mode = "node" | "split" | "replicas" | "cluster" | "ioredis" | "ioredis cluster"

export const modes: ReadonlyArray<Mode> = ["node", "split", "replicas", "cluster", "ioredis", "ioredis cluster"]

export type Field = "a" | "b" | "group" | "presence"

/** By what a write says what it has changed. */
export type By = "key" | "keys" | "known" | "found" | "change" | "pattern" | "everything" | "mixed"

/** - `tells`: by `Changes.publish`. */
export type How = "apply" | "mutate" | "transaction" | "publish"

export type Fault =
  | { readonly fault: "pause" | "crash" | "leave"; readonly process: number; readonly ms: number }
  | { readonly fault: "freeze" | "full" | "pauseWrites"; readonly server: number; readonly ms: number }
  | { readonly fault: "restart"; readonly server: number; readonly ms: number; readonly data: "empty" | "kept" }
  | {
    readonly fault: "evict"
    readonly what: "entry" | "lease" | "marker" | "keyMarker" | "journal" | "fences" | "any"
    readonly many: number
  }
  | { readonly fault: "failover" | "cutAll" }
  | { readonly fault: "move"; readonly slots: number }
  | { readonly fault: "cut"; readonly process: number }
  | { readonly fault: "stall"; readonly process: number; readonly server?: number | undefined; readonly ms: number }
  | {
    readonly fault: "messages"
    readonly lost: number
    readonly doubled: number
    readonly late: number
    readonly ms: number
  }
  | { readonly fault: "wallClock"; readonly process: number; readonly ms: number }
  | { readonly fault: "serverClock"; readonly server: number; readonly ms: number }
  | { readonly fault: "interrupt"; readonly process: number }

export type Act =
  | {
    readonly do: "get" | "getOption" | "getEntry" | "peekEntry" | "refresh" | "set"
    readonly of: string
    readonly row: number
  }
  | { readonly do: "getMany"; readonly of: string; readonly rows: ReadonlyArray<number> }
  | {
    readonly do: "write"
    readonly row: number
    readonly field: Field
    readonly of: string
    readonly by: By
    readonly how: How
    readonly soft: boolean
  }

/** `at` is in microseconds from the beginning. */
export type Step =
  | { readonly at: number; readonly process: number; readonly act: Act }
  | { readonly at: number; readonly fault: Fault }

export interface Plan {
  readonly seed: number
  readonly mode: Mode
  readonly processes: number
  /** Rows of the origin: so many keys has each definition. */
  readonly rows: number
  readonly definitions: ReadonlyArray<string>
  /** `acknowledge` of the layer. */
  readonly acknowledge: "primary" | "replicas"
  /** Most invalidated dependencies that the journal remembers. */
  readonly journal: number
  /** Bytes of entries that a process remembers. */
  readonly remember: number
  /** How often a lookup fails. */
  readonly failing: number
  /** Most milliseconds that a lookup takes. */
  readonly slowest: number
  readonly weather: Weather
  /** Milliseconds after which a lease is over though its load runs; the usual minute, unless given. */
  readonly lease?: number | undefined
  /** Milliseconds for which fences are opened; short and long ones, unless given. */
  readonly fence?: number | undefined
  readonly steps: ReadonlyArray<Step>
}

export const isFault = (step: Step): step is Extract<Step, { readonly fault: Fault }> => "fault" in step

// -----------------------------------------------------------------------------
// generating
// -----------------------------------------------------------------------------

const weighted = <A>(random: Random, all: ReadonlyArray<readonly [A, number]>): A => {
  let left = random.next() * all.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [one, weight] of all) if ((left -= weight) < 0) return one
  return all.at(-1)![0]
}

const some = <A>(random: Random, all: ReadonlyArray<A>, least: number, most: number): ReadonlyArray<A> => {
  const left = [...all]
  const count = Math.min(left.length, least + random.int(most - least + 1))
  return Array.from({ length: count }, () => left.splice(random.int(left.length), 1)[0]!)
}

// Where messages take as long as loads, much happens between two steps.
export const far: Weather = { delay: 2000, slow: 10_000, slowness: 0.05 }
export const rough: Weather = { delay: 500, slow: 20_000, slowness: 0.2 }

interface Shape extends Omit<Plan, "steps"> {
  /** Kinds of faults of this world. */
  readonly faults: ReadonlyArray<Fault["fault"]>
  /** Microseconds between two acts, and between two faults, on average. */
  readonly every: number
  readonly faultEvery: number
  /** Most milliseconds that what goes wrong lasts: one of these. */
  readonly lasting: ReadonlyArray<number>
  readonly writes: number
  /** How many of the writes are soft, and by what they are told. */
  readonly soft: number
  readonly bys: ReadonlyArray<readonly [By, number]>
}

/** What all worlds have in common, where only some are wanted. */
export type Where = Partial<Omit<Shape, "seed" | "mode">>

const faultsOf: Record<Mode, ReadonlyArray<Fault["fault"]>> = (() => {
  const always = [
    "pause",
    "crash",
    "leave",
    "freeze",
    "full",
    "pauseWrites",
    "restart",
    "evict",
    "cut",
    "cutAll",
    "stall",
    "messages",
    "wallClock",
    "serverClock",
    "interrupt"
  ] as const
  const cluster = [...always.filter((fault) => fault !== "pauseWrites"), "move"] as const
  return {
    node: always,
    split: always,
    replicas: [...always.filter((fault) => fault !== "restart"), "failover"],
    cluster,
    ioredis: always,
    "ioredis cluster": cluster
  }
})()

/** What goes wrong and takes no time: who waits for another's load is not held up by more than its lease. */
export const prompt: ReadonlyArray<Fault["fault"]> = ["crash", "leave", "interrupt", "evict", "wallClock"]

const shapeOf = (seed: number, mode: Mode, random: Random, definitions: ReadonlyArray<string>): Shape => {
  const fate = random.next()
  return {
    seed,
    mode,
    processes: 2 + random.int(3),
    rows: 1 + random.int(3),
    definitions: some(random, definitions, 3, 6),
    acknowledge: mode === "replicas" && random.chance(0.6) ? "replicas" : "primary",
    journal: random.pick([2, 5, 10_000]),
    remember: random.pick([0, 1000, 33_554_432]),
    failing: random.pick([0, 0.02, 0.1]),
    slowest: random.pick([2, 8, 30]),
    weather: random.pick([fairWeather, far, rough]),
    lease: random.pick([undefined, undefined, undefined, 15]),
    faults: fate < 0.2
      ? []
      : fate < 0.35
      ? some(random, prompt, 1, 3)
      // What is evicted matters in every other world, whatever else goes wrong.
      : [...some(random, faultsOf[mode], 1, 4), ...(random.chance(0.5) ? ["evict" as const] : [])],
    every: random.pick([300, 1500, 4000]),
    faultEvery: random.pick([50_000, 200_000, 1_000_000]),
    lasting,
    writes: random.pick([0.005, 0.02, 0.06, 0.2]),
    soft: 0.15,
    bys
  }
}

const evicted = [
  ["entry", 1],
  ["lease", 2],
  ["marker", 2],
  ["keyMarker", 1],
  ["journal", 3],
  ["fences", 2],
  ["any", 1]
] as const

const lasting = [20, 20, 300, 300, 3000]
const brief = [20]

const faultOf = (random: Random, { faults, lasting, processes }: Shape): Fault => {
  const fault = random.pick(faults)
  const process = random.int(processes)
  const server = random.int(3)
  const ms = 1 + random.int(random.pick(lasting))
  switch (fault) {
    case "pause":
      return { fault, process, ms }
    case "crash":
    case "leave":
      // Nobody asks a process that is not there.
      return { fault, process, ms: 1 + random.int(random.pick([20, 20, 300])) }
    case "freeze":
      return { fault, server, ms: random.chance(0.1) ? 60_000 : ms }
    case "full":
    case "pauseWrites":
      return { fault, server, ms }
    case "restart":
      return { fault, server, ms, data: random.pick(["empty", "kept"]) }
    case "evict":
      return {
        fault,
        what: weighted(random, evicted),
        many: 1 + random.int(random.pick([1, 3, 30]))
      }
    case "move":
      return { fault, slots: 1 + random.int(3) }
    case "stall":
      return { fault, process, server: random.chance(0.5) ? server : undefined, ms }
    case "messages":
      return {
        fault,
        lost: random.pick([0, 0.3, 1]),
        doubled: random.pick([0, 0.3]),
        late: random.pick([0, 0.3]),
        ms
      }
    case "wallClock":
      return { fault, process, ms: random.int(20_000) - 10_000 }
    case "serverClock":
      return { fault, server, ms: random.int(random.pick([50, 2000])) - random.pick([0, 25, 1000]) }
    case "cut":
    case "interrupt":
      return { fault, process }
    case "cutAll":
    case "failover":
      return { fault }
  }
}

/** What a read is like, and how often. `set` and `refresh` are among them, since they give a value as well. */
const reads = [
  ["get", 10],
  ["getEntry", 3],
  ["getMany", 2],
  ["getOption", 1],
  ["peekEntry", 1],
  ["refresh", 0.3],
  ["set", 0.7]
] as const

const bys: ReadonlyArray<readonly [By, number]> = [
  ["key", 4],
  ["keys", 1],
  ["known", 4],
  ["found", 4],
  ["change", 4],
  ["pattern", 0.3],
  ["everything", 0.2],
  ["mixed", 1]
]

const hows: ReadonlyArray<readonly [How, number]> = [["apply", 6], ["mutate", 3], ["transaction", 1], ["publish", 1]]

/** By what values of a kind end, besides their key. */
const endings: Readonly<Record<string, ReadonlyArray<By>>> = {
  found: ["found"],
  ttl: ["known", "found"],
  waits: ["found"],
  field: ["change"],
  partition: ["change"],
  all: ["change"],
  negative: ["change"],
  batch: ["known", "found"],
  digest: ["known", "found"],
  forever: ["mixed"],
  versioned: ["mixed"]
}

type Write = Extract<Act, { readonly do: "write" }>

/** What an act is about, and how it is told if it is a write. */
type About = Pick<Write, "of" | "row" | "by" | "how" | "soft">

const aboutAny = (random: Random, { bys, definitions, rows, soft }: Shape): About => ({
  of: random.pick(definitions),
  row: Math.floor(rows * random.next() ** 2),
  by: weighted(random, bys),
  how: weighted(random, hows),
  soft: random.chance(soft)
})

const actOf = (random: Random, { rows, writes }: Shape, about: About): Act => {
  if (random.chance(writes)) {
    return { do: "write", field: weighted(random, [["a", 3], ["b", 2], ["group", 2], ["presence", 2]]), ...about }
  }
  const { of, row } = about
  const read = weighted(random, reads)
  if (read !== "getMany") return { do: read, of, row }
  const all = Array.from({ length: rows }, (_, i) => i)
  return { do: "getMany", of, rows: some(random, all, 1, rows) }
}

/** Something exponential, so that much happens at a time, and then nothing for a while. */
const pauseOf = (random: Random, mean: number): number => Math.ceil(-Math.log(1 - random.next()) * mean)

const stepOf = (random: Random, shape: Shape, at: number, about: About): Step => ({
  at,
  process: random.int(shape.processes),
  act: actOf(random, shape, about)
})

// So many of all acts begin a scene; so many steps in the middle of one are writes, or faults.
const scenes = 0.04
const writesInScene = 0.3
const faultsInScene = 0.1

/**
 * What the others see of a key while it is written to, and afterwards. All writes are told in the same way: what one of them
 * leaves out, another kind would make good.
 */
const sceneOf = (random: Random, shape: Shape, from: number): ReadonlyArray<Step> => {
  const { faults, slowest, weather } = shape
  const any = aboutAny(random, shape)
  const about = shape.bys !== bys || random.chance(0.3)
    ? any
    : { ...any, by: random.pick([...(endings[any.of] ?? ["known"]), "key"] as const) }
  const length = 2000 * slowest + 10 * weather.delay
  const within = (act: number, count: number, step: (at: number) => Step) =>
    Array.from({ length: count }, () => step(from + act * length + random.int(length)))
  const reading = (at: number) => stepOf(random, { ...shape, writes: 0 }, at, about)
  const acting = (at: number): Step =>
    faults.length > 0 && random.chance(faultsInScene)
      ? { at, fault: faultOf(random, { ...shape, lasting: brief }) }
      : stepOf(random, { ...shape, writes: writesInScene }, at, about)
  return [...within(0, 1, reading), ...within(1, 4 + random.int(6), acting), ...within(2, 3, reading)]
    .sort((a, b) => a.at - b.at)
}

/** A plan with about so many steps that read or write. */
export const planOf = (
  { acts, definitions, mode, random, seed, where = {} }: {
    readonly seed: number
    readonly mode: Mode
    readonly acts: number
    readonly definitions: ReadonlyArray<string>
    readonly random: Random
    readonly where?: Where | undefined
  }
): Plan => {
  const shape: Shape = { ...shapeOf(seed, mode, random, definitions), ...where }
  const { bys: _bys, every, faultEvery, faults, lasting: _lasting, soft: _soft, writes: _writes, ...plan } = shape
  const steps: Array<Step> = []
  let at = 0
  let nextFault = pauseOf(random, faultEvery)
  for (let i = 0; i < acts; i++) {
    at += pauseOf(random, every)
    if (random.chance(scenes)) {
      const scene = sceneOf(random, shape, at)
      steps.push(...scene)
      i += scene.length
      at = scene.at(-1)!.at
    }
    while (faults.length > 0 && nextFault < at) {
      steps.push({ at: nextFault, fault: faultOf(random, shape) })
      nextFault += pauseOf(random, faultEvery)
    }
    steps.push(stepOf(random, shape, at, aboutAny(random, shape)))
  }
  // What goes wrong beside may have come into a scene.
  return { ...plan, steps: steps.sort((a, b) => a.at - b.at) }
}
