/** Laws before they have keys, and how they are given some. */
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as CacheService from "../../CacheService.ts"
import type * as CacheStore from "../../CacheStore.ts"
import { inside } from "../service/model.ts"
import { type Broken, ContractViolation, type Guarantee, type Law, type Step } from "./law.ts"
import { Scene } from "./scene.ts"

type Body<R> = (scene: Scene) => Generator<Effect.Effect<unknown, Broken | CacheStore.StoreError, R>, void, never>

/** A law before it has keys. */
export interface Rule<R> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly alone: boolean
  readonly run: (scene: Scene, fresh: () => string) => Step<void, R>
}

export const law = <R = never>(guarantee: Guarantee, name: string, body: Body<R>, alone = false): Rule<R> => ({
  name,
  guarantee,
  alone,
  run: (scene) => Effect.ensuring(Effect.gen(() => body(scene)), scene.leave)
})

const toViolation = (law: Rule<never>, error: Broken | CacheStore.StoreError): ContractViolation => {
  const { message, operations = [], seed } = error._tag === "Broken" ? error : { message: error.message }
  const replay = seed === undefined ? "" : `\nWith seed ${seed}, after\n${operations.join("\n")}`
  return new ContractViolation({
    law: law.name,
    guarantee: law.guarantee,
    message: `${law.name} (${law.guarantee}): ${message}${replay}`,
    ...(seed === undefined ? {} : { seed, operations })
  })
}

/** Gives the laws their keys: a function of the prefix, the law, and how often it ran. */
export const settle = <R>(rules: ReadonlyArray<Rule<R>>, prefix = "contract"): ReadonlyArray<Law<R>> => {
  let runs = 0
  return rules.map((rule) => {
    const fresh = () => {
      const text = `${prefix} ${rule.name} ${++runs}`
      return `${prefix}-${runs}-${(Hash.string(text) >>> 0).toString(36)}`
    }
    const check = Effect.flatMap(
      CacheService.CacheService,
      (service) => rule.run(new Scene(inside(service), fresh()), fresh)
    )
    return {
      name: rule.name,
      guarantee: rule.guarantee,
      alone: rule.alone,
      check: Effect.mapError(check, (error) => toViolation(rule as Rule<never>, error))
    }
  })
}
