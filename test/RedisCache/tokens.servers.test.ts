/** The name and the end that an entry is stored with: they may be those that it has in another store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import { asks, at, begin, draft } from "../support/port.ts"
import { cluster, keysUnder, oneNode, places, promise, start, stepsApart } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

for (const way of [oneNode, cluster, stepsApart]) {
  describe(way.name, () => {
    it.live("an entry has the name and the end that it was given, and is known by them to begin", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const { service: { store } } = yield* start(way.layer({ prefix }))
        const address = at("t:1", "known")
        const names = ["plain", " with spaces ", "A", "B", "b\"quotes\", and {braces}", "~".repeat(254)]
        for (const expiresAt of [Infinity, 4_102_444_800_000, 4_102_444_800_000.5]) {
          for (const token of names) {
            const lease = yield* begin(store, address)
            assert.notStrictEqual(lease.token, token)
            const given = { ...draft(address, { found: ["found"], expiresAt, payload: "line\nline" }), token }
            assert.strictEqual(yield* store.commit(address, lease, given), "stored")
            const entry = yield* store.read(address)
            assert.deepStrictEqual(
              [entry?.token, entry?.expiresAt, entry?.payload, entry?.changed],
              [token, expiresAt, "line\nline", undefined]
            )
            const found = yield* store.begin(address, asks({ seen: lease.token }))
            assert.strictEqual(found._tag === "Found" && found.entry.token, token)
            const leased = yield* store.begin(address, asks({ seen: token, drop: true }))
            assert.strictEqual(leased._tag, "Leased")
            assert.isUndefined(yield* store.read(address))
            if (leased._tag === "Leased") yield* store.abandon(address, leased.lease.token)
          }
        }
        // One that is over already is not stored.
        const lease = yield* begin(store, address)
        assert.strictEqual(yield* store.commit(address, lease, draft(address, { expiresAt: 1 })), "unstored")
        assert.deepStrictEqual(yield* keysUnder(client, `${prefix}:e`), [])
      }))

    it.live("a name that cannot be written is not stored, and what became of the load is said truly", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const { run, service: { store } } = yield* start(way.layer({ prefix }))
        const address = at("t:1", "known")
        const commit = (token: string, meanwhile: Effect.Effect<unknown, unknown> = Effect.void) =>
          Effect.gen(function*() {
            const lease = yield* begin(store, address)
            yield* meanwhile
            return yield* store.commit(address, lease, { ...draft(address, { found: ["found"] }), token })
          })
        const names = [
          "",
          "two\nlines",
          "\n",
          "a\u0000",
          "\u00e9",
          "\ud83d\ude00",
          "tab\t",
          "\r",
          "x".repeat(255),
          "y".repeat(5000)
        ]
        for (const token of names) {
          const label = JSON.stringify(token.slice(0, 20))
          assert.strictEqual(yield* commit(token), "unstored", label)
          assert.isUndefined(yield* store.read(address), label)
          assert.deepStrictEqual(yield* keysUnder(client, `${prefix}:l`), [], label)
          for (const tag of ["known", "found"]) {
            const invalidating = run(Cached.apply(Invalidation.tags(tag)))
            assert.strictEqual(yield* commit(token, invalidating), "invalidated", label)
          }
          const losing = promise(() => client.del(places(prefix).lease("t:1")))
          assert.strictEqual(yield* commit(token, losing), "lost", label)
        }
        assert.strictEqual(yield* commit("good"), "stored")
        assert.strictEqual((yield* store.read(address))?.token, "good")
        // One that is not stored leaves what is there.
        const lease = yield* begin(store, address)
        yield* store.commit(address, lease, { ...draft(address), token: "bad\n" })
        assert.strictEqual((yield* store.read(address))?.token, "good")
      }))
  })
}
