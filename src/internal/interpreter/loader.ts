/** Ways to load what is missing, and how much of it at once. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { atOnce } from "../limits.ts"
import { slices } from "../slices.ts"
import type { AnyEffect, Definition } from "./definitions.ts"
import type { Lookup } from "./loads.ts"

/**
 * How the keys that are missing are loaded: one by one, or several by one call.
 *
 * - `size`: the most keys of one call.
 * - `calls`: so many run at once.
 */
export interface Loader {
  readonly batches: boolean
  readonly size: number
  readonly calls: number
  readonly lookup: Lookup
}

export const oneByOne = (definition: Definition): Loader => ({
  batches: false,
  size: 1,
  calls: atOnce,
  lookup: (addresses) => Effect.map(Effect.exit(definition.lookupOne(addresses[0]!.input)), (exit) => [exit])
})

/** Loads several keys by one call, for a definition with a `lookupMany`. */
export const inBatches = (definition: Definition): Loader => ({
  batches: true,
  size: definition.batchSize,
  calls: 1,
  lookup: lookupMany(definition)
})

/** Does something for as many keys as one call may load, and then for the next. */
export const byCalls = <A>(
  all: ReadonlyArray<A>,
  { calls, size }: Loader,
  act: (some: ReadonlyArray<A>) => AnyEffect<unknown>
): AnyEffect<void> =>
  all.length === 0
    ? Effect.void
    : all.length <= size
    ? Effect.asVoid(act(all))
    : Effect.forEach(slices(all, size), act, { concurrency: calls, discard: true })

const lookupMany = (definition: Definition): Lookup => (addresses) =>
  Effect.map(Effect.exit(definition.lookupMany!(addresses.map(({ input }) => input))), (exit) => {
    if (Exit.isFailure(exit)) return addresses.map(() => exit)
    if (exit.value.length !== addresses.length) {
      // Thrown, not given as results: it is not known which result belongs to which key, so those who joined look again.
      throw new Error(
        `lookupMany of "${definition.name}" gave ${exit.value.length} results for ${addresses.length} keys`
      )
    }
    return exit.value.map((result) =>
      Result.isSuccess(result) ? Exit.succeed(result.success) : Exit.fail(result.failure)
    )
  })
