/**
 * The catalogue in two processes on a real Redis: `npm run demo -- --redis URL`.
 */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { root } from "../support/modules.ts"
import { connect } from "../support/redis.ts"
import { nodeUrl } from "../support/sharedRedis.ts"

const limit = 180_000

const main = path.join(root, "examples/catalogue/main.ts")

/** Runs the demo to its end, or interrupts it when it has printed something. */
const demo = (
  args: ReadonlyArray<string>,
  until?: string
): Promise<{ readonly code: number | null; readonly output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, NO_COLOR: "1" } })
    let output = ""
    let told = false
    const hear = (chunk: Buffer): void => {
      output += chunk.toString()
      // Once: who is told twice ends at once, and puts nothing away.
      if (told || until === undefined || !output.includes(until)) return
      told = child.kill("SIGINT")
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    child.on("error", reject)
    // When all that could write is gone, its children included.
    child.on("close", (code) => resolve({ code, output }))
  })

const leftOver = async (output: string): Promise<ReadonlyArray<string>> => {
  const [prefix] = /catalogue-\d+-\w+/.exec(output) ?? assert.fail("it says under which prefix it works")
  const redis = await connect(nodeUrl())
  try {
    return await redis.keys(`${prefix}*`)
  } finally {
    redis.disconnect()
  }
}

describe("the catalogue in two processes", () => {
  it("agrees with its database, and leaves nothing in Redis", async () => {
    const { code, output } = await demo(["--redis", nodeUrl()])
    assert.strictEqual(code, 0, output)
    assert.match(output, /compared with the database:\n {2}ok: none differs\n/)
    assert.match(output, /ok: a cold key, fifty callers at once, one query\n/)
    assert.match(output, / {2}entries +[1-9]\d*\n {2}leases +0\n/)
    assert.notInclude(output, "NOT SO")
    assert.deepStrictEqual(await leftOver(output), [])
  }, limit)

  // What finds nothing proves little unless it finds what is there.
  it("is seen to fail when each has a cache of its own", async () => {
    const { code, output } = await demo(["--redis", nodeUrl(), "--apart"])
    assert.strictEqual(code, 1, output)
    assert.match(output, /NOT SO: after each write both processes agree with the database\n/)
    assert.match(output, /NOT SO: \d+ answers differ\n/)
    assert.deepStrictEqual(await leftOver(output), [])
  }, limit)

  it("leaves nothing in Redis when it is interrupted", async () => {
    const { code, output } = await demo(["--redis", nodeUrl()], "2. What B changes")
    assert.strictEqual(code, 1, output)
    assert.notInclude(output, "What it came to")
    assert.deepStrictEqual(await leftOver(output), [])
  }, limit)

  it("says so when there is no server, without the password", async () => {
    const { code, output } = await demo(["--redis", "redis://:secret@127.0.0.1:1"])
    assert.strictEqual(code, 1, output)
    assert.match(output, /There is no Redis at the address that was given/)
    assert.notInclude(output, "secret")
  }, limit)
})
