/**
 * When to try again: after a while, then twice as long each time, and no longer than this.
 */
import type * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"

export const backoff = (first: Duration.Input, longest: Duration.Input): Schedule.Schedule<unknown> =>
  Schedule.min([Schedule.exponential(first), Schedule.spaced(longest)])
