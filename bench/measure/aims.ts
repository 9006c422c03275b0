/**
 * What is aimed for, picked from what was measured.
 */
import { type Measured, type Row, type Spread, spreadOf, summarize } from "./harness.ts"
import { effectCache, noDependency } from "./subjects.ts"

export interface Aim {
  readonly what: string
  readonly ratio: Spread
  /** Reached when the ratio is no larger. */
  readonly aim: number | undefined
  /** Reached when it is no smaller. */
  readonly atLeast?: boolean
}

const within = ({ samples }: Measured, name: string, to: string): Spread | undefined => {
  const mine = samples.get(name)
  const theirs = samples.get(to)
  if (mine === undefined || theirs === undefined) return undefined
  return spreadOf(mine.map((nanos, round) => nanos / theirs[round]!))
}

const hitPairs = [
  { name: noDependency, to: effectCache, what: "none / Cache.get" },
  { name: "Cached.get, TTL, 3 tags", to: noDependency, what: "3 tags / none" },
  { name: "Cached.get, TTL, 10 tags", to: noDependency, what: "10 tags / none" },
  { name: "Cached.get, TTL, conditional, 2 fields", to: noDependency, what: "conditional / none" }
]

const hits = (all: ReadonlyArray<Measured>): ReadonlyArray<Aim> => {
  const tables = all.filter(({ table }) => table.title.startsWith("hits") && table.baseline !== undefined)
  return hitPairs.flatMap(({ name, to, what }) =>
    tables.flatMap((measured): ReadonlyArray<Aim> => {
      const ratio = within(measured, name, to)
      return ratio === undefined
        ? []
        : [{ what: `${what}: ${measured.table.title.slice("hits, ".length)}`, ratio, aim: 1 }]
    })
  )
}

const plans = (all: ReadonlyArray<Measured>): ReadonlyArray<Aim> =>
  all.filter(({ table }) => table.title.startsWith("judging")).map((measured): Aim => {
    const row: Row = summarize(measured).find(({ name }) => name === "Plan.judge, armed")!
    return { what: `plan / tree, less the loop: ${measured.table.title.split(/[,:] /)[1]}`, ratio: row.net!, aim: 0.1 }
  })

/** How much longer an invalidation takes than that of one entry. */
const growth = (all: ReadonlyArray<Measured>): ReadonlyArray<Aim> => {
  const [first, ...others] = all.filter(({ table }) => /^(redis )?invalidating/.test(table.title))
  if (first === undefined) return []
  return others.flatMap(({ samples, table }) =>
    [...samples].filter(([name]) => name.endsWith(": invalidate")).map(([name, mine]): Aim => {
      const one = spreadOf(first.samples.get(name)!).median
      const what = `${table.title} / of 1: ${name.split(":")[0]}`
      return { what, ratio: spreadOf(mine.map((nanos) => nanos / one)), aim: undefined }
    })
  )
}

const redisHits = (all: ReadonlyArray<Measured>): ReadonlyArray<Aim> =>
  all.filter(({ table }) => table.title.startsWith("redis hits")).flatMap((measured) =>
    summarize(measured).flatMap(({ name, ratio }): ReadonlyArray<Aim> => {
      const aim = name === "ours, no dependency"
        ? 0.9
        : /^ours, 3 tags( from the (key|value))?$/.test(name)
        ? 0.6
        : undefined
      const what = `${name} / raw: ${measured.table.title.slice("redis hits, ".length)}`
      return aim === undefined ? [] : [{ what, ratio, aim, atLeast: true }]
    })
  )

export const aimsOf = (
  all: ReadonlyArray<Measured>
): ReadonlyArray<Aim> => [...hits(all), ...redisHits(all), ...plans(all), ...growth(all)]
