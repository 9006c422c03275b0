/** What a test of invalidation asks: not which calls were made, but what readers see. */
import { Effect } from "effect"
import { isDeepStrictEqual } from "node:util"
import * as Site from "../Site.ts"

// #region wrong
/** Fills the cache with all that the site shows, writes, and gives the keys whose answer is not the database's. */
export const wrongAfter = <E, R>(write: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    const questions = (yield* Effect.forEach(Site.reads, (read) => read.questions)).flat()
    yield* Effect.forEach(questions, ({ cached }) => Effect.result(cached))
    yield* write
    const wrong = yield* Effect.filter(questions, ({ cached, fresh }) =>
      Effect.zipWith(
        Effect.result(cached),
        Effect.result(fresh),
        (seen, there) => !isDeepStrictEqual(seen, there)
      ))
    return wrong.map(({ key }) => key)
  })
// #endregion
