/**
 * The claims of `examples/catalogue`, against a real Postgres and real data.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Random, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Audit from "../../examples/catalogue/audit.ts"
import * as Card from "../../examples/catalogue/Card.ts"
import * as Catalogue from "../../examples/catalogue/Catalogue.ts"
import * as data from "../../examples/catalogue/data.ts"
import { Database } from "../../examples/catalogue/Database.ts"
import { Film, FilmNotFound } from "../../examples/catalogue/Film.ts"
import * as Repository from "../../examples/catalogue/Repository.ts"
import { Cached, CacheService, MemoryCache } from "../../src/index.ts"

const filled = Layer.effectDiscard(Effect.flatMap(data.films, (films) => Repository.add(...films)))

// One database for all tests: each changes films of its own. A cache for each test.
const fresh = Effect.provide(MemoryCache.layer({ capacity: 10_000 }), { local: true })

/** Questions to the cache. Each is put to the database too; the short ones say how many loads it took. */
const asking = Effect.gen(function*() {
  const { ask, total } = yield* Audit.make
  const wrongIs = (wrong: number) => assert.strictEqual(wrong, 0, "a cached answer differs from the database")
  const loadsOf = <V, E, F, R>(answer: Effect.Effect<Audit.Answer<V, E>, F, R>) =>
    Effect.map(answer, ({ loads, wrong }) => (wrongIs(wrong), loads))
  const films = (ids: ReadonlyArray<number>) => ask(Catalogue.film, ids, Audit.each(Repository.film))
  const cards = (ids: ReadonlyArray<number>) => ask(Catalogue.card, ids, Audit.each(Card.render))
  const lists = (genres: ReadonlyArray<string>) => ask(Catalogue.bestOf, genres, Audit.each(Repository.bestOf))
  const years = ask(Catalogue.years, [undefined], Audit.each(Repository.years))
  return {
    ...{ films, cards, lists, years, total },
    film: (id: number) => loadsOf(films([id])),
    card: (id: number) => loadsOf(cards([id])),
    best: (genre: string) => loadsOf(lists([genre])),
    statistic: loadsOf(years)
  }
})

/** Asks twice with a change in between: which had to be loaded again, of those that were cached before it. */
const loadedAgain = Effect.fnUntraced(function*<E, R, E2, R2>(
  questions: Readonly<Record<string, Effect.Effect<number, E, R>>>,
  change: Effect.Effect<unknown, E2, R2>
) {
  const all = Object.entries(questions)
  for (const [, question] of all) yield* question
  for (const [name, question] of all) assert.strictEqual(yield* question, 0, `${name} was not cached`)
  yield* change
  const again: Array<string> = []
  for (const [name, question] of all) if ((yield* question) > 0) again.push(name)
  return again
})

layer(Layer.provideMerge(filled, Database.layer), { timeout: "60 seconds" })("catalogue", (it) => {
  describe("the data", () => {
    it.effect("is real, and clean", () =>
      Effect.gen(function*() {
        const films = yield* data.films
        assert.strictEqual(films.length, 3200)
        assert.strictEqual(new Set(films.map(({ id }) => id)).size, films.length)
        assert.isTrue(films.every(({ title, year }) => title.length > 0 && year >= 1914 && year <= 2011))
        assert.isTrue(films.some(({ title }) => title === "300"), "a title that is a number")
        assert.isTrue(films.some(({ genre }) => genre === null))
        assert.deepStrictEqual(yield* Repository.film(films[7]!.id), films[7])
      }))
  })

  describe("changes", () => {
    it.effect("a rating leaves the card alone", () =>
      Effect.gen(function*() {
        const { best, card, film, statistic } = yield* asking
        const again = yield* loadedAgain({
          film: film(390),
          other: film(742),
          card: card(390),
          comedy: best("Comedy"),
          drama: best("Drama"),
          years: statistic
        }, Catalogue.edit(390, { rating: 9.9 }))
        assert.deepStrictEqual(again, ["film", "comedy", "years"])
      }).pipe(fresh))

    it.effect("a title leaves the statistic alone", () =>
      Effect.gen(function*() {
        const { best, card, film, statistic } = yield* asking
        const again = yield* loadedAgain({
          film: film(1164),
          card: card(1164),
          other: card(390),
          comedy: best("Comedy"),
          drama: best("Drama"),
          years: statistic
        }, Catalogue.edit(1164, { title: "Le Fabuleux destin d'Amélie Poulain" }))
        assert.deepStrictEqual(again, ["film", "card", "comedy"])
      }).pipe(fresh))

    it.effect("a move to another genre refreshes both lists and the film, and nothing else", () =>
      Effect.gen(function*() {
        const { best, card, film, statistic } = yield* asking
        const genres = ["Drama", "Comedy", "Action", "Adventure", "Horror", "Western", "Musical", "Documentary"]
        const again = yield* loadedAgain({
          film: film(3008),
          card: card(3008),
          other: film(742),
          ...Object.fromEntries(genres.map((genre) => [genre, best(genre)])),
          years: statistic
        }, Catalogue.edit(3008, { genre: "Comedy" }))
        assert.deepStrictEqual(again, ["film", "Drama", "Comedy"])
      }).pipe(fresh))

    it.effect("a film that had no genre comes to the list of its genre", () =>
      Effect.gen(function*() {
        const { best, film } = yield* asking
        const again = yield* loadedAgain(
          { film: film(370), drama: best("Drama"), comedy: best("Comedy") },
          Catalogue.edit(370, { genre: "Drama" })
        )
        assert.deepStrictEqual(again, ["film", "drama"])
      }).pipe(fresh))

    it.effect("an edit that changes nothing invalidates nothing", () =>
      Effect.gen(function*() {
        const { best, film, statistic } = yield* asking
        const questions = { film: film(842), drama: best("Drama"), years: statistic }
        assert.deepStrictEqual(yield* loadedAgain(questions, Catalogue.edit(842, { genre: "Drama" })), [])
      }).pipe(fresh))

    it.effect("a deleted film is gone from everywhere", () =>
      Effect.gen(function*() {
        const { best, card, film, statistic } = yield* asking
        const again = yield* loadedAgain({
          film: film(1871),
          card: card(1871),
          horror: best("Horror"),
          drama: best("Drama"),
          years: statistic
        }, Catalogue.remove(1871))
        assert.deepStrictEqual(again, ["film", "card", "horror", "years"])
        assert.deepStrictEqual(
          yield* Effect.flip(Cached.get(Catalogue.film, 1871)),
          new FilmNotFound({ id: 1871 })
        )
      }).pipe(fresh))

    it.effect("a genre is rescored by one query: the films of it, its list and the statistic are dropped", () =>
      Effect.gen(function*() {
        const { best, card, film, statistic } = yield* asking
        const again = yield* loadedAgain({
          western: film(959),
          card: card(959),
          other: film(742),
          westerns: best("Western"),
          drama: best("Drama"),
          years: statistic
        }, Catalogue.rescore("Western", 0.1))
        assert.deepStrictEqual(again, ["western", "westerns", "years"])
      }).pipe(fresh))

    it.effect("explain says which tag killed a film, and when", () =>
      Effect.gen(function*() {
        yield* Cached.get(Catalogue.film, 959)
        yield* Catalogue.rescore("Western", 0.1)
        yield* TestClock.adjust("3200 millis")
        const explanation = yield* Cached.explain(Catalogue.film, 959)
        assert.strictEqual(explanation.verdict, "Dead")
        assert.strictEqual(explanation.because, "tag genre:Western invalidated 3.2 s ago")
      }).pipe(fresh))

    it.effect("a write that fails is rolled back, and the cache agrees", () =>
      Effect.gen(function*() {
        const { film } = yield* asking
        yield* film(817)
        const { transaction } = yield* Database
        const failing = transaction(Effect.andThen(Repository.edit(817, { rating: 1 }), Effect.fail("no")))
        assert.strictEqual(yield* Effect.flip(failing), "no")
        assert.strictEqual(yield* film(817), 0)
      }).pipe(fresh))

    it.effect("an edit that is interrupted is told if it is made", () =>
      Effect.gen(function*() {
        const { film } = yield* asking
        yield* film(214)
        const editor = yield* Effect.forkChild(Catalogue.edit(214, { rating: 1.2 }), { startImmediately: true })
        yield* Fiber.interrupt(editor)
        yield* film(214)
        assert.strictEqual((yield* Cached.get(Catalogue.film, 214)).rating, 1.2)
      }).pipe(fresh))
  })

  describe("not found", () => {
    it.effect("is cached, and ends when the film is added", () =>
      Effect.gen(function*() {
        const { film } = yield* asking
        const parasite = new Film({ id: 3202, title: "Parasite", year: 2019, genre: null, director: null, rating: 8.5 })
        const again = yield* loadedAgain({ film: film(3202), other: film(3203) }, Catalogue.add(parasite))
        assert.deepStrictEqual(again, ["film"])
        assert.deepStrictEqual(yield* Cached.get(Catalogue.film, 3202), parasite)
      }).pipe(fresh))

    it.effect("ends by itself after a minute", () =>
      Effect.gen(function*() {
        const { film } = yield* asking
        assert.strictEqual(yield* film(4000), 1)
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(yield* film(4000), 0)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* film(4000), 1)
      }).pipe(fresh))
  })

  describe("queries", () => {
    it.effect("a hundred readers of a cold key: one", () =>
      Effect.gen(function*() {
        const { lists } = yield* asking
        const crowd = yield* lists(Array.from({ length: 100 }, () => "Adventure"))
        assert.deepInclude(crowd, { queries: 1, loads: 1, joined: 99, wrong: 0 })
      }).pipe(fresh))

    it.effect("many keys: one, for what is missing", () =>
      Effect.gen(function*() {
        const { films } = yield* asking
        const { queries } = yield* Database
        yield* films([742, 842])
        const before = yield* queries
        const keys = [742, 214, 4001, 842, 817, 214]
        const results = yield* Cached.getMany(Catalogue.film, keys, { mode: "result" })
        assert.strictEqual((yield* queries) - before, 1)
        assert.deepStrictEqual(results.map((r) => Result.isSuccess(r) ? r.success.id : r.failure._tag), [
          ...[742, 214, "FilmNotFound", 842, 817, 214]
        ])
        yield* Cached.getMany(Catalogue.film, keys, { mode: "result" })
        assert.strictEqual((yield* queries) - before, 1, "all of it is cached now, also what is not there")
      }).pipe(fresh))

    it.effect("a stale film: served at once, refreshed in the background by one", () =>
      Effect.gen(function*() {
        const { films } = yield* asking
        yield* films([742])
        yield* TestClock.adjust("310 seconds")
        const refreshed = yield* CacheService.events.pipe(
          Stream.filter((event) => event._tag === "Load"),
          Stream.runHead,
          Effect.forkChild({ startImmediately: true })
        )
        assert.deepInclude(yield* films([742]), { stale: 1, hits: 0, wrong: 0 })
        const load = yield* Fiber.join(refreshed)
        assert.deepInclude(Option.getOrThrow(load), { name: "film", outcome: "stored" })
        assert.deepInclude(yield* films([742]), { stale: 0, hits: 1, queries: 0, wrong: 0 })
      }).pipe(fresh))
  })

  describe("truth", () => {
    it.effect("a film that is changed while it is loaded is not kept as it was", () =>
      Effect.gen(function*() {
        const { film } = yield* asking
        const database = yield* Database
        const [asked, changed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        // A database that answers at once, and is slow to deliver.
        const slow: Database["Service"] = {
          ...database,
          query: (row, sql, parameters) =>
            Effect.tap(database.query(row, sql, parameters), () =>
              Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(changed)))
        }
        const reader = yield* Cached.get(Catalogue.film, 1748).pipe(
          Effect.provideService(Database, slow),
          Effect.forkChild
        )
        yield* Deferred.await(asked)
        yield* Catalogue.edit(1748, { rating: 1.1 })
        yield* Deferred.succeed(changed, undefined)
        yield* Fiber.join(reader)
        yield* film(1748)
        assert.strictEqual((yield* Cached.get(Catalogue.film, 1748)).rating, 1.1)
      }).pipe(fresh))

    it.effect("every answer equals the database, through many changes and much time", () =>
      Effect.gen(function*() {
        const { cards, films, lists, total, years } = yield* asking
        const ids = [1, 2, 3, 4, 5, 6, 7, 8]
        const genres = ["Drama", "Comedy", "Western"]
        const oneOf = <A>(all: ReadonlyArray<A>) => Effect.map(Random.nextIntBetween(0, all.length - 1), (i) => all[i]!)
        const rated = Effect.map(Random.nextIntBetween(10, 90), (n) => n / 10)
        for (let round = 0; round < 40; round++) {
          const id = yield* oneOf(ids)
          const there = Result.isSuccess(yield* Effect.result(Repository.film(id)))
          const genre = yield* oneOf([...genres, null])
          const rating = yield* rated
          const title = `Round ${round}`
          const changes = there
            ? [
              Catalogue.edit(id, { rating }),
              Catalogue.edit(id, { genre }),
              Catalogue.edit(id, { title, genre }),
              Catalogue.remove(id),
              Catalogue.rescore(genre ?? "Drama", 0.1)
            ]
            : [Catalogue.add(new Film({ id, title, year: 2000, genre, director: null, rating }))]
          const asking = Effect.all([films(ids), cards(ids), lists(genres), years], { concurrency: "unbounded" })
          // Readers are under way while it changes; what they see may be either, and what is asked afterwards may not.
          const readers = yield* Effect.forkChild(
            Effect.forEach(ids, (id) => Effect.result(Cached.get(Catalogue.film, id)), {
              concurrency: "unbounded"
            })
          )
          yield* yield* oneOf<Effect.Effect<unknown, unknown, Database | CacheService.CacheService>>(changes)
          yield* asking
          yield* Fiber.join(readers)
          yield* asking
          assert.strictEqual(total.wrong, 0, `round ${round}`)
          yield* TestClock.adjust(yield* oneOf([0, 1000, 30_000, 290_000]))
        }
        assert.strictEqual(total.reads, 40 * 2 * (ids.length + ids.length + genres.length + 1))
      }).pipe(Random.withSeed("catalogue"), fresh))
  })
})
