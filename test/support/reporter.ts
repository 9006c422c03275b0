import type { Reporter, TestModule } from "vitest/node"

const count = (modules: ReadonlyArray<TestModule>, state: "passed" | "failed"): number =>
  modules.reduce((sum, module) => sum + [...module.children.allTests(state)].length, 0)

/** Ends a run with one line that says how it went, for whoever reads a log from its end. */
export const tally: Reporter = {
  onTestRunEnd: (modules, unhandled) => {
    // A file that cannot be loaded has no test that could fail, and yet has failed.
    const broken = modules.filter((module) => module.errors().length > 0).length
    const failed = count(modules, "failed") + broken + unhandled.length
    console.log(`${count(modules, "passed")} passed, ${failed} failed`)
  }
}
