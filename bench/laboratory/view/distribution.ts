/**
 * How many loads an expiry made: what was counted, beside what the mathematics says where it says something.
 */
import * as Plot from "@observablehq/plot"
import type { Outcome } from "../../stampede/report.ts"
import type { Scenario } from "../../stampede/scenario.ts"
import { count } from "../../stampede/terminal.ts"
import { chanceOfLoads, exactChanceOfLoads } from "../../stampede/theory.ts"
import { colorOf } from "./colors.ts"

interface Bar {
  readonly id: string
  readonly row: number
  readonly column: number
  readonly loads: string
  readonly share: number
}

/** One by one while they are few, then ever more together. */
const groups: ReadonlyArray<{ readonly name: string; readonly from: number; readonly to: number }> = [
  ...[1, 2, 3, 4, 5, 6].map((k) => ({ name: `${k}`, from: k, to: k })),
  { name: "7+", from: 7, to: 10 },
  { name: "11+", from: 11, to: 30 },
  { name: "31+", from: 31, to: 100 },
  { name: "101+", from: 101, to: Infinity }
]

export interface ClosedForm {
  readonly name: string
  readonly chance: (loads: number) => number
}

/** The mathematics speaks of one key, of requests that are independent of each other, and of loads that all take as long. */
export const closedForm = ({ arrivals, changes, keys, load, origin, rate }: Scenario): ClosedForm | undefined => {
  if (arrivals._tag !== "Poisson" || origin._tag !== "Constant" || keys > 1 || changes.invalidates) return undefined
  const n = rate * load / 1000
  return n >= 20
    ? { name: "geometric, p = exp(-1)", chance: (k) => chanceOfLoads(k, 1) }
    : { name: `exact, ${count(n)} requests a load`, chance: (k) => exactChanceOfLoads(k, n, 1) }
}

const gathered = (share: (loads: number) => number, last: number): ReadonlyArray<number> =>
  groups.map(({ from, to }) => {
    let sum = 0
    for (let k = from; k <= Math.min(to, last); k++) sum += share(k)
    return sum
  })

export const distribution = (
  outcomes: ReadonlyArray<Outcome>,
  form: ClosedForm | undefined,
  width: number
): SVGSVGElement | HTMLElement => {
  const shown = outcomes.filter(({ summary }) => summary.perExpiry.expiries > 0)
  const columns = Math.min(shown.length, width < 560 ? 1 : width < 1000 ? 2 : 3)
  const cellOf = (i: number) => ({ row: Math.floor(i / columns), column: i % columns })
  const bars = shown.flatMap(({ id, summary: { perExpiry } }, i): ReadonlyArray<Bar> =>
    gathered((k) => (perExpiry.counts[k - 1] ?? 0) / perExpiry.expiries, perExpiry.counts.length).map((share, g) => ({
      id,
      ...cellOf(i),
      loads: groups[g]!.name,
      share
    }))
  )
  const published = shown.findIndex(({ id }) => id === "xfetch-published")
  const expected = form === undefined || published < 0
    ? []
    : gathered(form.chance, 100).map((share, g) => ({
      id: "closed",
      ...cellOf(published),
      loads: groups[g]!.name,
      share
    }))
  const titles = shown.map(({ id, summary: { perExpiry }, title }, i) => ({
    ...cellOf(i),
    id,
    title,
    mean: `mean ${count(perExpiry.mean)} of ${perExpiry.expiries}`
  }))
  const rows = Math.ceil(shown.length / columns)
  return Plot.plot({
    width,
    height: 24 + 38 + rows * 132,
    marginLeft: 46,
    marginRight: 4,
    marginTop: 8,
    marginBottom: 38,
    ariaLabel: "Loads per expiry",
    x: { domain: groups.map(({ name }) => name), label: "loads of an expiry", tickSize: 0, padding: 0.12 },
    y: {
      domain: [0, 1],
      ticks: [0, 0.5, 1],
      tickFormat: (v: number) => `${100 * v} %`,
      label: null,
      insetTop: 38,
      grid: true,
      tickSize: 0
    },
    fx: { axis: null, padding: 0.08 },
    fy: { axis: null, padding: 0.12 },
    marks: [
      Plot.barY(bars, {
        fx: "column",
        fy: "row",
        x: "loads",
        y: "share",
        fill: ({ id }: Bar) => colorOf(id),
        title: ({ loads, share }: Bar) => `${loads}: ${(100 * share).toFixed(1)} %`,
        className: "counted"
      }),
      Plot.tickY(expected, {
        fx: "column",
        fy: "row",
        x: "loads",
        y: "share",
        stroke: "currentColor",
        strokeWidth: 2.5,
        title: ({ loads, share }: Bar) => `closed form, ${loads}: ${(100 * share).toFixed(1)} %`,
        className: "closed"
      }),
      Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.5 }),
      Plot.text(titles, {
        fx: "column",
        fy: "row",
        text: "title",
        fill: ({ id }: { readonly id: string }) => colorOf(id),
        fontWeight: 600,
        frameAnchor: "top-left"
      }),
      Plot.text(titles, {
        fx: "column",
        fy: "row",
        text: "mean",
        frameAnchor: "top-left",
        fill: "currentColor",
        fillOpacity: 0.75,
        dy: 15
      })
    ]
  })
}
