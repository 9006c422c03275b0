/**
 * What a program for Node takes from no service: timers, ticks, the date and
 * sockets. Worlds whose processes run `ioredis` need them to be the world's; the
 * others do without.
 */
import { syncBuiltinESMExports } from "node:module"
import net from "node:net"
import tls from "node:tls"
import type { Random } from "./random.ts"
import { processOf, replace, replaceReality } from "./reality.ts"
import type { Sim, Timer } from "./sim.ts"

type Run = (...args: ReadonlyArray<unknown>) => void

/** As much of a timer of Node as is asked for. It fires while its process lives, whether or not that waits for it. */
class Timeout {
  timer: Timer

  constructor(timer: Timer) {
    this.timer = timer
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }
}

const clear = (timeout: unknown): void => {
  if (timeout instanceof Timeout) timeout.timer.cancelled = true
}

const timersOf = (sim: Sim) => {
  // Milliseconds are those of the clock of the process, which may go wrong.
  const after = (millis: number, run: () => void): Timer => {
    const us = Math.max(1, Number(millis) || 1) * 1000
    return sim.after(processOf(sim)?.trueUs(us) ?? us, run)
  }
  return {
    setTimeout: (run: Run, millis = 1, ...args: ReadonlyArray<unknown>) =>
      new Timeout(after(millis, () => run(...args))),
    setInterval: (run: Run, millis = 1, ...args: ReadonlyArray<unknown>) => {
      const again = (): void => {
        timeout.timer = after(millis, again)
        run(...args)
      }
      const timeout = new Timeout(after(millis, again))
      return timeout
    },
    // Those of one process run in order, when nothing else is left of what was to run at once.
    setImmediate: (run: Run, ...args: ReadonlyArray<unknown>) => new Timeout(sim.after(0, () => run(...args))),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear
  }
}

/** Makes a socket of the world. */
export type Connect = (options: net.TcpSocketConnectOpts) => unknown

const refuse = () => {
  throw new Error("there is nothing like that in a simulated world")
}

/** Puts the world's in the place of all that is real, `replaceReality` included; gives what puts it back. */
export const replaceGlobals = (sim: Sim, random: Random, connect: Connect): () => void => {
  const undo = [
    replaceReality(sim, random),
    replace(globalThis, timersOf(sim)),
    replace(process, { nextTick: (run: Run, ...args: ReadonlyArray<unknown>) => sim.ticks.push(() => run(...args)) }),
    replace(Date, { now: () => Math.floor((processOf(sim)?.wall(sim.us) ?? sim.us) / 1000) }),
    replace(net, { connect, createConnection: connect }),
    replace(tls, { connect: refuse })
  ]
  syncBuiltinESMExports()
  return () => {
    for (const back of undo.reverse()) back()
    syncBuiltinESMExports()
  }
}
