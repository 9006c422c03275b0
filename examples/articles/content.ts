/**
 * What the site is full of: generated, and always the same for the same size. Popular tags are on many articles, others on
 * few; a fifth of the articles are drafts.
 */
import { Array as Arr, Effect } from "effect"
import { SqlClient } from "effect/sql"

/** How many there are of what. */
export interface Size {
  readonly categories: number
  readonly authors: number
  readonly articles: number
  readonly tags: number
  readonly users: number
  readonly products: number
  readonly orders: number
}

/** A site that looks like one. */
export const full: Size = {
  categories: 12,
  authors: 40,
  articles: 400,
  tags: 60,
  users: 50,
  products: 100,
  orders: 150
}

/** A site for tests that go through all of it. */
export const small: Size = { categories: 4, authors: 5, articles: 30, tags: 12, users: 6, products: 8, orders: 12 }

// -----------------------------------------------------------------------------
// words
// -----------------------------------------------------------------------------

const words = {
  category: [
    ...["Travel", "Food", "Science", "Books", "Music", "Gardening", "History", "Cycling", "Film", "Technology"],
    ...["Architecture", "Health"]
  ],
  subject: [
    ...[
      "night trains",
      "sourdough",
      "tides",
      "second-hand books",
      "old radios",
      "tomatoes",
      "lighthouses",
      "hill climbs"
    ],
    ...["silent film", "mechanical keyboards", "stone bridges", "sleep", "maps", "bees", "typefaces", "canals"]
  ],
  opening: [
    ...[
      "A short history of",
      "What nobody tells you about",
      "In praise of",
      "A beginner's guide to",
      "The trouble with"
    ],
    ...["A week of", "Ten years of", "Notes on", "Why we love", "Against"]
  ],
  place: [
    ...[
      "in Lisbon",
      "in winter",
      "after the rain",
      "on a small budget",
      "before breakfast",
      "in the north",
      "by the sea"
    ],
    ...["at home", "without a plan", "for two"]
  ],
  sentence: [
    ...["It began with a letter that came a year late.", "Nobody I asked could remember who had built it."],
    ...["The first attempt failed, and so did the second.", "You need patience, a sharp pencil and a dry afternoon."],
    ...["There is a reason why the old ones did it by hand.", "Most of what is written about this is copied."],
    ...["I went there twice, and the second time it was closed.", "The numbers say little; the people say more."],
    ...["What it costs is not the price.", "If you only do one thing, do this on a Sunday."]
  ],
  first: [
    ...["Ada", "Bruno", "Clara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Luca", "Mira"],
    ...["Nils", "Olga", "Paul"]
  ],
  last: [
    ...[
      "Almeida",
      "Brandt",
      "Costa",
      "Dahl",
      "Eriksen",
      "Fontaine",
      "Galli",
      "Hoffmann",
      "Ivanova",
      "Jansen",
      "Keller"
    ],
    ...["Lindqvist", "Moreau"]
  ],
  quality: ["Small", "Folding", "Heavy", "Plain", "Blue", "Patient", "Northern", "Second", "Quiet", "Round"],
  product: ["lamp", "kettle", "notebook", "bicycle bell", "bookend", "apron", "compass", "mug", "blanket", "trowel"],
  tag: [
    ...[
      "how-to",
      "essay",
      "interview",
      "review",
      "list",
      "news",
      "opinion",
      "archive",
      "photography",
      "local",
      "weekend"
    ],
    ...["beginners", "experts", "budget", "winter", "summer", "craft", "reading", "outdoors", "family"]
  ]
}

/** A word for each index, and with a number to it when they run out. */
const nth = (from: ReadonlyArray<string>, index: number): string =>
  `${from[index % from.length]}${index < from.length ? "" : ` ${Math.floor(index / from.length) + 1}`}`

/** Numbers from 0 up to 1, the same every time. */
const dice = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

const slug = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")

/** Midday of a spring day, and so many hours later. */
const at = (hours: number): Date => new Date(Date.UTC(2025, 2, 1, 12) + hours * 3_600_000)

const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index + 1)

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

/** The rows of all tables, ids counted from 1. */
export const generate = (size: Size) => {
  const roll = dice(20_250_301)
  const below = (n: number): number => Math.floor(roll() * n)
  const one = (from: ReadonlyArray<string>): string => from[below(from.length)]!
  // The more, the nearer to the start: the square of a fair throw.
  const skewed = (n: number): number => 1 + Math.floor(roll() ** 2 * n)
  const name = (index: number): string => `${nth(words.first, index)} ${words.last[(index * 5) % words.last.length]}`

  const categories = numbers(size.categories).map((id) => {
    const name = nth(words.category, id - 1)
    return { id, slug: slug(name), name, parentId: id > 4 ? 1 + (id % 4) : null }
  })
  const authors = numbers(size.authors).map((id) => ({
    id,
    name: name(id - 1),
    bio: `Writes about ${one(words.subject)}.`
  }))
  const articles = numbers(size.articles).map((id) => ({
    id,
    title: `${one(words.opening)} ${one(words.subject)} ${one(words.place)}`,
    content: numbers(3).map(() => numbers(4).map(() => one(words.sentence)).join(" ")).join("\n\n"),
    categoryId: skewed(size.categories),
    authorId: skewed(size.authors),
    published: roll() < 0.8,
    views: Math.floor(1_000 * roll() ** 4),
    createdAt: at(6 * id),
    updatedAt: at(6 * id)
  }))
  const tags = numbers(size.tags).map((id) => ({ id, name: nth(words.tag, id - 1) }))
  const articleTags = articles.flatMap(({ id }) =>
    [...new Set(numbers(1 + below(4)).map(() => skewed(size.tags)))].map((tagId) => ({ articleId: id, tagId }))
  )
  const users = numbers(size.users).map((id) => ({
    id,
    name: name(id + 7),
    email: `${slug(name(id + 7))}-${id}@example.com`,
    createdAt: at(id),
    updatedAt: at(id)
  }))
  const userSettings = users.filter(({ id }) => id % 3 === 0).map(({ id }) => ({
    userId: id,
    theme: id % 2 === 0 ? "dark" : "light",
    language: id % 4 === 0 ? "it" : "en",
    newsletter: id % 5 === 0
  }))
  const products = numbers(size.products).map((id) => ({
    id,
    name: `${nth(words.quality, Math.floor((id - 1) / words.product.length))} ${
      words.product[(id - 1) % words.product.length]
    }`,
    price: 500 + 50 * below(100),
    stock: 5 + below(50)
  }))
  const orders = numbers(size.orders).map((id) => {
    const [productId, quantity] = [1 + below(size.products), 1 + below(3)]
    return {
      id,
      userId: 1 + below(size.users),
      productId,
      quantity,
      total: quantity * products[productId - 1]!.price,
      placedAt: at(9 * id)
    }
  })
  const settings = [
    { key: "title", value: "The Long Way" },
    { key: "motto", value: "Everything takes longer than you think" },
    { key: "comments", value: "off" }
  ]
  return { categories, authors, articles, tags, articleTags, users, userSettings, products, orders, settings }
}

/** Fills the tables, which must be empty. */
export const fill = (size: Size = full) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const content = generate(size)
    const insert = (table: string, all: ReadonlyArray<Record<string, unknown>>) =>
      !Arr.isReadonlyArrayNonEmpty(all) ? Effect.void : sql`insert into ${sql(table)} ${sql.insert(all)}`
    const counted = ["categories", "authors", "articles", "tags", "users", "products", "orders"] as const
    yield* sql.withTransaction(Effect.gen(function*() {
      for (const table of counted.slice(0, 4)) yield* insert(table, content[table])
      yield* insert("article_tags", content.articleTags)
      yield* insert("users", content.users)
      yield* insert("user_settings", content.userSettings)
      yield* insert("products", content.products)
      yield* insert("orders", content.orders)
      yield* insert("settings", content.settings)
      // What is made from now on has the ids after these.
      for (const table of counted) {
        yield* sql`select setval(pg_get_serial_sequence(${table}, 'id'), ${content[table].length}::int + 1, false)`
      }
    }))
  })
