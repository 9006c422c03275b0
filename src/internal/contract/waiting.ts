/** Waiting for what a store announces. */
import * as Effect from "effect/Effect"
import { inRealTime } from "../realClock.ts"
import { broken, type Instruments, type Step } from "./law.ts"

/** Under a test clock nothing would ever be too late. */
export const pause = (millis: number): Effect.Effect<void> => inRealTime(Effect.sleep(millis))

/** Waits for what a store is to announce. A store that polls by the provided clock needs it to move meanwhile. */
export interface Waiting<R> {
  readonly advance: Instruments<R>["advance"] | undefined
  readonly patience: number
}

const turns = 10

export const soon = <A, R>(what: string, awaited: Step<A>, { advance, patience }: Waiting<R>): Step<A, R> => {
  const rest = pause(patience / turns)
  const turn = advance === undefined ? rest : Effect.andThen(advance(1000), rest)
  const late = Effect.andThen(
    Effect.forEach(Array.from({ length: turns }), () => turn, { discard: true }),
    broken(`${what} should have been announced, and was not`)
  )
  return Effect.raceFirst(awaited, late)
}
