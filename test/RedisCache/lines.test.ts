/** By which of several connections to read, and when to cut one: on connections that a test makes up. */
import { EventEmitter } from "node:events"
import { assert, describe, it } from "vitest"
import { Lines, Pulse } from "../../src/internal/redis/lines.ts"
import type { Raw } from "../../src/internal/redis/raw.ts"

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A connection whose server is told by a test. */
class Fake extends EventEmitter {
  status = "connecting"
  run = "a"
  role = "master"
  cuts = 0
  /** Whether questions are answered. */
  answers = true
  refuses = false
  asked: Array<string> = []
  private readonly held: Array<() => void> = []
  readonly stream = {
    bytesRead: 0,
    once: () => undefined,
    destroy: () => {
      this.cuts++
      this.lose()
    }
  }

  call(command: string, section?: string): Promise<unknown> {
    this.asked.push(`${command} ${section}`)
    const answer = section === "server" ? `run_id:${this.run}\r\n` : `role:${this.role}\r\n`
    if (!this.answers) return new Promise((resolve) => this.held.push(() => resolve(answer)))
    this.stream.bytesRead++
    return this.refuses ? Promise.reject(new Error("NOPERM")) : Promise.resolve(answer)
  }

  /** Gives what lets them go. */
  holdAnswers(): () => void {
    this.answers = false
    return () => {
      for (const go of this.held.splice(0)) go()
    }
  }

  async connect(run = this.run): Promise<void> {
    this.run = run
    this.status = "ready"
    this.emit("ready")
    await settled()
  }

  lose(): void {
    this.status = "end"
    this.emit("close")
  }

  get raw(): Raw {
    return this as unknown as Raw
  }
}

const fresh = () => {
  const [writes, reads] = [new Fake(), new Fake()]
  const heard: Array<string> = []
  const lines = new Lines({
    connected: () => {},
    moved: () => heard.push("moved"),
    demoted: () => heard.push("demoted")
  })
  lines.addWrites(writes.raw, true)
  lines.addReads(reads.raw)
  const by = () => lines.reader === undefined ? "none" : lines.reader.raw === writes.raw ? "writes" : "reads"
  return { by, heard, lines, reads, writes }
}

describe("reads go", () => {
  it("by their own connection while both have met the same run, and else by that of writes", async () => {
    const { by, reads, writes } = fresh()
    assert.strictEqual(by(), "writes")
    await writes.connect()
    assert.strictEqual(by(), "writes")
    await reads.connect()
    assert.strictEqual(by(), "reads")
    writes.lose()
    assert.strictEqual(by(), "writes", "where it leads to is not known")
    await writes.connect("b")
    assert.strictEqual(by(), "writes")
    reads.lose()
    await reads.connect("b")
    assert.strictEqual(by(), "reads")
    reads.lose()
    assert.strictEqual(by(), "writes")
  })

  it("by that of writes where the server does not say which run it is", async () => {
    const { by, reads, writes } = fresh()
    writes.refuses = reads.refuses = true
    await writes.connect()
    await reads.connect()
    assert.strictEqual(by(), "writes")
  })

  it("nowhere while any of them leads to a replica, or writes lead to two servers", async () => {
    const { by, lines, reads, writes } = fresh()
    await writes.connect()
    await reads.connect()
    const other = new Fake()
    lines.addWrites(other.raw, true)
    assert.strictEqual(by(), "reads")
    await other.connect("b")
    assert.strictEqual(by(), "none")
    other.lose()
    await other.connect("a")
    assert.strictEqual(by(), "reads")
    reads.role = "slave"
    lines.beat(3)
    await settled()
    assert.strictEqual(by(), "none", "also if another has not been told of it yet")
    reads.lose()
    assert.strictEqual(by(), "none")
  })

  it("as the connection that is there leads, whatever an earlier one is told late", async () => {
    const { by, reads, writes } = fresh()
    await reads.connect("a")
    const late = writes.holdAnswers()
    await writes.connect("a")
    writes.lose()
    writes.answers = true
    await writes.connect("b")
    late()
    await settled()
    assert.strictEqual(by(), "writes")
  })
})

describe("a beat", () => {
  it("tells of a primary that is a replica", async () => {
    const { heard, lines, reads, writes } = fresh()
    await writes.connect()
    await reads.connect()
    lines.beat(3)
    await settled()
    assert.deepStrictEqual(heard, [])
    writes.role = "slave"
    lines.beat(3)
    await settled()
    lines.beat(3)
    await settled()
    assert.deepStrictEqual(heard, ["demoted", "moved", "demoted", "moved"], "once of each that leads there")
  })

  it("cuts the older of two that lead to several primaries, and seldom again", async () => {
    const { lines, reads, writes } = fresh()
    await reads.connect("old")
    await writes.connect("new")
    lines.beat(3)
    assert.deepStrictEqual([reads.cuts, writes.cuts], [1, 0])
    // Each time it comes back to the wrong one, before the other does.
    for (let i = 0; i < 30; i++) {
      await reads.connect("old")
      await writes.connect("new")
      lines.beat(3)
    }
    assert.isAtMost(reads.cuts, 6)
    assert.strictEqual(writes.cuts, 0)
  })

  it("does not cut a client that was lent for that", async () => {
    const { heard, lines } = fresh()
    const mine = new Fake()
    const lent = new Lines({ connected: () => {}, moved: () => heard.push("moved"), demoted: () => undefined })
    lent.addWrites(mine.raw, false)
    await mine.connect()
    mine.role = "slave"
    for (let i = 0; i < 5; i++) {
      lent.beat(3)
      await settled()
    }
    assert.strictEqual(mine.cuts, 0)
    lines.leave()
  })

  it("tells of a replica that was made the primary, also where the client was lent", async () => {
    const mine = new Fake()
    let met = 0
    const lent = new Lines({ connected: () => met++, moved: () => {}, demoted: () => {} })
    lent.addWrites(mine.raw, false)
    mine.role = "slave"
    await mine.connect()
    const isRead = () => lent.reader !== undefined
    assert.isFalse(isRead())
    lent.beat(3)
    await settled()
    assert.isFalse(isRead())
    mine.role = "master"
    lent.beat(3)
    await settled()
    assert.isTrue(isRead())
    assert.strictEqual(met, 2, "what lies there may be another's")
  })

  it("finds what is silent, after as many beats as are asked for, and then after pauses that double", async () => {
    const { lines, reads, writes } = fresh()
    await writes.connect()
    await reads.connect()
    lines.beat(3)
    await settled()
    reads.answers = false
    const found: Array<number> = []
    for (let beat = 1; beat <= 40; beat++) {
      const silent = lines.beat(3)
      if (silent.length > 0) {
        assert.deepStrictEqual(silent.map(({ raw }) => raw), [reads.raw])
        found.push(beat)
      }
      await settled()
    }
    assert.deepStrictEqual(found, [4, 6, 9, 14, 23, 32])
  })

  it("does not take what is slow for silent: bytes come", () => {
    const slow = new Fake()
    slow.answers = false
    slow.status = "ready"
    const pulse = new Pulse(slow.raw, () => slow.call("PING"))
    for (let i = 0; i < 10; i++) {
      pulse.beat()
      slow.stream.bytesRead++
    }
    assert.strictEqual(pulse.silent, 0)
    for (let i = 0; i < 3; i++) pulse.beat()
    assert.strictEqual(pulse.silent, 2)
    assert.lengthOf(slow.asked, 1, "it is asked once until it answers")
  })
})
