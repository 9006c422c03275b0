import { defineConfig } from "vitest/config"
import { tally } from "./test/support/reporter.ts"
import { LongestFirst } from "./test/support/sequence.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // What the documentation's examples become; `test/docs/snippets.servers.test.ts` imports it.
    exclude: ["**/node_modules/**", "test/.snippets/**"],
    globalSetup: ["test/setup/redis.ts", "test/setup/postgres.ts", "test/setup/browser.ts"],
    // Much of a run is waiting for servers and processes: a core that is kept free for the rest is idle half of the time.
    maxWorkers: "100%",
    sequence: { sequencer: LongestFirst },
    // What hangs fails; what is slow does not: the longest takes a quarter of a minute, on a busy machine a whole one.
    testTimeout: 180_000,
    hookTimeout: 120_000,
    reporters: process.env.CI === undefined ? ["default"] : ["default", tally]
  }
})
