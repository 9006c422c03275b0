import { describe, expect, test } from "tstyche"
import {
  articleDetail,
  type ArticleId,
  articleList,
  categoryArticles,
  type CategoryId,
  forgetArticle,
  userProfile
} from "../../examples/articles/strategies/typed-keys.ts"
import * as Cached from "../../src/Cached.ts"

declare const articleId: ArticleId
declare const categoryId: CategoryId

describe("A key's argument", () => {
  test("is what the key was made of", () => {
    expect(Cached.get).type.toBeCallableWith(articleDetail, articleId)
    expect(Cached.get).type.not.toBeCallableWith(articleDetail, "list")
    expect(Cached.get).type.not.toBeCallableWith(articleDetail, undefined)
    expect(Cached.get).type.toBeCallableWith(articleList, undefined)
    expect(Cached.get).type.not.toBeCallableWith(articleList, articleId)
  })

  test("is no id of something else", () => {
    expect(forgetArticle).type.toBeCallableWith(articleId)
    expect(forgetArticle).type.not.toBeCallableWith(categoryId)
    expect(forgetArticle).type.not.toBeCallableWith(7)
    expect(Cached.invalidate).type.toBeCallableWith(categoryArticles, categoryId)
    expect(Cached.invalidate).type.not.toBeCallableWith(categoryArticles, articleId)
  })

  test("has all parts, each of its type", () => {
    expect(Cached.get).type.toBeCallableWith(userProfile, { userId: 7, language: "en" })
    expect(Cached.get).type.not.toBeCallableWith(userProfile, { userId: 7, language: "de" })
    expect(Cached.get).type.not.toBeCallableWith(userProfile, { userId: 7 })
    expect(Cached.invalidation).type.not.toBeCallableWith(userProfile, [{ userId: "7", language: "en" }])
  })
})
