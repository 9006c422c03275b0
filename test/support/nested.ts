/** Cached reads within cached reads: a site that shows a page that shows a card. */
import { it } from "@effect/vitest"
import { Effect, Layer, Random, Schema } from "effect"
import type { Scope } from "effect"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { type Down, memory, Origin, text } from "./cached.ts"
import { makeMarkerStore } from "./markerStore.ts"
import { serviceOn } from "./port.ts"

/** Lets every fiber run that can, also where each operation of the store is several turns. */
export const settle = Effect.asVoid(Effect.repeat(Effect.yieldNow, { times: 200 }))

export const inSteps = Layer.fresh(serviceOn(makeMarkerStore({ split: true })))

/** Cards in one store, whose steps come apart, and what shows them in two others. */
const inSeveral = Layer.fresh(Layer.provide(
  CacheService.layer(),
  CacheStore.route({
    default: MemoryCache.layerStore({ capacity: 1000 }),
    routes: {
      card: Layer.effect(CacheStore.CacheStore, makeMarkerStore({ split: true })),
      site: TestCache.layerStore()
    }
  })
))

/** One test on each store; the last two invalidate in several steps. */
export const onEvery = (
  name: string,
  test: () => Effect.Effect<unknown, unknown, CacheService.CacheService | Scope.Scope>
): void => {
  for (const [store, layer] of Object.entries({ memory, text, steps: inSteps, routed: inSeveral })) {
    it.effect(`${name} [${store}]`, () => Effect.provide(Random.withSeed(test(), "seed"), layer))
  }
}

export const value = Schema.String

export interface Parts {
  readonly card?: Policy.Policy<string, string>
  readonly page?: Policy.Policy<string, string>
  readonly options?: Partial<Cached.Options<string, string, Down, never>>
}

/** A card, a page that shows it, and a site that shows the page. */
export const nest = ({ card: ofCard = Policy.tagged("t"), options, page: ofPage = Policy.tagged("t") }: Parts = {}) => {
  const origin = new Origin<string, Down>("old")
  const made = { page: 0, site: 0 }
  const key = Key.string("id")
  const card = Cached.make("card", { key, value, lookup: () => origin.load, ...options }, ofCard)
  const showing = (
    name: "page" | "site",
    part: Cached.Cached<string, string, Down, CacheService.CacheService>,
    tag: string
  ) =>
    Cached.make(name, {
      key,
      value,
      lookup: (id) =>
        Effect.suspend(() => {
          made[name]++
          return Effect.map(Cached.get(part, id), (text) => `<${tag}>${text}</${tag}>`)
        })
    }, ofPage)
  const page = showing("page", card, "p")
  const site = showing("site", page, "html")
  return { card, made, origin, page, site }
}

/** Reads until nothing is refreshed behind one's back. */
export const readOut = <V, E, R>(self: Cached.Cached<string, V, E, R>) =>
  Effect.andThen(Effect.exit(Cached.get(self, "a")), Effect.andThen(settle, Cached.get(self, "a")))

export const verdictOf = <V, E, R>(self: Cached.Cached<string, V, E, R>) =>
  Effect.map(Cached.explain(self, "a"), ({ verdict }) => verdict)
