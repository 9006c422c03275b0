/**
 * A catalogue as a picture: what changes on the left, cached values on the right, a curve for each dependency.
 */
import type { Catalogue } from "../src/Catalogue.ts"
import {
  type Cause,
  type Change,
  greatest,
  kept,
  oneLine,
  type Row,
  wellFormed,
  wordsOf
} from "../src/internal/catalogue.ts"
import { titleOf } from "../src/internal/keys.ts"

const lineHeight = 20
const headHeight = 26
const gap = 14
const widest = 90
const margin = 24
const between = 300
const top = 52
const longestText = 44

// Not allowed in XML at all, however they are written.
const forbidden = /[\ufffe\uffff]/g
const entities: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt", "\"": "quot", "'": "apos" }

const xml = (text: string): string =>
  oneLine(wellFormed(text)).replaceAll(forbidden, "\ufffd").replaceAll(/[&<>"']/g, (char) => `&${entities[char]};`)

const isWide = (char: string): boolean => char.codePointAt(0)! >= 0x1100

// Of a font in which all letters are equally wide, of 12 pixels.
const widthOf = (text: string): number => [...text].reduce((sum, char) => sum + (isWide(char) ? 14 : 7.3), 0)

const short = (text: string): string => {
  const chars = [...text]
  return chars.length <= longestText ? text : `${chars.slice(0, longestText - 1).join("")}…`
}

// Of middling lightness, so that they show on white and on black.
const colours = [
  "#4583c4",
  "#d9534f",
  "#4d9a4d",
  "#9a6fc0",
  "#d98a1f",
  "#1f9aa8",
  "#c25d97",
  "#8a8a2c",
  "#2f8f78",
  "#8d6be0"
]

interface Port {
  readonly text: string
  readonly y: number
}

interface Source {
  readonly name: string
  readonly colour: string
  /** Where the curves begin that stand for any field. */
  readonly y: number
  readonly height: number
  readonly ports: ReadonlyMap<string, Port>
}

/** Which box of the left a cause is in, and which of its lines. An empty line is the heading. */
interface Place {
  readonly box: string
  readonly line: string
}

const placesOf = (cause: Cause): ReadonlyArray<Place> => {
  switch (cause._tag) {
    case "Entity": {
      const box = `entity ${cause.entity}`
      if (cause.fields === undefined) return [{ box, line: "" }]
      const names = [...new Set([...cause.fields, ...cause.partition === undefined ? [] : [cause.partition]])]
      return names.length === 0
        ? [{ box, line: "!members" }]
        : names.map((name) => ({ box, line: `#${name}` }))
    }
    case "Tag":
      return [{ box: "tags", line: cause.name === undefined ? `!${cause.from}` : `#${cause.name}` }]
    case "Version":
      return [{ box: "versions", line: `#${cause.name}` }]
    case "Tick":
      return []
  }
}

const textOf = ({ box, line }: Place): string => {
  if (line.startsWith("#")) return line.slice(1)
  return box === "tags" ? `computed from the ${line.slice(1)}` : "coming or going"
}

const headingOf = (box: string): string => box.startsWith("entity ") ? box.slice("entity ".length) : box

/** The boxes of the left with the lines that something depends on: entities, tags, versions. */
const linesOf = (
  rows: ReadonlyArray<Row>,
  changes: ReadonlyArray<Change>
): ReadonlyMap<string, ReadonlyArray<Place>> => {
  const places = rows.flatMap((row) => reasonsOf(row).map(({ place }) => place))
  // The order of the changes is that of the entities' declarations.
  const ordered = changes.flatMap(({ entity, kind, names }): ReadonlyArray<Place> => {
    if (entity === undefined) return []
    const inBox = (line: string): Place => ({ box: `entity ${entity}`, line })
    return kind === "field" ? names.map((name) => inBox(`#${name}`)) : kind === "membership" ? [inBox("!members")] : []
  })
  const used = new Set(places.map(({ box, line }) => `${box}\n${line}`))
  const shown = [...ordered.filter(({ box, line }) => used.has(`${box}\n${line}`)), ...places]
  const boxes = [...new Set([...ordered, ...places].map(({ box }) => box))].toSorted((a, b) => rankOf(a) - rankOf(b))
  return new Map(boxes.flatMap((box) => {
    const all = shown.filter((place) => place.box === box)
    const lines = new Map(all.filter(({ line }) => line !== "").map((place) => [place.line, place]))
    return all.length === 0 ? [] : [[box, [...lines.values()]] as const]
  }))
}

const rankOf = (box: string): number => ["tags", "versions"].indexOf(box)

const colourOf = (box: string, i: number): string =>
  box === "tags" ? "#a5714a" : box === "versions" ? "#7d8590" : colours[i % colours.length]!

const heightOfBox = (lines: number): number => headHeight + lineHeight * lines + (lines === 0 ? 0 : 5)

const stacked = (heights: ReadonlyArray<number>, space = gap): number =>
  heights.reduce((sum, height) => sum + height + space, -space)

/** The space between boxes that makes one column as high as the other, if it can. */
const spread = (heights: ReadonlyArray<number>, height: number): number =>
  heights.length < 2 ? gap : Math.min(widest, gap + Math.max(0, height - stacked(heights)) / (heights.length - 1))

const sourcesOf = (lines: ReadonlyMap<string, ReadonlyArray<Place>>, height: number): ReadonlyMap<string, Source> => {
  const heights = [...lines.values()].map((all) => heightOfBox(all.length))
  const space = spread(heights, height)
  let start = top + (height - stacked(heights, space)) / 2
  return new Map([...lines].map(([box, all], i) => {
    const y = start
    start += heights[i]! + space
    const ports = all.map((place, j) =>
      [place.line, { text: textOf(place), y: y + headHeight + lineHeight * (j + 0.5) }] as const
    )
    return [box, {
      name: headingOf(box),
      colour: colourOf(box, i),
      y: y + headHeight / 2,
      height: heights[i]!,
      ports: new Map(ports)
    }]
  }))
}

interface Edge {
  readonly causes: ReadonlyArray<Cause>
  readonly source: Source
  readonly y: number
  readonly from: string
}

// That a row comes or goes is counted by the other curves of the same rows.
const isTold = (causes: ReadonlyArray<Cause>, place: Place, cause: Cause): boolean =>
  cause.failure && cause._tag === "Entity" && place.line === "!members" &&
  causes.some((other) =>
    !other.failure && other._tag === "Entity" && other.entity === cause.entity && other.scope === cause.scope &&
    other.from === cause.from
  )

/** The places that a value depends on, each with why. */
const reasonsOf = (
  { causes }: Row
): ReadonlyArray<{ readonly place: Place; readonly causes: ReadonlyArray<Cause> }> => {
  const all = causes.flatMap((cause) =>
    placesOf(cause).flatMap((place) => isTold(causes, place, cause) ? [] : [{ place, cause }])
  )
  const byPlace = new Map<string, { readonly place: Place; readonly causes: Array<Cause> }>()
  for (const { cause, place } of all) {
    const name = `${place.box}\n${place.line}`
    const known = byPlace.get(name)
    if (known === undefined) byPlace.set(name, { place, causes: [cause] })
    else known.causes.push(cause)
  }
  return [...byPlace.values()]
}

const edgesOf = (row: Row, sources: ReadonlyMap<string, Source>): ReadonlyArray<Edge> =>
  reasonsOf(row).map(({ causes, place: { box, line } }) => {
    const source = sources.get(box)!
    const port = source.ports.get(line)
    const from = port === undefined ? source.name : `${source.name}: ${port.text}`
    return { causes, source, y: port?.y ?? source.y, from }
  }).toSorted((a, b) => a.y - b.y)

interface Target {
  readonly row: Row
  readonly edges: ReadonlyArray<Edge>
  readonly lines: ReadonlyArray<string>
  readonly height: number
}

const linesBelow = (row: Row): ReadonlyArray<string> => [
  ...(row.lifetime.fresh === Infinity ? [] : [kept(row.lifetime)]),
  ...(row.failures === undefined ? [] : [`failures: ${kept(row.failures.lifetime)}`]),
  ...row.causes.flatMap((cause) => cause._tag === "Tick" ? [wordsOf(cause)] : [])
]

const heightOfTarget = (row: Row): number => {
  const edges = reasonsOf(row).length
  return Math.max(headHeight + 17 * linesBelow(row).length + 4, edges * 6 + 12)
}

// What is beside what it depends on crosses little.
const middle = ({ edges }: Target): number =>
  edges.length === 0 ? Infinity : edges.reduce((sum, { y }) => sum + y, 0) / edges.length

const px = (n: number): string => String(Math.round(n * 10) / 10)

const text = (className: string, x: number, y: number, content: string): string =>
  `<text class="${className}" x="${px(x)}" y="${px(y)}">${xml(short(content))}</text>`

const box = (x: number, y: number, width: number, height: number, colour?: string): string =>
  `<rect class="cat-box" x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" rx="6"${
    colour === undefined ? "" : ` style="stroke:${colour}"`
  }/>`

const drawSource = ({ colour, height, name, ports, y }: Source, x: number, width: number): string => {
  const start = y - headHeight / 2
  return [
    box(x, start, width, height, colour),
    `<circle cx="${px(x + 14)}" cy="${px(start + 13)}" r="4.5" fill="${colour}"/>`,
    text("cat-name", x + 25, start + 17.5, name),
    ...[...ports.values()].map((port) => text("cat-line", x + 25, port.y + 4, port.text))
  ].join("\n")
}

const thickness = (cause: Cause): number =>
  cause._tag === "Entity" ? { row: 1.2, partition: 2, all: 3.2 }[cause.scope] : 1.6

const drawEdge = (
  edge: Edge,
  from: readonly [number, number],
  to: readonly [number, number],
  row: Row
) => {
  const { causes, source } = edge
  const [[x1, y1], [x2, y2]] = [from, to]
  const bend = (x2 - x1) * 0.45
  const path = `M${px(x1)} ${px(y1)}C${px(x1 + bend)} ${px(y1)} ${px(x2 - bend)} ${px(y2)} ${px(x2)} ${px(y2)}`
  const surely = causes.some(({ always, severity }) => severity === "Dead" && always)
  const dashes = surely ? "" : " stroke-dasharray=\"6 4\""
  const title = xml(`${edge.from} → ${titleOf(row)}: ${causes.map(wordsOf).join("; ")}`)
  return `<path class="cat-edge" d="${path}" stroke="${source.colour}" stroke-width="${
    greatest(causes.map(thickness))
  }"${dashes}><title>${title}</title></path>`
}

const drawTarget = ({ height, lines, row }: Target, x: number, y: number, width: number): string =>
  [
    box(x, y, width, height),
    text("cat-name", x + 12, y + 18, titleOf(row)),
    ...lines.map((line, i) => text("cat-small", x + 12, y + 35 + 17 * i, line))
  ].join("\n")

const style = `
.cat-box{fill:#fff;stroke:#8a8f98;stroke-width:1.2}
.cat-name,.cat-line,.cat-small,.cat-title,.cat-legend{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328}
.cat-name{font-weight:600}
.cat-small{font-size:11px;fill:#59636e}
.cat-title{font-weight:600;fill:#7d8590}
.cat-legend{font-size:11px;fill:#7d8590}
.cat-edge{fill:none;opacity:.75}
.cat-edge:hover{opacity:1;stroke-width:5}
@media (prefers-color-scheme:dark){.cat-box{fill:#161b22}.cat-name,.cat-line{fill:#e6edf3}.cat-small{fill:#9198a1}}
`

const legend: ReadonlyArray<readonly [width: number, dashes: string, text: string]> = [
  [1.2, "", "rows named by the key or the value"],
  [2, "", "rows of a partition"],
  [3.2, "", "any row"],
  [1.6, " stroke-dasharray=\"6 4\"", "not dead, or not always"]
]

const drawLegend = (y: number): string =>
  [
    ...legend.flatMap(([width, dashes, words], i) => {
      const start = margin + [0, 290, 480, 590][i]!
      return [
        `<path d="M${start} ${px(y - 4)}h28" stroke="#7d8590" fill="none" stroke-width="${width}"${dashes}/>`,
        text("cat-legend", start + 36, y, words)
      ]
    }),
    `<text class="cat-legend" x="${margin}" y="${
      px(y + 20)
    }">From an entity's name: any of its fields. Each line from an entity counts rows that come or go, too.</text>`
  ].join("\n")

const widthOfAll = (least: number, lines: ReadonlyArray<string>): number =>
  Math.max(least, greatest(lines.map((line) => widthOf(short(line)))))

/** Draws a catalogue: a picture that needs nothing else, for light and for dark pages. */
export const draw = ({ changes, rows }: Catalogue): string => {
  const lines = linesOf(rows, changes)
  const rightHeights = rows.map((row) => heightOfTarget(row))
  const height = Math.max(
    0,
    stacked([...lines.values()].map((all) => heightOfBox(all.length))),
    stacked(rightHeights)
  )
  const sources = sourcesOf(lines, height)
  const targets = rows.map((row, i): Target => ({
    row,
    edges: edgesOf(row, sources),
    lines: linesBelow(row),
    height: rightHeights[i]!
  }))
  const leftWidth = 40 + widthOfAll(90, [...lines].flatMap(([box, all]) => [headingOf(box), ...all.map(textOf)]))
  const rightWidth = 24 + widthOfAll(120, targets.flatMap(({ lines, row }) => [titleOf(row), ...lines]))
  const rightX = margin + leftWidth + between
  const width = Math.max(rightX + rightWidth + margin, 820)
  const total = top + height + 64
  const edges: Array<string> = []
  const boxes: Array<string> = []
  const space = spread(rightHeights, height)
  let y = top + (height - stacked(rightHeights, space)) / 2
  for (const target of targets.toSorted((a, b) => middle(a) - middle(b) || 0)) {
    target.edges.forEach((edge, i) => {
      const to = y + target.height * (i + 1) / (target.edges.length + 1)
      edges.push(drawEdge(edge, [margin + leftWidth, edge.y], [rightX, to], target.row))
    })
    boxes.push(drawTarget(target, rightX, y, rightWidth))
    y += target.height + space
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${px(width)} ${px(total)}" width="${px(width)}" height="${
      px(total)
    }" role="img" aria-label="Which cached values depend on what">`,
    `<style>${style}</style>`,
    text("cat-title", margin, 30, "what changes"),
    text("cat-title", rightX, 30, "cached values, kept at most"),
    ...edges,
    ...[...sources.values()].map((source) => drawSource(source, margin, leftWidth)),
    ...boxes,
    drawLegend(total - 34),
    "</svg>"
  ].join("\n")
}
