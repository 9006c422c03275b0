/** A layer that is closed while its server is away leaves nothing behind that keeps the process. */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { promisify } from "node:util"

const program = path.join(import.meta.dirname, "closing.ts")

describe("a program whose layer is closed while the server is away ends at once", () => {
  // A timer that is left behind by the package runs for two seconds.
  const limit = 1_000
  for (const way of ["node", "replicas", "sentinel", "cluster", "lent", "mute"]) {
    it.concurrent(way, { timeout: 60_000 }, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", program, way])
      const [, kept] = /kept for (\d+) ms/.exec(stdout) ?? []
      assert.isBelow(Number(kept), limit, stdout)
    })
  }
})
