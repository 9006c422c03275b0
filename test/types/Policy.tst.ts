import { Context, Data, Effect, pipe, Schema } from "effect"
import { describe, expect, test } from "tstyche"
import * as Entity from "../../src/Entity.ts"
import type * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"

class Down extends Data.TaggedError("Down") {}
class Gone extends Data.TaggedError("Gone") {}
class Settings extends Context.Service<Settings, { readonly version: number }>()("test/Settings") {}
class Rows extends Context.Service<Rows, { readonly version: number }>()("test/Rows") {}

const Film = Schema.Struct({
  id: Schema.Int,
  title: Schema.String,
  rating: Schema.Finite,
  genre: Schema.String,
  year: Schema.NullOr(Schema.Int),
  labels: Schema.Array(Schema.Literals(["new", "classic"])),
  poster: Schema.Struct({ url: Schema.String })
})

const Films = Entity.make("film", {
  schema: Film,
  id: "id",
  partitions: ["genre", "year", "labels"],
  relations: ["actors"]
})

interface Page {
  readonly title: string
  readonly filmIds: ReadonlyArray<number>
}

const bySetting = Policy.versioned((_: string) => Effect.fail(new Down()) as Effect.Effect<number, Down, Settings>)
const byRow = Policy.versioned((_: string) => Effect.fail(new Gone()) as Effect.Effect<Date, Gone, Rows>)

/** As `Cached.make` takes it: key and lookup say what the policy is for. */
declare const make: <K, V, E, R>(
  key: Key.Key<K>,
  lookup: (key: K) => Effect.Effect<V>,
  policy: Policy.Policy<NoInfer<K>, NoInfer<V>, E, R>
) => { readonly error: E; readonly requirements: R }

declare const slug: Key.Key<string>
declare const number: Key.Key<number>
declare const page: (key: string) => Effect.Effect<Page>

describe("What a policy needs", () => {
  test("is what its version effects fail with and require", () => {
    expect(bySetting).type.toBe<Policy.Policy<string, unknown, Down, Settings>>()
    expect(byRow).type.toBe<Policy.Policy<string, unknown, Gone, Rows>>()
  })

  test("is nothing for constants, functions and all that is no effect", () => {
    expect(Policy.versioned(1)).type.toBe<Policy.Policy<unknown, unknown>>()
    expect(Policy.versioned("2024-06")).type.toBe<Policy.Policy<unknown, unknown>>()
    expect(Policy.versioned((_: string) => 1)).type.toBe<Policy.Policy<string, unknown>>()
    expect(Policy.ttl<string, Page>("1 minute")).type.toBe<Policy.Policy<string, Page, never, never>>()
    expect(Policy.forever).type.toBe<Policy.Policy<unknown, unknown, never, never>>()
  })

  test("is the union of what its parts need, however they are composed", () => {
    type Both = Policy.Policy<string, unknown, Down | Gone, Settings | Rows>
    expect(Policy.and(bySetting, byRow)).type.toBe<Both>()
    expect(Policy.or(bySetting, byRow)).type.toBe<Both>()
    expect(pipe(bySetting, Policy.and(byRow))).type.toBe<Both>()
    expect(bySetting.pipe(Policy.or(byRow))).type.toBe<Both>()
    expect(Policy.all(bySetting, Policy.ttl(1), byRow)).type.toBe<Both>()
    expect(Policy.any(bySetting, Policy.ttl(1), byRow)).type.toBe<Both>()
  })

  test("stays what it is for other keys and values", () => {
    expect(Policy.contramapKey(bySetting, (key: { readonly slug: string }) => key.slug)).type.toBe<
      Policy.Policy<{ readonly slug: string }, unknown, Down, Settings>
    >()
    expect(bySetting.pipe(Policy.contramapValue((page: Page) => page.title))).type.toBe<
      Policy.Policy<string, Page, Down, Settings>
    >()
  })

  test("reaches whoever the policy is given to", () => {
    const made = make(slug, page, Policy.all(Policy.ttl("1 minute"), bySetting, Policy.any(byRow, Policy.never)))
    expect(made.error).type.toBe<Down | Gone>()
    expect(made.requirements).type.toBe<Settings | Rows>()
    const plain = make(slug, page, Policy.all(Policy.ttl("1 minute"), Policy.tagged("pages")))
    expect(plain.error).type.toBe<never>()
    expect(plain.requirements).type.toBe<never>()
  })
})

describe("What a policy is for", () => {
  test("is inferred from where it is used, also inside all and any", () => {
    make(
      slug,
      page,
      Policy.all(
        Policy.ttl("1 minute", { staleFor: "1 minute" }),
        Policy.tagged({
          fromValue: (value, key) => {
            expect(key).type.toBe<string>()
            expect(value).type.toBe<Page>()
            return [key, value.title]
          }
        }),
        Policy.any(
          Policy.tagged((key) => {
            expect(key).type.toBe<string>()
            return [key]
          }),
          Policy.xfetch()
        ),
        Policy.conditional(Films, {
          id: {
            fromValue: (value, key) => {
              expect(key).type.toBe<string>()
              expect(value).type.toBe<Page>()
              return value.filmIds
            }
          },
          fields: ["title"]
        }),
        Policy.conditionalIn(Films, "genre", {
          equals: (key) => {
            expect(key).type.toBe<string>()
            return key
          },
          fields: ["title"]
        })
      )
    )
  })

  test("is checked: a policy for other keys or values does not compile", () => {
    const forNumbers = Policy.tagged((key: number) => [String(key)])
    const forUsers = Policy.tagged({ fromValue: (value: { readonly userId: number }) => [String(value.userId)] })
    expect(make).type.toBeCallableWith(number, (_: number) => Effect.succeed(1), forNumbers)
    expect(make).type.not.toBeCallableWith(slug, page, forNumbers)
    expect(make).type.not.toBeCallableWith(slug, page, forUsers)
    expect(make).type.not.toBeCallableWith(slug, page, Policy.conditional(Films, { fields: ["title"] }))
    expect(make).type.toBeCallableWith(slug, page, Policy.conditionalIn(Films, "genre", { fields: ["title"] }))
  })

  test("is wider for a policy that looks at less", () => {
    expect<Policy.Policy<unknown, unknown>>().type.toBeAssignableTo<Policy.Policy<string, Page>>()
    expect<Policy.Policy<string, Page>>().type.not.toBeAssignableTo<Policy.Policy<unknown, unknown>>()
    expect<Policy.Policy<{ readonly id: number }, unknown>>().type.toBeAssignableTo<
      Policy.Policy<{ readonly id: number; readonly page: number }, unknown>
    >()
    expect<Policy.Policy<string, Page, Down>>().type.not.toBeAssignableTo<Policy.Policy<string, Page>>()
    expect<Policy.Policy<string, Page, never, Rows>>().type.not.toBeAssignableTo<Policy.Policy<string, Page>>()
    expect<Policy.Policy<string, Page, Down, Rows>>().type.toBeAssignableTo<Policy.Any>()
  })

  test("is both, when one policy looks at one thing and one at another", () => {
    const byId = Policy.tagged<{ readonly id: number }, unknown>((key) => [String(key.id)])
    const byPage = Policy.tagged<{ readonly page: number }, Page>((key) => [String(key.page)])
    expect(Policy.and(byId, byPage)).type.toBe<
      Policy.Policy<{ readonly id: number } & { readonly page: number }, Page>
    >()
  })
})

describe("A conditional is checked against its entity", () => {
  test("its fields are fields or relations", () => {
    expect(Policy.conditional).type.toBeCallableWith(Films, { fields: ["title", "actors"] })
    expect(Policy.conditional).type.not.toBeCallableWith(Films, { fields: ["titel"] })
    expect(Policy.conditional).type.not.toBeCallableWith(Films, ["title"])
    expect(Policy.conditionalAll).type.toBeCallableWith(Films, { fields: ["title", "actors"] })
    expect(Policy.conditionalAll).type.not.toBeCallableWith(Films, { fields: ["titel"] })
    // A relation is not known to be within a partition.
    expect(Policy.conditionalIn).type.toBeCallableWith(Films, "genre", { fields: ["title"] })
    expect(Policy.conditionalIn).type.not.toBeCallableWith(Films, "genre", { fields: ["actors"] })
    expect(Policy.conditionalIn).type.not.toBeCallableWith(Films, "title")
  })

  test("without a function the key is the id, or the partition's value", () => {
    expect(Policy.conditional(Films, { fields: ["title"] })).type.toBe<Policy.Policy<number, unknown>>()
    expect(Policy.conditionalIn(Films, "genre")).type.toBe<Policy.Policy<string, unknown>>()
    expect(Policy.conditionalIn(Films, "year")).type.toBe<Policy.Policy<number | null, unknown>>()
    expect(Policy.conditionalIn(Films, "labels")).type.toBe<Policy.Policy<"new" | "classic", unknown>>()
    expect(Policy.conditionalAll(Films)).type.toBe<Policy.Policy<unknown, unknown>>()
  })

  test("its function gives ids of the entity, or values of the partition", () => {
    const { conditional, conditionalIn } = Policy
    const ofPage = { fromValue: (page: Page) => page.filmIds }
    expect(conditional).type.toBeCallableWith(Films, { id: (key: { readonly id: number }) => key.id })
    expect(conditional).type.toBeCallableWith(Films, { id: ofPage, fields: ["title"] })
    expect(conditional).type.not.toBeCallableWith(Films, { id: (key: string) => key })
    expect(conditional).type.not.toBeCallableWith(Films, { id: { fromValue: (page: Page) => page.title } })
    expect(conditionalIn).type.toBeCallableWith(Films, "labels", { equals: () => "new" as const })
    expect(conditionalIn).type.not.toBeCallableWith(Films, "labels", { equals: () => "old" as const })
    expect(conditionalIn).type.not.toBeCallableWith(Films, "year", { equals: (key: string) => key })
    expect(conditionalIn).type.not.toBeCallableWith(Films, "year", { equals: ofPage, fields: ["titel"] })
  })
})

describe("A function", () => {
  test("takes the key; one of the value says so, and takes the key after it", () => {
    expect(Policy.tagged((id: number) => [`${id}`])).type.toBe<Policy.Policy<number, unknown>>()
    expect(Policy.tagged({ fromValue: (page: Page) => page.title })).type.toBe<Policy.Policy<unknown, Page>>()
    expect(Policy.tagged({ fromValue: (page: Page, slug: string) => [slug, page.title] })).type.toBe<
      Policy.Policy<string, Page>
    >()
    expect(Policy.conditional(Films, { id: { fromValue: (page: Page) => page.filmIds } })).type.toBe<
      Policy.Policy<unknown, Page>
    >()
    expect(Policy.conditionalIn(Films, "genre", { equals: (key: { readonly g: string }) => key.g })).type.toBe<
      Policy.Policy<{ readonly g: string }, unknown>
    >()
  })

  test("with two parameters is none of the key", () => {
    expect(Policy.tagged).type.not.toBeCallableWith((_: string, page: Page) => [page.title])
    expect(Policy.conditional).type.not.toBeCallableWith(Films, { id: (_: string, page: Page) => page.filmIds })
    expect(Policy.versioned).type.not.toBeCallableWith((_: string, page: Page) => page.title)
  })
})

describe("Options", () => {
  test("a severity is Dead, OnError or Stale", () => {
    expect(Policy.tagged).type.toBeCallableWith("a", { severity: "Stale" })
    expect(Policy.tagged).type.not.toBeCallableWith("a", { severity: "Fresh" })
    expect(Policy.until).type.not.toBeCallableWith("0 * * * *", { severity: "Refresh" })
  })

  test("a duration is one of Effect's, and a misspelt option is none", () => {
    expect(Policy.ttl).type.toBeCallableWith("5 minutes", { staleFor: { seconds: 1 }, onErrorFor: 10, jitter: 0.1 })
    expect(Policy.ttl).type.not.toBeCallableWith("5 parsecs")
    expect(Policy.ttl).type.not.toBeCallableWith("5 minutes", { stalefor: 1 })
  })

  test("a version is text, a number or a date, directly or by an effect", () => {
    expect(Policy.versioned).type.toBeCallableWith(() => new Date())
    expect(Policy.versioned).type.toBeCallableWith((_: string) => Effect.succeed("v1"))
    expect(Policy.versioned).type.not.toBeCallableWith(() => true)
    expect(Policy.versioned).type.not.toBeCallableWith(() => Effect.succeed(1n))
  })
})

test("as text a policy suits any key and value", () =>
  expect(Policy.FromString).type.toBe<Schema.Codec<Policy.Policy<unknown, unknown>, string>>())

test("a policy shows nothing of its workings", () => {
  expect<Policy.Any>().type.not.toHaveProperty("node")
  expect<Policy.Any>().type.not.toHaveProperty("plan")
})
