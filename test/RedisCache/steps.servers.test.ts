/**
 * Invalidations of several steps on a real Redis, of which one is refused, takes
 * long, or is the last before the process ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Schema } from "effect"
import { Redis } from "ioredis"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Connect from "../../src/internal/redis/connect.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import * as Store from "../../src/internal/redis/store.ts"
import * as Transport from "../../src/internal/redis/transport.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { serviceOn } from "../support/port.ts"
import { patient, places, start } from "../support/redisCache.ts"
import { freshPrefix, nodeUrl } from "../support/sharedRedis.ts"

const lookAt = Effect.acquireRelease(
  Effect.sync(() => new Redis(nodeUrl())),
  (client) => Effect.sync(() => client.disconnect())
)

type Refuse = (script: Scripts.Script, keys: ReadonlyArray<string>) => boolean

/** A node of a cluster that is down refuses what is asked of it; the others go on. */
const refusing = (prefix: string, split: boolean, refuse: Refuse) =>
  serviceOn(Effect.gen(function*() {
    const client = (yield* lookAt) as unknown as Transport.Client
    const all = Object.values(Scripts).filter((one): one is Scripts.Script => typeof one === "object")
    const hashes = yield* Transport.hashAll(all)
    const transport = Transport.make(client, { writer: client, acknowledgement: undefined, hashes })
    const unless = (send: Transport.Transport["run"]): Transport.Transport["run"] => (operation, script, keys, args) =>
      refuse(script, keys)
        ? Effect.fail(Transport.toStoreError(operation, new Error("CLUSTERDOWN Hash slot not served")))
        : send(operation, script, keys, args)
    const notices = yield* Connect.listen(client, prefix, crypto.randomUUID(), 1000)
    return Store.make(
      { ...transport, run: unless(transport.run), runAcknowledged: unless(transport.runAcknowledged) },
      { prefix, journal: 10_000, longest: 86_400_000, remember: 1_000_000, split },
      notices
    )
  }))

const many = (count: number) => Invalidation.tags(Array.from({ length: count }, (_, i) => `tag ${i}`))

/** A value that one of the tags covers, and how often it was loaded. */
const counted = () => {
  const origin = { loads: 0 }
  const cached = Cached.make("counted", {
    key: Key.string("id"),
    value: Schema.Finite,
    lookup: () => Effect.sync(() => ++origin.loads)
  }, Policy.tagged("tag 0"))
  return { cached, origin }
}

describe("a step is refused after the first one", () => {
  const cases = [
    ["an invalidation in a cluster", true, 2, Cached.apply],
    ["a mutate in a cluster", true, 2, Cached.mutate(Effect.void, many(2), { fence: "10 minutes" })],
    ["an invalidation in pieces", false, 300, Cached.apply],
    ["a mutate in pieces", false, 300, Cached.mutate(Effect.void, many(300), { fence: "10 minutes" })]
  ] as const
  for (const [what, split, count, act] of cases) {
    it.live(`${what}: it is said that it may have happened, and no fence is left`, () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        let down = false
        const { run } = yield* start(
          refusing(prefix, split, (script, keys) =>
            down && (script === Scripts.invalidate || (script === Scripts.replaceOne && !keys[0]!.includes("tag%200"))))
        )
        const { cached, origin } = counted()
        yield* run(Cached.get(cached, "a"))
        down = true
        const effect: Effect.Effect<unknown, CacheService.InvalidationError, CacheService.CacheService> =
          typeof act === "function" ? act(many(count)) : act
        const error = yield* Effect.flip(run(effect))
        assert.isTrue(error.mayHaveHappened)
        down = false
        const client = yield* lookAt
        const none = Effect.map(
          Effect.promise(() =>
            client.hlen(places(prefix).fences)
          ),
          (fences) =>
            fences === 0
        )
        yield* Effect.repeat(none, { until: (gone) => gone })
        yield* Effect.repeat(run(CacheService.undelivered), { until: (all) => all.length === 0 })
        for (let i = 0; i < 5; i++) assert.strictEqual(yield* run(Cached.get(cached, "a")), 2)
        assert.strictEqual(origin.loads, 2)
      }), 30_000)
  }
})

describe("long lists", () => {
  it.live(
    "of more targets than a fence tells are one step to everybody, and leave the rest alone",
    () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const layer = RedisCache.layer({ url: nodeUrl(), prefix, ...patient })
        const [one, two] = [yield* start(layer), yield* start(layer)]
        const { cached, origin } = counted()
        yield* one.run(Cached.get(cached, "a"))
        yield* two.run(Cached.apply(many(20_000)))
        assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 2)
        const write = Effect.sync(() => ++origin.loads)
        yield* two.run(Cached.mutate(write, many(5_000)))
        assert.strictEqual(yield* one.run(Cached.get(cached, "a")), 4)
        for (let i = 0; i < 5; i++) assert.strictEqual(yield* two.run(Cached.get(cached, "a")), 4)
      }),
    60_000
  )

  it.live("interrupted while the layer is released leave no fence", () =>
    Effect.gen(function*() {
      const client = yield* lookAt
      for (const turns of [1, 20, 100]) {
        const prefix = freshPrefix()
        const program = Effect.gen(function*() {
          const writer = yield* Effect.forkChild(Cached.apply(many(20_000)), { startImmediately: true })
          for (let i = 0; i < turns; i++) yield* Effect.promise(() => client.ping())
          yield* Fiber.interrupt(writer)
        })
        yield* Effect.provide(program, RedisCache.layer({ url: nodeUrl(), prefix, ...patient }))
        assert.strictEqual(yield* Effect.promise(() => client.hlen(places(prefix).fences)), 0)
      }
    }), 60_000)
})

it.live(
  "an invalidation of several steps can be given up though its last one is never answered",
  () =>
    Effect.gen(function*() {
      const layer = serviceOn(Effect.map(
        RedisCache.makeStore({ url: nodeUrl(), prefix: freshPrefix() }),
        (store): CacheStore.CacheStore => ({ ...store, lift: () => Effect.never })
      ))
      const { run } = yield* start(layer)
      const exit = yield* Effect.exit(run(Effect.timeout(Cached.apply(many(300)), "200 millis")))
      assert.isTrue(Option.isSome(Exit.findErrorOption(exit)))
      assert.lengthOf(yield* run(CacheService.undelivered), 1)
    }),
  30_000
)
