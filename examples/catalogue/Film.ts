/**
 * What the catalogue is about. Writers and caches know the film as `Films`: writers say what changed, caches say what
 * they show, and neither knows the other.
 */
import { Schema } from "effect"
import { Entity } from "../../src/index.ts"

export class Film extends Schema.Class<Film>("Film")({
  id: Schema.Int,
  title: Schema.String,
  year: Schema.Int,
  genre: Schema.NullOr(Schema.String),
  director: Schema.NullOr(Schema.String),
  rating: Schema.NullOr(Schema.Finite)
}) {}

export const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

export class FilmNotFound extends Schema.TaggedError<FilmNotFound>()("FilmNotFound", { id: Schema.Int }) {
  override get message(): string {
    return `there is no film ${this.id}`
  }
}

/** A film as a list shows it. */
export const Listed = Schema.Struct({ id: Schema.Int, title: Schema.String, rating: Schema.NullOr(Schema.Finite) })

/** What a card shows of a film. */
export const Titled = Schema.Struct({ title: Schema.String, year: Schema.Int })

/** How many films a year had, and how they were liked. */
export const YearStatistic = Schema.Struct({
  year: Schema.Int,
  films: Schema.Int,
  rating: Schema.NullOr(Schema.Finite)
})
