/**
 * All figures, in a table that is sorted by a click on a column.
 */
import type { Outcome } from "../../stampede/report.ts"
import { colorOf } from "./colors.ts"
import { button, h } from "./dom.ts"
import { format, type Measure, measures, numberOf } from "./measures.ts"

export interface Order {
  /** Undefined is the order of the report. */
  readonly by: string | undefined
  readonly down: boolean
}

const sorted = (outcomes: ReadonlyArray<Outcome>, { by, down }: Order): ReadonlyArray<Outcome> => {
  const measure = measures.find(({ id }) => id === by)
  if (measure === undefined) {
    return by === "title"
      ? [...outcomes].sort((a, b) => a.title.localeCompare(b.title) * (down ? -1 : 1))
      : outcomes
  }
  const value = (outcome: Outcome) => numberOf(measure, outcome)
  // What has no number stands last either way.
  return [...outcomes].sort((a, b) => {
    const [mine, other] = [value(a), value(b)]
    if (mine === undefined || other === undefined) return Number(mine === undefined) - Number(other === undefined)
    return (mine - other) * (down ? -1 : 1)
  })
}

/** A column that nobody has a number for is left out. */
const columnsFor = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Measure> =>
  measures.filter((measure) => outcomes.some((outcome) => numberOf(measure, outcome) !== undefined))

export const figures = (
  outcomes: ReadonlyArray<Outcome>,
  order: Order,
  onOrder: (order: Order) => void
): HTMLElement => {
  const columns = columnsFor(outcomes)
  const head = (id: string, text: string, about: string): HTMLTableCellElement => {
    const isMine = order.by === id
    const next = { by: id, down: isMine ? !order.down : id !== "title" }
    return h(
      "th",
      { scope: "col", "aria-sort": isMine ? (order.down ? "descending" : "ascending") : "none" },
      button(text, () => onOrder(next), { title: about, "data-sort": id })
    )
  }
  const table = h(
    "table",
    { class: "figures" },
    h("caption", {}, "All figures. Click a column to sort by it."),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head("title", "strategy", "How the value is kept."),
        ...columns.map(({ about, head: text, id }) => head(id, text, about))
      )
    ),
    h(
      "tbody",
      {},
      ...sorted(outcomes, order).map((outcome) =>
        h(
          "tr",
          { "data-strategy": outcome.id },
          h("th", { scope: "row" }, h("span", { class: "swatch", style: `--c:${colorOf(outcome.id)}` }), outcome.title),
          ...columns.map((measure) => h("td", {}, format(measure.unit, numberOf(measure, outcome))))
        )
      )
    )
  )
  const legend = h(
    "details",
    { class: "legend" },
    h("summary", {}, "What the columns mean"),
    h("dl", {}, ...columns.flatMap(({ about, title }) => [h("dt", {}, title), h("dd", {}, about)]))
  )
  legend.open = true
  return h(
    "div",
    {},
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All figures" }, table),
    legend
  )
}
