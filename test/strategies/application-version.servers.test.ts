/** A new release finds what the old one cached: `docs/strategies/application-version.md`. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import * as Releases from "../../examples/articles/strategies/application-version.ts"
import { Cached, CacheService } from "../../src/index.ts"
import * as TestCache from "../../src/TestCache.ts"
import { start } from "../support/redisCache.ts"
import * as Django from "./django/application-version.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { onRedis, type Processes, queriesOf, site } from "./support.ts"

// A store in memory dies with its release. What is written as text outlives it.
const stores = {
  text: Effect.gen(function*() {
    const one = yield* start(TestCache.layer())
    return [
      one,
      yield* start(Layer.effect(CacheService.CacheService, CacheService.make(one.service.store)))
    ] as Processes
  }),
  redis: onRedis
}

const tagsOf = (id: number) => Effect.map(Queries.article(id), ({ tags }) => tags.map(({ name }) => name))

layer(site, { timeout: "60 seconds" })("application version", (it) => {
  describe("the Django way", () => {
    it.effect("a version that nobody raised gives the new release what the old one cached", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.releaseOne(cache, 1)
        const exit = yield* Effect.exit(Django.releaseTwo(cache, 1))
        assert.match(String(exit), /TypeError: Cannot read properties of undefined \(reading 'join'\)/)
      }))

    it.effect("a version that is raised forgets what has not changed, too", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        yield* Django.sidebar(cache)
        assert.strictEqual(yield* queriesOf(Django.sidebar(cache)), 0)
        yield* Effect.acquireUseRelease(
          Effect.sync(() => {
            Django.settings.CACHE_VERSION = "1.0.1"
          }),
          () => Effect.map(queriesOf(Django.sidebar(cache)), (queries) => assert.strictEqual(queries, 1)),
          () =>
            Effect.sync(() => {
              Django.settings.CACHE_VERSION = "1.0.0"
            })
        )
      }))
  })

  describe("the way here", () => {
    for (const [name, processes] of Object.entries(stores)) {
      it.effect(`what another schema has written is a miss, never a failure [${name}]`, () =>
        Effect.gen(function*() {
          const [older, newer] = yield* processes
          const tags = yield* tagsOf(1)
          yield* older.run(Cached.get(Releases.releaseOne, 1))
          yield* older.run(Cached.get(Site.sidebar, undefined))
          const read = newer.run(Cached.get(Releases.releaseTwo, 1))
          assert.strictEqual(yield* queriesOf(read), 1)
          assert.deepStrictEqual((yield* read).tags, tags)
          assert.strictEqual(yield* queriesOf(read), 0)
          assert.strictEqual(yield* queriesOf(newer.run(Cached.get(Site.sidebar, undefined))), 0)
        }))

      it.effect(`without a version two releases load at each turn, with the shape as the version they do not [${name}]`, () =>
        Effect.gen(function*() {
          const [older, newer] = yield* processes
          const turns = Effect.all([
            older.run(Cached.get(Releases.releaseOne, 2)),
            newer.run(Cached.get(Releases.releaseTwo, 2))
          ])
          for (let turn = 0; turn < 3; turn++) assert.strictEqual(yield* queriesOf(turns), 2)
          const beside = Effect.all([
            older.run(Cached.get(Releases.sideBySide.one, 2)),
            newer.run(Cached.get(Releases.sideBySide.two, 2))
          ])
          assert.strictEqual(yield* queriesOf(beside), 2)
          for (let turn = 0; turn < 3; turn++) assert.strictEqual(yield* queriesOf(beside), 0)
        }))

      it.effect(`another template is another version, whatever was rendered [${name}]`, () =>
        Effect.gen(function*() {
          const [older, newer] = yield* processes
          assert.match(yield* older.run(Cached.get(Releases.rendered(1), 3)), /^<b>/)
          const read = newer.run(Cached.get(Releases.rendered(2), 3))
          assert.match(yield* read, /^<h2>/)
          assert.strictEqual(yield* queriesOf(read), 0)
        }))
    }
  })
})
