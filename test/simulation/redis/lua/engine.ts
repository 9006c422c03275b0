/** Whoever runs a script, and whoever runs the commands of one. */
import type { Reply } from "../reply.ts"
import { type Runtime, runtime } from "./runtime.ts"
import { translate } from "./translate.ts"

/** Runs commands for a script. */
export interface Host {
  /** Never throws. */
  readonly run: (name: string, args: ReadonlyArray<string>) => Reply
}

export interface Compiled {
  readonly run: (host: Host, keys: ReadonlyArray<string>, args: ReadonlyArray<string>) => Reply
}

/** A translator of one's own: by a runtime that differs, to see whether that is noticed. */
export const compiler = (using: Runtime): (source: string) => Compiled => {
  const compiled = new Map<string, Compiled>()
  return (source) => {
    let one = compiled.get(source)
    if (one === undefined) compiled.set(source, one = translate(source, using))
    return one
  }
}

/** The script as a function. What of Lua it does not know it refuses here, and not when the script runs. */
export const compile: (source: string) => Compiled = compiler(runtime)
