/**
 * Asking the site: what the cache answers, what the database answers, and what had to be loaded for it.
 */
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { inspect } from "node:util"
import { fill, type Size, small } from "../../examples/articles/content.ts"
import type { NotFound } from "../../examples/articles/Model.ts"
import * as Site from "../../examples/articles/Site.ts"
import { Cached, type CacheService } from "../../src/index.ts"
import type * as Outbox from "../../src/Outbox.ts"
import * as SqlOutbox from "../../src/SqlOutbox.ts"

/** Small, but with categories below others, articles that are not on the front page, and a tag that is not popular. */
export const size: Size = { ...small, categories: 6 }

/** What a site of the tests has beside a cache: a database with its tables, and an outbox in it. */
export const withOutbox = <E>(
  database: Layer.Layer<SqlClient.SqlClient, E>
): Layer.Layer<SqlClient.SqlClient | Outbox.Outbox, E> => Layer.provideMerge(SqlOutbox.layer(), database)

/** The database as it was generated: the same rows with the same ids. */
export const reset = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    truncate articles, article_tags, authors, cache_outbox, categories, orders, products, settings, tags, user_settings, users
    restart identity`
  yield* fill(size)
})

/** The tables whose rows have ids that are counted. */
export const tables = ["articles", "authors", "categories", "products", "tags", "users"] as const

export type Table = typeof tables[number]

/** The next row of a table has the id that is asked of each although there is no such row. */
export const nextIsAsked = (table: Table) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`select setval(pg_get_serial_sequence(${table}, 'id'), 1000000, false)`
  )

/** An answer as text: the same for equal values of equal classes, another for any difference. */
export type Answer = string

const write = (value: unknown): Answer =>
  inspect(value, { depth: null, breakLength: Infinity, sorted: true, maxArrayLength: null, maxStringLength: null })

/** What is not there is an answer; anything else that fails is a bug of the test. */
export const answerOf = <E extends { readonly _tag: string }, R>(
  ask: Effect.Effect<unknown, E | NotFound, R>
): Effect.Effect<Answer, never, R> =>
  Effect.matchEffect(ask, {
    onSuccess: (value) => Effect.succeed(write(value)),
    onFailure: (error) => error._tag === "NotFound" ? Effect.succeed(write(error)) : Effect.die(error)
  })

/** What the cache said, and whether the read waited for a load. Of several readers at once no one can tell. */
export interface Reply {
  readonly name: string
  readonly key: string
  readonly answer: Answer
  readonly loaded: boolean
}

const loadsOf = (read: Site.Read): Effect.Effect<number, never, CacheService.CacheService> =>
  Effect.map(Cached.stats(read.cached), ({ loads }) => loads)

/** A question, and the read that it is asked of. */
export interface Asked extends Site.Question {
  readonly read: Site.Read
}

/** Everything that there is to ask now, by key. What was there before, and is not any more, can be asked as well. */
export const questions = (before: ReadonlyMap<string, Asked> = new Map()) =>
  Effect.gen(function*() {
    const all = new Map(before)
    for (const read of Site.reads) {
      for (const question of yield* Effect.orDie(read.questions)) all.set(question.key, { ...question, read })
    }
    return all as ReadonlyMap<string, Asked>
  })

/** Asks one thing, of the cache. */
export const ask = ({ cached, key, read }: Asked) =>
  Effect.gen(function*() {
    const before = yield* loadsOf(read)
    const answer = yield* answerOf(cached)
    return { name: read.name, key, answer, loaded: (yield* loadsOf(read)) > before } satisfies Reply
  })

/** Asks everything, of the cache. */
export const askCache = (all: ReadonlyMap<string, Asked>) =>
  Effect.map(
    Effect.forEach(all.values(), ask),
    (replies) => new Map(replies.map((reply) => [reply.key, reply])) as ReadonlyMap<string, Reply>
  )

/** Asks everything, of the database. */
export const askDatabase = (all: ReadonlyMap<string, Asked>) =>
  Effect.map(
    Effect.forEach(all.values(), ({ fresh, key }) => Effect.map(answerOf(fresh), (answer) => [key, answer] as const)),
    (answers) => new Map(answers) as ReadonlyMap<string, Answer>
  )
