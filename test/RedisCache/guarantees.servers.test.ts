/**
 * The guarantees of docs/consistency.md between processes on real servers: each
 * has its sentence, and is tried on one node and on a cluster. A process is a
 * layer with connections of its own; loads end when the test says so.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import {
  both,
  keysUnder,
  Origin,
  places,
  type Process,
  promise,
  serversGoOn,
  skewed,
  start,
  until,
  type Way
} from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

let definitions = 0

/** A definition that shares no key and no tag with another. */
const numbers = (origin: Origin, policy: Policy.Policy<string, number> = Policy.forever) => {
  const name = `number${++definitions}`
  return Cached.make(
    name,
    { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load },
    Policy.all(
      Policy.tagged((key: string) => [known(name, key)]),
      Policy.tagged({ fromValue: (n: number) => [`${name} is even: ${n % 2 === 0}`, found(name)] }),
      policy
    )
  )
}

const known = (name: string, key = "a"): string => `${name} of ${key}`

const found = (name: string): string => `all ${name}`

type Numbers = ReturnType<typeof numbers>

interface World {
  readonly way: Way
  readonly prefix: string
  readonly origin: Origin
  readonly cached: Numbers
  readonly here: Process
  readonly there: Process
  readonly third: Process
}

/** Three processes on one way, for all its tests in turn. */
const processes = (way: Way) =>
  Effect.gen(function*() {
    const prefix = freshPrefix()
    const another = start(way.layer({ prefix }))
    const [here, there, third] = yield* Effect.all([another, another, another], { concurrency: "unbounded" })
    return { way, prefix, here, there, third }
  })

const worldOf = (
  shared: Effect.Success<ReturnType<typeof processes>>,
  policy?: Policy.Policy<string, number>
): World => {
  const origin = new Origin()
  return { ...shared, origin, cached: numbers(origin, policy) }
}

type Write = Effect.Effect<unknown, CacheService.InvalidationError, CacheService.CacheService>

/** The ways to say that the value of "a" has changed, each with its write at the origin. */
const writes: Record<string, (origin: Origin, cached: Numbers) => Write> = (() => {
  const after = (batch: (cached: Numbers) => Invalidation.Invalidation) => (origin: Origin, cached: Numbers) =>
    Effect.suspend(() => {
      origin.version++
      return Cached.apply(batch(cached))
    })
  const commit = (origin: Origin) => Effect.sync(() => ++origin.version)
  return {
    "by key": after((cached) => Cached.invalidation(cached, ["a"])),
    "by a tag known from the key": after((cached) => Invalidation.tags(known(cached.name))),
    "by a tag found in the value": after((cached) => Invalidation.tags(found(cached.name))),
    "by a pattern": after((cached) => Cached.pattern(cached, {})),
    "by everything": after(() => Invalidation.everything),
    "by mutate over a key": (origin, cached) => Cached.mutate(commit(origin), Cached.invalidation(cached, ["a"])),
    "by mutate over a tag known from the key": (origin, cached) =>
      Cached.mutate(commit(origin), Invalidation.tags(known(cached.name))),
    "by mutate over a tag found in the value": (origin, cached) =>
      Cached.mutate(commit(origin), Invalidation.tags(found(cached.name))),
    "by mutate over a pattern": (origin, cached) => Cached.mutate(commit(origin), Cached.pattern(cached, {})),
    "by mutate over everything": (origin) => Cached.mutate(commit(origin), Invalidation.everything),
    "by set": (origin, cached) => Cached.set(cached, "a", commit(origin))
  }
})()

const get = ({ cached }: World, key = "a") => Cached.get(cached, key)

/** A read that misses and whose load has begun. */
const reading = (w: World, by: Process) =>
  Effect.gen(function*() {
    const loads = w.origin.loads
    w.origin.hold()
    const fiber = yield* Effect.forkChild(by.run(get(w)))
    yield* w.origin.begun(loads + 1)
    return fiber
  })

/** The same, and surely under a fence that is not lifted: where it takes too long, a longer one stands. */
const readingUnder = (
  w: World,
  over: Invalidation.Invalidation,
  length = 250
): Effect.Effect<
  { readonly early: Fiber.Fiber<number>; readonly fence: CacheStore.Fence },
  CacheStore.StoreError
> =>
  Effect.gen(function*() {
    const { store, token } = inside(w.there.service)
    const fence = { id: token(), over, length }
    yield* store.fence(fence)
    const early = yield* reading(w, w.here)
    const all = [known(w.cached.name), found(w.cached.name)].map(Dependency.tag)
    const { fenced } = yield* store.inspect({ key: Cached.keyOf(w.cached, "a"), known: all })
    if (fenced) return { early, fence }
    yield* w.origin.release
    yield* Fiber.join(early)
    return yield* readingUnder(w, over, 4 * length)
  })

const everyoneReads = (w: World) =>
  Effect.forEach([w.here, w.there, w.third, w.here, w.there], (process) => process.run(get(w)))

for (const way of both) {
  describe(way.name, () => {
    const scope = Scope.makeUnsafe()
    let shared: Effect.Success<ReturnType<typeof processes>>
    beforeAll(async () => {
      shared = await Effect.runPromise(Scope.provide(processes(way), scope))
    })
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

    const on = (
      name: string,
      test: (w: World) => Effect.Effect<unknown, unknown, Scope.Scope>,
      policy?: Policy.Policy<string, number>
    ) => it.live(name, () => Effect.asVoid(Effect.suspend(() => test(worldOf(shared, policy)))))

    describe("G1. After an invalidation has returned, no read that starts later, in any process, returns what was loaded before", () => {
      for (const [how, write] of Object.entries(writes)) {
        on(
          `a reader misses and starts loading, a writer commits and invalidates ${how}, the reader finishes`,
          (w) =>
            Effect.gen(function*() {
              const reader = yield* reading(w, w.here)
              yield* w.there.run(write(w.origin, w.cached))
              yield* w.origin.release
              yield* Fiber.join(reader)
              assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
            })
        )

        on(`what is stored and known to all is invalidated ${how}`, (w) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* everyoneReads(w), [0, 0, 0, 0, 0])
            assert.strictEqual(w.origin.loads, 1)
            yield* w.there.run(write(w.origin, w.cached))
            assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
            assert.isAtMost(w.origin.loads, 2)
          }))
      }

      on("softly: it is not served as fresh, and then no more", (w) =>
        Effect.gen(function*() {
          for (
            const batch of [
              Invalidation.tags(known(w.cached.name)),
              Invalidation.tags(found(w.cached.name)),
              Cached.invalidation(w.cached, ["a"]),
              Cached.pattern(w.cached, {})
            ]
          ) {
            yield* everyoneReads(w)
            const { hits } = yield* w.here.run(Cached.stats(w.cached))
            const version = ++w.origin.version
            yield* w.there.run(Cached.apply(Invalidation.soft(batch)))
            yield* w.here.run(get(w))
            assert.strictEqual((yield* w.here.run(Cached.stats(w.cached))).hits, hits, batch.toString())
            yield* until("refreshed", () => Effect.runPromise(w.third.run(get(w))).then((n) => n === version))
            assert.strictEqual(yield* w.here.run(get(w)), version)
          }
        }))
    })

    describe("G2. Once a read or an invalidation has found an entry dead, no later read returns it", () => {
      let version = 1
      on(
        "a version that comes back does not bring back what another process found dead",
        (w) =>
          Effect.gen(function*() {
            version = 1
            yield* w.here.run(get(w))
            w.origin.version = 1
            version = 2
            assert.deepStrictEqual(yield* w.there.run(Cached.getOption(w.cached, "a")), Option.none())
            assert.strictEqual(yield* w.there.run(get(w)), 1)
            version = 1
            assert.strictEqual(yield* w.here.run(get(w)), 1)
          }),
        Policy.versioned(() => version)
      )

      on("markers that are lost after an invalidation bring nothing back", (w) =>
        Effect.gen(function*() {
          const client = yield* w.way.look
          const at = places(w.prefix)
          yield* everyoneReads(w)
          w.origin.version = 1
          yield* w.there.run(Cached.apply(Invalidation.tags(known(w.cached.name))))
          yield* promise(async () => {
            assert.strictEqual(await client.del(at.marker(Dependency.tag(known(w.cached.name)))), 1)
            assert.strictEqual(await client.del(at.marker(Dependency.tag(found(w.cached.name)))), 1)
          })
          assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
        }))

      on(
        "a load that began before the invalidation stores nothing, however late it ends",
        (w) =>
          Effect.gen(function*() {
            const early = yield* reading(w, w.here)
            w.origin.version = 1
            yield* w.there.run(Cached.apply(Cached.invalidation(w.cached, ["a"])))
            const later = yield* reading(w, w.there)
            yield* w.origin.release
            yield* Fiber.join(later)
            yield* Fiber.join(early)
            assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
          })
      )
    })

    describe("G3. A read never joins a load that an invalidation, returned before the read started, covers", () => {
      for (const how of ["by key", "by a tag known from the key", "by a pattern", "by everything", "by set"]) {
        on(
          `the old load still runs, in this process and in another; it was invalidated ${how}`,
          (w) =>
            Effect.gen(function*() {
              const early = yield* reading(w, w.here)
              yield* w.there.run(writes[how]!(w.origin, w.cached))
              const [late, elsewhere] = how === "by set"
                ? yield* Effect.all([Effect.forkChild(w.here.run(get(w))), Effect.forkChild(w.third.run(get(w)))])
                : [yield* reading(w, w.here), yield* Effect.forkChild(w.third.run(get(w)))]
              if (how === "by set") assert.strictEqual(yield* Fiber.join(late), 1)
              yield* w.origin.release
              assert.deepStrictEqual([yield* Fiber.join(late), yield* Fiber.join(elsewhere)], [1, 1])
              assert.strictEqual(yield* Fiber.join(early), 0)
            })
        )
      }

      on(
        "those who joined before a tag found in the value was invalidated may have the old value, later ones not",
        (w) =>
          Effect.gen(function*() {
            const early = yield* reading(w, w.here)
            yield* w.there.run(writes["by a tag found in the value"]!(w.origin, w.cached))
            const late = yield* Effect.forkChild(w.here.run(get(w)))
            const elsewhere = yield* Effect.forkChild(w.third.run(get(w)))
            yield* w.origin.release
            yield* Fiber.join(early)
            assert.deepStrictEqual([yield* Fiber.join(late), yield* Fiber.join(elsewhere)], [1, 1])
          })
      )
    })

    describe("G4. Nothing is served past its last threshold, whatever the clocks say", () => {
      on(
        "the server lets it go, and a process whose clock stands ten minutes back serves it no longer",
        (w) =>
          Effect.gen(function*() {
            const client = yield* w.way.look
            const behind = yield* skewed(-600_000)(start(way.layer({ prefix: w.prefix })))
            const ahead = yield* skewed(600_000)(start(way.layer({ prefix: w.prefix })))
            yield* skewed(-600_000)(behind.run(get(w)))
            const pttl = yield* promise(() => client.pttl(places(w.prefix).entry(Cached.keyOf(w.cached, "a"))))
            // The server's time is known to within half of a round trip.
            assert.isAtMost(pttl, 6_000)
            assert.isAbove(pttl, 0)
            // Others agree that it is young.
            assert.strictEqual(yield* skewed(600_000)(ahead.run(get(w))), 0)
            assert.strictEqual(yield* w.here.run(get(w)), 0)
            assert.strictEqual(w.origin.loads, 1)
            w.origin.version = 1
            yield* until("it is old", () => Effect.runPromise(skewed(600_000)(ahead.run(get(w)))).then((n) => n === 1))
            assert.strictEqual(yield* skewed(-600_000)(behind.run(get(w))), 1)
          }),
        Policy.ttl("4 seconds")
      )
    })

    describe("G6. A write-through never leaves an older value over a newer one", () => {
      for (const laterFirst of [true, false]) {
        on(`two racing writes, ${laterFirst ? "the later" : "the earlier"} ends first`, (w) =>
          Effect.gen(function*() {
            const gate = () => Deferred.makeUnsafe<void>()
            const [begun1, begun2, end1, end2] = [gate(), gate(), gate(), gate()]
            const write = (begun: Deferred.Deferred<void>, end: Deferred.Deferred<void>) =>
              Effect.gen(function*() {
                const mine = ++w.origin.version
                yield* Deferred.succeed(begun, undefined)
                yield* Deferred.await(end)
                return mine
              })
            const first = yield* Effect.forkChild(w.here.run(Cached.set(w.cached, "a", write(begun1, end1))))
            yield* Deferred.await(begun1)
            const second = yield* Effect.forkChild(w.there.run(Cached.set(w.cached, "a", write(begun2, end2))))
            yield* Deferred.await(begun2)
            const [one, other] = laterFirst ? [end2, end1] : [end1, end2]
            yield* Deferred.succeed(one, undefined)
            yield* Fiber.join(laterFirst ? second : first)
            yield* Deferred.succeed(other, undefined)
            assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 2])
            assert.deepStrictEqual(yield* everyoneReads(w), [2, 2, 2, 2, 2])
          }))
      }
    })

    describe("G7. Between the start and the end of mutate nothing loaded is served after it", () => {
      for (
        const [what, over] of Object.entries<(cached: Numbers) => Invalidation.Invalidation>({
          "a key": (cached) => Cached.invalidation(cached, ["a"]),
          "a known tag": ({ name }) => Invalidation.tags(known(name)),
          "a found tag": ({ name }) => Invalidation.tags(found(name)),
          "a pattern": (cached) => Cached.pattern(cached, {}),
          "everything": () => Invalidation.everything
        })
      ) {
        on(
          `loads that begin and end during the write, and one that ends after it, over ${what}`,
          (w) =>
            Effect.gen(function*() {
              const inside = Deferred.makeUnsafe<void>()
              const end = Deferred.makeUnsafe<void>()
              const write = Effect.gen(function*() {
                yield* Deferred.succeed(inside, undefined)
                yield* Deferred.await(end)
                w.origin.version = 1
              })
              yield* everyoneReads(w)
              const writer = yield* Effect.forkChild(w.there.run(Cached.mutate(write, over(w.cached))))
              yield* Deferred.await(inside)
              assert.strictEqual(yield* w.here.run(get(w)), 0)
              assert.strictEqual(yield* w.third.run(get(w)), 0)
              const late = yield* reading(w, w.here)
              yield* Deferred.succeed(end, undefined)
              yield* Fiber.join(writer)
              yield* w.origin.release
              yield* Fiber.join(late)
              assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
            })
        )

        on(
          `a writer over ${what} that dies leaves a fence that ends by itself, and what began under it is refused`,
          (w) =>
            Effect.gen(function*() {
              const { store } = w.there.service
              const { early, fence } = yield* readingUnder(w, over(w.cached))
              const { loads } = w.origin
              yield* serversGoOn(yield* way.look, fence.length + 1)
              w.origin.version = 1
              yield* w.origin.release
              yield* Fiber.join(early)
              assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
              assert.strictEqual(w.origin.loads, loads + 1)
              assert.isFalse(yield* store.lift(fence))
            })
        )
      }
    })

    describe("G8. A repeated invalidation is safe", () => {
      on("it can be said any number of times, by anyone", (w) =>
        Effect.gen(function*() {
          yield* everyoneReads(w)
          w.origin.version = 1
          const again = Cached.apply(
            Invalidation.combine(
              Cached.invalidation(w.cached, ["a"]),
              Invalidation.tags([known(w.cached.name), found(w.cached.name)])
            )
          )
          yield* Effect.forEach([w.here, w.there, w.third, w.here], (process) => process.run(again), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(yield* everyoneReads(w), [1, 1, 1, 1, 1])
          assert.strictEqual(w.origin.loads, 2)
        }))
    })

    describe("G9. Whatever the server drops, it costs loads and never correctness", () => {
      const things = ["e", "l", "m", "j", "f"]
      on("each kind of key, lost before and after the invalidation, and after the load", (w) =>
        Effect.gen(function*() {
          const client = yield* w.way.look
          const lose = (kind: string) =>
            Effect.flatMap(keysUnder(client, `${w.prefix}:${kind}`), (keys) =>
              promise(() => Promise.all(keys.map((key) => client.del(key)))))
          for (const kind of things) {
            for (const moment of [0, 1, 2, 3]) {
              for (const how of ["by key", "by a tag known from the key", "by a tag found in the value"]) {
                const at = (now: number) =>
                  now === moment ? lose(kind) : Effect.void
                yield* at(0)
                const reader = yield* w.here.run(Cached.getOption(w.cached, "a")).pipe(
                  Effect.flatMap((found) => Option.isSome(found) ? Effect.succeed(undefined) : reading(w, w.here))
                )
                yield* at(1)
                yield* w.there.run(writes[how]!(w.origin, w.cached))
                yield* at(2)
                yield* w.origin.release
                if (reader !== undefined) yield* Fiber.join(reader)
                yield* at(3)
                const { version } = w.origin
                assert.deepStrictEqual(
                  yield* everyoneReads(w),
                  [version, version, version, version, version],
                  `${kind} ${moment} ${how}`
                )
                // So that every other round begins with a load under way.
                if (version % 2 === 0) yield* w.there.run(Cached.invalidate(w.cached, "a"))
              }
            }
          }
        }))
    })

    describe("G5. One load of a key at a time", () => {
      on("of all processes, and a process that goes away in the middle is replaced", (w) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const mortal = yield* Scope.provide(start(way.layer({ prefix: w.prefix })), scope)
          w.origin.hold()
          const first = yield* Effect.forkChild(Effect.exit(mortal.run(get(w))))
          yield* w.origin.begun(1)
          const others = yield* Effect.forEach([w.here, w.there, w.third], (process) =>
            Effect.forkChild(process.run(get(w))))
          const client = yield* way.look
          const lease = places(w.prefix).lease(Cached.keyOf(w.cached, "a"))
          yield* until("somebody waits", () =>
            client.get(lease).then((value) => value?.[0] === "1"))
          assert.strictEqual(w.origin.loads, 1)
          yield* Scope.close(scope, Exit.void)
          yield* w.origin.begun(2)
          yield* w.origin.release
          assert.isTrue(Exit.isFailure(yield* Fiber.join(first)))
          assert.deepStrictEqual(yield* Effect.forEach(others, Fiber.join), [0, 0, 0])
          assert.strictEqual(w.origin.loads, 2)
        }))
    })
  })
}
