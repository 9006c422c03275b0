/**
 * The catalogue: four cached reads, and the writes that keep them true. If you read one file, read this one.
 *
 * Each read says once, in its policy, what makes it untrue. Each write says what it changed. That is all that connects
 * them: a new read needs no change of the writes, and a new write none of the reads.
 */
import { Schema } from "effect"
import { Cached, Changes, Invalidation, Key, Policy } from "../../src/index.ts"
import * as Card from "./Card.ts"
import { Film, FilmNotFound, Films, Listed, YearStatistic } from "./Film.ts"
import * as Repository from "./Repository.ts"

const genreTag = (genre: string | null): string => `genre:${genre ?? "none"}`

// -----------------------------------------------------------------------------
// reads
// -----------------------------------------------------------------------------

/**
 * A film, with everything about it: so everything about it counts. Its genre is found in the value, and with it the
 * tag. That there is no such film is an answer as well, until there is one.
 */
export const film = Cached.make(
  "film",
  {
    key: Key.int("id"),
    value: Film,
    lookup: (id) => Repository.film(id),
    lookupMany: (ids) => Repository.films(ids),
    failures: {
      error: FilmNotFound,
      policy: Policy.all(Policy.ttl("1 minute"), Policy.conditional(Films, { fields: [] }))
    }
  },
  Policy.all(
    Policy.ttl("5 minutes", { staleFor: "1 minute", jitter: 0.1 }),
    Policy.xfetch({ beta: 1 }),
    Policy.tagged({ fromValue: (film) => [genreTag(film.genre)] }),
    Policy.conditional(Films)
  )
)

/** A card shows title and year. Whatever else changes about the film, it stays. */
export const card = Cached.make(
  "card",
  { key: Key.int("id"), value: Schema.String, lookup: (id) => Card.render(id) },
  Policy.all(Policy.ttl("1 day", { jitter: 0.1 }), Policy.conditional(Films, { fields: ["title", "year"] }))
)

/** The best of a genre: films that come to the genre or leave it count, and titles and ratings within it. */
export const bestOf = Cached.make(
  "best",
  { key: Key.string("genre"), value: Schema.Array(Listed), lookup: (genre) => Repository.bestOf(genre) },
  Policy.all(
    Policy.ttl("5 minutes", { staleFor: "1 minute", jitter: 0.1 }),
    Policy.tagged((genre) => [genreTag(genre)]),
    Policy.conditionalIn(Films, "genre", { fields: ["title", "rating"] })
  )
)

/** A statistic over all films: any film that comes or goes, any rating, any year. Titles and genres do not count. */
export const years = Cached.make(
  "years",
  { key: Key.unit, value: Schema.Array(YearStatistic), lookup: () => Repository.years() },
  Policy.all(
    Policy.ttl("1 hour", { staleFor: "10 minutes" }),
    Policy.xfetch({ beta: 1 }),
    Policy.tagged("ratings"),
    Policy.conditionalAll(Films, { fields: ["year", "rating"] })
  )
)

// -----------------------------------------------------------------------------
// writes
// -----------------------------------------------------------------------------

export const edit = (id: number, changes: Partial<Omit<Film, "id">>) =>
  Repository.edit(id, changes).pipe(Changes.publishing(({ after, before }) => Films.updated(before, after)))

export const add = (film: Film) => Repository.add(film).pipe(Changes.publishing(() => Films.created(film)))

export const remove = (id: number) => Repository.remove(id).pipe(Changes.publishing((film) => Films.deleted(film)))

/**
 * Changes a whole genre by one query that does not say which films. Tags say it: what shows a rating of the genre. The
 * fence stands before the query begins, so nothing that is read meanwhile is kept, even if this process dies.
 */
export const rescore = (genre: string, by: number) =>
  Repository.rescore(genre, by).pipe(Cached.mutate(Invalidation.tags([genreTag(genre), "ratings"])))
