/** Every contender of the benchmarks in memory does what it is measured for: a benchmark that does not run tells nothing. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fillingCapacity, fillingTable } from "../bench/measure/filling.ts"
import type { Table } from "../bench/measure/harness.ts"
import { hitTables, libraryTables } from "../bench/measure/hits.ts"
import { judgingTables } from "../bench/measure/judging.ts"
import { memory } from "../bench/measure/subjects.ts"

const runAll = (tables: ReadonlyArray<Table>) =>
  Effect.promise(async () => {
    for (const { contenders } of tables) for (const { run } of contenders) await run(3)
  })

describe("benchmarks run", () => {
  it.live("hits", () =>
    Effect.gen(function*() {
      const services = yield* memory()
      yield* runAll(yield* Effect.provideContext(hitTables(services, true), services))
      yield* runAll(yield* Effect.provideContext(libraryTables(services), services))
    }))

  it.live("judging, and filling", () =>
    Effect.gen(function*() {
      yield* runAll(judgingTables())
      yield* runAll([yield* fillingTable(yield* memory({ capacity: fillingCapacity }))])
    }))
})
