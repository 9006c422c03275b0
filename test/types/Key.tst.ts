import { describe, expect, test } from "tstyche"
import * as Key from "../../src/Key.ts"

const page = Key.struct({ genre: Key.string("genre"), page: Key.int("page") })
const at = Key.tuple(Key.string("x"), Key.bigint("y"))

describe("A key's input", () => {
  test("is inferred from its parts", () => {
    expect<Key.Input<typeof page>>().type.toBe<{ readonly genre: string; readonly page: number }>()
    expect<Key.Input<typeof at>>().type.toBe<readonly [string, bigint]>()
    const nested = Key.struct({ at, deleted: Key.boolean("deleted"), sort: Key.literals("sort", ["asc", "desc"]) })
    expect<Key.Input<typeof nested>>().type.toBe<{
      readonly at: readonly [string, bigint]
      readonly deleted: boolean
      readonly sort: "asc" | "desc"
    }>()
    expect<Key.Input<typeof Key.unit>>().type.toBe<void>()
    expect(Key.make("day", (date: Date) => date.toISOString())).type.toBe<Key.Key<Date>>()
  })

  test("is checked where it is encoded", () => {
    expect(Key.encode(page, { genre: "drama", page: 1 })).type.toBe<string>()
    expect(page.parts).type.toBeCallableWith({ genre: "drama", page: 1 })
    expect(page.parts).type.not.toBeCallableWith({ genre: "drama", page: "1" })
    expect(page.parts).type.not.toBeCallableWith({ genre: "drama" })
    expect(at.parts).type.not.toBeCallableWith(["a", 1])
    expect(Key.literals("sort", ["asc", "desc"]).parts).type.not.toBeCallableWith("up")
  })

  test("can be another one's, from which it is made", () => {
    interface Film {
      readonly id: number
    }
    expect(Key.contramap(Key.int("id"), (film: Film) => film.id)).type.toBe<Key.Key<Film>>()
    expect(Key.int("id").pipe(Key.contramap((film: Film) => film.id))).type.toBe<Key.Key<Film>>()
  })

  test("a key of less is a key of more", () => {
    expect<Key.Key<{ readonly id: number }>>().type.toBeAssignableTo<
      Key.Key<{ readonly id: number; readonly page: number }>
    >()
    expect<Key.Key<string>>().type.not.toBeAssignableTo<Key.Key<string | number>>()
  })
})

test("a pattern fixes some fields, of their types", () => {
  expect<Key.Fixed<Key.Input<typeof page>>>().type.toBe<{ readonly genre?: string; readonly page?: number }>()
  expect<Key.Fixed<string>>().type.toBe<Record<string, never>>()
  expect<Key.Fixed<Date>>().type.toBe<Record<string, never>>()
  expect<Key.Fixed<void>>().type.toBe<Record<string, never>>()
  expect<Key.Fixed<Key.Input<typeof at>>>().type.toBe<{ readonly 0?: string; readonly 1?: bigint }>()
})

test("a struct's parts are keys, and a literal key's literals are texts", () => {
  expect(Key.struct).type.not.toBeCallableWith({ genre: "genre" })
  expect(Key.tuple).type.not.toBeCallableWith("genre")
  expect(Key.literals).type.not.toBeCallableWith("sort", [1, 2])
})

test("a fragment varies on nothing, on one key, or on several", () => {
  expect(Key.fragment("menu")).type.toBe<Key.Key<void>>()
  expect(Key.fragment("sidebar", Key.int("user"))).type.toBe<Key.Key<number>>()
  expect(Key.fragment("list", page)).type.toBe<Key.Key<{ readonly genre: string; readonly page: number }>>()
  expect(Key.fragment("article", Key.int("id"), Key.string("language"))).type.toBe<
    Key.Key<readonly [number, string]>
  >()
  expect(Key.fragment).type.not.toBeCallableWith("sidebar", "user")
})

test("a bucket is one of a calendar, of dates", () => {
  expect(Key.bucket("hour", { every: "hour" }).parts).type.toBeCallableWith(new Date(0))
  expect(Key.bucket("hour", { every: "hour" }).parts).type.not.toBeCallableWith(0)
  expect(Key.bucket).type.not.toBeCallableWith("hour", { every: "hours" })
})
