/**
 * Which servers and programs a run needs, and what it ends with where there are none.
 */
import type { TestProject } from "vitest/node"
import { NotInstalled } from "../support/install.ts"
import { reachedFrom } from "./imports.ts"

/** Whether a test file of the run imports this file, itself or through others. A run that watches may come to need it. */
export const isNeeded = ({ config, vitest }: TestProject, file: string): boolean =>
  config.watch || vitest.state.getPaths().some((test) => reachedFrom(test).has(file))

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
