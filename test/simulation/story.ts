/**
 * The story of a run that broke a promise: everything is left out that can be, and
 * what remains is told, as text and as a page.
 */
import * as fs from "node:fs"
import { brokenIn, type Story, storyOf, textOf } from "./explain.ts"
import { pageOf } from "./page.ts"
import { type Options, runPlan } from "./run.ts"
import type { Broken } from "./series.ts"
import { type Progress, shrink } from "./shrink.ts"

// Some minutes, where a run is a long one.
const mostRuns = 4000

export interface Telling {
  /** Made anew for each run. */
  readonly options?: (() => Options) | undefined
  /** Where the page is written to. */
  readonly page: string
  readonly progress: (line: string) => void
  readonly print: (line: string) => void
}

const inWords = ({ doing, runs, steps }: Progress): string => `${runs} runs, ${steps} steps: ${doing}`

const shrunk = ({ plan, result }: Broken, options: () => Options, progress: Telling["progress"]): Story | undefined => {
  const { guarantee } = result.violations[0]!
  const { isMinimal, plan: short, runs } = shrink(plan, {
    fails: (plan) => brokenIn(runPlan(plan, options()), guarantee)?.at,
    mostRuns,
    progress: (all) => progress(inWords(all))
  })
  progress(
    `${plan.steps.length} steps became ${short.steps.length} in ${runs} runs; ` +
      (isMinimal ? "none of them can be left out" : "it was not tried of each to leave it out")
  )
  return storyOf(short, options, guarantee)
}

/** Shrinks a run that broke a promise, tells its story, and writes it as a page. */
export const tellStory = async (
  broken: Broken,
  { options = () => ({}), page, print, progress }: Telling
): Promise<Story> => {
  // A world runs from a macrotask.
  const story = await new Promise<Story | undefined>((resolve, reject) =>
    setImmediate(() => {
      try {
        resolve(shrunk(broken, options, progress))
      } catch (error) {
        reject(error)
      }
    })
  )
  if (story === undefined) throw new Error("the shortest plan does not go wrong when it is watched")
  print(textOf(story))
  fs.writeFileSync(page, pageOf(story))
  print(`\nThe same as a page, to step through: ${page}`)
  return story
}
