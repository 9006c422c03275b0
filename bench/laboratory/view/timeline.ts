/**
 * Loads and latency around the end of an entry: a row for each strategy, all on the same axes, so that none hides another.
 */
import * as Plot from "@observablehq/plot"
import type { Outcome } from "../../stampede/report.ts"
import type { Timeline } from "../../stampede/summary.ts"
import { duration } from "../../stampede/terminal.ts"
import { colorOf } from "./colors.ts"

interface Bin {
  readonly id: string
  readonly row: string
  readonly from: number
  readonly to: number
  readonly value: number
}

export interface Panel {
  readonly width: number
  /** Each row is as high as its highest value. */
  readonly own: boolean
  /** What happens at 0. */
  readonly event: string
}

const rowHeight = 64
/** Between two rows, as a share of a row. */
const gap = 0.2
/** There is no room for more than a name and a number. */
const narrow = 420

/** The largest round number that is not above it. */
const nice = (value: number): number => {
  const digit = 10 ** Math.floor(Math.log10(value || 1))
  return Math.floor((value || 1) / digit) * digit
}

const bins = (
  outcomes: ReadonlyArray<Outcome>,
  values: (timeline: Timeline) => ReadonlyArray<number | null>
): ReadonlyArray<Bin> =>
  outcomes.flatMap(({ id, summary: { timeline }, title }) =>
    values(timeline).flatMap((value, i) => {
      const from = (timeline.from + i * timeline.width) / 1000
      return value === null ? [] : [{ id, row: title, from, to: from + timeline.width / 1000, value }]
    })
  )

const highest = (all: ReadonlyArray<Bin>, row?: string): number =>
  Math.max(0, ...all.filter((bin) => row === undefined || bin.row === row).map(({ value }) => value))

const fitting = (all: ReadonlyArray<Bin>, peaks: ReadonlyMap<string, number>): ReadonlyArray<Bin> =>
  all.map((bin) => ({ ...bin, value: bin.value / (peaks.get(bin.row) || 1) }))

const plot = (
  outcomes: ReadonlyArray<Outcome>,
  { event, own, width }: Panel,
  name: string,
  top: number,
  peak: (outcome: Outcome) => string,
  marks: ReadonlyArray<Plot.Markish>
): SVGSVGElement | HTMLElement =>
  Plot.plot({
    width,
    height: 34 + 26 + rowHeight * outcomes.length,
    marginLeft: 42,
    marginRight: 8,
    marginTop: 26,
    marginBottom: 34,
    ariaLabel: name,
    // An opacity is what it is.
    opacity: { type: "identity" },
    x: { label: `seconds from ${event} →`, labelAnchor: "right", ticks: width < 420 ? 6 : 10, inset: 0 },
    y: {
      label: null,
      domain: [0, own ? 1 : top || 1],
      insetTop: 20,
      ticks: own ? [] : [0, nice(top)],
      grid: !own,
      tickSize: 0
    },
    fy: { domain: outcomes.map(({ title }) => title), label: null, axis: null, padding: gap },
    marks: [
      ...marks,
      Plot.ruleX([0], { stroke: "currentColor", strokeDasharray: "3,3", strokeOpacity: 0.7 }),
      Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.5 }),
      Plot.text(outcomes, {
        fy: "title",
        text: "title",
        frameAnchor: "top-left",
        fill: ({ id }: Outcome) => colorOf(id),
        fontWeight: 600,
        dy: 2
      }),
      Plot.text(outcomes, {
        fy: "title",
        text: peak,
        frameAnchor: "top-right",
        fill: "currentColor",
        fillOpacity: 0.75,
        dy: 2
      }),
      Plot.text([name], {
        text: (text) => text,
        frameAnchor: "top-left",
        facetAnchor: "top",
        dx: -36,
        dy: -22,
        fontSize: 12
      })
    ]
  })

const most = (value: number, { width }: Panel): string => {
  const text = value < 10 ? `${Math.round(10 * value) / 10}` : value.toFixed(0)
  return width < narrow ? `${text}/s` : `at most ${text} a second`
}

/**
 * Below its row, when the loads of a strategy began: where one shares an axis with a stampede, its few loads are not
 * high enough to be seen.
 */
const beginnings = (all: ReadonlyArray<Bin>, peaks: ReadonlyMap<string, number>, rows: number): Plot.Markish =>
  Plot.tickX(all.filter(({ value }) => value > 0), {
    x: ({ from, to }: Bin) => (from + to) / 2,
    fy: "row",
    stroke: ({ id }: Bin) => colorOf(id),
    strokeWidth: 2.5,
    strokeOpacity: ({ row, value }: Bin) => 0.15 + 0.85 * value / peaks.get(row)!,
    insetTop: (1 - gap) * rowHeight * rows / (rows + gap) + 2,
    insetBottom: -7,
    className: "beginnings"
  })

/** A bar for each bin, in the colour of its strategy. */
const bars = (all: ReadonlyArray<Bin>, className: string, more: { readonly fillOpacity?: number } = {}) =>
  Plot.rectY(all, {
    x1: "from",
    x2: "to",
    y: "value",
    fy: "row",
    fill: ({ id }: Bin) => colorOf(id),
    inset: 0,
    className,
    ...more
  })

export const loadsPanel = (outcomes: ReadonlyArray<Outcome>, panel: Panel): SVGSVGElement | HTMLElement => {
  const all = bins(outcomes, ({ loads }) => loads)
  const peaks = new Map(outcomes.map(({ title }) => [title, highest(all, title)]))
  return plot(
    outcomes,
    panel,
    "Loads begun per second",
    highest(all),
    ({ title }) => most(peaks.get(title)!, panel),
    [
      bars(panel.own ? fitting(all, peaks) : all, "loads"),
      beginnings(all, peaks, outcomes.length)
    ]
  )
}

export const latencyPanel = (outcomes: ReadonlyArray<Outcome>, panel: Panel): SVGSVGElement | HTMLElement => {
  const seconds = (values: ReadonlyArray<number | null>) => values.map((value) => value === null ? null : value / 1000)
  const tail = bins(outcomes, ({ latencyP99 }) => seconds(latencyP99))
  const mean = bins(outcomes, ({ latencyMean }) => seconds(latencyMean))
  const peaks = new Map(outcomes.map(({ title }) => [title, highest(tail, title)]))
  const shown = (all: ReadonlyArray<Bin>) => panel.own ? fitting(all, peaks) : all
  return plot(
    outcomes,
    panel,
    "Latency in seconds: pale p99, full mean",
    highest(tail),
    ({ title }) => `${panel.width < narrow ? "" : "p99 at most "}${duration(1000 * peaks.get(title)!)}`,
    [
      bars(shown(tail), "p99", { fillOpacity: 0.32 }),
      bars(shown(mean), "mean")
    ]
  )
}
