/**
 * A table for the terminal.
 */
import type { Outcome, Result } from "./report.ts"
import type { Summary } from "./summary.ts"

export const percent = (share: number): string =>
  share === 0
    ? "-"
    : share >= 0.1
    ? `${(100 * share).toFixed(0)} %`
    : `${(100 * share).toFixed(share < 0.001 ? 3 : 2)} %`

export const duration = (millis: number): string =>
  millis === 0
    ? "0"
    : millis < 10
    ? `${millis.toFixed(1)} ms`
    : millis < 1000
    ? `${millis.toFixed(0)} ms`
    : `${(millis / 1000).toFixed(millis < 10_000 ? 1 : 0)} s`

export const count = (value: number): string =>
  value >= 100_000
    ? `${(value / 1000).toFixed(0)} k`
    : value >= 100 || Number.isInteger(value)
    ? value.toFixed(0)
    : value.toFixed(2)

const asked = ({ summary: { operations }, traffic }: Outcome): string =>
  count(traffic?.commands ?? Object.values(operations).reduce((sum, one) => sum + one, 0))

const none = "-"

/** What keeps nothing has no expiries. */
export const loadsAnExpiry = (summary: Summary | undefined): string =>
  summary === undefined || summary.perExpiry.expiries === 0 ? none : count(summary.perExpiry.mean)

interface Column {
  readonly head: readonly [above: string, below: string]
  readonly width: number
  readonly cell: (outcome: Outcome) => string
}

const columns: ReadonlyArray<Column> = [
  {
    head: ["loads an", "expiry"],
    width: 9,
    cell: ({ summary }) => loadsAnExpiry(summary)
  },
  {
    head: ["", "p99"],
    width: 5,
    cell: ({ summary: { perExpiry } }) => perExpiry.expiries === 0 ? none : count(perExpiry.p99)
  },
  {
    head: ["simu-", "lated"],
    width: 7,
    cell: ({ simulated }) => loadsAnExpiry(simulated)
  },
  { head: ["times", "ideal"], width: 7, cell: ({ summary }) => count(1 + summary.extra) },
  { head: ["most at", "once"], width: 8, cell: ({ summary }) => count(summary.mostAtOnce) },
  { head: ["latency", "p99"], width: 8, cell: ({ summary }) => duration(summary.latency.p99) },
  { head: ["", "p99.9"], width: 8, cell: ({ summary }) => duration(summary.latency.p999) },
  { head: ["", "most"], width: 8, cell: ({ summary }) => duration(summary.latency.most) },
  { head: ["", "waited"], width: 8, cell: ({ summary }) => percent(summary.waited) },
  {
    head: ["simu-", "lated"],
    width: 8,
    cell: ({ simulated }) => simulated === undefined ? none : percent(simulated.waited)
  },
  { head: ["", "failed"], width: 8, cell: ({ summary }) => percent(summary.failed) },
  { head: ["past its", "life"], width: 9, cell: ({ summary }) => percent(summary.pastLifetime) },
  { head: ["", "untrue"], width: 8, cell: ({ summary }) => percent(summary.untrue.share) },
  {
    head: ["for, at", "most"],
    width: 8,
    cell: ({ summary: { untrue } }) => untrue.share === 0 ? none : duration(untrue.most)
  },
  { head: ["asked a", "request"], width: 8, cell: asked }
]

const nameWidth = 38

/** A table; what happened to nobody is left out. */
export const formatResult = ({ outcomes, scenario, world }: Result): string => {
  const expiries = Math.max(...outcomes.map(({ summary }) => summary.perExpiry.expiries))
  const shown = columns.filter(({ cell }) => outcomes.some((outcome) => cell(outcome) !== none))
  const heads = [0, 1].map((row) =>
    `${" ".repeat(nameWidth)}${shown.map(({ head, width }) => head[row]!.padStart(width)).join("")}`.trimEnd()
  )
  return [
    "",
    `${scenario.title}, ${world === "virtual" ? "in virtual time" : "on the wall clock"}: ${expiries} ${
      scenario.changes.invalidates ? "invalidations" : "expiries"
    } for each`,
    `  ${scenario.about}`,
    ...heads,
    ...outcomes.map((outcome) =>
      `  ${outcome.title.slice(0, nameWidth - 2).padEnd(nameWidth - 2)}${
        shown.map(({ cell, width }) => cell(outcome).padStart(width)).join("")
      }`
    )
  ].join("\n")
}

/** What the columns mean. */
export const legend = [
  "",
  "loads an expiry: that began from one entry. times ideal: one whenever something is asked for that has ended is ideal.",
  "latency: from when a request came, whether others were answered or not. waited: a tenth of a load or longer.",
  "past its life: given a value older than a lifetime. untrue: given what had ceased to be true when the request came, and",
  "for how long it had. simulated: the same scenario in virtual time. asked: operations of the store, or commands of the server. The page has more."
].join("\n")
