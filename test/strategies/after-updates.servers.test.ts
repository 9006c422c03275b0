/** docs/strategies/after-updates.md: the read between a write and its invalidation, and the process that dies there. */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger } from "effect"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { correctArticle, updateArticle } from "../../examples/articles/strategies/after-updates.ts"
import { Cached } from "../../src/index.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"
import { serviceOn } from "../support/port.ts"
import { start } from "../support/redisCache.ts"
import { freshPrefix, nodeUrl } from "../support/sharedRedis.ts"
import * as Django from "./django/after-updates.ts"
import * as Article from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { lockedOrEnded, midway, midwayAt, onBoth, queriesOf, site } from "./support.ts"

const draft = { title: "Old", content: "Teh text", categoryId: 1, authorId: 1, published: true }

/** A process that is killed when it gets to the cache. */
class Killed extends DjangoCache {
  override delete() {
    return Effect.die("killed")
  }
}

/** The same here: nothing of what was committed is told. */
const killed = (prefix: string) =>
  serviceOn(
    Effect.map(RedisCache.makeStore({ url: nodeUrl(), prefix }), (store) => ({
      ...store,
      invalidate: () => Effect.die("killed")
    }))
  )

layer(site, { timeout: "60 seconds" })("after updates", (it) => {
  describe("the Django way", () => {
    it.effect("a reader in the middle puts the old article back, for an hour", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { id } = yield* Article.create(draft)
        const finish = yield* midway(Django.articleDetail(cache, id))
        yield* Django.updateArticle(cache, id, { title: "New" })
        yield* finish
        assert.strictEqual((yield* Article.get(id)).title, "New")
        assert.strictEqual((yield* Django.articleDetail(cache, id)).title, "Old")
      }))

    it.effect("a process that dies between save and delete leaves the old article", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { id } = yield* Article.create(draft)
        yield* Django.articleDetail(cache, id)
        yield* Effect.exit(Django.updateArticle(new Killed({ memory: cache.memory }), id, { title: "New" }))
        assert.strictEqual((yield* Article.get(id)).title, "New")
        assert.strictEqual((yield* Django.articleDetail(cache, id)).title, "Old")
      }))
  })

  describe("here", () => {
    onBoth(it, "what a reader in the middle has loaded is not kept", (reader, writer) =>
      Effect.gen(function*() {
        const { id } = yield* Article.create(draft)
        const finish = yield* midway(reader.run(Cached.get(Site.article, id)))
        yield* writer.run(updateArticle(id, { title: "New" }))
        // It began before the update, and may tell what there was then.
        assert.strictEqual((yield* finish).title, "Old")
        assert.strictEqual((yield* reader.run(Cached.get(Site.article, id))).title, "New")
        assert.strictEqual((yield* writer.run(Cached.get(Site.article, id))).title, "New")
      }))

    it.effect("a process that dies after the commit leaves a message, and another process delivers it [redis]", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const other = yield* start(RedisCache.layer({ url: nodeUrl(), prefix }))
        const { id } = yield* Article.create(draft)
        const title = other.run(Effect.map(Cached.get(Site.article, id), (page) => page.title))
        assert.strictEqual(yield* title, "Old")

        // With its end goes what it would have tried again.
        const write = Effect.flatMap(
          start(killed(prefix)),
          ({ run }) => Effect.exit(run(updateArticle(id, { title: "New" })))
        )
        yield* Effect.scoped(write).pipe(Effect.provide(Logger.layer([])))
        assert.strictEqual((yield* Article.get(id)).title, "New")
        assert.strictEqual(yield* title, "Old", "the crash is not one")

        // What `Outbox.layerRelay` does every second.
        assert.strictEqual(yield* other.run(Outbox.relay({ grace: 0 })), 1)
        assert.strictEqual(yield* title, "New")
        assert.strictEqual(yield* other.run(Outbox.relay({ grace: 0 })), 0)
      }))

    onBoth(
      it,
      "an update is four statements: read, write, the message and its removal",
      (writer) =>
        Effect.gen(function*() {
          const { id } = yield* Article.create(draft)
          const update = Effect.provide(writer.run(updateArticle(id, { title: "New" })), SqlOutbox.layer(), {
            local: true
          })
          assert.strictEqual(yield* queriesOf(update), 4)
          assert.strictEqual(yield* queriesOf(Django.updateArticle(new DjangoCache(), id, { title: "Newer" })), 2)
        })
    )

    onBoth(
      it,
      "two that update it at once: what was there is read when the other one has ended",
      (one, other) =>
        Effect.gen(function*() {
          const { id } = yield* Article.create(draft)
          const card = one.run(Cached.get(Site.articleCard, id))
          // It writes the title that it has found.
          const finish = yield* midwayAt(1, one.run(updateArticle(id, { title: "Old" })))
          const second = yield* Effect.forkScoped(other.run(updateArticle(id, { title: "New" })))
          yield* lockedOrEnded(second)
          yield* card
          yield* finish
          yield* Fiber.join(second)
          assert.deepStrictEqual(yield* card, yield* Queries.articleCard(id))
        })
    )

    onBoth(it, "behind a fence there is nothing to tell after the commit", (writer, reader) =>
      Effect.gen(function*() {
        const { id } = yield* Article.create(draft)
        const content = reader.run(Effect.map(Cached.get(Site.article, id), (page) => page.content))
        assert.strictEqual(yield* content, "Teh text")
        const finish = yield* midway(writer.run(correctArticle(id, "The text")))
        // It is committed, and its writer does not know yet.
        assert.strictEqual(yield* content, "The text")
        yield* finish
        assert.strictEqual(yield* content, "The text")
      }))

    onBoth(
      it,
      "what is loaded behind the fence is not kept, though its writer is never heard of again",
      (writer, reader) =>
        Effect.gen(function*() {
          const { id } = yield* Article.create(draft)
          const article = reader.run(Cached.get(Site.article, id))
          yield* article
          const opened = yield* Deferred.make<void>()
          const write = Effect.andThen(Deferred.succeed(opened, undefined), Effect.never)
          yield* Effect.forkScoped(writer.run(Cached.mutate(write, Cached.invalidation(Site.article, [id]))))
          yield* Deferred.await(opened)
          yield* article
          // Its commit, of which nobody tells.
          yield* Article.save({ ...(yield* Article.get(id)), content: "The text" })
          assert.strictEqual((yield* article).content, "The text")
        })
    )
  })
})
