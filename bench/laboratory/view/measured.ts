/**
 * What was measured: a world and a scenario at a time.
 */
import type { Outcome, Report, Result } from "../../stampede/report.ts"
import { count, duration } from "../../stampede/terminal.ts"
import { colorOf } from "./colors.ts"
import { closedForm, distribution } from "./distribution.ts"
import { checkbox, choice, h, onWidth } from "./dom.ts"
import { measureOf, measures } from "./measures.ts"
import { ratios } from "./ratios.ts"
import { recall, remember } from "./state.ts"
import { figures, type Order } from "./table.ts"
import { latencyPanel, loadsPanel } from "./timeline.ts"
import { tradeOff } from "./tradeOff.ts"

const worlds = { virtual: "virtual time", wall: "wall clock" } as const

/** What tells the story; the rest is a click away. Other libraries are why one looks at the wall clock. */
const shownAtFirst = new Set([
  "plain",
  "xfetch-published",
  "single-flight",
  "lease",
  "swr",
  "xfetch",
  "advised",
  "soft"
])
const hiddenAtFirst = new Set(["uncached", "jitter", "django", "xfetch-alone", "swr-alone", "refresh-80"])

const list = (text: string | undefined): ReadonlySet<string> =>
  new Set((text ?? "").split(",").filter((id) => id !== ""))

/** A picture that is drawn anew when there is more or less room for it. */
const figure = (
  id: string,
  title: string,
  how: string,
  draw: (width: number) => ReadonlyArray<Element>,
  ...controls: ReadonlyArray<Node>
): HTMLElement => {
  const chart = h("div", { class: "chart" })
  onWidth(chart, (width) => chart.replaceChildren(...draw(width)))
  return h(
    "figure",
    { id },
    h("h3", {}, title),
    h("figcaption", {}, how),
    controls.length === 0
      ? undefined
      : h("div", { class: controls.length > 1 ? "sliders choices" : "controls" }, ...controls),
    chart
  )
}

const setting = ({ processes, rate }: Result["scenario"]): string =>
  `${count(rate)} requests a second, ${processes === 1 ? "one process" : `${processes} processes`}`

export const measured = (report: Report): HTMLElement => {
  const { results } = report
  let world = results.find((one) => one.world === recall("world"))?.world ?? results[0]?.world ?? "virtual"
  let scenario = recall("scenario") ?? ""
  let own = recall("own") === "1"
  let order: Order = { by: undefined, down: true }
  let axes = { x: recall("x") ?? "ideal", y: recall("y") ?? "waited", size: recall("size") ?? "stale" }
  const [added, removed] = [new Set(list(recall("with"))), new Set(list(recall("without")))]

  const isShown = ({ id }: Outcome): boolean =>
    !removed.has(id) && (added.has(id) || shownAtFirst.has(id) || !hiddenAtFirst.has(id))
  const here = (): ReadonlyArray<Result> => results.filter((one) => one.world === world)
  const present = (): Result => here().find((one) => one.scenario.id === scenario) ?? here()[0]!

  const body = h("div", {})
  const panel = h("section", {})

  const draw = (): void => {
    remember({
      world: world === results[0]!.world ? undefined : world,
      scenario: scenario === "" ? undefined : scenario,
      own: own ? "1" : undefined,
      x: axes.x === "ideal" ? undefined : axes.x,
      y: axes.y === "waited" ? undefined : axes.y,
      size: axes.size === "stale" ? undefined : axes.size,
      with: added.size === 0 ? undefined : [...added].join(","),
      without: removed.size === 0 ? undefined : [...removed].join(",")
    })
    const result = present()
    body.replaceChildren(...contents(result, result.outcomes.filter(isShown)))
  }

  const worldChoice = (): HTMLElement | undefined => {
    const there = (["virtual", "wall"] as const).filter((one) => results.some((result) => result.world === one))
    if (there.length < 2) return undefined
    const options = there.map((value) => ({ value, text: worlds[value] }))
    return choice("world", options, world, (chosen) => {
      world = chosen as typeof world
      draw()
    }, { id: "world" })
  }

  const scenarioChoice = (result: Result): HTMLElement => {
    const options = here().map(({ scenario: { id, title } }) => ({ value: id, text: title }))
    return choice("scenario", options, result.scenario.id, (chosen) => {
      scenario = chosen
      draw()
    }, { id: "scenario" })
  }

  const strategyChoice = (outcomes: ReadonlyArray<Outcome>): HTMLElement =>
    h(
      "fieldset",
      { id: "strategies" },
      h("legend", {}, "Strategies that are shown"),
      ...outcomes.map((outcome) =>
        checkbox(
          h("span", { class: "named", style: `--c:${colorOf(outcome.id)}` }, outcome.title),
          isShown(outcome),
          (checked) => {
            const { id } = outcome
            if (checked) removed.delete(id)
            else added.delete(id)
            if (!shownAtFirst.has(id) && hiddenAtFirst.has(id)) {
              if (checked) added.add(id)
            } else if (!checked) removed.add(id)
            draw()
            panel.querySelector<HTMLInputElement>(`#strategies input[value="${CSS.escape(id)}"]`)?.focus()
          },
          { value: outcome.id }
        )
      )
    )

  const axisChoice = (name: string, which: "x" | "y" | "size", none: ReadonlyArray<{ value: string; text: string }>) =>
    choice(
      name,
      [...none, ...measures.map(({ id, title }) => ({ value: id, text: title }))],
      axes[which],
      (value) => {
        axes = { ...axes, [which]: value }
        draw()
      },
      { id: `axis-${which}` }
    )

  const contents = (result: Result, outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Node> => {
    const { scenario: told } = result
    const event = told.changes.invalidates ? "the invalidation" : "the expiry"
    const stale = told.changes.invalidates ? "untrue" : "past"
    const size = axes.size === "none" ? undefined : measureOf(axes.size === "stale" ? stale : axes.size)
    const form = closedForm(told)
    return [
      h("div", { class: "controls" }, worldChoice(), scenarioChoice(result)),
      h(
        "div",
        { class: "scenario" },
        h("h2", {}, told.title),
        h(
          "p",
          {},
          `${told.about} `,
          h(
            "span",
            { class: "quiet" },
            [
              setting(told),
              `loads of ${duration(told.load)}`,
              `lifetime ${duration(told.lifetime)}`,
              told.changes.invalidates
                ? `invalidated every ${duration(told.changes.every)} on average`
                : `the truth changes every ${duration(told.changes.every)} on average, and nobody says so`,
              result.world === "virtual"
                ? "simulated in virtual time, with the real interpreter"
                : "real processes and a real Redis"
            ].join("; ") + "."
          )
        )
      ),
      strategyChoice(result.outcomes),
      ...(outcomes.length === 0 ? [h("p", { class: "empty" }, "Choose a strategy.")] : [
        h(
          "details",
          { class: "about" },
          h("summary", {}, "What each of them does"),
          h(
            "dl",
            {},
            ...outcomes.flatMap(({ about, id, policy, title }) => [
              h("dt", {}, h("span", { class: "named", style: `--c:${colorOf(id)}` }, title)),
              h(
                "dd",
                {},
                about,
                policy === undefined ? undefined : " ",
                policy === undefined ? undefined : h("code", {}, policy)
              )
            ])
          )
        ),
        figure(
          "around",
          told.changes.invalidates ? "Around an invalidation" : "Around an expiry",
          `The mean over all of them, a row for each strategy. At 0 ${
            told.changes.invalidates ? "the key is invalidated" : "the entry reaches its lifetime"
          }; a stampede is a wall behind it, and what is loaded before it was loaded early. The strokes below a row are where its loads begin, however few they are.`,
          (width) => {
            const panelWidth = width < 720 ? width : Math.floor((width - 16) / 2)
            const look = { width: panelWidth, own, event }
            return [loadsPanel(outcomes, look), latencyPanel(outcomes, look)]
          },
          checkbox("each row on a scale of its own", own, (checked) => {
            own = checked
            draw()
          }, { id: "own" })
        ),
        figure(
          "trade-off",
          "What it costs, who waits, and how stale it is",
          `Low and left is better.${
            size === undefined ? "" : ` The larger the disc, the more: ${size.title.toLowerCase()}.`
          } Both axes are logarithmic, with a place for 0.`,
          (width) => [tradeOff(outcomes, { x: measureOf(axes.x), y: measureOf(axes.y), size, width })],
          axisChoice("across", "x", []),
          axisChoice("upwards", "y", []),
          axisChoice("size", "size", [{ value: "stale", text: "Staleness" }, { value: "none", text: "nothing" }])
        ),
        figure(
          "distribution",
          "Loads per expiry",
          `The share of expiries that made so many loads: one bar at 1 is perfect.${
            form !== undefined && outcomes.some(({ id }) => id === "xfetch-published")
              ? ` The strokes on XFetch as published are its closed form (${form.name}).`
              : ""
          }`,
          (width) => [distribution(outcomes, form, width)]
        ),
        h(
          "figure",
          { id: "table" },
          h("h3", {}, "All figures"),
          figures(outcomes, order, (next) => {
            order = next
            draw()
            panel.querySelector<HTMLElement>(`[data-sort="${next.by}"]`)?.focus()
          })
        )
      ])
    ]
  }

  panel.append(
    ...(results.length === 0 ? [] : [body]),
    ...(report.tables.length === 0 ? [] : [ratios(report.tables)]),
    h(
      "footer",
      {},
      h("h2", {}, "How this was measured"),
      h(
        "dl",
        {},
        h("dt", {}, "command"),
        h("dd", {}, h("code", {}, report.command)),
        h("dt", {}, "date"),
        h("dd", {}, `${report.startedAt.slice(0, 16).replace("T", ", ")} UTC`),
        h("dt", {}, "seed"),
        h("dd", {}, `${report.seed}`),
        h("dt", {}, "machine"),
        h("dd", { class: "machine" }, report.machine)
      )
    )
  )
  if (results.length > 0) draw()
  return panel
}
