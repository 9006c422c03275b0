/**
 * Every write of the site. Each runs in a transaction and publishes what it changed inside of it; readers are told after
 * the commit, and not at all after a rollback. What was published is written to the outbox in the same transaction, so a
 * process that dies right after the commit has not lost it.
 *
 * Below are repositories, a plain one for each table; further below the writes that are more than one row. No write knows
 * which cached reads there are.
 */
import { Effect, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { type CacheService, Change, Changes, Repository } from "../../src/index.ts"
import * as Outbox from "../../src/Outbox.ts"
import {
  Article,
  Articles,
  Author,
  Authors,
  Categories,
  Category,
  NotFound,
  Order,
  Orders,
  OutOfStock,
  Product,
  Products,
  Setting,
  Settings,
  Tag,
  Tags,
  User,
  Users,
  UserSettings,
  UsersSettings
} from "./Model.ts"
import { rows } from "./Queries.ts"

/**
 * What every write runs in. One inside of another is a part of it. Whoever writes is told when the cache was not: see
 * `updateProduct` in `strategies/fallback.ts`. Without the option a write would give its result, with a warning in the log.
 */
export const transaction: Changes.WithTransaction<
  SqlError.SqlError | Outbox.OutboxError | CacheService.InvalidationError,
  SqlClient.SqlClient | Outbox.Outbox
> = (effect) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Outbox.withTransaction<SqlError.SqlError>(sql.withTransaction, { onUndelivered: "fail" })(effect)
  )

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

type Table = "articles" | "authors" | "categories" | "orders" | "products" | "tags" | "users"

type Values = Record<string, unknown>

/** Makes a row, and gives it as the database completed it. */
const insert = <A, I>(row: Schema.Codec<A, I>, table: Table, values: Values) =>
  Effect.map(rows(row, (sql) => sql`insert into ${sql(table)} ${sql.insert(values)} returning *`), ([made]) => made!)

/** A row, which nobody else changes or refers to anew until the end of the transaction. */
const lock = <A, I>(row: Schema.Codec<A, I>, table: Table, what: NotFound["what"], id: number) =>
  Effect.flatMap(
    rows(row, (sql) => sql`select * from ${sql(table)} where id = ${id} for update`),
    ([found]) => found === undefined ? Effect.fail(new NotFound({ what, id })) : Effect.succeed(found)
  )

/** Changes a row, and tells what it was and what it is. What was read before it was locked might be neither. */
const update = <A, I>(row: Schema.Codec<A, I>, table: Table, what: NotFound["what"], id: number, patch: Values) =>
  Effect.gen(function*() {
    const before = yield* lock(row, table, what, id)
    if (Object.keys(patch).length === 0) return { before, after: before }
    const [after] = yield* rows(
      row,
      (sql) => sql`update ${sql(table)} set ${sql.update(patch)} where id = ${id} returning *`
    )
    return { before, after: after! }
  })

/** Takes a row away, and tells what it was. */
const remove = <A, I>(row: Schema.Codec<A, I>, table: Table, what: NotFound["what"], id: number) =>
  Effect.flatMap(
    rows(row, (sql) => sql`delete from ${sql(table)} where id = ${id} returning *`),
    ([gone]) => gone === undefined ? Effect.fail(new NotFound({ what, id })) : Effect.succeed(gone)
  )

/** Makes a row or changes it. Who is second to make it changes what the first has made, and tells so. */
const save = <A, I>(
  row: Schema.Codec<A, I>,
  table: "settings" | "user_settings",
  by: readonly [column: string, value: number | string],
  patch: Values
): Effect.Effect<{ readonly before: A | undefined; readonly after: A }, SqlError.SqlError, SqlClient.SqlClient> => {
  const [column, value] = by
  return Effect.gen(function*() {
    const [made] = yield* rows(
      row,
      (sql) =>
        sql`insert into ${sql(table)} ${sql.insert({ [column]: value, ...patch })} on conflict do nothing returning *`
    )
    if (made !== undefined) return { before: undefined, after: made }
    const [before] = yield* rows(
      row,
      (sql) => sql`select * from ${sql(table)} where ${sql(column)} = ${value} for update`
    )
    // Somebody took it away in between.
    if (before === undefined) return yield* save(row, table, by, patch)
    if (Object.keys(patch).length === 0) return { before, after: before }
    const [after] = yield* rows(
      row,
      (sql) => sql`update ${sql(table)} set ${sql.update(patch)} where ${sql(column)} = ${value} returning *`
    )
    return { before, after: after! }
  })
}

// -----------------------------------------------------------------------------
// repositories
// -----------------------------------------------------------------------------

type Fields<Row, Given extends keyof Row, Optional extends keyof Row = never> =
  & Pick<Row, Given>
  & Partial<Pick<Row, Optional>>

export type NewArticle = Fields<Article, "title" | "content" | "categoryId" | "authorId", "published">
export type ArticlePatch = Partial<NewArticle>
export type NewCategory = Fields<Category, "slug" | "name", "parentId">
export type NewAuthor = Fields<Author, "name", "bio">
export type NewUser = Fields<User, "name" | "email">
export type NewProduct = Fields<Product, "name" | "price" | "stock">
export type UserSettingsPatch = Partial<Fields<UserSettings, "theme" | "language" | "newsletter">>

const articles = Repository.make(Articles, {
  create: (article: NewArticle) => insert(Article, "articles", article),
  update: (id: number, patch: ArticlePatch) => update(Article, "articles", "article", id, patch),
  delete: (id: number) => remove(Article, "articles", "article", id)
}, { within: transaction })

const categories = Repository.make(Categories, {
  create: (category: NewCategory) => insert(Category, "categories", category),
  update: (id: number, patch: Partial<NewCategory>) => update(Category, "categories", "category", id, patch)
}, { within: transaction })

const authors = Repository.make(Authors, {
  create: (author: NewAuthor) => insert(Author, "authors", author),
  update: (id: number, patch: Partial<NewAuthor>) => update(Author, "authors", "author", id, patch)
}, { within: transaction })

const tags = Repository.make(Tags, {
  create: (name: string) => insert(Tag, "tags", { name }),
  update: (id: number, patch: { readonly name: string }) => update(Tag, "tags", "tag", id, patch),
  delete: (id: number) => remove(Tag, "tags", "tag", id)
}, { within: transaction })

const users = Repository.make(Users, {
  create: (user: NewUser) => insert(User, "users", user),
  update: (id: number, patch: Partial<NewUser>) => update(User, "users", "user", id, patch),
  delete: (id: number) => remove(User, "users", "user", id)
}, { within: transaction })

const userSettings = Repository.make(UsersSettings, {
  save: (userId: number, patch: UserSettingsPatch) => save(UserSettings, "user_settings", ["userId", userId], patch)
}, { within: transaction })

const products = Repository.make(Products, {
  create: (product: NewProduct) => insert(Product, "products", product),
  update: (id: number, patch: Partial<NewProduct>) => update(Product, "products", "product", id, patch)
}, { within: transaction })

const orders = Repository.make(Orders, {
  create: (order: Pick<Order, "userId" | "productId" | "quantity" | "total">) => insert(Order, "orders", order)
}, { within: transaction })

const settings = Repository.make(Settings, {
  save: (key: string, value: string) => save(Setting, "settings", ["key", key], { value })
}, { within: transaction })

// -----------------------------------------------------------------------------
// articles
// -----------------------------------------------------------------------------

/** Makes an article, with its tags. A draft, unless it says that it is published. */
export const createArticle = (article: NewArticle, tagIds: ReadonlyArray<number> = []) =>
  Effect.gen(function*() {
    const made = yield* articles.create(article)
    yield* addTags(made.id, tagIds)
    return made
  }).pipe(transaction)

/** Changes an article, and gives what it was and what it is. */
export const updateArticle = articles.update

/** Puts an article into another category. */
export const moveArticle = (id: number, categoryId: number) => articles.update(id, { categoryId })

export const publish = (id: number) => articles.update(id, { published: true })

export const unpublish = (id: number) => articles.update(id, { published: false })

/** Takes an article away, and with it its tags. */
export const deleteArticle = (id: number) =>
  Effect.gen(function*() {
    yield* clearTags(id)
    return yield* articles.delete(id)
  }).pipe(transaction)

/** Counts a look at an article, and tells nobody: what shows the number is only as fresh as it says. */
export const view = (id: number) =>
  Effect.flatMap(
    rows(Schema.Struct({ views: Schema.Int }), (sql) =>
      sql`update articles set views = views + 1 where id = ${id} returning views`),
    ([row]) =>
      row === undefined ? Effect.fail(new NotFound({ what: "article", id })) : Effect.succeed(row.views)
  )

// -----------------------------------------------------------------------------
// tags of articles
// -----------------------------------------------------------------------------

const TagId = Schema.Struct({ tagId: Schema.Int })

const tagEnds = (found: ReadonlyArray<typeof TagId.Type>) => found.map(({ tagId }) => Tags.end(tagId, "articles"))

const tagsOf = (articleId: number) =>
  rows(TagId, (sql) => sql`select tag_id from article_tags where article_id = ${articleId} order by tag_id`)

const tagsInto = (articleId: number, tagIds: ReadonlyArray<number>) =>
  rows(TagId, (sql) =>
    sql`
      insert into article_tags (article_id, tag_id) select ${articleId}, unnest(${tagIds}::int[])
      on conflict do nothing returning tag_id`)

const tagsOutOf = (articleId: number, tagIds: ReadonlyArray<number>) =>
  rows(
    TagId,
    (sql) =>
      sql`delete from article_tags where article_id = ${articleId} and tag_id = any(${tagIds}::int[]) returning tag_id`
  )

/** Changes the tags of an article, which nobody else does meanwhile, and publishes what that tells. */
const changingTags = <E, R>(
  articleId: number,
  write: Effect.Effect<ReadonlyArray<Change.Change>, E, R>
) =>
  Effect.gen(function*() {
    yield* lock(Article, "articles", "article", articleId)
    yield* Changes.publish(yield* write)
  }).pipe(transaction)

/** Gives an article tags. Those that it has it keeps. */
export const addTags = (articleId: number, tagIds: ReadonlyArray<number>) =>
  changingTags(
    articleId,
    Effect.map(tagsInto(articleId, tagIds), (added) =>
      tagEnds(added).map((other) => Change.related("added", Articles.end(articleId, "tags"), other)))
  )

/** Takes tags from an article. */
export const removeTags = (articleId: number, tagIds: ReadonlyArray<number>) =>
  changingTags(
    articleId,
    Effect.map(tagsOutOf(articleId, tagIds), (removed) =>
      tagEnds(removed).map((other) => Change.related("removed", Articles.end(articleId, "tags"), other)))
  )

/** Gives an article these tags and no others. */
export const setTags = (articleId: number, tagIds: ReadonlyArray<number>) =>
  changingTags(
    articleId,
    Effect.gen(function*() {
      const before = yield* tagsOf(articleId)
      yield* tagsOutOf(articleId, before.map(({ tagId }) => tagId).filter((id) => !tagIds.includes(id)))
      yield* tagsInto(articleId, tagIds)
      const after = yield* tagsOf(articleId)
      return Change.replaced(Articles.end(articleId, "tags"), { before: tagEnds(before), after: tagEnds(after) })
    })
  )

/** Takes all tags from an article. */
export const clearTags = (articleId: number) => setTags(articleId, [])

// -----------------------------------------------------------------------------
// categories, authors, tags
// -----------------------------------------------------------------------------

export const createCategory = categories.create

export const updateCategory = categories.update

export const renameCategory = (id: number, name: string) => categories.update(id, { name })

/**
 * Takes a category away. The database takes its articles with it, and their tags, and leaves the categories below it without
 * one above: it does not say so, so this does.
 */
export const deleteCategory = (id: number) =>
  Effect.gen(function*() {
    // Nothing can be put into it from now on.
    yield* lock(Category, "categories", "category", id)
    const children = yield* rows(Category, (sql) => sql`select * from categories where parent_id = ${id} for update`)
    const inside = yield* rows(Article, (sql) => sql`select * from articles where category_id = ${id} for update`)
    const tagged = yield* rows(Schema.Struct({ articleId: Schema.Int, tagId: Schema.Int }), (sql) =>
      sql`select article_id, tag_id from article_tags where article_id = any(${
        inside.map(({ id }) => id)
      }::int[])`)
    const gone = yield* remove(Category, "categories", "category", id)
    yield* Changes.publish([
      ...tagged.map(({ articleId, tagId }) =>
        Change.related("removed", Articles.end(articleId, "tags"), Tags.end(tagId, "articles"))
      ),
      ...inside.map(Articles.deleted),
      ...children.map((child) => Categories.updated(child, new Category({ ...child, parentId: null }))),
      Categories.deleted(gone)
    ])
    return gone
  }).pipe(transaction)

export const createAuthor = authors.create

export const updateAuthor = authors.update

export const renameAuthor = (id: number, name: string) => authors.update(id, { name })

export const createTag = tags.create

export const renameTag = (id: number, name: string) => tags.update(id, { name })

/** Takes a tag away, and so from every article that has it. */
export const deleteTag = (id: number) =>
  Effect.gen(function*() {
    yield* lock(Tag, "tags", "tag", id)
    const tagged = yield* rows(Schema.Struct({ articleId: Schema.Int }), (sql) =>
      sql`delete from article_tags where tag_id = ${id} returning article_id`)
    yield* Changes.publish(
      tagged.map(({ articleId }) =>
        Change.related("removed", Tags.end(id, "articles"), Articles.end(articleId, "tags"))
      )
    )
    return yield* tags.delete(id)
  }).pipe(transaction)

// -----------------------------------------------------------------------------
// users
// -----------------------------------------------------------------------------

export const createUser = users.create

export const updateUser = users.update

/** Takes a user away, with all orders and settings. */
export const deleteUser = (id: number) =>
  Effect.gen(function*() {
    yield* lock(User, "users", "user", id)
    const ordered = yield* rows(Order, (sql) => sql`delete from orders where user_id = ${id} returning *`)
    const said = yield* rows(UserSettings, (sql) => sql`delete from user_settings where user_id = ${id} returning *`)
    yield* Changes.publish([...ordered.map(Orders.deleted), ...said.map(UsersSettings.deleted)])
    return yield* users.delete(id)
  }).pipe(transaction)

/** Says how a user wants to see the site; what is not said stays. */
export const updateUserSettings = userSettings.save

// -----------------------------------------------------------------------------
// products, orders, settings
// -----------------------------------------------------------------------------

export const createProduct = products.create

export const updateProduct = products.update

/** Orders something: one row more, and so many fewer in stock, or neither. */
export const placeOrder = (userId: number, productId: number, quantity: number) =>
  Effect.gen(function*() {
    const { price, stock } = yield* lock(Product, "products", "product", productId)
    if (stock < quantity) return yield* new OutOfStock({ productId, wanted: quantity, stock })
    yield* products.update(productId, { stock: stock - quantity })
    return yield* orders.create({ userId, productId, quantity, total: price * quantity })
  }).pipe(transaction)

/** Sets one of the site's settings. */
export const updateSettings = settings.save
