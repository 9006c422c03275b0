/** docs/strategies/model-methods.md: the old category and the new, the deleted article, the statement without a model. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { NotFound } from "../../examples/articles/Model.ts"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Site from "../../examples/articles/Site.ts"
import { articles, unpublishAuthor } from "../../examples/articles/strategies/model-methods.ts"
import { createAuthor, createCategory } from "../../examples/articles/Writes.ts"
import { Cached } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import * as Row from "./django/Article.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/model-methods.ts"
import { fresh, lockedOrEnded, midwayAt, onBoth, site } from "./support.ts"

const ids = (list: ReadonlyArray<{ readonly id: number }>) => list.map(({ id }) => id)

let made = 0

/** Two categories of their own, an author, and an article in the first. */
const scene = Effect.gen(function*() {
  const name = `scene ${++made}`
  const from = yield* createCategory({ slug: `${name} from`, name: `${name} from` })
  const to = yield* createCategory({ slug: `${name} to`, name: `${name} to` })
  const author = yield* createAuthor({ name })
  const fields = { title: "Moving", content: "Text", categoryId: from.id, authorId: author.id, published: true }
  return { from: from.id, to: to.id, author: author.id, fields }
}).pipe(fresh)

layer(site, { timeout: "60 seconds" })("model methods", (it) => {
  describe("the Django way", () => {
    it.effect("an article that moved stands in both categories", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { fields, from, to } = yield* scene
        const article = new Django.Article(cache, yield* Row.create(fields))
        const lists = Effect.forEach([from, to], (category) => Django.categoryArticles(cache, category))
        yield* lists
        article.fields.categoryId = to
        yield* article.save()
        assert.deepStrictEqual((yield* lists).map(ids), [[article.fields.id], [article.fields.id]])
      }))

    it.effect("the page of a deleted article is still there", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { fields } = yield* scene
        const article = new Django.Article(cache, yield* Row.create(fields))
        yield* Django.articleDetail(cache, article.fields.id)
        yield* article.delete()
        assert.strictEqual((yield* Django.articleDetail(cache, article.fields.id)).title, "Moving")
      }))

    it.effect("an update of a query set runs no method", () =>
      Effect.gen(function*() {
        const cache = new DjangoCache()
        const { author, fields, from } = yield* scene
        const { id } = yield* Row.create(fields)
        yield* Django.categoryArticles(cache, from)
        yield* Django.unpublishAuthor(author)
        assert.deepStrictEqual(ids(yield* Django.categoryArticles(cache, from)), [id])
      }))
  })

  describe("here", () => {
    onBoth(
      it,
      "an article that moved has left one category and come to the other",
      (writer: Process, reader: Process) =>
        Effect.gen(function*() {
          const { fields, from, to } = yield* scene
          const lists = Effect.map(
            reader.run(Effect.forEach([from, to], (category) => Cached.get(Site.articlesOfCategory, category))),
            (found) => found.map(ids)
          )
          assert.deepStrictEqual(yield* lists, [[], []])
          const { id } = yield* writer.run(articles.create(fields))
          assert.deepStrictEqual(yield* lists, [[id], []])
          yield* writer.run(articles.update(id, { categoryId: to }))
          assert.deepStrictEqual(yield* lists, [[], [id]])
        })
    )

    onBoth(it, "a deleted article is gone from its page and its list", (writer, reader) =>
      Effect.gen(function*() {
        const { fields, from } = yield* scene
        const { id } = yield* writer.run(articles.create(fields))
        yield* reader.run(Cached.get(Site.article, id))
        yield* reader.run(Cached.get(Site.articlesOfCategory, from))
        yield* writer.run(articles.delete(id))
        const gone = yield* Effect.flip(reader.run(Cached.get(Site.article, id)))
        assert.deepStrictEqual(gone, new NotFound({ what: "article", id }))
        assert.deepStrictEqual(yield* reader.run(Cached.get(Site.articlesOfCategory, from)), [])
      }))

    onBoth(it, "an update of many rows tells of each", (writer, reader) =>
      Effect.gen(function*() {
        const { author, fields, from, to } = yield* scene
        const one = yield* writer.run(articles.create(fields))
        const other = yield* writer.run(articles.create({ ...fields, categoryId: to }))
        const lists = reader.run(
          Effect.forEach([from, to], (category) => Cached.get(Site.articlesOfCategory, category))
        )
        assert.deepStrictEqual((yield* lists).map(ids), [[one.id], [other.id]])
        yield* writer.run(unpublishAuthor(author))
        assert.deepStrictEqual(yield* lists, [[], []])
      }))

    onBoth(
      it,
      "two that update it at once: what was there is read when the other one has ended",
      (one, other) =>
        Effect.gen(function*() {
          const { fields, from } = yield* scene
          const { id } = yield* one.run(articles.create(fields))
          const list = one.run(Cached.get(Site.articlesOfCategory, from))
          // It writes what it has found.
          const finish = yield* midwayAt(1, one.run(articles.update(id, { title: fields.title })))
          const second = yield* Effect.forkScoped(other.run(articles.update(id, { title: "Other" })))
          yield* lockedOrEnded(second)
          yield* list
          yield* finish
          yield* Fiber.join(second)
          assert.deepStrictEqual(yield* list, yield* Queries.articlesOfCategory(from))
        })
    )

    onBoth(it, "so with an update of many rows", (one, other) =>
      Effect.gen(function*() {
        const { author, fields, from } = yield* scene
        const { id } = yield* one.run(articles.create(fields))
        const list = one.run(Cached.get(Site.articlesOfCategory, from))
        const finish = yield* midwayAt(1, one.run(unpublishAuthor(author)))
        const second = yield* Effect.forkScoped(other.run(articles.update(id, { published: false })))
        yield* lockedOrEnded(second)
        yield* list
        yield* finish
        yield* Fiber.join(second)
        assert.deepStrictEqual(yield* list, [])
      }))

    it.effect("what is not shown anywhere makes nobody load", () =>
      Effect.gen(function*() {
        const { fields, from } = yield* scene
        const { id } = yield* articles.create(fields)
        yield* Cached.get(Site.articlesOfCategory, from)
        yield* articles.update(id, { content: "Another text" })
        yield* Cached.get(Site.articlesOfCategory, from)
        assert.strictEqual((yield* Cached.stats(Site.articlesOfCategory)).loads, 1)
      }).pipe(fresh))
  })
})
