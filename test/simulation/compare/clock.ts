/** A clock for a real server: where there is a C compiler, one that shows exactly what it is told. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { find, foldersOf, usualPlaces } from "../../support/install.ts"

export interface FileClock {
  /** What the server's process needs in its environment. */
  readonly env: Readonly<Record<string, string>>
  readonly set: (us: number) => void
  readonly close: () => void
}

/** The compiler of this machine. A library is preloaded on Linux only. */
export const compiler = (env: NodeJS.ProcessEnv = process.env): string | undefined => {
  if (process.platform !== "linux") return undefined
  const folders = [...foldersOf(env), ...usualPlaces]
  return find("cc", folders) ?? find("gcc", folders) ?? find("clang", folders)
}

/** Compiles the clock into a folder; undefined if that cannot be done here. */
export const makeClock = (folder: string, cc: string): FileClock | undefined => {
  const library = path.join(folder, "clock.so")
  const source = path.join(import.meta.dirname, "clock.c")
  if (spawnSync(cc, ["-shared", "-fPIC", "-O2", "-o", library, source]).status !== 0) return undefined
  const name = path.join(folder, "clock")
  const file = fs.openSync(name, "w+")
  const bytes = Buffer.alloc(8)
  const set = (us: number) => {
    // The processor's own order of bytes: the server reads them as one number.
    new BigUint64Array(bytes.buffer, bytes.byteOffset, 1)[0] = BigInt(us)
    fs.writeSync(file, bytes, 0, 8, 0)
  }
  set(1_800_000_000_000_000)
  return { env: { LD_PRELOAD: library, CLOCK_FILE: name }, set, close: () => fs.closeSync(file) }
}
