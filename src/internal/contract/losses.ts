/** Laws of losses: whatever a store loses costs loads, and nothing else. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Losable, type Lose, losses } from "./law.ts"
import { coverings, Nest, rounds } from "./nested.ts"
import { law, type Rule } from "./rule.ts"
import { isHard, type Scene } from "./scene.ts"
import { covered, finding, targets } from "./targets.ts"

/** Laws that hold whatever is lost, and at whatever point. */
export const lossLaws = <R>(lose: Lose<R>): ReadonlyArray<Rule<R>> =>
  losses(lose).flatMap(([what, way]) => {
    const lost = (s: Scene, address: CacheStore.Address) => way(address.key, [...address.known, s.tag("found")])
    // The journal belongs to all loads.
    const alone = what === "journal" || what === "markers"
    return [
      ...targets.map(({ alone: everything, invalidate, name }) =>
        law<R>("G9", `losing the ${what} revives nothing that ${name} ended`, function*(s) {
          const address = covered(s)
          yield* s.put(address, finding(s))
          yield* invalidate(s, "hard")
          yield* lost(s, address)
          yield* s.isDead(address)
          // What was lost is made again when it is needed next.
          yield* s.put(s.at("next", s.tag("known")), finding(s))
          yield* s.isDead(address)
        }, alone || everything)
      ),

      ...targets.map(({ alone: everything, invalidate, name }) =>
        law<R>("G9", `losing the ${what} lets no load through that ${name} voids`, function*(s) {
          const voided = invalidate(s, "hard")
          const lostOne = lost(s, covered(s))
          const next = s.put(s.at("next", s.tag("known")), finding(s))
          const orders = [[voided, lostOne], [lostOne, voided], [lostOne, voided, lostOne], [voided, lostOne, next]]
          for (const order of orders) {
            const loading = yield* s.load(covered(s), { force: true })
            for (const one of order) yield* one
            yield* s.refused(yield* s.commit(loading, finding(s)))
            yield* s.isDead(covered(s))
          }
        }, alone || everything)
      ),

      law<R>(
        "G9",
        `losing the ${what} lets no load through that a fence voids, or the fence owns up to it`,
        function*(s) {
          const address = covered(s)
          for (const before of [true, false]) {
            const fence = yield* s.fence(Invalidation.dependencies([s.tag("known"), s.tag("found")]))
            if (before) yield* lost(s, address)
            const loading = yield* s.load(address, { force: true })
            if (!before) yield* lost(s, address)
            const outcome = yield* s.commit(loading, finding(s))
            const entry = yield* s.read(address)
            const stored = outcome === "stored" || (entry !== undefined && !isHard(entry))
            const stood = yield* s.lift(fence)
            yield* expect(
              !stored || (before && !stood),
              () =>
                `what began under the fence was ${outcome}, and lifting it said that it ${stood ? "stood" : "was lost"}`
            )
          }
        },
        alone
      ),

      law<R>("G9", `after losing the ${what} a load is stored again`, function*(s) {
        const address = covered(s)
        yield* s.put(address, finding(s))
        yield* lost(s, address)
        const draft = yield* s.put(address, finding(s))
        yield* s.serves(address, draft)
        yield* s.invalidate(Invalidation.dependencies(s.tag("known")))
        yield* s.isDead(address)
      }, alone),

      law<R>("G9", `losing the ${what} of one key leaves the entries of others`, function*(s) {
        const [address, other] = [covered(s), s.at("other", s.tag("unlike"))]
        const draft = yield* s.put(other)
        yield* s.put(address, finding(s))
        yield* lost(s, address)
        yield* s.serves(other, draft)
      }, alone)
    ]
  })

/** A fence that was lost sheltered nothing. */
export const nestedLossLaws = <R>(way: NonNullable<Lose<R>[Losable]>): ReadonlyArray<Rule<R>> =>
  Object.entries(coverings).map(([name, over]) =>
    law<R>(
      "G9",
      `losing the journal serves nothing that was made of an old entry while ${name} is invalidated`,
      function*(s) {
        const nest = new Nest(s)
        const lose = Effect.suspend(() => Effect.andThen(way(nest.addresses[0]!.key, []), Effect.yieldNow))
        for (let round = 0; round < rounds; round++) {
          const invalidated = Effect.suspend(() => s.invalidate(over(nest)))
          const losing = Effect.forEach(Array.from({ length: round % 3 }), () => lose, { discard: true })
          yield* nest.round(round, Effect.all([invalidated, losing], { concurrency: "unbounded" }))
        }
        yield* nest.isKept
      },
      true
    )
  )

export const leaseLossLaw = <R>(way: NonNullable<Lose<R>[Losable]>): Rule<R> =>
  law("G9", "a load whose lease was lost stores nothing over a later one", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    yield* way(address.key, [])
    const second = yield* s.load(address)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  })
