/**
 * The pictures of the documentation, from a report: the page is opened, and what it draws is taken as SVG that stands
 * by itself.
 *
 *   npx node bench/laboratory/pictures.ts bench/results/stampede-....json [docs/stampedes]
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { Browser } from "playwright-core"
import { launch } from "../../test/support/browser.ts"
import type { Report } from "../stampede/report.ts"
import { buildPage } from "./build.ts"

interface Picture {
  readonly file: string
  readonly scenario: string
  /** The figure of the page that is taken. */
  readonly figure: string
  readonly title: string
  /** Where one is so much worse than the others that they would not be seen beside it. */
  readonly own?: boolean
}

const pictures: ReadonlyArray<Picture> = [
  {
    file: "around-expiry",
    scenario: "hot",
    figure: "around",
    title: "Loads and latency around the expiry of a hot key"
  },
  {
    file: "trade-off",
    scenario: "hot",
    figure: "trade-off",
    title: "Loads, requests that waited, and what was served past its lifetime"
  },
  { file: "distribution", scenario: "hot", figure: "distribution", title: "How many loads an expiry makes" },
  {
    file: "invalidated",
    scenario: "invalidated",
    figure: "around",
    title: "Loads and latency around the invalidation of a hot key"
  },
  {
    file: "limited",
    scenario: "limited",
    figure: "around",
    own: true,
    title: "Loads and latency around an expiry, of an origin that slows down"
  }
]

/**
 * Runs in the page, which is why it is a text. What styles say is written into the elements; the ground is drawn, so that
 * it is read on a page that is dark as well; several charts stand beside each other.
 */
const taken = (figure: string, title: string): string => `
(() => {
  const ns = "http://www.w3.org/2000/svg"
  const make = (tag, attributes) => {
    const element = document.createElementNS(ns, tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    return element
  }
  const told = ["fill", "stroke", "fill-opacity", "stroke-opacity", "stroke-width", "stroke-dasharray", "font-size",
    "font-weight", "font-variant", "text-anchor", "opacity"]
  const usual = { "fill-opacity": "1", "stroke-opacity": "1", "stroke": "none", "stroke-dasharray": "none",
    "font-weight": "400", "font-variant": "normal", "opacity": "1" }
  const standing = (svg) => {
    const copy = svg.cloneNode(true)
    const [from, to] = [svg, copy].map((one) => [one, ...one.querySelectorAll("*")])
    from.forEach((element, i) => {
      const style = getComputedStyle(element)
      for (const name of told) {
        const value = style.getPropertyValue(name)
        const above = i === 0 ? usual[name] : getComputedStyle(element.parentNode).getPropertyValue(name)
        // Opacity alone is not handed down.
        const known = name === "opacity" ? usual[name] : above
        if (value === known || (name.startsWith("stroke-") && style.stroke === "none" && element.localName !== "g")) to[i].removeAttribute(name)
        else to[i].setAttribute(name, value)
      }
      to[i].removeAttribute("class")
      to[i].removeAttribute("style")
    })
    for (const gone of copy.querySelectorAll('style, rect[height="0"]')) gone.remove()
    for (const rect of copy.querySelectorAll("rect")) {
      for (const name of ["x", "y", "width", "height"]) rect.setAttribute(name, +Number(rect.getAttribute(name)).toFixed(2))
    }
    copy.removeAttribute("font-family")
    return copy
  }
  const charts = [...document.querySelectorAll("#${figure} .chart svg")]
  const [margin, gap] = [8, 16]
  const sizes = charts.map((one) => one.viewBox.baseVal)
  const width = sizes.reduce((sum, one) => sum + one.width, 0) + gap * (charts.length - 1) + 2 * margin
  const height = Math.max(...sizes.map((one) => one.height)) + 2 * margin
  const all = make("svg", { xmlns: ns, width, height, viewBox: [0, 0, width, height].join(" "), role: "img",
    "font-family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" })
  const title = make("title", {})
  title.textContent = ${JSON.stringify(title)}
  all.append(title, make("rect", { width, height, fill: "#ffffff", rx: 6 }))
  let x = margin
  charts.forEach((chart, i) => {
    const copy = standing(chart)
    copy.setAttribute("x", x)
    copy.setAttribute("y", margin)
    // Without it what stands out of a chart is cut off.
    copy.setAttribute("overflow", "visible")
    all.append(copy)
    x += sizes[i].width + gap
  })
  return new XMLSerializer().serializeToString(all)
})()`

/** Draws the pictures that the report has the scenarios for, into a folder; gives their names. */
export const draw = async (report: Report, browser: Browser, target: string): Promise<ReadonlyArray<string>> => {
  const measured = pictures.filter(({ scenario }) =>
    report.results.some((one) => one.world === "virtual" && one.scenario.id === scenario)
  )
  const folder = mkdtempSync(join(tmpdir(), "effect-cache-algebra-pictures-"))
  // So wide that both panels stand beside each other, and no wider than a page of documentation.
  const page = await browser.newPage({ viewport: { width: 960, height: 800 }, colorScheme: "light" })
  try {
    const html = join(folder, "page.html")
    writeFileSync(html, await buildPage(report))
    mkdirSync(target, { recursive: true })
    for (const { figure, file, own, scenario, title } of measured) {
      await page.goto("about:blank")
      await page.goto(`${pathToFileURL(html).href}#world=virtual&scenario=${scenario}${own ? "&own=1" : ""}`)
      await page.waitForSelector(`#${figure} .chart svg`)
      writeFileSync(join(target, `${file}.svg`), `${await page.evaluate<string>(taken(figure, title))}\n`)
    }
  } finally {
    await page.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return measured.map(({ file }) => file)
}

if (import.meta.main) {
  const [file, target = fileURLToPath(new URL("../../docs/stampedes", import.meta.url))] = process.argv.slice(2)
  if (file === undefined) {
    throw new Error("which report? `npx node bench/laboratory/pictures.ts bench/results/....json`")
  }
  const browser = await launch()
  try {
    const drawn = await draw(JSON.parse(readFileSync(file, "utf8")) as Report, browser, target)
    for (const { file, scenario } of pictures) {
      console.log(drawn.includes(file) ? `${file}: drawn` : `${file}: the report has no scenario "${scenario}"`)
    }
  } finally {
    await browser.close()
  }
}
