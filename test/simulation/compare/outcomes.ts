/** What came of a call, in a word or two, and what must have come of each script before a comparison says anything. */
import { Failure } from "../redis/reply.ts"
import type { Step, Tape } from "./tape.ts"

const failure = (err: string): string =>
  err.startsWith("OOM")
    ? "OOM"
    : /user_script:\d+: /.test(err) && !/ script: [0-9a-f]{40}/.test(err.replace(/user_script:\d+: .*/s, ""))
    ? "an error of Lua"
    : "an error"

type Answer = ReadonlyArray<unknown>
type Words = (answer: Answer, us: number) => ReadonlyArray<string>

const word: Words = ([, outcome]) => [String(outcome)]
const yesOrNo: Words = ([, yes]) => [yes === 1 ? "yes" : "no"]
const done: Words = () => ["done"]
const positionAt = (at: number): Words => (answer) => [String(answer[at]).startsWith("-") ? "no position" : "position"]
const counted: Words = ([, count, more]) => [count === 0 ? "nothing ended" : "ended", ...more === 0 ? [] : ["more"]]
const fencesAt = (at: number): Words => (answer) => {
  const all = answer[at]
  return Array.isArray(all) && all.length > 0 ? ["fences"] : []
}
const both = (...all: ReadonlyArray<Words>): Words => (answer, us) => all.flatMap((one) => one(answer, us))
const made = (at: number): Words => (answer, us) => [String(answer[at]).includes(String(us)) ? "made" : "found"]

const answers: Readonly<Record<string, Words>> = {
  begin: both(word, fencesAt(6)),
  commit: word,
  discard: word,
  invalidate: both(counted, positionAt(3)),
  fence: both(counted, positionAt(3)),
  capture: made(1),
  take: word,
  position: both(made(1), fencesAt(3)),
  quiet: yesOrNo,
  store: word,
  look: ([, token]) => [token === "" ? "nothing" : "a token"],
  note: positionAt(1),
  replace: done,
  remove: counted,
  replaceKey: yesOrNo,
  open: positionAt(1),
  extend: yesOrNo,
  stand: yesOrNo,
  lift: yesOrNo,
  abandon: yesOrNo,
  release: done,
  await: yesOrNo,
  fences: both(done, fencesAt(1)),
  agree: ([, found]) => [found === "1" ? "the same" : "another"],
  probe: ([, refused]) => [Array.isArray(refused) && refused.length > 0 ? "refused" : "nothing refused"]
}

/** Where it is more than its answer says. */
const published = (step: Step): ReadonlyArray<string> => step.seen.messages.length > 0 ? ["published"] : []

export const outcomesOf = (step: Step): ReadonlyArray<string> => {
  const { reply } = step.seen
  const words = reply instanceof Failure
    ? [failure(reply.err)]
    : answers[step.call.script]?.(reply as Answer, step.us) ?? ["unknown"]
  return [...words, ...published(step)]
}

const counts = ["nothing ended", "ended", "more", "position", "no position", "published", "an error of Lua"]

/** Of each script, what must have been seen. */
export const expected: Readonly<Record<string, ReadonlyArray<string>>> = {
  begin: ["leased", "busy", "found", "fences", "published", "OOM", "an error of Lua"],
  commit: ["stored", "lost", "invalidated", "fenced", "unstored", "published", "OOM", "an error of Lua"],
  discard: ["lost", "invalidated", "fenced", "unstored", "published"],
  invalidate: counts,
  fence: counts,
  capture: ["made", "found", "OOM"],
  take: ["leased", "busy", "found", "differs", "published", "OOM"],
  position: ["made", "found", "fences"],
  quiet: ["yes", "no"],
  store: ["stored", "lost", "invalidated", "fenced", "unstored", "published", "OOM"],
  look: ["nothing", "a token"],
  note: ["position", "no position"],
  replace: ["done"],
  remove: ["nothing ended", "ended", "more", "published"],
  replaceKey: ["yes", "no"],
  open: ["position", "no position"],
  extend: ["yes", "no"],
  stand: ["yes", "no"],
  lift: ["yes", "no"],
  abandon: ["yes", "no", "published"],
  release: ["done", "published"],
  await: ["yes", "no"],
  fences: ["done", "fences"],
  agree: ["the same", "another"],
  probe: ["refused", "nothing refused"]
}

/** How often what came of each script. */
export class Tally {
  runs = 0
  private readonly counts = new Map<string, Map<string, number>>()

  constructor(tapes: ReadonlyArray<Tape> = []) {
    for (const tape of tapes) this.add(tape)
  }

  add({ steps }: Tape): void {
    for (const step of steps) {
      this.runs++
      let counts = this.counts.get(step.call.script)
      if (counts === undefined) this.counts.set(step.call.script, counts = new Map())
      for (const outcome of outcomesOf(step)) counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    }
  }

  count(script: string, outcome: string): number {
    return this.counts.get(script)?.get(outcome) ?? 0
  }

  /** A line for each script. */
  lines(): ReadonlyArray<string> {
    return [...this.counts].map(([script, counts]) =>
      `${script.padEnd(12)} ${
        [...counts].sort(([, a], [, b]) => b - a).map(([outcome, n]) => `${outcome} ${n}`).join(", ")
      }`
    )
  }
}
