/**
 * The Postgres that other tests run on leaves nothing behind, however the process that started it ends.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { eventually } from "./redis.ts"

const starting = `
  const { startPostgres } = await import(${JSON.stringify(path.join(import.meta.dirname, "postgres.ts"))})
  const server = await startPostgres()
  console.log(server.pid)
  process.stdin.resume()
`

/** Shared memory of the process: in /dev/shm, and in segments that have a number. */
const sharedBy = (pid: number): ReadonlyArray<string> =>
  [...fs.readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(/\/dev\/shm\/\S+|(?<=:\S+ )\d+(?= +\/SYSV)/g)].map((
    [name]
  ) => name)

const segments = (): ReadonlyArray<string | undefined> =>
  fs.readFileSync("/proc/sysvipc/shm", "utf8").split("\n").map((line) => line.trim().split(/\s+/)[1])

const isThere = (name: string): boolean => name.startsWith("/") ? fs.existsSync(name) : segments().includes(name)

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  it.skipIf(process.platform !== "linux")(`of a process that ends by ${signal}`, async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", starting], {
      stdio: ["pipe", "pipe", "inherit"]
    })
    const exited = once(child, "exit")
    const pid = Number(String((await once(child.stdout, "data"))[0]))
    const folder = fs.readlinkSync(`/proc/${pid}/cwd`)
    const shared = sharedBy(pid)
    assert.isAtLeast(shared.filter(isThere).length, 2)
    child.kill(signal)
    await exited
    await eventually("its folder is gone", () => !fs.existsSync(folder))
    await eventually("it shares nothing", () => !shared.some(isThere))
  })
}
