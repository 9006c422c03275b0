/** The server's clock as a process knows it: it follows what is said, and goes back only as far as a clock that is right would. */
import type { Clock } from "effect"
import { assert, describe, it } from "vitest"
import { realClock } from "../../src/internal/realClock.ts"
import { ServerClock } from "../../src/internal/redis/serverClock.ts"

const hour = 3_600_000

/** Whose monotonic clock stands at so many milliseconds. */
const clockAt = (millis: number): Clock.Clock =>
  Object.assign(Object.create(realClock) as Clock.Clock, {
    monotonicTimeNanosUnsafe: () => BigInt(Math.round(millis * 1e6))
  })

/** What a process takes for the server's time at some ticks, after it was told some answers: server, sent, received. */
const told = (answers: ReadonlyArray<readonly [server: number, sent: number, received: number]>, then: number) => {
  const clock = new ServerClock()
  for (const answer of answers) clock.learn(realClock, ...answer)
  return clock.now(clockAt(then))
}

describe("the server's clock", () => {
  it("is known since the first answer, and goes on by the monotonic clock", () => {
    assert.isFalse(new ServerClock().isKnown)
    assert.strictEqual(told([[5000, 100, 100]], 100), 5000)
    assert.strictEqual(told([[5000, 100, 100]], 1100), 6000)
  })

  it("follows a server that was right all the time as closely as its answers allow", () => {
    // The first answer took long, and says little.
    assert.strictEqual(told([[5000, 0, 1000], [5200, 1000, 1001]], 1001), 5202)
    assert.strictEqual(told([[5000, 0, 1000], [6400, 1000, 1001]], 1001), 6400)
  })

  it("goes forward with it at once", () => {
    assert.strictEqual(told([[5000, 0, 0], [5000 + hour, 10, 10]], 10), 5000 + hour)
  })

  it("does not go back with it, whether it was set back at once, bit by bit, or stands still", () => {
    assert.strictEqual(told([[hour, 0, 0], [10, 10, 10]], 10), hour + 10)
    const bits = Array.from({ length: 100 }, (_, i) => [hour - i * 600, i, i] as const)
    assert.isAtLeast(told(bits, 100), hour + 100 - 1000)
    const still = Array.from({ length: 100 }, (_, i) => [hour, i * 100, i * 100] as const)
    assert.isAtLeast(told(still, 10_000), hour + 10_000 - 1000)
  })

  it("is the latest of several servers that differ, and does not run away", () => {
    // The nodes of a cluster, of which one is five seconds behind.
    const answers = Array.from({ length: 1000 }, (_, i) => [hour + i - (i % 2) * 5000, i, i] as const)
    assert.strictEqual(told(answers, 1000), hour + 1000)
  })

  it("is that of the server again when it has caught up", () => {
    const answers = [[hour, 0, 0], [0, 10, 10], [2 * hour, hour, hour], [
      hour + 2000,
      hour + 2010,
      hour + 2010
    ]] as const
    assert.strictEqual(told(answers.slice(0, 3), hour), 2 * hour)
    assert.strictEqual(told(answers, hour + 2010), 2 * hour + 2010)
  })

  it("may be corrected a little, once", () => {
    assert.strictEqual(told([[5000, 0, 0], [4500, 10, 10]], 10), 4501)
    assert.isAtLeast(told([[5000, 0, 0], [4500, 10, 10], [4000, 20, 20], [3500, 30, 30]], 30), 4000)
  })
})
