/**
 * What the catalogue asks its database, and how it changes it. Nothing here knows that there is a cache.
 */
import { Effect, Result, Schema } from "effect"
import { Database } from "./Database.ts"
import { Film, FilmNotFound, Listed, Titled, YearStatistic } from "./Film.ts"

const columns = "id, title, year, genre, director, rating"

const only = <A>(id: number, rows: ReadonlyArray<A>): Effect.Effect<A, FilmNotFound> =>
  rows[0] === undefined ? Effect.fail(new FilmNotFound({ id })) : Effect.succeed(rows[0])

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

export const film = Effect.fnUntraced(function*(id: number) {
  const { query } = yield* Database
  return yield* only(id, yield* query(Film, `select ${columns} from films where id = $1`, [id]))
})

/** Several films by one query: a result for each id, in their order. */
export const films = Effect.fnUntraced(function*(ids: ReadonlyArray<number>) {
  const { query } = yield* Database
  const rows = yield* query(Film, `select ${columns} from films where id = any($1)`, [ids])
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.map((id) => Result.fromNullishOr(byId.get(id), () => new FilmNotFound({ id })))
})

export const titled = Effect.fnUntraced(function*(id: number) {
  const { query } = yield* Database
  return yield* only(id, yield* query(Titled, "select title, year from films where id = $1", [id]))
})

/** The ten films of a genre that are liked best. */
export const bestOf = Effect.fnUntraced(function*(genre: string) {
  const { query } = yield* Database
  return yield* query(
    Listed,
    "select id, title, rating from films where genre = $1 order by rating desc nulls last, title, id limit 10",
    [genre]
  )
})

export const years = Effect.fnUntraced(function*() {
  const { query } = yield* Database
  return yield* query(
    YearStatistic,
    `select year, count(*)::int as films, round(avg(rating)::numeric, 2)::double precision as rating
     from films group by year order by year`
  )
})

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

const Nothing = Schema.Struct({})

/** Adds films, by one query. */
export const add = Effect.fnUntraced(function*(...all: ReadonlyArray<Film>) {
  const { query } = yield* Database
  yield* query(
    Nothing,
    `insert into films (${columns})
     select ${columns} from jsonb_to_recordset($1::jsonb)
     as f (id int, title text, year int, genre text, director text, rating double precision)`,
    [JSON.stringify(all)]
  )
})

/** Changes a film and tells what it was and what it is: who publishes a change needs both. */
export const edit = Effect.fnUntraced(function*(id: number, changes: Partial<Omit<Film, "id">>) {
  const { query, transaction } = yield* Database
  return yield* transaction(Effect.gen(function*() {
    const before = yield* only(id, yield* query(Film, `select ${columns} from films where id = $1 for update`, [id]))
    const after = new Film({ ...before, ...changes })
    yield* query(
      Nothing,
      "update films set title = $2, year = $3, genre = $4, director = $5, rating = $6 where id = $1",
      [id, after.title, after.year, after.genre, after.director, after.rating]
    )
    return { before, after }
  }))
})

/** Takes a film away and tells what it was. */
export const remove = Effect.fnUntraced(function*(id: number) {
  const { query } = yield* Database
  return yield* only(id, yield* query(Film, `delete from films where id = $1 returning ${columns}`, [id]))
})

/** Changes the ratings of a whole genre and tells how many there were. It does not know which films. */
export const rescore = Effect.fnUntraced(function*(genre: string, by: number) {
  const { query } = yield* Database
  const [row] = yield* query(
    Schema.Struct({ films: Schema.Int }),
    `with changed as (
       update films set rating = least(10, round((rating + $2)::numeric, 1)::double precision)
       where genre = $1 and rating is not null returning 1
     ) select count(*)::int as films from changed`,
    [genre, by]
  )
  return row?.films ?? 0
})
