/**
 * One process of the machine in which everything happens in an order that a seed
 * tells: events in virtual time, tasks of fibers, and microtasks.
 *
 * What happens belongs to an **owner**: a simulated process, a server, or nobody
 * (the network, and whoever sets the faults). What belongs to one that is paused
 * waits, and what belongs to one that is dead never happens.
 *
 * Promises are settled by a checkpoint that V8 offers to its own tests. It does
 * nothing while a microtask runs, so a world must be run from a macrotask.
 */
import v8 from "node:v8"
import { type Random, randomOf } from "./random.ts"

v8.setFlagsFromString("--allow-natives-syntax")
const settlePromises = new Function("%PerformMicrotaskCheckpoint()") as () => void

/** Whoever something happens to. Times are in microseconds. */
export interface Owner {
  readonly name: string
  pausedUntil: number
  dead: boolean
}

export interface Timer {
  cancelled: boolean
}

class Event implements Timer {
  cancelled = false
  readonly at: number
  /** When it was first to be. */
  readonly due: number
  readonly order: number
  readonly run: () => void
  readonly owner: Owner | undefined

  constructor(at: number, order: number, run: () => void, owner: Owner | undefined) {
    this.at = at
    this.due = at
    this.order = order
    this.run = run
    this.owner = owner
  }
}

// What waits for a process that stands still happens in the order in which it was due, however often that stood still.
const isBefore = (a: Event, b: Event): boolean =>
  a.at !== b.at ? a.at < b.at : a.due !== b.due ? a.due < b.due : a.order < b.order

/** Events by time; of the same time by when they were put in. */
class Queue {
  private readonly heap: Array<Event> = []

  get size(): number {
    return this.heap.length
  }

  push(event: Event): void {
    const { heap } = this
    let i = heap.length
    heap.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  pop(): Event {
    const { heap } = this
    const [first] = heap
    const last = heap.pop()!
    const size = heap.length
    if (size > 0) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= size) break
        if (child + 1 < size && isBefore(heap[child + 1]!, heap[child]!)) child++
        if (isBefore(last, heap[child]!)) break
        heap[i] = heap[child]!
        i = child
      }
      heap[i] = last
    }
    return first!
  }
}

interface Task {
  readonly run: () => void
  readonly owner: Owner | undefined
}

/** A moment as good as any. */
const beginning = 1_800_000_000_000_000

export class Sim {
  readonly random: Random
  /** Microseconds since the epoch, as they truly are. */
  us = beginning
  /** Whose event or task runs now. */
  current: Owner | undefined = undefined
  events = 0
  /** What is put off until what runs now is done, and goes before promises: `process.nextTick`. */
  readonly ticks: Array<() => void> = []
  private order = 0
  private digest = 0
  private readonly queue = new Queue()
  private ready: Array<Task> = []
  private readonly shuffles: boolean

  /** Tasks of one instant are run in any order if `shuffles`, and else as they came. */
  constructor(seed: number, shuffles = true) {
    this.random = randomOf(seed)
    this.shuffles = shuffles
  }

  at(us: number, run: () => void, owner: Owner | undefined = this.current): Timer {
    const event = new Event(Math.max(us, this.us), ++this.order, run, owner)
    this.queue.push(event)
    return event
  }

  after(us: number, run: () => void, owner: Owner | undefined = this.current): Timer {
    return this.at(this.us + us, run, owner)
  }

  soon(run: () => void, owner: Owner | undefined = this.current): void {
    this.ready.push({ run, owner })
  }

  /** Makes it a part of what the hash is of. */
  note(text: string): void {
    let h = this.digest
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16_777_619)
    this.digest = Math.imul(h ^ (this.us % 1_000_000_000), 16_777_619)
  }

  /** Of all that was noted, in hexadecimal. */
  get hash(): string {
    return (this.digest >>> 0).toString(16).padStart(8, "0")
  }

  /** Lets happen what is to happen, until `done`, or until nothing is left. */
  run(done: () => boolean): void {
    this.drain()
    while (!done() && this.queue.size > 0) {
      const event = this.queue.pop()
      if (event.cancelled) continue
      const { owner } = event
      this.us = event.at
      if (owner !== undefined) {
        if (owner.dead) continue
        if (owner.pausedUntil > this.us) {
          this.postpone(event, owner.pausedUntil)
          continue
        }
      }
      this.events++
      this.step(event.run, owner)
      this.drain()
    }
  }

  // The event stays the same one: whoever has its timer can cancel it still.
  private postpone(event: Event, until: number): void {
    this.queue.push(Object.assign(event, { at: until }))
  }

  private step(run: () => void, owner: Owner | undefined): void {
    this.current = owner
    run()
    this.settle()
    this.current = undefined
  }

  // As Node has it: all ticks, then all promises, and again while those have left ticks.
  private settle(): void {
    const { ticks } = this
    do {
      for (let next = 0; next < ticks.length; next++) ticks[next]!()
      ticks.length = 0
      settlePromises()
    } while (ticks.length > 0)
  }

  private drain(): void {
    const { ready } = this
    for (let next = 0; ready.length > 0;) {
      if (!this.shuffles && next === ready.length) {
        ready.length = 0
        return
      }
      const task = this.shuffles ? this.anyOf(ready) : ready[next++]!
      const { owner, run } = task
      if (owner?.dead === true) continue
      if (owner !== undefined && owner.pausedUntil > this.us) this.at(owner.pausedUntil, run, owner)
      else this.step(run, owner)
    }
  }

  private anyOf(ready: Array<Task>): Task {
    const last = ready.pop()!
    const i = ready.length === 0 ? 0 : this.random.int(ready.length + 1)
    if (i === ready.length) return last
    const task = ready[i]!
    ready[i] = last
    return task
  }
}
