/**
 * Every write of the site with everything that it can change, one thing at a time, on the generated rows.
 */
import { Effect, Schema } from "effect"
import * as content from "../../examples/articles/content.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import { nextIsAsked, size, type Table } from "./asking.ts"

/** What every write needs. */
export type Services = Effect.Services<ReturnType<typeof Writes.placeOrder>>

export interface Case {
  readonly name: string
  readonly write: Effect.Effect<unknown, unknown, Services>
  /** No answer changes by it. */
  readonly idle?: true
  /** What is loaded although its answer is the same: names of reads, or keys. Each has a reason in `reasons`. */
  readonly needless?: ReadonlyArray<string>
}

// -----------------------------------------------------------------------------
// rows worth to be changed
// -----------------------------------------------------------------------------

const rows = content.generate(size)

type ArticleRow = typeof rows.articles[number]

const first = <A>(what: string, all: ReadonlyArray<A>): A => {
  const [one] = all
  if (one === undefined) throw new Error(`the content has no ${what}`)
  return one
}

const newestFirst = rows.articles.toReversed()
const published = newestFirst.filter((article) => article.published)
const newest = new Set(newestFirst.slice(0, 10))

/** Articles that are shown in different places. */
export const kinds = {
  "on the front page": first("front page", published),
  "not on the front page": first("older article", published.slice(20)),
  "a new draft": first("new draft", newestFirst.filter((article) => !article.published && newest.has(article))),
  "an old draft": first("old draft", newestFirst.filter((article) => !article.published && !newest.has(article)))
} as const satisfies Record<string, ArticleRow>

type Kind = keyof typeof kinds

const tagsOf = (articleId: number): ReadonlyArray<number> =>
  rows.articleTags.filter((one) => one.articleId === articleId).map(({ tagId }) => tagId)

const tagIds = rows.tags.map(({ id }) => id)

const front = kinds["on the front page"].id
const older = kinds["not on the front page"].id
const draft = kinds["a new draft"].id
const itsTags = tagsOf(front)
const otherTags = tagIds.filter((id) => !itsTags.includes(id))

const other = <A>(of: ReadonlyArray<A>, than: A): A => first("other one", of.filter((one) => one !== than))

const ordering = first("order", rows.orders)
const parent = first(
  "category with one below it",
  rows.categories.filter(({ id }) => rows.categories.some((child) => child.parentId === id))
)
const child = first("category below another", rows.categories.filter(({ parentId }) => parentId !== null))
const withSettings = first("user with settings", rows.userSettings)
const withoutSettings = first(
  "user without settings",
  rows.users.filter(({ id }) => rows.userSettings.every(({ userId }) => userId !== id))
)
const { productId, userId } = ordering
const withNeither = first(
  "user without orders and settings",
  rows.users.filter(({ id }) => [...rows.orders, ...rows.userSettings].every(({ userId }) => userId !== id))
)

// -----------------------------------------------------------------------------
// writes of several kinds
// -----------------------------------------------------------------------------

/** Makes a row, where nothing was found before. */
const making = <A, E, R>(table: Table, write: Effect.Effect<A, E, R>) => Effect.andThen(nextIsAsked(table), write)

export class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

/** A transaction that does all this and then rolls back. */
export const rolledBack = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.andThen(effect, new Refused()).pipe(Writes.transaction, Effect.catchTag("Refused", () => Effect.void))

/** A write that is refused. */
const refused = <A, E extends { readonly _tag: string }, R>(tag: E["_tag"], effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Effect.flip(effect),
    (error) => error._tag === tag ? Effect.void : Effect.die(error)
  )

const another: { readonly [F in keyof Required<Writes.ArticlePatch>]: (row: ArticleRow) => Writes.ArticlePatch } = {
  title: () => ({ title: "Another title" }),
  content: () => ({ content: "Another text." }),
  categoryId: ({ categoryId }) => ({ categoryId: other(rows.categories.map(({ id }) => id), categoryId) }),
  authorId: ({ authorId }) => ({ authorId: other(rows.authors.map(({ id }) => id), authorId) }),
  published: ({ published }) => ({ published: !published })
}

type Field = keyof typeof another

const onEveryArticle = (
  needless: { readonly [K in `${Field}, ${Kind}`]?: ReadonlyArray<string> }
): ReadonlyArray<Case> =>
  Object.entries(kinds).flatMap(([kind, row]) =>
    Object.entries(another).map(([field, patch]) => {
      const name = `${field}, ${kind}` as `${Field}, ${Kind}`
      return { name, write: Writes.updateArticle(row.id, patch(row)), needless: needless[name] ?? [] }
    })
  )

const same = (kind: Kind): Writes.ArticlePatch => {
  const { authorId, categoryId, content, published, title } = kinds[kind]
  return { title, content, categoryId, authorId, published }
}

const { name: userName, email } = first("user", rows.users)
const someProduct = first("product", rows.products.filter(({ id }) => id === productId))
const newArticle = { title: "Brand new", content: "All of it.", categoryId: 1, authorId: 1 }

// -----------------------------------------------------------------------------
// cases
// -----------------------------------------------------------------------------

/** Why some reads are loaded again now and then although they come to the same. */
export const reasons: Readonly<Record<string, string>> = {
  articleList: "who comes in or goes may be too old for the front page: its policy does not know where it ends",
  recentArticles: "as the front page",
  popularTags: "a new tag may come in, and has too few articles",
  articlesOfTag: "a tag that has no articles, and one that there is not, look the same",
  articlesOfCategory:
    "a draft goes and is published elsewhere by one write, which changes the category and the published",
  categoryCount: "as the list",
  userSettings: "what is said may be what holds for who says nothing"
}

/** The cases of each write: its name, as `Writes` exports it. */
export const cases: { readonly [W in Exclude<keyof typeof Writes, "transaction">]: ReadonlyArray<Case> } = {
  createArticle: [
    { name: "a published one", write: making("articles", Writes.createArticle({ ...newArticle, published: true })) },
    { name: "with tags", write: making("articles", Writes.createArticle({ ...newArticle, published: true }, [1, 12])) },
    { name: "a draft", write: making("articles", Writes.createArticle(newArticle)) },
    { name: "a draft with tags", write: making("articles", Writes.createArticle(newArticle, [2])) }
  ],
  updateArticle: [
    ...onEveryArticle({ "published, not on the front page": ["articleList"] }),
    { name: "two fields", write: Writes.updateArticle(front, { title: "A", content: "B" }) },
    {
      name: "published elsewhere",
      write: Writes.updateArticle(draft, { published: true, categoryId: 6 }),
      needless: [
        `articlesOfCategory:${kinds["a new draft"].categoryId}`,
        `categoryCount:${kinds["a new draft"].categoryId}`
      ]
    },
    { name: "what it is already", write: Writes.updateArticle(front, same("on the front page")), idle: true },
    { name: "nothing", write: Writes.updateArticle(front, {}), idle: true },
    { name: "none that there is", write: refused("NotFound", Writes.updateArticle(99, { title: "A" })), idle: true }
  ],
  moveArticle: [
    { name: "a published one", write: Writes.moveArticle(front, other([1, 2], kinds["on the front page"].categoryId)) },
    { name: "to where it is", write: Writes.moveArticle(front, kinds["on the front page"].categoryId), idle: true }
  ],
  publish: [
    { name: "a new draft", write: Writes.publish(draft) },
    { name: "an old draft", write: Writes.publish(kinds["an old draft"].id) },
    { name: "what is published", write: Writes.publish(front), idle: true }
  ],
  unpublish: [
    { name: "from the front page", write: Writes.unpublish(front) },
    { name: "an older one", write: Writes.unpublish(older), needless: ["articleList"] },
    { name: "a draft", write: Writes.unpublish(draft), idle: true }
  ],
  deleteArticle: [
    { name: "from the front page", write: Writes.deleteArticle(front) },
    { name: "an older one", write: Writes.deleteArticle(older), needless: ["articleList", "recentArticles"] },
    { name: "a new draft", write: Writes.deleteArticle(draft) }
  ],
  view: [{ name: "a look", write: Writes.view(front), idle: true }],
  addTags: [
    { name: "one", write: Writes.addTags(front, otherTags.slice(0, 1)) },
    { name: "all", write: Writes.addTags(front, tagIds) },
    { name: "to a draft", write: Writes.addTags(draft, tagIds.filter((id) => !tagsOf(draft).includes(id))) },
    { name: "those that it has", write: Writes.addTags(front, itsTags), idle: true },
    { name: "none", write: Writes.addTags(front, []), idle: true }
  ],
  removeTags: [
    { name: "one", write: Writes.removeTags(front, itsTags.slice(0, 1)) },
    { name: "from a draft", write: Writes.removeTags(draft, tagsOf(draft)) },
    { name: "those that it does not have", write: Writes.removeTags(front, otherTags), idle: true }
  ],
  setTags: [
    { name: "others", write: Writes.setTags(front, otherTags.slice(0, 2)) },
    { name: "one more", write: Writes.setTags(front, [...itsTags, otherTags[0]!]) },
    { name: "those that it has", write: Writes.setTags(front, itsTags), idle: true }
  ],
  clearTags: [
    { name: "of an article", write: Writes.clearTags(front) },
    { name: "twice", write: Effect.andThen(Writes.clearTags(front), Writes.clearTags(front)) }
  ],
  createCategory: [
    { name: "at the top", write: making("categories", Writes.createCategory({ slug: "new", name: "New" })) },
    {
      name: "below another",
      write: making("categories", Writes.createCategory({ slug: "new", name: "New", parentId: 1 }))
    }
  ],
  updateCategory: [
    { name: "slug", write: Writes.updateCategory(parent.id, { slug: "other" }), idle: true },
    { name: "name", write: Writes.updateCategory(parent.id, { name: "Other" }) },
    { name: "parentId, to the top", write: Writes.updateCategory(child.id, { parentId: null }) },
    { name: "parentId, to below", write: Writes.updateCategory(parent.id, { parentId: 1 }) },
    { name: "what it is already", write: Writes.updateCategory(child.id, child), idle: true }
  ],
  renameCategory: [
    { name: "another", write: Writes.renameCategory(child.id, "Other") },
    { name: "the same", write: Writes.renameCategory(child.id, child.name), idle: true }
  ],
  deleteCategory: [
    { name: "with some below it", write: Writes.deleteCategory(parent.id) },
    { name: "below another", write: Writes.deleteCategory(child.id), needless: ["recentArticles"] },
    { name: "of many articles", write: Writes.deleteCategory(1) }
  ],
  createAuthor: [{ name: "one", write: making("authors", Writes.createAuthor({ name: "Zoe" })) }],
  updateAuthor: [
    { name: "name", write: Writes.updateAuthor(1, { name: "Zoe" }) },
    { name: "bio", write: Writes.updateAuthor(1, { bio: "Writes." }) },
    { name: "what it is already", write: Writes.updateAuthor(1, rows.authors[0]!), idle: true }
  ],
  renameAuthor: [{ name: "another", write: Writes.renameAuthor(2, "Zoe") }],
  createTag: [{
    name: "one",
    write: making("tags", Writes.createTag("brand new")),
    idle: true,
    needless: ["articlesOfTag:1000000", "popularTags"]
  }],
  renameTag: [
    { name: "a popular one", write: Writes.renameTag(1, "other") },
    { name: "an unpopular one", write: Writes.renameTag(12, "other") },
    { name: "the same", write: Writes.renameTag(1, rows.tags[0]!.name), idle: true }
  ],
  deleteTag: [
    { name: "a popular one", write: Writes.deleteTag(1) },
    { name: "an unpopular one", write: Writes.deleteTag(12) }
  ],
  createUser: [{ name: "one", write: making("users", Writes.createUser({ name: "Zoe", email: "zoe@example.com" })) }],
  updateUser: [
    { name: "name", write: Writes.updateUser(1, { name: "Zoe" }) },
    { name: "email", write: Writes.updateUser(1, { email: "zoe@example.com" }) },
    { name: "what it is already", write: Writes.updateUser(1, { name: userName, email }), idle: true }
  ],
  deleteUser: [
    { name: "with orders", write: Writes.deleteUser(userId) },
    {
      name: "with settings that are as without",
      write: Writes.deleteUser(withSettings.userId),
      needless: [`userSettings:${withSettings.userId}`]
    },
    { name: "with settings", write: Writes.deleteUser(rows.userSettings.at(-1)!.userId) },
    { name: "with neither", write: Writes.deleteUser(withNeither.id) }
  ],
  updateUserSettings: [
    {
      name: "theme",
      write: Writes.updateUserSettings(withSettings.userId, {
        theme: withSettings.theme === "dark" ? "light" : "dark"
      })
    },
    { name: "language", write: Writes.updateUserSettings(withSettings.userId, { language: "fi" }) },
    {
      name: "newsletter",
      write: Writes.updateUserSettings(withSettings.userId, { newsletter: !withSettings.newsletter })
    },
    { name: "for the first time", write: Writes.updateUserSettings(withoutSettings.id, { theme: "dark" }) },
    {
      name: "what they are already",
      write: Writes.updateUserSettings(withSettings.userId, {
        language: withSettings.language
      }),
      idle: true
    }
  ],
  createProduct: [
    { name: "one", write: making("products", Writes.createProduct({ name: "Sieve", price: 900, stock: 4 })) }
  ],
  updateProduct: [
    { name: "name", write: Writes.updateProduct(productId, { name: "Sieve" }) },
    { name: "price", write: Writes.updateProduct(productId, { price: 1 }) },
    { name: "stock", write: Writes.updateProduct(productId, { stock: 1 }) },
    { name: "what it is already", write: Writes.updateProduct(productId, someProduct), idle: true }
  ],
  placeOrder: [
    { name: "by who ordered before", write: Writes.placeOrder(userId, other([1, 2], productId), 1) },
    { name: "more than there are", write: refused("OutOfStock", Writes.placeOrder(1, 1, 1_000)), idle: true }
  ],
  updateSettings: [
    { name: "one that there is", write: Writes.updateSettings("title", "The Short Way") },
    { name: "one that there was not", write: Writes.updateSettings("colour", "blue") },
    { name: "what it is already", write: Writes.updateSettings("title", "The Long Way"), idle: true }
  ]
}

const rename = (id: number, title: string) => Writes.updateArticle(id, { title })

/** Several writes in one transaction. */
export const together: ReadonlyArray<Case> = [
  {
    name: "two writes in one transaction",
    write: Effect.andThen(rename(front, "A"), Writes.renameCategory(parent.id, "B")).pipe(Writes.transaction)
  },
  {
    name: "two writes of one row",
    write: Effect.andThen(rename(front, "A"), rename(front, "B")).pipe(Writes.transaction)
  },
  {
    name: "a transaction that rolls back",
    write: rolledBack(Effect.andThen(rename(front, "A"), Writes.deleteCategory(1))),
    idle: true
  },
  {
    name: "a savepoint that rolls back, and what is around it",
    write: Effect.andThen(rename(front, "A"), rolledBack(Writes.deleteTag(1))).pipe(
      Effect.andThen(Writes.updateProduct(productId, { stock: 0 })),
      Writes.transaction
    )
  },
  {
    name: "a savepoint in a transaction that rolls back",
    write: rolledBack(Effect.andThen(Writes.transaction(rename(front, "A")), rename(older, "B"))),
    idle: true
  },
  {
    name: "a transaction that dies",
    write: Effect.andThen(rename(front, "A"), Effect.die("on purpose")).pipe(
      Writes.transaction,
      Effect.catchDefect(() => Effect.void)
    ),
    idle: true
  },
  {
    name: "a refusal in a transaction that goes on",
    write: Effect.andThen(rename(front, "A"), refused("OutOfStock", Writes.placeOrder(1, 1, 1_000))).pipe(
      Writes.transaction
    )
  }
]
