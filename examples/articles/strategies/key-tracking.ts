/** Values that belong together share a tag, which needs no list of keys. */
import { Schema } from "effect"
import { Cached, Invalidation, Key, Policy } from "../../../src/index.ts"
import { NotFound, Ordered, Profile } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region reads
const userTag = (userId: number): string => `user:${userId}`

/** For an hour, or until the values of the user are invalidated. */
const ofUser = <V>() =>
  Policy.all(Policy.ttl<number, V>("1 hour"), Policy.tagged((userId: number) => [userTag(userId)]))

export const profile = Cached.make(
  "profile",
  {
    key: Key.int("userId"),
    value: Profile,
    lookup: (userId) => Queries.userProfile(userId),
    failures: { error: NotFound, policy: ofUser() }
  },
  ofUser()
)

export const orders = Cached.make(
  "orders",
  { key: Key.int("userId"), value: Schema.Array(Ordered), lookup: (userId) => Queries.userOrders(userId) },
  ofUser()
)
// #endregion

// #region invalidate
export const invalidateUser = (userId: number) => Cached.apply(Invalidation.tags(userTag(userId)))
// #endregion
