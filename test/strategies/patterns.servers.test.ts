import { assert, describe, layer } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Site from "../../examples/articles/Site.ts"
import {
  categoryPage,
  invalidateCategoryCaches,
  invalidateName,
  invalidateUserCaches,
  profileOf
} from "../../examples/articles/strategies/patterns.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached, Invalidation, Key, Policy } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/patterns.ts"
import { counted, fresh, midway, onBoth, onWatchedRedis, site } from "./support.ts"

const Page = Schema.Struct({ userId: Schema.Int, page: Schema.Int })

/** Somebody else's change, of which nobody is told. */
const setEmail = (name: string, email: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update users set email = ${email} where name = ${name}`)

const named = (...names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name) => Writes.createUser({ name, email: `${name}@example.com` }).pipe(fresh))

layer(site, { timeout: "60 seconds" })("patterns", (it) => {
  describe("the Django way", () => {
    it.effect("takes a name for a pattern", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* named("Ann", "Abe", "A*")
        for (const name of ["Ann", "Abe", "A*"]) yield* Django.getProfile(cache, name)
        yield* Django.invalidateUserCaches(cache, "A*")
        assert.strictEqual(cache.memory.size, 0, "Ann and Abe are gone, too")
      }))

    it.effect("forgets, without patterns, what was added since", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* named("Bea")
        yield* Django.getProfile(cache, "Bea")
        yield* Django.getEmail(cache, "Bea")
        yield* setEmail("Bea", "new@example.com")
        yield* Django.invalidateUserCaches({ deleteMany: (keys) => cache.deleteMany(keys) }, "Bea")
        assert.strictEqual((yield* Django.getProfile(cache, "Bea")).email, "new@example.com")
        assert.strictEqual(yield* Django.getEmail(cache, "Bea"), "Bea@example.com")
      }))

    it.effect("does not see what is being loaded", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* named("Cat")
        const finish = yield* midway(Django.getEmail(cache, "Cat"))
        yield* setEmail("Cat", "new-cat@example.com")
        yield* Django.invalidateUserCaches(cache, "Cat")
        yield* finish
        assert.strictEqual(yield* Django.getEmail(cache, "Cat"), "Cat@example.com")
      }))

    it.effect("misses a key that ends with the category", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* cache.set("category:3:articles", "old")
        yield* cache.set("count:category:3", "old")
        yield* Django.invalidateCategoryCaches(cache, 3)
        assert.deepStrictEqual(
          [yield* cache.get("category:3:articles"), yield* cache.get("count:category:3")],
          [undefined, "old"]
        )
      }))
  })

  describe("the way here", () => {
    onBoth(
      it,
      "everything of a user, and nothing of another",
      (here: Process, there: Process) =>
        Effect.gen(function*() {
          const reads = (userId: number) =>
            there.run(Effect.all([
              Cached.get(Site.userProfile, { userId }),
              Cached.get(Site.userOrders, { userId }),
              Cached.get(Site.userSettings, { userId })
            ]))
          for (const id of [1, 2]) yield* reads(id)
          yield* here.run(invalidateUserCaches(1))
          assert.strictEqual((yield* counted(reads(2))).statements, 0)
          assert.strictEqual((yield* counted(reads(1))).statements, 3)
        })
    )

    onBoth(it, "a name is a name, whatever it holds", (here: Process, there: Process) =>
      Effect.gen(function*() {
        const names = ["Dan", "D*", "D?n", "D[a]n", "D:n", "D%2an", "*"]
        const read = (name: string) => Effect.result(there.run(Cached.get(profileOf, { name, language: "it" })))
        for (const gone of names) {
          for (const name of names) yield* read(name)
          yield* here.run(invalidateName(gone))
          const again: Array<string> = []
          for (const name of names) if ((yield* counted(read(name))).statements > 0) again.push(name)
          assert.deepStrictEqual(again, [gone])
        }
      }))

    onBoth(it, "a load that is under way is not kept", (here: Process, there: Process) =>
      Effect.gen(function*() {
        const read = Effect.map(Cached.get(Site.userProfile, { userId: 3 }), ({ email }) => email)
        const before = yield* here.run(read)
        yield* here.run(invalidateUserCaches(3))
        const finish = yield* midway(there.run(read))
        yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update users set email = 'x' || email where id = 3`)
        yield* here.run(invalidateUserCaches(3))
        yield* finish
        assert.strictEqual(yield* there.run(read), `x${before}`)
      }))

    it.effect("all pages of a category", () =>
      Effect.gen(function*() {
        const pages = [{ categoryId: 1, page: 0 }, { categoryId: 1, page: 1 }, { categoryId: 2, page: 0 }]
        yield* Cached.getMany(categoryPage, pages)
        yield* invalidateCategoryCaches(1)
        const left = yield* Effect.forEach(pages, (page) => Cached.getOption(categoryPage, page))
        assert.deepStrictEqual(left.map(Option.isSome), [false, false, true])
      }).pipe(fresh))

    it.effect("walks over the keys with SCAN, where a tag is one script", () =>
      Effect.gen(function*() {
        const { commands, run } = yield* onWatchedRedis
        const page = Cached.make(
          "page",
          {
            key: Key.struct({ userId: Key.int("userId"), page: Key.int("page") }),
            value: Page,
            lookup: Effect.succeed
          },
          Policy.tagged(({ userId }) => [`user:${userId}`])
        )
        const pages = Array.from({ length: 100 }, (_, page) => ({ userId: 1, page }))
        const gone = Effect.map(
          Effect.forEach(pages, (one) => run(Cached.getOption(page, one))),
          (left) => left.every(Option.isNone)
        )
        yield* run(Cached.getMany(page, pages))
        assert.deepStrictEqual(yield* commands(Cached.apply(Invalidation.tags("user:1"))), ["EVALSHA"])
        assert.isTrue(yield* gone)
        yield* run(Cached.getMany(page, pages))
        const walk = yield* commands(Cached.apply(Cached.pattern(page, { userId: 1 })))
        assert.isTrue(yield* gone)
        assert.include(walk, "SCAN")
        assert.notInclude(walk, "KEYS")
        assert.isAbove(walk.length, 1)
      }))
  })
})
