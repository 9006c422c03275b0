/**
 * Two releases of this library may meet on one server: during a deploy, or when
 * a new one is started on what an old one has left. They understand each other
 * only if they speak the same protocol: the same format of what is stored, and
 * the same steps. So the number of the protocol lies there, too, and nothing is
 * asked of a store that has another one.
 *
 * It is looked at when the layer is made, after each connection that was made
 * since, and from time to time before a script, since the server may have evicted
 * it. A hit asks for nothing more.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { StoreError } from "../../CacheStore.ts"
import { elapsed } from "../deadline.ts"
import * as Scripts from "./scripts.ts"
import { shared } from "./shared.ts"
import type { Transport } from "./transport.ts"
import type { Names } from "./wire.ts"

/**
 * The protocol of this release. It is another one when a release of the number
 * before would misunderstand what this one writes, or miss what it invalidates.
 */
export const protocol = "1"

// Milliseconds after which a script looks again.
const lookEvery = 60_000

const remedyFor = (found: string, prefix: string): string =>
  `what lies under the prefix "${prefix}" is by protocol ${
    JSON.stringify(found.slice(0, 40))
  } of effect-cache-algebra, and ` +
  `this release speaks ${protocol}: every read loads, and invalidations fail. End the processes of one of the two releases; ` +
  "docs/deploying.md says how to get from one protocol to the next"

/** The transport as long as the store is by the protocol of this release; otherwise nothing is asked by it. */
export const agreeing = (transport: Transport, names: Names, prefix: string): Transport => {
  /** How many connections there had been when the protocol was found to be the same. */
  let met = -1
  let lookedAt = -Infinity
  let told: string | undefined

  const isAgreed = (): boolean => met === transport.connections()

  /** It is asked for as values are, which does not wait where writes wait; and written where there is none. */
  const lookUp: Effect.Effect<string, StoreError> = Effect.suspend(() =>
    Effect.flatMap(transport.get("agree", [names.protocol]), ([found]) =>
      typeof found === "string"
        ? Effect.succeed(found)
        : Effect.map(
          transport.run("agree", Scripts.agree, [names.protocol], [protocol]),
          ([, answer]) => String(answer)
        ))
  )

  /** Notes what was found; gives it. */
  const look = shared(Effect.clockWith((clock) => {
    const now = transport.connections()
    return Effect.flatMap(lookUp, (found) => {
      const warning = found === protocol || told === found
        ? Effect.void
        : Effect.logWarning(`RedisCache: ${remedyFor(found, prefix)}`)
      told = found === protocol ? undefined : found
      met = found === protocol ? now : -1
      if (found === protocol) lookedAt = elapsed(clock)
      return Effect.as(warning, found)
    })
  }))

  const agree = (operation: string, mayHaveHappened: boolean): Effect.Effect<void, StoreError> =>
    Effect.matchEffect(transport.inTime(operation, look), {
      onSuccess: (found) => {
        if (found === protocol) return Effect.void
        const reason = { _tag: "Incompatible", found, spoken: protocol } as const
        const cause = new Error(remedyFor(found, prefix))
        return Effect.fail(new StoreError({ operation, reason, mayHaveHappened, cause }))
      },
      onFailure: (error) =>
        Effect.fail(
          new StoreError({
            operation,
            reason: error.reason,
            cause: error.cause,
            mayHaveHappened: mayHaveHappened || error.mayHaveHappened
          })
        )
    })

  /** A connection may be made while something is sent: its answer counts only if the protocol is the same there, too. */
  const ask = <A>(operation: string, asking: () => Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> => {
    const asked = Effect.flatMap(
      Effect.suspend(asking),
      (answer) => isAgreed() ? Effect.succeed(answer) : Effect.as(agree(operation, true), answer)
    )
    return Effect.suspend(() => isAgreed() ? asked : Effect.andThen(agree(operation, false), asked))
  }

  const script = (run: Transport["run"]): Transport["run"] => (operation, ...call) => {
    const asked = ask(operation, () => run(operation, ...call))
    return Effect.withFiber((fiber) =>
      elapsed(fiber.getRef(Clock.Clock)) - lookedAt < lookEvery ? asked : Effect.andThen(agree(operation, false), asked)
    )
  }

  return {
    ...transport,
    get: (operation, keys) => ask(operation, () => transport.get(operation, keys)),
    time: (operation) => ask(operation, () => transport.time(operation)),
    run: script(transport.run),
    runAcknowledged: script(transport.runAcknowledged),
    settle: (operation) => ask(operation, () => transport.settle(operation)),
    walk: (operation, pattern, each) => ask(operation, () => transport.walk(operation, pattern, each)),
    page: (operation, pattern, count, cursor) =>
      ask(operation, () => transport.page(operation, pattern, count, cursor)),
    publish: (operation, channel, message) => ask(operation, () => transport.publish(operation, channel, message))
  }
}
