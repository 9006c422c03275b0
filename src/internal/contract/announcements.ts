/** Laws of announcements: each listener is given what was invalidated. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import type { Scene } from "./scene.ts"
import { pause, soon, type Waiting } from "./waiting.ts"

/** A way to invalidate something, and how its announcement is recognized. */
interface Invalidating {
  readonly what: string
  readonly way: Step<unknown>
  readonly isIt: (invalidation: Invalidation.Invalidation) => boolean
}

/** Listens, invalidates, and gives the position that is announced with it. */
const announced = <R>(
  s: Scene,
  { isIt, way, what }: Invalidating,
  waiting: Waiting<R>
): Step<CacheStore.Position, R> =>
  Effect.gen(function*() {
    const heard = yield* Deferred.make<CacheStore.Position>()
    const listen = Stream.runForEach(s.store.announcements, (announcement) =>
      announcement._tag === "Invalidated" && isIt(announcement.invalidation)
        ? Deferred.succeed(heard, announcement.position)
        : Effect.void)
    const listener = yield* Effect.forkChild(listen, { startImmediately: true })
    // A store may need a while until it listens, so the invalidation is repeated until it is announced.
    const repeat = Effect.forever(Effect.andThen(way, pause(20)))
    const position = yield* soon(
      `the invalidation of ${what}`,
      Effect.raceFirst(Deferred.await(heard), repeat),
      waiting
    )
    yield* Fiber.interrupt(listener)
    return position
  })

const invalidatings = (s: Scene): ReadonlyArray<Invalidating> => {
  const key = s.key(["a", "b"])
  return [
    { what: "a key", way: s.invalidate(Invalidation.keys(key)), isIt: ({ keys }) => keys.has(key) },
    {
      what: "a dependency",
      way: s.invalidate(Invalidation.dependencies(s.tag("x"))),
      isIt: ({ dependencies }) => dependencies.get(s.tag("x")) === "hard"
    },
    {
      what: "a dependency, softly",
      way: s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("y")))),
      isIt: ({ dependencies }) => dependencies.get(s.tag("y")) === "soft"
    },
    {
      what: "a pattern",
      way: s.sweep(s.pattern("a", undefined)),
      isIt: (one) => one.patterns.size > 0 && Invalidation.covers(one, key, [])
    },
    {
      what: "a dependency, by a fence",
      way: Effect.flatMap(s.fence(Invalidation.dependencies(s.tag("z"))), (fence) => s.lift(fence)),
      isIt: ({ dependencies }) => dependencies.has(s.tag("z"))
    }
  ]
}

export const announcementLaws = <R>(waiting: Waiting<R>): ReadonlyArray<Rule<R>> => [
  law("port", "what is invalidated is announced to each listener", function*(s) {
    for (const invalidating of invalidatings(s)) yield* announced(s, invalidating, waiting)
  }),

  law(
    "port",
    "the announced position is another after each invalidation of a dependency, where it is given",
    function*(s) {
      let last: CacheStore.Position | undefined
      for (const invalidating of invalidatings(s).filter(({ what }) => what.startsWith("a dependency"))) {
        const { address, lease } = yield* s.load(s.at("a"))
        yield* s.store.abandon(address, lease.token)
        const position = yield* announced(s, invalidating, waiting)
        yield* expect(
          position === "" || (position !== last && position !== lease.position),
          () => `after the invalidation of ${invalidating.what} the position is still ${position}`
        )
        last = position
      }
    }
  )
]
