/**
 * What a load costs on Redis by how much its value depends on. Storing it is one
 * script, which looks at each dependency, and the server does nothing else
 * meanwhile: that is why an entry may depend on 2000 names and no more.
 */
import { Effect, Layer, Schema } from "effect"
import { Cached, Key, Policy } from "../../src/index.ts"
import { mostDependencies } from "../../src/internal/limits.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import type { Contender, Table } from "./harness.ts"

const counts = [1, 20, 200, mostDependencies]

const tagged = Cached.make("tagged", {
  key: Key.int("count"),
  value: Schema.Int,
  lookup: Effect.succeed
}, Policy.tagged({ fromValue: (count) => Array.from({ length: count }, (_, i) => `tag:${i}`) }))

const nameOf = (operation: string, count: number): string => `ours: a ${operation} with ${count} tags`

export const listsTitle = "redis loads and hits by how much they depend on"

/** Loads that replace what is stored, and hits of them. */
export const listsTable = (url: string, use: (table: Table) => Promise<void>) =>
  Effect.gen(function*() {
    const services = yield* Effect.flatMap(
      Effect.scope,
      (scope) => Layer.buildWithScope(RedisCache.layer({ url, prefix: "lists" }), scope)
    )
    const run = Effect.runPromiseWith(services)
    const contender = (name: string, act: () => Promise<unknown>): Contender => ({
      name,
      run: async (n) => {
        for (let i = 0; i < n; i++) await act()
      }
    })
    yield* Effect.promise(() => run(Effect.forEach(counts, (count) => Cached.get(tagged, count))))
    const table: Table = {
      title: listsTitle,
      note: "Time of one load, or of one hit, one after another. The tags are found in the value.",
      reference: nameOf("load", counts[0]!),
      contenders: [
        ...counts.map((count) => contender(nameOf("load", count), () => run(Cached.refresh(tagged, count)))),
        ...counts.map((count) => contender(nameOf("hit", count), () => run(Cached.get(tagged, count))))
      ]
    }
    yield* Effect.promise(() => use(table))
  })
