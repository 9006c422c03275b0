/** A layer that is closed while its server is away leaves nothing behind that keeps the process. */
import { assert, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

const program = path.join(import.meta.dirname, "closing.ts")

it("a program whose layers are closed while their servers are away ends at once", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", program])
  const lines = stdout.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as unknown)
  const ways = ["node", "replicas", "sentinel", "cluster", "lent", "mute"]
  assert.deepStrictEqual(lines, ways.map((name) => ({ name, left: [] })))
})
