import { Context, Data, Effect, type Layer, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { describe, expect, test } from "tstyche"
import type * as CacheService from "../../src/CacheService.ts"
import type * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Outbox from "../../src/Outbox.ts"
import * as Repository from "../../src/Repository.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"

const Film = Schema.Struct({ id: Schema.Int, title: Schema.String })
type Film = typeof Film.Type
const Films = Entity.make("film", { schema: Film, id: "id" })

class Refused extends Data.TaggedError("Refused") {}
class CommitFailed extends Data.TaggedError("CommitFailed") {}
class Database extends Context.Service<Database, { readonly name: string }>()("test/Database") {}
class Index extends Context.Service<Index, { readonly name: string }>()("test/Index") {}

declare const change: Change.Change
declare const write: Effect.Effect<Film, Refused, Database>
declare const transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CommitFailed, R | Database>

type Service = CacheService.CacheService
type NotInvalidated = CacheService.InvalidationError

describe("lists of any length", () => {
  test("are one argument, or one of them", () => {
    expect(Invalidation.tags).type.toBeCallableWith("a")
    expect(Invalidation.tags).type.toBeCallableWith(["a", "b"])
    expect(Invalidation.tags).type.toBeCallableWith(new Set(["a"]))
    expect(Invalidation.tags).type.not.toBeCallableWith("a", "b")
    expect(Invalidation.tags).type.not.toBeCallableWith()
    expect(Invalidation.keys).type.not.toBeCallableWith("a", "b")
    expect(Invalidation.dependencies).type.not.toBeCallableWith(["a"])
    expect(Changes.publish).type.toBeCallableWith(change)
    expect(Changes.publish).type.toBeCallableWith(new Set([change]))
    expect(Changes.publish).type.not.toBeCallableWith(change, change)
  })

  test("a publication says what became of it", () => {
    expect(Changes.publish([])).type.toBe<Effect.Effect<CacheService.Invalidated, NotInvalidated, Service>>()
  })
})

describe("a transaction", () => {
  test("adds what it and the delivery can fail with, and what it needs", () => {
    expect(Changes.withTransaction(transaction)(write)).type.toBe<
      Effect.Effect<Film, Refused | CommitFailed, Database | Service>
    >()
    expect(Changes.withTransaction(transaction, { onUndelivered: "fail" })(write)).type.toBe<
      Effect.Effect<Film, Refused | CommitFailed | NotInvalidated, Database | Service>
    >()
    expect(write.pipe(Outbox.withTransaction(transaction, { onUndelivered: "fail" }))).type.toBe<
      Effect.Effect<
        Film,
        Refused | CommitFailed | Outbox.OutboxError | NotInvalidated,
        Database | Outbox.Outbox | Service
      >
    >()
    expect(write.pipe(Outbox.withTransaction(transaction))).type.toBe<
      Effect.Effect<
        Film,
        Refused | CommitFailed | Outbox.OutboxError,
        Database | Outbox.Outbox | Service
      >
    >()
    expect(SqlOutbox.withTransaction(write)).type.toBe<
      Effect.Effect<
        Film,
        Refused | SqlError | Outbox.OutboxError,
        Database | SqlClient | Outbox.Outbox | Service
      >
    >()
  })

  test("must give what it is given", () => {
    const asText = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<string, E, R> => Effect.map(effect, String)
    expect(Changes.withTransaction).type.not.toBeCallableWith(asText)
  })

  test("publishes what is read from the result of the write", () => {
    expect(Changes.publishing(write, (film) => Films.created(film))).type.toBe<
      Effect.Effect<Film, Refused | NotInvalidated, Database | Service>
    >()
    expect(write.pipe(Changes.publishing((film) => [Films.deleted(film)]))).type.toBe<
      Effect.Effect<Film, Refused | NotInvalidated, Database | Service>
    >()
  })
})

describe("subscribers", () => {
  test("bring what they need, and cannot fail", () => {
    const search = Changes.subscriber("search", () => Effect.asVoid(Index))
    expect(Changes.layer(search)).type.toBe<Layer.Layer<never, never, Index>>()
    expect(Changes.subscriber).type.not.toBeCallableWith("failing", () => new Refused())
  })
})

describe("a repository", () => {
  const films = Repository.make(Films, {
    create: (_title: string) => write,
    createMany: (..._titles: ReadonlyArray<string>) => Effect.map(write, (film) => [film]),
    update: (_id: number, _patch: Partial<Film>) => Effect.map(write, (film) => ({ before: film, after: film }))
  })

  test("keeps the arguments and the results of its writes", () => {
    expect(films.create).type.toBe<
      (_title: string) => Effect.Effect<Film, Refused | NotInvalidated, Database | Service>
    >()
    expect(films.createMany("a", "b")).type.toBe<
      Effect.Effect<Array<Film>, Refused | NotInvalidated, Database | Service>
    >()
    expect(films.update).type.toBeCallableWith(7, { title: "Alien" })
    expect(films.update).type.not.toBeCallableWith("7", { title: "Alien" })
    expect(films).type.not.toHaveProperty("delete")
  })

  test("takes what it is to run in", () => {
    const within = Repository.make(Films, { delete: () => write }, { within: SqlOutbox.withTransaction })
    expect(within.delete()).type.toBe<
      Effect.Effect<
        Film,
        Refused | SqlError | Outbox.OutboxError | NotInvalidated,
        Database | SqlClient | Outbox.Outbox | Service
      >
    >()
  })

  test("refuses writes that do not return what they changed", () => {
    expect(Repository.make).type.not.toBeCallableWith(Films, { create: () => Effect.succeed("created") })
    expect(Repository.make).type.not.toBeCallableWith(Films, { update: () => write })
  })
})
