/** One Postgres for the whole run, if a file of the run asks for it: `test/support/sharedPostgres.ts` is how tests get at it. */
import type { TestProject } from "vitest/node"
import { startPostgres } from "../support/postgres.ts"
import { binaries } from "../support/postgresBinary.ts"
import { demand, isNeeded } from "./servers.ts"

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const { provide } = project
  if (!isNeeded(project, "test/support/sharedPostgres.ts")) {
    provide("postgres", undefined)
    return async () => undefined
  }
  demand(binaries)
  const server = await startPostgres()
  provide("postgres", server.urlOf("postgres"))
  return server.stop
}
