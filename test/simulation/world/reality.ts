/**
 * What is real and is given by no service is taken away while worlds run: the
 * clock of the machine, and chance that comes from the platform.
 *
 * It is the default clock itself that is changed. The library asks whether a
 * program runs under it, so under another one a part of what production does
 * would not be run.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { realClock } from "../../../src/internal/realClock.ts"
import type { Process } from "./process.ts"
import type { Random } from "./random.ts"
import type { Sim } from "./sim.ts"

export const processOf = (sim: Sim): Process | undefined => {
  const { current } = sim
  return current !== undefined && "wall" in current ? current as Process : undefined
}

const sleep = (sim: Sim, duration: Duration.Duration): Effect.Effect<void> => {
  const millis = Duration.toMillis(duration)
  if (millis <= 0) return Effect.yieldNow
  if (!Number.isFinite(millis)) return Effect.never
  return Effect.callback((resume) => {
    const process = processOf(sim)
    const us = Math.ceil(millis * 1000)
    const timer = sim.after(process === undefined ? us : process.trueUs(us), () => resume(Effect.void))
    return Effect.sync(() => {
      timer.cancelled = true
    })
  })
}

const clockOf = (sim: Sim) => {
  const wall = () => processOf(sim)?.wall(sim.us) ?? sim.us
  const ticks = () => processOf(sim)?.ticks(sim.us) ?? sim.us
  const millis = () => Math.floor(wall() / 1000)
  const nanos = () => BigInt(Math.floor(wall())) * 1000n
  const monotonic = () => BigInt(Math.floor(ticks())) * 1000n
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: monotonic,
    monotonicTimeNanos: Effect.sync(monotonic),
    sleep: (duration: Duration.Duration) => sleep(sim, duration)
  }
}

const randomBytes = (random: Random) => <A extends NodeJS.TypedArray>(array: A): A => {
  for (let i = 0; i < array.length; i++) array[i] = random.int(256)
  return array
}

// That of the platform is computed by another thread.
const digest = (_algorithm: unknown, data: NodeJS.ArrayBufferView): Promise<ArrayBuffer> =>
  Promise.resolve(Uint8Array.from(createHash("sha1").update(data).digest()).buffer)

/** Sets properties of an object; gives what puts back those that were there. */
export const replace = (target: object, properties: object): () => void => {
  const undo = Object.entries(properties).map(([name, value]) => {
    const before = Object.getOwnPropertyDescriptor(target, name)
    Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true })
    return () => {
      if (before === undefined) Reflect.deleteProperty(target, name)
      else Object.defineProperty(target, name, before)
    }
  })
  return () => {
    for (const back of undo) back()
  }
}

/** Puts the world's in the place of what is real; gives what puts it back. */
export const replaceReality = (sim: Sim, random: Random): () => void => {
  const undo = [
    replace(realClock, clockOf(sim)),
    replace(crypto, { getRandomValues: randomBytes(random) }),
    replace(crypto.subtle, { digest }),
    replace(Math, { random: () => random.next() })
  ]
  return () => {
    for (const back of undo) back()
  }
}
