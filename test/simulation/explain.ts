/**
 * Why a promise is broken: what happened in a run, in plain English, a line for
 * each thing, with the times that show it and the sentence that is broken.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { root } from "../support/modules.ts"
import type { Violation } from "./judge.ts"
import { isFault, type Plan, type Step } from "./plan.ts"
import { type Options, type Result, runPlan } from "./run.ts"
import { type Line, watched } from "./watch.ts"
import { callInWords, timeOf } from "./words.ts"

export interface Story {
  readonly plan: Plan
  /** The definitions that the steps are about, with their policies in words. */
  readonly definitions: ReadonlyArray<readonly [name: string, policy: string]>
  /** Up to the violation, which is the last one. */
  readonly lines: ReadonlyArray<Line>
  readonly guarantee: string
  /** What is promised, as it is written. */
  readonly promise: string
  readonly why: string
  /** The loads that the violation is about: the one that was read, and the one in it that is too old. */
  readonly loads: ReadonlyArray<number>
}

// -----------------------------------------------------------------------------
// what is promised, and why it is broken
// -----------------------------------------------------------------------------

/** The sentence of a guarantee in the documentation. */
export const promiseOf = (guarantee: string): string => {
  const text = fs.readFileSync(path.join(root, "docs/consistency.md"), "utf8")
  const found = new RegExp(`^\\| ${guarantee} \\| (.*) \\|$`, "m").exec(text)
  if (found === null) throw new Error(`docs/consistency.md has no ${guarantee}`)
  return found[1]!.replaceAll(/\*\*|`/g, "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
}

const loadsIn = (what: string): ReadonlyArray<number> => [
  ...new Set([...what.matchAll(/\bload (\d+)/g)].map(([, id]) => Number(id)))
]

/** Where a read was given what an invalidation covers: the times that show it. */
const whyVoid = (lines: ReadonlyArray<Line>, { what }: Violation): string | undefined => {
  const [, process, called] = /which began before (\S+) called: (.*)$/.exec(what) ?? []
  const given = lines.at(-1)
  const [outer, inner] = loadsIn(what)
  const old = inner ?? outer
  const began = lines.find(({ kind, load, what }) => kind === "load" && load === old && what.startsWith("begins"))
  if (process === undefined || called === undefined || given?.since === undefined || began === undefined) {
    return undefined
  }
  const { since: asked } = given
  const words = callInWords(called)
  const returned = lines.findLast(({ at, kind, since, where }) =>
    kind === "returned" && where === process && since?.what === words && at <= asked.at
  )
  if (returned?.since === undefined) return undefined
  const name = inner === undefined ? `Load ${outer}` : `Load ${outer} was made of load ${inner}. That one`
  const calledAt = timeOf(returned.since.at)
  const during = called.startsWith("mutate")
    ? `A mutate of ${process} that covers it had begun at ${calledAt}`
    : called.startsWith("set")
    ? `${process} began to set another value at ${calledAt}`
    : `${process} called an invalidation of it at ${calledAt}`
  return `${name} began at ${timeOf(began.at)}. ${during}, which returned at ${timeOf(returned.at)}. ` +
    `The read of ${given.where} began at ${timeOf(asked.at)}, after that, and was given load ${outer} all the same.`
}

const upTo = (lines: ReadonlyArray<Line>, guarantee: string): ReadonlyArray<Line> =>
  lines.slice(0, lines.findIndex(({ breaks }) => breaks === guarantee) + 1)

// -----------------------------------------------------------------------------
// choosing a run
// -----------------------------------------------------------------------------

export const brokenIn = ({ violations }: Result, guarantee: string): Violation | undefined =>
  violations.find((violation) => violation.guarantee === guarantee)

/** Runs a plan, and tells of it. Nothing, if the promise is kept. */
const tellOf = (plan: Plan, options: Options, guarantee: string): Story | undefined => {
  const watch = watched(options)
  const violation = brokenIn(runPlan(plan, watch.options), guarantee)
  if (violation === undefined) return undefined
  const lines = upTo(watch.lines(), guarantee)
  const names = [...new Set(plan.steps.flatMap((step) => isFault(step) ? [] : [step.act.of]))]
  return {
    plan,
    definitions: names.map((name) => [name, watch.policyOf(name)]),
    lines,
    guarantee,
    promise: promiseOf(guarantee),
    why: whyVoid(lines, violation) ?? `${violation.what[0]!.toUpperCase()}${violation.what.slice(1)}.`,
    loads: loadsIn(violation.what)
  }
}

/** Whether a reader sees that the value is old: its load has read an older version than there is. */
const isTelling = ({ lines, loads }: Story): boolean => {
  const versionIn = (what: string): string | undefined => /version (\d+)$/.exec(what)?.[1]
  const read = lines.find(({ kind, load, what }) =>
    kind === "origin" && load === loads.at(-1) && what.includes("reads")
  )
  const written = lines.findLast(({ kind, what }) => kind === "origin" && what.includes("is written"))
  return read !== undefined && written !== undefined && versionIn(read.what) !== versionIn(written.what)
}

// Seeds under which the shortest plan is tried, for the run that tells best; and one with less, for whether there is one.
const tellingSeeds = 60
const shorterSeeds = 20

// More processes than these are no help.
const mostApart = 4

/**
 * Each step in a process of its own, so that nobody has to ask which of the reads
 * of a process is meant. Where faults happen to processes these stay who they are.
 */
const apart = (plan: Plan): ReadonlyArray<Plan> => {
  const { steps } = plan
  if (steps.some((step) => isFault(step) && "process" in step.fault)) return []
  let processes = 0
  const all = steps.map((step): Step => isFault(step) ? step : { ...step, process: processes++ })
  return processes > mostApart ? [] : [{ ...plan, processes: Math.max(1, processes), steps: all }]
}

const underSeeds = (plan: Plan, seeds: number): ReadonlyArray<Plan> => [
  plan,
  ...Array.from({ length: seeds }, (_, i) => ({ ...plan, seed: i + 1 }))
]

/** The story without a step, if there is one. */
const withoutOne = ({ guarantee, plan }: Story, options: () => Options): Story | undefined => {
  for (let i = 0; i < plan.steps.length; i++) {
    for (const shorter of underSeeds({ ...plan, steps: plan.steps.toSpliced(i, 1) }, shorterSeeds)) {
      const story = tellOf(shorter, options(), guarantee)
      if (story !== undefined) return story
    }
  }
  return undefined
}

/**
 * Of the runs of a plan that go wrong the one that tells best what is wrong: a value
 * that is seen to be old before one that is not, each step in its own process before
 * all in one, and then the shortest.
 */
export const storyOf = (plan: Plan, options: () => Options, guarantee: string): Story | undefined => {
  let best: Story | undefined
  let least = Infinity
  for (const [i, one] of [...apart(plan), plan].entries()) {
    for (const seeded of underSeeds(one, tellingSeeds)) {
      const story = tellOf(seeded, options(), guarantee)
      if (story === undefined) continue
      const rank = (isTelling(story) ? 0 : 2000) + 1000 * i + story.lines.length
      if (rank < least) [best, least] = [story, rank]
    }
  }
  // By chance it may need less than the runs by which the plan was shrunk.
  for (let shorter = best; shorter !== undefined; shorter = withoutOne(shorter, options)) best = shorter
  return best
}

// -----------------------------------------------------------------------------
// as text
// -----------------------------------------------------------------------------

const modeWords: Record<Plan["mode"], string> = {
  node: "one server",
  split: "one server, by the steps of a cluster",
  replicas: "a server with a replica",
  cluster: "a cluster",
  ioredis: "one server, through ioredis",
  "ioredis cluster": "a cluster, through ioredis"
}

const countOf = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`

/** What a reader has to know before it begins. */
export const settingOf = ({ definitions, plan }: Story): ReadonlyArray<string> => [
  `${countOf(plan.processes, "process", "processes")}, ${modeWords[plan.mode]}, ${
    countOf(plan.steps.length, "step", "steps")
  }.`,
  ...definitions.map(([name, policy]) => `${name}(row) is cached with the policy ${policy}.`)
]

export const textOf = (story: Story): string => {
  const { guarantee, lines, promise, why } = story
  const times = lines.map(({ at }) => timeOf(at))
  const [wide, room] = [
    Math.max(...times.map(({ length }) => length)),
    Math.max(...lines.map(({ where }) => where.length))
  ]
  return [
    ...settingOf(story),
    "",
    ...lines.map(({ breaks, what, where }, i) =>
      `${times[i]!.padStart(wide)}  ${where.padEnd(room)}  ${what}${breaks === undefined ? "" : `   <- ${breaks}`}`
    ),
    "",
    why,
    `${guarantee} is broken: ${promise}`
  ].join("\n")
}
