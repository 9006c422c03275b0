/**
 * What servers leave behind, and who takes it away: this process has one folder
 * for all servers that it starts, and a watcher that outlives it. The watcher
 * holds a pipe to this process; when that closes, however this process ended,
 * it ends what still runs and removes the folder.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import type * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

/** Every server leads a process group of its own, so what it forked to save its data ends with it. */
const watcher = `
trap "" INT TERM HUP
cat > /dev/null
folder=$1
# Whether any could be sent a signal; "-" before it is for all of a group.
all() {
  any=1
  for pid in "$folder"/*/pid; do
    [ -f "$pid" ] && kill "-$1" "$2$(cat "$pid")" && any=0
  done
  return $any
}
# What Postgres shares with its own processes outlives one that is killed.
all INT
# Those that stand still hear of it when they go on.
all CONT
left=100
while all 0 && [ $left -gt 0 ]; do
  left=$((left - 1))
  sleep 0.1
done
all 9 -
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$folder" && break
  sleep 0.1
done
`

let root: string | undefined

const makeRoot = (): string => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-"))
  // A group of its own: Ctrl-C in a terminal is for this process.
  const child = spawn("sh", ["-c", watcher, "watcher", folder], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  child.on("error", (error) => {
    throw error
  })
  // It is to wait for this process, not this process for it.
  child.unref()
  ;(child.stdin as net.Socket).unref()
  return folder
}

/** A new folder of a server, which is removed at the latest after this process has ended. */
export const makeFolder = (): string => {
  root ??= makeRoot()
  return fs.mkdtempSync(path.join(root, "server-"))
}

/** Says whom the watcher is to kill; nobody if undefined. */
const notePid = (folder: string, pid: number | undefined): void => {
  const file = path.join(folder, "pid")
  if (pid === undefined) fs.rmSync(file, { force: true })
  else fs.writeFileSync(file, String(pid))
}

/**
 * Starts a server in its folder, with all that it says in `log` there. It leads a group of its own, does not keep this
 * process waiting, and is known to the watcher for as long as it runs.
 */
export const spawnServer = async (
  folder: string,
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly uid?: number; readonly gid?: number; readonly env?: NodeJS.ProcessEnv } = {}
): Promise<ChildProcess> => {
  const log = fs.openSync(path.join(folder, "log"), "a")
  const child = spawn(program, args, { cwd: folder, detached: true, stdio: ["ignore", log, log], ...options })
  fs.closeSync(log)
  if (child.pid === undefined) await once(child, "spawn")
  notePid(folder, child.pid)
  child.once("exit", () => {
    if (fs.existsSync(folder)) notePid(folder, undefined)
  })
  child.unref()
  return child
}
