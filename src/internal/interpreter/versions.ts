/** The versions that a read or a load compares with. */
import * as Effect from "effect/Effect"
import type { Kind, Versions } from "../definition.ts"
import { toVersion, type Version } from "../stamp.ts"
import type { AnyEffect, Definition } from "./definitions.ts"

const noVersions: Versions = { value: {}, failure: {} }

const read = (
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

/** Versions are read before the entry and before a load, so what is stamped is never newer than what was loaded. */
export const currentVersions = (definition: Definition, key: unknown): AnyEffect<Versions> =>
  definition.hasVersions
    ? Effect.zipWith(
      read(definition, definition.value, key),
      read(definition, definition.failures, key),
      (value, failure) => ({ value, failure })
    )
    : Effect.succeed(noVersions)

const same = (a: Versions["value"], b: Versions["value"]): boolean =>
  a === b || Object.keys(a).every((slot) => a[slot] === b[slot])

export const sameVersions = (a: Versions, b: Versions): boolean => same(a.value, b.value) && same(a.failure, b.failure)
