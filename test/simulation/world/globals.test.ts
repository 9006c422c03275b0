import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import net from "node:net"
import { assert, test } from "vitest"
import { replaceGlobals } from "./globals.ts"
import { contextOf, Process } from "./process.ts"
import { Sim } from "./sim.ts"

const fromMacrotask = <A>(run: () => A): Promise<A> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(run())
      } catch (error) {
        reject(error)
      }
    })
  })

interface Made {
  readonly sim: Sim
  readonly process: Process
}

/** Runs something as a process, until nothing is left to happen. */
const inWorld = (play: (made: Made) => void, skew = 0, drift = 0): Promise<void> =>
  fromMacrotask(() => {
    const sim = new Sim(1)
    const process = new Process(sim, "a", skew, drift)
    const restore = replaceGlobals(sim, sim.random.fork(), () => assert.fail("nothing connects"))
    try {
      sim.soon(() => play({ sim, process }), process)
      sim.run(() => false)
    } finally {
      restore()
    }
  })

/** What happens next, in all the ways that there are, and from within each of them. */
const branch = (say: (what: string) => void, name: string, depth: number): void => {
  const then = (way: string) => () => {
    say(`${name}${way}`)
    if (depth > 0) branch(say, `${name}${way}`, depth - 1)
  }
  setImmediate(then("i"))
  void Promise.resolve().then(then("p"))
  process.nextTick(then("t"))
  queueMicrotask(then("m"))
  process.nextTick(then("T"))
  setImmediate(then("I"))
}

test("ticks, promises and immediates come in the order in which Node has them", async () => {
  const [real, simulated]: readonly [Array<string>, Array<string>] = [[], []]
  await new Promise<void>((resolve) => {
    setImmediate(() => branch((what) => real.push(what) === 6 + 36 + 216 && resolve(), "", 2))
  })
  await inWorld(() => branch((what) => simulated.push(what), "", 2))
  assert.deepStrictEqual(simulated, real)
})

test("timers go by the clock of their process, and the date by what it takes for true", async () => {
  const fired: Array<string> = []
  await inWorld(
    ({ process, sim }) => {
      const start = sim.us
      const say = (what: string) => () => fired.push(`${what} ${(sim.us - start) / 1000}`)
      assert.strictEqual(Date.now(), Math.floor((start + process.skew) / 1000))
      setTimeout(say("slow"), 10)
      setTimeout(say("at once"))
      clearTimeout(setTimeout(say("never"), 1))
      let times = 0
      const interval = setInterval(() => {
        say("again")()
        if (++times === 2) clearInterval(interval)
      }, 4)
    },
    5_000_000,
    1
  )
  assert.deepStrictEqual(fired, ["at once 0.5", "again 2", "again 4", "slow 5"])
})

test("what a paused process has put off waits, and that of a dead one never happens", async () => {
  const fired: Array<string> = []
  await inWorld(({ process, sim }) => {
    const start = sim.us
    for (const millis of [1, 5, 6, 40]) setTimeout(() => fired.push(`${millis} at ${(sim.us - start) / 1000}`), millis)
    sim.at(start + 2000, () => {
      process.pausedUntil = start + 20_000
    })
    sim.at(start + 30_000, () => {
      process.dead = true
    }, { name: "outside", pausedUntil: 0, dead: false })
  })
  assert.deepStrictEqual(fired, ["1 at 1", "5 at 20", "6 at 20"])
})

test("what waits for a process keeps its order, also if that stands still again before it goes on", async () => {
  const fired: Array<number> = []
  await inWorld(({ process, sim }) => {
    const start = sim.us
    const pause = (at: number, until: number) =>
      sim.at(start + at, () => {
        process.pausedUntil = start + until
      }, { name: "outside", pausedUntil: 0, dead: false })
    pause(1000, 10_000)
    pause(5000, 20_000)
    for (const millis of [2, 6, 20]) setTimeout(() => fired.push(millis), millis)
  })
  assert.deepStrictEqual(fired, [2, 6, 20])
})

test("everything that was real is real again", async () => {
  const all = () => [
    setTimeout,
    setImmediate,
    setInterval,
    clearTimeout,
    process.nextTick,
    Date.now,
    Math.random,
    net.connect,
    net.createConnection
  ]
  const before = all()
  let during: ReadonlyArray<unknown> = []
  await inWorld(() => {
    during = all()
  })
  for (const [i, one] of during.entries()) assert.notStrictEqual(one, before[i])
  assert.deepStrictEqual(all(), before)
  assert.strictEqual((await import("node:net")).connect, net.connect)
})

test("the clock of a fiber, and that of the package, are one", async () => {
  const seen: Array<number> = []
  await inWorld(({ process, sim }) => {
    Effect.runForkWith(contextOf(sim, process))(
      Effect.map(
        Clock.currentTimeMillis,
        (millis) => seen.push(millis, Date.now(), Math.floor(process.wall(sim.us) / 1000))
      )
    )
  }, 77_000)
  assert.deepStrictEqual(seen, [seen[0], seen[0], seen[0]])
})
