/**
 * What diagrams are made of: text, boxes and arrows as SVG, light and dark, without a ground of their own. The same
 * diagram always gives the same text, so that a test can compare it with the committed file.
 */

/** A repository shows a picture of this width as it is, and a wider one smaller. */
export const width = 830
export const lineHeight = 18

/** What a colour says. */
export type Tone = "plain" | "good" | "bad" | "fence"

interface Shade {
  readonly fill: string
  readonly stroke: string
  readonly text: string
}

interface Palette extends Readonly<Record<Tone, Shade>> {
  readonly text: string
  readonly muted: string
  readonly line: string
}

const light: Palette = {
  text: "#1f2328",
  muted: "#59636e",
  line: "#818b98",
  plain: { fill: "#f1f3f6", stroke: "#b9c1cb", text: "#1f2328" },
  good: { fill: "#e2f4e7", stroke: "#2f8a4c", text: "#14642f" },
  bad: { fill: "#fde9e7", stroke: "#cf3f33", text: "#a3261b" },
  fence: { fill: "#fff2cc", stroke: "#b98900", text: "#6b4f00" }
}

const dark: Palette = {
  text: "#e6edf3",
  muted: "#9aa4af",
  line: "#768390",
  plain: { fill: "#212830", stroke: "#4b5560", text: "#e6edf3" },
  good: { fill: "#12331f", stroke: "#3fa45f", text: "#7fdc9c" },
  bad: { fill: "#421b1a", stroke: "#e5645a", text: "#ffa198" },
  fence: { fill: "#382c0b", stroke: "#c99a1a", text: "#f1cf75" }
}

const rules = ({ line, muted, text, ...tones }: Palette): string =>
  [
    `text{fill:${text}}`,
    `.muted{fill:${muted}}`,
    `.quiet{stroke:${line}}`,
    ...Object.entries(tones).map(([tone, { fill, stroke, text }]) =>
      `.${tone}-text{fill:${text}}.${tone}-box{fill:${fill};stroke:${stroke}}.${tone}-line{stroke:${
        tone === "plain" ? line : stroke
      }}`
    )
  ].join("\n")

const style = `text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.strong{font-weight:600}
.title{font-size:17px;font-weight:600}
path{fill:none;stroke-width:1.5}
${rules(light)}
@media (prefers-color-scheme:dark){
${rules(dark)}
}`

const escaped: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" }

const escape = (text: string): string => text.replaceAll(/[&<>]/g, (char) => escaped[char]!)

// Of DejaVu Sans, the widest of the fonts above.
const widthOf = (text: string): number =>
  [...text].reduce((sum, char) => {
    if (/[mwMW—]/.test(char)) return sum + 13
    if (/[A-Z]/.test(char)) return sum + 10
    return sum + (/[ .,:;'|!()fijlrt]/.test(char) ? 5 : 8.8)
  }, 0)

/** The lines of a text that may be so wide. A line break in the text stays one. */
export const wrap = (text: string, most: number): ReadonlyArray<string> =>
  text.split("\n").flatMap((line) => {
    const lines: Array<string> = []
    for (const word of line.split(" ")) {
      const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`
      if (lines.length === 0 || widthOf(longer) > most) lines.push(word)
      else lines[lines.length - 1] = longer
    }
    return lines
  })

export interface TextStyle {
  readonly anchor?: "start" | "middle" | "end"
  readonly tone?: Tone
  readonly look?: "strong" | "title" | "muted"
}

/** Lines of text; `y` is the middle of the first. */
export const text = (x: number, y: number, lines: ReadonlyArray<string>, style: TextStyle = {}): string => {
  const { anchor = "start", look = "", tone } = style
  const names = [look, ...tone === undefined || tone === "plain" ? [] : [`${tone}-text`]].filter((name) => name !== "")
  const attributes = [
    ...anchor === "start" ? [] : [` text-anchor="${anchor}"`],
    ...names.length === 0 ? [] : [` class="${names.join(" ")}"`]
  ].join("")
  return lines.map((line, i) => `<text x="${x}" y="${y + 5 + lineHeight * i}"${attributes}>${escape(line)}</text>`)
    .join("\n")
}

/** A box with lines of text in its middle. */
export const box = (
  area: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
  lines: ReadonlyArray<string>,
  style: TextStyle = {}
): string => {
  const { height, width, x, y } = area
  const { anchor = "middle", tone = "plain" } = style
  const at = anchor === "middle" ? x + width / 2 : x + 10
  return `<rect class="${tone}-box" x="${x}" y="${y}" width="${width}" height="${height}" rx="5"/>\n` +
    text(at, y + height / 2 - lineHeight * (lines.length - 1) / 2, lines, { ...style, anchor })
}

export interface Point {
  readonly x: number
  readonly y: number
}

/** A straight arrow, upright or level. A cross says that it was refused. */
export const arrow = (
  from: Point,
  to: Point,
  tone: Tone = "plain",
  form: "call" | "reply" | "refused" = "call"
): string => {
  const [dx, dy] = [Math.sign(to.x - from.x), Math.sign(to.y - from.y)]
  const wing = (side: 1 | -1): string => `${to.x - 8 * dx + 4.5 * side * dy} ${to.y - 8 * dy + 4.5 * side * dx}`
  const shaft = `M${from.x} ${from.y}L${to.x} ${to.y}`
  const dashes = form === "reply" ? " stroke-dasharray=\"5 4\"" : ""
  const [x, y] = [from.x + (to.x - from.x) * 0.4, from.y + (to.y - from.y) * 0.4]
  const cross = form === "refused" ? `M${x - 6} ${y - 6}L${x + 6} ${y + 6}M${x - 6} ${y + 6}L${x + 6} ${y - 6}` : ""
  return `<path class="${tone}-line" d="${shaft}"${dashes}/>\n` +
    `<path class="${tone}-line" d="M${wing(1)}L${to.x} ${to.y}L${wing(-1)}${cross}"/>`
}

/** A line that says nothing by itself: a life line, a moment. */
export const line = (from: Point, to: Point, dashed: boolean): string =>
  `<path class="quiet" d="M${from.x} ${from.y}L${to.x} ${to.y}"${dashed ? " stroke-dasharray=\"2 5\"" : ""}/>`

/** A whole picture. The description says in words what it shows. */
export const picture = (title: string, description: string, height: number, parts: ReadonlyArray<string>): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
<title id="title">${escape(title)}</title>
<desc id="description">${escape(description)}</desc>
<style>
${style}
</style>
${parts.join("\n")}
</svg>
`
