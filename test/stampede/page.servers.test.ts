/**
 * The page, in a real browser: it draws what was measured, its controls do what they say, what is played with runs, and
 * it asks for nothing that is not in it.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildPage } from "../../bench/laboratory/build.ts"
import { draw } from "../../bench/laboratory/pictures.ts"
import type { Report, Result } from "../../bench/stampede/report.ts"
import { perform, seed } from "../../bench/stampede/run.ts"
import { scenarioOf } from "../../bench/stampede/scenario.ts"
import { launch } from "../support/browser.ts"

const ids = ["uncached", "plain", "lease", "xfetch-published", "xfetch"]
const shown = ids.length - 1

const resultOf = (scenario: string, expiries: number): Result => ({
  world: "virtual",
  scenario: scenarioOf(scenario),
  outcomes: ids.map((strategy) => perform({ scenario, strategy, expiries, seed }))
})

/** Also what would end a script, or begin one, if it were written as it is. */
const nasty = "</script><script>throw 1</script><!-- a library"

const reportOf = (): Report => {
  const results = [resultOf("hot", 4), resultOf("invalidated", 4), resultOf("cold", 12)]
  const [hot] = results
  const wall: Result = {
    ...hot!,
    world: "wall",
    outcomes: [
      ...hot!.outcomes.slice(1, 3).map((outcome) => ({
        ...outcome,
        traffic: { commands: 1.5, bytesIn: 100, bytesOut: 200 }
      })),
      { ...hot!.outcomes[1]!, id: "library", title: nasty, about: "Another.", policy: undefined }
    ]
  }
  const row = (name: string, ratio: number) => ({
    name,
    nanos: 100 * ratio,
    ratio: { low: ratio, median: ratio, high: ratio }
  })
  return {
    startedAt: "2026-01-02T03:04:05.678Z",
    command: "npm run bench -- a test",
    seed,
    machine: "a machine",
    results: [...results, wall],
    tables: [{ title: "hits", note: undefined, reference: "one", rate: false, rows: [row("one", 1), row("two", 2)] }]
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-test-"))
const [withReport, without] = ["measured.html", "live.html"].map((name) => path.join(folder, name)) as [string, string]
let browser: Browser

beforeAll(async () => {
  const pages = [buildPage(reportOf()), buildPage(undefined)]
  fs.writeFileSync(withReport, await pages[0]!)
  fs.writeFileSync(without, await pages[1]!)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

interface Seen {
  readonly page: Page
  /** Whatever should not have been: errors, warnings, and requests. */
  readonly complaints: Array<string>
}

/** Opens the page, and fails afterwards if anything was complained about. */
const visit = async (
  file: string,
  hash: string,
  visiting: (page: Page) => Promise<void>,
  options: Parameters<Browser["newPage"]>[0] = {}
): Promise<void> => {
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, colorScheme: "light", ...options })
  const seen: Seen = { page, complaints: [] }
  page.setDefaultTimeout(15_000)
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text())
  })
  page.on("pageerror", (error) => seen.complaints.push(`${error}`))
  const mine = pathToFileURL(file).href
  await page.route("**/*", (route) => {
    const url = route.request().url()
    if (url.split("#")[0] === mine || url.startsWith("data:")) return route.continue()
    seen.complaints.push(`it asks for ${url}`)
    return route.abort()
  })
  try {
    await page.goto(`${mine}#${hash}`)
    await visiting(page)
    assert.deepStrictEqual(seen.complaints, [])
  } finally {
    await page.close()
  }
}

/** Expressions are texts: what they run in knows the DOM, and this does not. */
const ask = <A>(page: Page, expression: string): Promise<A> => page.evaluate<A>(expression)
/**
 * Until the page says so, looked at in each of its frames. What Playwright has for this evaluates a text in the page, and
 * the page permits nobody to do that.
 */
const until = async (page: Page, expression: string): Promise<void> => {
  const holds = await ask<boolean>(
    page,
    `new Promise((resolve) => {
      const end = performance.now() + 15_000
      const look = () => (${expression}) ? resolve(true) : performance.now() > end ? resolve(false) : requestAnimationFrame(look)
      look()
    })`
  )
  assert.isTrue(holds, expression)
}
const countOf = (selector: string): string => `document.querySelectorAll(${JSON.stringify(selector)}).length`
const noOverflow = (page: Page) =>
  ask<ReadonlyArray<number>>(page, "[document.documentElement.scrollWidth, innerWidth]").then(([wide, room]) =>
    assert.isAtMost(wide!, room!)
  )

const firstColumn = (page: Page): Promise<ReadonlyArray<string | null>> =>
  ask(page, "[...document.querySelectorAll('.figures tbody tr')].map((row) => row.dataset.strategy)")

describe("what was measured", () => {
  it("is drawn, with a mark for each number", () =>
    visit(withReport, "", async (page) => {
      await until(page, `${countOf("#around svg")} === 2`)
      const texts = await page.locator("#around svg").first().textContent()
      for (const title of ["TTL, no protection", "TTL with a lease", "XFetch with a lease"]) {
        assert.include(texts!, title)
      }
      assert.notInclude(texts!, "no cache")
      // 60 bins of each.
      assert.strictEqual(await page.locator("#around .loads rect").count(), 60 * shown)
      assert.strictEqual(await page.locator("#around .mean rect").count(), 60 * shown)
      assert.strictEqual(await page.locator("#trade-off .points circle").count(), shown)
      assert.strictEqual(await page.locator("#trade-off .labels text[font-weight]").count(), shown)
      assert.strictEqual(await page.locator("#distribution .counted rect").count(), 10 * shown)
      assert.strictEqual(await page.locator("#distribution .closed line").count(), 10)
      assert.strictEqual(await page.locator("#ratios svg").count(), 1)
      assert.match((await page.locator("footer").textContent())!, /npm run bench -- a test.*20150808.*a machine/)
      assert.match((await page.locator("details.about").textContent())!, /ttl\(1m\) and xfetch\(1\)/)
    }))

  it("changes with the scenario", () =>
    visit(withReport, "", async (page) => {
      await page.selectOption("#scenario", "invalidated")
      await until(page, "document.querySelector('#around h3').textContent === 'Around an invalidation'")
      await until(page, `${countOf("#around svg")} === 2`)
      assert.include((await page.locator("#around svg").first().textContent())!, "seconds from the invalidation")
      assert.strictEqual(await page.locator("#distribution .closed line").count(), 0, "no closed form speaks of it")
      await page.selectOption("#scenario", "cold")
      await until(page, "document.querySelector('#distribution figcaption').textContent.includes('exact, 0.5')")
    }))

  it("changes with the strategies that are chosen", () =>
    visit(withReport, "", async (page) => {
      await page.check("#strategies input[value=uncached]")
      await until(page, `${countOf("#trade-off .points circle")} === ${shown + 1}`)
      // It keeps nothing, so it has no expiries.
      assert.strictEqual(await page.locator("tr[data-strategy=uncached] td").first().textContent(), "–")
      await page.uncheck("#strategies input[value=plain]")
      await until(page, `${countOf("#trade-off .points circle")} === ${shown}`)
      assert.notInclude((await page.locator("#around svg").first().textContent())!, "TTL, no protection")
      for (const id of ids.filter((id) => id !== "plain")) await page.uncheck(`#strategies input[value=${id}]`)
      assert.strictEqual(await page.locator(".empty").textContent(), "Choose a strategy.")
    }))

  it("changes with the world, and with what it is called", () =>
    visit(withReport, "", async (page) => {
      assert.notInclude((await page.locator(".figures thead").textContent())!, "commands")
      await page.selectOption("#world", "wall")
      await until(page, "document.querySelector('.figures thead').textContent.includes('commands')")
      assert.deepStrictEqual(await firstColumn(page), ["plain", "lease", "library"])
      assert.strictEqual(await page.locator("tr[data-strategy=library] th").textContent(), nasty)
      // It has a colour of its own, although nobody gave it one.
      const colors = await ask<ReadonlyArray<string>>(
        page,
        "[...document.querySelectorAll('.figures .swatch')].map((one) => getComputedStyle(one).backgroundColor)"
      )
      assert.lengthOf(new Set(colors), 3)
    }))

  it("is sorted by a column", () =>
    visit(withReport, "", async (page) => {
      const given = await firstColumn(page)
      await page.click("[data-sort=ideal]")
      await until(page, "document.querySelector('[aria-sort=descending] [data-sort=ideal]') !== null")
      const down = await firstColumn(page)
      assert.strictEqual(down[0], "plain")
      await page.keyboard.press("Enter")
      await until(page, "document.querySelector('[aria-sort=ascending] [data-sort=ideal]') !== null")
      const up = await firstColumn(page)
      assert.strictEqual(up.at(-1), "plain")
      assert.sameMembers([...up], [...given])
    }))

  it("is drawn on other axes, and on scales of its own", () =>
    visit(withReport, "", async (page) => {
      await page.selectOption("#axis-y", "atOnce")
      await until(page, "document.querySelector('#trade-off svg')?.textContent.includes('Most loads at once')")
      await page.selectOption("#axis-size", "none")
      await until(page, "!document.querySelector('#trade-off figcaption').textContent.includes('disc')")
      const height = "Math.max(...[...document.querySelectorAll('#around .loads rect')].slice(-60)"
        + ".map((one) => Number(one.getAttribute('height'))))"
      const shared = await ask<number>(page, height)
      await page.check("#own")
      await until(page, `${height} > 10 * ${shared}`)
    }))

  it("follows the theme", () =>
    visit(withReport, "", async (page) => {
      const ground = "getComputedStyle(document.documentElement).backgroundColor"
      const bar = "getComputedStyle(document.querySelector('#around .loads rect')).fill"
      await until(page, `${countOf("#around svg")} === 2`)
      const [light, lightBar] = [await ask<string>(page, ground), await ask<string>(page, bar)]
      await page.selectOption("#theme", "dark")
      assert.notStrictEqual(await ask<string>(page, ground), light)
      assert.notStrictEqual(await ask<string>(page, bar), lightBar)
      await page.emulateMedia({ colorScheme: "dark" })
      await page.selectOption("#theme", "light")
      assert.strictEqual(await ask<string>(page, ground), light)
    }))

  it("is as it was when its address is opened", () =>
    visit(withReport, "", async (page) => {
      await page.selectOption("#scenario", "cold")
      await page.uncheck("#strategies input[value=lease]")
      const address = page.url()
      await page.goto("about:blank")
      await page.goto(address)
      await until(page, `${countOf("#trade-off .points circle")} === ${shown - 1}`)
      assert.strictEqual(await page.inputValue("#scenario"), "cold")
    }))
})

const figure = (lane: number, name: string): string =>
  `document.querySelector('[data-lane="${lane}"] [data-figure="${name}"]').textContent`
const time = "Number(document.querySelector('#live').dataset.now)"

describe("what is played with", () => {
  it("needs no report", () =>
    visit(without, "", async (page) => {
      assert.strictEqual(await page.locator("[role=tab]").count(), 0)
      await until(page, `${time} > 0`)
    }))

  it("runs: without protection an expiry makes more loads than with a lease", () =>
    visit(without, "", async (page) => {
      await page.focus("#speed")
      await page.keyboard.press("End")
      // The cache is filled, and has run out once: 20 s, and the load.
      await until(page, `${time} > 32000`)
      const [plain, lease] = [await ask<string>(page, figure(1, "loads")), await ask<string>(page, figure(2, "loads"))]
      assert.isAbove(Number(plain), 50)
      assert.isAtLeast(Number(lease), 1)
      assert.isAtMost(Number(lease), 9)
      assert.strictEqual(await ask<string>(page, figure(3, "waited")), "0", "nobody waits for XFetch with a lease")
      // Something is drawn of it.
      const inked = "(() => { const c = document.querySelector('[data-lane=\"1\"] canvas'); "
        + "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((value) => value > 0) })()"
      assert.isTrue(await ask<boolean>(page, inked))
    }))

  it("stops, goes on, and begins anew", () =>
    visit(without, "", async (page) => {
      await until(page, `${time} > 10500`)
      await page.click("#play")
      const stopped = await ask<number>(page, time)
      // Frames go by, and nothing happens in them.
      const frames = "new Promise((resolve) => { let n = 0; "
        + "const next = () => ++n === 10 ? resolve() : requestAnimationFrame(next); next() })"
      await page.evaluate(frames)
      assert.strictEqual(await ask<number>(page, time), stopped)
      await page.click("#play")
      await until(page, `${time} > ${stopped}`)
      await page.click("#play")
      await page.click("#restart")
      await until(page, `${time} < ${stopped} && ${time} >= 10000`)
    }))

  it("changes with what is set", () =>
    visit(without, "", async (page) => {
      await page.focus("#rate")
      await page.keyboard.press("Home")
      assert.strictEqual(await page.locator("output[for=rate]").textContent(), "0.20")
      await page.click("[data-preset=slow]")
      assert.strictEqual(await page.locator("output[for=rate]").textContent(), "40")
      assert.strictEqual(await page.inputValue("#origin"), "limited")
      assert.strictEqual(await page.inputValue("#lane-4"), "advised")
      await page.selectOption("#lane-4", "uncached")
      // Whoever keeps nothing loads without an expiry, too.
      await until(page, `${time} > 10500 && Number(${figure(4, "loads")}) > 10`)
      assert.match(page.url(), /uncached/)
    }))

  it("is invalidated by a button", () =>
    visit(without, "", async (page) => {
      // Nothing ends by itself.
      await page.focus("#lifetime")
      await page.keyboard.press("End")
      await until(page, `${time} > 21100`)
      assert.strictEqual(await ask<string>(page, figure(2, "loads")), "0")
      await page.click("#invalidate")
      await until(page, `Number(${figure(2, "loads")}) === 1 && Number(${figure(1, "loads")}) > 20`)
    }))

  it("does not move by itself for who does not like that", () =>
    visit(without, "", async (page) => {
      await until(page, `${time} >= 10000`)
      assert.strictEqual(await page.locator("#play").textContent(), "Play")
      assert.strictEqual(await ask<number>(page, time), 10_000)
    }, { reducedMotion: "reduce" }))
})

describe("on a phone", () => {
  const phone = { viewport: { width: 360, height: 740 } }

  it("nothing is wider than the screen", () =>
    visit(withReport, "", async (page) => {
      await until(page, `${countOf("#around svg")} === 2`)
      await noOverflow(page)
      await page.selectOption("#world", "wall")
      await noOverflow(page)
      await page.click("#tab-live")
      await until(page, `${time} > 0`)
      await noOverflow(page)
      await page.click("[data-preset=slow]")
      await noOverflow(page)
    }, phone))
})

it("is used with the keyboard alone", () =>
  visit(withReport, "", async (page) => {
    await page.focus("#tab-measured")
    await page.keyboard.press("ArrowRight")
    await until(page, "!document.querySelector('#live').hidden && document.querySelector('#measured').hidden")
    const unnamed = "[...document.querySelectorAll('input, select, button')]"
      + ".filter((one) => !(one.labels?.length > 0) && one.textContent.trim() === '').map((one) => one.outerHTML)"
    assert.deepStrictEqual(await ask<ReadonlyArray<string>>(page, unnamed), [])
  }))

it("is what the pictures of the documentation are taken from", async () => {
  const pictures = path.join(folder, "pictures")
  // The report has no origin that slows down.
  const names = await draw(reportOf(), browser, pictures)
  assert.deepStrictEqual(names, ["around-expiry", "trade-off", "distribution", "invalidated"])
  for (const name of names) {
    await visit(path.join(pictures, `${name}.svg`), "", async (page) => {
      // A text that is not well-formed would be a document of its own, which says so.
      assert.isTrue(await ask(page, "document.documentElement instanceof SVGSVGElement"), name)
      assert.match(await ask(page, "document.querySelector('title').textContent"), /^(Loads|How many loads)/)
      assert.isAbove(await ask<number>(page, "document.querySelectorAll('path, rect, circle, text').length"), 30, name)
      // It stands by itself: no style and no variable of the page, and nothing beyond its edges.
      assert.strictEqual(await ask(page, "document.querySelectorAll('style, script, [class], [style]').length"), 0)
      assert.notInclude(fs.readFileSync(path.join(pictures, `${name}.svg`), "utf8"), "var(")
    })
  }
})
