/** docs/strategies/conditional.md: who compares, with what, and when. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { detail, publishedArticles, recentArticles } from "../../examples/articles/strategies/conditional.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import * as Django from "./django/conditional.ts"
import { Signal } from "./django/Dispatch.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import { fresh, onBoth, site } from "./support.ts"

const draft = { title: "Old", content: "Text", categoryId: 1, authorId: 1, published: false }

const connected = () => {
  const [cache, postSave] = [new DjangoCache(), new Signal<Django.Saved>()]
  Django.connect(postSave, cache)
  return { cache, postSave }
}

const has = (id: number) => (list: ReadonlyArray<{ readonly id: number }>) => list.some((one) => one.id === id)

/** Which of the three reads have to load again after a change. */
const loadedAgain = Effect.fnUntraced(function*<E, R>(id: number, change: Effect.Effect<unknown, E, R>) {
  const reads = [detail, publishedArticles, recentArticles] as const
  const ask = Effect.all([
    Effect.exit(Cached.get(detail, id)),
    Cached.get(publishedArticles, undefined),
    Cached.get(recentArticles, undefined)
  ])
  const loads = Effect.forEach(reads, (read) => Effect.map(Cached.stats(read), (stats) => stats.loads))
  yield* ask
  const before = yield* loads
  yield* change
  yield* ask
  const after = yield* loads
  return reads.map(({ name }) => name.slice("conditional/".length)).filter((_, i) => after[i]! > before[i]!)
})

layer(site, { timeout: "60 seconds" })("conditional invalidation", (it) => {
  describe("the Django way", () => {
    it.effect("an article that is published from the start does not come into the list of what is published", () =>
      Effect.gen(function*() {
        const { cache, postSave } = connected()
        yield* Django.publishedArticles(cache)
        const { fields } = yield* Django.create(postSave, { ...draft, published: true })
        assert.isFalse(has(fields.id)(yield* Django.publishedArticles(cache)))
      }))

    it.effect("a title that changes stays as it was in the list", () =>
      Effect.gen(function*() {
        const { cache, postSave } = connected()
        const article = yield* Django.create(postSave, { ...draft, published: true })
        yield* Django.publishedArticles(cache)
        article.fields.title = "New"
        yield* article.save(postSave)
        const list = yield* Django.publishedArticles(cache)
        assert.strictEqual(list.find(({ id }) => id === article.fields.id)?.title, "Old")
      }))

    it.effect("a tracker compares with what it has loaded, and not with what was there", () =>
      Effect.gen(function*() {
        const { cache, postSave } = connected()
        const { id } = (yield* Django.create(postSave, draft)).fields
        // Two editors have the same article open.
        const [hers, his] = [yield* Django.get(id), yield* Django.get(id)]
        hers.fields.title = "New"
        yield* hers.save(postSave)
        yield* Django.articleDetail(cache, id)
        // His save writes all fields, the old title too; he has only published it.
        his.fields.published = true
        yield* his.save(postSave)
        assert.strictEqual((yield* Article.get(id)).title, "Old")
        assert.strictEqual((yield* Django.articleDetail(cache, id)).title, "New")
      }))

    it.effect("put off until the commit, the handler finds nothing changed", () =>
      Effect.gen(function*() {
        const [cache, postSave] = [new DjangoCache(), new Signal<Django.Saved>()]
        const afterCommit: Array<Effect.Effect<unknown>> = []
        Django.connectOnCommit(postSave, cache, (run) => afterCommit.push(run))
        const article = yield* Django.create(postSave, draft)
        yield* Effect.all(afterCommit.splice(0))
        yield* Django.articleDetail(cache, article.fields.id)
        const sql = yield* SqlClient.SqlClient
        article.fields.title = "New"
        yield* sql.withTransaction(article.save(postSave))
        yield* Effect.all(afterCommit.splice(0))
        assert.strictEqual((yield* Django.articleDetail(cache, article.fields.id)).title, "Old")
      }))
  })

  describe("here", () => {
    it.effect("what is loaded again is what shows a field that differs", () =>
      Effect.gen(function*() {
        const { id } = yield* Writes.createArticle(draft)
        const again = (change: Effect.Effect<unknown, unknown, Effect.Services<ReturnType<typeof Writes.publish>>>) =>
          loadedAgain(id, change)
        assert.deepStrictEqual(
          {
            "the text of a draft": yield* again(Writes.updateArticle(id, { content: "Better" })),
            "the title of a draft": yield* again(Writes.updateArticle(id, { title: "New" })),
            "the same title again": yield* again(Writes.updateArticle(id, { title: "New" })),
            "it is published": yield* again(Writes.publish(id)),
            "the text": yield* again(Writes.updateArticle(id, { content: "Best" })),
            "the title": yield* again(Writes.updateArticle(id, { title: "Newer" })),
            "another category": yield* again(Writes.moveArticle(id, 2)),
            "a look at it": yield* again(Writes.view(id)),
            "another draft": yield* again(Writes.createArticle(draft)),
            "another article, published": yield* again(Writes.createArticle({ ...draft, published: true })),
            "it is deleted": yield* again(Writes.deleteArticle(id))
          },
          {
            "the text of a draft": ["detail"],
            "the title of a draft": ["detail", "recent"],
            "the same title again": [],
            "it is published": ["published"],
            "the text": ["detail"],
            "the title": ["detail", "published", "recent"],
            "another category": [],
            "a look at it": [],
            "another draft": ["recent"],
            "another article, published": ["published", "recent"],
            "it is deleted": ["detail", "published", "recent"]
          }
        )
      }).pipe(fresh))

    onBoth(
      it,
      "an article that is published from the start is in the list",
      (writer: Process, reader: Process) =>
        Effect.gen(function*() {
          yield* reader.run(Cached.get(publishedArticles, undefined))
          const { id } = yield* writer.run(Writes.createArticle({ ...draft, published: true }))
          assert.isTrue(has(id)(yield* reader.run(Cached.get(publishedArticles, undefined))))
        })
    )

    onBoth(it, "that there is none ends when there is one", (writer, reader) =>
      Effect.gen(function*() {
        const next = (yield* writer.run(Writes.createArticle(draft))).id + 1
        yield* Effect.flip(reader.run(Cached.get(detail, next)))
        assert.strictEqual((yield* writer.run(Writes.createArticle(draft))).id, next)
        assert.strictEqual((yield* reader.run(Cached.get(detail, next))).title, draft.title)
      }))

    onBoth(
      it,
      "two editors: what was there is read in the transaction that changes it",
      (hers, his) =>
        Effect.gen(function*() {
          const { id } = yield* hers.run(Writes.createArticle(draft))
          yield* hers.run(Writes.updateArticle(id, { title: "New" }))
          assert.strictEqual((yield* hers.run(Cached.get(detail, id))).title, "New")
          // He writes all fields, as he has loaded them before.
          yield* his.run(Writes.updateArticle(id, { ...draft, published: true }))
          assert.strictEqual((yield* Article.get(id)).title, "Old")
          assert.strictEqual((yield* hers.run(Cached.get(detail, id))).title, "Old")
        })
    )
  })
})
