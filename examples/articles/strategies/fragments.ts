/** Rendered fragments of pages: cached texts, each with a name and what it varies on. */
import { Effect, Schema } from "effect"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { Articles, Categories, NotFound } from "../Model.ts"
import * as Queries from "../Queries.ts"

const html = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

// #region fragments
/** The same for all users. */
export const sidebar = Cached.make(
  "sidebar",
  { key: Key.fragment("sidebar"), value: Schema.String, lookup: () => Queries.sidebar },
  Policy.all(
    Policy.conditionalAll(Categories, { fields: ["name"] }),
    Policy.conditionalIn(Articles, "published", { equals: (_key: void) => true, fields: ["categoryId"] })
  )
)

/** One for each article, which ends when what it shows has changed: its key needs no `updatedAt`. */
export const postDetail = Cached.make(
  "postDetail",
  {
    key: Key.fragment("post_detail", Key.int("id")),
    value: Schema.String,
    lookup: (id) =>
      Effect.map(Queries.articleRow(id), ({ content, title }) => `<h1>${html(title)}</h1><p>${html(content)}</p>`),
    failures: { error: NotFound, policy: Policy.conditional(Articles, { fields: [] }) }
  },
  Policy.conditional(Articles, { fields: ["title", "content"] })
)

/** One for each pair of words and tag that was searched for. */
export const results = Cached.make(
  "results",
  {
    key: Key.fragment("results", Key.string("words"), Key.string("tag")),
    value: Schema.String,
    lookup: ([words, tag]) => Effect.succeed(`<h2>${html(words)} in ${html(tag)}</h2>`)
  },
  Policy.ttl("5 minutes")
)

/** By hand: one fragment, and all variants of one. */
export const invalidateSidebar = Cached.invalidate(sidebar, undefined)
export const invalidateResults = Cached.apply(Cached.pattern(results, {}))
// #endregion

// #region versioned
/** With `updatedAt` in the key each version is another entry. The old ones need a lifetime to go away. */
export const postVersion = Cached.make(
  "postVersion",
  {
    key: Key.fragment("post_version", Key.int("id"), Key.date("updatedAt")),
    value: Schema.String,
    lookup: ([id]) => Effect.map(Queries.title(id), html)
  },
  Policy.ttl("1 hour")
)
// #endregion
