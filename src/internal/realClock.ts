import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** The clock of the machine, whatever clock a program is given. */
export const realClock: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

/** What takes real time, as connections do, also under the clock of a test. */
export const inRealTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, realClock)
