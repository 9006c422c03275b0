/** docs/strategies/many-to-many.md: both sides of a relation, and the list of what is popular. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Articles, Tags } from "../../examples/articles/Model.ts"
import * as Site from "../../examples/articles/Site.ts"
import { addArticles, addTags, clearTags } from "../../examples/articles/strategies/many-to-many.ts"
import { createTag, deleteArticle } from "../../examples/articles/Writes.ts"
import { Cached, Change, Changes } from "../../src/index.ts"
import type { Process } from "../support/redisCache.ts"
import * as Article from "./django/Article.ts"
import { Signals } from "./django/Dispatch.ts"
import { DjangoCache } from "./django/DjangoCache.ts"
import * as Django from "./django/many-to-many.ts"
import { fresh, onBoth, site } from "./support.ts"

const ids = (list: ReadonlyArray<{ readonly id: number }>) => list.map(({ id }) => id)

let made = 0

/** An article, and a tag that nobody has. */
const scene = Effect.gen(function*() {
  const tag = yield* createTag(`tag ${++made}`)
  const article = yield* Article.create({ title: "T", content: "C", categoryId: 1, authorId: 1, published: true })
  return { article: article.id, tag: tag.id }
}).pipe(fresh)

const connected = () => {
  const [cache, signals] = [new DjangoCache(), new Signals()]
  Django.connect(signals, cache)
  return { cache, signals }
}

/** What the page of the article says of its tags, and that of the tag of its articles. */
const djangoPages = (cache: DjangoCache, { article, tag }: Effect.Success<typeof scene>) =>
  Effect.all({
    tags: Effect.map(Django.articleDetail(cache, article), (page) => ids(page.tags)),
    articles: Effect.map(Django.tagArticles(cache, tag), (page) => ids(page.articles))
  })

const pages = ({ article, tag }: Effect.Success<typeof scene>) =>
  Effect.all({
    tags: Effect.map(Cached.get(Site.article, article), (page) => ids(page.tags)),
    articles: Effect.map(Cached.get(Site.articlesOfTag, tag), (page) => ids(page.articles))
  })

layer(site, { timeout: "60 seconds" })("many to many", (it) => {
  describe("the Django way", () => {
    it.effect("after a clear the tag still shows the article: nobody says which tags there were", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const its = yield* scene
        const { add, clear } = Django.tagsOf(signals, { id: its.article })
        yield* add(its.tag)
        assert.deepStrictEqual(yield* djangoPages(cache, its), { tags: [its.tag], articles: [its.article] })
        yield* clear
        assert.deepStrictEqual(yield* djangoPages(cache, its), { tags: [], articles: [its.article] })
      }))

    it.effect("from the other side both pages stay as they were: the handler takes the tag for an article", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const its = yield* scene
        yield* djangoPages(cache, its)
        yield* Django.articlesOf(signals, { id: its.tag }).add(its.article)
        assert.deepStrictEqual(yield* djangoPages(cache, its), { tags: [], articles: [] })
      }))

    it.effect("a deleted article stays in the list of its tag: what the database removes sends no signal", () =>
      Effect.gen(function*() {
        const { cache, signals } = connected()
        const its = yield* scene
        yield* Django.tagsOf(signals, { id: its.article }).add(its.tag)
        yield* djangoPages(cache, its)
        yield* signals.remove(yield* Article.get(its.article))
        assert.deepStrictEqual(ids((yield* Django.tagArticles(cache, its.tag)).articles), [its.article])
      }))
  })

  describe("here", () => {
    onBoth(
      it,
      "what is added and cleared is seen from both sides",
      (writer: Process, reader: Process) =>
        Effect.gen(function*() {
          const its = yield* scene
          const shown = reader.run(pages(its))
          assert.deepStrictEqual(yield* shown, { tags: [], articles: [] })
          yield* writer.run(addTags(its.article, [its.tag]))
          assert.deepStrictEqual(yield* shown, { tags: [its.tag], articles: [its.article] })
          yield* writer.run(clearTags(its.article))
          assert.deepStrictEqual(yield* shown, { tags: [], articles: [] })
        })
    )

    it.effect("subscribers hear what was added and what was removed, of both sides", () =>
      Effect.gen(function*() {
        const its = yield* scene
        const write = Effect.all([addTags(its.article, [its.tag]), clearTags(its.article)])
        const [, { changes }] = yield* Changes.collect(write)
        const [article, tag] = [Articles.end(its.article, "tags"), Tags.end(its.tag, "articles")]
        assert.deepStrictEqual(changes, [
          Change.related("added", article, tag),
          Change.related("removed", article, tag)
        ])
      }).pipe(fresh))

    onBoth(it, "from the other side it is the same", (writer, reader) =>
      Effect.gen(function*() {
        const its = yield* scene
        const shown = reader.run(pages(its))
        yield* shown
        yield* writer.run(addArticles(its.tag, [its.article]))
        assert.deepStrictEqual(yield* shown, { tags: [its.tag], articles: [its.article] })
      }))

    onBoth(it, "a deleted article is in no list of a tag", (writer, reader) =>
      Effect.gen(function*() {
        const its = yield* scene
        yield* writer.run(addTags(its.article, [its.tag]))
        const articles = Effect.map(reader.run(Cached.get(Site.articlesOfTag, its.tag)), (page) => ids(page.articles))
        assert.deepStrictEqual(yield* articles, [its.article])
        yield* writer.run(deleteArticle(its.article))
        assert.deepStrictEqual(yield* articles, [])
      }))

    it.effect("what is popular is counted anew, and pages of other tags and articles are left alone", () =>
      Effect.gen(function*() {
        const [its, others] = [yield* scene, yield* scene]
        const all = Effect.all([pages(its), pages(others), Cached.get(Site.popularTags, undefined)])
        const loads = Effect.map(
          Effect.all([Site.article, Site.articlesOfTag, Site.popularTags].map((read) => Cached.stats(read))),
          (stats) => stats.map(({ loads }) => loads)
        )
        yield* all
        assert.deepStrictEqual(yield* loads, [2, 2, 1])
        yield* addTags(its.article, [its.tag])
        yield* all
        assert.deepStrictEqual(yield* loads, [3, 3, 2])
        // It has the tag already: nothing has changed.
        yield* addTags(its.article, [its.tag])
        yield* all
        assert.deepStrictEqual(yield* loads, [3, 3, 2])
      }).pipe(fresh))
  })
})
