/**
 * A story as one page that needs nothing else: a lane for each process, the
 * origin and the servers, time downwards, and a box for each thing that happened,
 * to step through. The load that the violation is about stands out in all lanes.
 */
import { settingOf, type Story, textOf } from "./explain.ts"
import type { Kind, Line } from "./watch.ts"
import { timeOf } from "./words.ts"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")

/** The page is refused whatever is not in it, also by a mistake. */
const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"

// -----------------------------------------------------------------------------
// the picture
// -----------------------------------------------------------------------------

const laneWidth = 216
const boxWidth = 184
const timeWidth = 76
const headHeight = 40
const lineHeight = 16
const between = 12
// Letters of a line in a box, on average.
const lettersOfLine = 27

const wrap = (text: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < lettersOfLine) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** Processes, then the origin, then servers; the world, if anything happens to it, first. */
export const lanesOf = ({ lines, plan }: Story): ReadonlyArray<string> => {
  const processes = Array.from({ length: plan.processes }, (_, i) => `P${i + 1}`)
  const named = new Set(lines.map(({ where }) => where))
  const others = [...named].filter((name) => !processes.includes(name) && name !== "origin" && name !== "world").sort()
  return [...named.has("world") ? ["world"] : [], ...processes, ...named.has("origin") ? ["origin"] : [], ...others]
}

interface Box {
  readonly line: Line
  readonly text: ReadonlyArray<string>
  readonly lane: number
  readonly x: number
  readonly y: number
  readonly height: number
}

const boxesOf = (story: Story, lanes: ReadonlyArray<string>): ReadonlyArray<Box> => {
  let y = headHeight + between
  return story.lines.map((line) => {
    const text = wrap(line.what)
    const lane = lanes.indexOf(line.where)
    const height = text.length * lineHeight + 12
    const box = { line, text, lane, x: timeWidth + lane * laneWidth + (laneWidth - boxWidth) / 2, y, height }
    y += height + between
    return box
  })
}

const kindWords: Partial<Record<Kind, string>> = { fault: "fault", failed: "fault", call: "change", returned: "change" }

const classOf = ({ loads }: Story, { breaks, kind, load, where }: Line): string =>
  [
    "event",
    kindWords[kind] ?? (where === "origin" && load === undefined ? "change" : "plain"),
    ...load !== undefined && loads.includes(load) ? ["about"] : [],
    ...breaks === undefined ? [] : ["wrong"]
  ].join(" ")

const boxOf = (story: Story, { height, line, text, x, y }: Box, i: number): string => {
  const words = text.map((words, n) => `<tspan x="${x + 10}" y="${y + 18 + n * lineHeight}">${escape(words)}</tspan>`)
    .join("")
  return `<g class="${classOf(story, line)}" data-event="${i}"><title>${
    escape(`${timeOf(line.at)}, ${line.where}`)
  }</title>` +
    `<text class="time" x="${timeWidth - 8}" y="${y + 18}">${timeOf(line.at)}</text>` +
    `<rect x="${x}" y="${y}" width="${boxWidth}" height="${height}" rx="5"/><text>${words}</text></g>`
}

/** From what led to something, to it: out of the side of the one box and into the other. */
const arrowOf = (story: Story, boxes: ReadonlyMap<Line, Box>, to: Box, i: number): string => {
  const from = to.line.from === undefined ? undefined : boxes.get(to.line.from)
  if (from === undefined || from.lane === to.lane) return ""
  const isRight = to.lane > from.lane
  const [x1, x2] = isRight ? [from.x + boxWidth, to.x - 4] : [from.x, to.x + boxWidth + 4]
  const [y1, y2] = [from.y + from.height / 2, to.y + Math.min(to.height, 24) / 2]
  const bend = (isRight ? 1 : -1) * (laneWidth - boxWidth) * 0.8
  const { load } = to.line
  const about = load !== undefined && story.loads.includes(load) ? " about" : ""
  return `<path class="arrow${about}" data-event="${i}" marker-end="url(#head${about === "" ? "" : "-about"})" ` +
    `d="M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"/>`
}

/** While a read, a load or an invalidation is under way. Of several in a lane each has a place of its own. */
const spansOf = (story: Story, boxes: ReadonlyMap<Line, Box>): ReadonlyArray<string> => {
  const taken: Array<{ readonly lane: number; readonly place: number; readonly until: number }> = []
  const spans = [...boxes.values()].flatMap((to) => {
    const from = to.line.since === undefined ? undefined : boxes.get(to.line.since)
    return from === undefined ? [] : [{ from, to }]
  }).sort((a, b) => a.from.y - b.from.y)
  return spans.map(({ from, to }) => {
    let place = 0
    const { lane, x } = from
    while (taken.some((one) => one.lane === lane && one.place === place && one.until >= from.y)) place++
    taken.push({ lane, place, until: to.y })
    const { load } = to.line
    const about = load !== undefined && to.line.kind === "load" && story.loads.includes(load) ? " about" : ""
    const kind = to.line.kind === "returned" || to.line.kind === "failed" ? " change" : ""
    return `<line class="span${about}${kind}" data-event="${story.lines.indexOf(from.line)}" ` +
      `x1="${x - 3 - 4 * place}" x2="${x - 3 - 4 * place}" y1="${from.y + 3}" y2="${to.y + to.height - 3}"/>`
  })
}

const pictureOf = (story: Story): string => {
  const lanes = lanesOf(story)
  const boxes = boxesOf(story, lanes)
  const byLine = new Map(boxes.map((box) => [box.line, box]))
  const last = boxes.at(-1)
  const [width, height] = [
    timeWidth + lanes.length * laneWidth,
    (last === undefined ? headHeight : last.y + last.height) + 20
  ]
  const middle = (lane: number) => timeWidth + (lane + 0.5) * laneWidth
  const head = (id: string) =>
    `<marker id="${id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">` +
    `<path class="${id}" d="M0 0L8 4L0 8z"/></marker>`
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="What happened, by place and time">
<defs>${head("head")}${head("head-about")}</defs>
${
    lanes.map((_, i) => `<line class="lane" x1="${middle(i)}" x2="${middle(i)}" y1="${headHeight}" y2="${height}"/>`)
      .join("\n")
  }
${lanes.map((name, i) => `<text class="name" x="${middle(i)}" y="26">${escape(name)}</text>`).join("\n")}
${spansOf(story, byLine).join("\n")}
${boxes.map((box, i) => boxOf(story, box, i)).join("\n")}
${boxes.map((box, i) => arrowOf(story, byLine, box, i)).join("\n")}
</svg>`
}

// -----------------------------------------------------------------------------
// the page
// -----------------------------------------------------------------------------

const style = `
:root { color-scheme: light dark; --ground: #fbfbfa; --ink: #1d1f23; --faint: #6a6f78; --line: #d5d8dc; --box: #ffffff;
  --edge: #9aa1ab; --change: #2563b8; --fault: #7c3f9b; --about: #b26a00; --about-box: #fff3da; --wrong: #c21f2c; --wrong-box: #fde4e4 }
@media (prefers-color-scheme: dark) { :root { --ground: #16181c; --ink: #e6e8eb; --faint: #9aa1ab; --line: #33373e; --box: #20242a;
  --edge: #69717d; --change: #6ea8f2; --fault: #c990e4; --about: #f0b24a; --about-box: #3a2e14; --wrong: #ff7b83; --wrong-box: #45191d } }
* { box-sizing: border-box }
html { scroll-padding: 60px 0 190px }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif }
header, .picture, details { padding: 0 20px; max-width: 100% }
h1 { font-size: 20px; margin: 18px 0 4px; color: var(--wrong) }
header p { margin: 4px 0; max-width: 78ch }
header .setting { color: var(--faint); font-size: 14px }
.picture { overflow-x: auto }
svg { display: block; margin: 8px 0 24px; font: 12.5px/1.3 system-ui, sans-serif }
svg text { fill: var(--ink) }
svg .name { text-anchor: middle; font-weight: 600; font-size: 15px }
svg .time { text-anchor: end; fill: var(--faint) }
svg .lane { stroke: var(--line); stroke-width: 1.5 }
svg .span { stroke: var(--edge); stroke-width: 3; opacity: 0.6 }
svg .span.change { stroke: var(--change) }
svg .span.about { stroke: var(--about); opacity: 1 }
svg .event rect { cursor: pointer }
svg text, .arrow, .span { pointer-events: none }
svg .event rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.2 }
svg .change rect { stroke: var(--change) }
svg .fault rect { stroke: var(--fault); stroke-dasharray: 5 3 }
svg .about rect { fill: var(--about-box); stroke: var(--about); stroke-width: 2 }
svg .wrong rect { fill: var(--wrong-box); stroke: var(--wrong); stroke-width: 2.5 }
svg .arrow { fill: none; stroke: var(--faint); stroke-width: 1.3 }
svg .arrow.about { stroke: var(--about); stroke-width: 2 }
.head { fill: var(--faint) }
.head-about { fill: var(--about) }
svg .later { opacity: 0.22 }
svg .arrow.later, svg .span.later { opacity: 0 }
svg .current rect { stroke-width: 3.5 }
footer { position: sticky; bottom: 0; background: var(--ground); border-top: 1px solid var(--line); padding: 10px 20px 14px }
footer div { display: flex; gap: 8px; align-items: center; flex-wrap: wrap }
button { font: inherit; padding: 4px 12px; border: 1px solid var(--edge); border-radius: 5px; background: var(--box); color: var(--ink) }
button:disabled { opacity: 0.4 }
#counter { color: var(--faint); min-width: 5em; font-variant-numeric: tabular-nums }
#words { margin: 8px 0 0; min-height: 2.9em; max-width: 90ch }
#words.wrong { color: var(--wrong) }
details { margin: 12px 0 }
pre { overflow-x: auto; font-size: 13px }
`

/** Nothing in a script may look like its end, or like a comment of HTML. */
const inScript = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c")

// Runs in the browser.
const script = `
const counted = document.querySelector("#counter"), words = document.querySelector("#words")
const button = (name) => document.querySelector("#" + name)
const all = [...document.querySelectorAll("svg [data-event]")]
const last = told.length - 1
let current = 0
const show = (i, moves = true) => {
  current = Math.max(0, Math.min(last, i))
  for (const one of all) {
    const event = Number(one.dataset.event)
    one.classList.toggle("later", event > current)
    one.classList.toggle("current", event === current && one.classList.contains("event"))
  }
  counted.textContent = (current + 1) + " of " + told.length
  words.textContent = told[current].words
  words.classList.toggle("wrong", told[current].wrong)
  for (const name of ["first", "previous"]) button(name).disabled = current === 0
  for (const name of ["next", "last"]) button(name).disabled = current === last
  if (moves) document.querySelector(".current").scrollIntoView({ block: "nearest", inline: "nearest" })
  history.replaceState(null, "", "#" + (current + 1))
}
const moves = { first: () => 0, previous: () => current - 1, next: () => current + 1, last: () => last }
const keys = { ArrowRight: "next", ArrowDown: "next", ArrowLeft: "previous", ArrowUp: "previous", Home: "first", End: "last" }
for (const [name, to] of Object.entries(moves)) button(name).addEventListener("click", () => show(to()))
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return
  event.preventDefault()
  show(moves[keys[event.key]]())
})
document.querySelector("svg").addEventListener("click", (event) => {
  const one = event.target.closest(".event")
  if (one !== null) show(Number(one.dataset.event))
})
const asked = Number(location.hash.slice(1)) || 1
show(asked - 1, asked > 1)
`

/** What is said of each event beneath the picture. */
const toldOf = ({ guarantee, lines, why }: Story) =>
  lines.map(({ at, breaks, what, where }) => ({
    words: `${timeOf(at)}: ${where} ${what}.${breaks === guarantee ? ` ${why}` : ""}`,
    wrong: breaks !== undefined
  }))

export const pageOf = (story: Story): string => {
  const { guarantee, plan, promise, why } = story
  const title = `${guarantee} is broken`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p>${escape(why)}</p>
<p class="setting">${escape(promise)}</p>
<p class="setting">${settingOf(story).map(escape).join("<br>")}</p>
</header>
<div class="picture">
${pictureOf(story)}
</div>
<details><summary>As text</summary><pre>${escape(textOf(story))}</pre></details>
<details><summary>The plan</summary><pre>${escape(JSON.stringify(plan, undefined, 2))}</pre></details>
<footer>
<div>
<button id="first">First</button><button id="previous">Previous</button><button id="next">Next</button><button id="last">Last</button>
<span id="counter"></span>
</div>
<p id="words" aria-live="polite"></p>
</footer>
<script>
const told = ${inScript(toldOf(story))}
${script}</script>
</body>
</html>
`
}
