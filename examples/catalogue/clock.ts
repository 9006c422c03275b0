/**
 * A clock that stands still until it is set ahead: six minutes later, and nobody has waited. Whoever sleeps, and whoever
 * measures, still goes by the clock of the machine.
 */
import { Clock, Duration, Effect } from "effect"

export const make = Effect.map(Clock.Clock, (real) => {
  let millis = real.currentTimeMillisUnsafe()
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => millis,
    currentTimeMillis: Effect.sync(() => millis),
    currentTimeNanosUnsafe: () => BigInt(millis) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe()),
    monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: real.monotonicTimeNanos,
    sleep: (duration) => real.sleep(duration)
  }
  const setAhead = (by: Duration.Input) =>
    Effect.sync(() => {
      millis += Duration.toMillis(by)
    })
  return { clock, setAhead }
})
