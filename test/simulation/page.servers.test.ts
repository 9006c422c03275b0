/** The page of a story, in a real browser: it is stepped through, and asks for nothing that is not in it. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "../support/browser.ts"
import type { Story } from "./explain.ts"
import { pageOf } from "./page.ts"
import type { Line } from "./watch.ts"
import { fairWeather } from "./world/network.ts"

/** Also what would end a script, or begin one, if it were written as it is. */
const nasty = "</script><script>throw 1</script><!--"

const line = (at: number, where: string, what: string, more: Partial<Line> = {}): Line => ({
  at,
  where,
  what,
  kind: "store",
  load: undefined,
  from: undefined,
  since: undefined,
  breaks: undefined,
  ...more
})

const storyOf = (): Story => {
  const read = line(0, "P1", "reads tag(0)", { kind: "ask" })
  const lease = line(400, "redis", "gives P1 the lease of tag(0)", { from: read })
  const begun = line(600, "P1", "begins load 0 of tag(0)", { kind: "load", load: 0, from: lease })
  const called = line(1000, "P2", "invalidates tag t0", { kind: "call" })
  const invalidated = line(1400, "redis", `invalidates ${nasty} for P2`, { from: called })
  const returned = line(1600, "P2", "its invalidation has returned", {
    kind: "returned",
    from: invalidated,
    since: called
  })
  const ended = line(1800, "P1", "load 0 ends", { kind: "load", load: 0, from: begun, since: begun })
  const stored = line(2100, "redis", "stores load 0 of tag(0)", { load: 0, from: ended })
  const again = line(3000, "P3", "reads tag(0)", { kind: "ask" })
  const given = line(3400, "P3", "is given load 0", {
    kind: "given",
    load: 0,
    from: stored,
    since: again,
    breaks: "G1"
  })
  return {
    plan: {
      seed: 1,
      mode: "node",
      processes: 3,
      rows: 1,
      definitions: ["tag"],
      acknowledge: "primary",
      journal: 10_000,
      remember: 0,
      failing: 0,
      slowest: 2,
      weather: fairWeather,
      steps: [{ at: 0, process: 0, act: { do: "get", of: "tag", row: 0 } }]
    },
    definitions: [["tag", nasty]],
    lines: [read, lease, begun, called, invalidated, returned, ended, stored, again, given],
    guarantee: "G1",
    promise: "Read your invalidation.",
    why: "Load 0 began before.",
    loads: [0]
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-test-"))
const file = path.join(folder, "story.html")
let browser: Browser

beforeAll(async () => {
  fs.writeFileSync(file, pageOf(storyOf()))
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

const visit = async (
  visiting: (page: Page) => Promise<void>,
  { colorScheme = "light", hash = "" }: { readonly colorScheme?: "light" | "dark"; readonly hash?: string } = {}
): Promise<void> => {
  const page = await browser.newPage({ viewport: { width: 1000, height: 700 }, colorScheme })
  const complaints: Array<string> = []
  page.setDefaultTimeout(15_000)
  page.on("console", (message) => complaints.push(message.text()))
  page.on("pageerror", (error) => complaints.push(`${error}`))
  page.on("request", (request) => {
    const url = request.url().split("#")[0]!
    if (url !== pathToFileURL(file).href && !url.startsWith("data:")) complaints.push(`it asks for ${url}`)
  })
  try {
    await page.goto(`${pathToFileURL(file).href}${hash}`)
    await visiting(page)
    assert.deepStrictEqual(complaints, [])
  } finally {
    await page.close()
  }
}

const counter = (page: Page) => page.locator("#counter").textContent()
const words = (page: Page) => page.locator("#words").textContent()
const later = (page: Page) => page.locator("g.event.later").count()

describe("the page of a story", () => {
  it("is stepped through by buttons", () =>
    visit(async (page) => {
      assert.deepStrictEqual([await counter(page), await later(page)], ["1 of 10", 9])
      assert.isTrue(await page.isDisabled("#previous"))
      await page.click("#next")
      assert.deepStrictEqual([await counter(page), await later(page)], ["2 of 10", 8])
      assert.strictEqual(await words(page), "0.40 ms: redis gives P1 the lease of tag(0).")
      await page.click("#last")
      assert.deepStrictEqual([await counter(page), await later(page)], ["10 of 10", 0])
      assert.isTrue(await page.isDisabled("#next"))
      await page.click("#previous")
      assert.strictEqual(await counter(page), "9 of 10")
      await page.click("#first")
      assert.strictEqual(await counter(page), "1 of 10")
    }))

  it("is stepped through by keys, and goes to what is pressed on", () =>
    visit(async (page) => {
      for (
        const [key, counted] of [["ArrowRight", 2], ["ArrowDown", 3], ["ArrowLeft", 2], ["End", 10], [
          "Home",
          1
        ]] as const
      ) {
        await page.keyboard.press(key)
        assert.strictEqual(await counter(page), `${counted} of 10`, key)
      }
      await page.locator("g.event[data-event='4'] rect").click()
      assert.strictEqual(await counter(page), "5 of 10")
      assert.include((await words(page))!, nasty)
    }))

  it("shows the violation, and the load that it is about in each lane", () =>
    visit(async (page) => {
      assert.deepStrictEqual(await page.locator("svg .name").allTextContents(), ["P1", "P2", "P3", "redis"])
      const about = await page.locator("g.event.about").evaluateAll((all) =>
        all.map((one) => one.getAttribute("data-event"))
      )
      assert.deepStrictEqual(about, ["2", "6", "7", "9"])
      assert.strictEqual(await page.locator("g.event.wrong").getAttribute("data-event"), "9")
      assert.strictEqual(await words(page), "3.40 ms: P3 is given load 0. Load 0 began before.")
      assert.isTrue(await page.locator("g.event.wrong").isVisible())
      // From the origin of each: what was asked of the store, what it gave, and what it stored.
      assert.strictEqual(await page.locator("path.arrow:not(.later)").count(), 6)
    }, { hash: "#10" }))

  it("is dark where that is wished for", async () => {
    const ground = (page: Page) => page.evaluate<string>("getComputedStyle(document.body).backgroundColor")
    let [light, dark] = ["", ""]
    await visit(async (page) => void (light = await ground(page)))
    await visit(async (page) => void (dark = await ground(page)), { colorScheme: "dark" })
    assert.notStrictEqual(light, dark)
  })
})
