/**
 * The laboratory in the page: the simulation that the measurements are made by, to be looked at while it runs.
 */
import { strategies } from "../../stampede/strategies.ts"
import { duration } from "../../stampede/terminal.ts"
import { draw, type Ink, runningIn } from "./canvas.ts"
import { colorOf } from "./colors.ts"
import { button, choice, h } from "./dom.ts"
import { format } from "./measures.ts"
import { Enough, Run } from "./run.ts"
import {
  arrivals,
  invalidations,
  origins,
  positionOf,
  presets,
  scenarioOf,
  type Settings,
  type Slider,
  sliders,
  valueAt
} from "./settings.ts"
import { recall, remember } from "./state.ts"

const seed = 20_150_808

/** Of a frame this many milliseconds may be simulated; what is left is for drawing, and for the reader. */
const budget = 11
/** Loads are numbered and never renumbered. When there are so many, all begins anew. */
const manyLoads = 3_000_000

const figuresOf = ["loads", "times ideal", "waited", "past lifetime", "untrue", "failed", "longest wait"] as const

const tenths = (value: number): string => value >= 100 ? value.toFixed(0) : `${Math.round(10 * value) / 10}`

/** A place for a strategy. */
class Lane {
  readonly element: HTMLElement
  readonly canvas = h("canvas", { role: "img" })
  run: Run | undefined
  strategy: string
  private readonly numbers = new Map(figuresOf.map((name) => [name, h("dd", { "data-figure": name }, "–")]))

  constructor(number: number, strategy: string, onChange: () => void) {
    this.strategy = strategy
    const options = strategies.map(({ id, title }) => ({ value: id, text: title }))
    const chosen = choice(`lane ${number}`, options, strategy, (id) => {
      this.choose(id)
      onChange()
    }, { id: `lane-${number}` })
    this.element = h(
      "section",
      { class: "lane", "data-lane": number, "aria-label": `Lane ${number}` },
      h(
        "div",
        { class: "lane-head" },
        chosen,
        h(
          "dl",
          { class: "numbers" },
          ...[...this.numbers].map(([name, value]) => h("div", {}, h("dt", {}, name), value))
        )
      ),
      this.canvas
    )
    this.choose(strategy)
  }

  choose(strategy: string): void {
    this.strategy = strategy
    const { about, title } = strategies.find(({ id }) => id === strategy)!
    this.element.style.setProperty("--c", colorOf(strategy))
    this.element.dataset.strategy = strategy
    this.element.querySelector("select")!.value = strategy
    this.element.querySelector("select")!.title = about
    this.canvas.setAttribute(
      "aria-label",
      `${title}: loads and waiting requests over time; the numbers above sum it up`
    )
  }

  show(ideal: number): void {
    const { failed, loads, longest, past, requests, untrue, waited } = this.run!.tally
    const share = (part: number) => requests === 0 ? "–" : format("share", part / requests)
    const texts = [
      `${loads}`,
      ideal === 0 ? "–" : `${tenths(loads / ideal)}×`,
      share(waited),
      share(past),
      share(untrue),
      share(failed),
      duration(longest)
    ]
    figuresOf.forEach((name, i) => {
      const element = this.numbers.get(name)!
      if (element.textContent !== texts[i]!) element.textContent = texts[i]!
    })
  }

  ink(): Ink {
    const style = getComputedStyle(this.element)
    const resolved = (name: string): string => {
      this.canvas.style.color = `var(${name})`
      return getComputedStyle(this.canvas).color
    }
    return {
      color: style.borderLeftColor,
      text: resolved("--ink"),
      quiet: resolved("--quiet"),
      line: resolved("--line"),
      ground: resolved("--ground")
    }
  }
}

const restored = (): Settings => {
  const parts = (recall("set") ?? "").split(",")
  const [first] = presets
  const settings: Record<string, number | string> = { ...first!.settings }
  sliders.forEach(({ least, most, name }, i) => {
    const value = Number(parts[i])
    if (parts[i] && value >= least && value <= most) settings[name] = value
  })
  const [arrival, origin, invalidated] = parts.slice(sliders.length)
  if (arrival !== undefined && arrival in arrivals) settings.arrivals = arrival
  if (origin !== undefined && origin in origins) settings.origin = origin
  if (invalidated !== undefined && invalidated in invalidations) settings.invalidated = invalidated
  return settings as unknown as Settings
}

export const live = (): { readonly panel: HTMLElement; readonly show: (shown: boolean) => void } => {
  let settings = restored()
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches
  let shown = false
  let now = 0
  let enough = new Enough(scenarioOf(settings), seed, 0)
  let fresh = false
  const panel = h("section", {})

  const chosen = (recall("lanes") ?? "").split(",").filter((id) => strategies.some((one) => one.id === id))
  const lanes = presets[0]!.lanes.map((id, i) =>
    new Lane(i + 1, chosen[i] ?? id, () => {
      restart()
      keep()
    })
  )

  /** Until then the cache is filled, as fast as it goes; nothing is counted. */
  const filled = () => Math.min(settings.lifetime / 2, 20 * settings.load + 1000)
  const window = () => Math.max(1.3 * settings.lifetime, 12 * settings.load)

  const keep = (): void => {
    const { arrivals, invalidated, origin } = settings
    remember({
      set: [...sliders.map(({ name }) => settings[name]), arrivals, origin, invalidated].join(","),
      lanes: lanes.map(({ strategy }) => strategy).join(",")
    })
  }

  const restart = (): void => {
    now = 0
    fresh = true
    const scenario = scenarioOf(settings)
    enough = new Enough(scenario, seed, filled())
    for (const lane of lanes) {
      lane.run?.close()
      lane.run = new Run(scenario, lane.strategy, settings.beta, seed, filled(), window())
    }
    wake()
  }

  // ---------------------------------------------------------------------------
  // controls
  // ---------------------------------------------------------------------------

  const inputs = new Map<string, () => void>()

  const sliderFor = (slider: Slider): HTMLElement => {
    const { name, show, text } = slider
    const output = h("output", { for: name }, show(settings[name]))
    const input = h("input", {
      type: "range",
      id: name,
      min: 0,
      max: 1000,
      step: 1,
      value: positionOf(slider, settings[name]),
      "aria-valuetext": show(settings[name])
    })
    const tell = (): void => {
      output.textContent = show(settings[name])
      input.setAttribute("aria-valuetext", show(settings[name]))
    }
    inputs.set(name, () => {
      input.value = `${positionOf(slider, settings[name])}`
      tell()
    })
    input.addEventListener("input", () => {
      settings = { ...settings, [name]: valueAt(slider, input.valueAsNumber) }
      tell()
      if (name !== "speed") restart()
    })
    input.addEventListener("change", keep)
    return h("div", { class: "slider" }, h("label", { for: name }, text), output, input)
  }

  const choiceFor = (
    name: "arrivals" | "origin" | "invalidated",
    text: string,
    options: Readonly<Record<string, { readonly text: string }>>
  ): HTMLElement => {
    const made = choice(
      text,
      Object.entries(options).map(([value, { text }]) => ({ value, text })),
      settings[name],
      (value) => {
        settings = { ...settings, [name]: value } as Settings
        restart()
        keep()
      },
      { id: name }
    )
    inputs.set(name, () => {
      made.querySelector("select")!.value = settings[name]
    })
    return made
  }

  const about = h("p", { class: "quiet", "aria-live": "polite", id: "preset-about" }, presets[0]!.about)
  const presetButtons = presets.map((preset) =>
    button(preset.text, () => {
      settings = preset.settings
      for (const update of inputs.values()) update()
      lanes.forEach((lane, i) => lane.choose(preset.lanes[i]!))
      about.textContent = preset.about
      setPlaying(true)
      restart()
      keep()
    }, { "data-preset": preset.id })
  )

  const play = button("", () => setPlaying(!playing), { id: "play", class: "primary" })
  const clock = h("output", { id: "clock" })
  const setPlaying = (next: boolean): void => {
    playing = next
    play.textContent = playing ? "Pause" : "Play"
    panel.dataset.playing = `${playing}`
    wake()
  }

  const invalidate = (): void => {
    for (const { run } of lanes) run!.invalidate()
    enough.invalidate(0, now)
    fresh = true
    wake()
  }

  // ---------------------------------------------------------------------------
  // the loop
  // ---------------------------------------------------------------------------

  let asleep = true
  let lastFrame = 0
  /** Virtual seconds in a second, as it goes; slowly averaged. */
  let speed = 0

  const wake = (): void => {
    if (!asleep || !shown) return
    asleep = false
    lastFrame = performance.now()
    requestAnimationFrame(frame)
  }

  /** Lets all lanes go on together, step by step, as far as the time of a frame allows. */
  const simulate = (until: number, begun: number, allowed: number): void => {
    // A step is so short that it takes a fraction of a frame in the worst lane.
    const step = Math.max(1, Math.min(settings.load / 4, 100_000 / settings.rate))
    while (now < until && performance.now() - begun < allowed) {
      now = Math.min(until, now + step)
      for (const { run } of lanes) run!.advance(now)
    }
    enough.advance(now)
    for (const { run } of lanes) run!.digest()
  }

  const paint = (): void => {
    const from = now - window()
    let [most, longest] = [1, settings.load]
    for (const { canvas, run } of lanes) {
      for (const running of runningIn(run!, from, Math.max(now, from + 1), Math.max(1, canvas.clientWidth))) {
        most = Math.max(most, running)
      }
      for (const { at, latency } of run!.waits) if (at >= from) longest = Math.max(longest, latency)
    }
    for (const lane of lanes) {
      draw(lane.canvas, lane.run!, { from, now: Math.max(now, from + 1), most, longest }, lane.ink())
      lane.show(enough.loads)
    }
    panel.dataset.now = `${now}`
  }

  const tell = (): void => {
    const isSlow = playing && now > filled() && speed < 0.85 * settings.speed
    clock.textContent = `${(now / 1000).toFixed(1)} s`
    clock.classList.toggle("warn", isSlow)
    if (isSlow) clock.textContent += `, ${tenths(speed)}× is as fast as this machine can`
  }

  const frame = (time: number): void => {
    asleep = true
    if (!shown) return
    // Whoever looked away for a while has missed it.
    const elapsed = Math.min(100, Math.max(0, time - lastFrame))
    const begun = performance.now()
    const before = now
    if (now < filled()) simulate(filled(), begun, 4 * budget)
    else if (playing) {
      simulate(now + elapsed * settings.speed, begun, budget)
      if (elapsed > 0) speed += ((now - before) / elapsed - speed) * 0.08
    }
    if (fresh) {
      speed = settings.speed
      fresh = false
    }
    lastFrame = time
    paint()
    tell()
    if (lanes.some(({ run }) => run!.log.loads.length > manyLoads)) restart()
    if (playing || now < filled()) {
      asleep = false
      requestAnimationFrame(frame)
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", wake)
  new MutationObserver(wake).observe(document.documentElement, { attributeFilter: ["data-theme"] })
  new ResizeObserver(wake).observe(panel)

  panel.append(
    h(
      "p",
      {},
      "This is no animation of what was measured: the library itself runs here, in virtual time, and every lane meets the ",
      "same requests. Whatever you change begins it anew."
    ),
    h("div", { class: "controls", role: "group", "aria-label": "Settings to begin with" }, ...presetButtons),
    about,
    h("div", { class: "sliders" }, ...sliders.map(sliderFor)),
    h(
      "div",
      { class: "sliders choices" },
      choiceFor("arrivals", "requests come", arrivals),
      choiceFor("origin", "the origin is", origins),
      choiceFor("invalidated", "it is invalidated", invalidations)
    ),
    h(
      "div",
      { class: "controls running" },
      play,
      button("Restart", restart, { id: "restart" }),
      button("Invalidate now", invalidate, { id: "invalidate" }),
      clock
    ),
    h(
      "p",
      { class: "quiet reading" },
      "Now is at the right edge. The area is loads that run at the origin, with a stroke below for each that begins; dots ",
      "are requests that waited, the higher the longer; the band at the bottom is there while a fresh entry is. A dashed ",
      "line is an entry that ended before another was there, a triangle an invalidation. All lanes have the same scales."
    ),
    ...lanes.map(({ element }) => element)
  )
  setPlaying(playing)
  restart()

  return {
    panel,
    show: (isShown) => {
      shown = isShown
      wake()
    }
  }
}
