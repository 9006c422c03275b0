/** Laws of reads that race something: what a store or a tier keeps of them must not be old afterwards. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import type { Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import type { Scene } from "./scene.ts"

/** How often something is raced, each time with other steps of one between those of the other. */
export const raceRounds = 12

const later = <A>(turns: number, effect: Step<A>): Step<A> =>
  Effect.andThen(Effect.forEach(Array.from({ length: turns }), () => Effect.yieldNow, { discard: true }), effect)

/**
 * Reads while something is done. One of them begins some turns after the other, another number in each round: a store
 * that keeps what it read, as a tier does, is then seen between any two of its steps.
 */
export const whileRead = <A>(s: Scene, address: CacheStore.Address, round: number, done: Step<A>): Step<A> => {
  const turns = round >> 1
  const [reads, act] = round % 2 === 0 ? [0, turns] : [turns, 0]
  const read = later(reads, s.read(address))
  return Effect.map(
    Effect.all([read, later(reads + 1, s.read(address)), later(act, done)], { concurrency: "unbounded" }),
    ([, , result]) => result
  )
}

const past = (s: Scene): Effect.Effect<{ readonly expiresAt: number }> =>
  Effect.map(s.now, (now) => ({ expiresAt: now - 1000 }))

export const raceLaws: ReadonlyArray<Rule<never>> = [
  law("G6", "a read that races a commit keeps nothing older", function*(s) {
    const address = s.at("a", s.tag("known"))
    for (let round = 0; round < raceRounds; round++) {
      yield* s.fill(address)
      const loading = yield* s.load(address, { force: true })
      const draft = yield* whileRead(s, address, round, s.finish(loading))
      yield* s.serves(address, draft)
    }
  }),

  law("G6", "a read that races a commit of what is past its time keeps nothing older", function*(s) {
    const address = s.at("a")
    for (let round = 0; round < raceRounds; round++) {
      yield* s.fill(address)
      const loading = yield* s.load(address, { force: true })
      const outcome = yield* whileRead(s, address, round, s.commit(loading, yield* past(s)))
      yield* s.outcome(outcome, "unstored")
      yield* s.isMissing(address)
    }
  }),

  law("G2", "a read that races a begin which drops the entry does not bring it back", function*(s) {
    const address = s.at("a")
    for (let round = 0; round < raceRounds; round++) {
      const { token } = yield* s.fill(address)
      const loading = yield* whileRead(s, address, round, s.load(address, { seen: token, drop: true }))
      yield* s.isMissing(address)
      yield* s.store.abandon(address, loading.lease.token)
    }
  })
]
