/** A browser, if a file of the run drives one: found or installed before any test runs, and not by several at once. */
import type { TestProject } from "vitest/node"
import { browserBinary } from "../support/browserBinary.ts"
import { demand, isNeeded } from "./servers.ts"

export default (project: TestProject): void => {
  if (isNeeded(project, "test/support/browser.ts")) demand(browserBinary)
}
