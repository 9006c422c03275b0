/**
 * What happens in a lane, from left to right until now.
 *
 *   loads that run at the origin, as an area; a tick below for each that begins
 *   requests that waited, as dots: the higher, the longer
 *   a band where there is an entry that is fresh
 */
import { duration } from "../../stampede/terminal.ts"
import type { Run } from "./run.ts"

export interface Look {
  readonly from: number
  readonly now: number
  /** Of all lanes, so that they may be compared. */
  readonly most: number
  readonly longest: number
}

export interface Ink {
  readonly color: string
  readonly text: string
  readonly quiet: string
  readonly line: string
  readonly ground: string
}

/** How many loads ran at once, in each column of so many. */
export const runningIn = (run: Run, from: number, now: number, columns: number): Int32Array => {
  const { loads } = run.log
  const steps = new Int32Array(columns + 1)
  const width = (now - from) / columns
  for (let i = run.first; i < loads.length; i++) {
    const { end, start } = loads[i]!
    if (end < from || start > now) continue
    const first = Math.max(0, Math.floor((start - from) / width))
    const last = Math.min(columns - 1, Math.floor((Math.min(end, now) - from) / width))
    if (first >= columns) continue
    steps[first]!++
    steps[Math.max(first, last) + 1]!--
  }
  for (let i = 1; i <= columns; i++) steps[i]! += steps[i - 1]!
  return steps.subarray(0, columns)
}

export interface Freshness {
  readonly from: number
  readonly to: number
  /** Nothing newer was there when it ended. */
  readonly ends: boolean
}

/** When there was an entry, no older than its lifetime and of a load that knew of all changes. */
export const freshness = (run: Run, now: number): ReadonlyArray<Freshness> => {
  const { changes, loads } = run.log
  const { lifetime } = run.scenario
  const stored = loads.slice(run.first).filter((load) => load.stored && load.end <= now).sort((a, b) => a.end - b.end)
  return stored.map(({ end, start }, i) => {
    const next = stored[i + 1]?.end ?? Infinity
    const over = Math.min(end + lifetime, changes.find(({ at }) => at > start)?.at ?? Infinity)
    return { from: end, to: Math.min(over, next, now), ends: over < Math.min(next, now) }
  }).filter(({ from, to }) => to >= from)
}

export const draw = (canvas: HTMLCanvasElement, run: Run, { from, longest, most, now }: Look, ink: Ink): void => {
  const scale = window.devicePixelRatio || 1
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
  }
  const pen = canvas.getContext("2d")!
  pen.setTransform(scale, 0, 0, scale, 0, 0)
  pen.clearRect(0, 0, width, height)
  pen.font = "11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

  const band = 7
  const ticks = 7
  // Of three fifths and two.
  const split = Math.round((height - band) * 0.56)
  const origin = split - ticks
  const bottom = height - band - 4
  const x = (time: number): number => (time - from) / (now - from) * width

  // The ends of entries, behind everything.
  pen.strokeStyle = ink.quiet
  pen.lineWidth = 1
  pen.setLineDash([3, 3])
  const fresh = freshness(run, now)
  pen.beginPath()
  for (const { ends, to } of fresh) {
    if (!ends || to < from) continue
    pen.moveTo(Math.round(x(to)) + 0.5, 0)
    pen.lineTo(Math.round(x(to)) + 0.5, height - band)
  }
  pen.stroke()
  pen.setLineDash([])

  pen.fillStyle = ink.text
  for (const { at } of run.log.changes) {
    if (at < from) continue
    const middle = x(at)
    pen.beginPath()
    pen.moveTo(middle - 5, 0)
    pen.lineTo(middle + 5, 0)
    pen.lineTo(middle, 8)
    pen.fill()
  }

  pen.strokeStyle = ink.line
  pen.beginPath()
  for (const y of [origin, bottom]) {
    pen.moveTo(0, y + 0.5)
    pen.lineTo(width, y + 0.5)
  }
  pen.stroke()

  // Loads.
  const columns = Math.max(1, Math.floor(width))
  const running = runningIn(run, from, now, columns)
  const unit = (origin - 14) / Math.max(1, most)
  pen.fillStyle = ink.color
  pen.beginPath()
  pen.moveTo(0, origin)
  for (let i = 0; i < columns; i++) {
    const loads = running[i]!
    const y = origin - (loads === 0 ? 0 : Math.max(2, loads * unit))
    pen.lineTo(i, y)
    pen.lineTo(i + 1, y)
  }
  pen.lineTo(columns, origin)
  pen.fill()
  const { loads } = run.log
  let last = -1
  pen.fillStyle = ink.text
  for (let i = run.first; i < loads.length; i++) {
    const at = Math.round(x(loads[i]!.start))
    if (at < 0 || at === last) continue
    pen.fillRect(at, origin + 1, 1, ticks - 2)
    last = at
  }

  // Who waited.
  const room = bottom - split - 16
  pen.fillStyle = ink.color
  pen.globalAlpha = 0.55
  // More than this on one another cannot be told apart.
  const step = Math.max(1, Math.ceil(run.waits.length / 3000))
  for (let i = 0; i < run.waits.length; i += step) {
    const { at, latency } = run.waits[i]!
    if (at < from) continue
    pen.fillRect(x(at) - 1.25, bottom - 2.5 - latency / longest * room, 2.5, 2.5)
  }
  pen.globalAlpha = 1

  // What is fresh.
  for (const { from: start, to } of fresh) {
    if (to < from) continue
    pen.fillRect(Math.max(0, x(start)), height - band, Math.max(1, x(to) - Math.max(0, x(start)) - 1), band)
  }

  const write = (text: string, y: number): void => {
    pen.fillStyle = ink.ground
    pen.fillRect(0, y - 10, pen.measureText(text).width + 6, 13)
    pen.fillStyle = ink.quiet
    pen.fillText(text, 2, y)
  }
  write(`loads at the origin, up to ${most}`, 10)
  write(`waiting, up to ${duration(longest)}`, split + 11)
}
