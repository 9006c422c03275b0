/** What is counted and logged of loads and of a store that fails. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Outcome, StoreError } from "../../CacheStore.ts"
import type { Counters } from "../counters.ts"
import type { Definition, KeyAddress } from "../definition.ts"
import type { Service } from "../service/model.ts"

export const resultOf = (exit: Exit.Exit<unknown, unknown>): "success" | "failure" | "defect" | "interrupted" =>
  Exit.isSuccess(exit)
    ? "success"
    : Exit.hasDies(exit)
    ? "defect"
    : Cause.hasInterruptsOnly(exit.cause)
    ? "interrupted"
    : "failure"

/** Warns that something is served but not cached. */
export const warnUnwritable = (definition: Definition): Effect.Effect<void> =>
  Effect.logWarning(`a value of "${definition.name}" cannot be encoded and is not cached`)

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
  if (result === "failure" || result === "defect") counters.loadFailures++
  const { definition: { name }, key } = address
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
