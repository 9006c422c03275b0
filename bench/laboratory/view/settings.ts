/**
 * What can be set of the simulation that is played with.
 */
import type { Arrivals, Origin, Scenario } from "../../stampede/scenario.ts"
import { count, duration } from "../../stampede/terminal.ts"

export interface Settings {
  /** Requests per second. */
  readonly rate: number
  /** Milliseconds, as the lifetime. */
  readonly load: number
  readonly lifetime: number
  readonly beta: number
  readonly processes: number
  /** Virtual seconds in a second. */
  readonly speed: number
  readonly arrivals: keyof typeof arrivals
  readonly origin: keyof typeof origins
  readonly invalidated: keyof typeof invalidations
}

export const arrivals = {
  poisson: { text: "independent (Poisson)", value: { _tag: "Poisson" } as Arrivals },
  bursts: { text: "in bursts (Pareto)", value: { _tag: "Bursts", exponent: 1.5 } as Arrivals }
}

export const origins = {
  constant: { text: "steady", value: { _tag: "Constant" } as Origin },
  lognormal: { text: "heavy-tailed (lognormal)", value: { _tag: "Lognormal", sigma: 1 } as Origin },
  failing: { text: "three loads in ten fail", value: { _tag: "Failing", share: 0.3 } as Origin },
  limited: { text: "serves four at once", value: { _tag: "Limited", atOnce: 4 } as Origin }
}

export const invalidations = {
  never: { text: "only by the button", every: undefined },
  rarely: { text: "once in three lifetimes", every: 3 },
  often: { text: "three times in a lifetime", every: 1 / 3 }
}

/** So long that it does not come. */
const never = 1e12

export const scenarioOf = (settings: Settings): Scenario => {
  const { every } = invalidations[settings.invalidated]
  return {
    id: "live",
    title: "live",
    about: "",
    processes: settings.processes,
    rate: settings.rate,
    keys: 1,
    arrivals: arrivals[settings.arrivals].value,
    load: settings.load,
    origin: origins[settings.origin].value,
    lifetime: settings.lifetime,
    changes: { every: every === undefined ? never : every * settings.lifetime, invalidates: every !== undefined }
  }
}

export interface Slider {
  readonly name: "rate" | "load" | "lifetime" | "beta" | "processes" | "speed"
  readonly text: string
  readonly least: number
  readonly most: number
  readonly show: (value: number) => string
  readonly whole?: boolean
}

export const sliders: ReadonlyArray<Slider> = [
  { name: "rate", text: "requests/s", least: 0.2, most: 500, show: count },
  { name: "load", text: "a load takes", least: 50, most: 5000, show: duration },
  { name: "lifetime", text: "an entry lives", least: 5000, most: 600_000, show: duration },
  { name: "beta", text: "beta of XFetch", least: 0.25, most: 4, show: count },
  { name: "processes", text: "processes", least: 1, most: 50, show: count, whole: true },
  { name: "speed", text: "speed", least: 1, most: 60, show: (value) => `${count(value)}×` }
]

/** Two digits are enough, and read better. */
export const rounded = ({ least, most, whole }: Slider, value: number): number => {
  const near = whole ? Math.round(value) : Number(value.toPrecision(2))
  return Math.min(most, Math.max(least, near))
}

/** Positions from 0 to 1000 stand for values by their logarithm. */
export const valueAt = (slider: Slider, position: number): number =>
  rounded(slider, slider.least * (slider.most / slider.least) ** (position / 1000))

export const positionOf = ({ least, most }: Slider, value: number): number =>
  Math.round(1000 * Math.log(value / least) / Math.log(most / least))

export interface Preset {
  readonly id: string
  readonly text: string
  /** What there is to be seen. */
  readonly about: string
  readonly settings: Settings
  readonly lanes: ReadonlyArray<string>
}

const hot: Settings = {
  rate: 100,
  load: 1000,
  lifetime: 20_000,
  beta: 1,
  processes: 10,
  speed: 4,
  arrivals: "poisson",
  origin: "constant",
  invalidated: "never"
}

export const presets: ReadonlyArray<Preset> = [
  {
    id: "stampede",
    text: "The stampede",
    about:
      "Without protection each expiry makes a load of every request. With a lease one loads, and the others wait for " +
      "it. With XFetch it is loaded before, and nobody waits.",
    settings: hot,
    lanes: ["plain", "lease", "xfetch", "advised"]
  },
  {
    id: "xfetch",
    text: "XFetch stops it",
    about:
      "As published each request draws for itself: 2.7 loads an expiry, and who is drawn waits. With a lease one " +
      "is drawn in all, and it loads in the background.",
    settings: hot,
    lanes: ["plain", "xfetch-published", "xfetch-alone", "xfetch"]
  },
  {
    id: "cold",
    text: "A cold key",
    about:
      "One request in two seconds: too few to draw from, so XFetch is often too late, and somebody waits. Serving " +
      "the old value meanwhile helps where it is asked for soon enough.",
    settings: { ...hot, rate: 0.5, speed: 20 },
    lanes: ["plain", "lease", "xfetch", "advised"]
  },
  {
    id: "slow",
    text: "A slow origin",
    about: "The origin serves four loads at once. A stampede makes each load slower, which makes more of them.",
    settings: { ...hot, rate: 40, processes: 20, origin: "limited" },
    lanes: ["plain", "single-flight", "lease", "advised"]
  },
  {
    id: "invalidated",
    text: "Invalidated",
    about:
      "No draw foresees an invalidation. A lease keeps the origin safe and lets all wait; an invalidation that is " +
      "soft serves the old value while one loads.",
    settings: { ...hot, lifetime: 60_000, invalidated: "often", speed: 6 },
    lanes: ["plain", "lease", "advised", "soft"]
  }
]
