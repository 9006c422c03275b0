/** Everything of one user, and everything of one category, by what their keys have in common. */
import { Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { Listed, NotFound, Profile } from "../Model.ts"
import * as Queries from "../Queries.ts"
import * as Site from "../Site.ts"

// #region user
/** `Site.userProfile`, `userOrders` and `userSettings` have a `userId` in their keys, wherever it stands. */
const ofUser = [Site.userProfile, Site.userOrders, Site.userSettings] as const

export const invalidateUserCaches = (userId: number) => Cached.apply(Cached.pattern(ofUser, { userId }))
// #endregion

// #region category
/** The list of a category, ten articles to a page. */
export const categoryPage = Cached.make(
  "categoryPage",
  {
    key: Key.struct({ categoryId: Key.int("categoryId"), page: Key.int("page") }),
    value: Schema.Array(Listed),
    lookup: ({ categoryId, page }) =>
      Effect.map(Queries.articlesOfCategory(categoryId), (all) => all.slice(10 * page, 10 * page + 10))
  },
  Policy.ttl("1 hour")
)

/** All pages of one category. */
export const invalidateCategoryCaches = (categoryId: number) =>
  Cached.apply(Cached.pattern(categoryPage, { categoryId }))
// #endregion

// #region name
/** Keys may hold whatever users call themselves. */
export const profileOf = Cached.make(
  "profileOf",
  {
    key: Key.struct({ name: Key.string("name"), language: Key.literals("language", ["en", "it"]) }),
    value: Profile,
    lookup: ({ name }) => Queries.profileByName(name),
    failures: { error: NotFound, policy: Policy.ttl("1 minute") }
  },
  Policy.ttl("1 hour")
)

export const invalidateName = (name: string) => Cached.apply(Cached.pattern(profileOf, { name }))
// #endregion
