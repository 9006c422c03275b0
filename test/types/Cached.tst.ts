import { Context, Data, Effect, type Option, pipe, type Result, Schema } from "effect"
import { describe, expect, test } from "tstyche"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Entity from "../../src/Entity.ts"
import type { FixedInAll } from "../../src/internal/interpreter/patterns.ts"
import type * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"

const Film = Schema.Struct({ id: Schema.Int, title: Schema.String, rating: Schema.Finite, genre: Schema.String })
type Film = typeof Film.Type

class FilmNotFound extends Schema.TaggedError<FilmNotFound>()("FilmNotFound", { id: Schema.Int }) {}
class Down extends Data.TaggedError("Down") {}
class Stuck extends Data.TaggedError("Stuck") {}
class Repository extends Context.Service<Repository, { readonly name: string }>()("test/Repository") {}
class Settings extends Context.Service<Settings, { readonly version: number }>()("test/Settings") {}
class Batches extends Context.Service<Batches, { readonly size: number }>()("test/Batches") {}

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

declare const repo: (id: number) => Effect.Effect<Film, FilmNotFound, Repository>
declare const list: (genre: string) => Effect.Effect<ReadonlyArray<Film>>

const film = Cached.make(
  "film",
  { key: Key.int("id"), value: Film, lookup: (id) => repo(id) },
  Policy.all(
    Policy.ttl("5 minutes", { staleFor: "1 minute" }),
    Policy.xfetch({ beta: 1 }),
    Policy.tagged({ fromValue: (film) => [`genre:${film.genre}`] }),
    Policy.conditional(Films, { fields: ["title", "rating"] })
  )
)

const options = { key: Key.int("id"), value: Film, lookup: repo }
const bySetting = Policy.versioned((_: number) => Effect.fail(new Down()) as Effect.Effect<number, Down, Settings>)

type Service = CacheService.CacheService

describe("A definition infers without annotations", () => {
  test("its value, errors and requirements from the lookup", () => {
    expect(film).type.toBe<Cached.Cached<number, Film, FilmNotFound, Repository>>()
    expect(Cached.get(film, 7)).type.toBe<Effect.Effect<Film, FilmNotFound, Service | Repository>>()
  })

  test("a lookup that cannot fail and needs nothing", () => {
    const films = Cached.make(
      "films",
      { key: Key.string("genre"), value: Schema.Array(Film), lookup: list },
      Policy.forever
    )
    expect(Cached.get(films, "drama")).type.toBe<Effect.Effect<ReadonlyArray<Film>, never, Service>>()
  })

  test("a load has a scope of its own, so its callers need none", () => {
    const connect = Effect.acquireRelease(Effect.succeed(1), () => Effect.void)
    const scoped = Cached.make("scoped", {
      key: Key.int("id"),
      value: Schema.Int,
      lookup: () => Effect.andThen(connect, Effect.map(Settings, ({ version }) => version)),
      lookupMany: () => Effect.as(connect, [])
    }, Policy.forever)
    expect(scoped).type.toBe<Cached.Cached<number, number, never, Settings>>()
    expect(Cached.get(scoped, 1)).type.toBe<Effect.Effect<number, never, Service | Settings>>()
  })

  test("and its key and value in functions of policies, however these are composed", () => {
    const titles = { key: Key.int("id"), value: Schema.String, lookup: () => Effect.succeed("") }
    const tagged = Policy.and(
      Policy.ttl(1),
      Policy.tagged({ fromValue: (title: string, id: number) => [`${id} ${title}`] })
    )
    expect(tagged).type.toBe<Policy.Policy<number, string>>()
    Cached.make(
      "both",
      titles,
      Policy.and(
        Policy.ttl(1),
        Policy.tagged({
          fromValue: (title, id) => {
            expect(id).type.toBe<number>()
            expect(title).type.toBe<string>()
            return [title]
          }
        })
      )
    )
    Cached.make(
      "either",
      titles,
      Policy.or(
        Policy.and(
          Policy.tagged((id) => {
            expect(id).type.toBe<number>()
            return [String(id)]
          }),
          Policy.xfetch()
        ),
        Policy.ttl(1)
      )
    )
    const failing = Cached.make(
      "failing",
      titles,
      Policy.and(Policy.versioned((id) => id > 1 ? Effect.succeed(id) : Effect.fail(new Down())), Policy.ttl(1))
    )
    expect(failing).type.toBe<Cached.Cached<number, string, Down>>()
  })

  test("struct keys: the lookup and the policy's functions see their fields", () => {
    const pages = Cached.make(
      "pages",
      {
        key: Key.struct({ genre: Key.literals("genre", ["drama", "noir"]), page: Key.int("page") }),
        value: Schema.Array(Film),
        lookup: ({ genre, page }) => {
          expect(genre).type.toBe<"drama" | "noir">()
          expect(page).type.toBe<number>()
          return list(genre)
        }
      },
      Policy.all(
        Policy.tagged(({ genre }) => [genre]),
        Policy.tagged({
          fromValue: (films, key) => {
            expect(key).type.toBe<{ readonly genre: "drama" | "noir"; readonly page: number }>()
            expect(films).type.toBe<ReadonlyArray<Film>>()
            return films.map(({ genre }) => genre)
          }
        }),
        Policy.conditionalIn(Films, "genre", { equals: ({ genre }) => genre, fields: ["title"] })
      )
    )
    expect(Cached.get).type.toBeCallableWith(pages, { genre: "drama" as const, page: 1 })
    expect(Cached.get).type.not.toBeCallableWith(pages, { genre: "comedy", page: 1 })
  })

  test("a key of nothing is asked for by undefined", () => {
    const popular = Cached.make("popular", { key: Key.unit, value: Film, lookup: () => repo(1) }, Policy.forever)
    expect(Cached.get(popular, undefined)).type.toBe<Effect.Effect<Film, FilmNotFound, Service | Repository>>()
  })
})

describe("Errors are added only by what makes them", () => {
  test("hardTimeout adds LoadTimeout", () => {
    const timed = Cached.make("film", { ...options, hardTimeout: "3 seconds" }, Policy.forever)
    expect(timed).type.toBe<Cached.Cached<number, Film, FilmNotFound | Cached.LoadTimeout, Repository>>()
    const soft = Cached.make("film", { ...options, softTimeout: "3 seconds" }, Policy.forever)
    expect(soft).type.toBe<Cached.Cached<number, Film, FilmNotFound, Repository>>()
  })

  test("storeFailure adds StoreError when it is fail, and only then", () => {
    const strict = Cached.make("film", { ...options, storeFailure: "fail" }, Policy.forever)
    expect(strict).type.toBe<Cached.Cached<number, Film, FilmNotFound | CacheStore.StoreError, Repository>>()
    const open = Cached.make("film", { ...options, storeFailure: "load" }, Policy.forever)
    expect(open).type.toBe<Cached.Cached<number, Film, FilmNotFound, Repository>>()
  })

  test("versions add theirs, and what they require", () => {
    const versioned = Cached.make("film", options, bySetting)
    expect(versioned).type.toBe<Cached.Cached<number, Film, FilmNotFound | Down, Repository | Settings>>()
    expect(Cached.get(versioned, 1)).type.toBe<
      Effect.Effect<Film, FilmNotFound | Down, Service | Repository | Settings>
    >()
  })

  test("versions among others in a list do too", () => {
    const versioned = Cached.make(
      "film",
      options,
      Policy.all(Policy.ttl("1 minute"), bySetting, Policy.tagged((id) => [`${id}`]))
    )
    expect(versioned).type.toBe<Cached.Cached<number, Film, FilmNotFound | Down, Repository | Settings>>()
  })

  test("lookupMany adds its own, beside those of each result", () => {
    const many = Cached.make("film", {
      ...options,
      lookupMany: (ids) => {
        expect(ids).type.toBe<ReadonlyArray<number>>()
        return Effect.fail(new Stuck()) as Effect.Effect<
          ReadonlyArray<Result.Result<Film, FilmNotFound>>,
          Stuck,
          Batches
        >
      }
    }, Policy.forever)
    expect(many).type.toBe<Cached.Cached<number, Film, FilmNotFound | Stuck, Repository | Batches>>()
  })

  test("failures add those of their policy", () => {
    const negative = Cached.make("film", {
      ...options,
      failures: { error: FilmNotFound, policy: bySetting }
    }, Policy.forever)
    expect(negative).type.toBe<Cached.Cached<number, Film, FilmNotFound | Down, Repository | Settings>>()
  })

  test("all at once", () => {
    const everything = Cached.make("film", {
      ...options,
      failures: { error: FilmNotFound, policy: Policy.ttl("10 seconds") },
      hardTimeout: 500,
      storeFailure: "fail"
    }, bySetting)
    expect(Cached.get(everything, 1)).type.toBe<
      Effect.Effect<
        Film,
        FilmNotFound | Down | Cached.LoadTimeout | CacheStore.StoreError,
        Service | Repository | Settings
      >
    >()
  })
})

describe("What does not fit does not compile", () => {
  test("a key of another type", () => {
    expect(Cached.get).type.not.toBeCallableWith(film, "7")
    expect(Cached.get("7")).type.not.toBeCallableWith(film)
    expect(Cached.getMany).type.not.toBeCallableWith(film, ["7"])
    expect(Cached.invalidate).type.not.toBeCallableWith(film, "7")
    expect(Cached.invalidation).type.not.toBeCallableWith(film, ["7"])
    expect(Cached.explain).type.not.toBeCallableWith(film, "7")
  })

  test("a lookup that gives something else, or takes another key", () => {
    expect(Cached.make).type.not.toBeCallableWith(
      "film",
      { key: Key.int("id"), value: Film, lookup: () => Effect.succeed("Alien") },
      Policy.forever
    )
    expect(Cached.make).type.not.toBeCallableWith(
      "film",
      { key: Key.int("id"), value: Film, lookup: (_id: string) => repo(1) },
      Policy.forever
    )
  })

  test("a policy for other keys or values", () => {
    expect(Cached.make).type.not.toBeCallableWith("film", options, Policy.tagged((id: string) => [id]))
    expect(Cached.make).type.not.toBeCallableWith(
      "film",
      options,
      Policy.tagged({ fromValue: (page: { links: Array<string> }) => page.links })
    )
    expect(Cached.make).type.not.toBeCallableWith("film", options, Policy.conditionalIn(Films, "genre"))
    expect(Cached.make).type.toBeCallableWith(
      "film",
      options,
      Policy.tagged({ fromValue: (film: { genre: string }) => [film.genre] })
    )
  })

  test("a field that the entity has not", () => {
    expect(Policy.conditional).type.not.toBeCallableWith(Films, ["titel"])
    expect(Policy.conditionalIn).type.not.toBeCallableWith(Films, "rating")
  })

  test("a policy for failures that looks at another error", () => {
    expect(Cached.make).type.not.toBeCallableWith(
      "film",
      {
        ...options,
        failures: {
          error: FilmNotFound,
          policy: Policy.tagged({ fromValue: (error: { reason: string }) => [error.reason] })
        }
      },
      Policy.forever
    )
    expect(Cached.make).type.toBeCallableWith(
      "film",
      {
        ...options,
        failures: {
          error: FilmNotFound,
          policy: Policy.tagged({ fromValue: (error: FilmNotFound) => [`film:${error.id}`] })
        }
      },
      Policy.forever
    )
  })

  test("a schema that needs services to encode", () => {
    expect(Cached.make).type.not.toBeCallableWith(
      "film",
      {
        key: Key.int("id"),
        value: Schema.String as unknown as Schema.Codec<string, string, Repository>,
        lookup: () => Effect.succeed("")
      },
      Policy.forever
    )
  })

  test("an option of another value", () => {
    expect(Cached.make).type.not.toBeCallableWith("film", { ...options, refresh: "nobody" }, Policy.forever)
    expect(Cached.make).type.not.toBeCallableWith("film", { ...options, storeFailure: "ignore" }, Policy.forever)
  })
})

describe("Operations", () => {
  test("read data-first and data-last", () => {
    expect(film.pipe(Cached.get(7))).type.toBe<Effect.Effect<Film, FilmNotFound, Service | Repository>>()
    expect(pipe(film, Cached.getOption(7))).type.toBe<
      Effect.Effect<Option.Option<Film>, FilmNotFound, Service | Repository>
    >()
    expect(Cached.getOption(film, 7)).type.toBe<
      Effect.Effect<Option.Option<Film>, FilmNotFound, Service | Repository>
    >()
    expect(pipe(film, Cached.refresh(7))).type.toBe<Effect.Effect<Film, FilmNotFound, Service | Repository>>()
    expect(pipe(film, Cached.explain(7))).type.toBe<
      Effect.Effect<Cached.Explanation, FilmNotFound | CacheStore.StoreError, Service | Repository>
    >()
  })

  test("getMany gives values, or a result for each and no failure", () => {
    expect(Cached.getMany(film, [1, 2])).type.toBe<Effect.Effect<Array<Film>, FilmNotFound, Service | Repository>>()
    expect(Cached.getMany(film, [1, 2], { mode: "result" })).type.toBe<
      Effect.Effect<Array<Result.Result<Film, FilmNotFound>>, never, Service | Repository>
    >()
  })

  test("set adds the errors and requirements of the write, and InvalidationError", () => {
    const write = Effect.fail(new Down()) as Effect.Effect<Film, Down, Settings>
    type Written = Effect.Effect<
      Film,
      FilmNotFound | Down | CacheService.InvalidationError,
      Service | Repository | Settings
    >
    expect(Cached.set(film, 7, write)).type.toBe<Written>()
    expect(pipe(film, Cached.set(7, write))).type.toBe<Written>()
    expect(Cached.set).type.not.toBeCallableWith(film, 7, Effect.succeed("Alien"))
  })

  test("mutate keeps what the write is, and adds InvalidationError", () => {
    const write = Effect.fail(new Down()) as Effect.Effect<"done", Down, Settings>
    const over = {} as Invalidation.Invalidation
    type Written = Effect.Effect<"done", Down | CacheService.InvalidationError, Service | Settings>
    expect(Cached.mutate(write, over)).type.toBe<Written>()
    expect(Cached.mutate(write, over, { fence: "1 minute" })).type.toBe<Written>()
    expect(write.pipe(Cached.mutate(over))).type.toBe<Written>()
    expect(write.pipe(Cached.mutate(over, { fence: "1 minute" }))).type.toBe<Written>()
  })

  test("invalidations need the service and nothing of the lookup", () => {
    type Invalidated = Effect.Effect<CacheService.Invalidated, CacheService.InvalidationError, Service>
    expect(Cached.invalidate(film, 7)).type.toBe<Invalidated>()
    expect(Cached.invalidate(film, 7, { soft: true })).type.toBe<Invalidated>()
    expect(Cached.invalidateMany(film, [7, 8])).type.toBe<Invalidated>()
    expect(pipe(film, Cached.invalidate(7))).type.toBe<Invalidated>()
    expect(pipe(film, Cached.invalidateMany([7]))).type.toBe<Invalidated>()
    expect(Cached.apply(Cached.invalidation(film, [7, 8]))).type.toBe<Invalidated>()
  })

  test("patterns fix fields of struct keys, and nothing of plain ones", () => {
    const pages = Cached.make("pages", {
      key: Key.struct({ genre: Key.string("genre"), page: Key.int("page") }),
      value: Schema.Array(Film),
      lookup: ({ genre }) => list(genre)
    }, Policy.forever)
    expect(Cached.pattern(pages, { genre: "drama" })).type.toBe<Invalidation.Invalidation>()
    expect(Cached.pattern).type.toBeCallableWith(pages)
    expect(Cached.pattern).type.not.toBeCallableWith(pages, { genre: 1 })
    expect(Cached.pattern).type.not.toBeCallableWith(pages, { gender: "drama" })
    // The key itself fixes nothing, and would empty the definition.
    expect(Cached.pattern).type.toBeCallableWith(film)
    expect(Cached.pattern).type.toBeCallableWith(film, {})
    expect(Cached.pattern).type.not.toBeCallableWith(film, 7)
  })

  test("what observes needs no type of the definition", () => {
    expect(Cached.stats(film)).type.toBe<Effect.Effect<Cached.Stats, never, Service>>()
    expect(Cached.describe(film)).type.toBe<Cached.Description>()
    expect(Cached.isCached).type.toBeCallableWith(1)
    expect<Cached.Any>().type.toBeAssignableFrom(film)
  })
})

describe("Variance", () => {
  test("a definition for more keys, fewer errors and requirements is one for fewer keys, more errors and requirements", () => {
    expect<Cached.Cached<1 | 2, Film, FilmNotFound | Down, Repository | Settings>>().type.toBeAssignableFrom(film)
    expect<Cached.Cached<number | string, Film, FilmNotFound, Repository>>().type.not.toBeAssignableFrom(film)
    expect<Cached.Cached<number, Film, never, Repository>>().type.not.toBeAssignableFrom(film)
    expect<Cached.Cached<number, Film, FilmNotFound, never>>().type.not.toBeAssignableFrom(film)
  })

  test("values neither widen nor narrow, since they are read and written", () => {
    expect<Cached.Cached<number, Film | undefined, FilmNotFound, Repository>>().type.not.toBeAssignableFrom(film)
    expect<Cached.Cached<number, Film & { year: number }, FilmNotFound, Repository>>().type.not.toBeAssignableFrom(film)
  })
})

describe("Patterns over several definitions", () => {
  const texts = { value: Schema.Array(Schema.String), lookup: () => Effect.succeed([]) }
  const user = Key.int("userId")
  const language = Key.literals("language", ["en", "it"])
  const settings = Cached.make("settings", { key: Key.struct({ userId: user, language }), ...texts }, Policy.forever)
  const orders = Cached.make(
    "orders",
    {
      key: Key.struct({ userId: user, page: Key.int("page"), language: Key.literals("language", ["it", "de"]) }),
      value: Schema.Finite,
      lookup: () => Effect.fail(new Down())
    },
    Policy.forever
  )
  const byName = Cached.make("byName", { key: Key.struct({ userId: Key.string("userId") }), ...texts }, Policy.forever)
  const byId = Cached.make("byId", { key: user, ...texts }, Policy.forever)
  const point = Cached.make("point", { key: Key.tuple(user, language), ...texts }, Policy.forever)

  test("fix the fields that all keys have, with values that all of them take", () => {
    expect<FixedInAll<Key.Input<typeof settings.key> | Key.Input<typeof orders.key>>>().type.toBe<
      { readonly userId?: number; readonly language?: "it" }
    >()
    expect(Cached.pattern([settings, orders], { userId: 5 })).type.toBe<Invalidation.Invalidation>()
    expect(Cached.pattern([point], { 1: "en" })).type.toBe<Invalidation.Invalidation>()
    expect(Cached.pattern([settings, orders], { language: "it" })).type.toBe<Invalidation.Invalidation>()
  })

  test("and no others", () => {
    // @ts-expect-error Type '"en"' is not assignable to type '"it"'
    Cached.pattern([settings, orders], { language: "en" })
    // @ts-expect-error 'userid' does not exist in type
    Cached.pattern([settings, orders], { userid: 5 })
    // @ts-expect-error 'page' does not exist in type
    Cached.pattern([settings, orders], { page: 1 })
    // @ts-expect-error Type 'string' is not assignable to type 'number'
    Cached.pattern([settings, orders], { userId: "5" })
    // @ts-expect-error Type 'number' is not assignable to type 'undefined'
    Cached.pattern([settings, byName], { userId: 5 })
    // @ts-expect-error Type 'number' is not assignable to type 'undefined'
    Cached.pattern([settings, byId], { userId: 5 })
    // @ts-expect-error Type '5' has no properties in common
    Cached.pattern([settings, orders], 5)
  })

  test("and none where the keys have no field in common", () => {
    const pages = Cached.make("pages", { key: Key.struct({ page: Key.int("page") }), ...texts }, Policy.forever)
    expect(Cached.pattern).type.not.toBeCallableWith([settings, pages], { userId: 5 })
    expect(Cached.pattern).type.not.toBeCallableWith([settings, pages], { page: 1 })
    expect(Cached.pattern).type.toBeCallableWith([settings, pages])
    expect(Cached.pattern).type.toBeCallableWith([settings, pages], {})
  })
})

describe("Written within the options", () => {
  interface FilmId {
    readonly filmId: number
  }
  const rest = { value: Schema.String, lookup: () => Effect.succeed("") }

  test("a key for other inputs infers them", () => {
    const cached = Cached.make("film", {
      key: Key.contramap(Key.int("id"), (id: FilmId) => id.filmId),
      value: Schema.String,
      lookup: (id) => {
        expect(id).type.toBe<FilmId>()
        return Effect.succeed("")
      }
    }, Policy.forever)
    expect(cached).type.toBe<Cached.Cached<FilmId, string>>()
    Cached.make("film", {
      key: Key.int("id").pipe(Key.contramap((id: FilmId) => id.filmId)),
      value: Schema.String,
      lookup: (id) => {
        expect(id).type.toBe<FilmId>()
        return Effect.succeed("")
      }
    }, Policy.forever)
    expect(Cached.make("film", { key: Key.make("id", (id: FilmId) => String(id.filmId)), ...rest }, Policy.forever))
      .type.toBe<Cached.Cached<FilmId, string>>()
  })

  test("the policy of failures infers the failure", () => {
    const cached = Cached.make("film", {
      key: Key.int("id"),
      value: Schema.String,
      lookup: (id) => Effect.fail(new FilmNotFound({ id })),
      failures: Cached.failures(
        FilmNotFound,
        Policy.and(
          Policy.ttl("1 minute"),
          Policy.tagged({
            fromValue: (failure) => {
              expect(failure).type.toBe<FilmNotFound>()
              return `film:${failure.id}`
            }
          })
        )
      )
    }, Policy.forever)
    expect(cached).type.toBe<Cached.Cached<number, string, FilmNotFound>>()
    const ofText = Policy.tagged({ fromValue: (text: string) => text })
    expect(Cached.failures).type.not.toBeCallableWith(FilmNotFound, ofText)
  })
})
