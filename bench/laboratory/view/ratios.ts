/**
 * The tables of the other benchmarks: ratios within one run.
 */
import * as Plot from "@observablehq/plot"
import type { RatioTable } from "../../stampede/report.ts"
import { h, onWidth } from "./dom.ts"

const time = (nanos: number): string =>
  nanos < 1000
    ? `${nanos.toFixed(0)} ns`
    : nanos < 1e6
    ? `${(nanos / 1000).toFixed(1)} µs`
    : `${(nanos / 1e6).toFixed(1)} ms`

const bars = ({ rate, reference, rows }: RatioTable, width: number): SVGSVGElement | HTMLElement => {
  const marginLeft = Math.min(0.45 * width, 8 + 6.3 * Math.max(...rows.map(({ name }) => name.length)))
  const fits = Math.floor((marginLeft - 8) / 6.3)
  return Plot.plot({
    width,
    height: 44 + 24 * rows.length,
    marginLeft,
    marginRight: 48,
    marginTop: 4,
    marginBottom: 36,
    x: {
      label: `${rate ? "rate" : "time"}, as a multiple of the reference`,
      domain: [0, Math.max(...rows.map(({ ratio }) => ratio.high)) * 1.05],
      ticks: 5,
      grid: true
    },
    y: {
      domain: rows.map(({ name }) => name),
      label: null,
      tickSize: 0,
      tickFormat: (name: string) => name.length > fits ? `${name.slice(0, fits - 1)}…` : name
    },
    marks: [
      Plot.barX(rows, {
        x: ({ ratio }) => ratio.median,
        y: "name",
        fill: ({ name }) => name === reference ? "var(--quiet)" : "var(--accent)",
        insetTop: 3,
        insetBottom: 3,
        title: ({ name, nanos, ratio }) => `${name}\n${ratio.median.toFixed(2)} (${time(nanos)})`
      }),
      Plot.ruleY(rows, { x1: ({ ratio }) => ratio.low, x2: ({ ratio }) => ratio.high, y: "name", strokeWidth: 1.5 }),
      Plot.text(rows, {
        x: ({ ratio }) => ratio.high,
        y: "name",
        text: ({ ratio }) => ratio.median.toFixed(2),
        textAnchor: "start",
        dx: 6
      }),
      Plot.ruleX([1], { strokeDasharray: "3,3" })
    ]
  })
}

export const ratios = (tables: ReadonlyArray<RatioTable>): HTMLElement =>
  h(
    "section",
    { id: "ratios" },
    h("h2", {}, "Hits and invalidations"),
    h(
      "p",
      {},
      "Each bar is a ratio to the reference, taken in the same run: the median, and a line over the middle half. ",
      "Where bars are times, shorter is better; where they are rates, longer is."
    ),
    ...tables.map((table) => {
      const chart = h("div", { class: "chart" })
      onWidth(chart, (width) => chart.replaceChildren(bars(table, width)))
      return h(
        "figure",
        {},
        h("h3", {}, table.title),
        chart,
        h(
          "figcaption",
          {},
          `${
            table.rate ? "Rates: longer is better." : "Times: shorter is better."
          } The reference is ${table.reference}.`,
          table.note === undefined ? undefined : ` ${table.note}`
        )
      )
    })
  )
