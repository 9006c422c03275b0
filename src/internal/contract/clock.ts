/** Laws of time: leases and fences end, entries do not. */
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Instruments } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { long } from "./scene.ts"

/** How long leases and fences last: what is done while they do may take so long, where the clock is a real one. */
const span = 4000

export const clockLaws = <R>(advance: NonNullable<Instruments<R>["advance"]>): ReadonlyArray<Rule<R>> => [
  law("G5", "a lease can be taken when its time is over, and not before", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address, { leaseFor: span })
    yield* advance(400)
    yield* s.isBusy(address, first)
    yield* advance(span)
    const second = yield* s.load(address)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  }, true),

  law("G7", "a fence that ran out still refuses what began under it", function*(s) {
    const address = s.at("a", s.tag("x"))
    const fence = yield* s.fence(Invalidation.dependencies([s.tag("x"), s.tag("y")]), span)
    const [loading, other] = [yield* s.load(address), yield* s.load(s.at("b"))]
    yield* advance(span + 200)
    yield* s.refused(yield* s.commit(loading))
    yield* s.isMissing(address)
    yield* s.refused(yield* s.commit(other, { found: [s.tag("y")] }))
    yield* s.isMissing(s.at("b"))
    yield* expect(!(yield* s.lift(fence)), () => "the fence ran out, and lifting it said that it stood")
  }, true),

  law("port", "what begins after a fence ran out is stored", function*(s) {
    const address = s.at("a", s.tag("x"))
    yield* s.fence(Invalidation.dependencies(s.tag("x")), span)
    yield* advance(span + 200)
    yield* s.serves(address, yield* s.put(address))
  }, true),

  law("G7", "a fence that ran out was no shelter: lifting it says so, whatever happened meanwhile", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")), span)
    yield* advance(span + 200)
    yield* s.put(s.at("a", s.tag("x")))
    yield* s.invalidate(Invalidation.dependencies(s.tag("x")))
    yield* expect(!(yield* s.lift(fence)), () => "the fence ran out, and lifting it said that it stood")
  }, true),

  law("port", "an entry outlives its lease, and time alone changes nothing about it", function*(s) {
    const address = s.at("a", s.tag("x"))
    const loading = yield* s.load(address, { leaseFor: span })
    const draft = yield* s.finish(loading, { expiresAt: (yield* s.now) + long })
    yield* advance(span + 200)
    yield* s.serves(address, draft)
  }, true)
]
