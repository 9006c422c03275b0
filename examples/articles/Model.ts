/**
 * What the site is about: the rows of the tables, and the entities that writes and caches know them by. Writes say what
 * changed, caches say what they show, and neither knows the other.
 *
 * The classes are rows; the entities (`Articles`, `Categories`, ...) are what `Change`s and policies are made of. Below
 * them stands what is shown, which is made of parts of rows.
 */
import { Schema } from "effect"
import { Entity } from "../../src/index.ts"

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

/** A draft, until it is published. The database sets the times, and does not count a view as a change. */
export class Article extends Schema.Class<Article>("Article")({
  id: Schema.Int,
  title: Schema.String,
  content: Schema.String,
  categoryId: Schema.Int,
  authorId: Schema.Int,
  published: Schema.Boolean,
  views: Schema.Int,
  cacheVersion: Schema.Int,
  createdAt: Schema.Date,
  updatedAt: Schema.Date
}) {}

export class Category extends Schema.Class<Category>("Category")({
  id: Schema.Int,
  slug: Schema.String,
  name: Schema.String,
  parentId: Schema.NullOr(Schema.Int)
}) {}

export class Author extends Schema.Class<Author>("Author")({
  id: Schema.Int,
  name: Schema.String,
  bio: Schema.String
}) {}

export class Tag extends Schema.Class<Tag>("Tag")({
  id: Schema.Int,
  name: Schema.String
}) {}

export class User extends Schema.Class<User>("User")({
  id: Schema.Int,
  name: Schema.String,
  email: Schema.String,
  createdAt: Schema.Date,
  updatedAt: Schema.Date
}) {}

/** How a user wants to see the site. Who has not said has no row. */
export class UserSettings extends Schema.Class<UserSettings>("UserSettings")({
  userId: Schema.Int,
  theme: Schema.Literals(["light", "dark"]),
  language: Schema.String,
  newsletter: Schema.Boolean
}) {}

/** Prices are cents. */
export class Product extends Schema.Class<Product>("Product")({
  id: Schema.Int,
  name: Schema.String,
  price: Schema.Int,
  stock: Schema.Int
}) {}

export class Order extends Schema.Class<Order>("Order")({
  id: Schema.Int,
  userId: Schema.Int,
  productId: Schema.Int,
  quantity: Schema.Int,
  total: Schema.Int,
  placedAt: Schema.Date
}) {}

/** A setting of the whole site. */
export class Setting extends Schema.Class<Setting>("Setting")({
  key: Schema.String,
  value: Schema.String
}) {}

// -----------------------------------------------------------------------------
// entities
// -----------------------------------------------------------------------------

/** Lists are of a category, of an author, or of what is published. Tags are many to many: `tags` here, `articles` there. */
export const Articles = Entity.make("article", {
  schema: Article,
  id: "id",
  partitions: ["categoryId", "authorId", "published"],
  relations: ["tags"]
})

export const Categories = Entity.make("category", { schema: Category, id: "id" })

export const Authors = Entity.make("author", { schema: Author, id: "id" })

export const Tags = Entity.make("tag", { schema: Tag, id: "id", relations: ["articles"] })

export const Users = Entity.make("user", { schema: User, id: "id" })

export const UsersSettings = Entity.make("userSettings", { schema: UserSettings, id: "userId" })

export const Products = Entity.make("product", { schema: Product, id: "id" })

export const Orders = Entity.make("order", { schema: Order, id: "id", partitions: ["userId"] })

export const Settings = Entity.make("setting", { schema: Setting, id: "key" })

// -----------------------------------------------------------------------------
// what is shown
// -----------------------------------------------------------------------------

/** Something with a name to click on. */
export const Named = Schema.Struct({ id: Schema.Int, name: Schema.String })

/** An article as a list shows it. */
export const Listed = Schema.Struct({ id: Schema.Int, title: Schema.String })

/** The page of an article. How often it was seen is not shown: that would be another page with every look at it. */
export class ArticlePage extends Schema.Class<ArticlePage>("ArticlePage")({
  id: Schema.Int,
  title: Schema.String,
  content: Schema.String,
  published: Schema.Boolean,
  createdAt: Schema.Date,
  updatedAt: Schema.Date,
  category: Named,
  author: Named,
  tags: Schema.Array(Named)
}) {}

/** An article on the front page. */
export const Teaser = Schema.Struct({ id: Schema.Int, title: Schema.String, category: Named, author: Named })

/** An article as editors see it in the list of what is new. */
export const Draft = Schema.Struct({ id: Schema.Int, title: Schema.String, published: Schema.Boolean })

/** The articles of a tag, and the ids of those that are not published yet: each of these may come into the list. */
export const Tagged = Schema.Struct({ articles: Schema.Array(Listed), drafts: Schema.Array(Schema.Int) })

/** A tag, and how many articles have it. */
export const PopularTag = Schema.Struct({ id: Schema.Int, name: Schema.String, articles: Schema.Int })

/** An article, and how often it was seen. */
export const PopularArticle = Schema.Struct({ id: Schema.Int, title: Schema.String, views: Schema.Int })

/** A category in the sidebar, with the number of its published articles. */
export const Counted = Schema.Struct({ id: Schema.Int, name: Schema.String, articles: Schema.Int })

export class Profile extends Schema.Class<Profile>("Profile")({
  id: Schema.Int,
  name: Schema.String,
  email: Schema.String,
  memberSince: Schema.Date
}) {}

/** An order as its user sees it. */
export const Ordered = Schema.Struct({
  id: Schema.Int,
  product: Named,
  quantity: Schema.Int,
  total: Schema.Int,
  placedAt: Schema.Date
})

/** What there is of everything. */
export const Stats = Schema.Struct({
  articles: Schema.Int,
  published: Schema.Int,
  views: Schema.Int,
  users: Schema.Int,
  orders: Schema.Int
})

/** What was sold on a day, in cents. */
export const Report = Schema.Struct({ orders: Schema.Int, revenue: Schema.Int, products: Schema.Array(Named) })

// -----------------------------------------------------------------------------
// failures
// -----------------------------------------------------------------------------

/** There is no such row. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  what: Schema.Literals(["article", "author", "category", "product", "tag", "user"]),
  id: Schema.Int
}) {
  override get message(): string {
    return `there is no ${this.what} ${this.id}`
  }
}

/** There are not as many of a product as were ordered. */
export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", {
  productId: Schema.Int,
  wanted: Schema.Int,
  stock: Schema.Int
}) {
  override get message(): string {
    return `${this.wanted} of product ${this.productId} were ordered, and there are ${this.stock}`
  }
}
