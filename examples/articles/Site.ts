/**
 * Every cached read of the site, with the policy that says what makes it untrue. A policy names what is shown, ordered by
 * and filtered by; who writes is not known here.
 *
 * `reads` lists all that are exact: after any write of `Writes.ts` they answer as the database would. `approximate` lists
 * the others, which are as old as their policies say.
 */
import { DateTime, Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { Cached, type CacheService, type CacheStore, Key, Policy } from "../../src/index.ts"
import {
  ArticlePage,
  Articles,
  Author,
  Authors,
  Categories,
  Draft,
  Listed,
  Named,
  NotFound,
  Ordered,
  Orders,
  PopularArticle,
  PopularTag,
  Product,
  Products,
  Profile,
  Report,
  Settings,
  Stats,
  Tagged,
  Tags,
  Teaser,
  Users,
  UserSettings,
  UsersSettings
} from "./Model.ts"
import * as Queries from "./Queries.ts"

// -----------------------------------------------------------------------------
// how long
// -----------------------------------------------------------------------------

/**
 * How long what is exact is kept at most. A write ends it at once; this is for writes that nobody told of, and for memory.
 * The jitter keeps what was loaded together from ending together.
 */
export const lifetimes = {
  /** What hardly ever changes. */
  settled: <K, V>() => Policy.ttl<K, V>("1 day", { jitter: 0.1 }),
  /** What everybody looks at: nobody waits when it ends. */
  lively: <K, V>() => Policy.ttl<K, V>("5 minutes", { staleFor: "1 minute", jitter: 0.1 }),
  /** That there is nothing. */
  absent: <K, V>() => Policy.ttl<K, V>("1 minute", { jitter: 0.1 })
}

// -----------------------------------------------------------------------------
// what lists have in common
// -----------------------------------------------------------------------------

const ids = (list: ReadonlyArray<{ readonly id: number }>): ReadonlyArray<number> => list.map(({ id }) => id)

// Of the key alone, so that it is known before the load.
const published = (_key: unknown): boolean => true

/** The published articles, by which of them there are: not by anything that they show. */
const whichArePublished = <K, V>(): Policy.Policy<K, V> =>
  Policy.conditionalIn(Articles, "published", { equals: published, fields: [] })

/**
 * The published articles of a category or an author. What changes this list changes both what the category has and what is
 * published, so it is untrue only if *either* of the two is: a draft that is edited concerns the category, but not the
 * published; an article of another category the published, but not the category.
 */
const publishedIn = (partition: "categoryId" | "authorId", shown: ReadonlyArray<"title">) =>
  Policy.any(
    Policy.conditionalIn(Articles, partition, { fields: [...shown, "published"] }),
    Policy.conditionalIn(Articles, "published", { equals: published, fields: [...shown, partition] })
  )

// -----------------------------------------------------------------------------
// articles
// -----------------------------------------------------------------------------

/** The page of an article. It shows names of its category, its author and its tags: which ones, the value says. */
export const article = Cached.make(
  "article",
  {
    key: Key.int("id"),
    value: ArticlePage,
    lookup: (id) => Queries.article(id),
    lookupMany: (ids) => Queries.articles(ids),
    failures: { error: NotFound, policy: Policy.all(lifetimes.absent(), Policy.conditional(Articles, { fields: [] })) }
  },
  Policy.all(
    lifetimes.settled(),
    Policy.conditional(Articles, {
      fields: ["title", "content", "categoryId", "authorId", "published", "updatedAt", "tags"]
    }),
    Policy.conditional(Categories, { id: { fromValue: (page) => page.category.id }, fields: ["name"] }),
    Policy.conditional(Authors, { id: { fromValue: (page) => page.author.id }, fields: ["name"] }),
    Policy.conditional(Tags, { id: { fromValue: (page) => ids(page.tags) }, fields: ["name"] })
  )
)

/** An article in a list, as HTML: its title, and nothing else. */
export const articleCard = Cached.make(
  "articleCard",
  {
    key: Key.int("id"),
    value: Schema.String,
    lookup: (id) => Queries.articleCard(id),
    failures: { error: NotFound, policy: Policy.all(lifetimes.absent(), Policy.conditional(Articles, { fields: [] })) }
  },
  Policy.all(lifetimes.settled(), Policy.conditional(Articles, { fields: ["title"] }))
)

/** The front page: what comes and goes among the published, and of those that it shows what it shows of them. */
export const articleList = Cached.make(
  "articleList",
  { key: Key.unit, value: Schema.Array(Teaser), lookup: () => Queries.articleList(20) },
  Policy.all(
    lifetimes.lively(),
    whichArePublished(),
    Policy.conditional(Articles, {
      id: { fromValue: (list) => ids(list) },
      fields: ["title", "categoryId", "authorId"]
    }),
    Policy.conditional(Categories, {
      id: { fromValue: (list) => list.map(({ category }) => category.id) },
      fields: ["name"]
    }),
    Policy.conditional(Authors, { id: { fromValue: (list) => list.map(({ author }) => author.id) }, fields: ["name"] })
  )
)

/** What was written of late, for the editors. */
export const recentArticles = Cached.make(
  "recentArticles",
  { key: Key.unit, value: Schema.Array(Draft), lookup: () => Queries.recentArticles(10) },
  Policy.all(
    lifetimes.lively(),
    Policy.conditionalAll(Articles, { fields: [] }),
    Policy.conditional(Articles, { id: { fromValue: (list) => ids(list) }, fields: ["title", "published"] })
  )
)

/** Everything that is published: every title counts, so no ids are needed. */
export const publishedArticles = Cached.make(
  "publishedArticles",
  { key: Key.unit, value: Schema.Array(Listed), lookup: () => Queries.publishedArticles },
  Policy.all(lifetimes.lively(), Policy.conditionalIn(Articles, "published", { equals: published, fields: ["title"] }))
)

/** The published articles of a category. */
export const articlesOfCategory = Cached.make(
  "articlesOfCategory",
  { key: Key.int("categoryId"), value: Schema.Array(Listed), lookup: (id) => Queries.articlesOfCategory(id) },
  Policy.all(lifetimes.lively(), publishedIn("categoryId", ["title"]))
)

/** How many articles of a category are published: whatever they are called. */
export const categoryCount = Cached.make(
  "categoryCount",
  { key: Key.int("categoryId"), value: Schema.Int, lookup: (id) => Queries.categoryCount(id) },
  Policy.all(lifetimes.lively(), publishedIn("categoryId", []))
)

/** The published articles of an author. */
export const articlesOfAuthor = Cached.make(
  "articlesOfAuthor",
  { key: Key.int("authorId"), value: Schema.Array(Listed), lookup: (id) => Queries.articlesOfAuthor(id) },
  Policy.all(lifetimes.lively(), publishedIn("authorId", ["title"]))
)

/** The published articles of a tag. Those that are not published yet are not shown, but any of them may come to be. */
export const articlesOfTag = Cached.make(
  "articlesOfTag",
  { key: Key.int("tagId"), value: Tagged, lookup: (id) => Queries.articlesOfTag(id) },
  Policy.all(
    lifetimes.lively(),
    Policy.conditional(Tags, { fields: ["articles"] }),
    Policy.conditional(Articles, {
      id: { fromValue: ({ articles }) => ids(articles) },
      fields: ["title", "published"]
    }),
    Policy.conditional(Articles, { id: { fromValue: ({ drafts }) => drafts }, fields: ["published"] })
  )
)

/** The tags that most articles have. Any tag that is given or taken may change the order. */
export const popularTags = Cached.make(
  "popularTags",
  { key: Key.unit, value: Schema.Array(PopularTag), lookup: () => Queries.popularTags(10) },
  Policy.all(lifetimes.lively(), Policy.conditionalAll(Tags, { fields: ["name", "articles"] }))
)

// -----------------------------------------------------------------------------
// categories and authors
// -----------------------------------------------------------------------------

/** The way to a category, from the top: its own name and place, and those of all above it. */
export const breadcrumbs = Cached.make(
  "breadcrumbs",
  { key: Key.int("categoryId"), value: Schema.Array(Named), lookup: (id) => Queries.breadcrumbs(id) },
  Policy.all(
    lifetimes.settled(),
    Policy.conditional(Categories, { fields: ["name", "parentId"] }),
    Policy.conditional(Categories, { id: { fromValue: (list) => ids(list) }, fields: ["name", "parentId"] })
  )
)

/** The list of categories at the side of every page, as HTML, with how many articles each has. */
export const sidebar = Cached.make(
  "sidebar",
  { key: Key.unit, value: Schema.String, lookup: () => Queries.sidebar },
  Policy.all(
    lifetimes.lively(),
    Policy.conditionalAll(Categories, { fields: ["name"] }),
    Policy.conditionalIn(Articles, "published", { equals: published, fields: ["categoryId"] })
  )
)

/** Who an author is. */
export const author = Cached.make(
  "author",
  {
    key: Key.int("id"),
    value: Author,
    lookup: (id) => Queries.authorRow(id),
    failures: { error: NotFound, policy: Policy.all(lifetimes.absent(), Policy.conditional(Authors, { fields: [] })) }
  },
  Policy.all(lifetimes.settled(), Policy.conditional(Authors))
)

// -----------------------------------------------------------------------------
// users
// -----------------------------------------------------------------------------

const byUser = Key.struct({ userId: Key.int("userId") })

const userOf = ({ userId }: Key.Input<typeof byUser>): number => userId

export const userProfile = Cached.make(
  "userProfile",
  {
    key: byUser,
    value: Profile,
    lookup: ({ userId }) => Queries.userProfile(userId),
    failures: {
      error: NotFound,
      policy: Policy.all(lifetimes.absent(), Policy.conditional(Users, { id: userOf, fields: [] }))
    }
  },
  Policy.all(lifetimes.settled(), Policy.conditional(Users, { id: userOf, fields: ["name", "email"] }))
)

export const userOrders = Cached.make(
  "userOrders",
  { key: byUser, value: Schema.Array(Ordered), lookup: ({ userId }) => Queries.userOrders(userId) },
  Policy.all(
    lifetimes.settled(),
    Policy.conditionalIn(Orders, "userId", { equals: userOf, fields: ["productId", "quantity", "total", "placedAt"] }),
    Policy.conditional(Products, {
      id: { fromValue: (orders) => orders.map(({ product }) => product.id) },
      fields: ["name"]
    })
  )
)

/** Who has said nothing has no row: that one comes to be ends this too. */
export const userSettings = Cached.make(
  "userSettings",
  { key: byUser, value: UserSettings, lookup: ({ userId }) => Queries.userSettings(userId) },
  Policy.all(
    lifetimes.settled(),
    Policy.conditional(UsersSettings, { id: userOf, fields: ["theme", "language", "newsletter"] })
  )
)

// -----------------------------------------------------------------------------
// products and settings
// -----------------------------------------------------------------------------

export const product = Cached.make(
  "product",
  {
    key: Key.int("id"),
    value: Product,
    lookup: (id) => Queries.product(id),
    failures: { error: NotFound, policy: Policy.all(lifetimes.absent(), Policy.conditional(Products, { fields: [] })) }
  },
  Policy.all(lifetimes.settled(), Policy.conditional(Products))
)

export const siteSettings = Cached.make(
  "siteSettings",
  { key: Key.unit, value: Schema.Record(Schema.String, Schema.String), lookup: () => Queries.siteSettings },
  Policy.all(lifetimes.settled(), Policy.conditionalAll(Settings))
)

// -----------------------------------------------------------------------------
// what is only as fresh as it says
// -----------------------------------------------------------------------------

/**
 * What is read most. Every look at an article changes a number in here, and to drop the list for that would be to have no
 * cache: the numbers are up to a minute old, and whoever comes then gets the old list while a new one is made. Titles, and
 * what is published at all, are exact.
 */
export const popularArticles = Cached.make(
  "popularArticles",
  { key: Key.unit, value: Schema.Array(PopularArticle), lookup: () => Queries.popularArticles(10) },
  Policy.all(
    Policy.ttl("1 minute", { staleFor: "10 seconds", jitter: 0.1 }),
    Policy.xfetch({ beta: 1 }),
    whichArePublished(),
    Policy.conditional(Articles, { id: { fromValue: (list) => ids(list) }, fields: ["title"] })
  )
)

/** What there is of everything, as it was within this hour. At the hour nobody waits, and one loads. */
export const hourlyStats = Cached.make(
  "hourlyStats",
  { key: Key.unit, value: Stats, lookup: () => Queries.stats },
  Policy.until("0 * * * *", { severity: "Stale" })
)

const rome = DateTime.zoneMakeNamedUnsafe("Europe/Rome")

/** The day before today, in Rome: from midnight to midnight, which is not always 24 hours. */
const yesterday = Effect.map(DateTime.now, (now) => {
  const today = DateTime.startOf(DateTime.setZone(now, rome), "day")
  return { from: DateTime.toDateUtc(DateTime.subtract(today, { days: 1 })), to: DateTime.toDateUtc(today) }
})

/** What was sold yesterday, until it is midnight in Rome. */
export const dailyReport = Cached.make(
  "dailyReport",
  {
    key: Key.unit,
    value: Report,
    lookup: () => Effect.flatMap(yesterday, ({ from, to }) => Queries.report(from, to))
  },
  Policy.until("0 0 * * *", { timeZone: "Europe/Rome" })
)

// -----------------------------------------------------------------------------
// all of them
// -----------------------------------------------------------------------------

type Asked<A, E = NotFound> = Effect.Effect<A, E | SqlError.SqlError, SqlClient.SqlClient>

/** One key of a read: what the cache answers, what the database answers, and why. */
export interface Question {
  /** The key as it is stored: `article:7`. */
  readonly key: string
  readonly cached: Effect.Effect<
    unknown,
    NotFound | SqlError.SqlError,
    SqlClient.SqlClient | CacheService.CacheService
  >
  readonly fresh: Asked<unknown>
  readonly explain: Effect.Effect<
    Cached.Explanation,
    CacheStore.StoreError | NotFound | SqlError.SqlError,
    SqlClient.SqlClient | CacheService.CacheService
  >
}

/** A read as something that can be gone through: its definition, and a question for each key that is worth asking. */
export interface Read {
  readonly name: string
  readonly cached: Cached.Any
  readonly questions: Asked<ReadonlyArray<Question>, never>
}

const read = <K, V, E extends NotFound | SqlError.SqlError>(
  cached: Cached.Cached<K, V, E, SqlClient.SqlClient>,
  keys: Asked<ReadonlyArray<K>, never>,
  fresh: (key: K) => Asked<V>
): Read => ({
  name: cached.name,
  cached,
  questions: Effect.map(keys, (all) =>
    all.map((key) => ({
      key: Cached.keyOf(cached, key),
      cached: Cached.get(cached, key),
      fresh: fresh(key),
      explain: Cached.explain(cached, key)
    })))
})

const once: Asked<ReadonlyArray<void>, never> = Effect.succeed([undefined])

/** All ids that there are, and one that there is not. */
const idsIn = (table: Parameters<typeof Queries.ids>[0]): Asked<ReadonlyArray<number>, never> =>
  Effect.map(Queries.ids(table), (ids) => [...ids, 1_000_000])

const usersIn = Effect.map(idsIn("users"), (ids) => ids.map((userId) => ({ userId })))

/** The reads that are exact. */
export const reads: ReadonlyArray<Read> = [
  read(article, idsIn("articles"), Queries.article),
  read(articleCard, idsIn("articles"), Queries.articleCard),
  read(articleList, once, () => Queries.articleList(20)),
  read(recentArticles, once, () => Queries.recentArticles(10)),
  read(publishedArticles, once, () => Queries.publishedArticles),
  read(articlesOfCategory, idsIn("categories"), Queries.articlesOfCategory),
  read(categoryCount, idsIn("categories"), Queries.categoryCount),
  read(articlesOfAuthor, idsIn("authors"), Queries.articlesOfAuthor),
  read(articlesOfTag, idsIn("tags"), Queries.articlesOfTag),
  read(popularTags, once, () => Queries.popularTags(10)),
  read(breadcrumbs, idsIn("categories"), Queries.breadcrumbs),
  read(sidebar, once, () => Queries.sidebar),
  read(author, idsIn("authors"), Queries.authorRow),
  read(userProfile, usersIn, ({ userId }) => Queries.userProfile(userId)),
  read(userOrders, usersIn, ({ userId }) => Queries.userOrders(userId)),
  read(userSettings, usersIn, ({ userId }) => Queries.userSettings(userId)),
  read(product, idsIn("products"), Queries.product),
  read(siteSettings, once, () => Queries.siteSettings)
]

/** The reads that are as old as their policies say. */
export const approximate: ReadonlyArray<Read> = [
  read(popularArticles, once, () => Queries.popularArticles(10)),
  read(hourlyStats, once, () => Queries.stats),
  read(dailyReport, once, () => Effect.flatMap(yesterday, ({ from, to }) => Queries.report(from, to)))
]
