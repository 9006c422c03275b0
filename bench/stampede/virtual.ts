/**
 * Everything in virtual time, on as many threads as there are cores. What comes
 * of a task depends on nothing but the task, so the order in which they are
 * done does not show.
 */
import { availableParallelism } from "node:os"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import type { Outcome, Result } from "./report.ts"
import { perform, seed, type Task } from "./run.ts"
import { reference, scenarioOf, scenarios } from "./scenario.ts"
import { strategiesFor } from "./strategies.ts"

/** So many expiries of each, in a short run and in a long one: the more the less one costs. */
const expiries: Readonly<Record<string, readonly [short: number, long: number]>> = {
  hot: [25, 400],
  invalidated: [25, 400],
  cold: [200, 4000],
  "many-keys": [4, 60],
  [reference.id]: [4, 40]
}

const expiriesOf = (id: string, full: boolean): number => (expiries[id] ?? [8, 120])[full ? 1 : 0]

export const tasks = (full: boolean): ReadonlyArray<Task> =>
  (full ? [...scenarios, reference] : scenarios).flatMap((scenario) =>
    strategiesFor(scenario).map((strategy): Task => ({
      scenario: scenario.id,
      strategy: strategy.id,
      expiries: expiriesOf(scenario.id, full),
      seed
    }))
  )

interface Done {
  readonly task: number
  readonly outcome: Outcome
}

/** Does all tasks; `progress` is told of each that is done. */
export const performAll = (
  all: ReadonlyArray<Task>,
  progress: (done: number, of: number, last: Task) => void
): Promise<ReadonlyArray<Result>> =>
  new Promise((resolve, reject) => {
    const outcomes: Array<Outcome> = []
    let [next, done] = [0, 0]
    const workers = Array.from({ length: Math.min(availableParallelism(), all.length) }, () => {
      const worker = new Worker(new URL(import.meta.url))
      const give = (): void => {
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, and no window
        if (next < all.length) worker.postMessage({ number: next, task: all[next++] })
      }
      worker.on("message", ({ outcome, task }: Done) => {
        outcomes[task] = outcome
        progress(++done, all.length, all[task]!)
        if (done < all.length) return give()
        for (const one of workers) void one.terminate()
        resolve(resultsOf(all, outcomes))
      })
      worker.on("error", reject)
      give()
      return worker
    })
  })

const resultsOf = (all: ReadonlyArray<Task>, outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Result> =>
  [...new Set(all.map(({ scenario }) => scenario))].map((id): Result => ({
    world: "virtual",
    scenario: scenarioOf(id),
    outcomes: outcomes.filter((_, i) => all[i]!.scenario === id)
  }))

if (!isMainThread && parentPort !== null) {
  const port = parentPort
  port.on("message", ({ number, task }: { readonly number: number; readonly task: Task }) => {
    port.postMessage({ task: number, outcome: perform(task) } satisfies Done)
  })
}
