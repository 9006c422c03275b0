import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * Runs once for all who need it at the same time, and to its end, whoever gives up waiting for it: what a far server answers
 * late is known from then on, and not asked for again by each reader, and each time too late.
 */
export const shared = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  let running: Fiber.Fiber<A, E> | undefined
  return Effect.withFiber((fiber) => {
    if (running !== undefined) return Fiber.join(running)
    const mine = running = Effect.runForkWith(fiber.context)(effect)
    mine.addObserver(() => {
      if (running === mine) running = undefined
    })
    return Fiber.join(mine)
  })
}
