/**
 * Writes into `docs/stampedes.md` what runs have measured: the tables below
 * `<!-- measured: ... -->`, and the lines that say where they come from.
 *
 *   npx node bench/stampede/docs.ts bench/results/stampede-full-....json ...
 */
import { readFileSync, writeFileSync } from "node:fs"
import type { Outcome, Report, Result } from "./report.ts"
import { count, duration, loadsAnExpiry, percent } from "./terminal.ts"

const page = new URL("../../docs/stampedes.md", import.meta.url)

const columns: ReadonlyArray<readonly [head: string, cell: (outcome: Outcome) => string]> = [
  ["", ({ title }) => title],
  ["loads an expiry", ({ summary }) => loadsAnExpiry(summary)],
  ["in virtual time", ({ simulated }) => loadsAnExpiry(simulated)],
  ["p99", ({ summary: { perExpiry } }) => perExpiry.expiries === 0 ? "-" : count(perExpiry.p99)],
  ["times ideal", ({ summary }) => count(1 + summary.extra)],
  ["most at once", ({ summary }) => count(summary.mostAtOnce)],
  ["waited", ({ summary }) => percent(summary.waited)],
  ["in virtual time", ({ simulated }) => simulated === undefined ? "-" : percent(simulated.waited)],
  ["latency p99.9", ({ summary }) => duration(summary.latency.p999)],
  ["failed", ({ summary }) => percent(summary.failed)],
  ["past its lifetime", ({ summary }) => percent(summary.pastLifetime)],
  ["untrue", ({ summary }) => percent(summary.untrue.share)],
  ["for at most", ({ summary: { untrue } }) => untrue.share === 0 ? "-" : duration(untrue.most)],
  ["commands a request", ({ traffic }) => traffic === undefined ? "-" : count(traffic.commands)],
  [
    "bytes a request",
    ({ traffic }) => traffic === undefined ? "-" : count(Math.round(traffic.bytesIn + traffic.bytesOut))
  ]
]

/** What was seen by nobody is left out; and what is untrue because nobody told of it, which is so for all. */
const tableOf = ({ outcomes, scenario }: Result): ReadonlyArray<string> => {
  const shown = columns.filter(([head, cell]) =>
    (scenario.changes.invalidates || (head !== "untrue" && head !== "for at most")) &&
    outcomes.some((outcome) => cell(outcome) !== "-")
  )
  return [
    `| ${shown.map(([head]) => head).join(" | ")} |`.replaceAll(/ +/g, " "),
    `|${shown.map((_, i) => i === 0 ? "---|" : "---:|").join("")}`,
    ...outcomes.map((outcome) => `| ${shown.map(([, cell]) => cell(outcome)).join(" | ")} |`)
  ]
}

const spaced = (value: number): string => value.toLocaleString("en").replaceAll(",", " ")

const originOf = ({ command, machine, results, seed, startedAt }: Report, world: string): ReadonlyArray<string> => {
  const outcomes = results.filter((result) => result.world === world).flatMap(({ outcomes }) => outcomes)
  const expiries = outcomes.reduce((sum, { summary }) => sum + summary.perExpiry.expiries, 0)
  return [
    `\`${command}\`, seed ${seed}, ${startedAt.slice(0, 10)}, ${spaced(expiries)} expiries. ${machine.split("\n")[0]}.`
  ]
}

/** The lines of a page with everything that follows a mark, up to the next empty line, made anew. */
export const fill = (text: string, contents: (what: string) => ReadonlyArray<string> | undefined): string => {
  const lines = text.split("\n")
  const filled: Array<string> = []
  for (let i = 0; i < lines.length; i++) {
    filled.push(lines[i]!)
    const what = /^<!-- measured: (.*) -->$/.exec(lines[i]!)?.[1]
    const content = what === undefined ? undefined : contents(what)
    if (content === undefined) continue
    // One empty line, what is there, and the empty line behind it.
    filled.push("", ...content)
    i++
    while (i + 1 < lines.length && lines[i + 1] !== "") i++
  }
  return filled.join("\n")
}

/** What belongs below a mark: `run` or a scenario, and its world, unless that is virtual time. */
export const contentsOf = (reports: ReadonlyArray<Report>) => (what: string): ReadonlyArray<string> | undefined => {
  const [id, world = "virtual"] = what.split(" ")
  for (const report of reports) {
    const result = report.results.find((one) => one.world === world && (id === "run" || one.scenario.id === id))
    if (result !== undefined) return id === "run" ? originOf(report, world) : tableOf(result)
  }
}

if (import.meta.main) {
  const files = process.argv.slice(2)
  if (files.length === 0) throw new Error("which reports? `npx node bench/stampede/docs.ts bench/results/....json`")
  const reports = files.map((file) => JSON.parse(readFileSync(file, "utf8")) as Report)
  writeFileSync(page, fill(readFileSync(page, "utf8"), contentsOf(reports)))
}
