/** Keys that have types: each read has its own, and no two reads share one. */
import { Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { ArticlePage, Articles, Listed, NotFound, Profile, Users } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region ids
/** An id of a category is not an id of an article, although both are numbers. */
export const ArticleId = Schema.Int.pipe(Schema.brand("ArticleId"))
export const CategoryId = Schema.Int.pipe(Schema.brand("CategoryId"))

export type ArticleId = typeof ArticleId.Type
export type CategoryId = typeof CategoryId.Type

const articleId: Key.Key<ArticleId> = Key.int("articleId")
const categoryId: Key.Key<CategoryId> = Key.int("categoryId")
// #endregion

// #region reads
export const articleDetail = Cached.make(
  "keys/article",
  {
    key: articleId,
    value: ArticlePage,
    lookup: (id) => Queries.article(id),
    failures: { error: NotFound, policy: Policy.conditional(Articles, { fields: [] }) }
  },
  Policy.conditional(Articles)
)

export const articleList = Cached.make(
  "keys/articles",
  { key: Key.unit, value: Schema.Array(Listed), lookup: () => Queries.publishedArticles },
  Policy.conditionalIn(Articles, "published", { equals: (_key: void) => true, fields: ["title"] })
)

export const categoryArticles = Cached.make(
  "keys/category",
  { key: categoryId, value: Schema.Array(Listed), lookup: (id) => Queries.articlesOfCategory(id) },
  Policy.conditionalIn(Articles, "categoryId", { fields: ["title", "published"] })
)

export const userProfile = Cached.make(
  "keys/user",
  {
    key: Key.struct({ userId: Key.int("userId"), language: Key.literals("language", ["en", "it"]) }),
    value: Profile,
    lookup: ({ userId }) => Queries.userProfile(userId)
  },
  Policy.conditional(Users, { id: ({ userId }) => userId, fields: ["name", "email"] })
)
// #endregion

// #region usage
export const forgetArticle = (id: ArticleId) => Cached.invalidate(articleDetail, id)

export const forgetList = Cached.invalidate(articleList, undefined)
// #endregion
