/**
 * Writes that are drawn: all that the site has, on rows that there are, alone or several in a transaction, which may roll
 * back, in whole or in part.
 */
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as Queries from "../../examples/articles/Queries.ts"
import * as Writes from "../../examples/articles/Writes.ts"
import type { Dice } from "../histories/workload.ts"
import { answerOf, type Asked, type Table } from "./asking.ts"
import type { Services } from "./cases.ts"

/** A write with its name, so that a run can be read. */
export interface Move {
  readonly name: string
  readonly write: Effect.Effect<unknown, Refusal, Services>
}

/** What a write may come to besides being done. */
export type Refusal = Refused | Effect.Error<ReturnType<typeof Writes.placeOrder>>

export class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

type Drawn<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/** No row has it. */
const nobody = 77_777

const one = (at: Dice, table: Table): Drawn<number> =>
  Effect.map(Queries.ids(table), (ids) => ids.length === 0 ? nobody : at.pick(ids))

const some = (at: Dice, table: Table): Drawn<ReadonlyArray<number>> =>
  Effect.map(Queries.ids(table), (ids) => ids.filter(() => at.happens(2 / ids.length)))

/** A row that there is, mostly. */
const idOf = (at: Dice, table: Table): Drawn<number> => at.happens(0.03) ? Effect.succeed(nobody) : one(at, table)

const word = (at: Dice): string => at.below(1_000_000).toString(36)

/** Each of these fields, or not, with a value that is now and then the one that is there already. */
const patch = <A>(at: Dice, all: A): Partial<A> =>
  Object.fromEntries(Object.entries(all as object).filter(() => at.happens(0.4))) as Partial<A>

const named = <E extends Refusal>(
  name: string,
  args: ReadonlyArray<unknown>,
  write: Effect.Effect<unknown, E, Services>
): Move => ({ name: `${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`, write })

type Maker = (at: Dice) => Drawn<Move>

/** A maker of each write: its weight, and its arguments. */
const maker = <Args extends ReadonlyArray<unknown>, E extends Refusal>(
  name: keyof typeof Writes,
  write: (...args: Args) => Effect.Effect<unknown, E, Services>,
  draw: (at: Dice) => Drawn<Args>
): Maker =>
(at) => Effect.map(draw(at), (args) => named(name, args, write(...args)))

const from = <A>(values: ReadonlyArray<A>, at: Dice): A => at.pick(values)

const makers: { readonly [W in Exclude<keyof typeof Writes, "transaction">]: readonly [weight: number, make: Maker] } =
  {
    createArticle: [
      5,
      maker("createArticle", Writes.createArticle, (at) =>
        Effect.gen(function*() {
          const [categoryId, authorId] = [yield* one(at, "categories"), yield* one(at, "authors")]
          const article = { title: word(at), content: word(at), categoryId, authorId, published: at.happens(0.7) }
          return [article, yield* some(at, "tags")] as const
        }))
    ],
    updateArticle: [
      8,
      maker("updateArticle", Writes.updateArticle, (at) =>
        Effect.gen(function*() {
          const id = yield* idOf(at, "articles")
          const [categoryId, authorId] = [yield* one(at, "categories"), yield* one(at, "authors")]
          const all = { title: word(at), content: "Text.", categoryId, authorId, published: at.happens(0.5) }
          return [id, patch(at, all)] as const
        }))
    ],
    moveArticle: [
      3,
      maker("moveArticle", Writes.moveArticle, (at) => Effect.all([idOf(at, "articles"), one(at, "categories")]))
    ],
    publish: [2, maker("publish", Writes.publish, (at) => Effect.all([idOf(at, "articles")]))],
    unpublish: [2, maker("unpublish", Writes.unpublish, (at) => Effect.all([idOf(at, "articles")]))],
    deleteArticle: [3, maker("deleteArticle", Writes.deleteArticle, (at) => Effect.all([idOf(at, "articles")]))],
    view: [1, maker("view", Writes.view, (at) => Effect.all([idOf(at, "articles")]))],
    addTags: [3, maker("addTags", Writes.addTags, (at) => Effect.all([idOf(at, "articles"), some(at, "tags")]))],
    removeTags: [
      3,
      maker("removeTags", Writes.removeTags, (at) => Effect.all([idOf(at, "articles"), some(at, "tags")]))
    ],
    setTags: [3, maker("setTags", Writes.setTags, (at) => Effect.all([idOf(at, "articles"), some(at, "tags")]))],
    clearTags: [1, maker("clearTags", Writes.clearTags, (at) => Effect.all([idOf(at, "articles")]))],
    createCategory: [
      2,
      maker("createCategory", Writes.createCategory, (at) =>
        Effect.gen(function*() {
          const parentId = at.happens(0.5) ? null : yield* one(at, "categories")
          return [{ slug: `${word(at)}-${word(at)}`, name: word(at), parentId }] as const
        }))
    ],
    updateCategory: [
      2,
      maker("updateCategory", Writes.updateCategory, (at) =>
        Effect.gen(function*() {
          const parentId = at.happens(0.3) ? null : yield* one(at, "categories")
          const all = { slug: `${word(at)}-${word(at)}`, name: word(at), parentId }
          return [yield* idOf(at, "categories"), patch(at, all)] as const
        }))
    ],
    renameCategory: [
      1,
      maker(
        "renameCategory",
        Writes.renameCategory,
        (at) => Effect.map(idOf(at, "categories"), (id) => [id, word(at)] as const)
      )
    ],
    deleteCategory: [1, maker("deleteCategory", Writes.deleteCategory, (at) => Effect.all([idOf(at, "categories")]))],
    createAuthor: [
      1,
      maker("createAuthor", Writes.createAuthor, (at) => Effect.succeed([{ name: word(at) }] as const))
    ],
    updateAuthor: [
      1,
      maker(
        "updateAuthor",
        Writes.updateAuthor,
        (at) => Effect.map(idOf(at, "authors"), (id) => [id, patch(at, { name: word(at), bio: "Writes." })] as const)
      )
    ],
    renameAuthor: [
      1,
      maker(
        "renameAuthor",
        Writes.renameAuthor,
        (at) => Effect.map(idOf(at, "authors"), (id) => [id, word(at)] as const)
      )
    ],
    createTag: [1, maker("createTag", Writes.createTag, (at) => Effect.succeed([`${word(at)} ${word(at)}`] as const))],
    renameTag: [
      1,
      maker(
        "renameTag",
        Writes.renameTag,
        (at) => Effect.map(idOf(at, "tags"), (id) => [id, `${word(at)} ${word(at)}`] as const)
      )
    ],
    deleteTag: [1, maker("deleteTag", Writes.deleteTag, (at) => Effect.all([idOf(at, "tags")]))],
    createUser: [
      1,
      maker(
        "createUser",
        Writes.createUser,
        (at) => Effect.succeed([{ name: word(at), email: `${word(at)}-${word(at)}@example.com` }] as const)
      )
    ],
    updateUser: [
      1,
      maker(
        "updateUser",
        Writes.updateUser,
        (at) =>
          Effect.map(
            idOf(at, "users"),
            (id) => [id, patch(at, { name: word(at), email: `${word(at)}-${word(at)}@example.com` })] as const
          )
      )
    ],
    deleteUser: [1, maker("deleteUser", Writes.deleteUser, (at) => Effect.all([idOf(at, "users")]))],
    updateUserSettings: [
      2,
      maker("updateUserSettings", Writes.updateUserSettings, (at) =>
        Effect.map(one(at, "users"), (id) => {
          const all = {
            theme: from(["light", "dark"] as const, at),
            language: from(["en", "it", "fi"], at),
            newsletter: at.happens(0.5)
          }
          return [id, patch(at, all)] as const
        }))
    ],
    createProduct: [
      1,
      maker(
        "createProduct",
        Writes.createProduct,
        (at) => Effect.succeed([{ name: word(at), price: at.below(1_000), stock: at.below(20) }] as const)
      )
    ],
    updateProduct: [
      2,
      maker(
        "updateProduct",
        Writes.updateProduct,
        (at) =>
          Effect.map(
            idOf(at, "products"),
            (id) => [id, patch(at, { name: word(at), price: at.below(1_000), stock: at.below(20) })] as const
          )
      )
    ],
    placeOrder: [
      3,
      maker("placeOrder", Writes.placeOrder, (at) =>
        Effect.gen(function*() {
          return [yield* one(at, "users"), yield* idOf(at, "products"), 1 + at.below(8)] as const
        }))
    ],
    updateSettings: [
      1,
      maker(
        "updateSettings",
        Writes.updateSettings,
        (at) => Effect.succeed([from(["title", "motto", "comments", "colour"], at), from(["a", "b", "c"], at)] as const)
      )
    ]
  }

const bag: ReadonlyArray<Maker> = Object.values(makers).flatMap(([weight, make]) =>
  Array.from({ length: weight }, () => make)
)

/** A transaction sees what it has written, and no cache shows it something else. */
const lookInside = (at: Dice, asked: ReadonlyArray<Asked>): Effect.Effect<void, never, Services> =>
  Effect.suspend(() => {
    const { cached, fresh, key } = at.pick(asked)
    return Effect.flatMap(
      Effect.all([answerOf(cached), answerOf(fresh)]),
      ([seen, there]) =>
        seen === there ? Effect.void : Effect.die(`inside of a transaction, ${key} is ${seen}, and is ${there}`)
    )
  })

/** Several writes and reads in one transaction. What is refused in it is rolled back alone; the rest goes on, or not. */
const transaction = (at: Dice, asked: ReadonlyArray<Asked>, depth: number): Drawn<Move> =>
  Effect.gen(function*() {
    const parts: Array<Move> = []
    for (let n = 1 + at.below(3); n > 0; n--) {
      parts.push(depth < 2 && at.happens(0.3) ? yield* transaction(at, asked, depth + 1) : yield* at.pick(bag)(at))
    }
    const fails = at.happens(0.3)
    const looks = at.happens(0.5) && asked.length > 0
    const write: Effect.Effect<unknown, Refusal, Services> = Effect.gen(function*() {
      for (const part of parts) {
        yield* Effect.catch(part.write, expected)
        if (looks) yield* lookInside(at, asked)
      }
      if (fails) return yield* new Refused()
    })
    return {
      name: `{ ${parts.map(({ name }) => name).join("; ")} }${fails ? " rolled back" : ""}`,
      write: Writes.transaction(write)
    }
  })

/** What is refused as it should be: what a write refers to may be gone by then. Anything else is a failure of the test. */
export const expected = (refusal: Refusal): Effect.Effect<void> =>
  ["NotFound", "OutOfStock", "Refused"].includes(refusal._tag) ||
    (refusal._tag === "SqlError" && refusal.reason._tag === "ConstraintError")
    ? Effect.void
    : Effect.die(refusal)

/** Draws what is written next. `asked` is what a transaction may ask while it is open. */
export const draw = (at: Dice, asked: ReadonlyArray<Asked>): Drawn<Move> =>
  Effect.suspend(() => at.happens(0.2) ? transaction(at, asked, 0) : at.pick(bag)(at))
