/** The versions that a read or a load compares with. */
import * as Effect from "effect/Effect"
import type { Kind, Versions } from "../definition.ts"
import { toVersion, type Version } from "../stamp.ts"
import type { AnyEffect, Definition } from "./definitions.ts"
import * as Loading from "./loading.ts"
import { circleOf, type Read } from "./read.ts"

const noVersions: Versions = { value: {}, failure: {} }

const readAll = (
  definition: Definition,
  kind: Kind | undefined,
  key: unknown
): AnyEffect<Record<string, Version>> => {
  if (kind === undefined || kind.plan.computed.length === 0) return Effect.succeed({})
  return Effect.map(
    Effect.forEach(kind.plan.computed, ({ current, name, slot }) =>
      Effect.suspend(() => {
        const answer = current(key as never)
        const asVersion = (version: unknown) =>
          [slot, toVersion(`the policy of "${definition.name}"`, name, version)] as const
        return Effect.isEffect(answer)
          ? Effect.map(answer as AnyEffect, asVersion)
          : Effect.sync(() => asVersion(answer))
      })),
    (all) => Object.fromEntries(all)
  )
}

/**
 * Versions are read before the entry and before a load, so what is stamped is never newer than what was loaded. A policy may
 * read the cache for them, and a read that needs its own versions for that would not end.
 */
export const currentVersions = (read: Read): AnyEffect<Versions> => {
  const { address: { input }, definition, place, reader } = read
  if (!definition.hasVersions) return Effect.succeed(noVersions)
  return Effect.suspend(() => {
    const around = Loading.loadedAround(reader, place, "versions")
    if (around?._tag === "Circle") return Effect.die(circleOf(around.keys))
    const versions = Effect.zipWith(
      readAll(definition, definition.value, input),
      readAll(definition, definition.failures, input),
      (value, failure) => ({ value, failure })
    )
    return Loading.inside(versions, read.within("versions"))
  })
}

const same = (a: Versions["value"], b: Versions["value"]): boolean =>
  a === b || Object.keys(a).every((slot) => a[slot] === b[slot])

export const sameVersions = (a: Versions, b: Versions): boolean => same(a.value, b.value) && same(a.failure, b.failure)
