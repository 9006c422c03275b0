/**
 * What it costs, who waits, and how stale it is: a point for each strategy.
 */
import * as Plot from "@observablehq/plot"
import type { Outcome } from "../../stampede/report.ts"
import { colorOf } from "./colors.ts"
import { s } from "./dom.ts"
import { place } from "./labels.ts"
import { format, type Measure, numberOf } from "./measures.ts"

export interface Axes {
  readonly x: Measure
  readonly y: Measure
  /** How large a point is. */
  readonly size: Measure | undefined
  readonly width: number
}

interface Point {
  readonly id: string
  readonly title: string
  readonly x: number
  readonly y: number
  readonly size: number
}

const charWidth = 6.9

/** Of logarithms. */
const isNear = (a: number, b: number): boolean => Math.abs(a - b) < 0.01

const tickText = (unit: Measure["unit"], value: number): string =>
  unit === "share" ? `${Number((100 * value).toPrecision(2))} %` : format(unit, value)

/**
 * Logarithmic, since some cost a hundred times what others do; and with a place for 0, which has no logarithm, one step
 * below the least that there is.
 */
const logarithmic = ({ title, unit }: Measure, values: ReadonlyArray<number>) => {
  const positive = values.filter((value) => value > 0)
  const [least, largest] = positive.length === 0 ? [1, 1] : [Math.min(...positive), Math.max(...positive)]
  const hasZero = positive.length < values.length
  const low = 10 ** Math.floor(Math.log10(least) + 1e-9)
  const floor = hasZero ? low / 10 ** 0.5 : least / 1.25
  const top = unit === "share" ? Math.min(1.3, largest * 2) : largest * 1.6
  const ticks: Array<number> = []
  for (let tick = low; tick <= top * 1.0001; tick *= 10) {
    for (const step of largest / least < 300 ? [1, 2, 5] : [1]) {
      const at = Number((tick * step).toPrecision(3))
      if (at >= floor && at <= top) ticks.push(at)
    }
  }
  const at = (value: number): number => Math.log10(value > 0 ? value : floor)
  // The logarithms are taken here: of a logarithmic scale Plot leaves out some of the numbers that it is given.
  const texts = new Map(ticks.map((tick) => [at(tick), tickText(unit, tick)]))
  if (hasZero) texts.set(at(0), "0")
  return {
    at,
    options: {
      domain: [at(floor), at(Math.max(top, floor * 2))],
      label: title,
      ticks: [...texts.keys()],
      tickFormat: (place: number) => texts.get(place)!,
      grid: true
    }
  }
}

export const tradeOff = (outcomes: ReadonlyArray<Outcome>, { size, width, x, y }: Axes): SVGSVGElement => {
  const points = outcomes.flatMap((outcome): ReadonlyArray<Point> => {
    const [at, up] = [numberOf(x, outcome), numberOf(y, outcome)]
    if (at === undefined || up === undefined) return []
    const { id, title } = outcome
    return [{ id, title, x: at, y: up, size: size === undefined ? 0 : numberOf(size, outcome) ?? 0 }]
  })
  const [across, upwards] = [logarithmic(x, points.map(({ x }) => x)), logarithmic(y, points.map(({ y }) => y))]
  const largest = Math.max(...points.map(({ size }) => size), 0)
  const height = Math.max(320, Math.min(460, width * 0.6))
  const [marginLeft, marginRight, marginTop, marginBottom] = [52, 12, 28, 40]
  const radius = ({ size }: Point): number => largest === 0 ? 0 : 20 * Math.sqrt(size / largest)
  // Of points at the same place the first is drawn larger, so that it is seen behind the others.
  const behind = (one: Point, i: number): number =>
    points.slice(i + 1).filter((other) =>
      isNear(across.at(one.x), across.at(other.x)) && isNear(upwards.at(one.y), upwards.at(other.y))
    )
      .length
  const drawn = Plot.plot({
    width,
    height,
    marginLeft,
    marginRight,
    marginTop,
    marginBottom,
    inset: 10,
    ariaLabel: `${y.title} against ${x.title}`,
    x: across.options,
    y: upwards.options,
    r: { type: "identity" },
    marks: [
      Plot.dot(points, {
        x: (one: Point) => across.at(one.x),
        y: (one: Point) => upwards.at(one.y),
        r: (one: Point) => radius(one),
        fill: (one: Point) => colorOf(one.id),
        fillOpacity: 0.22,
        stroke: (one: Point) => colorOf(one.id),
        className: "size"
      }),
      Plot.dot(points, {
        x: (one: Point) => across.at(one.x),
        y: (one: Point) => upwards.at(one.y),
        r: (one: Point, i: number) => 4.5 + 2.5 * behind(one, i),
        fill: (one: Point) => colorOf(one.id),
        stroke: "var(--plot-background)",
        title: (one: Point) =>
          [
            one.title,
            `${x.title}: ${format(x.unit, one.x)}`,
            `${y.title}: ${format(y.unit, one.y)}`,
            ...(size === undefined ? [] : [`${size.title}: ${format(size.unit, one.size)}`])
          ].join("\n"),
        className: "points"
      })
    ]
  })
  const [scaleX, scaleY] = [drawn.scale("x")!, drawn.scale("y")!]
  const labels = points.map((one, i) => ({
    x: scaleX.apply(across.at(one.x)) as number,
    y: scaleY.apply(upwards.at(one.y)) as number,
    r: Math.max(5 + 2.5 * behind(one, i), radius(one)),
    width: one.title.length * charWidth
  }))
  const frame = {
    x: marginLeft,
    y: marginTop,
    width: width - marginLeft - marginRight,
    height: height - marginTop - marginBottom
  }
  const places = place(labels, frame)
  const group = s("g", { class: "labels", "font-size": 11.5, "text-anchor": "start" })
  points.forEach((one, i) => {
    const [label, place] = [labels[i]!, places[i]!]
    if (place.far) {
      const end = place.x > label.x
        ? place.x - 2
        : place.x + label.width < label.x
        ? place.x + label.width + 2
        : label.x
      const up = place.x > label.x || place.x + label.width < label.x
        ? place.y
        : place.y + (place.y < label.y ? 7 : -7)
      group.append(
        s("line", { x1: label.x, y1: label.y, x2: end, y2: up, stroke: colorOf(one.id), "stroke-opacity": 0.6 })
      )
    }
    group.append(
      s("text", { x: place.x, y: place.y, dy: "0.35em", fill: colorOf(one.id), "font-weight": 600 }, one.title)
    )
  })
  // Beside the name of the axis, where there is room for both.
  if (size !== undefined && largest > 0 && width >= 640) {
    const note = `the largest disc: ${format(size.unit, largest)} ${size.title.toLowerCase()}`
    group.append(
      s("text", { x: width - marginRight, y: 12, "text-anchor": "end", "font-size": 11, fill: "currentColor" }, note)
    )
  }
  drawn.append(group)
  return drawn as SVGSVGElement
}
