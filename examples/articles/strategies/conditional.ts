/** Conditional invalidation: each read says which fields it shows, and ends when one of them differs. */
import { Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { Articles, Listed, NotFound } from "../Model.ts"
import * as Queries from "../Queries.ts"

// #region reads
/** The page shows title and text. */
export const detail = Cached.make(
  "conditional/detail",
  {
    key: Key.int("id"),
    value: Schema.Struct({ title: Schema.String, content: Schema.String }),
    lookup: (id) => Effect.map(Queries.articleRow(id), ({ content, title }) => ({ title, content })),
    failures: { error: NotFound, policy: Policy.conditional(Articles, { fields: [] }) }
  },
  Policy.conditional(Articles, { fields: ["title", "content"] })
)

/** The list of what is published: which there are, and their titles. */
export const publishedArticles = Cached.make(
  "conditional/published",
  { key: Key.unit, value: Schema.Array(Listed), lookup: () => Queries.publishedArticles },
  Policy.conditionalIn(Articles, "published", { equals: (_key: void) => true, fields: ["title"] })
)

/** What was written last, drafts too: that there is another one, and the titles of those that it shows. */
export const recentArticles = Cached.make(
  "conditional/recent",
  { key: Key.unit, value: Schema.Array(Listed), lookup: () => Queries.recentArticles(10) },
  Policy.all(
    Policy.conditionalAll(Articles, { fields: [] }),
    Policy.conditional(Articles, { id: { fromValue: (list) => list.map(({ id }) => id) }, fields: ["title"] })
  )
)
// #endregion
