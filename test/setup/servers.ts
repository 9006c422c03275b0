/**
 * Which servers and programs a run needs, and what it ends with where there are none.
 */
import type { TestProject } from "vitest/node"
import { NotInstalled } from "../support/install.ts"
import { reaches } from "./imports.ts"

/** Whether a test file of the run imports this module, itself or through others. Who watches may come to need it. */
export const isNeeded = ({ config, vitest }: TestProject, module: string): boolean =>
  config.watch || vitest.state.getPaths().some((file) => reaches(file, module))

/** A machine without it ends the run with one line that says what to do: tests that were skipped look like tests that passed. */
export const demand = (find: () => unknown): void => {
  try {
    find()
  } catch (error) {
    if (!(error instanceof NotInstalled)) throw error
    console.error(error.message)
    process.exit(1)
  }
}
