import { Schema } from "effect"
import { describe, expect, test } from "tstyche"
import type * as Change from "../../src/Change.ts"
import * as Entity from "../../src/Entity.ts"

const Film = Schema.Struct({
  id: Schema.Int,
  slug: Schema.String,
  title: Schema.String,
  genre: Schema.NullOr(Schema.String),
  labels: Schema.Array(Schema.String),
  released: Schema.Date,
  poster: Schema.Struct({ url: Schema.String })
})

class Person extends Schema.Class<Person>("Person")({ uuid: Schema.String, name: Schema.String }) {}

const Films = Entity.make("film", {
  schema: Film,
  id: "id",
  partitions: ["genre", "labels"],
  relations: ["actors"]
})

const by = <const P extends string>(partition: P) => ({ schema: Film, id: "id" as const, partitions: [partition] })

describe("An entity", () => {
  test("knows the types of its id, its fields, its partitions and its relations", () => {
    expect(Films).type.toBe<
      Entity.Entity<
        typeof Film.Type,
        number,
        "id" | "slug" | "title" | "genre" | "labels" | "released" | "poster",
        "genre" | "labels",
        "actors"
      >
    >()
    expect(Entity.make("film", { schema: Film, id: "slug" })).type.toBe<
      Entity.Entity<
        typeof Film.Type,
        string,
        "id" | "slug" | "title" | "genre" | "labels" | "released" | "poster"
      >
    >()
    const People = Entity.make("person", { schema: Person, id: "uuid" })
    expect(People).type.toBe<Entity.Entity<Person, string, "uuid" | "name">>()
  })

  test("is identified by a field that is a scalar", () => {
    expect(Entity.make).type.toBeCallableWith("film", { schema: Film, id: "slug" as const })
    expect(Entity.make).type.not.toBeCallableWith("film", { schema: Film, id: "uuid" as const })
    expect(Entity.make).type.not.toBeCallableWith("film", { schema: Film, id: "poster" as const })
    expect(Entity.make).type.not.toBeCallableWith("film", { schema: Film, id: "labels" as const })
  })

  test("is selected by fields that are scalars or lists of them", () => {
    expect(Entity.make).type.toBeCallableWith("film", by("genre"))
    expect(Entity.make).type.toBeCallableWith("film", by("labels"))
    expect(Entity.make).type.toBeCallableWith("film", by("slug"))
    expect(Entity.make).type.not.toBeCallableWith("film", by("year"))
    expect(Entity.make).type.not.toBeCallableWith("film", by("poster"))
    expect(Entity.make).type.not.toBeCallableWith("film", by("released"))
  })

  test("takes whole rows, and gives changes", () => {
    const row: typeof Film.Type = {
      id: 1,
      slug: "alien",
      title: "Alien",
      genre: null,
      labels: [],
      released: new Date(0),
      poster: { url: "" }
    }
    expect(Films.created(row)).type.toBe<Change.Change>()
    expect(Films.updated).type.toBeCallableWith(row, row)
    expect(Films.updated).type.not.toBeCallableWith(row, { title: "Aliens" })
    expect(Films.deleted).type.not.toBeCallableWith(1)
    expect(Films.deleted).type.not.toBeCallableWith(new Person({ uuid: "a", name: "b" }))
  })
})
