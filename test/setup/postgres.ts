/** One Postgres for the whole run, if a file of the run asks for it: `test/support/sharedPostgres.ts` is how tests get at it. */
import type { TestProject } from "vitest/node"
import { startPostgres } from "../support/postgres.ts"
import { binaries } from "../support/postgresBinary.ts"
import { NoServer } from "../support/redisBinary.ts"
import { reaches } from "./imports.ts"

/** A machine without a server ends the run with one line that says what to do: tests that were skipped look like tests that passed. */
const requireServer = (): void => {
  try {
    binaries()
  } catch (error) {
    if (!(error instanceof NoServer)) throw error
    console.error(error.message)
    process.exit(1)
  }
}

export default async ({ config, provide, vitest }: TestProject): Promise<() => Promise<void>> => {
  if (!config.watch && !vitest.state.getPaths().some((file) => reaches(file, "support/sharedPostgres"))) {
    provide("postgres", undefined)
    return async () => undefined
  }
  requireServer()
  const server = await startPostgres()
  provide("postgres", server.urlOf("postgres"))
  return server.stop
}
