/**
 * Measuring on a machine that is shared and noisy.
 *
 * What is told is ratios, never times by themselves. The contenders of a table
 * take turns: many rounds, in each of them every contender is run for about a
 * millisecond, in an order that is drawn anew. A ratio is taken within a round,
 * so that whatever slows the machine for longer than a round slows both of its
 * sides; the median of these ratios is what counts, and the quartiles say how
 * far to trust it. A single pause of the machine or of the garbage collector
 * spoils one sample and moves no median.
 *
 * `mitata` and `tinybench` measure one contender after the other, which lets a
 * slow minute pass for a slow contender; hence this file.
 *
 * Where a `Map` puts its keys is drawn anew in each process and can make any of
 * them slower by a half, so what is to be quoted comes from several processes
 * (`--full`).
 *
 * Contenders of a table share the loop that drives them, so that it is as
 * polymorphic for each as it is in a program that uses several caches; what
 * they give is consumed, so that nothing can be optimised away.
 */

/** Does `n` operations. */
export type Run = (n: number) => void | Promise<void>

export interface Contender {
  readonly name: string
  readonly run: Run
  /** Not driven by the loop that is subtracted. */
  readonly outside?: boolean
}

export interface Table {
  readonly title: string
  /** What the numbers mean, for a reader who has not read the code. */
  readonly note?: string
  /** To whom the others are compared. */
  readonly reference: string
  /** The loop with nothing in it, to be subtracted for the last column. */
  readonly baseline?: string
  /** The ratio tells how many operations are done in the time in which the reference does one. */
  readonly rate?: boolean
  readonly contenders: ReadonlyArray<Contender>
}

export interface Effort {
  readonly rounds: number
  readonly sampleMillis: number
  readonly warmUpMillis: number
  /** A sample has at least so many operations, however long they take. */
  readonly least?: number
}

/** Nanoseconds per operation, a number for each round. */
export type Samples = ReadonlyMap<string, ReadonlyArray<number>>

export interface Measured {
  readonly table: Pick<Table, "title" | "note" | "reference" | "baseline" | "rate">
  readonly outside: ReadonlyArray<string>
  readonly samples: Samples
}

/** Runs of one table in several processes. Ratios are taken within each round, so they may stand in one list. */
export const merge = (all: ReadonlyArray<Measured>): Measured => {
  const samples = new Map<string, Array<number>>()
  for (const measured of all) {
    for (const [name, numbers] of measured.samples) samples.set(name, [...samples.get(name) ?? [], ...numbers])
  }
  return { ...all[0]!, samples }
}

export const seed = 20_240_229

/** The same numbers in every run: mulberry32. */
export const random = (start: number = seed): () => number => {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const shuffled = <A>(all: ReadonlyArray<A>, draw: () => number): ReadonlyArray<A> => {
  const copy = [...all]
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1))
    const held = copy[i]!
    copy[i] = copy[j]!
    copy[j] = held
  }
  return copy
}

let consumed = 0

/** Uses what an operation gave. */
export const consume = (value: { readonly id: number }): void => {
  consumed += value.id
}

/** Adds what another process consumed. */
export const consumeElsewhere = (sum: number): void => {
  consumed += sum
}

/** Printed at the end: whoever prints it has to compute it. */
export const checksum = (): number => consumed

export const collectGarbage = (): void => (globalThis as { readonly gc?: () => void }).gc?.()

const timed = async (run: Run, n: number): Promise<number> => {
  const start = performance.now()
  const pending = run(n)
  // Whoever answers at once is not made to wait for the next turn.
  if (pending !== undefined) await pending
  return performance.now() - start
}

/** Warms a contender up, and finds how many operations make a sample. */
const calibrate = async ({ run }: Contender, { sampleMillis, warmUpMillis }: Effort): Promise<number> => {
  let operations = 1
  let spent = 0
  let took = 0
  while (spent < warmUpMillis || took < sampleMillis / 2) {
    took = await timed(run, operations)
    spent += took
    const wanted = took === 0 ? operations * 10 : operations * sampleMillis / took
    operations = Math.max(1, Math.round(Math.min(wanted, operations * 10)))
  }
  return operations
}

/** Runs the contenders of a table in turn. */
export const measure = async (
  table: Table,
  effort: Effort,
  progress: (done: number, of: number) => void
): Promise<Measured> => {
  const draw = random()
  collectGarbage()
  const operations = new Map<string, number>()
  for (const contender of table.contenders) operations.set(contender.name, await calibrate(contender, effort))
  // Whoever was calibrated first was warm before the others had spoiled its inline caches.
  for (const { name, run } of table.contenders) operations.set(name, await again(run, operations.get(name)!, effort))
  const samples = new Map<string, Array<number>>(table.contenders.map(({ name }) => [name, []]))
  collectGarbage()
  for (let round = 0; round < effort.rounds; round++) {
    for (const { name, run } of shuffled(table.contenders, draw)) {
      const n = operations.get(name)!
      samples.get(name)!.push(await timed(run, n) * 1e6 / n)
    }
    progress(round + 1, effort.rounds)
  }
  const outside = table.contenders.filter((contender) => contender.outside).map(({ name }) => name)
  return { table: about(table), outside, samples }
}

const again = async (run: Run, n: number, { least = 1, sampleMillis }: Effort): Promise<number> => {
  const took = Math.min(await timed(run, n), await timed(run, n), await timed(run, n))
  return Math.max(least, Math.round(n * Math.min(4, sampleMillis / Math.max(took, 1e-3))))
}

/**
 * One operation at a time, each with a preparation that is not timed. For what
 * cannot be repeated without it, like an invalidation.
 */
export interface Staged {
  readonly name: string
  readonly prepare: () => void | Promise<void>
  readonly act: () => void | Promise<void>
}

export const measureStaged = async (
  table: Omit<Table, "contenders">,
  stages: ReadonlyArray<Staged>,
  rounds: number,
  progress: (done: number, of: number) => void
): Promise<Measured> => {
  const draw = random()
  const samples = new Map<string, Array<number>>(stages.map(({ name }) => [name, []]))
  const warmUps = rounds > 1 ? Math.ceil(rounds / 10) : 0
  for (let round = -warmUps; round < rounds; round++) {
    for (const { act, name, prepare } of shuffled(stages, draw)) {
      await prepare()
      const took = await timed(act, 1)
      if (round >= 0) samples.get(name)!.push(took * 1e6)
    }
    progress(Math.max(0, round + 1), rounds)
  }
  return { table: about(table), outside: [], samples }
}

const about = ({ baseline, note, rate, reference, title }: Omit<Table, "contenders">): Measured["table"] => ({
  title,
  reference,
  ...(note === undefined ? {} : { note }),
  ...(baseline === undefined ? {} : { baseline }),
  ...(rate === undefined ? {} : { rate })
})

/** The middle of some numbers, and the quarters around it. */
export interface Spread {
  readonly low: number
  readonly median: number
  readonly high: number
}

export const spreadOf = (numbers: ReadonlyArray<number>): Spread => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const at = (part: number): number => {
    const place = part * (sorted.length - 1)
    const below = sorted[Math.floor(place)]!
    return below + (sorted[Math.ceil(place)]! - below) * (place % 1)
  }
  return { low: at(0.25), median: at(0.5), high: at(0.75) }
}

export interface Row {
  readonly name: string
  readonly nanos: Spread
  readonly ratio: Spread
  /** The ratio when the empty loop is taken off both sides. */
  readonly net: Spread | undefined
}

/** Compares within each round, then takes the middle. */
export const summarize = ({ outside, samples, table }: Measured): ReadonlyArray<Row> => {
  const reference = samples.get(table.reference)!
  const baseline = table.baseline === undefined ? undefined : samples.get(table.baseline)!
  return [...samples].map(([name, mine]) => ({
    name,
    nanos: spreadOf(mine),
    ratio: spreadOf(
      mine.map((nanos, round) => table.rate === true ? reference[round]! / nanos : nanos / reference[round]!)
    ),
    net: baseline === undefined || name === table.baseline || outside.includes(name)
      ? undefined
      : spreadOf(mine.map((nanos, round) => (nanos - baseline[round]!) / (reference[round]! - baseline[round]!)))
  }))
}
