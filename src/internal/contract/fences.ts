/** Laws of fences: what begins under one is not stored. */
import * as Invalidation from "../../Invalidation.ts"
import { expect } from "./law.ts"
import { law, type Rule } from "./rule.ts"

export const fenceLaws: ReadonlyArray<Rule<never>> = [
  law("G7", "lifting a fence says whether it stood", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    yield* expect(yield* s.lift(fence), () => "the fence stood, and lifting it said no")
    yield* expect(!(yield* s.lift(fence)), () => "the fence was lifted before, and lifting it again said that it stood")
    const never = { ...fence, id: s.service.token() }
    yield* expect(!(yield* s.lift(never)), () => "the fence was never there, and lifting it said that it stood")
  }),

  law("G7", "of two fences, lifting one leaves the other", function*(s) {
    const address = s.at("a", s.tag("x"))
    const over = Invalidation.dependencies(s.tag("x"))
    const first = yield* s.fence(over)
    const second = yield* s.fence(over)
    yield* expect(yield* s.lift(first), () => "the first fence stood, and lifting it said no")
    yield* s.outcome(yield* s.commit(yield* s.load(address)), "fenced")
    yield* s.isMissing(address)
    yield* expect(yield* s.lift(second), () => "the second fence stood, and lifting it said no")
    yield* s.serves(address, yield* s.put(address))
  }),

  law("G7", "what began under two fences is refused once either is lifted", function*(s) {
    const address = s.at("a", s.tag("x"))
    const ways = [Invalidation.dependencies(s.tag("x")), Invalidation.keys(address.key)]
    for (const over of ways) {
      const first = yield* s.fence(Invalidation.dependencies(s.tag("x")))
      const second = yield* s.fence(over)
      const loading = yield* s.load(address)
      // Its write may have happened after the load has read: no later caller may share the load.
      yield* s.lift(first)
      yield* s.refused(yield* s.commit(loading))
      yield* s.isMissing(address)
      yield* s.lift(second)
    }
  }),

  law("port", "what begins after a fence was lifted is stored", function*(s) {
    const address = s.at("a", s.tag("x"))
    yield* s.lift(yield* s.fence(Invalidation.dependencies([s.tag("x"), s.tag("y")])))
    yield* s.serves(address, yield* s.put(address, { found: [s.tag("y")] }))
  }),

  law("port", "a fence leaves alone what it is not over", function*(s) {
    const entry = yield* s.put(s.at(["a", "b"], s.tag("y")))
    const loading = yield* s.load(s.at("loading"))
    yield* s.fence(Invalidation.combineAll([
      Invalidation.dependencies(s.tag("x")),
      Invalidation.keys(s.key(["b"])),
      Invalidation.pattern(s.pattern("b", undefined))
    ]))
    yield* s.serves(s.at(["a", "b"], s.tag("y")), entry)
    yield* s.finish(loading, { found: [s.tag("y")] })
    const after = yield* s.put(s.at("after"), { found: [s.tag("y")] })
    yield* s.serves(s.at("after"), after)
  }),

  law("port", "a fence that is opened twice is one", function*(s) {
    const address = s.at("a", s.tag("x"))
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    yield* s.store.fence(fence)
    yield* s.lift(fence)
    yield* s.serves(address, yield* s.put(address))
  }),

  law("G7", "what is found to be under a fence only in the value is not stored either", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    const loading = yield* s.load(s.at("a"))
    const other = yield* s.load(s.at("b"))
    yield* s.outcome(yield* s.commit(loading, { found: [s.tag("y"), s.tag("x")] }), "fenced")
    yield* s.isMissing(s.at("a"))
    yield* s.finish(other, { found: [s.tag("y")] })
    yield* s.lift(fence)
  })
]
