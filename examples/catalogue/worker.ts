/**
 * One of two processes that share a cache on Redis. It does what its parent says, and tells what that took.
 */
import { Config, Effect, Layer } from "effect"
import { Cached, type CacheService, Change, Invalidation } from "../../src/index.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import type { Answer } from "./audit.ts"
import * as Catalogue from "./Catalogue.ts"
import { Database } from "./Database.ts"
import type { Film } from "./Film.ts"
import * as Origin from "./Origin.ts"
import * as Stage from "./stage.ts"

/** What the parent may ask for. */
export type Command =
  | { readonly _tag: "Films" | "Cards"; readonly keys: ReadonlyArray<number> }
  | { readonly _tag: "Lists"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "Years" | "Report" }
  | { readonly _tag: "Edit"; readonly id: number; readonly changes: Partial<Omit<Film, "id">> }
  | { readonly _tag: "Rescore"; readonly genre: string; readonly by: number }
  | { readonly _tag: "Glance"; readonly ids: ReadonlyArray<number> }
  | { readonly _tag: "Explain"; readonly id: number }

/** What a question to the cache took, and how many of its answers the database did not agree with. */
export type Took = Omit<Answer<unknown, unknown>, "results">

/** What came of it all. */
export interface Report {
  readonly rows: ReadonlyArray<readonly [name: string, ...numbers: ReadonlyArray<string | number>]>
  readonly reads: number
  readonly wrong: number
  readonly queries: number
  readonly queriesWithout: number
}

const took = ({ results: _, ...took }: Answer<unknown, unknown>): Took => took

const obey = (stage: Effect.Success<typeof Stage.make>) => (command: Command) =>
  Effect.gen(function*() {
    switch (command._tag) {
      case "Films":
        return took(yield* stage.films(command.keys))
      case "Cards":
        return took(yield* stage.cards(command.keys))
      case "Lists":
        return took(yield* stage.lists(command.keys))
      case "Years":
        return took(yield* stage.statistics)
      case "Edit": {
        const change = yield* stage.edit(command.id, command.changes)
        return `${Change.format(change)}: ${Invalidation.changes(change)}`
      }
      case "Rescore":
        return yield* stage.rescore(command.genre, command.by)
      // Reads while somebody writes: the answers may be the old or the new ones, so nobody looks at them.
      case "Glance":
        yield* Effect.forEach(command.ids, (id) => Effect.result(Cached.get(Catalogue.film, id)), {
          concurrency: "unbounded"
        })
        return undefined
      case "Explain":
        return (yield* Cached.explain(Catalogue.film, command.id)).toString()
      case "Report": {
        const { queriesWithout, reads, wrong } = stage.total
        const { queries } = yield* Database
        return {
          rows: [...yield* Cached.stats()].map(([name, { hitRate, hits, loads, loadsAvoided, reads }]) =>
            [name, reads, hits, loads, loadsAvoided, `${(100 * hitRate).toFixed(1)} %`] as const
          ),
          reads,
          wrong,
          queries: yield* queries,
          queriesWithout
        } satisfies Report
      }
    }
  })

/** The parent ends a process by letting go of it, also when it ends itself. */
const untilLetGo = Effect.callback<void>((resume) => {
  if (process.connected) process.once("disconnect", () => resume(Effect.void))
  else resume(Effect.void)
})

type Obey = (command: Command) => Promise<unknown>

let begin: (obey: Obey) => void
const begun = new Promise<Obey>((resolve) => {
  begin = resolve
})
const ask = Origin.converse(process, async (command) => (await begun)(command as Command))

const program = Effect.gen(function*() {
  const stage = yield* Stage.make
  const context = yield* Effect.context<Database | CacheService.CacheService>()
  begin((command) => Effect.runPromiseWith(context)(obey(stage)(command)))
  yield* untilLetGo
})

const layer = Layer.mergeAll(
  Database.layerOf(Origin.remote(ask)),
  RedisCache.layerConfig({
    url: Config.Redacted("REDIS_URL"),
    prefix: Config.String("CACHE_PREFIX"),
    // Queries are counted here, and a machine that stalls is no server that has failed.
    timeLimit: Config.succeed("10 seconds")
  })
)

await Effect.runPromise(Effect.scoped(Effect.provide(program, layer)))
