/** What is counted and logged of loads and of a store that fails. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Outcome, StoreError } from "../../CacheStore.ts"
import * as Key from "../../Key.ts"
import type { Counters } from "../counters.ts"
import { elapsed } from "../deadline.ts"
import { type Definition, isCachedFailure, type KeyAddress } from "../definition.ts"
import type { Service } from "../service/model.ts"

export const resultOf = (exit: Exit.Exit<unknown, unknown>): "success" | "failure" | "defect" | "interrupted" =>
  Exit.isSuccess(exit)
    ? "success"
    : Exit.hasDies(exit)
    ? "defect"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : "failure"

/** What was loaded is served and not stored: it cannot be written, would be read as something else, or depends on too much. */
export const reportUnwritable = (
  service: Service,
  counters: Counters,
  { definition: { name }, key, place }: KeyAddress,
  because: string
): Effect.Effect<void> =>
  Effect.clockWith((clock) => {
    counters.unwritable++
    service.publish({ _tag: "Unwritable", name, key, because })
    const untold = service.unwritten.add(name, place, { because, at: elapsed(clock) })
    if (untold === undefined) return Effect.void
    const more = untold === 0 ? "" : `; ${untold} more of "${name}" since the last warning`
    return Effect.logWarning(`${Key.format(key)} is served and not stored: ${because}${more}`)
  })

/** Says of a definition, once, which values its schema cannot keep apart when it writes them as text. */
export const reportAmbiguous = (service: Service, { failures, name, value }: Definition): Effect.Effect<void> => {
  if (!service.unwritten.isFirst(name)) return Effect.void
  const pairs = [value, ...failures === undefined ? [] : [failures]].flatMap(({ codec }) => codec.ambiguity().pairs)
  return pairs.length === 0
    ? Effect.void
    : Effect.logWarning(
      `the schema of "${name}" writes as the same text: ${pairs.join("; ")}. ` +
        "A value that would come back as another is served and not stored"
    )
}

/** Says of a definition, once, that two releases drop each other's entries in turn. */
export const reportOtherShape = (service: Service, { name, version }: Definition): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (service.otherShapes.has(name)) return Effect.void
    service.otherShapes.add(name)
    const remedy = version === undefined ? "a `version`" : "another `version`"
    return Effect.logWarning(
      `an entry of "${name}" was written under another schema, and is dropped. ` +
        `Where two releases run side by side, each drops the entries of the other: give the definition ${remedy}`
    )
  })

export const reportLoad = (
  service: Service,
  counters: Counters,
  address: KeyAddress,
  exit: Exit.Exit<unknown, unknown>,
  millis: number,
  outcome: Outcome | "unsaved"
): void => {
  counters.loads++
  const result = resultOf(exit)
  const { definition, definition: { name }, key } = address
  // A failure that is cached is an answer: "there is no such film".
  const isAnswer = Exit.isSuccess(exit) || isCachedFailure(definition, exit.cause)
  if (!isAnswer && result !== "interrupted") counters.loadFailures++
  if (outcome === "invalidated" || outcome === "lost") {
    counters.refused++
    service.publish({ _tag: "Refused", name, key, outcome })
  }
  service.publish({ _tag: "Load", name, key, millis, result, outcome })
}

export const reportStoreFailure = (service: Service, counters: Counters, error: StoreError): void => {
  counters.storeFailures++
  service.publish({ _tag: "StoreFailed", error })
}
