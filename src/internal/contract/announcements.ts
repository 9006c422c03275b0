/** Laws of announcements: whoever listens hears what was invalidated. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Invalidation from "../../Invalidation.ts"
import type { Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { pause, soon, type Waiting } from "./waiting.ts"

export const toldLaw = <R>(waiting: Waiting<R>): Rule<R> =>
  law("port", "whoever listens is told what was invalidated", function*(s) {
    const told: Array<Invalidation.Invalidation> = []
    const key = s.key(["a", "b"])
    const ways: ReadonlyArray<readonly [string, Step<unknown>, (one: Invalidation.Invalidation) => boolean]> = [
      ["a key", s.invalidate(Invalidation.keys(key)), (one) => one.keys.has(key)],
      [
        "a dependency",
        s.invalidate(Invalidation.dependencies(s.tag("x"))),
        (one) => one.dependencies.get(s.tag("x")) === "hard"
      ],
      [
        "a soft one",
        s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("y")))),
        (one) => one.dependencies.get(s.tag("y")) === "soft"
      ],
      [
        "a pattern",
        s.sweep(s.pattern("a", undefined)),
        (one) => one.patterns.size > 0 && Invalidation.covers(one, key, [])
      ],
      [
        "a fence",
        Effect.flatMap(s.fence(Invalidation.dependencies(s.tag("z"))), (fence) => s.lift(fence)),
        (one) => one.dependencies.has(s.tag("z"))
      ]
    ]
    for (const [name, way, isIt] of ways) {
      const heard = yield* Deferred.make<void>()
      const listen = Stream.runForEach(s.store.announcements, (announcement) => {
        if (announcement._tag === "Gap") return Effect.void
        const one = announcement.invalidation
        told.push(one)
        return isIt(one) ? Deferred.succeed(heard, undefined) : Effect.void
      })
      const listener = yield* Effect.forkChild(listen, { startImmediately: true })
      // When the listener is heard of is the store's affair, so it is told until it listens.
      const repeat = Effect.forever(Effect.andThen(way, pause(20)))
      yield* soon(`the invalidation of ${name}`, Effect.raceFirst(Deferred.await(heard), repeat), waiting)
      yield* Fiber.interrupt(listener)
    }
  })
