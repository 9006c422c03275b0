import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { alien, assertQuiet, begin, errorOf, Film, NotFound, onEach, onText, settle } from "../support/cached.ts"

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"], relations: ["actors"] })
const Actors = Entity.make("actor", {
  schema: Schema.Struct({ id: Schema.Int, name: Schema.String }),
  id: "id",
  relations: ["films"]
})

const heat: Film = { id: 8, title: "Heat", genre: "drama", rating: 8.3 }

/** A table of films, and cached reads of it that count their loads by name. */
const catalogue = Effect.sync(() => {
  const rows = new Map([alien, heat].map((film) => [film.id, film]))
  const loads: Record<string, number> = {}
  const counted = <A, E>(name: string, load: () => Result.Result<A, E>) =>
    Effect.suspend(() => {
      loads[name] = (loads[name] ?? 0) + 1
      return Effect.fromResult(load())
    })
  const one = (name: string, policy: Policy.Policy<number, Film>) =>
    Cached.make(name, {
      key: Key.int("id"),
      value: Film,
      lookup: (id) =>
        counted(name, () => {
          const film = rows.get(id)
          return film === undefined ? Result.fail(new NotFound({ id })) : Result.succeed(film)
        }),
      failures: { error: NotFound, policy: Policy.conditional(Films, { fields: [] }) }
    }, policy)
  const many = (name: string, policy: Policy.Policy<string, ReadonlyArray<number>>) =>
    Cached.make(name, {
      key: Key.string("genre"),
      value: Schema.Array(Schema.Int),
      lookup: (genre) =>
        counted(
          name,
          () => Result.succeed([...rows.values()].filter((film) => film.genre === genre).map(({ id }) => id))
        )
    }, policy)
  const save = (after: Film) =>
    Effect.suspend(() => {
      const before = rows.get(after.id)
      rows.set(after.id, after)
      return Changes.publish(before === undefined ? Films.created(after) : Films.updated(before, after))
    })
  const remove = (id: number) =>
    Effect.suspend(() => {
      const before = rows.get(id)!
      rows.delete(id)
      return Changes.publish(Films.deleted(before))
    })
  return { rows, loads, one, many, save, remove }
})

describe("a change of a row", () => {
  onEach(
    "a changed rating does not drop what depends on the title",
    Effect.gen(function*() {
      const { loads, one, save } = yield* catalogue
      const title = one("title", Policy.conditional(Films, { fields: ["title"] }))
      const rating = one("rating", Policy.conditional(Films, { fields: ["rating"] }))
      const both = one("both", Policy.conditional(Films, { fields: ["title", "rating"] }))
      const whole = one("whole", Policy.conditional(Films))
      const all = Effect.forEach([title, rating, both, whole], (cached) => Cached.get(cached, 7))
      yield* all
      assert.strictEqual((yield* save({ ...alien, rating: 8.5 })).entries, 3)
      assert.deepStrictEqual((yield* all).map(({ rating }) => rating), [8.4, 8.5, 8.5, 8.5])
      assert.deepStrictEqual(loads, { title: 1, rating: 2, both: 2, whole: 2 })
      yield* save({ ...alien, rating: 8.5, title: "Aliens" })
      yield* all
      assert.deepStrictEqual(loads, { title: 2, rating: 2, both: 3, whole: 3 })
    })
  )

  onEach(
    "concerns that row and no other",
    Effect.gen(function*() {
      const { loads, one, save } = yield* catalogue
      const film = one("film", Policy.conditional(Films, { fields: ["title"] }))
      const both = Effect.forEach([7, 8], (id) => Cached.get(film, id))
      yield* both
      yield* save({ ...heat, title: "HEAT" })
      assert.deepStrictEqual((yield* both).map(({ title }) => title), ["Alien", "HEAT"])
      assert.strictEqual(loads["film"], 3)
    })
  )

  onText(
    "that changes nothing asks nothing of the store",
    Effect.gen(function*() {
      const { save } = yield* catalogue
      yield* TestCache.forget
      assert.strictEqual((yield* save({ ...alien })).entries, 0)
      assert.strictEqual((yield* Changes.publish([])).entries, 0)
      assert.deepStrictEqual(yield* TestCache.operations, [])
    })
  )

  onEach(
    "a row that is deleted ends what shows it, and a row that is created ends what says that it is not there",
    Effect.gen(function*() {
      const { loads, one, remove, save } = yield* catalogue
      const title = one("title", Policy.conditional(Films, { fields: ["title"] }))
      yield* Cached.get(title, 7)
      yield* remove(7)
      assert.instanceOf(yield* errorOf(Cached.get(title, 7)), NotFound)
      assert.instanceOf(yield* errorOf(Cached.get(title, 7)), NotFound)
      assert.strictEqual(loads["title"], 2)
      yield* save({ ...heat, rating: 1 }) // another row
      assert.instanceOf(yield* errorOf(Cached.get(title, 7)), NotFound)
      assert.strictEqual(loads["title"], 2)
      yield* save(alien)
      assert.deepStrictEqual(yield* Cached.get(title, 7), alien)
      yield* assertQuiet
    })
  )

  onEach(
    "a row that is named by the value rather than the key",
    Effect.gen(function*() {
      const { loads, rows, save } = yield* catalogue
      let favourite = 7
      const page = Cached.make(
        "favourite",
        {
          key: Key.string("user"),
          value: Film,
          lookup: () => Effect.sync(() => (loads["page"] = (loads["page"] ?? 0) + 1, rows.get(favourite)!))
        },
        Policy.all(
          Policy.conditional(Films, { id: { fromValue: (film) => film.id }, fields: ["title"] }),
          Policy.tagged((user) => [`favourite:${user}`])
        )
      )
      yield* Cached.get(page, "ada")
      yield* save({ ...heat, title: "HEAT" })
      yield* Cached.get(page, "ada")
      assert.strictEqual(loads["page"], 1)
      yield* save({ ...alien, title: "Aliens" })
      assert.strictEqual((yield* Cached.get(page, "ada")).title, "Aliens")
      favourite = 8
      yield* Cached.invalidate(page, "ada")
      yield* Cached.get(page, "ada")
      yield* save({ ...alien, title: "Alien 3" }) // shown no more
      yield* Cached.get(page, "ada")
      assert.strictEqual(loads["page"], 3)
    })
  )

  onEach(
    "with the severity Stale, what it concerns is served once more and refreshed",
    Effect.gen(function*() {
      const { one, save } = yield* catalogue
      const film = one("film", Policy.conditional(Films, { fields: ["title"], severity: "Stale" }))
      yield* Cached.get(film, 7)
      yield* save({ ...alien, title: "Aliens" })
      assert.strictEqual((yield* Cached.get(film, 7)).title, "Alien")
      yield* settle
      assert.strictEqual((yield* Cached.get(film, 7)).title, "Aliens")
      yield* assertQuiet
    })
  )
})

describe("a change of a partition", () => {
  onEach(
    "a row that moves ends the lists of the old and the new partition, and no other",
    Effect.gen(function*() {
      const { loads, many, save } = yield* catalogue
      const ids = many("ids", Policy.conditionalIn(Films, "genre", { fields: [] }))
      const all = Effect.forEach(["horror", "drama", "comedy"], (genre) => Cached.get(ids, genre))
      assert.deepStrictEqual(yield* all, [[7], [8], []])
      yield* save({ ...alien, genre: "drama" })
      assert.deepStrictEqual(yield* all, [[], [7, 8], []])
      assert.strictEqual(loads["ids"], 5)
    })
  )

  onEach(
    "a row that comes or goes ends the list of its partition, an empty one too",
    Effect.gen(function*() {
      const { loads, many, remove, save } = yield* catalogue
      const ids = many("ids", Policy.conditionalIn(Films, "genre", { fields: [] }))
      const all = Effect.forEach(["horror", "comedy"], (genre) => Cached.get(ids, genre))
      yield* all
      yield* save({ id: 9, title: "Airplane!", genre: "comedy", rating: 7.7 })
      assert.deepStrictEqual(yield* all, [[7], [9]])
      yield* remove(7)
      assert.deepStrictEqual(yield* all, [[], [9]])
      assert.strictEqual(loads["ids"], 4)
    })
  )

  onEach(
    "a field within it ends only lists that show the field",
    Effect.gen(function*() {
      const { loads, many, save } = yield* catalogue
      const members = many("members", Policy.conditionalIn(Films, "genre", { fields: [] }))
      const titles = many("titles", Policy.conditionalIn(Films, "genre", { fields: ["title"] }))
      const whole = many("whole", Policy.conditionalIn(Films, "genre"))
      const all = Effect.forEach(
        [members, titles, whole],
        (list) => Effect.forEach(["horror", "drama"], (genre) => Cached.get(list, genre))
      )
      yield* all
      yield* save({ ...alien, rating: 1 })
      yield* all
      assert.deepStrictEqual(loads, { members: 2, titles: 2, whole: 3 })
      yield* save({ ...alien, rating: 1, title: "Aliens" })
      yield* all
      assert.deepStrictEqual(loads, { members: 2, titles: 3, whole: 4 })
    })
  )

  onEach(
    "of all rows: membership, or a field of any row",
    Effect.gen(function*() {
      const { loads, many, remove, save } = yield* catalogue
      const count = many("count", Policy.conditionalAll(Films, { fields: [] }))
      const ratings = many("ratings", Policy.conditionalAll(Films, { fields: ["rating"] }))
      const both = Effect.forEach([count, ratings], (list) => Cached.get(list, "all"))
      yield* both
      yield* save({ ...heat, rating: 9 })
      yield* both
      assert.deepStrictEqual(loads, { count: 1, ratings: 2 })
      yield* save({ ...heat, rating: 9, title: "HEAT", genre: "crime" })
      yield* both
      assert.deepStrictEqual(loads, { count: 1, ratings: 2 })
      yield* remove(8)
      yield* both
      assert.deepStrictEqual(loads, { count: 2, ratings: 3 })
    })
  )
})

describe("a change of a relation", () => {
  onEach(
    "concerns both sides, and rows without the relation in view not",
    Effect.gen(function*() {
      const loads: Record<string, number> = {}
      const list = <P extends Policy.Policy<number, number>>(name: string, policy: P) =>
        Cached.make(name, {
          key: Key.int("id"),
          value: Schema.Int,
          lookup: (id) => Effect.sync(() => (loads[name] = (loads[name] ?? 0) + 1, id))
        }, policy)
      const castOf = list("cast of", Policy.conditional(Films, { fields: ["actors"] }))
      const filmsOf = list("films of", Policy.conditional(Actors, { fields: ["films"] }))
      const titleOf = list("title of", Policy.conditional(Films, { fields: ["title"] }))
      const all = Effect.forEach(
        [castOf, filmsOf, titleOf],
        (cached) => Effect.forEach([7, 8], (id) => Cached.get(cached, id))
      )
      yield* all
      for (const kind of ["added", "removed"] as const) {
        yield* Changes.publish(Change.related(kind, Films.end(7, "actors"), Actors.end(8, "films")))
      }
      yield* all
      assert.deepStrictEqual(loads, { "cast of": 3, "films of": 3, "title of": 2 })
    })
  )
})

describe("publishing", () => {
  onText(
    "makes one batch of all changes, each dependency once",
    Effect.gen(function*() {
      yield* TestCache.forget
      yield* Changes.publish([
        Films.updated(alien, { ...alien, rating: 1 }),
        Films.updated({ ...alien, rating: 1 }, { ...alien, rating: 2 }),
        Films.deleted(heat)
      ])
      const operations = yield* TestCache.operations
      assert.deepStrictEqual(operations.map(({ name }) => name), ["invalidate"])
      const names = operations[0]!.detail!.split(", ")
      assert.strictEqual(new Set(names).size, names.length)
      assert.includeMembers(names, ["film:7#rating", "film:8!exists", "film!members"])
    })
  )

  onText(
    "takes one change or any iterable, and does the same when it is run again",
    Effect.gen(function*() {
      const change = Films.updated(alien, { ...alien, rating: 1 })
      function* generated() {
        yield change
      }
      yield* TestCache.forget
      for (const changes of [change, [change], new Set([change]), generated()]) {
        const publish = Changes.publish(changes)
        yield* publish
        yield* publish
      }
      const details = (yield* TestCache.operations).map(({ detail }) => detail)
      assert.strictEqual(details.length, 8)
      assert.deepStrictEqual(new Set(details).size, 1)
    })
  )

  onEach(
    "like all that invalidates, takes more than a function takes arguments",
    Effect.gen(function*() {
      const { loads, one } = yield* catalogue
      const film = one("film", Policy.tagged((id) => [`film:${id}`]))
      const tags = Array.from({ length: 150_000 }, (_, i) => `film:${i}`)
      yield* Cached.get(film, 7)
      yield* Cached.apply(Invalidation.tags(tags))
      yield* Cached.get(film, 7)
      assert.strictEqual(loads["film"], 2)
    })
  )

  onEach(
    "while what it concerns is being loaded: the load is not stored, and a later read does not get it",
    Effect.gen(function*() {
      const { rows } = yield* catalogue
      let takes = 1000
      const film = Cached.make("film", {
        key: Key.int("id"),
        value: Film,
        lookup: (id) =>
          Effect.suspend(() => {
            const row = rows.get(id)!
            return Effect.as(takes === 0 ? Effect.void : Effect.sleep(takes), row)
          })
      }, Policy.conditional(Films, { fields: ["title"] }))
      const early = yield* begin(Cached.get(film, 7))
      const after = { ...alien, title: "Aliens" }
      rows.set(7, after)
      yield* Changes.publish(Films.updated(alien, after))
      takes = 0
      assert.deepStrictEqual(yield* Cached.get(film, 7), after)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* Fiber.join(early), alien)
      assert.deepStrictEqual(yield* Cached.get(film, 7), after)
      yield* assertQuiet
    })
  )

  onText(
    "that the store does not acknowledge fails, and publishing again is safe",
    Effect.gen(function*() {
      const { loads, one, rows } = yield* catalogue
      const film = one("film", Policy.conditional(Films, { fields: ["title"] }))
      yield* Cached.get(film, 7)
      const after = { ...alien, title: "Aliens" }
      rows.set(7, after)
      const publish = Changes.publish(Films.updated(alien, after))
      yield* TestCache.fail("invalidate", 1)
      const error = yield* errorOf(publish)
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.deepInclude(error, { mayHaveHappened: false, reason: { _tag: "Unavailable" } })
      assert.include((error as CacheService.InvalidationError).invalidation, "film:7#title")
      yield* publish
      yield* publish
      assert.deepStrictEqual(yield* Cached.get(film, 7), after)
      assert.strictEqual(loads["film"], 2)
    })
  )

  onEach(
    "two rows with different ids as one that was updated is refused where it is said",
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.suspend(() => Changes.publish(Films.updated(alien, heat))))
      assert.isTrue(Exit.isFailure(exit) && Exit.hasDies(exit))
    })
  )
})
