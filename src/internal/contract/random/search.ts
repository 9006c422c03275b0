/** Searches for operations that break a store, and for the fewest of them that do. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { Broken, type Guarantee, type Instruments, losses, type Options } from "../law.ts"
import type { Rule } from "../rule.ts"
import { Scene } from "../scene.ts"
import { Draw, type Operation } from "./operation.ts"
import { Play } from "./play.ts"

/** How a sequence of operations went wrong, and what happened until then. */
interface Failure {
  readonly message: string
  readonly played: ReadonlyArray<Operation>
  readonly log: ReadonlyArray<string>
}

const playAll = (play: Play, operations: ReadonlyArray<Operation>): Effect.Effect<Failure | undefined> =>
  Effect.gen(function*() {
    for (const [i, operation] of operations.entries()) {
      const result = yield* Effect.result(play.play(operation))
      if (Result.isSuccess(result)) continue
      // The same words each time, whatever names the run was given.
      const plain = (text: string) => text.replaceAll(`tag ${play.scene.space} `, "")
      return { message: plain(result.failure.message), played: operations.slice(0, i + 1), log: play.log.map(plain) }
    }
    return undefined
  })

/** Takes out operations, many at once and then fewer, until none can be spared. */
const shrink = Effect.fnUntraced(function*(
  failure: Failure,
  attempt: (operations: ReadonlyArray<Operation>) => Effect.Effect<Failure | undefined>
) {
  let least = failure
  for (let size = Math.ceil(least.played.length / 2); size > 0;) {
    const before = least.played.length
    for (let start = 0; start < least.played.length;) {
      const fewer = yield* attempt(least.played.toSpliced(start, size))
      if (fewer === undefined) start += size
      else least = fewer
    }
    // What was taken out last may have been all that another one was needed for.
    if (size > 1) size = Math.ceil(size / 2)
    else if (least.played.length === before) size = 0
  }
  return least
})

export const randomLaw = <R>(name: string, guarantee: Guarantee, options: Options<R>): Rule<R> => {
  const { exact = true, runs = 40, seed = 1, steps = 40 } = options
  // What the instruments need is there whenever the law runs.
  const instruments = (options.instruments ?? {}) as Instruments<never>
  const strict = exact && losses(instruments.lose ?? {}).length === 0
  return {
    name,
    guarantee,
    alone: instruments.advance !== undefined || instruments.lose?.journal !== undefined ||
      instruments.lose?.markers !== undefined,
    run: (scene, fresh) => {
      const attempt = (operations: ReadonlyArray<Operation>) =>
        Effect.suspend(() => {
          const stage = new Scene(scene.service, fresh())
          return Effect.ensuring(playAll(new Play(stage, instruments, strict), operations), stage.leave)
        })
      return Effect.gen(function*() {
        for (let run = seed; run < seed + runs; run++) {
          const random = yield* Random.withSeed(Effect.map(Random.Random, (random) => random), run)
          const draw = new Draw(random, instruments)
          const failure = yield* attempt(Array.from({ length: steps }, () => draw.operation()))
          if (failure === undefined) continue
          const { log, message } = yield* shrink(failure, attempt)
          return yield* new Broken({ message, seed: run, operations: log })
        }
      })
    }
  }
}
