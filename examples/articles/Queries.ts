/**
 * What is asked of the database. Nothing here knows that there is a cache.
 *
 * A row that does not decode is a bug and ends the fiber; what fails is the database (`SqlError`), or finding something
 * (`NotFound`).
 */
import { Effect, Result, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import {
  Article,
  ArticlePage,
  Author,
  Counted,
  Draft,
  Listed,
  Named,
  NotFound,
  Ordered,
  PopularArticle,
  PopularTag,
  Product,
  Profile,
  type Report,
  Setting,
  Stats,
  type Tagged,
  Teaser,
  UserSettings
} from "./Model.ts"

type Query<A, E = never> = Effect.Effect<A, E | SqlError.SqlError, SqlClient.SqlClient>

/** The rows of a query, decoded. */
export const rows = <A, I>(
  row: Schema.Codec<A, I>,
  ask: (sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>
): Query<ReadonlyArray<A>> => {
  const decode = Schema.decodeUnknownEffect(Schema.Array(row))
  return Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.flatMap(ask(sql), (found) => Effect.orDie(decode(found))))
}

/** The one row, or a failure. */
const only = <A, I>(
  row: Schema.Codec<A, I>,
  ask: (sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>,
  what: NotFound["what"],
  id: number
): Query<A, NotFound> =>
  Effect.flatMap(
    rows(row, ask),
    ([found]) => found === undefined ? Effect.fail(new NotFound({ what, id })) : Effect.succeed(found)
  )

// -----------------------------------------------------------------------------
// articles
// -----------------------------------------------------------------------------

// As JSON, so that an article, its category, its author and its tags are one row of one query.
const category = "json_build_object('id', c.id, 'name', c.name) as category"
const author = "json_build_object('id', w.id, 'name', w.name) as author"

const pages = (ids: ReadonlyArray<number>): Query<ReadonlyArray<ArticlePage>> =>
  rows(ArticlePage, (sql) =>
    sql`
      select a.id, a.title, a.content, a.published, a.created_at, a.updated_at,
        ${sql.literal(category)}, ${sql.literal(author)},
        (
          select coalesce(json_agg(json_build_object('id', t.id, 'name', t.name) order by t.name, t.id), '[]')
          from article_tags x join tags t on t.id = x.tag_id where x.article_id = a.id
        ) as tags
      from articles a join categories c on c.id = a.category_id join authors w on w.id = a.author_id
      where a.id = any(${ids})`)

/** The page of an article: with its category, its author and its tags. */
export const article = (id: number): Query<ArticlePage, NotFound> =>
  Effect.flatMap(articles([id]), ([result]) => Effect.fromResult(result!))

/** Several pages by one query: a result for each id, in their order. */
export const articles = (ids: ReadonlyArray<number>): Query<ReadonlyArray<Result.Result<ArticlePage, NotFound>>> =>
  Effect.map(pages(ids), (found) => {
    const byId = new Map(found.map((page) => [page.id, page]))
    return ids.map((id) => Result.fromNullishOr(byId.get(id), () => new NotFound({ what: "article", id })))
  })

/** The row of an article. */
export const articleRow = (id: number): Query<Article, NotFound> =>
  only(Article, (sql) => sql`select * from articles where id = ${id}`, "article", id)

export const title = (id: number): Query<string, NotFound> =>
  Effect.map(
    only(Listed, (sql) => sql`select id, title from articles where id = ${id}`, "article", id),
    ({ title }) => title
  )

/** The front page: what was published of late. */
export const articleList = (limit: number): Query<ReadonlyArray<typeof Teaser.Type>> =>
  rows(Teaser, (sql) =>
    sql`
      select a.id, a.title, ${sql.literal(category)}, ${sql.literal(author)}
      from articles a join categories c on c.id = a.category_id join authors w on w.id = a.author_id
      where a.published order by a.created_at desc, a.id desc limit ${limit}`)

/** What was written of late, published or not. */
export const recentArticles = (limit: number): Query<ReadonlyArray<typeof Draft.Type>> =>
  rows(Draft, (sql) => sql`select id, title, published from articles order by created_at desc, id desc limit ${limit}`)

/** Everything that is published. */
export const publishedArticles: Query<ReadonlyArray<typeof Listed.Type>> = rows(
  Listed,
  (sql) => sql`select id, title from articles where published order by title, id`
)

/** The published articles of a category, the newest first. */
export const articlesOfCategory = (categoryId: number): Query<ReadonlyArray<typeof Listed.Type>> =>
  rows(Listed, (sql) =>
    sql`
      select id, title from articles where category_id = ${categoryId} and published
      order by created_at desc, id desc`)

/** How many articles of a category are published. */
export const categoryCount = (categoryId: number): Query<number> =>
  Effect.map(
    rows(Schema.Struct({ articles: Schema.Int }), (sql) =>
      sql`select count(*)::int as articles from articles where category_id = ${categoryId} and published`),
    ([row]) =>
      row!.articles
  )

/** The published articles of an author, the newest first. */
export const articlesOfAuthor = (authorId: number): Query<ReadonlyArray<typeof Listed.Type>> =>
  rows(Listed, (sql) =>
    sql`
      select id, title from articles where author_id = ${authorId} and published
      order by created_at desc, id desc`)

/** The published articles of a tag, the newest first, and which others have it. */
export const articlesOfTag = (tagId: number): Query<typeof Tagged.Type> =>
  Effect.map(
    rows(Draft, (sql) =>
      sql`
        select a.id, a.title, a.published from article_tags x join articles a on a.id = x.article_id
        where x.tag_id = ${tagId} order by a.created_at desc, a.id desc`),
    (all) => ({
      articles: all.filter(({ published }) => published).map(({ id, title }) => ({ id, title })),
      drafts: all.filter(({ published }) => !published).map(({ id }) => id)
    })
  )

/** The tags that most articles have. */
export const popularTags = (limit: number): Query<ReadonlyArray<typeof PopularTag.Type>> =>
  rows(PopularTag, (sql) =>
    sql`
      select t.id, t.name, count(x.tag_id)::int as articles from tags t left join article_tags x on x.tag_id = t.id
      group by t.id order by articles desc, t.name, t.id limit ${limit}`)

/** The articles that were seen most often. */
export const popularArticles = (limit: number): Query<ReadonlyArray<typeof PopularArticle.Type>> =>
  rows(
    PopularArticle,
    (sql) => sql`select id, title, views from articles where published order by views desc, id limit ${limit}`
  )

// -----------------------------------------------------------------------------
// categories and authors
// -----------------------------------------------------------------------------

/** The way to a category, from the top. Empty if there is no such category. */
export const breadcrumbs = (categoryId: number): Query<ReadonlyArray<typeof Named.Type>> =>
  rows(Named, (sql) =>
    sql`
      with recursive way as (
        select id, name, parent_id, 0 as depth from categories where id = ${categoryId}
        union all
        select c.id, c.name, c.parent_id, way.depth + 1 from categories c join way on c.id = way.parent_id
        where way.depth < 10
      ) select id, name from way order by depth desc`)

/** All categories, with the number of their published articles. */
export const categoryCounts: Query<ReadonlyArray<typeof Counted.Type>> = rows(
  Counted,
  (sql) =>
    sql`
      select c.id, c.name, count(a.id)::int as articles
      from categories c left join articles a on a.category_id = c.id and a.published
      group by c.id order by c.name, c.id`
)

const escaped: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" }

const html = (text: string): string => text.replace(/[&<>"]/g, (character) => escaped[character]!)

/** The list of categories, as every page has it at its side. */
export const sidebar: Query<string> = Effect.map(
  categoryCounts,
  (categories) =>
    `<ul>${
      categories.map(({ articles, id, name }) => `<li><a href="/categories/${id}">${html(name)}</a> (${articles})</li>`)
        .join("")
    }</ul>`
)

/** An article in a list, as HTML. */
export const articleCard = (id: number): Query<string, NotFound> =>
  Effect.map(title(id), (title) => `<a href="/articles/${id}">${html(title)}</a>`)

export const authorRow = (id: number): Query<Author, NotFound> =>
  only(Author, (sql) => sql`select * from authors where id = ${id}`, "author", id)

// -----------------------------------------------------------------------------
// users
// -----------------------------------------------------------------------------

export const userProfile = (id: number): Query<Profile, NotFound> =>
  only(
    Profile,
    (sql) => sql`select id, name, email, created_at as member_since from users where id = ${id}`,
    "user",
    id
  )

/** What a user has ordered, the newest first. */
export const userOrders = (userId: number): Query<ReadonlyArray<typeof Ordered.Type>> =>
  rows(Ordered, (sql) =>
    sql`
      select o.id, json_build_object('id', p.id, 'name', p.name) as product, o.quantity, o.total, o.placed_at
      from orders o join products p on p.id = o.product_id
      where o.user_id = ${userId} order by o.placed_at desc, o.id desc`)

/** The profile of the user of a name. */
export const profileByName = (name: string): Query<Profile, NotFound> =>
  only(
    Profile,
    (sql) => sql`select id, name, email, created_at as member_since from users where name = ${name}`,
    "user",
    0
  )

/** What a user has said, or what holds for who has not. */
export const userSettings = (userId: number): Query<UserSettings> =>
  Effect.map(
    rows(UserSettings, (sql) => sql`select * from user_settings where user_id = ${userId}`),
    ([found]) => found ?? new UserSettings({ userId, theme: "light", language: "en", newsletter: false })
  )

// -----------------------------------------------------------------------------
// products, statistics, settings
// -----------------------------------------------------------------------------

export const product = (id: number): Query<Product, NotFound> =>
  only(Product, (sql) => sql`select * from products where id = ${id}`, "product", id)

export const stats: Query<typeof Stats.Type> = Effect.map(
  rows(Stats, (sql) =>
    sql`
      select count(*)::int as articles, (count(*) filter (where published))::int as published,
        coalesce(sum(views), 0)::int as views,
        (select count(*)::int from users) as users, (select count(*)::int from orders) as orders
      from articles`),
  ([row]) => row!
)

/** What was sold from one time to another, and of which products most. */
export const report = (from: Date, to: Date): Query<typeof Report.Type> =>
  Effect.gen(function*() {
    const [sold] = yield* rows(Schema.Struct({ orders: Schema.Int, revenue: Schema.Int }), (sql) =>
      sql`
        select count(*)::int as orders, coalesce(sum(total), 0)::int as revenue from orders
        where placed_at >= ${from} and placed_at < ${to}`)
    const products = yield* rows(Named, (sql) =>
      sql`
        select p.id, p.name from orders o join products p on p.id = o.product_id
        where placed_at >= ${from} and placed_at < ${to}
        group by p.id order by sum(quantity) desc, p.id limit 5`)
    return { ...sold!, products }
  })

/** All settings of the site. */
export const siteSettings: Query<Readonly<Record<string, string>>> = Effect.map(
  rows(Setting, (sql) => sql`select key, value from settings order by key`),
  (settings) => Object.fromEntries(settings.map(({ key, value }) => [key, value]))
)

// -----------------------------------------------------------------------------
// what there is
// -----------------------------------------------------------------------------

/** The ids of a table, in order. */
export const ids = (
  table: "articles" | "authors" | "categories" | "products" | "tags" | "users"
): Query<ReadonlyArray<number>> =>
  Effect.map(
    rows(Schema.Struct({ id: Schema.Int }), (sql) => sql`select id from ${sql(table)} order by id`),
    (found) => found.map(({ id }) => id)
  )
