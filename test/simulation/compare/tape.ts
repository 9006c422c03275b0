/**
 * What a real server did from one random state on, so that any simulated server can be asked the same afterwards.
 */
import type { Reply } from "../redis/reply.ts"
import { randomOf } from "../world/random.ts"
import { type Call, Generator, type Placed, places, type Sight, type Stored } from "./calls.ts"

/** What lies at a place. */
export interface Lying {
  readonly stored: Stored | undefined
  /** As PTTL says it. */
  readonly ttl: number
}

/** What is seen of a server after a call. */
export interface Seen {
  readonly reply: Reply
  /** Of each of `places`. */
  readonly keyspace: ReadonlyArray<Lying>
  readonly messages: ReadonlyArray<readonly [channel: string, text: string]>
}

export interface Step {
  readonly us: number
  /** Whether the server is over its limit of memory. */
  readonly full: boolean
  readonly call: Call
  readonly seen: Seen
  /** Milliseconds that the server's own clock went on since the state was laid out; 0 where it is told the time. */
  readonly late: number
}

export interface Tape {
  readonly seed: number
  readonly us: number
  readonly placed: ReadonlyArray<Placed>
  readonly steps: ReadonlyArray<Step>
}

/** A real server, as it is recorded. */
export interface Recorder {
  /** Milliseconds that what expires lives at least, so that none is gone by an accident of time. */
  readonly shortest: number
  readonly layOut: (us: number, placed: ReadonlyArray<Placed>) => Promise<ReadonlyArray<Lying>>
  readonly run: (us: number, full: boolean, call: Call) => Promise<Omit<Seen, "messages"> & Pick<Step, "late">>
  /** What was published by each call since the state was laid out. */
  readonly heard: () => Promise<ReadonlyArray<Seen["messages"]>>
}

const firstUs = 1_800_000_000_000_000

/** How many calls are as the library would not make them. */
const wild = 0.1

const sightOf = (us: number, keyspace: ReadonlyArray<Lying>): Sight => ({
  us,
  at: (key) => keyspace[places.indexOf(key)]?.stored
})

/** Lays out the state of a seed, and makes so many calls from there. */
export const record = async (recorder: Recorder, seed: number, length: number): Promise<Tape> => {
  const random = randomOf(seed)
  const generator = new Generator(random.fork(), recorder.shortest)
  const start = firstUs + random.int(1e12)
  const placed = generator.state(start)
  let keyspace = await recorder.layOut(start, placed)
  let us = start
  let full = random.chance(0.15)
  const steps: Array<Omit<Step, "seen"> & { readonly seen: Omit<Seen, "messages"> }> = []
  for (let i = 0; i < length; i++) {
    us += random.pick([0, 1, 10, 1000, 500_000, 2_000_000])
    if (random.chance(0.04)) full = !full
    const call = generator.call(sightOf(us, keyspace), wild)
    const { late, ...seen } = await recorder.run(us, full, call)
    keyspace = seen.keyspace
    steps.push({ us, full, call, seen, late })
  }
  const messages = await recorder.heard()
  return {
    seed,
    us: start,
    placed,
    steps: steps.map((step, i) => ({ ...step, seen: { ...step.seen, messages: messages[i]! } }))
  }
}
