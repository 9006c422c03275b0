/** What came of a run, in words. */
import type { Outcome, Report } from "./play.ts"

const percent = (part: number, of: number): string => of === 0 ? "-" : `${(100 * part / of).toFixed(1)} %`

/** Of the reads, those that need not wait; of the loads of what had been loaded before, those that changed nothing. */
export const share = ({ loads, needless, reads, reloads }: Report): string =>
  `hits ${percent(reads - loads, reads)}; ${reloads} reloads, of them needless ${needless} (${
    percent(needless, reloads)
  })`

const lines = (all: ReadonlyArray<string>): string => all.map((line) => `\n    ${line}`).join("")

export const printReport = (report: Report): string => {
  const { deaths, log, reads, refused, steps, wrong } = report
  const summary = `${steps} writes (${refused} refused, ${deaths} died), ${reads} reads; ${share(report)}`
  if (wrong.length === 0) return summary
  const told = wrong.slice(0, 5).map(({ answer, is, key, step }) =>
    `WRONG after ${step} writes: ${key} is ${answer}, and should be ${is}`
  )
  return `${summary}${lines(told)}\n  the last writes:${lines(log.slice(-10))}`
}

export const printOutcome = (outcome: Outcome): string => {
  const { commits, contested, deaths, hitRate, left, log, reads, violations } = outcome
  const summary = `${log.length} writes, ${commits} commits, ${deaths} died; ${reads} reads, hits ${
    percent(hitRate, 1)
  }, ${contested} while a write that concerned them was under way`
  if (violations.length + left.length === 0) return summary
  const told = violations.slice(0, 5).map(({ read: { answer, key, reader }, unseen }) =>
    `WRONG: ${reader} was answered ${answer} for ${key}, and has not seen ${unseen}`
  )
  const still = left.slice(0, 10).map((key) => `WRONG at the end: ${key}`)
  return `${summary}${lines([...told, ...still])}\n  writes:${lines(log)}`
}
