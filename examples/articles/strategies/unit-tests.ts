/** Tests of the site's own reads and writes. They need a database, `TestCache` and `TestClock`. */
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import assert from "node:assert/strict"
import { Cached } from "../../../src/index.ts"
import * as Site from "../Site.ts"
import * as Writes from "../Writes.ts"
import { popular } from "./timeouts.ts"

const article = { title: "Test", content: "A text.", categoryId: 1, authorId: 1, published: true }

// #region save
export const articleSaveInvalidatesCache = Effect.gen(function*() {
  const { id } = yield* Writes.createArticle(article)
  assert.equal((yield* Cached.get(Site.article, id)).title, "Test")

  yield* Writes.updateArticle(id, { title: "Updated" })

  assert.equal((yield* Cached.get(Site.article, id)).title, "Updated")
})
// #endregion

// #region delete
export const articleDeleteInvalidatesList = Effect.gen(function*() {
  const ids = Effect.map(Cached.get(Site.articleList, undefined), (list) => list.map(({ id }) => id))
  const { id } = yield* Writes.createArticle(article)
  assert.ok((yield* ids).includes(id))
  yield* Cached.get(Site.article, id)

  yield* Writes.deleteArticle(id)

  assert.ok(!(yield* ids).includes(id))
  const error = yield* Effect.flip(Cached.get(Site.article, id))
  assert.equal(error._tag, "NotFound")
})
// #endregion

// #region time
export const popularIsUpToAMinuteOld = Effect.gen(function*() {
  const views = Effect.map(Cached.get(popular, undefined), (list) => list[0]!.views)
  const before = yield* views
  const [first] = yield* Cached.get(popular, undefined)
  yield* Writes.view(first!.id)

  yield* TestClock.adjust("59 seconds")
  assert.equal(yield* views, before)
  yield* TestClock.adjust("1 second")
  assert.equal(yield* views, before + 1)
})
// #endregion
